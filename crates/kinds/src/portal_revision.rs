//! Revisions of the developer portal: what was published when, and which one visitors see.

use crate::service::Service;
use chrono::{DateTime, Utc};
use engine::{
    BoxFuture, Contract, Cx, Filter, NameRule, Resource, Result, TextColumn, Value, Verbs, json,
    sqlx,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A revision.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PortalRevisionContract {
    /// Description.
    #[contract(length(0..=2000))]
    pub description: Option<String>,
    /// More about the status.
    #[contract(read_only)]
    pub status_details: Option<String>,
    /// How far the publishing is.
    #[contract(read_only, default = Status::Completed)]
    pub status: Status,
    /// Whether visitors see it; at most one revision is.
    #[contract(default = false)]
    pub is_current: bool,
    /// When it was made.
    #[contract(read_only)]
    pub created_date_time: DateTime<Utc>,
    /// When it was changed.
    #[contract(read_only)]
    pub updated_date_time: DateTime<Utc>,
    /// Ends the polling of clients: nothing goes on after the reply.
    #[contract(read_only)]
    pub provisioning_state: String,
}

/// How far a publishing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Not begun.
    Pending,
    /// Begun.
    Publishing,
    /// Done.
    Completed,
    /// Failed.
    Failed,
}

/// The kind.
pub struct PortalRevision;

impl Resource for PortalRevision {
    type Parent = Service;
    type Contract = PortalRevisionContract;
    const TITLE: &'static str = "PortalRevision";
    const SEGMENT: &'static str = "portalRevisions";
    const PARAMETER: &'static str = "portalRevisionId";
    const TABLE: &'static str = "portal_revisions";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs {
        delete: false,
        ..Verbs::ALL
    };
    const REPLACED: u16 = 201;
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("description", "description"),
        Filter::bool("isCurrent", "is_current"),
    ];

    fn example() -> Value {
        json!({"description": "New colours", "isCurrent": true})
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a PortalRevisionContract>,
        new: &'a mut PortalRevisionContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if old.is_none() {
                new.created_date_time = cx.now;
                new.provisioning_state = "Succeeded".into();
            }
            new.updated_date_time = cx.now;
            if new.is_current {
                sqlx::query(
                    "UPDATE portal_revisions SET is_current = false, rev = rev + 1, updated_at = $3 \
                     WHERE parent_id = $1 AND id <> $2 AND is_current",
                )
                .bind(cx.service.id)
                .bind(cx.id)
                .bind(cx.now)
                .execute(&mut *cx.conn)
                .await?;
            }
            Ok(())
        })
    }
}
