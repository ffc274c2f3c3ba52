//! `<cross-domain>`.

use http::{HeaderMap, HeaderValue, header};
use policy::elements::cross_domain::CrossDomain;

use crate::body::Payload;
use crate::exchange::{Exchange, Flow, Response};
use crate::fault::Fault;

#[expect(clippy::unnecessary_wraps, reason = "policies have one shape")]
pub(super) fn apply(x: &mut Exchange, policy: &CrossDomain) -> Result<Flow, Fault> {
    let wanted = if policy.document.trim_start().starts_with("<access-policy") {
        "/clientaccesspolicy.xml"
    } else {
        "/crossdomain.xml"
    };
    if !x.request.path.eq_ignore_ascii_case(wanted) {
        return Ok(Flow::Next);
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    x.respond(Response {
        headers,
        body: Payload::Bytes(policy.document.clone().into_bytes().into()),
        ..Response::default()
    });
    Ok(Flow::Respond)
}
