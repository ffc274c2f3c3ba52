//! From committed writes to the gateway's configuration.
//!
//! A write leaves rows in the outbox `changes` in its own transaction. After its commit the engine
//! hands the same changes to [`Rollout`] (it is the engine's [`Committed`]), which reads the changed
//! rows again, applies them to the [`Snapshot`], publishes it, and only then lets the writer reply: a
//! write is visible at this process's gateway right after its reply. Other replicas are told by NOTIFY
//! and read the outbox.
//!
//! Everything is level-triggered: a change says *which* row to look at, never what it became, so that
//! reading twice, late or out of order does no harm. One task owns the snapshot; changes that arrive
//! while it works are taken together.
//!
//! The outbox is read by transaction id and not by its own ids, because rows commit in another order
//! than they get their ids: everything at or above the oldest transaction that was still running at the
//! last reading is read again.

mod read;

use engine::{BoxFuture, Change, Codec, Committed, PgPool, Settings};
use snapshot::Snapshot;
use sqlx::postgres::PgListener;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use uuid::Uuid;

/// Channel of the notifications between replicas.
const CHANNEL: &str = "portico_changes";
/// How often the outbox is read without a notification; a lost one delays a change by this at most.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Wait after a failure of the database.
const RETRY: Duration = Duration::from_millis(500);
/// Rows in one statement.
const BATCH: usize = 5_000;

/// Why configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A stored row cannot be understood; `what` names table and id.
    #[error("{what}: {problem}")]
    Row {
        /// Table and id.
        what: String,
        /// What is wrong.
        problem: String,
    },
}

/// Who gets each new snapshot.
pub type Publish = Arc<dyn Fn(Snapshot) + Send + Sync>;

enum Work {
    /// Changes of a write of this process; answered when they are published.
    Own(Vec<Change>, oneshot::Sender<()>),
    /// Other replicas may have written.
    CatchUp,
}

/// Keeps the gateway's configuration up to date. Stops when dropped.
pub struct Rollout {
    work: mpsc::UnboundedSender<Work>,
    loaded: watch::Receiver<bool>,
    _tasks: JoinSet<()>,
}

impl Rollout {
    /// Starts to read and to follow the configuration.
    #[must_use]
    pub fn start(pool: PgPool, codec: Codec, settings: Settings, publish: Publish) -> Self {
        let (work, inbox) = mpsc::unbounded_channel();
        let (loaded_now, loaded) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(pool.clone(), work.clone()));
        let (notify, notified) = mpsc::channel(1);
        tasks.spawn(tell(pool.clone(), notified));
        let follower = Follower {
            reader: read::Reader { codec, settings },
            pool,
            publish,
            notify,
            snapshot: Snapshot::default(),
            horizon: "0".to_owned(),
        };
        tasks.spawn(follower.run(inbox, loaded_now));
        Self {
            work,
            loaded,
            _tasks: tasks,
        }
    }

    /// Whether the first whole configuration was published.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Waits until the first whole configuration was published.
    pub async fn loaded(&self) {
        let mut loaded = self.loaded.clone();
        // The sender lives as long as the task; when it is gone the process is stopping.
        let _ = loaded.wait_for(|loaded| *loaded).await;
    }
}

impl Committed for Rollout {
    fn committed(&self, changes: Vec<Change>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (done, published) = oneshot::channel();
            if self.work.send(Work::Own(changes, done)).is_ok() {
                // The write is durable whatever happens here; a follower that died leaves it to the outbox.
                let _ = published.await;
            }
        })
    }
}

/// Turns notifications into work; after a lost connection anything may have happened.
async fn listen(pool: PgPool, work: mpsc::UnboundedSender<Work>) {
    loop {
        match PgListener::connect_with(&pool).await {
            Ok(mut listener) => {
                if let Err(error) = listener.listen(CHANNEL).await {
                    tracing::warn!(%error, "cannot listen for changes");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                loop {
                    // A timeout is the regular reading; `None` is a connection that was lost and made anew.
                    let heard = tokio::time::timeout(CATCH_UP, listener.try_recv()).await;
                    if work.send(Work::CatchUp).is_err() {
                        return;
                    }
                    if let Ok(Err(error)) = heard {
                        tracing::warn!(%error, "the connection that listens for changes failed");
                        break;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot listen for changes"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Tells other replicas, after the commit and not inside it: NOTIFY in a transaction takes a lock that
/// makes all commits of the installation wait for each other.
async fn tell(pool: PgPool, mut notified: mpsc::Receiver<()>) {
    while notified.recv().await.is_some() {
        if let Err(error) = sqlx::query("SELECT pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(&pool)
            .await
        {
            tracing::warn!(%error, "other replicas will see a change a little later");
        }
    }
}

struct Follower {
    reader: read::Reader,
    pool: PgPool,
    publish: Publish,
    notify: mpsc::Sender<()>,
    snapshot: Snapshot,
    /// Transaction id (xid8 as text) from which the outbox has to be read again.
    horizon: String,
}

impl Follower {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Work>, loaded: watch::Sender<bool>) {
        while let Err(error) = self.load().await {
            tracing::error!(%error, "the gateway's configuration cannot be read");
            tokio::time::sleep(RETRY).await;
        }
        loaded.send_replace(true);
        while let Some(first) = inbox.recv().await {
            let mut own = Vec::new();
            let mut waiting = Vec::new();
            let mut catch_up = false;
            let mut take = |work| match work {
                Work::Own(changes, done) => {
                    own.extend(changes);
                    waiting.push(done);
                }
                Work::CatchUp => catch_up = true,
            };
            take(first);
            while let Ok(more) = inbox.try_recv() {
                take(more);
            }
            if !own.is_empty() {
                match self.apply(&own).await {
                    // A full channel means that a notification is on its way already.
                    Ok(()) => drop(self.notify.try_send(())),
                    Err(error) => {
                        tracing::error!(%error, "a change could not be rolled out; it is tried again");
                        catch_up = true;
                    }
                }
                for done in waiting {
                    // A writer that went away needs no answer.
                    let _ = done.send(());
                }
            }
            if catch_up {
                while let Err(error) = self.catch_up().await {
                    tracing::error!(%error, "changes could not be read; they are tried again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Reads everything, in one snapshot of the database.
    async fn load(&mut self) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut *tx)
            .await?;
        let horizon = sqlx::query_scalar("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
            .fetch_one(&mut *tx)
            .await?;
        let mut changes = Vec::new();
        for table in read::TABLES {
            changes.extend(
                self.reader
                    .read(&mut tx, table, None)
                    .await?
                    .into_iter()
                    .map(snapshot::Change::Put),
            );
        }
        tx.commit().await?;
        let count = changes.len();
        self.snapshot = Snapshot::default().apply(changes);
        self.horizon = horizon;
        (self.publish)(self.snapshot.clone());
        tracing::info!(entities = count, "the gateway's configuration is loaded");
        Ok(())
    }

    /// Reads the changed rows again and publishes.
    async fn apply(&mut self, changes: &[Change]) -> Result<(), Error> {
        let mut by_table: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
        for change in changes {
            if let Some(table) = read::TABLES.iter().find(|table| **table == change.table) {
                let ids = by_table.entry(table).or_default();
                if !ids.contains(&change.id) {
                    ids.push(change.id);
                }
            }
        }
        self.apply_rows(by_table).await
    }

    async fn apply_rows(&mut self, by_table: BTreeMap<&str, Vec<Uuid>>) -> Result<(), Error> {
        if by_table.is_empty() {
            return Ok(());
        }
        let mut connection = self.pool.acquire().await?;
        let mut deltas = Vec::new();
        for (table, ids) in by_table {
            for ids in ids.chunks(BATCH) {
                let found = self.reader.read(&mut connection, table, Some(ids)).await?;
                for id in ids {
                    if !found.iter().any(|entity| entity.id() == *id) {
                        deltas.push(snapshot::Change::Remove {
                            kind: read::kind(table),
                            id: *id,
                        });
                    }
                }
                deltas.extend(found.into_iter().map(snapshot::Change::Put));
            }
        }
        metrics::counter!("portico_rollout_changes_total").increment(deltas.len() as u64);
        self.snapshot = self.snapshot.apply(deltas);
        (self.publish)(self.snapshot.clone());
        Ok(())
    }

    /// Reads what other replicas wrote.
    async fn catch_up(&mut self) -> Result<(), Error> {
        // One statement, hence one snapshot for rows and horizon.
        let rows: Vec<(Option<String>, Option<Uuid>, String)> = sqlx::query_as(
            "WITH seen AS (SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon) \
             SELECT c.entity, c.entity_id, s.horizon FROM seen s \
             LEFT JOIN (SELECT DISTINCT entity, entity_id FROM changes WHERE xid >= $1::text::xid8) c ON true",
        )
        .bind(&self.horizon)
        .fetch_all(&self.pool)
        .await?;
        let mut by_table: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
        let mut horizon = None;
        for (table, id, seen) in rows {
            horizon = Some(seen);
            let (Some(table), Some(id)) = (table, id) else {
                continue;
            };
            if let Some(table) = read::TABLES.iter().find(|known| **known == table) {
                by_table.entry(table).or_default().push(id);
            }
        }
        self.apply_rows(by_table).await?;
        if let Some(horizon) = horizon {
            self.horizon = horizon;
        }
        Ok(())
    }
}

/// Removes changes that every replica has read long ago; returns how many.
///
/// A replica that was away for longer than this reads everything anew, because it starts anew.
///
/// # Errors
/// When the database fails.
pub async fn purge(pool: &PgPool, older_than: Duration) -> Result<u64, sqlx::Error> {
    let done = sqlx::query("DELETE FROM changes WHERE at < now() - $1 * interval '1 second'")
        .bind(older_than.as_secs_f64())
        .execute(pool)
        .await?;
    Ok(done.rows_affected())
}
