//! `<rate-limit>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;
use crate::elements::quota::{self, Target};

/// A number of calls in a fixed window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Number of calls.
    pub calls: u64,
    /// Length of the window.
    pub renewal_period: Duration,
}

/// Where the state of a limit is told. Every name is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Header with the seconds to wait; `Retry-After` when absent.
    pub retry_after_header_name: Option<String>,
    /// Variable with the seconds to wait.
    pub retry_after_variable_name: Option<String>,
    /// Header with the calls left.
    pub remaining_calls_header_name: Option<String>,
    /// Variable with the calls left.
    pub remaining_calls_variable_name: Option<String>,
    /// Header with the calls of the window.
    pub total_calls_header_name: Option<String>,
}

/// A rate of its own for an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRate {
    /// Which API.
    pub api: Target,
    /// Its rate.
    pub rate: Rate,
    /// Rates of single operations.
    pub operations: Vec<(Target, Rate)>,
}

/// Limits the call rate of each subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The rate of the scope.
    pub rate: Rate,
    /// Where the state is told.
    pub outputs: Outputs,
    /// Rates of single APIs, which count separately.
    pub apis: Vec<ApiRate>,
}

/// Longest window, as published.
pub(crate) const LONGEST_PERIOD: Duration = Duration::from_secs(300);

pub(crate) const OUTPUTS: [&str; 5] = [
    "retry-after-header-name",
    "retry-after-variable-name",
    "remaining-calls-header-name",
    "remaining-calls-variable-name",
    "total-calls-header-name",
];

pub(crate) const EXAMPLE: &str = r#"<rate-limit calls="20" renewal-period="90" remaining-calls-variable-name="remainingCallsPerSubscription">
    <api name="Echo API" calls="10" renewal-period="60">
        <operation id="create-resource" calls="5" renewal-period="60" />
    </api>
</rate-limit>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<RateLimit> {
    let [a, b, c, d, e] = OUTPUTS;
    parser.attributes(element, &["calls", "renewal-period", a, b, c, d, e]);
    parser.children(element, &["api"]);
    let own = rate(parser, element);
    let outputs = outputs(parser, element);
    let mut apis = Vec::new();
    for api in element.elements().filter(|child| child.name == "api") {
        parser.attributes(api, &["name", "calls", "renewal-period"]);
        parser.children(api, &["operation"]);
        let which = quota::target(parser, api);
        let own = rate(parser, api);
        let mut operations = Vec::new();
        for operation in api.elements().filter(|child| child.name == "operation") {
            parser.attributes(operation, &["name", "calls", "renewal-period"]);
            parser.children(operation, &[]);
            let which = quota::target(parser, operation);
            let own = rate(parser, operation);
            operations.extend(which.zip(own));
        }
        apis.extend(which.zip(own).map(|(api, rate)| ApiRate { api, rate, operations }));
    }
    Some(RateLimit { rate: own?, outputs, apis })
}

fn rate(parser: &mut Parser<'_>, element: &Element) -> Option<Rate> {
    let calls = parser.literal(element, "calls");
    let seconds: Option<u64> = parser.literal(element, "renewal-period");
    let renewal_period = Duration::from_secs(seconds?);
    if renewal_period.is_zero() || renewal_period > LONGEST_PERIOD {
        parser.problem(element.at, element, period_message());
    }
    Some(Rate { calls: calls?, renewal_period })
}

pub(crate) fn period_message() -> String {
    format!("'renewal-period' must be from 1 to {} seconds.", LONGEST_PERIOD.as_secs())
}

pub(crate) fn outputs(parser: &mut Parser<'_>, element: &Element) -> Outputs {
    let [retry_after_header_name, retry_after_variable_name, remaining_calls_header_name, remaining_calls_variable_name, total_calls_header_name] =
        OUTPUTS.map(|name| parser.optional_literal(element, name));
    Outputs {
        retry_after_header_name,
        retry_after_variable_name,
        remaining_calls_header_name,
        remaining_calls_variable_name,
        total_calls_header_name,
    }
}
