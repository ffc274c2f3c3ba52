//! Restrictions of policies: where documents must keep what the wider scope says.

use crate::service::Service;
use engine::{Contract, NameRule, Resource, TextColumn, Value, json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A restriction.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PolicyRestrictionContract {
    /// Path of the policy document.
    pub scope: Option<String>,
    /// Whether every section of the document must have `<base />`.
    #[contract(default = Required::No)]
    pub require_base: Required,
}

/// Yes or no, as the contract spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum Required {
    /// Yes.
    #[serde(rename = "true")]
    Yes,
    /// No.
    #[serde(rename = "false")]
    No,
}

/// The kind.
pub struct PolicyRestriction;

impl Resource for PolicyRestriction {
    type Parent = Service;
    type Contract = PolicyRestrictionContract;
    const TITLE: &'static str = "PolicyRestriction";
    const SEGMENT: &'static str = "policyRestrictions";
    const PARAMETER: &'static str = "policyRestrictionId";
    const TABLE: &'static str = "policy_restrictions";
    const NAME: NameRule = NameRule::id(80);
    const DELETE_WITHOUT_IF_MATCH: bool = true;

    fn example() -> Value {
        json!({"scope": "/apis/echo-api/policies/policy", "requireBase": "true"})
    }
}
