//! Bodies on their way through.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::pool::Stream;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is longer than permitted.
#[derive(Debug, thiserror::Error)]
#[error("the body is longer than {0} bytes")]
pub(crate) struct TooLong(pub(crate) u64);

enum Source {
    Empty,
    Full(Option<Bytes>),
    Stream(Stream),
}

/// What is to happen when the last byte is gone or nobody wants it any more.
pub(crate) type Finish = Box<dyn FnOnce() + Send>;

/// A body to a client or a backend: counts its bytes, and ends at a limit.
pub(crate) struct Body {
    source: Source,
    counted: Option<Arc<AtomicU64>>,
    limit: Option<u64>,
    seen: u64,
    finish: Option<Finish>,
}

impl Body {
    fn new(source: Source) -> Self {
        Self {
            source,
            counted: None,
            limit: None,
            seen: 0,
            finish: None,
        }
    }

    pub(crate) fn empty() -> Self {
        Self::new(Source::Empty)
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self::new(Source::Full(Some(bytes)))
        }
    }

    pub(crate) fn stream(stream: Stream) -> Self {
        Self::new(Source::Stream(stream))
    }

    /// How long it is, if that is known before its end.
    pub(crate) fn known_length(&self) -> Option<u64> {
        if self.is_end_stream() {
            Some(0)
        } else {
            self.size_hint().exact()
        }
    }

    pub(crate) fn counted(mut self, counter: Arc<AtomicU64>) -> Self {
        self.counted = Some(counter);
        self
    }

    pub(crate) fn limited(mut self, bytes: Option<u64>) -> Self {
        self.limit = bytes;
        self
    }

    pub(crate) fn finally(mut self, finish: Finish) -> Self {
        self.finish = Some(finish);
        self
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(finish) = self.finish.take() {
            finish();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Empty => None,
            Source::Full(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Source::Stream(stream) => match Pin::new(stream).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            },
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let length = data.len() as u64;
            this.seen += length;
            if let Some(counter) = &this.counted {
                counter.fetch_add(length, Ordering::Relaxed);
            }
            if let Some(limit) = this.limit.filter(|limit| this.seen > *limit) {
                return Poll::Ready(Some(Err(Box::new(TooLong(limit)))));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Full(None) => true,
            Source::Full(Some(_)) => false,
            Source::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty | Source::Full(None) => SizeHint::with_exact(0),
            Source::Full(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Source::Stream(stream) => stream.size_hint(),
        }
    }
}

/// The body of a message while policies work on it.
#[derive(Debug, Default)]
pub(crate) enum Payload {
    /// There is none, or an expression consumed it.
    #[default]
    Empty,
    /// Read whole.
    Bytes(Bytes),
    /// Still on its way.
    Stream(Stream),
}

impl From<Bytes> for Payload {
    /// A body that is there whole; without a byte it is none.
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Bytes(bytes)
        }
    }
}

impl Payload {
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    pub(crate) fn take(&mut self) -> Body {
        match std::mem::take(self) {
            Self::Empty => Body::empty(),
            Self::Bytes(bytes) => Body::full(bytes),
            Self::Stream(stream) => Body::stream(stream),
        }
    }
}

/// Reads a body whole.
pub(crate) async fn read_whole(stream: Stream, limit: usize) -> Result<Bytes, BoxError> {
    use http_body_util::BodyExt;
    http_body_util::Limited::new(stream, limit)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
}
