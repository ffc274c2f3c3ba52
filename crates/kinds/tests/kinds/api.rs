//! `apis`

use crate::world::{World, body};
use engine::{Value, json};

fn api(path: &str) -> Value {
    body(json!({"displayName": "Sample", "path": path, "serviceUrl": "https://example.org"}))
}

#[tokio::test]
async fn a_new_api_has_the_contract_s_defaults() {
    let world = World::new().await;
    world
        .put(
            "/apis/sample",
            body(json!({"displayName": "Sample", "path": "/a/b/"})),
        )
        .await
        .expect(201);
    let got = world.get("/apis/sample").await.expect(200);
    assert_eq!(
        got["properties"],
        json!({
            "displayName": "Sample", "path": "a/b", "protocols": ["https"], "type": "http", "apiRevision": "1",
            "isCurrent": true, "isOnline": true, "subscriptionRequired": true, "provisioningState": "Succeeded",
            "subscriptionKeyParameterNames": {"header": "Ocp-Apim-Subscription-Key", "query": "subscription-key"}
        })
    );
    let list = world
        .get("/apis?$filter=name eq 'sample'")
        .await
        .expect(200);
    assert_eq!(list["count"], 1);
    assert_eq!(
        list["value"][0]["properties"].get("subscriptionKeyParameterNames"),
        None
    );
}

#[tokio::test]
async fn a_path_leads_to_one_api() {
    let world = World::new().await;
    world.put("/apis/one", api("first")).await.expect(201);
    world.put("/apis/two", api("second")).await.expect(201);
    assert_eq!(
        world.put("/apis/three", api("FIRST")).await.targets(),
        ["path"]
    );
    assert_eq!(
        world
            .patch("/apis/two", json!({"path": "/first/"}))
            .await
            .targets(),
        ["path"]
    );
    world
        .patch("/apis/one", json!({"path": "First"}))
        .await
        .expect(200);

    // Versions of one API share its path.
    world
        .put(
            "/apiVersionSets/set",
            body(json!({"displayName": "Set", "versioningScheme": "Segment"})),
        )
        .await
        .expect(201);
    let version = |version: &str| {
        let mut api = api("first");
        api["properties"]["apiVersionSetId"] = json!("/apiVersionSets/set");
        api["properties"]["apiVersion"] = json!(version);
        api
    };
    world.put("/apis/v1", version("v1")).await.expect(201);
    world.put("/apis/v2", version("v2")).await.expect(201);
    assert_eq!(
        world
            .patch("/apis/v2", json!({"apiVersion": "v1"}))
            .await
            .targets(),
        ["path"]
    );
}

#[tokio::test]
async fn every_wrong_field_of_an_api_is_named() {
    let world = World::new().await;
    let wrong = body(json!({"displayName": "x".repeat(301), "path": 1, "protocols": ["gopher"]}));
    assert_eq!(
        world.put("/apis/sample", wrong).await.targets(),
        ["displayName", "path", "protocols[0]"]
    );
    let wrong = body(json!({
        "path": "a?b", "serviceUrl": "ftp://x", "protocols": [],
        "subscriptionKeyParameterNames": {"header": "a b", "query": ""}
    }));
    assert_eq!(
        world.put("/apis/sample", wrong).await.targets(),
        [
            "serviceUrl",
            "path",
            "protocols",
            "subscriptionKeyParameterNames.header",
            "subscriptionKeyParameterNames.query"
        ]
    );
}

#[tokio::test]
async fn a_deleted_api_takes_its_content_and_its_subscriptions_along() {
    let mut world = World::new().await;
    world
        .put(
            "/subscriptions/s",
            body(json!({"scope": "/apis/echo-api", "displayName": "s"})),
        )
        .await
        .expect(201);
    world.changes().await;
    world.delete("/apis/echo-api").await.expect(204);
    assert_eq!(
        world.changes().await,
        [
            "api_operations",
            "api_policies",
            "apis",
            "operation_policies",
            "products",
            "subscriptions"
        ]
    );
    world.get("/subscriptions/s").await.expect(404);
    assert_eq!(world.names("/products/starter/apis").await, [""; 0]);

    // Clients of the older contract take no 202 and expect 200.
    world.put("/apis/sample", api("x")).await.expect(201);
    world.version = "2022-08-01";
    world.delete("/apis/sample").await.expect(200);
    world.delete("/apis/sample").await.expect(204);
}

#[tokio::test]
async fn the_types_of_a_schema_are_an_object() {
    let world = World::new().await;
    let schema = |document| {
        body(
            json!({"contentType": "application/vnd.oai.openapi.components+json", "document": document}),
        )
    };
    for (document, field) in [
        (json!({"components": [null]}), "document.components"),
        (json!({"definitions": "Row"}), "document.definitions"),
        (json!({}), "document"),
    ] {
        let refused = world
            .put("/apis/echo-api/schemas/rows", schema(document))
            .await;
        assert_eq!(refused.targets(), [field]);
    }
    let types = schema(json!({"components": {"schemas": {}}}));
    world
        .put("/apis/echo-api/schemas/rows", types)
        .await
        .expect(201);
}
