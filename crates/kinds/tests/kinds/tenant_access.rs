//! `tenant`

use crate::world::{SERVICE, World, body};
use engine::{Method, Value, json};

#[tokio::test]
async fn access_is_off_until_it_is_switched_on_and_never_shows_its_keys() {
    let world = World::new().await;
    let got = world.get("/tenant/access").await.expect(200);
    assert_eq!(
        got,
        json!({"id": format!("{SERVICE}/tenant/access"), "type": "Microsoft.ApiManagement/service/tenant", "name": "access",
               "properties": {"principalId": "integration", "enabled": false}})
    );
    let on = world
        .patch("/tenant/access", json!({"enabled": true}))
        .await
        .expect(200);
    assert_eq!(
        on["properties"],
        json!({"principalId": "integration", "enabled": true})
    );
    let put = world
        .send(
            Method::Put,
            "/tenant/gitaccess",
            Some("*"),
            body(json!({"enabled": true})),
        )
        .await
        .expect(200);
    assert_eq!(
        (&put["name"], &put["properties"]["principalId"]),
        (&json!("gitAccess"), &json!("git"))
    );
    let unconditional = world
        .put("/tenant/access", body(json!({"enabled": false})))
        .await
        .expect(400);
    assert_eq!(unconditional["error"]["code"], "PreconditionRequired");
    world.delete("/tenant/access").await.expect(405);
}

#[tokio::test]
async fn keys_are_listed_and_replaced_one_at_a_time() {
    let world = World::new().await;
    let secrets = async |name: &str| {
        world
            .post(&format!("/tenant/{name}/listSecrets"), Value::Null)
            .await
            .expect(200)
    };
    for (name, action, replaced, kept) in [
        (
            "access",
            "regeneratePrimaryKey",
            "primaryKey",
            "secondaryKey",
        ),
        (
            "access",
            "regenerateSecondaryKey",
            "secondaryKey",
            "primaryKey",
        ),
        (
            "gitAccess",
            "git/regeneratePrimaryKey",
            "primaryKey",
            "secondaryKey",
        ),
        (
            "gitAccess",
            "git/regenerateSecondaryKey",
            "secondaryKey",
            "primaryKey",
        ),
    ] {
        let before = secrets(name).await;
        world
            .post(&format!("/tenant/{name}/{action}"), Value::Null)
            .await
            .expect(204);
        let after = secrets(name).await;
        assert_ne!(after[replaced], before[replaced], "{action}");
        assert_eq!(after[kept], before[kept], "{action}");
        // base64 of 64 bytes
        assert_eq!(after[replaced].as_str().map(str::len), Some(88));
    }
}
