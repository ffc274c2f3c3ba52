//! The eight reports of the contract: `GET …/reports/{byApi|byUser|byOperation|byProduct|byGeo|bySubscription|byTime|byRequest}`,
//! and one of Portico's own, `byLatency`: percentiles, which cannot be had from counts and so are taken over the single calls.

use chrono::{DateTime, Utc};
use engine::{Access, Engine, Error, Method, Reply, Request, Result, Violations, json};
use odata::{Direction, Expr, Field, Literal, Op};
use serde_json::{Map, Value};
use sqlx::{
    Arguments as _, Row as _,
    postgres::{PgArguments, PgRow},
};
use uuid::Uuid;

/// Rows of a page where the caller names no `$top`.
const DEFAULT_TOP: i64 = 100;
/// Most rows of a page.
const LARGEST_TOP: i64 = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Report {
    Api,
    User,
    Operation,
    Product,
    Geo,
    Subscription,
    Time,
    Request,
    Latency,
}

impl Report {
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "byapi" => Self::Api,
            "byuser" => Self::User,
            "byoperation" => Self::Operation,
            "byproduct" => Self::Product,
            "bygeo" => Self::Geo,
            "bysubscription" => Self::Subscription,
            "bytime" => Self::Time,
            "byrequest" => Self::Request,
            "bylatency" => Self::Latency,
            _ => return None,
        })
    }

    /// Dimensions that group the report.
    fn dimensions(self) -> &'static [&'static str] {
        match self {
            Self::Api => &["api_id"],
            Self::User => &["user_id"],
            Self::Operation => &["api_id", "operation_id"],
            Self::Product => &["product_id"],
            Self::Subscription => &["subscription_id", "user_id", "product_id"],
            Self::Geo => &["country", "region"],
            Self::Time | Self::Request | Self::Latency => &[],
        }
    }
}

/// Arguments of a statement and the number of the last one.
struct Bound {
    args: PgArguments,
    count: usize,
}

impl Bound {
    fn add<'q, T>(&mut self, value: T) -> Result<String>
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + 'q,
    {
        self.args.add(value).map_err(Error::Internal)?;
        self.count += 1;
        Ok(format!("${}", self.count))
    }
}

/// The reply to a request for a report; `None` for other requests.
///
/// # Errors
/// Every wrong query parameter, missing service, missing role.
pub async fn answer(engine: &Engine, request: &Request) -> Result<Option<Reply>> {
    let name = match (request.path.pairs.as_slice(), request.path.tail.as_deref()) {
        ([(service, _), (reports, name)], None)
            if service.eq_ignore_ascii_case("service")
                && reports.eq_ignore_ascii_case("reports") =>
        {
            name.clone()
        }
        _ => return Ok(None),
    };
    if request.method != Method::Get {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let report = Report::of(&name).ok_or_else(|| Error::UnknownType {
        path: request.path.to_string(),
    })?;
    let mut connection = engine.pool.acquire().await?;
    let at = engine
        .enter(&mut connection, request, Access::Read, "reports/read")
        .await?;
    let mut violations = Violations::default();
    let top = whole(request, "$top", 1, DEFAULT_TOP, &mut violations).min(LARGEST_TOP);
    let skip = whole(request, "$skip", 0, 0, &mut violations);
    let interval = match (report, request.query.value("interval")) {
        (Report::Time | Report::Latency, Some(text)) => {
            match quarters(text) {
                Some(quarters) => quarters,
                None => {
                    violations.add("interval", "must be an ISO 8601 duration that is a multiple of 15 minutes, such as PT1H");
                    1
                }
            }
        }
        (Report::Time, None) => {
            violations.add("interval", "is required");
            1
        }
        _ => 1,
    };
    let mut bound = Bound {
        args: PgArguments::default(),
        count: 0,
    };
    let service = bound.add(at.service.id)?;
    let filter = match request.query.value("$filter").map(str::trim) {
        None | Some("") => {
            violations.add("$filter", "is required: name a range of timestamp");
            String::new()
        }
        Some(text) => match odata::parse_filter(text) {
            Err(e) => {
                violations.add(
                    "$filter",
                    format!("cannot be read at character {}: {}", e.position, e.message),
                );
                String::new()
            }
            Ok(expr) => {
                let mut sql = String::new();
                condition(
                    &expr,
                    report,
                    &service,
                    &mut bound,
                    &mut sql,
                    &mut violations,
                )?;
                sql
            }
        },
    };
    let order = order(request, report, &mut violations);
    violations.into_result()?;
    let top_at = bound.add(top + 1)?;
    let skip_at = bound.add(skip)?;
    let sql = match report {
        Report::Request => format!(
            "SELECT s.*, {NAMES}, (SELECT v.location FROM services v WHERE v.id = s.service_id) AS api_region FROM calls s WHERE s.service_id = {service}{filter} ORDER BY s.started_at DESC, s.id LIMIT {top_at} OFFSET {skip_at}"
        ),
        Report::Latency => {
            let at = if request.query.value("interval").is_some() {
                let minutes = bound.add(interval * 15)?;
                format!(
                    "date_bin({minutes} * interval '1 minute', s.started_at, 'epoch'::timestamptz)"
                )
            } else {
                "NULL::timestamptz".to_owned()
            };
            format!(
                "SELECT {at} AS at, count(*)::int8 AS total, \
                   percentile_disc(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY s.total_us) AS api_us, \
                   percentile_disc(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY s.backend_us) AS service_us \
                 FROM calls s WHERE s.service_id = {service}{filter} GROUP BY 1 ORDER BY 1 LIMIT {top_at} OFFSET {skip_at}"
            )
        }
        _ => statement(
            report, &service, &filter, &order, interval, &top_at, &skip_at, &mut bound,
        )?,
    };
    let rows = sqlx::query_with(sqlx::AssertSqlSafe(sql), bound.args)
        .fetch_all(&mut *connection)
        .await?;
    let wanted = usize::try_from(top).unwrap_or(usize::MAX);
    let more = rows.len() > wanted;
    let value = rows
        .iter()
        .take(wanted)
        .map(|row| match report {
            Report::Request => call(row),
            Report::Latency => latency(row, interval),
            _ => counts(report, row, interval),
        })
        .collect::<Result<Vec<Value>>>()?;
    let mut body = json!({"count": value.len(), "value": value, "nextLink": ""});
    if more {
        body["nextLink"] = next_link(request, skip + top).into();
    }
    Ok(Some(Reply::ok(body)))
}

/// Names of what a row is about; a deleted thing has none, and its row keeps its id.
const NAMES: &str = "(SELECT a.name FROM apis a WHERE a.id = s.api_id) AS api_name, \
     (SELECT a.display_name FROM apis a WHERE a.id = s.api_id) AS api_title, \
     (SELECT o.name FROM api_operations o WHERE o.id = s.operation_id) AS operation_name, \
     (SELECT o.display_name FROM api_operations o WHERE o.id = s.operation_id) AS operation_title, \
     (SELECT p.name FROM products p WHERE p.id = s.product_id) AS product_name, \
     (SELECT p.display_name FROM products p WHERE p.id = s.product_id) AS product_title, \
     (SELECT x.name FROM subscriptions x WHERE x.id = s.subscription_id) AS subscription_name, \
     (SELECT x.display_name FROM subscriptions x WHERE x.id = s.subscription_id) AS subscription_title, \
     (SELECT u.name FROM users u WHERE u.id = s.user_id) AS user_name, \
     (SELECT u.first_name || ' ' || u.last_name FROM users u WHERE u.id = s.user_id) AS user_title";

#[expect(clippy::too_many_arguments, reason = "the parts of one statement")]
fn statement(
    report: Report,
    service: &str,
    filter: &str,
    order: &str,
    interval: i64,
    top: &str,
    skip: &str,
    bound: &mut Bound,
) -> Result<String> {
    let dimensions = report.dimensions();
    let mut grouped: Vec<String> = dimensions.iter().map(|d| format!("s.{d}")).collect();
    const NO_ID: &str = "'00000000-0000-0000-0000-000000000000'::uuid";
    let mut selected: Vec<String> = [
        ("api_id", NO_ID),
        ("operation_id", NO_ID),
        ("product_id", NO_ID),
        ("subscription_id", NO_ID),
        ("user_id", NO_ID),
        ("country", "''"),
        ("region", "''"),
    ]
    .iter()
    .map(|(dimension, none)| {
        if dimensions.contains(dimension) {
            format!("s.{dimension}")
        } else {
            format!("{none} AS {dimension}")
        }
    })
    .collect();
    if report == Report::Time {
        let minutes = bound.add(interval * 15)?;
        let binned = format!(
            "date_bin({minutes} * interval '1 minute', s.period_start, 'epoch'::timestamptz)"
        );
        grouped.push(binned.clone());
        selected.push(format!("{binned} AS at"));
    }
    let group = if grouped.is_empty() {
        String::new()
    } else {
        format!(" GROUP BY {}", grouped.join(", "))
    };
    Ok(format!(
        "SELECT s.*, {NAMES} FROM ( \
           SELECT {}, sum(s.success)::int8 AS success, sum(s.blocked)::int8 AS blocked, sum(s.failed)::int8 AS failed, \
             sum(s.other)::int8 AS other, sum(s.success + s.blocked + s.failed + s.other)::int8 AS total, sum(s.bytes)::int8 AS bytes, \
             sum(s.cache_hits)::int8 AS cache_hits, sum(s.cache_misses)::int8 AS cache_misses, \
             sum(s.total_us_sum)::int8 AS total_us_sum, min(s.total_us_min) AS total_us_min, max(s.total_us_max) AS total_us_max, \
             sum(s.backend_us_sum)::int8 AS backend_us_sum, min(s.backend_us_min) AS backend_us_min, max(s.backend_us_max) AS backend_us_max \
           FROM call_counts s WHERE s.service_id = {service}{filter}{group} HAVING count(*) > 0) s \
         ORDER BY {order} LIMIT {top} OFFSET {skip}",
        selected.join(", ")
    ))
}

fn whole(
    request: &Request,
    name: &str,
    least: i64,
    default: i64,
    violations: &mut Violations,
) -> i64 {
    match request.query.value(name).map(str::parse::<i64>) {
        None => default,
        Some(Ok(n)) if n >= least => n,
        Some(_) => {
            violations.add(name, format!("must be a whole number of at least {least}"));
            default
        }
    }
}

/// An interval in quarters of an hour: a positive multiple of 15 minutes.
fn quarters(text: &str) -> Option<i64> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut minutes = 0_i64;
    for (part, units) in [
        (days, [('W', 10_080), ('D', 1440)].as_slice()),
        (time, &[('H', 60), ('M', 1)]),
    ] {
        let mut digits = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let (_, unit) = units.iter().find(|(name, _)| *name == c)?;
            minutes = minutes.checked_add(digits.parse::<i64>().ok()?.checked_mul(*unit)?)?;
            digits.clear();
        }
        if !digits.is_empty() {
            return None;
        }
    }
    (minutes > 0 && minutes % 15 == 0).then_some(minutes / 15)
}

/// The next page, with the same query.
fn next_link(request: &Request, skip: i64) -> String {
    let mut query: Vec<(String, String)> = request
        .query
        .0
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("$skip"))
        .cloned()
        .collect();
    query.push(("$skip".into(), skip.to_string()));
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() || b"-._~$".contains(&b) {
                    char::from(b).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect()
    };
    let query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    format!(
        "{}{}?{}",
        request.base_url,
        engine::arm_id::to_url_path(&request.path.to_string()),
        query.join("&")
    )
}

/// Fields that a report can be ordered by, and the column of each.
const ORDERS: &[(&str, &str)] = &[
    ("callCountSuccess", "s.success"),
    ("callCountBlocked", "s.blocked"),
    ("callCountFailed", "s.failed"),
    ("callCountOther", "s.other"),
    ("callCountTotal", "s.total"),
    ("bandwidth", "s.bytes"),
    ("apiTimeAvg", "s.total_us_sum / greatest(s.total, 1)"),
];

fn order(request: &Request, report: Report, violations: &mut Violations) -> String {
    let rest = if report == Report::Time {
        "s.at"
    } else {
        "s.total DESC, s.api_id, s.operation_id, s.product_id, s.subscription_id, s.user_id, s.country, s.region"
    };
    let Some(text) = request
        .query
        .value("$orderby")
        .filter(|text| !text.trim().is_empty())
    else {
        return rest.to_owned();
    };
    let fields = match odata::parse_order_by(text) {
        Ok(fields) => fields,
        Err(e) => {
            violations.add(
                "$orderby",
                format!("cannot be read at character {}: {}", e.position, e.message),
            );
            return rest.to_owned();
        }
    };
    let title = match report {
        Report::Api => Some("(SELECT a.display_name FROM apis a WHERE a.id = s.api_id)"),
        Report::User => Some("(SELECT u.last_name FROM users u WHERE u.id = s.user_id)"),
        Report::Operation => {
            Some("(SELECT o.display_name FROM api_operations o WHERE o.id = s.operation_id)")
        }
        Report::Product => {
            Some("(SELECT p.display_name FROM products p WHERE p.id = s.product_id)")
        }
        Report::Subscription => {
            Some("(SELECT x.display_name FROM subscriptions x WHERE x.id = s.subscription_id)")
        }
        Report::Time => Some("s.at"),
        Report::Geo | Report::Request | Report::Latency => None,
    };
    let mut out = Vec::new();
    for (field, direction) in fields {
        let name = field.path.last().map_or("", String::as_str);
        let column = match name {
            "displayName" | "timestamp" => title,
            _ => ORDERS
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, column)| *column),
        };
        match column {
            Some(column) => out.push(format!(
                "{column} {} NULLS LAST",
                if direction == Direction::Descending {
                    "DESC"
                } else {
                    "ASC"
                }
            )),
            None => violations.add(
                "$orderby",
                format!("names '{name}', by which this report cannot be ordered"),
            ),
        }
    }
    out.push(rest.to_owned());
    out.join(", ")
}

/// Comparisons joined by `and`, as the reports' contract has them.
fn condition(
    expr: &Expr,
    report: Report,
    service: &str,
    bound: &mut Bound,
    sql: &mut String,
    violations: &mut Violations,
) -> Result<()> {
    match expr {
        Expr::And(a, b) => {
            condition(a, report, service, bound, sql, violations)?;
            condition(b, report, service, bound, sql, violations)
        }
        Expr::Compare { field, op, value } => {
            compare(field, *op, value, report, service, bound, sql, violations)
        }
        _ => {
            violations.add("$filter", "may join comparisons by 'and' only");
            Ok(())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a comparison and where it goes")]
fn compare(
    field: &Field,
    op: Op,
    value: &Literal,
    report: Report,
    service: &str,
    bound: &mut Bound,
    sql: &mut String,
    violations: &mut Violations,
) -> Result<()> {
    let name = field
        .path
        .last()
        .map_or("", String::as_str)
        .to_ascii_lowercase();
    let last = |text: &str| {
        text.trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    match (name.as_str(), op, value) {
        ("timestamp", _, Literal::DateTime(at)) => {
            let sign = match op {
                Op::Ge => ">=",
                Op::Gt => ">",
                Op::Le => "<=",
                Op::Lt => "<",
                Op::Eq | Op::Ne => {
                    violations.add("$filter", "compares timestamp by an operator other than ge, gt, le and lt");
                    return Ok(());
                }
            };
            let at = bound.add(*at)?;
            if matches!(report, Report::Request | Report::Latency) {
                sql.push_str(&format!(" AND s.started_at {sign} {at}"));
            } else if matches!(op, Op::Ge | Op::Gt) {
                // A quarter of an hour counts from its beginning: the one that the range begins in belongs to it.
                sql.push_str(&format!(" AND s.period_start >= date_bin('15 minutes', {at}, 'epoch'::timestamptz)"));
            } else {
                sql.push_str(&format!(" AND s.period_start {sign} {at}"));
            }
        }
        ("timestamp", ..) => violations.add("$filter", "compares timestamp with something that is not a time"),
        ("apiid" | "productid" | "subscriptionid" | "userid" | "operationid", Op::Eq, Literal::Text(text)) => {
            let (column, table) = match name.as_str() {
                "apiid" => ("api_id", "apis"),
                "productid" => ("product_id", "products"),
                "subscriptionid" => ("subscription_id", "subscriptions"),
                "userid" => ("user_id", "users"),
                _ => ("operation_id", "api_operations"),
            };
            let wanted = bound.add(last(text))?;
            if table == "api_operations" {
                sql.push_str(&format!(
                    " AND s.operation_id IN (SELECT o.id FROM api_operations o JOIN apis a ON a.id = o.parent_id \
                     WHERE a.parent_id = {service} AND lower(o.name) = lower({wanted}))"
                ));
            } else {
                sql.push_str(&format!(
                    " AND s.{column} IN (SELECT x.id FROM {table} x WHERE x.parent_id = {service} AND lower(x.name) = lower({wanted}))"
                ));
            }
        }
        ("apiregion", Op::Eq, Literal::Text(text)) => {
            let wanted = bound.add(text.clone())?;
            sql.push_str(&format!(" AND EXISTS (SELECT FROM services v WHERE v.id = {service} AND lower(v.location) = lower({wanted}))"));
        }
        _ => violations.add(
            "$filter",
            format!("names '{}' in a way that reports cannot filter; known are timestamp (ge, le) and apiId, operationId, productId, subscriptionId, userId, apiRegion (eq)", field.path.join("/")),
        ),
    }
    Ok(())
}

/// `/apis/{name}`; `/apis/-` where there was none, or it is gone.
fn id(row: &PgRow, segment: &str, column: &str) -> Result<Value> {
    let name: Option<String> = row.try_get(column)?;
    Ok(format!("/{segment}/{}", name.unwrap_or_else(|| "-".to_owned())).into())
}

fn operation_id(row: &PgRow) -> Result<Value> {
    let (api, operation): (Option<String>, Option<String>) =
        (row.try_get("api_name")?, row.try_get("operation_name")?);
    let dash = || "-".to_owned();
    Ok(format!(
        "/apis/{}/operations/{}",
        api.unwrap_or_else(dash),
        operation.unwrap_or_else(dash)
    )
    .into())
}

/// Microseconds as the contract's milliseconds.
fn ms(micros: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "no call takes the 285 years after which a microsecond is lost"
    )]
    let micros = micros as f64;
    micros / 1000.0
}

fn counts(report: Report, row: &PgRow, interval: i64) -> Result<Value> {
    let mut out = Map::new();
    let title = |column: &str| -> Result<Value> {
        Ok(row
            .try_get::<Option<String>, _>(column)?
            .unwrap_or_default()
            .into())
    };
    match report {
        Report::Api => {
            out.insert("name".into(), title("api_title")?);
            out.insert("apiId".into(), id(row, "apis", "api_name")?);
        }
        Report::User => {
            out.insert("name".into(), title("user_title")?);
            out.insert("userId".into(), id(row, "users", "user_name")?);
        }
        Report::Operation => {
            out.insert("name".into(), title("operation_title")?);
            out.insert("apiId".into(), id(row, "apis", "api_name")?);
            out.insert("operationId".into(), operation_id(row)?);
        }
        Report::Product => {
            out.insert("name".into(), title("product_title")?);
            out.insert("productId".into(), id(row, "products", "product_name")?);
        }
        Report::Subscription => {
            out.insert("name".into(), title("subscription_title")?);
            out.insert(
                "subscriptionId".into(),
                id(row, "subscriptions", "subscription_name")?,
            );
            out.insert("userId".into(), id(row, "users", "user_name")?);
            out.insert("productId".into(), id(row, "products", "product_name")?);
        }
        Report::Geo => {
            out.insert("country".into(), title("country")?);
            out.insert("region".into(), title("region")?);
            // Not counted: see migration 0097.
            out.insert("zip".into(), "".into());
        }
        Report::Time => {
            let at: DateTime<Utc> = row.try_get("at")?;
            out.insert(
                "timestamp".into(),
                at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true).into(),
            );
            out.insert("interval".into(), format!("PT{}M", interval * 15).into());
        }
        Report::Request | Report::Latency => {}
    }
    let number = |column: &str| -> Result<i64> { Ok(row.try_get(column)?) };
    let total = number("total")?.max(1);
    for (name, column) in [
        ("callCountSuccess", "success"),
        ("callCountBlocked", "blocked"),
        ("callCountFailed", "failed"),
        ("callCountOther", "other"),
        ("callCountTotal", "total"),
        ("bandwidth", "bytes"),
        ("cacheHitCount", "cache_hits"),
        ("cacheMissCount", "cache_misses"),
    ] {
        out.insert(name.into(), number(column)?.into());
    }
    for (name, sum, least, most) in [
        ("apiTime", "total_us_sum", "total_us_min", "total_us_max"),
        (
            "serviceTime",
            "backend_us_sum",
            "backend_us_min",
            "backend_us_max",
        ),
    ] {
        out.insert(format!("{name}Avg"), ms(number(sum)? / total).into());
        out.insert(format!("{name}Min"), ms(number(least)?).into());
        out.insert(format!("{name}Max"), ms(number(most)?).into());
    }
    Ok(Value::Object(out))
}

/// Percentiles of the time that calls took: in the gateway and its backend together, and in the backend alone.
fn latency(row: &PgRow, interval: i64) -> Result<Value> {
    let at: Option<DateTime<Utc>> = row.try_get("at")?;
    let mut out = Map::new();
    if let Some(at) = at {
        out.insert(
            "timestamp".into(),
            at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true).into(),
        );
        out.insert("interval".into(), format!("PT{}M", interval * 15).into());
    }
    out.insert(
        "callCountTotal".into(),
        row.try_get::<i64, _>("total")?.into(),
    );
    for (name, column) in [("apiTime", "api_us"), ("serviceTime", "service_us")] {
        let micros: Option<Vec<i64>> = row.try_get(column)?;
        for (percentile, value) in ["P50", "P90", "P95", "P99"]
            .iter()
            .zip(micros.unwrap_or_default())
        {
            out.insert(format!("{name}{percentile}"), ms(value).into());
        }
    }
    Ok(Value::Object(out))
}

fn call(row: &PgRow) -> Result<Value> {
    let started_at: DateTime<Utc> = row.try_get("started_at")?;
    let request: Uuid = row.try_get("id")?;
    let (status, backend_us): (i32, i64) = (row.try_get("status")?, row.try_get("backend_us")?);
    Ok(json!({
        "apiId": id(row, "apis", "api_name")?,
        "operationId": operation_id(row)?,
        "productId": id(row, "products", "product_name")?,
        "userId": id(row, "users", "user_name")?,
        "subscriptionId": id(row, "subscriptions", "subscription_name")?,
        "method": row.try_get::<String, _>("method")?,
        "url": row.try_get::<String, _>("path")?,
        "ipAddress": row.try_get::<String, _>("client_ip")?,
        "responseCode": status,
        "responseSize": row.try_get::<i64, _>("response_bytes")?,
        "timestamp": started_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "cache": row.try_get::<String, _>("cache")?,
        "apiTime": ms(row.try_get("total_us")?),
        "serviceTime": ms(backend_us),
        "apiRegion": row.try_get::<Option<String>, _>("api_region")?,
        "requestId": request,
        "requestSize": row.try_get::<i64, _>("request_bytes")?,
        "errorSource": row.try_get::<Option<String>, _>("error_source")?,
        "errorReason": row.try_get::<Option<String>, _>("error_reason")?,
        "country": row.try_get::<String, _>("country")?,
        "region": row.try_get::<String, _>("region")?,
        "zip": row.try_get::<String, _>("zip")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::quarters;

    #[test]
    fn intervals_are_multiples_of_a_quarter_of_an_hour() {
        for (text, expected) in [
            ("PT15M", Some(1)),
            ("PT1H", Some(4)),
            ("P1D", Some(96)),
            ("P1DT1H30M", Some(102)),
            ("PT10M", None),
            ("PT0M", None),
            ("1H", None),
            ("PT15", None),
            ("PT99999999999999999999H", None),
        ] {
            assert_eq!(quarters(text), expected, "{text}");
        }
    }
}
