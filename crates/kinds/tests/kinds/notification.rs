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

#[tokio::test]
async fn copies_are_blind_and_hold_no_link_password_or_key() {
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
    let ann = json!({"firstName": "Ann", "lastName": "Novak", "email": "ann@example.org"});
    world
        .put("/users/ann", json!({"properties": ann}))
        .await
        .expect(201);
    world
        .post("/users/ann/confirmations/password/send", Value::Null)
        .await
        .expect(204);
    let secret = "plum 7 tractor hills";
    world
        .patch("/users/ann", json!({"password": secret}))
        .await
        .expect(200);
    let own = json!({"scope": "/apis", "displayName": "key", "ownerId": "/users/ann", "state": "active",
                     "primaryKey": "k".repeat(32), "secondaryKey": "j".repeat(32)});
    world
        .put("/subscriptions/key", json!({"properties": own}))
        .await
        .expect(201);
    let mails: Vec<(String, String, Option<String>, String)> = sqlx::query_as(
        "SELECT template, recipient, shown_recipient, html_body || text_body FROM mails \
         WHERE template = 'BCC' OR recipient LIKE '%ann@%' ORDER BY created_at, template",
    )
    .fetch_all(&world.pool)
    .await
    .expect("mails");
    let (copies, originals): (Vec<_>, Vec<_>) = mails.into_iter().partition(|mail| mail.0 == "BCC");
    assert_eq!((copies.len(), originals.len()), (3, 3));
    let all: String = originals.iter().map(|mail| mail.3.as_str()).collect();
    for hidden in ["ticket=", secret, &"k".repeat(32)] {
        assert!(all.contains(hidden), "the developer gets {hidden}");
        assert!(
            copies.iter().all(|mail| !mail.3.contains(hidden)),
            "{hidden}"
        );
    }
    for copy in copies {
        assert_eq!(
            (copy.1.as_str(), copy.2.as_deref()),
            ("ops@example.org", Some("Ann Novak <ann@example.org>"))
        );
    }
}

#[tokio::test]
async fn owners_hear_of_a_replaced_key_and_authors_of_comments() {
    let world = World::new().await;
    let ann = json!({"firstName": "Ann", "lastName": "Novak", "email": "ann@example.org"});
    world
        .put("/users/ann", json!({"properties": ann}))
        .await
        .expect(201);
    let own = json!({"scope": "/apis", "displayName": "key", "ownerId": "/users/ann", "state": "submitted"});
    world
        .put("/subscriptions/key", json!({"properties": own}))
        .await
        .expect(201);
    world.mails().await;
    let to_ann = |template: &str| {
        (
            template.to_owned(),
            "Ann Novak <ann@example.org>".to_owned(),
        )
    };
    let to_publisher = |template: &str| (template.to_owned(), "admin@example.org".to_owned());
    for action in ["regeneratePrimaryKey", "regenerateSecondaryKey"] {
        world
            .post(&format!("/subscriptions/key/{action}"), Value::Null)
            .await
            .expect(204);
        assert_eq!(world.mails().await, [to_ann("key_regenerated")]);
    }
    world
        .post(
            "/subscriptions/key/regeneratePrimaryKey?notify=false",
            Value::Null,
        )
        .await
        .expect(204);
    assert_eq!(world.mails().await, []);
    let issue = json!({"title": "Wrong", "description": "Off by one.", "userId": "/users/ann"});
    world
        .put("/apis/echo-api/issues/one", json!({"properties": issue}))
        .await
        .expect(201);
    assert_eq!(
        world.mails().await,
        [
            to_publisher("NewIssuePublisherNotificationMessage"),
            to_ann("newIssueNotificationMessage")
        ]
    );
    for (name, author, mails) in [
        (
            "a",
            "/users/1",
            vec![
                to_publisher("NewIssuePublisherNotificationMessage"),
                to_ann("newCommentNotificationMessage"),
            ],
        ),
        (
            "b",
            "/users/ann",
            vec![to_publisher("NewIssuePublisherNotificationMessage")],
        ),
    ] {
        let comment = json!({"text": "Indeed.", "userId": author});
        world
            .put(
                &format!("/apis/echo-api/issues/one/comments/{name}"),
                json!({"properties": comment}),
            )
            .await
            .expect(201);
        assert_eq!(world.mails().await, mails, "{author}");
    }
}
