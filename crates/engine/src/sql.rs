//! Every statement that the engine can send for a kind, as text built once.
//!
//! Stable text is what lets Postgres reuse prepared plans. Names in the text come from the kinds'
//! constants; every value is bound. Parameters of all statements that resolve a path:
//! `$1` subscription, `$2` resource group, `$3` service name, `$4` principal, `$5…` the names below.

use crate::kind::Kind;
use std::fmt::Write as _;

/// The statements of one kind.
#[derive(Clone, Debug)]
pub struct Statements {
    /// One row by path.
    pub select: String,
    /// The same, locked for a write.
    pub select_locked: String,
    /// The parent by path: its id and the ids and names on the way.
    pub ancestors: String,
    /// Columns and FROM of a list below a known parent; conditions, order and limit follow. `$1` is the parent.
    pub list: String,
    /// A new row: `$1` id, `$2` parent (services: `$2` subscription, `$3` group), name, time, then the columns.
    pub insert: String,
    /// New values: `$1` id, `$2` time, then the columns.
    pub update: String,
    /// Removes a row: `$1` id.
    pub delete: String,
}

/// Highest role of the principal `$4` over the service `c0`: 4 owner, 3 contributor, 2 reader, 1 developer, null none.
const RANK: &str = "(SELECT max(CASE a.role WHEN 'owner' THEN 4 WHEN 'contributor' THEN 3 WHEN 'reader' THEN 2 ELSE 1 END) \
     FROM role_assignments a JOIN principals p ON p.id = a.principal_id AND p.disabled_at IS NULL WHERE a.principal_id = $4 \
     AND (a.scope_service_id IS NULL OR a.scope_service_id = c0.id))";

fn selected(kind: &dyn Kind, alias: &str) -> String {
    let mut out = format!("{alias}.id AS id, {alias}.name AS name, {alias}.rev AS rev");
    for field in kind.facts().fields {
        let Some(column) = field.column else { continue };
        let name = column.name;
        let _ = write!(out, ", {alias}.{name} AS {name}");
        if let Some(segment) = field.reference.filter(|segment| !segment.is_empty()) {
            let table = snake_table(segment);
            let _ = write!(
                out,
                ", (SELECT r.name FROM {table} r WHERE r.id = {alias}.{name}) AS {name}__name"
            );
        }
    }
    out
}

/// `namedValues` -> `named_values`: tables are the segments in snake case for every kind that can be referred to.
fn snake_table(segment: &str) -> String {
    let mut out = String::new();
    for c in segment.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// FROM and WHERE down to the last of `chain`, whose alias is `c{n}`.
fn path(chain: &[&'static dyn Kind]) -> String {
    let mut from = "FROM services c0".to_owned();
    for (at, kind) in chain.iter().enumerate().skip(1) {
        let (table, parameter, parent) = (kind.facts().table, at + 4, at - 1);
        let _ = write!(
            from,
            " JOIN {table} c{at} ON c{at}.parent_id = c{parent}.id AND lower(c{at}.name) = lower(${parameter})"
        );
    }
    from + " WHERE lower(c0.name) = lower($3) AND lower(c0.subscription_id) = lower($1) \
             AND lower(c0.resource_group) = lower($2) AND c0.deleted_at IS NULL"
}

fn head(chain: &[&'static dyn Kind]) -> String {
    let mut out = format!(
        "c0.id AS service_id, c0.name AS service_name, c0.subscription_id AS at_subscription, \
         c0.resource_group AS at_group, {RANK} AS rank"
    );
    for at in 1..chain.len() {
        let _ = write!(out, ", c{at}.id AS p{at}_id, c{at}.name AS p{at}_name");
    }
    out
}

impl Statements {
    /// Builds the statements of a kind.
    #[must_use]
    pub fn build(kind: &'static dyn Kind) -> Self {
        let facts = kind.facts();
        let mut chain = kind.parents();
        let is_service = chain.is_empty();
        let ancestors = if is_service {
            String::new()
        } else {
            format!("SELECT {} {}", head(&chain), path(&chain))
        };
        chain.push(kind);
        let last = format!("c{}", chain.len() - 1);
        let select = format!(
            "SELECT {}, {} {}",
            head(&chain),
            selected(kind, &last),
            path(&chain)
        );
        let select_locked = format!("{select} FOR NO KEY UPDATE OF {last}");
        let list = format!("SELECT {} FROM {} t", selected(kind, "t"), facts.table);
        let columns: Vec<&str> = facts
            .fields
            .iter()
            .filter_map(|f| f.column)
            .map(|c| c.name)
            .collect();
        let (parent, unique, from) = if is_service {
            ("subscription_id, resource_group", "(lower(name))", 6)
        } else {
            ("parent_id", "(parent_id, lower(name))", 5)
        };
        let mut names = String::new();
        let mut values = String::new();
        let mut sets = String::new();
        for (at, column) in columns.iter().enumerate() {
            let _ = write!(names, ", {column}");
            let _ = write!(values, ", ${}", from + at);
            let _ = write!(sets, ", {column} = ${}", at + 3);
        }
        let parents = if is_service { "$2, $3, $4" } else { "$2, $3" };
        let time = from - 1;
        let insert = format!(
            "INSERT INTO {table} (id, {parent}, name, rev, created_at, updated_at{names}) \
             VALUES ($1, {parents}, 1, ${time}, ${time}{values}) ON CONFLICT {unique} DO NOTHING RETURNING id",
            table = facts.table
        );
        let update = format!(
            "UPDATE {table} SET rev = rev + 1, updated_at = $2{sets} WHERE id = $1 RETURNING rev",
            table = facts.table
        );
        let delete = format!("DELETE FROM {} WHERE id = $1", facts.table);
        Self {
            select,
            select_locked,
            ancestors,
            list,
            insert,
            update,
            delete,
        }
    }
}
