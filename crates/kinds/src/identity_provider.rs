//! Identity providers with which developers sign in to the developer portal.

use crate::service::Service;
use engine::{
    Access, Action, Contract, NameRule, Reply, Resource, Secret, Value, Violations, json, typed,
};
use utoipa::ToSchema;

/// An identity provider.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct IdentityProviderContract {
    /// Type; the resource's name when absent.
    pub r#type: Option<String>,
    /// Tenant in which users sign in.
    pub signin_tenant: Option<String>,
    /// Tenants whose users may sign in; 32 at most.
    pub allowed_tenants: Option<Vec<String>>,
    /// Host of the OpenID Connect authority.
    pub authority: Option<String>,
    /// Policy of signing up.
    #[contract(length(1..=256))]
    pub signup_policy_name: Option<String>,
    /// Policy of signing in.
    #[contract(length(1..=256))]
    pub signin_policy_name: Option<String>,
    /// Policy of editing profiles.
    #[contract(length(1..=256))]
    pub profile_editing_policy_name: Option<String>,
    /// Policy of resetting passwords.
    #[contract(length(1..=256))]
    pub password_reset_policy_name: Option<String>,
    /// Client library in the portal.
    #[contract(length(0..=16))]
    pub client_library: Option<String>,
    /// Client id.
    #[contract(length(1..=256))]
    pub client_id: String,
    /// Client secret.
    #[contract(secret, length(0..=1024), default = Secret::default())]
    pub client_secret: Secret,
}

/// Providers of the contract.
const NAMES: &[&str] = &[
    "facebook",
    "google",
    "microsoft",
    "twitter",
    "aad",
    "aadB2C",
];

/// The kind.
pub struct IdentityProvider;

impl Resource for IdentityProvider {
    type Parent = Service;
    type Contract = IdentityProviderContract;
    const TITLE: &'static str = "IdentityProvider";
    const SEGMENT: &'static str = "identityProviders";
    const PARAMETER: &'static str = "identityProviderName";
    const TABLE: &'static str = "identity_providers";
    const NAME: NameRule = NameRule::Fixed(NAMES);
    const ACTIONS: &'static [Action] = &[Action {
        name: "listSecrets",
        operation: "IdentityProvider_ListSecrets",
        summary: "Gives the provider's client secret.",
        access: Access::Secret,
        status: 200,
        run: |_, provider| {
            Box::pin(async move {
                let provider: &IdentityProviderContract = typed(provider)?;
                Ok(Reply::ok(
                    json!({"clientSecret": provider.client_secret.expose()}),
                ))
            })
        },
    }];

    fn example() -> Value {
        json!({"clientId": "portal", "clientSecret": "open-sesame", "allowedTenants": ["example.org"]})
    }

    fn validate(provider: &IdentityProviderContract, violations: &mut Violations) {
        if provider
            .allowed_tenants
            .as_ref()
            .is_some_and(|tenants| tenants.len() > 32)
        {
            violations.add("allowedTenants", "must be 32 at most");
        }
    }

    fn prepare<'a>(
        cx: &'a mut engine::Cx<'_>,
        _: Option<&'a IdentityProviderContract>,
        new: &'a mut IdentityProviderContract,
    ) -> engine::BoxFuture<'a, engine::Result<()>> {
        Box::pin(async move {
            if new.client_secret.expose().is_empty() {
                return Err(engine::Error::invalid("clientSecret", "is required"));
            }
            if new.r#type.is_none() {
                new.r#type = Some(cx.name.clone());
            }
            Ok(())
        })
    }
}
