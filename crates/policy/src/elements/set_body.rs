//! `<set-body>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// Language of a template.
    TemplateLanguage ("'liquid'") {
        /// Liquid.
        Liquid = "liquid",
    }
}

words! {
    /// What a template sees for `xsi:nil` elements.
    XsiNil ("'blank' or 'null'") {
        /// An empty text.
        Blank = "blank",
        /// Null.
        Null = "null",
    }
}

/// What becomes the body.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The text, or the result of the expression.
    Text(Value<String>),
    /// A Liquid template over `body` and `context`.
    Liquid {
        /// The template.
        template: String,
        /// How `xsi:nil` is seen.
        xsi_nil: XsiNil,
        /// Whether texts that look like dates are rewritten as dates.
        parse_date: bool,
    },
}

/// Sets the body of the request (inbound, backend) or of the response (outbound, on-error).
#[derive(Clone, Debug, PartialEq)]
pub struct SetBody {
    /// What becomes the body.
    pub body: Body,
}

pub(crate) const EXAMPLE: &str = r#"<set-body template="liquid">
{
  "order": { "id": "{{body.customer.purchase.identifier}}" }
}
</set-body>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<SetBody> {
    parser.attributes(element, &["template", "xsi-nil", "parse-date"]);
    let template: Option<TemplateLanguage> = parser.optional_literal(element, "template");
    let xsi_nil = parser.literal_or(element, "xsi-nil", XsiNil::Blank);
    let parse_date = parser.literal_or(element, "parse-date", true);
    let text = parser.verbatim(element)?;
    let body = match (template, text) {
        (None, text) => Body::Text(text),
        (Some(TemplateLanguage::Liquid), Value::Literal(template)) => Body::Liquid { template, xsi_nil, parse_date },
        (Some(TemplateLanguage::Liquid), Value::Expression(_)) => {
            parser.problem(element.at, element, "A template must be text, not a policy expression.");
            return None;
        }
    };
    Some(SetBody { body })
}
