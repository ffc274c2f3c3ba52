//! `<quota>` and `<quota-by-key>`.

use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode, header};
use policy::Step;
use policy::elements::quota::{Allowance, Quota};
use policy::elements::quota_by_key::QuotaByKey;
use uuid::Uuid;

use super::rate_limit::{is_api, is_operation};
use crate::counter::{CounterKey, Exceeded, Period};
use crate::exchange::{After, Exchange, Flow, Owed};
use crate::fault::Fault;

pub(super) fn apply(x: &mut Exchange, step: &Step, policy: &Quota) -> Result<Flow, Fault> {
    let place = x.place(step);
    ask(x, &policy.allowance, place.clone())?;
    for api in &policy.apis {
        if !is_api(x, &api.api) {
            continue;
        }
        let id = x.api.as_ref().map_or(Uuid::nil(), |api| api.root());
        let place = format!("{place}/api:{id}");
        ask(x, &api.allowance, place.clone())?;
        for (operation, allowance) in &api.operations {
            if !is_operation(x, operation) {
                continue;
            }
            let id = x
                .operation
                .as_ref()
                .map_or(Uuid::nil(), |state| state.operation.id);
            ask(x, allowance, format!("{place}/operation:{id}"))?;
        }
    }
    Ok(Flow::Next)
}

/// Periods begin with the subscription, as published.
fn anchor(x: &Exchange) -> DateTime<Utc> {
    let subscription = x.access.subscription.as_ref();
    subscription
        .and_then(|subscription| subscription.start_at.or(subscription.created_at))
        .unwrap_or_default()
}

fn ask(x: &mut Exchange, allowance: &Allowance, step: String) -> Result<(), Fault> {
    let key = CounterKey {
        service_id: x.service_id,
        subscription_id: x.subscription_id(),
        step,
    };
    let now = x.gateway.options.clock.now();
    let period = Period::at(now, anchor(x), allowance.renewal_period);
    let asked = x.gateway.options.counters.ask(&key, period, allowance, 1);
    asked.map_err(|exceeded| refusal("quota", exceeded, period, now))?;
    if allowance.bandwidth_kilobytes.is_some() {
        x.owed.push(Owed {
            key,
            period,
            calls: 0,
        });
    }
    Ok(())
}

pub(super) async fn by_key(x: &mut Exchange, policy: &QuotaByKey) -> Result<Flow, Fault> {
    const SOURCE: &str = "quota-by-key";
    let key = CounterKey {
        service_id: x.service_id,
        subscription_id: Uuid::nil(),
        step: format!("key:{}", x.value(&policy.counter_key, SOURCE).await?),
    };
    let now = x.gateway.options.clock.now();
    let first = policy
        .first_period_start
        .map_or_else(DateTime::default, |start| start.to_utc());
    let period = Period::at(now, first, policy.allowance.renewal_period);
    let is_late =
        policy.increment_condition.is_some() || policy.increment_count.expression().is_some();
    let calls = match policy.increment_count.literal() {
        Some(count) if !is_late => *count,
        _ => 0,
    };
    let asked = x
        .gateway
        .options
        .counters
        .ask(&key, period, &policy.allowance, calls);
    asked.map_err(|exceeded| refusal(SOURCE, exceeded, period, now))?;
    if is_late {
        x.after.push(After::Quota {
            key: key.clone(),
            period,
            condition: policy.increment_condition.clone(),
            count: policy.increment_count.clone(),
        });
    }
    if policy.allowance.bandwidth_kilobytes.is_some() {
        x.owed.push(Owed {
            key,
            period,
            calls: 0,
        });
    }
    Ok(Flow::Next)
}

fn refusal(source: &'static str, exceeded: Exceeded, period: Period, now: DateTime<Utc>) -> Fault {
    let what = match exceeded {
        Exceeded::Calls => "Out of call volume quota.",
        Exceeded::Bandwidth => "Out of bandwidth quota.",
    };
    let Some(end) = period.end else {
        return Fault::new(StatusCode::FORBIDDEN, source, "QuotaExceeded", what);
    };
    let left_ms = (end - now).num_milliseconds().max(0);
    let seconds = left_ms.unsigned_abs().div_ceil(1000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days > 0 {
        format!("{days}.")
    } else {
        String::new()
    };
    let message = format!(
        "{what} Quota will be replenished in {days}{hours:02}:{minutes:02}:{:02}.",
        seconds % 60
    );
    Fault::new(StatusCode::FORBIDDEN, source, "QuotaExceeded", message)
        .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
}
