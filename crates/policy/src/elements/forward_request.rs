//! `<forward-request>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// Version of HTTP towards the backend.
    HttpVersion ("'1', '2' or '2or1'") {
        /// HTTP/1.1.
        One = "1",
        /// HTTP/2.
        Two = "2",
        /// HTTP/2 where the backend offers it.
        TwoOrOne = "2or1",
    }
}

/// Sends the request to the backend.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardRequest {
    /// Version of HTTP.
    pub http_version: HttpVersion,
    /// Time for the response headers to arrive; the gateway's own, 300 s, unless given.
    pub timeout: Option<Value<Duration>>,
    /// Time to wait for `100 Continue`; absent means not to wait.
    pub continue_timeout: Option<Value<Duration>>,
    /// Whether redirects are followed.
    pub follow_redirects: Value<bool>,
    /// Whether the request is read completely first, so that `retry` can repeat it.
    pub buffer_request_body: bool,
    /// Whether the response is read in blocks of 8 KiB (true) or passed on at once.
    pub buffer_response: bool,
    /// Whether statuses from 400 run `on-error`.
    pub fail_on_error_status_code: bool,
}

pub(crate) const EXAMPLE: &str = r#"<forward-request timeout="60" follow-redirects="true" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ForwardRequest> {
    parser.attributes(
        element,
        &[
            "http-version",
            "timeout",
            "timeout-ms",
            "continue-timeout",
            "follow-redirects",
            "buffer-request-body",
            "buffer-response",
            "fail-on-error-status-code",
        ],
    );
    parser.children(element, &[]);
    let timeout: Option<Value<Duration>> = parser.optional_value(element, "timeout");
    let milliseconds: Option<u64> = parser.optional_literal(element, "timeout-ms");
    if timeout.is_some() && milliseconds.is_some() {
        parser.problem(element.at, element, "Attributes 'timeout' and 'timeout-ms' exclude each other.");
    }
    if timeout == Some(Value::Literal(Duration::ZERO)) || milliseconds == Some(0) {
        parser.problem(element.at, element, "The timeout must be greater than 0.");
    }
    let timeout = timeout
        .or(milliseconds.map(|milliseconds| Value::Literal(Duration::from_millis(milliseconds))));
    Some(ForwardRequest {
        http_version: parser.literal_or(element, "http-version", HttpVersion::One),
        timeout,
        continue_timeout: parser.optional_value(element, "continue-timeout"),
        follow_redirects: parser.value_or(element, "follow-redirects", false),
        buffer_request_body: parser.literal_or(element, "buffer-request-body", false),
        buffer_response: parser.literal_or(element, "buffer-response", true),
        fail_on_error_status_code: parser.literal_or(element, "fail-on-error-status-code", false),
    })
}
