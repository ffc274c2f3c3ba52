//! OAuth 2.0 authorization servers that APIs name in their authentication settings.

use crate::service::Service;
use engine::{
    Access, Action, Contract, Filter, Json, NameRule, Reply, Resource, Secret, Value, Violations,
    json, typed,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An authorization server.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AuthorizationServerContract {
    /// Name that people see.
    #[contract(length(1..=50))]
    pub display_name: String,
    /// Description.
    pub description: Option<String>,
    /// Whether the developer portal's test console uses it.
    #[contract(default = Some(true))]
    pub use_in_test_console: Option<bool>,
    /// Whether the documentation names it.
    #[contract(default = Some(false))]
    pub use_in_api_documentation: Option<bool>,
    /// Page where clients are registered.
    pub client_registration_endpoint: String,
    /// Authorization endpoint.
    pub authorization_endpoint: String,
    /// Ways to a token.
    pub grant_types: Json<Vec<GrantType>>,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    #[contract(secret)]
    pub client_secret: Option<Secret>,
    /// Methods of the authorization endpoint.
    pub authorization_methods: Option<Json<Vec<AuthorizationMethod>>>,
    /// How the client proves itself at the token endpoint.
    pub client_authentication_method: Option<Json<Vec<ClientAuthenticationMethod>>>,
    /// Further parameters of token requests.
    pub token_body_parameters: Option<Json<Vec<TokenBodyParameter>>>,
    /// Token endpoint.
    pub token_endpoint: Option<String>,
    /// Whether the server gives `state` back.
    pub support_state: Option<bool>,
    /// Scope that is asked for by default.
    pub default_scope: Option<String>,
    /// Where the token goes in calls.
    pub bearer_token_sending_methods: Option<Json<Vec<BearerTokenSendingMethod>>>,
    /// Resource owner of the password grant.
    pub resource_owner_username: Option<String>,
    /// The resource owner's password.
    #[contract(secret)]
    pub resource_owner_password: Option<Secret>,
}

/// A way to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum GrantType {
    /// RFC 6749, 4.1
    AuthorizationCode,
    /// RFC 6749, 4.2
    Implicit,
    /// RFC 6749, 4.3
    ResourceOwnerPassword,
    /// RFC 6749, 4.4
    ClientCredentials,
    /// RFC 7636
    AuthorizationCodeWithPkce,
}

/// A method of the authorization endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuthorizationMethod {
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// How a client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ClientAuthenticationMethod {
    /// In the header.
    Basic,
    /// In the body.
    Body,
}

/// Where the token goes in calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum BearerTokenSendingMethod {
    /// `Authorization`
    AuthorizationHeader,
    /// `access_token`
    Query,
}

/// A further parameter of token requests.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenBodyParameter {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// The kind.
pub struct AuthorizationServer;

impl Resource for AuthorizationServer {
    type Parent = Service;
    type Contract = AuthorizationServerContract;
    const TITLE: &'static str = "AuthorizationServer";
    const SEGMENT: &'static str = "authorizationServers";
    const PARAMETER: &'static str = "authsid";
    const TABLE: &'static str = "authorization_servers";
    const NAME: NameRule = NameRule::id(80);
    const FILTERS: &'static [Filter] =
        &[Filter::name(), Filter::text("displayName", "display_name")];
    const ACTIONS: &'static [Action] = &[Action {
        name: "listSecrets",
        operation: "AuthorizationServer_ListSecrets",
        summary: "Gives the server's secrets.",
        access: Access::Secret,
        status: 200,
        run: |_, server| {
            Box::pin(async move {
                let server: &AuthorizationServerContract = typed(server)?;
                Ok(Reply::ok(json!({
                    "clientSecret": server.client_secret.as_ref().map(Secret::expose),
                    "resourceOwnerUsername": server.resource_owner_username,
                    "resourceOwnerPassword": server.resource_owner_password.as_ref().map(Secret::expose),
                })))
            })
        },
    }];

    fn example() -> Value {
        json!({
            "displayName": "Company OAuth",
            "clientRegistrationEndpoint": "https://login.example.org/apps",
            "authorizationEndpoint": "https://login.example.org/authorize",
            "tokenEndpoint": "https://login.example.org/token",
            "grantTypes": ["authorizationCode"],
            "clientId": "portal",
            "clientSecret": "open-sesame",
            "authorizationMethods": ["GET"],
            "clientAuthenticationMethod": ["Basic"],
            "bearerTokenSendingMethods": ["authorizationHeader"]
        })
    }

    fn validate(server: &AuthorizationServerContract, violations: &mut Violations) {
        for (field, url) in [
            (
                "clientRegistrationEndpoint",
                Some(&server.client_registration_endpoint),
            ),
            (
                "authorizationEndpoint",
                Some(&server.authorization_endpoint),
            ),
            ("tokenEndpoint", server.token_endpoint.as_ref()),
        ] {
            if url.is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
                violations.add(field, "must be a URL");
            }
        }
        if server.grant_types.0.is_empty() {
            violations.add("grantTypes", "must name at least one");
        }
    }
}
