//! A request id for every request, the headers every reply carries, one log line and one metric per request.

use crate::{State, otlp::Queue};
use actix_web::{
    HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web,
};
use chrono::{DateTime, Utc};
use gateway::{Span, SpanKind, Spans as _, SystemRandom, TraceContext};
use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

/// The id of a request, kept in its extensions.
#[derive(Clone, Debug)]
struct RequestId(String);

/// The id of a request.
#[must_use]
pub fn of(http: &HttpRequest) -> String {
    http.extensions()
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default()
}

/// Random ids of spans.
static RANDOM: LazyLock<SystemRandom> = LazyLock::new(SystemRandom::default);

/// The span of a request, if spans go anywhere.
struct RequestSpan {
    spans: Arc<Queue>,
    state: web::Data<State>,
    context: TraceContext,
    started_at: DateTime<Utc>,
    method: String,
    path: String,
    request_id: String,
}

impl RequestSpan {
    fn begin(request: &ServiceRequest, id: &str) -> Option<Self> {
        let state = request.app_data::<web::Data<State>>()?;
        let spans = state.spans.clone()?;
        let mut headers = http::HeaderMap::new();
        for name in [gateway::TRACEPARENT, gateway::TRACESTATE] {
            for value in request.headers().get_all(name.as_str()) {
                if let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) {
                    headers.append(name.clone(), value);
                }
            }
        }
        let context = TraceContext::of(&headers, spans.as_ref(), &*RANDOM);
        context.is_sampled.then(|| Self {
            state: state.clone(),
            started_at: state.engine.now(),
            context,
            spans,
            method: request.method().to_string(),
            path: request.path().to_owned(),
            request_id: id.to_owned(),
        })
    }

    fn end(self, status: u16) {
        let mut attributes = vec![
            ("http.request.method", self.method.as_str().into()),
            // Without the query, which may hold tokens.
            ("url.path", self.path.into()),
            ("http.response.status_code", i64::from(status).into()),
            ("portico.request_id", self.request_id.into()),
        ];
        let error = (status >= 500).then(|| status.to_string());
        if let Some(error) = &error {
            attributes.push(("error.type", error.as_str().into()));
        }
        self.spans.ended(Span {
            trace_id: self.context.trace_id,
            id: self.context.span_id,
            parent_id: self.context.parent_id,
            state: self.context.state,
            kind: SpanKind::Server,
            name: format!("{} management", self.method),
            started_at: self.started_at,
            ended_at: self.state.engine.now(),
            attributes,
            error,
        });
    }
}

/// Gives the request an id, answers with it, logs and counts.
///
/// # Errors
/// What the inner service answers with.
pub async fn wrap<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let id = uuid::Uuid::now_v7().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let correlation = request
        .headers()
        .get("x-ms-correlation-request-id")
        .or_else(|| request.headers().get("x-ms-client-request-id"))
        .cloned();
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let tls = request.connection_info().scheme() == "https";
    let span = RequestSpan::begin(&request, &id);
    let began = Instant::now();
    let mut response = next.call(request).await?;
    let seconds = began.elapsed().as_secs_f64();
    let status = response.status();
    if let Some(span) = span {
        span.end(status.as_u16());
    }
    metrics::counter!("portico_management_requests_total", "method" => method.to_string(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("portico_management_request_seconds", "method" => method.to_string())
        .record(seconds);
    // The query is left out: it may hold tokens.
    let is_usual = method.is_safe() && !status.is_server_error();
    // Reading leaves a line only where somebody looks for it: a line costs more than the rest of what is done here.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(request_id = id, %method, path, status = status.as_u16(), seconds, "management request")
        };
    }
    if is_usual {
        log!(debug);
    } else {
        log!(info);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-ms-request-id"), value.clone());
        headers.insert(
            HeaderName::from_static("x-ms-correlation-request-id"),
            correlation.unwrap_or(value),
        );
    }
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("x-content-type-options", "nosniff"),
    ] {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if tls {
        headers.insert(
            HeaderName::from_static("strict-transport-security"),
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        );
    }
    Ok(response)
}
