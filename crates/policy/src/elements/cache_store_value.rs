//! `<cache-store-value>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;
use crate::elements::cache_lookup::CachingType;
use crate::value::Value;

/// Keeps a value in the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheStoreValue {
    /// Key of the value.
    pub key: Value<String>,
    /// The value.
    pub value: Value<String>,
    /// How long the entry lives.
    pub duration: Value<Duration>,
    /// Which cache.
    pub caching_type: CachingType,
}

pub(crate) const EXAMPLE: &str = r#"<cache-store-value key="userprofile-42" value="Ada" duration="100000" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<CacheStoreValue> {
    parser.attributes(element, &["key", "value", "duration", "caching-type"]);
    parser.children(element, &[]);
    let key = parser.value(element, "key");
    let value = parser.value(element, "value");
    let duration = parser.value(element, "duration");
    let caching_type = parser.literal_or(element, "caching-type", CachingType::PreferExternal);
    Some(CacheStoreValue { key: key?, value: value?, duration: duration?, caching_type })
}
