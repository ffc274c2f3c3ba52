//! Content of the developer portal.

use crate::world::{World, body};
use engine::{Value, json};

#[tokio::test]
async fn an_items_properties_are_what_was_given() {
    let world = World::new().await;
    let kind = json!({"name": "Page", "schema": {"properties": {"en_us": {"type": "object"}}}, "version": "1.0.0"});
    let created = world
        .put("/contentTypes/page", body(kind.clone()))
        .await
        .expect(201);
    assert_eq!(created["name"], "page");
    assert_eq!(created["properties"], kind);
    let properties = json!({"en_us": {"title": "About", "order": 3, "tags": ["a", null]}});
    let item = world
        .put(
            "/contentTypes/page/contentItems/about",
            body(properties.clone()),
        )
        .await
        .expect(201);
    assert_eq!(item["properties"], properties);
    let list = world
        .get("/contentTypes/page/contentItems")
        .await
        .expect(200);
    assert_eq!(list["value"], json!([item]));
    // A PUT replaces all of them.
    let item = world
        .put("/contentTypes/page/contentItems/about", body(json!({})))
        .await
        .expect(200);
    assert_eq!(item["properties"], json!({}));
}

#[tokio::test]
async fn properties_that_are_no_object_are_refused() {
    let world = World::new().await;
    world
        .put("/contentTypes/page", body(json!({})))
        .await
        .expect(201);
    for wrong in [json!([1]), json!("text"), json!(1)] {
        let put = world
            .put("/contentTypes/page/contentItems/some", body(wrong.clone()))
            .await;
        assert_eq!(put.targets(), ["properties"], "{wrong}");
    }
    let put = world
        .put("/contentTypes/other", body(json!({"schema": 1})))
        .await;
    assert_eq!(put.targets(), ["schema"]);
    assert_eq!(
        world
            .get("/contentTypes/page/contentItems")
            .await
            .expect(200)["value"],
        Value::Array(Vec::new())
    );
}
