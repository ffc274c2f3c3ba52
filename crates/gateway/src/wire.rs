//! One HTTP/1.1 connection to a backend, a call at a time. Nothing happens on it but while its call polls it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body::{Body as HttpBody, Frame};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::body::{Body, BoxError};
use crate::http1::{self, Framing, Malformed, Piece, Reader};

/// Bytes that are read at once at first, and at most. A backend that sends as fast as it can gets more.
const READ: std::ops::RangeInclusive<usize> = 8 * 1024..=256 * 1024;
/// Bytes of a request's body that are gathered before they are written.
const WRITE: usize = 16 * 1024;
/// A buffer that grew beyond this does not rest with its connection.
const RESTING: usize = 64 * 1024;

/// Why a call failed on its connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the backend closed the connection before its response was complete")]
    Ended,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The body of the request could not be had.
    #[error("the body of the request failed")]
    Request(#[source] BoxError),
    #[error("the body of the request ended before its Content-Length")]
    Short,
}

impl WireError {
    /// Whether the client is to blame.
    pub(crate) fn is_by_client(&self) -> bool {
        matches!(self, Self::Request(_) | Self::Short)
    }
}

enum Io {
    /// Apart, so that the usual case is read and written without a detour.
    Plain(TcpStream),
    Tls(Box<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>),
}

impl Io {
    fn poll_fill(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => poll_read_buf(Pin::new(stream), cx, input),
            Self::Tls(stream) => poll_read_buf(Pin::new(stream), cx, input),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, output: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, output),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, output),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}

/// The body of a request on its way out.
struct Sending {
    body: Body,
    framing: Framing,
}

pub(crate) struct Wire {
    io: Io,
    input: BytesMut,
    /// How much to read next.
    read_bytes: usize,
    /// How much of the input was searched for the end of the head.
    seen: usize,
    output: BytesMut,
    is_flushed: bool,
    sending: Option<Sending>,
    /// Whether the request could not be sent to its end.
    is_cut: bool,
    method: Method,
    reader: Reader,
    /// Whether another call may come after this one.
    is_kept: bool,
}

impl Wire {
    pub(crate) fn new(io: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self {
            io: match io {
                MaybeHttpsStream::Http(stream) => Io::Plain(stream.into_inner()),
                tls @ MaybeHttpsStream::Https(_) => Io::Tls(Box::new(TokioIo::new(tls))),
            },
            input: BytesMut::new(),
            read_bytes: *READ.start(),
            seen: 0,
            output: BytesMut::new(),
            is_flushed: true,
            sending: None,
            is_cut: false,
            method: Method::GET,
            reader: Reader::new(Framing::Length(0)),
            is_kept: true,
        }
    }

    /// Begins a call; [`Self::poll_head`] sends it.
    pub(crate) fn begin(&mut self, request: Request<Body>) {
        let (parts, body) = request.into_parts();
        let path = parts
            .uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let framing = http1::write_head(
            &parts.method,
            path,
            &parts.headers,
            body.known_length(),
            &mut self.output,
        );
        self.method = parts.method;
        self.sending = (framing != Framing::Length(0)).then_some(Sending { body, framing });
        self.seen = 0;
        self.is_cut = false;
        self.is_kept = false;
    }

    /// Sends the request as far as possible and waits for the head of the response.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, WireError>> {
        let unsent = self.poll_send(cx)?;
        let head = loop {
            if !self.input.is_empty()
                && let Some(head) = http1::take_head(&self.method, &mut self.input, &mut self.seen)?
            {
                break head;
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Err(unsent.unwrap_or(WireError::Ended))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(unsent.unwrap_or(error.into()))),
            }
        };
        self.reader = Reader::new(head.framing);
        self.is_kept = head.is_kept && head.framing != Framing::Close && !self.is_cut;
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        if let Some(reason) = head.reason {
            response.extensions_mut().insert(reason);
        }
        Poll::Ready(Ok(response))
    }

    /// Goes on sending the request. A backend may answer and close before it has read all of it: that it can be sent no more is no
    /// error as long as there is an answer, so that the failure of the connection comes as a value.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<Option<WireError>, WireError> {
        if self.sending.is_none() && self.output.is_empty() && self.is_flushed {
            return Ok(None);
        }
        match self.poll_write(cx) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(None),
            Poll::Ready(Err(error @ WireError::Io(_))) => {
                self.sending = None;
                self.output.clear();
                self.is_flushed = true;
                self.is_cut = true;
                self.is_kept = false;
                Ok(Some(error))
            }
            Poll::Ready(Err(error)) => {
                self.is_cut = true;
                self.is_kept = false;
                Err(error)
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        loop {
            while self.output.len() < WRITE
                && let Some(sending) = &mut self.sending
            {
                match Pin::new(&mut sending.body).poll_frame(cx) {
                    Poll::Pending => break,
                    Poll::Ready(None) => {
                        let ended = sending.end(&mut self.output);
                        self.sending = None;
                        ended?;
                    }
                    Poll::Ready(Some(Ok(frame))) => sending.add(frame, &mut self.output),
                    Poll::Ready(Some(Err(error))) => {
                        self.sending = None;
                        return Poll::Ready(Err(WireError::Request(error)));
                    }
                }
            }
            if self.output.is_empty() {
                if !self.is_flushed {
                    ready!(self.io.poll_flush(cx))?;
                    self.is_flushed = true;
                }
                return match self.sending {
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(Ok(())),
                };
            }
            self.is_flushed = false;
            match ready!(self.io.poll_write(cx, &self.output))? {
                0 => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                written => self.output.advance(written),
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.read_bytes);
        let read = ready!(self.io.poll_fill(cx, &mut self.input))?;
        if read >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(*READ.end());
        } else if read < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(*READ.start());
        }
        Poll::Ready(Ok(read))
    }

    /// The next part of the response's body; `None` at its end.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let unsent = match self.poll_send(cx) {
            Ok(unsent) => unsent,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        loop {
            match self.reader.take(&mut self.input) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::Wanting) => {}
                Err(error) => {
                    self.is_kept = false;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            let failed = match ready!(self.poll_fill(cx)) {
                Ok(0) if self.reader.ends_with_connection() => {
                    self.reader = Reader::new(Framing::Length(0));
                    return Poll::Ready(None);
                }
                Ok(0) => WireError::Ended,
                Ok(_) => continue,
                Err(error) => error.into(),
            };
            self.is_kept = false;
            return Poll::Ready(Some(Err(unsent.unwrap_or(failed))));
        }
    }

    /// Whether the response has been read to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.reader.is_over()
    }

    /// Bytes of the body that are still to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.reader.left()
    }

    /// Whether the call has left the connection fit for another one. What came beyond the response was not asked for.
    pub(crate) fn is_reusable(&self) -> bool {
        self.is_kept
            && self.reader.is_over()
            && self.sending.is_none()
            && self.output.is_empty()
            && self.is_flushed
            && self.input.is_empty()
    }

    /// Gives back what it will not need while it rests.
    pub(crate) fn rest(&mut self) {
        if self.output.capacity() > RESTING {
            self.output = BytesMut::new();
        }
        if self.read_bytes > RESTING {
            self.read_bytes = *READ.start();
            self.input = BytesMut::new();
        }
    }

    /// Whether a connection that rested is as it was: the backend has neither closed it nor sent what nobody asked for.
    pub(crate) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_kept && self.poll_fill(cx).is_pending()
    }

    /// The same for somebody who does not wait for anything on it.
    pub(crate) fn is_quiet_now(&mut self) -> bool {
        self.is_quiet(&mut Context::from_waker(Waker::noop()))
    }
}

impl Sending {
    /// Adds a part of the body. Backends get no trailers: only those of HTTP/2 are known to want any.
    fn add(&mut self, frame: Frame<Bytes>, output: &mut BytesMut) {
        let Ok(data) = frame.into_data() else { return };
        match &mut self.framing {
            // A body that is longer than it said ends where it said: the backend would take the rest for another request.
            Framing::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= length as u64;
                output.extend_from_slice(&data[..length]);
            }
            Framing::Chunked | Framing::Close if data.is_empty() => {}
            Framing::Chunked | Framing::Close => {
                http1::write_size(data.len(), output);
                output.extend_from_slice(&data);
                output.extend_from_slice(b"\r\n");
            }
        }
    }

    fn end(&self, output: &mut BytesMut) -> Result<(), WireError> {
        match self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(_) => Err(WireError::Short),
            Framing::Chunked | Framing::Close => {
                output.extend_from_slice(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}
