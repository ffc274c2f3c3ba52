//! Loggers keep their credentials to themselves.

use crate::world::{World, body};
use engine::{json, sqlx};

const HUB: &str = "Endpoint=sb://calls.example.org/;SharedAccessKey=5ca1ab1e";

#[tokio::test]
async fn a_connection_string_is_sealed_and_stays_when_it_is_sent_back_as_it_was_read() {
    let world = World::new().await;
    let properties = json!({"loggerType": "azureEventHub", "credentials": {"name": "calls", "connectionString": HUB}});
    let created = world
        .put("/loggers/hub", body(properties))
        .await
        .expect(201);
    let shown = &created["properties"]["credentials"];
    assert_eq!(shown["name"], "calls");
    let mask = shown["connectionString"].as_str().expect("a name");
    assert!(mask.starts_with("{{Logger-Credentials-"), "{mask}");
    let again = world
        .put("/loggers/hub", body(created["properties"].clone()))
        .await
        .expect(200);
    assert_eq!(again["properties"], created["properties"]);
    world
        .patch("/loggers/hub", json!({"description": "changed"}))
        .await
        .expect(200);
    let (row, sealed): (String, Vec<u8>) = sqlx::query_as(
        "SELECT to_jsonb(l)::text, sealed_credentials FROM loggers l WHERE name = 'hub'",
    )
    .fetch_one(&world.pool)
    .await
    .expect("a row");
    assert!(!row.contains("5ca1ab1e"), "{row}");
    let kept = world.engine.codec.open(&sealed).expect("a secret");
    assert_eq!(kept.expose(), json!({"connectionString": HUB}).to_string());
}

#[tokio::test]
async fn credentials_that_the_type_needs_are_named_when_they_are_missing() {
    let world = World::new().await;
    let put = async |properties| world.put("/loggers/some", body(properties)).await.targets();
    assert_eq!(
        put(json!({"loggerType": "azureEventHub"})).await,
        ["credentials.name", "credentials.connectionString"]
    );
    assert_eq!(
        put(json!({"loggerType": "applicationInsights", "credentials": {}})).await,
        ["credentials.instrumentationKey"]
    );
    assert_eq!(put(json!({"loggerType": "syslog"})).await, ["loggerType"]);
}

#[tokio::test]
async fn a_logger_in_use_goes_only_by_force_and_takes_its_diagnostics_along() {
    let world = World::new().await;
    let properties = json!({"loggerType": "applicationInsights", "credentials": {"instrumentationKey": "{{key}}"}});
    world
        .put("/loggers/insights", body(properties))
        .await
        .expect(201);
    let uses = json!({"loggerId": "/loggers/insights"});
    for item in [
        "/diagnostics/applicationinsights",
        "/apis/echo-api/diagnostics/applicationinsights",
    ] {
        world.put(item, body(uses.clone())).await.expect(201);
    }
    let refused = world.delete("/loggers/insights").await.expect(409);
    assert_eq!(
        refused["error"]["message"],
        "The logger is used by apis/echo-api/diagnostics/applicationinsights, diagnostics/applicationinsights; \
         force=true deletes it with them."
    );
    world
        .delete("/loggers/insights?force=true")
        .await
        .expect(200);
    assert_eq!(
        world.names("/diagnostics").await,
        Vec::<String>::new(),
        "diagnostics went along"
    );
}
