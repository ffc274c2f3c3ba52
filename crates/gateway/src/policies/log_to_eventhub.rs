//! `<log-to-eventhub>`.

use policy::elements::log_to_eventhub::LogToEventhub;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::sink::{self, Message};

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
    let message = Message {
        text: message,
        content_type: "text/plain; charset=utf-8",
        partition,
        request_id: x.request_id,
    };
    sink::tell(&x.gateway, &logger, message);
    Ok(Flow::Next)
}
