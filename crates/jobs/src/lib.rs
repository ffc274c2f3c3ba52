//! Work that happens after the response: a queue in Postgres.
//!
//! A job is enqueued inside the transaction that needs it ([`enqueue`]), so it exists exactly if the
//! write does. A [`Worker`] runs it soon after the commit (Postgres notifies it; no polling delay),
//! retries it with growing pauses when it fails, and leaves it visible ([`failed`]) when it has failed
//! too often. The queue is [Graphile Worker](https://worker.graphile.org)'s schema, worked by its Rust
//! port; this crate adds the typed [`Job`] trait with a context, metrics, and the list of dead jobs.
//!
//! # Life of a job
//! 1. `enqueue::<SendMail>(&mut transaction, &payload, Options::default())`, commit.
//! 2. A worker takes it (`SKIP LOCKED`: one worker only) and calls [`Job::run`].
//! 3. `Ok`: the job is deleted. `Err` or a panic: it runs again after `e^attempts` seconds (3 s, 7 s,
//!    20 s, 55 s, .. 6 h) until [`Options::max_attempts`]; then it is *dead* and stays until
//!    [`retry`] or [`discard`].
//! 4. The worker's process dies meanwhile: its heartbeat stops, and another worker (or the same
//!    program, started again) gives the job back after [`WorkerOptions::dead_after`].
//!
//! # Things to note
//! - **Jobs are idempotent.** A job may run twice: when its worker died after the work and before the
//!   note that it is done, or when a worker was cut off for longer than `dead_after` and went on. Make
//!   the second run harmless (compare and set a status, send with the same Message-ID).
//! - Payloads carry identifiers, not data and never secrets: they are logged when a job fails, and the
//!   row behind an identifier is newer than a copy made at enqueueing.
//! - A job key deduplicates: enqueueing a second time with the same key replaces the job that waits.
//! - To add a job: a type with [`Job`], registered with [`Jobs::register`]. The name is the
//!   template's and the mail's word too, e.g. `send_mail`.

mod dead;
mod worker;

pub use dead::{FailedJob, Waiting, discard, failed, retry, waiting};
pub use worker::{Jobs, Worker, WorkerOptions};

use std::future::Future;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, PgPool};

/// Schema that holds the queue's tables and functions.
pub const SCHEMA: &str = "graphile_worker";

/// One kind of work. The value itself is the context: pools and clients that `run` needs.
pub trait Job: Send + Sync + 'static {
    /// Name in the queue, `verb_object`. Renaming it strands the jobs that wait under the old name.
    const NAME: &'static str;
    /// What to work on; stored as JSON.
    type Payload: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Does the work. An error means "try again later"; see the crate's notes on idempotence.
    fn run(
        &self,
        payload: Self::Payload,
        attempt: Attempt,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Which run of a job this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 on the first run.
    pub number: i16,
    /// After this many failed runs the job is dead.
    pub max: i16,
}

impl Attempt {
    /// Whether a failure now leaves the job dead.
    pub fn is_last(self) -> bool {
        self.number >= self.max
    }
}

/// How a job is enqueued.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Replaces a waiting job with the same key instead of adding another.
    pub job_key: Option<String>,
    /// Failed runs until the job is dead; 25 (about three days) when absent.
    pub max_attempts: Option<i16>,
    /// Not before this time; at once when absent.
    pub run_at: Option<DateTime<Utc>>,
    /// Jobs with the same queue name run one after the other, in order.
    pub queue: Option<String>,
}

/// The queue could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload has no JSON form.
    #[error("cannot store the payload of job `{job}`: {source}")]
    Payload {
        /// Name of the job.
        job: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Postgres refused.
    #[error("the job queue refused: {0}")]
    Sql(#[from] sqlx::Error),
    /// The queue's tables could not be brought up to date.
    #[error("cannot migrate the job queue: {0}")]
    Migrate(String),
    /// The worker could not be started.
    #[error("cannot start the worker: {0}")]
    Start(String),
}

/// Creates or updates the queue's schema. Safe to repeat and to run by several programs at once.
///
/// # Errors
/// When Postgres refuses, or the schema was made by a newer version.
pub async fn migrate(pool: &PgPool) -> Result<(), Error> {
    let mut connection = pool.acquire().await?;
    // Two programs starting together would both create the schema; the second waits here instead.
    const LOCK: &str = "portico jobs migrate";
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    let migrated = graphile_worker::WorkerUtils::new(pool.clone(), SCHEMA)
        .migrate()
        .await;
    sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    migrated.map_err(|error| Error::Migrate(error.to_string()))
}

/// Adds a job within the caller's transaction (or at once on a plain connection); returns its id.
///
/// Goes through the queue's documented SQL function, because the client of the library wants a pool
/// of its own where a caller has only the transaction.
///
/// # Errors
/// When the payload has no JSON form or Postgres refuses.
pub async fn enqueue<J: Job>(
    connection: &mut PgConnection,
    payload: &J::Payload,
    options: Options,
) -> Result<i64, Error> {
    let payload = serde_json::to_value(payload).map_err(|source| Error::Payload {
        job: J::NAME,
        source,
    })?;
    let id = sqlx::query_scalar(
        "SELECT id FROM graphile_worker.add_job(identifier => $1, payload => $2::json, queue_name => $3,
                run_at => $4, max_attempts => $5, job_key => $6)",
    )
    .bind(J::NAME)
    .bind(payload)
    .bind(options.queue)
    .bind(options.run_at)
    .bind(options.max_attempts.map(i32::from))
    .bind(options.job_key)
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// As [`enqueue`], for many jobs in one statement.
///
/// # Errors
/// As there.
pub async fn enqueue_all<J: Job>(
    connection: &mut PgConnection,
    work: &[(J::Payload, Options)],
) -> Result<(), Error> {
    let (mut payloads, mut queues, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let (mut attempts, mut keys) = (Vec::new(), Vec::new());
    for (payload, options) in work {
        payloads.push(
            serde_json::to_value(payload).map_err(|source| Error::Payload {
                job: J::NAME,
                source,
            })?,
        );
        queues.push(options.queue.clone());
        times.push(options.run_at);
        attempts.push(options.max_attempts.map(i32::from));
        keys.push(options.job_key.clone());
    }
    sqlx::query(
        "SELECT count(graphile_worker.add_job(identifier => $1, payload => w.payload::json, queue_name => w.queue,
                run_at => w.run_at, max_attempts => w.max_attempts, job_key => w.job_key))
           FROM unnest($2::jsonb[], $3::text[], $4::timestamptz[], $5::int[], $6::text[]) AS w (payload, queue, run_at, max_attempts, job_key)",
    )
    .bind(J::NAME)
    .bind(payloads)
    .bind(queues)
    .bind(times)
    .bind(attempts)
    .bind(keys)
    .execute(connection)
    .await?;
    Ok(())
}
