//! `wikis` of APIs and products

use crate::world::{World, body};
use engine::json;

#[tokio::test]
async fn a_wiki_gathers_pages_that_exist() {
    let world = World::new().await;
    let page = body(json!({"title": "Getting started", "content": "Ask for a key."}));
    world.put("/documentations/start", page).await.expect(201);
    for owner in ["/apis/echo-api", "/products/starter"] {
        let item = format!("{owner}/wikis/default");
        let unknown = body(
            json!({"documents": [{"documentationId": "start"}, {"documentationId": "nowhere"}]}),
        );
        assert_eq!(
            world.put(&item, unknown).await.targets(),
            ["documents[1].documentationId"]
        );
        let wiki = body(json!({"documents": [{"documentationId": "start"}]}));
        let put = world.put(&item, wiki).await.expect(201);
        assert_eq!(
            put["properties"]["documents"],
            json!([{"documentationId": "start"}])
        );
        assert_eq!(world.names(&format!("{owner}/wikis")).await, ["default"]);
    }
}
