//! `<set-query-parameter>`.

use crate::elements::set_header::{self, ExistsAction};
use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Sets, appends to or deletes a query parameter of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct SetQueryParameter {
    /// Name of the parameter.
    pub name: Value<String>,
    /// What happens when it exists.
    pub exists_action: Value<ExistsAction>,
    /// Its values; empty only when it is deleted.
    pub values: Vec<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<set-query-parameter name="api-key" exists-action="skip">
    <value>12345678901</value>
</set-query-parameter>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SetQueryParameter> {
    let (name, exists_action, values) = set_header::named_values(parser, element)?;
    Some(SetQueryParameter { name, exists_action, values })
}
