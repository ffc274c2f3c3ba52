//! `<return-response>`.

use crate::elements::StepKind;
use crate::elements::set_body::SetBody;
use crate::elements::set_header::SetHeader;
use crate::elements::set_status::SetStatus;
use crate::parser::Parser;
use crate::xml::Element;

/// Ends the request with a response: 200 without a body, or the response of a variable, changed by the parts.
#[derive(Clone, Debug, PartialEq)]
pub struct ReturnResponse {
    /// Variable with the response to begin with.
    pub response_variable_name: Option<String>,
    /// Its status.
    pub set_status: Option<SetStatus>,
    /// Its headers.
    pub set_headers: Vec<SetHeader>,
    /// Its body.
    pub set_body: Option<SetBody>,
}

pub(crate) const EXAMPLE: &str = r#"<return-response>
    <set-status code="401" reason="Unauthorized" />
    <set-header name="WWW-Authenticate" exists-action="override">
        <value>Bearer error="invalid_token"</value>
    </set-header>
</return-response>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ReturnResponse> {
    parser.attributes(element, &["response-variable-name"]);
    parser.children(element, &["set-status", "set-header", "set-body"]);
    let response_variable_name = parser.optional_literal(element, "response-variable-name");
    let mut set_headers = Vec::new();
    for child in element.elements().filter(|child| child.name == "set-header") {
        if let Some(StepKind::SetHeader(header)) = parser.part(child) {
            set_headers.push(header);
        }
    }
    let set_status = match parser.child(element, "set-status").and_then(|child| parser.part(child)) {
        Some(StepKind::SetStatus(status)) => Some(status),
        _ => None,
    };
    let set_body = match parser.child(element, "set-body").and_then(|child| parser.part(child)) {
        Some(StepKind::SetBody(body)) => Some(body),
        _ => None,
    };
    Some(ReturnResponse { response_variable_name, set_status, set_headers, set_body })
}
