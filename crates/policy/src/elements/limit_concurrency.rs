//! `<limit-concurrency>`.

use crate::document::Step;
use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Refuses with 429 when more than `max_count` requests with the same key run the steps inside.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitConcurrency {
    /// What is counted together.
    pub key: Value<String>,
    /// Greatest number of requests at one time.
    pub max_count: Value<u32>,
    /// Steps inside.
    pub steps: Vec<Step>,
}

pub(crate) const EXAMPLE: &str = r#"<limit-concurrency key="@((string)context.Variables[&quot;connectionId&quot;])" max-count="3">
    <set-variable name="entered" value="yes" />
</limit-concurrency>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<LimitConcurrency> {
    parser.attributes(element, &["key", "max-count"]);
    let key = parser.value(element, "key");
    let max_count = parser.value(element, "max-count");
    let steps = parser.steps(element);
    if max_count == Some(Value::Literal(0)) {
        parser.problem(element.at, element, "'max-count' must be greater than 0.");
    }
    Some(LimitConcurrency { key: key?, max_count: max_count?, steps })
}
