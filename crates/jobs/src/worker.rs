//! Running jobs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use graphile_worker::{
    IntoTaskHandlerResult, LocalQueueConfig, RefetchDelayConfig, TaskHandler, WorkerContext,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Attempt, Error, Job, SCHEMA};

/// Pause before a worker that lost its database starts over.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Jobs that wait in a busy worker's memory for this long go back to the queue, where another worker finds them.
const PREFETCH_TTL: Duration = Duration::from_secs(30);
/// Longest pause after Postgres was asked for jobs in vain.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

type Register =
    Box<dyn Fn(graphile_worker::WorkerOptions) -> graphile_worker::WorkerOptions + Send + Sync>;

/// The jobs that a worker runs, each with its context.
#[derive(Default)]
pub struct Jobs(Vec<(&'static str, Register)>);

impl Jobs {
    /// No jobs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job with its context.
    #[must_use]
    pub fn register<J: Job>(mut self, job: J) -> Self {
        let job = Shared(Arc::new(job));
        self.0.push((
            J::NAME,
            Box::new(move |options| options.add_extension(job.clone()).define_job::<Stored<J>>()),
        ));
        self
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// How a worker runs its jobs.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Jobs run at the same time.
    pub concurrency: usize,
    /// Jobs that the worker takes from Postgres in one statement and keeps in memory until one of its runners is free.
    /// Those of a worker that dies are given back with the running ones.
    pub prefetch: usize,
    /// Jobs that end within this time are removed in one statement. A worker that dies in between runs them again.
    pub completion_delay: Duration,
    /// How often to look for jobs whose time has come; new jobs are noticed without it.
    pub poll_interval: Duration,
    /// A worker that gives no sign of life for this long is dead and its jobs are given back. It gives
    /// one five times as often.
    pub dead_after: Duration,
    /// How long running jobs may go on after [`Worker::stop`]; then they are broken off and run again.
    pub grace_period: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            prefetch: 64,
            completion_delay: Duration::from_millis(10),
            poll_interval: Duration::from_secs(1),
            dead_after: Duration::from_secs(10),
            grace_period: Duration::from_secs(10),
        }
    }
}

impl WorkerOptions {
    fn library_options(
        &self,
        pool: &PgPool,
        jobs: &Jobs,
        shutdown: &CancellationToken,
    ) -> graphile_worker::WorkerOptions {
        let sign_of_life = self.dead_after / 5;
        // Without it the library (0.14.1) asks for jobs without end while there are none: a fetch wakes the loop that it runs in. The
        // first notification ends the pause, so that only one which comes in the very moment when the pause begins waits for its end.
        let pause = RefetchDelayConfig::default()
            .with_duration(self.poll_interval.min(LONGEST_PAUSE))
            .with_threshold(0)
            .with_max_abort_threshold(1);
        let options = graphile_worker::WorkerOptions::default()
            .pg_pool(pool.clone())
            .schema(SCHEMA)
            .concurrency(self.concurrency)
            .poll_interval(self.poll_interval)
            .local_queue(
                LocalQueueConfig::default()
                    .with_size(self.prefetch)
                    .with_ttl(PREFETCH_TTL)
                    .with_refetch_delay(pause),
            )
            .complete_job_batch_delay(self.completion_delay)
            .heartbeat_interval(sign_of_life)
            .sweep_interval(sign_of_life)
            .sweep_threshold(self.dead_after)
            .recovery_delay(Duration::ZERO)
            // Signals belong to `main`, which calls `stop`.
            .listen_os_shutdown_signals(false)
            .shutdown_grace_period(self.grace_period)
            .shutdown_interrupted_job_retry_delay(Duration::ZERO)
            .shutdown_signal(shutdown.clone().cancelled_owned());
        jobs.0
            .iter()
            .fold(options, |options, (_, register)| register(options))
    }
}

/// A running worker. Dropping it asks it to stop without waiting; prefer [`Self::stop`].
#[derive(Debug)]
pub struct Worker {
    shutdown: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Worker {
    /// Brings the queue's schema up to date and starts to run jobs.
    ///
    /// The worker needs `concurrency` + 2 connections of the pool at most. When it loses the database
    /// it starts over until it is stopped.
    ///
    /// # Errors
    /// When the database cannot be reached or migrated.
    pub async fn start(pool: PgPool, jobs: Jobs, options: WorkerOptions) -> Result<Self, Error> {
        crate::migrate(&pool).await?;
        let shutdown = CancellationToken::new();
        let library_worker = options
            .library_options(&pool, &jobs, &shutdown)
            .init()
            .await
            .map_err(|error| Error::Start(error.to_string()))?;
        let running = tokio::spawn(run(library_worker, pool, jobs, options, shutdown.clone()));
        Ok(Self {
            shutdown,
            running: Some(running),
        })
    }

    /// Takes no more jobs, waits for the running ones (see [`WorkerOptions::grace_period`]), ends.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take()
            && let Err(error) = running.await
        {
            tracing::error!(%error, "the worker did not end in order");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn run(
    mut library_worker: graphile_worker::Worker,
    pool: PgPool,
    jobs: Jobs,
    options: WorkerOptions,
    shutdown: CancellationToken,
) {
    loop {
        match library_worker.run().await {
            Ok(()) if shutdown.is_cancelled() => return,
            Ok(()) => tracing::error!("the worker ended by itself; starting over"),
            Err(error) => tracing::error!(%error, "the worker failed; starting over"),
        }
        library_worker = loop {
            if shutdown
                .run_until_cancelled(tokio::time::sleep(RESTART_PAUSE))
                .await
                .is_none()
            {
                return;
            }
            match options
                .library_options(&pool, &jobs, &shutdown)
                .init()
                .await
            {
                Ok(library_worker) => break library_worker,
                Err(error) => tracing::error!(%error, "the worker cannot start over yet"),
            }
        };
    }
}

/// The job's context inside the library's bag of extensions, found by its type.
struct Shared<J>(Arc<J>);

impl<J> Clone for Shared<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J: Job> fmt::Debug for Shared<J> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "job {}", J::NAME)
    }
}

/// A payload as the library sees it: it wants handler and payload in one type.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
struct Stored<J: Job>(J::Payload);

impl<J: Job> TaskHandler for Stored<J> {
    const IDENTIFIER: &'static str = J::NAME;

    async fn run(self, ctx: WorkerContext) -> impl IntoTaskHandlerResult {
        let Some(Shared(job)) = ctx.get_ext::<Shared<J>>().cloned() else {
            return Err(Failure(anyhow::anyhow!("job `{}` has no context", J::NAME)));
        };
        let attempt = Attempt {
            number: *ctx.job().attempts(),
            max: *ctx.job().max_attempts(),
        };
        let mut outcome = Outcome {
            job: J::NAME,
            attempt,
            started_at: Instant::now(),
            text: "interrupted",
        };
        let result = job.run(self.0, attempt).await;
        outcome.text = match &result {
            Ok(()) => "completed",
            Err(_) if attempt.is_last() => "dead",
            Err(_) => "failed",
        };
        result.map_err(Failure)
    }
}

/// An error as it is stored in `last_error`: the whole chain on one line, without a backtrace.
struct Failure(anyhow::Error);

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.0)
    }
}

/// Counts a run when it ends in whatever way: a panic or an abort drops it unfinished.
struct Outcome {
    job: &'static str,
    attempt: Attempt,
    started_at: Instant,
    text: &'static str,
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.text = if self.attempt.is_last() {
                "dead"
            } else {
                "failed"
            };
        }
        metrics::counter!("portico_job_runs_total", "job" => self.job, "outcome" => self.text)
            .increment(1);
        metrics::histogram!("portico_job_duration_seconds", "job" => self.job)
            .record(self.started_at.elapsed().as_secs_f64());
    }
}
