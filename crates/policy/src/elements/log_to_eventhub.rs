//! `<log-to-eventhub>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Sends a message to the sink of a logger.
#[derive(Clone, Debug, PartialEq)]
pub struct LogToEventhub {
    /// Id of the logger resource.
    pub logger_id: String,
    /// Partition that receives the message.
    pub partition_id: Option<Value<String>>,
    /// Key that chooses the partition.
    pub partition_key: Option<Value<String>>,
    /// The message.
    pub message: Value<String>,
}

pub(crate) const EXAMPLE: &str = r#"<log-to-eventhub logger-id="contoso-logger">
    @(string.Join(",", context.Deployment.ServiceName, context.RequestId.ToString()))
</log-to-eventhub>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<LogToEventhub> {
    parser.attributes(element, &["logger-id", "partition-id", "partition-key"]);
    let logger_id = parser.literal(element, "logger-id");
    let partition_id = parser.optional_value(element, "partition-id");
    let partition_key = parser.optional_value(element, "partition-key");
    if partition_id.is_some() && partition_key.is_some() {
        parser.problem(element.at, element, "Attributes 'partition-id' and 'partition-key' exclude each other.");
    }
    let message = parser.text(element);
    Some(LogToEventhub { logger_id: logger_id?, partition_id, partition_key, message: message? })
}
