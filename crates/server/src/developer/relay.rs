//! Try it: a call through the service's own gateway, made here, because a browser would neither let a page
//! of another origin see all headers nor set all of them.
//!
//! It reaches the gateway of this service and nothing else: the URL must begin with the service's own, and
//! the connection goes to this process's gateway, or to the address that the service prints.

use super::{answered, fresh};
use crate::{State, sign_in::parsed};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{Error, Result};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Request, Uri, body::Bytes, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Longest that a call may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Longest body that is shown, in bytes.
const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;

/// Headers that say how one connection is used, and are this relay's to set.
const OF_THE_CONNECTION: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
}

pub(super) async fn send(state: web::Data<State>, http: HttpRequest, body: Bytes) -> HttpResponse {
    answered(&state, &http, async |portal| {
        relayed(&state, portal.gateway_url.as_deref(), parsed(&body)?)
            .await
            .map(|reply| fresh(&reply))
    })
    .await
}

/// Sends a call through the gateway of a service, whose URL is absent while it is being activated.
///
/// # Errors
/// A URL that is not the gateway's, headers that cannot be set, a gateway that does not answer.
pub(crate) async fn relayed(state: &State, gateway: Option<&str>, call: Call) -> Result<Value> {
    let gateway =
        gateway.ok_or_else(|| Error::Conflict("The service is still being activated.".into()))?;
    let request = request(&call, gateway)?;
    let began = Instant::now();
    let exchange = exchange(state.gateway_port, gateway, request);
    let (status, reason, headers, content) = tokio::time::timeout(TIME_LIMIT, exchange)
        .await
        .map_err(|_| Error::Conflict("The gateway did not answer in time.".into()))??;
    let headers: Vec<Value> = headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let (text, base64) = match String::from_utf8(content.to_vec()) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(&content))),
    };
    Ok(json!({
        "url": call.url,
        "method": call.method,
        "status": status,
        "reason": reason,
        "headers": headers,
        "text": text,
        "base64": base64,
        "milliseconds": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// The call as the gateway gets it.
fn request(call: &Call, gateway: &str) -> Result<Request<Full<Bytes>>> {
    let below = call
        .url
        .strip_prefix(gateway)
        .filter(|below| below.starts_with(['/', '?']) || below.is_empty())
        .ok_or_else(|| Error::invalid("url", format!("must begin with {gateway}/")))?;
    let target = if below.starts_with('/') {
        below.to_owned()
    } else {
        format!("/{below}")
    };
    let target: Uri = target
        .parse()
        .map_err(|e| Error::invalid("url", format!("cannot be sent: {e}")))?;
    let body = Bytes::from(call.body.clone().unwrap_or_default());
    let mut request = Request::builder()
        .method(call.method.as_str())
        .uri(target)
        .header(header::HOST, authority(gateway));
    for (name, value) in &call.headers {
        if OF_THE_CONNECTION.contains(&name.to_lowercase().as_str()) {
            return Err(Error::invalid("headers", format!("may not set {name}")));
        }
        request = request.header(name, value);
    }
    request
        .body(Full::new(body))
        .map_err(|e| Error::invalid("headers", format!("cannot be sent: {e}")))
}

fn authority(gateway: &str) -> &str {
    gateway
        .split_once("://")
        .map_or(gateway, |(_, rest)| rest)
        .trim_end_matches('/')
}

async fn exchange(
    own_gateway: Option<u16>,
    gateway: &str,
    request: Request<Full<Bytes>>,
) -> Result<(u16, &'static str, HeaderMap, Bytes)> {
    let unreachable =
        |e: &dyn std::fmt::Display| Error::Conflict(format!("The gateway cannot be reached: {e}"));
    let authority = authority(gateway);
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let stream = match own_gateway {
        // Without a domain each service has a loopback address of its own, and a name resolves to anything.
        Some(port)
            if host
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|ip| ip.is_loopback()) =>
        {
            TcpStream::connect((host, port)).await
        }
        Some(port) => TcpStream::connect(("127.0.0.1", port)).await,
        None if gateway.starts_with("http://") => {
            let port = authority
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok())
                .unwrap_or(80);
            TcpStream::connect((host, port)).await
        }
        None => {
            return Err(Error::Conflict(
                "This process runs no gateway; call the service's gateway directly.".into(),
            ));
        }
    }
    .map_err(|e| unreachable(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(&e))?;
    let connection = tokio::spawn(connection);
    let reply = sender
        .send_request(request)
        .await
        .map_err(|e| unreachable(&e))?;
    let (head, body) = reply.into_parts();
    let content = Limited::new(body, MAX_REPLY_BYTES)
        .collect()
        .await
        .map_err(|e| Error::Conflict(format!("The reply cannot be shown: {e}")))?
        .to_bytes();
    connection.abort();
    let reason = head.status.canonical_reason().unwrap_or_default();
    Ok((head.status.as_u16(), reason, head.headers, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(url: &str, header: &str) -> Call {
        Call {
            method: "POST".into(),
            url: url.into(),
            headers: vec![(header.into(), "x".into())],
            body: None,
        }
    }

    #[test]
    fn only_the_services_own_gateway_can_be_called() {
        let gateway = "http://127.1.2.3:8081";
        for (url, allowed) in [
            ("http://127.1.2.3:8081/echo/resource?a=1", true),
            ("http://127.1.2.3:8081", true),
            ("http://127.1.2.3:80811/echo", false),
            ("http://127.1.2.3:8081@evil.example/", false),
            ("http://127.1.2.3:8081.evil.example/", false),
            ("http://127.0.0.1:8080/subscriptions", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(
                request(&call(url, "x-a"), gateway).is_ok(),
                allowed,
                "{url}"
            );
        }
    }

    #[test]
    fn headers_of_the_connection_are_the_relays() {
        let url = "http://127.1.2.3:8081/echo";
        for name in ["Host", "transfer-encoding", "bad name"] {
            assert!(
                request(&call(url, name), "http://127.1.2.3:8081").is_err(),
                "{name}"
            );
        }
    }
}
