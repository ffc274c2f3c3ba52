//! One call from its head to the last byte of its response.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use policy::Section;
use snapshot::entity::{Api, ApiType, Protocol, VersionScheme};
use snapshot::{Access, ApiState, Denied, OperationState};
use uuid::Uuid;

use crate::body::{Body, Payload};
use crate::diagnosis;
use crate::exchange::{After, Exchange, Flow, LastError, Original, Request, Response};
use crate::fault::{Fault, error_body};
use crate::listen::{Client, Inner, Served};
use crate::policies;
use crate::present::Present;
use crate::soap;
use crate::telemetry::{CacheOutcome, CallTrace, DebugAccess, Record};
use crate::trace_context::{self, TraceContext};
use crate::uri;

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Asks for a trace, and says where it is.
const TRACE: HeaderName = HeaderName::from_static("ocp-apim-trace");
const TRACE_LOCATION: HeaderName = HeaderName::from_static("ocp-apim-trace-location");
/// Credentials of a caller who may see what policies do.
const DEBUG_AUTHORIZATION: HeaderName = HeaderName::from_static("apim-debug-authorization");
const DEBUG_EXPIRED: HeaderName = HeaderName::from_static("apim-debug-authorization-expired");
const DEBUG_WRONG_API: HeaderName = HeaderName::from_static("apim-debug-authorization-wrongapi");
const TRACE_ID: HeaderName = HeaderName::from_static("apim-trace-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A path that load balancers ask, as the published gateway has it.
const STATUS_PATH: &str = "/status-0123456789abcdef";

/// Counts a call while it lives.
pub(crate) struct Call {
    gateway: Arc<Inner>,
    connection: Arc<Served>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.gateway.calls.fetch_sub(1, Ordering::Relaxed);
        self.connection.end();
    }
}

/// An answer that no service is responsible for.
fn plain(status: StatusCode, message: &str) -> http::Response<Body> {
    let mut response = http::Response::new(Body::full(error_body(status, message, None)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Answers one request.
pub(crate) async fn handle(
    inner: Arc<Inner>,
    request: http::Request<()>,
    body: Payload,
    client: Client,
    connection: Arc<Served>,
) -> http::Response<Body> {
    let running = inner.calls.fetch_add(1, Ordering::Relaxed);
    connection.begin(request.version());
    let call = Call {
        gateway: Arc::clone(&inner),
        connection,
    };
    if running >= inner.options.limits.calls {
        metrics::counter!("portico_gateway_overload_total").increment(1);
        return plain(StatusCode::SERVICE_UNAVAILABLE, "The gateway is busy.");
    }
    let present = Present::of(request.headers());
    if let Err(refusal) = check_head(&inner, &request, present) {
        return *refusal;
    }
    let Some(host) = host(&request) else {
        return plain(
            StatusCode::BAD_REQUEST,
            "The Host header is missing or ambiguous.",
        );
    };
    if request.uri().path() == STATUS_PATH {
        return http::Response::new(Body::full("Service Operational"));
    }
    let snapshot = inner.snapshot.load();
    let Some(service) = snapshot.service(host.to_str().unwrap_or_default()) else {
        return plain(StatusCode::NOT_FOUND, "Resource not found");
    };
    let Some(service_id) = service.service().map(|service| service.id) else {
        return plain(StatusCode::NOT_FOUND, "Resource not found");
    };
    let service = Arc::clone(service);
    let mut request = request;
    let upgrade = (present.has(Present::UPGRADE) && is_websocket(request.headers()))
        .then(|| hyper::upgrade::on(&mut request));
    let (parts, ()) = request.into_parts();
    let arrival = Arrival {
        parts,
        body,
        upgrade,
        client,
        host,
        present,
    };
    let revision = snapshot.revision();
    drop(snapshot);
    // In a box, because it is large, and futures that hold it are moved.
    let mut x = Box::new(exchange(&inner, revision, service, service_id, arrival));
    x.call = Some(call);
    live(&mut x).await;
    finish(x)
}

/// Everything between the head of the request and the head of the response.
pub(crate) async fn live(x: &mut Exchange) {
    if let Err(fault) = process(x).await {
        on_error(x, fault).await;
    }
    settle_after(x).await;
}

/// Refuses heads that other servers may read in another way, or that are too large.
fn check_head(
    inner: &Inner,
    request: &http::Request<()>,
    present: Present,
) -> Result<(), Box<http::Response<Body>>> {
    let refuse = |status, message| Err(Box::new(plain(status, message)));
    if request.method() == Method::CONNECT {
        return refuse(StatusCode::NOT_FOUND, "Resource not found");
    }
    let headers = request.headers();
    // hyper ignores Content-Length beside Transfer-Encoding, as RFC 9112 section 6.3 says, and frames anew towards the backend. Any
    // other coding than one `chunked` would be passed on undecoded.
    if present.has(Present::TRANSFER_ENCODING) {
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let is_chunked = codings
            .next()
            .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !is_chunked || codings.next().is_some() || present.has(Present::CONTENT_LENGTH) {
            return refuse(
                StatusCode::BAD_REQUEST,
                "The framing of the request body is ambiguous.",
            );
        }
    }
    if present.has(Present::CONTENT_LENGTH)
        && headers.get_all(header::CONTENT_LENGTH).iter().count() > 1
    {
        return refuse(
            StatusCode::BAD_REQUEST,
            "The framing of the request body is ambiguous.",
        );
    }
    let limits = &inner.options.limits;
    let uri_bytes = request
        .uri()
        .path_and_query()
        .map_or(0, |uri| uri.as_str().len());
    if uri_bytes > limits.uri_bytes {
        return refuse(StatusCode::URI_TOO_LONG, "The path and query are too long.");
    }
    // HTTP/2 has no limit of its own in number, and hyper's buffer for HTTP/1 may grow beyond what it is told.
    let head_bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > limits.headers || head_bytes + uri_bytes > limits.head_bytes {
        return refuse(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "The headers of the request are too large.",
        );
    }
    if let Some(limit) = limits.request_body_bytes
        && let Some(length) = headers.get(header::CONTENT_LENGTH)
        && let Some(length) = length
            .to_str()
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
        && length > limit
    {
        return refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request body is too long.",
        );
    }
    Ok(())
}

/// Host and port that the request is for. An absolute URI counts before the header, as RFC 9112 section 3.2.2 says.
fn host(request: &http::Request<()>) -> Option<HeaderValue> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return None;
    }
    if let Some(authority) = request.uri().authority() {
        let authority = authority.as_str();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        return HeaderValue::try_from(host).ok();
    }
    let host = host?;
    let is_text = host.to_str().is_ok_and(|text| !text.is_empty());
    is_text.then(|| host.clone())
}

/// Address of the client: the peer, or what trusted proxies say.
fn client_ip(headers: &HeaderMap, peer: SocketAddr, trusted_proxies: usize) -> IpAddr {
    let peer = peer.ip().to_canonical();
    if trusted_proxies == 0 {
        return peer;
    }
    let said: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    said.len()
        .checked_sub(trusted_proxies)
        .and_then(|at| said[at].parse().ok())
        .unwrap_or(peer)
}

/// A request that a service is responsible for.
pub(crate) struct Arrival {
    pub(crate) parts: http::request::Parts,
    pub(crate) body: Payload,
    pub(crate) upgrade: Option<hyper::upgrade::OnUpgrade>,
    pub(crate) client: Client,
    pub(crate) host: HeaderValue,
    pub(crate) present: Present,
}

pub(crate) fn exchange(
    inner: &Arc<Inner>,
    revision: u64,
    service: Arc<snapshot::ServiceState>,
    service_id: Uuid,
    arrival: Arrival,
) -> Exchange {
    let options = &inner.options;
    let Arrival {
        parts,
        body,
        upgrade,
        client:
            Client {
                peer,
                peer_text,
                tls,
                caller,
            },
        host,
        present,
    } = arrival;
    let mut headers = parts.headers;
    let forwarded_https = options.trusted_proxies > 0
        && headers
            .get(FORWARDED_PROTO)
            .is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let scheme = if tls || forwarded_https {
        "https"
    } else {
        "http"
    };
    // HTTP/2 has `:authority`; policies look for the header.
    if !present.has(Present::HOST) {
        headers.insert(header::HOST, host.clone());
    }
    let client_ip = client_ip(&headers, peer, options.trusted_proxies);
    let random = (u128::from(options.random.bits()) << 64) | u128::from(options.random.bits());
    let request_id = uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid();
    let path = uri::without_dot_segments(parts.uri.path()).into_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let request_bytes = match &body {
        Payload::Bytes(bytes) => bytes.len() as u64,
        // Counted as it passes.
        Payload::Empty | Payload::Stream(_) => 0,
    };
    let trace_context = options
        .spans
        .as_deref()
        .map(|spans| Box::new(TraceContext::of(&headers, spans, options.random.as_ref())));
    Exchange {
        gateway: Arc::clone(inner),
        service,
        service_id,
        revision,
        api: None,
        api_state: None,
        operation: None,
        prefix_bytes: 0,
        access: Access::default(),
        key: None,
        effective: None,
        original: Original {
            method: parts.method.clone(),
            scheme,
            host,
            path,
            query: query.clone(),
        },
        present,
        request: Request {
            method: parts.method,
            headers,
            body,
            host_is_set: false,
            base: String::new(),
            path: String::new(),
            query,
        },
        response: Response::default(),
        has_response: false,
        request_consumed: Cell::new(false),
        response_consumed: Cell::new(false),
        variables: HashMap::new(),
        failing: None,
        last_error: None,
        section: Section::Inbound,
        request_id,
        request_id_text: id_text(request_id),
        started_at: options.clock.now(),
        started_ms: options.clock.monotonic_ms(),
        backend_ms: 0,
        client_ip,
        peer_ip_text: peer_text,
        request_bytes: Arc::new(AtomicU64::new(request_bytes)),
        response_bytes: Arc::new(AtomicU64::new(0)),
        told_status: None,
        call: None,
        cache: CacheOutcome::None,
        cache_plan: None,
        cors: None,
        owed: Vec::new(),
        limit_headers: Vec::new(),
        after: Vec::new(),
        chosen: None,
        caller,
        client_certificate: None,
        proxy: None,
        upgrade,
        upgraded: None,
        rehearsal: None,
        trace_context,
        debug: None,
        diagnosis: None,
        trace: None,
    }
}

/// Whether the client asks for a WebSocket.
pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

async fn process(x: &mut Exchange) -> Result<(), Fault> {
    policies::cors::greet_portal(x);
    if let Some(preflight) = route(x)? {
        return answer_preflight(x, preflight).await;
    }
    authorize(x)?;
    take_effective(x)?;
    let Some(effective) = x.effective.clone() else {
        return Err(Fault::internal(
            "configuration",
            "PolicyConfiguration",
            "No policies.",
        ));
    };
    for section in [Section::Inbound, Section::Backend, Section::Outbound] {
        x.section = section;
        if effective.section(section).is_empty() {
            continue;
        }
        if policies::run_section(x, effective.section(section)).await? == Flow::Respond {
            break;
        }
    }
    Ok(())
}

/// Finds API and operation. A preflight request for an operation of another method is told apart.
fn route(x: &mut Exchange) -> Result<Option<Method>, Fault> {
    let service = Arc::clone(&x.service);
    let headers = &x.request.headers;
    let query = &x.original.query;
    let mut said = |scheme: &VersionScheme| match scheme {
        VersionScheme::Segment => None,
        VersionScheme::Header(name) => headers.get(name)?.to_str().ok().map(str::to_owned),
        VersionScheme::Query(name) => uri::query_value(query, name),
    };
    let Some(found) = service.api(&x.original.path, &mut said) else {
        return Err(Fault::not_found(
            "ApiNotFound",
            "Unable to match incoming request to an API.",
        ));
    };
    let api = Arc::clone(found.api);
    let prefix_bytes = found.prefix_bytes;
    let state = Arc::clone(found.state);
    let plain_http = x.original.scheme == "http";
    let offers_plain = |api: &Api| {
        api.protocols
            .iter()
            .any(|protocol| matches!(protocol, Protocol::Http | Protocol::Ws))
    };
    if x.gateway.options.require_scheme && plain_http && !offers_plain(&api) {
        return Err(Fault::not_found(
            "ApiNotFound",
            "Unable to match incoming request to an API.",
        ));
    }
    let path = x.original.path[prefix_bytes..].to_owned();
    x.request.base = api.service_url.clone().unwrap_or_default();
    let asked = if x.request.method == Method::OPTIONS && x.present.has(Present::ORIGIN) {
        let method = x.request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        method.and_then(|method| Method::from_bytes(method.as_bytes()).ok())
    } else {
        None
    };
    let api_type = api.api_type;
    x.api = Some(api);
    diagnosis::begin(x);
    let mut preflight = None;
    let found = match locate(x, &state, x.request.method.as_str(), &path) {
        None if asked.is_some() => {
            preflight = asked;
            let method = preflight.as_ref().map_or("", Method::as_str);
            locate(x, &state, method, &path)
        }
        found => found,
    };
    x.api_state = Some(state);
    x.request.path = path;
    x.prefix_bytes = prefix_bytes;
    match found {
        Some(operation) => x.operation = Some(operation),
        // The handshake of a WebSocket API has no template of its own.
        None if api_type == ApiType::WebSocket && x.upgrade.is_some() => {}
        None if preflight.is_some() => {}
        None => {
            return Err(Fault::not_found(
                "OperationNotFound",
                "Unable to match incoming request to an operation.",
            ));
        }
    }
    Ok(preflight)
}

fn locate(x: &Exchange, state: &ApiState, method: &str, path: &str) -> Option<Arc<OperationState>> {
    let query = &x.original.query;
    if let Some(found) = state.operation(method, path, query) {
        return Some(Arc::clone(found.value));
    }
    // Clients of SOAP name the operation in a header.
    let is_soap = x.api.as_ref()?.api_type == ApiType::Soap;
    if !is_soap || uri::query_value(query, soap::PARAMETER).is_some() {
        return None;
    }
    let mut query = query.clone();
    uri::push_parameter(
        &mut query,
        soap::PARAMETER,
        &soap::action(&x.request.headers)?,
    );
    let found = state.operation(method, path, &query)?;
    Some(Arc::clone(found.value))
}

fn denied(x: &Exchange, api: &Api, denied: Denied) -> Fault {
    let (reason, message) = match denied {
        Denied::Missing => (
            "SubscriptionKeyNotFound",
            "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API.",
        ),
        Denied::Invalid => (
            "SubscriptionKeyInvalid",
            "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.",
        ),
    };
    let challenge = format!(
        "AzureApiManagementKey realm=\"https://{}/{}\",name=\"{}\",type=\"header\"",
        x.original.authority(),
        api.path,
        api.key_names.header
    );
    let fault = Fault::new(StatusCode::UNAUTHORIZED, "authorization", reason, message);
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => fault.with_header(header::WWW_AUTHENTICATE, challenge),
        Err(_) => fault,
    }
}

/// Decides on access, and takes the key away so that the backend does not see it.
fn authorize(x: &mut Exchange) -> Result<(), Fault> {
    let Some(api) = x.api.clone() else {
        return Ok(());
    };
    if x.present.has(Present::DEBUG_AUTHORIZATION)
        && let Some(token) = x.request.headers.remove(&DEBUG_AUTHORIZATION)
        && let Some(known) = &x.gateway.options.debug_credentials
        && let Some(service) = x.service.service()
    {
        let token = token.to_str().unwrap_or_default();
        let access = known.check(token, service, &api.name);
        x.debug = Some(access);
        if access == DebugAccess::Granted {
            x.trace.get_or_insert_default();
        }
    }
    let names = &api.key_names;
    let from_header = x
        .request
        .headers
        .remove(&names.header)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .filter(|key| !key.is_empty());
    let mut from_query = None;
    if !x.request.query.is_empty()
        && let Some(key) = uri::query_value(&x.request.query, &names.query)
    {
        x.request.query = uri::without_parameter(&x.request.query, &names.query);
        from_query = Some(key).filter(|key| !key.is_empty());
    }
    x.key = from_header.or(from_query);
    let digest = x.key.as_ref().map(|key| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        let mut bytes = snapshot::entity::Digest::default();
        bytes.copy_from_slice(digest.as_ref());
        bytes
    });
    match x.service.access(&api, digest.as_ref()) {
        Ok(access) => {
            let traced = x.present.has(Present::TRACE)
                && x.request
                    .headers
                    .remove(&TRACE)
                    .is_some_and(|value| value == "true");
            if traced
                && access
                    .subscription
                    .as_ref()
                    .is_some_and(|known| known.allow_tracing)
            {
                x.trace.get_or_insert_default();
            }
            x.access = access;
            Ok(())
        }
        Err(reason) => Err(denied(x, &api, reason)),
    }
}

/// Gets the policies of the call's scopes.
fn take_effective(x: &mut Exchange) -> Result<(), Fault> {
    let product = x.access.product.as_ref().map(|product| product.id);
    let api = x.api.as_ref().map_or(Uuid::nil(), |api| api.id);
    let operation = x
        .operation
        .as_ref()
        .map_or(Uuid::nil(), |state| state.operation.id);
    match x.service.effective(product, api, operation) {
        Ok(effective) => {
            x.effective = Some(effective);
            Ok(())
        }
        Err(configuration) => Err(Fault::internal(
            "configuration",
            "PolicyConfiguration",
            configuration.message,
        )),
    }
}

/// Answers a preflight request by the `cors` policy of the operation that it asks for. Browsers send no key with it.
async fn answer_preflight(x: &mut Exchange, method: Method) -> Result<(), Fault> {
    take_effective(x)?;
    let effective = x.effective.clone();
    let steps = effective
        .as_deref()
        .map_or(&[][..], |effective| effective.section(Section::Inbound));
    policies::cors::preflight(x, steps, &method).await
}

/// Makes the fault the response, then lets `on-error` change it.
async fn on_error(x: &mut Exchange, fault: Fault) {
    let error = x.failing.take().unwrap_or_else(|| {
        Box::new(LastError {
            fault: fault.clone(),
            section: x.section,
            scope: None,
            policy_id: None,
        })
    });
    let product = x.access.product.as_ref().map(|product| product.id);
    if x.effective.is_none() && x.api.is_some() && fault.reason != "PolicyConfiguration" {
        // Who was refused has no product yet.
        let api = x.api.as_ref().map_or(Uuid::nil(), |api| api.id);
        let operation = x
            .operation
            .as_ref()
            .map_or(Uuid::nil(), |state| state.operation.id);
        x.effective = x.service.effective(product, api, operation).ok();
    }
    if fault.status.is_server_error() {
        tracing::warn!(request_id = %x.request_id, %fault, "call failed");
    }
    x.last_error = Some(error);
    set_default(x, &fault);
    let Some(effective) = x.effective.clone() else {
        return;
    };
    x.section = Section::OnError;
    if let Err(second) = policies::run(x, effective.section(Section::OnError)).await {
        tracing::warn!(request_id = %x.request_id, fault = %second, "on-error failed");
        set_default(x, &second);
    }
}

fn set_default(x: &mut Exchange, fault: &Fault) {
    if fault.keeps_response {
        return;
    }
    let activity = x.request_id.to_string();
    let (message, activity) = match fault.shown {
        Some(shown) if fault.status.is_server_error() => (shown, Some(&*activity)),
        Some(shown) => (shown, None),
        None => (&*fault.message, None),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, JSON);
    for (name, value) in &fault.headers {
        headers.append(name.clone(), value.clone());
    }
    x.respond(Response {
        status: fault.status,
        reason: None,
        headers,
        body: Payload::Bytes(error_body(fault.status, message, activity).into()),
    });
}

/// Counts calls for limits whose condition needed the response.
async fn settle_after(x: &mut Exchange) {
    for after in std::mem::take(&mut x.after) {
        let (condition, count) = match &after {
            After::Rate {
                condition, count, ..
            }
            | After::Quota {
                condition, count, ..
            } => (condition, count),
        };
        let outcome = async {
            let counts = match condition {
                Some(condition) => *x.value(condition, "rate-limit-by-key").await?,
                None => true,
            };
            let count = *x.value(count, "rate-limit-by-key").await?;
            Ok::<_, Fault>(if counts { count } else { 0 })
        };
        match outcome.await {
            Ok(0) => {}
            Ok(count) => match after {
                After::Rate {
                    key,
                    limit,
                    period_ms,
                    ..
                } => {
                    policies::rate_limit::count(&x.gateway, key, limit, period_ms, count).await;
                }
                After::Quota { key, period, .. } => {
                    x.gateway.options.counters.add(&key, period, count, 0)
                }
            },
            // The response is decided: the call stays uncounted, as the condition did not hold.
            Err(fault) => {
                tracing::warn!(request_id = %x.request_id, %fault, "increment condition failed")
            }
        }
    }
}

/// Headers that belong to one connection, RFC 9110 section 7.6.1.
pub(crate) const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes what is meant for one connection only, also what `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// An id as the value of a header.
fn id_text(id: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Tells the client which call this was, and where its trace is if it asked for one.
fn tell_identity(x: &mut Exchange, headers: &mut HeaderMap, present: Present) {
    if !present.has(Present::REQUEST_ID) {
        headers.insert(REQUEST_ID, x.request_id_text.clone());
    }
    let told = match x.debug {
        Some(DebugAccess::Granted) => Some((TRACE_ID, x.request_id_text.clone())),
        Some(DebugAccess::Expired) => Some((DEBUG_EXPIRED, HeaderValue::from_static("1"))),
        Some(DebugAccess::WrongApi) => Some((DEBUG_WRONG_API, HeaderValue::from_static("1"))),
        Some(DebugAccess::Invalid) | None => None,
    };
    if let Some((name, value)) = told {
        headers.insert(name, value);
    }
    let Some(steps) = x.trace.take() else { return };
    let location = x.gateway.options.telemetry.traced(CallTrace {
        service_id: x.service_id,
        request_id: x.request_id,
        steps,
    });
    // Who has debug credentials asks the management API.
    let location = location.filter(|_| x.debug != Some(DebugAccess::Granted));
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(TRACE_LOCATION, location);
    }
}

fn finish(mut x: Box<Exchange>) -> http::Response<Body> {
    let switching = x.response.status == StatusCode::SWITCHING_PROTOCOLS && x.upgraded.is_some();
    let mut response = std::mem::take(&mut x.response);
    let present = Present::of(&response.headers);
    let websocket = if switching {
        response.headers.get(header::UPGRADE).cloned()
    } else {
        None
    };
    if present.has(Present::HOP_BY_HOP) {
        strip_hop_by_hop(&mut response.headers);
    }
    if let Some(cors) = &x.cors {
        cors.write(&mut response.headers);
    }
    for (name, value) in x.limit_headers.drain(..) {
        response.headers.insert(name, value);
    }
    tell_identity(&mut x, &mut response.headers, present);
    diagnosis::frontend_response(&mut x, &response.headers, &mut response.body);
    let body = response.body.take();
    let response_bytes = Arc::clone(&x.response_bytes);
    let status = response.status;
    x.told_status = Some(status);
    if switching {
        response
            .headers
            .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(websocket) = websocket {
            response.headers.insert(header::UPGRADE, websocket);
        }
        join_upgrades(&mut x);
    }
    let mut built = http::Response::new(body);
    *built.status_mut() = status;
    *built.headers_mut() = response.headers;
    if let Some(reason) = response.reason
        && let Ok(reason) = hyper::ext::ReasonPhrase::try_from(reason.into_bytes())
    {
        built.extensions_mut().insert(reason);
    }
    built.map(|body| {
        body.counted(response_bytes)
            .finally(Box::new(move || drop(x)))
    })
}

/// The response of a call that was only tried.
pub(crate) fn rehearsed_response(mut x: Exchange) -> http::Response<Bytes> {
    let mut response = std::mem::take(&mut x.response);
    strip_hop_by_hop(&mut response.headers);
    if let Some(cors) = &x.cors {
        cors.write(&mut response.headers);
    }
    for (name, value) in x.limit_headers.drain(..) {
        response.headers.insert(name, value);
    }
    let body = match response.body {
        Payload::Bytes(bytes) => bytes,
        Payload::Empty | Payload::Stream(_) => Bytes::new(),
    };
    let mut built = http::Response::new(body);
    *built.status_mut() = response.status;
    *built.headers_mut() = response.headers;
    built
}

/// Joins the two connections of a WebSocket when both have switched.
fn join_upgrades(x: &mut Exchange) {
    let (Some(client), Some(backend)) = (x.upgrade.take(), x.upgraded.take()) else {
        return;
    };
    let request_bytes = Arc::clone(&x.request_bytes);
    let response_bytes = Arc::clone(&x.response_bytes);
    let request_id = x.request_id;
    tokio::spawn(async move {
        let joined = async {
            let (client, backend) = tokio::try_join!(client, backend)?;
            let mut client = hyper_util::rt::TokioIo::new(client);
            let mut backend = hyper_util::rt::TokioIo::new(backend);
            tokio::io::copy_bidirectional(&mut client, &mut backend)
                .await
                .map_err(crate::body::BoxError::from)
        };
        match joined.await {
            Ok((up, down)) => {
                request_bytes.fetch_add(up, Ordering::Relaxed);
                response_bytes.fetch_add(down, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%request_id, %error, "WebSocket ended"),
        }
    });
}

impl Drop for Exchange {
    /// The last byte is gone, or the client is: before the head of the response there is no status, and the record has the
    /// customary 499.
    fn drop(&mut self) {
        let outcome = diagnosis::end(self);
        let options = &self.gateway.options;
        let request_bytes = self.request_bytes.load(Ordering::Relaxed);
        let response_bytes = self.response_bytes.load(Ordering::Relaxed);
        for owed in &self.owed {
            let bytes = request_bytes + response_bytes;
            options
                .counters
                .add(&owed.key, owed.period, owed.calls, bytes);
        }
        let total_ms = options.clock.monotonic_ms().saturating_sub(self.started_ms);
        let error = match &self.last_error {
            Some(error) => Some((error.fault.source.to_owned(), error.fault.reason.to_owned())),
            None if self.told_status.is_none() => Some((
                "forward-request".to_owned(),
                "ClientConnectionFailure".to_owned(),
            )),
            None => None,
        };
        if let (Some(spans), Some(context)) = (&options.spans, &self.trace_context)
            && context.is_sampled
        {
            trace_context::tell_call(self, spans.as_ref(), context, outcome.span);
        }
        let subscription = self.access.subscription.as_ref();
        options.telemetry.record(Record {
            request_id: self.request_id,
            service_id: self.service_id,
            service: Arc::clone(&self.service),
            api_id: self.api.as_ref().map(|api| api.id),
            api: self.api.take(),
            operation_id: self.operation.as_ref().map(|state| state.operation.id),
            product_id: self.access.product.as_ref().map(|product| product.id),
            subscription_id: subscription.map(|subscription| subscription.id),
            user_id: self.access.user.as_ref().map(|user| user.id),
            method: std::mem::take(&mut self.original.method),
            path: std::mem::take(&mut self.original.path),
            status: self.told_status.map_or(499, |status| status.as_u16()),
            cache: self.cache,
            started_at: self.started_at,
            total: Duration::from_millis(total_ms),
            backend: Duration::from_millis(self.backend_ms),
            request_bytes,
            response_bytes,
            client_ip: self.client_ip,
            error,
            revision: self.revision,
            detail: outcome.detail,
        });
    }
}
