//! Spans and metrics as OTLP's messages.

use chrono::{DateTime, Utc};
use gateway::{AttributeValue, Span, SpanKind};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data,
        number_data_point, summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as Message, Status, span, status::StatusCode},
};
use std::collections::BTreeMap;

pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    any(key, Value::StringValue(value.into()))
}

fn any(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanos(at: DateTime<Utc>) -> u64 {
    at.timestamp_nanos_opt()
        .and_then(|nanos| u64::try_from(nanos).ok())
        .unwrap_or_default()
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "portico".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn message(span: Span) -> Message {
    let id = |id: u64| id.to_be_bytes().to_vec();
    let kind = match span.kind {
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
    };
    Message {
        trace_id: span.trace_id.to_be_bytes().to_vec(),
        span_id: id(span.id),
        trace_state: span.state,
        parent_span_id: span.parent_id.map_or_else(Vec::new, id),
        // Only sampled spans come here.
        flags: 1,
        name: span.name,
        kind: kind.into(),
        start_time_unix_nano: nanos(span.started_at),
        end_time_unix_nano: nanos(span.ended_at),
        attributes: span
            .attributes
            .into_iter()
            .map(|(key, value)| match value {
                AttributeValue::Text(text) => any(key, Value::StringValue(text)),
                AttributeValue::Int(number) => any(key, Value::IntValue(number)),
            })
            .collect(),
        status: span.error.map(|message| Status {
            message,
            code: StatusCode::Error.into(),
        }),
        ..Message::default()
    }
}

/// A batch of spans.
pub(super) fn spans(resource: &Resource, batch: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: batch.into_iter().map(message).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// One line of Prometheus' text.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(String, String)>,
    value: f64,
}

/// `name{label="value",…} value`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let name = &line[..end];
    let mut labels = Vec::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let closed = loop {
                match chars.next()? {
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (at, '"') => break at,
                    (_, other) => value.push(other),
                }
            };
            labels.push((label.trim_start_matches(',').to_owned(), value));
            rest = &after[closed + 1..];
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

type Labels = Vec<(String, String)>;

/// Parts of a histogram or a summary with the same labels.
#[derive(Default)]
struct Distribution {
    /// Upper bound or quantile, and its number.
    parts: Vec<(f64, f64)>,
    sum: f64,
    count: f64,
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    labels
        .iter()
        .map(|(name, value)| text(name, value.clone()))
        .collect()
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole and far below 2^53"
    )]
    let whole = number.max(0.0) as u64;
    whole
}

/// What `/metrics` shows, as OTLP: one source for both, and no price for calls.
pub(super) fn metrics(
    resource: &Resource,
    shown: &str,
    started_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> ExportMetricsServiceRequest {
    let (start_time_unix_nano, time_unix_nano) = (nanos(started_at), nanos(now));
    let number = |sample: &Sample<'_>| NumberDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano,
        time_unix_nano,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    let mut metrics = Vec::new();
    let mut lines = shown.lines().peekable();
    let mut description = "";
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            description = help.split_once(' ').map_or("", |(_, text)| text);
            continue;
        }
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.extend(sample(line));
        }
        let cumulative = AggregationTemporality::Cumulative.into();
        let data = match kind {
            "counter" => Data::Sum(Sum {
                data_points: samples.iter().map(number).collect(),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            "histogram" => Data::Histogram(Histogram {
                data_points: distributions(name, &samples, "le")
                    .into_iter()
                    .map(|(labels, whole_one)| {
                        histogram(&labels, &whole_one, start_time_unix_nano, time_unix_nano)
                    })
                    .collect(),
                aggregation_temporality: cumulative,
            }),
            "summary" => Data::Summary(Summary {
                data_points: distributions(name, &samples, "quantile")
                    .into_iter()
                    .map(|(labels, all)| SummaryDataPoint {
                        attributes: attributes(&labels),
                        start_time_unix_nano,
                        time_unix_nano,
                        count: whole(all.count),
                        sum: all.sum,
                        quantile_values: all
                            .parts
                            .iter()
                            .map(|(quantile, value)| ValueAtQuantile {
                                quantile: *quantile,
                                value: *value,
                            })
                            .collect(),
                        ..SummaryDataPoint::default()
                    })
                    .collect(),
            }),
            _ => Data::Gauge(Gauge {
                data_points: samples.iter().map(number).collect(),
            }),
        };
        metrics.push(Metric {
            name: name.to_owned(),
            description: std::mem::take(&mut description).to_owned(),
            data: Some(data),
            ..Metric::default()
        });
    }
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

/// Lines of one distribution belong together when all labels but that of the part are the same.
fn distributions(name: &str, samples: &[Sample<'_>], part: &str) -> BTreeMap<Labels, Distribution> {
    let mut all: BTreeMap<Labels, Distribution> = BTreeMap::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        let at = labels.iter().position(|(label, _)| label == part);
        let bound = at.map(|at| labels.remove(at).1);
        let one = all.entry(labels).or_default();
        match (sample.name.strip_prefix(name), bound) {
            (Some("_sum"), None) => one.sum = sample.value,
            (Some("_count"), None) => one.count = sample.value,
            (_, Some(bound)) => {
                let bound = bound.parse().unwrap_or(f64::INFINITY);
                one.parts.push((bound, sample.value));
            }
            _ => {}
        }
    }
    all
}

fn histogram(labels: &Labels, all: &Distribution, start: u64, now: u64) -> HistogramDataPoint {
    // Prometheus counts what is below a bound, OTLP what is between two.
    let mut below = 0.0;
    let mut bucket_counts = Vec::with_capacity(all.parts.len() + 1);
    let mut explicit_bounds = Vec::with_capacity(all.parts.len());
    for (bound, count) in &all.parts {
        if bound.is_finite() {
            bucket_counts.push(whole(count - below));
            explicit_bounds.push(*bound);
            below = *count;
        }
    }
    bucket_counts.push(whole(all.count - below));
    HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: whole(all.count),
        sum: Some(all.sum),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "# HELP calls_total How many.\n# TYPE calls_total counter\n\
        calls_total{api=\"a \\\"quoted\\\" one, with } and \\\\\",status=\"2xx\"} 3\ncalls_total 4\n\n\
        # TYPE seconds histogram\nseconds_bucket{api=\"a\",le=\"0.1\"} 1\nseconds_bucket{api=\"a\",le=\"0.5\"} 3\n\
        seconds_bucket{api=\"a\",le=\"+Inf\"} 4\nseconds_sum{api=\"a\"} 2.5\nseconds_count{api=\"a\"} 4\n\n\
        # TYPE revision gauge\nrevision 17\n";

    #[test]
    fn what_metrics_shows_becomes_sums_gauges_and_histograms() {
        let at = DateTime::UNIX_EPOCH;
        let request = metrics(&Resource::default(), SHOWN, at, at);
        let found = &request.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<&str> = found.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["calls_total", "seconds", "revision"]);
        assert_eq!(found[0].description, "How many.");
        assert_eq!(found[1].description, "");
        let Some(Data::Sum(sum)) = &found[0].data else {
            panic!("{:?}", found[0]);
        };
        assert!(sum.is_monotonic);
        assert_eq!(
            sum.data_points[0].attributes,
            [
                text("api", "a \"quoted\" one, with } and \\"),
                text("status", "2xx")
            ]
        );
        assert_eq!(
            sum.data_points[1].value,
            Some(number_data_point::Value::AsDouble(4.0))
        );
        let Some(Data::Histogram(histogram)) = &found[1].data else {
            panic!("{:?}", found[1]);
        };
        let point = &histogram.data_points[0];
        assert_eq!(
            (
                &point.bucket_counts[..],
                &point.explicit_bounds[..],
                point.count,
                point.sum,
                &point.attributes[..]
            ),
            (
                &[1, 2, 1][..],
                &[0.1, 0.5][..],
                4,
                Some(2.5),
                &[text("api", "a")][..]
            )
        );
        assert!(matches!(&found[2].data, Some(Data::Gauge(_))));
    }
}
