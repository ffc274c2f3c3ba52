//! What is told about calls.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::Method;
use snapshot::ServiceState;
use snapshot::entity::{Api, Service};
use uuid::Uuid;

/// What the response cache did for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It was not asked.
    #[default]
    None,
    /// It answered.
    Hit,
    /// It had nothing.
    Miss,
}

/// One call, told when its last byte is sent or its client is gone.
#[derive(Clone, Debug)]
pub struct Record {
    /// Id of the call.
    pub request_id: Uuid,
    /// Service.
    pub service_id: Uuid,
    /// The service, for its name.
    pub service: Arc<ServiceState>,
    /// The API, for its name.
    pub api: Option<Arc<Api>>,
    /// API, if one was found.
    pub api_id: Option<Uuid>,
    /// Operation, if one was found.
    pub operation_id: Option<Uuid>,
    /// Product, if the call was in the context of one.
    pub product_id: Option<Uuid>,
    /// Subscription of the key.
    pub subscription_id: Option<Uuid>,
    /// Owner of the subscription.
    pub user_id: Option<Uuid>,
    /// Method as the client sent it.
    pub method: Method,
    /// Path as the client sent it, without the query, which may hold keys.
    pub path: String,
    /// Status that the client got.
    pub status: u16,
    /// What the response cache did.
    pub cache: CacheOutcome,
    /// When the head of the request was there.
    pub started_at: DateTime<Utc>,
    /// From then until the last byte.
    pub total: Duration,
    /// Time that backends took to answer.
    pub backend: Duration,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Address of the client.
    pub client_ip: IpAddr,
    /// `LastError.Source` and `LastError.Reason`, if there was an error.
    pub error: Option<(String, String)>,
    /// Revision of the snapshot that served the call.
    pub revision: u64,
    /// What diagnostics keep of it, by their names.
    pub detail: Option<serde_json::Value>,
}

/// What an `emit-metric` step adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Service.
    pub service_id: Uuid,
    /// Namespace, if the policy names one.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// What is added.
    pub value: f64,
    /// Labels.
    pub dimensions: Vec<(String, String)>,
}

/// What a `trace` step says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// Service.
    pub service_id: Uuid,
    /// Id of the call.
    pub request_id: Uuid,
    /// What the author calls the source.
    pub source: String,
    /// `verbose`, `information` or `error`.
    pub severity: &'static str,
    /// The message.
    pub message: String,
    /// Names and values to keep with it.
    pub metadata: Vec<(String, String)>,
}

/// What one policy did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StepTrace {
    /// Section: `inbound`, `backend`, `outbound` or `on-error`.
    pub section: &'static str,
    /// Scope of the document: `global`, `product`, `api` or `operation`.
    pub scope: &'static str,
    /// Line in the document.
    pub line: u32,
    /// Element of the policy.
    pub policy: &'static str,
    /// Its `id` attribute.
    pub policy_id: Option<String>,
    /// Milliseconds it took.
    pub took_ms: u64,
    /// `LastError.Reason` and `LastError.Message`, if it failed.
    pub error: Option<(&'static str, String)>,
    /// Whether it ended the call.
    pub responded: bool,
    /// Method and URL for the backend after it.
    pub request: String,
    /// Headers for the backend after it.
    pub request_headers: Vec<(String, String)>,
    /// Status of the response after it, if there is one.
    pub status: Option<u16>,
    /// Headers of the response after it.
    pub response_headers: Vec<(String, String)>,
    /// Variables after it, as text.
    pub variables: Vec<(String, String)>,
}

/// What all policies of a call did. Values of secret named values and `Authorization` are hidden.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CallTrace {
    /// Service.
    pub service_id: Uuid,
    /// Id of the call.
    pub request_id: Uuid,
    /// Steps in the order of their ends: those inside another come before it.
    pub steps: Vec<StepTrace>,
}

/// What a caller's `Apim-Debug-Authorization` is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugAccess {
    /// The call is traced.
    Granted,
    /// It was good once.
    Expired,
    /// It is for another API.
    WrongApi,
    /// It is nothing that was ever issued here, or was invalidated.
    Invalid,
}

/// Checks debug credentials. Implementations must not block, and ask no database.
pub trait DebugCredentials: Send + Sync {
    /// What this token is good for at an API of a service; `api` is its name, perhaps with `;rev=N`.
    fn check(&self, token: &str, service: &Service, api: &str) -> DebugAccess;
}

/// Takes what the gateway tells. Implementations must not block: a full queue drops, and counts what it drops.
pub trait Telemetry: Send + Sync {
    /// A call is over.
    fn record(&self, record: Record);

    /// A policy emitted a metric.
    fn metric(&self, metric: Metric) {
        drop(metric);
    }

    /// A caller with a subscription that may trace asked for it by `Ocp-Apim-Trace: true`. The address where the trace can be read
    /// goes back to the caller as `Ocp-Apim-Trace-Location`.
    fn traced(&self, trace: CallTrace) -> Option<String> {
        drop(trace);
        None
    }

    /// A policy wrote to the trace.
    fn trace(&self, entry: TraceEntry) {
        drop(entry);
    }
}

/// Forgets everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTelemetry;

impl Telemetry for NoTelemetry {
    fn record(&self, _: Record) {}
}
