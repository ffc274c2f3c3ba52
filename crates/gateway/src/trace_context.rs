//! W3C trace context, and the spans of calls.
//!
//! Without [`Spans`] nothing of this runs: `traceparent` and `tracestate` pass through as any header does. With them a call
//! continues the caller's trace or begins one, and each call of a backend is a span of its own that the backend sees as its parent.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use crate::body::Body;
use crate::clock::Random;
use crate::exchange::Exchange;
use crate::listen::Inner;
use crate::target::Target;

/// `traceparent`, <https://www.w3.org/TR/trace-context/>.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`: what other vendors keep with the trace.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What a request says about the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Trace.
    pub trace_id: u128,
    /// The caller's span.
    pub span_id: u64,
    /// Whether the caller keeps its spans of this trace.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Of `version-trace-parent-flags`; `None` for everything that the specification calls invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
                .then_some(digits)
        };
        let version = u8::from_str_radix(hex(0, 2)?, 16).ok()?;
        let dashes = [2, 35, 52];
        if dashes
            .iter()
            .any(|at| text.as_bytes().get(*at) != Some(&b'-'))
        {
            return None;
        }
        // Later versions may have more after another dash.
        let has_end = match version {
            0 => text.len() == 55,
            0xff => false,
            _ => text.len() == 55 || text.as_bytes().get(55) == Some(&b'-'),
        };
        let trace_id = u128::from_str_radix(hex(3, 35)?, 16).ok()?;
        let span_id = u64::from_str_radix(hex(36, 52)?, 16).ok()?;
        let flags = u8::from_str_radix(hex(53, 55)?, 16).ok()?;
        (has_end && trace_id != 0 && span_id != 0).then_some(Self {
            trace_id,
            span_id,
            is_sampled: flags & 1 == 1,
        })
    }

    /// As a header.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        let flags = u8::from(self.is_sampled);
        let text = format!(
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        );
        HeaderValue::try_from(text).ok()
    }
}

/// The place of a call in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace.
    pub trace_id: u128,
    /// Span of the caller, if it named one.
    pub parent_id: Option<u64>,
    /// Span of the call.
    pub span_id: u64,
    /// Whether spans of it are told.
    pub is_sampled: bool,
    /// `tracestate`, as it came.
    pub state: String,
}

impl TraceContext {
    /// Continues the trace of a request, or begins one.
    #[must_use]
    pub fn of(headers: &HeaderMap, spans: &dyn Spans, random: &dyn Random) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = match (parents.next(), parents.next()) {
            (Some(only), None) => only.to_str().ok().and_then(TraceParent::parse),
            _ => None,
        };
        let span_id = id(random);
        let Some(parent) = parent else {
            let trace_id = (u128::from(random.bits()) << 64) | u128::from(id(random));
            return Self {
                trace_id,
                parent_id: None,
                span_id,
                is_sampled: spans.samples(trace_id, None),
                state: String::new(),
            };
        };
        let states: Vec<&str> = headers
            .get_all(TRACESTATE)
            .iter()
            .filter_map(|state| state.to_str().ok())
            .filter(|state| !state.trim().is_empty())
            .collect();
        Self {
            trace_id: parent.trace_id,
            parent_id: Some(parent.span_id),
            span_id,
            is_sampled: spans.samples(parent.trace_id, Some(parent.is_sampled)),
            state: states.join(","),
        }
    }

    /// Tells whoever is called next that this span calls.
    pub fn propagate(&self, span_id: u64, headers: &mut HeaderMap) {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
        let parent = TraceParent {
            trace_id: self.trace_id,
            span_id,
            is_sampled: self.is_sampled,
        };
        if let Some(parent) = parent.header() {
            headers.insert(TRACEPARENT, parent);
        }
        if !self.state.is_empty()
            && let Ok(state) = HeaderValue::try_from(&self.state)
        {
            headers.insert(TRACESTATE, state);
        }
    }
}

/// A random id; zero means none.
#[must_use]
pub fn id(random: &dyn Random) -> u64 {
    random.bits().max(1)
}

/// On which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// It answers.
    Server,
    /// It asks.
    Client,
}

/// What a span says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text.
    Text(String),
    /// Number.
    Int(i64),
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// A span that ended. Names of attributes follow OpenTelemetry's semantic conventions for HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Trace.
    pub trace_id: u128,
    /// Span.
    pub id: u64,
    /// Span that called.
    pub parent_id: Option<u64>,
    /// `tracestate`.
    pub state: String,
    /// Side.
    pub kind: SpanKind,
    /// Name, of few different ones: method and route.
    pub name: String,
    /// Beginning.
    pub started_at: DateTime<Utc>,
    /// End.
    pub ended_at: DateTime<Utc>,
    /// What it says about itself.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// Why it counts as failed.
    pub error: Option<String>,
}

/// Takes spans. Implementations must not block: a full queue drops, and counts what it drops.
pub trait Spans: Send + Sync {
    /// Whether the spans of a trace are wanted; `parent` is what the caller decided for its own.
    fn samples(&self, trace_id: u128, parent: Option<bool>) -> bool;

    /// Takes a span of a trace that is wanted.
    fn ended(&self, span: Span);
}

/// A call of a backend, told when it ends, however it ends.
pub(crate) struct BackendSpan {
    gateway: Arc<Inner>,
    context: TraceContext,
    id: u64,
    method: Method,
    url: String,
    started_at: DateTime<Utc>,
    outcome: Result<u16, &'static str>,
}

impl BackendSpan {
    /// Begins a call, and tells its backend so; nothing when nobody traces.
    pub(crate) fn begin(
        gateway: &Arc<Inner>,
        context: Option<&TraceContext>,
        target: &Target,
        request: &mut Request<Body>,
        tells_backend: bool,
    ) -> Option<Self> {
        let context = context?.clone();
        let id = id(gateway.options.random.as_ref());
        if tells_backend {
            context.propagate(id, request.headers_mut());
        }
        Some(Self {
            gateway: Arc::clone(gateway),
            id,
            method: request.method().clone(),
            url: target.without_query(),
            started_at: gateway.options.clock.now(),
            outcome: Err("cancelled"),
            context,
        })
    }

    /// Notes the backend's answer, or why there is none.
    pub(crate) fn note(span: &mut Option<Self>, outcome: Result<u16, &'static str>) {
        if let Some(span) = span {
            span.outcome = outcome;
        }
    }
}

impl Drop for BackendSpan {
    fn drop(&mut self) {
        let options = &self.gateway.options;
        let Some(spans) = options.spans.as_ref().filter(|_| self.context.is_sampled) else {
            return;
        };
        let mut attributes = vec![
            ("http.request.method", self.method.as_str().into()),
            ("url.full", self.url.as_str().into()),
        ];
        if let Some(host) = self.url.split('/').nth(2) {
            attributes.push(("server.address", host.into()));
        }
        let error = match self.outcome {
            Ok(status) => {
                attributes.push(("http.response.status_code", i64::from(status).into()));
                (status >= 400).then(|| status.to_string())
            }
            Err(reason) => Some(reason.to_owned()),
        };
        if let Some(error) = &error {
            attributes.push(("error.type", error.as_str().into()));
        }
        spans.ended(Span {
            trace_id: self.context.trace_id,
            id: self.id,
            parent_id: Some(self.context.span_id),
            state: std::mem::take(&mut self.context.state),
            kind: SpanKind::Client,
            name: self.method.to_string(),
            started_at: self.started_at,
            ended_at: options.clock.now(),
            attributes,
            error,
        });
    }
}

/// The span of a call, when it is over.
pub(crate) fn tell_call(
    x: &Exchange,
    spans: &dyn Spans,
    context: &TraceContext,
    diagnosis: Option<String>,
) {
    let status = x.told_status.map_or(499, |status| status.as_u16());
    let mut attributes: Vec<(&'static str, AttributeValue)> = vec![
        ("http.request.method", x.original.method.as_str().into()),
        ("url.scheme", x.original.scheme.into()),
        ("url.path", x.original.path.as_str().into()),
        ("server.address", x.original.authority().into()),
        ("client.address", x.client_ip.to_string().into()),
        ("http.response.status_code", i64::from(status).into()),
        ("portico.gateway", x.gateway_id().into()),
        ("portico.request_id", x.request_id.to_string().into()),
        (
            "portico.revision",
            i64::try_from(x.revision).unwrap_or(i64::MAX).into(),
        ),
    ];
    if let Some(service) = x.service.service() {
        attributes.push(("portico.service", service.name.as_str().into()));
    }
    let mut name = x.original.method.to_string();
    if let Some(api) = &x.api {
        attributes.push(("portico.api", api.name.as_str().into()));
        if let Some(state) = &x.operation {
            attributes.push(("portico.operation", state.operation.name.as_str().into()));
            let template = state.operation.url_template.split('?').next();
            let path = [
                api.path.trim_matches('/'),
                template.unwrap_or_default().trim_matches('/'),
            ];
            let route = format!("/{}", path.join("/").trim_matches('/'));
            name = format!("{name} {route}");
            attributes.push(("http.route", route.into()));
        }
    }
    if let Some(product) = &x.access.product {
        attributes.push(("portico.product", product.name.as_str().into()));
    }
    if let Some(subscription) = &x.access.subscription {
        attributes.push(("portico.subscription", subscription.name.as_str().into()));
    }
    if let Some(log) = diagnosis {
        attributes.push(("portico.diagnostics", log.into()));
    }
    let reason = match &x.last_error {
        Some(error) => Some(error.fault.reason.to_owned()),
        None if x.told_status.is_none() => Some("ClientConnectionFailure".to_owned()),
        None => (status >= 500).then(|| status.to_string()),
    };
    if let Some(reason) = &reason {
        attributes.push(("error.type", reason.as_str().into()));
    }
    spans.ended(Span {
        trace_id: context.trace_id,
        id: context.span_id,
        parent_id: context.parent_id,
        state: context.state.clone(),
        kind: SpanKind::Server,
        name,
        started_at: x.started_at,
        ended_at: x.gateway.options.clock.now(),
        attributes,
        // What a caller did wrong is no failure of the gateway.
        error: reason.filter(|_| status >= 500),
    });
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::TraceParent;

    #[test]
    fn a_traceparent_is_read_as_the_specification_has_it() {
        let known = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span_id: 0x00f0_67aa_0ba9_02b7,
            is_sampled: true,
        };
        assert_eq!(TraceParent::parse(known), Some(parent));
        assert_eq!(parent.header().unwrap(), known);
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02";
        assert!(!TraceParent::parse(unsampled).unwrap().is_sampled);
        // A version that is not known yet may say more.
        let later =
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like";
        assert_eq!(TraceParent::parse(later), Some(parent));
        for invalid in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(invalid), None, "{invalid}");
        }
    }
}
