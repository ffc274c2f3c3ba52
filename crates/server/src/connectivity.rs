//! `POST …/service/{name}/connectivityCheck`: whether this process, and so its gateway, can connect to a place.
//!
//! Three connections, one after the other, are made and closed; nothing is sent over them.

use crate::State;
use engine::{Access, Error, Method, Reply, Request, Result, Violations, json};
use serde_json::Value;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::net::{TcpStream, lookup_host};

const PROBES: u32 = 3;
/// After so long a connection that was not made counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

struct Destination {
    address: String,
    port: u16,
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
                Ok(Ok(_)) => latencies.push(began.elapsed().as_millis()),
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
    match body["protocol"].as_str() {
        None | Some("TCP" | "HTTP" | "HTTPS") => {}
        Some(_) => violations.add("protocol", "must be TCP, HTTP or HTTPS"),
    }
    if !body["protocol"].is_null() && !body["protocol"].is_string() {
        violations.add("protocol", "must be TCP, HTTP or HTTPS");
    }
    if !matches!(body["preferredIPVersion"].as_str(), None | Some("IPv4")) {
        violations.add("preferredIPVersion", "must be IPv4");
    }
    if !body["protocolConfiguration"].is_null() {
        violations.add(
            "protocolConfiguration",
            "is not supported: connections are made, and no request is sent over them",
        );
    }
    violations.into_result()?;
    match (address, port) {
        (Some(address), Some(port)) => Ok(Destination { address, port }),
        _ => Err(Error::internal("a body was refused without a violation")),
    }
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
