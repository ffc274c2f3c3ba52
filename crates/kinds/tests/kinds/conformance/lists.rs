//! Lists: every item once over all pages, every operator of every declared filter, no table read whole.

use super::{below_roots, collection};
use crate::world::{PROVIDER, SERVICE, World, body, now, service};
use engine::{FilterKind, Kind, ListEffect, Method, Resource as _, json, sqlx};
use std::time::Duration;

/// Creates every kind's example, so that no list is empty.
async fn filled(world: &World) -> Vec<(&'static dyn Kind, String)> {
    let kinds = below_roots(world).await;
    for (kind, item) in &kinds {
        let put = world
            .send(Method::Put, item, Some("*"), body(kind.example()))
            .await;
        assert!(matches!(put.status, 200 | 201), "{item}: {}", put.body);
    }
    kinds
}

/// Follows `nextLink` from pages of one and returns the names it met.
async fn one_by_one(world: &World, list: &str, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(format!("{list}?$top=1"));
    while let Some(target) = next {
        let page = world.get(&target).await.expect(200);
        assert_eq!(page["count"], count, "{target} counts all pages");
        let items = page["value"].as_array().expect("items");
        assert!(items.len() <= 1, "{target} is a page of one");
        names.extend(
            items
                .iter()
                .map(|item| item["name"].as_str().expect("a name").to_owned()),
        );
        assert!(names.len() <= count, "{target} repeats items: {names:?}");
        next = page["nextLink"].as_str().map(|link| {
            let path = link
                .strip_prefix("http://127.0.0.1:8080")
                .expect("an absolute link");
            assert!(path.starts_with(PROVIDER), "{link}");
            path.to_owned()
        });
    }
    names
}

#[tokio::test]
async fn pages_of_one_visit_every_item_once() {
    let world = World::new().await;
    let mut longest = 0;
    for (kind, _) in filled(&world).await {
        let list = collection(kind);
        let all = world.names(&list).await;
        assert!(!all.is_empty(), "{list} is empty");
        assert_eq!(one_by_one(&world, &list, all.len()).await, all, "{list}");
        longest = longest.max(all.len());
    }
    for (list, wanted) in [
        ("/products/starter/apis", 1),
        ("/products/starter/groups", 3),
        ("/apis/echo-api/products", 2),
        ("/users/1/groups", 1),
    ] {
        let all = world.names(list).await;
        assert!(all.len() >= wanted, "{list}: {all:?}");
        assert_eq!(one_by_one(&world, list, all.len()).await, all, "{list}");
    }
    assert!(longest > 5, "some list has many pages");
}

#[tokio::test]
async fn a_list_shows_of_an_item_what_a_get_shows() {
    let world = World::new().await;
    for (kind, item) in filled(&world).await {
        let facts = kind.facts();
        if !facts.verbs.get || !facts.verbs.list {
            continue;
        }
        let mut wanted = world.get(&item).await.expect(200);
        let members = wanted["properties"].as_object_mut().expect("properties");
        let asked = facts
            .list_parameters
            .iter()
            .filter_map(|parameter| match &parameter.effect {
                ListEffect::Show(field) => Some(field),
                ListEffect::Add(..) | ListEffect::Restrict(_) => None,
            });
        for field in facts.omitted_in_list.iter().chain(asked) {
            members.remove(*field);
        }
        let page = world.get(&collection(kind)).await.expect(200);
        let items = page["value"].as_array().expect("items");
        let listed = items.iter().find(|item| item["name"] == wanted["name"]);
        assert_eq!(listed, Some(&wanted), "{item}");
    }
}

/// How many items a condition leaves.
async fn count(world: &World, list: &str, condition: &str) -> i64 {
    let body = world
        .get(&format!("{list}?$filter={condition}"))
        .await
        .expect(200);
    assert_eq!(
        body["value"].as_array().map(Vec::len),
        body["count"].as_u64().and_then(|n| usize::try_from(n).ok()),
        "{condition}"
    );
    body["count"].as_i64().expect("a count")
}

#[tokio::test]
async fn every_operator_of_every_filter_splits_the_list_in_two() {
    let world = World::new().await;
    for (kind, _) in filled(&world).await {
        let list = collection(kind);
        let all = i64::try_from(world.names(&list).await.len()).expect("a number");
        for filter in kind.facts().filters {
            let field = filter.field;
            let compared = |signs: &[&str], value: &str| -> Vec<String> {
                signs
                    .iter()
                    .map(|sign| format!("{field} {sign} {value}"))
                    .collect()
            };
            let every = ["eq", "ne", "gt", "ge", "lt", "le"];
            let called = [
                format!("contains({field},'a')"),
                format!("substringof('a',{field})"),
                format!("startswith({field},'a')"),
                format!("endswith({field},'a')"),
            ];
            let (conditions, refused): (Vec<String>, Vec<String>) = match filter.kind {
                FilterKind::Text => {
                    let mut conditions = compared(&every, "'a'");
                    conditions.extend(called);
                    (conditions, compared(&["gt"], "true"))
                }
                FilterKind::Equal => (
                    compared(&every[..2], "'a'"),
                    compared(&every[2..], "'a'")
                        .into_iter()
                        .chain(called)
                        .collect(),
                ),
                FilterKind::Bool => (
                    compared(&every[..2], "true"),
                    compared(&every[2..], "true")
                        .into_iter()
                        .chain(called)
                        .collect(),
                ),
                FilterKind::Number => (compared(&every, "1"), compared(&every, "'a'")),
                FilterKind::Date => {
                    let mut conditions = compared(&every, "datetime'2027-01-15T08:00:00'");
                    conditions.extend(compared(&every, "2027-01-15"));
                    (conditions, called.into())
                }
                FilterKind::OrderedPath => {
                    let mut conditions = compared(&every, "'/apis/a'");
                    conditions.extend(called);
                    (conditions, compared(&["gt"], "true"))
                }
                FilterKind::Path | FilterKind::Ref(_) => (
                    compared(&every[..2], "'/users/1'")
                        .into_iter()
                        .chain(called)
                        .collect(),
                    compared(&every[2..], "'/users/1'"),
                ),
                FilterKind::Texts => (
                    vec![
                        format!("{field}/any()"),
                        format!("{field}/any(t: t eq 'a')"),
                        format!("{field}/all(t: t ne 'a')"),
                    ],
                    compared(&every, "'a'"),
                ),
            };
            for condition in conditions {
                let both = count(&world, &list, &condition).await
                    + count(&world, &list, &format!("not ({condition})")).await;
                assert_eq!(both, all, "{list}: {condition}");
                let prefixed = condition.replacen(field, &format!("properties/{field}"), 1);
                assert_eq!(
                    count(&world, &list, &prefixed).await,
                    count(&world, &list, &condition).await,
                    "{list}: {prefixed}"
                );
            }
            for condition in refused {
                let answer = world.get(&format!("{list}?$filter={condition}")).await;
                assert_eq!(answer.targets(), ["$filter"], "{list}: {condition}");
            }
        }
    }
}

#[tokio::test]
async fn wrong_paging_is_refused_by_name() {
    let world = World::new().await;
    for (query, target) in [
        ("$top=0", "$top"),
        ("$top=x", "$top"),
        ("$skip=-1", "$skip"),
        ("$filter=name eq", "$filter"),
        ("$filter=(name eq 'a'", "$filter"),
    ] {
        let answer = world.get(&format!("/products?{query}")).await;
        assert_eq!(answer.targets(), [target], "{query}");
    }
}

/// Sequential scans of a table that Postgres has counted, once no other connection has more to report.
async fn sequential_scans(pool: &engine::PgPool, table: &str) -> i64 {
    loop {
        let busy: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(pool)
        .await
        .expect("activity");
        if busy == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sqlx::query_scalar("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = $1")
        .bind(table)
        .fetch_one(pool)
        .await
        .expect("statistics")
}

#[tokio::test]
async fn no_table_of_many_rows_is_read_whole() {
    for (table, item) in [("products", "/products/sample"), ("tags", "/tags/sample")] {
        let mut world = World::new().await;
        let other = SERVICE.replace("/demo", "/other");
        world.put(&other, service()).await.expect(201);
        let example = if table == "tags" {
            kinds::tag::Tag::example()
        } else {
            kinds::product::Product::example()
        };
        world.put(item, body(example)).await.expect(201);
        let sql = format!(
            "INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object(\
               'id', gen_random_uuid(), 'parent_id', s.id, 'name', 'row-' || n, 'display_name', 'Row ' || n))).* \
             FROM {table} t, services s, generate_series(1, 20000) n WHERE t.name = 'sample' AND s.name = 'other'"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&world.pool)
            .await
            .expect("rows");
        sqlx::query(sqlx::AssertSqlSafe(format!("ANALYZE {table}")))
            .execute(&world.pool)
            .await
            .expect("statistics");
        let options = (*world.pool.connect_options()).clone();
        let connect = || {
            sqlx::postgres::PgPoolOptions::new()
                .max_connections(1)
                .connect_lazy_with(options.clone())
        };
        world.pool.close().await;
        let pool = connect();
        let before = sequential_scans(&pool, table).await;
        pool.close().await;

        // Statistics of a connection are complete once it ended.
        let pool = world.over(connect());
        let list = item.trim_end_matches("/sample");
        world.get(item).await.expect(200);
        world.head(item).await.expect(200);
        world
            .get(&format!("{list}?$top=1&$filter=name ge 'a'"))
            .await
            .expect(200);
        world
            .patch(item, json!({"displayName": format!("At {}", now())}))
            .await
            .expect(200);
        world.delete(item).await.expect(200);
        pool.close().await;
        let after = sequential_scans(&connect(), table).await;
        assert_eq!(after, before, "{table} was read whole");
    }
}

#[tokio::test]
async fn a_page_behind_many_rows_is_where_counting_would_have_led() {
    let world = World::new().await;
    sqlx::query(
        "INSERT INTO tags (id, parent_id, name, rev, created_at, updated_at, display_name) \
         SELECT gen_random_uuid(), s.id, 'row-' || lpad((2 * n)::text, 5, '0'), 1, now(), now(), 'Row ' || n % 2 \
         FROM services s, generate_series(1, 12000) n WHERE s.name = 'demo'",
    )
    .execute(&world.pool)
    .await
    .expect("rows");
    let named = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|n| format!("row-{n:05}")).collect()
    };
    let page = async |skip: usize, more: &str| {
        let list = format!("/tags?$top=2&$skip={skip}{more}");
        let page = world.get(&list).await.expect(200);
        let items = page["value"].as_array().expect("items");
        let names: Vec<String> = items
            .iter()
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect();
        (names, page["count"].as_i64().expect("a count"))
    };
    for skip in [0, 4_999, 5_000, 5_001, 7_000, 11_998] {
        assert_eq!(
            page(skip, "").await,
            (named(&[2 * skip + 2, 2 * skip + 4]), 12_000),
            "{skip}"
        );
    }
    assert_eq!(
        page(5_500, "&$filter=displayName eq 'Row 1'").await,
        (named(&[22_002, 22_006]), 6_000)
    );
    // What this process writes counts at once, in front of the page and behind it.
    let tag = |name: &str| format!("/tags/{name}");
    let content = || body(json!({"displayName": "Row 1"}));
    world.put(&tag("row-00001"), content()).await.expect(201);
    world.put(&tag("row-23999"), content()).await.expect(201);
    assert_eq!(page(7_000, "").await, (named(&[14_000, 14_002]), 12_002));
    assert_eq!(
        page(5_500, "&$filter=displayName eq 'Row 1'").await,
        (named(&[21_998, 22_002]), 6_002)
    );
    world.delete(&tag("row-00002")).await.expect(200);
    assert_eq!(page(7_000, "").await, (named(&[14_002, 14_004]), 12_001));
    // The link of a page that was reached by number goes on by name.
    let link = world.get("/tags?$top=2&$skip=7000").await.expect(200)["nextLink"].clone();
    let link = link.as_str().expect("a link");
    let (path, query) = link.split_once('?').expect("a query");
    assert!(path.starts_with("http://127.0.0.1:8080/"), "{link}");
    assert!(!query.contains("$skip="), "{link}");
    assert_eq!(
        world
            .names(link.trim_start_matches("http://127.0.0.1:8080"))
            .await,
        named(&[14_006, 14_008])
    );
}

#[tokio::test]
async fn a_page_is_not_found_where_a_path_led_before() {
    let world = World::new().await;
    let list = "/apis/echo-api/operations?$top=1";
    for _ in 0..2 {
        assert_eq!(world.names(list).await, ["create-resource"]);
    }
    world
        .delete("/apis/echo-api?deleteRevisions=true")
        .await
        .expect(204);
    world.get(list).await.expect(404);
    for _ in 0..2 {
        assert_eq!(world.names("/tags?$top=1").await, Vec::<String>::new());
    }
    for _ in 0..2 {
        assert_eq!(world.names("/products?$top=1").await, ["starter"]);
    }
    sqlx::query("UPDATE principals SET disabled_at = now()")
        .execute(&world.pool)
        .await
        .expect("nobody");
    world.get("/products?$top=1").await.expect(404);
}
