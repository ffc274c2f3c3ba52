//! `<proxy>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Reaches the backend through an HTTP proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Proxy {
    /// Address of the proxy: `http://host:port`.
    pub url: Value<String>,
    /// Name for the proxy.
    pub username: Option<Value<String>>,
    /// Password for the proxy.
    pub password: Option<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<proxy url="http://hostname-or-ip:8080" username="name" password="password" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Proxy> {
    parser.attributes(element, &["url", "username", "password"]);
    parser.children(element, &[]);
    let url = parser.value(element, "url");
    let username = parser.optional_value(element, "username");
    let password = parser.optional_value(element, "password");
    Some(Proxy { url: url?, username, password })
}
