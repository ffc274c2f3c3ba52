//! External caches, as given; the gateway's own cache needs none.

use crate::service::Service;
use engine::{Contract, NameRule, Resource, Value, json};
use utoipa::ToSchema;

/// An external cache.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CacheContract {
    /// Description.
    #[contract(length(0..=2000))]
    pub description: Option<String>,
    /// Connection string, or the reference to a named value that holds it.
    #[contract(length(0..=300))]
    pub connection_string: String,
    /// Region whose gateways use it, or `default`.
    #[contract(length(0..=256))]
    pub use_from_location: String,
    /// Management URI of the cache; a label.
    #[contract(length(0..=2000))]
    pub resource_id: Option<String>,
}

/// The kind.
pub struct Cache;

impl Resource for Cache {
    type Parent = Service;
    type Contract = CacheContract;
    const TITLE: &'static str = "Cache";
    const SEGMENT: &'static str = "caches";
    const PARAMETER: &'static str = "cacheId";
    const TABLE: &'static str = "caches";
    const NAME: NameRule = NameRule::id(80);

    fn example() -> Value {
        json!({"description": "Shared cache", "connectionString": "{{cache-connection}}", "useFromLocation": "default"})
    }
}
