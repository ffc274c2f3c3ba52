//! Spans and metrics reach a collector as OTLP; a collector that is away costs no call anything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use embedded_postgres::test_database::TestDatabase;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::metric::Data,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use reqwest::{Client, Method};
use serde_json::json;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use testkit::Portico;
use tokio::{net::TcpListener, sync::watch};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
/// Longest that anything may take on a busy machine before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A request as a server got it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

/// A server that keeps what it gets: a collector, or a backend.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    changed: watch::Sender<usize>,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let changed = watch::channel(0).0;
        let (all, count) = (seen.clone(), changed.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (all, count) = (all.clone(), count.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (all, count) = (all.clone(), count.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        if let Ok(body) = body.collect().await {
                            all.lock().unwrap().push(Seen {
                                path: parts.uri.path().to_owned(),
                                headers: parts.headers,
                                body: body.to_bytes(),
                            });
                            count.send_modify(|count| *count += 1);
                        }
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
                    }
                });
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Ok(Self { url, seen, changed })
    }

    /// Waits until what was received has what is looked for.
    pub(crate) async fn until<T>(&self, look: impl Fn(&[Seen]) -> Option<T>) -> anyhow::Result<T> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = look(&self.seen.lock().unwrap()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        Ok(tokio::time::timeout(LIMIT, found).await?)
    }
}

pub(crate) fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |pair: &KeyValue| match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|pair| (pair.key.clone(), value(pair)))
        .collect()
}

/// All spans of batches, with the attributes of the resource that sent them.
pub(crate) fn spans(seen: &[Seen]) -> Vec<(Span, BTreeMap<String, String>)> {
    let mut found = Vec::new();
    for seen in seen.iter().filter(|seen| seen.path == "/v1/traces") {
        let request = ExportTraceServiceRequest::decode(seen.body.clone()).unwrap();
        for resource in request.resource_spans {
            let about = texts(&resource.resource.unwrap().attributes);
            for scope in resource.scope_spans {
                found.extend(scope.spans.into_iter().map(|span| (span, about.clone())));
            }
        }
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens the Echo API to calls without a key, in front of this backend.
async fn open(
    portico: &Portico,
    token: &str,
    service: &str,
    backend: &str,
) -> anyhow::Result<String> {
    let body = json!({"properties": {"subscriptionRequired": false, "serviceUrl": backend}});
    let answer = portico
        .send(
            token,
            Method::PATCH,
            &format!("{service}/apis/echo-api"),
            &[("If-Match", "*")],
            Some(&body),
        )
        .await?;
    anyhow::ensure!(answer.status.is_success(), "{answer:?}");
    Ok(format!(
        "http://127.0.0.1:{}/echo/resource?param1=secret",
        portico.gateway_port
    ))
}

#[tokio::test]
async fn a_call_continues_its_trace_to_the_backend_and_a_collector_gets_its_spans()
-> anyhow::Result<()> {
    let (collector, backend) = (Receiver::start().await?, Receiver::start().await?);
    let database = TestDatabase::create().await?;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=of%20the%20collector"),
        ("OTEL_SERVICE_NAME", "gateway-of-the-test"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
    ];
    let portico = Portico::start(BINARY, &database, &environment).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "traced").await?;
    let url = open(&portico, &token, &service, &backend.url).await?;

    let reply = Client::new()
        .get(&url)
        .header("Host", "traced.localhost")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=1")
        .header("tracestate", "other=2")
        .send()
        .await?;
    assert_eq!(reply.status().as_u16(), 200);
    let ours = |seen: &[Seen]| {
        let found: Vec<_> = spans(seen)
            .into_iter()
            .filter(|(span, _)| hex(&span.trace_id) == TRACE)
            .collect();
        (found.len() == 2).then_some(found)
    };
    let found = collector.until(ours).await?;
    let of = |kind: SpanKind| {
        found
            .iter()
            .find(|(span, _)| span.kind == i32::from(kind))
            .unwrap()
    };
    let ((server, about), (client, _)) = (of(SpanKind::Server), of(SpanKind::Client));
    assert_eq!(
        (
            about["service.name"].as_str(),
            about["deployment.environment"].as_str()
        ),
        ("gateway-of-the-test", "test")
    );
    assert_eq!(server.name, "GET /echo/resource");
    assert_eq!(hex(&server.parent_span_id), PARENT);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(server.trace_state, "vendor=1,other=2");
    assert!(
        server.start_time_unix_nano <= client.start_time_unix_nano
            && client.end_time_unix_nano <= server.end_time_unix_nano
    );
    let says = texts(&server.attributes);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/echo/resource"),
        ("http.response.status_code", "200"),
        ("url.path", "/echo/resource"),
        ("portico.service", "traced"),
        ("portico.api", "echo-api"),
    ] {
        assert_eq!(says[name], value, "{name}");
    }
    let everything = format!("{:?}{:?}", says, texts(&client.attributes));
    assert!(!everything.contains("secret"), "no query: {everything}");

    // The backend sees the span of its own call as its parent.
    let got = backend.until(|seen| seen.last().cloned()).await?;
    assert_eq!(
        got.headers["traceparent"].to_str()?,
        format!("00-{TRACE}-{}-01", hex(&client.span_id))
    );
    assert_eq!(got.headers["tracestate"], "vendor=1,other=2");

    // Without a trace to continue the call begins one; a caller that keeps no spans is followed in that.
    let client = Client::new();
    client
        .get(&url)
        .header("Host", "traced.localhost")
        .send()
        .await?;
    let begun = backend.seen.lock().unwrap().last().cloned().unwrap();
    let begun = begun.headers["traceparent"].to_str()?.to_owned();
    assert!(begun.ends_with("-01") && !begun.contains(TRACE), "{begun}");
    let unsampled = "0af7651916cd43dd8448eb211c80319c";
    client
        .get(&url)
        .header("Host", "traced.localhost")
        .header("traceparent", format!("00-{unsampled}-{PARENT}-00"))
        .send()
        .await?;
    let followed = backend.seen.lock().unwrap().last().cloned().unwrap();
    let followed = followed.headers["traceparent"].to_str()?.to_owned();
    assert!(
        followed.starts_with(&format!("00-{unsampled}-")) && followed.ends_with("-00"),
        "{followed}"
    );

    // A management request is a span, too; after it the unsampled call's would be there.
    let managed = "11111111111111111111111111111111";
    portico
        .send(
            &token,
            Method::GET,
            &service,
            &[("traceparent", &format!("00-{managed}-{PARENT}-01"))],
            None,
        )
        .await?;
    let traces = collector
        .until(|seen| {
            let traces: Vec<String> = spans(seen)
                .iter()
                .map(|(span, _)| hex(&span.trace_id))
                .collect();
            traces.iter().any(|id| id == managed).then_some(traces)
        })
        .await?;
    assert!(traces.iter().any(|id| begun.contains(id)), "{traces:?}");
    assert!(!traces.iter().any(|id| id == unsampled), "{traces:?}");

    // Metrics: what `/metrics` shows.
    let point = collector
        .until(|seen| {
            let last = seen.iter().rev().find(|seen| seen.path == "/v1/metrics")?;
            let request = ExportMetricsServiceRequest::decode(last.body.clone()).unwrap();
            let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
            let seconds = metrics
                .iter()
                .find(|metric| metric.name == "portico_gateway_call_seconds")?;
            let Some(Data::Histogram(histogram)) = &seconds.data else {
                panic!("{seconds:?}");
            };
            let point = histogram.data_points.iter().find(|p| p.count == 3)?;
            Some(point.clone())
        })
        .await?;
    assert_eq!(
        texts(&point.attributes),
        BTreeMap::from([
            ("api".to_owned(), "echo-api".to_owned()),
            ("service".to_owned(), "traced".to_owned()),
            ("status".to_owned(), "2xx".to_owned()),
        ])
    );
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 3);
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    let key = collector.until(|seen| seen.last().cloned()).await?;
    assert_eq!(key.headers["api-key"], "of the collector");
    assert_eq!(key.headers["content-type"], "application/x-protobuf");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_calls() -> anyhow::Result<()> {
    let backend = Receiver::start().await?;
    let database = TestDatabase::create().await?;
    // A listener that accepts nothing: connections are made and nothing answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let collector = format!("http://{}", silent.local_addr()?);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let portico = Portico::start(BINARY, &database, &environment).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "silent").await?;
    let url = open(&portico, &token, &service, &backend.url).await?;
    let client = Client::new();
    for _ in 0..50 {
        let call = client.get(&url).header("Host", "silent.localhost");
        assert_eq!(call.send().await?.status().as_u16(), 200);
    }
    let began = Instant::now();
    let line = r#"portico_otlp_dropped_total{signal="spans",reason="queue"} "#;
    let dropped = loop {
        let metrics = format!("{}/metrics", portico.management_url);
        let text = client.get(metrics).send().await?.text().await?;
        let found = text.lines().find_map(|known| known.strip_prefix(line));
        if let Some(count) = found {
            break count.parse::<u64>()?;
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "nothing was dropped: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(dropped > 50, "{dropped} of two spans for each of 50 calls");
    Ok(())
}

#[tokio::test]
async fn without_a_collector_trace_context_passes_through_untouched() -> anyhow::Result<()> {
    let backend = Receiver::start().await?;
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "untraced").await?;
    let url = open(&portico, &token, &service, &backend.url).await?;
    let client = Client::new();
    let call = || client.get(&url).header("Host", "untraced.localhost");
    assert_eq!(call().send().await?.status().as_u16(), 200);
    let seen = backend.until(|seen| seen.last().cloned()).await?;
    assert!(!seen.headers.contains_key("traceparent"));
    let sent = format!("00-{TRACE}-{PARENT}-01");
    call().header("traceparent", &sent).send().await?;
    let seen = backend.seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(seen.headers["traceparent"], sent.as_str());
    Ok(())
}
