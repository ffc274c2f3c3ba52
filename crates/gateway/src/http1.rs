//! The text of HTTP/1.1 as it goes to backends and comes from them, RFC 9112; no input or output happens here.
//!
//! Names and values of headers are split by `httparse`. What is decided here is where a response ends. A backend is trusted with its
//! own responses and with nothing else: a response that another reader could frame in another way is refused, because its rest would
//! become the beginning of the next caller's.

use std::fmt::Write as _;
use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::ext::ReasonPhrase;

/// Headers of a response at most.
const HEADERS: usize = 100;
/// Bytes of a response's head at most.
pub(crate) const HEAD_BYTES: usize = 400 * 1024;
/// Bytes of all chunks' extensions, and of all trailers, at most: nobody is told of the former.
const ASIDE_BYTES: usize = 16 * 1024;

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the head of the response is not HTTP/1: {0}")]
    Head(httparse::Error),
    #[error("the head of the response is too long")]
    TooLong,
    #[error("the backend switches to a protocol that nobody asked for")]
    Switching,
    #[error("the response does not say unambiguously where it ends")]
    Framing,
    #[error("the response's body is not chunked as it says")]
    Chunk,
    #[error("the response's trailers are malformed")]
    Trailers,
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// Where the connection does.
    Close,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// If it is not the usual one.
    pub(crate) reason: Option<ReasonPhrase>,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// Whether the connection can be used again after it.
    pub(crate) is_kept: bool,
}

/// Writes the head of a request and says how its body is framed. `length` is that of the body, `None` when it is unknown.
pub(crate) fn write_head(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    length: Option<u64>,
    to: &mut BytesMut,
) -> Framing {
    let values: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    to.reserve(method.as_str().len() + path.len() + values + 64);
    for part in [method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        to.extend_from_slice(part.as_bytes());
    }
    let mut declared = None;
    for (name, value) in headers {
        // What the connection is about is said here and by nobody else.
        if *name == header::TRANSFER_ENCODING {
            continue;
        }
        if *name == header::CONTENT_LENGTH {
            if declared.is_some() {
                continue;
            }
            let Some(said) = number(value.as_bytes()) else {
                continue;
            };
            declared = Some(said);
        }
        to.extend_from_slice(name.as_str().as_bytes());
        to.extend_from_slice(b": ");
        to.extend_from_slice(value.as_bytes());
        to.extend_from_slice(b"\r\n");
    }
    let framing = match (declared, length) {
        (Some(length), _) => Framing::Length(length),
        (None, Some(0)) => Framing::Length(0),
        (None, Some(length)) => {
            // Writing to a buffer that grows does not fail.
            let _ = write!(to, "content-length: {length}\r\n");
            Framing::Length(length)
        }
        // Requests of these methods have no body that means anything, RFC 9110 section 9.3.
        (None, None) if [Method::GET, Method::HEAD, Method::CONNECT].contains(method) => {
            Framing::Length(0)
        }
        (None, None) => {
            to.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Framing::Chunked
        }
    };
    to.extend_from_slice(b"\r\n");
    framing
}

/// Writes the size of a chunk with its line's end.
pub(crate) fn write_size(size: usize, to: &mut BytesMut) {
    // Writing to a buffer that grows does not fail.
    let _ = write!(to, "{size:x}\r\n");
}

/// A number as `Content-Length` has it: digits and nothing else.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Where the head at the beginning of `buffer` ends, after the blank line; the bytes before `from` were looked at before.
fn head_end(buffer: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(length) = buffer[at..].iter().position(|byte| *byte == b'\n') {
        at += length + 1;
        match buffer[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Takes the head of a response to a request of `method` from the buffer, if all of it is there. Interim responses (1xx) are skipped:
/// who asked for none has no use for them, RFC 9110 section 15.2. `seen` is how much of the buffer was looked at before, so that a
/// head which comes byte by byte does not cost the square of its length.
pub(crate) fn take_head(
    method: &Method,
    buffer: &mut BytesMut,
    seen: &mut usize,
) -> Result<Option<Head>, Malformed> {
    loop {
        // The line that ended there may be followed by the blank one.
        let Some(length) = head_end(buffer, seen.saturating_sub(2)) else {
            *seen = buffer.len();
            return if buffer.len() > HEAD_BYTES {
                Err(Malformed::TooLong)
            } else {
                Ok(None)
            };
        };
        if length > HEAD_BYTES {
            return Err(Malformed::TooLong);
        }
        *seen = 0;
        let text = buffer.split_to(length).freeze();
        let head = read_head(method, &text)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed::Switching);
        }
        if !head.status.is_informational() {
            return Ok(Some(head));
        }
    }
}

fn read_head(method: &Method, text: &Bytes) -> Result<Head, Malformed> {
    let mut room = [const { MaybeUninit::uninit() }; HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let length = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, text, &mut room)
        .map_err(Malformed::Head)?;
    // `httparse` skips blank lines before the status, which belong to no response.
    if length != httparse::Status::Complete(text.len()) || !text.starts_with(b"HTTP/1.") {
        return Err(Malformed::Head(httparse::Error::Status));
    }
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| Malformed::Head(httparse::Error::Status))?;
    let reason = parsed
        .reason
        .filter(|reason| Some(*reason) != status.canonical_reason())
        .and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    let is_old = parsed.version == Some(0);
    let mut said = Said::default();
    // With room for what the gateway adds: a map that grows is built anew.
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + 6);
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| Malformed::Head(httparse::Error::HeaderName))?;
        said.note(&name, header.value);
        // Shares the buffer.
        let value = HeaderValue::from_maybe_shared(text.slice_ref(header.value))
            .map_err(|_| Malformed::Head(httparse::Error::HeaderValue))?;
        headers.append(name, value);
    }
    let is_bodiless = method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || method == Method::CONNECT && status.is_success();
    let framing = said.framing(is_old)?;
    Ok(Head {
        status,
        reason,
        headers,
        is_kept: said.is_kept(is_old) && method != Method::CONNECT,
        framing: if is_bodiless {
            Framing::Length(0)
        } else {
            framing
        },
    })
}

/// What the headers of a response say about its framing and its connection.
#[derive(Debug, Default)]
struct Said {
    lengths: usize,
    /// The last one, unless it is no number.
    length: Option<u64>,
    codings: usize,
    is_chunked: bool,
    closes: bool,
    keeps: bool,
}

impl Said {
    fn note(&mut self, name: &HeaderName, value: &[u8]) {
        if *name == header::CONTENT_LENGTH {
            self.lengths += 1;
            self.length = number(value);
        } else if *name == header::TRANSFER_ENCODING {
            self.codings += 1;
            self.is_chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if *name == header::CONNECTION {
            for option in value.split(|byte| *byte == b',') {
                self.closes |= option.trim_ascii().eq_ignore_ascii_case(b"close");
                self.keeps |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }

    /// RFC 9112 section 6.3, and of what it permits only that which every reader reads alike. Codings other than `chunked` would be
    /// passed on undecoded.
    fn framing(&self, is_old: bool) -> Result<Framing, Malformed> {
        match (self.codings, self.lengths) {
            (0, 0) => Ok(Framing::Close),
            (0, 1) => self.length.map(Framing::Length).ok_or(Malformed::Framing),
            (1, 0) if self.is_chunked && !is_old => Ok(Framing::Chunked),
            _ => Err(Malformed::Framing),
        }
    }

    fn is_kept(&self, is_old: bool) -> bool {
        !self.closes && (!is_old || self.keeps)
    }
}

/// What of a body is there.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// It is over.
    End,
    /// The buffer has nothing more of it.
    Wanting,
}

/// Finds the bytes of a response's body.
#[derive(Debug)]
pub(crate) struct Reader {
    framing: Framing,
    /// Of the chunk.
    left: u64,
    state: ChunkState,
    /// Digits of the chunk's size so far.
    digits: u32,
    aside: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size,
    /// What follows the size on its line.
    Extension,
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    Trailers,
    Over,
}

impl Reader {
    pub(crate) fn new(framing: Framing) -> Self {
        Self {
            framing,
            left: 0,
            state: ChunkState::Size,
            digits: 0,
            aside: 0,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match self.framing {
            Framing::Length(left) => left == 0,
            Framing::Chunked => self.state == ChunkState::Over,
            Framing::Close => false,
        }
    }

    /// Bytes that are still to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(left) => Some(left),
            Framing::Chunked | Framing::Close => self.is_over().then_some(0),
        }
    }

    /// Whether the connection may end now.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.framing == Framing::Close
    }

    /// Takes the next piece from the buffer.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        match &mut self.framing {
            Framing::Length(0) => Ok(Piece::End),
            Framing::Length(left) => Ok(take_up_to(left, buffer)),
            Framing::Close => Ok(take_up_to(&mut { u64::MAX }, buffer)),
            Framing::Chunked => self.take_chunked(buffer),
        }
    }

    fn take_chunked(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            match self.state {
                ChunkState::Over => return Ok(Piece::End),
                ChunkState::Data => {
                    let piece = take_up_to(&mut self.left, buffer);
                    if self.left == 0 {
                        self.state = ChunkState::DataReturn;
                    }
                    return Ok(piece);
                }
                ChunkState::Trailers => return self.take_trailers(buffer),
                ChunkState::Size
                | ChunkState::Extension
                | ChunkState::SizeEnd
                | ChunkState::DataReturn
                | ChunkState::DataEnd => {}
            }
            if buffer.is_empty() {
                return Ok(Piece::Wanting);
            }
            let byte = buffer.get_u8();
            self.state = self.after(byte).ok_or(Malformed::Chunk)?;
        }
    }

    /// The state after a byte around the data of chunks, RFC 9112 section 7.1; `None` when it must not be there. A line ends with
    /// both of its characters: who takes one for the other ends chunks elsewhere.
    fn after(&mut self, byte: u8) -> Option<ChunkState> {
        match (self.state, byte) {
            (ChunkState::Size, _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16)?;
                // Sixteen digits fill the number.
                self.digits = (self.digits < 16).then_some(self.digits + 1)?;
                self.left = self.left << 4 | u64::from(digit);
                Some(ChunkState::Size)
            }
            (ChunkState::Size, b'\r') if self.digits > 0 => Some(ChunkState::SizeEnd),
            (ChunkState::Size, b';' | b' ' | b'\t') if self.digits > 0 => {
                Some(ChunkState::Extension)
            }
            (ChunkState::Extension, b'\r') => Some(ChunkState::SizeEnd),
            (ChunkState::Extension, b'\n') => None,
            (ChunkState::Extension, _) => {
                self.aside += 1;
                (self.aside <= ASIDE_BYTES).then_some(ChunkState::Extension)
            }
            (ChunkState::SizeEnd, b'\n') => {
                self.digits = 0;
                Some(match self.left {
                    0 => ChunkState::Trailers,
                    _ => ChunkState::Data,
                })
            }
            (ChunkState::DataReturn, b'\r') => Some(ChunkState::DataEnd),
            (ChunkState::DataEnd, b'\n') => Some(ChunkState::Size),
            _ => None,
        }
    }

    fn take_trailers(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        let mut room = [httparse::EMPTY_HEADER; HEADERS];
        let parsed = httparse::parse_headers(buffer, &mut room).map_err(|_| Malformed::Trailers)?;
        let httparse::Status::Complete((length, parsed)) = parsed else {
            return if buffer.len() > ASIDE_BYTES {
                Err(Malformed::Trailers)
            } else {
                Ok(Piece::Wanting)
            };
        };
        let mut trailers = HeaderMap::with_capacity(parsed.len());
        for trailer in parsed {
            let name = HeaderName::from_bytes(trailer.name.as_bytes());
            let value = HeaderValue::from_bytes(trailer.value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Malformed::Trailers);
            };
            // What frames a message cannot come after it, RFC 9110 section 6.5.1.
            if ![header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
                trailers.append(name, value);
            }
        }
        buffer.advance(length);
        self.state = ChunkState::Over;
        if trailers.is_empty() {
            Ok(Piece::End)
        } else {
            Ok(Piece::Trailers(trailers))
        }
    }
}

fn take_up_to(left: &mut u64, buffer: &mut BytesMut) -> Piece {
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(buffer.len());
    if length == 0 {
        return Piece::Wanting;
    }
    *left -= length as u64;
    Piece::Data(buffer.split_to(length).freeze())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use bytes::{Bytes, BytesMut};
    use http::{HeaderMap, HeaderValue, Method, header};

    use super::{
        ASIDE_BYTES, Framing, HEAD_BYTES, Head, Malformed, Piece, Reader, take_head, write_head,
    };

    fn head(method: &Method, text: &str) -> Result<Head, Malformed> {
        let mut buffer = BytesMut::from(text);
        let head = take_head(method, &mut buffer, &mut 0)?.expect("the text is a whole head");
        assert!(buffer.is_empty(), "{buffer:?} is left");
        Ok(head)
    }

    /// What the head of a response says: where its body ends and whether the connection stays.
    fn said(text: &str) -> Result<(Framing, bool), Malformed> {
        let head = head(&Method::GET, &format!("{text}\r\n\r\n"))?;
        Ok((head.framing, head.is_kept))
    }

    #[test]
    fn a_body_ends_where_its_one_declaration_says() {
        let cases = [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 12",
                Framing::Length(12),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length:0",
                Framing::Length(0),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
                Framing::Chunked,
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED",
                Framing::Chunked,
                true,
            ),
            ("HTTP/1.1 200 OK\r\nServer: x", Framing::Close, true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close",
                Framing::Length(1),
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, Close",
                Framing::Length(1),
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1",
                Framing::Length(1),
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive",
                Framing::Length(1),
                true,
            ),
            ("HTTP/1.1 204 No Content", Framing::Length(0), true),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 9",
                Framing::Length(0),
                true,
            ),
        ];
        for (text, framing, is_kept) in cases {
            assert_eq!(said(text), Ok((framing, is_kept)), "{text}");
        }
    }

    #[test]
    fn a_response_that_another_reader_could_frame_in_another_way_is_refused() {
        let cases = [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: -1",
            "Content-Length: 0x1",
            "Content-Length:",
            "Content-Length: 18446744073709551616",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ];
        for text in cases {
            let text = format!("HTTP/1.1 200 OK\r\n{text}");
            assert_eq!(said(&text), Err(Malformed::Framing), "{text}");
        }
        assert_eq!(
            said("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"),
            Err(Malformed::Framing)
        );
        // Everything after it would be the other protocol's.
        assert_eq!(
            said("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x"),
            Err(Malformed::Switching)
        );
    }

    #[test]
    fn a_head_that_is_not_http_is_refused() {
        let cases = [
            "HTTP/2.0 200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1 2000 OK",
            "ICY 200 OK",
            // A folded line, a space before the colon, and no name.
            "HTTP/1.1 200 OK\r\nA: b\r\n c",
            "HTTP/1.1 200 OK\r\nContent-Length : 1",
            "HTTP/1.1 200 OK\r\n: 1",
            "HTTP/1.1 200 OK\r\nA",
            "HTTP/1.1 200 OK\r\nA: \0",
            "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 1",
            // A blank line first.
            "\r\nHTTP/1.1 200 OK",
        ];
        for text in cases {
            let mut buffer = BytesMut::from(format!("{text}\r\n\r\n").as_str());
            let taken = take_head(&Method::GET, &mut buffer, &mut 0);
            assert!(
                matches!(taken, Err(Malformed::Head(_))),
                "{text:?}: {taken:?}"
            );
        }
    }

    #[test]
    fn a_head_without_end_is_refused_when_it_is_too_long() {
        let mut buffer = BytesMut::from("HTTP/1.1 200 OK\r\nA: ");
        let mut seen = 0;
        buffer.resize(HEAD_BYTES, b'a');
        assert!(matches!(
            take_head(&Method::GET, &mut buffer, &mut seen),
            Ok(None)
        ));
        buffer.resize(HEAD_BYTES + 1, b'a');
        let taken = take_head(&Method::GET, &mut buffer, &mut seen);
        assert_eq!(taken.err(), Some(Malformed::TooLong));
    }

    #[test]
    fn a_head_has_a_hundred_headers_at_most() {
        let text = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(head(&Method::GET, &text(100)).unwrap().headers.len(), 100);
        assert_eq!(
            head(&Method::GET, &text(101)).err(),
            Some(Malformed::Head(httparse::Error::TooManyHeaders))
        );
    }

    #[test]
    fn a_head_may_come_in_any_pieces() {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 202 Fine\r\nSet-Cookie: a=1\r\nX: y\r\nset-cookie: b=2\r\nContent-Length: 3\r\n\r\nabc";
        for size in 1..text.len() {
            let mut buffer = BytesMut::new();
            let mut seen = 0;
            let mut found = None;
            for piece in text.as_bytes().chunks(size) {
                buffer.extend_from_slice(piece);
                if found.is_none() {
                    found = take_head(&Method::GET, &mut buffer, &mut seen).unwrap();
                }
            }
            let head = found.unwrap();
            let cookies = head.headers.get_all("set-cookie").iter();
            let cookies: Vec<_> = cookies.map(HeaderValue::as_bytes).collect();
            assert_eq!(
                (head.status.as_u16(), &buffer[..], head.framing, cookies),
                (
                    202,
                    &b"abc"[..],
                    Framing::Length(3),
                    vec![&b"a=1"[..], b"b=2"]
                ),
                "{size}"
            );
            assert_eq!(head.reason.unwrap().as_bytes(), b"Fine");
            assert_eq!(head.headers.len(), 4);
        }
    }

    #[test]
    fn a_response_to_head_has_no_body_whatever_it_says() {
        for said in ["Content-Length: 5", "Transfer-Encoding: chunked", "A: b"] {
            let text = format!("HTTP/1.1 200 OK\r\n{said}\r\n\r\n");
            let head = head(&Method::HEAD, &text).unwrap();
            assert_eq!((head.framing, head.is_kept), (Framing::Length(0), true));
        }
    }

    /// Everything that a chunked body has, and what is left of the text; in pieces of `size`.
    fn chunks(text: &[u8], size: usize) -> Result<(Bytes, HeaderMap, Bytes), Malformed> {
        let mut reader = Reader::new(Framing::Chunked);
        let (mut buffer, mut body, mut trailers) =
            (BytesMut::new(), BytesMut::new(), HeaderMap::new());
        let mut pieces = text.chunks(size);
        loop {
            match reader.take(&mut buffer)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::Trailers(found) => trailers = found,
                Piece::End => break,
                Piece::Wanting => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => panic!("the body has no end"),
                },
            }
        }
        assert_eq!((reader.is_over(), reader.left()), (true, Some(0)));
        pieces.for_each(|piece| buffer.extend_from_slice(piece));
        Ok((body.freeze(), trailers, buffer.freeze()))
    }

    #[test]
    fn chunks_are_put_together_whatever_pieces_they_come_in() {
        let text = b"3\r\nabc\r\n00A;name=\"v\" \r\n0123456789\r\n1 \r\n!\r\n0\r\nX-Sum: 9\r\nContent-Length: 1\r\n\r\nHTTP/1.1";
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("9"));
        for size in 1..text.len() {
            let expected = (
                Bytes::from_static(b"abc0123456789!"),
                trailers.clone(),
                Bytes::from_static(b"HTTP/1.1"),
            );
            assert_eq!(chunks(text, size), Ok(expected), "{size}");
        }
    }

    #[test]
    fn chunks_that_another_reader_could_end_elsewhere_are_refused() {
        let cases: [&[u8]; 15] = [
            b"\r\n0\r\n\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b" 1\r\na\r\n0\r\n\r\n",
            b";a=b\r\n",
            b"1\na\r\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"1\r\na\n0\r\n\r\n",
            b"1\r\na0\r\n\r\n",
            b"1;a\nb\r\na\r\n0\r\n\r\n",
            b"1\rx",
            // Seventeen digits, also where they are zeros.
            b"10000000000000001\r\n",
            b"00000000000000001\r\n",
        ];
        for text in cases {
            assert_eq!(
                chunks(text, 64),
                Err(Malformed::Chunk),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
        let trailers: [&[u8]; 2] = [b"0\r\nA: b\r\n c\r\n\r\n", b"0\r\nA b\r\n\r\n"];
        for text in trailers {
            assert_eq!(chunks(text, 64), Err(Malformed::Trailers));
        }
    }

    #[test]
    fn what_is_beside_the_body_is_bounded() {
        let mut extensions = b"1;".to_vec();
        extensions.resize(ASIDE_BYTES + 3, b'a');
        assert_eq!(chunks(&extensions, 999), Err(Malformed::Chunk));
        let mut trailers = b"0\r\nA: ".to_vec();
        trailers.resize(ASIDE_BYTES + 4, b'a');
        assert_eq!(chunks(&trailers, 999), Err(Malformed::Trailers));
    }

    /// A request's head as text, and how its body is framed.
    fn written(
        method: Method,
        headers: &[(&'static str, &'static str)],
        length: Option<u64>,
    ) -> (String, Framing) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let mut text = BytesMut::new();
        let framing = write_head(&method, "/a?b=c", &map, length, &mut text);
        (String::from_utf8(text.to_vec()).unwrap(), framing)
    }

    #[test]
    fn a_request_says_where_its_body_ends() {
        let cases = [
            (Method::GET, Some(0), "", Framing::Length(0)),
            (Method::POST, Some(0), "", Framing::Length(0)),
            (
                Method::POST,
                Some(7),
                "content-length: 7\r\n",
                Framing::Length(7),
            ),
            (
                Method::POST,
                None,
                "transfer-encoding: chunked\r\n",
                Framing::Chunked,
            ),
            // A body that nobody announced with a method that has none.
            (Method::GET, None, "", Framing::Length(0)),
        ];
        for (method, length, line, framing) in cases {
            let text = format!("{method} /a?b=c HTTP/1.1\r\nx: y\r\n{line}\r\n");
            assert_eq!(written(method, &[("x", "y")], length), (text, framing));
        }
    }

    #[test]
    fn a_request_declares_its_length_once_and_no_coding_but_its_own() {
        let headers = [
            ("content-length", "5"),
            ("content-length", "6"),
            ("transfer-encoding", "gzip"),
        ];
        assert_eq!(
            written(Method::PUT, &headers, None),
            (
                "PUT /a?b=c HTTP/1.1\r\ncontent-length: 5\r\n\r\n".to_owned(),
                Framing::Length(5)
            )
        );
        assert_eq!(
            written(
                Method::PUT,
                &[(header::CONTENT_LENGTH.as_str(), "x")],
                Some(3)
            )
            .1,
            Framing::Length(3)
        );
    }
}
