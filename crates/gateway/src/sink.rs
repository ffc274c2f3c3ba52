//! Messages to loggers. No call waits for them: what a slow logger does not take in time is dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, header};
use snapshot::entity::Logger;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::body::Body;
use crate::listen::Inner;
use crate::target::Target;
use crate::upstream::Route;

/// Messages on their way; more are dropped.
const MOST: usize = 1024;
/// How long a logger may take for one.
const LONGEST: Duration = Duration::from_secs(10);

/// Room for messages on their way.
#[derive(Clone, Debug)]
pub(crate) struct Sinks(Arc<Semaphore>);

impl Default for Sinks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

/// A message for a logger.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) content_type: &'static str,
    pub(crate) partition: Option<String>,
    pub(crate) request_id: Uuid,
}

fn dropped(reason: &'static str) {
    metrics::counter!("portico_logger_dropped_total", "reason" => reason).increment(1);
}

/// Posts a message to a logger, or writes it to the gateway's own log where the logger has no address.
pub(crate) fn tell(gateway: &Arc<Inner>, logger: &Logger, message: Message) {
    let Message {
        text,
        content_type,
        partition,
        request_id,
    } = message;
    let Some(url) = &logger.url else {
        tracing::info!(target: "gateway::logger", logger = logger.name, partition, message = text, "logged");
        return;
    };
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(error) => {
            tracing::warn!(%request_id, logger = logger.name, %error, "the logger has no URL");
            dropped("address");
            return;
        }
    };
    let Ok(room) = Arc::clone(&gateway.sinks.0).try_acquire_owned() else {
        dropped("queue");
        return;
    };
    // Outside of a runtime nobody could wait for the answer either.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        dropped("queue");
        return;
    };
    let mut request = http::Request::new(Body::full(text));
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(partition) = partition.and_then(|partition| HeaderValue::try_from(partition).ok()) {
        headers.insert("x-partition", partition);
    }
    let gateway = Arc::clone(gateway);
    runtime.spawn(async move {
        let sent = gateway
            .upstreams
            .send(&Route::default(), &target, request, LONGEST)
            .await;
        match sent {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => {
                tracing::warn!(%request_id, status = %response.status(), "logger refused a message");
                dropped("logger");
            }
            Err(error) => {
                tracing::warn!(%request_id, %error, "logger not reached");
                dropped("logger");
            }
        }
        drop(room);
    });
}
