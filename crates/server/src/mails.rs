//! The outbox of a service: every mail with its delivery status, readable also where no SMTP server is
//! configured, and the sending again of what failed. Portico's own addition to the contract.

use crate::State;
use engine::{Access, Error, Method, Reply, Request, Result, json, verbs::At};
use mail::{Mail, Status};
use serde_json::Value;
use uuid::Uuid;

/// Mails of a list at most; the newest come first.
const LIST_LIMIT: i64 = 200;

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
            let mut connection = state.engine.pool.acquire().await?;
            let at = state
                .engine
                .enter(&mut connection, request, Access::Secret, "mails/read")
                .await?;
            let missing = || Error::not_found("Mail");
            let id: Uuid = id.parse().map_err(|_| missing())?;
            let mail = mail::mail(&mut connection, id)
                .await
                .map_err(Error::internal)?
                .filter(|mail| mail.service_id == Some(at.service.id))
                .ok_or_else(missing)?;
            match (request.method, tail) {
                (Method::Get, None) => Ok(Some(Reply::ok(envelope(&at, &mail)))),
                (Method::Post, Some(action)) if is(action, "resend") => {
                    if mail::requeue(&mut connection, id)
                        .await
                        .map_err(Error::internal)?
                    {
                        Ok(Some(Reply::empty(204)))
                    } else {
                        Err(Error::Conflict("The mail is queued already.".into()))
                    }
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

async fn list(state: &State, request: &Request) -> Result<Reply> {
    let status = match request.query.value("status") {
        None | Some("") => None,
        Some(text) => Some(
            serde_json::from_value::<Status>(Value::String(text.to_ascii_lowercase())).map_err(
                |_| Error::invalid("status", "must be one of queued, held, sent, failed"),
            )?,
        ),
    };
    let mut connection = state.engine.pool.acquire().await?;
    let at = state
        .engine
        .enter(&mut connection, request, Access::Secret, "mails/read")
        .await?;
    let mails = mail::mails(&mut connection, Some(at.service.id), status, LIST_LIMIT)
        .await
        .map_err(Error::internal)?;
    let value: Vec<Value> = mails.iter().map(|mail| envelope(&at, mail)).collect();
    Ok(Reply::ok(json!({"count": value.len(), "value": value})))
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
