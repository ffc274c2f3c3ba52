//! Deleted resources: kept for thirty days with all that went with them, listed, restored or purged.
//! Portico's own addition to the contract; the engine writes the rows (`engine::deleted`).

use crate::{recipient, service::Service};
use chrono::{DateTime, Utc};
use engine::{
    Access, Action, ActionDetail, BoxFuture, Contract, Cx, Entity, Filter, Json, NameRule, Reply,
    Resource, Result, Value, Verbs, deleted, json,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A deleted resource.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct DeletedEntityContract {
    /// Id that the resource had, and has again once it is restored.
    #[contract(read_only)]
    pub resource: String,
    /// Its type: `Microsoft.ApiManagement/service/products`.
    #[contract(read_only)]
    pub resource_type: String,
    /// Its name.
    #[contract(read_only)]
    pub resource_name: String,
    /// When it was deleted.
    #[contract(read_only)]
    pub deletion_date: DateTime<Utc>,
    /// Who deleted it.
    #[contract(read_only)]
    pub deleted_by: String,
    /// When it goes for good.
    #[contract(read_only)]
    pub scheduled_purge_date: DateTime<Utc>,
    /// What went with it, by type.
    #[contract(read_only)]
    pub contents: Json<Vec<Content>>,
}

/// Resources or links of one type.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Content {
    /// Type.
    pub r#type: String,
    /// How many.
    pub count: i64,
    /// Their names, the first twenty; links have none.
    pub names: Vec<String>,
}

/// Schema of a list of contents.
pub(crate) fn contents_schema() -> Value {
    json!({"type": "array", "items": {"type": "object", "properties": {
        "type": {"type": "string", "description": "Type of resource or link."},
        "count": {"type": "integer", "description": "How many."},
        "names": {"type": "array", "items": {"type": "string"}, "description": "Their names, the first twenty."},
    }}})
}

/// `GET …/service/{name}/deletionPlan`
pub(crate) const PLAN: Action = Action {
    name: "deletionPlan",
    operation: "ApiManagementService_PlanDeletion",
    summary: "Tells what deleting a resource of the service would take with it; nothing is changed.",
    access: Access::Read,
    status: 200,
    run: |cx, _| {
        Box::pin(async move {
            let resource = cx.query.value("resource").unwrap_or_default();
            Ok(Reply::ok(deleted::plan(cx, resource).await?))
        })
    },
};

/// What OpenAPI says of [`PLAN`].
pub(crate) const PLAN_DETAILS: &[ActionDetail] = &[ActionDetail {
    operation: PLAN.operation,
    parameters: || {
        vec![
            json!({"name": "resource", "in": "query", "required": true, "schema": {"type": "string"},
                "description": "Id of the resource, whole or below the service: `/products/starter`."}),
        ]
    },
    body: None,
    reply: || {
        json!({"type": "object", "properties": {
            "resource": {"type": "string", "description": "Id of the resource."},
            "resourceType": {"type": "string", "description": "Its type."},
            "contents": contents_schema(),
        }})
    },
}];

/// The kind.
pub struct DeletedEntity;

impl Resource for DeletedEntity {
    type Parent = Service;
    type Contract = DeletedEntityContract;
    const TITLE: &'static str = "DeletedEntity";
    const SEGMENT: &'static str = "deletedEntities";
    const PARAMETER: &'static str = "deletedEntityId";
    const TABLE: &'static str = "deleted_entities";
    const NAME: NameRule = NameRule::id(80);
    const IF_MATCH: bool = false;
    const RESTORABLE: bool = false;
    /// DELETE purges.
    const VERBS: Verbs = Verbs {
        delete: true,
        ..Verbs::READ
    };
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("resource", "resource"),
        Filter::text("resourceType", "resource_type"),
        Filter::text("resourceName", "resource_name"),
        Filter::text("deletedBy", "deleted_by"),
        Filter::date("deletionDate", "deletion_date"),
    ];
    const ACTIONS: &'static [Action] = &[Action {
        name: "restore",
        operation: "DeletedEntity_Restore",
        summary: "Restores the resource with everything that went with it: children, links, policies, subscriptions and their keys.",
        access: Access::Write,
        status: 200,
        run: restore,
    }];
    const ACTION_DETAILS: &'static [ActionDetail] = &[ActionDetail {
        operation: "DeletedEntity_Restore",
        parameters: Vec::new,
        body: None,
        reply: || {
            json!({"type": "object", "properties": {
                "resource": {"type": "string", "description": "Id of the resource that is back."},
                "contents": contents_schema(),
                "leftOut": {"type": "array", "description": "What could not come back, because something that it needs is gone.",
                    "items": {"type": "object", "properties": {"type": {"type": "string"}, "count": {"type": "integer"}}}},
            }})
        },
    }];

    fn example() -> Value {
        json!({})
    }
}

fn restore<'a>(cx: &'a mut Cx<'_>, _: &'a dyn Entity) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move {
        let id = cx.id;
        let back = deleted::restore(cx, id).await?;
        // Notifications show their recipients, who may be among those that are back.
        recipient::show_all(cx).await?;
        Ok(Reply::ok(json!({
            "resource": back.resource, "contents": back.contents, "leftOut": back.left_out,
        })))
    })
}
