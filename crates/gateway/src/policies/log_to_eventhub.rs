//! `<log-to-eventhub>`.

use http::{HeaderValue, Method, header};
use policy::elements::log_to_eventhub::LogToEventhub;

use crate::body::Body;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::upstream::Route;

const SOURCE: &str = "log-to-eventhub";

pub(super) async fn apply(x: &mut Exchange, policy: &LogToEventhub) -> Result<Flow, Fault> {
    let message = x.value(&policy.message, SOURCE).await?.into_owned();
    let partition = match (&policy.partition_id, &policy.partition_key) {
        (Some(value), _) | (None, Some(value)) => Some(x.value(value, SOURCE).await?.into_owned()),
        (None, None) => None,
    };
    let Some(logger) = x.service.logger(&policy.logger_id).cloned() else {
        let message = format!("Logger '{}' could not be found.", policy.logger_id);
        return Err(Fault::internal(SOURCE, "LoggerNotFound", message));
    };
    let Some(url) = &logger.url else {
        tracing::info!(target: "gateway::logger", logger = logger.name, partition, message, "log-to-eventhub");
        return Ok(Flow::Next);
    };
    let mut request = http::Request::new(Body::full(message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.parse().map_err(|error| {
        Fault::internal(
            SOURCE,
            "LoggerNotFound",
            format!("'{url}' is not a URL: {error}"),
        )
    })?;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    request.headers_mut().insert(header::CONTENT_TYPE, plain);
    if let Some(partition) = partition.and_then(|partition| HeaderValue::try_from(partition).ok()) {
        request.headers_mut().insert("x-partition", partition);
    }
    let gateway = x.gateway.clone();
    let request_id = x.request_id;
    // The call does not wait for its log.
    tokio::spawn(async move {
        match gateway.upstreams.send(&Route::default(), request).await {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => {
                tracing::warn!(%request_id, status = %response.status(), "logger refused a message")
            }
            Err(error) => tracing::warn!(%request_id, %error, "logger not reached"),
        }
    });
    Ok(Flow::Next)
}
