//! `<validate-azure-ad-token>`: what `validate-jwt` does, with the settings of a tenant of Microsoft Entra.

use std::time::Duration;

use super::validate_jwt::{TokenSource, ValidateJwt, claims, list};
use crate::parser::Parser;
use crate::value::{StatusCode, Value};
use crate::xml::Element;

/// Demands a valid token of a tenant of Microsoft Entra.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateAzureAdToken {
    /// Id, domain or URL of the tenant.
    pub tenant_id: Value<String>,
    /// Where the token is and what it must hold; without the tenant's address.
    pub jwt: ValidateJwt,
    /// Applications that may have asked for the token; any when empty.
    pub client_application_ids: Vec<Value<String>>,
    /// Applications that the token may be for, beside the audiences.
    pub backend_application_ids: Vec<Value<String>>,
}

pub(crate) const EXAMPLE: &str = r#"<validate-azure-ad-token tenant-id="contoso.onmicrosoft.com" output-token-variable-name="jwt">
    <client-application-ids>
        <application-id>25eef6e4-c905-4a07-8eb4-0d08d5df8b3f</application-id>
    </client-application-ids>
    <audiences>
        <audience>@(context.Request.OriginalUrl.Host)</audience>
    </audiences>
    <required-claims>
        <claim name="ctry" match="any">
            <value>US</value>
        </claim>
    </required-claims>
</validate-azure-ad-token>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ValidateAzureAdToken> {
    parser.attributes(
        element,
        &[
            "tenant-id",
            "header-name",
            "query-parameter-name",
            "token-value",
            "failed-validation-httpcode",
            "failed-validation-error-message",
            "output-token-variable-name",
        ],
    );
    parser.children(
        element,
        &["client-application-ids", "backend-application-ids", "audiences", "required-claims", "decryption-keys"],
    );
    let tenant_id = parser.value(element, "tenant-id");
    let header = parser.optional_value(element, "header-name").map(TokenSource::Header);
    let query = parser.optional_value(element, "query-parameter-name").map(TokenSource::QueryParameter);
    let value = parser.optional_value(element, "token-value").map(TokenSource::Token);
    let mut sources = [header, query, value].into_iter().flatten();
    let token = sources
        .next()
        .unwrap_or_else(|| TokenSource::Header(Value::Literal("Authorization".to_owned())));
    if sources.next().is_some() {
        parser.problem(
            element.at,
            element,
            "At most one of the attributes 'header-name', 'query-parameter-name' and 'token-value' is allowed.",
        );
    }
    if let Some(child) = parser.child(element, "decryption-keys") {
        parser.problem(child.at, child, "Encrypted tokens are not supported: 'decryption-keys' must be left out.");
    }
    let required_claims = parser.child(element, "required-claims").map(|child| claims(parser, child));
    let jwt = ValidateJwt {
        token,
        failed_validation_httpcode: parser.value_or(element, "failed-validation-httpcode", StatusCode(401)),
        failed_validation_error_message: parser.optional_value(element, "failed-validation-error-message"),
        require_expiration_time: Value::Literal(true),
        require_scheme: None,
        require_signed_tokens: Value::Literal(true),
        clock_skew: Value::Literal(Duration::ZERO),
        output_token_variable_name: parser.optional_literal(element, "output-token-variable-name"),
        openid_configs: Vec::new(),
        issuer_signing_keys: Vec::new(),
        audiences: list(parser, element, "audiences", "audience"),
        issuers: Vec::new(),
        required_claims: required_claims.unwrap_or_default(),
    };
    let client_application_ids = list(parser, element, "client-application-ids", "application-id");
    let backend_application_ids = list(parser, element, "backend-application-ids", "application-id");
    Some(ValidateAzureAdToken {
        tenant_id: tenant_id?,
        jwt,
        client_application_ids,
        backend_application_ids,
    })
}
