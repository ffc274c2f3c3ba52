//! HTTP/1.1 connections to backends, each driven by the call that uses it.
//!
//! A connection is no task of its own, which every call would wake and be woken by, several times: the call polls it, from the first
//! byte of its request until the last one of the response, and between calls it lies still in the pool. What is said on it is in
//! [`wire`](crate::wire).
//!
//! Nothing watches an idle connection. Whether the backend has closed it shows when it is taken out again, by polling it once, and
//! every few seconds when the pool is swept.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use ahash::RandomState;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tokio::time::{Instant, Sleep};
use tower_service::Service;

use crate::body::{Body, BoxError};
use crate::diagnosis::Capture;
use crate::target::Target;
use crate::wire::{Wire, WireError};

/// Idle connections that are kept to one origin.
pub(crate) const IDLE_PER_ORIGIN: usize = 256;
/// How often connections are looked for that backends have closed.
const SWEEP: Duration = Duration::from_secs(5);

/// How connections are made.
#[derive(Clone)]
pub(crate) enum Connector {
    Direct(HttpsConnector<HttpConnector>),
    Proxied(HttpsConnector<Tunnel<HttpConnector>>),
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    /// No connection.
    #[error("no connection")]
    Connect(#[source] BoxError),
    /// The call failed before the head of the response was there.
    #[error("no response")]
    Wire(#[from] WireError),
    /// The address names no host.
    #[error("'{0}' names no host")]
    NoHost(String),
    /// The head of the response took longer than permitted.
    #[error("no response in time")]
    Late,
}

/// Connections that are reached in one way.
#[derive(Clone)]
pub(crate) struct Pool {
    connector: Connector,
    idle: Arc<Idle>,
}

#[derive(Default)]
struct Idle {
    /// Of `http` and of `https`.
    origins: [Mutex<Origins>; 2],
    limit: Duration,
    sweeping: AtomicBool,
    /// Connections that are open, idle or not.
    open: Arc<AtomicUsize>,
}

/// Idle connections by authority, the last used one last.
type Origins = HashMap<Box<str>, Vec<Resting>, RandomState>;

struct Resting {
    /// In a box, because it moves at every call.
    connection: Box<Connection>,
    since: Instant,
}

struct Connection {
    wire: Wire,
    /// `Host` of its requests.
    host: HeaderValue,
    /// Ends the wait for a response. Each call moves it: that is an atomic write, where a timer of the call's own would be inserted
    /// into the runtime's wheel and removed from it.
    alarm: Option<Pin<Box<Sleep>>>,
    is_https: bool,
    authority: Box<str>,
    /// Where it rests.
    idle: Weak<Idle>,
    _open: Open,
}

/// Counts a connection while it is there.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Sets when the wait ends.
    fn wake_at(&mut self, at: Instant) {
        match &mut self.alarm {
            Some(alarm) => alarm.as_mut().reset(at),
            None => self.alarm = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Whether the wait has ended.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm
            .as_mut()
            .is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready())
    }
}

impl Pool {
    pub(crate) fn new(connector: Connector, idle: Duration) -> Self {
        Self {
            connector,
            idle: Arc::new(Idle {
                limit: idle,
                ..Idle::default()
            }),
        }
    }

    /// Sends a request to `target`, and waits so long for the head of the response. Dropping the future, or the response's body, ends
    /// the call at the backend too.
    pub(crate) async fn send(
        &self,
        target: &Target,
        mut request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Stream>, PoolError> {
        let began = Instant::now();
        // A limit beyond what a clock can count to is none that anybody would live to see.
        let late_at = began
            .checked_add(limit)
            .unwrap_or_else(|| began + Duration::from_secs(86_400 * 365));
        let is_host_known = request.headers().contains_key(header::HOST);
        *request.uri_mut() = Uri::from(target.path.clone());
        let mut connection = loop {
            match self.idle.take(target, began) {
                Some(mut rested) => {
                    // The request is not lost to a connection that the backend has closed meanwhile.
                    if poll_fn(|cx| Poll::Ready(rested.wire.is_quiet(cx))).await {
                        break rested;
                    }
                }
                None => {
                    // In a box, because it is large and seldom needed.
                    let made = Box::pin(tokio::time::timeout_at(late_at, self.connect(target)));
                    break Box::new(made.await.map_err(|_| PoolError::Late)??);
                }
            }
        };
        if !is_host_known {
            request
                .headers_mut()
                .insert(header::HOST, connection.host.clone());
        }
        connection.wake_at(late_at);
        connection.wire.begin(request);
        let answered = poll_fn(|cx| match connection.wire.poll_head(cx) {
            Poll::Pending if connection.is_late(cx) => Poll::Ready(Err(PoolError::Late)),
            polled => polled.map_err(PoolError::from),
        });
        let response = answered.await?;
        Ok(response.map(|()| Stream {
            source: Source::Leased(connection),
            is_over: false,
            capture: None,
        }))
    }

    /// Connections that are open, and how many of them are idle.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let idle = [false, true].map(|is_https| {
            self.idle
                .origins(is_https)
                .values()
                .map(Vec::len)
                .sum::<usize>()
        });
        let idle = idle[0] + idle[1];
        (self.idle.open.load(Ordering::Relaxed).max(idle), idle)
    }

    async fn connect(&self, target: &Target) -> Result<Connection, PoolError> {
        let no_host = || PoolError::NoHost(target.to_string());
        let uri = target.uri().map_err(|_| no_host())?;
        // A part of a URI has only characters that a header may have.
        let host = HeaderValue::try_from(target.host()).map_err(|_| no_host())?;
        let io = match &self.connector {
            Connector::Direct(connector) => {
                let mut connector = connector.clone();
                poll_fn(|cx| connector.poll_ready(cx))
                    .await
                    .map_err(PoolError::Connect)?;
                connector.call(uri).await
            }
            Connector::Proxied(connector) => {
                let mut connector = connector.clone();
                poll_fn(|cx| connector.poll_ready(cx))
                    .await
                    .map_err(PoolError::Connect)?;
                connector.call(uri).await
            }
        };
        Ok(Connection {
            wire: Wire::new(io.map_err(PoolError::Connect)?),
            host,
            alarm: None,
            is_https: target.is_https,
            authority: target.authority.as_str().into(),
            idle: Arc::downgrade(&self.idle),
            _open: Open::count(&self.idle.open),
        })
    }
}

impl Idle {
    fn origins(&self, is_https: bool) -> MutexGuard<'_, Origins> {
        self.origins[usize::from(is_https)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, if it still lives.
    fn take(&self, target: &Target, now: Instant) -> Option<Box<Connection>> {
        loop {
            let rested = self
                .origins(target.is_https)
                .get_mut(target.authority.as_str())?
                .pop()?;
            if now.duration_since(rested.since) < self.limit {
                return Some(rested.connection);
            }
        }
    }

    fn put(self: &Arc<Self>, connection: Box<Connection>) {
        let since = Instant::now();
        let mut origins = self.origins(connection.is_https);
        match origins.get_mut(&*connection.authority) {
            Some(known) if known.len() >= IDLE_PER_ORIGIN => return,
            Some(known) => known.push(Resting { connection, since }),
            None => {
                let authority = connection.authority.clone();
                origins.insert(authority, vec![Resting { connection, since }]);
            }
        }
        drop(origins);
        if !self.sweeping.load(Ordering::Relaxed)
            && !self.sweeping.swap(true, Ordering::AcqRel)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Drops what is closed or rested too long; says whether anything is left.
    fn clean(&self) -> bool {
        let mut is_any_left = false;
        for is_https in [false, true] {
            self.origins(is_https).retain(|_, resting| {
                resting.retain_mut(|rested| {
                    rested.since.elapsed() < self.limit && rested.connection.wire.is_quiet_now()
                });
                is_any_left |= !resting.is_empty();
                !resting.is_empty()
            });
        }
        is_any_left
    }
}

/// Cleans a pool as long as it has something to clean.
async fn sweep(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(idle) = idle.upgrade() else { return };
        if !idle.clean() {
            idle.sweeping.store(false, Ordering::Release);
            return;
        }
    }
}

/// A body that comes over a connection. Where the connection belongs to the call, polling the body drives it, and after the last
/// byte it goes back to its pool.
pub(crate) struct Stream {
    source: Source,
    is_over: bool,
    capture: Option<Capture>,
}

enum Source {
    /// Somebody else drives the connection.
    Incoming(Incoming),
    Leased(Box<Connection>),
    /// The connection has gone back.
    Returned,
}

impl Stream {
    /// Lets somebody see the beginning while it passes.
    pub(crate) fn capture(&mut self, capture: Capture) {
        self.capture = Some(capture);
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl From<Incoming> for Stream {
    /// A body of a connection that somebody else drives.
    fn from(incoming: Incoming) -> Self {
        Self {
            source: Source::Incoming(incoming),
            is_over: false,
            capture: None,
        }
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let polled = match &mut this.source {
            Source::Incoming(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(BoxError::from))),
            Source::Leased(connection) => connection
                .wire
                .poll_body(cx)
                .map(|frame| frame.map(|frame| frame.map_err(BoxError::from))),
            Source::Returned => Poll::Ready(None),
        };
        this.is_over |= matches!(polled, Poll::Ready(None));
        if let (Some(capture), Poll::Ready(Some(Ok(frame)))) = (&this.capture, &polled)
            && let Some(data) = frame.data_ref()
        {
            capture.take(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
            || match &self.source {
                Source::Incoming(incoming) => incoming.is_end_stream(),
                Source::Leased(connection) => connection.wire.is_over(),
                Source::Returned => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Incoming(incoming) => incoming.size_hint(),
            Source::Leased(connection) => connection
                .wire
                .left()
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Returned => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The rest of a response that was not read to its end would have to be read before the connection is of use again: closing
        // it is cheaper.
        if let Source::Leased(mut connection) =
            std::mem::replace(&mut self.source, Source::Returned)
            && connection.wire.is_reusable()
            && let Some(idle) = connection.idle.upgrade()
        {
            connection.wire.rest();
            idle.put(connection);
        }
    }
}
