//! `<cache-remove-value>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::elements::cache_lookup::CachingType;
use crate::value::Value;

/// Removes a value from the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheRemoveValue {
    /// Key of the value.
    pub key: Value<String>,
    /// Which cache.
    pub caching_type: CachingType,
}

pub(crate) const EXAMPLE: &str = r#"<cache-remove-value key="userprofile-42" caching-type="internal" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<CacheRemoveValue> {
    parser.attributes(element, &["key", "caching-type"]);
    parser.children(element, &[]);
    let key = parser.value(element, "key");
    let caching_type = parser.literal_or(element, "caching-type", CachingType::PreferExternal);
    Some(CacheRemoveValue { key: key?, caching_type })
}
