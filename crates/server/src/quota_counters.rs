//! The durable counters of quotas: what gateways count together.

use gateway::{CounterDelta, CounterKey, CounterTotal};
use sqlx::{FromRow, PgConnection};
use std::time::Duration;
use uuid::Uuid;

/// How far back counts of other gateways are read; covers clocks that differ and a slow flush.
pub const OVERLAP: Duration = Duration::from_secs(5);

#[derive(FromRow)]
struct Row {
    service_id: Uuid,
    subscription_id: Uuid,
    step: String,
    period_start: chrono::DateTime<chrono::Utc>,
    calls: i64,
    bytes: i64,
}

impl From<Row> for CounterTotal {
    fn from(row: Row) -> Self {
        Self {
            key: CounterKey {
                service_id: row.service_id,
                subscription_id: row.subscription_id,
                step: row.step,
            },
            period_start: row.period_start,
            calls: u64::try_from(row.calls).unwrap_or_default(),
            bytes: u64::try_from(row.bytes).unwrap_or_default(),
        }
    }
}

/// Totals of periods that are not over, of one service or of all; only those that changed lately, if asked so.
///
/// # Errors
/// When the database fails.
pub async fn totals(
    conn: &mut PgConnection,
    service: Option<Uuid>,
    within: Option<Duration>,
) -> Result<Vec<CounterTotal>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT service_id, subscription_id, step, period_start, calls, bytes FROM quota_counters \
         WHERE (period_end IS NULL OR period_end > now()) \
         AND ($1::float8 IS NULL OR updated_at > now() - $1 * interval '1 second') AND ($2::uuid IS NULL OR service_id = $2)",
    )
    .bind(within.map(|within| within.as_secs_f64()))
    .bind(service)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(CounterTotal::from).collect())
}

/// Adds what a gateway counted; the answer is the totals with it.
///
/// # Errors
/// When the database fails.
pub async fn add(
    conn: &mut PgConnection,
    deltas: &[CounterDelta],
) -> Result<Vec<CounterTotal>, sqlx::Error> {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let rows: Vec<Row> = sqlx::query_as(
        // A service that was purged meanwhile has no counters any more.
        "INSERT INTO quota_counters AS q (service_id, subscription_id, step, period_start, period_end, calls, bytes, calls_limit, bytes_limit) \
         SELECT d.* FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::int8[], $7::int8[], \
           $8::int8[], $9::int8[]) \
           AS d (service_id, subscription_id, step, period_start, period_end, calls, bytes, calls_limit, bytes_limit) \
         JOIN services s ON s.id = d.service_id \
         ORDER BY d.service_id, d.subscription_id, d.step, d.period_start \
         ON CONFLICT (service_id, subscription_id, step, period_start) DO UPDATE \
           SET calls = q.calls + excluded.calls, bytes = q.bytes + excluded.bytes, updated_at = now(), \
             calls_limit = excluded.calls_limit, bytes_limit = excluded.bytes_limit \
         RETURNING service_id, subscription_id, step, period_start, calls, bytes",
    )
    .bind(deltas.iter().map(|d| d.key.service_id).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.key.subscription_id).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.key.step.clone()).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.period_start).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.period_end).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| number(d.calls)).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| number(d.bytes)).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.calls_limit.map(number)).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.bytes_limit.map(number)).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(CounterTotal::from).collect())
}
