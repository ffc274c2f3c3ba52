//! The policies: one file each, run by [`run`].

pub(crate) mod authentication;
pub(crate) mod cache;
pub(crate) mod check_header;
pub(crate) mod convert;
pub(crate) mod cors;
pub(crate) mod cross_domain;
pub(crate) mod emit_metric;
pub(crate) mod find_and_replace;
pub(crate) mod forward_request;
pub(crate) mod ip_filter;
pub(crate) mod jsonp;
pub(crate) mod limit_concurrency;
pub(crate) mod log_to_eventhub;
pub(crate) mod mock_response;
pub(crate) mod quota;
pub(crate) mod rate_limit;
pub(crate) mod redirect_content_urls;
pub(crate) mod retry;
pub(crate) mod return_response;
pub(crate) mod rewrite_uri;
pub(crate) mod send_request;
pub(crate) mod set_backend_service;
pub(crate) mod set_body;
pub(crate) mod set_header;
pub(crate) mod set_method;
pub(crate) mod set_query_parameter;
pub(crate) mod set_status;
pub(crate) mod set_variable;
pub(crate) mod trace;
pub(crate) mod validate_azure_ad_token;
pub(crate) mod validate_client_certificate;
pub(crate) mod validate_content;
pub(crate) mod validate_jwt;
pub(crate) mod validate_parameters;
pub(crate) mod validate_status_code;
pub(crate) mod wait;

use futures_util::future::BoxFuture;
use policy::{Step, StepKind};
use snapshot::Position;

use crate::exchange::{Exchange, Flow, LastError};
use crate::fault::Fault;

/// Runs steps in order until one ends the call: those inside other steps, in a box because steps nest.
pub(crate) fn run<'a>(
    x: &'a mut Exchange,
    steps: &'a [Step],
) -> BoxFuture<'a, Result<Flow, Fault>> {
    Box::pin(run_section(x, steps))
}

/// Runs the steps of a section in order until one ends the call.
pub(crate) async fn run_section(x: &mut Exchange, steps: &[Step]) -> Result<Flow, Fault> {
    for step in steps {
        let began_ms = x
            .trace
            .as_ref()
            .map(|_| x.gateway.options.clock.monotonic_ms());
        let outcome = apply(x, step).await;
        if let Some(began_ms) = began_ms {
            trace::note(x, step, began_ms, &outcome);
        }
        match outcome {
            Ok(Flow::Next) => {}
            Ok(Flow::Respond) => return Ok(Flow::Respond),
            Err(fault) => {
                blame(x, step, &fault);
                return Err(fault);
            }
        }
    }
    Ok(Flow::Next)
}

/// Remembers the innermost step that failed: the outer ones pass the same fault on.
fn blame(x: &mut Exchange, step: &Step, fault: &Fault) {
    if x.failing.is_none() {
        x.failing = Some(Box::new(LastError {
            fault: fault.clone(),
            section: x.section,
            scope: Some(Position::of(step).scope),
            policy_id: step.id.clone(),
        }));
    }
}

async fn apply(x: &mut Exchange, step: &Step) -> Result<Flow, Fault> {
    match &step.kind {
        // The snapshot has put the outer scopes and the fragments in their place.
        StepKind::Base(_) | StepKind::IncludeFragment(_) => Ok(Flow::Next),
        StepKind::AuthenticationBasic(policy) => authentication::basic(x, policy).await,
        StepKind::AuthenticationCertificate(policy) => authentication::certificate(x, policy).await,
        StepKind::AuthenticationManagedIdentity(policy) => {
            Box::pin(authentication::managed_identity(x, policy)).await
        }
        StepKind::CacheLookup(policy) => Box::pin(cache::lookup(x, policy)).await,
        StepKind::CacheLookupValue(policy) => Box::pin(cache::lookup_value(x, policy)).await,
        StepKind::CacheRemoveValue(policy) => Box::pin(cache::remove_value(x, policy)).await,
        StepKind::CacheStore(policy) => Box::pin(cache::store(x, policy)).await,
        StepKind::CacheStoreValue(policy) => Box::pin(cache::store_value(x, policy)).await,
        StepKind::CheckHeader(policy) => Box::pin(check_header::apply(x, policy)).await,
        StepKind::Choose(policy) => {
            for when in &policy.when {
                if *x.value(&when.condition, "choose").await? {
                    return run(x, &when.steps).await;
                }
            }
            run(x, &policy.otherwise).await
        }
        StepKind::Cors(policy) => Box::pin(cors::apply(x, policy)).await,
        StepKind::CrossDomain(policy) => cross_domain::apply(x, policy),
        StepKind::EmitMetric(policy) => Box::pin(emit_metric::apply(x, policy)).await,
        StepKind::FindAndReplace(policy) => Box::pin(find_and_replace::apply(x, policy)).await,
        StepKind::ForwardRequest(policy) => Box::pin(forward_request::apply(x, policy)).await,
        StepKind::IpFilter(policy) => Box::pin(ip_filter::apply(x, policy)).await,
        StepKind::JsonToXml(policy) => Box::pin(convert::json_to_xml(x, policy)).await,
        StepKind::Jsonp(policy) => Box::pin(jsonp::apply(x, policy)).await,
        StepKind::LimitConcurrency(policy) => Box::pin(limit_concurrency::apply(x, policy)).await,
        StepKind::LogToEventhub(policy) => Box::pin(log_to_eventhub::apply(x, policy)).await,
        StepKind::MockResponse(policy) => mock_response::apply(x, policy),
        StepKind::Proxy(policy) => Box::pin(authentication::proxy(x, policy)).await,
        StepKind::Quota(policy) => quota::apply(x, step, policy),
        StepKind::QuotaByKey(policy) => Box::pin(quota::by_key(x, policy)).await,
        StepKind::RateLimit(policy) if x.gateway.options.shared_rates.is_none() => {
            rate_limit::apply(x, step, policy)
        }
        StepKind::RateLimit(policy) => Box::pin(rate_limit::apply_shared(x, step, policy)).await,
        StepKind::RateLimitByKey(policy) => Box::pin(rate_limit::by_key(x, policy)).await,
        StepKind::RedirectContentUrls(_) => Box::pin(redirect_content_urls::apply(x)).await,
        StepKind::Retry(policy) => Box::pin(retry::apply(x, policy)).await,
        StepKind::ReturnResponse(policy) => Box::pin(return_response::apply(x, policy)).await,
        StepKind::RewriteUri(policy) => Box::pin(rewrite_uri::apply(x, policy)).await,
        StepKind::SendOneWayRequest(policy) => Box::pin(send_request::one_way(x, policy)).await,
        StepKind::SendRequest(policy) => Box::pin(send_request::apply(x, policy)).await,
        StepKind::SetBackendService(policy) => {
            Box::pin(set_backend_service::apply(x, policy)).await
        }
        StepKind::SetBody(policy) => Box::pin(set_body::apply(x, policy)).await,
        StepKind::SetHeader(policy) => set_header::apply(x, policy).await,
        StepKind::SetMethod(policy) => Box::pin(set_method::apply(x, policy)).await,
        StepKind::SetQueryParameter(policy) => {
            Box::pin(set_query_parameter::apply(x, policy)).await
        }
        StepKind::SetStatus(policy) => Box::pin(set_status::apply(x, policy)).await,
        StepKind::SetVariable(policy) => Box::pin(set_variable::apply(x, policy)).await,
        StepKind::Trace(policy) => Box::pin(trace::apply(x, policy)).await,
        StepKind::ValidateAzureAdToken(policy) => {
            Box::pin(validate_azure_ad_token::apply(x, policy)).await
        }
        StepKind::ValidateClientCertificate(policy) => {
            Box::pin(validate_client_certificate::apply(x, policy)).await
        }
        StepKind::ValidateContent(policy) => Box::pin(validate_content::apply(x, policy)).await,
        StepKind::ValidateHeaders(policy) => {
            Box::pin(validate_parameters::headers(x, policy)).await
        }
        StepKind::ValidateJwt(policy) => Box::pin(validate_jwt::apply(x, policy, None)).await,
        StepKind::ValidateParameters(policy) => {
            Box::pin(validate_parameters::apply(x, policy)).await
        }
        StepKind::ValidateStatusCode(policy) => {
            Box::pin(validate_status_code::apply(x, policy)).await
        }
        StepKind::Wait(policy) => Box::pin(wait::apply(x, policy)).await,
        StepKind::XmlToJson(policy) => Box::pin(convert::xml_to_json(x, policy)).await,
    }
}
