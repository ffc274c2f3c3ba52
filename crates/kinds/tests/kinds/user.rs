//! `users`

use crate::world::{SERVICE, World, body};
use engine::{Method, Value, json, sqlx};

fn ann() -> Value {
    body(json!({"firstName": "Ann", "lastName": "Novak", "email": "ann@example.org"}))
}

#[tokio::test]
async fn a_new_user_is_a_developer_with_a_basic_identity() {
    let world = World::new().await;
    let created = world.put("/users/ann", ann()).await.expect(201);
    assert_eq!(
        created["properties"],
        json!({
            "firstName": "Ann", "lastName": "Novak", "email": "ann@example.org", "state": "active",
            "identities": [{"provider": "Basic", "id": "ann@example.org"}], "registrationDate": "2027-01-15T08:00:00Z"
        })
    );
    assert_eq!(world.names("/users/ann/groups").await, ["developers"]);
    assert_eq!(world.mails().await, []);
}

#[tokio::test]
async fn a_password_is_stored_as_a_hash_only() {
    let world = World::new().await;
    let mut with = ann();
    with["properties"]["password"] = json!("short");
    assert_eq!(
        world.put("/users/ann", with.clone()).await.targets(),
        ["password"]
    );
    with["properties"]["password"] = json!("correct horse battery");
    let created = world.put("/users/ann", with).await.expect(201);
    assert_eq!(created["properties"].get("password"), None);
    let hash: String = sqlx::query_scalar("SELECT password_hash FROM users WHERE name = 'ann'")
        .fetch_one(&world.pool)
        .await
        .expect("a hash");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    world.put("/users/ann", ann()).await.expect(200);
    let kept: String = sqlx::query_scalar("SELECT password_hash FROM users WHERE name = 'ann'")
        .fetch_one(&world.pool)
        .await
        .expect("a hash");
    assert_eq!(kept, hash, "a PUT without a password keeps it");
}

#[tokio::test]
async fn an_address_belongs_to_one_user_and_can_receive_mail() {
    let world = World::new().await;
    world.put("/users/ann", ann()).await.expect(201);
    let mut other = ann();
    other["properties"]["email"] = json!("ANN@example.org");
    assert_eq!(
        world.put("/users/bob", other.clone()).await.targets(),
        ["email"]
    );
    // The last would pass a simple look and then fail every later mail.
    for wrong in ["nobody", "a b@example.org", "a@b", "a..b@-example-.org"] {
        other["properties"]["email"] = json!(wrong);
        assert_eq!(
            world.put("/users/bob", other.clone()).await.targets(),
            ["email"],
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn new_users_are_told_in_the_way_that_is_asked_for() {
    let world = World::new().await;
    for (name, confirmation, state, query, mail) in [
        (
            "a",
            Some("invite"),
            "active",
            "",
            Some("inviteUserNotificationMessage"),
        ),
        (
            "b",
            Some("signup"),
            "pending",
            "",
            Some("confirmSignUpIdentityDefault"),
        ),
        (
            "c",
            Some("signup"),
            "active",
            "",
            Some("newDeveloperNotificationMessage"),
        ),
        (
            "d",
            None,
            "active",
            "?notify=true",
            Some("newDeveloperNotificationMessage"),
        ),
        ("e", Some("invite"), "active", "?notify=false", None),
    ] {
        let mut user = ann();
        let email = format!("{name}@example.org");
        user["properties"]["email"] = json!(email);
        user["properties"]["state"] = json!(state);
        user["properties"]["confirmation"] = json!(confirmation);
        world
            .put(&format!("/users/{name}{query}"), user)
            .await
            .expect(201);
        let wanted: Vec<(String, String)> = mail
            .iter()
            .map(|mail| ((*mail).to_owned(), format!("Ann Novak <{email}>")))
            .collect();
        assert_eq!(world.mails().await, wanted, "{name}");
    }
}

#[tokio::test]
async fn a_user_with_subscriptions_goes_only_on_request_and_leaves_nothing_behind() {
    let world = World::new().await;
    world.put("/users/ann", ann()).await.expect(201);
    let given = json!({"scope": "/products/unlimited", "displayName": "Ann's key", "ownerId": "/users/ann"});
    world
        .put("/subscriptions/sample", body(given))
        .await
        .expect(201);
    let recipient = "/notifications/BCC/recipientUsers/ann";
    world
        .send(Method::Put, recipient, None, Value::Null)
        .await
        .expect(201);
    let shown = world.get("/notifications/BCC").await.expect(200);
    assert_eq!(
        shown["properties"]["recipients"]["users"],
        json!([format!("{SERVICE}/users/ann")])
    );

    assert_eq!(
        world.delete("/users/ann").await.targets(),
        ["deleteSubscriptions"]
    );
    world.get("/subscriptions/sample").await.expect(200);
    world.mails().await;
    world
        .delete("/users/ann?deleteSubscriptions=true&notify=true")
        .await
        .expect(204);
    assert_eq!(
        world.mails().await,
        [
            (
                "AccountClosedPublisher".to_owned(),
                "admin@example.org".to_owned()
            ),
            (
                "accountClosedDeveloper".to_owned(),
                "Ann Novak <ann@example.org>".to_owned()
            ),
        ]
    );
    world.get("/subscriptions/sample").await.expect(404);
    let shown = world.get("/notifications/BCC").await.expect(200);
    assert_eq!(shown["properties"]["recipients"]["users"], json!([]));
}

#[tokio::test]
async fn the_administrator_stays() {
    let world = World::new().await;
    assert_eq!(
        world
            .delete("/users/1?deleteSubscriptions=true")
            .await
            .targets(),
        ["userId"]
    );
    assert_eq!(
        world
            .patch("/users/1", json!({"state": "blocked"}))
            .await
            .targets(),
        ["state"]
    );
    let renamed = world
        .patch("/users/1", json!({"firstName": "Ada"}))
        .await
        .expect(200);
    assert_eq!(
        renamed["properties"]["identities"],
        json!([{"provider": "Azure", "id": "admin@example.org"}])
    );
}

#[tokio::test]
async fn a_user_s_identities_and_subscriptions_are_read_below_the_user() {
    let world = World::new().await;
    world.put("/users/ann", ann()).await.expect(201);
    let identities = world.get("/users/ann/identities").await.expect(200);
    assert_eq!(
        identities,
        json!({"value": [{"provider": "Basic", "id": "ann@example.org"}], "count": 1})
    );
    world
        .post("/users/ann/identities", Value::Null)
        .await
        .expect(405);

    let own = json!({"scope": "/apis", "displayName": "Ann's key", "ownerId": "/users/ann"});
    world
        .put("/subscriptions/sample", body(own))
        .await
        .expect(201);
    let read = world.get("/users/ann/subscriptions/sample").await;
    assert!(read.header("ETag").is_some());
    assert_eq!(
        read.expect(200),
        world.get("/subscriptions/sample").await.expect(200)
    );
    world
        .get("/users/ann/subscriptions/master")
        .await
        .expect(404);
    world.get("/users/1/subscriptions/sample").await.expect(404);
    world.get("/users/ann/groups/developers").await.expect(405);
}

#[tokio::test]
async fn tokens_of_a_user_end_within_thirty_days() {
    let world = World::new().await;
    let token = async |properties: Value| world.post("/users/1/token", body(properties)).await;
    let good = token(json!({"keyType": "primary", "expiry": "2027-01-16T08:00:00Z"}))
        .await
        .expect(200);
    assert!(
        good["value"]
            .as_str()
            .is_some_and(|value| value.starts_with("1&202701160800&")),
        "{good}"
    );
    let late = token(json!({"keyType": "tertiary", "expiry": "2027-03-16T08:00:00Z"})).await;
    assert_eq!(late.targets(), ["properties.keyType", "properties.expiry"]);
    let url = world
        .post("/users/1/generateSsoUrl", Value::Null)
        .await
        .expect(200);
    let url = url["value"].as_str().expect("a URL");
    assert!(
        url.starts_with("http://127.0.0.1:8080/portal/demo/signin-sso?token=1%26"),
        "{url}"
    );
}

#[tokio::test]
async fn a_password_mail_holds_a_ticket_of_which_only_the_digest_is_kept() {
    let world = World::new().await;
    world.put("/users/ann", ann()).await.expect(201);
    world
        .post("/users/ann/confirmations/password/send", Value::Null)
        .await
        .expect(204);
    let (text, digest): (String, Vec<u8>) = sqlx::query_as(
        "SELECT m.html_body, t.digest FROM mails m, user_tickets t WHERE m.template = 'passwordResetIdentityDefault' AND t.email = 'ann@example.org'",
    )
    .fetch_one(&world.pool)
    .await
    .expect("a mail and a ticket");
    let ticket = text.split("ticket=").nth(1).expect("a ticket in the mail");
    let ticket: String = ticket.chars().take(32).collect();
    let wanted = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, ticket.as_bytes());
    assert_eq!(digest, wanted.as_ref());
}
