//! What expressions can see of a request. The gateway implements [`Context`]; nothing else reaches an expression.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::data::Data;

/// An object below `context`, which may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// `context` itself.
    Context,
    /// `context.Api`.
    Api,
    /// `context.Operation`.
    Operation,
    /// `context.Product`; null unless the subscription is for a product.
    Product,
    /// `context.Subscription`; null without a key.
    Subscription,
    /// `context.User`; null without a key that has an owner.
    User,
    /// `context.Request`.
    Request,
    /// `context.Request.Url`: as the backend will see it.
    Url,
    /// `context.Request.OriginalUrl`: as the client sent it.
    OriginalUrl,
    /// `context.Request.Certificate`; null unless the client presented one.
    Certificate,
    /// `context.Response`.
    Response,
    /// `context.Deployment`.
    Deployment,
    /// `context.LastError`; null outside `on-error`.
    LastError,
}

/// A scalar that a [`Part`] has. The documentation of the expression members says the type of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each variant is named after its part and the published member"
)]
pub enum Field {
    RequestId,
    Timestamp,
    Elapsed,
    Tracing,
    ApiId,
    ApiName,
    ApiPath,
    ApiRevision,
    ApiVersion,
    ApiIsCurrentRevision,
    ApiServiceUrl,
    OperationId,
    OperationName,
    OperationMethod,
    OperationUrlTemplate,
    ProductId,
    ProductName,
    ProductState,
    ProductSubscriptionRequired,
    ProductApprovalRequired,
    ProductSubscriptionsLimit,
    SubscriptionId,
    SubscriptionKey,
    SubscriptionName,
    SubscriptionPrimaryKey,
    SubscriptionSecondaryKey,
    SubscriptionCreatedDate,
    SubscriptionStartDate,
    SubscriptionEndDate,
    UserId,
    UserEmail,
    UserFirstName,
    UserLastName,
    UserNote,
    UserRegistrationDate,
    UserGroups,
    RequestMethod,
    RequestIpAddress,
    UrlHost,
    UrlPath,
    UrlPort,
    UrlQueryString,
    UrlScheme,
    OriginalUrlHost,
    OriginalUrlPath,
    OriginalUrlPort,
    OriginalUrlQueryString,
    OriginalUrlScheme,
    CertificateThumbprint,
    CertificateSubject,
    CertificateIssuer,
    CertificateSerialNumber,
    CertificateNotBefore,
    CertificateNotAfter,
    CertificateVerified,
    ResponseStatusCode,
    ResponseStatusReason,
    DeploymentServiceName,
    DeploymentServiceId,
    DeploymentRegion,
    DeploymentGatewayId,
    LastErrorSource,
    LastErrorReason,
    LastErrorMessage,
    LastErrorScope,
    LastErrorSection,
    LastErrorPath,
    LastErrorPolicyId,
}

/// Names with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// Headers of the request.
    RequestHeaders,
    /// Headers of the response.
    ResponseHeaders,
    /// Query parameters of the URL that the backend will see.
    Query,
    /// Query parameters as the client sent them.
    OriginalQuery,
    /// Values of the operation's URL template; one for each name.
    MatchedParameters,
}

/// Request or response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The request.
    Request,
    /// The response.
    Response,
}

/// One request, as expressions see it. Everything that changes from run to run comes through here, so evaluation is repeatable.
pub trait Context {
    /// Whether the part exists in this request, that is, is not null.
    fn has(&self, part: Part) -> bool;

    /// A scalar; [`Data::Null`] when it has no value.
    fn field(&self, field: Field) -> Data;

    /// Values of one name. Header names are compared without case.
    fn entry(&self, map: Map, name: &str) -> Option<Vec<String>>;

    /// All names with their values, in their order.
    fn entries(&self, map: Map) -> Vec<(String, Vec<String>)>;

    /// The body, which must be buffered when [`Expression::needs_body`](super::Expression::needs_body) says so. `preserve` is false
    /// when the expression consumes it: the gateway may drop its copy. `None` when there is no body or it was consumed before.
    fn body(&self, side: Side, preserve: bool) -> Option<Arc<[u8]>>;

    /// A context variable.
    fn variable(&self, name: &str) -> Option<Data>;

    /// The present time.
    fn now(&self) -> DateTime<Utc>;

    /// 64 random bits, for `Guid.NewGuid` and `new Random()`.
    fn random_bits(&self) -> u64;
}
