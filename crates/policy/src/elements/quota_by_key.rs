//! `<quota-by-key>`.

use chrono::{DateTime, FixedOffset};

use crate::parser::Parser;
use crate::xml::Element;
use crate::elements::quota::{self, Allowance};
use crate::value::{Literal, Value};

/// Limits calls and bandwidth of each value of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaByKey {
    /// How much is permitted.
    pub allowance: Allowance,
    /// What is counted together.
    pub counter_key: Value<String>,
    /// Whether the call counts.
    pub increment_condition: Option<Value<bool>>,
    /// How much the call counts: 1 unless given.
    pub increment_count: Value<u64>,
    /// When the first period began; periods follow each other from there.
    pub first_period_start: Option<DateTime<FixedOffset>>,
}

impl Literal for DateTime<FixedOffset> {
    const EXPECTED: &'static str = "a time such as 2024-01-01T00:00:00Z";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse_from_rfc3339(text.trim()).ok()
    }

    fn expected_type() -> crate::expression::Type {
        crate::expression::Type::DateTime
    }
}

pub(crate) const EXAMPLE: &str = r#"<quota-by-key calls="10000" bandwidth="40000" renewal-period="3600" counter-key="@(context.Request.IpAddress)" increment-condition="@(context.Response.StatusCode &gt;= 200 &amp;&amp; context.Response.StatusCode &lt; 400)" first-period-start="2024-01-01T00:00:00Z" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<QuotaByKey> {
    parser.attributes(
        element,
        &["calls", "bandwidth", "renewal-period", "counter-key", "increment-condition", "increment-count", "first-period-start"],
    );
    parser.children(element, &[]);
    let allowance = quota::allowance(parser, element);
    let counter_key = parser.value(element, "counter-key");
    let increment_condition = parser.optional_value(element, "increment-condition");
    let increment_count = parser.value_or(element, "increment-count", 1);
    let first_period_start = parser.optional_literal(element, "first-period-start");
    Some(QuotaByKey { allowance: allowance?, counter_key: counter_key?, increment_condition, increment_count, first_period_start })
}
