//! `<cross-domain>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::xml::{self, Format, Tree};

/// Serves `/crossdomain.xml` and `/clientaccesspolicy.xml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossDomain {
    /// The policy file, in XML.
    pub document: String,
}

pub(crate) const EXAMPLE: &str = r#"<cross-domain>
    <cross-domain-policy>
        <allow-http-request-headers-from domain="*" headers="*" />
    </cross-domain-policy>
</cross-domain>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<CrossDomain> {
    parser.attributes(element, &[]);
    parser.children(element, &["cross-domain-policy", "access-policy"]);
    let Some(root) = element.elements().find(|child| matches!(child.name.as_str(), "cross-domain-policy" | "access-policy")) else {
        parser.problem(element.at, element, "Required element 'cross-domain-policy' is missing.");
        return None;
    };
    let tree = Tree { before: Vec::new(), root: root.clone(), after: Vec::new() };
    Some(CrossDomain { document: xml::write(&tree, Format::Xml) })
}
