//! GET and HEAD of an item.

use super::{Target, authorise, decorate, envelope};
use crate::{
    Engine, Result, etag,
    page::{Reply, Request},
    print::Printer,
    resource::{Access, ListEffect},
};
use sqlx::Row as _;

/// Room for an item in bytes; one that is longer makes the text grow.
const ITEM_BYTES: usize = 1024;

/// GET: 200 with the item and its ETag.
///
/// # Errors
/// Not found, or not allowed to read.
pub async fn get(engine: &Engine, request: &Request, target: &Target) -> Result<Reply> {
    let statements = engine.registry.statements(target.kind);
    let sql = &statements.paths(&target.names).print;
    if !sql.is_empty() && !asks_for_more(request, target) {
        return printed(engine, request, target, sql).await;
    }
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

/// Whether a query parameter asks for what no column of the row holds, or cannot be understood.
fn asks_for_more(request: &Request, target: &Target) -> bool {
    target.kind.facts().list_parameters.iter().any(|parameter| {
        matches!(parameter.effect, ListEffect::Add(..))
            && parameter.is_on(&request.query).unwrap_or(true)
    })
}

/// The item as text, straight from its columns.
async fn printed(engine: &Engine, request: &Request, target: &Target, sql: &str) -> Result<Reply> {
    let kind = target.kind;
    let args = super::path_arguments(target, &target.names)?;
    let mut conn = engine.connections.acquire().await?;
    let row = sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else {
        return Err(engine
            .missing(&mut conn, target, &request.caller, Access::Read, "read")
            .await);
    };
    let above = kind.parents().len() - 1;
    let at = engine
        .at(&mut conn, &row, kind, above, &request.caller)
        .await?;
    conn.rest();
    authorise(&at, target, Access::Read, "read")?;
    let own = format!("{}/{}", super::parent_path(kind, &at), kind.facts().segment);
    let type_name = at.service.type_name(super::type_name(kind));
    let shown = &engine.registry.statements(kind).item;
    let mut text = Vec::with_capacity(ITEM_BYTES);
    Printer::new(kind, shown, &at.service.path, &own, &type_name).item(&row, &mut text)?;
    let rev = row.try_get("rev")?;
    Ok(Reply::printed(text).with("ETag", etag(rev)))
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
    (reply.body, reply.text) = (None, None);
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
