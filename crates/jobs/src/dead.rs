//! Looking at the queue: what waits, what is dead, and what to do about it.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::Error;

/// A job that has used up its attempts. It does nothing until [`retry`] or [`discard`].
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct FailedJob {
    /// Id in the queue.
    pub id: i64,
    /// [`crate::Job::NAME`].
    pub name: String,
    /// The payload as stored.
    pub payload: serde_json::Value,
    /// Runs so far.
    pub attempts: i16,
    /// Error of the last run.
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it last changed, i.e. the last run.
    pub updated_at: DateTime<Utc>,
}

/// How much is in the queue, per job name.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Waiting {
    /// [`crate::Job::NAME`].
    pub name: String,
    /// Jobs that will run (now, later, or again).
    pub waiting: i64,
    /// Jobs that will not.
    pub failed: i64,
}

/// The dead jobs, latest first.
///
/// # Errors
/// When Postgres refuses.
pub async fn failed(connection: &mut PgConnection, limit: i64) -> Result<Vec<FailedJob>, Error> {
    // A job replaced by key while it ran is retired by the queue in the same shape; it is not a failure.
    let jobs = sqlx::query_as(
        "SELECT job.id, task.identifier AS name, job.payload::jsonb AS payload, job.attempts, job.last_error,
                job.created_at, job.updated_at
           FROM graphile_worker._private_jobs job
           JOIN graphile_worker._private_tasks task ON task.id = job.task_id
          WHERE job.attempts >= job.max_attempts AND job.locked_at IS NULL
            AND NOT EXISTS (SELECT FROM graphile_worker._private_job_retirements retired WHERE retired.id = job.id)
          ORDER BY job.updated_at DESC, job.id DESC
          LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(jobs)
}

/// Lets a dead job start over, at once. `false` when there is no such dead job.
///
/// # Errors
/// When Postgres refuses.
pub async fn retry(connection: &mut PgConnection, id: i64) -> Result<bool, Error> {
    let done = sqlx::query(
        "SELECT FROM graphile_worker.reschedule_jobs(
                  ARRAY(SELECT id FROM graphile_worker._private_jobs
                         WHERE id = $1 AND attempts >= max_attempts AND locked_at IS NULL),
                  run_at => now(), attempts => 0)",
    )
    .bind(id)
    .fetch_optional(&mut *connection)
    .await?
    .is_some();
    if done {
        // The function changes the row only; a worker learns of it by this notification.
        sqlx::query("SELECT pg_notify('jobs:insert', '{\"count\":1}')")
            .execute(connection)
            .await?;
    }
    Ok(done)
}

/// Removes a dead job. `false` when there is no such dead job.
///
/// # Errors
/// When Postgres refuses.
pub async fn discard(connection: &mut PgConnection, id: i64) -> Result<bool, Error> {
    let done = sqlx::query(
        "SELECT FROM graphile_worker.complete_jobs(
                  ARRAY(SELECT id FROM graphile_worker._private_jobs
                         WHERE id = $1 AND attempts >= max_attempts AND locked_at IS NULL))",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    Ok(done.is_some())
}

/// Counts per job name, in the order of the names.
///
/// # Errors
/// When Postgres refuses.
pub async fn waiting(connection: &mut PgConnection) -> Result<Vec<Waiting>, Error> {
    let counts = sqlx::query_as(
        "SELECT task.identifier AS name,
                count(*) FILTER (WHERE job.attempts < job.max_attempts OR job.locked_at IS NOT NULL) AS waiting,
                count(*) FILTER (WHERE job.attempts >= job.max_attempts AND job.locked_at IS NULL) AS failed
           FROM graphile_worker._private_jobs job
           JOIN graphile_worker._private_tasks task ON task.id = job.task_id
          WHERE NOT EXISTS (SELECT FROM graphile_worker._private_job_retirements retired WHERE retired.id = job.id)
          GROUP BY task.identifier ORDER BY task.identifier",
    )
    .fetch_all(connection)
    .await?;
    Ok(counts)
}
