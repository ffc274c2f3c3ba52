//! What is asked of a service as a whole.

use crate::world::{SERVICE, World, body, now};
use engine::{Value, json};

#[tokio::test]
async fn tiers_regions_and_the_network_are_told() {
    let world = World::new().await;
    let skus = world.get("/skus").await.expect(200);
    assert_eq!(skus["value"][0]["sku"], json!({"name": "Developer"}));
    assert_eq!(
        world.get("/regions").await.expect(200),
        json!({"value": [{"name": "westeurope", "isMasterRegion": true, "isDeleted": false}], "count": 1})
    );
    let network = world.get("/networkstatus").await.expect(200);
    assert_eq!(network[0]["location"], "westeurope");
    let database = &network[0]["networkStatus"]["connectivityStatus"][0];
    assert_eq!(
        (&database["resourceType"], &database["status"]),
        (&json!("Postgres"), &json!("success"))
    );
    assert_eq!(database["lastUpdated"], json!(now()));
    world
        .put(
            "/backends/own",
            body(json!({"url": "https://own.example.org:8443/x"})),
        )
        .await
        .expect(201);
    let outbound = world
        .get("/outboundNetworkDependenciesEndpoints")
        .await
        .expect(200);
    assert_eq!(
        outbound["value"],
        json!([
            {"category": "Web services of APIs", "endpoints": [
                {"domainName": "127.0.0.1", "endpointDetails": [{"port": 8080, "region": "westeurope"}]}]},
            {"category": "Backends", "endpoints": [
                {"domainName": "own.example.org", "endpointDetails": [{"port": 8443, "region": "westeurope"}]}]},
        ])
    );
    let link = world.get("/privateLinkResources/Gateway").await.expect(200);
    assert_eq!(
        world.get("/privateLinkResources").await.expect(200)["value"],
        json!([link])
    );
}

#[tokio::test]
async fn policies_are_described_by_scope() {
    let world = World::new().await;
    let all = world.names("/policyDescriptions?scope=All").await;
    let product = world.names("/policyDescriptions?scope=product").await;
    assert!(all.contains(&"rate-limit".to_owned()), "{all:?}");
    assert!(product.contains(&"quota".to_owned()), "{product:?}");
    assert!(product.len() < all.len());
    let wrong = world.get("/policyDescriptions?scope=galaxy").await;
    assert_eq!(wrong.targets(), ["scope"]);
}

#[tokio::test]
async fn a_policy_without_base_breaks_the_restriction_of_its_scope() {
    let world = World::new().await;
    let state = async || -> Vec<(String, String)> {
        world.get("/allPolicies").await.expect(200)["value"]
            .as_array()
            .expect("policies")
            .iter()
            .map(|policy| {
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                let id = text(&policy["properties"]["referencePolicyId"]);
                (
                    id.strip_prefix(SERVICE)
                        .expect("an id of the service")
                        .to_owned(),
                    text(&policy["properties"]["complianceState"]),
                )
            })
            .collect()
    };
    let starter = "/products/starter/policies/policy".to_owned();
    assert!(
        state()
            .await
            .contains(&(starter.clone(), "Compliant".into()))
    );
    let restriction = json!({"scope": "/products/starter", "requireBase": "true"});
    world
        .put("/policyRestrictions/base", body(restriction))
        .await
        .expect(201);
    // The starter's document says nothing of errors.
    assert!(
        state()
            .await
            .contains(&(starter.clone(), "NonCompliant".into()))
    );
    let checked = world
        .post("/validatePolicies", Value::Null)
        .await
        .expect(200);
    assert_eq!(checked["properties"]["status"], "Failed");
    assert_eq!(
        checked["properties"]["actionLog"],
        json!([{"objectType": "Policy", "action": "<base /> is missing in on-error", "objectKey": starter}])
    );
    world
        .patch("/policyRestrictions/base", json!({"requireBase": "false"}))
        .await
        .expect(200);
    let checked = world
        .post("/validatePolicies", Value::Null)
        .await
        .expect(200);
    assert_eq!(checked["properties"]["status"], "Succeeded");
}

#[tokio::test]
async fn what_portico_does_not_do_is_refused_with_the_reason() {
    let world = World::new().await;
    for action in ["backup", "restore"] {
        let refused = world.post(&format!("/{action}"), json!({})).await;
        assert_eq!(
            refused.targets(),
            ["storageAccount", "containerName", "backupName"]
        );
        let body = json!({"storageAccount": "a", "containerName": "b", "backupName": "c"});
        let refused = world.post(&format!("/{action}"), body).await.expect(409);
        let message = refused["error"]["message"].as_str().expect("a message");
        assert!(message.contains("Postgres"), "{message}");
    }
    for action in ["applynetworkconfigurationupdates", "migrateToStv2"] {
        let service = world
            .post(&format!("/{action}"), json!({}))
            .await
            .expect(200);
        assert_eq!(service["id"], SERVICE);
        assert_eq!(service["properties"]["platformVersion"], "stv2.1");
    }
    let token = world.post("/getssotoken", Value::Null).await.expect(200);
    assert_eq!(token["redirectUri"], "http://127.0.0.1:8080/publisher");
}

#[tokio::test]
async fn a_services_issues_are_those_of_its_apis() {
    let world = World::new().await;
    let issue = json!({"title": "Wrong hash", "description": "Off by one.", "userId": "/users/1"});
    world
        .put("/apis/echo-api/issues/first", body(issue))
        .await
        .expect(201);
    assert_eq!(
        world.names("/issues?$filter=contains(title,'hash')").await,
        ["first"]
    );
    let issue = world.get("/issues/first").await.expect(200);
    assert_eq!(issue["id"], format!("{SERVICE}/issues/first"));
    assert_eq!(issue["properties"]["apiId"], "/apis/echo-api");
    world.get("/issues/absent").await.expect(404);
    world
        .put("/issues/first", body(json!({})))
        .await
        .expect(405);
}

#[tokio::test]
async fn a_backend_may_be_a_service_of_a_cluster_and_is_reconnected() {
    let world = World::new().await;
    let cluster =
        json!({"serviceFabricCluster": {"managementEndpoints": ["https://cluster.example.org"]}});
    let named = json!({"url": "fabric:/shop/cart", "protocol": "http", "properties": cluster});
    world
        .put("/backends/cart", body(named.clone()))
        .await
        .expect(201);
    world
        .post("/backends/cart/reconnect", json!({}))
        .await
        .expect(202);
    let mut unnamed = named;
    unnamed["properties"] = Value::Null;
    let put = world.put("/backends/other", body(unnamed)).await;
    assert_eq!(put.targets(), ["url"]);
}

#[tokio::test]
async fn the_configuration_is_not_in_git_and_says_so() {
    let world = World::new().await;
    let state = world
        .get("/tenant/configuration/syncState")
        .await
        .expect(200);
    assert_eq!(
        state["properties"],
        json!({"isGitEnabled": false, "isSynced": false, "isExport": false})
    );
    for action in ["save", "deploy", "validate"] {
        let refused = world
            .post(
                &format!("/tenant/configuration/{action}"),
                body(json!({"branch": "master"})),
            )
            .await;
        assert_eq!(refused.targets(), ["configurationName"], "{action}");
    }
}
