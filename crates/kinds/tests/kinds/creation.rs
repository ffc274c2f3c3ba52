//! Creating what is likely to be new: one statement that looks at nothing before, and what makes it wrong.

use crate::world::{World, body, now};
use engine::{Value, json, sqlx};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

fn tag(name: &str) -> Value {
    body(json!({"displayName": name}))
}

/// A world in which tags were created by its principal a moment ago, so that the next one is taken for new.
async fn world() -> World {
    let world = World::new().await;
    world.put("/tags/first", tag("first")).await.expect(201);
    world
}

/// How often each of the statements ran that the only connection of the pool has prepared.
async fn executions(world: &World) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements \
         WHERE statement NOT LIKE '%pg_prepared_statements%' ORDER BY statement",
    )
    .fetch_all(&world.pool)
    .await
    .expect("prepared statements")
}

#[tokio::test]
async fn what_is_likely_new_is_created_in_one_statement() {
    let mut world = World::new().await;
    let options = world.pool.connect_options();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with((*options).clone())
        .await
        .expect("a connection");
    world.over(pool);
    for name in ["first", "second"] {
        world
            .put(&format!("/tags/{name}"), tag(name))
            .await
            .expect(201);
    }
    let before = executions(&world).await;
    let reply = world.put("/tags/third", tag("third")).await;
    assert!(reply.header("ETag").is_some(), "{reply:?}");
    let created = reply.expect(201);
    let after = executions(&world).await;
    let ran: Vec<&(String, i64)> = after.iter().filter(|ran| !before.contains(ran)).collect();
    let [(statement, _)] = ran.as_slice() else {
        panic!("{ran:#?}");
    };
    assert!(
        statement.contains("INSERT INTO tags")
            && statement.contains("INSERT INTO audit_entries")
            && statement.contains("INSERT INTO changes"),
        "{statement}"
    );
    assert_eq!(world.get("/tags/third").await.expect(200), created);
    assert_eq!(world.names("/tags").await, ["first", "second", "third"]);
}

#[tokio::test]
async fn what_is_there_already_is_replaced() {
    let world = world().await;
    sqlx::query(
        "INSERT INTO tags (id, parent_id, name, rev, created_at, updated_at, display_name) \
         SELECT $1, parent_id, 'Second', 7, $2, $2, 'by another process' FROM tags WHERE name = 'first'",
    )
    .bind(Uuid::from_u128(9))
    .bind(now())
    .execute(&world.pool)
    .await
    .expect("a row");
    let replaced = world.put("/tags/second", tag("second")).await.expect(200);
    assert_eq!(replaced["name"], "Second");
    let revs: Vec<(String, i64)> =
        sqlx::query_as("SELECT display_name, rev FROM tags ORDER BY display_name")
            .fetch_all(&world.pool)
            .await
            .expect("rows");
    assert_eq!(revs, [("first".to_owned(), 1), ("second".to_owned(), 8)]);
}

#[tokio::test]
async fn a_name_that_was_deleted_is_created_again() {
    let world = world().await;
    for _ in 0..2 {
        world.put("/tags/second", tag("second")).await.expect(201);
        world.put("/tags/second", tag("second")).await.expect(200);
        world.delete("/tags/second").await.expect(200);
    }
}

#[tokio::test]
async fn a_role_that_was_taken_away_a_moment_ago_is_not_used() {
    for (statement, status) in [
        ("DELETE FROM role_assignments", 404),
        ("UPDATE principals SET disabled_at = now()", 404),
        ("UPDATE role_assignments SET role = 'reader'", 403),
        (
            "UPDATE role_assignments SET scope_service_id = (SELECT id FROM services WHERE name = 'other')",
            404,
        ),
    ] {
        let world = world().await;
        sqlx::query(
            "INSERT INTO services SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid(), 'name', 'other', \
             'gateway_hostname', 'other.example.org'))).* FROM services s",
        )
        .execute(&world.pool)
        .await
        .expect("another service");
        sqlx::query(statement)
            .execute(&world.pool)
            .await
            .expect("a change of roles");
        let refused = world.put("/tags/second", tag("second")).await;
        assert_eq!(refused.status, status, "{statement}: {refused:?}");
        let rows: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM tags) + (SELECT count(*) FROM audit_entries WHERE resource LIKE '%/tags/second')",
        )
        .fetch_one(&world.pool)
        .await
        .expect("a number");
        assert_eq!(rows, 1, "{statement}");
    }
}

#[tokio::test]
async fn a_parent_that_was_deleted_or_made_anew_is_found_out() {
    let world = World::new().await;
    let product = body(json!({"displayName": "P"}));
    let child = "/products/p/wikis/default";
    world.put("/products/p", product.clone()).await.expect(201);
    let link = body(json!({"apiId": "/apis/echo-api"}));
    world
        .put("/products/p/apiLinks/first", link.clone())
        .await
        .expect(201);
    world.put(child, body(json!({}))).await.expect(201);
    world
        .delete("/products/p?deleteSubscriptions=true")
        .await
        .expect(200);
    world.put(child, body(json!({}))).await.expect(404);
    world.put("/products/p", product).await.expect(201);
    world.put(child, body(json!({}))).await.expect(201);
    let parents: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM product_wikis w JOIN products p ON p.id = w.parent_id WHERE p.name = 'p'",
    )
    .fetch_one(&world.pool)
    .await
    .expect("a number");
    assert_eq!(parents, 1);
}

#[tokio::test]
async fn a_body_that_is_refused_is_refused_in_the_same_words() {
    let world = world().await;
    let wrong = body(json!({"displayName": "", "colour": "red"}));
    let first = world.put("/tags/second", wrong.clone()).await;
    let again = world.put("/tags/second", wrong).await;
    assert_eq!(first.body, again.body);
    let mut targets = first.targets();
    targets.sort();
    assert_eq!(targets, ["displayName", "properties.colour"]);
    world.put("/tags/second", tag("second")).await.expect(201);
}

#[tokio::test]
async fn what_takes_several_statements_is_created_all_the_same() {
    let world = World::new().await;
    let of_product = |name: &str| body(json!({"displayName": name, "scope": "/products/starter"}));
    let of_all = body(json!({"displayName": "all", "scope": "/apis"}));
    world
        .put("/subscriptions/a", of_all.clone())
        .await
        .expect(201);
    world
        .put("/subscriptions/b", of_product("b"))
        .await
        .expect(201);
    world
        .put("/subscriptions/c", of_product("c"))
        .await
        .expect(201);
    world.put("/subscriptions/d", of_all).await.expect(201);
    assert_eq!(
        world.names("/subscriptions").await.len(),
        world.get("/subscriptions").await.expect(200)["count"]
            .as_u64()
            .map_or(0, |count| usize::try_from(count).unwrap_or_default())
    );
}
