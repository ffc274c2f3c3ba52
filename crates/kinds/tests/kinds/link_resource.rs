//! `products/{id}/apiLinks`, `groupLinks`, `tags/{id}/apiLinks`, `operationLinks`, `productLinks`

use crate::world::{SERVICE, World, body};
use engine::{Value, json};

/// The old way to the same fact, the collection of links, the field, and what is linked.
const WAYS: [(&str, &str, &str, &str); 5] = [
    (
        "/products/p/apis/other",
        "/products/p/apiLinks",
        "apiId",
        "/apis/other",
    ),
    (
        "/products/p/groups/guests",
        "/products/p/groupLinks",
        "groupId",
        "/groups/guests",
    ),
    (
        "/apis/other/tags/ml",
        "/tags/ml/apiLinks",
        "apiId",
        "/apis/other",
    ),
    (
        "/apis/echo-api/operations/create-resource/tags/ml",
        "/tags/ml/operationLinks",
        "operationId",
        "/apis/echo-api/operations/create-resource",
    ),
    (
        "/products/p/tags/ml",
        "/tags/ml/productLinks",
        "productId",
        "/products/p",
    ),
];

async fn linkable() -> World {
    let world = World::new().await;
    for (path, properties) in [
        ("/products/p", json!({"displayName": "P"})),
        ("/apis/other", json!({"path": "other"})),
        ("/tags/ml", json!({"displayName": "machine learning"})),
        ("/tags/other", json!({"displayName": "other"})),
    ] {
        world.put(path, body(properties)).await.expect(201);
    }
    world
}

/// Whether the old way says that the two are linked.
async fn is_linked(world: &World, old: &str) -> bool {
    match world.head(old).await.status {
        200 | 204 => true,
        404 => false,
        other => panic!("{old}: {other}"),
    }
}

#[tokio::test]
async fn a_link_that_is_made_here_is_seen_there() {
    let world = linkable().await;
    for (old, list, field, target) in WAYS {
        let before = world.names(list).await;
        let one = format!("{list}/mine");
        let wanted = json!({
            "id": format!("{SERVICE}{one}"),
            "type": format!("Microsoft.ApiManagement/service/{}/{}", list.split('/').nth(1).expect("a type"), list.split('/').nth(3).expect("a type")),
            "name": "mine",
            "properties": {field: format!("{SERVICE}{target}")},
        });
        assert_eq!(
            world
                .put(&one, body(json!({field: target})))
                .await
                .expect(201),
            wanted
        );
        assert!(is_linked(&world, old).await, "{old}");
        let full = body(json!({field: format!("{SERVICE}{target}")}));
        assert_eq!(world.put(&one, full).await.expect(200), wanted);
        let got = world.get(&one).await;
        assert!(got.header("ETag").is_some(), "{one}");
        assert_eq!(got.expect(200), wanted);
        let found = world
            .get(&format!("{list}?$filter={field} eq '{target}'"))
            .await
            .expect(200);
        assert_eq!(found["value"], json!([wanted]));
        world.delete(&one).await.expect(200);
        assert!(!is_linked(&world, old).await, "{old}");
        world.delete(&one).await.expect(204);
        assert_eq!(world.names(list).await, before);
    }
}

#[tokio::test]
async fn a_link_that_is_made_there_is_seen_here_and_takes_the_name_that_it_is_given() {
    let world = linkable().await;
    for (old, list, field, target) in WAYS {
        let before = world.names(list).await;
        world.put(old, Value::Null).await.expect(201);
        let unnamed: Vec<String> = world
            .names(list)
            .await
            .into_iter()
            .filter(|name| !before.contains(name))
            .collect();
        let [unnamed] = unnamed.as_slice() else {
            panic!("{list}: one link, not {unnamed:?}");
        };
        let shown = world.get(&format!("{list}/{unnamed}")).await.expect(200);
        assert_eq!(
            shown["properties"],
            json!({field: format!("{SERVICE}{target}")})
        );

        // Linked already: no new link, but a name for the one that is there.
        let named = format!("{list}/named");
        world
            .put(&named, body(json!({field: target})))
            .await
            .expect(200);
        world.get(&format!("{list}/{unnamed}")).await.expect(404);
        let refused = world
            .put(&format!("{list}/again"), body(json!({field: target})))
            .await
            .expect(409);
        assert_eq!(
            refused["error"]["message"],
            "The two are linked already, by the link 'named'."
        );

        assert!(matches!(world.delete(old).await.status, 200), "{old}");
        world.get(&named).await.expect(404);
        assert_eq!(world.names(list).await, before);
    }
}

#[tokio::test]
async fn a_link_can_lead_elsewhere_and_nowhere_that_does_not_exist() {
    let world = linkable().await;
    let link = "/products/p/apiLinks/mine";
    world
        .put(link, body(json!({"apiId": "/apis/other"})))
        .await
        .expect(201);
    world
        .put(link, body(json!({"apiId": "/apis/echo-api"})))
        .await
        .expect(200);
    assert_eq!(world.names("/products/p/apis").await, ["echo-api"]);
    for wrong in [
        json!({}),
        json!({"apiId": "/apis/absent"}),
        json!({"apiId": "/products/p"}),
        json!({"apiId": "other"}),
        json!({"apiId": ""}),
    ] {
        let refused = world.put(link, body(wrong.clone())).await;
        assert_eq!(refused.targets(), ["apiId"], "{wrong}");
    }
    assert_eq!(world.names("/products/p/apis").await, ["echo-api"]);
}

#[tokio::test]
async fn the_link_of_an_api_names_the_api_whichever_revision_is_current() {
    let world = linkable().await;
    let link = "/products/p/apiLinks/mine";
    world
        .put(link, body(json!({"apiId": "/apis/other"})))
        .await
        .expect(201);
    let before = world.get(link).await.expect(200);
    world
        .put(
            "/apis/other;rev=2",
            body(json!({"path": "other", "sourceApiId": "/apis/other"})),
        )
        .await
        .expect(201);
    world
        .put(
            "/apis/other/releases/two",
            body(json!({"apiId": "/apis/other;rev=2"})),
        )
        .await
        .expect(201);
    assert_eq!(world.get(link).await.expect(200), before);
}

#[tokio::test]
async fn to_callers_of_an_older_contract_there_are_no_links() {
    let mut world = linkable().await;
    world.version = "2022-08-01";
    for (_, list, field, target) in WAYS {
        world.get(list).await.expect(404);
        world
            .put(&format!("{list}/mine"), body(json!({field: target})))
            .await
            .expect(404);
    }
}
