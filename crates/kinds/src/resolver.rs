//! Resolvers of GraphQL APIs: which field of the schema each one answers.

use crate::api::Api;
use engine::{Contract, Filter, NameRule, Resource, Value, json};
use utoipa::ToSchema;

/// A resolver.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ResolverContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: String,
    /// Type and field: `Query/users`.
    #[contract(length(1..=300))]
    pub path: String,
    /// Description.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
}

/// The kind.
pub struct Resolver;

impl Resource for Resolver {
    type Parent = Api;
    type Contract = ResolverContract;
    const TITLE: &'static str = "GraphQLApiResolver";
    const NOUN: &'static str = "Resolver";
    const SEGMENT: &'static str = "resolvers";
    const PARAMETER: &'static str = "resolverId";
    const TABLE: &'static str = "api_resolvers";
    const NAME: NameRule = NameRule::id(80);
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("description", "description"),
        Filter::text("path", "path"),
    ];

    fn example() -> Value {
        json!({"displayName": "Users", "path": "Query/users", "description": "All users"})
    }
}
