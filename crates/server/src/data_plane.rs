//! The gateway inside this process: its threads, its durable counters, its metrics.

use anyhow::Context as _;
use gateway::{
    CacheOutcome, CounterDelta, CounterKey, CounterTotal, Counters, Gateway, Options, Record,
    Telemetry,
};
use sqlx::{FromRow, PgPool};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};
use uuid::Uuid;

/// How often counts are written. What `kill -9` loses is what was counted since; what several gateways
/// admit too much together is what each admitted since.
const FLUSH: Duration = Duration::from_millis(250);
/// How far back counts of other gateways are read; covers clocks that differ and a slow flush.
const OVERLAP_SECONDS: f64 = 5.0;
/// How long the last records of calls may take to be written.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// How long calls may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(20);

/// The gateway and what serves it.
pub struct DataPlane {
    gateway: Gateway,
    /// Threads of its own: a flood of calls must not starve the management API, nor the other way round.
    /// Always there until the end: a runtime must not be dropped where futures run.
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    flushing: JoinHandle<()>,
    records: reports::Writer,
    recording: JoinHandle<()>,
    counters: Arc<Counters>,
    pool: PgPool,
}

impl DataPlane {
    /// Reads the counters and starts to answer calls; without configuration yet, every call is a 404.
    ///
    /// # Errors
    /// When the threads cannot start or the counters cannot be read.
    pub async fn start(listener: std::net::TcpListener, pool: PgPool) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::default());
        counters.merge(
            totals(&pool, None)
                .await
                .context("reading the counters of quotas")?,
        );
        let (records, recording) = reports::Writer::start(pool.clone());
        let options = Options {
            counters: counters.clone(),
            telemetry: Arc::new(Recorder(records.clone())),
            ..Options::default()
        };
        let gateway = Gateway::new(options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("gateway")
            .enable_all()
            .build()?;
        listener.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = runtime.spawn({
            let gateway = gateway.clone();
            async move {
                let served = async {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    gateway
                        .serve(listener, None, async {
                            // Dropping the sender stops as well.
                            let _ = stopped.await;
                        })
                        .await
                        .map_err(anyhow::Error::from)
                };
                if let Err(error) = served.await {
                    tracing::error!(error = format!("{error:#}"), "the gateway stopped");
                }
            }
        });
        let flushing = tokio::spawn(flush_regularly(counters.clone(), pool.clone()));
        Ok(Self {
            gateway,
            runtime: Some(runtime),
            stop: Some(stop),
            serving,
            flushing,
            records,
            recording,
            counters,
            pool,
        })
    }

    /// The gateway itself.
    #[must_use]
    pub fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// Takes each new configuration.
    #[must_use]
    pub fn publisher(&self) -> rollout::Publish {
        let gateway = self.gateway.clone();
        Arc::new(move |snapshot| gateway.publish(snapshot))
    }

    /// Ends running calls, writes the last counts.
    pub async fn stop(mut self) {
        // Dropping the sender ends the serving; nothing is left to answer.
        drop(self.stop.take());
        if tokio::time::timeout(DRAIN, &mut self.serving)
            .await
            .is_err()
        {
            tracing::warn!("calls were cut off, because they did not end in time");
        }
        self.flushing.abort();
        if let Err(error) = flush(&self.counters, &self.pool).await {
            tracing::warn!(%error, "the last counts of quotas are lost");
        }
        if tokio::time::timeout(LAST_RECORDS, self.records.flush())
            .await
            .is_err()
        {
            tracing::warn!("the last records of calls are lost");
        }
        self.recording.abort();
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.flushing.abort();
        self.recording.abort();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

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

/// Totals of periods that are not over; only those that changed in the last seconds, if asked so.
async fn totals(pool: &PgPool, seconds: Option<f64>) -> Result<Vec<CounterTotal>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT service_id, subscription_id, step, period_start, calls, bytes FROM quota_counters \
         WHERE (period_end IS NULL OR period_end > now()) \
         AND ($1::float8 IS NULL OR updated_at > now() - $1 * interval '1 second')",
    )
    .bind(seconds)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(CounterTotal::from).collect())
}

async fn flush_regularly(counters: Arc<Counters>, pool: PgPool) {
    let mut interval = tokio::time::interval(FLUSH);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = flush(&counters, &pool).await {
            metrics::counter!("portico_gateway_quota_flush_failures_total").increment(1);
            tracing::warn!(%error, "counts of quotas could not be written; they are kept and tried again");
        }
    }
}

/// Adds the fresh counts to the table and learns what other gateways counted.
async fn flush(counters: &Counters, pool: &PgPool) -> Result<(), sqlx::Error> {
    let deltas = counters.take_dirty();
    if !deltas.is_empty() {
        match add(pool, &deltas).await {
            Ok(totals) => counters.settle(totals),
            Err(error) => {
                counters.restore(deltas);
                return Err(error);
            }
        }
    }
    counters.merge(totals(pool, Some(OVERLAP_SECONDS)).await?);
    Ok(())
}

async fn add(pool: &PgPool, deltas: &[CounterDelta]) -> Result<Vec<CounterTotal>, sqlx::Error> {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let rows: Vec<Row> = sqlx::query_as(
        // A service that was purged meanwhile has no counters any more.
        "INSERT INTO quota_counters AS q (service_id, subscription_id, step, period_start, period_end, calls, bytes) \
         SELECT d.* FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::int8[], $7::int8[]) \
           AS d (service_id, subscription_id, step, period_start, period_end, calls, bytes) \
         JOIN services s ON s.id = d.service_id \
         ORDER BY d.service_id, d.subscription_id, d.step, d.period_start \
         ON CONFLICT (service_id, subscription_id, step, period_start) DO UPDATE \
           SET calls = q.calls + excluded.calls, bytes = q.bytes + excluded.bytes, updated_at = now() \
         RETURNING service_id, subscription_id, step, period_start, calls, bytes",
    )
    .bind(deltas.iter().map(|d| d.key.service_id).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.key.subscription_id).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.key.step.clone()).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.period_start).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| d.period_end).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| number(d.calls)).collect::<Vec<_>>())
    .bind(deltas.iter().map(|d| number(d.bytes)).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(CounterTotal::from).collect())
}

/// Counts calls for `/metrics` and hands them to the reports.
struct Recorder(reports::Writer);

impl Telemetry for Recorder {
    fn record(&self, record: Record) {
        let status = match record.status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        metrics::counter!("portico_gateway_calls_total", "status" => status).increment(1);
        metrics::histogram!("portico_gateway_call_seconds").record(record.total.as_secs_f64());
        metrics::histogram!("portico_gateway_backend_seconds").record(record.backend.as_secs_f64());
        metrics::counter!("portico_gateway_bytes_total", "direction" => "in")
            .increment(record.request_bytes);
        metrics::counter!("portico_gateway_bytes_total", "direction" => "out")
            .increment(record.response_bytes);
        self.0.record(reports::Call {
            id: record.request_id,
            service_id: record.service_id,
            api_id: record.api_id,
            operation_id: record.operation_id,
            product_id: record.product_id,
            subscription_id: record.subscription_id,
            user_id: record.user_id,
            method: record.method.to_string(),
            path: record.path,
            status: record.status,
            cache: match record.cache {
                CacheOutcome::None => "none",
                CacheOutcome::Hit => "hit",
                CacheOutcome::Miss => "miss",
            },
            started_at: record.started_at,
            total: record.total,
            backend: record.backend,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            client_ip: record.client_ip.to_string(),
            error: record.error,
            revision: record.revision,
        });
    }
}
