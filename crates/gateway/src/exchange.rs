//! Everything of one call.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use policy::expression::{Data, Expression, Limits, Side};
use policy::{Literal, Section, Step, Value};
use snapshot::entity::{Api, Backend, Credentials};
use snapshot::{Access, ApiState, Effective, OperationState, Position, ServiceState};
use uuid::Uuid;

use crate::body::{Payload, TooLong, read_whole};
use crate::caller::Caller;
use crate::context::View;
use crate::counter::{CounterKey, Period};
use crate::diagnosis::Diagnosis;
use crate::fault::Fault;
use crate::listen::Inner;
use crate::pipeline::Call;
use crate::policies::cache::Keeper;
use crate::policies::cors::CorsAnswer;
use crate::policies::rate_limit::RateKey;
use crate::present::Present;
use crate::telemetry::{CacheOutcome, DebugAccess, StepTrace};
use crate::trace_context::TraceContext;
use crate::upstream::Proxy;

/// How the pipeline goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next step.
    Next,
    /// With the client: the response is complete.
    Respond,
}

/// The request as the backend will get it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
    /// Whether a policy set `Host`, which otherwise becomes the backend's.
    pub(crate) host_is_set: bool,
    /// Base URL of the backend.
    pub(crate) base: String,
    /// Path after the base; empty or with a slash in front.
    pub(crate) path: String,
    /// Without `?`.
    pub(crate) query: String,
}

/// The URL as the client sent it.
#[derive(Debug)]
pub(crate) struct Original {
    pub(crate) method: Method,
    pub(crate) scheme: &'static str,
    /// Host, perhaps with a port.
    pub(crate) host: HeaderValue,
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Original {
    /// Host, perhaps with a port.
    pub(crate) fn authority(&self) -> &str {
        // A request whose host is no text is refused before.
        self.host.to_str().unwrap_or_default()
    }
}

/// The response as the client will get it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) reason: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            reason: None,
            headers: HeaderMap::new(),
            body: Payload::Empty,
        }
    }
}

/// `context.LastError`.
#[derive(Clone, Debug)]
pub(crate) struct LastError {
    pub(crate) fault: Fault,
    pub(crate) section: Section,
    pub(crate) scope: Option<policy::Scope>,
    pub(crate) policy_id: Option<String>,
}

/// A quota that learns the call's bytes, and perhaps the call itself, when the call is over.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) key: CounterKey,
    pub(crate) period: Period,
    pub(crate) calls: u64,
}

/// Where the response of this call goes in the cache.
#[derive(Clone, Debug)]
pub(crate) struct CachePlan {
    pub(crate) keeper: Keeper,
    pub(crate) key: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The backend of a call that is only tried.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    pub(crate) answer: http::Response<Bytes>,
    /// The request that the backend would have got, the last one if there were several.
    pub(crate) sent: Option<http::Request<Bytes>>,
}

/// One call. What few calls have is in boxes: this is moved, and taken from the allocator, for each.
pub(crate) struct Exchange {
    pub(crate) gateway: Arc<Inner>,
    pub(crate) service: Arc<ServiceState>,
    pub(crate) service_id: Uuid,
    pub(crate) revision: u64,
    pub(crate) api: Option<Arc<Api>>,
    pub(crate) api_state: Option<Arc<ApiState>>,
    pub(crate) operation: Option<Arc<OperationState>>,
    /// Bytes of the original path that belong to the API.
    pub(crate) prefix_bytes: usize,
    pub(crate) access: Access,
    /// As the caller presented it.
    pub(crate) key: Option<String>,
    pub(crate) effective: Option<Arc<Effective>>,
    pub(crate) original: Original,
    /// Headers of the request as it came; policies change it later.
    pub(crate) present: Present,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) has_response: bool,
    pub(crate) request_consumed: Cell<bool>,
    pub(crate) response_consumed: Cell<bool>,
    pub(crate) variables: HashMap<String, Data>,
    /// The innermost step that failed, until `on-error` begins.
    pub(crate) failing: Option<Box<LastError>>,
    pub(crate) last_error: Option<Box<LastError>>,
    pub(crate) section: Section,
    pub(crate) request_id: Uuid,
    /// The same as a header.
    pub(crate) request_id_text: HeaderValue,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) started_ms: u64,
    pub(crate) backend_ms: u64,
    pub(crate) client_ip: IpAddr,
    /// Address of the other end of the connection, as a header.
    pub(crate) peer_ip_text: HeaderValue,
    pub(crate) request_bytes: Arc<AtomicU64>,
    pub(crate) response_bytes: Arc<AtomicU64>,
    /// Status that the client got.
    pub(crate) told_status: Option<StatusCode>,
    pub(crate) call: Option<Call>,
    pub(crate) cache: CacheOutcome,
    pub(crate) cache_plan: Option<Box<CachePlan>>,
    pub(crate) cors: Option<Box<CorsAnswer>>,
    pub(crate) owed: Vec<Owed>,
    /// Headers that limits add to whatever the client gets.
    pub(crate) limit_headers: Vec<(HeaderName, HeaderValue)>,
    /// Conditions of limits that can only be known with the response.
    pub(crate) after: Vec<After>,
    /// Backend resource that this call uses instead of the API's own URL.
    pub(crate) chosen: Option<Arc<Backend>>,
    /// The certificate that the client presented.
    pub(crate) caller: Option<Arc<Caller>>,
    /// Chain and key to present to the backend.
    pub(crate) client_certificate: Option<(String, String)>,
    pub(crate) proxy: Option<Proxy>,
    /// Upgrade of the client's connection, for WebSocket.
    pub(crate) upgrade: Option<hyper::upgrade::OnUpgrade>,
    /// Upgrade of the backend's connection.
    pub(crate) upgraded: Option<hyper::upgrade::OnUpgrade>,
    /// Present when no call may leave the process.
    pub(crate) rehearsal: Option<Box<Rehearsal>>,
    /// Its place in a distributed trace, if spans go anywhere.
    pub(crate) trace_context: Option<Box<TraceContext>>,
    /// What the caller's debug credentials are good for, if there were any.
    pub(crate) debug: Option<DebugAccess>,
    /// What diagnostics want to know, if there are any.
    pub(crate) diagnosis: Option<Box<Diagnosis>>,
    /// What each step did, if somebody wants to know.
    pub(crate) trace: Option<Vec<StepTrace>>,
}

/// A limit whose increment is decided when the response is there.
#[derive(Debug)]
pub(crate) enum After {
    Rate {
        key: RateKey,
        limit: u64,
        period_ms: u64,
        condition: Option<Value<bool>>,
        count: Value<u64>,
    },
    Quota {
        key: CounterKey,
        period: Period,
        condition: Option<Value<bool>>,
        count: Value<u64>,
    },
}

impl Exchange {
    /// The message that a step of the present section works on.
    pub(crate) fn side(&self) -> Side {
        match self.section {
            Section::Inbound | Section::Backend => Side::Request,
            Section::Outbound | Section::OnError => Side::Response,
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        match self.side() {
            Side::Request => &self.request.headers,
            Side::Response => &self.response.headers,
        }
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        match self.side() {
            Side::Request => &mut self.request.headers,
            Side::Response => &mut self.response.headers,
        }
    }

    fn payload_mut(&mut self, side: Side) -> &mut Payload {
        match side {
            Side::Request => &mut self.request.body,
            Side::Response => &mut self.response.body,
        }
    }

    /// Puts another body in place; its length and coding are no longer those of the headers.
    pub(crate) fn set_body(&mut self, side: Side, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let headers = match side {
            Side::Request => &mut self.request.headers,
            Side::Response => &mut self.response.headers,
        };
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONTENT_ENCODING);
        let consumed = match side {
            Side::Request => &self.request_consumed,
            Side::Response => &self.response_consumed,
        };
        consumed.set(false);
        *self.payload_mut(side) = Payload::Bytes(bytes);
    }

    /// Reads the body of a side whole, and leaves it in place.
    pub(crate) async fn buffer(
        &mut self,
        side: Side,
        source: &'static str,
    ) -> Result<Bytes, Fault> {
        let limits = &self.gateway.options.limits;
        let limit = match (side, limits.request_body_bytes) {
            (Side::Request, Some(bytes)) => limits
                .buffered_body_bytes
                .min(usize::try_from(bytes).unwrap_or(usize::MAX)),
            _ => limits.buffered_body_bytes,
        };
        let counter = Arc::clone(&self.request_bytes);
        let payload = self.payload_mut(side);
        let incoming = match std::mem::take(payload) {
            Payload::Empty => return Ok(Bytes::new()),
            Payload::Bytes(bytes) => {
                *payload = Payload::Bytes(bytes.clone());
                return Ok(bytes);
            }
            Payload::Stream(incoming) => incoming,
        };
        let bytes = read_whole(incoming, limit).await.map_err(|error| {
            let too_long = error.is::<http_body_util::LengthLimitError>() || error.is::<TooLong>();
            match (side, too_long) {
                (Side::Request, true) => Fault::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    source,
                    "BodyTooLarge",
                    format!("The request body is longer than {limit} bytes."),
                ),
                (Side::Request, false) => Fault::new(
                    StatusCode::BAD_REQUEST,
                    source,
                    "ClientConnectionFailure",
                    format!("The request body could not be read: {error}"),
                ),
                (Side::Response, _) => Fault::internal(
                    source,
                    "BackendConnectionFailure",
                    format!("The response body could not be read: {error}"),
                ),
            }
        })?;
        if side == Side::Request {
            counter.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
        }
        *self.payload_mut(side) = Payload::Bytes(bytes.clone());
        Ok(bytes)
    }

    /// Reads what an expression needs.
    pub(crate) async fn prepare(
        &mut self,
        expression: &Expression,
        source: &'static str,
    ) -> Result<(), Fault> {
        if expression.needs_body(Side::Request) && self.request.body.is_streaming() {
            self.buffer(Side::Request, source).await?;
        }
        if expression.needs_body(Side::Response) && self.response.body.is_streaming() {
            self.buffer(Side::Response, source).await?;
        }
        Ok(())
    }

    /// The value of an attribute for this call.
    pub(crate) async fn value<'v, T: Literal>(
        &mut self,
        value: &'v Value<T>,
        source: &'static str,
    ) -> Result<Cow<'v, T>, Fault> {
        match value {
            Value::Literal(literal) => Ok(Cow::Borrowed(literal)),
            Value::Expression(expression) => {
                self.prepare(expression, source).await?;
                let result = value.evaluate(&View(self), Limits::default());
                self.drop_consumed();
                result.map_err(|failure| Fault::expression(source, &failure))
            }
        }
    }

    /// The value of an attribute that may be missing.
    pub(crate) async fn optional<'v, T: Literal>(
        &mut self,
        value: Option<&'v Value<T>>,
        source: &'static str,
    ) -> Result<Option<Cow<'v, T>>, Fault> {
        match value {
            Some(value) => self.value(value, source).await.map(Some),
            None => Ok(None),
        }
    }

    /// An expression that consumed a body leaves none to pass on, as published.
    pub(crate) fn drop_consumed(&mut self) {
        if self.request_consumed.get() && !matches!(self.request.body, Payload::Empty) {
            self.request.body = Payload::Empty;
            self.request.headers.remove(header::CONTENT_LENGTH);
        }
        if self.response_consumed.get() && !matches!(self.response.body, Payload::Empty) {
            self.response.body = Payload::Empty;
            self.response.headers.remove(header::CONTENT_LENGTH);
        }
    }

    /// Replaces the response by one of our own.
    pub(crate) fn respond(&mut self, response: Response) {
        self.response = response;
        self.response_consumed.set(false);
        self.has_response = true;
    }

    /// Parameters of the URL template with their decoded values. Few policies ask: the search is repeated for those.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let (Some(state), Some(_)) = (&self.api_state, &self.operation) else {
            return Vec::new();
        };
        let path = &self.original.path[self.prefix_bytes..];
        let found = state.operation(self.original.method.as_str(), path, &self.original.query);
        found.map_or_else(Vec::new, |found| {
            found
                .parameters()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        })
    }

    /// Text that tells a limit from others of the same kind: its scope and its place there.
    pub(crate) fn place(&self, step: &Step) -> String {
        let position = Position::of(step);
        let scope = match position.scope {
            policy::Scope::Global | policy::Scope::Fragment => "global".to_owned(),
            policy::Scope::Product => format!(
                "product:{}",
                self.access.product.as_ref().map_or(Uuid::nil(), |p| p.id)
            ),
            policy::Scope::Api => format!(
                "api:{}",
                self.api.as_ref().map_or(Uuid::nil(), |api| api.id)
            ),
            policy::Scope::Operation => {
                format!(
                    "operation:{}",
                    self.operation
                        .as_ref()
                        .map_or(Uuid::nil(), |o| o.operation.id)
                )
            }
        };
        match position.ordinal {
            0 => scope,
            ordinal => format!("{scope}#{ordinal}"),
        }
    }

    /// The credentials that the chosen backend, or the members of a pool, get from the gateway.
    pub(crate) fn backend_credentials(&self) -> Vec<Credentials> {
        let Some(chosen) = &self.chosen else {
            return Vec::new();
        };
        let members = chosen
            .pool
            .iter()
            .filter_map(|member| self.service.backend(&member.backend));
        std::iter::once(chosen)
            .chain(members)
            .map(|backend| backend.credentials.clone())
            .collect()
    }

    /// `context.Deployment.GatewayId`.
    pub(crate) fn gateway_id(&self) -> &str {
        match self.service.service() {
            Some(service) if !service.gateway.is_empty() => &service.gateway,
            _ => &self.gateway.options.gateway_id,
        }
    }

    /// Id of the subscription; nil without one.
    pub(crate) fn subscription_id(&self) -> Uuid {
        self.access
            .subscription
            .as_ref()
            .map_or(Uuid::nil(), |subscription| subscription.id)
    }
}
