//! The queue on a real Postgres.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use embedded_postgres::Error as DatabaseError;
use embedded_postgres::test_database::TestDatabase;
use jobs::{Attempt, Job, Jobs, Options, Worker, WorkerOptions, enqueue};
use sqlx::PgPool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(30);

async fn database() -> TestDatabase {
    TestDatabase::from_template("jobs_0_14_1", async |pool| {
        jobs::migrate(pool)
            .await
            .map_err(|error| DatabaseError::Fill(error.into()))
    })
    .await
    .unwrap()
}

/// Tells the test what it was given.
struct Report(UnboundedSender<String>);

impl Job for Report {
    const NAME: &'static str = "report";
    type Payload = String;

    async fn run(&self, payload: String, _: Attempt) -> anyhow::Result<()> {
        Ok(self.0.send(payload)?)
    }
}

async fn reporting(pool: &PgPool) -> (Worker, UnboundedReceiver<String>) {
    let (sender, receiver) = unbounded_channel();
    (
        Worker::start(
            pool.clone(),
            Jobs::new().register(Report(sender)),
            WorkerOptions::default(),
        )
        .await
        .unwrap(),
        receiver,
    )
}

async fn next<T>(receiver: &mut UnboundedReceiver<T>) -> T {
    tokio::time::timeout(PATIENCE, receiver.recv())
        .await
        .unwrap()
        .unwrap()
}

async fn add(pool: &PgPool, payload: &str, options: Options) -> i64 {
    enqueue::<Report>(
        &mut pool.acquire().await.unwrap(),
        &payload.to_owned(),
        options,
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_job_runs_after_the_commit_and_never_after_a_rollback() {
    let database = database().await;
    let pool = database.pool();
    let (worker, mut reports) = reporting(&pool).await;

    let mut rolled_back = pool.begin().await.unwrap();
    enqueue::<Report>(
        &mut rolled_back,
        &"rolled back".to_owned(),
        Options::default(),
    )
    .await
    .unwrap();
    rolled_back.rollback().await.unwrap();
    let mut committed = pool.begin().await.unwrap();
    enqueue::<Report>(&mut committed, &"committed".to_owned(), Options::default())
        .await
        .unwrap();
    committed.commit().await.unwrap();

    assert_eq!(next(&mut reports).await, "committed");
    worker.stop().await;
    assert_eq!(
        jobs::waiting(&mut pool.acquire().await.unwrap())
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_job_is_picked_up_without_waiting_for_the_poll() {
    let database = database().await;
    let pool = database.pool();
    let (sender, mut reports) = unbounded_channel();
    let options = WorkerOptions {
        poll_interval: Duration::from_secs(3600),
        ..WorkerOptions::default()
    };
    let worker = Worker::start(pool.clone(), Jobs::new().register(Report(sender)), options)
        .await
        .unwrap();
    add(&pool, "warm", Options::default()).await;
    next(&mut reports).await;
    let mut shortest = Duration::MAX;
    for _ in 0..10 {
        let enqueued_at = Instant::now();
        add(&pool, "timed", Options::default()).await;
        next(&mut reports).await;
        shortest = shortest.min(enqueued_at.elapsed());
    }
    worker.stop().await;
    // The fastest of ten, so that a busy machine does not decide.
    assert!(shortest < Duration::from_millis(50), "{shortest:?}");
}

#[tokio::test]
async fn two_workers_run_each_job_once() {
    let database = database().await;
    let pool = database.pool();
    let (sender, mut reports) = unbounded_channel();
    let start = || {
        Worker::start(
            pool.clone(),
            Jobs::new().register(Report(sender.clone())),
            WorkerOptions {
                concurrency: 2,
                ..WorkerOptions::default()
            },
        )
    };
    let (first, second) = (start().await.unwrap(), start().await.unwrap());
    for number in 0..40 {
        add(&pool, &format!("{number:02}"), Options::default()).await;
    }
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(next(&mut reports).await);
    }
    first.stop().await;
    second.stop().await;
    seen.sort();
    let expected: Vec<_> = (0..40).map(|number| format!("{number:02}")).collect();
    assert_eq!(seen, expected);
    assert!(reports.try_recv().is_err());
}

#[tokio::test]
async fn a_job_key_replaces_the_waiting_job() {
    let database = database().await;
    let pool = database.pool();
    let keyed = || Options {
        job_key: Some("same".to_owned()),
        ..Options::default()
    };
    add(&pool, "old", keyed()).await;
    add(&pool, "new", keyed()).await;
    add(
        &pool,
        "last",
        Options {
            queue: Some("one by one".to_owned()),
            ..Options::default()
        },
    )
    .await;
    let (worker, mut reports) = reporting(&pool).await;
    let mut seen = [next(&mut reports).await, next(&mut reports).await];
    seen.sort();
    worker.stop().await;
    assert_eq!(seen, ["last", "new"]);
    assert!(reports.try_recv().is_err());
}

/// Fails as often as told, then succeeds.
struct Stumble {
    failures: usize,
    runs: AtomicUsize,
    attempts: UnboundedSender<Attempt>,
}

impl Job for Stumble {
    const NAME: &'static str = "stumble";
    type Payload = ();

    async fn run(&self, (): (), attempt: Attempt) -> anyhow::Result<()> {
        self.attempts.send(attempt)?;
        if self.runs.fetch_add(1, Ordering::SeqCst) < self.failures {
            anyhow::bail!("stumbled");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_failed_job_runs_again_later() {
    let database = database().await;
    let pool = database.pool();
    let (attempts, mut runs) = unbounded_channel();
    let worker = Worker::start(
        pool.clone(),
        Jobs::new().register(Stumble {
            failures: 1,
            runs: AtomicUsize::new(0),
            attempts,
        }),
        WorkerOptions::default(),
    )
    .await
    .unwrap();
    enqueue::<Stumble>(
        &mut pool.acquire().await.unwrap(),
        &(),
        Options {
            max_attempts: Some(3),
            ..Options::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(next(&mut runs).await, Attempt { number: 1, max: 3 });
    let failed_at = Instant::now();
    assert_eq!(next(&mut runs).await, Attempt { number: 2, max: 3 });
    // e^1 seconds, as the crate says.
    assert!(
        failed_at.elapsed() > Duration::from_secs(2),
        "{:?}",
        failed_at.elapsed()
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_job_without_attempts_left_is_listed_and_can_be_retried_or_discarded() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    let database = database().await;
    let pool = database.pool();
    let (attempts, mut runs) = unbounded_channel();
    let worker = Worker::start(
        pool.clone(),
        Jobs::new().register(Stumble {
            failures: 1,
            runs: AtomicUsize::new(0),
            attempts,
        }),
        WorkerOptions::default(),
    )
    .await
    .unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let once = || Options {
        max_attempts: Some(1),
        ..Options::default()
    };
    let id = enqueue::<Stumble>(&mut connection, &(), once())
        .await
        .unwrap();
    assert!(next(&mut runs).await.is_last());

    let dead = tokio::time::timeout(PATIENCE, async {
        loop {
            let dead = jobs::failed(&mut connection, 10).await.unwrap();
            if !dead.is_empty() {
                break dead;
            }
        }
    });
    let dead = dead.await.unwrap();
    assert_eq!(
        (
            dead.len(),
            dead[0].id,
            dead[0].name.as_str(),
            dead[0].attempts
        ),
        (1, id, "stumble", 1)
    );
    assert!(
        dead[0].last_error.as_deref().unwrap().contains("stumbled"),
        "{dead:?}"
    );
    assert!(
        metrics
            .render()
            .contains(r#"portico_job_runs_total{job="stumble",outcome="dead"} 1"#),
        "{}",
        metrics.render()
    );

    assert!(jobs::retry(&mut connection, id).await.unwrap());
    next(&mut runs).await;
    worker.stop().await;
    assert_eq!(jobs::failed(&mut connection, 10).await.unwrap(), []);
    assert!(!jobs::retry(&mut connection, id).await.unwrap());

    let id = enqueue::<Stumble>(&mut connection, &(), once())
        .await
        .unwrap();
    sqlx::query("UPDATE graphile_worker._private_jobs SET attempts = max_attempts WHERE id = $1")
        .bind(id)
        .execute(&mut *connection)
        .await
        .unwrap();
    assert!(jobs::discard(&mut connection, id).await.unwrap());
    assert_eq!(jobs::waiting(&mut connection).await.unwrap(), []);
}

/// Never ends; says that it has begun.
struct Hang;

impl Job for Hang {
    const NAME: &'static str = "hang_or_report";
    type Payload = String;

    async fn run(&self, _: String, _: Attempt) -> anyhow::Result<()> {
        println!("\nbegun");
        std::future::pending().await
    }
}

/// The same job in the process that survives.
struct Finish(UnboundedSender<String>);

impl Job for Finish {
    const NAME: &'static str = Hang::NAME;
    type Payload = String;

    async fn run(&self, payload: String, _: Attempt) -> anyhow::Result<()> {
        Ok(self.0.send(payload)?)
    }
}

const HANG_ON: &str = "PORTICO_TEST_HANG_ON";

fn impatient() -> WorkerOptions {
    WorkerOptions {
        dead_after: Duration::from_secs(2),
        ..WorkerOptions::default()
    }
}

/// Not a test of its own: the process that the next test kills.
#[tokio::test]
#[ignore = "run by another test"]
async fn hang_until_killed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the parent test names the database"
    )]
    let pool = PgPool::connect(&std::env::var(HANG_ON).unwrap())
        .await
        .unwrap();
    let _worker = Worker::start(pool, Jobs::new().register(Hang), impatient())
        .await
        .unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_job_of_a_killed_worker_runs_again() {
    let database = database().await;
    let pool = database.pool();
    enqueue::<Hang>(
        &mut pool.acquire().await.unwrap(),
        &"survives".to_owned(),
        Options::default(),
    )
    .await
    .unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hang_until_killed", "--ignored", "--nocapture"])
        .env(HANG_ON, database.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap() == "begun"));
    process.kill().unwrap();
    process.wait().unwrap();

    let (sender, mut reports) = unbounded_channel();
    let worker = Worker::start(
        pool.clone(),
        Jobs::new().register(Finish(sender)),
        impatient(),
    )
    .await
    .unwrap();
    assert_eq!(next(&mut reports).await, "survives");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_survives_the_loss_of_its_connections() {
    let database = database().await;
    let pool = database.pool();
    let (worker, mut reports) = reporting(&pool).await;
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .execute(&pool)
        .await
        .unwrap();
    add(&pool, "after", Options::default()).await;
    assert_eq!(next(&mut reports).await, "after");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_without_jobs_leaves_postgres_alone() {
    /// What may be committed until a job's time comes: by the worker while there is none, and by the test. A worker that asks without
    /// a pause commits some thousand.
    const FEW: i64 = 60;
    let database = database().await;
    let pool = database.pool();
    let (worker, mut reports) = reporting(&pool).await;
    add(&pool, "now", Options::default()).await;
    assert_eq!(next(&mut reports).await, "now");

    let committed = async || -> i64 {
        sqlx::query_scalar(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    let before = committed().await;
    let due: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT now() + interval '3 seconds'")
            .fetch_one(&pool)
            .await
            .unwrap();
    let later = Options {
        run_at: Some(due),
        ..Options::default()
    };
    add(&pool, "later", later).await;
    assert_eq!(next(&mut reports).await, "later");
    let commits = committed().await - before;
    assert!(commits < FEW, "{commits} transactions were committed");
    worker.stop().await;
}
