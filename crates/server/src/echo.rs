//! The echo backend behind the Echo API that every new service holds.
//!
//! Answers any method with the request's headers and body, so that a first call through the gateway
//! shows what a backend receives. Credentials are left out of the answer.

use actix_web::{HttpRequest, HttpResponse, http::header, web};

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(web::scope("/echo").default_service(web::to(echo)));
}

/// Headers that are not sent back: credentials, and what describes the connection.
const HIDDEN: &[header::HeaderName] = &[
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::HOST,
    header::UPGRADE,
    header::ACCEPT_ENCODING,
];

async fn echo(http: HttpRequest, body: web::Bytes) -> HttpResponse {
    let mut out = HttpResponse::Ok();
    for (name, value) in http.headers() {
        if !HIDDEN.contains(name) {
            out.append_header((name.clone(), value.clone()));
        }
    }
    if body.is_empty() {
        return out.finish();
    }
    if !http.headers().contains_key(header::CONTENT_TYPE) {
        out.content_type("application/octet-stream");
    }
    out.body(body)
}
