//! A request id for every request, the headers every reply carries, one log line and one metric per request.

use actix_web::{
    HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};
use std::time::Instant;

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
    let began = Instant::now();
    let mut response = next.call(request).await?;
    let seconds = began.elapsed().as_secs_f64();
    let status = response.status();
    metrics::counter!("portico_management_requests_total", "method" => method.to_string(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("portico_management_request_seconds", "method" => method.to_string())
        .record(seconds);
    // The query is left out: it may hold tokens.
    tracing::info!(request_id = id, %method, path, status = status.as_u16(), seconds, "management request");
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
