//! `<choose>`.

use crate::document::Step;
use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// A branch with its condition.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// Whether the branch is taken.
    pub condition: Value<bool>,
    /// Steps of the branch.
    pub steps: Vec<Step>,
}

/// Runs the first branch whose condition holds, else `otherwise`.
#[derive(Clone, Debug, PartialEq)]
pub struct Choose {
    /// Branches in order.
    pub when: Vec<When>,
    /// Steps when no condition holds.
    pub otherwise: Vec<Step>,
}

pub(crate) const EXAMPLE: &str = r#"<choose>
    <when condition="@(context.Request.Method == &quot;GET&quot;)">
        <set-variable name="reading" value="yes" />
    </when>
    <otherwise>
        <set-variable name="reading" value="no" />
    </otherwise>
</choose>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Choose> {
    parser.attributes(element, &[]);
    parser.children(element, &["when", "otherwise"]);
    let mut when = Vec::new();
    let mut complete = true;
    for child in element.elements().filter(|child| child.name == "when") {
        parser.attributes(child, &["condition"]);
        let condition = parser.value(child, "condition");
        let steps = parser.steps(child);
        match condition {
            Some(condition) => when.push(When { condition, steps }),
            None => complete = false,
        }
    }
    if when.is_empty() && complete {
        parser.problem(element.at, element, "Required element 'when' is missing.");
        complete = false;
    }
    let otherwise = match parser.child(element, "otherwise") {
        Some(child) => {
            parser.attributes(child, &[]);
            parser.steps(child)
        }
        None => Vec::new(),
    };
    complete.then_some(Choose { when, otherwise })
}
