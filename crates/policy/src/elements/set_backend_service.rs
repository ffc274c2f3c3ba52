//! `<set-backend-service>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// The backend of this request.
#[derive(Clone, Debug, PartialEq)]
pub enum SetBackendService {
    /// A base address.
    BaseUrl(Value<String>),
    /// Id of a backend resource, single or pool.
    BackendId(Value<String>),
}

pub(crate) const EXAMPLE: &str = r#"<set-backend-service base-url="http://contoso.com/api/8.2/" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SetBackendService> {
    parser.attributes(element, &["base-url", "backend-id"]);
    parser.children(element, &[]);
    let before = parser.problems.len();
    let base_url = parser.optional_value(element, "base-url").map(SetBackendService::BaseUrl);
    let backend_id = parser.optional_value(element, "backend-id").map(SetBackendService::BackendId);
    match (base_url, backend_id) {
        (Some(backend), None) | (None, Some(backend)) => Some(backend),
        (Some(_), Some(_)) => {
            parser.problem(element.at, element, "Attributes 'base-url' and 'backend-id' exclude each other.");
            None
        }
        (None, None) => {
            if parser.problems.len() == before {
                parser.problem(element.at, element, "One of the attributes 'base-url' and 'backend-id' is required.");
            }
            None
        }
    }
}
