//! Authorizations: providers of tokens for backends, connections to them, and who may use these.
//!
//! Their secrets and tokens are sealed and absent from replies. A connection with the code grant gets its tokens by a login of
//! somebody: see [`authorization_login`](crate::authorization_login).

use crate::{authorization_login, service::Service};
use engine::{
    Action, ActionDetail, BoxFuture, Contract, Cx, Error, Filter, Json, NameRule, Resource, Result,
    Secret, TextColumn, Value, Verbs, json,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Names to values, some of which may be secrets.
pub type Parameters = BTreeMap<String, String>;

/// A provider.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AuthorizationProviderContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: Option<String>,
    /// Name of the identity provider: `aad`, `oauth2`, …
    pub identity_provider: Option<String>,
    /// Settings of OAuth 2.0.
    pub oauth2: Option<Json<OAuth2>>,
    /// Secrets of the grants, as JSON.
    #[contract(internal)]
    pub sealed_secrets: Option<Secret>,
}

/// Settings of OAuth 2.0.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OAuth2 {
    /// Where the provider sends people back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// The grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<GrantTypes>,
}

/// Parameters of the grants.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantTypes {
    /// RFC 6749, 4.1
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_code: Option<Parameters>,
    /// RFC 6749, 4.4
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<Parameters>,
}

/// Whether a parameter of this name is a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("secret") || name.contains("password")
}

/// Takes the secrets out of parameters.
fn withdraw(parameters: &mut Parameters) -> Parameters {
    let (secret, shown) = std::mem::take(parameters)
        .into_iter()
        .partition(|(name, _)| is_secret(name));
    *parameters = shown;
    secret
}

pub(crate) fn opened<T: DeserializeOwned + Default>(sealed: Option<&Secret>) -> Result<T> {
    sealed.map_or_else(
        || Ok(T::default()),
        |sealed| serde_json::from_str(sealed.expose()).map_err(Error::internal),
    )
}

fn sealed<T: Serialize>(secrets: &T) -> Result<Secret> {
    serde_json::to_string(secrets)
        .map(Secret::new)
        .map_err(Error::internal)
}

/// The kind of providers.
pub struct AuthorizationProvider;

impl Resource for AuthorizationProvider {
    type Parent = Service;
    type Contract = AuthorizationProviderContract;
    const TITLE: &'static str = "AuthorizationProvider";
    const SEGMENT: &'static str = "authorizationProviders";
    const PARAMETER: &'static str = "authorizationProviderId";
    const TABLE: &'static str = "authorization_providers";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const FILTERS: &'static [Filter] =
        &[Filter::name(), Filter::text("displayName", "display_name")];

    fn example() -> Value {
        json!({"displayName": "Company directory", "identityProvider": "oauth2", "oauth2": {
            "redirectUrl": "https://example.org/redirect",
            "grantTypes": {"authorizationCode": {"clientId": "portal", "scopes": "read"}}}})
    }

    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        old: Option<&'a AuthorizationProviderContract>,
        new: &'a mut AuthorizationProviderContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut secrets: BTreeMap<String, Parameters> =
                opened(old.and_then(|old| old.sealed_secrets.as_ref()))?;
            let grants = new
                .oauth2
                .as_mut()
                .and_then(|Json(oauth2)| oauth2.grant_types.as_mut());
            if let Some(grants) = grants {
                for (name, parameters) in [
                    ("authorizationCode", &mut grants.authorization_code),
                    ("clientCredentials", &mut grants.client_credentials),
                ] {
                    match parameters {
                        Some(parameters) => secrets
                            .entry(name.to_owned())
                            .or_default()
                            .extend(withdraw(parameters)),
                        None => drop(secrets.remove(name)),
                    }
                }
            }
            new.sealed_secrets = Some(sealed(&secrets)?);
            Ok(())
        })
    }
}

/// A connection to a provider.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AuthorizationContract {
    /// Protocol.
    #[contract(default = AuthorizationType::OAuth2)]
    pub authorization_type: AuthorizationType,
    /// The grant.
    #[contract(wire = "oauth2grantType", default = OAuth2Grant::AuthorizationCode)]
    #[schema(rename = "oauth2grantType")]
    pub oauth2grant_type: OAuth2Grant,
    /// Parameters of the grant.
    pub parameters: Option<Json<Parameters>>,
    /// The secrets among them, as JSON.
    #[contract(internal)]
    pub sealed_parameters: Option<Secret>,
    /// What the provider gave, as JSON.
    #[contract(internal)]
    pub sealed_tokens: Option<Secret>,
    /// Whether it has tokens.
    #[contract(read_only)]
    pub status: String,
    /// Why it has none.
    #[contract(read_only)]
    pub error: Option<Json<AuthorizationError>>,
}

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum AuthorizationType {
    /// OAuth 2.0
    OAuth2,
}

/// Grant of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum OAuth2Grant {
    /// RFC 6749, 4.1
    AuthorizationCode,
    /// RFC 6749, 4.4
    ClientCredentials,
}

/// Why a connection has no tokens.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuthorizationError {
    /// Code.
    pub code: String,
    /// Sentence.
    pub message: String,
}

/// The kind of connections.
pub struct Authorization;

impl Resource for Authorization {
    type Parent = AuthorizationProvider;
    type Contract = AuthorizationContract;
    const TITLE: &'static str = "Authorization";
    const SEGMENT: &'static str = "authorizations";
    const PARAMETER: &'static str = "authorizationId";
    const TABLE: &'static str = "authorizations";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const FILTERS: &'static [Filter] = &[Filter::name()];
    const ACTIONS: &'static [Action] = authorization_login::ACTIONS;
    const ACTION_DETAILS: &'static [ActionDetail] = authorization_login::DETAILS;

    fn example() -> Value {
        json!({"authorizationType": "OAuth2", "oauth2grantType": "ClientCredentials", "parameters": {"clientId": "portal"}})
    }

    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        old: Option<&'a AuthorizationContract>,
        new: &'a mut AuthorizationContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let stored: Parameters = opened(old.and_then(|old| old.sealed_parameters.as_ref()))?;
            let mut secrets = stored.clone();
            if let Some(Json(parameters)) = &mut new.parameters {
                secrets.extend(withdraw(parameters));
            }
            new.sealed_parameters = Some(sealed(&secrets)?);
            let is_same = |old: &AuthorizationContract| {
                let parameters = |of: &AuthorizationContract| {
                    of.parameters
                        .as_ref()
                        .map(|Json(all)| all.clone())
                        .unwrap_or_default()
                };
                old.oauth2grant_type == new.oauth2grant_type
                    && parameters(old) == parameters(new)
                    && stored == secrets
            };
            if new.sealed_tokens.is_some() && old.is_some_and(is_same) {
                return Ok(());
            }
            // Tokens are of those parameters that they were asked for with.
            new.sealed_tokens = None;
            new.status = "Error".into();
            new.error = Some(Json(AuthorizationError {
                code: "Unauthenticated".into(),
                message: "This connection is not authenticated.".into(),
            }));
            Ok(())
        })
    }
}

/// Who may use a connection.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AuthorizationAccessPolicyContract {
    /// Applications.
    pub app_ids: Option<Vec<String>>,
    /// Tenant of the object.
    pub tenant_id: Option<String>,
    /// Person, group or application.
    pub object_id: Option<String>,
}

/// The kind of access policies.
pub struct AuthorizationAccessPolicy;

impl Resource for AuthorizationAccessPolicy {
    type Parent = Authorization;
    type Contract = AuthorizationAccessPolicyContract;
    const TITLE: &'static str = "AuthorizationAccessPolicy";
    const SEGMENT: &'static str = "accessPolicies";
    const PARAMETER: &'static str = "authorizationAccessPolicyId";
    const TABLE: &'static str = "authorization_access_policies";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const FILTERS: &'static [Filter] = &[Filter::name()];

    fn example() -> Value {
        json!({"tenantId": "11111111-1111-1111-1111-111111111111", "objectId": "22222222-2222-2222-2222-222222222222"})
    }
}
