//! `<set-variable>`.

use std::borrow::Cow;

use crate::expression::{Context, Data, Failure, Limits};
use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Sets a context variable, which keeps the type of the expression.
#[derive(Clone, Debug, PartialEq)]
pub struct SetVariable {
    /// Name of the variable.
    pub name: String,
    /// Its value; use [`SetVariable::data`], which does not turn it into text.
    pub value: Value<String>,
}

impl SetVariable {
    /// The value with its type.
    ///
    /// # Errors
    /// When the expression fails.
    pub fn data(&self, context: &dyn Context, limits: Limits) -> Result<Data, Failure> {
        match &self.value {
            Value::Literal(text) => Ok(Data::from(Cow::Borrowed(text.as_str()))),
            Value::Expression(expression) => expression.evaluate(context, limits),
        }
    }
}

pub(crate) const EXAMPLE: &str = r#"<set-variable name="IsMobile" value="@(context.Request.Headers.GetValueOrDefault(&quot;User-Agent&quot;,&quot;&quot;).Contains(&quot;iPad&quot;) || context.Request.Headers.GetValueOrDefault(&quot;User-Agent&quot;,&quot;&quot;).Contains(&quot;iPhone&quot;))" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SetVariable> {
    parser.attributes(element, &["name", "value"]);
    parser.children(element, &[]);
    let name = parser.literal(element, "name");
    let value = parser.value(element, "value");
    Some(SetVariable { name: name?, value: value? })
}
