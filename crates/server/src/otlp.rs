//! OpenTelemetry: spans and metrics to a collector, as OTLP over HTTP with protobuf bodies.
//!
//! Off unless an endpoint is named, by the variables that OpenTelemetry's own libraries read; off costs calls nothing. Spans wait
//! in a queue of bounded length and leave in batches. What the queue has no room for, or what the collector does not take after a
//! few attempts, is dropped and counted in `portico_otlp_dropped_total{signal,reason}`: no call waits for a collector.
//!
//! Metrics are those of `/metrics`, read at an interval.

mod messages;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use gateway::{Span, Spans};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, body::Bytes, header};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Attempts at a batch before it is dropped.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; doubled before the third.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest that a collector may let a batch wait by `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long the last batches may take at shutdown.
const LAST_BATCHES: Duration = Duration::from_secs(5);
/// Largest answer of a collector that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where spans and metrics go; the variables are OpenTelemetry's.
#[derive(Args, Clone, Debug, Default)]
pub struct OtelSettings {
    /// Base URL of an OpenTelemetry collector, such as `http://collector:4318`; nothing is exported without
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otel_endpoint: Option<String>,
    /// URL for spans, where it is not `/v1/traces` below the endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")]
    pub otel_traces_endpoint: Option<String>,
    /// URL for metrics, where it is not `/v1/metrics` below the endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")]
    pub otel_metrics_endpoint: Option<String>,
    /// Headers for the collector: `name=value,…`, values percent-encoded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true)]
    pub otel_headers: Option<String>,
    /// Protocol: `http/protobuf` is the only one
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL")]
    pub otel_protocol: Option<String>,
    /// Longest wait for the collector, in milliseconds; 10000 if not said
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT")]
    pub otel_timeout: Option<String>,
    /// Name of this installation; `portico` if not said
    #[arg(long, env = "OTEL_SERVICE_NAME")]
    pub otel_service_name: Option<String>,
    /// More about this process: `name=value,…`, values percent-encoded
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES")]
    pub otel_resource_attributes: Option<String>,
    /// Which traces are exported: `always_on`, `always_off`, `traceidratio`, or `parentbased_` and one of them
    #[arg(long, env = "OTEL_TRACES_SAMPLER")]
    pub otel_traces_sampler: Option<String>,
    /// Share of the traces for `traceidratio`, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG")]
    pub otel_traces_sampler_arg: Option<String>,
    /// `none` exports no spans
    #[arg(long, env = "OTEL_TRACES_EXPORTER")]
    pub otel_traces_exporter: Option<String>,
    /// `none` exports no metrics
    #[arg(long, env = "OTEL_METRICS_EXPORTER")]
    pub otel_metrics_exporter: Option<String>,
    /// `true` exports nothing
    #[arg(long, env = "OTEL_SDK_DISABLED")]
    pub otel_sdk_disabled: Option<String>,
    /// Longest wait of a span, in milliseconds; 5000 if not said
    #[arg(long, env = "OTEL_BSP_SCHEDULE_DELAY")]
    pub otel_schedule_delay: Option<String>,
    /// Spans that may wait; 2048 if not said
    #[arg(long, env = "OTEL_BSP_MAX_QUEUE_SIZE")]
    pub otel_queue_size: Option<String>,
    /// Spans of one batch; 512 if not said
    #[arg(long, env = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")]
    pub otel_batch_size: Option<String>,
    /// How often metrics are exported, in milliseconds; 60000 if not said
    #[arg(long, env = "OTEL_METRIC_EXPORT_INTERVAL")]
    pub otel_metric_interval: Option<String>,
}

/// An empty variable is an unset one, as OpenTelemetry has it.
fn said(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn number(name: &str, text: Option<&String>, default: u64) -> anyhow::Result<u64> {
    match said(text) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => bail!("{name} must be a positive whole number, not '{text}'"),
        },
    }
}

/// `name=value,…` with percent-encoded values.
fn pairs(name: &str, text: Option<&String>) -> anyhow::Result<Vec<(String, String)>> {
    said(text)
        .unwrap_or_default()
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("{name} must be name=value,…"))?;
            let value = percent_encoding::percent_decode_str(value.trim());
            let value = value.decode_utf8().with_context(|| name.to_owned())?;
            Ok((key.trim().to_owned(), value.into_owned()))
        })
        .collect()
}

/// Which traces are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sampler {
    follows_parent: bool,
    /// Traces whose lower 63 bits are below this.
    below: u64,
}

impl Sampler {
    const ALL: u64 = 1 << 63;

    fn of(name: Option<&str>, share: Option<&str>) -> anyhow::Result<Self> {
        let name = name.unwrap_or("parentbased_always_on");
        let (follows_parent, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let below = match root {
            "always_on" => Self::ALL,
            "always_off" => 0,
            "traceidratio" => {
                let share: f64 = share
                    .map_or(Ok(1.0), str::parse)
                    .ok()
                    .filter(|share| (0.0..=1.0).contains(share))
                    .context("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1")?;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share of 2^63 is in range, and its last bits do not matter"
                )]
                let below = (share * Self::ALL as f64) as u64;
                below
            }
            _ => bail!("OTEL_TRACES_SAMPLER '{name}' is not known"),
        };
        Ok(Self {
            follows_parent,
            below,
        })
    }

    fn samples(self, trace_id: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(decided) if self.follows_parent => decided,
            // The random part of a trace's id, as other tracers take it, so that all keep the same traces.
            _ => {
                let low = u64::try_from(trace_id & u128::from(Self::ALL - 1)).unwrap_or(u64::MAX);
                low < self.below
            }
        }
    }
}

enum Message {
    Span(Box<Span>),
    /// Answered when everything before it is delivered or dropped.
    Flush(oneshot::Sender<()>),
}

/// Takes the spans of this process.
pub struct Queue {
    sampler: Sampler,
    sender: mpsc::Sender<Message>,
}

impl Spans for Queue {
    fn samples(&self, trace_id: u128, parent: Option<bool>) -> bool {
        self.sampler.samples(trace_id, parent)
    }

    fn ended(&self, span: Span) {
        if self.sender.try_send(Message::Span(Box::new(span))).is_err() {
            dropped("spans", "queue", 1);
        }
    }
}

fn dropped(signal: &'static str, reason: &'static str, count: usize) {
    metrics::counter!("portico_otlp_dropped_total", "signal" => signal, "reason" => reason)
        .increment(count as u64);
}

/// What exports.
pub struct Exporter {
    spans: Option<Arc<Queue>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Exporter {
    /// Starts to export; `None` when it is off.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn start(
        settings: &OtelSettings,
        shown: PrometheusHandle,
        clock: engine::Clock,
    ) -> anyhow::Result<Option<Self>> {
        let is_disabled = said(settings.otel_sdk_disabled.as_ref())
            .is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let target = |own: &Option<String>, exporter: &Option<String>, path: &str| {
            if said(exporter.as_ref()) == Some("none") {
                return None;
            }
            said(own.as_ref()).map(str::to_owned).or_else(|| {
                let base = said(settings.otel_endpoint.as_ref())?;
                Some(format!("{}{path}", base.trim_end_matches('/')))
            })
        };
        let traces = target(
            &settings.otel_traces_endpoint,
            &settings.otel_traces_exporter,
            "/v1/traces",
        );
        let metrics = target(
            &settings.otel_metrics_endpoint,
            &settings.otel_metrics_exporter,
            "/v1/metrics",
        );
        if is_disabled || (traces.is_none() && metrics.is_none()) {
            return Ok(None);
        }
        if let Some(other) =
            said(settings.otel_protocol.as_ref()).filter(|name| *name != "http/protobuf")
        {
            bail!("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not '{other}'");
        }
        let sampler = Sampler::of(
            said(settings.otel_traces_sampler.as_ref()),
            said(settings.otel_traces_sampler_arg.as_ref()),
        )?;
        let link = Arc::new(Link::new(settings)?);
        let mut tasks = Vec::new();
        let mut spans = None;
        if let Some(url) = traces {
            let queue = number(
                "OTEL_BSP_MAX_QUEUE_SIZE",
                settings.otel_queue_size.as_ref(),
                2048,
            )?;
            let batch = number(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                settings.otel_batch_size.as_ref(),
                512,
            )?;
            let delay = number(
                "OTEL_BSP_SCHEDULE_DELAY",
                settings.otel_schedule_delay.as_ref(),
                5000,
            )?;
            let queue = usize::try_from(queue)?;
            let (sender, inbox) = mpsc::channel(queue);
            spans = Some(Arc::new(Queue { sampler, sender }));
            let url: Uri = url.parse().context("the endpoint of spans is no URL")?;
            let batch = usize::try_from(batch)?.min(queue);
            tasks.push(tokio::spawn(export_spans(
                link.clone(),
                url,
                inbox,
                batch,
                Duration::from_millis(delay),
            )));
        }
        if let Some(url) = metrics {
            let interval = number(
                "OTEL_METRIC_EXPORT_INTERVAL",
                settings.otel_metric_interval.as_ref(),
                60_000,
            )?;
            let url: Uri = url.parse().context("the endpoint of metrics is no URL")?;
            let interval = Duration::from_millis(interval);
            tasks.push(tokio::spawn(export_metrics(
                link, url, shown, clock, interval,
            )));
        }
        Ok(Some(Self { spans, tasks }))
    }

    /// Where spans go, if they go anywhere.
    #[must_use]
    pub fn spans(&self) -> Option<Arc<Queue>> {
        self.spans.clone()
    }

    /// As [`spans`](Self::spans), for a gateway.
    #[must_use]
    pub fn gateway_spans(&self) -> Option<Arc<dyn Spans>> {
        let spans: Arc<dyn Spans> = self.spans()?;
        Some(spans)
    }

    /// Exports what waits, in bounded time.
    pub async fn stop(self) {
        let Some(queue) = &self.spans else { return };
        let (done, exported) = oneshot::channel();
        let last = async {
            if queue.sender.send(Message::Flush(done)).await.is_ok() {
                // Without an answer the task is gone, and has said why.
                let _ = exported.await;
            }
        };
        if tokio::time::timeout(LAST_BATCHES, last).await.is_err() {
            tracing::warn!("the last spans are lost: the collector does not take them");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The way to the collector.
struct Link {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: header::HeaderMap,
    timeout: Duration,
    resource: Resource,
}

/// Why a batch was not taken.
struct Failure {
    problem: String,
    /// How long to wait before another attempt; none when that is of no use.
    pause: Option<Option<Duration>>,
}

impl Link {
    fn new(settings: &OtelSettings) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_roots()
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .build(connector);
        let mut headers = header::HeaderMap::new();
        for (name, value) in pairs("OTEL_EXPORTER_OTLP_HEADERS", settings.otel_headers.as_ref())? {
            // The error does not repeat the value, which may be a secret.
            let name = header::HeaderName::try_from(name)
                .context("OTEL_EXPORTER_OTLP_HEADERS has a name that no header has")?;
            let mut value = header::HeaderValue::try_from(value)
                .context("OTEL_EXPORTER_OTLP_HEADERS has a value that no header has")?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/x-protobuf"),
        );
        let mut attributes = pairs(
            "OTEL_RESOURCE_ATTRIBUTES",
            settings.otel_resource_attributes.as_ref(),
        )?;
        let name = said(settings.otel_service_name.as_ref()).map(str::to_owned);
        if name.is_some() {
            attributes.retain(|(key, _)| key != "service.name");
        }
        let mut default = |key: &str, value: String| {
            if !attributes.iter().any(|(known, _)| known == key) {
                attributes.push((key.to_owned(), value));
            }
        };
        default("service.name", name.unwrap_or_else(|| "portico".to_owned()));
        default("service.version", env!("CARGO_PKG_VERSION").to_owned());
        default("service.instance.id", uuid::Uuid::new_v4().to_string());
        default("host.name", crate::nodes::host());
        let timeout = number(
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            settings.otel_timeout.as_ref(),
            10_000,
        )?;
        Ok(Self {
            http,
            headers,
            timeout: Duration::from_millis(timeout),
            resource: Resource {
                attributes: attributes
                    .iter()
                    .map(|(key, value)| messages::text(key, value.clone()))
                    .collect(),
                ..Resource::default()
            },
        })
    }

    async fn post(&self, url: &Uri, body: Bytes) -> Result<(), Failure> {
        let again = |problem: String| Failure {
            problem,
            pause: Some(None),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = self.headers.clone();
        let reply = async {
            let reply = self
                .http
                .request(request)
                .await
                .map_err(|error| again(error.to_string()))?;
            let (parts, body) = reply.into_parts();
            // Read to its end, so that the connection can be used again.
            if let Err(error) = Limited::new(body, LONGEST_ANSWER).collect().await {
                tracing::debug!(error, "the collector's answer could not be read");
            }
            Ok(parts)
        };
        let parts = tokio::time::timeout(self.timeout, reply)
            .await
            .map_err(|_| again("no answer in time".to_owned()))??;
        if parts.status.is_success() {
            return Ok(());
        }
        let is_passing = matches!(
            parts.status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let said = parts
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        Err(Failure {
            problem: format!("the collector answered {}", parts.status),
            pause: is_passing.then_some(said),
        })
    }

    /// Delivers a body in a few attempts; `false` when it is given up.
    async fn deliver(&self, url: &Uri, body: Vec<u8>) -> bool {
        let body = Bytes::from(body);
        for attempt in 1..=ATTEMPTS {
            let failure = match self.post(url, body.clone()).await {
                Ok(()) => return true,
                Err(failure) => failure,
            };
            match failure.pause {
                Some(said) if attempt < ATTEMPTS => {
                    tracing::debug!(problem = failure.problem, attempt, "the export failed");
                    let pause = said.unwrap_or(PAUSE * attempt).min(LONGEST_PAUSE);
                    tokio::time::sleep(pause).await;
                }
                _ => {
                    tracing::warn!(problem = failure.problem, "telemetry could not be exported");
                    return false;
                }
            }
        }
        false
    }
}

async fn export_spans(
    link: Arc<Link>,
    url: Uri,
    mut inbox: mpsc::Receiver<Message>,
    batch: usize,
    delay: Duration,
) {
    let mut messages = Vec::with_capacity(batch);
    while inbox.recv_many(&mut messages, batch).await > 0 {
        let wait = tokio::time::sleep(delay);
        tokio::pin!(wait);
        while messages.len() < batch && !messages.iter().any(|m| matches!(m, Message::Flush(_))) {
            let room = batch - messages.len();
            tokio::select! {
                () = &mut wait => break,
                more = inbox.recv_many(&mut messages, room) => if more == 0 { break },
            }
        }
        let (mut spans, mut waiting) = (Vec::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Span(span) => spans.push(*span),
                Message::Flush(done) => waiting.push(done),
            }
        }
        let count = spans.len();
        if count > 0 {
            let body = messages::spans(&link.resource, spans).encode_to_vec();
            if link.deliver(&url, body).await {
                metrics::counter!("portico_otlp_exported_total", "signal" => "spans")
                    .increment(count as u64);
            } else {
                dropped("spans", "collector", count);
            }
        }
        for done in waiting {
            // Who asked may be gone.
            let _ = done.send(());
        }
    }
}

async fn export_metrics(
    link: Arc<Link>,
    url: Uri,
    shown: PrometheusHandle,
    clock: engine::Clock,
    interval: Duration,
) {
    let started_at: DateTime<Utc> = clock();
    let mut interval = tokio::time::interval(interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // At once there is nothing to tell.
    interval.tick().await;
    loop {
        interval.tick().await;
        let request = messages::metrics(&link.resource, &shown.render(), started_at, clock());
        if !link.deliver(&url, request.encode_to_vec()).await {
            dropped("metrics", "collector", 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_follow_the_parent_or_keep_a_share() -> anyhow::Result<()> {
        let default = Sampler::of(None, None)?;
        assert!(default.samples(7, None) && default.samples(7, Some(true)));
        assert!(!default.samples(7, Some(false)));
        let never = Sampler::of(Some("always_off"), None)?;
        assert!(!never.samples(7, Some(true)));
        let half = Sampler::of(Some("traceidratio"), Some("0.5"))?;
        assert!(half.samples((1 << 62) - 1, None) && !half.samples(1 << 62, None));
        let half = Sampler::of(Some("parentbased_traceidratio"), Some("0.5"))?;
        assert!(half.samples(u128::MAX, Some(true)) && !half.samples(u128::MAX, None));
        for (name, share) in [("sometimes", None), ("traceidratio", Some("2"))] {
            assert!(Sampler::of(Some(name), share).is_err());
        }
        Ok(())
    }

    #[test]
    fn headers_and_attributes_are_pairs_with_encoded_values() -> anyhow::Result<()> {
        let text = "api-key=a%20b, team = x=y ,".to_owned();
        assert_eq!(
            pairs("X", Some(&text))?,
            [
                ("api-key".to_owned(), "a b".to_owned()),
                ("team".to_owned(), "x=y".to_owned())
            ]
        );
        assert!(pairs("X", Some(&"nothing".to_owned())).is_err());
        Ok(())
    }
}
