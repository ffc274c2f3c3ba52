//! DELETE.

use super::{Target, Write, accepted_headers, authorise, item_path};
use crate::{
    Engine, Error, Result,
    page::{Reply, Request},
    resource::{Access, Delete},
};

/// DELETE: 200 for an existing item, 204 for a missing one (contract rules §3).
///
/// # Errors
/// Precondition, missing parent, missing role, and what the kind's `deleting` hook refuses.
pub async fn delete(engine: &Engine, request: &Request, target: &Target) -> Result<Reply> {
    let kind = target.kind;
    let facts = kind.facts();
    let is_root = kind.is_root();
    let access = if is_root { Access::Own } else { Access::Write };
    let mut tx = engine.transaction().await?;
    let conn = tx.open().await?;
    let Some(row) = engine.load(conn, target, &request.caller, true).await? else {
        return match engine
            .missing(conn, target, &request.caller, access, "delete")
            .await
        {
            // Only the item itself may be missing; a missing parent is an error.
            Error::NotFound { what } if what == facts.noun => Ok(Reply::empty(204)),
            Error::ServiceNotFound { .. } if is_root => Ok(Reply::empty(204)),
            error => Err(error),
        };
    };
    authorise(&row.at, target, access, "delete")?;
    request.if_match.check(
        Some(row.rev),
        facts.if_match && !facts.delete_without_if_match,
    )?;
    let mut write = Write::new(
        engine,
        &mut tx,
        kind,
        &request.query,
        &request.caller,
        &row.at,
        row.id,
        &row.name,
    );
    let is_kept = facts.restorable && !is_root && !row.at.service.is_workspace();
    if is_kept && matches!(facts.delete, Delete::Row) {
        // Before the hook, which may delete what goes with the row.
        let resource = item_path(kind, &row.at, &row.name);
        crate::deleted::keep(&mut write.cx, kind, &resource).await?;
    }
    kind.deleting(&mut write.cx, row.entity.as_ref()).await?;
    match facts.delete {
        Delete::Row => {
            let statements = engine.registry.statements(kind);
            sqlx::query(sqlx::AssertSqlSafe(statements.delete.clone()))
                .bind(row.id)
                .execute(&mut *write.cx.conn)
                .await?;
        }
        Delete::Hook => {}
    }
    let ended = write
        .outbox(request, &row.at, "delete", Some(row.entity.as_ref()), None)
        .await?;
    let done = ended.commit().await?;
    let revision = engine.after_commit(done.changes).await;
    // From 2022-09 on the clients of long-running deletes refuse 200; 204 suits every client (contract rules §5).
    let long = facts.long_delete && request.speaks("2022-09-01") && !row.at.service.is_workspace();
    let reply = Reply::empty(if long { 204 } else { 200 });
    let reply = match done.accepted {
        None => reply,
        Some(operation) => {
            accepted_headers(Reply::empty(202), request, &row.at.service.path, operation)
        }
    };
    Ok(reply.at_revision(revision))
}
