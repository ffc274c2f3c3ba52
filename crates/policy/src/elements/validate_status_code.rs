//! `<validate-status-code>`.

use super::validate_content::ContentAction;
use crate::parser::Parser;
use crate::value::{StatusCode, Value};
use crate::xml::Element;

/// Checks the status of the response.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateStatusCode {
    /// What happens to a status that the operation does not document.
    pub unspecified_status_code_action: Value<ContentAction>,
    /// Variable that receives the errors.
    pub errors_variable_name: Option<String>,
    /// Other actions for single statuses.
    pub status_codes: Vec<(StatusCode, Value<ContentAction>)>,
}

pub(crate) const EXAMPLE: &str = r#"<validate-status-code unspecified-status-code-action="prevent" errors-variable-name="responseStatusValidation">
    <status-code code="404" action="ignore" />
</validate-status-code>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ValidateStatusCode> {
    parser.attributes(element, &["unspecified-status-code-action", "errors-variable-name"]);
    parser.children(element, &["status-code"]);
    let unspecified_status_code_action = parser.value(element, "unspecified-status-code-action");
    let errors_variable_name = parser.optional_literal(element, "errors-variable-name");
    let mut status_codes = Vec::new();
    for child in element.elements().filter(|child| child.name == "status-code") {
        parser.attributes(child, &["code", "action"]);
        parser.children(child, &[]);
        let code = parser.literal(child, "code");
        let action = parser.value(child, "action");
        status_codes.extend(code.zip(action));
    }
    Some(ValidateStatusCode {
        unspecified_status_code_action: unspecified_status_code_action?,
        errors_variable_name,
        status_codes,
    })
}
