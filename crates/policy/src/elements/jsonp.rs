//! `<jsonp>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Wraps the response in a call of the function that a query parameter names.
#[derive(Clone, Debug, PartialEq)]
pub struct Jsonp {
    /// Query parameter with the name of the function.
    pub callback_parameter_name: Value<String>,
}

pub(crate) const EXAMPLE: &str = r#"<jsonp callback-parameter-name="cb" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Jsonp> {
    parser.attributes(element, &["callback-parameter-name"]);
    parser.children(element, &[]);
    Some(Jsonp { callback_parameter_name: parser.value(element, "callback-parameter-name")? })
}
