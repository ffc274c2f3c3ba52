//! What holds for every kind alike, driven by the kinds' own examples.

mod lists;
mod paths;

use crate::world::{EDGE, World, api_gateway, body};
use engine::{FilterKind, Kind, Method, NameRule, Resource as _, Value, json, sqlx};

/// Names that stand for the parents of nested kinds; all of them come with a service.
fn parent_name(segment: &str) -> &'static str {
    match segment {
        "apis" => "echo-api",
        "operations" => "retrieve-resource",
        "products" => "unlimited",
        "resolvers" => "users",
        "tags" => "labelled",
        "notifications" => "BCC",
        "issues" => "reported",
        "gateways" => "plant",
        "contentTypes" => "page",
        "authorizationProviders" => "directory",
        "authorizations" => "connection",
        other => panic!("name an existing parent among {other}"),
    }
}

fn collection(kind: &dyn Kind) -> String {
    let root = kind.parents().first().map(|root| root.facts());
    let mut path = match root {
        Some(root) if root.of_installation => EDGE.to_owned(),
        _ => String::new(),
    };
    for parent in kind.parents().iter().skip(1) {
        let segment = parent.facts().segment;
        path.push_str(&format!("/{segment}/{}", parent_name(segment)));
    }
    format!("{path}/{}", kind.facts().segment)
}

fn name(kind: &dyn Kind) -> &'static str {
    match kind.facts().name {
        // A recipient is named like the user that it is.
        NameRule::Id { .. } if kind.facts().segment == "recipientUsers" => "1",
        // A description belongs to a tag of the same name.
        NameRule::Id { .. } if kind.facts().segment == "tagDescriptions" => "labelled",
        NameRule::Id { .. } => "sample",
        NameRule::Fixed(names) => names[0],
        NameRule::Email => "ops@example.org",
        NameRule::Label { .. } => "sample",
    }
}

/// Every kind below a service or a gateway of the installation, with the path of an item. Makes the parents that no new service has.
pub(crate) async fn below_roots(world: &World) -> Vec<(&'static dyn Kind, String)> {
    for (path, example) in [
        (
            "/apis/echo-api/issues/reported",
            kinds::issue::Issue::example(),
        ),
        ("/tags/labelled", kinds::tag::Tag::example()),
        (
            "/apis/echo-api/resolvers/users",
            kinds::resolver::Resolver::example(),
        ),
        ("/gateways/plant", kinds::gateway::Gateway::example()),
        ("/contentTypes/page", kinds::content::ContentType::example()),
        (
            "/authorizationProviders/directory",
            kinds::authorization::AuthorizationProvider::example(),
        ),
        (
            "/authorizationProviders/directory/authorizations/connection",
            kinds::authorization::Authorization::example(),
        ),
    ] {
        world
            .send(Method::Put, path, None, body(example))
            .await
            .expect(201);
    }
    world.put(EDGE, api_gateway()).await.expect(201);
    // What the examples of links link is not linked from the start.
    for pair in [
        "/products/unlimited/apis/echo-api",
        "/products/unlimited/groups/developers",
    ] {
        world.delete(pair).await.expect(200);
    }
    world
        .engine
        .registry
        .kinds()
        .iter()
        .copied()
        .filter(|kind| !kind.is_root() && kind.facts().verbs.put)
        .map(|kind| (kind, format!("{}/{}", collection(kind), name(kind))))
        .collect()
}

#[tokio::test]
async fn an_example_can_be_created_read_replaced_changed_and_deleted() {
    let world = World::new().await;
    for (kind, item) in below_roots(&world).await {
        let facts = kind.facts();
        let existed = world.head(&item).await.status != 404;
        let put = world
            .send(Method::Put, &item, Some("*"), body(kind.example()))
            .await;
        let etag = put.header("ETag").expect("an ETag").to_owned();
        let created = put.expect(if existed {
            facts.replaced
        } else {
            facts.created
        });
        if facts.verbs.get {
            let got = world.get(&item).await;
            assert_eq!(got.header("ETag"), Some(etag.as_str()), "{item}");
            assert_eq!(got.expect(200), created, "{item}");
            let head = world.head(&item).await;
            assert_eq!(
                (head.status, head.header("ETag")),
                (200, Some(etag.as_str())),
                "{item}"
            );
        } else {
            world.head(&item).await.expect(204);
        }
        assert!(
            world
                .names(&collection(kind))
                .await
                .contains(&name(kind).to_owned()),
            "{item}"
        );

        let again = world
            .send(Method::Put, &item, Some("*"), body(kind.example()))
            .await;
        again.expect(facts.replaced);
        let stale = world
            .send(
                Method::Put,
                &item,
                Some("\"AAAAAAAAAAA=\""),
                body(kind.example()),
            )
            .await;
        stale.expect(412);

        if facts.verbs.patch {
            let none = world
                .send(Method::Patch, &item, None, body(json!({})))
                .await;
            assert_eq!(
                none.status,
                if facts.if_match { 400 } else { 200 },
                "{item}"
            );
            world
                .send(Method::Patch, &item, Some(&etag), body(json!({})))
                .await
                .expect(412);
            let before = world.get(&item).await.expect(200);
            let patched = world.patch(&item, json!({})).await.expect(facts.patched);
            let after = match facts.patched {
                204 => world.get(&item).await.expect(200),
                _ => patched,
            };
            assert_eq!(after, before, "an empty PATCH changes nothing of {item}");
        }
        if facts.verbs.delete {
            let must = facts.if_match && !facts.delete_without_if_match;
            let none = world.send(Method::Delete, &item, None, Value::Null).await;
            let deleted = if facts.long_delete { 204 } else { 200 };
            assert_eq!(none.status, if must { 400 } else { deleted }, "{item}");
            if must {
                world.delete(&item).await.expect(deleted);
            }
            // A template goes back to its default and stays.
            if facts.segment != "templates" {
                world.delete(&item).await.expect(204);
                world.head(&item).await.expect(404);
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_property_is_refused_by_name() {
    let world = World::new().await;
    for (kind, item) in below_roots(&world).await {
        if kind.facts().open.is_some() {
            continue;
        }
        let mut properties = kind.example();
        properties["nonsense"] = json!(1);
        let put = world
            .send(Method::Put, &item, Some("*"), body(properties))
            .await;
        let targets = put.targets();
        assert_eq!(targets, ["properties.nonsense"], "{item}");
    }
}

#[tokio::test]
async fn every_required_field_that_is_missing_is_named_at_once() {
    let world = World::new().await;
    for (kind, item) in below_roots(&world).await {
        let required: Vec<&str> = kind
            .facts()
            .fields
            .iter()
            .filter(|field| field.required)
            .map(|field| field.wire)
            .filter(|wire| Some(*wire) != kind.facts().open)
            .collect();
        if !required.is_empty() {
            assert_eq!(
                world.put(&item, json!({"properties": {}})).await.targets(),
                required,
                "{item}"
            );
        }
    }
}

#[tokio::test]
async fn every_declared_filter_works_and_no_other() {
    let world = World::new().await;
    for (kind, _) in below_roots(&world).await {
        let collection = collection(kind);
        for filter in kind.facts().filters {
            let condition = match filter.kind {
                FilterKind::Text => {
                    format!("contains(properties/{0}, 'a') and {0} ge 'a'", filter.field)
                }
                FilterKind::Equal => format!("{0} eq 'a' or {0} ne 'a'", filter.field),
                FilterKind::Bool => format!("{} eq true", filter.field),
                FilterKind::Number => format!("{} gt 1", filter.field),
                FilterKind::Date => format!("{} ge 2020-01-01", filter.field),
                FilterKind::Path | FilterKind::OrderedPath => {
                    format!("{} eq '/apis'", filter.field)
                }
                FilterKind::Ref(_) => format!("{} eq '/users/1'", filter.field),
                FilterKind::Texts => format!("{}/any(t: t eq 'a')", filter.field),
            };
            world
                .get(&format!("{collection}?$filter={condition}"))
                .await
                .expect(200);
        }
        let unknown = world
            .get(&format!("{collection}?$filter=nonsense eq 'a'"))
            .await;
        assert_eq!(unknown.targets(), ["$filter"], "{collection}");
    }
}

#[tokio::test]
async fn no_secret_is_in_a_reply_or_in_a_log() {
    let world = World::new().await;
    let key = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
    let properties = json!({"scope": "/apis", "displayName": "Ann's key", "primaryKey": key});
    let put = world
        .put("/subscriptions/sample", body(properties))
        .await
        .expect(201);
    let value = json!({"displayName": "token", "secret": true, "value": key});
    let named = world
        .put("/namedValues/sample", body(value))
        .await
        .expect(201);
    let replies = [
        put,
        named,
        world.get("/subscriptions").await.expect(200),
        world.get("/subscriptions/sample").await.expect(200),
        world.get("/namedValues").await.expect(200),
        world.get("/namedValues/sample").await.expect(200),
        world.get("/tenant/access").await.expect(200),
    ];
    for reply in replies {
        assert!(!reply.to_string().contains(key), "{reply}");
    }
    for table in ["subscriptions", "named_values"] {
        let sql = format!("SELECT to_jsonb(t)::text FROM {table} t WHERE name = 'sample'");
        let row: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&world.pool)
            .await
            .expect("a row");
        let hex: String = key.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!row.contains(key) && !row.contains(&hex), "{row}");
    }
}
