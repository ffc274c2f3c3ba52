//! Tags: labels of APIs, operations and products.

use crate::service::Service;
use engine::{Contract, Filter, NameRule, Resource, Value, json};
use utoipa::ToSchema;

/// A tag.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TagContract {
    /// Name that people see.
    #[contract(length(1..=160))]
    pub display_name: String,
}

/// The kind.
pub struct Tag;

impl Resource for Tag {
    type Parent = Service;
    type Contract = TagContract;
    const TITLE: &'static str = "Tag";
    const SEGMENT: &'static str = "tags";
    const PARAMETER: &'static str = "tagId";
    const TABLE: &'static str = "tags";
    const NAME: NameRule = NameRule::id(80);
    const FILTERS: &'static [Filter] =
        &[Filter::name(), Filter::text("displayName", "display_name")];

    fn example() -> Value {
        json!({"displayName": "machine learning"})
    }
}
