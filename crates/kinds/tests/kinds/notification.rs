//! `notifications` and their recipients

use crate::world::{SERVICE, World};
use engine::{Method, Value, json};

#[tokio::test]
async fn a_put_without_a_body_answers_what_is_there() {
    let world = World::new().await;
    let item = "/notifications/requestpublishernotificationmessage";
    let got = world.get(item).await.expect(200);
    assert_eq!(got["name"], "RequestPublisherNotificationMessage");
    assert_eq!(
        got["properties"]["recipients"],
        json!({"emails": [], "users": [format!("{SERVICE}/users/1")]})
    );
    let put = world
        .send(Method::Put, item, None, Value::Null)
        .await
        .expect(200);
    assert_eq!(put, got);
    world
        .send(Method::Put, "/notifications/other", None, Value::Null)
        .await
        .targets();
    world.delete(item).await.expect(405);
}

#[tokio::test]
async fn recipients_are_added_listed_and_removed() {
    let world = World::new().await;
    let email = "/notifications/BCC/recipientEmails/ops@example.org";
    world.head(email).await.expect(404);
    let added = world
        .send(Method::Put, email, None, Value::Null)
        .await
        .expect(201);
    assert_eq!(
        added["type"],
        "Microsoft.ApiManagement/service/notifications/recipientEmails"
    );
    assert_eq!(added["properties"], json!({"email": "ops@example.org"}));
    world
        .send(Method::Put, email, None, Value::Null)
        .await
        .expect(200);
    world.head(email).await.expect(204);
    world.get(email).await.expect(405);
    assert_eq!(
        world.names("/notifications/BCC/recipientEmails").await,
        ["ops@example.org"]
    );
    let shown = world.get("/notifications/BCC").await.expect(200);
    assert_eq!(
        shown["properties"]["recipients"],
        json!({"emails": ["ops@example.org"], "users": []})
    );
    world
        .send(Method::Delete, email, None, Value::Null)
        .await
        .expect(200);
    world
        .send(Method::Delete, email, None, Value::Null)
        .await
        .expect(204);
    let shown = world.get("/notifications/BCC").await.expect(200);
    assert_eq!(
        shown["properties"]["recipients"],
        json!({"emails": [], "users": []})
    );
    world
        .send(
            Method::Put,
            "/notifications/BCC/recipientUsers/nobody",
            None,
            Value::Null,
        )
        .await
        .expect(404);
}

#[tokio::test]
async fn a_copy_of_every_mail_goes_to_the_recipients_of_bcc() {
    let world = World::new().await;
    world
        .send(
            Method::Put,
            "/notifications/BCC/recipientEmails/ops@example.org",
            None,
            Value::Null,
        )
        .await
        .expect(201);
    world
        .post("/users/1/confirmations/password/send", Value::Null)
        .await
        .expect(204);
    let templates: Vec<(String, String)> = world.mails().await;
    assert_eq!(
        templates,
        [
            ("BCC".to_owned(), "ops@example.org".to_owned()),
            (
                "passwordResetIdentityDefault".to_owned(),
                "Administrator Administrator <admin@example.org>".to_owned()
            ),
        ]
    );
}
