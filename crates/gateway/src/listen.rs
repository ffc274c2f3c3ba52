//! Connections from clients.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use snapshot::Snapshot;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;

use crate::body::Payload;
use crate::cache::Cache;
use crate::caller::Caller;
use crate::certificates::{self, Tls};
use crate::circuit::Circuits;
use crate::client_wire::{self, Interrupts};
use crate::options::Options;
use crate::pipeline;
use crate::policies::limit_concurrency::Concurrency;
use crate::policies::rate_limit::RateKey;
use crate::policies::validate_content::Schemas;
use crate::policies::validate_jwt::Issuers;
use crate::rate::Rates;
use crate::rehearsal::{self, RehearsalError, Rehearsed};
use crate::sink::Sinks;
use crate::telemetry::NoTelemetry;
use crate::upstream::Upstreams;

/// Headers that hyper reads of a request without being told another number.
const HYPER_HEADERS: usize = 100;

/// Why a gateway cannot be made or does not accept connections.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The trust anchors or the TLS provider cannot be used.
    #[error("the gateway cannot be set up: {0}")]
    Setup(String),
    /// The listener failed.
    #[error("the gateway's listener failed: {0}")]
    Listener(#[from] std::io::Error),
}

/// What all calls share.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) upstreams: Upstreams,
    pub(crate) rates: Rates<RateKey>,
    pub(crate) cache: Cache,
    pub(crate) circuits: Circuits,
    pub(crate) concurrency: Concurrency,
    pub(crate) issuers: Issuers,
    pub(crate) schemas: Schemas,
    pub(crate) calls: AtomicUsize,
    pub(crate) sinks: Sinks,
}

/// A gateway. Clones are handles of the same one.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway with nothing to serve yet.
    ///
    /// # Errors
    /// When the trust anchors cannot be used.
    pub fn new(options: Options) -> Result<Self, ServeError> {
        Self::make(options, false)
    }

    fn make(options: Options, is_offline: bool) -> Result<Self, ServeError> {
        let upstreams = Upstreams::new(&options, is_offline)
            .map_err(|error| ServeError::Setup(error.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                upstreams,
                snapshot: ArcSwap::default(),
                rates: Rates::default(),
                cache: Cache::new(options.limits.cache_bytes),
                circuits: Circuits::default(),
                concurrency: Concurrency::default(),
                issuers: Issuers::default(),
                schemas: Schemas::default(),
                calls: AtomicUsize::new(0),
                sinks: Sinks::default(),
                options,
            }),
        })
    }

    /// Serves another configuration from the next call on. Calls in progress keep theirs.
    pub fn publish(&self, snapshot: Snapshot) {
        #[expect(clippy::cast_precision_loss, reason = "revisions are far below 2^53")]
        let revision = snapshot.revision() as f64;
        self.inner.snapshot.store(Arc::new(snapshot));
        metrics::gauge!("portico_gateway_configuration_revision").set(revision);
    }

    /// Calls in progress.
    #[must_use]
    pub fn running(&self) -> usize {
        self.inner.calls.load(Ordering::Relaxed)
    }

    /// Connections over HTTP/1.1 to backends that are open, and how many of them are idle.
    #[must_use]
    pub fn backend_connections(&self) -> (usize, usize) {
        self.inner.upstreams.connections()
    }

    /// The configuration that is served.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.load_full()
    }

    /// Revision of the configuration that is served.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.inner.snapshot.load().revision()
    }

    /// Tries a call against a configuration that need not be published: a draft. No request leaves the process, `answer` stands for
    /// the backend's; limits and quotas count apart from those of live calls, beginning with nothing.
    ///
    /// # Errors
    /// When no service of the configuration has the request's host, or the trust anchors cannot be used.
    pub async fn rehearse(
        &self,
        draft: &Snapshot,
        request: http::Request<Bytes>,
        answer: http::Response<Bytes>,
    ) -> Result<Rehearsed, RehearsalError> {
        let options = Options {
            counters: Arc::default(),
            shared_rates: None,
            external_caches: None,
            spans: None,
            telemetry: Arc::new(NoTelemetry),
            ..self.inner.options.clone()
        };
        let apart =
            Self::make(options, true).map_err(|error| RehearsalError::Setup(error.to_string()))?;
        rehearsal::run(apart.inner, draft, request, answer).await
    }

    /// Answers the requests of one connection that was not accepted by a listener, as if they came from `peer`: how this process
    /// passes on calls for somebody else without a header that strangers could send too.
    /// `tls` says whether the call counts as encrypted.
    pub async fn converse<I>(&self, stream: I, peer: SocketAddr, tls: bool)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Live as long as the connection: dropped, they would end it.
        let graceful = GracefulShutdown::new();
        let (_end, ending) = watch::channel(());
        let client = Client::new(peer, tls, None);
        let ends = Ends {
            ending,
            watcher: graceful.watcher(),
        };
        connection(Arc::clone(&self.inner), stream, client, ends).await;
    }

    /// TLS for [`Gateway::serve`] with the certificates of the services' hosts, chosen by the name that the client asks for (SNI), also
    /// when they change later. `otherwise`, chain and key in PEM, is for all other names.
    ///
    /// # Errors
    /// When `otherwise` cannot be used.
    pub fn tls(&self, otherwise: Option<(&str, &str)>) -> Result<Tls, ServeError> {
        certificates::server(Arc::clone(&self.inner), otherwise).map_err(ServeError::Setup)
    }

    /// Accepts connections until `shutdown` is ready, then ends idle ones and waits for calls in progress, as long as
    /// [`Timeouts::shutdown`](crate::Timeouts::shutdown) says.
    ///
    /// # Errors
    /// When the listener has no address any more.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Tls>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        listener.local_addr()?;
        let graceful = GracefulShutdown::new();
        let (end, ending) = watch::channel(());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a client that is gone already. Waiting lets others finish.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY not set");
            }
            let inner = Arc::clone(&self.inner);
            let ends = Ends {
                ending: ending.clone(),
                watcher: graceful.watcher(),
            };
            match tls.clone() {
                None => {
                    let client = Client::new(peer, false, None);
                    accept(inner, stream, client, ends);
                }
                Some(tls) => {
                    accept_tls(inner, stream, tls, peer, ends);
                }
            }
        }
        drop(listener);
        end.send_replace(());
        let limit = self.inner.options.timeouts.shutdown;
        if tokio::time::timeout(limit, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("calls in progress were cut off by the shutdown");
        }
        Ok(())
    }
}

/// Serves a connection in a task of its own. Not generic, as [`Gateway::serve`] is: so the code of connections is compiled in this crate
/// and is one for all programs, and what a profile of one program says holds for the others.
fn accept(inner: Arc<Inner>, stream: TcpStream, client: Client, ends: Ends) {
    tokio::spawn(connection(inner, stream, client, ends));
}

/// The same over TLS.
fn accept_tls(inner: Arc<Inner>, stream: TcpStream, tls: Tls, peer: SocketAddr, ends: Ends) {
    tokio::spawn(async move {
        let limit = inner.options.timeouts.head;
        match tokio::time::timeout(limit, handshake(&tls, stream)).await {
            Ok(Ok(stream)) => {
                let caller = Caller::new(stream.get_ref().1.peer_certificates());
                let client = Client::new(peer, true, caller);
                connection(inner, stream, client, ends).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, %peer, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
        }
    });
}

async fn handshake(
    tls: &Tls,
    stream: TcpStream,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let local = stream.local_addr().ok().map(|address| address.ip());
    let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let config = tls.for_client(started.client_hello().server_name(), local);
    started.into_stream(config).await
}

/// Who is at the other end of a connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// Its address as the value of a header.
    pub(crate) peer_text: HeaderValue,
    pub(crate) tls: bool,
    /// The certificate that the client presented.
    pub(crate) caller: Option<Arc<Caller>>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr, tls: bool, caller: Option<Arc<Caller>>) -> Self {
        let text = peer.ip().to_canonical().to_string();
        Self {
            peer,
            // The text of an address has only characters that a header may have.
            peer_text: HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")),
            tls,
            caller,
        }
    }
}

/// The calls of one connection, counted so that one which does not bring any can be told.
#[derive(Debug, Default)]
pub(crate) struct Served {
    begun: AtomicU64,
    ended: AtomicU64,
    /// HTTP/2 has pings for that.
    is_multiplexed: AtomicBool,
}

impl Served {
    pub(crate) fn begin(&self, version: http::Version) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        if version == http::Version::HTTP_2 {
            self.is_multiplexed.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls so far when the connection waits for the head of another one.
    fn waiting(&self) -> Option<u64> {
        let ended = self.ended.load(Ordering::Relaxed);
        let is_waiting = self.begun.load(Ordering::Relaxed) == ended
            && !self.is_multiplexed.load(Ordering::Relaxed);
        is_waiting.then_some(ended)
    }
}

/// Resolves when a connection has waited for the head of a request as long as permitted, perhaps up to twice as long: it looks once
/// in that time, so that a call costs no timer.
async fn silence(served: Arc<Served>, limit: Duration) {
    let mut seen = 0;
    loop {
        tokio::time::sleep(limit).await;
        match served.waiting() {
            Some(calls) if calls == seen => return,
            Some(calls) => seen = calls,
            None => seen = u64::MAX,
        }
    }
}

/// How a connection learns that the gateway stops. The gateway waits until it is dropped.
struct Ends {
    ending: watch::Receiver<()>,
    watcher: Watcher,
}

async fn connection<I>(inner: Arc<Inner>, stream: I, client: Client, ends: Ends)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = client.peer;
    let served = Arc::new(Served::default());
    let limit = inner.options.timeouts.head;
    let interrupts = Interrupts::new();
    interrupts.push(Box::pin(silence(Arc::clone(&served), limit)));
    let mut ending = ends.ending.clone();
    interrupts.push(Box::pin(async move {
        // Somebody who says that it ends, or who is gone.
        let _ = ending.changed().await;
    }));
    match client_wire::serve(&inner, stream, &client, &served, interrupts, &ends.ending).await {
        Ok(None) => {}
        // In a box, because it is large, and most connections do without.
        Ok(Some(unusual)) => {
            Box::pin(by_hyper(inner, unusual, client, served, ends.watcher)).await;
        }
        Err(error) => tracing::debug!(%error, %peer, "connection ended"),
    }
}

/// Lets hyper answer the requests of a connection.
async fn by_hyper<I>(
    inner: Arc<Inner>,
    stream: I,
    client: Client,
    served: Arc<Served>,
    watcher: Watcher,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = inner.options.limits;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // `silence` is cheaper.
        .header_read_timeout(None)
        // One copy of a short body costs less than a vectored write.
        .writev(false)
        // hyper wants room for at least 8 KiB.
        .max_buf_size(limits.head_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(inner.options.timeouts.head);
    // Its own limit costs nothing, any other a list on the heap for each call; `check_head` refuses what is more than permitted.
    if limits.headers > HYPER_HEADERS {
        builder.http1().max_headers(limits.headers);
    }
    let silence = silence(Arc::clone(&served), inner.options.timeouts.head);
    let peer = client.peer;
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (inner, client, served) = (Arc::clone(&inner), client.clone(), Arc::clone(&served));
        let (parts, incoming) = request.into_parts();
        let request = http::Request::from_parts(parts, ());
        let body = if http_body::Body::is_end_stream(&incoming) {
            Payload::Empty
        } else {
            Payload::Stream(incoming.into())
        };
        async move {
            let response = pipeline::handle(inner, request, body, client, served).await;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    tokio::select! {
        biased;
        ended = watcher.watch(connection) => {
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "connection ended");
            }
        }
        () = silence => tracing::debug!(%peer, "no request came in time"),
    }
}
