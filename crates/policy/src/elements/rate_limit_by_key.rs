//! `<rate-limit-by-key>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;
use crate::elements::rate_limit::{self, LONGEST_PERIOD, OUTPUTS, Outputs};
use crate::value::Value;

/// Limits the call rate of each value of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimitByKey {
    /// Number of calls in the window.
    pub calls: Value<u64>,
    /// Length of the window.
    pub renewal_period: Value<Duration>,
    /// What is counted together.
    pub counter_key: Value<String>,
    /// Whether the call counts.
    pub increment_condition: Option<Value<bool>>,
    /// How much the call counts: 1 unless given.
    pub increment_count: Value<u64>,
    /// Where the state is told.
    pub outputs: Outputs,
}

pub(crate) const EXAMPLE: &str = r#"<rate-limit-by-key calls="10" renewal-period="60" increment-condition="@(context.Response.StatusCode == 200)" counter-key="@(context.Request.IpAddress)" remaining-calls-variable-name="remainingCallsPerIP" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<RateLimitByKey> {
    let [a, b, c, d, e] = OUTPUTS;
    parser.attributes(
        element,
        &["calls", "renewal-period", "counter-key", "increment-condition", "increment-count", a, b, c, d, e],
    );
    parser.children(element, &[]);
    let calls = parser.value(element, "calls");
    let renewal_period: Option<Value<Duration>> = parser.value(element, "renewal-period");
    if let Some(Value::Literal(period)) = &renewal_period
        && (period.is_zero() || *period > LONGEST_PERIOD)
    {
        parser.problem(element.at, element, rate_limit::period_message());
    }
    let counter_key = parser.value(element, "counter-key");
    let increment_condition = parser.optional_value(element, "increment-condition");
    let increment_count = parser.value_or(element, "increment-count", 1);
    let outputs = rate_limit::outputs(parser, element);
    Some(RateLimitByKey {
        calls: calls?,
        renewal_period: renewal_period?,
        counter_key: counter_key?,
        increment_condition,
        increment_count,
        outputs,
    })
}
