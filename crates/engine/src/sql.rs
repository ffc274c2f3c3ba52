//! Every statement that the engine can send for a kind, as text built once.
//!
//! Stable text is what lets Postgres reuse prepared plans. Names in the text come from the kinds'
//! constants; every value is bound. Parameters of all statements that resolve a path:
//! `$1` subscription, `$2` resource group, `$3` name of the service (or of another kind's row directly under the provider),
//! `$4…` the names below.

use crate::{audit, kind::Kind, page::DEFAULT_PAGE, print::Shown, resource::Verbs, verbs::STAMP};
use std::fmt::Write as _;

/// The statements that resolve a path.
#[derive(Clone, Debug)]
pub struct Paths {
    /// One row by path.
    pub select: String,
    /// The same with just what a GET shows, the fields of [`Statements::item`] first; empty where a GET needs more.
    pub print: String,
    /// The same, locked for a write.
    pub select_locked: String,
    /// The parent by path: its id and the ids and names on the way.
    pub ancestors: String,
    /// The parent by path and, where it is there, the row: its columns are null where it is not.
    pub find: String,
}

/// The statements of one kind.
#[derive(Clone, Debug)]
pub struct Statements {
    /// By plain names.
    paths: Paths,
    /// By the name of a revision, where the path has such, with its place among the names and its marker.
    revised: Option<(usize, &'static str, Paths)>,
    /// Locks what all revisions of a row are revisions of: `$1` subscription, `$2` resource group, `$3` service, `$4` plain name.
    pub lock_root: Option<String>,
    /// Columns and FROM of a list below a known parent; conditions, order and limit follow. `$1` is the parent.
    pub list: String,
    /// The same with just what a list shows to who asks for nothing more.
    pub(crate) shown: Shown,
    /// What a GET shows.
    pub(crate) item: Shown,
    /// The first page of a list, or with a name the page after it, below a parent that was found before: its first parameters are
    /// those of the path. Its last column is the stamp of roles, null unless the path still leads to that parent.
    pub(crate) pages: Option<Pages>,
    /// A new row: `$1` id, `$2` parent (directly under the provider: `$2` subscription, `$3` group), name, time, then the columns.
    pub insert: String,
    /// The same with an entry of the audit trail and a line in the outbox, whose values follow; gives the revision.
    pub create: String,
    /// The same below a parent that was found before by the same path, whose parameters follow, and with the stamp of roles at which
    /// the caller might write: only if both are still so. Empty where a look at the row cannot be spared.
    pub(crate) create_unseen: String,
    /// New values: `$1` id, `$2` time, then the columns.
    pub update: String,
    /// The same if the row has the revision that follows.
    pub update_seen: String,
    /// The same with an entry of the audit trail and a line in the outbox, whose values follow; gives the revision.
    pub replace: String,
    /// Removes a row: `$1` id.
    pub delete: String,
}

/// See [`Statements::pages`]. The parameters after those of the path: parent; for `after` the name.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub first: PageSql,
    pub after: PageSql,
}

/// A page of the usual number of rows, which is in the text: where it is a parameter Postgres does not know how much of the list is
/// wanted, and plans the statement anew each time, which takes a third of its time. Then a page of any number and with rows to skip,
/// which are two parameters at the end.
#[derive(Clone, Debug)]
pub(crate) struct PageSql {
    pub usual: String,
    pub any: String,
}

/// The column that names a row of a kind on a path.
fn name_column(kind: &dyn Kind, by_revision: bool) -> &'static str {
    match kind.facts().revisions {
        Some(revisions) if by_revision => revisions.name,
        _ => "name",
    }
}

/// The column of `parent` that rows of `child` refer to.
fn key_column(parent: &dyn Kind, child: &dyn Kind) -> &'static str {
    match parent.facts().revisions {
        Some(revisions) if child.facts().of_all_revisions => revisions.root,
        _ => "id",
    }
}

fn selected(kind: &dyn Kind, alias: &str, by_revision: bool) -> String {
    let named = name_column(kind, by_revision);
    let mut out = format!("{alias}.id AS id, {alias}.{named} AS name, {alias}.rev AS rev");
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
pub(crate) fn snake_table(segment: &str) -> String {
    let mut out = String::new();
    for c in segment.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// FROM and WHERE down to the last of `chain`, which has the alias `last` and is joined by `join`; the others are `c{n}`. The path's
/// parameters begin at `from`.
fn path(
    chain: &[&'static dyn Kind],
    by_revision: bool,
    join: &str,
    last: &str,
    from: usize,
) -> String {
    let facts = chain[0].facts();
    let mut sql = format!("FROM {} c0", facts.table);
    let is_kept = if facts.of_installation {
        ""
    } else {
        " AND c0.deleted_at IS NULL"
    };
    for (at, kind) in chain.iter().enumerate().skip(1) {
        let (table, parameter, parent) = (kind.facts().table, from + 2 + at, at - 1);
        let (key, named) = (
            key_column(chain[parent], *kind),
            name_column(*kind, by_revision),
        );
        let (join, alias) = if at + 1 == chain.len() {
            (join, last.to_owned())
        } else {
            ("JOIN", format!("c{at}"))
        };
        let _ = write!(
            sql,
            " {join} {table} {alias} ON {alias}.parent_id = c{parent}.{key} AND lower({alias}.{named}) = lower(${parameter})"
        );
    }
    let _ = write!(
        sql,
        " WHERE lower(c0.name) = lower(${}) AND lower(c0.subscription_id) = lower(${from}) \
         AND lower(c0.resource_group) = lower(${}){is_kept}",
        from + 2,
        from + 1
    );
    sql
}

/// `child` is the kind below the chain, for whose rows the last id is the parent.
fn head(chain: &[&'static dyn Kind], child: Option<&dyn Kind>, by_revision: bool) -> String {
    let owner = if chain[0].facts().of_installation {
        "c0.id"
    } else {
        "coalesce(c0.workspace_of, c0.id)"
    };
    let mut out = format!(
        "c0.id AS service_id, {owner} AS service_root, c0.name AS service_name, c0.subscription_id AS at_subscription, \
         c0.resource_group AS at_group, {STAMP} AS stamp"
    );
    for at in 1..chain.len() {
        let below = chain.get(at + 1).map_or(child, |kind| Some(*kind));
        let key = below.map_or("id", |below| key_column(chain[at], below));
        let named = name_column(chain[at], by_revision);
        let _ = write!(
            out,
            ", c{at}.{key} AS p{at}_id, c{at}.{named} AS p{at}_name"
        );
    }
    out
}

impl Paths {
    fn build(kind: &'static dyn Kind, by_revision: bool) -> Self {
        let mut chain = kind.parents();
        let ancestors = if chain.is_empty() {
            String::new()
        } else {
            format!(
                "SELECT {} {}",
                head(&chain, Some(kind), by_revision),
                path(
                    &chain,
                    by_revision,
                    "JOIN",
                    &format!("c{}", chain.len() - 1),
                    1
                )
            )
        };
        let above = (!chain.is_empty()).then(|| head(&chain, Some(kind), by_revision));
        chain.push(kind);
        let last = format!("c{}", chain.len() - 1);
        let find = above.as_ref().map_or_else(String::new, |above| {
            format!(
                "SELECT {above}, {} {}",
                selected(kind, &last, by_revision),
                path(&chain, by_revision, "LEFT JOIN", &last, 1)
            )
        });
        let print =
            above
                .filter(|_| !kind.facts().shown_by_query)
                .map_or_else(String::new, |above| {
                    format!(
                        "{}, {above}, t.rev AS rev {}",
                        Shown::item(kind, name_column(kind, by_revision)).select,
                        path(&chain, by_revision, "JOIN", "t", 1)
                    )
                });
        let select = format!(
            "SELECT {}, {} {}",
            head(&chain, None, by_revision),
            selected(kind, &last, by_revision),
            path(&chain, by_revision, "JOIN", &last, 1)
        );
        let select_locked = format!("{select} FOR NO KEY UPDATE OF {last}");
        Self {
            select,
            print,
            select_locked,
            ancestors,
            find,
        }
    }
}

/// FROM and WHERE that find a row if the path, whose parameters begin at `from`, leads to the parent that is the other parameter; `None`
/// for what has none.
fn leads(kind: &'static dyn Kind, from: usize, parent: usize) -> Option<String> {
    let chain = kind.parents();
    let last = chain.len().checked_sub(1)?;
    let alias = format!("c{last}");
    Some(format!(
        "{} AND {alias}.{} = ${parent}",
        path(&chain, false, "JOIN", &alias, from),
        key_column(chain[last], kind),
    ))
}

fn pages(kind: &'static dyn Kind) -> Option<Pages> {
    let chain = kind.parents();
    let parent = chain.len() + 3;
    let leads = leads(kind, 1, parent)?;
    let select = Shown::of(kind, |_| false).select;
    let from = format!(" FROM {} t", kind.facts().table);
    let columns = select.strip_suffix(&from)?;
    let page = |after: &str, next: usize| {
        let rows = format!(
            "{columns}, (SELECT {STAMP} {leads}) AS stamp{from} WHERE t.parent_id = ${parent}{after} \
             ORDER BY lower(t.name)",
        );
        PageSql {
            usual: format!("{rows} LIMIT {}", DEFAULT_PAGE + 1),
            any: format!("{rows} LIMIT ${next} OFFSET ${}", next + 1),
        }
    };
    Some(Pages {
        first: page("", parent + 1),
        after: page(&format!(" AND lower(t.name) > ${}", parent + 1), parent + 2),
    })
}

/// That a path, whose parameters begin at `from`, leads to the row `$2`, and that the stamp of roles is the parameter after them.
/// `None` where rows are made otherwise.
fn proof(kind: &'static dyn Kind, from: usize) -> Option<String> {
    if kind.facts().revisions.is_some() {
        return None;
    }
    let leads = leads(kind, from, 2)?;
    let stamp = from + kind.parents().len() + 2;
    Some(format!("EXISTS (SELECT {leads} AND {STAMP} = ${stamp})"))
}

/// Locks the row that all revisions of one resource refer to.
fn lock_root(kind: &dyn Kind) -> Option<String> {
    let revisions = kind.facts().revisions?;
    Some(format!(
        "SELECT r.id FROM services c0 JOIN {} r ON r.parent_id = c0.id AND lower(r.name) = lower($4) \
         WHERE lower(c0.name) = lower($3) AND lower(c0.subscription_id) = lower($1) \
         AND lower(c0.resource_group) = lower($2) FOR NO KEY UPDATE OF r",
        revisions.roots
    ))
}

/// A write of the row `$1` with what goes with each: an entry of the audit trail, whose values begin at the parameter `from`, and
/// a line in the outbox. Nothing of it happens where the row is not written.
fn whole(write: &str, rev: &str, table: &str, from: usize) -> String {
    format!(
        "WITH written AS ({write}), recorded AS ({} SELECT {} FROM written), \
         told AS (INSERT INTO changes (service_id, entity, entity_id) SELECT ${}::uuid, '{table}', $1::uuid FROM written) \
         SELECT {rev} AS rev FROM written",
        audit::INSERT,
        audit::values(from),
        from + 1
    )
}

impl Statements {
    /// Builds the statements of a kind.
    #[must_use]
    pub fn build(kind: &'static dyn Kind) -> Self {
        let facts = kind.facts();
        let mut chain = kind.parents();
        let is_root = chain.is_empty();
        chain.push(kind);
        let revised = chain.iter().enumerate().find_map(|(at, kind)| {
            let revisions = kind.facts().revisions?;
            Some((at, revisions.marker))
        });
        let list = format!(
            "SELECT {} FROM {} t",
            selected(kind, "t", false),
            facts.table
        );
        let columns: Vec<&str> = facts
            .fields
            .iter()
            .filter_map(|f| f.column)
            .filter(|c| !c.computed)
            .map(|c| c.name)
            .collect();
        let (parent, unique, from) = if is_root {
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
        let parents = if is_root { "$2, $3, $4" } else { "$2, $3" };
        let time = from - 1;
        let insert = |where_seen: &str| {
            format!(
                "INSERT INTO {table} (id, {parent}, name, rev, created_at, updated_at{names}) \
                 SELECT $1, {parents}, 1, ${time}, ${time}{values}{where_seen} ON CONFLICT {unique} DO NOTHING RETURNING id",
                table = facts.table
            )
        };
        let update = format!(
            "UPDATE {table} SET rev = rev + 1, updated_at = $2{sets} WHERE id = $1 RETURNING rev",
            table = facts.table
        );
        let insert_unseen = proof(kind, from + columns.len() + audit::VALUES)
            .map(|proof| insert(&format!(" WHERE {proof}")));
        let insert = insert("");
        let recorded = from + columns.len();
        let create = whole(&insert, "1::int8", facts.table, recorded);
        let create_unseen = insert_unseen.map_or_else(String::new, |insert| {
            whole(&insert, "1::int8", facts.table, recorded)
        });
        let update_seen = format!(
            "UPDATE {table} SET rev = rev + 1, updated_at = $2{sets} WHERE id = $1 AND rev = ${} RETURNING rev",
            columns.len() + 3,
            table = facts.table
        );
        let replace = whole(&update_seen, "rev", facts.table, columns.len() + 4);
        let delete = format!("DELETE FROM {} WHERE id = $1", facts.table);
        Self {
            paths: Paths::build(kind, false),
            revised: revised.map(|(at, marker)| (at, marker, Paths::build(kind, true))),
            lock_root: lock_root(kind),
            list,
            shown: Shown::of(kind, |_| false),
            item: Shown::item(kind, "name"),
            pages: pages(kind),
            insert,
            create,
            create_unseen,
            update,
            update_seen,
            replace,
            delete,
        }
    }

    /// All that these verbs send, but those of lists, which go on.
    pub(crate) fn all(&self, verbs: Verbs) -> Vec<(&'static str, &str)> {
        let mut all = Vec::new();
        let writes = verbs.put || verbs.patch;
        let revised = self.revised.as_ref().map(|(_, _, paths)| paths);
        for paths in std::iter::once(&self.paths).chain(revised) {
            all.push(("read", paths.select.as_str()));
            all.push(("print", &paths.print));
            all.push(("parent", &paths.ancestors));
            if writes || verbs.delete {
                all.push(("read and lock", &paths.select_locked));
                all.push(("parent and row", &paths.find));
            }
        }
        if let Some(sql) = &self.lock_root {
            all.push(("lock all revisions", sql));
        }
        if verbs.put && verbs.create {
            all.push(("insert", &self.insert));
            all.push(("create", &self.create));
            all.push(("create unseen", &self.create_unseen));
        }
        if writes {
            all.push(("update", &self.update));
            all.push(("update as seen", &self.update_seen));
            all.push(("replace", &self.replace));
        }
        if verbs.delete {
            all.push(("delete", &self.delete));
        }
        if let Some(pages) = &self.pages {
            all.push(("first page with its path", &pages.first.usual));
            all.push(("page with its path", &pages.after.usual));
            all.push(("first rows with their path", &pages.first.any));
            all.push(("rows with their path", &pages.after.any));
        }
        all.retain(|(_, sql)| !sql.is_empty());
        all
    }

    /// Whether a path of these names leads to a revision.
    #[must_use]
    pub fn is_revised(&self, names: &[String]) -> bool {
        !std::ptr::eq(self.paths(names), &self.paths)
    }

    /// The statements that resolve a path of these names.
    #[must_use]
    pub fn paths(&self, names: &[String]) -> &Paths {
        match &self.revised {
            Some((at, marker, paths))
                if names
                    .get(*at)
                    .is_some_and(|name| name.to_ascii_lowercase().contains(marker)) =>
            {
                paths
            }
            _ => &self.paths,
        }
    }
}
