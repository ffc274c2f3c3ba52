//! The feed: configuration for gateways apart from the control plane, and what comes back from them.
//!
//! A gateway presents its token and keeps one request open, `GET /gateway-feed/configuration`, whose reply never ends: signed
//! [frames](snapshot::frame), first the whole of what the gateway is to serve or the difference to what it has, then every
//! difference as it happens, and a sign of life in between. It says what it has by sending the signed head of its last frame back,
//! so that nobody can claim a revision that was never given out.
//!
//! `POST /gateway-feed/report` brings the revision that the gateway serves and the quotas that it counted, and takes back what all
//! have counted; `POST /gateway-feed/calls` brings records of calls. Both are numbered, so that a batch that is sent twice because
//! a reply was lost counts once.

use crate::{
    State,
    data_plane::FLUSH,
    management, nodes,
    nodes::{Mode, Node},
    quota_counters,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Bytes},
};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{Codec, Error, Result, Secret};
use gateway::{CounterDelta, CounterTotal};
use identity::gateway_token;
use rollout::{Rollout, Update};
use serde::{Deserialize, Serialize};
use snapshot::{
    View,
    frame::{Head, PublicKey, Signer},
};
use sqlx::PgPool;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
};
use uuid::Uuid;

/// Path of the stream of frames.
pub const CONFIGURATION_PATH: &str = "/gateway-feed/configuration";
/// Path of reports.
pub const REPORT_PATH: &str = "/gateway-feed/report";
/// Path of records of calls.
pub const CALLS_PATH: &str = "/gateway-feed/calls";
/// Path of traces.
pub const TRACES_PATH: &str = "/gateway-feed/traces";
/// Header with the signed head of the last frame that the gateway has, in base64.
pub const RESUME_HEADER: &str = "x-portico-resume";
/// Header with the id of the gateway's process.
pub const NODE_HEADER: &str = "x-portico-node";
/// Header with the number of a batch of records.
pub const BATCH_HEADER: &str = "x-portico-batch";
/// How often a stream with nothing to tell gives a sign of life.
pub const ALIVE: Duration = Duration::from_secs(5);

/// Frames on their way to one gateway.
const WINDOW: usize = 16;
/// How long a stream waits for this process to reach the revision that the gateway has from another one.
const REACH: Duration = Duration::from_secs(5);

/// What a gateway reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Id of its process.
    pub node: Uuid,
    /// Name of its machine.
    pub host: String,
    /// Version of its program.
    pub version: String,
    /// Revision that it serves.
    pub revision: u64,
    /// Whether the process ends.
    #[serde(default)]
    pub is_leaving: bool,
    /// Number of the batch of counts.
    pub batch: u64,
    /// What it counted since the batch before.
    pub counted: Vec<CounterDelta>,
    /// Whether it wants all totals, and not only those that changed lately.
    pub wants_all: bool,
}

/// What a gateway is told back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Totals with the counts of the report.
    pub settled: Vec<CounterTotal>,
    /// Totals that changed lately, or all.
    pub totals: Vec<CounterTotal>,
    /// Base URL of links to traces.
    #[serde(default)]
    pub management_url: Option<String>,
}

/// What policies did for a call, as `listTrace` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptTrace {
    /// Id of the call.
    pub id: Uuid,
    /// The trace.
    pub document: serde_json::Value,
}

/// The control plane's end of all feeds.
pub struct Feed {
    pool: PgPool,
    codec: Codec,
    clock: engine::Clock,
    rollout: Arc<Rollout>,
    key: Ed25519KeyPair,
    public_key: PublicKey,
    records: reports::Writer,
    recording: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Feed {
    /// Opens the signing key, which the first process makes.
    ///
    /// # Errors
    /// When the key cannot be made or read.
    pub async fn start(
        pool: PgPool,
        codec: Codec,
        clock: engine::Clock,
        rollout: Arc<Rollout>,
        places: reports::Places,
    ) -> Result<Arc<Self>> {
        let key = kinds::gateway::signing_key(&mut *pool.acquire().await?, &codec).await?;
        let public_key = PublicKey(kinds::gateway::public_key(&key)?);
        let (records, recording) =
            reports::Writer::start(pool.clone(), reports::writer::QUEUE, places);
        Ok(Arc::new(Self {
            pool,
            codec,
            clock,
            rollout,
            key,
            public_key,
            records,
            recording,
            stop: watch::Sender::new(false),
        }))
    }

    /// Ends all streams; the gateways look for another process.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the records of calls are written.
    pub async fn written(&self) {
        self.records.flush().await;
    }

    fn signer(&self, gateway: Uuid) -> Signer<'_> {
        Signer {
            key: &self.key,
            gateway,
            now_ms: (self.clock)().timestamp_millis(),
        }
    }

    /// The gateway of a token that holds now.
    async fn known(&self, token: &gateway_token::GatewayToken) -> Result<Known> {
        let found: Option<(Uuid, String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT g.parent_id, g.name, g.primary_key, g.secondary_key FROM gateways g \
             JOIN services s ON s.id = g.parent_id WHERE g.id = $1 AND s.deleted_at IS NULL",
        )
        .bind(token.gateway)
        .fetch_optional(&self.pool)
        .await?;
        let now = (self.clock)();
        if let Some((service, name, primary, secondary)) = found {
            for sealed in [primary, secondary] {
                let key: Secret = self.codec.open(&sealed)?;
                if gateway_token::verify(token, key.expose(), now) {
                    return Ok(Known {
                        id: token.gateway,
                        service,
                        name,
                    });
                }
            }
        }
        Err(Error::Unauthenticated(if token.expires_at <= now {
            format!(
                "The gateway's token ended at {}; generateToken gives a new one.",
                token.expires_at.format("%Y-%m-%d %H:%M UTC")
            )
        } else {
            "The gateway's key was regenerated, or the gateway was deleted; generateToken gives a new token.".to_owned()
        }))
    }

    /// Makes sure that this process is not behind what a gateway has already.
    ///
    /// A database that was restored from a backup gives out revisions again that gateways have seen with another content. Its
    /// numbers then go on behind the highest one that was ever given out, which the gateway's signed head proves.
    async fn reach(&self, gateway: &Known, has: u64) -> Result<()> {
        let mut revision = self.rollout.revision();
        if *revision.borrow() >= has {
            return Ok(());
        }
        let wanted = i64::try_from(has).map_err(Error::internal)?;
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('portico revisions', 0))")
            .execute(&mut *tx)
            .await?;
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM changes")
            .fetch_one(&mut *tx)
            .await?;
        if newest.unwrap_or_default() < wanted {
            tracing::warn!(
                gateway = gateway.name,
                revision = has,
                "a gateway has a later revision than the database: was it restored? Revisions go on after it"
            );
            sqlx::query(
                "INSERT INTO changes (id, service_id, entity, entity_id) OVERRIDING SYSTEM VALUE VALUES ($1, $2, 'gateways', $3)",
            )
            .bind(wanted + 1)
            .bind(gateway.service)
            .bind(gateway.id)
            .execute(&mut *tx)
            .await?;
            sqlx::query("SELECT setval(pg_get_serial_sequence('changes', 'id'), $1)")
                .bind(wanted + 1)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        self.rollout.look();
        let reached = tokio::time::timeout(REACH, revision.wait_for(|now| *now >= has)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable(
                format!("the configuration of revision {has} is not read yet").into(),
            )),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.recording.abort();
    }
}

/// A gateway whose token holds.
struct Known {
    id: Uuid,
    service: Uuid,
    name: String,
}

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route(CONFIGURATION_PATH, web::get().to(configuration))
        .route(REPORT_PATH, web::post().to(report))
        .route(CALLS_PATH, web::post().to(calls))
        .route(TRACES_PATH, web::post().to(kept_traces));
}

fn token(http: &HttpRequest) -> Result<gateway_token::GatewayToken> {
    let header = http
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    gateway_token::parse(header).map_err(|error| Error::Unauthenticated(error.to_string()))
}

async fn configuration(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    let opened = async {
        let feed = state.feed()?;
        let token = token(&http)?;
        let known = feed.known(&token).await?;
        let resume = match http.headers().get(RESUME_HEADER) {
            None => None,
            Some(value) => {
                let head = BASE64_STANDARD
                    .decode(value.as_bytes())
                    .ok()
                    .and_then(|bytes| Head::verified(&bytes, &feed.public_key).ok())
                    .filter(|head| head.gateway == known.id)
                    .ok_or_else(|| {
                        Error::invalid(RESUME_HEADER, "is no head that this control plane signed")
                    })?;
                feed.reach(&known, head.revision).await?;
                Some(head.revision)
            }
        };
        let (sender, inbox) = mpsc::channel(WINDOW);
        tracing::info!(gateway = known.name, since = resume, "a gateway follows");
        tokio::spawn(stream(feed.clone(), token, known, resume, sender));
        Ok(inbox)
    };
    match opened.await {
        Ok(inbox) => {
            let frames = futures_util::stream::unfold(inbox, |mut inbox| async {
                let frame: Bytes = inbox.recv().await?;
                Some((Ok::<_, Infallible>(frame), inbox))
            });
            HttpResponse::Ok()
                .content_type("application/octet-stream")
                .insert_header((header::CACHE_CONTROL, "no-store"))
                // Frames must leave as they come; a compressor would hold them back.
                .insert_header((header::CONTENT_ENCODING, "identity"))
                .streaming(frames)
        }
        Err(error) => management::fail(&http, &error),
    }
}

/// Sends frames until the gateway goes away, its token ends, or this process does.
async fn stream(
    feed: Arc<Feed>,
    token: gateway_token::GatewayToken,
    gateway: Known,
    resume: Option<u64>,
    out: mpsc::Sender<Bytes>,
) {
    let name = gateway.name.clone();
    match follow(&feed, &token, &gateway, resume, &out).await {
        Ok(why) => tracing::info!(gateway = name, why, "the feed of a gateway ends"),
        Err(error) => {
            tracing::error!(
                gateway = name,
                ?error,
                "the feed of a gateway failed; it will come again"
            );
        }
    }
}

/// Sends frames; the answer is why it ended.
async fn follow(
    feed: &Feed,
    token: &gateway_token::GatewayToken,
    gateway: &Known,
    resume: Option<u64>,
    out: &mpsc::Sender<Bytes>,
) -> Result<&'static str> {
    const GONE: &str = "the gateway closed it";
    let view = View::of(gateway.id);
    let mut stop = feed.stop.subscribe();
    let mut following = feed.rollout.follow(resume);
    let mut revision = following.snapshot.revision();
    let first = match (resume, following.missed.take()) {
        (Some(since), Some(missed)) => difference(feed, view, gateway, since, &missed, revision)?,
        _ => Some(whole(feed, view, gateway, &following.snapshot)?),
    };
    if let Some(frame) = first
        && out.send(frame).await.is_err()
    {
        return Ok(GONE);
    }
    let mut alive = tokio::time::interval(ALIVE);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return Ok("this process ends"),
            _ = alive.tick() => {
                if token.expires_at <= (feed.clock)() {
                    return Ok("the token has ended");
                }
                let frame = Bytes::from(feed.signer(gateway.id).alive(revision));
                if out.send(frame).await.is_err() {
                    return Ok(GONE);
                }
            }
            update = following.updates.recv() => {
                let mut updates = Vec::new();
                let mut lost = false;
                match update {
                    Ok(update) => updates.push(update),
                    Err(broadcast::error::RecvError::Lagged(_)) => lost = true,
                    Err(broadcast::error::RecvError::Closed) => return Ok("this process ends"),
                }
                // What came meanwhile travels together.
                loop {
                    match following.updates.try_recv() {
                        Ok(update) => updates.push(update),
                        Err(broadcast::error::TryRecvError::Lagged(_)) => lost = true,
                        Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => break,
                    }
                }
                let frame = if lost || updates.iter().any(|update| update.changes.is_none()) {
                    following = feed.rollout.follow(None);
                    revision = following.snapshot.revision();
                    Some(whole(feed, view, gateway, &following.snapshot)?)
                } else {
                    let to = updates.last().map_or(revision, |update| update.after.revision());
                    let frame = difference(feed, view, gateway, revision, &updates, to)?;
                    revision = to;
                    frame
                };
                if keys_changed(gateway.id, &updates) && feed.known(token).await.is_err() {
                    return Ok("the gateway's key was regenerated, or the gateway was deleted");
                }
                if let Some(frame) = frame && out.send(frame).await.is_err() {
                    return Ok(GONE);
                }
            }
        }
    }
}

/// Completes when this process ends, which is also when the sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether the token must be looked at again.
fn keys_changed(gateway: Uuid, updates: &[Update]) -> bool {
    updates.iter().any(|update| {
        let keys = |snapshot: &snapshot::Snapshot| snapshot.gateway(gateway).map(|g| g.keys);
        keys(&update.before) != keys(&update.after)
    })
}

fn whole(feed: &Feed, view: View, gateway: &Known, snapshot: &snapshot::Snapshot) -> Result<Bytes> {
    let entities = view.entities(snapshot);
    feed.signer(gateway.id)
        .whole(snapshot.revision(), &entities)
        .map(Bytes::from)
        .map_err(Error::internal)
}

/// What leads from one revision to another; `None` if that is nothing.
fn difference(
    feed: &Feed,
    view: View,
    gateway: &Known,
    from: u64,
    updates: &[Update],
    to: u64,
) -> Result<Option<Bytes>> {
    let changes: Vec<snapshot::Change> = updates
        .iter()
        .flat_map(|update| {
            let changes = update.changes.as_deref().unwrap_or_default();
            view.changes(&update.before, &update.after, changes)
        })
        .collect();
    if changes.is_empty() && from == to {
        return Ok(None);
    }
    feed.signer(gateway.id)
        .difference(from, to, &changes)
        .map(|frame| Some(Bytes::from(frame)))
        .map_err(Error::internal)
}

async fn report(state: web::Data<State>, http: HttpRequest, body: Bytes) -> HttpResponse {
    let answered = async {
        let feed = state.feed()?;
        let known = feed.known(&token(&http)?).await?;
        let report: Report = serde_json::from_slice(&body)
            .map_err(|e| Error::Malformed(format!("The report cannot be read: {e}")))?;
        let mut told = take_report(feed, &known, report).await?;
        told.management_url = state
            .traces
            .as_ref()
            .map(|traces| traces.base_url().to_owned());
        Ok(told)
    };
    match answered.await {
        Ok(told) => HttpResponse::Ok().json(told),
        Err(error) => management::fail(&http, &error),
    }
}

async fn take_report(feed: &Feed, gateway: &Known, mut report: Report) -> Result<Told> {
    let node = node(gateway, &report);
    // A gateway speaks for its own service only.
    report
        .counted
        .retain(|delta| delta.key.service_id == gateway.service);
    let mut tx = feed.pool.begin().await?;
    if !nodes::save(&mut tx, &node, report.revision).await? {
        return Err(Error::Conflict(
            "The node is one of another gateway.".into(),
        ));
    }
    let mut settled = Vec::new();
    if !report.counted.is_empty() {
        if is_new(&mut tx, "last_batch", node.id, report.batch).await? {
            settled = quota_counters::add(&mut tx, &report.counted).await?;
        } else {
            let keys: Vec<_> = report.counted.iter().map(|delta| &delta.key).collect();
            settled = quota_counters::totals(&mut tx, Some(gateway.service), None).await?;
            settled.retain(|total| keys.contains(&&total.key));
        }
    }
    if report.is_leaving {
        nodes::remove(&mut tx, node.id).await?;
    }
    tx.commit().await?;
    let within = (!report.wants_all).then_some(quota_counters::OVERLAP + FLUSH);
    let totals = quota_counters::totals(
        &mut *feed.pool.acquire().await?,
        Some(gateway.service),
        within,
    )
    .await?;
    Ok(Told {
        settled,
        totals,
        management_url: None,
    })
}

fn node(gateway: &Known, report: &Report) -> Node {
    let cut = |text: &str, longest: usize| text.chars().take(longest).collect::<String>();
    Node {
        id: report.node,
        serves: Some((gateway.service, gateway.id)),
        host: cut(&report.host, 255),
        mode: Mode::Feed,
        version: cut(&report.version, 64),
    }
}

/// Whether a batch of a process is taken for the first time.
async fn is_new(
    conn: &mut sqlx::PgConnection,
    column: &'static str,
    node: Uuid,
    batch: u64,
) -> Result<bool> {
    // `column` is one of two constants of the callers.
    let sql = format!("UPDATE gateway_nodes SET {column} = $2 WHERE id = $1 AND {column} < $2");
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(node)
        .bind(i64::try_from(batch).map_err(Error::internal)?)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

async fn calls(state: web::Data<State>, http: HttpRequest, body: Bytes) -> HttpResponse {
    let answered = async {
        let feed = state.feed()?;
        let known = feed.known(&token(&http)?).await?;
        let header = |name: &str| {
            http.headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .ok_or_else(|| Error::invalid(name, "is required"))
        };
        let node: Uuid = header(NODE_HEADER)?
            .parse()
            .map_err(|_| Error::invalid(NODE_HEADER, "must be an id"))?;
        let batch: u64 = header(BATCH_HEADER)?
            .parse()
            .map_err(|_| Error::invalid(BATCH_HEADER, "must be a number"))?;
        let calls: Vec<reports::Call> = rmp_serde::from_slice(&body)
            .map_err(|e| Error::Malformed(format!("The records cannot be read: {e}")))?;
        let mut conn = feed.pool.acquire().await?;
        let owner: Option<Option<Uuid>> =
            sqlx::query_scalar("SELECT gateway_id FROM gateway_nodes WHERE id = $1")
                .bind(node)
                .fetch_optional(&mut *conn)
                .await?;
        if owner.flatten() != Some(known.id) {
            return Err(Error::Conflict(
                "The node has not reported yet, or is one of another gateway.".into(),
            ));
        }
        if is_new(&mut conn, "last_calls", node, batch).await? {
            for call in calls {
                if call.service_id == known.service {
                    feed.records.record(call);
                }
            }
        }
        Ok(())
    };
    match answered.await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => management::fail(&http, &error),
    }
}

async fn kept_traces(state: web::Data<State>, http: HttpRequest, body: Bytes) -> HttpResponse {
    let answered = async {
        let known = state.feed()?.known(&token(&http)?).await?;
        let sent: Vec<KeptTrace> = serde_json::from_slice(&body)
            .map_err(|e| Error::Malformed(format!("The traces cannot be read: {e}")))?;
        let traces = state
            .traces
            .as_ref()
            .ok_or_else(|| Error::Conflict("This process keeps no traces.".into()))?;
        for trace in sent {
            // A gateway speaks for its own service only.
            traces.keep(known.service, trace.id, trace.document).await?;
        }
        Ok(())
    };
    match answered.await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => management::fail(&http, &error),
    }
}
