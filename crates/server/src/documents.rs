//! Documents of APIs: links of imports are followed before the engine sees them, and exports are answered.
//!
//! `PUT …/apis/{id}` with `format: openapi-link` becomes one with `format: openapi`. `GET …/apis/{id}?export=true` answers
//! a link that is valid for five minutes and needs no credentials, as the contract has it: what it may show and until
//! when is sealed in the link itself, so any replica can answer it.

use crate::{State, management::fail};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use engine::{Access, Error, Method, Reply, Request, Result, json, workspace};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// How long a link to an export is valid, in seconds (contract rules §7).
const VALID_SECONDS: i64 = 5 * 60;
/// What tickets are sealed for.
const PURPOSE: &str = "server.export";

/// What a link to an export may show.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ticket {
    api: Uuid,
    format: String,
    /// Seconds since 1970.
    expires: i64,
}

#[derive(Deserialize)]
struct Shown {
    /// A sealed [`Ticket`].
    #[serde(default)]
    ticket: String,
}

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    // The ticket is no part of the path, because paths are logged.
    config.route("/exports", web::get().to(download));
}

/// Whether the request is about one API itself.
fn is_api(request: &Request) -> bool {
    let entered = workspace::entered(&request.path);
    let path = entered.as_ref().unwrap_or(&request.path);
    match (path.pairs.as_slice(), &path.tail) {
        ([(service, _), (apis, _)], None) => {
            service.eq_ignore_ascii_case("service") && apis.eq_ignore_ascii_case("apis")
        }
        _ => false,
    }
}

/// What a request with this format holds instead of a link, and what its caller must be allowed to write.
fn linked(request: &Request, format: &str) -> Option<(&'static str, &'static str)> {
    if is_api(request) {
        return Some((kinds::import::followed(format)?, "apis/write"));
    }
    let (segment, _) = request.path.pairs.last()?;
    if request.path.tail.is_some() || !segment.eq_ignore_ascii_case("policies") {
        return None;
    }
    match format {
        "xml-link" => Some(("xml", "policies/write")),
        "rawxml-link" => Some(("rawxml", "policies/write")),
        _ => None,
    }
}

/// The request with the document in the place of a link to it; other requests as they are.
///
/// # Errors
/// Why the link leads to no document; not allowed to write, because a stranger must not make this process call others.
pub async fn followed(state: &State, request: &Request) -> Result<Option<Request>> {
    if !matches!(request.method, Method::Put | Method::Patch) {
        return Ok(None);
    }
    // Most writes hold no document: they are not parsed twice.
    if !request
        .body
        .windows(5)
        .any(|part| part.eq_ignore_ascii_case(b"-link"))
    {
        return Ok(None);
    }
    let mut body = request.json()?;
    let properties = match body.get_mut("properties") {
        Some(Value::Object(properties)) => properties,
        _ => &mut body,
    };
    let Some((format, action)) = properties
        .get("format")
        .and_then(Value::as_str)
        .and_then(|format| linked(request, format))
    else {
        return Ok(None);
    };
    let Some(link) = properties.get("value").and_then(Value::as_str) else {
        return Ok(None);
    };
    {
        // Given back before the fetch: a slow server must not hold connections to Postgres.
        let mut connection = state.engine.pool.acquire().await?;
        state
            .engine
            .enter(&mut connection, request, Access::Write, action)
            .await?;
    }
    let document = state
        .links
        .document(link)
        .await
        .map_err(|error| Error::invalid("value", error.to_string()))?;
    properties.insert("format".into(), format.into());
    properties.insert("value".into(), document.into());
    let body = serde_json::to_vec(&body).map_err(Error::internal)?;
    Ok(Some(Request {
        body: body.into(),
        ..request.clone()
    }))
}

/// The reply to an export; `None` for other requests.
///
/// # Errors
/// Not found, not allowed, an unknown format, an API that cannot be written so.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let wanted = request
        .query
        .value("export")
        .is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if !wanted || request.method != Method::Get || !is_api(request) {
        return Ok(None);
    }
    let name = request.query.value("format").unwrap_or_default();
    let (format, label) = kinds::export::format(name)?;
    // The API as everybody may read it: it exists, and the caller may.
    let api = state.engine.handle(request).await?;
    let id = api.body.as_ref().and_then(|body| body["id"].as_str());
    let id = id.ok_or_else(|| Error::internal("an API without an id"))?;
    let mut connection = state.engine.pool.acquire().await?;
    let at = state
        .engine
        .enter(&mut connection, request, Access::Read, "apis/read")
        .await?;
    let name = request.path.pairs.last().map_or("", |(_, name)| name);
    let row: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM apis WHERE parent_id = $1 AND (lower(name) = lower($2) OR lower(revision_name) = lower($2))")
            .bind(at.service.id)
            .bind(name)
            .fetch_optional(&mut *connection)
            .await?;
    let row = row.ok_or_else(|| Error::not_found("Api"))?;
    // Written once now, so that what cannot be written is said here and not at the end of a link.
    kinds::export::document(&mut connection, row, format, "").await?;
    engine::audit::note(
        &mut connection,
        &state.engine,
        request,
        at.service.root,
        "Microsoft.ApiManagement/service/apis/export/action",
        id,
        Some(json!({"format": label})),
    )
    .await?;
    let ticket = Ticket {
        api: row,
        format: label.to_owned(),
        expires: state.engine.now().timestamp() + VALID_SECONDS,
    };
    let link = format!(
        "{}/exports?ticket={}",
        request.base_url,
        sealed(state, &ticket)?
    );
    Ok(Some(Reply::ok(
        json!({"id": id, "format": label, "value": {"link": link}}),
    )))
}

fn sealed(state: &State, ticket: &Ticket) -> Result<String> {
    let plain = serde_json::to_vec(ticket).map_err(Error::internal)?;
    let sealed = state
        .engine
        .codec
        .secrets
        .seal(PURPOSE, &plain)
        .map_err(Error::internal)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(sealed))
}

/// The ticket of a link; `None` for what this installation did not give out, or no longer accepts.
fn opened(state: &State, text: &str) -> Option<Ticket> {
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let plain = state.engine.codec.secrets.open(PURPOSE, &sealed).ok()?;
    let ticket: Ticket = serde_json::from_slice(&plain).ok()?;
    (ticket.expires > state.engine.now().timestamp()).then_some(ticket)
}

async fn download(
    state: web::Data<State>,
    http: HttpRequest,
    query: web::Query<Shown>,
) -> HttpResponse {
    match exported(&state, &query.ticket).await {
        Ok(document) => HttpResponse::Ok()
            .content_type(document.media_type)
            .insert_header(("Cache-Control", "no-store"))
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .body(document.text),
        Err(error) => fail(&http, &error),
    }
}

async fn exported(state: &State, text: &str) -> Result<kinds::export::Document> {
    let ticket = opened(state, text).ok_or_else(|| Error::not_found("Export"))?;
    let (format, _) = kinds::export::format(&ticket.format)?;
    let mut connection = state.engine.pool.acquire().await?;
    let gateway: Option<Option<String>> = sqlx::query_scalar(
        "SELECT s.gateway_url FROM apis a JOIN services w ON w.id = a.parent_id \
         JOIN services s ON s.id = coalesce(w.workspace_of, w.id) WHERE a.id = $1 AND s.deleted_at IS NULL",
    )
    .bind(ticket.api)
    .fetch_optional(&mut *connection)
    .await?;
    let gateway = gateway.ok_or_else(|| Error::not_found("Export"))?;
    kinds::export::document(
        &mut connection,
        ticket.api,
        format,
        gateway.as_deref().unwrap_or_default(),
    )
    .await
}
