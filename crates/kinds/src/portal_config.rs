//! The configuration of the developer portal: sign-in, delegation, cross-origin access, content security.

use crate::service::Service;
use engine::{
    BoxFuture, Contract, Cx, Json, NameRule, Resource, Result, Secret, Value, Verbs, Violations,
    json,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The configuration.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PortalConfigContract {
    /// Whether people sign in with e-mail address and password.
    #[contract(default = true)]
    pub enable_basic_auth: bool,
    /// Sign-in.
    pub signin: Option<Json<Signin>>,
    /// Sign-up.
    pub signup: Option<Json<Signup>>,
    /// Pages of others that take over.
    pub delegation: Option<Json<Delegation>>,
    /// The delegation's key.
    #[contract(internal)]
    pub validation_key: Option<Secret>,
    /// Origins that may call the portal's API.
    pub cors: Option<Json<Cors>>,
    /// Content security policy.
    pub csp: Option<Json<Csp>>,
}

/// Sign-in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Signin {
    /// Whether anonymous visitors are sent to the sign-in page.
    #[serde(default)]
    pub require: bool,
}

/// Sign-up.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signup {
    /// Terms that a visitor may have to accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_of_service: Option<TermsOfService>,
}

/// Terms that a visitor may have to accept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TermsOfService {
    /// The terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether they must be accepted.
    #[serde(default)]
    pub require_consent: bool,
}

/// Pages of others that take over.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delegation {
    /// Whether signing in and up is delegated.
    #[serde(default)]
    pub delegate_registration: bool,
    /// Whether subscribing is delegated.
    #[serde(default)]
    pub delegate_subscription: bool,
    /// The page.
    #[serde(default)]
    pub delegation_url: Option<String>,
    /// The key with which redirections are signed; only in bodies.
    #[serde(default)]
    pub validation_key: Option<String>,
}

/// Origins that may call the portal's API.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cors {
    /// The origins.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
}

/// Content security policy.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Csp {
    /// Whether browsers enforce it.
    #[serde(default)]
    pub mode: CspMode,
    /// Where browsers report violations.
    #[serde(default)]
    pub report_uri: Vec<String>,
    /// Sources that are allowed besides the portal's own.
    #[serde(default)]
    pub allowed_sources: Vec<String>,
}

/// Whether browsers enforce a content security policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CspMode {
    /// Yes.
    Enabled,
    /// No.
    #[default]
    Disabled,
    /// They report violations only.
    ReportOnly,
}

/// Names of the configurations.
pub const NAMES: &[&str] = &["default"];

/// What a new service has.
#[must_use]
pub const fn default() -> PortalConfigContract {
    PortalConfigContract {
        enable_basic_auth: true,
        signin: None,
        signup: None,
        delegation: None,
        validation_key: None,
        cors: None,
        csp: None,
    }
}

/// The kind.
pub struct PortalConfig;

impl Resource for PortalConfig {
    type Parent = Service;
    type Contract = PortalConfigContract;
    const TITLE: &'static str = "PortalConfig";
    const SEGMENT: &'static str = "portalconfigs";
    const PARAMETER: &'static str = "portalConfigId";
    const TABLE: &'static str = "portal_configs";
    const NAME: NameRule = NameRule::Fixed(NAMES);
    const VERBS: Verbs = Verbs {
        create: false,
        delete: false,
        ..Verbs::ALL
    };

    fn example() -> Value {
        json!({"enableBasicAuth": true, "signin": {"require": false},
               "cors": {"allowedOrigins": ["https://example.org"]},
               "csp": {"mode": "reportOnly", "reportUri": ["https://report.example.org"], "allowedSources": ["*.example.org"]}})
    }

    fn validate(config: &PortalConfigContract, violations: &mut Violations) {
        if let Some(Json(delegation)) = &config.delegation {
            let url = delegation.delegation_url.as_deref().unwrap_or_default();
            if url.is_empty()
                && (delegation.delegate_registration || delegation.delegate_subscription)
            {
                violations.add(
                    "delegation.delegationUrl",
                    "is required while something is delegated",
                );
            }
            if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://") {
                violations.add("delegation.delegationUrl", "must be a URL");
            }
        }
    }

    /// The key is sealed beside the rest; a body without it keeps it.
    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        _: Option<&'a PortalConfigContract>,
        new: &'a mut PortalConfigContract,
    ) -> BoxFuture<'a, Result<()>> {
        if let Some(Json(delegation)) = &mut new.delegation
            && let Some(key) = delegation.validation_key.take()
        {
            new.validation_key = Some(Secret::new(key));
        }
        engine::ok()
    }
}
