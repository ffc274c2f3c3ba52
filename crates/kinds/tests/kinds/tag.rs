//! `tags`, and tags of APIs, operations and products

use crate::world::{World, body};
use engine::{Method, Value, json};

#[tokio::test]
async fn a_tag_is_put_on_apis_operations_and_products_and_taken_off() {
    let world = World::new().await;
    world
        .put("/tags/ml", body(json!({"displayName": "machine learning"})))
        .await
        .expect(201);
    for owner in [
        "/apis/echo-api",
        "/apis/echo-api/operations/create-resource",
        "/products/starter",
    ] {
        let item = format!("{owner}/tags/ml");
        world.head(&item).await.expect(404);
        let put = world.put(&item, Value::Null).await.expect(201);
        assert_eq!(
            put["properties"],
            json!({"displayName": "machine learning"})
        );
        world.put(&item, Value::Null).await.expect(200);
        let head = world.head(&item).await;
        assert_eq!(
            (head.status, head.header("ETag").is_some()),
            (200, true),
            "{item}"
        );
        assert_eq!(world.get(&item).await.expect(200), put);
        assert_eq!(world.names(&format!("{owner}/tags")).await, ["ml"]);
        world
            .send(Method::Delete, &item, None, Value::Null)
            .await
            .expect(200);
        world
            .send(Method::Delete, &item, None, Value::Null)
            .await
            .expect(204);
    }
}

#[tokio::test]
async fn describing_a_tag_puts_it_on_the_api() {
    let world = World::new().await;
    let description = body(json!({"description": "Everything that learns."}));
    world
        .put("/apis/echo-api/tagDescriptions/ml", description.clone())
        .await
        .expect(404);
    world
        .put("/tags/ml", body(json!({"displayName": "machine learning"})))
        .await
        .expect(201);
    let put = world
        .put("/apis/echo-api/tagDescriptions/ml", description)
        .await
        .expect(201);
    assert_eq!(put["properties"]["displayName"], "machine learning");
    assert_eq!(world.names("/apis/echo-api/tags").await, ["ml"]);
}

#[tokio::test]
async fn a_list_comes_in_the_order_that_is_asked_for_page_by_page() {
    let world = World::new().await;
    for (name, title) in [("a", "Zebra"), ("b", "apple"), ("c", "Mango")] {
        world
            .put(
                &format!("/tags/{name}"),
                body(json!({"displayName": title})),
            )
            .await
            .expect(201);
    }
    assert_eq!(
        world.names("/tags?$orderby=displayName").await,
        ["b", "c", "a"]
    );
    assert_eq!(
        world
            .names("/tags?$orderby=properties/displayName desc")
            .await,
        ["a", "c", "b"]
    );
    let first = world
        .get("/tags?$orderby=displayName&$top=2")
        .await
        .expect(200);
    let link = first["nextLink"].as_str().unwrap_or_default();
    assert!(link.contains("$skip=2"), "{first}");
    assert_eq!(
        world
            .names("/tags?$orderby=displayName&$top=2&$skip=2")
            .await,
        ["a"]
    );
    let refused = world.get("/tags?$orderby=colour").await.expect(400);
    assert_eq!(refused["error"]["details"][0]["target"], "$orderby");
}
