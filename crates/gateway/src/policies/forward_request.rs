//! `<forward-request>`: the call of the backend.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use policy::elements::forward_request::ForwardRequest;
use policy::expression::Side;
use policy::{Section, Step, StepKind};
use snapshot::entity::{ApiType, Protocol};

use crate::body::{Body, Payload, TooLong};
use crate::circuit::{Outcome, Trial};
use crate::context::base_parts;
use crate::diagnosis;
use crate::exchange::{Exchange, Flow, Response};
use crate::fault::Fault;
use crate::pipeline::{
    FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, REQUEST_ID, strip_hop_by_hop,
};
use crate::pool::Stream;
use crate::present::Present;
use crate::target::Target;
use crate::trace_context::BackendSpan;
use crate::upstream::{Http2, Route, SendError, identity};
use crate::uri;
use crate::wire::WireError;

const SOURCE: &str = "forward-request";
const REDIRECTS: usize = 10;

pub(super) async fn apply(x: &mut Exchange, policy: &ForwardRequest) -> Result<Flow, Fault> {
    let timeout = match &policy.timeout {
        Some(own) => *x.value(own, SOURCE).await?,
        None => x.gateway.options.timeouts.backend,
    };
    let follow = *x.value(&policy.follow_redirects, SOURCE).await?;
    if policy.buffer_request_body || follow {
        x.buffer(Side::Request, SOURCE).await?;
    }
    let mut route = Route {
        http2: policy.http_version.into(),
        certificate: x.client_certificate.clone(),
        proxy: x.proxy.clone(),
        authorities: x.service.backend_authorities(),
        ..Route::default()
    };
    let trial = enter_backend(x, &mut route)?;
    let mut target = target(x)?;
    if x.rehearsal.is_some() {
        return rehearse(x, policy, &target);
    }
    let websocket = takes_websocket(x);
    if websocket {
        route.http2 = Http2::Never;
    }
    let mut method = x.request.method.clone();
    let mut body = outgoing_body(x);
    for _ in 0..=REDIRECTS {
        let began = x.gateway.options.clock.monotonic_ms();
        let mut request = request(x, policy, &method, websocket, body);
        let tells_span = diagnosis::tells_span(x);
        let context = x.trace_context.as_deref();
        let mut span = BackendSpan::begin(&x.gateway, context, &target, &mut request, tells_span);
        diagnosis::backend_request(x, &target, &mut request);
        let upstreams = &x.gateway.upstreams;
        let sent = if websocket {
            Box::pin(upstreams.upgrade(&route, &target, request, timeout)).await
        } else {
            upstreams.send(&route, &target, request, timeout).await
        };
        BackendSpan::note(
            &mut span,
            match &sent {
                Ok(response) => Ok(response.status().as_u16()),
                Err(error) if error.is_late() => Err("Timeout"),
                Err(_) => Err("BackendConnectionFailure"),
            },
        );
        drop(span);
        let now = x.gateway.options.clock.monotonic_ms();
        x.backend_ms += now.saturating_sub(began);
        let failed = |x: &Exchange| {
            if let Some(trial) = &trial {
                x.gateway.circuits.report(trial, Outcome::Failed, now);
            }
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) if !error.is_late() => {
                let fault = send_fault(SOURCE, &error);
                if fault.status.is_server_error() {
                    failed(x);
                }
                return Err(fault);
            }
            Err(_) => {
                failed(x);
                return Err(Fault {
                    shown: Some("Gateway timeout"),
                    ..Fault::new(
                        StatusCode::GATEWAY_TIMEOUT,
                        SOURCE,
                        "Timeout",
                        format!(
                            "The backend did not answer within {} s.",
                            timeout.as_secs_f64()
                        ),
                    )
                });
            }
        };
        if let Some(trial) = &trial {
            let retry_after = response
                .headers()
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            let outcome = Outcome::Status(response.status().as_u16(), retry_after);
            x.gateway.circuits.report(trial, outcome, now);
        }
        if follow && let Some(next) = redirect(&response, &target) {
            if response.status() == StatusCode::SEE_OTHER
                || (method == Method::POST
                    && matches!(
                        response.status(),
                        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND
                    ))
            {
                method = Method::GET;
                x.request.body = Payload::Empty;
                x.request.headers.remove(header::CONTENT_LENGTH);
            }
            if !target.is_same_origin(&next) {
                // What proves the caller to one server is not for another.
                x.request.headers.remove(header::AUTHORIZATION);
                x.request.headers.remove(header::COOKIE);
                x.request.host_is_set = false;
            }
            target = next;
            body = outgoing_body(x);
            continue;
        }
        take_response(x, response, websocket);
        diagnosis::backend_response(x);
        let status = x.response.status;
        if policy.fail_on_error_status_code
            && (status.is_client_error() || status.is_server_error())
        {
            return Err(Fault {
                keeps_response: true,
                ..Fault::new(
                    status,
                    SOURCE,
                    "BackendErrorStatusCode",
                    format!("The backend answered with status {}.", status.as_u16()),
                )
            });
        }
        return Ok(Flow::Next);
    }
    Err(Fault::internal(
        SOURCE,
        "BackendConnectionFailure",
        "The backend redirects without end.",
    ))
}

/// Takes the answer that stands for the backend's.
fn rehearse(x: &mut Exchange, policy: &ForwardRequest, target: &Target) -> Result<Flow, Fault> {
    let body = match &x.request.body {
        Payload::Bytes(bytes) => bytes.clone(),
        Payload::Empty | Payload::Stream(_) => Bytes::new(),
    };
    let method = x.request.method.clone();
    let mut sent = request(x, policy, &method, false, Body::empty()).map(|_| body);
    *sent.uri_mut() = target.uri().map_err(|error| not_a_url(target, &error))?;
    let Some(rehearsal) = &mut x.rehearsal else {
        return Ok(Flow::Next);
    };
    rehearsal.sent = Some(sent);
    let (parts, body) = rehearsal.answer.clone().into_parts();
    x.respond(Response {
        status: parts.status,
        reason: None,
        headers: parts.headers,
        body: Payload::Bytes(body),
    });
    Ok(Flow::Next)
}

/// Chooses among the backend's pool and takes over what the backend resource says.
fn enter_backend(x: &mut Exchange, route: &mut Route) -> Result<Option<Trial>, Fault> {
    let Some(backend) = x.chosen.clone() else {
        return Ok(None);
    };
    let now = x.gateway.options.clock.monotonic_ms();
    let Some(member) = x.gateway.circuits.choose(&x.service, &backend, now) else {
        return Err(Fault {
            shown: Some("Service unavailable"),
            ..Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                SOURCE,
                "BackendCircuitOpen",
                format!(
                    "No member of backend '{}' takes calls at present.",
                    backend.name
                ),
            )
        });
    };
    x.request.base.clone_from(&member.url);
    route.accept_any_chain = member.accept_any_chain;
    route.accept_any_name = member.accept_any_name;
    let credentials = &member.credentials;
    for (name, values) in &credentials.headers {
        let name = HeaderName::try_from(name).map_err(|_| {
            Fault::internal(
                SOURCE,
                "BackendConnectionFailure",
                format!("'{name}' is not a header."),
            )
        })?;
        x.request.headers.remove(&name);
        for value in values {
            x.request
                .headers
                .append(name.clone(), header_value(SOURCE, value)?);
        }
    }
    for (name, values) in &credentials.query {
        x.request.query = uri::without_parameter(&x.request.query, name);
        for value in values {
            uri::push_parameter(&mut x.request.query, name, value);
        }
    }
    if let Some((scheme, parameter)) = &credentials.authorization {
        let value = header_value(SOURCE, format!("{scheme} {parameter}").trim_end())?;
        x.request.headers.insert(header::AUTHORIZATION, value);
    }
    if let Some(name) = &credentials.certificate {
        let certificate = x
            .service
            .certificate(name)
            .or_else(|| x.service.certificate_by_thumbprint(name));
        let Some(identity) = certificate.and_then(|certificate| identity(certificate)) else {
            return Err(Fault::internal(
                SOURCE,
                "BackendConnectionFailure",
                format!(
                    "Certificate '{name}' of backend '{}' could not be found.",
                    member.name
                ),
            ));
        };
        route.certificate = Some(identity);
    }
    Ok(member.circuit_breaker.clone().map(|rule| Trial {
        backend: member.id,
        rule,
    }))
}

pub(super) fn header_value(source: &'static str, text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::internal(
            source,
            "ExpressionValueEvaluationFailure",
            "A header value holds characters that a header cannot.",
        )
    })
}

/// Address of the request at the backend.
fn target(x: &Exchange) -> Result<Target, Fault> {
    let (scheme, authority, base_path) = base_parts(&x.request.base);
    if authority.is_empty() {
        return Err(Fault::internal(
            SOURCE,
            "BackendConnectionFailure",
            "The API has no web service URL.",
        ));
    }
    let is_https = matches!(scheme, "https" | "wss");
    let (path, query) = (&x.request.path, &x.request.query);
    let mut text = String::with_capacity(base_path.len() + path.len() + query.len() + 2);
    text.push_str(base_path);
    text.push_str(path);
    if text.is_empty() {
        text.push('/');
    }
    if !query.is_empty() {
        text.push('?');
        text.push_str(query);
    }
    Target::new(is_https, authority, text).map_err(|error| {
        let url = format!("{scheme}://{authority}{base_path}{path}");
        not_a_url(&url, &error)
    })
}

fn not_a_url(url: &dyn std::fmt::Display, error: &dyn Error) -> Fault {
    Fault::internal(
        SOURCE,
        "BackendConnectionFailure",
        format!("'{url}' is not a URL: {error}"),
    )
}

/// The body to send; one that was read whole stays for another attempt.
fn outgoing_body(x: &mut Exchange) -> Body {
    match &x.request.body {
        Payload::Bytes(bytes) => Body::full(bytes.clone()),
        Payload::Empty | Payload::Stream(_) => x
            .request
            .body
            .take()
            .counted(std::sync::Arc::clone(&x.request_bytes))
            .limited(x.gateway.options.limits.request_body_bytes),
    }
}

fn takes_websocket(x: &Exchange) -> bool {
    x.upgrade.is_some()
        && x.api.as_ref().is_some_and(|api| {
            api.api_type == ApiType::WebSocket
                || api
                    .protocols
                    .iter()
                    .any(|protocol| matches!(protocol, Protocol::Ws | Protocol::Wss))
        })
}

/// Whether nothing after the call looks at the request's headers, so that they need not be copied.
fn is_last_look(x: &Exchange, policy: &ForwardRequest) -> bool {
    let Some(effective) = x.effective.as_ref().filter(|_| x.trace.is_none()) else {
        return false;
    };
    let [only] = effective.section(Section::Backend) else {
        return false;
    };
    let literal = |step: &Step| match &step.kind {
        StepKind::SetHeader(header) => {
            header.name.literal().is_some()
                && header.exists_action.literal().is_some()
                && header.values.iter().all(|value| value.literal().is_some())
        }
        StepKind::SetStatus(status) => {
            status.code.literal().is_some()
                && status
                    .reason
                    .as_ref()
                    .is_none_or(|reason| reason.literal().is_some())
        }
        StepKind::CacheStore(store) => {
            store.duration.literal().is_some() && store.cache_response.is_none()
        }
        // Others may look at anything.
        _ => false,
    };
    matches!(&only.kind, StepKind::ForwardRequest(known) if std::ptr::eq(known, policy))
        && policy.follow_redirects.literal() == Some(&false)
        && x.after.is_empty()
        && effective.section(Section::Outbound).iter().all(literal)
        && effective.section(Section::OnError).iter().all(literal)
}

fn request(
    x: &mut Exchange,
    policy: &ForwardRequest,
    method: &Method,
    websocket: bool,
    body: Body,
) -> http::Request<Body> {
    let mut headers = if is_last_look(x, policy) {
        std::mem::take(&mut x.request.headers)
    } else {
        x.request.headers.clone()
    };
    let present = Present::of(&headers);
    let trailers = present.has(Present::TE)
        && headers
            .get(header::TE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if present.has(Present::HOP_BY_HOP) {
        strip_hop_by_hop(&mut headers);
    }
    if present.has(Present::EXPECT) {
        headers.remove(header::EXPECT);
    }
    if !x.request.host_is_set && present.has(Present::HOST) {
        headers.remove(header::HOST);
    }
    if matches!(x.request.body, Payload::Bytes(_)) && present.has(Present::CONTENT_LENGTH) {
        headers.remove(header::CONTENT_LENGTH);
    }
    forwarded(x, &mut headers, present);
    if !present.has(Present::REQUEST_ID) {
        headers.insert(REQUEST_ID, x.request_id_text.clone());
    }
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if trailers {
        // gRPC servers demand it.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let mut request = http::Request::new(body);
    *request.method_mut() = method.clone();
    *request.headers_mut() = headers;
    request
}

/// Tells the backend who calls and how.
fn forwarded(x: &Exchange, headers: &mut HeaderMap, present: Present) {
    let mut chain = x.peer_ip_text.clone();
    if present.has(Present::FORWARDED_FOR) {
        let known = headers.get_all(FORWARDED_FOR).iter();
        let addresses: Vec<&str> = known
            .chain([&chain])
            .filter_map(|value| value.to_str().ok())
            .collect();
        if let Ok(whole) = HeaderValue::try_from(addresses.join(", ")) {
            chain = whole;
        }
    }
    headers.insert(FORWARDED_FOR, chain);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(x.original.scheme));
    headers.insert(FORWARDED_HOST, x.original.host.clone());
}

fn redirect(response: &http::Response<Stream>, from: &Target) -> Option<Target> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let next = url::Url::parse(&from.to_string())
        .ok()?
        .join(location)
        .ok()?;
    if !matches!(next.scheme(), "http" | "https") {
        return None;
    }
    Target::parse(next.as_str()).ok()
}

fn take_response(x: &mut Exchange, mut response: http::Response<Stream>, websocket: bool) {
    if websocket && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        x.upgraded = Some(hyper::upgrade::on(&mut response));
    }
    let (parts, stream) = response.into_parts();
    let reason = parts
        .extensions
        .get::<hyper::ext::ReasonPhrase>()
        .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
    let body = if http_body::Body::is_end_stream(&stream) {
        Payload::Empty
    } else {
        Payload::Stream(stream)
    };
    x.respond(Response {
        status: parts.status,
        reason,
        headers: parts.headers,
        body,
    });
}

/// Who is to blame for a call without a response: the error's causes tell.
pub(super) fn send_fault(source: &'static str, error: &SendError) -> Fault {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut text = error.to_string();
    let mut by_client = false;
    while let Some(inner) = cause {
        if let Some(too_long) = inner.downcast_ref::<TooLong>() {
            return Fault::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                source,
                "BodyTooLarge",
                format!("The request body is longer than {} bytes.", too_long.0),
            );
        }
        by_client |= inner
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_user)
            || inner
                .downcast_ref::<WireError>()
                .is_some_and(WireError::is_by_client);
        text = inner.to_string();
        cause = inner.source();
    }
    if by_client {
        return Fault::new(
            StatusCode::BAD_REQUEST,
            source,
            "ClientConnectionFailure",
            "The request body ended before its time.",
        );
    }
    Fault::internal(
        source,
        "BackendConnectionFailure",
        format!("{error}: {text}"),
    )
}
