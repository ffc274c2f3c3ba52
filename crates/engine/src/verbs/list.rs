//! GET of a collection: pages by key, `$filter`, `count`, absolute `nextLink` (contract rules §2, §8).

use super::{At, Target, authorise, item, type_name};
use crate::{
    Engine, Error, Result,
    column::Codec,
    count::{self, DEEP, List},
    filter::{Bound, Filter, condition, counting, order},
    kind::{Kind, root},
    page::{Caller, DEFAULT_PAGE, Reply, Request, Window},
    print::{Printer, Shown},
    resource::{Access, Entity, ListEffect, ListParameter},
};
use arm_id::Root;
use serde_json::{Map, Value};
use sqlx::{
    Arguments as _, PgConnection, Row as _,
    postgres::{PgArguments, PgRow},
};
use uuid::Uuid;

/// Which rows belong to an ordinary list.
const OF_PARENT: &str = "t.parent_id = $1";
/// Room for an item of a page in bytes; one that is longer makes the text grow.
const ITEM_BYTES: usize = 640;

/// A page's items as JSON, whether more follow, and how many rows all pages hold.
pub(crate) struct Page {
    /// `{"value":[…]`: the reply's text up to the items' end.
    pub text: Vec<u8>,
    /// Name of the last item, if more follow.
    pub last: Option<String>,
    pub count: i64,
}

/// A row of a list of what stands directly under the provider.
struct Listed {
    name: String,
    entity: Box<dyn Entity>,
}

/// LIST of a kind below the parent that `names` leads to.
///
/// # Errors
/// Missing parent, missing role, and every wrong query parameter.
pub async fn list(
    engine: &Engine,
    request: &Request,
    kind: &'static dyn Kind,
    names: Vec<String>,
) -> Result<Reply> {
    if kind.is_root() {
        return roots(engine, request, kind).await;
    }
    let target = Target::new(kind, request, names)?;
    let window = Window::parse(&request.query)?;
    let mut conn = engine.connections.acquire().await?;
    let known = known(engine, &mut conn, request, &target, &window).await?;
    let (at, rows) = match known {
        Some((at, rows)) => (at, Some(rows)),
        None => {
            let at = engine.locate(&mut conn, &target, &request.caller).await?;
            engine.known_parents.keep(&target, &target.names, &at);
            (at, None)
        }
    };
    authorise(&at, &target, Access::Read, "read")?;
    let parent = parent(&at);
    let page = page(
        engine, &mut conn, request, kind, &at, &window, "", OF_PARENT, parent, rows,
    )
    .await?;
    conn.rest();
    let collection = format!("{}/{}", super::parent_path(kind, &at), kind.facts().segment);
    Ok(reply(request, &collection, &window, page))
}

/// The row whose children a list holds.
fn parent(at: &At) -> Uuid {
    at.parents.last().map_or(at.service.id, |(id, _)| *id)
}

/// The rows of an ordinary page in one statement, which looks whether the parent is still the one that was found by the same path
/// before. `None` where it is not, where that cannot be said, and for every other page.
async fn known(
    engine: &Engine,
    conn: &mut PgConnection,
    request: &Request,
    target: &Target,
    window: &Window,
) -> Result<Option<(At, Vec<PgRow>)>> {
    let kind = target.kind;
    let statements = engine.registry.statements(kind);
    let Some(pages) = &statements.pages else {
        return Ok(None);
    };
    let is_ordinary = window.skip <= DEEP
        && request.order_by().is_none()
        && filter(request).is_none()
        && kind
            .facts()
            .list_parameters
            .iter()
            .all(|parameter| request.query.value(parameter.name).is_none())
        && matches!(request.caller, Caller::Principal { .. })
        && !statements.is_revised(&target.names);
    if !is_ordinary {
        return Ok(None);
    }
    let Some(mut at) = engine.known_parents.find(target, &target.names) else {
        return Ok(None);
    };
    let mut args = super::path_arguments(target, &target.names)?;
    let sql = match &window.after {
        None => &pages.first,
        Some(_) => &pages.after,
    };
    args.add(parent(&at)).map_err(Error::Internal)?;
    if let Some(after) = &window.after {
        args.add(after.as_str()).map_err(Error::Internal)?;
    }
    let sql = if (window.top, window.skip) == (DEFAULT_PAGE, 0) {
        &sql.usual
    } else {
        args.add(window.top + 1).map_err(Error::Internal)?;
        args.add(window.skip).map_err(Error::Internal)?;
        &sql.any
    };
    let rows = sqlx::query_with(sqlx::AssertSqlSafe(sql.as_str()), args)
        .fetch_all(&mut *conn)
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let Some(stamp) = first.try_get("stamp")? else {
        return Ok(None);
    };
    engine
        .settle(conn, root(kind), &request.caller, &mut at, stamp)
        .await?;
    Ok(at.role.is_some().then_some((at, rows)))
}

/// Reads one page of items that stand at `at`; `joined` and `belongs` say which rows belong to it, with `$1` bound to `owner`.
/// The rows are given where they are known already.
#[expect(
    clippy::too_many_arguments,
    reason = "one statement's parts, for kinds and links alike"
)]
pub(crate) async fn page(
    engine: &Engine,
    conn: &mut PgConnection,
    request: &Request,
    kind: &'static dyn Kind,
    at: &At,
    window: &Window,
    joined: &str,
    belongs: &str,
    owner: Uuid,
    rows: Option<Vec<PgRow>>,
) -> Result<Page> {
    let statements = engine.registry.statements(kind);
    let facts = kind.facts();
    let mut begin = window.clone();
    let parts = |select: &str, keyed: Option<&Window>| -> Result<(String, PgArguments)> {
        let mut args = PgArguments::default();
        let mut bound = Bound {
            args: &mut args,
            count: 0,
            service_path: &at.service.path,
            service: Some(&at.service),
        };
        bound.add(owner)?;
        let mut sql = format!("{select}{joined} WHERE {belongs}");
        restrict(&mut sql, request, kind, &mut bound)?;
        add_filter(&mut sql, request, facts.filters, &mut bound)?;
        if let Some(window) = keyed {
            let order = match request.order_by() {
                Some(text) => order(text, facts.filters)?,
                None => {
                    if let Some(after) = &window.after {
                        let after = bound.add(after.clone())?;
                        sql.push_str(&format!(" AND lower(t.name) > {after}"));
                    }
                    "lower(t.name)".to_owned()
                }
            };
            let top = bound.add(window.top + 1)?;
            sql.push_str(&format!(" ORDER BY {order} LIMIT {top}"));
            if window.skip > 0 {
                let skip = bound.add(window.skip)?;
                sql.push_str(&format!(" OFFSET {skip}"));
            }
        }
        Ok((sql, args))
    };
    let mut on = Vec::new();
    for parameter in facts.list_parameters {
        if parameter.is_on(&request.query)? {
            on.push(parameter.name);
        }
    }
    let asked;
    let shown = if on.is_empty() {
        &statements.shown
    } else {
        asked = Shown::of(kind, |parameter| on.contains(&parameter.name));
        &asked
    };
    let list = List {
        table: facts.table,
        parent: owner,
        restriction: restriction(request, kind, &[joined, belongs]),
    };
    let table = facts.table;
    if window.skip > DEEP && window.after.is_none() && request.order_by().is_none() {
        let (rows, _) = parts(&format!("FROM {table} t"), None)?;
        let arguments = || Ok(parts("", None)?.1);
        let mark = engine
            .counts
            .mark(conn, list.clone(), window.skip, &rows, arguments);
        if let Some((name, rows)) = mark.await? {
            begin = Window {
                skip: window.skip - rows,
                after: Some(name),
                ..window.clone()
            };
        }
    }
    let rows = match rows {
        Some(rows) => rows,
        None => {
            let (sql, args) = parts(&shown.select, Some(&begin))?;
            sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
                // Which index serves a filter depends on its values: planned for them each time.
                .persistent(filter(request).is_none())
                .fetch_all(&mut *conn)
                .await?
        }
    };
    let top = usize::try_from(window.top).unwrap_or(usize::MAX);
    let more = rows.len() > top;
    let own = format!("{}/{}", super::parent_path(kind, at), facts.segment);
    let type_name = at.service.type_name(type_name(kind));
    let printer = Printer::new(kind, shown, &at.service.path, &own, &type_name);
    let mut text = Vec::with_capacity((rows.len() + 1) * ITEM_BYTES);
    text.extend_from_slice(b"{\"value\":[");
    let mut last = None;
    for (place, row) in rows.iter().take(top).enumerate() {
        if place > 0 {
            text.push(b',');
        }
        last = Some(printer.item(row, &mut text)?);
    }
    text.push(b']');
    let last = last.filter(|_| more).map(str::to_owned);
    let whole = !more && window.after.is_none() && window.skip == 0;
    let count = if whole {
        i64::try_from(rows.len()).unwrap_or(i64::MAX)
    } else if filter(request).is_none() && !is_restricted(request, kind) {
        let (sql, _) = parts(&format!("SELECT count(*) FROM {table} t"), None)?;
        engine.counts.exact(conn, sql, list).await?
    } else {
        let rows = format!("SELECT FROM {table} t");
        let (sql, _) = parts(&rows, None)?;
        let counting = counting(filter(request).unwrap_or_default(), facts.filters);
        count::bounded(conn, &sql, &counting, || Ok(parts(&rows, None)?.1)).await?
    };
    Ok(Page { text, last, count })
}

fn read(kind: &'static dyn Kind, row: &PgRow, codec: &Codec) -> Result<Listed> {
    Ok(Listed {
        name: row.try_get("name")?,
        entity: kind.read(row, codec)?,
    })
}

fn filter(request: &Request) -> Option<&str> {
    let filter = request.query.value("$filter")?;
    (!filter.trim().is_empty()).then_some(filter)
}

fn restrictions<'k>(
    request: &'k Request,
    kind: &dyn Kind,
) -> impl Iterator<Item = (&'static ListParameter, &'k str)> {
    kind.facts()
        .list_parameters
        .iter()
        .filter(|parameter| matches!(parameter.effect, ListEffect::Restrict(_)))
        .filter_map(|parameter| Some((parameter, request.query.value(parameter.name)?)))
}

/// What tells this list from the one of all rows of its parent.
fn restriction(request: &Request, kind: &dyn Kind, rows: &[&str]) -> String {
    let filter = filter(request).map(|text| ("$filter", text));
    let given = restrictions(request, kind).map(|(parameter, value)| (parameter.name, value));
    let mut out = if rows == ["", OF_PARENT] {
        String::new()
    } else {
        rows.concat()
    };
    for (name, value) in filter.into_iter().chain(given) {
        out.push_str(&format!("\n{name}={value}"));
    }
    out
}

fn is_restricted(request: &Request, kind: &dyn Kind) -> bool {
    restrictions(request, kind).next().is_some()
}

fn restrict(
    sql: &mut String,
    request: &Request,
    kind: &dyn Kind,
    bound: &mut Bound<'_>,
) -> Result<()> {
    for (parameter, value) in restrictions(request, kind) {
        if let ListEffect::Restrict(condition) = parameter.effect {
            let (condition, text) =
                condition(value).map_err(|why| Error::invalid(parameter.name, why))?;
            let placeholder = match text {
                Some(text) => bound.add(text)?,
                None => String::new(),
            };
            sql.push_str(&format!(" AND ({})", condition.replace("{}", &placeholder)));
        }
    }
    Ok(())
}

fn add_filter(
    sql: &mut String,
    request: &Request,
    filters: &[Filter],
    bound: &mut Bound<'_>,
) -> Result<()> {
    if let Some(filter) = filter(request) {
        sql.push_str(" AND ");
        sql.push_str(&condition(filter, filters, bound)?);
    }
    Ok(())
}

/// The reply of a page; `collection` is the id whose items these are.
pub(crate) fn reply(request: &Request, collection: &str, window: &Window, page: Page) -> Reply {
    let mut out = page.text;
    out.extend_from_slice(b",\"count\":");
    out.extend_from_slice(page.count.to_string().as_bytes());
    if let Some(last) = page.last {
        let link = window.next_link(request, collection, &last);
        out.extend_from_slice(b",\"nextLink\":");
        out.extend_from_slice(Value::from(link).to_string().as_bytes());
    }
    out.push(b'}');
    Reply::printed(out)
}

fn body(
    request: &Request,
    collection: &str,
    window: &Window,
    items: Vec<Value>,
    count: i64,
    last: Option<&str>,
) -> Reply {
    let mut body = Map::new();
    body.insert("value".into(), Value::Array(items));
    body.insert("count".into(), count.into());
    if let Some(last) = last {
        body.insert(
            "nextLink".into(),
            window.next_link(request, collection, last).into(),
        );
    }
    Reply::ok(Value::Object(body))
}

/// Which rows of a kind directly under the provider are there for callers.
pub(crate) fn is_there(kind: &dyn Kind) -> &'static str {
    if kind.facts().of_installation {
        "true"
    } else {
        "t.deleted_at IS NULL AND t.workspace_of IS NULL"
    }
}

/// Services (or what else stands directly under the provider) of a resource group or of a whole subscription; only those over which
/// the caller may read.
async fn roots(engine: &Engine, request: &Request, kind: &'static dyn Kind) -> Result<Reply> {
    let (subscription, group) = match &request.path.root {
        Root::Group {
            subscription,
            group,
        } => (subscription, Some(group)),
        Root::Subscription { subscription } => (subscription, None),
        _ => {
            return Err(Error::UnknownType {
                path: request.path.to_string(),
            });
        }
    };
    let window = Window::parse(&request.query)?;
    let statements = engine.registry.statements(kind);
    let parts = |select: &str, keyed: bool| -> Result<(String, PgArguments)> {
        let mut args = PgArguments::default();
        let mut bound = Bound {
            args: &mut args,
            count: 0,
            service_path: "",
            service: None,
        };
        let at = bound.add(subscription.clone())?;
        let facts = kind.facts();
        let mut sql = format!(
            "{select} WHERE {} AND lower(t.subscription_id) = lower({at})",
            is_there(kind)
        );
        if let Some(group) = group {
            let group = bound.add(group.clone())?;
            sql.push_str(&format!(" AND lower(t.resource_group) = lower({group})"));
        }
        match &request.caller {
            Caller::Developer { .. } | Caller::Integration { .. } if facts.of_installation => {
                sql.push_str(" AND false");
            }
            Caller::Developer { service, .. } | Caller::Integration { service } => {
                let service = bound.add(*service)?;
                sql.push_str(&format!(" AND t.id = {service}"));
            }
            Caller::Principal { id, .. } => {
                let id = bound.add(*id)?;
                let scopes = if facts.of_installation {
                    "a.scope_service_id IS NULL"
                } else {
                    "(a.scope_service_id IS NULL OR a.scope_service_id = t.id)"
                };
                sql.push_str(&format!(
                    " AND EXISTS (SELECT FROM role_assignments a WHERE a.principal_id = {id} AND a.role <> 'developer' AND {scopes})"
                ));
            }
        }
        add_filter(&mut sql, request, facts.filters, &mut bound)?;
        if keyed {
            if let Some(after) = &window.after {
                let after = bound.add(after.clone())?;
                sql.push_str(&format!(" AND lower(t.name) > {after}"));
            }
            let top = bound.add(window.top + 1)?;
            let skip = bound.add(window.skip)?;
            sql.push_str(&format!(
                " ORDER BY lower(t.name) LIMIT {top} OFFSET {skip}"
            ));
        }
        Ok((sql, args))
    };
    let mut conn = engine.pool.acquire().await?;
    let select = statements.list.replacen(
        "SELECT ",
        "SELECT t.subscription_id AS at_subscription, t.resource_group AS at_group, ",
        1,
    );
    let (sql, args) = parts(&select, true)?;
    let rows = sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
        .fetch_all(&mut *conn)
        .await?;
    let top = usize::try_from(window.top).unwrap_or(usize::MAX);
    let more = rows.len() > top;
    let mut items = Vec::new();
    let mut last = None;
    for row in rows.iter().take(top) {
        let listed = read(kind, row, &engine.codec)?;
        let root = Root::Group {
            subscription: row.try_get("at_subscription")?,
            group: row.try_get("at_group")?,
        };
        let path = format!("{root}/{}/{}", kind.facts().segment, listed.name);
        let mut body = item(
            kind,
            &path,
            path.clone(),
            type_name(kind),
            &listed.name,
            listed.entity.as_ref(),
        );
        super::decorate(kind, row.try_get("rev")?, &mut body);
        items.push(body);
        last = Some(listed.name);
    }
    let table = kind.facts().table;
    let (sql, args) = parts(&format!("SELECT count(*) FROM {table} t"), false)?;
    let count = sqlx::query_scalar_with(sqlx::AssertSqlSafe(sql), args)
        .fetch_one(&mut *conn)
        .await?;
    let collection = format!("{}/{}", request.path.root, kind.facts().segment);
    Ok(body(
        request,
        &collection,
        &window,
        items,
        count,
        last.as_deref().filter(|_| more),
    ))
}
