//! Mails on subscriptions that have used most of a quota: to the developer and to the recipients of the notification.
//!
//! Every process with a worker looks at the counters; a row in `quota_notices`, in the transaction that queues the mails, decides
//! which of them tells, so that each share is told once in each period of the quota.

use crate::notify::{self, Developer};
use chrono::{DateTime, Utc};
use engine::{Cx, Engine, LazyTransaction, Query, Result, ServiceAt, sqlx};
use mail::Variables;
use std::time::Duration;
use uuid::Uuid;

/// Share that is always told: nothing is left.
const USED_UP: i32 = 100;

#[derive(sqlx::FromRow)]
struct Found {
    service_id: Uuid,
    subscription_id: Uuid,
    step: String,
    period_start: DateTime<Utc>,
    period_end: Option<DateTime<Utc>>,
    used: i64,
    service_name: String,
    subscription_name: String,
    product_name: String,
    product_title: String,
    first_name: String,
    last_name: String,
    email: String,
}

/// Looks for quotas that are used to `percent` or more and queues their mails; returns how many were told. Only counters that
/// changed `within` this time are looked at.
///
/// # Errors
/// When the database fails, or a stored template cannot be rendered.
pub async fn tell(engine: &Engine, percent: i32, within: Duration) -> Result<u64> {
    let found: Vec<Found> = sqlx::query_as(
        "SELECT q.service_id, q.subscription_id, q.step, q.period_start, q.period_end, u.used, s.name AS service_name, \
           x.name AS subscription_name, coalesce(p.name, ltrim(x.scope, '/')) AS product_name, \
           coalesce(p.display_name, x.display_name, x.name) AS product_title, d.first_name, d.last_name, d.email \
         FROM quota_counters q \
         JOIN services s ON s.id = q.service_id AND s.deleted_at IS NULL \
         JOIN subscriptions x ON x.id = q.subscription_id \
         JOIN users d ON d.id = x.owner_id \
         LEFT JOIN products p ON p.id = x.scope_product_id \
         CROSS JOIN LATERAL (SELECT floor(100 * greatest(coalesce(q.calls::numeric / nullif(q.calls_limit, 0), 0), \
           coalesce(q.bytes::numeric / nullif(q.bytes_limit, 0), 0)))::int8 AS used) u \
         WHERE q.updated_at > now() - $2 * interval '1 second' AND (q.period_end IS NULL OR q.period_end > now()) AND u.used >= $1 \
           AND NOT EXISTS (SELECT FROM quota_notices n WHERE (n.service_id, n.subscription_id, n.step, n.period_start) = \
             (q.service_id, q.subscription_id, q.step, q.period_start) \
             AND n.percent = CASE WHEN u.used >= 100 THEN 100 ELSE $1 END) \
         ORDER BY 1, 2, 3 LIMIT 1000",
    )
    .bind(percent)
    .bind(within.as_secs_f64())
    .fetch_all(&engine.pool)
    .await?;
    let mut told = 0;
    for found in found {
        told += u64::from(tell_one(engine, percent, &found).await?);
    }
    Ok(told)
}

async fn tell_one(engine: &Engine, percent: i32, found: &Found) -> Result<bool> {
    let mut tx = LazyTransaction::from(engine.pool.begin().await?);
    // A quota that is used up at once is not told as nearly used up as well.
    let shares = if found.used >= i64::from(USED_UP) {
        vec![percent, USED_UP]
    } else {
        vec![percent]
    };
    let highest = shares.last().copied().unwrap_or(percent);
    let ours: Vec<i32> = sqlx::query_scalar(
        "INSERT INTO quota_notices (service_id, subscription_id, step, period_start, period_end, percent) \
         SELECT $1, $2, $3, $4, $5, unnest($6::int4[]) ON CONFLICT DO NOTHING RETURNING percent",
    )
    .bind(found.service_id)
    .bind(found.subscription_id)
    .bind(&found.step)
    .bind(found.period_start)
    .bind(found.period_end)
    .bind(&shares)
    .fetch_all(&mut tx)
    .await?;
    if !ours.contains(&highest) {
        return Ok(false);
    }
    let query = Query::default();
    let mut cx = Cx {
        engine,
        conn: &mut tx,
        query: &query,
        caller: "portico",
        now: engine.now(),
        service: ServiceAt {
            id: found.service_id,
            root: found.service_id,
            name: found.service_name.clone(),
            path: String::new(),
        },
        parents: vec![found.service_id],
        id: found.subscription_id,
        name: found.subscription_name.clone(),
        body: serde_json::Map::new(),
        given: Vec::new(),
        notes: Vec::new(),
        changes: Vec::new(),
        restored: false,
        accepted: None,
    };
    let developer = Developer {
        first_name: found.first_name.clone(),
        last_name: found.last_name.clone(),
        email: found.email.clone(),
    };
    let mut variables = Variables::new();
    variables.insert("ProdId".into(), found.product_name.clone().into());
    variables.insert("ProdName".into(), found.product_title.clone().into());
    variables.insert("SubId".into(), found.subscription_name.clone().into());
    variables.insert("QuotaUsed".into(), found.used.min(100).to_string().into());
    if let Some(end) = found.period_end {
        let text = end.format("%Y-%m-%d %H:%M UTC").to_string();
        variables.insert("QuotaResetDate".into(), text.into());
    }
    notify::developer(
        &mut cx,
        "quotaLimitApproachingDeveloperNotificationMessage",
        &developer,
        variables.clone(),
    )
    .await?;
    notify::publishers(
        &mut cx,
        "QuotaLimitApproachingPublisherNotificationMessage",
        &developer,
        variables,
    )
    .await?;
    drop(cx);
    tx.commit().await?;
    Ok(true)
}
