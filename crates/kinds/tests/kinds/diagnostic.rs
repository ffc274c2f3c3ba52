//! Diagnostics of services and APIs.

use crate::world::{SERVICE, World, body};
use engine::json;

#[tokio::test]
async fn everything_that_the_contract_knows_is_kept_as_given() {
    let world = World::new().await;
    let side = json!({
        "request": {"headers": ["Content-type"], "body": {"bytes": 512},
                    "dataMasking": {"queryParams": [{"value": "sig", "mode": "Hide"}], "headers": [{"value": "Cookie", "mode": "Mask"}]}},
        "response": {"headers": [], "body": {"bytes": 8192}}
    });
    let properties = json!({
        "alwaysLog": "allErrors", "loggerId": "/loggers/azuremonitor", "sampling": {"samplingType": "fixed", "percentage": 12.5},
        "frontend": side, "backend": side, "logClientIp": true, "httpCorrelationProtocol": "W3C", "verbosity": "verbose",
        "operationNameFormat": "Url", "metrics": true
    });
    for item in [
        "/diagnostics/azuremonitor",
        "/apis/echo-api/diagnostics/azuremonitor",
    ] {
        let created = world.put(item, body(properties.clone())).await.expect(201);
        let mut wanted = properties.clone();
        wanted["loggerId"] = json!(format!("{SERVICE}/loggers/azuremonitor"));
        assert_eq!(created["properties"], wanted, "{item}");
    }
}

#[tokio::test]
async fn every_value_out_of_range_is_named() {
    let world = World::new().await;
    let properties = json!({
        "loggerId": "/loggers/azuremonitor", "sampling": {"percentage": 101},
        "frontend": {"request": {"body": {"bytes": 8193}}}, "backend": {"response": {"body": {"bytes": -1}}}
    });
    let put = world.put("/diagnostics/some", body(properties)).await;
    assert_eq!(
        put.targets(),
        [
            "sampling.percentage",
            "frontend.request.body.bytes",
            "backend.response.body.bytes"
        ]
    );
    let put = world
        .put(
            "/diagnostics/some",
            body(json!({"loggerId": "/loggers/absent"})),
        )
        .await;
    assert_eq!(put.targets(), ["loggerId"]);
}
