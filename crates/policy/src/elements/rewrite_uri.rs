//! `<rewrite-uri>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Changes the path and query that the backend sees.
#[derive(Clone, Debug, PartialEq)]
pub struct RewriteUri {
    /// New path and query, with `{parameter}` of the operation's template.
    pub template: Value<String>,
    /// Whether query parameters that the template does not mention are kept.
    pub copy_unmatched_params: Value<bool>,
}

pub(crate) const EXAMPLE: &str = r#"<rewrite-uri template="/put?c={d}" copy-unmatched-params="false" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<RewriteUri> {
    parser.attributes(element, &["template", "copy-unmatched-params"]);
    parser.children(element, &[]);
    let template: Option<Value<String>> = parser.value(element, "template");
    if let Some(Value::Literal(text)) = &template
        && !balanced(text)
    {
        parser.problem(element.at, element, format!("'{text}' is not valid for 'template': a brace is not closed."));
    }
    let copy_unmatched_params = parser.value_or(element, "copy-unmatched-params", true);
    Some(RewriteUri { template: template?, copy_unmatched_params })
}

fn balanced(template: &str) -> bool {
    let mut open = false;
    for c in template.chars() {
        match (c, open) {
            ('{', false) => open = true,
            ('}', true) => open = false,
            ('{', true) | ('}', false) => return false,
            _ => {}
        }
    }
    !open
}
