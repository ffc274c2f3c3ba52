//! OpenID Connect providers that APIs name in their authentication settings.

use crate::service::Service;
use engine::{
    Access, Action, Contract, Filter, NameRule, Reply, Resource, Secret, Value, Violations, json,
    typed,
};
use utoipa::ToSchema;

/// An OpenID Connect provider.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct OpenidConnectProviderContract {
    /// Name that people see.
    #[contract(length(0..=50))]
    pub display_name: String,
    /// Description.
    pub description: Option<String>,
    /// URL of the provider's metadata.
    pub metadata_endpoint: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    #[contract(secret)]
    pub client_secret: Option<Secret>,
    /// Whether the developer portal's test console uses it.
    #[contract(default = Some(true))]
    pub use_in_test_console: Option<bool>,
    /// Whether the documentation names it.
    #[contract(default = Some(false))]
    pub use_in_api_documentation: Option<bool>,
}

/// The kind.
pub struct OpenidConnectProvider;

impl Resource for OpenidConnectProvider {
    type Parent = Service;
    type Contract = OpenidConnectProviderContract;
    const TITLE: &'static str = "OpenIdConnectProvider";
    const SEGMENT: &'static str = "openidConnectProviders";
    const PARAMETER: &'static str = "opid";
    const TABLE: &'static str = "openid_connect_providers";
    const NAME: NameRule = NameRule::id(256);
    const FILTERS: &'static [Filter] =
        &[Filter::name(), Filter::text("displayName", "display_name")];
    const ACTIONS: &'static [Action] = &[Action {
        name: "listSecrets",
        operation: "OpenIdConnectProvider_ListSecrets",
        summary: "Gives the provider's client secret.",
        access: Access::Secret,
        status: 200,
        run: |_, provider| {
            Box::pin(async move {
                let provider: &OpenidConnectProviderContract = typed(provider)?;
                Ok(Reply::ok(
                    json!({"clientSecret": provider.client_secret.as_ref().map(Secret::expose)}),
                ))
            })
        },
    }];

    fn example() -> Value {
        json!({"displayName": "Company login", "metadataEndpoint": "https://login.example.org/.well-known/openid-configuration",
               "clientId": "portal", "clientSecret": "open-sesame"})
    }

    fn validate(provider: &OpenidConnectProviderContract, violations: &mut Violations) {
        if !provider.metadata_endpoint.starts_with("https://")
            && !provider.metadata_endpoint.starts_with("http://")
        {
            violations.add("metadataEndpoint", "must be a URL");
        }
        if provider.client_id.is_empty() {
            violations.add("clientId", "must not be empty");
        }
    }
}
