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
    let mut tx = engine.pool.begin().await?;
    // What only reads waits for no writer.
    let locked = action.access != Access::Read;
    let Some(row) = engine
        .load(&mut tx, target, &request.caller, locked)
        .await?
    else {
        return Err(engine
            .missing(&mut tx, target, &request.caller, action.access, action.name)
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
    let changes = write.noted().await?;
    tx.commit().await?;
    let revision = engine.after_commit(changes).await;
    Ok(reply.at_revision(revision))
}
