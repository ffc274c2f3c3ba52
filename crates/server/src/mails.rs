//! The outbox of a service: every mail with its delivery status, readable also where no SMTP server is
//! configured, and the sending again of what failed. Portico's own addition to the contract.

use crate::State;
use chrono::{DateTime, Utc};
use engine::{Access, Error, Method, Reply, Request, Result, Violations, audit, json, verbs::At};
use mail::{Mail, Search, Status};
use serde_json::Value;
use uuid::Uuid;

/// Mails of a page, unless `$top` says otherwise; the newest come first.
const PAGE: i64 = 200;
/// Mails of a page at most.
const LARGEST_PAGE: i64 = 1000;

/// Type of a mail in audit entries.
const TYPE: &str = "Microsoft.ApiManagement/service/mails";

/// The reply to requests about mails; `None` for other requests.
///
/// # Errors
/// Not found, not allowed: mails hold keys and links, so reading them needs the role contributor.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let pairs: Vec<(&str, &str)> = request
        .path
        .pairs
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let is = |text: &str, wanted: &str| text.eq_ignore_ascii_case(wanted);
    let tail = request.path.tail.as_deref();
    match (pairs.as_slice(), tail) {
        ([(service, _)], Some(tail)) if is(service, "service") && is(tail, "mails") => {
            match request.method {
                Method::Get => list(state, request).await.map(Some),
                _ => Err(Error::MethodNotAllowed(request.method.name().to_owned())),
            }
        }
        ([(service, _), (mails, id)], tail) if is(service, "service") && is(mails, "mails") => {
            let mut tx = state.engine.pool.begin().await?;
            let at = state
                .engine
                .enter(&mut tx, request, Access::Secret, "mails/read")
                .await?;
            let missing = || Error::not_found("Mail");
            let id: Uuid = id.parse().map_err(|_| missing())?;
            let mail = mail::mail(&mut tx, id)
                .await
                .map_err(Error::internal)?
                .filter(|mail| mail.service_id == Some(at.service.id))
                .ok_or_else(missing)?;
            let path = format!("{}/mails/{id}", at.service.path);
            match (request.method, tail) {
                (Method::Get, None) => {
                    note(state, &mut tx, request, &at, "read", &path).await?;
                    tx.commit().await?;
                    Ok(Some(Reply::ok(envelope(&at, &mail))))
                }
                (Method::Post, Some(action)) if is(action, "resend") => {
                    if !mail::requeue(&mut tx, id).await.map_err(Error::internal)? {
                        return Err(Error::Conflict("The mail is queued already.".into()));
                    }
                    note(state, &mut tx, request, &at, "resend/action", &path).await?;
                    tx.commit().await?;
                    Ok(Some(Reply::empty(204)))
                }
                (_, None | Some("resend")) => {
                    Err(Error::MethodNotAllowed(request.method.name().to_owned()))
                }
                (_, Some(_)) => Err(Error::UnknownType {
                    path: request.path.to_string(),
                }),
            }
        }
        _ => Ok(None),
    }
}

/// Records the reading or sending of mails: they hold keys and links.
async fn note(
    state: &State,
    conn: &mut engine::PgConnection,
    request: &Request,
    at: &At,
    action: &str,
    resource: &str,
) -> Result<()> {
    audit::note(
        conn,
        &state.engine,
        request,
        at.service.id,
        &format!("{TYPE}/{action}"),
        resource,
        None,
    )
    .await
}

/// What the query asks for; every wrong parameter is named.
fn search(request: &Request) -> Result<Search> {
    let mut violations = Violations::default();
    let text = |name: &str| {
        request
            .query
            .value(name)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let mut search = Search {
        template: text("template"),
        recipient: text("recipient"),
        top: PAGE,
        ..Search::default()
    };
    if let Some(status) = text("status") {
        let status = Value::String(status.to_ascii_lowercase());
        match serde_json::from_value::<Status>(status) {
            Ok(status) => search.status = Some(status),
            Err(_) => violations.add("status", "must be one of queued, held, sent, failed"),
        }
    }
    for (name, moment) in [("from", &mut search.from), ("until", &mut search.until)] {
        if let Some(text) = text(name) {
            match DateTime::parse_from_rfc3339(&text) {
                Ok(given) => *moment = Some(given.with_timezone(&Utc)),
                Err(_) => violations.add(name, "must be a time such as 2026-12-01T00:00:00Z"),
            }
        }
    }
    for (name, least, number) in [("$top", 1, &mut search.top), ("$skip", 0, &mut search.skip)] {
        if let Some(text) = text(name) {
            match text.parse::<i64>() {
                Ok(given) if given >= least => *number = given,
                _ => violations.add(name, format!("must be a whole number of at least {least}")),
            }
        }
    }
    search.top = search.top.min(LARGEST_PAGE);
    violations.into_result()?;
    Ok(search)
}

async fn list(state: &State, request: &Request) -> Result<Reply> {
    let mut search = search(request)?;
    let mut tx = state.engine.pool.begin().await?;
    let at = state
        .engine
        .enter(&mut tx, request, Access::Secret, "mails/read")
        .await?;
    search.service_id = Some(at.service.id);
    let (mails, count) = mail::mails(&mut tx, &search)
        .await
        .map_err(Error::internal)?;
    let path = format!("{}/mails", at.service.path);
    note(state, &mut tx, request, &at, "read", &path).await?;
    tx.commit().await?;
    let value: Vec<Value> = mails.iter().map(|mail| envelope(&at, mail)).collect();
    let shown = search.skip + i64::try_from(mails.len()).unwrap_or(i64::MAX);
    let mut body = json!({"count": count, "value": value});
    if shown < count && !mails.is_empty() {
        let mut query: Vec<(String, String)> = request.query.0.clone();
        query.retain(|(name, _)| !name.eq_ignore_ascii_case("$skip"));
        query.push(("$skip".into(), shown.to_string()));
        let query = serde_urlencoded::to_string(query).map_err(Error::internal)?;
        body["nextLink"] =
            format!("{}{}?{query}", request.base_url, arm_id::to_url_path(&path)).into();
    }
    Ok(Reply::ok(body))
}

fn envelope(at: &At, mail: &Mail) -> Value {
    json!({
        "id": format!("{}/mails/{}", at.service.path, mail.id),
        "type": format!("{}/service/mails", arm_id::PROVIDER),
        "name": mail.id,
        "properties": {
            "template": mail.template,
            "messageId": mail.message_id,
            "sender": mail.sender,
            "recipient": mail.recipient,
            "shownRecipient": mail.shown_recipient,
            "subject": mail.subject,
            "text": mail.text_body,
            "html": mail.html_body,
            "status": mail.status,
            "attempts": mail.attempts,
            "lastError": mail.last_error,
            "createdAt": mail.created_at,
            "sentAt": mail.sent_at,
        }
    })
}
