//! Which process serves which revision of the configuration, since when; and waiting until all do.
//!
//! Every process with a gateway keeps a row in `gateway_nodes`: those with the database write it themselves, those apart through
//! their control plane ([`feed`](crate::feed)). A row that was not renewed for [`LIVE`] is of a process that is gone or cut off.

use crate::State;
use chrono::{DateTime, Utc};
use engine::{Access, Error, Method, REVISION_HEADER, Reply, Request, Result, json};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgPool};
use std::time::{Duration, Instant};
use tokio::{sync::watch, task::JoinHandle};
use uuid::Uuid;

/// How often a process says that it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// After how long without a word a process counts as gone.
pub const LIVE: Duration = Duration::from_secs(16);
/// How long rows of processes that are gone stay to be seen.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a write waits for all gateways when it does not say for how long.
const WAIT: Duration = Duration::from_secs(10);
/// Longest that a write may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a waiting write looks.
const LOOK: Duration = Duration::from_millis(20);

/// Header of a reply that waited: `complete` or `pending`.
pub const ROLLOUT_HEADER: &str = "x-portico-rollout";
/// Header of a reply that waited in vain: the processes that do not serve the write yet, each `id (host)`.
pub const NOT_SERVING_HEADER: &str = "x-portico-not-serving";

/// How a process gets its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is the control plane itself.
    Process,
    /// From the database.
    Database,
    /// From the control plane's feed.
    Feed,
}

/// A process that serves.
#[derive(Clone, Debug)]
pub struct Node {
    /// Chosen by the process when it starts.
    pub id: Uuid,
    /// The service and the gateway that it serves, unless it serves every service.
    pub serves: Option<(Uuid, Uuid)>,
    /// Name of its machine.
    pub host: String,
    /// How it gets its configuration.
    pub mode: Mode,
    /// Version of the program.
    pub version: String,
}

impl Node {
    /// This process.
    #[must_use]
    pub fn here(mode: Mode) -> Self {
        Self {
            id: Uuid::new_v4(),
            serves: None,
            host: host(),
            mode,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The machine's name; empty where the system does not tell.
#[must_use]
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// Notes which revision a process serves; `false` when its id is that of another gateway's process.
///
/// # Errors
/// When the database fails.
pub async fn save(
    conn: &mut PgConnection,
    node: &Node,
    revision: u64,
) -> std::result::Result<bool, sqlx::Error> {
    let mode = match node.mode {
        Mode::Process => "process",
        Mode::Database => "database",
        Mode::Feed => "feed",
    };
    let done = sqlx::query(
        "INSERT INTO gateway_nodes AS n (id, service_id, gateway_id, host, mode, version, revision, revision_at, started_at, seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), clock_timestamp(), clock_timestamp()) \
         ON CONFLICT (id) DO UPDATE SET \
           revision_at = CASE WHEN n.revision = excluded.revision THEN n.revision_at ELSE excluded.revision_at END, \
           revision = excluded.revision, seen_at = excluded.seen_at \
         WHERE n.gateway_id IS NOT DISTINCT FROM excluded.gateway_id",
    )
    .bind(node.id)
    .bind(node.serves.map(|(service, _)| service))
    .bind(node.serves.map(|(_, gateway)| gateway))
    .bind(&node.host)
    .bind(mode)
    .bind(&node.version)
    .bind(i64::try_from(revision).unwrap_or(i64::MAX))
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes the row of a process that ends.
///
/// # Errors
/// When the database fails.
pub async fn remove(conn: &mut PgConnection, id: Uuid) -> std::result::Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM gateway_nodes WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes the rows of processes that are long gone; returns how many.
///
/// # Errors
/// When the database fails.
pub async fn purge(pool: &PgPool) -> std::result::Result<u64, sqlx::Error> {
    let done =
        sqlx::query("DELETE FROM gateway_nodes WHERE seen_at < now() - $1 * interval '1 second'")
            .bind(KEPT.as_secs_f64())
            .execute(pool)
            .await?;
    Ok(done.rows_affected())
}

/// Keeps the row of this process up to date.
pub struct LocalNode {
    pool: PgPool,
    id: Uuid,
    task: JoinHandle<()>,
}

impl LocalNode {
    /// Starts to tell which revision this process serves.
    #[must_use]
    pub fn start(pool: PgPool, mode: Mode, revision: watch::Receiver<u64>) -> Self {
        let node = Node::here(mode);
        let id = node.id;
        let task = tokio::spawn(tell(pool.clone(), node, revision));
        Self { pool, id, task }
    }

    /// Takes the row away: nobody is to wait for this process any more.
    pub async fn leave(self) {
        self.task.abort();
        // Ends the task first, lest it write the row again.
        let _ = (&mut { self.task }).await;
        let removed = async { remove(&mut *self.pool.acquire().await?, self.id).await };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "this process is listed as a gateway until it counts as gone");
        }
    }
}

/// While one change follows another, not each is told of.
const BETWEEN: Duration = Duration::from_millis(20);

async fn tell(pool: PgPool, node: Node, mut revision: watch::Receiver<u64>) {
    loop {
        let serves = *revision.borrow_and_update();
        let saved = async { save(&mut *pool.acquire().await?, &node, serves).await };
        if let Err(error) = saved.await {
            tracing::warn!(%error, "which revision this process serves cannot be told");
        }
        tokio::time::sleep(BETWEEN).await;
        // A timeout is the heartbeat.
        if let Ok(Err(_)) = tokio::time::timeout(HEARTBEAT, revision.changed()).await {
            return;
        }
    }
}

/// How long a write is to wait for all gateways, if at all: `wait=all` in the query, `Prefer: wait=SECONDS` as header, or both.
///
/// # Errors
/// When `wait` has another value.
pub fn wanted(request: &Request, prefer: Option<&str>) -> Result<Option<Duration>> {
    if matches!(request.method, Method::Get | Method::Head) {
        return Ok(None);
    }
    let preferred = prefer
        .into_iter()
        .flat_map(|text| text.split([',', ';']))
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        // What cannot be understood of a preference is ignored (RFC 7240).
        .and_then(|(_, value)| value.trim().trim_matches('"').parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds).min(LONGEST_WAIT));
    match request.query.value("wait") {
        None | Some("") => Ok(preferred),
        Some(all) if all.eq_ignore_ascii_case("all") => Ok(Some(preferred.unwrap_or(WAIT))),
        Some(_) => Err(Error::invalid("wait", "must be all")),
    }
}

/// Waits until every live gateway of the request's service serves what the reply tells of, or the time is over.
///
/// # Errors
/// When the database fails.
pub async fn wait(
    state: &State,
    request: &Request,
    limit: Duration,
    reply: Reply,
) -> Result<Reply> {
    let revision = reply
        .headers
        .iter()
        .find(|(name, _)| *name == REVISION_HEADER)
        .and_then(|(_, value)| value.parse::<i64>().ok());
    let (Some(revision), Some((_, service))) = (revision, request.path.pairs.first()) else {
        return Ok(reply);
    };
    let began = Instant::now();
    loop {
        let behind: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT n.id, n.host FROM gateway_nodes n \
             WHERE n.revision < $1 AND n.seen_at > now() - $2 * interval '1 second' \
             AND (n.service_id IS NULL OR n.service_id = (SELECT id FROM services WHERE lower(name) = lower($3))) ORDER BY 2, 1",
        )
        .bind(revision)
        .bind(LIVE.as_secs_f64())
        .bind(service)
        .fetch_all(&state.engine.pool)
        .await?;
        if behind.is_empty() {
            return Ok(reply.with(ROLLOUT_HEADER, "complete"));
        }
        if began.elapsed() >= limit {
            let names: Vec<String> = behind
                .iter()
                .map(|(id, host)| format!("{id} ({host})"))
                .collect();
            return Ok(reply
                .with(ROLLOUT_HEADER, "pending")
                .with(NOT_SERVING_HEADER, names.join(", ")));
        }
        state.rollout.look();
        tokio::time::sleep(LOOK).await;
    }
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    host: String,
    mode: String,
    version: String,
    revision: i64,
    revision_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    seen_at: DateTime<Utc>,
    live: bool,
}

/// The reply to `GET …/gateways/{gatewayId}/nodes`; `None` for other requests.
///
/// # Errors
/// Not found, not allowed.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let ([(service, _), (gateways, name)], Some(tail)) =
        (request.path.pairs.as_slice(), request.path.tail.as_deref())
    else {
        return Ok(None);
    };
    if !service.eq_ignore_ascii_case("service")
        || !gateways.eq_ignore_ascii_case("gateways")
        || !tail.eq_ignore_ascii_case("nodes")
    {
        return Ok(None);
    }
    if request.method != Method::Get {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let mut conn = state.engine.pool.acquire().await?;
    let at = state
        .engine
        .enter(&mut conn, request, Access::Read, "gateways/nodes/read")
        .await?;
    let gateway: Option<Uuid> = sqlx::query_scalar(
        "SELECT id FROM gateways WHERE parent_id = $1 AND lower(name) = lower($2)",
    )
    .bind(at.service.id)
    .bind(name)
    .fetch_optional(&mut *conn)
    .await?;
    let managed = kinds::gateway::is_managed(name);
    if gateway.is_none() && !managed {
        return Err(Error::not_found("Gateway"));
    }
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, host, mode, version, revision, revision_at, started_at, seen_at, \
           seen_at > now() - $3 * interval '1 second' AS live \
         FROM gateway_nodes WHERE gateway_id = $1 OR ($2 AND gateway_id IS NULL) ORDER BY host, started_at, id",
    )
    .bind(gateway)
    .bind(managed)
    .bind(LIVE.as_secs_f64())
    .fetch_all(&mut *conn)
    .await?;
    let value: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "id": format!("{}/gateways/{name}/nodes/{}", at.service.path, row.id),
                "type": format!("{}/service/gateways/nodes", arm_id::PROVIDER),
                "name": row.id,
                "properties": {
                    "host": row.host,
                    "mode": row.mode,
                    "version": row.version,
                    "revision": row.revision,
                    "servesRevisionSince": row.revision_at,
                    "startedAt": row.started_at,
                    "seenAt": row.seen_at,
                    "isLive": row.live,
                }
            })
        })
        .collect();
    let revision = *state.rollout.revision().borrow();
    Ok(Some(Reply::ok(
        json!({"count": value.len(), "revision": revision, "value": value}),
    )))
}
