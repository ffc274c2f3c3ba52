//! Links between two kinds below one service: product–API, product–group, group–user, and the
//! read-only lists that look along a reference (a product's subscriptions, a user's groups).
//!
//! The contract's PUT of a link returns the *target* entity under its own id (contract rules §2);
//! HEAD says 204 or 404, never 200.

use crate::{
    Engine, Error, Result,
    cx::find_sibling,
    kind::Kind,
    page::{Reply, Request, Window},
    resource::{Access, Revisions},
    verbs::{self, Row, Target, Write, authorise, list},
    workspace,
};
use uuid::Uuid;

/// How the rows of a link are found.
#[derive(Clone, Copy, Debug)]
pub enum Join {
    /// A table of pairs.
    Table {
        /// The table.
        table: &'static str,
        /// Its column with the parent's row.
        parent: &'static str,
        /// Its column with the target's row.
        target: &'static str,
    },
    /// A column of the target's table that refers to the parent.
    Column(&'static str),
}

/// An edit of a link, for its rule.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// Name of the parent.
    pub parent: &'a str,
    /// Name of the target.
    pub target: &'a str,
    /// Whether the pair is added or removed.
    pub added: bool,
}

/// A link between two kinds.
#[derive(Clone)]
pub struct Link {
    /// Operation group of the published API: `ProductApi`.
    pub title: &'static str,
    /// The kind before the segment.
    pub parent: &'static dyn Kind,
    /// The segment: `apis`.
    pub segment: &'static str,
    /// Path parameter in OpenAPI: `apiId`.
    pub parameter: &'static str,
    /// The kind of what is listed; stands directly below the service.
    pub target: &'static dyn Kind,
    /// Where the pairs are.
    pub join: Join,
    /// Whether PUT, DELETE and HEAD exist.
    pub writable: bool,
    /// Whether GET of one target exists, besides the list.
    pub readable: bool,
    /// Whether it exists in workspaces, too.
    pub in_workspaces: bool,
    /// What no caller may link or unlink.
    pub rule: fn(Edit<'_>) -> Result<()>,
}

/// A rule that allows everything.
///
/// # Errors
/// Never.
pub fn any(_: Edit<'_>) -> Result<()> {
    Ok(())
}

async fn parent(
    engine: &Engine,
    conn: &mut sqlx::PgConnection,
    request: &Request,
    link: &Link,
    names: Vec<String>,
    access: Access,
    locked: bool,
) -> Result<(Target, Row)> {
    let target = Target::new(link.parent, request, names)?;
    let action = format!(
        "{}/{}",
        link.segment,
        if access == Access::Read {
            "read"
        } else {
            "write"
        }
    );
    match engine.load(conn, &target, &request.caller, locked).await? {
        Some(row) => {
            authorise(&row.at, &target, access, &action)?;
            Ok((target, row))
        }
        None => Err(engine
            .missing(conn, &target, &request.caller, access, &action)
            .await),
    }
}

impl Link {
    /// What joins targets `t` to the pairs of the parent `$1`, and the condition.
    pub(crate) fn condition(&self) -> (String, String) {
        match self.join {
            Join::Table {
                table,
                parent,
                target,
            } => (
                match self.target.facts().revisions {
                    Some(Revisions { root, current, .. }) => {
                        format!(" JOIN {table} l ON l.{target} = t.{root} AND t.{current}")
                    }
                    None => format!(" JOIN {table} l ON l.{target} = t.id"),
                },
                format!("l.{parent} = $1"),
            ),
            Join::Column(column) => (String::new(), format!("t.{column} = $1")),
        }
    }
}

/// GET of the collection.
///
/// # Errors
/// Missing parent, missing role, wrong query parameters.
pub async fn list(
    engine: &Engine,
    request: &Request,
    link: &Link,
    names: Vec<String>,
) -> Result<Reply> {
    let window = Window::parse(&request.query)?;
    let mut conn = engine.pool.acquire().await?;
    let (_, row) = parent(engine, &mut conn, request, link, names, Access::Read, false).await?;
    let (joined, belongs) = link.condition();
    let owner = near(link, &row);
    let collection = format!(
        "{}/{}",
        verbs::item_path(link.parent, &row.at, &row.name),
        link.segment
    );
    let mut at = row.at;
    at.parents.clear();
    at.service = at.service.with(link.target);
    let page = list::page(
        engine,
        &mut conn,
        request,
        link.target,
        &at,
        &window,
        &joined,
        &belongs,
        owner,
        None,
    )
    .await?;
    Ok(list::reply(request, &collection, &window, page))
}

/// The parent's end of a link: one revision, or what all revisions are revisions of.
fn near(link: &Link, row: &Row) -> Uuid {
    match (link.parent.facts().revisions, link.join) {
        (Some(revisions), Join::Table { table, .. }) if revisions.own_links.contains(&table) => {
            row.id
        }
        _ => row.root,
    }
}

/// The names of the parent and of the target.
fn split(mut names: Vec<String>) -> Result<(Vec<String>, String)> {
    let last = names
        .pop()
        .ok_or_else(|| Error::internal("a link's path has no target"))?;
    Ok((names, last))
}

fn pairs(link: &Link) -> Result<(&'static str, &'static str, &'static str)> {
    match link.join {
        Join::Table {
            table,
            parent,
            target,
        } => Ok((table, parent, target)),
        Join::Column(_) => Err(Error::internal(format!(
            "{} has no table of pairs",
            link.title
        ))),
    }
}

/// GET: the target under its own id, if the two are linked.
///
/// # Errors
/// Missing parent, target or link, missing role.
pub async fn get(
    engine: &Engine,
    request: &Request,
    link: &Link,
    names: Vec<String>,
) -> Result<Reply> {
    let (names, wanted) = split(names)?;
    let service_name = workspace::service_of(link.target, &names);
    let mut conn = engine.pool.acquire().await?;
    let (_, row) = parent(engine, &mut conn, request, link, names, Access::Read, false).await?;
    let facts = link.target.facts();
    let target = Target::new(link.target, request, vec![service_name, wanted])?;
    let Some(linked) = engine
        .load(&mut conn, &target, &request.caller, false)
        .await?
    else {
        return Err(Error::not_found(facts.noun));
    };
    let sql = match link.join {
        Join::Table {
            table,
            parent,
            target,
        } => {
            format!("SELECT EXISTS (SELECT FROM {table} WHERE {parent} = $1 AND {target} = $2)")
        }
        Join::Column(column) => {
            format!(
                "SELECT EXISTS (SELECT FROM {} WHERE {column} = $1 AND id = $2)",
                facts.table
            )
        }
    };
    let is_linked: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(near(link, &row))
        .bind(linked.root)
        .fetch_one(&mut *conn)
        .await?;
    if !is_linked {
        return Err(Error::not_found(facts.noun));
    }
    let body = verbs::envelope(
        link.target,
        &linked.at,
        &linked.name,
        linked.entity.as_ref(),
    );
    Ok(Reply::ok(body).with("ETag", crate::etag(linked.rev)))
}

/// HEAD: 204 when the two are linked, 404 when not.
///
/// # Errors
/// Missing parent, target or pair.
pub async fn exists(
    engine: &Engine,
    request: &Request,
    link: &Link,
    names: Vec<String>,
) -> Result<Reply> {
    let (names, wanted) = split(names)?;
    let (table, from, to) = pairs(link)?;
    let mut conn = engine.pool.acquire().await?;
    let (_, row) = parent(engine, &mut conn, request, link, names, Access::Read, false).await?;
    let facts = link.target.facts();
    let Some((id, _)) = find_sibling(
        &mut conn,
        facts.table,
        facts.revisions,
        &row.at.service,
        &wanted,
    )
    .await?
    else {
        return Err(Error::not_found(facts.noun));
    };
    let sql = format!("SELECT EXISTS (SELECT FROM {table} WHERE {from} = $1 AND {to} = $2)");
    let linked: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(near(link, &row))
        .bind(id)
        .fetch_one(&mut *conn)
        .await?;
    if linked {
        Ok(Reply::empty(204))
    } else {
        Err(Error::not_found(facts.noun))
    }
}

/// PUT: 201 for a new pair, 200 for a known one, with the target entity.
///
/// # Errors
/// Missing parent or target, missing role, the link's rule.
pub async fn put(
    engine: &Engine,
    request: &Request,
    link: &Link,
    names: Vec<String>,
) -> Result<Reply> {
    let (names, wanted) = split(names)?;
    let (table, from, to) = pairs(link)?;
    let service_name = workspace::service_of(link.target, &names);
    let mut tx = engine.transaction().await?;
    let conn = tx.open().await?;
    let (_, row) = parent(engine, conn, request, link, names, Access::Write, true).await?;
    let target = Target::new(link.target, request, vec![service_name, wanted])?;
    let Some(linked) = engine.load(conn, &target, &request.caller, false).await? else {
        return Err(Error::not_found(link.target.facts().noun));
    };
    (link.rule)(Edit {
        parent: &row.name,
        target: &linked.name,
        added: true,
    })?;
    let sql = format!("INSERT INTO {table} ({from}, {to}) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    let added = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(near(link, &row))
        .bind(linked.root)
        .execute(conn)
        .await?;
    let status = if added.rows_affected() == 1 { 201 } else { 200 };
    let revision = finish(engine, request, link, tx, &row, linked.id, status == 201).await?;
    let body = verbs::envelope(
        link.target,
        &linked.at,
        &linked.name,
        linked.entity.as_ref(),
    );
    let reply = Reply {
        status,
        headers: Vec::new(),
        body: Some(body),
        text: None,
    };
    Ok(reply.at_revision(revision))
}

/// DELETE: 200 for a removed pair, 204 where there was none.
///
/// # Errors
/// Missing parent, missing role, the link's rule.
pub async fn delete(
    engine: &Engine,
    request: &Request,
    link: &Link,
    names: Vec<String>,
) -> Result<Reply> {
    let (names, wanted) = split(names)?;
    let (table, from, to) = pairs(link)?;
    let mut tx = engine.transaction().await?;
    let conn = tx.open().await?;
    let (_, row) = parent(engine, conn, request, link, names, Access::Write, true).await?;
    let Some((id, name)) = find_sibling(
        conn,
        link.target.facts().table,
        link.target.facts().revisions,
        &row.at.service,
        &wanted,
    )
    .await?
    else {
        return Ok(Reply::empty(204));
    };
    (link.rule)(Edit {
        parent: &row.name,
        target: &name,
        added: false,
    })?;
    let sql = format!("DELETE FROM {table} WHERE {from} = $1 AND {to} = $2");
    let removed = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(near(link, &row))
        .bind(id)
        .execute(conn)
        .await?;
    let removed = removed.rows_affected() == 1;
    let revision = finish(engine, request, link, tx, &row, id, removed).await?;
    Ok(Reply::empty(if removed { 200 } else { 204 }).at_revision(revision))
}

/// Notes a change of both ends and commits; the answer is the configuration's revision with it.
async fn finish(
    engine: &Engine,
    request: &Request,
    link: &Link,
    mut tx: crate::LazyTransaction,
    row: &Row,
    target: Uuid,
    changed: bool,
) -> Result<Option<u64>> {
    let mut write = Write::new(
        engine,
        &mut tx,
        link.parent,
        &request.query,
        &request.caller,
        &row.at,
        row.id,
        &row.name,
    );
    if changed {
        write.cx.changed(link.parent.facts().table, row.id);
        write.cx.changed(link.target.facts().table, target);
        let verb = if request.method == crate::Method::Delete {
            "delete"
        } else {
            "write"
        };
        let action = format!("{}/{verb}", link.segment);
        let path = request.path.to_string();
        let entry = crate::audit::Entry {
            request,
            action: format!("{}/{action}", verbs::type_name(link.parent)),
            resource: path,
            before: None,
            after: None,
        };
        crate::audit::record(&mut write.cx, link.parent, entry).await?;
    }
    let done = write.noted().await?.commit().await?;
    Ok(engine.after_commit(done.changes).await)
}
