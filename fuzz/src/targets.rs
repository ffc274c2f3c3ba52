//! The targets.

use crate::context::Still;
use gateway::{Gateway, Options};
use policy::expression::{Expression, Limits, Type};
use policy::{Format, Scope, parse, reformat};
use snapshot::entity::{Api, Entity, Operation, Protocol, Service};
use snapshot::matcher::{Matcher, Template};
use snapshot::{Change, Snapshot};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Something that reads bytes from outside.
#[derive(Debug)]
pub struct Target {
    /// Name; the folder of its corpus.
    pub name: &'static str,
    /// Words that mean something to it.
    pub dictionary: &'static [&'static str],
    /// Panics when something is wrong.
    pub run: fn(&[u8]),
}

/// Every target.
pub const ALL: [Target; 5] = [
    Target {
        name: "url_template",
        dictionary: &[
            "{", "}", "{a}", "{*", "*", "/", "//", "?", "&", "=", "%2F", "%", "%zz", ".", "..",
            "{a}-{b}", "{a}.{b}", "\n", "é", ";",
        ],
        run: url_template,
    },
    Target {
        name: "policy",
        dictionary: &[
            "<",
            ">",
            "/>",
            "</",
            "\"",
            "'",
            "&",
            "&quot;",
            "&#x41;",
            "&#",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<?xml ?>",
            "@(",
            "@{",
            ")",
            "}",
            "{{name}}",
            "<base />",
            "<inbound>",
            "</inbound>",
            "<choose>",
            "<when condition=\"",
            "<set-header name=\"a\">",
            "<value>",
            " id=\"1\"",
            "<fragment>",
            "<policies>",
            "\r\n",
            "\u{feff}",
            "é",
        ],
        run: policy_document,
    },
    Target {
        name: "expression",
        dictionary: &[
            "(",
            ")",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "'",
            "\\",
            "$\"",
            "@\"",
            ".",
            "?.",
            "??",
            "=>",
            "+",
            "-",
            "*",
            "/",
            "%",
            "<",
            ">",
            "&&",
            "||",
            "!",
            ";",
            "var x = ",
            "return ",
            "if (",
            "else ",
            "foreach (var i in ",
            "while (true) ",
            "try {",
            "} catch {",
            "new ",
            "context.",
            "Request.",
            "Headers",
            ".GetValueOrDefault(\"a\")",
            "(string)",
            "(int)",
            "9223372036854775807",
            "-1",
            "0",
            "1.5e308",
            "null",
            "JObject.Parse(",
            ".Select(x => ",
            ".Substring(",
            ".Split(','",
            "Regex.IsMatch(",
            "DateTime.Now",
            ".AddDays(",
            "string.Format(\"{0:N2}\", ",
            "as JObject",
            "<string>",
            "é",
        ],
        run: expression,
    },
    Target {
        name: "http_head",
        dictionary: &[
            "\r\n",
            "\n",
            "\r",
            ":",
            " ",
            "\t",
            "\0",
            "GET ",
            "POST ",
            " HTTP/1.1",
            " HTTP/1.0",
            "Host: fuzz.example\r\n",
            "Content-Length: 0\r\n",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Connection: close\r\n",
            "Upgrade: websocket\r\n",
            "0\r\n\r\n",
            "5\r\nhello\r\n",
            "ffffffffffffffff\r\n",
            "Expect: 100-continue\r\n",
            "Trailer: a\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "%00",
            "?a=b",
            "X-Forwarded-For: 1.1.1.1\r\n",
        ],
        run: http_head,
    },
    Target {
        name: "http_response",
        dictionary: &[
            "\r\n",
            "\n",
            "\r",
            ":",
            " ",
            "\t",
            "\0",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.0 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n",
            "HTTP/1.1 204 No Content\r\n",
            "HTTP/1.1 304 Not Modified\r\n",
            "Content-Length: 0\r\n",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Connection: close\r\n",
            "Connection: keep-alive\r\n",
            "0\r\n\r\n",
            "5\r\nhello\r\n",
            "5;a=b\r\n",
            "ffffffffffffffff\r\n",
            "X-Trailer: a\r\n",
        ],
        run: http_response,
    },
];

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The first line is a path with its query, the others are templates. Whether something is found must not depend on the order in
/// which they came, and what is found must be found alone, too; what was removed is found no more.
fn url_template(bytes: &[u8]) {
    let text = text(bytes);
    let mut lines = text.lines();
    let asked = lines.next().unwrap_or_default();
    let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
    let mut templates: Vec<&str> = lines.take(16).collect();
    templates.sort_unstable();
    templates.dedup();
    for template in &templates {
        let template = Template::new(template);
        assert!(template.names().count() <= bytes.len());
    }
    let mut forwards = Matcher::default();
    let mut backwards = Matcher::default();
    let id = |at: usize| Uuid::from_u128(u128::try_from(at).unwrap_or_default() + 1);
    for (at, template) in templates.iter().enumerate() {
        forwards.insert("GET", template, id(at), at);
    }
    for (at, template) in templates.iter().enumerate().rev() {
        backwards.insert("GET", template, id(at), at);
    }
    let found = |matcher: &Matcher<usize>| {
        matcher.find("GET", path, query).map(|found| {
            let parameters: Vec<(String, String)> = found
                .parameters()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            (*found.value, parameters)
        })
    };
    let first = found(&forwards);
    assert_eq!(
        first.is_some(),
        found(&backwards).is_some(),
        "the order of insertion counts"
    );
    if let Some((at, parameters)) = first {
        let mut alone = Matcher::default();
        alone.insert("GET", templates[at], id(at), at);
        assert_eq!(
            found(&alone),
            Some((at, parameters)),
            "found only among others"
        );
    }
    for (at, template) in templates.iter().enumerate() {
        forwards.remove("GET", template, id(at));
    }
    assert_eq!(found(&forwards), None, "found after it was removed");
}

/// What is stored is read again by the gateway, and written back for whoever asks: both must see the same document.
fn policy_document(bytes: &[u8]) {
    let text = text(bytes);
    for format in [Format::Xml, Format::RawXml] {
        for scope in [Scope::Global, Scope::Operation, Scope::Fragment] {
            let first = parse(&text, format, scope);
            let other = match format {
                Format::Xml => Format::RawXml,
                Format::RawXml => Format::Xml,
            };
            for to in [format, other] {
                if let (Ok(_), Ok(written)) = (&first, reformat(&text, format, to)) {
                    let again = parse(&written, to, scope);
                    assert!(again.is_ok(), "{again:?}: {written}");
                }
            }
        }
    }
}

fn expression(bytes: &[u8]) {
    let text = text(bytes);
    for source in [format!("@({text})"), format!("@{{{text}}}")] {
        for expected in [Type::Object, Type::Bool] {
            match Expression::compile(&source, &expected) {
                Ok(expression) => {
                    if let Ok(data) = expression.evaluate(&Still, Limits::default()) {
                        // Whatever it is, it can become the text of an attribute.
                        let _ = data.to_text();
                    }
                }
                Err(errors) => {
                    for error in errors {
                        assert!(error.at <= source.len(), "{error:?} in {source}");
                        assert!(source.is_char_boundary(error.at), "{error:?} in {source}");
                    }
                }
            }
        }
    }
}

/// The backend of the API `answers`: says the same to every request and hangs up.
struct Answering {
    answer: Vec<u8>,
    /// Connections that it has hung up.
    ended: u64,
}

static ANSWERING: (Mutex<Answering>, Condvar) = (
    Mutex::new(Answering {
        answer: Vec::new(),
        ended: 0,
    }),
    Condvar::new(),
);

fn answering() -> MutexGuard<'static, Answering> {
    ANSWERING.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts that backend, for the rest of the process.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1)
            {
                head.push(byte[0]);
            }
            let answer = answering().answer.clone();
            // The gateway may hang up first when it has seen enough.
            let _ = stream.write_all(&answer);
            drop(stream);
            answering().ended += 1;
            ANSWERING.1.notify_all();
        }
    });
    address
}

/// Calls the gateway while its backend answers so, and waits until the backend has hung up: a gateway cannot see what has not
/// happened yet.
fn ask_about(answer: &[u8]) -> Vec<u8> {
    let ended = {
        let mut answering = answering();
        answer.clone_into(&mut answering.answer);
        answering.ended
    };
    let question = b"GET /answers/ HTTP/1.1\r\nHost: fuzz.example\r\nConnection: close\r\n\r\n";
    let passed_on = ask(question, false);
    let (answering, waited) = ANSWERING
        .1
        .wait_timeout_while(answering(), PATIENCE, |answering| answering.ended == ended)
        .unwrap_or_else(PoisonError::into_inner);
    drop(answering);
    assert!(!waited.timed_out(), "the gateway did not ask the backend");
    passed_on
}

/// The gateway passes on what a backend answers, says that it failed or hangs up, never hands one caller what was left of another's answer,
/// and lives on.
fn http_response(bytes: &[u8]) {
    let answer = ask_about(bytes);
    // A body that is broken from its beginning is found out before the head has been sent.
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 "),
        "{}",
        text(&answer)
    );
    let next = ask_about(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean");
    assert!(
        next.starts_with(b"HTTP/1.1 200 ") && next.ends_with(b"\r\n\r\nclean"),
        "{}",
        text(&next)
    );
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway for the rest of the process, with one service: its API `echo` has no backend, `answers` has one.
fn gateway() -> SocketAddr {
    static GATEWAY: OnceLock<SocketAddr> = OnceLock::new();
    *GATEWAY.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a listener");
        let (service_id, api_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let answers_id = Uuid::from_u128(4);
        let entities: [Entity; 5] = [
            Service {
                id: service_id,
                name: "fuzz".to_owned(),
                hostnames: vec!["fuzz.example".to_owned()],
                ..Service::default()
            }
            .into(),
            Api {
                id: api_id,
                service_id,
                name: "echo".to_owned(),
                path: "echo".to_owned(),
                service_url: Some("http://127.0.0.1:9".to_owned()),
                protocols: vec![Protocol::Http],
                revision: "1".to_owned(),
                is_current: true,
                ..Api::default()
            }
            .into(),
            Operation {
                id: Uuid::from_u128(3),
                api_id,
                service_id,
                name: "all".to_owned(),
                method: "*".to_owned(),
                url_template: "/*".to_owned(),
                ..Operation::default()
            }
            .into(),
            Api {
                id: answers_id,
                service_id,
                name: "answers".to_owned(),
                path: "answers".to_owned(),
                service_url: Some(format!("http://{}", backend())),
                protocols: vec![Protocol::Http],
                revision: "1".to_owned(),
                is_current: true,
                ..Api::default()
            }
            .into(),
            Operation {
                id: Uuid::from_u128(5),
                api_id: answers_id,
                service_id,
                name: "all".to_owned(),
                method: "*".to_owned(),
                url_template: "/*".to_owned(),
                ..Operation::default()
            }
            .into(),
        ];
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let gateway = Gateway::new(Options::default()).expect("a gateway");
                gateway.publish(Snapshot::default().apply(entities.map(Change::Put)));
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                gateway
                    .serve(listener, None, std::future::pending())
                    .await
                    .expect("to serve");
            });
        });
        address
    })
}

fn ask(bytes: &[u8], then_ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway()).expect("the gateway accepts connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The gateway may hang up before it has read all: what it answered counts.
    let _ = stream.write_all(bytes);
    if then_ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            panic!("the gateway neither answers nor hangs up")
        }
        _ => answer,
    }
}

/// The statuses of all answers.
fn statuses(answer: &[u8]) -> Vec<&[u8]> {
    let lines = answer.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| line.strip_prefix(b"HTTP/1.1 ")?.get(..3))
        .collect()
}

/// The gateway answers in HTTP or hangs up, never answers more requests than can have begun, and lives on. It understands usual requests
/// by itself as hyper does: a blank line in front of the first one leaves all of them to hyper.
fn http_head(bytes: &[u8]) {
    let answer = ask(bytes, true);
    let http2 = bytes.starts_with(b"PRI * HTTP/2.0");
    if !http2 {
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "{}",
            text(&answer)
        );
        let heads = answer.windows(9).filter(|at| at == b"HTTP/1.1 ").count();
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        assert!(heads <= lines + 2, "{heads} answers: {}", text(&answer));
        let by_hyper = ask(&[b"\r\n", bytes].concat(), true);
        let (ours, hypers) = (statuses(&answer), statuses(&by_hyper));
        // A client that leaves may be noticed earlier or later.
        let common = ours.len().min(hypers.len());
        assert_eq!(
            ours[..common],
            hypers[..common],
            "{}\n{}",
            text(&answer),
            text(&by_hyper)
        );
    }
    let question =
        b"GET /status-0123456789abcdef HTTP/1.1\r\nHost: fuzz.example\r\nConnection: close\r\n\r\n";
    let alive = ask(question, false);
    assert!(alive.starts_with(b"HTTP/1.1 200 "), "{}", text(&alive));
}
