//! What stands below a resource with revisions: a new revision gets copies of it, and what goes with a revision is noted.
//!
//! Both follow the registry, so a kind below such a resource gets its revisions for free: its rows and those below
//! them are copied with all columns, and links too. Only a kind that belongs to all revisions says so
//! ([`OF_ALL_REVISIONS`](crate::Resource::OF_ALL_REVISIONS)) and is left alone.

use crate::{Cx, Join, Kind, Result, kind::Chain};
use std::fmt::Write as _;
use uuid::Uuid;

/// The kinds below `top` down to `kind`, both outermost first; `None` when it stands elsewhere.
fn below(top: &dyn Kind, kind: &'static dyn Kind) -> Option<Chain> {
    let mut chain = kind.parents();
    chain.push(kind);
    let at = chain
        .iter()
        .position(|kind| kind.facts().table == top.facts().table)?;
    Some(chain.split_off(at + 1))
}

/// `FROM` down to the last of `chain`, as `s1…sn` below the row `$1`; with `copied`, the copies of all as `n1…nn` below `$2`.
fn from(chain: &[&'static dyn Kind], copied: usize) -> String {
    let mut sql = String::new();
    for (at, kind) in chain.iter().enumerate() {
        let (table, step) = (kind.facts().table, at + 1);
        let _ = match at {
            0 => write!(sql, " FROM {table} s1"),
            _ => write!(sql, " JOIN {table} s{step} ON s{step}.parent_id = s{at}.id"),
        };
        if at < copied {
            let parent = match at {
                0 => "$2".to_owned(),
                _ => format!("n{at}.id"),
            };
            let _ = write!(
                sql,
                " JOIN {table} n{step} ON n{step}.parent_id = {parent} AND lower(n{step}.name) = lower(s{step}.name)"
            );
        }
    }
    sql + " WHERE s1.parent_id = $1"
}

/// Copies everything below the row `source` of `top` to the new row `target`: resources with their columns, and links.
///
/// # Errors
/// When the database fails.
pub async fn copy(cx: &mut Cx<'_>, top: &dyn Kind, source: Uuid, target: Uuid) -> Result<()> {
    let engine = cx.engine;
    let mut chains: Vec<Chain> = engine
        .registry
        .kinds()
        .iter()
        .filter_map(|kind| below(top, *kind))
        .filter(|chain| {
            chain
                .first()
                .is_some_and(|kind| !kind.facts().of_all_revisions)
        })
        .collect();
    // Parents first.
    chains.sort_by_key(Vec::len);
    for chain in chains {
        let depth = chain.len();
        let Some(facts) = chain.last().map(|kind| kind.facts()) else {
            continue;
        };
        let (mut columns, mut values) = (String::new(), String::new());
        for column in facts
            .fields
            .iter()
            .filter_map(|field| field.column)
            .filter(|column| !column.computed)
        {
            let _ = write!(columns, ", {}", column.name);
            let _ = write!(values, ", s{depth}.{}", column.name);
        }
        let parent = match depth {
            1 => "$2".to_owned(),
            _ => format!("n{}.id", depth - 1),
        };
        let sql = format!(
            "INSERT INTO {} (id, parent_id, name, rev, created_at, updated_at{columns}) \
             SELECT gen_random_uuid(), {parent}, s{depth}.name, 1, $3, $3{values}{} RETURNING id",
            facts.table,
            from(&chain, depth - 1)
        );
        let ids: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(source)
            .bind(target)
            .bind(cx.now)
            .fetch_all(&mut *cx.conn)
            .await?;
        if facts.served {
            for id in ids {
                cx.changed(facts.table, id);
            }
        }
    }
    for link in engine.registry.links() {
        let Join::Table {
            table,
            parent,
            target: far,
        } = link.join
        else {
            continue;
        };
        let own = top.facts().revisions.is_some_and(|revisions| {
            link.parent.facts().table != top.facts().table || revisions.own_links.contains(&table)
        });
        let sql = match below(top, link.parent) {
            Some(chain) if own && chain.is_empty() => format!(
                "INSERT INTO {table} ({parent}, {far}) SELECT $2, l.{far} FROM {table} l WHERE l.{parent} = $1"
            ),
            Some(chain) if own && !chain[0].facts().of_all_revisions => {
                let depth = chain.len();
                let from = from(&chain, depth);
                let joined = from.replacen(
                    " WHERE ",
                    &format!(" JOIN {table} l ON l.{parent} = s{depth}.id WHERE "),
                    1,
                );
                format!("INSERT INTO {table} ({parent}, {far}) SELECT n{depth}.id, l.{far}{joined}")
            }
            _ => continue,
        };
        // A copied resource can have made its links itself (the description of a tag).
        sqlx::query(sqlx::AssertSqlSafe(format!("{sql} ON CONFLICT DO NOTHING")))
            .bind(source)
            .bind(target)
            .execute(&mut *cx.conn)
            .await?;
    }
    Ok(())
}

/// Notes that everything below a row goes with it, as far as the gateway knows it.
///
/// # Errors
/// When the database fails.
pub async fn gone(cx: &mut Cx<'_>, top: &dyn Kind, id: Uuid) -> Result<()> {
    let engine = cx.engine;
    for kind in engine.registry.kinds() {
        let Some(chain) = below(top, *kind).filter(|chain| !chain.is_empty()) else {
            continue;
        };
        let facts = kind.facts();
        if !facts.served || chain[0].facts().of_all_revisions {
            continue;
        }
        let sql = format!("SELECT s{}.id{}", chain.len(), from(&chain, 0));
        let ids: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_all(&mut *cx.conn)
            .await?;
        for id in ids {
            cx.changed(facts.table, id);
        }
    }
    Ok(())
}
