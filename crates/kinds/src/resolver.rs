//! Resolvers of GraphQL APIs: which field of the schema each one answers.

use crate::{
    api::Api,
    policy::{PolicyContract, check_named_values, normalise, report, shown},
};
use engine::{
    BoxFuture, Contract, Cx, Filter, NameRule, Resource, Result, Value, Verbs, Violations, json,
};
use utoipa::ToSchema;

/// A resolver.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ResolverContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: String,
    /// Type and field: `Query/users`.
    #[contract(length(1..=300))]
    pub path: String,
    /// Description.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
}

/// The kind.
pub struct Resolver;

impl Resource for Resolver {
    type Parent = Api;
    type Contract = ResolverContract;
    const TITLE: &'static str = "GraphQLApiResolver";
    const NOUN: &'static str = "Resolver";
    const SEGMENT: &'static str = "resolvers";
    const PARAMETER: &'static str = "resolverId";
    const TABLE: &'static str = "api_resolvers";
    const NAME: NameRule = NameRule::id(80);
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("description", "description"),
        Filter::text("path", "path"),
    ];

    fn example() -> Value {
        json!({"displayName": "Users", "path": "Query/users", "description": "All users"})
    }
}

/// The policy of a resolver: where the field's value comes from. It is kept for clients of the contract; the gateway passes GraphQL
/// on to the API's web service and resolves no fields itself.
pub struct ResolverPolicy;

/// What the document of a resolver's policy begins with.
const SOURCES: [&str; 3] = [
    "http-data-source",
    "cosmosdb-data-source",
    "sql-data-source",
];

/// The name of the outermost element of a document that was printed anew.
fn outermost(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some(comment) = rest.strip_prefix("<!--") {
        rest = comment
            .split_once("-->")
            .map_or("", |(_, after)| after)
            .trim_start();
    }
    let name = rest.strip_prefix('<').unwrap_or_default();
    name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .next()
        .unwrap_or_default()
}

impl Resource for ResolverPolicy {
    type Parent = Resolver;
    type Contract = PolicyContract;
    const TITLE: &'static str = "GraphQLApiResolverPolicy";
    const NOUN: &'static str = "PoliciesConfiguration";
    const SEGMENT: &'static str = "policies";
    const PARAMETER: &'static str = "policyId";
    const TABLE: &'static str = "resolver_policies";
    const NAME: NameRule = NameRule::Fixed(&["policy"]);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const SHOWN: Option<engine::Shown<PolicyContract>> = Some(shown);

    fn example() -> Value {
        json!({
            "value": "<http-data-source><http-request><set-method>GET</set-method><set-url>https://example.org/users</set-url></http-request></http-data-source>",
            "format": "xml"
        })
    }

    fn validate(contract: &PolicyContract, violations: &mut Violations) {
        let Some(format) = contract.format.text() else {
            violations.add(
                "format",
                "is that of a link, from which no document was fetched",
            );
            return;
        };
        match policy::reformat(&contract.value, format, format) {
            Err(problem) => report(&[problem], violations),
            Ok(text) if !SOURCES.contains(&outermost(&text)) => violations.add(
                "value",
                format!("must be one element, {}", SOURCES.join(", ")),
            ),
            Ok(_) => {}
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a PolicyContract>,
        new: &'a mut PolicyContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            check_named_values(cx, new).await?;
            normalise(new)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::outermost;

    #[test]
    fn the_outermost_element_is_found_behind_comments() {
        for (text, name) in [
            ("<http-data-source>", "http-data-source"),
            (
                "<!-- a --> <!-- b -->\r\n<sql-data-source />",
                "sql-data-source",
            ),
            ("<policies/>", "policies"),
            ("", ""),
        ] {
            assert_eq!(outermost(text), name, "{text}");
        }
    }
}
