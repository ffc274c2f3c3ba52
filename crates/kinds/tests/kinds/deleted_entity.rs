//! `deletedEntities`, and what they bring back

use crate::world::{SERVICE, World, body};
use engine::{Value, json, sqlx};

/// The name of the newest deleted entity.
async fn deleted(world: &World, resource: &str) -> String {
    let listed = world
        .get(&format!(
            "/deletedEntities?$filter=endswith(resource,'{resource}')"
        ))
        .await
        .expect(200);
    listed["value"]
        .as_array()
        .and_then(|items| items.last())
        .and_then(|item| item["name"].as_str())
        .unwrap_or_else(|| panic!("{resource} among {listed}"))
        .to_owned()
}

async fn restore(world: &World, resource: &str) -> crate::world::Answer {
    let name = deleted(world, resource).await;
    world
        .post(&format!("/deletedEntities/{name}/restore"), Value::Null)
        .await
}

/// Every row of every table that hangs on a service, without what a deletion itself writes.
async fn everything(world: &World) -> Vec<(String, Vec<Value>)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
         AND relname NOT IN ('audit_entries', 'changes', 'mails', 'deleted_entities', 'deleted_rows', '_sqlx_migrations') ORDER BY 1",
    )
    .fetch_all(&world.pool)
    .await
    .expect("tables");
    let mut out = Vec::new();
    for table in tables {
        let sql = format!("SELECT to_jsonb(t) FROM \"{table}\" t ORDER BY to_jsonb(t)::text");
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&world.pool)
            .await
            .expect("rows");
        out.push((table, rows));
    }
    out
}

#[track_caller]
fn same(found: &[(String, Vec<Value>)], wanted: &[(String, Vec<Value>)]) {
    for ((table, found), (_, wanted)) in found.iter().zip(wanted) {
        assert_eq!(found, wanted, "{table}");
    }
}

/// Children of every sort below the API and the product of the service.
async fn furnished() -> World {
    let world = World::new().await;
    let policy =
        json!({"format": "rawxml", "value": "<policies><inbound><base /></inbound></policies>"});
    for (path, properties) in [
        ("/tags/hot", json!({"displayName": "hot"})),
        ("/apis/echo-api/policies/policy", policy.clone()),
        (
            "/apis/echo-api/operations/retrieve-resource/policies/policy",
            policy,
        ),
        (
            "/apis/echo-api/issues/reported",
            json!({"title": "Wrong", "description": "Off by one.", "userId": "/users/1"}),
        ),
        (
            "/apis/echo-api/issues/reported/comments/first",
            json!({"text": "Confirmed.", "userId": "/users/1"}),
        ),
        (
            "/users/ann",
            json!({"firstName": "Ann", "lastName": "Novak", "email": "ann@example.org"}),
        ),
        (
            "/subscriptions/of-api",
            json!({"scope": "/apis/echo-api", "displayName": "a", "ownerId": "/users/ann", "state": "active"}),
        ),
        (
            "/subscriptions/of-product",
            json!({"scope": "/products/starter", "displayName": "p", "ownerId": "/users/ann", "state": "active"}),
        ),
    ] {
        let status = world.put(path, body(properties)).await.status;
        assert!(matches!(status, 200 | 201), "{path}: {status}");
    }
    for path in [
        "/apis/echo-api/tags/hot",
        "/products/starter/tags/hot",
        "/apis/echo-api/operations/retrieve-resource/tags/hot",
        "/notifications/BCC/recipientUsers/ann",
    ] {
        world
            .send(engine::Method::Put, path, None, Value::Null)
            .await
            .expect(201);
    }
    world
}

#[tokio::test]
async fn whatever_is_deleted_comes_back_as_it_was() {
    let world = furnished().await;
    for (resource, query) in [
        ("/apis/echo-api", "?deleteRevisions=true"),
        ("/products/starter", "?deleteSubscriptions=true"),
        ("/subscriptions/of-product", ""),
        ("/apis/echo-api/operations/retrieve-resource", ""),
        ("/apis/echo-api/policies/policy", ""),
        ("/tags/hot", ""),
        ("/apis/echo-api/issues/reported", ""),
    ] {
        let before = everything(&world).await;
        let status = world.delete(&format!("{resource}{query}")).await.status;
        assert!(matches!(status, 200 | 204), "{resource}: {status}");
        assert_ne!(everything(&world).await, before, "{resource}");
        world.changes().await;
        let back = restore(&world, resource).await.expect(200);
        assert_eq!(back["resource"], format!("{SERVICE}{resource}"));
        assert_eq!(back["leftOut"], json!([]), "{resource}");
        same(&everything(&world).await, &before);
        assert_eq!(world.names("/deletedEntities").await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn gateways_hear_of_everything_that_is_back() {
    let world = furnished().await;
    world
        .delete("/apis/echo-api?deleteRevisions=true")
        .await
        .expect(204);
    world.changes().await;
    restore(&world, "/apis/echo-api").await.expect(200);
    let changes = world.changes().await;
    for table in [
        "apis",
        "api_operations",
        "api_policies",
        "operation_policies",
        "products",
        "subscriptions",
    ] {
        assert!(changes.iter().any(|c| c == table), "{table}: {changes:?}");
    }
}

#[tokio::test]
async fn a_user_comes_back_with_groups_subscriptions_and_notifications() {
    let world = furnished().await;
    let shown = world.get("/notifications/BCC").await.expect(200);
    let keys = world
        .post("/subscriptions/of-product/listSecrets", Value::Null)
        .await
        .expect(200);
    world
        .delete("/users/ann?deleteSubscriptions=true")
        .await
        .expect(204);
    let found = deleted(&world, "/users/ann").await;
    let found = world
        .get(&format!("/deletedEntities/{found}"))
        .await
        .expect(200);
    assert_eq!(found["properties"]["deletedBy"], "owner@example.org");
    assert_eq!(
        found["properties"]["scheduledPurgeDate"],
        "2027-02-14T08:00:00Z"
    );
    assert_eq!(
        found["properties"]["contents"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|c| c["type"] == "Microsoft.ApiManagement/service/subscriptions"),
        Some(
            &json!({"type": "Microsoft.ApiManagement/service/subscriptions", "count": 2, "names": ["of-api", "of-product"]})
        )
    );
    restore(&world, "/users/ann").await.expect(200);
    assert_eq!(world.names("/users/ann/groups").await, ["developers"]);
    assert_eq!(
        world.get("/notifications/BCC").await.expect(200)["properties"],
        shown["properties"]
    );
    let again = world
        .post("/subscriptions/of-product/listSecrets", Value::Null)
        .await
        .expect(200);
    assert_eq!(again, keys);
}

#[tokio::test]
async fn a_taken_name_or_address_is_a_conflict_that_changes_nothing() {
    let world = furnished().await;
    world
        .delete("/products/starter?deleteSubscriptions=true")
        .await
        .expect(200);
    world
        .put("/products/STARTER", body(json!({"displayName": "Other"})))
        .await
        .expect(201);
    let before = everything(&world).await;
    let refused = restore(&world, "/products/starter").await.expect(409);
    assert_eq!(
        refused["error"]["message"],
        format!(
            "{SERVICE}/products/starter cannot be restored, because these names are in use again: products/STARTER."
        )
    );
    same(&everything(&world).await, &before);

    world
        .delete("/users/ann?deleteSubscriptions=true")
        .await
        .expect(204);
    let other = json!({"firstName": "Ann", "lastName": "Other", "email": "ANN@example.org"});
    world.put("/users/other", body(other)).await.expect(201);
    let refused = restore(&world, "/users/ann").await.expect(409);
    assert_eq!(
        refused["error"]["message"],
        format!(
            "{SERVICE}/users/ann cannot be restored, because another of the users has the same email by now."
        )
    );
}

#[tokio::test]
async fn what_something_belonged_to_is_restored_first() {
    let world = furnished().await;
    let operation = "/apis/echo-api/operations/retrieve-resource";
    world.delete(operation).await.expect(200);
    world
        .delete("/apis/echo-api?deleteRevisions=true")
        .await
        .expect(204);
    let refused = restore(&world, operation).await.expect(409);
    assert_eq!(
        refused["error"]["message"],
        format!(
            "{SERVICE}{operation} cannot be restored, because {SERVICE}/apis/echo-api does not exist. Restore that first."
        )
    );
    restore(&world, "/apis/echo-api").await.expect(200);
    restore(&world, operation).await.expect(200);
    world.get(operation).await.expect(200);
}

#[tokio::test]
async fn what_lost_its_owner_is_left_out_and_named() {
    let world = furnished().await;
    world
        .delete("/products/starter?deleteSubscriptions=true")
        .await
        .expect(200);
    world
        .delete("/users/ann?deleteSubscriptions=true")
        .await
        .expect(204);
    let back = restore(&world, "/products/starter").await.expect(200);
    assert_eq!(
        back["leftOut"],
        json!([{"type": "Microsoft.ApiManagement/service/subscriptions", "count": 1}])
    );
    world.get("/subscriptions/of-product").await.expect(404);
    world.get("/products/starter").await.expect(200);
}

#[tokio::test]
async fn a_purged_entity_is_gone_for_good() {
    let world = furnished().await;
    world.delete("/tags/hot").await.expect(200);
    let name = deleted(&world, "/tags/hot").await;
    world
        .send(
            engine::Method::Delete,
            &format!("/deletedEntities/{name}"),
            None,
            Value::Null,
        )
        .await
        .expect(200);
    world
        .post(&format!("/deletedEntities/{name}/restore"), Value::Null)
        .await
        .expect(404);
    world
        .delete("/apis/echo-api/issues/reported")
        .await
        .expect(200);
    let late = crate::world::now() + engine::deleted::KEPT;
    assert_eq!(
        engine::deleted::purge(&world.pool, late)
            .await
            .expect("a purge"),
        0
    );
    let later = late + chrono::Duration::seconds(1);
    assert_eq!(
        engine::deleted::purge(&world.pool, later)
            .await
            .expect("a purge"),
        1
    );
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM deleted_rows")
        .fetch_one(&world.pool)
        .await
        .expect("a count");
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn a_plan_tells_what_a_deletion_takes_and_changes_nothing() {
    let world = furnished().await;
    let before = everything(&world).await;
    let plan = world
        .get("/deletionPlan?resource=/products/starter")
        .await
        .expect(200);
    assert_eq!(plan["resource"], format!("{SERVICE}/products/starter"));
    same(&everything(&world).await, &before);
    assert_eq!(world.names("/deletedEntities").await, Vec::<String>::new());
    world
        .delete("/products/starter?deleteSubscriptions=true")
        .await
        .expect(200);
    let done = deleted(&world, "/products/starter").await;
    let done = world
        .get(&format!("/deletedEntities/{done}"))
        .await
        .expect(200);
    assert_eq!(plan["contents"], done["properties"]["contents"]);
    for (wrong, status) in [
        ("", 400),
        ("/", 400),
        ("/templates/AccountClosedDeveloper", 400),
        ("/subscriptions/x/providers/y", 400),
        ("/products/nothing", 404),
    ] {
        let answer = world.get(&format!("/deletionPlan?resource={wrong}")).await;
        assert_eq!(answer.status, status, "{wrong}");
    }
}

#[tokio::test]
async fn an_api_with_active_subscriptions_goes_only_on_request() {
    let world = furnished().await;
    assert_eq!(
        world.delete("/apis/echo-api").await.targets(),
        ["deleteRevisions"]
    );
    let refused = world.delete("/apis/echo-api").await.expect(400);
    assert!(refused.to_string().contains("of-api"), "{refused}");
    world
        .delete("/apis/echo-api?deleteSubscriptions=true")
        .await
        .expect(204);
}

/// The order in which rows come back exists.
#[tokio::test]
async fn no_tables_refer_to_each_other_in_a_circle_and_no_key_is_composite() {
    let world = World::empty().await;
    let composite: Vec<String> = sqlx::query_scalar(
        "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace \
         AND cardinality(conkey) > 1",
    )
    .fetch_all(&world.pool)
    .await
    .expect("constraints");
    assert_eq!(composite, Vec::<String>::new());
    let mut edges: Vec<(String, String)> = sqlx::query_as(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint \
         WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conrelid <> confrelid",
    )
    .fetch_all(&world.pool)
    .await
    .expect("constraints");
    while !edges.is_empty() {
        let children: Vec<String> = edges.iter().map(|(child, _)| child.clone()).collect();
        let before = edges.len();
        edges.retain(|(_, parent)| children.contains(parent));
        assert!(edges.len() < before, "a circle among {edges:?}");
    }
}
