//! Lists whose items are no resources: revisions of an API, what has which tag.
//!
//! A listing is data: a query that gives each item as JSON, the columns that `$filter` may name, and the columns that
//! order it and make the key of the next page. Paths, roles, paging and errors are those of every list.

use crate::{
    Engine, Query, Result,
    filter::{Bound, Filter, condition},
    kind::Kind,
    page::{Reply, Request, Window},
    resource::Access,
    verbs::{self, Target, authorise},
};
use serde_json::{Map, Value};
use sqlx::{Row as _, postgres::PgArguments};

/// Stands between the parts of a page's key; no name holds a control character.
const BETWEEN: char = '\u{1f}';

/// A list of items that are no resources.
#[derive(Clone)]
pub struct Listing {
    /// Operation of the published API: `ApiRevision_ListByService`.
    pub operation: &'static str,
    /// What it does, for OpenAPI.
    pub summary: &'static str,
    /// The kind before the segment.
    pub parent: &'static dyn Kind,
    /// The segment: `revisions`.
    pub segment: &'static str,
    /// Whether `$1` is what the parent is a revision of, instead of the parent itself.
    pub of_all_revisions: bool,
    /// Whether it exists in workspaces, too.
    pub in_workspaces: bool,
    /// What `$filter` may name; columns of the query.
    pub filters: &'static [Filter],
    /// Query parameters that are `true` or `false`.
    pub switches: &'static [&'static str],
    /// A query with the column `item` (jsonb), the columns of `keys` (text, never null) and those of the filters. `$1` is the parent.
    pub rows: fn(&Query) -> &'static str,
    /// The order; together they differ from row to row.
    pub keys: &'static [&'static str],
}

/// GET of a listing.
///
/// # Errors
/// Missing parent, missing role, wrong query parameters.
pub async fn list(
    engine: &Engine,
    request: &Request,
    listing: &Listing,
    names: Vec<String>,
) -> Result<Reply> {
    let window = Window::parse(&request.query)?;
    for switch in listing.switches {
        request.query.switch(switch)?;
    }
    let target = Target::new(listing.parent, request, names)?;
    let action = format!("{}/read", listing.segment);
    let mut conn = engine.pool.acquire().await?;
    let Some(row) = engine
        .load(&mut conn, &target, &request.caller, false)
        .await?
    else {
        return Err(engine
            .missing(&mut conn, &target, &request.caller, Access::Read, &action)
            .await);
    };
    authorise(&row.at, &target, Access::Read, &action)?;
    let owner = if listing.of_all_revisions {
        row.root
    } else {
        row.id
    };
    let parts = |select: &str, keyed: bool| -> Result<(String, PgArguments)> {
        let mut args = PgArguments::default();
        let mut bound = Bound {
            args: &mut args,
            count: 0,
            service_path: &row.at.service.path,
            service: Some(&row.at.service),
        };
        bound.add(owner)?;
        let mut sql = format!(
            "SELECT {select} FROM ({}) t WHERE true",
            (listing.rows)(&request.query)
        );
        if let Some(filter) = request
            .query
            .value("$filter")
            .filter(|f| !f.trim().is_empty())
        {
            sql.push_str(" AND ");
            sql.push_str(&condition(filter, listing.filters, &mut bound)?);
        }
        if keyed {
            let keys: Vec<String> = listing.keys.iter().map(|key| format!("t.{key}")).collect();
            let keys = keys.join(", ");
            if let Some(after) = &window.after {
                let after = after
                    .split(BETWEEN)
                    .chain(std::iter::repeat(""))
                    .take(listing.keys.len())
                    .map(|part| bound.add(part.to_owned()))
                    .collect::<Result<Vec<_>>>()?;
                sql.push_str(&format!(" AND ({keys}) > ({})", after.join(", ")));
            }
            let top = bound.add(window.top + 1)?;
            let skip = bound.add(window.skip)?;
            sql.push_str(&format!(" ORDER BY {keys} LIMIT {top} OFFSET {skip}"));
        }
        Ok((sql, args))
    };
    let (sql, args) = parts("t.*", true)?;
    let rows = sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
        .fetch_all(&mut *conn)
        .await?;
    let top = usize::try_from(window.top).unwrap_or(usize::MAX);
    let items = rows
        .iter()
        .take(top)
        .map(|row| Ok(row.try_get("item")?))
        .collect::<Result<Vec<Value>>>()?;
    let (sql, args) = parts("count(*)", false)?;
    let count: i64 = sqlx::query_scalar_with(sqlx::AssertSqlSafe(sql), args)
        .fetch_one(&mut *conn)
        .await?;
    let mut body = Map::new();
    body.insert("value".into(), Value::Array(items));
    body.insert("count".into(), count.into());
    if rows.len() > top
        && let Some(last) = top.checked_sub(1).and_then(|at| rows.get(at))
    {
        let key = listing
            .keys
            .iter()
            .map(|key| Ok(last.try_get::<String, _>(*key)?))
            .collect::<Result<Vec<_>>>()?
            .join(&BETWEEN.to_string());
        let collection = format!(
            "{}/{}",
            verbs::item_path(listing.parent, &row.at, &row.name),
            listing.segment
        );
        body.insert(
            "nextLink".into(),
            window.next_link(request, &collection, &key).into(),
        );
    }
    Ok(Reply::ok(Value::Object(body)))
}
