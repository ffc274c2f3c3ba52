//! `subscriptions`

use crate::world::{SERVICE, World, body};
use engine::{Method, Value, json, sqlx};

fn mails(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(template, to)| ((*template).to_owned(), (*to).to_owned()))
        .collect()
}

async fn ann(world: &World) {
    let ann = json!({"firstName": "Ann", "lastName": "Novak", "email": "ann@example.org"});
    world.put("/users/ann", body(ann)).await.expect(201);
}

#[tokio::test]
async fn a_scope_is_read_in_every_form_and_shown_as_a_full_id() {
    let world = World::new().await;
    for (given, shown) in [
        ("/", "/".to_owned()),
        (SERVICE, "/".to_owned()),
        (&format!("{SERVICE}/"), "/".to_owned()),
        ("/apis", "/apis".to_owned()),
        ("/APIS/ECHO-API", "/apis/echo-api".to_owned()),
        ("products/Starter", "/products/starter".to_owned()),
        (
            &format!("{}/products/starter", SERVICE.to_uppercase()),
            "/products/starter".to_owned(),
        ),
    ] {
        let properties = json!({"scope": given, "displayName": "Sample", "state": "suspended"});
        world.put("/subscriptions/sample", body(properties)).await;
        let got = world.get("/subscriptions/sample").await.expect(200);
        assert_eq!(
            got["properties"]["scope"],
            format!("{SERVICE}{shown}"),
            "{given}"
        );
    }
    for wrong in [
        "/products/nowhere",
        "/apis/nowhere",
        "/users/1",
        "/apis/echo-api/operations/x",
        &SERVICE.replace("demo", "other"),
    ] {
        let properties = json!({"scope": wrong, "displayName": "Sample"});
        assert_eq!(
            world
                .put("/subscriptions/wrong", body(properties))
                .await
                .targets(),
            ["scope"],
            "{wrong}"
        );
    }
    assert_eq!(
        world
            .names("/subscriptions?$filter=properties/scope eq '/products/starter'")
            .await
            .len(),
        2
    );
}

#[tokio::test]
async fn keys_are_generated_kept_and_replaced_one_at_a_time() {
    let world = World::new().await;
    let given = body(json!({"scope": "/apis", "displayName": "Sample"}));
    world
        .put("/subscriptions/sample", given.clone())
        .await
        .expect(201);
    let secrets = async || {
        world
            .post("/subscriptions/sample/listSecrets", Value::Null)
            .await
            .expect(200)
    };
    let first = secrets().await;
    for key in ["primaryKey", "secondaryKey"] {
        let key = first[key].as_str().expect("a key");
        assert!(
            key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()),
            "{key}"
        );
    }
    world.put("/subscriptions/sample", given).await.expect(200);
    assert_eq!(secrets().await, first, "a PUT without keys keeps them");
    world.changes().await;
    world
        .post("/subscriptions/sample/regeneratePrimaryKey", Value::Null)
        .await
        .expect(204);
    assert_eq!(world.changes().await, ["subscriptions"]);
    let second = secrets().await;
    assert_ne!(second["primaryKey"], first["primaryKey"]);
    assert_eq!(second["secondaryKey"], first["secondaryKey"]);
}

#[tokio::test]
async fn a_key_opens_one_subscription() {
    let world = World::new().await;
    let with = |primary: &str, secondary: &str| {
        body(
            json!({"scope": "/apis", "displayName": "Sample", "primaryKey": primary, "secondaryKey": secondary}),
        )
    };
    world
        .put("/subscriptions/one", with("key-1", "key-2"))
        .await
        .expect(201);
    // Also a first key that is another's second key.
    assert_eq!(
        world
            .put("/subscriptions/two", with("key-2", "key-3"))
            .await
            .targets(),
        ["primaryKey"]
    );
    assert_eq!(
        world
            .put("/subscriptions/two", with("key-2", "key-1"))
            .await
            .targets(),
        ["primaryKey", "secondaryKey"]
    );
    assert_eq!(
        world
            .put("/subscriptions/two", with("same", "same"))
            .await
            .targets(),
        ["secondaryKey"]
    );
    assert_eq!(
        world
            .put("/subscriptions/two", with("with space", "b"))
            .await
            .targets(),
        ["primaryKey"]
    );
    world
        .put("/subscriptions/one", with("key-1", "key-2"))
        .await
        .expect(200);
}

#[tokio::test]
async fn an_approval_is_asked_for_and_granted_by_mail() {
    let world = World::new().await;
    ann(&world).await;
    world.mails().await;
    let given = json!({"scope": "/products/unlimited", "displayName": "Ann's key", "ownerId": "/users/ANN"});
    let created = world
        .put("/subscriptions/sample", body(given))
        .await
        .expect(201);
    assert_eq!(created["properties"]["state"], "submitted");
    assert_eq!(
        created["properties"]["ownerId"],
        format!("{SERVICE}/users/ann")
    );
    assert_eq!(
        world.mails().await,
        mails(&[
            ("RequestPublisherNotificationMessage", "admin@example.org"),
            (
                "requestDeveloperNotificationMessage",
                "Ann Novak <ann@example.org>"
            ),
        ])
    );
    let active = world
        .patch("/subscriptions/sample", json!({"state": "active"}))
        .await
        .expect(200);
    assert_eq!(active["properties"]["startDate"], "2027-01-15T08:00:00Z");
    assert_eq!(
        world.mails().await,
        mails(&[
            ("PurchasePublisherNotificationMessage", "admin@example.org"),
            (
                "purchaseDeveloperNotificationMessage",
                "Ann Novak <ann@example.org>"
            ),
        ])
    );
    world
        .patch("/subscriptions/sample", json!({"displayName": "Renamed"}))
        .await
        .expect(200);
    world
        .patch("/subscriptions/sample", json!({"state": "suspended"}))
        .await
        .expect(200);
    assert_eq!(
        world.mails().await,
        [],
        "only changes to requested, active and declined are told"
    );
}

#[tokio::test]
async fn a_decline_is_told_with_its_reason_and_notify_false_is_silent() {
    let world = World::new().await;
    ann(&world).await;
    let given = json!({"scope": "/products/unlimited", "displayName": "Ann's key", "ownerId": "/users/ann"});
    world
        .put("/subscriptions/sample?notify=false", body(given))
        .await
        .expect(201);
    assert_eq!(world.mails().await, []);
    let declined = json!({"state": "rejected", "stateComment": "The quota is used up."});
    world
        .patch("/subscriptions/sample", declined)
        .await
        .expect(200);
    let text: String = sqlx::query_scalar(
        "SELECT text_body FROM mails WHERE template = 'rejectDeveloperNotificationMessage'",
    )
    .fetch_one(&world.pool)
    .await
    .expect("a mail");
    assert!(text.contains("The quota is used up."), "{text}");
}

#[tokio::test]
async fn an_owner_has_to_exist() {
    let world = World::new().await;
    let given = json!({"scope": "/apis", "displayName": "Sample", "ownerId": "/users/nobody"});
    assert_eq!(
        world
            .put("/subscriptions/sample", body(given))
            .await
            .targets(),
        ["ownerId"]
    );
    let nameless = json!({"scope": "/apis"});
    assert_eq!(
        world
            .put("/subscriptions/sample", body(nameless))
            .await
            .targets(),
        ["displayName"]
    );
}

#[tokio::test]
async fn two_writers_with_one_etag_are_not_both_right() {
    let world = World::new().await;
    let answer = world
        .put(
            "/subscriptions/sample",
            body(json!({"scope": "/apis", "displayName": "Sample"})),
        )
        .await;
    let etag = answer.header("ETag").expect("an ETag").to_owned();
    let patch = |name: &'static str| {
        world.send(
            Method::Patch,
            "/subscriptions/sample",
            Some(&etag),
            body(json!({"displayName": name})),
        )
    };
    let (one, two) = tokio::join!(patch("one"), patch("two"));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn of_many_writes_at_once_without_an_etag_each_is_made_and_recorded() {
    const WRITERS: usize = 16;
    let world = World::new().await;
    let put = |n: usize| {
        let world = &world;
        async move {
            let properties = json!({"scope": "/apis", "displayName": format!("Put {n}")});
            let target = "/subscriptions/contended";
            world.put(target, body(properties)).await.status
        }
    };
    let mut statuses = futures_util::future::join_all((0..WRITERS).map(put)).await;
    statuses.sort_unstable();
    let mut wanted = vec![200; WRITERS - 1];
    wanted.push(201);
    assert_eq!(statuses, wanted);
    let patch = |n: usize| {
        let world = &world;
        async move {
            let properties = json!({"displayName": format!("Patch {n}")});
            let answer = world.patch("/subscriptions/contended", properties).await;
            answer.status
        }
    };
    let statuses = futures_util::future::join_all((0..WRITERS).map(patch)).await;
    assert_eq!(statuses, vec![200; WRITERS]);
    let revision: i64 =
        sqlx::query_scalar("SELECT rev FROM subscriptions WHERE name = 'contended'")
            .fetch_one(&world.pool)
            .await
            .expect("the row");
    assert_eq!(revision, 2 * WRITERS as i64);
    for (table, condition) in [
        (
            "audit_entries",
            "resource LIKE '%/contended' AND action LIKE '%/subscriptions/write'",
        ),
        (
            "changes",
            "entity = 'subscriptions' AND entity_id = (SELECT id FROM subscriptions WHERE name = 'contended')",
        ),
    ] {
        let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
        let lines: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&world.pool)
            .await
            .expect("lines");
        assert_eq!(lines, 2 * WRITERS as i64, "{table}");
    }
}
