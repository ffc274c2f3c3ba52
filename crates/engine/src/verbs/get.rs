//! GET and HEAD of an item.

use super::{Target, authorise, decorate, envelope};
use crate::{
    Engine, Result, etag,
    page::{Reply, Request},
    resource::{Access, ListEffect},
};

/// GET: 200 with the item and its ETag.
///
/// # Errors
/// Not found, or not allowed to read.
pub async fn get(engine: &Engine, request: &Request, target: &Target) -> Result<Reply> {
    let mut conn = engine.connections.acquire().await?;
    let Some(row) = engine
        .load(&mut conn, target, &request.caller, false)
        .await?
    else {
        return Err(engine
            .missing(&mut conn, target, &request.caller, Access::Read, "read")
            .await);
    };
    authorise(&row.at, target, Access::Read, "read")?;
    let shown = target.kind.shown(row.entity.as_ref(), &request.query)?;
    let entity = shown.as_deref().unwrap_or(row.entity.as_ref());
    let mut body = envelope(target.kind, &row.at, &row.name, entity);
    decorate(target.kind, row.rev, &mut body);
    add(&mut conn, request, target, row.id, &mut body).await?;
    conn.rest();
    Ok(Reply::ok(body).with("ETag", etag(row.rev)))
}

/// Adds what a query parameter asks for and is no field of the contract.
async fn add(
    conn: &mut sqlx::PgConnection,
    request: &Request,
    target: &Target,
    id: uuid::Uuid,
    body: &mut serde_json::Value,
) -> Result<()> {
    let facts = target.kind.facts();
    for parameter in facts.list_parameters {
        let ListEffect::Add(wire, sql) = parameter.effect else {
            continue;
        };
        if parameter.is_on(&request.query)? {
            let sql = format!("SELECT {sql} FROM {} t WHERE t.id = $1", facts.table);
            let value: Option<serde_json::Value> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(id)
                .fetch_one(&mut *conn)
                .await?;
            if let Some(value) = value {
                body["properties"][wire] = value;
            }
        }
    }
    Ok(())
}

/// HEAD: the same headers, no body (`GetEntityTag`).
///
/// # Errors
/// As [`get`].
pub async fn head(engine: &Engine, request: &Request, target: &Target) -> Result<Reply> {
    let mut reply = get(engine, request, target).await?;
    reply.body = None;
    Ok(reply)
}

/// HEAD of a kind without GET: 204 for an item that exists (`CheckEntityExists`).
///
/// # Errors
/// As [`get`].
pub async fn exists(engine: &Engine, request: &Request, target: &Target) -> Result<Reply> {
    get(engine, request, target)
        .await
        .map(|_| Reply::empty(204))
}
