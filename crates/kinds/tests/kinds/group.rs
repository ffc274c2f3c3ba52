//! `groups`

use crate::world::{World, body};
use engine::{Method, Value, json};

#[tokio::test]
async fn built_in_groups_cannot_be_changed_or_deleted() {
    let world = World::new().await;
    for group in ["administrators", "developers", "guests"] {
        let item = format!("/groups/{group}");
        assert_eq!(world.delete(&item).await.targets(), ["groupId"]);
        assert_eq!(
            world
                .patch(&item, json!({"displayName": "x"}))
                .await
                .targets(),
            ["groupId"]
        );
    }
    let system = body(json!({"displayName": "x", "type": "system"}));
    assert_eq!(
        world.put("/groups/sample", system).await.targets(),
        ["type"]
    );
    let external = body(json!({"displayName": "x", "type": "external"}));
    assert_eq!(
        world.put("/groups/sample", external).await.targets(),
        ["externalId"]
    );
}

#[tokio::test]
async fn members_come_and_go_except_where_the_service_keeps_them() {
    let world = World::new().await;
    let created = world
        .put("/groups/partners", body(json!({"displayName": "Partners"})))
        .await
        .expect(201);
    assert_eq!(
        created["properties"],
        json!({"displayName": "Partners", "builtIn": false, "type": "custom"})
    );
    let member = "/groups/partners/users/1";
    world
        .send(Method::Put, member, None, Value::Null)
        .await
        .expect(201);
    world.head(member).await.expect(204);
    assert_eq!(world.names("/groups/partners/users").await, ["1"]);

    world.changes().await;
    world
        .patch("/groups/partners", json!({"displayName": "Friends"}))
        .await
        .expect(200);
    assert_eq!(
        world.changes().await,
        ["groups", "users"],
        "policies see a user's groups by name"
    );
    world.delete("/groups/partners").await.expect(200);
    assert_eq!(world.changes().await, ["groups", "users"]);

    let guest = world
        .send(Method::Put, "/groups/guests/users/1", None, Value::Null)
        .await;
    assert_eq!(guest.targets(), ["groupId"]);
    let administrator = world
        .send(
            Method::Delete,
            "/groups/administrators/users/1",
            None,
            Value::Null,
        )
        .await;
    assert_eq!(administrator.targets(), ["userId"]);
}
