//! `<retry>`.

use std::time::Duration;

use crate::document::Step;
use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Repeats the steps inside while a condition holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Whether to try again, asked after each attempt.
    pub condition: Value<bool>,
    /// Greatest number of attempts after the first: 1 to 50.
    pub count: Value<u32>,
    /// Wait between attempts.
    pub interval: Value<Duration>,
    /// Upper bound of growing waits.
    pub max_interval: Option<Value<Duration>>,
    /// Growth: linear without `max_interval`, exponential with it.
    pub delta: Option<Value<Duration>>,
    /// Whether the first repetition happens at once.
    pub first_fast_retry: Value<bool>,
    /// Steps inside.
    pub steps: Vec<Step>,
}

pub(crate) const EXAMPLE: &str = r#"<retry condition="@(context.Response.StatusCode == 500)" count="10" interval="10" max-interval="100" delta="10" first-fast-retry="false">
    <set-variable name="attempted" value="yes" />
</retry>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Retry> {
    parser.attributes(element, &["condition", "count", "interval", "max-interval", "delta", "first-fast-retry"]);
    let condition = parser.value(element, "condition");
    let count: Option<Value<u32>> = parser.value(element, "count");
    if let Some(Value::Literal(count)) = &count
        && !(1..=50).contains(count)
    {
        parser.problem(element.at, element, "'count' must be from 1 to 50.");
    }
    let interval = parser.value(element, "interval");
    let max_interval = parser.optional_value(element, "max-interval");
    let delta = parser.optional_value(element, "delta");
    let first_fast_retry = parser.value_or(element, "first-fast-retry", false);
    let steps = parser.steps(element);
    Some(Retry { condition: condition?, count: count?, interval: interval?, max_interval, delta, first_fast_retry, steps })
}
