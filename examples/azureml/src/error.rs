//! Refusals in the shape of Azure ML Studio's REST API: an error class with one detail that says what is wrong.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

/// The error classes of the web service, each with its HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 400: something about the request is wrong: its form, a parameter, a storage location.
    BadArgument,
    /// 400: the data given for the model does not fit it.
    BadUserArgument,
    /// 400: not possible in the job's current state.
    InvalidOperation,
    /// 401: no key, or not the service's.
    Unauthorized,
    /// 404: no such workspace, service, job or address.
    NotFound,
    /// 405: the address exists, but not for this method.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 413: the body is larger than allowed.
    PayloadTooLarge,
    /// 429: too many jobs wait for their end.
    TooManyRequests,
    /// 500: the service itself failed.
    InternalError,
}

impl Class {
    fn status(self) -> StatusCode {
        match self {
            Self::BadArgument | Self::BadUserArgument | Self::InvalidOperation => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::BadArgument => "BadArgument",
            Self::BadUserArgument => "BadUserArgument",
            Self::InvalidOperation => "InvalidOperation",
            Self::Unauthorized => "Unauthorized",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::RequestTimeout => "RequestTimeout",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::BadArgument => "Invalid argument provided.",
            Self::BadUserArgument => "Invalid user argument provided.",
            Self::InvalidOperation => "The request is invalid in the current context.",
            Self::Unauthorized => "Request is unauthorized to access resource.",
            Self::NotFound => "Resource not found.",
            Self::MethodNotAllowed => "The method is not allowed for this resource.",
            Self::RequestTimeout => {
                "The operation could not be completed within the permitted time."
            }
            Self::PayloadTooLarge => "The request body is too large.",
            Self::TooManyRequests => "Too many requests.",
            Self::InternalError => "The service encountered an internal error.",
        }
    }
}

/// A refused request. `code` is Azure ML's code of the detail where it has one, `message` names what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Rejection {
    /// Error class, which decides the HTTP status.
    pub class: Class,
    /// Code of the single detail.
    pub code: &'static str,
    /// What is wrong, for the caller.
    pub message: String,
}

impl Rejection {
    /// A refusal of the given class.
    pub fn new(class: Class, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            class,
            code,
            message: message.into(),
        }
    }

    /// 400 `BadArgument`.
    pub fn bad_argument(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Class::BadArgument, code, message)
    }

    /// 400 `BadUserArgument` with `InputParseError`: the table given for the model is unusable.
    pub fn bad_table(message: impl Into<String>) -> Self {
        Self::new(Class::BadUserArgument, "InputParseError", message)
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        self.class.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.class.status());
        if self.class == Class::Unauthorized {
            answer.insert_header(("WWW-Authenticate", "Bearer"));
        }
        answer.json(json!({
            "error": {
                "code": self.class.code(),
                "message": self.class.message(),
                "details": [{ "code": self.code, "message": self.message }],
            }
        }))
    }
}
