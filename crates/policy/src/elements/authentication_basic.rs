//! `<authentication-basic>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Sets `Authorization: Basic` on the request to the backend.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthenticationBasic {
    /// Name of the user.
    pub username: Value<String>,
    /// Password of the user.
    pub password: Value<String>,
}

pub(crate) const EXAMPLE: &str = r#"<authentication-basic username="testuser" password="testpassword" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<AuthenticationBasic> {
    parser.attributes(element, &["username", "password"]);
    parser.children(element, &[]);
    let username = parser.value(element, "username");
    let password = parser.value(element, "password");
    Some(AuthenticationBasic { username: username?, password: password? })
}
