//! Content of the developer portal: types of content, and items whose properties the type's schema describes.

use crate::service::Service;
use engine::{Any, Contract, Json, NameRule, Resource, Value, Verbs, Violations, json};
use utoipa::ToSchema;

/// A type of content.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ContentTypeContract {
    /// Identifier, as given.
    #[contract(wire = "id")]
    #[schema(rename = "id")]
    pub content_type_id: Option<String>,
    /// Name that people see.
    #[contract(wire = "name")]
    #[schema(rename = "name")]
    pub display_name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// JSON schema of the items' properties.
    pub schema: Option<Json<Any>>,
    /// Version.
    pub version: Option<String>,
}

/// The kind of types.
pub struct ContentType;

impl Resource for ContentType {
    type Parent = Service;
    type Contract = ContentTypeContract;
    const TITLE: &'static str = "ContentType";
    const SEGMENT: &'static str = "contentTypes";
    const PARAMETER: &'static str = "contentTypeId";
    const TABLE: &'static str = "content_types";
    const NAME: NameRule = NameRule::id(80);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };

    fn example() -> Value {
        json!({"name": "Page", "description": "A page", "version": "1.0.0",
               "schema": {"properties": {"title": {"type": "string"}}, "additionalProperties": false}})
    }

    fn validate(content_type: &ContentTypeContract, violations: &mut Violations) {
        if let Some(Json(Any(schema))) = &content_type.schema
            && !schema.is_object()
        {
            violations.add("schema", "must be an object");
        }
    }
}

/// An item of content.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ContentItemContract {
    /// All properties.
    pub content: Json<Any>,
}

/// The kind of items.
pub struct ContentItem;

impl Resource for ContentItem {
    type Parent = ContentType;
    type Contract = ContentItemContract;
    const TITLE: &'static str = "ContentItem";
    const SEGMENT: &'static str = "contentItems";
    const PARAMETER: &'static str = "contentItemId";
    const TABLE: &'static str = "content_items";
    const NAME: NameRule = NameRule::id(80);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const OPEN: Option<&'static str> = Some("content");

    fn example() -> Value {
        json!({"en_us": {"title": "About", "permalink": "/about"}})
    }
}
