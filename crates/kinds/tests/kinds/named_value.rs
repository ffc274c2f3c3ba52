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
        ["displayName", "value", "tags", "keyVault.secretIdentifier"]
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

/// What `server` makes of a body with a `keyVault`.
fn vault(identifier: &str, code: &str) -> Value {
    json!({"secretIdentifier": identifier,
        "lastStatus": {"code": code, "message": "", "timeStampUtc": "2026-01-01T00:00:00Z"}})
}

#[tokio::test]
async fn a_key_vault_s_value_is_a_secret_that_stays_until_the_vault_gives_another() {
    let world = World::new().await;
    let (here, there) = (
        "https://vault.example.org/secrets/a",
        "https://vault.example.org/secrets/b",
    );
    let put = async |keeps: Value, value: Value| {
        let properties = json!({"displayName": "kept", "keyVault": keeps, "value": value});
        world.put("/namedValues/sample", body(properties)).await
    };
    let created = put(vault(here, "Success"), json!("one")).await.expect(201);
    assert_eq!(
        created["properties"],
        json!({"displayName": "kept", "secret": true, "provisioningState": "Succeeded", "keyVault": vault(here, "Success")})
    );
    assert_eq!(value(&world).await, "one");
    put(vault(here, "Failed"), Value::Null).await.expect(200);
    assert_eq!(value(&world).await, "one");
    put(vault(there, "Failed"), Value::Null).await.expect(200);
    assert_eq!(
        value(&world).await,
        "",
        "another secret's value is not this one's"
    );
    let own = world
        .patch("/namedValues/sample", json!({"value": "own"}))
        .await
        .expect(200);
    assert_eq!(own["properties"].get("keyVault"), None);
    assert_eq!(value(&world).await, "own");
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
async fn a_named_value_stands_for_a_number_if_it_is_one() {
    let world = World::new().await;
    let text = "<policies><inbound><rate-limit calls=\"{{calls}}\" renewal-period=\"15\" /><base /></inbound><backend><base /></backend><outbound><base /></outbound></policies>";
    let policy = async || {
        world
            .put(
                "/apis/echo-api/policies/policy",
                body(json!({"value": text})),
            )
            .await
    };
    let fragment = json!({"value": "<fragment><rate-limit calls=\"{{calls}}\" renewal-period=\"15\" /></fragment>"});
    for (value, secret) in [("many", false), ("many", true), ("5", false), ("5", true)] {
        let named = json!({"displayName": "calls", "value": value, "secret": secret});
        world.put("/namedValues/calls", body(named)).await;
        let put = policy().await;
        let fragment = world
            .put("/policyFragments/limited", body(fragment.clone()))
            .await;
        if value == "5" {
            assert!(
                put.status < 300 && fragment.status < 300,
                "{put:?} {fragment:?}"
            );
            continue;
        }
        assert_eq!(fragment.targets(), ["value"]);
        let refused = put.expect(400);
        let message = refused["error"]["details"][0]["message"].as_str();
        let message = message.expect("a message");
        assert!(message.contains("'{{calls}}' is not valid"), "{message}");
        assert!(!message.contains("many"), "{message}");
    }
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
