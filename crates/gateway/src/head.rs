//! The text of HTTP/1.1 between clients and the gateway: heads of usual requests, and the responses to them; no input or output happens
//! here.
//!
//! What most clients send most of the time is read here. Whatever is unusual in a way that decides where a message ends or what the
//! connection becomes is [`Reading::Unusual`], and left to hyper byte by byte: chunked bodies, upgrades, expectations, other versions,
//! and everything malformed, so that the rules on what is refused, and with which answer, are written once.

use std::cell::Cell;
use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use hyper::ext::ReasonPhrase;

use crate::http1::{Framing, number};

/// Headers of a usual request at most.
const HEADERS: usize = 100;

/// What the bytes of a connection begin with.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are requests, and a box for each costs more than moving it"
)]
pub(crate) enum Reading {
    /// A request that is there to its end.
    Request {
        request: Request<()>,
        body: Bytes,
        /// Bytes of head and body together.
        length: usize,
    },
    /// The beginning of a head.
    Partial,
    /// Something for hyper, which has to see it from its first byte.
    Unusual,
}

/// Reads a request. The request shares the text.
pub(crate) fn read_request(text: &Bytes) -> Reading {
    let mut room = [const { std::mem::MaybeUninit::uninit() }; HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let result = httparse::ParserConfig::default().parse_request_with_uninit_headers(
        &mut parsed,
        text,
        &mut room,
    );
    let head_bytes = match result {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Reading::Partial,
        Err(_) => return Reading::Unusual,
    };
    match usual(text, head_bytes, &parsed) {
        Some(reading) => reading,
        None => Reading::Unusual,
    }
}

fn usual(text: &Bytes, head_bytes: usize, parsed: &httparse::Request<'_, '_>) -> Option<Reading> {
    let (method, target) = (parsed.method?, parsed.path?);
    // `httparse` skips blank lines in front of a request. A target that is no path is a proxy's, or `*`.
    if parsed.version != Some(1) || !text.starts_with(method.as_bytes()) || !target.starts_with('/')
    {
        return None;
    }
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    if method == Method::CONNECT {
        return None;
    }
    let uri = Uri::from_maybe_shared(text.slice_ref(target.as_bytes())).ok()?;
    // With room for what the gateway adds: a map that grows is built anew.
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + 6);
    let mut body_bytes = None;
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        if name == header::CONTENT_LENGTH {
            if body_bytes.is_some() {
                return None;
            }
            body_bytes = Some(number(header.value)?);
        } else if name == header::TRANSFER_ENCODING
            || name == header::UPGRADE
            || name == header::EXPECT
            || name == header::CONNECTION && !header.value.eq_ignore_ascii_case(b"keep-alive")
        {
            return None;
        }
        let value = HeaderValue::from_maybe_shared(text.slice_ref(header.value)).ok()?;
        headers.append(name, value);
    }
    // A body that is still on its way is streamed, and hyper does that.
    let length = usize::try_from(body_bytes.unwrap_or(0))
        .ok()
        .and_then(|body| head_bytes.checked_add(body))
        .filter(|length| *length <= text.len())?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some(Reading::Request {
        request,
        body: text.slice(head_bytes..length),
        length,
    })
}

/// Writes the head of the response to a request of `method`, and says how the body behind it is framed: a length of zero when none must
/// follow. `length` is that of the body, if it is known. `date` is for responses without one, and `is_last` says that the connection
/// ends behind it.
pub(crate) fn write_response_head<B>(
    method: &Method,
    response: &Response<B>,
    length: Option<u64>,
    date: &HeaderValue,
    is_last: bool,
    to: &mut BytesMut,
) -> Framing {
    let status = response.status();
    to.extend_from_slice(b"HTTP/1.1 ");
    to.extend_from_slice(status.as_str().as_bytes());
    to.extend_from_slice(b" ");
    let reason = response.extensions().get::<ReasonPhrase>();
    to.extend_from_slice(match reason {
        Some(reason) => reason.as_bytes(),
        None => status.canonical_reason().unwrap_or("<none>").as_bytes(),
    });
    to.extend_from_slice(b"\r\n");
    // RFC 9110 section 8.6: such a response has no length, not even zero.
    let is_lengthless = status == StatusCode::NO_CONTENT;
    let is_bodiless = is_lengthless || status == StatusCode::NOT_MODIFIED || method == Method::HEAD;
    let mut declared = None;
    let mut is_dated = false;
    for (name, value) in response.headers() {
        // What the connection is about is said here and by nobody else.
        if *name == header::TRANSFER_ENCODING || *name == header::CONNECTION {
            continue;
        }
        if *name == header::CONTENT_LENGTH {
            let Some(said) = number(value.as_bytes()).filter(|_| declared.is_none()) else {
                continue;
            };
            declared = Some(said);
            if is_lengthless {
                continue;
            }
        }
        is_dated |= *name == header::DATE;
        line(name.as_str(), value.as_bytes(), to);
    }
    if !is_dated {
        line("date", date.as_bytes(), to);
    }
    if is_last {
        line("connection", b"close", to);
    }
    let framing = match (declared, length) {
        _ if is_bodiless => Framing::Length(0),
        (Some(length), _) => Framing::Length(length),
        (None, Some(length)) => {
            // Writing to a buffer that grows does not fail.
            let _ = write!(to, "content-length: {length}\r\n");
            Framing::Length(length)
        }
        (None, None) => {
            line("transfer-encoding", b"chunked", to);
            Framing::Chunked
        }
    };
    to.extend_from_slice(b"\r\n");
    framing
}

/// `Date` of a response, RFC 9110 section 6.6.1. It is written once in a second.
pub(crate) fn date(now: DateTime<Utc>) -> HeaderValue {
    thread_local! {
        static LAST: Cell<Option<(i64, HeaderValue)>> = const { Cell::new(None) };
    }
    let second = now.timestamp();
    let (_, value) = LAST
        .take()
        .filter(|(known, _)| *known == second)
        .unwrap_or_else(|| {
            let text = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            // Such a text has only characters that a header may have.
            let value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
            (second, value)
        });
    LAST.set(Some((second, value.clone())));
    value
}

fn line(name: &str, value: &[u8], to: &mut BytesMut) {
    to.extend_from_slice(name.as_bytes());
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use http::{HeaderValue, Method, Response, StatusCode, header};

    use super::{Reading, date, read_request, write_response_head};
    use crate::http1::Framing;

    fn reading(text: &str) -> Reading {
        read_request(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_request_ends_behind_the_body_that_it_declares() {
        let text = "POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-Two: 1\r\nx-two: 2\r\n\r\nabcGET";
        let Reading::Request {
            request,
            body,
            length,
        } = reading(text)
        else {
            panic!("it is a usual request");
        };
        assert_eq!(
            (request.method(), request.uri().to_string().as_str()),
            (&Method::POST, "/a/b?c=d")
        );
        let values: Vec<_> = request.headers().get_all("x-two").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!((&body[..], length), (&b"abc"[..], text.len() - 3));
    }

    #[test]
    fn a_request_without_a_length_has_no_body() {
        let text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\nGET";
        let Reading::Request { body, length, .. } = reading(text) else {
            panic!("it is a usual request");
        };
        assert_eq!((body.len(), length), (0, text.len() - 3));
    }

    #[test]
    fn what_decides_on_framing_or_connection_in_another_way_is_left_to_hyper() {
        for text in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
            "CONNECT /x HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: keep-alive, x-header\r\n\r\n",
            "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
            "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "PUT / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na",
            "PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            "PUT / HTTP/1.1\r\nContent-Length:\r\n\r\na",
            "PUT / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\na",
            "PUT / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\na",
            "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\na",
            "GET / HTTP/1.1\r\nContent-Length : 0\r\n\r\n",
            "GET / HTTP/1.1\r\nX: 1\r\n folded\r\n\r\n",
            "GET /\x01 HTTP/1.1\r\n\r\n",
            "G@T / HTTP/1.1\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(matches!(reading(text), Reading::Unusual), "{text:?}");
        }
    }

    #[test]
    fn a_head_is_partial_until_its_last_byte_is_there() {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
        for end in 1..text.len() {
            assert!(matches!(reading(&text[..end]), Reading::Partial), "{end}");
        }
        assert!(matches!(reading(text), Reading::Request { .. }));
    }

    fn written(
        method: &Method,
        response: &Response<()>,
        length: Option<u64>,
        is_last: bool,
    ) -> (String, Framing) {
        let mut text = BytesMut::new();
        let date = HeaderValue::from_static("now");
        let framing = write_response_head(method, response, length, &date, is_last, &mut text);
        (String::from_utf8_lossy(&text).into_owned(), framing)
    }

    fn response(
        status: StatusCode,
        headers: &[(header::HeaderName, &'static str)],
    ) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        for (name, value) in headers {
            response
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        response
    }

    #[test]
    fn a_response_says_where_its_body_ends() {
        let plain = response(StatusCode::OK, &[]);
        let declared = response(StatusCode::OK, &[(header::CONTENT_LENGTH, "7")]);
        let framed = response(
            StatusCode::OK,
            &[
                (header::TRANSFER_ENCODING, "gzip"),
                (header::CONNECTION, "x"),
                (header::CONTENT_LENGTH, "nonsense"),
                (header::CONTENT_LENGTH, "3"),
                (header::CONTENT_LENGTH, "4"),
                (header::DATE, "then"),
            ],
        );
        let cases = [
            (
                &plain,
                Some(5),
                "date: now\r\ncontent-length: 5\r\n",
                Framing::Length(5),
            ),
            (
                &plain,
                Some(0),
                "date: now\r\ncontent-length: 0\r\n",
                Framing::Length(0),
            ),
            (
                &plain,
                None,
                "date: now\r\ntransfer-encoding: chunked\r\n",
                Framing::Chunked,
            ),
            (
                &declared,
                None,
                "content-length: 7\r\ndate: now\r\n",
                Framing::Length(7),
            ),
            (
                &declared,
                Some(7),
                "content-length: 7\r\ndate: now\r\n",
                Framing::Length(7),
            ),
            (
                &framed,
                None,
                "content-length: 3\r\ndate: then\r\n",
                Framing::Length(3),
            ),
        ];
        for (response, length, lines, framing) in cases {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(
                written(&Method::GET, response, length, false),
                (text, framing)
            );
        }
    }

    #[test]
    fn a_response_that_must_have_no_body_has_none() {
        let head = response(StatusCode::OK, &[(header::CONTENT_LENGTH, "7")]);
        assert_eq!(
            written(&Method::HEAD, &head, Some(0), false),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ndate: now\r\n\r\n".to_owned(),
                Framing::Length(0)
            )
        );
        let empty = response(StatusCode::NO_CONTENT, &[(header::CONTENT_LENGTH, "0")]);
        assert_eq!(
            written(&Method::GET, &empty, Some(3), false),
            (
                "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n".to_owned(),
                Framing::Length(0)
            )
        );
        let same = response(StatusCode::NOT_MODIFIED, &[(header::CONTENT_LENGTH, "9")]);
        assert_eq!(
            written(&Method::GET, &same, None, false),
            (
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\ndate: now\r\n\r\n".to_owned(),
                Framing::Length(0)
            )
        );
    }

    #[test]
    fn the_date_is_that_of_the_second() {
        for (second, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            let now = chrono::DateTime::from_timestamp(second, 0).expect("a time");
            assert_eq!(date(now), text);
        }
    }

    #[test]
    fn the_last_response_of_a_connection_says_so() {
        let (text, _) = written(&Method::GET, &response(StatusCode::OK, &[]), Some(0), true);
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
    }
}
