//! `<validate-jwt>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{StatusCode, Value, words};

/// Where the token is.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenSource {
    /// In a request header.
    Header(Value<String>),
    /// In a query parameter.
    QueryParameter(Value<String>),
    /// The value itself.
    Token(Value<String>),
}

/// A key that signs tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// Base64 of a symmetric key.
    Symmetric(Value<String>),
    /// Id of a certificate resource.
    CertificateId(Value<String>),
    /// Modulus and exponent of an RSA key, base64url.
    Rsa {
        /// Modulus.
        n: Value<String>,
        /// Exponent.
        e: Value<String>,
    },
}

/// A key and its `kid`.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// `kid` of the tokens it is for; absent means any.
    pub id: Option<String>,
    /// The key.
    pub source: KeySource,
}

words! {
    /// How the values of a claim are compared.
    ClaimMatch ("'all' or 'any'") {
        /// Every value must be in the claim.
        All = "all",
        /// One value suffices.
        Any = "any",
    }
}

/// A claim that must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct RequiredClaim {
    /// Name of the claim.
    pub name: Value<String>,
    /// How values are compared: all unless given.
    pub matching: Value<ClaimMatch>,
    /// Separator of several values in one text.
    pub separator: Option<Value<String>>,
    /// Values; any when empty.
    pub values: Vec<Value<String>>,
}

/// Demands a valid JSON web token.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateJwt {
    /// Where the token is.
    pub token: TokenSource,
    /// Status of a refusal: 401 unless given.
    pub failed_validation_httpcode: Value<StatusCode>,
    /// Message of a refusal; absent means one for the reason.
    pub failed_validation_error_message: Option<Value<String>>,
    /// Whether `exp` must be there.
    pub require_expiration_time: Value<bool>,
    /// Scheme before the token, such as `Bearer`.
    pub require_scheme: Option<Value<String>>,
    /// Whether tokens must be signed.
    pub require_signed_tokens: Value<bool>,
    /// Tolerance between clocks.
    pub clock_skew: Value<Duration>,
    /// Variable that receives the token as a `Jwt`.
    pub output_token_variable_name: Option<String>,
    /// OpenID configuration documents with keys and issuer.
    pub openid_configs: Vec<Value<String>>,
    /// Keys that sign.
    pub issuer_signing_keys: Vec<Key>,
    /// Permitted `aud`; any when empty.
    pub audiences: Vec<Value<String>>,
    /// Permitted `iss`; those of the configuration documents when empty.
    pub issuers: Vec<Value<String>>,
    /// Claims that must be there.
    pub required_claims: Vec<RequiredClaim>,
}

pub(crate) const EXAMPLE: &str = r#"<validate-jwt header-name="Authorization" failed-validation-httpcode="401" failed-validation-error-message="Unauthorized. Access token is missing or invalid.">
    <openid-config url="https://login.microsoftonline.com/contoso.onmicrosoft.com/.well-known/openid-configuration" />
    <issuer-signing-keys>
        <key id="first">c2lnbmluZy1rZXktb2YtdGhpcnR5LXR3by1ieXRlcyEh</key>
    </issuer-signing-keys>
    <audiences>
        <audience>25eef6e4-c905-4a07-8eb4-0d08d5df8b3f</audience>
    </audiences>
    <required-claims>
        <claim name="id" match="all">
            <value>insert claim here</value>
        </claim>
    </required-claims>
</validate-jwt>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ValidateJwt> {
    parser.attributes(
        element,
        &[
            "header-name",
            "query-parameter-name",
            "token-value",
            "failed-validation-httpcode",
            "failed-validation-error-message",
            "require-expiration-time",
            "require-scheme",
            "require-signed-tokens",
            "clock-skew",
            "output-token-variable-name",
        ],
    );
    parser.children(
        element,
        &["openid-config", "issuer-signing-keys", "decryption-keys", "audiences", "issuers", "required-claims"],
    );
    let header = parser.optional_value(element, "header-name").map(TokenSource::Header);
    let query = parser.optional_value(element, "query-parameter-name").map(TokenSource::QueryParameter);
    let value = parser.optional_value(element, "token-value").map(TokenSource::Token);
    let mut sources = [header, query, value].into_iter().flatten();
    let token = sources.next();
    if token.is_none() || sources.next().is_some() {
        parser.problem(
            element.at,
            element,
            "Exactly one of the attributes 'header-name', 'query-parameter-name' and 'token-value' is required.",
        );
    }
    let failed_validation_httpcode = parser.value_or(element, "failed-validation-httpcode", StatusCode(401));
    let failed_validation_error_message = parser.optional_value(element, "failed-validation-error-message");
    let require_expiration_time = parser.value_or(element, "require-expiration-time", true);
    let require_scheme = parser.optional_value(element, "require-scheme");
    let require_signed_tokens = parser.value_or(element, "require-signed-tokens", true);
    let clock_skew = parser.value_or(element, "clock-skew", Duration::ZERO);
    let output_token_variable_name = parser.optional_literal(element, "output-token-variable-name");
    let mut openid_configs = Vec::new();
    for child in element.elements().filter(|child| child.name == "openid-config") {
        parser.attributes(child, &["url"]);
        parser.children(child, &[]);
        openid_configs.extend(parser.value(child, "url"));
    }
    let issuer_signing_keys = keys(parser, element, "issuer-signing-keys");
    if let Some(child) = parser.child(element, "decryption-keys") {
        parser.problem(child.at, child, "Encrypted tokens are not supported: 'decryption-keys' must be left out.");
    }
    let audiences = list(parser, element, "audiences", "audience");
    let issuers = list(parser, element, "issuers", "issuer");
    if require_signed_tokens == Value::Literal(true)
        && !element.elements().any(|child| matches!(child.name.as_str(), "openid-config" | "issuer-signing-keys"))
    {
        parser.problem(element.at, element, "Signed tokens need an element 'openid-config' or 'issuer-signing-keys'.");
    }
    let required_claims = parser.child(element, "required-claims").map(|child| claims(parser, child));
    Some(ValidateJwt {
        token: token?,
        failed_validation_httpcode,
        failed_validation_error_message,
        require_expiration_time,
        require_scheme,
        require_signed_tokens,
        clock_skew,
        output_token_variable_name,
        openid_configs,
        issuer_signing_keys,
        audiences,
        issuers,
        required_claims: required_claims.unwrap_or_default(),
    })
}

pub(super) fn list(parser: &mut Parser<'_>, element: &Element, name: &str, item: &str) -> Vec<Value<String>> {
    let Some(child) = parser.child(element, name) else { return Vec::new() };
    parser.attributes(child, &[]);
    parser.children(child, &[item]);
    parser.texts(child, item)
}

fn keys(parser: &mut Parser<'_>, element: &Element, name: &str) -> Vec<Key> {
    let Some(list) = parser.child(element, name) else { return Vec::new() };
    parser.attributes(list, &[]);
    parser.children(list, &["key"]);
    let mut keys = Vec::new();
    for child in list.elements().filter(|child| child.name == "key") {
        parser.attributes(child, &["certificate-id", "n", "e"]);
        let id = parser.optional_literal(child, "id");
        let certificate = parser.optional_value(child, "certificate-id");
        let n = parser.optional_value(child, "n");
        let e = parser.optional_value(child, "e");
        let text = parser.text::<String>(child);
        let source = match (certificate, n.zip(e), text) {
            (Some(certificate), None, _) => KeySource::CertificateId(certificate),
            (None, Some((n, e)), _) => KeySource::Rsa { n, e },
            (None, None, Some(text)) if text != Value::Literal(String::new()) => KeySource::Symmetric(text),
            (None, None, None) => continue,
            _ => {
                parser.problem(child.at, child, "A key needs either text in base64, 'certificate-id', or 'n' and 'e'.");
                continue;
            }
        };
        keys.push(Key { id, source });
    }
    keys
}

pub(super) fn claims(parser: &mut Parser<'_>, list: &Element) -> Vec<RequiredClaim> {
    parser.attributes(list, &[]);
    parser.children(list, &["claim"]);
    let mut claims = Vec::new();
    for child in list.elements().filter(|child| child.name == "claim") {
        parser.attributes(child, &["name", "match", "separator"]);
        parser.children(child, &["value"]);
        let name = parser.value(child, "name");
        let matching = parser.value_or(child, "match", ClaimMatch::All);
        let separator = parser.optional_value(child, "separator");
        let values = parser.texts(child, "value");
        claims.extend(name.map(|name| RequiredClaim { name, matching, separator, values }));
    }
    claims
}
