//! `<wait>`.

use crate::document::Step;
use crate::parser::Parser;
use crate::xml::Element;
use crate::value::words;

words! {
    /// What the policy waits for.
    WaitFor ("'all' or 'any'") {
        /// Every policy inside.
        All = "all",
        /// The first policy inside that ends.
        Any = "any",
    }
}

/// Runs the policies inside at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// What it waits for: all unless given.
    pub wait_for: WaitFor,
    /// `send-request`, `cache-lookup-value` and `choose` steps.
    pub steps: Vec<Step>,
}

pub(crate) const EXAMPLE: &str = r#"<wait for="any">
    <cache-lookup-value key="first" variable-name="first" />
    <cache-lookup-value key="second" variable-name="second" />
</wait>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Wait> {
    parser.attributes(element, &["for"]);
    let wait_for = parser.literal_or(element, "for", WaitFor::All);
    let steps = parser.branch(element, &["send-request", "cache-lookup-value", "choose"]);
    Some(Wait { wait_for, steps })
}
