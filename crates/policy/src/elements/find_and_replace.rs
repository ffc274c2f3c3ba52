//! `<find-and-replace>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Replaces each occurrence of a text in the body.
#[derive(Clone, Debug, PartialEq)]
pub struct FindAndReplace {
    /// Text to look for.
    pub from: Value<String>,
    /// Text in its place; may be empty.
    pub to: Value<String>,
}

pub(crate) const EXAMPLE: &str = r#"<find-and-replace from="notebook" to="laptop" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<FindAndReplace> {
    parser.attributes(element, &["from", "to"]);
    parser.children(element, &[]);
    let from = parser.value(element, "from");
    let to = parser.value(element, "to");
    if from == Some(Value::Literal(String::new())) {
        parser.problem(element.at, element, "Attribute 'from' must not be empty.");
    }
    Some(FindAndReplace { from: from?, to: to? })
}
