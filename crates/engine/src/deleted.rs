//! Deleted resources, kept with everything that went with them, until they are restored or purged.
//!
//! The rows that a deletion takes with it are those that Postgres would cascade to, so the catalogue of
//! foreign keys says what they are: no kind lists its children, and a table of next year is kept without
//! a word about it here. [`keep`] copies them, as they are stored, in the transaction that deletes them;
//! sealed columns stay sealed. [`restore`] puts them back in one transaction, parents first. What cannot
//! come back because something else that it needs is gone by now (the owner of a subscription) is left
//! out and named; what cannot come back because its name is taken is a conflict and changes nothing.

use crate::{
    Caller, Engine, Error, Result,
    cx::Cx,
    kind::Kind,
    link::Join,
    registry::Place,
    verbs::{Target, item_path, type_name},
};
use arm_id::{ResourcePath, Root};
use chrono::Duration;
use serde_json::{Value, json};
use sqlx::{Connection as _, FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// How long a deleted resource can be restored.
pub const KEPT: Duration = Duration::days(30);
/// Names of one type that a summary holds.
const NAMES: usize = 20;

/// One foreign key.
#[derive(Clone, Debug, FromRow)]
struct Edge {
    child: String,
    column: String,
    parent: String,
    referenced: String,
    /// `c` cascade, `n` set null, otherwise the deletion is refused.
    on_delete: String,
    /// Whether rows of the child have ids.
    has_id: bool,
}

const EDGES: &str = "SELECT k.relname::text AS child, a.attname::text AS column, p.relname::text AS parent, f.attname::text AS referenced, \
     c.confdeltype::text AS on_delete, EXISTS (SELECT FROM pg_attribute i WHERE i.attrelid = k.oid AND i.attname = 'id' \
     AND NOT i.attisdropped) AS has_id \
     FROM pg_constraint c JOIN pg_class k ON k.oid = c.conrelid JOIN pg_class p ON p.oid = c.confrelid \
     JOIN pg_attribute a ON a.attrelid = k.oid AND a.attnum = c.conkey[1] JOIN pg_attribute f ON f.attrelid = p.oid AND f.attnum = c.confkey[1] \
     WHERE c.contype = 'f' AND c.conparentid = 0 AND cardinality(c.conkey) = 1 AND c.connamespace = 'public'::regnamespace ORDER BY 1, 2";

async fn edges(conn: &mut PgConnection) -> Result<Vec<Edge>> {
    Ok(sqlx::query_as(EDGES).fetch_all(conn).await?)
}

/// Keeps the row of `cx` and what its deletion takes with it.
///
/// # Errors
/// When the database fails.
pub(crate) async fn keep(cx: &mut Cx<'_>, kind: &dyn Kind, resource: &str) -> Result<Uuid> {
    let id = cx.engine.new_id();
    sqlx::query(
        "INSERT INTO deleted_entities (id, parent_id, name, rev, created_at, updated_at, resource, resource_type, resource_name, \
         deletion_date, deleted_by, scheduled_purge_date, contents) VALUES ($1, $2, $3, 1, $4, $4, $5, $6, $7, $4, $8, $9, '[]')",
    )
    .bind(id)
    .bind(cx.service.id)
    .bind(id.to_string())
    .bind(cx.now)
    .bind(resource)
    .bind(type_name(kind))
    .bind(&cx.name)
    .bind(cx.caller)
    .bind(cx.now + KEPT)
    .execute(&mut *cx.conn)
    .await?;
    let whole = cx.query.switch("deleteRevisions")?;
    copy(cx.conn.open().await?, id, kind, cx.id, whole).await?;
    let contents = contents(cx.engine, cx.conn.open().await?, id).await?;
    sqlx::query("UPDATE deleted_entities SET contents = $2 WHERE id = $1")
        .bind(id)
        .bind(contents)
        .execute(&mut *cx.conn)
        .await?;
    Ok(id)
}

/// Copies a row and, table by table, what refers to it.
///
/// The last revision, or `whole`, takes along what it is a revision of, and so all that refers to that.
async fn copy(
    conn: &mut PgConnection,
    deletion: Uuid,
    kind: &dyn Kind,
    row: Uuid,
    whole: bool,
) -> Result<()> {
    let table = kind.facts().table;
    let edges = edges(conn).await?;
    // Names of tables and columns come from Postgres' catalogue.
    let sql = format!(
        "INSERT INTO deleted_rows (deletion_id, table_name, row_id, root, row) \
         SELECT $1, $2, t.id, true, to_jsonb(t) FROM \"{table}\" t WHERE t.id = $3"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(deletion)
        .bind(table)
        .bind(row)
        .execute(&mut *conn)
        .await?;
    let mut reached = vec![table.to_owned()];
    if let Some(revisions) = kind.facts().revisions {
        let (roots, root) = (revisions.roots, revisions.root);
        let sql = format!(
            "INSERT INTO deleted_rows (deletion_id, table_name, row_id, root, row) \
             SELECT $1, $2, o.id, false, to_jsonb(o) FROM \"{roots}\" o JOIN \"{table}\" t ON t.\"{root}\" = o.id \
             WHERE t.id = $3 AND ($4 OR NOT EXISTS (SELECT FROM \"{table}\" s WHERE s.\"{root}\" = o.id AND s.id <> t.id))"
        );
        let taken = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(deletion)
            .bind(roots)
            .bind(row)
            .bind(whole)
            .execute(&mut *conn)
            .await?;
        if taken.rows_affected() > 0 {
            reached.push(roots.to_owned());
        }
    }
    // Ends, because no row is copied twice.
    while let Some(parent) = reached.pop() {
        for edge in edges
            .iter()
            .filter(|e| e.parent == parent && e.referenced == "id")
        {
            let Edge { child, column, .. } = edge;
            let belongs = format!(
                "t.\"{column}\" IN (SELECT d.row_id FROM deleted_rows d WHERE d.deletion_id = $1 AND d.table_name = $3 AND d.column_name IS NULL)"
            );
            let (selected, same) = match (edge.on_delete.as_str(), edge.has_id) {
                ("c", true) => (
                    "t.id, NULL, false, to_jsonb(t)".to_owned(),
                    "d.row_id = t.id",
                ),
                ("c", false) => (
                    "NULL, NULL, false, to_jsonb(t)".to_owned(),
                    "d.row = to_jsonb(t)",
                ),
                ("n", true) => (
                    format!(
                        "t.id, '{column}', false, jsonb_build_object('{column}', t.\"{column}\")"
                    ),
                    "d.row_id = t.id",
                ),
                // Nothing to remember, or the deletion is refused.
                _ => continue,
            };
            let sql = format!(
                "INSERT INTO deleted_rows (deletion_id, table_name, row_id, column_name, root, row) \
                 SELECT $1, $2, {selected} FROM \"{child}\" t WHERE {belongs} AND NOT EXISTS (SELECT FROM deleted_rows d \
                 WHERE d.deletion_id = $1 AND d.table_name = $2 AND {same} AND (d.column_name IS NULL OR d.column_name = '{column}'))"
            );
            let copied = sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(deletion)
                .bind(child)
                .bind(&parent)
                .execute(&mut *conn)
                .await?;
            if copied.rows_affected() > 0 && edge.on_delete == "c" && edge.has_id {
                reached.push(child.clone());
            }
        }
    }
    Ok(())
}

/// What callers know a table as.
fn shown(engine: &Engine, table: &str) -> String {
    if let Some(kind) = engine.registry.kind_of_table(table) {
        return type_name(kind);
    }
    let link = engine
        .registry
        .links()
        .iter()
        .find(|link| matches!(link.join, Join::Table { table: joined, .. } if joined == table));
    match link {
        Some(link) => format!("{}/{}", type_name(link.parent), link.segment),
        None => table.to_owned(),
    }
}

/// What a deletion took with it, by type: how many, and the first names.
async fn contents(engine: &Engine, conn: &mut PgConnection, deletion: Uuid) -> Result<Value> {
    let found: Vec<(String, i64, Vec<String>)> = sqlx::query_as(
        "SELECT table_name, count(*), coalesce((array_agg(row->>'name' ORDER BY lower(row->>'name')) \
         FILTER (WHERE row->>'name' IS NOT NULL))[1:$2], '{}') FROM deleted_rows \
         WHERE deletion_id = $1 AND NOT root AND column_name IS NULL GROUP BY table_name ORDER BY table_name",
    )
    .bind(deletion)
    .bind(i32::try_from(NAMES).unwrap_or(i32::MAX))
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .map(|(table, count, names)| {
            json!({"type": shown(engine, &table), "count": count, "names": names})
        })
        .collect())
}

/// What deleting a resource would take with it; nothing is changed.
///
/// # Errors
/// A violation of `resource` when it names nothing that can be deleted, `NotFound` when it does not exist.
pub async fn plan(cx: &mut Cx<'_>, resource: &str) -> Result<Value> {
    let wrong = || Error::invalid("resource", "must be the id of a resource of this service");
    let below = crate::strip_service(resource, &cx.service.path).ok_or_else(wrong)?;
    let path = ResourcePath::parse(&format!("{}{below}", cx.service.path)).map_err(|_| wrong())?;
    let Root::Group {
        subscription,
        group,
    } = &path.root
    else {
        return Err(wrong());
    };
    let Some(Place::Item(kind, names)) = cx.engine.registry.find(&path) else {
        return Err(wrong());
    };
    if kind.parents().is_empty() || !kind.facts().verbs.delete || !kind.facts().restorable {
        return Err(wrong());
    }
    let target = Target {
        kind,
        root: (subscription.clone(), group.clone()),
        names,
    };
    // The caller may read the service, which is what this needs.
    let caller = Caller::Integration {
        service: cx.service.id,
    };
    let row = cx
        .engine
        .load(cx.conn.open().await?, &target, &caller, false)
        .await?
        .ok_or_else(|| Error::not_found(kind.facts().noun))?;
    let resource = item_path(kind, &row.at, &row.name);
    // The deletion's own copying, taken back: so the plan is what would be done.
    let mut tried = cx.conn.open().await?.begin().await?;
    let id = cx.engine.new_id();
    sqlx::query(
        "INSERT INTO deleted_entities (id, parent_id, name, rev, created_at, updated_at, resource, resource_type, resource_name, \
         deletion_date, deleted_by, scheduled_purge_date, contents) VALUES ($1, $2, $1::text, 1, $3, $3, '', '', '', $3, '', $3, '[]')",
    )
    .bind(id)
    .bind(row.at.service.id)
    .bind(cx.now)
    .execute(&mut *tried)
    .await?;
    copy(&mut tried, id, kind, row.id, true).await?;
    let contents = contents(cx.engine, &mut tried, id).await?;
    tried.rollback().await?;
    Ok(json!({"resource": resource, "resourceType": type_name(kind), "contents": contents}))
}

/// A resource that is back.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// Its id.
    pub resource: String,
    /// What came back with it, as in the list of deleted resources.
    pub contents: Value,
    /// What could not come back, because something that it needs is gone.
    pub left_out: Value,
}

/// Puts a deleted resource and what went with it back, in the open transaction.
///
/// # Errors
/// `Conflict` when a name is taken, or when what it belonged to is gone, and nothing is changed.
pub async fn restore(cx: &mut Cx<'_>, deletion: Uuid) -> Result<Restored> {
    let (resource, contents): (String, Value) =
        sqlx::query_as("SELECT resource, contents FROM deleted_entities WHERE id = $1")
            .bind(deletion)
            .fetch_one(&mut *cx.conn)
            .await?;
    let (root_table, root): (String, Uuid) = sqlx::query_as(
        "SELECT table_name, row_id FROM deleted_rows WHERE deletion_id = $1 AND root",
    )
    .bind(deletion)
    .fetch_one(&mut *cx.conn)
    .await?;
    let edges = edges(cx.conn.open().await?).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT table_name FROM deleted_rows WHERE deletion_id = $1 AND column_name IS NULL ORDER BY 1",
    )
    .bind(deletion)
    .fetch_all(&mut *cx.conn)
    .await?;
    let tables = parents_first(tables, &edges);
    let taken = taken(cx, deletion, &tables).await?;
    if !taken.is_empty() {
        return Err(Error::Conflict(format!(
            "{resource} cannot be restored, because these names are in use again: {}.",
            taken.join(", ")
        )));
    }
    let mut left_out = Vec::new();
    for table in &tables {
        let all: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM deleted_rows WHERE deletion_id = $1 AND table_name = $2 AND column_name IS NULL",
        )
        .bind(deletion)
        .bind(table)
        .fetch_one(&mut *cx.conn)
        .await?;
        let back = insert(cx, deletion, table, &edges)
            .await
            .map_err(|error| conflict(cx.engine, &resource, table, error))?;
        if *table == root_table && !exists(cx.conn.open().await?, table, root).await? {
            let parent = resource.rsplitn(3, '/').last().unwrap_or_default();
            return Err(Error::Conflict(format!(
                "{resource} cannot be restored, because {parent} does not exist. Restore that first."
            )));
        }
        let missing = all - i64::try_from(back).unwrap_or(i64::MAX);
        if missing > 0 {
            left_out.push(json!({"type": shown(cx.engine, table), "count": missing}));
        }
    }
    remember(cx.conn.open().await?, deletion).await?;
    tell(cx, deletion, &tables, &edges).await?;
    sqlx::query("DELETE FROM deleted_entities WHERE id = $1")
        .bind(deletion)
        .execute(&mut *cx.conn)
        .await?;
    let left_out = Value::Array(left_out);
    let kind = cx
        .engine
        .registry
        .kind_of_table(&root_table)
        .ok_or_else(|| Error::internal(format!("no kind of {root_table}")))?;
    cx.record(
        format!("{}/restore/action", type_name(kind)),
        resource.clone(),
        Some(json!({"contents": contents, "leftOut": left_out})),
    );
    Ok(Restored {
        resource,
        contents,
        left_out,
    })
}

async fn exists(conn: &mut PgConnection, table: &str, id: Uuid) -> Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT FROM \"{table}\" WHERE id = $1)");
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(conn)
        .await?)
}

/// The tables in an order in which rows find what they refer to.
fn parents_first(tables: Vec<String>, edges: &[Edge]) -> Vec<String> {
    let mut waiting: BTreeSet<String> = tables.into_iter().collect();
    let mut out = Vec::new();
    while !waiting.is_empty() {
        let ready: Vec<String> = waiting
            .iter()
            .filter(|table| {
                !edges.iter().any(|e| {
                    e.child == **table && e.parent != **table && waiting.contains(&e.parent)
                })
            })
            .cloned()
            .collect();
        // A circle of tables, of which there is none (a test says so), would go in the order of names.
        let ready = if ready.is_empty() {
            waiting.iter().cloned().collect()
        } else {
            ready
        };
        for table in ready {
            waiting.remove(&table);
            out.push(table);
        }
    }
    out
}

/// Names that other resources have by now.
async fn taken(cx: &mut Cx<'_>, deletion: Uuid, tables: &[String]) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for table in tables {
        if cx.engine.registry.kind_of_table(table).is_none() {
            continue;
        }
        let sql = format!(
            "SELECT t.name FROM deleted_rows d JOIN \"{table}\" t ON t.parent_id = (d.row->>'parent_id')::uuid \
             AND lower(t.name) = lower(d.row->>'name') WHERE d.deletion_id = $1 AND d.table_name = $2 AND d.column_name IS NULL \
             ORDER BY 1 LIMIT $3"
        );
        let names: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(deletion)
            .bind(table)
            .bind(i64::try_from(NAMES).unwrap_or(i64::MAX))
            .fetch_all(&mut *cx.conn)
            .await?;
        let shown = shown(cx.engine, table);
        let segment = shown.rsplit('/').next().unwrap_or_default();
        out.extend(names.into_iter().map(|name| format!("{segment}/{name}")));
    }
    Ok(out)
}

/// Another unique value than the name is taken: an address, a key.
fn conflict(engine: &Engine, resource: &str, table: &str, error: sqlx::Error) -> Error {
    let unique = error
        .as_database_error()
        .filter(|db| db.is_unique_violation())
        .and_then(|db| db.constraint())
        .map(|constraint| {
            constraint
                .strip_prefix(table)
                .unwrap_or(constraint)
                .trim_start_matches('_')
                .replace("_digest", "_key")
                .replace('_', " ")
        });
    match unique {
        None => error.into(),
        Some(what) => {
            let shown = shown(engine, table);
            let segment = shown.rsplit('/').next().unwrap_or_default();
            Error::Conflict(format!(
                "{resource} cannot be restored, because another of the {segment} has the same {what} by now."
            ))
        }
    }
}

/// Puts the rows of one table back, except those that refer to what is gone; how many.
async fn insert(
    cx: &mut Cx<'_>,
    deletion: Uuid,
    table: &str,
    edges: &[Edge],
) -> std::result::Result<u64, sqlx::Error> {
    // A column that the table got since then takes its default; one that it lost is left out.
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = quote_ident($2)::regclass AND a.attnum > 0 AND NOT a.attisdropped \
         AND a.attgenerated = '' AND EXISTS (SELECT FROM (SELECT row FROM deleted_rows WHERE deletion_id = $1 AND table_name = $2 \
         AND column_name IS NULL LIMIT 1) d WHERE d.row ? a.attname) ORDER BY a.attnum",
    )
    .bind(deletion)
    .bind(table)
    .fetch_all(&mut *cx.conn)
    .await?;
    let (mut values, mut conditions) = (Vec::new(), String::new());
    for column in &columns {
        let mut value = format!("r.\"{column}\"");
        for Edge {
            parent,
            referenced,
            on_delete,
            ..
        } in edges
            .iter()
            .filter(|e| e.child == table && e.column == *column)
        {
            let mut there = format!(
                "EXISTS (SELECT FROM \"{parent}\" p WHERE p.\"{referenced}\" = r.\"{column}\")"
            );
            if parent == table {
                there = format!(
                    "({there} OR EXISTS (SELECT FROM deleted_rows s WHERE s.deletion_id = $1 AND s.table_name = $2 \
                     AND s.row_id = r.\"{column}\" AND s.column_name IS NULL))"
                );
            }
            if on_delete == "n" {
                value = format!("CASE WHEN {there} THEN {value} END");
            } else {
                conditions.push_str(&format!(" AND (r.\"{column}\" IS NULL OR {there})"));
            }
        }
        values.push(value);
    }
    let names: Vec<String> = columns.iter().map(|c| format!("\"{c}\"")).collect();
    let sql = format!(
        "INSERT INTO \"{table}\" ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM deleted_rows d \
         CROSS JOIN LATERAL jsonb_populate_record(NULL::\"{table}\", d.row) r \
         WHERE d.deletion_id = $1 AND d.table_name = $2 AND d.column_name IS NULL{conditions}",
        names.join(", "),
        values.join(", ")
    );
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(deletion)
        .bind(table)
        .execute(&mut *cx.conn)
        .await?;
    Ok(done.rows_affected())
}

/// Rows that stayed and forgot the deleted one refer to it again, unless they found another meanwhile.
async fn remember(conn: &mut PgConnection, deletion: Uuid) -> Result<()> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT table_name, column_name FROM deleted_rows WHERE deletion_id = $1 AND column_name IS NOT NULL",
    )
    .bind(deletion)
    .fetch_all(&mut *conn)
    .await?;
    for (table, column) in columns {
        let sql = format!(
            "UPDATE \"{table}\" t SET \"{column}\" = (d.row->>'{column}')::uuid FROM deleted_rows d \
             WHERE d.deletion_id = $1 AND d.table_name = $2 AND d.column_name = $3 AND t.id = d.row_id AND t.\"{column}\" IS NULL"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(deletion)
            .bind(&table)
            .bind(&column)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Gateways hear of every row that is back, and of both ends of every link.
async fn tell(cx: &mut Cx<'_>, deletion: Uuid, tables: &[String], edges: &[Edge]) -> Result<()> {
    let mut changed: BTreeMap<&'static str, BTreeSet<Uuid>> = BTreeMap::new();
    for table in tables {
        if let Some(kind) = cx.engine.registry.kind_of_table(table) {
            let ids: Vec<Uuid> = sqlx::query_scalar(
                "SELECT row_id FROM deleted_rows WHERE deletion_id = $1 AND table_name = $2 AND column_name IS NULL",
            )
            .bind(deletion)
            .bind(table)
            .fetch_all(&mut *cx.conn)
            .await?;
            changed.entry(kind.facts().table).or_default().extend(ids);
            continue;
        }
        for edge in edges.iter().filter(|e| e.child == *table) {
            let Some(kind) = cx.engine.registry.kind_of_table(&edge.parent) else {
                continue;
            };
            let ids: Vec<Uuid> = sqlx::query_scalar(
                "SELECT DISTINCT (row->>$3)::uuid FROM deleted_rows WHERE deletion_id = $1 AND table_name = $2 AND row->>$3 IS NOT NULL",
            )
            .bind(deletion)
            .bind(table)
            .bind(&edge.column)
            .fetch_all(&mut *cx.conn)
            .await?;
            changed.entry(kind.facts().table).or_default().extend(ids);
        }
    }
    for (table, ids) in changed {
        for id in ids {
            cx.changed(table, id);
        }
    }
    Ok(())
}

/// Forgets for good what was deleted more than thirty days ago; returns how many resources.
///
/// # Errors
/// When the database fails.
pub async fn purge(pool: &sqlx::PgPool, now: chrono::DateTime<chrono::Utc>) -> Result<u64> {
    Ok(
        sqlx::query("DELETE FROM deleted_entities WHERE scheduled_purge_date < $1")
            .bind(now)
            .execute(pool)
            .await?
            .rows_affected(),
    )
}
