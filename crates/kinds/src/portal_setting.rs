//! Settings of the developer portal: sign-in, sign-up and delegation, one resource each.

use crate::service::Service;
use engine::{
    Access, Action, BoxFuture, Contract, Cx, Error, Json, NameRule, Reply, Resource, Result,
    Secret, Value, Verbs, Violations, json, typed,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One of the settings; which members it has depends on its name.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PortalSettingContract {
    /// `signin`: whether anonymous visitors are sent to the sign-in page. `signup`: whether visitors can sign up.
    pub enabled: Option<bool>,
    /// `signup`: terms that a visitor may have to accept.
    pub terms_of_service: Option<Json<TermsOfService>>,
    /// `delegation`: the page that takes over.
    pub url: Option<String>,
    /// `delegation`: the key with which redirections are signed, base64.
    #[contract(secret)]
    pub validation_key: Option<Secret>,
    /// `delegation`: whether subscribing is delegated.
    pub subscriptions: Option<Json<Switch>>,
    /// `delegation`: whether signing in and up is delegated.
    pub user_registration: Option<Json<Switch>>,
}

/// Terms that a visitor may have to accept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TermsOfService {
    /// The terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether they are shown.
    #[serde(default)]
    pub enabled: bool,
    /// Whether they must be accepted.
    #[serde(default)]
    pub consent_required: bool,
}

/// Whether something is on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// Whether it is.
    #[serde(default)]
    pub enabled: bool,
}

/// Names of the settings.
pub const NAMES: &[&str] = &["delegation", "signin", "signup"];

/// What a new service has.
#[must_use]
pub fn default(name: &str) -> PortalSettingContract {
    let off = || Some(Json(Switch { enabled: false }));
    let delegation = name == "delegation";
    PortalSettingContract {
        enabled: (!delegation).then_some(name == "signup"),
        terms_of_service: (name == "signup").then_some(Json(TermsOfService {
            text: None,
            enabled: false,
            consent_required: false,
        })),
        url: None,
        validation_key: None,
        subscriptions: off().filter(|_| delegation),
        user_registration: off().filter(|_| delegation),
    }
}

/// The kind.
pub struct PortalSetting;

impl Resource for PortalSetting {
    type Parent = Service;
    type Contract = PortalSettingContract;
    const TITLE: &'static str = "PortalSettings";
    const SEGMENT: &'static str = "portalsettings";
    const PARAMETER: &'static str = "settingsName";
    const TABLE: &'static str = "portal_settings";
    const NAME: NameRule = NameRule::Fixed(NAMES);
    const VERBS: Verbs = Verbs {
        delete: false,
        ..Verbs::ALL
    };
    const PATCHED: u16 = 204;
    const ACTIONS: &'static [Action] = &[Action {
        name: "listSecrets",
        operation: "DelegationSettings_ListSecrets",
        summary: "Gives the key with which redirections to the delegation's page are signed.",
        access: Access::Secret,
        status: 200,
        run: |cx, setting| {
            let name = cx.name.clone();
            Box::pin(async move {
                if name != "delegation" {
                    return Err(Error::not_found("DelegationSettings"));
                }
                let setting: &PortalSettingContract = typed(setting)?;
                Ok(Reply::ok(
                    json!({"validationKey": setting.validation_key.as_ref().map(Secret::expose)}),
                ))
            })
        },
    }];

    fn example() -> Value {
        json!({"url": "https://example.org/delegation", "subscriptions": {"enabled": true},
               "userRegistration": {"enabled": true}})
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a PortalSettingContract>,
        new: &'a mut PortalSettingContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let name = cx.name.as_str();
            let mut violations = Violations::default();
            for (wire, given, owners) in [
                ("enabled", new.enabled.is_some(), &["signin", "signup"][..]),
                (
                    "termsOfService",
                    new.terms_of_service.is_some(),
                    &["signup"],
                ),
                ("url", new.url.is_some(), &["delegation"]),
                (
                    "validationKey",
                    new.validation_key.is_some(),
                    &["delegation"],
                ),
                (
                    "subscriptions",
                    new.subscriptions.is_some(),
                    &["delegation"],
                ),
                (
                    "userRegistration",
                    new.user_registration.is_some(),
                    &["delegation"],
                ),
            ] {
                if given && !owners.contains(&name) {
                    violations.add(
                        format!("properties.{wire}"),
                        format!("is not a property of portalsettings/{name}"),
                    );
                }
            }
            let on = |switch: &Option<Json<Switch>>| {
                switch.as_ref().is_some_and(|Json(switch)| switch.enabled)
            };
            let url = new.url.as_deref().unwrap_or_default();
            if url.is_empty() && (on(&new.subscriptions) || on(&new.user_registration)) {
                violations.add("url", "is required while something is delegated");
            }
            if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://") {
                violations.add("url", "must be a URL");
            }
            violations.into_result()?;
            // What a PUT leaves out is off.
            let defaults = default(name);
            new.enabled = new.enabled.or(defaults.enabled.map(|_| false));
            new.terms_of_service = new.terms_of_service.take().or(defaults.terms_of_service);
            new.subscriptions = new.subscriptions.take().or(defaults.subscriptions);
            new.user_registration = new.user_registration.take().or(defaults.user_registration);
            Ok(())
        })
    }
}
