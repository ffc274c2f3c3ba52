//! `<trace>`, and the trace of every step for those who may see it.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use policy::Step;
use policy::elements::trace::{Severity, Trace};
use snapshot::Position;
use snapshot::entity::Verbosity;

use crate::context::{base_parts, scope_name};
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::telemetry::{StepTrace, TraceEntry};
use crate::uri;

const SOURCE: &str = "trace";

pub(super) async fn apply(x: &mut Exchange, policy: &Trace) -> Result<Flow, Fault> {
    let message = x.value(&policy.message, SOURCE).await?.into_owned();
    let mut metadata = Vec::with_capacity(policy.metadata.len());
    for (name, value) in &policy.metadata {
        metadata.push((name.clone(), x.value(value, SOURCE).await?.into_owned()));
    }
    let (verbosity, severity) = match policy.severity {
        Severity::Verbose => (Verbosity::Verbose, "verbose"),
        Severity::Information => (Verbosity::Information, "information"),
        Severity::Error => (Verbosity::Error, "error"),
    };
    let entry = TraceEntry {
        service_id: x.service_id,
        request_id: x.request_id,
        source: policy.source.clone(),
        severity,
        message,
        metadata,
    };
    if let Some(diagnosis) = &mut x.diagnosis {
        diagnosis.trace(verbosity, &entry);
    }
    x.gateway.options.telemetry.trace(entry);
    Ok(Flow::Next)
}

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Takes note of what a step did.
pub(super) fn note(x: &mut Exchange, step: &Step, began_ms: u64, outcome: &Result<Flow, Fault>) {
    let hide = |text: &str| {
        let mut text = text.to_owned();
        for secret in x.service.secrets() {
            if text.contains(secret) {
                text = text.replace(secret, HIDDEN);
            }
        }
        text
    };
    let credentials = x.backend_credentials();
    let headers = |headers: &HeaderMap| -> Vec<(String, String)> {
        let is_secret = |name: &HeaderName| {
            *name == header::AUTHORIZATION
                || *name == header::PROXY_AUTHORIZATION
                || credentials
                    .iter()
                    .flat_map(|known| &known.headers)
                    .any(|(known, _)| name.as_str().eq_ignore_ascii_case(known))
        };
        let shown = |name: &HeaderName, value: &HeaderValue| match is_secret(name) {
            true => HIDDEN.to_owned(),
            false => hide(&String::from_utf8_lossy(value.as_bytes())),
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
    let mut query = x.request.query.clone();
    for (name, _) in credentials.iter().flat_map(|known| &known.query) {
        if uri::query_value(&query, name).is_some() {
            query = uri::without_parameter(&query, name);
            uri::push_parameter(&mut query, name, HIDDEN);
        }
    }
    let question = if query.is_empty() { "" } else { "?" };
    let (scheme, authority, base) = base_parts(&x.request.base);
    let url = format!(
        "{scheme}://{authority}{base}{}{question}{query}",
        x.request.path
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
