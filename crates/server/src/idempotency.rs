//! `Idempotency-Key`: a repeated PUT, PATCH or POST with the same key and content gets the first reply
//! again; another content under the same key is refused. Portico's own addition to the contract.
//!
//! Replies are sealed at rest, because they may hold keys, and kept for a day. Only replies that would be
//! the same again are kept: what failed on our side may be tried anew under the same key.

use crate::State;
use arm_id::Root;
use aws_lc_rs::digest::{Context, SHA256};
use chrono::Duration;
use engine::{Access, Caller, Error, Method, Reply, Request, RequestPlace, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Purpose under which replies are sealed.
const SEALED: &str = "server.idempotent_reply";
/// How long a reply is kept.
pub const KEPT: Duration = Duration::days(1);
/// After this a first request is taken for dead, with the process that ran it.
const ABANDONED: Duration = Duration::minutes(2);
/// Longest key.
const LONGEST: usize = 255;

#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

/// Headers of replies that are kept, as the engine names them.
const HEADERS: &[&str] = &["ETag", "Azure-AsyncOperation", "Location", "Retry-After"];

/// Runs a request once for its key.
///
/// # Errors
/// `Invalid` for a bad key, `Conflict` for another content or a first request that still runs, `Forbidden` or
/// not found for a caller who lost the role since, and what the request itself is answered with.
pub async fn once(
    state: &State,
    request: &Request,
    key: Option<&str>,
    run: impl AsyncFnOnce() -> Result<Reply>,
) -> Result<Reply> {
    let key = match key {
        Some(key) if matches!(request.method, Method::Put | Method::Patch | Method::Post) => key,
        _ => return run().await,
    };
    if key.is_empty() || key.len() > LONGEST || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::invalid(
            "Idempotency-Key",
            "must be 1 to 255 visible ASCII characters",
        ));
    }
    let caller = match &request.caller {
        Caller::Principal { id, .. } => format!("principal {id}"),
        Caller::Developer { service, email } => format!("developer {service} {email}"),
        Caller::Integration { service } => format!("integration {service}"),
    };
    let digest = digest(request);
    let now = state.engine.now();
    // One statement decides who runs: a new key, or one whose first request died.
    let mine: Option<bool> = sqlx::query_scalar(
        "INSERT INTO idempotent_replies AS r (caller, key, digest, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (caller, key) DO UPDATE SET digest = $3, reply = NULL, created_at = $4 \
         WHERE r.created_at < $5 OR (r.reply IS NULL AND r.created_at < $6) RETURNING true",
    )
    .bind(&caller)
    .bind(key)
    .bind(&digest)
    .bind(now)
    .bind(now - KEPT)
    .bind(now - ABANDONED)
    .fetch_optional(&state.engine.pool)
    .await?;
    if mine.is_none() {
        // The role may be gone since: a kept reply may hold keys that the caller must not see any more.
        if let Root::Group { .. } = request.path.root {
            let access = match state.engine.registry.find(&request.path) {
                Some(RequestPlace::Action(_, action, _)) => action.access,
                _ => Access::Write,
            };
            let mut connection = state.engine.pool.acquire().await?;
            state
                .engine
                .enter(&mut connection, request, access, "write")
                .await?;
        }
        return replay(state, &caller, key, &digest).await;
    }
    let outcome = run().await;
    let reply = match &outcome {
        Ok(reply) => Some(Kept {
            status: reply.status,
            headers: reply
                .headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.clone()))
                .collect(),
            body: reply.body.clone(),
        }),
        Err(_) => None,
    };
    match reply {
        Some(kept) => {
            let text = serde_json::to_vec(&kept).map_err(Error::internal)?;
            let sealed = state
                .engine
                .codec
                .secrets
                .seal(SEALED, &text)
                .map_err(Error::internal)?;
            sqlx::query("UPDATE idempotent_replies SET reply = $3 WHERE caller = $1 AND key = $2")
                .bind(&caller)
                .bind(key)
                .bind(sealed)
                .execute(&state.engine.pool)
                .await?;
        }
        // A refusal changed nothing: the request may be mended and sent again under its key.
        None => {
            sqlx::query(
                "DELETE FROM idempotent_replies WHERE caller = $1 AND key = $2 AND reply IS NULL",
            )
            .bind(&caller)
            .bind(key)
            .execute(&state.engine.pool)
            .await?;
        }
    }
    outcome
}

async fn replay(state: &State, caller: &str, key: &str, digest: &[u8]) -> Result<Reply> {
    let stored: Option<(Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
        "SELECT digest, reply FROM idempotent_replies WHERE caller = $1 AND key = $2",
    )
    .bind(caller)
    .bind(key)
    .fetch_optional(&state.engine.pool)
    .await?;
    let running = || {
        Error::Conflict(
            "The first request with this Idempotency-Key is still running; try again.".into(),
        )
    };
    let (first, reply) = stored.ok_or_else(running)?;
    if first != digest {
        return Err(Error::Conflict(
            "This Idempotency-Key was used for another request.".into(),
        ));
    }
    let sealed = reply.ok_or_else(running)?;
    let text = state
        .engine
        .codec
        .secrets
        .open(SEALED, &sealed)
        .map_err(Error::internal)?;
    let kept: Kept = serde_json::from_slice(&text).map_err(Error::internal)?;
    let headers = kept
        .headers
        .into_iter()
        .filter_map(|(name, value)| {
            HEADERS
                .iter()
                .find(|known| **known == name)
                .map(|known| (*known, value))
        })
        .collect();
    let reply = Reply {
        status: kept.status,
        headers,
        body: kept.body,
        text: None,
    };
    Ok(reply.with("Idempotency-Replayed", "true"))
}

/// What makes two requests the same: method, path, query, precondition and content.
fn digest(request: &Request) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    let query = format!("{:?}", request.query.0);
    let precondition = format!("{:?}", request.if_match);
    for part in [
        request.method.name(),
        &request.path.to_string(),
        &query,
        &precondition,
    ] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.update(&request.body);
    context.finish().as_ref().to_vec()
}
