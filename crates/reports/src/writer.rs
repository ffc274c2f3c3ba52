//! From the gateway's records to tables.

use crate::place::{Place, Places};
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::{Connection as _, PgConnection, PgPool};
use std::{collections::HashSet, time::Duration};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Records that may wait, unless it is said otherwise; more are dropped and counted, because telemetry must not slow calls.
pub const QUEUE: usize = 65_536;
/// Attempts at a batch before it is given up and counted as dropped.
const ATTEMPTS: u32 = 5;

/// A call through the gateway. Serialised where the gateway runs apart from the database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Id of the request.
    pub id: Uuid,
    /// Service.
    pub service_id: Uuid,
    /// API, if one was found.
    pub api_id: Option<Uuid>,
    /// Operation, if one was found.
    pub operation_id: Option<Uuid>,
    /// Product of the subscription.
    pub product_id: Option<Uuid>,
    /// Subscription whose key was used.
    pub subscription_id: Option<Uuid>,
    /// Owner of the subscription.
    pub user_id: Option<Uuid>,
    /// Method.
    pub method: String,
    /// Path without query, which may hold keys.
    pub path: String,
    /// Status of the reply.
    pub status: u16,
    /// `hit`, `miss` or `none`.
    #[serde(deserialize_with = "cache_word")]
    pub cache: CacheWord,
    /// When the request's head was read.
    pub started_at: DateTime<Utc>,
    /// Time until the last byte was sent.
    pub total: Duration,
    /// Time that the backend took.
    pub backend: Duration,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// Bytes of the reply.
    pub response_bytes: u64,
    /// Address of the caller.
    pub client_ip: String,
    /// Source and reason of an error.
    pub error: Option<(String, String)>,
    /// Revision of the configuration that served it.
    pub revision: u64,
    /// What diagnostics keep of it, by their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

/// A name of its own, because the derived `Deserialize` would borrow from its input for every field that is a reference.
type CacheWord = &'static str;

fn cache_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CacheWord, D::Error> {
    let text = String::deserialize(deserializer)?;
    ["hit", "miss", "none"]
        .into_iter()
        .find(|word| *word == text)
        .ok_or_else(|| serde::de::Error::custom("cache is hit, miss or none"))
}

/// Takes calls from any thread. Cheap to clone; writing ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Writer(mpsc::Sender<Message>);

/// What waits in the queue of records.
#[derive(Debug)]
pub enum Message {
    /// A call is over.
    Call(Box<Call>),
    /// Answered when everything before it is where it belongs.
    Flush(oneshot::Sender<()>),
}

/// Records that travel together.
#[derive(Debug)]
pub struct Batch {
    /// The calls, at most [`Batch::LONGEST`], in their order.
    pub calls: Vec<Call>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    /// Calls of one batch at most.
    pub const LONGEST: usize = 5_000;
    /// Longest wait of a record for others to travel with.
    pub const WAIT: Duration = Duration::from_millis(500);

    /// The next batch: few and large ones, so what comes within the wait travels together, unless somebody waits for it. `None` when
    /// the queue has ended. A caller that does not take the rest of a queue loses it.
    pub async fn next(inbox: &mut mpsc::Receiver<Message>) -> Option<Self> {
        let mut messages = Vec::new();
        if inbox.recv_many(&mut messages, Self::LONGEST).await == 0 {
            return None;
        }
        let wait = tokio::time::sleep(Self::WAIT);
        tokio::pin!(wait);
        let is_flush = |message: &Message| matches!(message, Message::Flush(_));
        while messages.len() < Self::LONGEST && !messages.iter().any(is_flush) {
            let room = Self::LONGEST - messages.len();
            tokio::select! {
                () = &mut wait => break,
                more = inbox.recv_many(&mut messages, room) => if more == 0 { break },
            }
        }
        let (mut calls, mut waiting) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Call(call) => calls.push(*call),
                Message::Flush(done) => waiting.push(done),
            }
        }
        Some(Self { calls, waiting })
    }

    /// Tells those who wait that the calls are where they belong, or given up.
    pub fn done(self) {
        for done in self.waiting {
            // Who asked may be gone.
            let _ = done.send(());
        }
    }
}

impl Writer {
    /// Starts to write into this database, with the places of callers; as many records may wait as `queue` says.
    ///
    /// # Panics
    /// When `queue` is 0.
    #[must_use]
    pub fn start(
        pool: PgPool,
        queue: usize,
        places: Places,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, inbox) = mpsc::channel(queue);
        (Self(sender), tokio::spawn(write(pool, inbox, places)))
    }

    /// Waits until everything that was recorded so far is written.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.0.send(Message::Flush(done)).await.is_ok() {
            // Without an answer the writer is gone, and has said why.
            let _ = written.await;
        }
    }

    /// Takes a call, or drops it when too many wait.
    pub fn record(&self, call: Call) {
        if self.0.try_send(Message::Call(Box::new(call))).is_err() {
            metrics::counter!("portico_telemetry_dropped_total").increment(1);
        }
    }
}

async fn write(pool: PgPool, mut inbox: mpsc::Receiver<Message>, mut places: Places) {
    let mut partitions = HashSet::new();
    while let Some(batch) = Batch::next(&mut inbox).await {
        if !batch.calls.is_empty() {
            places.refresh().await;
            persist(&pool, &mut partitions, &batch.calls, &places).await;
        }
        batch.done();
    }
}

async fn persist(
    pool: &PgPool,
    partitions: &mut HashSet<NaiveDate>,
    calls: &[Call],
    places: &Places,
) {
    let places: Vec<Place> = calls.iter().map(|c| places.of(&c.client_ip)).collect();
    for attempt in 1..=ATTEMPTS {
        match store(pool, partitions, calls, &places).await {
            Ok(()) => return,
            Err(error) if attempt < ATTEMPTS => {
                tracing::warn!(%error, attempt, "records of calls could not be written; they are tried again");
                tokio::time::sleep(Batch::WAIT * attempt).await;
            }
            Err(error) => {
                tracing::error!(%error, lost = calls.len(), "records of calls are lost");
                metrics::counter!("portico_telemetry_dropped_total").increment(calls.len() as u64);
            }
        }
    }
}

async fn store(
    pool: &PgPool,
    partitions: &mut HashSet<NaiveDate>,
    calls: &[Call],
    places: &[Place],
) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    for day in calls
        .iter()
        .map(|call| call.started_at.date_naive())
        .collect::<HashSet<_>>()
    {
        if !partitions.contains(&day) {
            make_partition(&mut connection, day).await?;
            partitions.insert(day);
        }
    }
    let mut tx = connection.begin().await?;
    insert_calls(&mut tx, calls, places).await?;
    add_counts(&mut tx, calls, places).await?;
    insert_details(&mut tx, calls).await?;
    tx.commit().await
}

async fn insert_details(tx: &mut PgConnection, calls: &[Call]) -> Result<(), sqlx::Error> {
    let detailed: Vec<&Call> = calls.iter().filter(|call| call.detail.is_some()).collect();
    if detailed.is_empty() {
        return Ok(());
    }
    // A service that was purged meanwhile has no calls to look at.
    sqlx::query(
        "INSERT INTO call_details (id, service_id, started_at, detail) \
         SELECT d.id, s.id, d.started_at, d.detail FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::jsonb[]) \
         AS d (id, service_id, started_at, detail) JOIN services s ON s.id = d.service_id ON CONFLICT DO NOTHING",
    )
    .bind(detailed.iter().map(|c| c.id).collect::<Vec<_>>())
    .bind(detailed.iter().map(|c| c.service_id).collect::<Vec<_>>())
    .bind(detailed.iter().map(|c| c.started_at).collect::<Vec<_>>())
    .bind(
        detailed
            .iter()
            .map(|c| c.detail.as_ref().map(without_nul))
            .collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What diagnostics kept of a call of a service, by their names.
///
/// # Errors
/// When the database fails.
pub async fn detail(
    connection: &mut PgConnection,
    service: Uuid,
    id: Uuid,
) -> Result<Option<serde_json::Value>, sqlx::Error> {
    sqlx::query_scalar("SELECT detail FROM call_details WHERE id = $1 AND service_id = $2")
        .bind(id)
        .bind(service)
        .fetch_optional(connection)
        .await
}

/// Removes what was kept of calls before this time; returns how many.
///
/// # Errors
/// When the database fails.
pub async fn drop_old_details(pool: &PgPool, before: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query("DELETE FROM call_details WHERE started_at < $1")
        .bind(before)
        .execute(pool)
        .await?;
    Ok(done.rows_affected())
}

/// The same without the one character that Postgres' JSON does not hold.
fn without_nul(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(list) => Value::Array(list.iter().map(without_nul).collect()),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(name, value)| (name.clone(), without_nul(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The partition of a day; several gateways may want it at once.
async fn make_partition(connection: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS calls_{} PARTITION OF calls FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00')",
        day.format("%Y%m%d")
    );
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('portico call partitions', 0))")
        .execute(&mut *tx)
        .await?;
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

fn place(places: &[Place], part: fn(&Place) -> &str) -> Vec<&str> {
    places.iter().map(part).collect()
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

async fn insert_calls(
    tx: &mut PgConnection,
    calls: &[Call],
    places: &[Place],
) -> Result<(), sqlx::Error> {
    macro_rules! column {
        ($field:expr) => {
            calls.iter().map($field).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "INSERT INTO calls (id, service_id, api_id, operation_id, product_id, subscription_id, user_id, method, path, status, \
         cache, started_at, total_us, backend_us, request_bytes, response_bytes, client_ip, error_source, error_reason, revision, \
         country, region, zip) \
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::text[], \
         $9::text[], $10::int4[], $11::text[], $12::timestamptz[], $13::int8[], $14::int8[], $15::int8[], $16::int8[], $17::text[], \
         $18::text[], $19::text[], $20::int8[], $21::text[], $22::text[], $23::text[])",
    )
    .bind(column!(|c| c.id))
    .bind(column!(|c| c.service_id))
    .bind(column!(|c| c.api_id))
    .bind(column!(|c| c.operation_id))
    .bind(column!(|c| c.product_id))
    .bind(column!(|c| c.subscription_id))
    .bind(column!(|c| c.user_id))
    .bind(column!(|c| c.method.clone()))
    .bind(column!(|c| c.path.clone()))
    .bind(column!(|c| i32::from(c.status)))
    .bind(column!(|c| c.cache.to_owned()))
    .bind(column!(|c| c.started_at))
    .bind(column!(|c| micros(c.total)))
    .bind(column!(|c| micros(c.backend)))
    .bind(column!(|c| number(c.request_bytes)))
    .bind(column!(|c| number(c.response_bytes)))
    .bind(column!(|c| c.client_ip.clone()))
    .bind(column!(|c| c.error.as_ref().map(|e| e.0.clone())))
    .bind(column!(|c| c.error.as_ref().map(|e| e.1.clone())))
    .bind(column!(|c| number(c.revision)))
    .bind(place(places, |p| &p.country))
    .bind(place(places, |p| &p.region))
    .bind(place(places, |p| &p.zip))
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds the calls to the counts. The classes of status are the contract's: blocked is 401, 403 and 429;
/// success is up to 301, 304 and 307; failed is 400 and 500 to 599.
async fn add_counts(
    tx: &mut PgConnection,
    calls: &[Call],
    places: &[Place],
) -> Result<(), sqlx::Error> {
    macro_rules! column {
        ($field:expr) => {
            calls.iter().map($field).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "INSERT INTO call_counts AS t (service_id, period_start, api_id, operation_id, product_id, subscription_id, user_id, country, region, \
           success, blocked, failed, other, bytes, cache_hits, cache_misses, \
           total_us_sum, total_us_min, total_us_max, backend_us_sum, backend_us_min, backend_us_max) \
         SELECT service_id, period_start, api_id, operation_id, product_id, subscription_id, user_id, country, region, \
           count(*) FILTER (WHERE class = 's'), count(*) FILTER (WHERE class = 'b'), count(*) FILTER (WHERE class = 'f'), \
           count(*) FILTER (WHERE class = 'o'), sum(bytes)::int8, count(*) FILTER (WHERE cache = 'hit'), \
           count(*) FILTER (WHERE cache = 'miss'), sum(total_us)::int8, min(total_us), max(total_us), sum(backend_us)::int8, \
           min(backend_us), max(backend_us) \
         FROM (SELECT c.*, date_bin('15 minutes', c.at, 'epoch'::timestamptz) AS period_start, \
                 CASE WHEN c.status IN (401, 403, 429) THEN 'b' WHEN c.status <= 301 OR c.status IN (304, 307) THEN 's' \
                      WHEN c.status = 400 OR c.status BETWEEN 500 AND 599 THEN 'f' ELSE 'o' END AS class \
               FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::int4[], \
                 $9::int8[], $10::text[], $11::int8[], $12::int8[], $13::text[], $14::text[]) \
                 AS c (service_id, at, api_id, operation_id, product_id, subscription_id, user_id, status, bytes, cache, total_us, \
                   backend_us, country, region)) c \
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9 \
         ON CONFLICT (service_id, period_start, api_id, operation_id, product_id, subscription_id, user_id, country, region) DO UPDATE SET \
           success = t.success + excluded.success, blocked = t.blocked + excluded.blocked, failed = t.failed + excluded.failed, \
           other = t.other + excluded.other, bytes = t.bytes + excluded.bytes, cache_hits = t.cache_hits + excluded.cache_hits, \
           cache_misses = t.cache_misses + excluded.cache_misses, total_us_sum = t.total_us_sum + excluded.total_us_sum, \
           total_us_min = least(t.total_us_min, excluded.total_us_min), total_us_max = greatest(t.total_us_max, excluded.total_us_max), \
           backend_us_sum = t.backend_us_sum + excluded.backend_us_sum, \
           backend_us_min = least(t.backend_us_min, excluded.backend_us_min), \
           backend_us_max = greatest(t.backend_us_max, excluded.backend_us_max)",
    )
    .bind(column!(|c| c.service_id))
    .bind(column!(|c| c.started_at))
    .bind(column!(|c| c.api_id.unwrap_or_default()))
    .bind(column!(|c| c.operation_id.unwrap_or_default()))
    .bind(column!(|c| c.product_id.unwrap_or_default()))
    .bind(column!(|c| c.subscription_id.unwrap_or_default()))
    .bind(column!(|c| c.user_id.unwrap_or_default()))
    .bind(column!(|c| i32::from(c.status)))
    .bind(column!(|c| number(c.request_bytes.saturating_add(c.response_bytes))))
    .bind(column!(|c| c.cache.to_owned()))
    .bind(column!(|c| micros(c.total)))
    .bind(column!(|c| micros(c.backend)))
    .bind(place(places, |p| &p.country))
    .bind(place(places, |p| &p.region))
    .execute(tx)
    .await?;
    Ok(())
}

/// Drops the partitions of days before this one; returns how many. Counts stay.
///
/// # Errors
/// When the database fails.
pub async fn drop_old_calls(pool: &PgPool, before: NaiveDate) -> Result<usize, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'calls'::regclass AND c.relname < $1",
    )
    .bind(format!("calls_{}", before.format("%Y%m%d")))
    .fetch_all(pool)
    .await?;
    for name in &names {
        // The catalogue's own names, made by `make_partition`.
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE IF EXISTS {name}")))
            .execute(pool)
            .await?;
    }
    Ok(names.len())
}
