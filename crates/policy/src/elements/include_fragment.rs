//! `<include-fragment>`.

use crate::parser::Parser;
use crate::xml::Element;

/// Stands for the steps of a fragment; [`Document::resolve_fragments`](crate::Document::resolve_fragments) replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncludeFragment {
    /// Id of the policy fragment resource.
    pub fragment_id: String,
}

pub(crate) const EXAMPLE: &str = r#"<include-fragment fragment-id="myFragment" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<IncludeFragment> {
    parser.attributes(element, &["fragment-id"]);
    parser.children(element, &[]);
    Some(IncludeFragment { fragment_id: parser.literal(element, "fragment-id")? })
}
