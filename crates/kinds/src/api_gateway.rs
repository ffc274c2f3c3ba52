//! Gateways of the installation, and what is connected to them.
//!
//! A gateway here is not one process: it stands for those processes of the installation that serve every service, and says which
//! services and workspaces are connected, and under which hosts callers reach them. See `docs/adr/0015-api-gateways.md`. The
//! gateways of one service, which run apart with a token, are [`gateway`](crate::gateway).

use crate::{
    gateway::is_host,
    service::{NetworkType, Service, check_tags, is_reserved, taken_hosts},
};
use chrono::{DateTime, Utc};
use engine::{
    Access, Action, ActionDetail, Any, BoxFuture, Change, Contract, Cx, Filter, Json, NameRule,
    Reply, Resource, Result, Root, Value, Verbs, Violations,
    arm_id::{self, ResourcePath},
    json, sqlx, workspace,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// A gateway of the installation.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiGatewayContract {
    /// Region; a label that stays as it was created.
    #[contract(top_level, length(1..=100))]
    pub location: String,
    /// Tier and size; labels without limits.
    #[contract(top_level)]
    pub sku: Json<GatewaySku>,
    /// Tags.
    #[contract(top_level)]
    pub tags: Option<Json<Any>>,
    /// `Succeeded`: nothing has to be set up that takes time.
    #[contract(read_only)]
    pub provisioning_state: String,
    /// State that a running operation leads to; empty, because none runs.
    #[contract(read_only)]
    pub target_provisioning_state: String,
    /// When the gateway was created.
    #[contract(read_only)]
    pub created_at_utc: DateTime<Utc>,
    /// The gateway's own host; none, because each connection has its hosts.
    #[contract(read_only)]
    pub frontend: Option<Json<FrontendConfiguration>>,
    /// The network of the web services; a label.
    pub backend: Option<Json<BackendConfiguration>>,
    /// Where the gateway gets its configuration from; none, because it is the installation's own.
    #[contract(read_only)]
    pub configuration_api: Option<Json<GatewayConfigurationApi>>,
    /// How the gateway is attached to a network; a label.
    pub virtual_network_type: Option<NetworkType>,
}

/// Tier and size of a gateway.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GatewaySku {
    /// Tier.
    pub name: GatewaySkuName,
    /// Units.
    #[serde(default = "one")]
    pub capacity: i32,
}

const fn one() -> i32 {
    1
}

/// Tiers of the contract; Portico has no limits by tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum GatewaySkuName {
    /// Standard
    Standard,
    /// WorkspaceGatewayStandard
    WorkspaceGatewayStandard,
    /// WorkspaceGatewayPremium
    WorkspaceGatewayPremium,
}

/// How a gateway is reached.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrontendConfiguration {
    /// Host.
    pub default_hostname: String,
}

/// How a gateway reaches web services.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendConfiguration {
    /// The subnet that they are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<BackendSubnetConfiguration>,
}

/// A subnet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendSubnetConfiguration {
    /// Its resource id: `…/providers/Microsoft.Network/virtualNetworks/{name}/subnets/{name}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Where a gateway gets its configuration from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GatewayConfigurationApi {
    /// Host.
    pub hostname: String,
}

/// Tiers with the units that a gateway may have there in the contract: labels, which Portico does not enforce.
const TIERS: &[(GatewaySkuName, i32, i32)] = &[
    (GatewaySkuName::Standard, 1, 10),
    (GatewaySkuName::WorkspaceGatewayStandard, 1, 1),
    (GatewaySkuName::WorkspaceGatewayPremium, 1, 10),
];

const SKUS: &str = "ApiManagementGatewaySkus_ListAvailableSkus";

/// The kind.
pub struct ApiGateway;

impl Resource for ApiGateway {
    type Parent = Root;
    type Contract = ApiGatewayContract;
    const TITLE: &'static str = "ApiGateway";
    const SEGMENT: &'static str = "gateways";
    const PARAMETER: &'static str = "gatewayName";
    const TABLE: &'static str = "api_gateways";
    const NAME: NameRule = NameRule::Label { max: 45 };
    const IF_MATCH: bool = false;
    const LONG_DELETE: bool = true;
    const OF_INSTALLATION: bool = true;
    const SINCE: &'static str = "2024-05-01";
    const FILTERS: &'static [Filter] = &[Filter::name(), Filter::text("location", "location")];
    const VIEWS: &'static [Action] = &[Action {
        name: "skus",
        operation: SKUS,
        summary: "Lists the tiers that the gateway may have.",
        access: Access::Read,
        status: 200,
        run: |_, _| {
            Box::pin(async {
                let tiers: Vec<Value> = TIERS
                    .iter()
                    .map(|(name, minimum, maximum)| {
                        json!({"resourceType": "Microsoft.ApiManagement/gateways", "sku": {"name": name},
                               "capacity": {"minimum": minimum, "maximum": maximum, "default": minimum, "scaleType": "Manual"}})
                    })
                    .collect();
                Ok(Reply::ok(json!({"value": tiers})))
            })
        },
    }];
    const ACTION_DETAILS: &'static [ActionDetail] = &[ActionDetail {
        operation: SKUS,
        parameters: Vec::new,
        body: None,
        reply: || {
            json!({"type": "object", "required": ["value"], "properties": {"value": {"type": "array", "items": {
            "type": "object", "required": ["resourceType", "sku", "capacity"], "properties": {
                "resourceType": {"type": "string"},
                "sku": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
                "capacity": {"type": "object", "properties": {
                    "minimum": {"type": "integer"}, "maximum": {"type": "integer"}, "default": {"type": "integer"},
                    "scaleType": {"type": "string"}}}
            }}}}})
        },
    }];

    fn example() -> Value {
        json!({
            "backend": {"subnet": {
                "id": "/subscriptions/s1/resourceGroups/rg_1/providers/Microsoft.Network/virtualNetworks/plant/subnets/machines"
            }},
            "virtualNetworkType": "External"
        })
    }

    fn validate(gateway: &ApiGatewayContract, violations: &mut Violations) {
        if gateway.sku.0.capacity < 1 {
            violations.add("sku.capacity", "must be at least 1");
        }
        check_tags(gateway.tags.as_ref(), violations);
        let subnet = gateway
            .backend
            .as_ref()
            .and_then(|Json(backend)| backend.subnet.as_ref()?.id.as_deref());
        if subnet.is_some_and(|id| !is_subnet(id)) {
            violations.add(
                "backend.subnet.id",
                "must be a resource id that ends in /virtualNetworks/{name}/subnets/{name}",
            );
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ApiGatewayContract>,
        new: &'a mut ApiGatewayContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let place = |name: &str| name.replace(' ', "").to_lowercase();
            match old {
                None => {
                    new.created_at_utc = cx.now;
                    new.provisioning_state = "Succeeded".into();
                }
                Some(old) if place(&old.location) != place(&new.location) => {
                    return Err(engine::Error::invalid(
                        "location",
                        format!("cannot be changed; it is {}", old.location),
                    ));
                }
                // The same place in another spelling.
                Some(old) => new.location.clone_from(&old.location),
            }
            Ok(())
        })
    }

    /// Its connections go by cascade, and with them the hosts of the services that they connect.
    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a ApiGatewayContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let services: Vec<Uuid> = sqlx::query_scalar(
                "SELECT DISTINCT s.id FROM config_connections c JOIN services s ON s.id = c.source_service_id AND s.workspace_of IS NULL \
                 WHERE c.parent_id = $1 ORDER BY 1",
            )
            .bind(cx.id)
            .fetch_all(&mut *cx.conn)
            .await?;
            for service in services {
                service_changed(cx, service);
            }
            Ok(())
        })
    }
}

/// Whether this is the id of a subnet; that it exists nobody here can tell.
fn is_subnet(id: &str) -> bool {
    let segments: Vec<&str> = id.split('/').collect();
    matches!(
        segments.as_slice(),
        ["", subscriptions, _, groups, _, providers, network, networks, _, subnets, name]
            if subscriptions.eq_ignore_ascii_case("subscriptions")
                && groups.eq_ignore_ascii_case("resourceGroups")
                && providers.eq_ignore_ascii_case("providers")
                && network.eq_ignore_ascii_case("Microsoft.Network")
                && networks.eq_ignore_ascii_case("virtualNetworks")
                && subnets.eq_ignore_ascii_case("subnets")
                && !name.is_empty()
    )
}

/// What is connected to a gateway.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ConfigConnectionContract {
    /// `Succeeded`: a connection holds at once.
    #[contract(read_only)]
    pub provisioning_state: String,
    /// The resource id of the workspace, or of the service, that is connected; without one the connection keeps its hosts.
    pub source_id: Option<String>,
    /// Its row among the services.
    #[contract(internal)]
    pub source_service_id: Option<Uuid>,
    /// The host under which a connected service is called without this connection.
    #[contract(read_only)]
    pub default_hostname: Option<String>,
    /// Hosts under which what is connected is called besides.
    pub hostnames: Option<Vec<String>>,
}

/// The kind of gateways' connections.
pub struct ConfigConnection;

impl Resource for ConfigConnection {
    type Parent = ApiGateway;
    type Contract = ConfigConnectionContract;
    const TITLE: &'static str = "ApiGatewayConfigConnection";
    const SEGMENT: &'static str = "configConnections";
    const PARAMETER: &'static str = "configConnectionName";
    const TABLE: &'static str = "config_connections";
    const NAME: NameRule = NameRule::Label { max: 30 };
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const LONG_DELETE: bool = true;
    // What is kept of deleted resources belongs to a service.
    const RESTORABLE: bool = false;
    const SINCE: &'static str = "2024-05-01";
    const FILTERS: &'static [Filter] = &[Filter::name()];

    fn example() -> Value {
        json!({"hostnames": ["api.plant.example.org"]})
    }

    fn validate(connection: &ConfigConnectionContract, violations: &mut Violations) {
        if let Some(source) = &connection.source_id
            && stored_source(source).is_none()
        {
            violations.add(
                "sourceId",
                "must be a resource id that ends in /service/{serviceName}/workspaces/{workspaceId} or /service/{serviceName}",
            );
        }
        let mut seen = BTreeSet::new();
        for (at, host) in connection.hostnames.iter().flatten().enumerate() {
            let field = format!("hostnames[{at}]");
            if !is_host(host) {
                violations.add(field, "must be a host such as api.example.org");
            } else if !seen.insert(host.to_lowercase()) {
                violations.add(field, "is named twice");
            }
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a ConfigConnectionContract>,
        new: &'a mut ConfigConnectionContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            new.provisioning_state = "Succeeded".into();
            let mut violations = Violations::default();
            find_source(cx, new, &mut violations).await?;
            let hosts: Vec<String> = new
                .hostnames
                .iter()
                .flatten()
                .map(|host| host.to_lowercase())
                .collect();
            if !hosts.is_empty() {
                let connection = cx.id;
                let taken =
                    taken_hosts(cx, new.source_service_id, Some(connection), &hosts).await?;
                for (at, host) in hosts.iter().enumerate() {
                    if taken.contains(host) || is_reserved(cx.engine.settings(), host) {
                        violations.add(
                            format!("hostnames[{at}]"),
                            format!(
                                "names the gateway host '{host}', which this connection cannot have"
                            ),
                        );
                    }
                }
            }
            violations.into_result()
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ConfigConnectionContract>,
        new: &'a ConfigConnectionContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let services: BTreeSet<Uuid> = old
                .into_iter()
                .chain([new])
                .filter_map(served_service)
                .collect();
            for service in services {
                service_changed(cx, service);
            }
            Ok(())
        })
    }

    fn deleting<'a>(
        cx: &'a mut Cx<'_>,
        old: &'a ConfigConnectionContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if let Some(service) = served_service(old) {
                service_changed(cx, service);
            }
            Ok(())
        })
    }
}

/// Subscription, resource group and the name among the services of what an id names, if it may be connected.
fn stored_source(id: &str) -> Option<(String, String, String)> {
    let path = ResourcePath::parse(id).ok()?;
    let (
        arm_id::Root::Group {
            subscription,
            group,
        },
        None,
    ) = (path.root, path.tail)
    else {
        return None;
    };
    let is = |segment: &str, wanted: &str| segment.eq_ignore_ascii_case(wanted);
    let stored = match path.pairs.as_slice() {
        // A slash in a name would be the mark of a workspace's row.
        [(service, name)] if is(service, Service::SEGMENT) && !name.contains('/') => name.clone(),
        [(service, name), (workspaces, workspace)]
            if is(service, Service::SEGMENT)
                && is(workspaces, workspace::SEGMENT)
                && !name.contains('/') =>
        {
            workspace::stored_name(name, workspace)
        }
        _ => return None,
    };
    Some((subscription, group, stored))
}

/// Looks for what is connected, and spells its id as it is spelled there.
///
/// Whoever may write a gateway has a role over the installation, and so over whatever is connected.
async fn find_source(
    cx: &mut Cx<'_>,
    new: &mut ConfigConnectionContract,
    violations: &mut Violations,
) -> Result<()> {
    (new.source_service_id, new.default_hostname) = (None, None);
    let Some((subscription, group, name)) = new.source_id.as_deref().and_then(stored_source) else {
        return Ok(());
    };
    let found: Option<(Uuid, String, String, String, Option<String>)> = sqlx::query_as(
        "SELECT id, subscription_id, resource_group, name, split_part(split_part(gateway_url, '://', 2), ':', 1) FROM services \
         WHERE lower(name) = lower($3) AND lower(subscription_id) = lower($1) AND lower(resource_group) = lower($2) \
         AND deleted_at IS NULL",
    )
    .bind(subscription)
    .bind(group)
    .bind(name)
    .fetch_optional(cx.conn.reading()?)
    .await?;
    match found {
        Some((id, subscription, group, name, host)) => {
            let root = arm_id::Root::Group {
                subscription,
                group,
            };
            new.source_id = Some(workspace::service_path(&root, &name));
            new.source_service_id = Some(id);
            new.default_hostname = host;
        }
        None => violations.add("sourceId", "names what does not exist"),
    }
    Ok(())
}

/// The service whose hosts the connection adds to. The gateway does not serve workspaces (`docs/adr/0012-workspaces.md`).
fn served_service(connection: &ConfigConnectionContract) -> Option<Uuid> {
    let source = connection.source_id.as_deref()?;
    connection
        .source_service_id
        .filter(|_| !source.contains("/workspaces/"))
}

/// The gateway's configuration of the service has its hosts.
fn service_changed(cx: &mut Cx<'_>, service: Uuid) {
    cx.changes.push(Change {
        service,
        table: Service::TABLE,
        id: service,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ApiManagement";

    #[test]
    fn services_and_workspaces_can_be_connected_and_nothing_else() {
        let stored = |below: &str| stored_source(&format!("{GROUP}{below}")).map(|found| found.2);
        assert_eq!(stored("/service/demo").as_deref(), Some("demo"));
        assert_eq!(
            stored("/Service/demo/Workspaces/team").as_deref(),
            Some("demo/team")
        );
        for other in [
            "",
            "/service",
            "/gateways/edge",
            "/service/demo/apis/echo",
            "/service/demo%2Fteam",
            "/service/demo/workspaces/team/apis/echo",
        ] {
            assert_eq!(stored(other), None, "{other}");
        }
        assert_eq!(stored_source("/service/demo"), None);
        assert_eq!(stored_source("demo"), None);
    }

    #[test]
    fn a_subnet_is_named_by_its_whole_id() {
        let network =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
        assert!(is_subnet(&format!("{network}/subnets/n")));
        for other in ["", "n", network, &format!("{network}/subnets/")] {
            assert!(!is_subnet(other), "{other}");
        }
    }
}
