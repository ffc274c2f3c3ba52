//! What the gateway knows of each resource.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// SHA-256 of a subscription key's bytes. The gateway never holds the keys themselves.
pub type Digest = [u8; 32];

macro_rules! entities {
    ($($name:ident $doc:literal;)+) => {
        /// A resource that the gateway serves.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Entity { $(#[doc = $doc] $name($name),)+ }

        /// Which sort of [`Entity`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind { $(#[doc = $doc] $name,)+ }

        impl Entity {
            /// Which sort it is.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => Kind::$name,)+ }
            }

            /// Its id, unique among all entities.
            pub fn id(&self) -> Uuid {
                match self { $(Self::$name(entity) => entity.id,)+ }
            }
        }

        $(impl From<$name> for Entity {
            fn from(entity: $name) -> Self {
                Self::$name(entity)
            }
        })+
    };
}

entities! {
    Service "A service: one tenant of the gateway, found by host name.";
    Api "A revision of an API.";
    Operation "An operation of an API.";
    Product "A product with the APIs in it.";
    Subscription "A subscription with the digests of its keys.";
    User "A developer.";
    Policy "A policy document at one scope.";
    Fragment "A policy fragment.";
    NamedValue "A named value.";
    Backend "A backend, single or pool.";
    Certificate "A certificate with its private key.";
    Logger "A sink of log-to-eventhub.";
    Cache "An external cache.";
    Diagnostic "What is logged of calls, and where.";
    Schema "A schema of an API or of the service.";
    Gateway "A gateway apart from the control plane, with the APIs that it serves.";
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Id.
    pub id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Hosts that callers use, each `host` or `host:port`; the more specific form wins. Compared without case.
    pub hostnames: Vec<String>,
    /// Origins of the service's portals, such as `https://portal.example.com`, which may always call across origins.
    #[serde(default)]
    pub portal_origins: Vec<String>,
    /// `context.Deployment.Region`.
    #[serde(default)]
    pub region: String,
    /// How TLS answers for single hosts; the first that fits counts.
    #[serde(default)]
    pub tls_hosts: Vec<TlsHost>,
    /// `context.Deployment.GatewayId`: name of the gateway apart that is told this; empty for the built-in one.
    #[serde(default)]
    pub gateway: String,
    /// Names of the certificates that a gateway apart takes as authorities, for callers and for backends. `None`: every certificate
    /// of the service is one for callers, and none for backends.
    #[serde(default)]
    pub authorities: Option<Vec<String>>,
    /// Debug credentials that were issued up to this moment are of no use.
    #[serde(default)]
    pub debug_invalidated_at: Option<DateTime<Utc>>,
}

impl Service {
    /// How TLS answers a client that asks for this host, in lower case: the host itself counts before `*.example.org`, which
    /// stands for one label, and that before `*`.
    #[must_use]
    pub fn tls_host(&self, host: &str) -> Option<&TlsHost> {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let named =
            |wanted: &dyn Fn(&str) -> bool| self.tls_hosts.iter().find(|known| wanted(&known.host));
        named(&|known| known == host)
            .or_else(|| named(&|known| parent.is_some() && known.strip_prefix("*.") == parent))
            .or_else(|| named(&|known| known == "*"))
    }
}

/// TLS of one host.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsHost {
    /// The host, in lower case; of a gateway apart also `*.example.org` and `*`.
    pub host: String,
    /// [`Certificate::name`] of the certificate, if it is one of the service's.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Certificate chain, leaf first, in PEM; empty without a [`certificate`](Self::certificate) means the gateway's own.
    #[serde(default)]
    pub chain_pem: String,
    /// Private key in PEM.
    #[serde(default)]
    pub key_pem: String,
    /// Whether callers are asked for a certificate of theirs.
    #[serde(default)]
    pub negotiate_client_certificate: bool,
    /// Whether HTTP/2 is not offered.
    #[serde(default)]
    pub refuses_http2: bool,
    /// Whether it answers callers that name no host.
    #[serde(default)]
    pub is_default: bool,
}

impl fmt::Debug for TlsHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsHost")
            .field("host", &self.host)
            .field("certificate", &self.certificate)
            .field(
                "negotiate_client_certificate",
                &self.negotiate_client_certificate,
            )
            .field("is_default", &self.is_default)
            .finish_non_exhaustive()
    }
}

/// A scheme of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// Where callers put the subscription key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyNames {
    /// Name of the header.
    pub header: String,
    /// Name of the query parameter.
    pub query: String,
}

impl Default for KeyNames {
    /// The names that the contract gives an API without its own.
    fn default() -> Self {
        Self {
            header: "Ocp-Apim-Subscription-Key".to_owned(),
            query: "subscription-key".to_owned(),
        }
    }
}

/// Where callers say which version of an API they want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionScheme {
    /// In the path, after the API's own.
    Segment,
    /// In this header.
    Header(String),
    /// In this query parameter.
    Query(String),
}

/// A version of an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Where callers say it.
    pub scheme: VersionScheme,
    /// What they say; empty for the version that needs no saying.
    pub name: String,
}

/// What an API speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiType {
    /// REST.
    #[default]
    Http,
    /// SOAP.
    Soap,
    /// WebSocket.
    WebSocket,
    /// GraphQL.
    GraphQl,
    /// OData.
    OData,
    /// gRPC.
    Grpc,
}

/// A revision of an API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Api {
    /// Id of the revision.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Id that all revisions share, which products and subscriptions refer to; nil means [`Api::id`].
    #[serde(default)]
    pub root_id: Uuid,
    /// Name of the resource without `;rev=`.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// URL suffix without slashes at the ends, version excluded; may be empty.
    pub path: String,
    /// Base URL of the web service.
    pub service_url: Option<String>,
    /// Schemes under which it is offered.
    pub protocols: Vec<Protocol>,
    /// Whether calls need a key.
    pub subscription_required: bool,
    /// Names of the key's header and query parameter.
    #[serde(default)]
    pub key_names: KeyNames,
    /// What it speaks.
    #[serde(default)]
    pub api_type: ApiType,
    /// Its version, if it has versions.
    #[serde(default)]
    pub version: Option<Version>,
    /// Revision, `1` for the first.
    pub revision: String,
    /// Whether callers reach it without naming the revision.
    pub is_current: bool,
}

impl Api {
    /// Id that products and subscriptions use.
    pub fn root(&self) -> Uuid {
        if self.root_id.is_nil() {
            self.id
        } else {
            self.root_id
        }
    }
}

/// An example or schema of one content type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Representation {
    /// Content type.
    pub content_type: String,
    /// Example texts in order.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Name of the schema resource.
    #[serde(default)]
    pub schema_id: Option<String>,
    /// Name of the type in the schema.
    #[serde(default)]
    pub type_name: Option<String>,
}

/// A documented response, for `mock-response` and `validate-content`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Status.
    pub status_code: u16,
    /// Its content types.
    pub representations: Vec<Representation>,
    /// Its headers, for `validate-headers`.
    #[serde(default)]
    pub headers: Vec<Parameter>,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// In the URL template.
    #[default]
    Template,
    /// In the query.
    Query,
    /// In a header.
    Header,
}

/// A documented parameter, for `validate-parameters` and `validate-headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Where it stands.
    #[serde(default)]
    pub place: Place,
    /// Name.
    pub name: String,
    /// Type: `string`, `integer`, …
    #[serde(default)]
    pub kind: String,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
    /// Values to choose from; any when empty.
    #[serde(default)]
    pub values: Vec<String>,
}

/// An operation of an API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Id.
    pub id: Uuid,
    /// Revision of the API it belongs to.
    pub api_id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Method; `*` for any.
    pub method: String,
    /// URL template, see [`matcher`](crate::matcher).
    pub url_template: String,
    /// Documented parameters.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Documented request bodies.
    #[serde(default)]
    pub request: Vec<Representation>,
    /// Documented responses.
    #[serde(default)]
    pub responses: Vec<Response>,
}

/// A product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Whether calls need a key; a product without is open.
    pub subscription_required: bool,
    /// Whether it is published; an unpublished product opens nothing.
    pub is_published: bool,
    /// Whether an administrator must approve subscriptions.
    #[serde(default)]
    pub approval_required: bool,
    /// How many subscriptions one user may have.
    #[serde(default)]
    pub subscriptions_limit: Option<u32>,
    /// [`Api::root`] of the APIs in it.
    pub api_ids: Vec<Uuid>,
}

/// State of a subscription. Only active ones are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionState {
    /// In use.
    Active,
    /// Blocked by an administrator.
    Suspended,
    /// Past its end.
    Expired,
    /// Not yet approved.
    #[default]
    Submitted,
    /// Refused.
    Rejected,
    /// Given up.
    Cancelled,
}

/// What a subscription gives access to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubscriptionScope {
    /// Every API of the service.
    #[default]
    All,
    /// The APIs of a product.
    Product(Uuid),
    /// One API, by [`Api::root`].
    Api(Uuid),
}

/// A subscription.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Name for people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// State.
    pub state: SubscriptionState,
    /// [`User::id`] of the owner.
    #[serde(default)]
    pub owner_id: Option<Uuid>,
    /// What it gives access to.
    pub scope: SubscriptionScope,
    /// Digest of the first key.
    pub primary_digest: Digest,
    /// Digest of the second key.
    pub secondary_digest: Digest,
    /// Whether its keys may ask for a trace.
    #[serde(default)]
    pub allow_tracing: bool,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was activated; informational.
    #[serde(default)]
    pub start_at: Option<DateTime<Utc>>,
    /// When it is over; informational, the state decides.
    #[serde(default)]
    pub end_at: Option<DateTime<Utc>>,
}

/// A group of users, as policy expressions see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name of the resource.
    pub name: String,
    /// Name for people.
    pub display_name: String,
}

/// A developer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource: `context.User.Id`.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Whether an administrator blocked the user, whose keys then open nothing.
    #[serde(default)]
    pub is_blocked: bool,
    /// Note of an administrator.
    #[serde(default)]
    pub note: Option<String>,
    /// When the user registered.
    #[serde(default)]
    pub registered_at: Option<DateTime<Utc>>,
    /// Groups the user is in.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// Where a policy document is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyScope {
    /// The service.
    #[default]
    Global,
    /// A product.
    Product(Uuid),
    /// A revision of an API.
    Api(Uuid),
    /// An operation.
    Operation(Uuid),
}

/// A policy document. There is at most one for each scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Where it is attached.
    pub scope: PolicyScope,
    /// The stored text.
    pub xml: String,
    /// How the text writes its expressions.
    pub format: policy::Format,
}

/// A policy fragment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fragment {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource: `fragment-id` of `include-fragment`.
    pub name: String,
    /// The stored text.
    pub xml: String,
    /// How the text writes its expressions.
    pub format: policy::Format,
}

/// A named value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedValue {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// The name in `{{name}}`.
    pub display_name: String,
    /// The value, in the clear.
    pub value: String,
    /// Whether traces must hide it.
    pub secret: bool,
}

/// What a backend needs from the gateway before it answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Credentials {
    /// Headers to set, each with its values.
    #[serde(default)]
    pub headers: Vec<(String, Vec<String>)>,
    /// Query parameters to set, each with its values.
    #[serde(default)]
    pub query: Vec<(String, Vec<String>)>,
    /// Scheme and parameter of `Authorization`.
    #[serde(default)]
    pub authorization: Option<(String, String)>,
    /// [`Certificate::name`] or thumbprint of the client certificate.
    #[serde(default)]
    pub certificate: Option<String>,
}

/// When the circuit of a backend opens, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// Failures in the interval that open it.
    pub failures: u64,
    /// Length of the interval in milliseconds.
    pub interval_ms: u64,
    /// How long it stays open in milliseconds.
    pub trip_ms: u64,
    /// Statuses that count as failures, as inclusive ranges.
    #[serde(default)]
    pub statuses: Vec<(u16, u16)>,
    /// Whether connection failures and timeouts count.
    #[serde(default)]
    pub connection_errors: bool,
    /// Whether a `Retry-After` of the backend sets the time instead of `trip_ms`.
    #[serde(default)]
    pub accept_retry_after: bool,
}

/// A backend in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMember {
    /// [`Backend::name`] of the member.
    pub backend: String,
    /// Lower priorities are used first.
    #[serde(default)]
    pub priority: u32,
    /// Share among members of one priority; 0 counts as 1.
    #[serde(default)]
    pub weight: u32,
}

/// A backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource: `backend-id` of `set-backend-service`.
    pub name: String,
    /// Base URL; empty for a pool.
    #[serde(default)]
    pub url: String,
    /// What it needs to let the gateway in.
    #[serde(default)]
    pub credentials: Credentials,
    /// Whether a certificate of any chain is accepted.
    #[serde(default)]
    pub accept_any_chain: bool,
    /// Whether a certificate for any name is accepted.
    #[serde(default)]
    pub accept_any_name: bool,
    /// Rules of its circuit breaker.
    #[serde(default)]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Members, if it is a pool.
    #[serde(default)]
    pub pool: Vec<PoolMember>,
}

/// A certificate with its private key.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Thumbprint: SHA-1 in upper-case hexadecimal.
    pub thumbprint: String,
    /// Certificate chain, leaf first, in PEM.
    pub chain_pem: String,
    /// Private key in PEM; absent for certificates that only verify.
    #[serde(default)]
    pub key_pem: Option<String>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("id", &self.id)
            .field("service_id", &self.service_id)
            .field("name", &self.name)
            .field("thumbprint", &self.thumbprint)
            .field("has_key", &self.key_pem.is_some())
            .finish_non_exhaustive()
    }
}

/// An external cache.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Region whose gateways use it, or `default`.
    pub location: String,
    /// Connection string, or `{{name}}` of the named value that is one.
    pub connection: String,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("id", &self.id)
            .field("service_id", &self.service_id)
            .field("name", &self.name)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// What a logger logs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LoggerType {
    /// An address that receives messages.
    #[default]
    AzureEventHub,
    /// Spans, and the record of calls.
    ApplicationInsights,
    /// The record of calls.
    AzureMonitor,
}

/// A sink of `log-to-eventhub` and of diagnostics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logger {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// What it logs to.
    #[serde(default)]
    pub logger_type: LoggerType,
    /// URL that receives the messages by POST; absent means the gateway's own log.
    #[serde(default)]
    pub url: Option<String>,
}

/// How much of what the `trace` policy writes is logged; a level contains the later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verbosity {
    /// Everything.
    Verbose,
    /// What is of interest.
    #[default]
    Information,
    /// Errors.
    Error,
}

/// Headers that join the records of one call at its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Correlation {
    /// None of the gateway's.
    None,
    /// `Request-Id`.
    Legacy,
    /// `traceparent`.
    W3C,
}

/// How something is hidden in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Masking {
    /// Its value is.
    Mask,
    /// It is left out.
    Hide,
}

/// What is logged of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedMessage {
    /// Names of headers.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Bytes of the body at most.
    #[serde(default)]
    pub body_bytes: usize,
    /// Headers that are hidden.
    #[serde(default)]
    pub masked_headers: Vec<(String, Masking)>,
    /// Query parameters that are hidden.
    #[serde(default)]
    pub masked_parameters: Vec<(String, Masking)>,
}

/// What is logged of calls, of all of a service or of those of an API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Revision of the API it belongs to; absent for all calls of the service.
    #[serde(default)]
    pub api_id: Option<Uuid>,
    /// Name of the resource in lower case; that of an API counts instead of one of the service of the same name.
    pub name: String,
    /// [`Logger::name`].
    pub logger: String,
    /// Whether calls that fail are logged whatever the sampling says.
    #[serde(default)]
    pub always_logs_errors: bool,
    /// Share of the calls that are logged, in percent; all when absent.
    #[serde(default)]
    pub percentage: Option<f64>,
    /// How much of what the `trace` policy writes is logged.
    #[serde(default)]
    pub verbosity: Verbosity,
    /// Whether the caller's address is logged.
    #[serde(default)]
    pub logs_client_ip: bool,
    /// Headers for backends; absent leaves it to how the gateway is set up.
    #[serde(default)]
    pub correlation: Option<Correlation>,
    /// Whether operations are named by method and path.
    #[serde(default)]
    pub names_by_url: bool,
    /// Between caller and gateway.
    #[serde(default)]
    pub frontend_request: LoggedMessage,
    /// Between caller and gateway.
    #[serde(default)]
    pub frontend_response: LoggedMessage,
    /// Between gateway and backend.
    #[serde(default)]
    pub backend_request: LoggedMessage,
    /// Between gateway and backend.
    #[serde(default)]
    pub backend_response: LoggedMessage,
}

/// A schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// API it belongs to; absent for schemas of the service.
    #[serde(default)]
    pub api_id: Option<Uuid>,
    /// Name of the resource.
    pub name: String,
    /// Content type of the schema.
    pub content_type: String,
    /// The schema's text.
    pub document: String,
}

/// A gateway apart from the control plane. The control plane keeps it to know what each is to be told; gateways themselves are
/// not told of each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    /// Id.
    pub id: Uuid,
    /// Service it belongs to.
    pub service_id: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Whether it stands for the built-in gateway and serves every API.
    #[serde(default)]
    pub serves_all: bool,
    /// [`Api::root`] of the APIs that it serves.
    #[serde(default)]
    pub api_ids: Vec<Uuid>,
    /// Hosts of its own.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// How TLS answers for them.
    #[serde(default)]
    pub tls_hosts: Vec<TlsHost>,
    /// [`Service::authorities`] at this gateway.
    #[serde(default)]
    pub authorities: Option<Vec<String>>,
    /// Changes whenever a key of it does, so that its feed is looked at again.
    #[serde(default)]
    pub keys: Digest,
}
