//! Management requests: actix in, engine out.
//!
//! Everything below `/subscriptions` and `/providers` that is not answered by [`arm`](crate::arm) comes
//! here: credentials become a [`Caller`], the path a `ResourcePath`, the engine answers, and every
//! error becomes the contract's envelope in one place.

use crate::{
    State, authorization_login, calls, connectivity, deleted, documents, idempotency, key_vault,
    mails, nodes, operations, provider, quotas, test_call, workbench,
};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web,
};
use arm_id::{ResourcePath, Root};
use engine::{Caller, Error, IfMatch, Method, Origin, Query, Reply, Request, Result};
use std::time::Duration;

/// Oldest and newest contract versions that are understood.
const API_VERSIONS: std::ops::RangeInclusive<&str> = "2021-08-01"..="2024-06-01-preview";

/// Largest request body in bytes: imported documents are the largest.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Longest that one management request may take.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Whether a path leads into a service: most requests do, and no other route has such a path, so that they need not be compared with
/// all of these.
#[must_use]
pub fn is_in_service(path: &str) -> bool {
    let names = ["subscriptions", "resourceGroups", "providers", "service"];
    let mut segments = path.split('/').skip(1).step_by(2);
    names.iter().all(|name| {
        segments
            .next()
            .is_some_and(|segment| segment.eq_ignore_ascii_case(name))
    })
}

/// Answers a management request.
pub async fn answer(
    state: web::Data<State>,
    http: HttpRequest,
    body: std::result::Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    let work = async {
        let request = read(&state, &http, body).await?;
        let key = http
            .headers()
            .get("idempotency-key")
            .map(|key| key.to_str().unwrap_or_default().to_owned());
        let prefer = http.headers().get("prefer").and_then(|v| v.to_str().ok());
        let wait = nodes::wanted(&request, prefer)?;
        let reply = idempotency::once(&state, &request, key.as_deref(), async || {
            dispatch(&state, &request).await
        })
        .await?;
        match wait {
            None => Ok(reply),
            Some(limit) => nodes::wait(&state, &request, limit, reply).await,
        }
    };
    match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(Ok(reply)) => respond(reply),
        Ok(Err(error)) => fail(&http, &error),
        Err(_) => fail(
            &http,
            &Error::Unavailable("the request took too long".into()),
        ),
    }
}

async fn dispatch(state: &State, request: &Request) -> Result<Reply> {
    if let Some(reply) = operations::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = deleted::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = provider::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = connectivity::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = quotas::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = mails::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = nodes::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = calls::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = crate::traces::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = workbench::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = test_call::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = documents::answer(state, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = reports::answer(&state.engine, request).await? {
        return Ok(reply);
    }
    if let Some(reply) = key_vault::answer(state, request).await? {
        return Ok(reply);
    }
    let mut followed = documents::followed(state, request).await?;
    if followed.is_none() {
        followed = key_vault::followed(state, request).await?;
    }
    if followed.is_none() {
        followed = authorization_login::followed(state, request).await?;
    }
    state
        .engine
        .print(followed.as_ref().unwrap_or(request))
        .await
}

async fn read(
    state: &State,
    http: &HttpRequest,
    body: std::result::Result<web::Bytes, actix_web::Error>,
) -> Result<Request> {
    // Before anything else, so that a stranger learns nothing about paths and versions.
    let caller = caller(state, http).await?;
    let body = body.map_err(|_| Error::TooLarge(MAX_BODY_BYTES))?;
    let query = Query(
        serde_urlencoded::from_str(http.query_string())
            .map_err(|e| Error::Malformed(format!("The query string cannot be read: {e}")))?,
    );
    let api_version = match query.value("api-version") {
        None | Some("") => return Err(Error::MissingApiVersion),
        Some(version) if API_VERSIONS.contains(&version) => version.to_owned(),
        Some(version) => return Err(Error::UnsupportedApiVersion(version.to_owned())),
    };
    let path = ResourcePath::parse(http.path())
        .map_err(|e| Error::Malformed(format!("The path cannot be read: {e}")))?;
    if path.root == Root::Relative {
        return Err(Error::UnknownType {
            path: http.path().to_owned(),
        });
    }
    let method = match http.method().as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        other => return Err(Error::MethodNotAllowed(other.to_owned())),
    };
    let if_match = IfMatch::parse(
        http.headers()
            .get(header::IF_MATCH)
            .and_then(|v| v.to_str().ok()),
    );
    Ok(Request {
        method,
        path,
        query,
        if_match,
        body,
        caller,
        base_url: base_url(http),
        api_version,
        origin: Origin {
            address: crate::client_address::of(http).to_string(),
            request_id: crate::request_id::of(http),
        },
    })
}

/// Scheme and authority that the caller used.
#[must_use]
pub fn base_url(http: &HttpRequest) -> String {
    let connection = http.connection_info();
    format!("{}://{}", connection.scheme(), connection.host())
}

/// Who calls: a bearer token, a SharedAccessSignature of a service's tenant access, or a publisher's session.
///
/// # Errors
/// `Unauthenticated` with a sentence that says which credentials are accepted.
pub async fn caller(state: &State, http: &HttpRequest) -> Result<Caller> {
    let header = http
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            let principal = verified(state, http, token.trim()).await.map_err(|e| crate::sign_in::token_error(&e))?;
            Ok(Caller::Principal { id: principal.id, name: principal.name })
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("sharedaccesssignature") => {
            crate::sign_in::integration(state, header, http.path()).await
        }
        None if header.is_empty() && let Some(token) = crate::portal::session_token(state, http)? => {
            let principal = verified(state, http, &token).await.map_err(|e| crate::sign_in::token_error(&e))?;
            Ok(Caller::Principal { id: principal.id, name: principal.name })
        }
        _ => Err(Error::Unauthenticated(
            "Authentication failed. The 'Authorization' header is missing or has an unknown scheme; send 'Bearer <token>'.".into(),
        )),
    }
}

/// Below a service every statement asks whether the principal has a role there and is not disabled, so that asking before each is
/// of no use.
async fn verified(
    state: &State,
    http: &HttpRequest,
    token: &str,
) -> std::result::Result<identity::Principal, identity::TokenError> {
    const SERVICE: &str = "/providers/microsoft.apimanagement/service/";
    if http.path().to_ascii_lowercase().contains(SERVICE) {
        state.identity.recognise(token).await
    } else {
        state.identity.verify(token).await
    }
}

/// A reply of the engine as an HTTP response.
#[must_use]
pub fn respond(reply: Reply) -> HttpResponse {
    let mut out = HttpResponseBuilder::new(
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    );
    for (name, value) in reply.headers {
        out.insert_header((name, value));
    }
    let text = match (reply.text, reply.body) {
        (Some(text), _) => text,
        (None, Some(body)) => body.to_string().into(),
        (None, None) => return out.finish(),
    };
    out.content_type("application/json; charset=utf-8")
        .body(text)
}

/// An error as the contract's envelope; what only helps us goes to the log, once, with the request id.
#[must_use]
pub fn fail(http: &HttpRequest, error: &Error) -> HttpResponse {
    if let Error::Internal(source) | Error::Unavailable(source) = error {
        tracing::error!(
            request_id = crate::request_id::of(http),
            method = %http.method(),
            path = http.path(),
            error = ?source,
            "a management request failed"
        );
    }
    let mut out = HttpResponseBuilder::new(
        StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    );
    match error {
        Error::Unauthenticated(_) => {
            out.insert_header((
                header::WWW_AUTHENTICATE,
                format!(
                    "Bearer authorization_uri=\"{}/oauth2/token\", error=\"invalid_token\"",
                    base_url(http)
                ),
            ));
        }
        Error::TooManyRequests(seconds) => {
            out.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        _ => {}
    }
    out.content_type("application/json; charset=utf-8")
        .body(error.envelope().to_string())
}
