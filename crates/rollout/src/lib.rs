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
//! The ids of the outbox are the *revisions* of the configuration. Rows commit in another order than they get their ids, so
//! a snapshot is of revision R only when every change up to R is in it: an id that is missing may be a write that is not
//! committed yet, or one that never will be. It counts as gone when no transaction is left of those that ran when it was
//! missed. Until then the snapshot stays at the revision before it, although it serves later changes already.
//!
//! Each new snapshot is kept for a while together with the changes that led to it ([`Update`]), so that gateways apart can be
//! told the difference to what they have ([`Rollout::follow`]).

mod read;

use engine::{
    BoxFuture, Change, Codec, Committed, PgConnection, PgPool, Settings, connections::Connections,
};
use snapshot::Snapshot;
use sqlx::{
    Connection as _,
    postgres::{PgConnectOptions, PgListener},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
};
use uuid::Uuid;

/// Channel of the notifications between replicas.
const CHANNEL: &str = "portico_changes";
/// How often the outbox is read without a notification; a lost one delays a change by this at most.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Wait after a failure of the database.
const RETRY: Duration = Duration::from_millis(500);
/// Wait before it is looked again whether a missing revision is still to come.
const MISSING: Duration = Duration::from_millis(20);
/// Rows in one statement.
const BATCH: usize = 5_000;
/// While several write at once, changes are gathered before they are read, because each reading costs two statements: until half as many
/// writers wait as the last time, for this long at most. The other half may be writing meanwhile; waiting for all of them would leave
/// Postgres with nothing to do.
const GATHERING: Duration = Duration::from_millis(10);
/// Between two notifications of other replicas.
const BETWEEN_NOTIFICATIONS: Duration = Duration::from_millis(10);
/// Updates that are kept for gateways that were away for a moment.
const KEPT_UPDATES: usize = 256;
/// A process that could not read for this long starts anew, because lines of the outbox may be gone.
const LONGEST_ABSENCE: Duration = Duration::from_secs(12 * 3600);

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

/// One step from a snapshot to the next.
#[derive(Clone, Debug)]
pub struct Update {
    /// The snapshot before it.
    pub before: Snapshot,
    /// The snapshot after it.
    pub after: Snapshot,
    /// What changed; `None` when everything was read anew.
    pub changes: Option<Arc<[snapshot::Change]>>,
}

/// The configuration from a revision on.
pub struct Following {
    /// The present configuration.
    pub snapshot: Snapshot,
    /// The updates from the asked revision to the present one; `None` when they are not all known any more.
    pub missed: Option<Vec<Update>>,
    /// The updates to come. One who lags behind has to follow anew.
    pub updates: broadcast::Receiver<Update>,
}

/// The last updates, and who is told of the next.
struct History {
    snapshot: Snapshot,
    kept: VecDeque<Update>,
    /// Updates that are not kept any more.
    forgotten: u64,
    sender: broadcast::Sender<Update>,
}

impl History {
    /// The updates that whoever has this revision may have missed. More is harmless: an update says what is, not what to add.
    fn missed(&self, since: u64) -> Option<Vec<Update>> {
        if since > self.snapshot.revision() {
            return None;
        }
        let may_be_new =
            |update: &Update| update.before.revision() >= since || update.after.revision() > since;
        let Some(first) = self.kept.iter().position(may_be_new) else {
            return Some(Vec::new());
        };
        let is_complete = match self.kept.front() {
            // Of several updates at one revision the earlier ones may have been forgotten.
            Some(front) if first == 0 => self.forgotten == 0 || front.before.revision() < since,
            _ => true,
        };
        let updates: Vec<Update> = self.kept.iter().skip(first).cloned().collect();
        (is_complete && updates.iter().all(|update| update.changes.is_some())).then_some(updates)
    }
}

type SharedHistory = Arc<Mutex<History>>;

enum Work {
    /// A write of this process; answered with the revision that has it when that is published.
    Own(oneshot::Sender<Option<u64>>),
    /// Other replicas may have written.
    CatchUp,
}

/// Keeps the gateway's configuration up to date. Stops when dropped.
pub struct Rollout {
    work: mpsc::UnboundedSender<Work>,
    loaded: watch::Receiver<bool>,
    revision: watch::Receiver<u64>,
    history: SharedHistory,
    _tasks: JoinSet<()>,
}

impl Rollout {
    /// Starts to read and to follow the configuration.
    #[must_use]
    pub fn start(pool: PgPool, codec: Codec, settings: Settings, publish: Publish) -> Self {
        let (work, inbox) = mpsc::unbounded_channel();
        let (loaded_now, loaded) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let own = Uuid::new_v4().to_string();
        tasks.spawn(listen(pool.clone(), work.clone(), own.clone()));
        let (notify, notified) = mpsc::channel(1);
        tasks.spawn(tell(Connections::new(pool.clone()), notified, own));
        let (sender, _) = broadcast::channel(KEPT_UPDATES);
        let history = Arc::new(Mutex::new(History {
            snapshot: Snapshot::default(),
            kept: VecDeque::new(),
            forgotten: 0,
            sender,
        }));
        let (revision_now, revision) = watch::channel(0);
        let follower = Follower {
            reader: read::Reader { codec, settings },
            connection: None,
            pool,
            publish,
            notify,
            history: history.clone(),
            revision: revision_now,
            snapshot: Snapshot::default(),
            settled: 0,
            ahead: BTreeSet::new(),
            missing: None,
            read_at: Instant::now(),
        };
        tasks.spawn(follower.run(inbox, loaded_now));
        Self {
            work,
            loaded,
            revision,
            history,
            _tasks: tasks,
        }
    }

    /// The revision of the published configuration, now and later.
    #[must_use]
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    /// Looks for changes now, without waiting for a notification.
    pub fn look(&self) {
        // Without a follower the process is stopping.
        let _ = self.work.send(Work::CatchUp);
    }

    /// Follows the configuration; `since` is the revision that is known already.
    #[must_use]
    pub fn follow(&self, since: Option<u64>) -> Following {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = since.and_then(|since| history.missed(since));
        Following {
            snapshot: history.snapshot.clone(),
            missed,
            updates: history.sender.subscribe(),
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
    fn committed(&self, _: Vec<Change>) -> BoxFuture<'_, Option<u64>> {
        Box::pin(async move {
            let (done, published) = oneshot::channel();
            self.work.send(Work::Own(done)).ok()?;
            // The write is durable whatever happens here; a follower that died leaves it to the outbox.
            published.await.ok().flatten()
        })
    }
}

/// Turns the notifications of others than `own` into work; after a lost connection anything may have happened.
async fn listen(pool: PgPool, work: mpsc::UnboundedSender<Work>, own: String) {
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
                    if let Ok(Ok(Some(notification))) = &heard
                        && notification.payload() == own
                    {
                        continue;
                    }
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
async fn tell(connections: Connections, mut notified: mpsc::Receiver<()>, own: String) {
    while notified.recv().await.is_some() {
        let told = async {
            let mut connection = connections.acquire().await?;
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(&own)
                .execute(&mut *connection)
                .await?;
            connection.rest();
            Ok::<(), sqlx::Error>(())
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, "other replicas will see a change a little later");
        }
        tokio::time::sleep(BETWEEN_NOTIFICATIONS).await;
    }
}

struct Follower {
    reader: read::Reader,
    /// Of its own, because its two statements are sent after each write.
    connection: Option<PgConnection>,
    pool: PgPool,
    publish: Publish,
    notify: mpsc::Sender<()>,
    history: SharedHistory,
    revision: watch::Sender<u64>,
    snapshot: Snapshot,
    /// Every change up to this id is in the snapshot, or will never be.
    settled: u64,
    /// Later changes that are in the snapshot.
    ahead: BTreeSet<u64>,
    /// Ids up to the first number are gone if they are still missing when all transactions before the second have ended.
    missing: Option<(u64, u64)>,
    read_at: Instant,
}

/// Ids of committed changes, and which transactions run.
#[derive(sqlx::FromRow)]
struct Line {
    xmin: i64,
    xmax: i64,
    id: Option<i64>,
    entity: Option<String>,
    entity_id: Option<Uuid>,
}

/// An id or transaction id, which Postgres counts from 1 and which never uses the sign.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

impl Follower {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Work>, loaded: watch::Sender<bool>) {
        while let Err(error) = self.load().await {
            tracing::error!(%error, "the gateway's configuration cannot be read");
            tokio::time::sleep(RETRY).await;
        }
        loaded.send_replace(true);
        let mut last = 1;
        loop {
            let first = if self.missing.is_some() {
                match tokio::time::timeout(MISSING, inbox.recv()).await {
                    Ok(work) => work,
                    Err(_) => Some(Work::CatchUp),
                }
            } else {
                inbox.recv().await
            };
            let Some(first) = first else { return };
            let mut waiting = Vec::new();
            let take = |work, waiting: &mut Vec<_>| match work {
                Work::Own(done) => waiting.push(done),
                Work::CatchUp => {}
            };
            take(first, &mut waiting);
            let until = tokio::time::Instant::now() + GATHERING;
            while waiting.len() * 2 < last
                && let Ok(Some(more)) = tokio::time::timeout_at(until, inbox.recv()).await
            {
                take(more, &mut waiting);
            }
            while let Ok(more) = inbox.try_recv() {
                take(more, &mut waiting);
            }
            let mut outcome = self.catch_up().await;
            let reached = outcome
                .is_ok()
                .then(|| self.ahead.last().copied().unwrap_or(self.settled));
            let own = !waiting.is_empty();
            last = waiting.len();
            for done in waiting {
                // A writer that went away needs no answer.
                let _ = done.send(reached);
            }
            while let Err(error) = outcome {
                if self.pool.is_closed() {
                    // The process ends.
                    return;
                }
                tracing::error!(%error, "changes could not be read; they are tried again");
                tokio::time::sleep(RETRY).await;
                outcome = self.catch_up().await;
            }
            if own {
                // A full channel means that a notification is on its way already.
                let _ = self.notify.try_send(());
            }
        }
    }

    /// Reads everything, in one snapshot of the database.
    async fn load(&mut self) -> Result<(), Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut *tx)
            .await?;
        // Up to the first id that is missing among the latest: no write takes longer than ten minutes from its line to its
        // commit, so an older one that is missing is gone.
        let settled: Option<i64> = sqlx::query_scalar(
            "SELECT coalesce(min(before) FILTER (WHERE id > before + 1), max(id)) FROM ( \
               SELECT id, at, lag(id) OVER (ORDER BY id) AS before FROM changes \
               WHERE id >= coalesce((SELECT max(id) FROM changes WHERE at <= now() - interval '10 minutes'), 0)) latest",
        )
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
        let settled = settled.map_or(0, unsigned).max(self.settled);
        (self.ahead, self.missing) = (BTreeSet::new(), None);
        self.settled = settled;
        self.read_at = Instant::now();
        self.show(Snapshot::default().apply(changes), None);
        tracing::info!(
            entities = count,
            revision = settled,
            "the gateway's configuration is loaded"
        );
        Ok(())
    }

    /// Publishes the next snapshot.
    fn show(&mut self, next: Snapshot, changes: Option<Vec<snapshot::Change>>) {
        let update = Update {
            before: std::mem::take(&mut self.snapshot),
            after: next.at_revision(self.settled),
            changes: changes.map(Arc::from),
        };
        self.snapshot = update.after.clone();
        (self.publish)(self.snapshot.clone());
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.snapshot = self.snapshot.clone();
        if history.kept.len() == KEPT_UPDATES {
            history.kept.pop_front();
            history.forgotten += 1;
        }
        history.kept.push_back(update.clone());
        // Nobody may be following.
        let _ = history.sender.send(update);
        drop(history);
        self.revision.send_replace(self.settled);
    }

    /// Reads these rows again: what the snapshot has to learn of them.
    async fn read_rows(
        &self,
        connection: &mut PgConnection,
        by_table: BTreeMap<&str, BTreeSet<Uuid>>,
    ) -> Result<Vec<snapshot::Change>, Error> {
        let mut deltas = Vec::new();
        if by_table.is_empty() {
            return Ok(deltas);
        }
        for (table, ids) in by_table {
            let ids: Vec<Uuid> = ids.into_iter().collect();
            for ids in ids.chunks(BATCH) {
                let found = self.reader.read(connection, table, Some(ids)).await?;
                let known: BTreeSet<Uuid> = found.iter().map(snapshot::Entity::id).collect();
                for id in ids.iter().filter(|id| !known.contains(id)) {
                    deltas.push(snapshot::Change::Remove {
                        kind: read::kind(table),
                        id: *id,
                    });
                }
                deltas.extend(found.into_iter().map(snapshot::Change::Put));
            }
        }
        metrics::counter!("portico_rollout_changes_total").increment(deltas.len() as u64);
        Ok(deltas)
    }

    /// Postgres takes the number of changed rows for large until it has the values, and would plan each reading anew for that, which
    /// takes longer than the reading. All of these statements go by an index whatever the values are.
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = self.pool.connect_options();
        let options =
            PgConnectOptions::clone(&options).options([("plan_cache_mode", "force_generic_plan")]);
        PgConnection::connect_with(&options).await
    }

    /// Reads what was written, here and elsewhere.
    async fn catch_up(&mut self) -> Result<(), Error> {
        if self.read_at.elapsed() > LONGEST_ABSENCE {
            return self.load().await;
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        // One statement, hence one snapshot of the database for the lines and the transactions.
        let lines: Vec<Line> = sqlx::query_as(
            "SELECT pg_snapshot_xmin(s.now)::text::int8 AS xmin, pg_snapshot_xmax(s.now)::text::int8 AS xmax, \
               c.id, c.entity, c.entity_id \
             FROM (SELECT pg_current_snapshot() AS now) s \
             LEFT JOIN (SELECT id, entity, entity_id FROM changes WHERE id > $1) c ON true ORDER BY c.id",
        )
        .bind(i64::try_from(self.settled).unwrap_or(i64::MAX))
        .fetch_all(&mut connection)
        .await?;
        let mut by_table: BTreeMap<&str, BTreeSet<Uuid>> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        let (mut xmin, mut xmax) = (0, 0);
        for line in &lines {
            (xmin, xmax) = (unsigned(line.xmin), unsigned(line.xmax));
            let (Some(id), Some(table), Some(row)) = (line.id, &line.entity, line.entity_id) else {
                continue;
            };
            let id = unsigned(id);
            ids.insert(id);
            if !self.ahead.contains(&id)
                && let Some(table) = read::TABLES.iter().find(|known| *known == table)
            {
                by_table.entry(table).or_default().insert(row);
            }
        }
        let deltas = self.read_rows(&mut connection, by_table).await?;
        // After an error the next reading makes a new one.
        self.connection = Some(connection);
        let appeared: Vec<Uuid> = deltas
            .iter()
            .filter_map(|delta| match delta {
                snapshot::Change::Put(snapshot::Entity::Service(service))
                    if self.snapshot.service_by_id(service.id).is_none() =>
                {
                    Some(service.id)
                }
                _ => None,
            })
            .collect();
        if !appeared.is_empty() && self.holds_apis(&appeared, &deltas).await? {
            return self.load().await;
        }
        self.read_at = Instant::now();
        let before = self.settled;
        if let Some((up_to, started)) = self.missing
            && xmin >= started
        {
            self.settled = self.settled.max(up_to);
            self.missing = None;
        }
        while ids.contains(&(self.settled + 1)) {
            self.settled += 1;
        }
        self.ahead = ids.split_off(&(self.settled + 1));
        if self.missing.is_none()
            && let Some(last) = self.ahead.last()
        {
            self.missing = Some((*last, xmax));
        }
        if !deltas.is_empty() || self.settled != before {
            let next = self.snapshot.apply(deltas.iter().cloned());
            self.show(next, Some(deltas));
        }
        Ok(())
    }

    /// Whether one of these services, unknown so far, has APIs that no change tells of: it was deleted and is restored.
    async fn holds_apis(
        &self,
        services: &[Uuid],
        deltas: &[snapshot::Change],
    ) -> Result<bool, sqlx::Error> {
        let told: Vec<Uuid> = deltas
            .iter()
            .filter_map(|delta| match delta {
                snapshot::Change::Put(snapshot::Entity::Api(api)) => Some(api.id),
                _ => None,
            })
            .collect();
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM apis WHERE parent_id = ANY($1) AND id <> ALL($2))",
        )
        .bind(services)
        .bind(told)
        .fetch_one(&self.pool)
        .await
    }
}

/// Removes changes that every replica has read long ago; returns how many.
///
/// A replica that was away for longer than this reads everything anew, because it starts anew.
///
/// # Errors
/// When the database fails.
pub async fn purge(pool: &PgPool, older_than: Duration) -> Result<u64, sqlx::Error> {
    // The newest stays: it tells the present revision to whoever starts.
    let done = sqlx::query(
        "DELETE FROM changes WHERE at < now() - $1 * interval '1 second' AND id < (SELECT max(id) FROM changes)",
    )
        .bind(older_than.as_secs_f64())
        .execute(pool)
        .await?;
    Ok(done.rows_affected())
}
