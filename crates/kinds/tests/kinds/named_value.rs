//! `namedValues`

use crate::world::{World, body};
use engine::{Value, json};

const POLICY: &str = "<policies><inbound><set-header name=\"k\" exists-action=\"override\"><value>{{Backend-Key}}</value></set-header><base /></inbound><backend><base /></backend><outbound><base /></outbound></policies>";

async fn value(world: &World) -> Value {
    world
        .post("/namedValues/sample/listValue", Value::Null)
        .await
        .expect(200)["value"]
        .clone()
}

#[tokio::test]
async fn a_secret_is_shown_only_by_list_value() {
    let world = World::new().await;
    let secret = json!({"displayName": "backend-key", "value": "open-sesame", "secret": true});
    let created = world
        .put("/namedValues/sample", body(secret))
        .await
        .expect(201);
    assert_eq!(
        created["properties"],
        json!({"displayName": "backend-key", "secret": true, "provisioningState": "Succeeded"})
    );
    assert_eq!(value(&world).await, "open-sesame");
    world
        .patch("/namedValues/sample", json!({"tags": ["a"]}))
        .await
        .expect(200);
    assert_eq!(
        value(&world).await,
        "open-sesame",
        "a PATCH without a value keeps it"
    );
    let plain = world
        .patch("/namedValues/sample", json!({"secret": false}))
        .await
        .expect(200);
    assert_eq!(plain["properties"]["value"], "open-sesame");
    let again = world
        .patch("/namedValues/sample", json!({"secret": true}))
        .await
        .expect(200);
    assert_eq!(again["properties"].get("value"), None);
    assert_eq!(value(&world).await, "open-sesame");
}

#[tokio::test]
async fn every_wrong_field_of_a_named_value_is_named() {
    let world = World::new().await;
    let wrong = json!({"displayName": "with space", "value": "  ", "tags": vec!["t"; 33], "keyVault": {"secretIdentifier": "x"}});
    assert_eq!(
        world
            .put("/namedValues/sample", body(wrong))
            .await
            .targets(),
        ["displayName", "value", "tags", "keyVault"]
    );
    assert_eq!(
        world
            .put("/namedValues/sample", body(json!({"displayName": "a"})))
            .await
            .targets(),
        ["value"]
    );
    world
        .put(
            "/namedValues/sample",
            body(json!({"displayName": "a", "value": "1"})),
        )
        .await
        .expect(201);
    let twin = world
        .put(
            "/namedValues/other",
            body(json!({"displayName": "A", "value": "1"})),
        )
        .await;
    assert_eq!(twin.targets(), ["displayName"]);
    assert_eq!(
        world
            .post("/namedValues/sample/refreshSecret", Value::Null)
            .await
            .targets(),
        ["namedValueId"]
    );
}

#[tokio::test]
async fn a_value_that_a_policy_uses_stays_under_its_name() {
    let world = World::new().await;
    let unknown = world
        .put(
            "/apis/echo-api/policies/policy",
            body(json!({"value": POLICY})),
        )
        .await;
    assert_eq!(unknown.targets(), ["value"]);
    world
        .put(
            "/namedValues/sample",
            body(json!({"displayName": "backend-key", "value": "1"})),
        )
        .await
        .expect(201);
    world
        .put(
            "/apis/echo-api/policies/policy",
            body(json!({"value": POLICY})),
        )
        .await
        .expect(200);
    assert_eq!(
        world.delete("/namedValues/sample").await.targets(),
        ["namedValueId"]
    );
    assert_eq!(
        world
            .patch("/namedValues/sample", json!({"displayName": "b"}))
            .await
            .targets(),
        ["displayName"]
    );
    world
        .patch("/namedValues/sample", json!({"value": "2"}))
        .await
        .expect(200);
    world
        .delete("/apis/echo-api/policies/policy")
        .await
        .expect(200);
    world.delete("/namedValues/sample").await.expect(200);
}

#[tokio::test]
async fn values_are_found_by_tag() {
    let world = World::new().await;
    for (name, tags) in [("a", json!(["prod"])), ("b", json!(["test"]))] {
        let properties = json!({"displayName": name, "value": "1", "tags": tags});
        world
            .put(&format!("/namedValues/{name}"), body(properties))
            .await
            .expect(201);
    }
    assert_eq!(
        world
            .names("/namedValues?$filter=tags/any(t: t eq 'PROD')")
            .await,
        ["a"]
    );
}
