//! `auditEntries`, and the chain that makes tampering show

use crate::{
    conformance::below_roots,
    world::{World, body},
};
use engine::{
    Access, Method, Value,
    audit::{self, Tampering},
    json, sqlx,
};

/// Chains everything. Transactions of other tests on the same server hold the chain up for a moment.
async fn chained(world: &World) {
    let pool = &world.engine.pool;
    for _ in 0..400 {
        audit::chain(pool, &world.engine.codec)
            .await
            .expect("a chain");
        let waiting: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_entries WHERE sequence IS NULL")
                .fetch_one(pool)
                .await
                .expect("a count");
        if waiting == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("entries were not chained");
}

async fn verified(world: &World) -> Result<audit::Verified, Tampering> {
    audit::verify(&world.engine.pool, &world.engine.codec)
        .await
        .expect("a verdict")
}

#[tokio::test]
async fn writes_and_reads_of_secrets_are_recorded_without_the_secrets() {
    let world = World::new().await;
    let value = json!({"displayName": "token", "value": "open-sesame", "secret": true});
    world
        .put("/namedValues/token", body(value))
        .await
        .expect(201);
    world
        .post("/namedValues/token/listValue", json!(null))
        .await
        .expect(200);
    world.get("/namedValues/token").await.expect(200);
    world
        .patch("/namedValues/token", json!({"tags": ["a"]}))
        .await
        .expect(200);
    world.delete("/namedValues/token").await.expect(200);

    chained(&world).await;
    let listed = world
        .get("/auditEntries?$filter=contains(resource,'namedValues/token')")
        .await
        .expect(200);
    let mut entries: Vec<_> = listed["value"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|e| &e["properties"])
        .collect();
    entries.sort_by_key(|e| e["sequence"].as_i64());
    let actions: Vec<&str> = entries
        .iter()
        .filter_map(|e| e["action"].as_str())
        .collect();
    let named = |verb: &str| format!("Microsoft.ApiManagement/service/namedValues/{verb}");
    assert_eq!(
        actions,
        [
            named("write"),
            named("listValue/action"),
            named("write"),
            named("delete")
        ],
        "a plain read leaves no trace"
    );
    assert_eq!(entries[0]["address"], "10.0.0.7");
    assert_eq!(entries[0]["requestId"], "request-1");
    assert!(entries[0].get("before").is_none());
    assert_eq!(entries[2]["before"]["displayName"], "token");
    assert_eq!(entries[2]["after"]["tags"], json!(["a"]));
    assert!(entries[3].get("after").is_none());
    assert!(!listed.to_string().contains("open-sesame"), "{listed}");
}

#[tokio::test]
async fn a_refused_write_is_not_recorded() {
    let world = World::new().await;
    world.put("/products/x", body(json!({}))).await.expect(400);
    let listed = world
        .get("/auditEntries?$filter=contains(resource,'products/x')")
        .await
        .expect(200);
    assert_eq!(listed["count"], 0);
}

#[tokio::test]
async fn changing_removing_and_cutting_off_entries_shows() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world
            .put(&format!("/tags/{name}"), body(json!({"displayName": name})))
            .await
            .expect(201);
    }
    chained(&world).await;
    let whole = verified(&world).await.expect("an untouched trail");
    assert_eq!((whole.entries, whole.waiting), (whole.entries.max(3), 0));
    let last = whole.entries;
    for (sql, found) in [
        (
            format!(
                "UPDATE audit_entries SET caller = 'somebody else' WHERE sequence = {}",
                last - 1
            ),
            Tampering::Changed(last - 1),
        ),
        (
            format!("DELETE FROM audit_entries WHERE sequence = {}", last - 1),
            Tampering::Missing(last - 1),
        ),
        (
            format!("DELETE FROM audit_entries WHERE sequence = {last}"),
            Tampering::Cut {
                sealed: last,
                found: last - 1,
            },
        ),
    ] {
        let pool = &world.engine.pool;
        sqlx::query("CREATE TABLE kept AS TABLE audit_entries")
            .execute(pool)
            .await
            .expect("a copy");
        sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
            .execute(pool)
            .await
            .expect("tampering");
        assert_eq!(verified(&world).await, Err(found), "{sql}");
        sqlx::raw_sql(
            "TRUNCATE audit_entries; INSERT INTO audit_entries SELECT * FROM kept; DROP TABLE kept",
        )
        .execute(pool)
        .await
        .expect("the trail as it was");
        assert_eq!(verified(&world).await.expect("the trail as it was"), whole);
    }
    let mut lines = Vec::new();
    audit::export(&world.engine.pool, None, |line| {
        lines.push(line);
        Ok(())
    })
    .await
    .expect("an export");
    assert_eq!(i64::try_from(lines.len()), Ok(last));
    assert_eq!(
        lines.last().map(|line| line["hash"].clone()),
        Some(json!(whole.head))
    );
}

async fn count(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM audit_entries")
        .fetch_one(&world.pool)
        .await
        .expect("a count")
}

/// Over the registry, so that no operation can be forgotten: what succeeds and is no plain read leaves an
/// entry, what fails leaves none.
#[tokio::test]
async fn every_operation_that_changes_or_reveals_something_leaves_an_entry() {
    let world = World::new().await;
    let mut operations = Vec::new();
    for (kind, item) in below_roots(&world).await {
        let (facts, example) = (kind.facts(), kind.example());
        operations.push((Method::Put, item.clone(), body(example), true));
        if facts.verbs.patch {
            operations.push((Method::Patch, item.clone(), body(json!({})), true));
        }
        for action in facts.actions {
            let path = format!("{item}/{}", action.name);
            let given = match action.operation {
                "EmailTemplate_SendTest" => json!({"to": "ops@example.org"}),
                "UserConfirmationEmail_Send" => json!({"email": "new@example.org"}),
                "User_GetSharedAccessToken" => {
                    body(json!({"keyType": "primary", "expiry": "2027-01-16T08:00:00Z"}))
                }
                _ => Value::Null,
            };
            let recorded = action.access != Access::Read;
            operations.push((Method::Post, path, given, recorded));
        }
        if facts.verbs.delete {
            operations.push((Method::Delete, item, Value::Null, true));
        }
    }
    for (parent, path) in [
        ("/products/starter", "/products/starter/apis/echo-api"),
        ("/products/starter", "/products/starter/groups/guests"),
        ("/apis/echo-api", "/apis/echo-api/tags/labelled"),
        ("/products/starter", "/products/starter/tags/labelled"),
    ] {
        world.get(parent).await.expect(200);
        for method in [Method::Delete, Method::Put, Method::Delete] {
            operations.push((method, path.to_owned(), Value::Null, true));
        }
    }
    let mut recorded_ones = 0;
    for (method, path, given, recorded) in operations {
        let before = count(&world).await;
        let answer = world.send(method, &path, Some("*"), given).await;
        let entries = count(&world).await - before;
        // 204 of a DELETE means that nothing was there; that of an action that it was done.
        let nothing_there = method == Method::Delete && answer.status == 204 && entries == 0;
        if answer.status < 300 && recorded && !nothing_there {
            assert!(entries >= 1, "{} {path} leaves no entry", method.name());
            recorded_ones += 1;
        } else {
            assert_eq!(entries, 0, "{} {path}: {}", method.name(), answer.status);
        }
    }
    assert!(recorded_ones > 100, "only {recorded_ones} succeeded");
}

#[tokio::test]
async fn an_import_is_recorded_with_what_it_did() {
    let world = World::new().await;
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "Pets", "version": "1"},
        "paths": {"/pets": {"get": {"operationId": "list-pets", "responses": {"200": {"description": "OK"}}}}}
    });
    let given = json!({"path": "pets", "format": "openapi+json", "value": document.to_string()});
    world.put("/apis/pets", body(given)).await.expect(201);
    let listed = world
        .get("/auditEntries?$filter=endswith(action,'apis/import/action')")
        .await
        .expect(200);
    assert_eq!(
        listed["value"][0]["properties"]["after"],
        json!({"added": ["list-pets"], "changed": [], "removed": [], "unchanged": 0, "format": "openapi+json"})
    );
}
