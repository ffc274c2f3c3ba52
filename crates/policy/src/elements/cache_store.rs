//! `<cache-store>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Keeps the response under the key of the `cache-lookup` of the same request.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheStore {
    /// How long the entry lives.
    pub duration: Value<Duration>,
    /// Whether to keep this response; without it only 200 responses are kept.
    pub cache_response: Option<Value<bool>>,
}

pub(crate) const EXAMPLE: &str = r#"<cache-store duration="3600" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<CacheStore> {
    parser.attributes(element, &["duration", "cache-response"]);
    parser.children(element, &[]);
    let duration = parser.value(element, "duration");
    let cache_response = parser.optional_value(element, "cache-response");
    Some(CacheStore { duration: duration?, cache_response })
}
