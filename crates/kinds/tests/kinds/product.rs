//! `products`

use crate::world::{World, body};
use engine::{Method, Value, json};

#[tokio::test]
async fn a_new_product_is_hidden_and_belongs_to_the_administrators() {
    let world = World::new().await;
    let created = world
        .put("/products/sample", body(json!({"displayName": "Sample"})))
        .await
        .expect(201);
    assert_eq!(
        created["properties"],
        json!({"displayName": "Sample", "subscriptionRequired": true, "state": "notPublished"})
    );
    assert_eq!(
        world.names("/products/sample/groups").await,
        ["administrators"]
    );
}

#[tokio::test]
async fn limits_need_subscriptions() {
    let world = World::new().await;
    let open = json!({"displayName": "x", "subscriptionRequired": false, "approvalRequired": true, "subscriptionsLimit": 1});
    assert_eq!(
        world.put("/products/sample", body(open)).await.targets(),
        ["subscriptionsLimit", "approvalRequired"]
    );
    let none = json!({"displayName": "x", "subscriptionsLimit": 0});
    assert_eq!(
        world.put("/products/sample", body(none)).await.targets(),
        ["subscriptionsLimit"]
    );
}

#[tokio::test]
async fn a_product_with_subscriptions_goes_only_on_request() {
    let world = World::new().await;
    assert_eq!(
        world.delete("/products/starter").await.targets(),
        ["deleteSubscriptions"]
    );
    assert_eq!(
        world.names("/products/starter/subscriptions").await.len(),
        1,
        "a refusal deletes nothing"
    );
    world
        .delete("/products/starter?deleteSubscriptions=true")
        .await
        .expect(200);
    assert_eq!(
        world.changes().await,
        ["product_policies", "products", "subscriptions"]
    );
    assert_eq!(world.names("/subscriptions").await.len(), 2);
}

#[tokio::test]
async fn apis_are_added_to_and_removed_from_products() {
    let world = World::new().await;
    world
        .put("/products/sample", body(json!({"displayName": "Sample"})))
        .await
        .expect(201);
    world.changes().await;
    let link = "/products/sample/apis/ECHO-api";
    world.head(link).await.expect(404);
    let added = world
        .send(Method::Put, link, None, Value::Null)
        .await
        .expect(201);
    assert_eq!(added["type"], "Microsoft.ApiManagement/service/apis");
    assert_eq!(added["name"], "echo-api");
    assert_eq!(world.changes().await, ["apis", "products"]);
    world
        .send(Method::Put, link, None, Value::Null)
        .await
        .expect(200);
    world.head(link).await.expect(204);
    assert_eq!(
        world.names("/apis/echo-api/products").await,
        ["sample", "starter", "unlimited"]
    );
    world
        .send(Method::Delete, link, None, Value::Null)
        .await
        .expect(200);
    world
        .send(Method::Delete, link, None, Value::Null)
        .await
        .expect(204);
    world
        .send(
            Method::Put,
            "/products/sample/apis/nowhere",
            None,
            Value::Null,
        )
        .await
        .expect(404);
    world
        .send(
            Method::Put,
            "/apis/echo-api/products/sample",
            None,
            Value::Null,
        )
        .await
        .expect(405);
}
