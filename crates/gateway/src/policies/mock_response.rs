//! `<mock-response>`.

use http::{HeaderMap, HeaderValue, header};
use policy::elements::mock_response::MockResponse;
use snapshot::entity::Representation;

use super::set_status::status;
use crate::body::Payload;
use crate::exchange::{Exchange, Flow, Response};
use crate::fault::Fault;

pub(super) fn apply(x: &mut Exchange, policy: &MockResponse) -> Result<Flow, Fault> {
    let status = status("mock-response", policy.status_code)?;
    let mut headers = HeaderMap::new();
    let mut body = Payload::Empty;
    if let Some((representation, example)) = example(x, policy) {
        if let Ok(content_type) = HeaderValue::try_from(&representation.content_type) {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        body = Payload::Bytes(example.into_bytes().into());
    } else if let Some(content_type) = &policy.content_type
        && let Ok(content_type) = HeaderValue::try_from(content_type)
    {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    x.respond(Response {
        status,
        reason: None,
        headers,
        body,
    });
    Ok(Flow::Respond)
}

/// The operation's example for the status: of the wanted content type, else of the first.
fn example(x: &Exchange, policy: &MockResponse) -> Option<(Representation, String)> {
    let operation = &x.operation.as_ref()?.operation;
    let response = operation
        .responses
        .iter()
        .find(|response| response.status_code == policy.status_code.0)?;
    let representation = match &policy.content_type {
        Some(wanted) => response
            .representations
            .iter()
            .find(|representation| representation.content_type.eq_ignore_ascii_case(wanted))?,
        None => response.representations.first()?,
    };
    let at = policy.index.map_or(0, |index| index.saturating_sub(1)) as usize;
    let example = representation.examples.get(at)?;
    Some((representation.clone(), example.clone()))
}
