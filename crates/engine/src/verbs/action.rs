//! POST of an action on an existing resource.

use super::{Target, Write, authorise};
use crate::{
    Engine, Result,
    page::{Reply, Request},
    resource::{Access, Action},
};

/// Runs an action inside a transaction with the resource's row locked.
///
/// # Errors
/// Not found, not allowed, and what the action refuses.
pub async fn run(
    engine: &Engine,
    request: &Request,
    target: &Target,
    action: &'static Action,
) -> Result<Reply> {
    let mut tx = engine.transaction().await?;
    // What only reads waits for no writer, and needs a transaction only if it sends statements.
    let locked = action.access != Access::Read;
    let conn = if locked {
        tx.open().await?
    } else {
        tx.reading()?
    };
    let Some(row) = engine.load(conn, target, &request.caller, locked).await? else {
        return Err(engine
            .missing(conn, target, &request.caller, action.access, action.name)
            .await);
    };
    authorise(&row.at, target, action.access, action.name)?;
    let mut write = Write::new(
        engine,
        &mut tx,
        target.kind,
        &request.query,
        &request.caller,
        &row.at,
        row.id,
        &row.name,
    );
    write.cx.body = request.json()?;
    let reply = (action.run)(&mut write.cx, row.entity.as_ref()).await?;
    // Views and plain reads leave no trace; everything that shows a secret or changes something does.
    if action.access != Access::Read {
        write
            .audited(
                request,
                &row.at,
                &format!("{}/action", action.name),
                None,
                None,
            )
            .await?;
    }
    let done = write.noted().await?.commit().await?;
    let revision = engine.after_commit(done.changes).await;
    Ok(reply.at_revision(revision))
}
