//! Counters of quotas: `…/service/{name}/quotas/{counterKey}` and its periods, read and set.
//!
//! The counter key of `quota-by-key` is its own; that of `quota` is the name of the subscription. A gateway takes a value that
//! is set here over with its next exchange of counts, a quarter of a second later at most.

use crate::State;
use chrono::{DateTime, Utc};
use engine::{Access, Error, Method, Reply, Request, Result, Violations, json};
use serde_json::Value;
use uuid::Uuid;

/// The end of a period that never ends, because the contract wants one.
const NEVER: &str = "9999-12-31T23:59:59Z";

#[derive(sqlx::FromRow)]
struct Counter {
    subscription_id: Uuid,
    step: String,
    period_start: DateTime<Utc>,
    period_end: Option<DateTime<Utc>>,
    calls: i64,
    bytes: i64,
}

impl Counter {
    /// Start and length of the period; a quota of one API or operation of a product says so, because periods are the same.
    fn period_key(&self) -> String {
        let length = self
            .period_end
            .map_or(0, |end| (end - self.period_start).num_seconds());
        let mut out = format!("{}_PT{length}S", self.period_start.timestamp());
        if !self.subscription_id.is_nil() {
            for part in self.step.split('/').skip(1) {
                out.push('_');
                out.push_str(&part.replace(':', "-"));
            }
        }
        out
    }

    fn shown(&self, key: &str) -> Value {
        let end = self
            .period_end
            .map_or_else(|| NEVER.to_owned(), |end| end.to_rfc3339());
        #[expect(
            clippy::cast_precision_loss,
            reason = "kilobytes to a fraction: exact below 2^53 bytes"
        )]
        let kilobytes = self.bytes as f64 / 1024.0;
        json!({"counterKey": key, "periodKey": self.period_key(), "periodStartTime": self.period_start.to_rfc3339(),
               "periodEndTime": end, "value": {"callsCount": self.calls, "kbTransferred": kilobytes}})
    }
}

/// The reply to requests about quotas; `None` for other requests.
///
/// # Errors
/// Unknown counters and periods, every wrong field of a value, missing role.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let is = |text: &str, wanted: &str| text.eq_ignore_ascii_case(wanted);
    let pairs: Vec<(&str, &str)> = request
        .path
        .pairs
        .iter()
        .map(|(segment, name)| (segment.as_str(), name.as_str()))
        .collect();
    let (key, period) = match (pairs.as_slice(), &request.path.tail) {
        ([(service, _), (quotas, key)], None) if is(service, "service") && is(quotas, "quotas") => {
            (*key, None)
        }
        ([(service, _), (quotas, key), (periods, period)], None)
            if is(service, "service") && is(quotas, "quotas") && is(periods, "periods") =>
        {
            (*key, Some(*period))
        }
        _ => return Ok(None),
    };
    let (access, action) = match request.method {
        Method::Get => (Access::Read, "quotas/read"),
        Method::Patch => (Access::Write, "quotas/write"),
        other => return Err(Error::MethodNotAllowed(other.name().to_owned())),
    };
    let engine = &state.engine;
    let mut tx = engine.pool.begin().await?;
    let at = engine.enter(&mut tx, request, access, action).await?;
    let given = match request.method {
        Method::Patch => Some(value(request)?),
        _ => None,
    };
    let mut counters = counters(&mut tx, at.service.id, key, engine.now()).await?;
    if let Some(period) = period {
        counters.retain(|counter| is(&counter.period_key(), period));
    }
    // A key that nothing was counted for has no periods, which is no error.
    if counters.is_empty() && period.is_some() {
        return Err(Error::not_found("QuotaCounter"));
    }
    if let Some((calls, bytes)) = given {
        for counter in &mut counters {
            counter.calls = calls.unwrap_or(counter.calls);
            counter.bytes = bytes.unwrap_or(counter.bytes);
            sqlx::query(
                "UPDATE quota_counters SET calls = $5, bytes = $6, updated_at = now() \
                 WHERE service_id = $1 AND subscription_id = $2 AND step = $3 AND period_start = $4",
            )
            .bind(at.service.id)
            .bind(counter.subscription_id)
            .bind(&counter.step)
            .bind(counter.period_start)
            .bind(counter.calls)
            .bind(counter.bytes)
            .execute(&mut *tx)
            .await?;
        }
        let action = format!("{}/service/{action}", arm_id::PROVIDER);
        let resource = request.path.to_string();
        engine::audit::note(
            &mut tx,
            engine,
            request,
            at.service.id,
            &action,
            &resource,
            None,
        )
        .await?;
    }
    tx.commit().await?;
    let mut shown: Vec<Value> = counters.iter().map(|counter| counter.shown(key)).collect();
    Ok(Some(Reply::ok(match period {
        Some(_) => shown.swap_remove(0),
        None => json!({"count": shown.len(), "value": shown, "nextLink": ""}),
    })))
}

async fn counters(
    conn: &mut sqlx::PgConnection,
    service: Uuid,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Counter>> {
    // A subscription of that name, or the nil id of counters by key.
    Ok(sqlx::query_as(
        "SELECT q.subscription_id, q.step, q.period_start, q.period_end, q.calls, q.bytes FROM quota_counters q \
         WHERE q.service_id = $1 AND (q.period_end IS NULL OR q.period_end > $3) AND ( \
           (q.subscription_id = '00000000-0000-0000-0000-000000000000' AND q.step = 'key:' || $2) OR \
           q.subscription_id = (SELECT s.id FROM subscriptions s WHERE s.parent_id = $1 AND lower(s.name) = lower($2))) \
         ORDER BY q.step, q.period_start",
    )
    .bind(service)
    .bind(key)
    .bind(now)
    .fetch_all(conn)
    .await?)
}

/// Calls and bytes of a body; what it leaves out stays.
fn value(request: &Request) -> Result<(Option<i64>, Option<i64>)> {
    let body = request.json()?;
    let mut violations = Violations::default();
    let empty = serde_json::Map::new();
    let properties = match body.get("properties") {
        Some(Value::Object(properties)) => properties,
        None => &empty,
        Some(_) => {
            violations.add("properties", "must be an object");
            &empty
        }
    };
    for name in properties.keys() {
        if !["callsCount", "kbTransferred"].contains(&name.as_str()) {
            violations.add(
                format!("properties.{name}"),
                "is not a property of this resource",
            );
        }
    }
    let given = |name: &str| properties.get(name).filter(|value| !value.is_null());
    let calls = given("callsCount").map(|value| {
        value
            .as_i64()
            .filter(|calls| (0..=i64::from(i32::MAX)).contains(calls))
    });
    if calls == Some(None) {
        violations.add("callsCount", "must be a whole number of at least 0");
    }
    let kilobytes = given("kbTransferred").map(|value| {
        value
            .as_f64()
            .filter(|kilobytes| (0.0..=1e12).contains(kilobytes))
    });
    if kilobytes == Some(None) {
        violations.add("kbTransferred", "must be a number of at least 0");
    }
    if calls.is_none() && kilobytes.is_none() {
        violations.add("properties", "must name callsCount or kbTransferred");
    }
    violations.into_result()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a range check above keeps it below 2^53"
    )]
    let bytes = kilobytes
        .flatten()
        .map(|kilobytes| (kilobytes * 1024.0).round() as i64);
    Ok((calls.flatten(), bytes))
}
