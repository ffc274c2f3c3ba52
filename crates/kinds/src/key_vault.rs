//! Secrets that a key vault keeps: where one is, and how its last reading went.
//!
//! A write carries what the vault gave: `server` reads it there, because nothing here reaches out.

use chrono::{DateTime, Utc};
use engine::Violations;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Code of a reading that went well.
pub const SUCCESS: &str = "Success";

/// A secret in a key vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultSecret {
    /// URL of the secret: `https://{vault}/secrets/{name}`, or one version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_identifier: Option<String>,
    /// As given: this installation has one identity for its vaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_client_id: Option<String>,
    /// How the last reading went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(read_only)]
    pub last_status: Option<LastStatus>,
}

/// How a reading went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LastStatus {
    /// `Success`, or `Failed`.
    pub code: String,
    /// Why it failed.
    #[serde(default)]
    pub message: String,
    /// When it was.
    pub time_stamp_utc: DateTime<Utc>,
}

impl VaultSecret {
    /// Reports what is wrong with the place.
    pub(crate) fn check(&self, violations: &mut Violations) {
        let place = self
            .secret_identifier
            .as_deref()
            .and_then(|url| url.split_once("://"));
        let is_secret = place.is_some_and(|(scheme, rest)| {
            matches!(scheme, "https" | "http")
                && rest
                    .split_once('/')
                    .and_then(|(host, path)| Some((host, path.strip_prefix("secrets/")?)))
                    .is_some_and(|(host, name)| {
                        !host.is_empty() && !name.is_empty() && !name.contains(['?', '#'])
                    })
        });
        if !is_secret {
            violations.add(
                "keyVault.secretIdentifier",
                "must be the URL of a secret in a key vault: https://{vault}/secrets/{name}",
            );
        }
    }

    /// Whether both name the same secret.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.secret_identifier == other.secret_identifier
    }
}
