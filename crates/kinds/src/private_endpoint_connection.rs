//! Private endpoint connections: who asks to reach the service over a private network, and what its owner decided.
//!
//! Portico has no network but the machine's, so this is the record that clients keep there, like the other settings of the
//! network (`virtualNetworkType`): nobody is let in or kept out by it.

use crate::service::Service;
use engine::{Any, BoxFuture, Contract, Cx, Json, NameRule, Resource, Result, Value, Verbs, json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A connection.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PrivateEndpointConnectionContract {
    /// The endpoint in the other network, as given.
    pub private_endpoint: Option<Json<Any>>,
    /// What the owner of the service decided.
    #[contract(default = Json(ConnectionState::default()))]
    pub private_link_service_connection_state: Json<ConnectionState>,
    /// `Succeeded`.
    #[contract(read_only)]
    pub provisioning_state: String,
}

/// What the owner of the service decided.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionState {
    /// Decision.
    #[serde(default)]
    pub status: ConnectionStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the other side has to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions_required: Option<String>,
}

/// A decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ConnectionStatus {
    /// None yet.
    #[default]
    Pending,
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

/// The kind.
pub struct PrivateEndpointConnection;

impl Resource for PrivateEndpointConnection {
    type Parent = Service;
    type Contract = PrivateEndpointConnectionContract;
    const TITLE: &'static str = "PrivateEndpointConnection";
    const SEGMENT: &'static str = "privateEndpointConnections";
    const PARAMETER: &'static str = "privateEndpointConnectionName";
    const TABLE: &'static str = "private_endpoint_connections";
    const NAME: NameRule = NameRule::id(256);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const IF_MATCH: bool = false;
    const CREATED: u16 = 200;

    fn example() -> Value {
        json!({"privateLinkServiceConnectionState": {"status": "Approved", "description": "The team of the shop."}})
    }

    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        _: Option<&'a PrivateEndpointConnectionContract>,
        new: &'a mut PrivateEndpointConnectionContract,
    ) -> BoxFuture<'a, Result<()>> {
        new.provisioning_state = "Succeeded".into();
        engine::ok()
    }
}
