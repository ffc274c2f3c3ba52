//! Schemas: of the whole service, and of one API.

use crate::{api::Api, service::Service};
use engine::{
    Any, BoxFuture, Contract, Cx, Json, NameRule, Resource, Result, TextColumn, Value, Violations,
    json,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A schema of the service.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct GlobalSchemaContract {
    /// Language of the schema.
    pub schema_type: SchemaType,
    /// Description.
    pub description: Option<String>,
    /// The schema, for `xml`.
    pub value: Option<String>,
    /// The schema, for `json`.
    pub document: Option<Json<Any>>,
    /// `Succeeded`.
    #[contract(read_only)]
    pub provisioning_state: String,
}

/// Language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SchemaType {
    /// XML Schema
    Xml,
    /// JSON Schema
    Json,
}

/// The kind of the service's schemas.
pub struct GlobalSchema;

impl Resource for GlobalSchema {
    type Parent = Service;
    type Contract = GlobalSchemaContract;
    const TITLE: &'static str = "GlobalSchema";
    const NOUN: &'static str = "Schema";
    const SEGMENT: &'static str = "schemas";
    const PARAMETER: &'static str = "schemaId";
    const TABLE: &'static str = "schemas";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const VERBS: engine::Verbs = engine::Verbs {
        patch: false,
        ..engine::Verbs::ALL
    };

    fn example() -> Value {
        json!({"schemaType": "json", "description": "Inputs of the demo.", "document": {"type": "object"}})
    }

    fn validate(schema: &GlobalSchemaContract, violations: &mut Violations) {
        match schema.schema_type {
            SchemaType::Xml if schema.value.as_deref().is_none_or(|v| v.trim().is_empty()) => {
                violations.add("value", "is required for a schema of type xml");
            }
            SchemaType::Json if schema.document.is_none() && schema.value.is_none() => {
                violations.add("document", "is required for a schema of type json");
            }
            _ => {}
        }
    }

    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        _: Option<&'a GlobalSchemaContract>,
        new: &'a mut GlobalSchemaContract,
    ) -> BoxFuture<'a, Result<()>> {
        new.provisioning_state = "Succeeded".into();
        engine::ok()
    }
}

/// A schema of an API.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiSchemaContract {
    /// Media type of the schema, such as `application/vnd.oai.openapi.components+json`.
    pub content_type: String,
    /// The schema: `value` for a text, `definitions` or `components` for OpenAPI.
    pub document: Json<Document>,
    /// `Succeeded`.
    #[contract(read_only)]
    pub provisioning_state: String,
}

/// Content of an API's schema.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// A text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Types of Swagger 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub definitions: Option<Value>,
    /// Types of OpenAPI 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub components: Option<Value>,
}

/// The kind of an API's schemas.
pub struct ApiSchema;

impl Resource for ApiSchema {
    type Parent = Api;
    type Contract = ApiSchemaContract;
    const TITLE: &'static str = "ApiSchema";
    const NOUN: &'static str = "Schema";
    const SEGMENT: &'static str = "schemas";
    const PARAMETER: &'static str = "schemaId";
    const TABLE: &'static str = "api_schemas";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const SERVED: bool = true;
    const VERBS: engine::Verbs = engine::Verbs {
        patch: false,
        ..engine::Verbs::ALL
    };

    fn example() -> Value {
        json!({"contentType": "application/vnd.oai.openapi.components+json",
               "document": {"components": {"schemas": {"Row": {"type": "object"}}}}})
    }

    fn validate(schema: &ApiSchemaContract, violations: &mut Violations) {
        if schema
            .content_type
            .split_once('/')
            .is_none_or(|(a, b)| a.is_empty() || b.is_empty())
        {
            violations.add("contentType", "must be a media type");
        }
        let document = &schema.document.0;
        if document.value.is_none()
            && document.definitions.is_none()
            && document.components.is_none()
        {
            violations.add("document", "must hold value, definitions or components");
        }
        for (name, types) in [
            ("document.definitions", &document.definitions),
            ("document.components", &document.components),
        ] {
            if types.as_ref().is_some_and(|types| !types.is_object()) {
                violations.add(name, "must be an object");
            }
        }
    }

    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        _: Option<&'a ApiSchemaContract>,
        new: &'a mut ApiSchemaContract,
    ) -> BoxFuture<'a, Result<()>> {
        new.provisioning_state = "Succeeded".into();
        engine::ok()
    }
}
