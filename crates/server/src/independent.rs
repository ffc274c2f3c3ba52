//! A gateway apart from the control plane: no database, one token, one URL.
//!
//! It follows the control plane's [feed](crate::feed), serves what it is told, and keeps it in a file ([`kept`](crate::kept)), from
//! which it starts when nothing else is there, without time limit. What it counts and records goes back over the same link:
//! counts of quotas are kept until they are taken, once and in order; records of calls wait in a queue that drops when it is full.
//!
//! No outage stops it from serving what it has: not that of the control plane, not that of its own disk, not the end of its
//! token. It says so at `/readyz`.

use crate::{
    data_plane::{Backing, DataPlane},
    external_cache::RedisCaches,
    feed::{
        BATCH_HEADER, CALLS_PATH, CONFIGURATION_PATH, KeptTrace, NODE_HEADER, REPORT_PATH,
        RESUME_HEADER, Report, TRACES_PATH, Told,
    },
    kept::{Kept, KeptError},
    nodes,
    otlp::Exporter,
    settings::GatewaySettings,
    shared_rates, telemetry,
    traces::{self, DebugTokens},
};
use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use engine::BoxFuture;
use gateway::{CounterDelta, CounterTotal, Counters, Gateway, Options};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use identity::gateway_token::{self, GatewayToken};
use metrics_exporter_prometheus::PrometheusHandle;
use reports::{Batch, Message};
use secret_box::SecretBox;
use serde_json::{Value, json};
use snapshot::frame::{FrameError, PublicKey, Receiver, SIGNED_HEAD_BYTES};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use uuid::Uuid;

/// Longest silence of the feed, which gives a sign of life every five seconds.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest wait for the reply to a report, and for the head of the feed's.
const REPLY: Duration = Duration::from_secs(10);
/// First wait after a failure; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often counts of others are asked for while there is nothing to report.
const IDLE_REPORT: Duration = Duration::from_secs(1);
/// Longest head of a reply and body of a reply that is not the feed, in bytes.
const LONGEST_REPLY: usize = 64 * 1024 * 1024;
/// How long the last frames may take to be written at shutdown.
const LAST_FRAMES: Duration = Duration::from_secs(5);
/// How long running health requests may take at shutdown, in seconds.
const SHUTDOWN_SECONDS: u64 = 1;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// How it stands with the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Control {
    Connecting,
    Connected,
    /// It does not answer, or not as it should.
    Unreachable(String),
    /// It answers, and refuses the token or gives what is refused here.
    Refused(String),
}

/// What `/readyz` tells.
struct Status {
    control: Control,
    since: DateTime<Utc>,
    /// Where the present configuration came from.
    source: Option<&'static str>,
    /// Revision that is on the disk.
    kept_revision: Option<u64>,
    /// Why the file could not be used, or not be written.
    file_problem: Option<String>,
}

/// Counts on their way.
struct Exchange {
    number: u64,
    /// Handed out, but not known to be taken: sent again as it is before anything new.
    pending: Option<Vec<CounterDelta>>,
    wants_all: bool,
    reported_revision: Option<u64>,
    reported_at: Option<Instant>,
}

/// The link to the control plane.
struct Link {
    http: Http,
    base: String,
    authorization: String,
    node: Uuid,
    host: String,
    clock: engine::Clock,
    status: Mutex<Status>,
    revision: watch::Sender<Option<u64>>,
    connected: watch::Sender<bool>,
    exchange: tokio::sync::Mutex<Exchange>,
    records: mpsc::Sender<Message>,
    traces: mpsc::Sender<gateway::CallTrace>,
    /// Id of the gateway's resource, as the token has it.
    gateway: Uuid,
    /// Seals links to traces, under the token's secret.
    secrets: SecretBox,
    /// Base of links to traces, when the control plane has told it.
    links: Mutex<Option<String>>,
}

/// Why a request to the control plane did not succeed.
#[derive(Debug)]
enum Failure {
    Unreachable(String),
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Link {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self, control: Control) {
        let is_connected = control == Control::Connected;
        let mut status = self.status();
        if status.control != control {
            match &control {
                Control::Connected => tracing::info!("the control plane feeds this gateway"),
                Control::Connecting => {}
                Control::Unreachable(why) => tracing::warn!(
                    why,
                    "the control plane cannot be reached; this gateway serves what it has"
                ),
                Control::Refused(why) => tracing::error!(
                    why,
                    "this gateway is not fed any more; it serves what it has"
                ),
            }
            status.control = control;
            status.since = (self.clock)();
        }
        drop(status);
        metrics::gauge!("portico_gateway_feed_connected").set(if is_connected { 1.0 } else { 0.0 });
        self.connected.send_replace(is_connected);
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, Failure> {
        let unreachable = |error: &dyn std::error::Error| Failure::Unreachable(chain(error));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, &self.authorization)
            .header(NODE_HEADER, self.node.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| unreachable(&e))?;
        let reply = tokio::time::timeout(REPLY, self.http.request(request))
            .await
            .map_err(|_| Failure::Unreachable("the control plane does not answer".to_owned()))?
            .map_err(|e| unreachable(&e))?;
        if reply.status().is_success() {
            return Ok(reply);
        }
        let status = reply.status();
        let body = read(reply).await.unwrap_or_default();
        let text = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|body| body["error"]["message"].as_str().map(str::to_owned))
            .unwrap_or_default();
        let why = format!("{status}: {text}");
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Refused(why),
            _ => Failure::Unreachable(why),
        })
    }

    /// Tells the control plane the revision and the counts, and learns the counts of others.
    async fn report(&self, counters: &Counters, is_leaving: bool) -> Result<(), Failure> {
        let mut exchange = self.exchange.lock().await;
        if exchange.pending.is_none() {
            let fresh = counters.take_dirty();
            if !fresh.is_empty() {
                exchange.number += 1;
                exchange.pending = Some(fresh);
            }
        }
        let revision = *self.revision.borrow();
        let is_due = exchange.pending.is_some()
            || is_leaving
            || exchange.reported_revision != revision
            || exchange
                .reported_at
                .is_none_or(|at| at.elapsed() >= IDLE_REPORT);
        let Some(serves) = revision.filter(|_| is_due) else {
            return Ok(());
        };
        let report = Report {
            node: self.node,
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: serves,
            is_leaving,
            batch: exchange.number,
            counted: exchange.pending.clone().unwrap_or_default(),
            wants_all: exchange.wants_all,
        };
        let body = serde_json::to_vec(&report).map_err(|e| Failure::Unreachable(e.to_string()))?;
        let json = [("content-type", "application/json".to_owned())];
        let reply = self.send(Method::POST, REPORT_PATH, &json, body).await?;
        let told: Told = read(reply)
            .await
            .and_then(|body| serde_json::from_slice(&body).map_err(|e| e.to_string()))
            .map_err(Failure::Unreachable)?;
        exchange.pending = None;
        exchange.wants_all = false;
        exchange.reported_revision = revision;
        exchange.reported_at = Some(Instant::now());
        drop(exchange);
        if let Some(links) = told.management_url {
            *self.links.lock().unwrap_or_else(PoisonError::into_inner) = Some(links);
        }
        counters.settle(told.settled);
        counters.merge(told.totals);
        Ok(())
    }
}

async fn read(reply: Response<Incoming>) -> Result<Bytes, String> {
    let body = http_body_util::Limited::new(reply.into_body(), LONGEST_REPLY);
    match tokio::time::timeout(REPLY, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the control plane stopped in the middle of its answer".to_owned()),
    }
}

impl Backing for Link {
    /// Nothing yet: the first report asks for all totals, and serving does not wait for it.
    fn totals(&self) -> BoxFuture<'_, anyhow::Result<Vec<CounterTotal>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn exchange<'a>(&'a self, counters: &'a Counters) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            if !*self.connected.borrow() {
                // The outage was told once; the counts stay where they are.
                return Ok(());
            }
            match self.report(counters, false).await {
                Ok(()) => Ok(()),
                Err(failure) => bail!("{failure}"),
            }
        })
    }

    fn record(&self, call: reports::Call) {
        if self
            .records
            .try_send(Message::Call(Box::new(call)))
            .is_err()
        {
            metrics::counter!("portico_telemetry_dropped_total").increment(1);
        }
    }

    /// A trace goes to the control plane, or nowhere: whoever asks for one looks at it soon.
    fn traced(&self, trace: gateway::CallTrace) -> Option<String> {
        let id = trace.request_id;
        if !*self.connected.borrow() || self.traces.try_send(trace).is_err() {
            traces::dropped();
            return None;
        }
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let base = links.as_deref().unwrap_or(&self.base);
        let prefix = format!("{}.", self.gateway.simple());
        traces::link(base, &prefix, &self.secrets, id, (self.clock)()).ok()
    }

    fn written(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if !*self.connected.borrow() {
                tracing::warn!(
                    "records of calls that the control plane has not taken yet are lost"
                );
                return;
            }
            let (done, written) = oneshot::channel();
            if self.records.send(Message::Flush(done)).await.is_ok() {
                // Without an answer the task is gone, and has said why.
                let _ = written.await;
            }
        })
    }
}

/// Delivers records of calls, in batches that are sent again until they are taken.
async fn deliver(link: Arc<Link>, mut inbox: mpsc::Receiver<Message>) {
    let mut connected = link.connected.subscribe();
    let mut number = 0_u64;
    while let Some(batch) = Batch::next(&mut inbox).await {
        let calls = &batch.calls;
        if !calls.is_empty() {
            number += 1;
            match rmp_serde::to_vec_named(calls) {
                Ok(body) => deliver_batch(&link, &mut connected, number, &body).await,
                Err(error) => {
                    tracing::error!(%error, lost = calls.len(), "records of calls cannot be written down");
                    metrics::counter!("portico_telemetry_dropped_total")
                        .increment(calls.len() as u64);
                }
            }
        }
        batch.done();
    }
}

async fn deliver_batch(
    link: &Link,
    connected: &mut watch::Receiver<bool>,
    number: u64,
    body: &[u8],
) {
    loop {
        // While the control plane is away the queue fills up and drops what comes then.
        if connected.wait_for(|connected| *connected).await.is_err() {
            return;
        }
        let headers = [
            (BATCH_HEADER, number.to_string()),
            ("content-type", "application/msgpack".to_owned()),
        ];
        match link
            .send(Method::POST, CALLS_PATH, &headers, body.to_vec())
            .await
        {
            Ok(_) => return,
            Err(failure) => {
                tracing::warn!(%failure, "records of calls could not be delivered; they are sent again");
                tokio::time::sleep(Batch::WAIT).await;
            }
        }
    }
}

/// Traces of one delivery.
const TRACES: usize = 16;

/// Delivers traces, once: what is not taken is dropped and counted.
async fn deliver_traces(link: Arc<Link>, mut inbox: mpsc::Receiver<gateway::CallTrace>) {
    let mut waiting = Vec::with_capacity(TRACES);
    while inbox.recv_many(&mut waiting, TRACES).await > 0 {
        let kept: Vec<KeptTrace> = waiting
            .drain(..)
            .map(|trace| KeptTrace {
                id: trace.request_id,
                document: traces::document(&trace),
            })
            .collect();
        let json = [("content-type", "application/json".to_owned())];
        let delivered = match serde_json::to_vec(&kept) {
            Ok(body) => link.send(Method::POST, TRACES_PATH, &json, body).await,
            Err(error) => Err(Failure::Unreachable(error.to_string())),
        };
        if let Err(failure) = delivered {
            tracing::warn!(%failure, lost = kept.len(), "traces are lost");
            for _ in kept {
                traces::dropped();
            }
        }
    }
}

/// A frame for the disk.
struct Keeping {
    is_whole: bool,
    revision: u64,
    frame: Vec<u8>,
}

/// Frames on their way to the disk.
struct Disk {
    frames: std::sync::mpsc::Sender<Keeping>,
    /// Whether differences can be kept after what is on the disk, and whether these have grown too long.
    state: watch::Receiver<(bool, bool)>,
}

/// Writes frames in a thread of its own: what is served does not wait for a disk. What came meanwhile is flushed together.
fn keep(mut kept: Kept, link: Arc<Link>) -> anyhow::Result<(Disk, std::thread::JoinHandle<()>)> {
    let (frames, inbox) = std::sync::mpsc::channel::<Keeping>();
    let (state, seen) = watch::channel((kept.is_open(), kept.has_grown()));
    let thread = std::thread::Builder::new()
        .name("configuration-file".to_owned())
        .spawn(move || {
            while let Ok(first) = inbox.recv() {
                let mut taken = vec![first];
                taken.extend(inbox.try_iter());
                let revision = taken.last().map(|last| last.revision);
                let problem = write_frames(&mut kept, taken)
                    .err()
                    .map(|error| error.to_string());
                let mut status = link.status();
                match &problem {
                    None => status.kept_revision = revision,
                    Some(problem) => {
                        metrics::counter!("portico_gateway_configuration_write_failures_total")
                            .increment(1);
                        tracing::error!(problem, "the configuration could not be kept on the disk");
                    }
                }
                status.file_problem = problem;
                drop(status);
                state.send_replace((kept.is_open(), kept.has_grown()));
            }
        })
        .context("starting the thread of the configuration's file")?;
    let disk = Disk {
        frames,
        state: seen,
    };
    Ok((disk, thread))
}

fn write_frames(kept: &mut Kept, mut taken: Vec<Keeping>) -> Result<(), KeptError> {
    // Everything before the last whole configuration is in it.
    if let Some(at) = taken.iter().rposition(|keeping| keeping.is_whole) {
        taken.drain(..at);
        kept.replace(&taken.remove(0).frame)?;
    }
    if taken.is_empty() {
        return Ok(());
    }
    let differences: Vec<Vec<u8>> = taken.into_iter().map(|keeping| keeping.frame).collect();
    kept.append(&differences)
}

/// Follows the feed for as long as the process lives.
async fn follow(
    link: Arc<Link>,
    gateway: Gateway,
    mut receiver: Receiver,
    mut last_head: Vec<u8>,
    disk: Disk,
) {
    let mut wait = FIRST_WAIT;
    let mut needs_whole = false;
    loop {
        let can_resume = receiver.has_whole() && disk.state.borrow().0 && !needs_whole;
        let began = Instant::now();
        let resume = can_resume.then_some(last_head.as_slice());
        let ended = session(&link, &gateway, &mut receiver, &disk, resume).await;
        needs_whole = false;
        let (head, outcome) = ended;
        if let Some(head) = head {
            last_head = head;
        }
        match outcome {
            Ended::Again => {
                // A whole configuration is wanted at once.
                needs_whole = true;
                continue;
            }
            Ended::Failed(Failure::Unreachable(why)) => link.control(Control::Unreachable(why)),
            Ended::Failed(Failure::Refused(why)) => {
                link.control(Control::Refused(why));
                wait = LONGEST_WAIT;
            }
        }
        if began.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

enum Ended {
    /// With a whole configuration, please.
    Again,
    Failed(Failure),
}

/// One connection to the feed: the signed head of its last frame, and why it ended.
async fn session(
    link: &Link,
    gateway: &Gateway,
    receiver: &mut Receiver,
    disk: &Disk,
    resume: Option<&[u8]>,
) -> (Option<Vec<u8>>, Ended) {
    let headers: Vec<(&str, String)> = resume
        .map(|head| (RESUME_HEADER, BASE64_STANDARD.encode(head)))
        .into_iter()
        .collect();
    let mut last_head = None;
    let reply = match link
        .send(Method::GET, CONFIGURATION_PATH, &headers, Vec::new())
        .await
    {
        Ok(reply) => reply,
        Err(failure) => return (None, Ended::Failed(failure)),
    };
    let mut body = reply.into_body();
    let mut buffer: Vec<u8> = Vec::new();
    let unreachable = |why: String| Ended::Failed(Failure::Unreachable(why));
    loop {
        let chunk = match tokio::time::timeout(SILENCE, body.frame()).await {
            Err(_) => return (last_head, unreachable("the feed fell silent".to_owned())),
            Ok(None) => {
                return (
                    last_head,
                    unreachable("the control plane ended the feed".to_owned()),
                );
            }
            Ok(Some(Err(error))) => return (last_head, unreachable(chain(&error))),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        buffer.extend_from_slice(&chunk);
        loop {
            let length = match receiver.frame_bytes(&buffer) {
                Ok(Some(length)) if buffer.len() >= length => length,
                Ok(_) => break,
                Err(error) => return (last_head, refused(&error)),
            };
            let rest = buffer.split_off(length);
            let frame = std::mem::replace(&mut buffer, rest);
            let head = match receiver.take(&frame) {
                Ok(head) => head,
                Err(FrameError::Gap { present, base }) => {
                    tracing::info!(present, base, "differences were missed");
                    return (last_head, Ended::Again);
                }
                Err(error) => return (last_head, refused(&error)),
            };
            link.control(Control::Connected);
            if head.kind == snapshot::frame::FrameKind::Alive {
                continue;
            }
            gateway.publish(receiver.snapshot().clone());
            link.status().source = Some("feed");
            link.revision.send_replace(Some(head.revision));
            last_head = Some(frame[..SIGNED_HEAD_BYTES].to_vec());
            let is_whole = head.kind == snapshot::frame::FrameKind::Whole;
            let keeping = Keeping {
                is_whole,
                revision: head.revision,
                frame,
            };
            if disk.frames.send(keeping).is_err() {
                // The thread said why it ended.
                link.status().file_problem = Some("the configuration is not kept".to_owned());
            }
        }
        if disk.state.borrow().1 {
            return (last_head, Ended::Again);
        }
    }
}

fn refused(error: &FrameError) -> Ended {
    metrics::counter!("portico_gateway_frames_refused_total").increment(1);
    Ended::Failed(Failure::Refused(error.to_string()))
}

/// Reports each new revision at once.
async fn tell_revision(link: Arc<Link>, counters: Arc<Counters>) {
    let mut revision = link.revision.subscribe();
    let mut connected = link.connected.subscribe();
    loop {
        // The senders live as long as the link.
        if revision.changed().await.is_err()
            || connected.wait_for(|connected| *connected).await.is_err()
        {
            return;
        }
        if let Err(failure) = link.report(&counters, false).await {
            tracing::debug!(%failure, "the revision is told with the next report");
        }
    }
}

/// What the health addresses share.
struct Health {
    link: Arc<Link>,
    metrics: PrometheusHandle,
}

fn health_routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(prometheus));
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Ready is who has a configuration, however old: how it stands with the control plane is told, and decides nothing.
async fn readyz(health: web::Data<Health>) -> HttpResponse {
    let revision = *health.link.revision.borrow();
    let status = health.link.status();
    let (state, problem) = match &status.control {
        Control::Connecting => ("connecting", None),
        Control::Connected => ("connected", None),
        Control::Unreachable(why) => ("unreachable", Some(why)),
        Control::Refused(why) => ("refused", Some(why)),
    };
    let body = json!({
        "configuration": {"revision": revision, "source": status.source},
        "control": {"state": state, "since": status.since, "problem": problem},
        "file": {"revision": status.kept_revision, "problem": status.file_problem},
    });
    drop(status);
    if revision.is_some() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

async fn prometheus(health: web::Data<Health>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(health.metrics.render())
}

/// A running gateway apart.
pub struct Independent {
    data_plane: DataPlane,
    exporter: Option<Exporter>,
    link: Arc<Link>,
    server: ServerHandle,
    tasks: JoinSet<anyhow::Result<()>>,
    keeping: std::thread::JoinHandle<()>,
    /// Where health and metrics are.
    pub health: SocketAddr,
    /// Where the gateway answers.
    pub gateway_address: SocketAddr,
    /// Where it answers over TLS.
    pub gateway_tls_address: Option<SocketAddr>,
}

/// Starts the gateway: with the configuration of its file if there is one, and with that of the control plane as soon as it comes.
///
/// # Errors
/// When the token is none, an address is taken, or the data folder cannot be made.
pub async fn start(
    settings: &GatewaySettings,
    clock: engine::Clock,
) -> anyhow::Result<Independent> {
    let metrics = telemetry::install()?;
    let exporter = Exporter::start(&settings.serve.otel, metrics.clone(), clock.clone())?;
    let base = settings
        .control_url
        .as_deref()
        .context("PORTICO_CONTROL_URL is not set")?
        .trim_end_matches('/')
        .to_owned();
    let text = settings
        .gateway_token
        .as_deref()
        .context("PORTICO_GATEWAY_TOKEN is not set")?;
    let token: GatewayToken = gateway_token::parse(text).context("PORTICO_GATEWAY_TOKEN")?;
    let folder = &settings.serve.state.data_dir;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;

    let (records, inbox) = mpsc::channel(settings.serve.edge.gateway_telemetry_queue.get());
    let (traces, traced) = mpsc::channel(traces::QUEUE);
    let debug_tokens = DebugTokens {
        public_key: token.public_key,
        clock: clock.clone(),
    };
    let link = Arc::new(Link {
        http: http(settings.control_ca.as_deref())?,
        base,
        authorization: format!(
            "{} {}",
            gateway_token::SCHEME,
            text.trim()
                .strip_prefix(gateway_token::SCHEME)
                .unwrap_or(text)
                .trim()
        ),
        node: Uuid::new_v4(),
        host: nodes::host(),
        status: Mutex::new(Status {
            control: Control::Connecting,
            since: clock(),
            source: None,
            kept_revision: None,
            file_problem: None,
        }),
        clock,
        revision: watch::Sender::new(None),
        connected: watch::Sender::new(false),
        exchange: tokio::sync::Mutex::new(Exchange {
            number: 0,
            pending: None,
            wants_all: true,
            reported_revision: None,
            reported_at: None,
        }),
        records,
        traces,
        gateway: token.gateway,
        secrets: SecretBox::new(&token.file_secret)?,
        links: Mutex::default(),
    });

    let listener = std::net::TcpListener::bind(settings.serve.address.gateway_listen)
        .with_context(|| format!("listening on {}", settings.serve.address.gateway_listen))?;
    let gateway_address = listener.local_addr()?;
    let health_listener = std::net::TcpListener::bind(settings.serve.listen)
        .with_context(|| format!("listening on {}", settings.serve.listen))?;
    let health = health_listener.local_addr()?;
    let options = Options {
        debug_credentials: Some(Arc::new(debug_tokens)),
        spans: exporter.as_ref().and_then(Exporter::gateway_spans),
        shared_rates: shared_rates::start(&settings.serve.redis).await?,
        external_caches: Some(Arc::new(RedisCaches::new(Duration::from_millis(
            settings.serve.redis.redis_wait_ms,
        )))),
        ..settings.serve.edge.options()
    };
    let mut data_plane = DataPlane::start(listener, link.clone(), options).await?;
    let gateway_tls_address = data_plane.listen_by(&settings.serve)?;
    let gateway = data_plane.gateway();

    let mut receiver = Receiver::new(PublicKey(token.public_key), token.gateway);
    let path = folder.join(format!("gateway-{}.configuration", token.gateway.simple()));
    let mut kept = Kept::new(path.clone(), &token.file_secret)?;
    let mut last_head = Vec::new();
    match kept.read(&mut receiver) {
        Ok(None) => {}
        Ok(Some(found)) => {
            let revision = receiver.snapshot().revision();
            gateway.publish(receiver.snapshot().clone());
            link.status().source = Some("file");
            link.status().kept_revision = Some(revision);
            link.revision.send_replace(Some(revision));
            last_head = found.last_head;
            tracing::info!(
                revision,
                is_torn = found.is_torn,
                "the kept configuration is served"
            );
        }
        Err(error) => {
            metrics::counter!("portico_gateway_frames_refused_total").increment(1);
            tracing::error!(%error, file = %path.display(), "the kept configuration is refused");
            link.status().file_problem = Some(error.to_string());
        }
    }
    let (disk, keeping) = keep(kept, link.clone())?;

    let shared = web::Data::new(Health {
        link: link.clone(),
        metrics: metrics.clone(),
    });
    let server =
        HttpServer::new(move || App::new().app_data(shared.clone()).configure(health_routes))
            .workers(1)
            .shutdown_timeout(SHUTDOWN_SECONDS)
            .disable_signals()
            .listen(health_listener)?
            .run();
    let handle = server.handle();
    let mut tasks = JoinSet::new();
    let kept_up = telemetry::upkeep(metrics.clone(), Some(data_plane.gateway()), None);
    tasks.spawn(async move {
        kept_up.await;
        Ok(())
    });
    tasks.spawn(async move { server.await.context("serving health and metrics") });
    let counters = data_plane.counters();
    tasks.spawn({
        let link = link.clone();
        async move {
            follow(link, gateway, receiver, last_head, disk).await;
            Ok(())
        }
    });
    tasks.spawn({
        let link = link.clone();
        async move {
            tell_revision(link, counters).await;
            Ok(())
        }
    });
    tasks.spawn({
        let link = link.clone();
        async move {
            deliver(link, inbox).await;
            Ok(())
        }
    });
    tasks.spawn({
        let link = link.clone();
        async move {
            deliver_traces(link, traced).await;
            Ok(())
        }
    });
    Ok(Independent {
        data_plane,
        exporter,
        link,
        server: handle,
        tasks,
        keeping,
        health,
        gateway_address,
        gateway_tls_address,
    })
}

impl Independent {
    /// Waits until there is a configuration; the answer is its revision and where it came from.
    pub async fn ready(&self) -> (u64, &'static str) {
        let mut revision = self.link.revision.subscribe();
        let revision = match revision.wait_for(Option::is_some).await {
            Ok(revision) => revision.unwrap_or_default(),
            // The sender lives as long as the link.
            Err(_) => 0,
        };
        (revision, self.link.status().source.unwrap_or_default())
    }

    /// Runs until a part fails or `stop` completes, then ends everything in order.
    ///
    /// # Errors
    /// What made a part fail.
    pub async fn until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = stop => Ok(()),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(Ok(())) => Err(anyhow::anyhow!("a part of the gateway ended by itself")),
                Ok(Err(error)) => Err(error),
                Err(error) => Err(error.into()),
            },
        };
        tracing::info!("stopping");
        let counters = self.data_plane.counters();
        self.data_plane.stop().await;
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        if *self.link.connected.borrow()
            && let Err(failure) = self.link.report(&counters, true).await
        {
            tracing::warn!(%failure, "the control plane lists this gateway until it counts as gone");
        }
        self.server.stop(true).await;
        self.tasks.shutdown().await;
        // Nothing comes any more; what has come is written.
        let keeping = self.keeping;
        let written = tokio::task::spawn_blocking(move || keeping.join());
        if tokio::time::timeout(LAST_FRAMES, written).await.is_err() {
            tracing::warn!("the last changes are not on the disk");
        }
        outcome
    }
}

fn http(authorities: Option<&Path>) -> anyhow::Result<Http> {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let config = match authorities {
        None => builder.with_webpki_roots(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path)
                .map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?
            {
                let certificate =
                    certificate.map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
                roots.add(certificate)?;
            }
            builder.with_root_certificates(roots)
        }
    }
    .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(REPLY));
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .build(connector))
}
