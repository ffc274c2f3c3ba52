//! The gateway inside a process: its threads, its durable counters, its metrics.
//!
//! What it counts and tells goes to a [`Backing`]: the database of this process, or the control plane of a gateway apart
//! ([`independent`](crate::independent)).

use crate::{quota_counters, settings::ServeSettings, telemetry::Recorder, traces::Traces};
use anyhow::Context as _;
use engine::BoxFuture;
use gateway::{CounterTotal, Counters, Gateway, Options, Tls};
use sqlx::PgPool;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

/// How often counts are written. What `kill -9` loses is what was counted since; what several gateways
/// admit too much together is what each admitted since.
pub const FLUSH: Duration = Duration::from_millis(250);
/// How long the last records of calls may take to be written.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// How long calls may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(20);

/// Where counts of quotas are kept and shared, and where records of calls go.
pub trait Backing: Send + Sync + 'static {
    /// The totals that are known when the gateway starts.
    fn totals(&self) -> BoxFuture<'_, anyhow::Result<Vec<CounterTotal>>>;

    /// Hands over what was counted and learns what others counted. What could not be handed over is kept.
    fn exchange<'a>(&'a self, counters: &'a Counters) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Takes the record of a call; must not wait.
    fn record(&self, call: reports::Call);

    /// Keeps what policies did for a call, if it can; the answer is a link to it. Must not wait.
    fn traced(&self, trace: gateway::CallTrace) -> Option<String> {
        drop(trace);
        None
    }

    /// Waits until the records so far are written.
    fn written(&self) -> BoxFuture<'_, ()>;
}

/// The database as backing.
pub struct Database {
    pool: PgPool,
    records: reports::Writer,
    recording: JoinHandle<()>,
    traces: Arc<Traces>,
}

impl Database {
    /// Starts to write records, of which `queue` may wait, with the places of callers.
    #[must_use]
    pub fn start(pool: PgPool, traces: Arc<Traces>, queue: usize, places: reports::Places) -> Self {
        let (records, recording) = reports::Writer::start(pool.clone(), queue, places);
        Self {
            pool,
            records,
            recording,
            traces,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.recording.abort();
    }
}

impl Backing for Database {
    fn totals(&self) -> BoxFuture<'_, anyhow::Result<Vec<CounterTotal>>> {
        Box::pin(async move {
            let mut conn = self.pool.acquire().await?;
            quota_counters::totals(&mut conn, None, None)
                .await
                .context("reading the counters of quotas")
        })
    }

    fn exchange<'a>(&'a self, counters: &'a Counters) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let deltas = counters.take_dirty();
            let mut conn = match self.pool.acquire().await {
                Ok(conn) => conn,
                Err(error) => {
                    counters.restore(deltas);
                    return Err(error.into());
                }
            };
            if !deltas.is_empty() {
                match quota_counters::add(&mut conn, &deltas).await {
                    Ok(totals) => counters.settle(totals),
                    Err(error) => {
                        counters.restore(deltas);
                        return Err(error.into());
                    }
                }
            }
            counters.merge(
                quota_counters::totals(&mut conn, None, Some(quota_counters::OVERLAP)).await?,
            );
            Ok(())
        })
    }

    fn record(&self, call: reports::Call) {
        self.records.record(call);
    }

    fn traced(&self, trace: gateway::CallTrace) -> Option<String> {
        self.traces.take(trace)
    }

    fn written(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.records.flush())
    }
}

/// A listener: dropping `stop` ends it.
struct Listener {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// Accepts calls on the gateway's threads.
fn listen(
    runtime: &Runtime,
    gateway: &Gateway,
    listener: std::net::TcpListener,
    tls: Option<Tls>,
) -> anyhow::Result<Listener> {
    listener.set_nonblocking(true)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = gateway.clone();
    let serving = runtime.spawn(async move {
        let served = async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            gateway
                .serve(listener, tls, async {
                    // Dropping the sender stops as well.
                    let _ = stopped.await;
                })
                .await
                .map_err(anyhow::Error::from)
        };
        if let Err(error) = served.await {
            tracing::error!(error = format!("{error:#}"), "the gateway stopped");
        }
    });
    Ok(Listener { stop, serving })
}

/// The gateway and what serves it.
pub struct DataPlane {
    gateway: Gateway,
    /// Threads of its own: a flood of calls must not starve the management API, nor the other way round.
    /// Always there until the end: a runtime must not be dropped where futures run.
    runtime: Option<Runtime>,
    listeners: Vec<Listener>,
    flushing: JoinHandle<()>,
    backing: Arc<dyn Backing>,
    counters: Arc<Counters>,
}

impl DataPlane {
    /// Reads the counters and starts to answer calls; without configuration yet, every call is a 404.
    ///
    /// # Errors
    /// When the threads cannot start or the counters cannot be read.
    pub async fn start(
        listener: std::net::TcpListener,
        backing: Arc<dyn Backing>,
        options: Options,
    ) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::default());
        counters.merge(backing.totals().await?);
        let options = Options {
            counters: counters.clone(),
            telemetry: Arc::new(Recorder::new(backing.clone())),
            ..options
        };
        let gateway = Gateway::new(options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("gateway")
            .enable_all()
            .build()?;
        let listeners = vec![listen(&runtime, &gateway, listener, None)?];
        let flushing = tokio::spawn(flush_regularly(counters.clone(), backing.clone()));
        Ok(Self {
            gateway,
            runtime: Some(runtime),
            listeners,
            flushing,
            backing,
            counters,
        })
    }

    /// Listens over TLS, too, if the settings say so; returns where.
    ///
    /// # Errors
    /// When the address or the certificate cannot be used.
    pub fn listen_by(&mut self, settings: &ServeSettings) -> anyhow::Result<Option<SocketAddr>> {
        let (Some(address), Some(runtime)) = (settings.edge.gateway_tls_listen, &self.runtime)
        else {
            return Ok(None);
        };
        let (chain, key) = settings.edge.certificate(
            &settings.state.data_dir,
            settings.address.gateway_domain.as_deref(),
        )?;
        let tls = self.gateway.tls(Some((&chain, &key)))?;
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("listening on {address} (PORTICO_GATEWAY_TLS_LISTEN)"))?;
        let bound = listener.local_addr()?;
        self.listeners
            .push(listen(runtime, &self.gateway, listener, Some(tls))?);
        Ok(Some(bound))
    }

    /// The gateway itself.
    #[must_use]
    pub fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// Its counters of quotas.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Takes each new configuration.
    #[must_use]
    pub fn publisher(&self) -> rollout::Publish {
        let gateway = self.gateway.clone();
        Arc::new(move |snapshot| gateway.publish(snapshot))
    }

    /// Ends running calls, writes the last counts.
    pub async fn stop(mut self) {
        // Dropping the senders ends the serving; nothing is left to answer.
        let ended = self.listeners.drain(..).map(|listener| {
            drop(listener.stop);
            listener.serving
        });
        let ended = futures_util::future::join_all(ended);
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("calls were cut off, because they did not end in time");
        }
        self.flushing.abort();
        if let Err(error) = self.backing.exchange(&self.counters).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "the last counts of quotas are lost"
            );
        }
        if tokio::time::timeout(LAST_RECORDS, self.backing.written())
            .await
            .is_err()
        {
            tracing::warn!("the last records of calls are lost");
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.flushing.abort();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn flush_regularly(counters: Arc<Counters>, backing: Arc<dyn Backing>) {
    let mut interval = tokio::time::interval(FLUSH);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = backing.exchange(&counters).await {
            metrics::counter!("portico_gateway_quota_flush_failures_total").increment(1);
            tracing::warn!(
                error = format!("{error:#}"),
                "counts of quotas could not be written; they are kept and tried again"
            );
        }
    }
}
