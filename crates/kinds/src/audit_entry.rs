//! Audit entries: who did what in a service. Portico's own addition to the contract, read-only;
//! the engine writes the rows (`engine::audit`).

use crate::service::Service;
use chrono::{DateTime, Utc};
use engine::{Any, Contract, Filter, Json, NameRule, Resource, Value, Verbs, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// One write, or one reading of a secret.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct AuditEntryContract {
    /// When it happened.
    #[contract(read_only)]
    pub recorded_at: DateTime<Utc>,
    /// E-mail address or client id; `integration` for a signature of the tenant access.
    #[contract(read_only)]
    pub caller: String,
    /// The principal.
    #[contract(read_only)]
    pub principal_id: Option<Uuid>,
    /// Address that it came from.
    #[contract(read_only)]
    pub address: String,
    /// Id of the request in the log.
    #[contract(read_only)]
    pub request_id: String,
    /// Type and verb: `Microsoft.ApiManagement/service/products/write`.
    #[contract(read_only)]
    pub action: String,
    /// Id of the resource.
    #[contract(read_only)]
    pub resource: String,
    /// Properties before, without secrets.
    #[contract(read_only)]
    pub before: Option<Json<Any>>,
    /// Properties afterwards, without secrets.
    #[contract(read_only)]
    pub after: Option<Json<Any>>,
    /// Number in the chain of all entries of the installation; absent for the newest until it is chained.
    #[contract(read_only)]
    pub sequence: Option<i64>,
    /// Hash of the entry and all before it.
    #[contract(read_only)]
    pub hash: Option<String>,
}

/// The kind.
pub struct AuditEntry;

impl Resource for AuditEntry {
    type Parent = Service;
    type Contract = AuditEntryContract;
    const TITLE: &'static str = "AuditEntry";
    const SEGMENT: &'static str = "auditEntries";
    const PARAMETER: &'static str = "auditEntryId";
    const TABLE: &'static str = "audit_entries";
    const NAME: NameRule = NameRule::id(80);
    const VERBS: Verbs = Verbs::READ;
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::date("recordedAt", "recorded_at"),
        Filter::text("caller", "caller"),
        Filter::text("address", "address"),
        Filter::text("requestId", "request_id"),
        Filter::text("action", "action"),
        Filter::text("resource", "resource"),
        Filter::number("sequence", "sequence"),
    ];

    fn example() -> Value {
        json!({})
    }
}
