//! `apiVersionSets`

use crate::world::{World, body};
use engine::json;

#[tokio::test]
async fn a_scheme_needs_the_name_of_its_parameter() {
    let world = World::new().await;
    for (scheme, field) in [
        ("Query", "versionQueryName"),
        ("Header", "versionHeaderName"),
    ] {
        let set = body(json!({"displayName": "Versions", "versioningScheme": scheme}));
        assert_eq!(
            world.put("/apiVersionSets/demo", set).await.targets(),
            [field]
        );
    }
}

#[tokio::test]
async fn a_set_with_apis_stays() {
    let world = World::new().await;
    let set = body(json!({"displayName": "Versions", "versioningScheme": "Segment"}));
    world.put("/apiVersionSets/demo", set).await.expect(201);
    let api = body(json!({
        "displayName": "Demo", "path": "demo", "apiVersion": "v1", "apiVersionSetId": "/apiVersionSets/demo"
    }));
    world.put("/apis/demo-v1", api).await.expect(201);
    assert_eq!(
        world.delete("/apiVersionSets/demo").await.targets(),
        ["versionSetId"]
    );
    world.delete("/apis/demo-v1").await.expect(204);
    world.delete("/apiVersionSets/demo").await.expect(200);
}
