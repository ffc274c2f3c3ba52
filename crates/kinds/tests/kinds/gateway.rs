//! `gateways`

use crate::world::{World, body};
use engine::{Method, Value, json};
use identity::gateway_token;

async fn gateway(world: &World) {
    world
        .put(
            "/gateways/plant",
            body(json!({"description": "At the plant."})),
        )
        .await
        .expect(201);
}

async fn keys(world: &World) -> (String, String) {
    let keys = world
        .post("/gateways/plant/listKeys", Value::Null)
        .await
        .expect(200);
    let text = |name: &str| keys[name].as_str().unwrap_or_default().to_owned();
    (text("primary"), text("secondary"))
}

#[tokio::test]
async fn keys_are_given_by_list_keys_only_and_are_replaced_one_at_a_time() {
    let world = World::new().await;
    gateway(&world).await;
    let got = world.get("/gateways/plant").await.expect(200);
    assert_eq!(got["properties"], json!({"description": "At the plant."}));
    let (primary, secondary) = keys(&world).await;
    assert_ne!(primary, secondary);
    world
        .post(
            "/gateways/plant/regenerateKey",
            json!({"keyType": "primary"}),
        )
        .await
        .expect(204);
    let (new_primary, same_secondary) = keys(&world).await;
    assert_ne!(new_primary, primary);
    assert_eq!(same_secondary, secondary);
    for wrong in [Value::Null, json!({"keyType": "third"})] {
        let refused = world
            .post("/gateways/plant/regenerateKey", wrong)
            .await
            .expect(400);
        assert_eq!(refused["error"]["details"][0]["target"], "keyType");
    }
}

#[tokio::test]
async fn a_token_is_of_the_key_that_was_asked_for_and_names_every_wrong_field() {
    let world = World::new().await;
    gateway(&world).await;
    let (primary, secondary) = keys(&world).await;
    let expiry = world.engine.now() + chrono::Duration::days(2);
    let token = async |which: &str| {
        let reply = world
            .post(
                "/gateways/plant/generateToken",
                json!({"keyType": which, "expiry": expiry.to_rfc3339()}),
            )
            .await
            .expect(200);
        gateway_token::parse(reply["value"].as_str().unwrap_or_default()).expect("a token")
    };
    let now = world.engine.now();
    let (first, second) = (token("primary").await, token("secondary").await);
    assert!(gateway_token::verify(&first, &primary, now));
    assert!(!gateway_token::verify(&first, &secondary, now));
    assert!(gateway_token::verify(&second, &secondary, now));
    assert_eq!(
        (first.gateway, first.file_secret, first.public_key),
        (second.gateway, second.file_secret, second.public_key),
        "tokens differ by key and expiry only"
    );
    for expiry in [
        json!("tomorrow"),
        json!((now - chrono::Duration::minutes(1)).to_rfc3339()),
        json!((now + chrono::Duration::days(31)).to_rfc3339()),
        Value::Null,
    ] {
        let refused = world
            .post("/gateways/plant/generateToken", json!({"expiry": expiry}))
            .await
            .expect(400);
        let targets: Vec<&str> = refused["error"]["details"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|detail| detail["target"].as_str())
            .collect();
        assert_eq!(targets, ["keyType", "expiry"]);
    }
}

#[tokio::test]
async fn apis_are_associated_and_the_built_in_gateway_needs_none() {
    let world = World::new().await;
    gateway(&world).await;
    world
        .head("/gateways/plant/apis/echo-api")
        .await
        .expect(404);
    let linked = world
        .put("/gateways/plant/apis/echo-api", Value::Null)
        .await
        .expect(201);
    assert_eq!(linked["name"], "echo-api");
    world
        .put("/gateways/plant/apis/echo-api", Value::Null)
        .await
        .expect(200);
    // Generated clients take 200 only, and read the ETag.
    let head = world.head("/gateways/plant/apis/echo-api").await;
    assert!(head.status == 200 && head.header("ETag").is_some());
    assert_eq!(world.names("/gateways/plant/apis").await, ["echo-api"]);
    world
        .send(
            Method::Delete,
            "/gateways/plant/apis/echo-api",
            None,
            Value::Null,
        )
        .await
        .expect(200);
    world
        .put("/gateways/managed", body(json!({})))
        .await
        .expect(201);
    let refused = world
        .put("/gateways/managed/apis/echo-api", Value::Null)
        .await
        .expect(400);
    assert_eq!(refused["error"]["details"][0]["target"], "gatewayId");
}

#[tokio::test]
async fn a_host_is_a_domain_name_with_perhaps_a_star_in_front() {
    let world = World::new().await;
    gateway(&world).await;
    for host in ["api.example.org", "*.example.org", "*", "localhost"] {
        let path = "/gateways/plant/hostnameConfigurations/one";
        let put = world
            .send(
                Method::Put,
                path,
                Some("*"),
                body(json!({"hostname": host})),
            )
            .await;
        assert!(matches!(put.status, 200 | 201), "{host}");
    }
    for host in ["", "a b", "api.*.org", "-a.org", "a..b"] {
        let refused = world
            .put(
                "/gateways/plant/hostnameConfigurations/two",
                body(json!({"hostname": host})),
            )
            .await
            .expect(400);
        assert_eq!(
            refused["error"]["details"][0]["target"], "hostname",
            "{host}"
        );
    }
}
