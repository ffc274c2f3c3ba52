//! Named values: `{{name}}` in a policy document.

use std::collections::BTreeSet;

use crate::problem::{Lines, Problem};
use crate::xml;

/// Names of the named values that a document uses, sorted, each once.
pub fn named_values_in(xml: &str) -> Vec<String> {
    let names: BTreeSet<&str> = references(xml).map(|(_, name)| name).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Puts values in the place of `{{name}}`, escaped for XML: `xml` must have [`Format::Xml`](crate::Format::Xml); bring other text
/// into it with [`reformat`](crate::reformat).
///
/// # Errors
/// One problem for each reference that `lookup` does not know.
pub fn substitute_named_values(
    xml: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, Vec<Problem>> {
    let lines = Lines::new(xml);
    let mut problems = Vec::new();
    let mut out = String::with_capacity(xml.len());
    let mut copied = 0;
    for (at, name) in references(xml) {
        match lookup(name) {
            Some(value) => {
                out.push_str(&xml[copied..at]);
                xml::escape(&value, true, &mut out);
                copied = at + name.len() + 4;
            }
            None => {
                problems.push(lines.problem(at, None, format!("Cannot find a property '{name}'.")))
            }
        }
    }
    out.push_str(&xml[copied..]);
    if problems.is_empty() {
        Ok(out)
    } else {
        Err(problems)
    }
}

/// Offset of `{{` and name of each reference. Braces that do not hold a name belong to a template or to C#.
fn references(xml: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(open) = xml[at..].find("{{") {
            let start = at + open;
            let inner = &xml[start + 2..];
            let length = inner
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')))
                .unwrap_or(inner.len());
            if length > 0 && inner[length..].starts_with("}}") {
                at = start + length + 4;
                return Some((start, &inner[..length]));
            }
            at = start + 1;
        }
        None
    })
}
