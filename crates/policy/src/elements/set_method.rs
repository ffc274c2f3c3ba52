//! `<set-method>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Changes the method of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct SetMethod {
    /// The new method.
    pub method: Value<String>,
}

pub(crate) const EXAMPLE: &str = "<set-method>POST</set-method>";

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SetMethod> {
    parser.attributes(element, &[]);
    let method: Value<String> = parser.text(element)?;
    if let Value::Literal(name) = &method
        && (name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)))
    {
        parser.problem(element.at, element, format!("'{name}' is not a method."));
        return None;
    }
    Some(SetMethod { method })
}
