//! Backends: named web services with credentials, circuit breakers and pools, for `set-backend-service`.

use crate::service::Service;
use engine::{
    Access, Action, Any, Contract, Filter, Json, NameRule, Reply, Resource, TextColumn, Value,
    Violations, json,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A backend.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct BackendContract {
    /// Title.
    #[contract(length(1..=300))]
    pub title: Option<String>,
    /// Description.
    #[contract(length(1..=2000))]
    pub description: Option<String>,
    /// Management URI of the resource behind it; a label.
    #[contract(length(1..=2000))]
    pub resource_id: Option<String>,
    /// As given.
    pub properties: Option<Json<Any>>,
    /// Headers, query parameters and authorization that let the gateway in.
    pub credentials: Option<Json<Any>>,
    /// As given.
    pub proxy: Option<Json<Any>>,
    /// What of the backend's certificate is checked.
    pub tls: Option<Json<Tls>>,
    /// URL; empty for a pool.
    #[contract(default = String::new(), length(0..=2000))]
    pub url: String,
    /// Protocol.
    #[contract(default = Protocol::Http)]
    pub protocol: Protocol,
    /// When calls stop for a while.
    pub circuit_breaker: Option<Json<Any>>,
    /// Members of a pool.
    pub pool: Option<Json<Any>>,
    /// Whether it is one backend or a pool.
    #[contract(default = Type::Single)]
    pub r#type: Type,
}

/// What of a backend's certificate is checked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Whether its chain must be trusted.
    #[serde(default = "yes")]
    pub validate_certificate_chain: bool,
    /// Whether it must name the host.
    #[serde(default = "yes")]
    pub validate_certificate_name: bool,
}

const fn yes() -> bool {
    true
}

/// Protocol of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP
    Http,
    /// SOAP
    Soap,
}

/// One backend or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum Type {
    /// One.
    Single,
    /// A pool.
    Pool,
}

/// The kind.
pub struct Backend;

impl Resource for Backend {
    type Parent = Service;
    type Contract = BackendContract;
    const TITLE: &'static str = "Backend";
    const SEGMENT: &'static str = "backends";
    const PARAMETER: &'static str = "backendId";
    const TABLE: &'static str = "backends";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const SERVED: bool = true;
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("title", "title"),
        Filter::text("url", "url"),
    ];
    const ACTIONS: &'static [Action] = &[Action {
        name: "reconnect",
        operation: "Backend_Reconnect",
        summary: "Makes the gateway connect to the backend anew. Connections are per call and pooled for seconds, so that nothing has to wait.",
        access: Access::Write,
        status: 202,
        run: |_, _| Box::pin(async { Ok(Reply::empty(202)) }),
    }];

    fn example() -> Value {
        json!({"title": "Sample web service", "url": "https://example.org/base", "protocol": "http",
               "tls": {"validateCertificateChain": true, "validateCertificateName": true}})
    }

    fn validate(backend: &BackendContract, violations: &mut Violations) {
        match backend.r#type {
            Type::Single => {
                let lower = backend.url.to_ascii_lowercase();
                let schemed = ["http://", "https://", "ws://", "wss://"]
                    .iter()
                    .any(|s| lower.len() > s.len() && lower.starts_with(s));
                // A service of a Service Fabric cluster has a name instead of a URL; the cluster resolves it.
                let cluster = backend
                    .properties
                    .as_ref()
                    .is_some_and(|Json(Any(p))| p["serviceFabricCluster"].is_object());
                let named = cluster && lower.starts_with("fabric:/");
                if !schemed && !named {
                    violations.add(
                        "url",
                        "must be an absolute URL such as https://example.org/base",
                    );
                }
            }
            Type::Pool => {
                let members = backend
                    .pool
                    .as_ref()
                    .and_then(|Json(Any(pool))| pool["services"].as_array());
                match members {
                    Some(members) if !members.is_empty() => {
                        for (at, member) in members.iter().enumerate() {
                            if member["id"].as_str().is_none_or(str::is_empty) {
                                violations.add(
                                    format!("pool.services[{at}].id"),
                                    "must be the resource id of a backend",
                                );
                            }
                        }
                    }
                    _ => violations.add("pool.services", "must name at least one backend"),
                }
            }
        }
    }
}
