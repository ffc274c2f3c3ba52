//! `<cors>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Permits calls of web pages from other origins, and answers their preflight requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Cors {
    /// Whether the browser may send credentials.
    pub allow_credentials: Value<bool>,
    /// Whether a request that matches nothing ends with an empty 200, instead of going on without CORS headers.
    pub terminate_unmatched_request: Value<bool>,
    /// Origins: `*`, a URI, or a wildcard such as `https://*.example.com`.
    pub allowed_origins: Vec<Value<String>>,
    /// Methods besides the simple ones: names or `*`.
    pub allowed_methods: Vec<Value<String>>,
    /// `Access-Control-Max-Age` of a preflight response.
    pub preflight_result_max_age: Value<Duration>,
    /// Request headers: names, `name*` prefixes or `*`.
    pub allowed_headers: Vec<Value<String>>,
    /// Response headers that the page can read.
    pub expose_headers: Vec<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<cors allow-credentials="true">
    <allowed-origins>
        <origin>http://localhost:8080/</origin>
        <origin>http://example.com/</origin>
    </allowed-origins>
    <allowed-methods preflight-result-max-age="300">
        <method>GET</method>
        <method>POST</method>
    </allowed-methods>
    <allowed-headers>
        <header>x-zumo-installation-id</header>
    </allowed-headers>
    <expose-headers>
        <header>x-zumo-installation-id</header>
    </expose-headers>
</cors>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Cors> {
    parser.attributes(element, &["allow-credentials", "terminate-unmatched-request"]);
    parser.children(element, &["allowed-origins", "allowed-methods", "allowed-headers", "expose-headers"]);
    let allow_credentials = parser.value_or(element, "allow-credentials", false);
    let terminate_unmatched_request = parser.value_or(element, "terminate-unmatched-request", true);
    let origins = parser.required_child(element, "allowed-origins");
    let headers = parser.required_child(element, "allowed-headers");
    let allowed_origins = origins.map(|child| list(parser, child, "origin", &[]));
    let allowed_headers = headers.map(|child| list(parser, child, "header", &[]));
    let expose_headers = parser.child(element, "expose-headers").map(|child| list(parser, child, "header", &[]));
    let (allowed_methods, preflight_result_max_age) = match parser.child(element, "allowed-methods") {
        Some(child) => (
            list(parser, child, "method", &["preflight-result-max-age"]),
            parser.value_or(child, "preflight-result-max-age", Duration::ZERO),
        ),
        // The published default: without the element GET and POST are permitted.
        None => (["GET", "POST"].map(|method| Value::Literal(method.to_owned())).into(), Value::Literal(Duration::ZERO)),
    };
    let allowed_origins = allowed_origins?;
    if allow_credentials == Value::Literal(true) && allowed_origins.contains(&Value::Literal("*".to_owned())) {
        parser.problem(element.at, element, "Origin '*' is not allowed when 'allow-credentials' is true.");
        return None;
    }
    Some(Cors {
        allow_credentials,
        terminate_unmatched_request,
        allowed_origins,
        allowed_methods,
        preflight_result_max_age,
        allowed_headers: allowed_headers?,
        expose_headers: expose_headers.unwrap_or_default(),
    })
}

fn list(parser: &mut Parser<'_>, element: &Element, item: &str, attributes: &[&str]) -> Vec<Value<String>> {
    parser.attributes(element, attributes);
    parser.children(element, &[item]);
    let before = parser.problems.len();
    let items = parser.texts(element, item);
    if items.is_empty() && parser.problems.len() == before {
        parser.problem(element.at, element, format!("Required element '{item}' is missing."));
    }
    items
}
