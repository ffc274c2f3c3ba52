//! `<cache-lookup-value>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::elements::cache_lookup::CachingType;
use crate::value::Value;

/// Reads a value of the cache into a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheLookupValue {
    /// Key of the value.
    pub key: Value<String>,
    /// Variable that receives the value.
    pub variable_name: String,
    /// Value of the variable when the cache has none; without it the variable stays unset.
    pub default_value: Option<Value<String>>,
    /// Which cache.
    pub caching_type: CachingType,
}

pub(crate) const EXAMPLE: &str = r#"<cache-lookup-value key="userprofile-42" default-value="none" variable-name="userprofile" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<CacheLookupValue> {
    parser.attributes(element, &["key", "variable-name", "default-value", "caching-type"]);
    parser.children(element, &[]);
    let key = parser.value(element, "key");
    let variable_name = parser.literal(element, "variable-name");
    let default_value = parser.optional_value(element, "default-value");
    let caching_type = parser.literal_or(element, "caching-type", CachingType::PreferExternal);
    Some(CacheLookupValue { key: key?, variable_name: variable_name?, default_value, caching_type })
}
