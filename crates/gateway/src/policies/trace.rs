//! `<trace>`.

use policy::elements::trace::{Severity, Trace};

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::telemetry::TraceEntry;

const SOURCE: &str = "trace";

pub(super) async fn apply(x: &mut Exchange, policy: &Trace) -> Result<Flow, Fault> {
    let message = x.value(&policy.message, SOURCE).await?.into_owned();
    let mut metadata = Vec::with_capacity(policy.metadata.len());
    for (name, value) in &policy.metadata {
        metadata.push((name.clone(), x.value(value, SOURCE).await?.into_owned()));
    }
    x.gateway.options.telemetry.trace(TraceEntry {
        service_id: x.service_id,
        request_id: x.request_id,
        source: policy.source.clone(),
        severity: match policy.severity {
            Severity::Verbose => "verbose",
            Severity::Information => "information",
            Severity::Error => "error",
        },
        message,
        metadata,
    });
    Ok(Flow::Next)
}
