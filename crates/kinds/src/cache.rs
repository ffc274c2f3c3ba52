//! External caches, which gateways use for what the cache policies keep. A connection string is sealed; replies name it only.

use crate::service::Service;
use engine::{BoxFuture, Contract, Cx, Error, NameRule, Resource, Result, Secret, Value, json};
use utoipa::ToSchema;

/// An external cache.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CacheContract {
    /// Description.
    #[contract(length(0..=2000))]
    pub description: Option<String>,
    /// Connection string, or the reference to a named value that holds it. In replies it is the name under which it is kept; sent
    /// back as it is, it stays.
    #[contract(length(0..=300))]
    pub connection_string: String,
    /// The connection string, unless it is a reference.
    #[contract(internal)]
    pub sealed_connection: Option<Secret>,
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

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a CacheContract>,
        new: &'a mut CacheContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mask = format!("{{{{Cache-Connection-{}}}}}", cx.id.simple());
            let text = new.connection_string.as_str();
            if text == mask {
                new.sealed_connection = old.and_then(|old| old.sealed_connection.clone());
                if new.sealed_connection.is_none() {
                    return Err(Error::invalid(
                        "connectionString",
                        "names a connection that is not kept here",
                    ));
                }
            } else if text.is_empty() || (text.starts_with("{{") && text.ends_with("}}")) {
                // A reference to a named value is no secret itself.
                new.sealed_connection = None;
            } else {
                new.sealed_connection = Some(Secret::new(std::mem::replace(
                    &mut new.connection_string,
                    mask,
                )));
            }
            Ok(())
        })
    }
}
