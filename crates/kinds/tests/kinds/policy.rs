//! `policies` at every scope

use crate::world::{World, body};
use engine::json;

#[tokio::test]
async fn every_mistake_in_a_policy_is_named_with_its_place() {
    let world = World::new().await;
    let wrong = "<policies>\n<inbound>\n<rate-limit calls=\"many\" renewal-period=\"60\" />\n<nonsense />\n</inbound>\n</policies>";
    let refused = world
        .put(
            "/products/starter/policies/policy",
            body(json!({"value": wrong})),
        )
        .await
        .expect(400);
    let details: Vec<(&str, &str)> = refused["error"]["details"]
        .as_array()
        .expect("details")
        .iter()
        .map(|detail| {
            (
                detail["target"].as_str().unwrap_or_default(),
                detail["message"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(details.len(), 2, "{details:?}");
    assert!(
        details[0].0 == "value" && details[0].1.contains("line 3"),
        "{details:?}"
    );
    assert!(
        details[1].0 == "value" && details[1].1.contains("line 4"),
        "{details:?}"
    );
}

#[tokio::test]
async fn a_fragment_that_does_not_exist_is_refused() {
    let world = World::new().await;
    let value = "<policies><inbound><include-fragment fragment-id=\"common\" /><base /></inbound></policies>";
    let refused = world
        .put(
            "/apis/echo-api/policies/policy",
            body(json!({"value": value})),
        )
        .await
        .expect(400);
    let message = refused["error"]["details"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("common"), "{message}");

    let fragment = "<fragment><set-method>POST</set-method></fragment>";
    world
        .put("/policyFragments/common", body(json!({"value": fragment})))
        .await
        .expect(201);
    world
        .put(
            "/apis/echo-api/policies/policy",
            body(json!({"value": value})),
        )
        .await
        .expect(200);
    let used = world.delete("/policyFragments/common").await.expect(400);
    let message = used["error"]["details"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(
        message.contains("/apis/echo-api/policies/policy"),
        "{message}"
    );
}

#[tokio::test]
async fn a_document_comes_back_indented_and_in_the_format_that_is_asked_for() {
    let world = World::new().await;
    let raw = "<policies><inbound><!-- why --><set-variable name=\"v\" value=\"@(1 < 2 ? \"a\" : \"b\")\" /><base /></inbound></policies>";
    let put = world
        .put(
            "/apis/echo-api/policies/policy",
            body(json!({"value": raw, "format": "rawxml"})),
        )
        .await;
    assert_eq!(put.expect(200)["properties"]["format"], "rawxml");
    let asked = async |format: &str| {
        let got = world
            .get(&format!("/apis/echo-api/policies/policy{format}"))
            .await
            .expect(200);
        got["properties"]["value"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    let shown = asked("?format=rawxml").await;
    assert!(
        shown.contains("\r\n\t\t<!-- why -->") && shown.contains("@(1 < 2 ? \"a\" : \"b\")"),
        "{shown}"
    );
    let escaped = asked("").await;
    assert!(
        escaped.contains("@(1 &lt; 2 ? &quot;a&quot; : &quot;b&quot;)"),
        "{escaped}"
    );
    // What was read can be written back and means the same.
    world
        .put(
            "/apis/echo-api/policies/policy",
            body(json!({"value": escaped})),
        )
        .await
        .expect(200);
    assert_eq!(asked("?format=rawxml").await, shown);
    assert_eq!(
        world
            .get("/apis/echo-api/policies/policy?format=yaml")
            .await
            .targets(),
        ["format"]
    );
}

#[tokio::test]
async fn links_are_refused_until_they_are_fetched() {
    let world = World::new().await;
    for format in ["xml-link", "rawxml-link"] {
        let link = json!({"value": "https://example.org/policy.xml", "format": format});
        assert_eq!(
            world.put("/policies/policy", body(link)).await.targets(),
            ["format"]
        );
    }
}

#[tokio::test]
async fn the_documents_of_a_new_service_can_be_written_back() {
    let world = World::new().await;
    for scope in [
        "",
        "/products/starter",
        "/apis/echo-api",
        "/apis/echo-api/operations/retrieve-resource-cached",
    ] {
        let item = format!("{scope}/policies/policy");
        let read = world.get(&item).await.expect(200);
        let written = world.put(&item, read.clone()).await.expect(200);
        assert_eq!(written, read, "{item}");
    }
    let missing = world
        .get("/products/unlimited/policies/policy")
        .await
        .expect(404);
    assert_eq!(
        missing["error"]["message"],
        "PoliciesConfiguration not found."
    );
}
