//! `<xml-to-json>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// Form of the JSON.
    JsonKind ("'javascript-friendly' or 'direct'") {
        /// Easy to use from JavaScript.
        JavascriptFriendly = "javascript-friendly",
        /// Mirrors the XML.
        Direct = "direct",
    }
}

words! {
    /// When the body is converted.
    ApplyToXml ("'always' or 'content-type-xml'") {
        /// Always.
        Always = "always",
        /// When Content-Type says XML.
        ContentTypeXml = "content-type-xml",
    }
}

/// Converts the body from XML to JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct XmlToJson {
    /// Form of the JSON.
    pub kind: JsonKind,
    /// When the body is converted.
    pub apply: ApplyToXml,
    /// Whether an Accept header that wants XML prevents it.
    pub consider_accept_header: Value<bool>,
    /// Whether child elements always become arrays.
    pub always_array_child_elements: Value<bool>,
}

pub(crate) const EXAMPLE: &str = r#"<xml-to-json kind="direct" apply="always" consider-accept-header="false" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<XmlToJson> {
    parser.attributes(element, &["kind", "apply", "consider-accept-header", "always-array-child-elements"]);
    parser.children(element, &[]);
    let kind = parser.literal(element, "kind");
    let apply = parser.literal(element, "apply");
    let consider_accept_header = parser.value_or(element, "consider-accept-header", true);
    let always_array_child_elements = parser.value_or(element, "always-array-child-elements", false);
    Some(XmlToJson { kind: kind?, apply: apply?, consider_accept_header, always_array_child_elements })
}
