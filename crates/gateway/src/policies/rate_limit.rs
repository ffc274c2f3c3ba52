//! `<rate-limit>` and `<rate-limit-by-key>`.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue, StatusCode, header};
use policy::elements::quota::Target;
use policy::elements::rate_limit::{Outputs, Rate, RateLimit};
use policy::elements::rate_limit_by_key::RateLimitByKey;
use policy::expression::Data;
use policy::{Scope, Step};
use snapshot::Position;
use uuid::Uuid;

use crate::exchange::{After, Exchange, Flow};
use crate::fault::Fault;
use crate::listen::Inner;
use crate::rate::{RateQuestion, Verdict};

const SOURCE: &str = "rate-limit";

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RateKey {
    /// Calls of a subscription under one limit; nil stands for all calls without one.
    Subscription {
        service: Uuid,
        subscription: Uuid,
        /// Entity that the policy is attached to.
        place: Uuid,
        /// Tells limits of one document apart.
        ordinal: u32,
        /// API or operation that has a rate of its own in it.
        part: Uuid,
    },
    /// Calls with one value of `counter-key`, wherever the policy stands.
    Key { service: Uuid, key: String },
}

impl RateKey {
    /// The same text on every gateway. What a policy computes may be long or personal, so that a digest stands for it.
    fn text(&self) -> String {
        match self {
            Self::Subscription {
                service,
                subscription,
                place,
                ordinal,
                part,
            } => format!("{service}:{subscription}:{place}:{ordinal}:{part}"),
            Self::Key { service, key } => {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
                let mut text = format!("{service}:key:");
                for byte in digest.as_ref() {
                    // Writing to a string does not fail.
                    let _ = write!(text, "{byte:02x}");
                }
                text
            }
        }
    }
}

/// Id of the entity that the step's document is attached to.
fn place(x: &Exchange, scope: Scope) -> Uuid {
    match scope {
        Scope::Global | Scope::Fragment => x.service_id,
        Scope::Product => x
            .access
            .product
            .as_ref()
            .map_or(Uuid::nil(), |product| product.id),
        Scope::Api => x.api.as_ref().map_or(Uuid::nil(), |api| api.id),
        Scope::Operation => x
            .operation
            .as_ref()
            .map_or(Uuid::nil(), |state| state.operation.id),
    }
}

/// Whether a limit's child is for the call's API.
pub(super) fn is_api(x: &Exchange, target: &Target) -> bool {
    x.api.as_ref().is_some_and(|api| match target {
        Target::Id(id) => api.name.eq_ignore_ascii_case(id),
        Target::Name(name) => api.display_name == *name,
    })
}

/// Whether a limit's grandchild is for the call's operation.
pub(super) fn is_operation(x: &Exchange, target: &Target) -> bool {
    x.operation.as_ref().is_some_and(|state| match target {
        Target::Id(id) => state.operation.name.eq_ignore_ascii_case(id),
        Target::Name(name) => state.operation.display_name == *name,
    })
}

/// A rate that a call is under.
struct Asked {
    outputs: Outputs,
    rate: Rate,
    /// API or operation that has the rate of its own; nil for the policy's.
    part: Uuid,
}

/// Rates of the call's API and operation beside the policy's own.
fn parts(x: &Exchange, policy: &RateLimit) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut push = |rate, part| {
        asked.push(Asked {
            outputs: Outputs::default(),
            rate,
            part,
        });
    };
    for api in &policy.apis {
        if !is_api(x, &api.api) {
            continue;
        }
        push(api.rate, x.api.as_ref().map_or(Uuid::nil(), |api| api.id));
        for (operation, rate) in &api.operations {
            if is_operation(x, operation) {
                let id = x.operation.as_ref();
                push(*rate, id.map_or(Uuid::nil(), |state| state.operation.id));
            }
        }
    }
    asked
}

fn key_of(x: &Exchange, step: &Step, part: Uuid) -> RateKey {
    let position = Position::of(step);
    RateKey::Subscription {
        service: x.service_id,
        subscription: x.subscription_id(),
        place: place(x, position.scope),
        ordinal: position.ordinal,
        part,
    }
}

/// Counts in this process.
pub(super) fn apply(x: &mut Exchange, step: &Step, policy: &RateLimit) -> Result<Flow, Fault> {
    ask_here(x, step, &policy.outputs, policy.rate, Uuid::nil())?;
    if !policy.apis.is_empty() {
        for asked in parts(x, policy) {
            ask_here(x, step, &asked.outputs, asked.rate, asked.part)?;
        }
    }
    Ok(Flow::Next)
}

fn ask_here(
    x: &mut Exchange,
    step: &Step,
    outputs: &Outputs,
    rate: Rate,
    part: Uuid,
) -> Result<(), Fault> {
    let key = key_of(x, step, part);
    let now_ms = x.gateway.options.clock.monotonic_ms();
    let period_ms = milliseconds(rate.renewal_period);
    let verdict = x.gateway.rates.ask(key, now_ms, rate.calls, period_ms, 1);
    tell(x, SOURCE, outputs, verdict, rate.calls)
}

/// Counts where all gateways count.
pub(super) async fn apply_shared(
    x: &mut Exchange,
    step: &Step,
    policy: &RateLimit,
) -> Result<Flow, Fault> {
    let mut all = vec![Asked {
        outputs: policy.outputs.clone(),
        rate: policy.rate,
        part: Uuid::nil(),
    }];
    all.append(&mut parts(x, policy));
    for asked in all {
        let key = key_of(x, step, asked.part);
        let period_ms = milliseconds(asked.rate.renewal_period);
        let verdict = ask(&x.gateway, key, asked.rate.calls, period_ms, 1).await;
        tell(x, SOURCE, &asked.outputs, verdict, asked.rate.calls)?;
    }
    Ok(Flow::Next)
}

/// Asks the counters that all gateways share, or, where there are none or they do not answer, those of this process.
async fn ask(gateway: &Inner, key: RateKey, limit: u64, period_ms: u64, count: u64) -> Verdict {
    let shared = match &gateway.options.shared_rates {
        None => None,
        Some(shared) => {
            shared
                .ask(RateQuestion {
                    key: key.text(),
                    limit,
                    period_ms,
                    count,
                    is_admitted: false,
                })
                .await
        }
    };
    // The answer may have taken a while.
    let now_ms = gateway.options.clock.monotonic_ms();
    let Some(verdict) = shared else {
        return gateway.rates.ask(key, now_ms, limit, period_ms, count);
    };
    if count > 0 && matches!(verdict, Verdict::Admitted { .. }) {
        // Should the shared counters be lost, this process goes on from what it admitted itself.
        gateway.rates.count(key, now_ms, limit, period_ms, count);
    }
    verdict
}

/// Counts calls that were admitted before, here and where all gateways count.
pub(crate) async fn count(gateway: &Inner, key: RateKey, limit: u64, period_ms: u64, count: u64) {
    if let Some(shared) = &gateway.options.shared_rates {
        // Without an answer the count of this process has to do.
        let _ = shared
            .ask(RateQuestion {
                key: key.text(),
                limit,
                period_ms,
                count,
                is_admitted: true,
            })
            .await;
    }
    let now_ms = gateway.options.clock.monotonic_ms();
    gateway.rates.count(key, now_ms, limit, period_ms, count);
}

pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn by_key(x: &mut Exchange, policy: &RateLimitByKey) -> Result<Flow, Fault> {
    const SOURCE: &str = "rate-limit-by-key";
    let limit = *x.value(&policy.calls, SOURCE).await?;
    let period_ms = milliseconds(*x.value(&policy.renewal_period, SOURCE).await?).max(1);
    let key = RateKey::Key {
        service: x.service_id,
        key: x.value(&policy.counter_key, SOURCE).await?.into_owned(),
    };
    let is_late =
        policy.increment_condition.is_some() || policy.increment_count.expression().is_some();
    let count = match policy.increment_count.literal() {
        Some(count) if !is_late => *count,
        _ => 0,
    };
    let verdict = ask(&x.gateway, key.clone(), limit, period_ms, count).await;
    tell(x, SOURCE, &policy.outputs, verdict, limit)?;
    if is_late {
        x.after.push(After::Rate {
            key,
            limit,
            period_ms,
            condition: policy.increment_condition.clone(),
            count: policy.increment_count.clone(),
        });
    }
    Ok(Flow::Next)
}

fn tell(
    x: &mut Exchange,
    source: &'static str,
    outputs: &Outputs,
    verdict: Verdict,
    limit: u64,
) -> Result<(), Fault> {
    let (remaining, wait_s) = match verdict {
        Verdict::Admitted { remaining } => (remaining, None),
        Verdict::Refused { wait_ms } => (0, Some(wait_ms.div_ceil(1000))),
    };
    let mut header = |name: &Option<String>, value: u64| {
        if let Some(name) = name
            .as_deref()
            .and_then(|name| HeaderName::try_from(name).ok())
        {
            x.limit_headers.push((name, HeaderValue::from(value)));
        }
    };
    header(&outputs.remaining_calls_header_name, remaining);
    header(&outputs.total_calls_header_name, limit);
    if let (Some(name), Some(wait_s)) = (&outputs.retry_after_header_name, wait_s) {
        header(&Some(name.clone()), wait_s);
    }
    let number = |value: u64| Data::Int(i64::try_from(value).unwrap_or(i64::MAX));
    if let Some(name) = &outputs.remaining_calls_variable_name {
        x.variables.insert(name.clone(), number(remaining));
    }
    let Some(wait_s) = wait_s else { return Ok(()) };
    if let Some(name) = &outputs.retry_after_variable_name {
        x.variables.insert(name.clone(), number(wait_s));
    }
    let message = format!("Rate limit is exceeded. Try again in {wait_s} seconds.");
    let fault = Fault::new(
        StatusCode::TOO_MANY_REQUESTS,
        source,
        "RateLimitExceeded",
        message,
    );
    Err(match outputs.retry_after_header_name {
        Some(_) => fault,
        None => fault.with_header(header::RETRY_AFTER, HeaderValue::from(wait_s)),
    })
}
