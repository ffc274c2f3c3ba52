//! `<redirect-content-urls>`.

use crate::parser::Parser;
use crate::xml::Element;

/// Turns addresses of the backend in the body into those of the gateway, and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectContentUrls;

pub(crate) const EXAMPLE: &str = r#"<redirect-content-urls />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<RedirectContentUrls> {
    parser.attributes(element, &[]);
    parser.children(element, &[]);
    Some(RedirectContentUrls)
}
