//! What can go wrong, by meaning; one exhaustive table from meaning to status and code.
//!
//! Handlers, kinds and hooks name a meaning and never a status. The outside message helps the caller;
//! what only helps us (table, constraint, id) travels in [`Error::Internal`]'s source, is logged once
//! with the request id where the error becomes a reply, and never leaves the process.

use crate::validate::Violations;
use serde_json::{Value, json};

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the management API, by meaning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resource, or something on its path, does not exist or must not be known to exist.
    #[error("{what} not found.")]
    NotFound {
        /// The noun of the contract's message: `Api`, `Product`, `PoliciesConfiguration`.
        what: String,
    },
    /// A service, or another resource directly under the provider, that does not exist or of which the caller must not know.
    #[error("The Resource '{PROVIDER}/{segment}/{name}' under resource group '{group}' was not found.", PROVIDER = arm_id::PROVIDER)]
    ServiceNotFound {
        /// Its type: `service`, `gateways`.
        segment: &'static str,
        /// Name as asked for.
        name: String,
        /// Resource group as asked for.
        group: String,
    },
    /// The path is not one of the contract.
    #[error("The resource type '{path}' could not be found in the namespace '{PROVIDER}'.", PROVIDER = arm_id::PROVIDER)]
    UnknownType {
        /// What was asked for, without the root.
        path: String,
    },
    /// One or more fields are wrong; all of them are named.
    #[error("One or more fields contain incorrect values:")]
    Invalid(Violations),
    /// The body is not a JSON object, or a query parameter cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// `api-version` is absent.
    #[error("The api-version query parameter (?api-version=) is required for all requests.")]
    MissingApiVersion,
    /// `api-version` is not one of the contract's.
    #[error(
        "The api-version '{0}' is not supported. Supported are 2021-08-01 to 2024-06-01-preview; this service speaks 2022-08-01 and 2024-05-01."
    )]
    UnsupportedApiVersion(String),
    /// The write contradicts what exists.
    #[error("{0}")]
    Conflict(String),
    /// A service of that name was deleted and not purged yet.
    #[error(
        "Api service {0} was soft-deleted. In order to create the new service with the same name, you have to either undelete the service or purge it."
    )]
    SoftDeleted(String),
    /// `If-Match` names another revision.
    #[error("Resource was modified since last retrieval.")]
    PreconditionFailed,
    /// The operation needs `If-Match`.
    #[error(
        "The If-Match header is required for this operation. Send the ETag of the entity, or * to write unconditionally."
    )]
    PreconditionRequired,
    /// No valid credentials.
    #[error("{0}")]
    Unauthenticated(String),
    /// The caller may see the resource but not do this.
    #[error("The client does not have authorization to perform action '{0}' over this scope.")]
    Forbidden(String),
    /// The method does not exist on this resource.
    #[error("The requested resource does not support http method '{0}'.")]
    MethodNotAllowed(String),
    /// The body or the path is larger than allowed.
    #[error("The request is larger than {0} bytes.")]
    TooLarge(usize),
    /// Too many attempts; `Retry-After` in seconds.
    #[error("Too many requests. Try again in {0} seconds.")]
    TooManyRequests(u64),
    /// Something that Portico needs is away; the caller may retry.
    #[error("The service is temporarily unavailable. Try again later.")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Our mistake. The source is for the log only.
    #[error("An internal error occurred. The request id identifies it in the log.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An internal error from any error.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// A single violation, for checks that need the database and find one thing wrong.
    pub fn invalid(target: &str, message: impl Into<String>) -> Self {
        let mut violations = Violations::default();
        violations.add(target, message);
        Self::Invalid(violations)
    }

    /// Not found, by noun.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// HTTP status of the reply.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } | Self::ServiceNotFound { .. } | Self::UnknownType { .. } => 404,
            Self::Invalid(_)
            | Self::Malformed(_)
            | Self::MissingApiVersion
            | Self::UnsupportedApiVersion(_)
            | Self::PreconditionRequired => 400,
            Self::Conflict(_) | Self::SoftDeleted(_) => 409,
            Self::PreconditionFailed => 412,
            Self::Unauthenticated(_) => 401,
            Self::Forbidden(_) => 403,
            Self::MethodNotAllowed(_) => 405,
            Self::TooLarge(_) => 413,
            Self::TooManyRequests(_) => 429,
            Self::Unavailable(_) => 503,
            Self::Internal(_) => 500,
        }
    }

    /// The contract's error code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "ResourceNotFound",
            Self::ServiceNotFound { .. } => "ResourceNotFound",
            Self::UnknownType { .. } => "InvalidResourceType",
            Self::Invalid(_) => "ValidationError",
            Self::Malformed(_) => "InvalidRequestContent",
            Self::MissingApiVersion => "MissingApiVersionParameter",
            Self::UnsupportedApiVersion(_) => "InvalidApiVersionParameter",
            Self::Conflict(_) => "Conflict",
            Self::SoftDeleted(_) => "ServiceAlreadyExistsInSoftDeletedState",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::PreconditionRequired => "PreconditionRequired",
            Self::Unauthenticated(_) => "AuthenticationFailed",
            Self::Forbidden(_) => "AuthorizationFailed",
            Self::MethodNotAllowed(_) => "MethodNotAllowed",
            Self::TooLarge(_) => "RequestEntityTooLarge",
            Self::TooManyRequests(_) => "TooManyRequests",
            Self::Unavailable(_) => "ServiceUnavailable",
            Self::Internal(_) => "InternalServerError",
        }
    }

    /// The body of the reply: the contract's envelope (rules §4).
    #[must_use]
    pub fn envelope(&self) -> Value {
        let details = match self {
            Self::Invalid(violations) => violations.details(),
            _ => Value::Null,
        };
        json!({"error": {"code": self.code(), "message": self.to_string(), "details": details}})
    }
}

impl From<sqlx::Error> for Error {
    /// Translates by SQLSTATE; what cannot be the caller's doing stays internal.
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(db) = &error {
            let constraint = db.constraint().unwrap_or_default().to_owned();
            match db.code().as_deref() {
                // The engine settles its own create race; what arrives here is another unique rule of the kind.
                Some("23505") => {
                    return Self::Conflict(format!(
                        "Another resource already has this value ({}).",
                        constraint.replace('_', " ")
                    ));
                }
                Some("23503") => {
                    return Self::Conflict(
                        "The resource is used by another resource, or one that it names was deleted meanwhile.".into(),
                    );
                }
                // serialization failure, deadlock, lock not available, too many connections, shutdown
                Some("40001" | "40P01" | "55P03" | "53300" | "57P01" | "57P02" | "57P03") => {
                    return Self::Unavailable(Box::new(error));
                }
                _ => {}
            }
        }
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => {
                Self::Unavailable(Box::new(error))
            }
            error => Self::Internal(Box::new(error)),
        }
    }
}
