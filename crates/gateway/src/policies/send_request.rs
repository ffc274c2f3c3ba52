//! `<send-request>` and `<send-one-way-request>`: calls that policies make.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use policy::elements::send_one_way_request::SendOneWayRequest;
use policy::elements::send_request::{OutgoingRequest, RequestMode, SendRequest};
use policy::expression::{Data, ResponseData, Side};

use super::forward_request::{header_value, send_fault};
use super::{authentication, set_body, set_header, set_method};
use crate::body::{Body, read_whole};
use crate::context::base_parts;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::listen::Inner;
use crate::pipeline::strip_hop_by_hop;
use crate::target::Target;
use crate::trace_context::{BackendSpan, TraceContext};
use crate::upstream::Route;

/// A request that is ready to be sent, apart from the call it belongs to.
pub(super) struct Ready {
    gateway: Arc<Inner>,
    source: &'static str,
    route: Route,
    target: Target,
    request: http::Request<Body>,
    timeout: Duration,
    context: Option<TraceContext>,
}

/// Computes everything that the request needs.
pub(super) async fn prepare(
    x: &mut Exchange,
    policy: &OutgoingRequest,
    source: &'static str,
) -> Result<Ready, Fault> {
    let timeout = *x.value(&policy.timeout, source).await?;
    let copied = policy.mode == RequestMode::Copy;
    let mut headers = http::HeaderMap::new();
    let mut method = Method::GET;
    let mut body = bytes::Bytes::new();
    if copied {
        headers.clone_from(&x.request.headers);
        strip_hop_by_hop(&mut headers);
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::EXPECT);
        method = x.request.method.clone();
        body = x.buffer(Side::Request, source).await?;
    }
    let url = match &policy.url {
        Some(url) => x.value(url, source).await?.trim().to_owned(),
        None => {
            let (scheme, authority, path) = base_parts(&x.request.base);
            format!(
                "{scheme}://{authority}{path}{}?{}",
                x.request.path, x.request.query
            )
        }
    };
    if let Some(policy) = &policy.method {
        method = set_method::evaluate(x, policy).await?;
    }
    for policy in &policy.headers {
        set_header::evaluate(x, policy).await?.write(&mut headers);
    }
    if let Some(policy) = &policy.body {
        body = set_body::evaluate(x, policy).await?.into();
        headers.remove(header::CONTENT_ENCODING);
    }
    let mut route = Route {
        authorities: x.service.backend_authorities(),
        ..Route::default()
    };
    if let Some(policy) = &policy.certificate {
        route.certificate = Some(authentication::client_certificate(x, policy).await?);
    }
    if let Some(policy) = &policy.managed_identity {
        let token = authentication::token(x, policy).await?;
        headers.insert(
            header::AUTHORIZATION,
            header_value(source, &format!("Bearer {token}"))?,
        );
    }
    if let Some(policy) = &policy.proxy {
        route.proxy = Some(authentication::proxy_of(x, policy).await?);
    }
    let mut request = http::Request::new(Body::full(body));
    *request.method_mut() = method;
    let target = Target::parse(&url).map_err(|error| {
        Fault::internal(
            source,
            "ExpressionValueEvaluationFailure",
            format!("'{url}' is not a URL: {error}"),
        )
    })?;
    *request.headers_mut() = headers;
    Ok(Ready {
        gateway: Arc::clone(&x.gateway),
        source,
        route,
        target,
        request,
        timeout,
        context: x.trace_context.as_deref().cloned(),
    })
}

impl Ready {
    /// Sends it and reads the whole response.
    pub(super) async fn send(mut self) -> Result<ResponseData, Fault> {
        let source = self.source;
        let limit = self.gateway.options.limits.buffered_body_bytes;
        let mut span = BackendSpan::begin(
            &self.gateway,
            self.context.as_ref(),
            &self.target,
            &mut self.request,
            true,
        );
        let exchange = async {
            let sent = self
                .gateway
                .upstreams
                // The limit is for the body as well, below.
                .send(&self.route, &self.target, self.request, Duration::MAX)
                .await;
            BackendSpan::note(
                &mut span,
                match &sent {
                    Ok(response) => Ok(response.status().as_u16()),
                    Err(_) => Err("BackendConnectionFailure"),
                },
            );
            let response = sent.map_err(|error| send_fault(source, &error))?;
            let (parts, incoming) = response.into_parts();
            let body = read_whole(incoming, limit).await.map_err(|error| {
                let message = format!("The response body could not be read: {error}");
                Fault::internal(source, "BackendConnectionFailure", message)
            })?;
            let reason = match parts.extensions.get::<hyper::ext::ReasonPhrase>() {
                Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
                None => parts
                    .status
                    .canonical_reason()
                    .unwrap_or_default()
                    .to_owned(),
            };
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let values = |name: &HeaderName| parts.headers.get_all(name).iter().map(text).collect();
            Ok(ResponseData {
                status_code: parts.status.as_u16(),
                status_reason: reason,
                headers: parts
                    .headers
                    .keys()
                    .map(|name| (name.to_string(), values(name)))
                    .collect(),
                body: Arc::from(&body[..]),
            })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Fault::internal(
                source,
                "Timeout",
                format!(
                    "There was no response within {} s.",
                    self.timeout.as_secs_f64()
                ),
            )),
        }
    }
}

/// Keeps the response, or decides what a failure means.
pub(super) async fn keep(
    x: &mut Exchange,
    policy: &SendRequest,
    sent: Result<ResponseData, Fault>,
) -> Result<(), Fault> {
    let data = match sent {
        Ok(response) => Data::Response(Arc::new(response)),
        Err(fault) => {
            if !*x.value(&policy.ignore_error, "send-request").await? {
                return Err(fault);
            }
            tracing::debug!(request_id = %x.request_id, %fault, "send-request failed, as the policy permits");
            Data::Null
        }
    };
    x.variables
        .insert(policy.response_variable_name.clone(), data);
    Ok(())
}

pub(super) async fn apply(x: &mut Exchange, policy: &SendRequest) -> Result<Flow, Fault> {
    let ready = prepare(x, &policy.request, "send-request").await?;
    let sent = ready.send().await;
    keep(x, policy, sent).await?;
    Ok(Flow::Next)
}

pub(super) async fn one_way(x: &mut Exchange, policy: &SendOneWayRequest) -> Result<Flow, Fault> {
    let ready = prepare(x, &policy.request, "send-one-way-request").await?;
    let request_id = x.request_id;
    tokio::spawn(async move {
        if let Err(fault) = ready.send().await {
            tracing::warn!(%request_id, %fault, "send-one-way-request failed");
        }
    });
    Ok(Flow::Next)
}
