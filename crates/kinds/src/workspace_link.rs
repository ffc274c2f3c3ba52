//! Links of workspaces: which gateways serve what is in a workspace.
//!
//! Read only: the rows are the workspaces, and the gateways are those that were connected to them.

use crate::service::Service;
use engine::{Any, Contract, Filter, Json, NameRule, Ref, Resource, Value, Verbs, json};
use utoipa::ToSchema;

/// A link.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct WorkspaceLinkContract {
    /// The workspace.
    #[contract(read_only, reference = "workspaces")]
    pub workspace_id: Ref,
    /// Gateways of its own; without any, the service's gateway serves it like everything else.
    #[contract(read_only)]
    pub gateways: Json<Vec<Any>>,
}

/// The kind.
pub struct WorkspaceLink;

impl Resource for WorkspaceLink {
    type Parent = Service;
    type Contract = WorkspaceLinkContract;
    const TITLE: &'static str = "ApiManagementWorkspaceLink";
    const NOUN: &'static str = "WorkspaceLink";
    const SEGMENT: &'static str = "workspaceLinks";
    const PARAMETER: &'static str = "workspaceId";
    const TABLE: &'static str = "workspace_links";
    const NAME: NameRule = NameRule::id(80);
    const VERBS: Verbs = Verbs::READ;
    const SINCE: &'static str = "2024-05-01";
    const FILTERS: &'static [Filter] = &[Filter::name()];

    fn example() -> Value {
        json!({})
    }
}
