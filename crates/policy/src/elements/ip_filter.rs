//! `<ip-filter>`.

use std::net::IpAddr;

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// What happens to the addresses of the list.
    FilterAction ("'allow' or 'forbid'") {
        /// Only they may call.
        Allow = "allow",
        /// All others may call.
        Forbid = "forbid",
    }
}

/// Permits or forbids client addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct IpFilter {
    /// What happens to the addresses.
    pub action: Value<FilterAction>,
    /// Single addresses.
    pub addresses: Vec<Value<IpAddr>>,
    /// First and last address of each range, both included.
    pub ranges: Vec<(Value<IpAddr>, Value<IpAddr>)>,
}

impl crate::value::Literal for IpAddr {
    const EXPECTED: &'static str = "an IPv4 or IPv6 address";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn expected_type() -> crate::expression::Type {
        crate::expression::Type::String
    }
}

pub(crate) const EXAMPLE: &str = r#"<ip-filter action="allow">
    <address>13.66.201.169</address>
    <address-range from="13.66.140.128" to="13.66.140.143" />
</ip-filter>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<IpFilter> {
    parser.attributes(element, &["action"]);
    parser.children(element, &["address", "address-range"]);
    let action = parser.value(element, "action");
    let addresses = parser.texts(element, "address");
    let mut ranges = Vec::new();
    for child in element.elements().filter(|child| child.name == "address-range") {
        parser.attributes(child, &["from", "to"]);
        parser.children(child, &[]);
        let from = parser.value(child, "from");
        let to = parser.value(child, "to");
        let (Some(from), Some(to)) = (from, to) else { continue };
        if let (Value::Literal(from), Value::Literal(to)) = (&from, &to) {
            let same_family = matches!((from, to), (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)));
            if !same_family || from > to {
                parser.problem(child.at, child, format!("'{from}' to '{to}' is not a range of addresses."));
            }
        }
        ranges.push((from, to));
    }
    if !element.elements().any(|child| matches!(child.name.as_str(), "address" | "address-range")) {
        parser.problem(element.at, element, "At least one element 'address' or 'address-range' is required.");
    }
    Some(IpFilter { action: action?, addresses, ranges })
}
