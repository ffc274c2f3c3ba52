//! PUT: creates or replaces.

use super::{
    At, Found, Target, Write, authorise, decode, flatten, root_path, type_name, written_reply,
};
use crate::{
    Engine, Error, IfMatch, LazyTransaction, Result, Violations,
    cx::ServiceAt,
    page::{Caller, Reply, Request},
    resource::Access,
};
use arm_id::Root;
use std::time::Duration;
use uuid::Uuid;

/// How often a write begins anew because another one came first; the last attempt makes others wait.
pub(super) const ATTEMPTS: usize = 3;

/// PUT: 201 for a new item, 200 for a replaced one.
///
/// # Errors
/// Every violation of the body at once; precondition, missing parent, missing role.
pub async fn put(engine: &Engine, request: &Request, target: &Target) -> Result<Reply> {
    if let Some(reply) = create_unseen(engine, request, target).await? {
        return Ok(reply);
    }
    for attempts in 1..=ATTEMPTS {
        let mut tx = engine.transaction().await?;
        if attempts == ATTEMPTS {
            tx.open().await?;
        }
        match attempt(engine, request, target, &mut tx).await {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(_) if tx.is_lost() => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Conflict(
        "The resource is being created and deleted by other requests; try again.".into(),
    ))
}

/// Items that were there a moment ago, and kinds whose items took more than one statement: these are looked at before they are written.
pub(crate) struct Seen(moka::sync::Cache<String, ()>);

/// How long that is remembered, and how much of it.
const SEEN: Duration = Duration::from_secs(60);
const MOST_SEEN: u64 = 10_000;

impl Default for Seen {
    fn default() -> Self {
        let cache = moka::sync::Cache::builder().max_capacity(MOST_SEEN);
        Self(cache.time_to_live(SEEN).build())
    }
}

impl Seen {
    fn is_likely_new(&self, target: &Target) -> bool {
        !self.0.contains_key(target.kind.facts().table)
            && !self.0.contains_key(&target.key(&target.names))
    }
}

/// Creates the item in one statement, without a look at it before: below a parent that was found before, as long as nothing says
/// that the item is there. `None` where that was wrong, or an error is to be told: nothing was written then, and a look will tell.
///
/// # Errors
/// When Postgres fails, because then it is not known whether the row was written.
async fn create_unseen(
    engine: &Engine,
    request: &Request,
    target: &Target,
) -> Result<Option<Reply>> {
    let statements = engine.registry.statements(target.kind);
    if statements.create_unseen.is_empty()
        || !target.kind.facts().verbs.create
        || request.if_match != IfMatch::Absent
        || statements.is_revised(&target.names)
    {
        return Ok(None);
    }
    let Some(at) = engine.known_parents.find(target, target.above()) else {
        return Ok(None);
    };
    let Caller::Principal { id, .. } = request.caller else {
        return Ok(None);
    };
    // Nobody's body is looked at who might not write a moment ago.
    let stamp = match engine.known_roles.last(id, &at.service) {
        Some(known) if known.role.is_some_and(|role| role.allows(Access::Write)) => known.stamp,
        _ => return Ok(None),
    };
    if !engine.seen.is_likely_new(target) {
        return Ok(None);
    }
    let mut tx = LazyTransaction::single(engine.connections.acquire().await?);
    let created = create(engine, request, target, &mut tx, at, Some(stamp)).await;
    let seen = if tx.wants_more() {
        target.kind.facts().table.to_owned()
    } else {
        target.key(&target.names)
    };
    engine.seen.0.insert(seen, ());
    match created {
        Err(error @ (Error::Internal(_) | Error::Unavailable(_))) if !tx.is_lost() => Err(error),
        Err(_) => Ok(None),
        Ok(reply) => Ok(reply),
    }
}

/// `None` when another request created the same name between our look and our insert.
async fn attempt(
    engine: &Engine,
    request: &Request,
    target: &Target,
    tx: &mut LazyTransaction,
) -> Result<Option<Reply>> {
    let kind = target.kind;
    let facts = kind.facts();
    let at = match engine.look(tx, target, &request.caller).await? {
        Found::Row(row) => {
            authorise(&row.at, target, Access::Write, "write")?;
            request
                .if_match
                .check(Some(row.rev), facts.if_match && !facts.verbs.create)?;
            let mut violations = Violations::default();
            let flat = flatten(kind, request, &mut violations)?;
            let given: Vec<String> = flat.keys().cloned().collect();
            let new = decode(kind, flat, violations)?;
            return super::replace(engine, request, kind, tx, row, new, given, facts.replaced)
                .await
                .map(Some);
        }
        Found::Parent(at) => {
            authorise(&at, target, Access::Write, "write")?;
            engine.known_parents.keep(target, target.above(), &at);
            at
        }
        Found::Nothing => may_create_root(tx.open().await?, request, target).await?,
    };
    create(engine, request, target, tx, at, None).await
}

/// Creates the item at this place, `unseen` at a stamp of roles or after a look. `None` when another request created the same name meanwhile.
async fn create(
    engine: &Engine,
    request: &Request,
    target: &Target,
    tx: &mut LazyTransaction,
    at: At,
    unseen: Option<i64>,
) -> Result<Option<Reply>> {
    let kind = target.kind;
    let facts = kind.facts();
    let is_root = kind.is_root();
    let wanted = target.names.last().map_or("", String::as_str);
    let name = facts
        .name
        .check(wanted)
        .map_err(|why| Error::invalid(facts.parameter, why))?;
    if !facts.verbs.create {
        return Err(Error::not_found(facts.noun));
    }
    request.if_match.check(None, false)?;
    let mut violations = Violations::default();
    let flat = flatten(kind, request, &mut violations)?;
    let given: Vec<String> = flat.keys().cloned().collect();
    let mut new = decode(kind, flat, violations)?;
    let id = engine.new_id();
    let at = if is_root {
        At {
            service: ServiceAt {
                id,
                root: id,
                ..at.service
            },
            ..at
        }
    } else {
        at
    };
    let mut write = Write::new(
        engine,
        tx,
        kind,
        &request.query,
        &request.caller,
        &at,
        id,
        &name,
    );
    write.cx.given = given;
    write.unseen = unseen.map(|stamp| (target, stamp));
    write.prepare(None, new.as_mut()).await?;
    if write.cx.restored {
        let done = write.noted().await?.commit().await?;
        engine.after_commit(done.changes).await;
        return Ok(None);
    }
    let root = is_root.then_some((target.root.0.as_str(), target.root.1.as_str()));
    if !write.insert(root, new.as_ref()).await? {
        return if is_root {
            Err(name_taken(facts.segment, &name))
        } else {
            Ok(None)
        };
    }
    kind.written(&mut write.cx, None, new.as_ref()).await?;
    let mut done = write.finish(request, &at, None, new.as_ref()).await?;
    let revision = engine.after_write(&mut done).await;
    let reply = written_reply(
        request,
        kind,
        &at,
        &name,
        1,
        facts.created,
        new.as_ref(),
        done.accepted,
    );
    Ok(Some(reply.at_revision(revision)))
}

fn name_taken(segment: &str, name: &str) -> Error {
    let noun = segment.trim_end_matches('s');
    Error::Conflict(format!("The {noun} name '{name}' is already in use."))
}

/// What is new directly under the provider needs a role over the whole installation, because there is no service yet to have one
/// over.
async fn may_create_root(
    conn: &mut sqlx::PgConnection,
    request: &Request,
    target: &Target,
) -> Result<At> {
    let name = target.names.first().map_or("", String::as_str);
    let allowed = match &request.caller {
        Caller::Developer { .. } | Caller::Integration { .. } => false,
        Caller::Principal { id, .. } => {
            sqlx::query_scalar::<_, bool>(
                "SELECT EXISTS (SELECT FROM role_assignments a JOIN principals p ON p.id = a.principal_id AND p.disabled_at IS NULL \
                 WHERE a.principal_id = $1 \
                 AND scope_service_id IS NULL AND role IN ('owner', 'contributor'))",
            )
            .bind(id)
            .fetch_one(&mut *conn)
            .await?
        }
    };
    if !allowed {
        return Err(Error::Forbidden(format!(
            "{}/write",
            type_name(target.kind)
        )));
    }
    let root = Root::Group {
        subscription: target.root.0.clone(),
        group: target.root.1.clone(),
    };
    Ok(At {
        service: ServiceAt {
            id: Uuid::nil(),
            root: Uuid::nil(),
            name: name.to_owned(),
            path: root_path(target.kind, &root, name),
        },
        parents: Vec::new(),
        role: Some(super::Role::Owner),
    })
}
