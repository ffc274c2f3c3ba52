//! `<trace>`, and the trace of every step for those who may see it.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use policy::Step;
use policy::elements::trace::{Severity, Trace};
use snapshot::Position;

use crate::context::{base_parts, scope_name};
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::telemetry::{StepTrace, TraceEntry};

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

/// Takes note of what a step did.
pub(super) fn note(x: &mut Exchange, step: &Step, began_ms: u64, outcome: &Result<Flow, Fault>) {
    let hide = |text: &str| {
        let mut text = text.to_owned();
        for secret in x.service.secrets() {
            if text.contains(secret) {
                text = text.replace(secret, "***");
            }
        }
        text
    };
    let headers = |headers: &HeaderMap| -> Vec<(String, String)> {
        let shown = |name: &HeaderName, value: &HeaderValue| match *name {
            header::AUTHORIZATION => "***".to_owned(),
            _ => hide(&String::from_utf8_lossy(value.as_bytes())),
        };
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), shown(name, value)))
            .collect()
    };
    let position = Position::of(step);
    let mut variables: Vec<(String, String)> = x
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), hide(&value.to_text())))
        .collect();
    variables.sort();
    let question = if x.request.query.is_empty() { "" } else { "?" };
    let (scheme, authority, base) = base_parts(&x.request.base);
    let url = format!(
        "{scheme}://{authority}{base}{}{question}{}",
        x.request.path, x.request.query
    );
    let entry = StepTrace {
        section: x.section.element(),
        scope: scope_name(position.scope),
        line: position.line,
        policy: step.kind.element(),
        policy_id: step.id.clone(),
        took_ms: x
            .gateway
            .options
            .clock
            .monotonic_ms()
            .saturating_sub(began_ms),
        error: outcome
            .as_ref()
            .err()
            .map(|fault| (fault.reason, hide(&fault.message))),
        responded: matches!(outcome, Ok(Flow::Respond)),
        request: hide(&format!("{} {url}", x.request.method)),
        request_headers: headers(&x.request.headers),
        status: x.has_response.then(|| x.response.status.as_u16()),
        response_headers: headers(&x.response.headers),
        variables,
    };
    if let Some(trace) = &mut x.trace {
        trace.push(entry);
    }
}
