//! `<validate-headers>`.

use super::validate_content::ContentAction;
use super::validate_parameters::named;
use crate::parser::Parser;
use crate::value::Value;
use crate::xml::Element;

/// Checks the headers of the response.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateHeaders {
    /// What happens to wrong values of headers that the operation documents.
    pub specified_header_action: Value<ContentAction>,
    /// What happens to headers that it does not document.
    pub unspecified_header_action: Value<ContentAction>,
    /// Variable that receives the errors.
    pub errors_variable_name: Option<String>,
    /// Actions for single headers.
    pub headers: Vec<(String, Value<ContentAction>)>,
}

pub(crate) const EXAMPLE: &str = r#"<validate-headers specified-header-action="ignore" unspecified-header-action="prevent" errors-variable-name="responseHeadersValidation">
    <header name="X-Powered-By" action="detect" />
</validate-headers>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ValidateHeaders> {
    parser.attributes(
        element,
        &["specified-header-action", "unspecified-header-action", "errors-variable-name"],
    );
    parser.children(element, &["header"]);
    let specified_header_action = parser.value(element, "specified-header-action");
    let unspecified_header_action = parser.value(element, "unspecified-header-action");
    let errors_variable_name = parser.optional_literal(element, "errors-variable-name");
    let headers = named(parser, element, "header");
    Some(ValidateHeaders {
        specified_header_action: specified_header_action?,
        unspecified_header_action: unspecified_header_action?,
        errors_variable_name,
        headers,
    })
}
