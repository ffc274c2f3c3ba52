//! Secrets are given by the actions that name them, and by nothing else.

use crate::world::{World, body};
use engine::{Resource as _, Value, json};

#[tokio::test]
async fn each_kinds_secrets_are_told_by_its_action() {
    let world = World::new().await;
    for (item, example, action, wanted) in [
        (
            "/authorizationServers/company",
            kinds::authorization_server::AuthorizationServer::example(),
            "listSecrets",
            json!({"clientSecret": "5ca1ab1e", "resourceOwnerUsername": null, "resourceOwnerPassword": null}),
        ),
        (
            "/openidConnectProviders/company",
            kinds::openid_connect_provider::OpenidConnectProvider::example(),
            "listSecrets",
            json!({"clientSecret": "5ca1ab1e"}),
        ),
        (
            "/identityProviders/google",
            kinds::identity_provider::IdentityProvider::example(),
            "listSecrets",
            json!({"clientSecret": "5ca1ab1e"}),
        ),
    ] {
        let mut properties = example;
        properties["clientSecret"] = json!("5ca1ab1e");
        let put = world.put(item, body(properties)).await.expect(201);
        assert!(!put.to_string().contains("5ca1ab1e"), "{put}");
        let told = world
            .post(&format!("{item}/{action}"), Value::Null)
            .await
            .expect(200);
        assert_eq!(told, wanted, "{item}");
    }
}

#[tokio::test]
async fn both_keys_of_a_subscription_are_replaced_one_at_a_time() {
    let world = World::new().await;
    world
        .put(
            "/subscriptions/own",
            body(json!({"scope": "/apis", "displayName": "Own"})),
        )
        .await
        .expect(201);
    let keys = async || {
        world
            .post("/subscriptions/own/listSecrets", Value::Null)
            .await
            .expect(200)
    };
    for (action, changed, kept) in [
        ("regeneratePrimaryKey", "primaryKey", "secondaryKey"),
        ("regenerateSecondaryKey", "secondaryKey", "primaryKey"),
    ] {
        let before = keys().await;
        world
            .post(&format!("/subscriptions/own/{action}"), Value::Null)
            .await
            .expect(204);
        let after = keys().await;
        assert_ne!(after[changed], before[changed], "{action}");
        assert_eq!(after[kept], before[kept], "{action}");
    }
}
