//! What happens on the wire.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::{Limits, Options};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use snapshot::entity::{Api, ApiType, PolicyScope, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::*;

/// Writes bytes to the gateway and reads until it closes.
async fn raw(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status_line(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

#[tokio::test]
async fn headers_of_one_connection_end_there() {
    let backend = Backend::answering(|_| {
        Response::builder()
            .header("Connection", "X-Backend-Hop")
            .header("X-Backend-Hop", "1")
            .header("Keep-Alive", "timeout=5")
            .header("X-End-To-End", "1")
            .body("ok".into())
            .unwrap()
    })
    .await;
    let world = World::open(&backend).await;
    let answer = raw(
        &world,
        &format!(
            "GET /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Stay: 2\r\nTE: gzip\r\nTrailer: x\r\nKeep-Alive: 1\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\r\n"
        ),
    )
    .await
    .to_lowercase();
    assert_eq!(status_line(&answer), "http/1.1 200 ok");
    assert!(
        answer.contains("x-end-to-end: 1")
            && !answer.contains("x-backend-hop")
            && !answer.contains("keep-alive")
    );
    let seen = backend.last();
    assert_eq!(seen.header("x-stay"), Some("2"));
    for name in [
        "x-hop",
        "te",
        "trailer",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "connection",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_request_cannot_be_smuggled_inside_another() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    // Whoever counts by Content-Length would take the rest for a second request. RFC 9112 says that chunks count.
    for first in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ] {
        let before = backend.seen().len();
        let hidden = "GET /echo/hidden HTTP/1.1\r\nHost: x\r\n\r\n";
        let request = format!(
            "POST /echo/outer HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{first}\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n",
            hidden.len()
        );
        let answer = raw(&world, &request).await;
        assert_eq!(status_line(&answer), "HTTP/1.1 200 OK", "{answer}");
        let seen = backend.seen();
        assert_eq!(
            (seen.len(), seen[before].body.as_str()),
            (before + 1, hidden)
        );
        assert_eq!(seen[before].header("content-length"), None);
    }
}

#[tokio::test]
async fn heads_that_can_be_read_in_two_ways_are_refused() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    for bad in [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 3\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +3\r\n",
        "Host: other.example\r\n",
        "X-Fold: a\r\n b\r\n",
        "X Space: 1\r\n",
    ] {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{bad}\r\n0\r\n\r\n"
        );
        let answer = raw(&world, &request).await;
        assert_eq!(
            status_line(&answer),
            "HTTP/1.1 400 Bad Request",
            "{bad}: {answer}"
        );
    }
    let answer = raw(&world, "GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status_line(&answer), "HTTP/1.1 400 Bad Request");
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused() {
    let backend = Backend::echo().await;
    let world = World::with(|options| Options {
        limits: Limits {
            head_bytes: 16 * 1024,
            headers: 20,
            uri_bytes: 1000,
            request_body_bytes: Some(10),
            ..Limits::default()
        },
        ..options
    })
    .await;
    world.put(snapshot_of_open(&backend));
    let long_path = format!("/echo/{}", "a".repeat(2000));
    assert_eq!(world.get(&long_path).send().await.status, 414);
    assert_eq!(
        world
            .get("/echo")
            .header("x", &"a".repeat(20_000))
            .send()
            .await
            .status,
        431
    );
    let mut many = world.get("/echo");
    for number in 0..30 {
        many = many.header(&format!("x-{number}"), "1");
    }
    assert_eq!(many.send().await.status, 431);
    assert_eq!(world.post("/echo", "0123456789A").send().await.status, 413);
    assert_eq!(world.post("/echo", "0123456789").send().await.status, 200);
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789A\r\n0\r\n\r\n"
    );
    assert_eq!(
        status_line(&raw(&world, &chunked).await),
        "HTTP/1.1 413 Payload Too Large"
    );
}

fn snapshot_of_open(backend: &Backend) -> Vec<snapshot::Entity> {
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &backend.url())
    };
    vec![echo.into(), operation(100, API, "*", "/*").into()]
}

/// A backend that hands its connection, with the request's head read, to the test.
async fn by_hand() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn in_front_of(url: &str) -> World {
    opened(World::empty().await, url)
}

/// A world with the Echo API in front of a backend, without a key.
fn opened(world: World, url: &str) -> World {
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", url)
    };
    world.put([echo.into(), operation(100, API, "*", "/*").into()]);
    world
}

fn plain_client() -> Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn get(world: &World, path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .uri(format!("http://{}{path}", world.address))
        .header("Host", HOST)
        .body(Full::default())
        .unwrap()
}

#[tokio::test]
async fn a_response_is_passed_on_piece_by_piece() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let client = plain_client();
    let call = tokio::spawn(client.request(get(&world, "/echo")));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .unwrap();
    let mut body = call.await.unwrap().unwrap().into_body();
    // The backend has not finished, and the client has the first piece already.
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "one"
    );
    stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "two"
    );
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_request_is_passed_on_piece_by_piece() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 6\r\n\r\none");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = read_head(&mut stream).await.to_lowercase();
    assert!(head.contains("content-length: 6"), "{head}");
    let mut piece = [0; 3];
    stream.read_exact(&mut piece).await.unwrap();
    assert_eq!(&piece, b"one");
    client.write_all(b"two").await.unwrap();
    stream.read_exact(&mut piece).await.unwrap();
    assert_eq!(&piece, b"two");
}

/// Reads one response with a declared length: its body.
async fn read_response(stream: &mut TcpStream) -> String {
    let head = read_head(stream).await.to_lowercase();
    assert_eq!(status_line(&head), "http/1.1 200 ok");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_else(|| panic!("{head}"))];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_order_also_where_one_of_them_is_unusual() {
    let backend =
        Backend::answering(|seen| Response::new(format!("{} {}", seen.uri, seen.body).into()))
            .await;
    let world = in_front_of(&backend.url()).await;
    let host = format!("Host: {HOST}\r\n");
    let all = [
        format!("GET /echo/1 HTTP/1.1\r\n{host}\r\n"),
        format!("POST /echo/2 HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\ntwo"),
        format!("GET /echo/3 HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"),
        format!(
            "POST /echo/4 HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n"
        ),
        format!("GET /echo/5 HTTP/1.1\r\n{host}\r\n"),
    ];
    let expected = ["/1 ", "/2 two", "/3 ", "/4 four", "/5 "];
    let whole = all.concat();
    // All at once, and in pieces that end anywhere.
    for size in [whole.len(), 61, 7] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut reading, mut writing) = stream.split();
        let text = whole.clone();
        let write = async {
            for piece in text.as_bytes().chunks(size) {
                writing.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            let mut answers = Vec::new();
            let mut bytes = Vec::new();
            while answers.len() < expected.len() {
                assert!(reading.read_buf(&mut bytes).await.unwrap() > 0);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                answers = expected
                    .iter()
                    .filter_map(|answer| text.find(&format!("\r\n\r\n{answer}")))
                    .collect();
            }
            answers
        };
        let ((), answers) = tokio::join!(write, read);
        assert!(answers.is_sorted(), "{answers:?}");
    }
    let seen: Vec<String> = backend.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(seen[..5], ["", "two", "", "four", ""]);
}

#[tokio::test]
async fn a_long_body_is_the_same_whatever_it_is_sent_in() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let text: String = (0..40_000).map(|at| format!("{at},")).collect();
    let mut client = TcpStream::connect(world.address).await.unwrap();
    for is_chunked in [false, true] {
        let head = format!("GET /echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = async {
            read_head(&mut stream).await;
            let framing = if is_chunked {
                "Transfer-Encoding: chunked".to_owned()
            } else {
                format!("Content-Length: {}", text.len())
            };
            // The next call is to come over another connection.
            let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            for piece in text.as_bytes().chunks(30_000) {
                if is_chunked {
                    let size = format!("{:x}\r\n", piece.len());
                    stream.write_all(size.as_bytes()).await.unwrap();
                }
                stream.write_all(piece).await.unwrap();
                if is_chunked {
                    stream.write_all(b"\r\n").await.unwrap();
                }
            }
            if is_chunked {
                stream.write_all(b"0\r\n\r\n").await.unwrap();
            }
        };
        let read = async {
            if !is_chunked {
                return read_response(&mut client).await;
            }
            let head = read_head(&mut client).await.to_lowercase();
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            let mut body = Vec::new();
            loop {
                let mut size = Vec::new();
                while !size.ends_with(b"\r\n") {
                    size.push(client.read_u8().await.unwrap());
                }
                let size = std::str::from_utf8(&size).unwrap().trim_end();
                let size = usize::from_str_radix(size, 16).unwrap();
                let mut piece = vec![0; size + 2];
                client.read_exact(&mut piece).await.unwrap();
                assert_eq!(&piece[size..], b"\r\n");
                if size == 0 {
                    return String::from_utf8(body).unwrap();
                }
                body.extend_from_slice(&piece[..size]);
            }
        };
        let ((), read) = tokio::join!(answer, read);
        assert!(read == text, "{} bytes of {}", read.len(), text.len());
    }
}

#[tokio::test]
async fn a_connection_that_waits_is_closed_when_the_gateway_stops() {
    let backend = Backend::answering(|_| Response::new("ok".into())).await;
    let mut world = in_front_of(&backend.url()).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!("GET /echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut stream).await, "ok");
    let mut never_used = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut stream).await, "ok");
    let served = world.stop();
    for stream in [&mut stream, &mut never_used] {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
    served.await.unwrap();
}

#[tokio::test]
async fn calls_share_a_connection_to_the_backend_however_its_responses_end() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let backend = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast",
        ] {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(world.get("/echo").send().await.body);
    }
    assert_eq!(bodies, ["one", "two", "", "last"]);
    backend.await.unwrap();
}

/// Answers one call after another, each on the connection that it comes on, and gives how many connections that took.
async fn answer_each(listener: TcpListener, answers: &'static [&'static str]) -> usize {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut connections = 1;
    for answer in answers {
        // The next call is on this connection, unless the gateway has closed it.
        while stream.peek(&mut [0]).await.unwrap_or_default() == 0 {
            stream = listener.accept().await.unwrap().0;
            connections += 1;
        }
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    connections
}

#[tokio::test]
async fn a_response_that_others_may_frame_in_another_way_is_500_and_its_connection_is_closed() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let backend = tokio::spawn(answer_each(
        listener,
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nA: b\r\n Content-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ],
    ));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(world.get("/echo").send().await.status);
    }
    assert_eq!(statuses, [500, 500, 500, 200]);
    assert_eq!(backend.await.unwrap(), 4);
    let errors: Vec<_> = world
        .told
        .records(4)
        .await
        .into_iter()
        .map(|record| record.error.map(|error| error.1))
        .collect();
    let failure = || Some("BackendConnectionFailure".to_owned());
    assert_eq!(errors, [failure(), failure(), failure(), None]);
}

#[tokio::test]
async fn what_a_backend_sends_beyond_its_response_reaches_nobody() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let backend = tokio::spawn(answer_each(
        listener,
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "HTTP/1.1 204 No Content\r\n\r\nevil",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\nevil",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree",
        ],
    ));
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(world.get("/echo").send().await.body);
    }
    assert_eq!(bodies, ["one", "", "two", "three"]);
    assert_eq!(backend.await.unwrap(), 4);
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let backend = tokio::spawn(answer_each(
        listener,
        &[
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo",
        ],
    ));
    for body in ["one", "two"] {
        let answer = world.get("/echo").send().await;
        assert_eq!((answer.status, &*answer.body), (200, body));
        assert_eq!(answer.header("link"), None);
    }
    assert_eq!(backend.await.unwrap(), 1);
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let backend = tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\none",
            "HTTP/1.0 200 OK\r\n\r\ntwo",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nthree",
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for body in ["one", "two", "three"] {
        assert_eq!(world.get("/echo").send().await.body, body);
    }
    backend.await.unwrap();
}

#[tokio::test]
async fn a_body_that_ends_before_its_time_is_not_passed_off_as_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\nx\r\n",
    ] {
        let (listener, url) = by_hand().await;
        let world = in_front_of(&url).await;
        let backend = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let request = get(&world, "/echo");
        // The gateway may know before it has sent anything, and hangs up.
        if let Ok(response) = plain_client().request(request).await {
            assert!(response.into_body().collect().await.is_err(), "{answer}");
        }
        backend.await.unwrap();
    }
}

#[tokio::test]
async fn a_backend_may_answer_before_it_has_read_the_request() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head =
        format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\nbeginning");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    stream.write_all(answer).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"no") {
        read.push(client.read_u8().await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 403 Forbidden\r\n"));
}

#[tokio::test]
async fn a_request_of_unknown_length_is_chunked_and_its_parts_arrive_as_they_come() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = read_head(&mut stream).await.to_lowercase();
    assert_eq!(head.matches("transfer-encoding: chunked\r\n").count(), 1);
    assert!(!head.contains("content-length"));
    let mut expect = async |text: &[u8]| {
        let mut read = vec![0; text.len()];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read, text);
    };
    expect(b"3\r\none\r\n").await;
    client.write_all(b"4\r\ntwo!\r\n0\r\n\r\n").await.unwrap();
    expect(b"4\r\ntwo!\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_connection_that_the_backend_has_closed_is_not_used_again() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let backend = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            // It does not say that it closes.
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            drop(stream);
        }
    });
    for _ in 0..3 {
        assert_eq!(world.get("/echo").send().await.status, 200);
    }
    backend.await.unwrap();
}

#[tokio::test]
async fn a_connection_whose_response_was_not_read_to_its_end_is_closed() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = format!("GET /echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none";
    stream.write_all(half).await.unwrap();
    client.read_u8().await.unwrap();
    drop(client);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert_eq!(ended.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call_at_the_backend() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = format!("GET /echo HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    drop(client);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert_eq!(ended.unwrap().unwrap(), 0);
    let record = world.told.records(1).await.remove(0);
    assert_eq!(
        (record.status, record.error.unwrap().1.as_str()),
        (499, "ClientConnectionFailure")
    );
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_504_and_one_that_is_not_there_500() {
    let (listener, url) = by_hand().await;
    let world = in_front_of(&url).await;
    world.policy(
        PolicyScope::Api(API),
        "<policies><inbound /><backend><forward-request timeout-ms=\"30\" /></backend></policies>",
    );
    let silent = world.get("/echo").send().await;
    let id = "00000000-0000-4000-8000-000000000001";
    assert_eq!(
        (silent.status, silent.body),
        (
            504,
            format!(
                "{{ \"statusCode\": 504, \"message\": \"Gateway timeout\", \"activityId\": \"{id}\" }}"
            )
        )
    );
    drop(listener);
    let gone = world.get("/echo").send().await;
    assert_eq!(gone.status, 500);
    assert!(gone.body.starts_with(
        "{ \"statusCode\": 500, \"message\": \"Internal server error\", \"activityId\": \""
    ));
    let records = world.told.records(2).await;
    let errors: Vec<_> = records
        .iter()
        .map(|record| record.error.clone().unwrap().1)
        .collect();
    assert_eq!(errors, ["Timeout", "BackendConnectionFailure"]);
}

#[tokio::test]
async fn the_gateways_own_timeout_holds_where_no_policy_has_another() {
    let (listener, url) = by_hand().await;
    let world = World::with(|options| Options {
        timeouts: gateway::Timeouts {
            backend: Duration::from_millis(30),
            ..options.timeouts
        },
        ..options
    })
    .await;
    let world = opened(world, &url);
    let silent = world.get("/echo").send().await;
    assert_eq!(silent.status, 504);
    // The backend learns that nobody waits any more.
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(ended.unwrap().unwrap() > 0);
    // A policy that gives more time gets it.
    world.policy(
        PolicyScope::Api(API),
        "<policies><inbound /><backend><forward-request timeout=\"60\" /></backend></policies>",
    );
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream
    };
    let (answer, _stream) = tokio::join!(world.get("/echo").send(), answering);
    assert_eq!(answer.status, 204);
    let records = world.told.records(2).await;
    assert_eq!(records[0].error.clone().unwrap().1, "Timeout");
}

#[tokio::test]
async fn a_head_request_keeps_the_length_and_has_no_body() {
    let backend = Backend::answering(|_| Response::new("hello".into())).await;
    let world = World::open(&backend).await;
    let answer = world.call("HEAD", "/echo").send().await;
    assert_eq!(
        (
            answer.status,
            answer.body.as_str(),
            answer.header("content-length")
        ),
        (200, "", Some("5"))
    );
}

#[tokio::test]
async fn redirects_are_passed_on_unless_the_policy_follows_them() {
    let backend = Backend::answering(|seen| {
        if seen.uri == "/first" {
            Response::builder()
                .status(302)
                .header("location", "/second")
                .body("".into())
                .unwrap()
        } else {
            Response::new(format!("{} {} {}", seen.method, seen.uri, seen.body).into())
        }
    })
    .await;
    let world = World::open(&backend).await;
    let passed = world.get("/echo/first").send().await;
    assert_eq!(
        (passed.status, passed.header("location")),
        (302, Some("/second"))
    );
    world.policy(
        PolicyScope::Api(API),
        "<policies><inbound /><backend><forward-request follow-redirects=\"true\" /></backend></policies>",
    );
    let followed = world.post("/echo/first", "body").send().await;
    assert_eq!(
        (followed.status, followed.body.as_str()),
        (200, "GET /second ")
    );
}

#[tokio::test]
async fn a_websocket_is_joined_to_the_backends() {
    let (listener, url) = by_hand().await;
    let world = World::empty().await;
    let chat = Api {
        subscription_required: false,
        api_type: ApiType::WebSocket,
        protocols: vec![Protocol::Ws],
        service_url: Some(url.replace("http:", "ws:")),
        ..api(API, "chat", "")
    };
    world.put([chat.into()]);
    let mut client = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "GET /chat/room HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = read_head(&mut stream).await.to_lowercase();
    assert!(
        head.starts_with("get /room http/1.1")
            && head.contains("upgrade: websocket")
            && head.contains("sec-websocket-key: x"),
        "{head}"
    );
    stream
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n")
        .await
        .unwrap();
    let head = read_head(&mut client).await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 101")
            && head.contains("upgrade: websocket")
            && head.contains("sec-websocket-accept: y"),
        "{head}"
    );
    let mut four = [0; 4];
    client.write_all(b"ping").await.unwrap();
    stream.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"ping");
    stream.write_all(b"pong").await.unwrap();
    client.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"pong");
    drop(stream);
    assert_eq!(client.read(&mut four).await.unwrap(), 0);
}

#[tokio::test]
async fn an_api_that_is_no_websocket_does_not_switch() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    let answer = world
        .get("/echo")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(backend.last().header("upgrade"), None);
}

#[tokio::test]
async fn a_call_in_progress_is_finished_when_the_gateway_stops() {
    let (listener, url) = by_hand().await;
    let mut world = in_front_of(&url).await;
    let call = tokio::spawn(plain_client().request(get(&world, "/echo")));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    let served = world.stop();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .await
        .unwrap();
    let body = call
        .await
        .unwrap()
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body, "done");
    served.await.unwrap();
    assert!(TcpStream::connect(world.address).await.is_err());
}

struct Authority {
    roots: RootCertStore,
    server: Arc<ServerConfig>,
    chain_pem: String,
    key_pem: String,
}

fn authority(names: &[&str]) -> Authority {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Authority {
        roots,
        server: Arc::new(server),
        chain_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    }
}

#[tokio::test]
async fn each_host_shows_its_own_certificate_also_when_it_is_replaced() {
    let world = World::empty().await;
    let (first, second, other) = (
        authority(&[HOST]),
        authority(&[HOST]),
        authority(&["fallback.example"]),
    );
    let certificate = |authority: &Authority| snapshot::entity::Certificate {
        id: uuid::Uuid::from_u128(80),
        service_id: SERVICE,
        name: "gateway".to_owned(),
        chain_pem: authority.chain_pem.clone(),
        key_pem: Some(authority.key_pem.clone()),
        ..snapshot::entity::Certificate::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = world
        .gateway
        .tls(Some((&other.chain_pem, &other.key_pem)))
        .unwrap();
    let gateway = world.gateway.clone();
    tokio::spawn(async move {
        gateway
            .serve(listener, Some(tls), std::future::pending())
            .await
    });
    let trusts = async |authority: &Authority, name: &'static str| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(authority.roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector
            .connect(name.try_into().unwrap(), stream)
            .await
            .is_ok()
    };
    assert!(trusts(&other, "fallback.example").await);
    assert!(!trusts(&first, HOST).await);
    world.put([certificate(&first).into()]);
    assert!(trusts(&first, HOST).await);
    assert!(trusts(&other, "fallback.example").await);
    world.put([certificate(&second).into()]);
    assert!(trusts(&second, HOST).await && !trusts(&first, HOST).await);
}

#[tokio::test]
async fn arbitrary_bytes_are_answered_or_refused_and_never_stop_the_gateway() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    // A fixed generator: the test is the same each time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let good = format!(
        "POST /echo/a?b=c HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    );
    for _ in 0..300 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=random() % 8 {
            let at = usize::try_from(random() % bytes.len() as u64).unwrap();
            match random() % 3 {
                0 => bytes[at] = u8::try_from(random() % 256).unwrap(),
                1 => bytes.insert(at, u8::try_from(random() % 256).unwrap()),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        // The gateway may wait for more; end of input lets it answer or hang up.
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .ok();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(world.get("/echo/a").send().await.status, 200);
}

#[tokio::test]
async fn http_2_over_tls_comes_in_and_https_goes_out() {
    let authority = authority(&["localhost", HOST]);
    // The backend: one TLS connection, answered by hand.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&authority.server));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let service =
            hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
                Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(format!(
                    "{:?} {} {}",
                    request.version(),
                    request.uri().path(),
                    request.headers()["x-forwarded-proto"].to_str().unwrap()
                ))))
            });
        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
            .unwrap();
    });
    let roots = authority.roots.clone();
    let world = World::with(|options| Options {
        roots: Some(roots),
        ..options
    })
    .await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &format!("https://localhost:{port}"))
    };
    world.put([echo.into(), operation(100, API, "*", "/*").into()]);
    let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = own.local_addr().unwrap();
    let gateway = world.gateway.clone();
    tokio::spawn(async move {
        gateway
            .serve(own, Some(authority.server.into()), std::future::pending())
            .await
    });

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector
        .connect(HOST.try_into().unwrap(), stream)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let call = |policy: Option<&str>| {
        if let Some(policy) = policy {
            world.policy(PolicyScope::Api(API), policy);
        }
        Request::builder()
            .uri(format!("https://{HOST}/echo/a"))
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    let response = sender.send_request(call(None)).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "HTTP/1.1 /a https");
}

#[tokio::test]
async fn a_client_certificate_is_presented_to_the_backend() {
    let (server, client) = (authority(&["localhost"]), authority(&["client.example"]));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(client.roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let chain = CertificateDer::pem_slice_iter(server.chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(server.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0);
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{shown}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let roots = server.roots.clone();
    let world = World::with(|options| Options {
        roots: Some(roots),
        ..options
    })
    .await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &format!("https://localhost:{port}"))
    };
    world.put([
        echo.into(),
        operation(100, API, "*", "/*").into(),
        snapshot::entity::Certificate {
            id: uuid::Uuid::from_u128(80),
            service_id: SERVICE,
            name: "mine".to_owned(),
            thumbprint: "AB12".to_owned(),
            chain_pem: client.chain_pem.clone(),
            key_pem: Some(client.key_pem.clone()),
        }
        .into(),
    ]);
    assert_eq!(world.get("/echo").send().await.status, 500);
    let file = {
        use base64::Engine as _;
        let der = CertificateDer::from_pem_slice(client.chain_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).unwrap();
        let chain = p12_keystore::PrivateKeyChain::new(
            b"1".as_slice(),
            p12_keystore::PrivateKey::from_der(key.secret_der()).unwrap(),
            [p12_keystore::Certificate::from_der(&der).unwrap()],
        );
        let mut store = p12_keystore::KeyStore::new();
        store.add_entry("it", p12_keystore::KeyStoreEntry::PrivateKeyChain(chain));
        base64::engine::general_purpose::STANDARD
            .encode(store.writer("open sesame").write().unwrap())
    };
    let body = format!("body=\"@(Convert.FromBase64String(\"{file}\"))\" password=\"open sesame\"");
    for which in ["thumbprint=\"ab12\"", "certificate-id=\"mine\"", &body] {
        world.policy(
            PolicyScope::Api(API),
            &format!("<policies><inbound><authentication-certificate {which} /></inbound><backend><forward-request /></backend></policies>"),
        );
        let answer = world.get("/echo").send().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "1"), "{which}");
    }
}

#[tokio::test]
async fn a_backends_certificate_is_checked_unless_its_resource_says_otherwise() {
    let (known, stranger) = (authority(&["other.example"]), authority(&["localhost"]));
    let serve = async |authority: &Authority| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&authority.server));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut buffer = [0; 4096];
                assert!(stream.read(&mut buffer).await.unwrap() > 0);
                stream
                    .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                    .await
                    .unwrap();
            }
        });
        port
    };
    let (wrong_name, wrong_chain) = (serve(&known).await, serve(&stranger).await);
    let roots = known.roots.clone();
    let world = World::with(|options| Options {
        roots: Some(roots),
        ..options
    })
    .await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", "http://127.0.0.1:1")
    };
    world.put([echo.into(), operation(100, API, "*", "/*").into()]);
    world.policy(
        PolicyScope::Api(API),
        "<policies><inbound><set-backend-service backend-id=\"b\" /></inbound><backend><forward-request /></backend></policies>",
    );
    for (port, accept_any_chain, accept_any_name, status) in [
        (wrong_name, false, false, 500),
        (wrong_name, false, true, 204),
        (wrong_chain, false, true, 500),
        (wrong_chain, true, false, 204),
    ] {
        world.put([snapshot::entity::Backend {
            id: uuid::Uuid::from_u128(70),
            service_id: SERVICE,
            name: "b".to_owned(),
            url: format!("https://localhost:{port}"),
            accept_any_chain,
            accept_any_name,
            ..snapshot::entity::Backend::default()
        }
        .into()]);
        assert_eq!(
            world.get("/echo").send().await.status,
            status,
            "{port} {accept_any_chain} {accept_any_name}"
        );
    }
}

#[tokio::test]
async fn http_2_goes_out_where_the_policy_asks_for_it() {
    let backend = Backend::answering(|seen| {
        Response::new(seen.header("x-seen").unwrap_or("").to_owned().into())
    })
    .await;
    let world = World::with_policy(
        &backend,
        "<policies><inbound /><backend><forward-request http-version=\"2\" /></backend></policies>",
    )
    .await;
    assert_eq!(world.get("/echo/a").send().await.status, 200);
    // An HTTP/2 request has no Host header, its URI is absolute.
    assert_eq!(backend.last().uri, format!("http://{}/a", backend.address));
}

#[tokio::test]
async fn a_call_is_told_with_its_sizes_when_it_is_over() {
    let backend = Backend::answering(|_| {
        Response::builder()
            .status(201)
            .body("created".into())
            .unwrap()
    })
    .await;
    let world = World::open(&backend).await;
    world.post("/echo/a?x=1", "hello").send().await;
    let record = world.told.records(1).await.remove(0);
    assert_eq!(
        (
            record.status,
            record.request_bytes,
            record.response_bytes,
            record.path.as_str(),
            record.method.as_str()
        ),
        (201, 5, 7, "/echo/a", "POST")
    );
    assert_eq!(
        (record.service_id, record.api_id, record.error),
        (SERVICE, Some(API), None)
    );
    assert_eq!(record.revision, world.gateway.revision());
    assert_eq!(record.client_ip.to_string(), "127.0.0.1");
}

#[tokio::test]
async fn calls_beyond_the_limit_are_503() {
    let (listener, url) = by_hand().await;
    let world = World::with(|options| Options {
        limits: Limits {
            calls: 1,
            ..Limits::default()
        },
        ..options
    })
    .await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &url)
    };
    world.put([echo.into(), operation(100, API, "*", "/*").into()]);
    let first = tokio::spawn(plain_client().request(get(&world, "/echo")));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    assert_eq!(world.get("/echo").send().await.status, 503);
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(first.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_client_and_the_scheme() {
    let backend = Backend::echo().await;
    let world = World::with(|options| Options {
        trusted_proxies: 1,
        ..options
    })
    .await;
    world.put(snapshot_of_open(&backend));
    world
        .get("/echo")
        .header("X-Forwarded-For", "9.9.9.9, 10.1.2.3")
        .header("X-Forwarded-Proto", "https")
        .send()
        .await;
    let seen = backend.last();
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("9.9.9.9, 10.1.2.3, 127.0.0.1")
    );
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(
        world.told.records(1).await[0].client_ip.to_string(),
        "10.1.2.3"
    );
}
