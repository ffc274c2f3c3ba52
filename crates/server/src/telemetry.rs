//! What a process tells about itself: `/metrics`, and the record of every call.
//!
//! Series of calls have the names of service and API as labels. Their handles are looked up once per API and class of status; and
//! there are at most [`MOST_APIS`] of them, so that neither a call nor a scraper pays for a large catalogue.

use crate::data_plane::Backing;
use anyhow::Context as _;
use engine::Engine;
use gateway::{CacheOutcome, Gateway, Record, Telemetry};
use metrics::{Counter, Histogram, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};
use uuid::Uuid;

/// APIs with series of their own; the others share one, `api="(more)"`.
pub const MOST_APIS: usize = 1000;
/// Classes of status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Upper bounds of durations, in seconds.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// How often gauges are read, and what histograms hold is put into its buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Collects the metrics of this process.
///
/// # Errors
/// When something else collects them already.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()
        .context("installing the metrics recorder")?;
    describe();
    Ok(handle)
}

/// Texts of `/metrics`; `docs/observability.md` says more.
fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram};
    counter!(
        "portico_gateway_calls_total",
        "Calls by service, API and class of status"
    );
    counter!(
        "portico_gateway_errors_total",
        "Calls that ended with an error, by LastError.Source and LastError.Reason: limits, refused keys, failures of backends"
    );
    counter!(
        "portico_gateway_bytes_total",
        Unit::Bytes,
        "Bytes of bodies by service, API and direction"
    );
    counter!(
        "portico_gateway_overload_total",
        "Calls refused with 503 because too many were running"
    );
    counter!(
        "portico_gateway_shared_rates_total",
        "Questions to the shared counters of rates, by outcome"
    );
    counter!(
        "portico_telemetry_dropped_total",
        "Records of calls that were dropped"
    );
    counter!(
        "portico_gateway_external_cache_total",
        "Questions to services' external caches, by outcome"
    );
    counter!(
        "portico_logger_dropped_total",
        "Messages to loggers that were dropped, by reason"
    );
    counter!(
        "portico_otlp_dropped_total",
        "Spans, and exports of metrics, that were dropped"
    );
    gauge!(
        "portico_gateway_configuration_revision",
        "Revision of the configuration that is served"
    );
    gauge!("portico_gateway_calls_running", "Calls in progress");
    gauge!(
        "portico_gateway_shared_rates_connected",
        "1 while rates are counted together with other gateways"
    );
    gauge!(
        "portico_gateway_backend_connections",
        "Connections over HTTP/1.1 to backends by state"
    );
    gauge!(
        "portico_database_connections",
        "Connections to Postgres by state"
    );
    describe_histogram!(
        "portico_gateway_call_seconds",
        Unit::Seconds,
        "Time of calls until the last byte"
    );
    describe_histogram!(
        "portico_gateway_backend_seconds",
        Unit::Seconds,
        "Time that backends took to answer"
    );
}

/// Keeps what `/metrics` shows up to date, for as long as the process runs. Without it histograms would keep every single value
/// until somebody asks.
pub async fn upkeep(
    handle: PrometheusHandle,
    gateway: Option<Gateway>,
    engine: Option<Arc<Engine>>,
) {
    let mut interval = tokio::time::interval(UPKEEP);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        gauges(gateway.as_ref(), engine.as_deref());
        handle.run_upkeep();
    }
}

fn gauges(gateway: Option<&Gateway>, engine: Option<&Engine>) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of calls and connections are small"
    )]
    let set = |gauge: metrics::Gauge, number: usize| gauge.set(number as f64);
    if let Some(gateway) = gateway {
        set(
            metrics::gauge!("portico_gateway_calls_running"),
            gateway.running(),
        );
        let (open, idle) = gateway.backend_connections();
        set(
            metrics::gauge!("portico_gateway_backend_connections", "state" => "idle"),
            idle,
        );
        set(
            metrics::gauge!("portico_gateway_backend_connections", "state" => "used"),
            open.saturating_sub(idle),
        );
    }
    if let Some(engine) = engine {
        let (own, own_idle) = engine.own_connections();
        let all = (engine.pool.size() + own) as usize;
        let idle = engine.pool.num_idle() + own_idle;
        set(
            metrics::gauge!("portico_database_connections", "state" => "idle"),
            idle,
        );
        set(
            metrics::gauge!("portico_database_connections", "state" => "used"),
            all.saturating_sub(idle),
        );
    }
}

/// Series of calls that ended with one class of status.
struct Class {
    calls: Counter,
    seconds: Histogram,
}

/// Series of one API.
struct Series {
    service: String,
    api: String,
    classes: [OnceLock<Class>; CLASSES.len()],
    backend_seconds: Histogram,
    bytes_in: Counter,
    bytes_out: Counter,
}

impl Series {
    fn new(service: String, api: String) -> Self {
        let bytes = |direction: &'static str| metrics::counter!("portico_gateway_bytes_total", "service" => service.clone(), "api" => api.clone(), "direction" => direction);
        Self {
            classes: Default::default(),
            backend_seconds: metrics::histogram!("portico_gateway_backend_seconds", "service" => service.clone(), "api" => api.clone()),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            service,
            api,
        }
    }

    fn class(&self, status: u16) -> &Class {
        let at = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.classes[at].get_or_init(|| Class {
            calls: metrics::counter!("portico_gateway_calls_total", "service" => self.service.clone(), "api" => self.api.clone(), "status" => CLASSES[at]),
            seconds: metrics::histogram!("portico_gateway_call_seconds", "service" => self.service.clone(), "api" => self.api.clone(), "status" => CLASSES[at]),
        })
    }
}

type ByApi = HashMap<(Uuid, Option<Uuid>), Arc<Series>>;

/// Counts calls for `/metrics` and hands them to the reports.
pub struct Recorder {
    backing: Arc<dyn Backing>,
    series: RwLock<ByApi>,
}

impl Recorder {
    /// Records for reports go to this backing.
    #[must_use]
    pub fn new(backing: Arc<dyn Backing>) -> Self {
        Self {
            backing,
            series: RwLock::default(),
        }
    }

    fn series(&self, record: &Record) -> Arc<Series> {
        let key = (record.service_id, record.api_id);
        let known = self
            .series
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(series) = known {
            return series;
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let (key, api) = match &record.api {
            None => (key, "(none)".to_owned()),
            Some(_) if all.len() >= MOST_APIS => {
                ((record.service_id, Some(Uuid::nil())), "(more)".to_owned())
            }
            Some(api) => (key, api.name.clone()),
        };
        let service = record.service.service();
        let service = service.map(|service| service.name.clone());
        all.entry(key)
            .or_insert_with(|| Arc::new(Series::new(service.unwrap_or_default(), api)))
            .clone()
    }

    fn count(&self, record: &Record) {
        let series = self.series(record);
        let class = series.class(record.status);
        class.calls.increment(1);
        class.seconds.record(record.total.as_secs_f64());
        series.backend_seconds.record(record.backend.as_secs_f64());
        series.bytes_in.increment(record.request_bytes);
        series.bytes_out.increment(record.response_bytes);
        if let Some((source, reason)) = &record.error {
            metrics::counter!("portico_gateway_errors_total", "source" => source.clone(), "reason" => reason.clone())
                .increment(1);
        }
    }
}

impl Telemetry for Recorder {
    fn traced(&self, trace: gateway::CallTrace) -> Option<String> {
        self.backing.traced(trace)
    }

    fn record(&self, record: Record) {
        self.count(&record);
        self.backing.record(reports::Call {
            id: record.request_id,
            service_id: record.service_id,
            api_id: record.api_id,
            operation_id: record.operation_id,
            product_id: record.product_id,
            subscription_id: record.subscription_id,
            user_id: record.user_id,
            method: record.method.to_string(),
            path: record.path,
            status: record.status,
            cache: match record.cache {
                CacheOutcome::None => "none",
                CacheOutcome::Hit => "hit",
                CacheOutcome::Miss => "miss",
            },
            started_at: record.started_at,
            total: record.total,
            backend: record.backend,
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            client_ip: record.client_ip.to_string(),
            error: record.error,
            revision: record.revision,
            detail: record.detail,
        });
    }
}
