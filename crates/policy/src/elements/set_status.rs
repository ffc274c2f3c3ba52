//! `<set-status>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{StatusCode, Value};

/// Sets the status of the response.
#[derive(Clone, Debug, PartialEq)]
pub struct SetStatus {
    /// The code.
    pub code: Value<StatusCode>,
    /// The reason phrase, which HTTP/2 does not carry.
    pub reason: Option<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<set-status code="401" reason="Unauthorized" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SetStatus> {
    parser.attributes(element, &["code", "reason"]);
    parser.children(element, &[]);
    let code = parser.value(element, "code");
    let reason = parser.optional_value(element, "reason");
    Some(SetStatus { code: code?, reason })
}
