//! Operations of SOAP APIs, which callers name by their action.

use http::{HeaderMap, HeaderName, header};

/// Where SOAP 1.1 has the action.
const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");
/// Query parameter by which imported operations are told apart.
pub(crate) const PARAMETER: &str = "soapAction";

fn unquoted(text: &str) -> Option<String> {
    let text = text.trim().trim_matches('"').trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The action that a request names: header `SOAPAction` (SOAP 1.1 §6.1.1), or parameter `action` of the content type
/// (RFC 3902).
pub(crate) fn action(headers: &HeaderMap) -> Option<String> {
    let named = headers
        .get(SOAP_ACTION)
        .and_then(|value| unquoted(value.to_str().ok()?));
    named.or_else(|| {
        let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let mut parameters = content_type.split(';').skip(1);
        let value = parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("action").then_some(value)
        })?;
        unquoted(value)
    })
}
