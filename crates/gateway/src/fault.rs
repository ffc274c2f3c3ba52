//! Why a call cannot go on.

use std::fmt;

use http::{HeaderName, HeaderValue, StatusCode};

/// An error in a section of the pipeline. `on-error` sees it as `context.LastError`; without `on-error` the client gets
/// [`Fault::status`] and [`Fault::shown`].
#[derive(Clone, Debug)]
pub struct Fault {
    /// Status for the client.
    pub status: StatusCode,
    /// `LastError.Source`: the policy, or `configuration`, `authorization`.
    pub source: &'static str,
    /// `LastError.Reason`.
    pub reason: &'static str,
    /// `LastError.Message`.
    pub message: String,
    /// Message for the client, which must not tell about backends; [`Fault::message`] when absent.
    pub shown: Option<&'static str>,
    /// Headers for the client.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the response that is there already goes to the client instead of the message.
    pub keeps_response: bool,
}

impl Fault {
    pub(crate) fn new(
        status: StatusCode,
        source: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            source,
            reason,
            message: message.into(),
            shown: None,
            headers: Vec::new(),
            keeps_response: false,
        }
    }

    /// An error whose cause is nothing to the client.
    pub(crate) fn internal(
        source: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            shown: Some("Internal server error"),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, source, reason, message)
        }
    }

    pub(crate) fn not_found(reason: &'static str, message: &str) -> Self {
        Self {
            shown: Some("Resource not found"),
            ..Self::new(StatusCode::NOT_FOUND, "configuration", reason, message)
        }
    }

    pub(crate) fn expression(source: &'static str, failure: &policy::expression::Failure) -> Self {
        Self::internal(
            source,
            "ExpressionValueEvaluationFailure",
            failure.to_string(),
        )
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", self.source, self.reason, self.message)
    }
}

impl std::error::Error for Fault {}

/// The body of every error: `{ "statusCode": 404, "message": "Resource not found" }`, spaces included, as published.
pub(crate) fn error_body(status: StatusCode, message: &str, activity_id: Option<&str>) -> String {
    let message = serde_json::Value::from(message);
    let activity = activity_id.map_or_else(String::new, |id| format!(", \"activityId\": \"{id}\""));
    format!(
        "{{ \"statusCode\": {}, \"message\": {message}{activity} }}",
        status.as_u16()
    )
}
