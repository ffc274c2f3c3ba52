//! `<authentication-managed-identity>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// Gets a token for the service's own identity and sends it to the backend or keeps it in a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthenticationManagedIdentity {
    /// Audience of the token.
    pub resource: Value<String>,
    /// Client id of a user-assigned identity; absent means the system-assigned one.
    pub client_id: Option<Value<String>>,
    /// Variable that receives the token; without it the Authorization header is set.
    pub output_token_variable_name: Option<String>,
    /// Whether the request goes on when there is no token.
    pub ignore_error: bool,
}

pub(crate) const EXAMPLE: &str = r#"<authentication-managed-identity resource="https://graph.microsoft.com" output-token-variable-name="token" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<AuthenticationManagedIdentity> {
    parser.attributes(element, &["resource", "client-id", "output-token-variable-name", "ignore-error"]);
    parser.children(element, &[]);
    let resource = parser.value(element, "resource");
    let client_id = parser.optional_value(element, "client-id");
    let output_token_variable_name = parser.optional_literal(element, "output-token-variable-name");
    let ignore_error = parser.literal_or(element, "ignore-error", false);
    Some(AuthenticationManagedIdentity { resource: resource?, client_id, output_token_variable_name, ignore_error })
}
