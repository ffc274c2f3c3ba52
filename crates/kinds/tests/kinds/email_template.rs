//! `templates`

use crate::world::{World, body};
use engine::{Value, json, sqlx};

const TEMPLATE: &str = "/templates/passwordResetIdentityDefault";

#[tokio::test]
async fn a_template_is_changed_used_and_reset() {
    let world = World::new().await;
    let default = world.get(TEMPLATE).await.expect(200);
    assert_eq!(default["name"], "PasswordResetIdentityDefault");
    assert_eq!(default["properties"]["isDefault"], true);

    let changed = world
        .patch(TEMPLATE, json!({"subject": "Key for $DevFirstName"}))
        .await
        .expect(200);
    assert_eq!(changed["properties"]["isDefault"], false);
    assert_eq!(changed["properties"]["body"], default["properties"]["body"]);
    world
        .post("/users/1/confirmations/password/send", Value::Null)
        .await
        .expect(204);
    let subject: String = sqlx::query_scalar("SELECT subject FROM mails")
        .fetch_one(&world.pool)
        .await
        .expect("a mail");
    assert_eq!(subject, "Key for Administrator");

    world.delete(TEMPLATE).await.expect(200);
    assert_eq!(world.get(TEMPLATE).await.expect(200), default);
}

#[tokio::test]
async fn a_template_that_cannot_be_rendered_is_refused() {
    let world = World::new().await;
    let wrong = json!({"subject": "Hello $Nobody", "body": "<p>#if($DevFirstName)</p>"});
    assert_eq!(
        world.put(TEMPLATE, body(wrong)).await.targets(),
        ["subject", "body"]
    );
    let unknown = world
        .put(
            "/templates/other",
            body(json!({"subject": "a", "body": "b"})),
        )
        .await;
    assert_eq!(unknown.targets(), ["templateName"]);
}

#[tokio::test]
async fn templates_are_found_by_name() {
    let world = World::new().await;
    let found = world
        .names("/templates?$filter=startswith(name, 'passwordReset')")
        .await;
    assert_eq!(
        found,
        [
            "PasswordResetByAdminNotificationMessage",
            "PasswordResetIdentityDefault"
        ]
    );
}
