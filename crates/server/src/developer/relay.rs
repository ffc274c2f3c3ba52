//! Try it: a call through the service's own gateway, made here, because a browser would neither let a page
//! of another origin see all headers nor set all of them.
//!
//! It reaches the gateway of this service and nothing else: the URL must begin with the service's own. Where this process
//! runs a gateway the call is handed to it in memory, with the developer's own address, so that filters, limits and
//! records see who calls and no header can pretend it. A gateway elsewhere is told by `X-Forwarded-For`, which counts
//! there if that gateway trusts this process as a proxy.

use super::{answered, fresh};
use crate::{State, client_address, sign_in::parsed};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{Error, Result};
use gateway::Gateway;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Request, Uri, body::Bytes, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use utoipa::ToSchema;

/// Longest that a call may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Longest body that is shown, in bytes.
const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;
/// Longest body that is sent, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Most headers that are sent.
const MAX_HEADERS: usize = 64;
/// Longest URL, in bytes.
const MAX_URL_BYTES: usize = 8 * 1024;
/// Room of the connection in memory, in bytes.
const PIPE_BYTES: usize = 64 * 1024;

/// Headers that say how one connection is used or who is at its other end, and are this relay's to set.
const OF_THE_CONNECTION: [&str; 14] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// A call to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    method: String,
    /// Begins with the URL of the service's gateway.
    url: String,
    /// Names and values.
    #[serde(default)]
    #[schema(value_type = Vec<Vec<String>>)]
    headers: Vec<(String, String)>,
    /// The content, where it is text.
    body: Option<String>,
    /// The content, where it is not: a file, or a form with files.
    base64: Option<String>,
}

/// What came of a call.
#[derive(Serialize, ToSchema)]
pub struct Reply {
    url: String,
    method: String,
    status: u16,
    reason: String,
    /// Names and values.
    #[schema(value_type = Vec<Vec<String>>)]
    headers: Vec<(String, String)>,
    /// The content, where it is text.
    text: Option<String>,
    /// The content, where it is not.
    base64: Option<String>,
    /// Until the last byte of the reply.
    milliseconds: u64,
}

pub(super) async fn send(state: web::Data<State>, http: HttpRequest, body: Bytes) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let client = client_address::of(&http);
        relayed(
            &state,
            client,
            portal.gateway_url.as_deref(),
            parsed(&body)?,
        )
        .await
        .map(|reply| fresh(&reply))
    })
    .await
}

/// Sends a call of a client through the gateway of a service, whose URL is absent while it is being activated.
///
/// # Errors
/// A URL that is not the gateway's, headers that cannot be set, a gateway that does not answer.
pub(crate) async fn relayed(
    state: &State,
    client: IpAddr,
    gateway: Option<&str>,
    call: Call,
) -> Result<Reply> {
    let gateway =
        gateway.ok_or_else(|| Error::Conflict("The service is still being activated.".into()))?;
    let request = request(&call, gateway)?;
    let began = Instant::now();
    let exchange = exchange(state.gateway.as_ref(), client, gateway, request);
    let (status, reason, headers, content) = tokio::time::timeout(TIME_LIMIT, exchange)
        .await
        .map_err(|_| Error::Conflict("The gateway did not answer in time.".into()))??;
    let headers = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let (text, base64) = match String::from_utf8(content.to_vec()) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(&content))),
    };
    Ok(Reply {
        url: call.url,
        method: call.method,
        status,
        reason: reason.to_owned(),
        headers,
        text,
        base64,
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
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
    let mut violations = engine::Violations::default();
    let body = match (&call.body, &call.base64) {
        (Some(_), Some(_)) => {
            violations.add("base64", "cannot stand beside body");
            Bytes::new()
        }
        (None, Some(text)) => BASE64_STANDARD.decode(text).map_or_else(
            |_| {
                violations.add("base64", "must be base64");
                Bytes::new()
            },
            Bytes::from,
        ),
        (text, None) => Bytes::from(text.clone().unwrap_or_default()),
    };
    if call.url.len() > MAX_URL_BYTES {
        violations.add("url", format!("must be {MAX_URL_BYTES} bytes at most"));
    }
    if call.headers.len() > MAX_HEADERS {
        violations.add("headers", format!("must be {MAX_HEADERS} at most"));
    }
    if body.len() > MAX_BODY_BYTES {
        violations.add("body", format!("must be {MAX_BODY_BYTES} bytes at most"));
    }
    violations.into_result()?;
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

fn unreachable(error: impl std::fmt::Display) -> Error {
    Error::Conflict(format!("The gateway cannot be reached: {error}"))
}

async fn exchange(
    own_gateway: Option<&Gateway>,
    client: IpAddr,
    gateway: &str,
    mut request: Request<Full<Bytes>>,
) -> Result<(u16, &'static str, HeaderMap, Bytes)> {
    if let Some(own) = own_gateway {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let own = own.clone();
        // Ends when this side of the pipe is dropped.
        let tls = gateway.starts_with("https://");
        tokio::spawn(async move { own.converse(theirs, SocketAddr::new(client, 0), tls).await });
        return over(ours, request).await;
    }
    if !gateway.starts_with("http://") {
        return Err(Error::Conflict(
            "This process runs no gateway; call the service's gateway directly.".into(),
        ));
    }
    let authority = authority(gateway);
    let address = if authority.contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    if let Ok(client) = client.to_string().parse() {
        request.headers_mut().insert("x-forwarded-for", client);
    }
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    over(stream, request).await
}

/// Sends one request over a connection of its own.
async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(u16, &'static str, HeaderMap, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(unreachable)?;
    let connection = tokio::spawn(connection);
    let reply = sender.send_request(request).await.map_err(unreachable)?;
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
            base64: None,
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
        for name in [
            "Host",
            "transfer-encoding",
            "X-Forwarded-For",
            "Forwarded",
            "bad name",
        ] {
            assert!(
                request(&call(url, name), "http://127.1.2.3:8081").is_err(),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn a_content_is_text_or_base64() {
        let gateway = "http://127.1.2.3:8081";
        let sent = async |body: Option<&str>, base64: Option<&str>| {
            let call = Call {
                body: body.map(str::to_owned),
                base64: base64.map(str::to_owned),
                ..call("http://127.1.2.3:8081/echo", "x-a")
            };
            match request(&call, gateway) {
                Ok(request) => Ok(request.into_body().collect().await.map(|b| b.to_bytes())),
                Err(error) => Err(error.envelope()["error"]["details"][0]["target"].clone()),
            }
        };
        let bytes = |bytes: &'static [u8]| Ok(Ok(Bytes::from_static(bytes)));
        assert_eq!(sent(Some("čaj"), None).await, bytes("čaj".as_bytes()));
        assert_eq!(sent(None, Some("/wAB")).await, bytes(&[0xff, 0, 1]));
        assert_eq!(sent(None, None).await, bytes(b""));
        assert_eq!(sent(None, Some("?")).await, Err("base64".into()));
        assert_eq!(sent(Some(""), Some("")).await, Err("base64".into()));
    }

    #[test]
    fn a_call_has_a_largest_size() {
        use serde_json::Value;
        let url = "http://127.1.2.3:8081/echo";
        let gateway = "http://127.1.2.3:8081";
        let large = Call {
            body: Some("x".repeat(MAX_BODY_BYTES + 1)),
            headers: vec![("x-a".into(), "x".into()); MAX_HEADERS + 1],
            ..call(&format!("{url}?{}", "x".repeat(MAX_URL_BYTES)), "x-a")
        };
        let Err(error) = request(&large, gateway) else {
            panic!("the call is too large");
        };
        let targets: Vec<Value> = error.envelope()["error"]["details"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|detail| detail["target"].clone())
            .collect();
        assert_eq!(targets, ["url", "headers", "body"]);
    }
}
