//! `<quota>`.

use std::time::Duration;

use crate::parser::Parser;
use crate::xml::Element;

/// How much is permitted in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Number of calls.
    pub calls: Option<u64>,
    /// Kilobytes (1,024 bytes) of requests and responses.
    pub bandwidth_kilobytes: Option<u64>,
    /// Length of the period; zero means for ever.
    pub renewal_period: Duration,
}

/// An API or operation, by id or by display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its id.
    Id(String),
    /// By its display name.
    Name(String),
}

/// An allowance of its own for an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiQuota {
    /// Which API.
    pub api: Target,
    /// Its allowance.
    pub allowance: Allowance,
    /// Allowances of single operations.
    pub operations: Vec<(Target, Allowance)>,
}

/// Limits calls and bandwidth of each subscription. Counts survive restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Allowance of the whole product.
    pub allowance: Allowance,
    /// Allowances of single APIs, which count separately.
    pub apis: Vec<ApiQuota>,
}

/// Shortest renewal period of a quota, as published; zero stands for no renewal.
pub(crate) const SHORTEST_PERIOD: Duration = Duration::from_secs(300);

pub(crate) const EXAMPLE: &str = r#"<quota calls="10000" bandwidth="40000" renewal-period="3600">
    <api id="echo-api" calls="5000" renewal-period="3600">
        <operation id="retrieve-resource" calls="1000" renewal-period="3600" />
    </api>
</quota>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Quota> {
    parser.attributes(element, &["calls", "bandwidth", "renewal-period"]);
    parser.children(element, &["api"]);
    let own = allowance(parser, element);
    let mut apis = Vec::new();
    for api in element.elements().filter(|child| child.name == "api") {
        parser.attributes(api, &["name", "calls", "bandwidth", "renewal-period"]);
        parser.children(api, &["operation"]);
        let which = target(parser, api);
        let own = allowance(parser, api);
        let mut operations = Vec::new();
        for operation in api.elements().filter(|child| child.name == "operation") {
            parser.attributes(operation, &["name", "calls", "bandwidth", "renewal-period"]);
            parser.children(operation, &[]);
            let which = target(parser, operation);
            let own = allowance(parser, operation);
            operations.extend(which.zip(own));
        }
        apis.extend(which.zip(own).map(|(api, allowance)| ApiQuota { api, allowance, operations }));
    }
    Some(Quota { allowance: own?, apis })
}

/// Reads `calls`, `bandwidth` and `renewal-period`.
pub(crate) fn allowance(parser: &mut Parser<'_>, element: &Element) -> Option<Allowance> {
    let before = parser.problems.len();
    let calls = parser.optional_literal(element, "calls");
    let bandwidth_kilobytes = parser.optional_literal(element, "bandwidth");
    if calls.is_none() && bandwidth_kilobytes.is_none() && parser.problems.len() == before {
        parser.problem(element.at, element, "At least one of 'calls' and 'bandwidth' is required.");
    }
    let seconds: u64 = parser.literal(element, "renewal-period")?;
    let renewal_period = Duration::from_secs(seconds);
    if !renewal_period.is_zero() && renewal_period < SHORTEST_PERIOD {
        parser.problem(element.at, element, format!("'renewal-period' must be 0 or at least {} seconds.", SHORTEST_PERIOD.as_secs()));
    }
    Some(Allowance { calls, bandwidth_kilobytes, renewal_period })
}

/// Reads `id` or `name`; the id counts when both are given, as published.
pub(crate) fn target(parser: &mut Parser<'_>, element: &Element) -> Option<Target> {
    let id = parser.optional_literal(element, "id").map(Target::Id);
    let target = id.or(parser.optional_literal(element, "name").map(Target::Name));
    if target.is_none() {
        parser.problem(element.at, element, "One of the attributes 'id' and 'name' is required.");
    }
    target
}
