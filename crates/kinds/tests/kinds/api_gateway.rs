//! `gateways` of the installation, and their `configConnections`.

use crate::world::{EDGE, PROVIDER, SERVICE, World, api_gateway, body, service};
use engine::{Method, Resource as _, Value, json, sqlx};
use uuid::Uuid;

/// A connection of the gateway of most tests.
fn connection(name: &str) -> String {
    format!("{EDGE}/configConnections/{name}")
}

/// A gateway, and a service with a workspace.
async fn with_gateway() -> World {
    let world = World::new().await;
    world.put(EDGE, api_gateway()).await.expect(201);
    world
        .put("/workspaces/team", body(json!({"displayName": "Team"})))
        .await
        .expect(201);
    world.changes().await;
    world
}

#[tokio::test]
async fn a_gateway_is_made_read_listed_changed_and_removed() {
    let world = World::empty().await;
    let put = world.put(EDGE, api_gateway()).await;
    let etag = put.header("ETag").expect("an ETag").to_owned();
    // Done at once, so that nobody polls.
    assert_eq!(put.header("Azure-AsyncOperation"), None);
    let mut wanted = json!({
        "id": EDGE,
        "type": "Microsoft.ApiManagement/gateways",
        "name": "edge",
        "location": "West US",
        "sku": {"name": "Standard", "capacity": 1},
        "etag": etag.trim_matches('"'),
        "properties": {
            "provisioningState": "Succeeded",
            "targetProvisioningState": "",
            "createdAtUtc": "2027-01-15T08:00:00Z",
            "backend": kinds::api_gateway::ApiGateway::example()["backend"],
            "virtualNetworkType": "External",
        },
    });
    assert_eq!(put.expect(201), wanted);
    let got = world.get(EDGE).await;
    assert_eq!(got.header("ETag"), Some(etag.as_str()));
    assert_eq!(got.expect(200), wanted);
    assert_eq!(world.head(EDGE).await.header("ETag"), Some(etag.as_str()));
    for list in [
        format!("{PROVIDER}/gateways"),
        "/subscriptions/S1/providers/Microsoft.ApiManagement/gateways".to_owned(),
    ] {
        let page = world.get(&list).await.expect(200);
        assert_eq!(page, json!({"value": [wanted], "count": 1}), "{list}");
    }

    let change = json!({"tags": {"Name": "Contoso"}, "sku": {"name": "Standard", "capacity": 10}, "properties": {}});
    let patched = world.send(Method::Patch, EDGE, None, change).await;
    wanted["etag"] = patched.header("ETag").map(|e| e.trim_matches('"')).into();
    wanted["tags"] = json!({"Name": "Contoso"});
    wanted["sku"]["capacity"] = json!(10);
    assert_eq!(patched.expect(200), wanted);
    world
        .send(Method::Put, EDGE, Some(&etag), api_gateway())
        .await
        .expect(412);
    let replaced = world.put(EDGE, api_gateway()).await.expect(200);
    assert_eq!(replaced["sku"]["capacity"], 1);
    assert_eq!(replaced["tags"], Value::Null);

    let deleted = world.send(Method::Delete, EDGE, None, Value::Null).await;
    deleted.expect(204);
    world.delete(EDGE).await.expect(204);
    let missing = world.get(EDGE).await.expect(404);
    assert_eq!(
        missing["error"]["message"],
        "The Resource 'Microsoft.ApiManagement/gateways/edge' under resource group 'rg_1' was not found."
    );
    world.patch(EDGE, json!({})).await.expect(404);
    let trail: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_entries WHERE resource = $1 ORDER BY action")
            .bind(EDGE)
            .fetch_all(&world.pool)
            .await
            .expect("entries");
    let verb = |verb: &str| format!("Microsoft.ApiManagement/gateways/{verb}");
    assert_eq!(
        trail,
        [verb("delete"), verb("write"), verb("write"), verb("write")]
    );
}

#[tokio::test]
async fn every_violation_of_a_gateway_is_named_at_once() {
    let world = World::empty().await;
    let missing = world.put(EDGE, json!({"properties": {}})).await;
    assert_eq!(missing.targets(), ["location", "sku"]);
    let wrong = json!({
        "location": "West US", "sku": {"name": "Standard", "capacity": 0}, "tags": {"Test": 1},
        "properties": {"backend": {"subnet": {"id": "sn1"}}},
    });
    assert_eq!(
        world.put(EDGE, wrong).await.targets(),
        ["sku.capacity", "tags", "backend.subnet.id"]
    );
    let unknown = json!({
        "location": "West US", "sku": {"name": "Premium"},
        "properties": {"nonsense": 1, "virtualNetworkType": "Half"},
    });
    assert_eq!(
        world.put(EDGE, unknown).await.targets(),
        ["properties.nonsense", "sku.name", "virtualNetworkType"]
    );
    for name in ["1edge", "edge-", "ed_ge", &"e".repeat(46)] {
        let path = format!("{PROVIDER}/gateways/{name}");
        let refused = world.put(&path, api_gateway()).await;
        assert_eq!(refused.targets(), ["gatewayName"], "{name}");
    }
    world.get(EDGE).await.expect(404);
}

#[tokio::test]
async fn a_gateway_stays_where_it_was_created() {
    let world = with_gateway().await;
    let mut elsewhere = api_gateway();
    elsewhere["location"] = json!("East US");
    let refused = world.put(EDGE, elsewhere.clone()).await;
    assert_eq!(refused.targets(), ["location"]);
    elsewhere["location"] = json!("westus");
    let same = world.put(EDGE, elsewhere).await.expect(200);
    assert_eq!(same["location"], "West US");
}

#[tokio::test]
async fn the_name_of_a_gateway_is_its_own_in_the_installation() {
    let world = with_gateway().await;
    let other = EDGE.replace("/rg_1/", "/rg_2/");
    let conflict = world.put(&other, api_gateway()).await.expect(409);
    assert_eq!(
        conflict["error"]["message"],
        "The gateway name 'edge' is already in use."
    );
    // A service has names of another kind, and gateways of its own.
    let named = SERVICE.replace("/demo", "/edge");
    world.put(&named, service()).await.expect(201);
    world
        .put("/gateways/edge", body(json!({})))
        .await
        .expect(201);
    assert_eq!(world.names(&format!("{PROVIDER}/gateways")).await, ["edge"]);
}

#[tokio::test]
async fn a_list_of_gateways_has_pages() {
    let world = World::empty().await;
    for name in ["c", "a", "b"] {
        let path = format!("{PROVIDER}/gateways/{name}");
        world.put(&path, api_gateway()).await.expect(201);
    }
    let list = format!("{PROVIDER}/gateways");
    let first = world.get(&format!("{list}?$top=2")).await.expect(200);
    assert_eq!(first["count"], 3);
    assert_eq!(first["value"][1]["name"], "b");
    let next = first["nextLink"].as_str().expect("a link");
    let next = next
        .strip_prefix("http://127.0.0.1:8080")
        .expect("our link");
    assert_eq!(world.names(next).await, ["c"]);
    let filtered = format!("{list}?$filter=name eq 'a' or location eq 'nowhere'");
    assert_eq!(world.names(&filtered).await, ["a"]);
}

#[tokio::test]
async fn a_gateway_tells_its_tiers() {
    let world = with_gateway().await;
    let skus = world.get(&format!("{EDGE}/skus")).await.expect(200);
    let tier = |name: &str, maximum: i32| {
        json!({"resourceType": "Microsoft.ApiManagement/gateways", "sku": {"name": name},
               "capacity": {"minimum": 1, "maximum": maximum, "default": 1, "scaleType": "Manual"}})
    };
    assert_eq!(
        skus,
        json!({"value": [
            tier("Standard", 10), tier("WorkspaceGatewayStandard", 1), tier("WorkspaceGatewayPremium", 10)
        ]})
    );
    let absent = EDGE.replace("/edge", "/absent");
    world.get(&format!("{absent}/skus")).await.expect(404);
}

#[tokio::test]
async fn a_workspace_is_connected_and_its_link_names_the_gateway() {
    let world = with_gateway().await;
    let source = format!("{SERVICE}/workspaces/team");
    let one = connection("team");
    let given = json!({"sourceId": source.to_uppercase().replace("MICROSOFT.APIMANAGEMENT", "Microsoft.ApiManagement"),
        "hostnames": ["team.example.org"]});
    let put = world.put(&one, body(given.clone())).await;
    assert_eq!(put.header("Azure-AsyncOperation"), None);
    let wanted = json!({
        "id": one,
        "type": "Microsoft.ApiManagement/gateways/configConnections",
        "name": "team",
        "properties": {"provisioningState": "Succeeded", "sourceId": source, "hostnames": ["team.example.org"]},
    });
    assert_eq!(put.expect(201), wanted);
    assert_eq!(world.get(&one).await.expect(200), wanted);
    // A second one between the same ends adds no second gateway.
    world
        .put(&connection("again"), body(json!({"sourceId": source})))
        .await
        .expect(201);
    let link = async || {
        let link = world.get("/workspaceLinks/team").await.expect(200);
        link["properties"]["gateways"].clone()
    };
    assert_eq!(link().await, json!([{"id": EDGE}]));
    assert_eq!(
        world.changes().await,
        ["config_connections"],
        "the gateway serves no workspaces, so it hears of none"
    );

    let refused = world
        .send(Method::Delete, &one, None, Value::Null)
        .await
        .expect(400);
    assert_eq!(refused["error"]["code"], "PreconditionRequired");
    world.delete(&one).await.expect(204);
    world.delete(&one).await.expect(204);
    assert_eq!(
        world.names(&format!("{EDGE}/configConnections")).await,
        ["again"]
    );
    // What is connected takes its connections with it.
    world.delete("/workspaces/team").await.expect(200);
    world.get(&connection("again")).await.expect(404);
}

#[tokio::test]
async fn a_connected_service_gets_the_hosts_of_its_connections() {
    let world = with_gateway().await;
    let one = connection("demo");
    let given = json!({"sourceId": SERVICE, "hostnames": ["Api.Example.org", "b.example.org"]});
    let put = world.put(&one, body(given.clone())).await.expect(201);
    let own = world.get(SERVICE).await.expect(200);
    let url = own["properties"]["gatewayUrl"].as_str().expect("a URL");
    assert_eq!(
        url,
        format!(
            "http://{}:8081",
            put["properties"]["defaultHostname"]
                .as_str()
                .expect("a host")
        )
    );
    assert_eq!(put["properties"]["hostnames"], given["hostnames"]);
    assert_eq!(world.changes().await, ["config_connections", "services"]);

    // Disconnected, it keeps its hosts, and the service is told.
    let free = json!({"hostnames": ["b.example.org"]});
    let put = world.put(&one, body(free)).await.expect(200);
    assert_eq!(
        put["properties"],
        json!({"provisioningState": "Succeeded", "hostnames": ["b.example.org"]})
    );
    assert_eq!(world.changes().await, ["config_connections", "services"]);
    world.put(&one, body(given)).await.expect(200);
    world.changes().await;
    world.delete(EDGE).await.expect(204);
    assert_eq!(world.changes().await, ["api_gateways", "services"]);
    world.get(&one).await.expect(404);
}

#[tokio::test]
async fn no_two_services_are_called_under_one_host() {
    let world = with_gateway().await;
    let other = SERVICE.replace("/demo", "/other");
    let mut custom = service();
    custom["properties"]["hostnameConfigurations"] =
        json!([{"type": "Proxy", "hostName": "taken.example.org"}]);
    world.put(&other, custom.clone()).await.expect(201);
    let one = connection("demo");
    let hosts = json!({"sourceId": SERVICE, "hostnames": [
        "free.example.org", "Taken.example.org", "demo.localhost", "other.localhost", "127.0.0.1"
    ]});
    assert_eq!(
        world.put(&one, body(hosts)).await.targets(),
        [
            "hostnames[1]",
            "hostnames[2]",
            "hostnames[3]",
            "hostnames[4]"
        ]
    );
    let hosts = |source: &str, host: &str| body(json!({"sourceId": source, "hostnames": [host]}));
    world
        .put(&one, hosts(SERVICE, "free.example.org"))
        .await
        .expect(201);
    world
        .put(&one, hosts(SERVICE, "free.example.org"))
        .await
        .expect(200);
    let second = connection("other");
    let refused = world.put(&second, hosts(&other, "FREE.example.org")).await;
    assert_eq!(refused.targets(), ["hostnames[0]"]);
    world
        .put(&second, hosts(&other, "taken.example.org"))
        .await
        .expect(201);
    custom["properties"]["hostnameConfigurations"][0]["hostName"] = json!("free.example.org");
    let refused = world.put(&other, custom).await;
    assert_eq!(refused.targets(), ["hostnameConfigurations[0].hostName"]);
}

#[tokio::test]
async fn every_violation_of_a_connection_is_named_at_once() {
    let world = with_gateway().await;
    let one = connection("demo");
    let given = json!({"sourceId": format!("{SERVICE}/apis/echo-api"), "hostnames": [
        "a.example.org", "*.example.org", "A.example.org", "http://b", "", "b.example.org:81"
    ]});
    assert_eq!(
        world.put(&one, body(given)).await.targets(),
        [
            "sourceId",
            "hostnames[1]",
            "hostnames[2]",
            "hostnames[3]",
            "hostnames[4]",
            "hostnames[5]"
        ]
    );
    let absent =
        json!({"sourceId": format!("{SERVICE}/workspaces/absent"), "hostnames": ["localhost"]});
    assert_eq!(
        world.put(&one, body(absent)).await.targets(),
        ["sourceId", "hostnames[0]"]
    );
    let elsewhere = json!({"sourceId": SERVICE.replace("/rg_1/", "/rg_2/")});
    assert_eq!(
        world.put(&one, body(elsewhere)).await.targets(),
        ["sourceId"]
    );
    let nowhere = one.replace("/edge/", "/absent/");
    let missing = world.put(&nowhere, body(json!({}))).await.expect(404);
    assert_eq!(
        missing["error"]["message"],
        "The Resource 'Microsoft.ApiManagement/gateways/absent' under resource group 'rg_1' was not found."
    );
}

#[tokio::test]
async fn a_role_over_a_service_is_none_over_gateways() {
    let mut world = with_gateway().await;
    world.version = "2022-08-01";
    world.get(EDGE).await.expect(404);
    world.version = "2024-06-01-preview";
    world.get(EDGE).await.expect(200);
    let demo: Uuid = sqlx::query_scalar("SELECT id FROM services WHERE name = 'demo'")
        .fetch_one(&world.pool)
        .await
        .expect("a service");
    let fresh = EDGE.replace("/edge", "/fresh");
    for (role, scope, seen, made) in [
        ("reader", None, 1, 403),
        ("contributor", None, 1, 201),
        ("developer", None, 0, 403),
        ("owner", Some(demo), 0, 403),
    ] {
        sqlx::query("UPDATE role_assignments SET role = $1, scope_service_id = $2")
            .bind(role)
            .bind(scope)
            .execute(&world.pool)
            .await
            .expect("a role");
        let list = world
            .get(&format!("{PROVIDER}/gateways?$filter=name eq 'edge'"))
            .await
            .expect(200);
        assert_eq!(list["count"], seen, "{role} over {scope:?}");
        let path = if made == 201 {
            fresh.clone()
        } else {
            EDGE.replace("/edge", "/unmade")
        };
        world.put(&path, api_gateway()).await.expect(made);
    }
}
