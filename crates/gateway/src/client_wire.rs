//! One connection of a client, a call at a time, as long as what it sends is usual (see [`head`](crate::head)). Connections that bring
//! anything else are handed to hyper with what was read of them, for the rest of their lives.
//!
//! The task of the connection drives the call, and the call its connection to the backend: one wake-up for each thing that happens.
//! What is read and written passes through memory that all connections of a thread share, so that it stays in the processor's caches.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::{Method, Request, Response};
use http_body::Body as HttpBody;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::body::{Body, BoxError, Payload};
use crate::head::{self, Reading};
use crate::http1::{Framing, write_size};
use crate::listen::{Client, Inner, Served};
use crate::pipeline;

/// Bytes that are read at once.
const READ: usize = 16 * 1024;
/// Reads in which a usual head is complete: what comes drop by drop is not parsed anew for each.
const READS: usize = 4;
/// Bytes of further requests that are read while a call is in progress.
const PIPELINED: usize = 16 * 1024;
/// Bytes of a response that are gathered before they are written; longer pieces of a body are written as they are.
const WRITE: usize = 16 * 1024;

thread_local! {
    /// Where bytes are read to before it is known how many they are.
    static READ_ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Where a response is put together.
    static WRITE_ROOM: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Why a connection ended before its client wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the body of the response failed: {0}")]
    Body(BoxError),
    #[error("the body of the response ended before its Content-Length")]
    Short,
}

/// What ends a connection that waits for a request. Each is looked at only when it has something to say.
pub(crate) type Interrupts = FuturesUnordered<BoxFuture<'static, ()>>;

/// What comes next on a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are requests, and a box for each costs more than moving it"
)]
enum Next {
    Request(Request<()>, Bytes),
    Unusual,
    Over,
}

struct ClientWire<I> {
    io: I,
    /// What was read and not answered yet.
    input: Bytes,
}

/// Answers the requests of a connection. Gives the connection back when hyper has to go on with it.
pub(crate) async fn serve<I>(
    inner: &Arc<Inner>,
    io: I,
    client: &Client,
    served: &Arc<Served>,
    mut interrupts: Interrupts,
    ending: &tokio::sync::watch::Receiver<()>,
) -> Result<Option<Prefixed<I>>, ClientError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut wire = ClientWire {
        io,
        input: Bytes::new(),
    };
    loop {
        let (request, body) = match wire.next(&mut interrupts).await? {
            Next::Request(request, body) => (request, body),
            Next::Over => break,
            Next::Unusual => {
                return Ok(Some(Prefixed {
                    prefix: wire.input,
                    io: wire.io,
                }));
            }
        };
        let method = request.method().clone();
        let answered = {
            let mut answering = pin!(pipeline::handle(
                Arc::clone(inner),
                request,
                Payload::from(body),
                client.clone(),
                Arc::clone(served),
            ));
            poll_fn(|cx| match answering.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if wire.is_gone(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        };
        // Nobody wants the answer any more: dropping the call has ended it at the backend too.
        let Some(response) = answered else {
            return Ok(None);
        };
        // An error is that of a sender who is gone.
        let is_last = ending.has_changed().unwrap_or(true);
        let date = head::date(inner.options.clock.now());
        wire.send(&method, response, &date, is_last).await?;
        if is_last {
            break;
        }
    }
    poll_fn(|cx| Pin::new(&mut wire.io).poll_shutdown(cx)).await?;
    Ok(None)
}

impl<I: AsyncRead + AsyncWrite + Unpin> ClientWire<I> {
    /// Waits for a request.
    async fn next(&mut self, interrupts: &mut Interrupts) -> io::Result<Next> {
        let mut reads = 0;
        loop {
            if !self.input.is_empty() {
                match head::read_request(&self.input) {
                    Reading::Request {
                        request,
                        body,
                        length,
                    } => {
                        self.input.advance(length);
                        return Ok(Next::Request(request, body));
                    }
                    Reading::Partial if reads < READS => {}
                    Reading::Partial | Reading::Unusual => return Ok(Next::Unusual),
                }
            }
            let filled = poll_fn(|cx| match self.poll_fill(cx) {
                Poll::Ready(filled) => Poll::Ready(filled),
                Poll::Pending => interrupts.poll_next_unpin(cx).map(|_| Ok(false)),
            });
            if !filled.await? {
                return Ok(Next::Over);
            }
            reads += 1;
        }
    }

    /// Reads what there is; `false` is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut room = READ_ROOM.take();
        room.resize(READ, 0);
        let mut into = ReadBuf::new(&mut room);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut into);
        let filled = into.filled();
        let is_any = !filled.is_empty();
        if self.input.is_empty() {
            self.input = Bytes::copy_from_slice(filled);
        } else if is_any {
            let mut both = BytesMut::with_capacity(self.input.len() + filled.len());
            both.extend_from_slice(&self.input);
            both.extend_from_slice(filled);
            self.input = both.freeze();
        }
        READ_ROOM.set(room);
        polled.map_ok(|()| is_any)
    }

    /// Whether the client has left while its call is in progress.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.input.len() < PIPELINED {
            match self.poll_fill(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(_)) => return true,
            }
        }
        false
    }

    /// Sends a response.
    async fn send(
        &mut self,
        method: &Method,
        response: Response<Body>,
        date: &http::HeaderValue,
        is_last: bool,
    ) -> Result<(), ClientError> {
        let mut out = WRITE_ROOM.take();
        out.clear();
        // Only a switch that the client asked for is one, and such requests are hyper's: no status of the kind can be meant.
        let response = if response.status().is_informational() {
            let mut refused = Response::new(Body::empty());
            *refused.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            refused
        } else {
            response
        };
        let length = response.body().known_length();
        let framing = head::write_response_head(method, &response, length, date, is_last, &mut out);
        let body = response.into_body();
        let mut sending = Sending {
            body: (framing != Framing::Length(0)).then_some(body),
            framing,
            out,
            written: 0,
            piece: Bytes::new(),
            is_flushed: false,
        };
        poll_fn(|cx| self.poll_send(cx, &mut sending)).await?;
        if sending.out.capacity() <= 2 * WRITE {
            WRITE_ROOM.set(sending.out);
        }
        Ok(())
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        sending: &mut Sending,
    ) -> Poll<Result<(), ClientError>> {
        loop {
            let is_waiting = sending.poll_gather(cx)?.is_pending();
            if sending.written < sending.out.len() {
                sending.is_flushed = false;
                let unwritten = &sending.out[sending.written..];
                sending.written += ready!(poll_write(&mut self.io, cx, unwritten))?;
                if sending.written == sending.out.len() {
                    sending.out.clear();
                    sending.written = 0;
                }
            } else if !sending.piece.is_empty() {
                sending.is_flushed = false;
                let written = ready!(poll_write(&mut self.io, cx, &sending.piece))?;
                sending.piece.advance(written);
                if sending.piece.is_empty() && sending.framing == Framing::Chunked {
                    sending.out.extend_from_slice(b"\r\n");
                }
            } else {
                if !sending.is_flushed {
                    ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                    sending.is_flushed = true;
                }
                if !is_waiting {
                    return Poll::Ready(Ok(()));
                }
                return if self.is_gone(cx) {
                    Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()))
                } else {
                    Poll::Pending
                };
            }
        }
    }
}

fn poll_write(
    io: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(io).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

/// A response on its way out.
struct Sending {
    /// Until its end was seen.
    body: Option<Body>,
    framing: Framing,
    out: BytesMut,
    /// How much of `out` is written.
    written: usize,
    /// A part of the body that goes behind `out` without being copied.
    piece: Bytes,
    is_flushed: bool,
}

impl Sending {
    /// Takes of the body what there is, up to what is written at once. Pending when it waits for more of the body with nothing else to
    /// do.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        while self.out.len() < WRITE
            && self.piece.is_empty()
            && let Some(body) = &mut self.body
        {
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers go only to who asked for them, by a header that is not passed on.
                    if let Ok(data) = frame.into_data() {
                        self.add(data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(ClientError::Body(error))),
                None => {
                    self.body = None;
                    match self.framing {
                        Framing::Length(0) => {}
                        Framing::Length(_) | Framing::Close => {
                            return Poll::Ready(Err(ClientError::Short));
                        }
                        Framing::Chunked => self.out.extend_from_slice(b"0\r\n\r\n"),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn add(&mut self, mut data: Bytes) {
        if let Framing::Length(left) = &mut self.framing {
            // What is beyond the declared length the client would take for the next response.
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= data.len() as u64;
            if *left == 0 {
                // The end need not be asked for, and what waits for it goes on now.
                self.body = None;
            }
        }
        if data.is_empty() {
            return;
        }
        let is_chunked = self.framing == Framing::Chunked;
        if is_chunked {
            write_size(data.len(), &mut self.out);
        }
        if data.len() >= WRITE {
            self.piece = data;
            return;
        }
        self.out.extend_from_slice(&data);
        if is_chunked {
            self.out.extend_from_slice(b"\r\n");
        }
    }
}

/// A connection of which the beginning was read already.
pub(crate) struct Prefixed<I> {
    prefix: Bytes,
    io: I,
}

impl<I: AsyncRead + Unpin> AsyncRead for Prefixed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let length = self.prefix.len().min(into.remaining());
        into.put_slice(&self.prefix.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Prefixed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
