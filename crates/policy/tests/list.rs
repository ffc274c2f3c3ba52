//! `docs/policies.md`: every policy, where it may stand, what it takes, and how it differs from the published one.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;
use std::path::Path;

/// What a reader who knows Azure API Management would otherwise find out by trying.
const DIFFERENCES: [(&str, &str); 15] = [
    (
        "authentication-managed-identity",
        "The gateway has no identity of Azure: it needs a source of tokens, and without one the call fails unless `ignore-error` is `true`.",
    ),
    (
        "cache-lookup",
        "The external cache is the service's resource `caches` of its region, else the `default` one, in Redis or Valkey; without one each gateway has its own. One that does not answer within 100 ms counts as empty.",
    ),
    ("cache-lookup-value", "As `cache-lookup`."),
    ("cache-store", "As `cache-lookup`."),
    ("cache-store-value", "As `cache-lookup`."),
    (
        "emit-metric",
        "Metrics go to the gateway's telemetry; `namespace` is a label.",
    ),
    (
        "log-to-eventhub",
        "A message goes to its logger's URL by POST, or to the gateway's log; partitions are told in headers.",
    ),
    (
        "redirect-content-urls",
        "Also changes `Location` and `Content-Location`.",
    ),
    (
        "validate-azure-ad-token",
        "Tokens of both versions are taken. Encrypted tokens are not supported: `decryption-keys` is refused.",
    ),
    (
        "validate-client-certificate",
        "Revocation lists are not read: `validate-revocation=\"false\"` must be written. Trusted authorities are the service's certificates. An issuer counts by its signature, not by being sent along.",
    ),
    (
        "validate-content",
        "JSON schemas only: `xml` and `soap` are checked for well-formedness, and `schema-id` beside them is refused.",
    ),
    (
        "validate-headers",
        "Documented are the headers of the response with this status. Types and listed values are checked, other rules of a schema are not. `Content-Type` and headers of the connection are never looked at.",
    ),
    (
        "validate-jwt",
        "Encrypted tokens are not supported: `decryption-keys` is refused. Keys are HMAC secrets, RSA and EC keys.",
    ),
    (
        "validate-parameters",
        "Types and listed values are checked, other rules of a schema are not. `Content-Type` and headers of the connection are never looked at.",
    ),
    (
        "validate-status-code",
        "A documented `default` response does not count.",
    ),
];

/// Policies that Portico does not have. A document with one of them is refused when it is stored.
const MISSING: [&str; 7] = [
    "azure-openai-* and llm-*",
    "cosmosdb-data-source, http-data-source, sql-data-source, set-graphql-resolver, publish-event",
    "get-authorization-context",
    "invoke-dapr-binding, publish-to-dapr, set-backend-service with dapr attributes",
    "validate-graphql-request",
    "validate-odata-request",
    "xsl-transform",
];

/// The attributes that an element's file reads, of the element and of those inside it, in their order.
fn attributes(element: &str) -> Vec<String> {
    let file = format!("src/elements/{}.rs", element.replace('-', "_"));
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let lists = regex::Regex::new(
        r"(?s)(?:\.attributes\(\s*\w+,\s*&|const [A-Z]+: \[&str; \d+\] = )\[(.*?)\]",
    )
    .unwrap();
    let words = regex::Regex::new("\"([^\"]+)\"").unwrap();
    let mut known = Vec::new();
    for list in lists.captures_iter(&source) {
        for word in words.captures_iter(&list[1]) {
            if !known.contains(&word[1].to_owned()) {
                known.push(word[1].to_owned());
            }
        }
    }
    known
}

fn list() -> String {
    let mut text = String::from(
        "# Policies\n\nWritten by `UPDATE_GOLDENS=1 cargo test -p policy --test list`; the test fails when it differs from the code. Every policy also\ntakes `id`. Values may be expressions where the published policy says so; see [policy-expressions.md](policy-expressions.md).\n\n| policy | what it does | sections | scopes | attributes, inner elements' included |\n| --- | --- | --- | --- | --- |\n",
    );
    for policy in policy::catalogue() {
        let attributes: Vec<String> = attributes(policy.element)
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let scopes = if policy.scopes.len() == 5 {
            "all".to_owned()
        } else {
            policy.scopes.join(", ")
        };
        writeln!(
            text,
            "| `{}` | {} | {} | {scopes} | {} |",
            policy.element,
            policy.description,
            policy.sections.join(", "),
            attributes.join(" ")
        )
        .unwrap();
    }
    text.push_str("\n## Known differences\n\n");
    for (element, difference) in DIFFERENCES {
        writeln!(text, "- `{element}`: {difference}").unwrap();
    }
    text.push_str("\n## Not here\n\nA document that uses one of these is refused when it is stored, with line and column:\n\n");
    for missing in MISSING {
        writeln!(text, "- {missing}").unwrap();
    }
    text
}

#[test]
fn the_documentation_lists_every_policy_as_it_is() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies.md");
    let list = list();
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&file, &list).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap() == list,
        "docs/policies.md differs from the code: UPDATE_GOLDENS=1 writes it"
    );
}

#[test]
fn differences_are_of_policies_that_there_are() {
    let known: Vec<&str> = policy::catalogue()
        .iter()
        .map(|policy| policy.element)
        .collect();
    for (element, _) in DIFFERENCES {
        assert!(known.contains(&element), "{element}");
    }
}
