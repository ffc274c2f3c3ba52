//! `<set-header>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// What happens when the header or parameter exists already.
    ExistsAction ("'override', 'skip', 'append' or 'delete'") {
        /// Its values are replaced.
        Override = "override",
        /// It stays as it is.
        Skip = "skip",
        /// The values are added.
        Append = "append",
        /// It is removed.
        Delete = "delete",
    }
}

/// Sets, appends to or deletes a header of the request (inbound, backend) or of the response (outbound, on-error).
#[derive(Clone, Debug, PartialEq)]
pub struct SetHeader {
    /// Name of the header.
    pub name: Value<String>,
    /// What happens when it exists.
    pub exists_action: Value<ExistsAction>,
    /// Its values; empty only when it is deleted.
    pub values: Vec<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<set-header name="x-request-context-data" exists-action="override">
    <value>@(context.User.Id)</value>
    <value>@(context.Deployment.Region)</value>
</set-header>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SetHeader> {
    let (name, exists_action, values) = named_values(parser, element)?;
    Some(SetHeader { name, exists_action, values })
}

/// Name, action and values.
type NamedValues = (Value<String>, Value<ExistsAction>, Vec<Value<String>>);

/// Reads what `set-header` and `set-query-parameter` share.
pub(crate) fn named_values(
    parser: &mut Parser<'_>,
    element: &Element,
) -> Option<NamedValues> {
    parser.attributes(element, &["name", "exists-action"]);
    parser.children(element, &["value"]);
    let name = parser.value(element, "name");
    if name == Some(Value::Literal(String::new())) {
        parser.problem(element.at, element, "Attribute 'name' must not be empty.");
    }
    let exists_action = parser.value_or(element, "exists-action", ExistsAction::Override);
    let values = parser.texts(element, "value");
    let has_values = element.elements().any(|child| child.name == "value");
    if !has_values && matches!(exists_action, Value::Literal(action) if action != ExistsAction::Delete) {
        parser.problem(element.at, element, "Required element 'value' is missing.");
    }
    Some((name?, exists_action, values))
}
