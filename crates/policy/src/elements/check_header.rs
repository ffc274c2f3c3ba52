//! `<check-header>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{StatusCode, Value};

/// Refuses requests without a header, or whose header has none of the values.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckHeader {
    /// Name of the header.
    pub name: Value<String>,
    /// Status of the refusal.
    pub failed_check_httpcode: Value<StatusCode>,
    /// Message of the refusal.
    pub failed_check_error_message: Value<String>,
    /// Whether values are compared without case.
    pub ignore_case: Value<bool>,
    /// Permitted values; any value when empty.
    pub values: Vec<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<check-header name="Authorization" failed-check-httpcode="401" failed-check-error-message="Not authorized" ignore-case="false">
    <value>f6dc69a089844cf6b2019bae6d36fac8</value>
</check-header>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<CheckHeader> {
    parser.attributes(element, &["name", "failed-check-httpcode", "failed-check-error-message", "ignore-case"]);
    parser.children(element, &["value"]);
    let name = parser.value(element, "name");
    let failed_check_httpcode = parser.value(element, "failed-check-httpcode");
    let failed_check_error_message = parser.value(element, "failed-check-error-message");
    let ignore_case = parser.value(element, "ignore-case");
    let values = parser.texts(element, "value");
    Some(CheckHeader {
        name: name?,
        failed_check_httpcode: failed_check_httpcode?,
        failed_check_error_message: failed_check_error_message?,
        ignore_case: ignore_case?,
        values,
    })
}
