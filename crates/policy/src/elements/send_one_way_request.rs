//! `<send-one-way-request>`.

use crate::elements::send_request::{self, OutgoingRequest};
use crate::parser::Parser;
use crate::xml::Element;

/// Sends a request and does not wait for the response.
#[derive(Clone, Debug, PartialEq)]
pub struct SendOneWayRequest {
    /// The request.
    pub request: OutgoingRequest,
}

pub(crate) const EXAMPLE: &str = r##"<send-one-way-request mode="new">
    <set-url>https://hooks.slack.com/services/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</set-url>
    <set-method>POST</set-method>
    <set-body>@{
        return new JObject(
            new JProperty("username", "APIM Alert"),
            new JProperty("text", String.Format("{0} {1} {2}", context.Request.Method, context.Request.Url.Path, context.Response.StatusCode))
        ).ToString();
    }</set-body>
</send-one-way-request>"##;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SendOneWayRequest> {
    parser.attributes(element, &["mode", "timeout"]);
    send_request::outgoing(parser, element).map(|request| SendOneWayRequest { request })
}
