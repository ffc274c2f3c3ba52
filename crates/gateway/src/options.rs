//! How a gateway is set up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::RootCertStore;

use crate::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::counter::Counters;
use crate::rate::SharedRates;
use crate::telemetry::{DebugCredentials, NoTelemetry, Telemetry};
use crate::trace_context::Spans;

/// Sizes and numbers that the gateway accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head; more is 431.
    pub head_bytes: usize,
    /// Headers of a request; more is 431.
    pub headers: usize,
    /// Bytes of a request's path and query; more is 414.
    pub uri_bytes: usize,
    /// Bytes of a request's body, if limited; more is 413.
    pub request_body_bytes: Option<u64>,
    /// Bytes of a body that a policy may have read whole; more is 413 for requests, 500 for responses.
    pub buffered_body_bytes: usize,
    /// Calls at one time; more is 503.
    pub calls: usize,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of the response cache.
    pub cache_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            headers: 100,
            uri_bytes: 16 * 1024,
            request_body_bytes: None,
            buffered_body_bytes: 16 * 1024 * 1024,
            calls: 100_000,
            streams: 256,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

/// How long the gateway waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the head of a request, and for a TLS handshake.
    pub head: Duration,
    /// For a connection to a backend.
    pub connect: Duration,
    /// For the head of a backend's response, where `forward-request` does not say.
    pub backend: Duration,
    /// For an idle connection to a backend to be of use again.
    pub idle: Duration,
    /// For calls in progress when the gateway stops.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            connect: Duration::from_secs(20),
            backend: Duration::from_secs(300),
            idle: Duration::from_secs(60),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Tokens for the services' own identities: `authentication-managed-identity`.
pub trait Identity: Send + Sync {
    /// A bearer token for an audience; the error is a sentence for the log.
    fn token(
        &self,
        service: &str,
        resource: &str,
        client_id: Option<&str>,
    ) -> BoxFuture<'static, Result<String, String>>;
}

/// Caches outside of the process, by the connection string of the service. Implementations answer soon, or not at all: what
/// does not come counts as absent.
pub trait ExternalCaches: Send + Sync {
    /// What is kept under a key.
    fn get<'a>(&'a self, cache: &'a str, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>>;

    /// Keeps something.
    fn put<'a>(
        &'a self,
        cache: &'a str,
        key: &'a str,
        value: Vec<u8>,
        lifetime: Duration,
    ) -> BoxFuture<'a, ()>;

    /// Forgets something.
    fn remove<'a>(&'a self, cache: &'a str, key: &'a str) -> BoxFuture<'a, ()>;
}

/// Everything a gateway needs from outside.
#[derive(Clone)]
pub struct Options {
    /// Sizes and numbers.
    pub limits: Limits,
    /// Waiting times.
    pub timeouts: Timeouts,
    /// Whether an API that names only `https` refuses calls over plain HTTP with 404. Off where TLS ends in front of the gateway.
    pub require_scheme: bool,
    /// How many proxies in front are trusted to have appended to `X-Forwarded-For` and to have set `X-Forwarded-Proto`.
    pub trusted_proxies: usize,
    /// Trust anchors for backends; `None` means those of the web.
    pub roots: Option<RootCertStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bits.
    pub random: Arc<dyn Random>,
    /// Counters of quotas.
    pub counters: Arc<Counters>,
    /// Counters of rates that several gateways share; each counts for itself without.
    pub shared_rates: Option<Arc<dyn SharedRates>>,
    /// Caches outside of the process; without them each gateway has its own.
    pub external_caches: Option<Arc<dyn ExternalCaches>>,
    /// Where records of calls go.
    pub telemetry: Arc<dyn Telemetry>,
    /// Where spans of calls go; `None` traces nothing and passes the headers of trace context on as they are.
    pub spans: Option<Arc<dyn Spans>>,
    /// Checks debug credentials; without it there are none.
    pub debug_credentials: Option<Arc<dyn DebugCredentials>>,
    /// Tokens for the services' identities, if there are such.
    pub identity: Option<Arc<dyn Identity>>,
    /// `context.Deployment.GatewayId`, unless the configuration names a gateway.
    pub gateway_id: String,
}

impl Default for Options {
    /// The machine's clock, no telemetry, published limits.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            require_scheme: false,
            trusted_proxies: 0,
            roots: None,
            clock: Arc::new(SystemClock::default()),
            random: Arc::new(SystemRandom::default()),
            counters: Arc::new(Counters::default()),
            shared_rates: None,
            external_caches: None,
            telemetry: Arc::new(NoTelemetry),
            spans: None,
            debug_credentials: None,
            identity: None,
            gateway_id: "managed".to_owned(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .field("require_scheme", &self.require_scheme)
            .field("trusted_proxies", &self.trusted_proxies)
            .finish_non_exhaustive()
    }
}
