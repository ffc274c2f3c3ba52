//! `POST …/service/{name}/connectivityCheck`: whether this process, and so its gateway, can connect to a place.
//!
//! Three connections, one after the other, are made and closed. Over each goes a request, where the check asks for HTTP or HTTPS
//! and says which statuses are good ones; nothing else is sent.

use crate::State;
use engine::{Access, Error, Method, Reply, Request, Result, Violations, json};
use serde_json::Value;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::net::{TcpStream, lookup_host};
use url::Url;

const PROBES: u32 = 3;
/// After so long a connection that was not made counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

struct Destination {
    address: String,
    port: u16,
    request: Option<HttpRequest>,
}

/// What is sent over a connection.
struct HttpRequest {
    url: Url,
    method: hyper::Method,
    headers: hyper::HeaderMap,
    /// Statuses that are good ones; all are when there are none.
    valid: Vec<u16>,
}

impl HttpRequest {
    /// Sends it, and says what is wrong with the answer.
    async fn send(&self, state: &State, stream: TcpStream) -> std::result::Result<(), String> {
        let host = self.url.host_str().unwrap_or_default();
        let host = match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut request = hyper::Request::builder()
            .method(&self.method)
            .uri(self.url.path())
            .header(hyper::header::HOST, host)
            .body(http_body_util::Full::default())
            .map_err(|error| error.to_string())?;
        request.headers_mut().extend(self.headers.clone());
        let status = state
            .links
            .status(stream, &self.url, request)
            .await
            .map_err(|error| format!("The destination {error}."))?;
        if self.valid.is_empty() || self.valid.contains(&status) {
            Ok(())
        } else {
            Err(format!(
                "The destination answered with the status {status}."
            ))
        }
    }
}

/// The reply to a check; `None` for other requests.
///
/// # Errors
/// Not allowed, every violation of the body.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    if !request.is_of_service("connectivityCheck") {
        return Ok(None);
    }
    if request.method != Method::Post {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let mut connection = state.engine.pool.acquire().await?;
    state
        .engine
        .enter(
            &mut connection,
            request,
            Access::Write,
            "connectivityCheck/action",
        )
        .await?;
    drop(connection);
    let destination = read(&Value::Object(request.json()?))?;
    let resolved = lookup_host((destination.address.as_str(), destination.port)).await;
    let address = match resolved {
        // The contract's clients ask for IPv4; what has only the other is checked by that.
        Ok(addresses) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            let v4 = addresses.iter().find(|address| address.is_ipv4()).copied();
            v4.or(addresses.first().copied())
        }
        Err(error) => {
            tracing::debug!(%error, host = destination.address, "a name was not resolved");
            None
        }
    };
    let mut latencies = Vec::new();
    let mut failure = None;
    if let Some(address) = address {
        for _ in 0..PROBES {
            let began = Instant::now();
            match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let latency = began.elapsed().as_millis();
                    let answered = async {
                        match &destination.request {
                            None => Ok(()),
                            Some(request) => request.send(state, stream).await,
                        }
                    };
                    match tokio::time::timeout(PATIENCE, answered).await {
                        Ok(Ok(())) => latencies.push(latency),
                        Ok(Err(why)) => failure = Some(why),
                        Err(_) => failure = Some("The answer did not come in time.".to_owned()),
                    }
                }
                Ok(Err(error)) => failure = Some(error.to_string()),
                Err(_) => failure = Some("The connection was not made in time.".to_owned()),
            }
        }
    }
    Ok(Some(Reply::ok(told(
        &destination,
        address,
        &latencies,
        failure.as_deref(),
    ))))
}

/// The place that a body names.
fn read(body: &Value) -> Result<Destination> {
    let mut violations = Violations::default();
    let text = |at: &Value| {
        at.as_str()
            .filter(|text| !text.trim().is_empty())
            .map(str::to_owned)
    };
    if text(&body["source"]["region"]).is_none() {
        violations.add("source.region", "is required");
    }
    let address = text(&body["destination"]["address"]);
    if address.is_none() {
        violations.add("destination.address", "is required");
    }
    let port = body["destination"]["port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0);
    if port.is_none() {
        violations.add("destination.port", "must be a number from 1 to 65535");
    }
    let scheme = match body["protocol"].as_str() {
        None if body["protocol"].is_null() => None,
        Some("TCP") => None,
        Some("HTTP") => Some("http"),
        Some("HTTPS") => Some("https"),
        _ => {
            violations.add("protocol", "must be TCP, HTTP or HTTPS");
            None
        }
    };
    if !matches!(body["preferredIPVersion"].as_str(), None | Some("IPv4")) {
        violations.add("preferredIPVersion", "must be IPv4");
    }
    let configuration = &body["protocolConfiguration"]["HTTPConfiguration"];
    let request = match (scheme, &address, port) {
        (Some(scheme), Some(address), Some(port)) => {
            http_request(scheme, address, port, configuration, &mut violations)
        }
        (None, ..) if !configuration.is_null() => {
            violations.add("protocolConfiguration", "is for HTTP and HTTPS only");
            None
        }
        _ => None,
    };
    violations.into_result()?;
    match (address, port) {
        (Some(address), Some(port)) => Ok(Destination {
            address: match &request {
                // Brackets are of URLs, and no part of the address.
                Some(request) => request
                    .url
                    .host_str()
                    .unwrap_or_default()
                    .trim_matches(['[', ']'])
                    .to_owned(),
                None => address,
            },
            port,
            request,
        }),
        _ => Err(Error::internal("a body was refused without a violation")),
    }
}

/// The request of a check; its address is a URL or a host.
fn http_request(
    scheme: &str,
    address: &str,
    port: u16,
    configuration: &Value,
    violations: &mut Violations,
) -> Option<HttpRequest> {
    let whole = if address.contains("://") {
        address.to_owned()
    } else {
        format!("{scheme}://{address}")
    };
    let url = whole
        .parse::<Url>()
        .ok()
        .filter(|url| url.scheme() == scheme && url.has_host() && url.username().is_empty());
    let Some(mut url) = url else {
        violations.add(
            "destination.address",
            format!("must be a host, or a URL of {scheme}"),
        );
        return None;
    };
    // Cannot fail for a URL with a host.
    if url.set_port(Some(port)).is_err() {
        violations.add("destination.port", "does not go with the address");
    }
    let method = match configuration["method"].as_str() {
        None | Some("GET") => hyper::Method::GET,
        Some("POST") => hyper::Method::POST,
        Some(_) => {
            violations.add(
                "protocolConfiguration.HTTPConfiguration.method",
                "must be GET or POST",
            );
            return None;
        }
    };
    let mut valid = Vec::new();
    for (at, status) in configuration["validStatusCodes"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        match status
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
        {
            Some(status) if (100..1000).contains(&status) => valid.push(status),
            _ => violations.add(
                format!("protocolConfiguration.HTTPConfiguration.validStatusCodes[{at}]"),
                "must be an HTTP status code",
            ),
        }
    }
    let mut headers = hyper::HeaderMap::new();
    for (at, header) in configuration["headers"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let name: Option<hyper::header::HeaderName> =
            header["name"].as_str().and_then(|name| name.parse().ok());
        let value: Option<hyper::header::HeaderValue> = header["value"]
            .as_str()
            .and_then(|value| value.parse().ok());
        match (name, value) {
            (Some(name), Some(value)) => {
                headers.append(name, value);
            }
            _ => violations.add(
                format!("protocolConfiguration.HTTPConfiguration.headers[{at}]"),
                "must be a name and a value that HTTP allows",
            ),
        }
    }
    Some(HttpRequest {
        url,
        method,
        headers,
        valid,
    })
}

/// What became of the probes.
fn told(
    destination: &Destination,
    address: Option<SocketAddr>,
    latencies: &[u128],
    failure: Option<&str>,
) -> Value {
    let made = u32::try_from(latencies.len()).unwrap_or(PROBES);
    let sent = if address.is_some() { PROBES } else { 0 };
    let status = match (made, sent) {
        (0, _) => "Disconnected",
        (made, sent) if made == sent => "Connected",
        _ => "Degraded",
    };
    let issue = |kind: &str, context: &str| json!({"origin": "Local", "severity": "Error", "type": kind, "context": [{"reason": context}]});
    let issues = match (address, failure) {
        (None, _) => vec![issue(
            "DnsResolution",
            &format!("'{}' has no address.", destination.address),
        )],
        (Some(_), Some(failure)) => vec![issue("Unknown", failure)],
        (Some(_), None) => Vec::new(),
    };
    let there = address.map_or_else(String::new, |address| address.ip().to_string());
    let mut out = json!({
        "hops": [
            {"type": "Source", "id": "source", "nextHopIds": ["destination"], "issues": issues},
            {"type": "Internet", "id": "destination", "address": there, "nextHopIds": [], "issues": []},
        ],
        "connectionStatus": status,
        "probesSent": sent,
        "probesFailed": sent - made,
    });
    if let (Some(least), Some(most)) = (latencies.iter().min(), latencies.iter().max()) {
        let sum: u128 = latencies.iter().sum();
        out["minLatencyInMs"] = json!(least);
        out["maxLatencyInMs"] = json!(most);
        out["avgLatencyInMs"] = json!(sum / u128::from(made));
    }
    out
}
