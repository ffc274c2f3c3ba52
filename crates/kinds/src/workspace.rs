//! Workspaces: a part of a service for one team, with APIs, products, subscriptions and everything around them of its own.
//!
//! Which kinds a workspace has they say themselves (`IN_WORKSPACES`); how paths lead there is `engine::workspace`.

use crate::service::Service;
use engine::{
    BoxFuture, Contract, Cx, Filter, NameRule, Resource, Result, Value, json, sqlx, workspace,
};
use utoipa::ToSchema;

/// A workspace.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct WorkspaceContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: String,
    /// Description.
    pub description: Option<String>,
}

/// The kind.
pub struct Workspace;

impl Resource for Workspace {
    type Parent = Service;
    type Contract = WorkspaceContract;
    const TITLE: &'static str = "Workspace";
    const SEGMENT: &'static str = workspace::SEGMENT;
    const PARAMETER: &'static str = "workspaceId";
    const TABLE: &'static str = "workspaces";
    const NAME: NameRule = NameRule::id(80);
    const SINCE: &'static str = "2024-05-01";
    const RESTORABLE: bool = false;
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("description", "description"),
    ];

    fn example() -> Value {
        json!({"displayName": "Machine learning", "description": "APIs of the team that learns."})
    }

    /// A new workspace gets its row among the services, and the notifications that every service has.
    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a WorkspaceContract>,
        _: &'a WorkspaceContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if old.is_some() {
                return Ok(());
            }
            sqlx::query(
                "INSERT INTO services (id, workspace_of, name, subscription_id, resource_group, rev, created_at, updated_at, location, sku, \
                 publisher_email, publisher_name, notification_sender_email, custom_properties, provisioning_state, \
                 target_provisioning_state, gateway_hostname, virtual_network_type, platform_version) \
                 SELECT $1, s.id, $3, s.subscription_id, s.resource_group, 1, $4, $4, s.location, s.sku, s.publisher_email, s.publisher_name, \
                 s.notification_sender_email, s.custom_properties, 'Succeeded', '', 'workspace ' || $1, s.virtual_network_type, \
                 s.platform_version FROM services s WHERE s.id = $2",
            )
            .bind(cx.id)
            .bind(cx.service.id)
            .bind(workspace::stored_name(&cx.service.name, &cx.name))
            .bind(cx.now)
            .execute(&mut *cx.conn)
            .await?;
            sqlx::query(
                "INSERT INTO notifications (id, parent_id, name, rev, created_at, updated_at, title, description, recipients) \
                 SELECT gen_random_uuid(), $1, name, 1, $3, $3, title, description, '{\"emails\": [], \"users\": []}' \
                 FROM notifications WHERE parent_id = $2",
            )
            .bind(cx.id)
            .bind(cx.service.id)
            .bind(cx.now)
            .execute(&mut *cx.conn)
            .await?;
            Ok(())
        })
    }

    /// Everything in the workspace goes with its row.
    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a WorkspaceContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            sqlx::query("DELETE FROM services WHERE id = $1 AND workspace_of = $2")
                .bind(cx.id)
                .bind(cx.service.id)
                .execute(&mut *cx.conn)
                .await?;
            Ok(())
        })
    }
}
