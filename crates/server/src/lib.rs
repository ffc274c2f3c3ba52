//! Portico's server: the binary's subcommands, the HTTP side of the management API, and the wiring of
//! engine, jobs, mail, rollout and gateway into one process.
//!
//! `serve` runs everything; `gateway` and `worker` run one part of it; all of them share one Postgres, except a gateway apart
//! ([`independent`]), which knows its control plane only ([`feed`]).
//! Each module answers one family of paths; [`management`] is the way into the engine, [`serve`] wires.

pub mod arm;
pub mod authorization_login;
pub mod calls;
pub mod client_address;
pub mod connectivity;
pub mod data_plane;
pub mod deleted;
pub mod developer;
pub mod docs;
pub mod documents;
pub mod echo;
pub mod edge;
pub mod external_cache;
pub mod feed;
pub mod fetch;
pub mod health;
pub mod idempotency;
pub mod independent;
pub mod kept;
pub mod key_vault;
pub mod mails;
pub mod management;
pub mod nodes;
pub mod operations;
pub mod otlp;
pub mod portal;
pub mod provider;
pub mod quota_counters;
pub mod quotas;
pub mod request_id;
pub mod secret_key;
pub mod serve;
pub mod settings;
pub mod shared_rates;
pub mod sign_in;
pub mod state;
pub mod telemetry;
pub mod test_call;
pub mod traces;
pub mod workbench;

use engine::Engine;
use identity::Identity;
use metrics_exporter_prometheus::PrometheusHandle;
use rollout::Rollout;
use std::sync::Arc;

/// What the management API's handlers share.
pub struct State {
    /// Verbs of every kind.
    pub engine: Arc<Engine>,
    /// Tokens and accounts.
    pub identity: Arc<Identity>,
    /// The gateway's configuration, as this process has it.
    pub rollout: Arc<Rollout>,
    /// The gateway of this process, if it runs one.
    pub gateway: Option<gateway::Gateway>,
    /// The feed of gateways apart, where the management API runs.
    pub feed: Option<Arc<feed::Feed>>,
    /// Follows the links of imports.
    pub links: fetch::Links,
    /// Reads secrets out of key vaults.
    pub vaults: key_vault::Vaults,
    /// Whose word about a client's address counts.
    pub trusted_proxies: client_address::TrustedProxies,
    /// How often one address may ask the developer API.
    pub portal_limits: developer::Limits,
    /// Where spans of management requests go, if they go anywhere.
    pub spans: Option<Arc<otlp::Queue>>,
    /// Traces of calls, where a database is.
    pub traces: Option<Arc<traces::Traces>>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
}

impl State {
    /// The feed of gateways apart.
    ///
    /// # Errors
    /// Where this process does not run the management API.
    pub fn feed(&self) -> engine::Result<&Arc<feed::Feed>> {
        self.feed
            .as_ref()
            .ok_or_else(|| engine::Error::not_found("Feed"))
    }
}
