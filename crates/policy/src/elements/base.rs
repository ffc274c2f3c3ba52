//! `<base />`.

use crate::parser::Parser;
use crate::xml::Element;

/// Stands for the steps of the enclosing scope; [`effective`](crate::effective) replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base;

pub(crate) const EXAMPLE: &str = "<base />";

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Base> {
    parser.attributes(element, &[]);
    parser.children(element, &[]);
    Some(Base)
}
