//! What diagnostics log of a call: chosen headers, the beginnings of bodies, errors, messages of the `trace` policy.
//!
//! Whether a call is logged is decided when its API is known; for diagnostics that always log errors it is decided at its end, so
//! that such calls are looked at until then. Without diagnostics nothing of this runs.
//!
//! The document has the names of the published logs of the gateway. Keys, `Authorization` and what a backend gets from the gateway to
//! let it in are never in it.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Request, header};
use serde_json::{Map, Value, json};
use snapshot::entity::{
    Correlation, Credentials, Diagnostic, LoggedMessage, LoggerType, Masking, Verbosity,
};

use crate::body::{Body, Payload};
use crate::context::scope_name;
use crate::exchange::Exchange;
use crate::sink::{self, Message};
use crate::target::Target;
use crate::telemetry::{CacheOutcome, TraceEntry};
use crate::trace_context::{self, TRACEPARENT, TraceParent};
use crate::uri;

/// The older header that joins records.
const LEGACY: &str = "request-id";
/// Diagnostics of this name go to the log of the process.
const LOCAL: &str = "local";
/// What stands for a secret.
const HIDDEN: &str = "***";

/// The first bytes of a body, taken while it passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    limit: usize,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Capture {
    pub(crate) fn take(&self, data: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.limit.saturating_sub(bytes.len());
        bytes.extend_from_slice(&data[..data.len().min(room)]);
    }

    fn seen(&self) -> Vec<u8> {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Looks at a body: now if it is there, else while it passes.
    fn of(payload: &mut Payload, limit: usize) -> Self {
        let capture = Self {
            limit,
            ..Self::default()
        };
        if limit > 0 {
            match payload {
                Payload::Empty => {}
                Payload::Bytes(bytes) => capture.take(bytes),
                Payload::Stream(stream) => stream.capture(capture.clone()),
            }
        }
        capture
    }
}

/// A message as it passed.
#[derive(Debug, Default)]
struct Seen {
    headers: HeaderMap,
    body: Capture,
}

/// A diagnostic, and whether this call is in its share.
#[derive(Debug)]
struct Log {
    diagnostic: Arc<Diagnostic>,
    is_sampled: bool,
}

impl Log {
    fn may_log(&self) -> bool {
        self.is_sampled || self.diagnostic.always_logs_errors
    }
}

/// What is known of a call for its diagnostics.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    logs: Vec<Log>,
    /// Diagnostics by which this call may be logged; else only their headers for backends count.
    may_log: bool,
    frontend_request: Seen,
    backend_request: Option<(String, String, Seen)>,
    backend_response: Option<(u16, Seen)>,
    frontend_response: Seen,
    traces: Vec<(Verbosity, TraceEntry)>,
}

type Part = fn(&Diagnostic) -> &LoggedMessage;

impl Diagnosis {
    /// The headers that any diagnostic wants of a message.
    fn headers(&self, part: Part, headers: &HeaderMap) -> HeaderMap {
        let mut wanted = HeaderMap::new();
        for name in self
            .logs
            .iter()
            .flat_map(|log| &part(&log.diagnostic).headers)
        {
            let Ok(name) = http::HeaderName::try_from(name.as_str()) else {
                continue;
            };
            if !wanted.contains_key(&name) {
                for value in headers.get_all(&name) {
                    wanted.append(name.clone(), value.clone());
                }
            }
        }
        wanted
    }

    /// Bytes of a body that any diagnostic wants.
    fn body_bytes(&self, parts: [Part; 2]) -> usize {
        let wanted = |log: &Log| {
            parts
                .iter()
                .map(|part| part(&log.diagnostic).body_bytes)
                .max()
        };
        self.logs.iter().filter_map(wanted).max().unwrap_or(0)
    }

    fn correlation(&self) -> Option<Correlation> {
        self.logs.iter().find_map(|log| log.diagnostic.correlation)
    }

    /// Keeps a message of the `trace` policy.
    pub(crate) fn trace(&mut self, verbosity: Verbosity, entry: &TraceEntry) {
        if self.may_log {
            self.traces.push((verbosity, entry.clone()));
        }
    }
}

/// Decides which diagnostics look at a call whose API was found.
pub(crate) fn begin(x: &mut Exchange) {
    let Some(api) = &x.api else { return };
    let found = x.service.diagnostics(api.id);
    if found.is_empty() || x.rehearsal.is_some() {
        return;
    }
    let random = &x.gateway.options.random;
    let logs: Vec<Log> = found
        .into_iter()
        .map(|diagnostic| Log {
            is_sampled: diagnostic.percentage.is_none_or(|share| {
                // 53 bits are what a float can tell apart.
                #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
                let drawn = (random.bits() >> 11) as f64 / (1_u64 << 53) as f64;
                drawn * 100.0 < share
            }),
            diagnostic,
        })
        .collect();
    let mut diagnosis = Box::new(Diagnosis {
        may_log: logs.iter().any(Log::may_log),
        logs,
        ..Diagnosis::default()
    });
    if diagnosis.may_log {
        diagnosis.frontend_request.headers =
            diagnosis.headers(|d| &d.frontend_request, &x.request.headers);
        let limit = diagnosis.body_bytes([|d| &d.frontend_request, |d| &d.backend_request]);
        diagnosis.frontend_request.body = Capture::of(&mut x.request.body, limit);
    }
    x.diagnosis = Some(diagnosis);
}

/// Whether the backend learns of the gateway's own span.
pub(crate) fn tells_span(x: &Exchange) -> bool {
    let wanted = x.diagnosis.as_ref().and_then(|known| known.correlation());
    matches!(wanted, None | Some(Correlation::W3C))
}

/// Looks at a request on its way to a backend, and adds the header that joins the records of both.
pub(crate) fn backend_request(x: &mut Exchange, target: &Target, request: &mut Request<Body>) {
    let Some(mut diagnosis) = x.diagnosis.take() else {
        return;
    };
    match diagnosis.correlation() {
        Some(Correlation::Legacy) => legacy(x, request.headers_mut()),
        Some(Correlation::W3C) if x.trace_context.is_none() => w3c(x, request.headers_mut()),
        Some(Correlation::None | Correlation::W3C) | None => {}
    }
    if diagnosis.may_log {
        let body = match &mut x.request.body {
            // The beginning of what came from the caller.
            Payload::Empty | Payload::Stream(_) => diagnosis.frontend_request.body.clone(),
            bytes @ Payload::Bytes(_) => {
                Capture::of(bytes, diagnosis.body_bytes([|d| &d.backend_request; 2]))
            }
        };
        let url = target.to_string();
        let headers = diagnosis.headers(|d| &d.backend_request, request.headers());
        diagnosis.backend_request =
            Some((request.method().to_string(), url, Seen { headers, body }));
    }
    x.diagnosis = Some(diagnosis);
}

fn w3c(x: &Exchange, headers: &mut HeaderMap) {
    let random = x.gateway.options.random.as_ref();
    let known = headers
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .and_then(TraceParent::parse);
    let span_id = trace_context::id(random);
    let parent = match known {
        Some(known) => TraceParent { span_id, ..known },
        None => TraceParent {
            trace_id: x.request_id.as_u128(),
            span_id,
            is_sampled: true,
        },
    };
    if let Some(parent) = parent.header() {
        headers.insert(TRACEPARENT, parent);
    }
}

/// `|root.span.`: the caller's, continued, or one that begins with the call.
fn legacy(x: &Exchange, headers: &mut HeaderMap) {
    let span = trace_context::id(x.gateway.options.random.as_ref());
    let root = match headers.get(LEGACY).and_then(|value| value.to_str().ok()) {
        Some(known) if known.starts_with('|') && known.len() < 512 => known.to_owned(),
        _ => format!("|{}.", x.request_id.simple()),
    };
    if let Ok(value) = HeaderValue::try_from(format!("{root}{span:016x}.")) {
        headers.insert(LEGACY, value);
    }
}

/// Looks at the response of a backend.
pub(crate) fn backend_response(x: &mut Exchange) {
    let Some(mut diagnosis) = x.diagnosis.take() else {
        return;
    };
    if diagnosis.may_log {
        let limit = diagnosis.body_bytes([|d| &d.backend_response, |d| &d.frontend_response]);
        let seen = Seen {
            headers: diagnosis.headers(|d| &d.backend_response, &x.response.headers),
            body: Capture::of(&mut x.response.body, limit),
        };
        diagnosis.backend_response = Some((x.response.status.as_u16(), seen));
    }
    x.diagnosis = Some(diagnosis);
}

/// Looks at the response on its way to the caller.
pub(crate) fn frontend_response(x: &mut Exchange, headers: &HeaderMap, body: &mut Payload) {
    let Some(mut diagnosis) = x.diagnosis.take() else {
        return;
    };
    if diagnosis.may_log {
        let body = match (&*body, &diagnosis.backend_response) {
            (Payload::Stream(_), Some((_, backend))) => backend.body.clone(),
            _ => Capture::of(body, diagnosis.body_bytes([|d| &d.frontend_response; 2])),
        };
        diagnosis.frontend_response = Seen {
            headers: diagnosis.headers(|d| &d.frontend_response, headers),
            body,
        };
    }
    x.diagnosis = Some(diagnosis);
}

/// What goes where when a call is over.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// For the record of calls, by diagnostic.
    pub(crate) detail: Option<Value>,
    /// For the span of the call.
    pub(crate) span: Option<String>,
}

/// Writes down what the diagnostics want of a call that is over, and tells their loggers.
pub(crate) fn end(x: &mut Exchange) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(diagnosis) = x.diagnosis.take().filter(|known| known.may_log) else {
        return outcome;
    };
    let failed = x.last_error.is_some()
        || x.told_status
            .is_none_or(|status| status.is_client_error() || status.is_server_error());
    let mut kept = Map::new();
    for log in &diagnosis.logs {
        let diagnostic = &log.diagnostic;
        if !(log.is_sampled || (failed && diagnostic.always_logs_errors)) {
            continue;
        }
        // A logger that is gone took its diagnostics with it.
        let Some(logger) = x.service.logger(&diagnostic.logger).cloned() else {
            continue;
        };
        let document = document(x, &diagnosis, diagnostic, failed);
        if diagnostic.name == LOCAL {
            tracing::info!(target: "gateway::diagnostics", %document, "call");
            continue;
        }
        match logger.logger_type {
            LoggerType::AzureEventHub => {
                let message = Message {
                    text: document.to_string(),
                    content_type: "application/json",
                    partition: None,
                    request_id: x.request_id,
                };
                sink::tell(&x.gateway, &logger, message);
            }
            LoggerType::ApplicationInsights => {
                outcome.span = Some(document.to_string());
                kept.insert(diagnostic.name.clone(), document);
            }
            LoggerType::AzureMonitor => {
                kept.insert(diagnostic.name.clone(), document);
            }
        }
    }
    if !kept.is_empty() {
        outcome.detail = Some(Value::Object(kept));
    }
    outcome
}

fn text(body: &Capture, limit: usize) -> Option<String> {
    let seen = body.seen();
    let seen = &seen[..seen.len().min(limit)];
    (!seen.is_empty()).then(|| String::from_utf8_lossy(seen).into_owned())
}

/// A URL without what is secret in its query.
fn masked(
    url: String,
    names: &[(String, Masking)],
    always: impl Iterator<Item = String>,
) -> String {
    let Some((base, query)) = url.split_once('?') else {
        return url;
    };
    let mut query = query.to_owned();
    let always = always.map(|name| (name, Masking::Mask));
    for (name, mode) in names.iter().cloned().chain(always) {
        if uri::query_value(&query, &name).is_none() {
            continue;
        }
        query = uri::without_parameter(&query, &name);
        if mode == Masking::Mask {
            uri::push_parameter(&mut query, &name, HIDDEN);
        }
    }
    match query.is_empty() {
        true => base.to_owned(),
        false => format!("{base}?{query}"),
    }
}

fn shown(
    x: &Exchange,
    credentials: &[Credentials],
    wanted: &LoggedMessage,
    seen: &HeaderMap,
) -> Value {
    let key = x.api.as_ref().map_or("", |api| &api.key_names.header);
    let mut shown = Map::new();
    for name in &wanted.headers {
        let values: Vec<String> = seen
            .get_all(name.as_str())
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        if values.is_empty() {
            continue;
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let masking = wanted
            .masked_headers
            .iter()
            .find_map(|(known, mode)| is(known).then_some(*mode));
        let is_secret = is(header::AUTHORIZATION.as_str())
            || is(header::PROXY_AUTHORIZATION.as_str())
            || is(key)
            || credentials
                .iter()
                .flat_map(|known| &known.headers)
                .any(|(known, _)| is(known));
        match masking {
            Some(Masking::Hide) => {}
            Some(Masking::Mask) => {
                shown.insert(name.clone(), HIDDEN.into());
            }
            None if is_secret => {
                shown.insert(name.clone(), HIDDEN.into());
            }
            None => {
                shown.insert(name.clone(), values.join(", ").into());
            }
        }
    }
    Value::Object(shown)
}

/// The log of a call, by the names of the published gateway logs.
fn document(x: &Exchange, diagnosis: &Diagnosis, d: &Diagnostic, failed: bool) -> Value {
    let options = &x.gateway.options;
    let credentials = x.backend_credentials();
    let count =
        |bytes: &std::sync::atomic::AtomicU64| bytes.load(std::sync::atomic::Ordering::Relaxed);
    let key = x.api.as_ref().map(|api| api.key_names.query.clone());
    let question = if x.original.query.is_empty() { "" } else { "?" };
    let url = format!(
        "{}://{}{}{question}{}",
        x.original.scheme,
        x.original.authority(),
        x.original.path,
        x.original.query
    );
    let operation = x.operation.as_ref().map(|state| &state.operation.name);
    let mut log = json!({
        "time": x.started_at,
        "correlationId": x.request_id,
        "isRequestSuccess": !failed,
        "gatewayId": x.gateway_id(),
        "region": x.service.service().map(|service| &service.region),
        "method": x.original.method.as_str(),
        "url": masked(url, &d.frontend_request.masked_parameters, key.clone().into_iter()),
        "responseCode": x.told_status.map_or(499, |status| status.as_u16()),
        "requestSize": count(&x.request_bytes),
        "responseSize": count(&x.response_bytes),
        "totalTime": options.clock.monotonic_ms().saturating_sub(x.started_ms),
        "backendTime": x.backend_ms,
        "cache": match x.cache {
            CacheOutcome::None => "none",
            CacheOutcome::Hit => "hit",
            CacheOutcome::Miss => "miss",
        },
        "configurationRevision": x.revision,
    });
    let mut say = |name: &str, value: Value| {
        if !value.is_null() {
            log[name] = value;
        }
    };
    if let Some(api) = &x.api {
        say("apiId", json!(api.name));
        say("apiRevision", json!(api.revision));
        let named = operation.map_or("", String::as_str);
        let name = match d.names_by_url {
            true => format!("{} {}", x.original.method, x.original.path),
            false => format!("{};rev={} - {named}", api.name, api.revision),
        };
        say("operationName", json!(name));
    }
    say("operationId", json!(operation));
    say(
        "productId",
        json!(x.access.product.as_ref().map(|product| &product.name)),
    );
    let subscription = x.access.subscription.as_ref();
    say(
        "apimSubscriptionId",
        json!(subscription.map(|known| &known.name)),
    );
    say(
        "userId",
        json!(x.access.user.as_ref().map(|user| &user.name)),
    );
    if d.logs_client_ip {
        say("callerIpAddress", json!(x.client_ip.to_string()));
    }
    let messages = [
        (
            "request",
            &d.frontend_request,
            Some(&diagnosis.frontend_request),
        ),
        (
            "response",
            &d.frontend_response,
            Some(&diagnosis.frontend_response),
        ),
        (
            "backendRequest",
            &d.backend_request,
            diagnosis.backend_request.as_ref().map(|known| &known.2),
        ),
        (
            "backendResponse",
            &d.backend_response,
            diagnosis.backend_response.as_ref().map(|known| &known.1),
        ),
    ];
    for (name, wanted, seen) in messages {
        let Some(seen) = seen else { continue };
        if !wanted.headers.is_empty() {
            let headers = shown(x, &credentials, wanted, &seen.headers);
            say(&format!("{name}Headers"), headers);
        }
        say(
            &format!("{name}Body"),
            json!(text(&seen.body, wanted.body_bytes)),
        );
    }
    if let Some((method, url, _)) = &diagnosis.backend_request {
        let secret = credentials
            .iter()
            .flat_map(|known| known.query.iter().map(|(name, _)| name.clone()));
        let secret = secret.chain(key);
        say("backendMethod", json!(method));
        // What is hidden of the caller's query is hidden where it goes on.
        let names = [
            d.frontend_request.masked_parameters.as_slice(),
            &d.backend_request.masked_parameters,
        ]
        .concat();
        say("backendUrl", json!(masked(url.clone(), &names, secret)));
    }
    if let Some((status, _)) = &diagnosis.backend_response {
        say("backendResponseCode", json!(status));
    }
    if let Some(chosen) = &x.chosen {
        say("backendId", json!(chosen.name));
    }
    if let Some(error) = &x.last_error {
        say("lastErrorSource", json!(error.fault.source));
        say("lastErrorReason", json!(error.fault.reason));
        say("lastErrorMessage", json!(error.fault.message));
        say("lastErrorSection", json!(error.section.element()));
        say("lastErrorScope", json!(error.scope.map(scope_name)));
    }
    let records: Vec<Value> = diagnosis
        .traces
        .iter()
        .filter(|(verbosity, _)| *verbosity >= d.verbosity)
        .map(|(_, entry)| {
            json!({"source": entry.source, "severity": entry.severity, "message": entry.message,
                   "metadata": entry.metadata.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()})
        })
        .collect();
    if !records.is_empty() {
        say("traceRecords", json!(records));
    }
    log
}
