//! `<json-to-xml>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// When the body is converted.
    ApplyToJson ("'always' or 'content-type-json'") {
        /// Always.
        Always = "always",
        /// When Content-Type says JSON.
        ContentTypeJson = "content-type-json",
    }
}

/// Converts the body from JSON to XML.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonToXml {
    /// When the body is converted.
    pub apply: ApplyToJson,
    /// Whether an Accept header that wants JSON prevents it.
    pub consider_accept_header: Value<bool>,
    /// Whether texts that look like dates are rewritten as dates.
    pub parse_date: Value<bool>,
    /// Character between prefix and name: `_` unless given.
    pub namespace_separator: Value<String>,
    /// Property that marks a namespace declaration: `xmlns` unless given.
    pub namespace_prefix: Value<String>,
    /// Property whose members become attributes.
    pub attribute_block_name: Option<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<json-to-xml apply="always" consider-accept-header="false" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<JsonToXml> {
    parser.attributes(
        element,
        &["apply", "consider-accept-header", "parse-date", "namespace-separator", "namespace-prefix", "attribute-block-name"],
    );
    parser.children(element, &[]);
    let apply = parser.literal(element, "apply");
    Some(JsonToXml {
        consider_accept_header: parser.value_or(element, "consider-accept-header", true),
        parse_date: parser.value_or(element, "parse-date", true),
        namespace_separator: parser.value_or(element, "namespace-separator", "_".to_owned()),
        namespace_prefix: parser.value_or(element, "namespace-prefix", "xmlns".to_owned()),
        attribute_block_name: parser.optional_value(element, "attribute-block-name"),
        apply: apply?,
    })
}
