//! What went through the gateway is in the reports.

use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
const ALWAYS: &str = "$filter=timestamp ge datetime'2020-01-01T00:00:00' and timestamp le datetime'2100-01-01T00:00:00'";

#[tokio::test]
async fn calls_are_counted_by_api_operation_product_subscription_and_time() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "reported").await?;
    let send = async |method: Method, path: &str, body: Option<Value>| {
        portico
            .send(
                &token,
                method,
                &format!("{service}{path}"),
                &[],
                body.as_ref(),
            )
            .await
    };
    let subscription = json!({"properties": {"scope": "/products/unlimited", "displayName": "Ann", "state": "active", "ownerId": "/users/1"}});
    assert_eq!(
        send(Method::PUT, "/subscriptions/ann", Some(subscription))
            .await?
            .status,
        StatusCode::CREATED
    );
    let keys = send(Method::POST, "/subscriptions/ann/listSecrets", None)
        .await?
        .body;
    let key = keys["primaryKey"].as_str().unwrap_or_default().to_owned();
    let shown = send(Method::GET, "", None).await?.body;
    let gateway = shown["properties"]["gatewayUrl"]
        .as_str()
        .unwrap_or_default()
        .to_owned();

    let client = Client::new();
    for _ in 0..3 {
        let reply = client
            .get(format!("{gateway}/echo/resource?param1=x"))
            .header("Ocp-Apim-Subscription-Key", &key)
            .send()
            .await?;
        assert_eq!(reply.status(), StatusCode::OK);
        reply.bytes().await?;
    }
    let refused = client
        .get(format!("{gateway}/echo/resource?param1=x"))
        .send()
        .await?;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    let mut by_api = Value::Null;
    for _ in 0..100 {
        by_api = send(Method::GET, &format!("/reports/byApi?{ALWAYS}"), None)
            .await?
            .body;
        if by_api["value"][0]["callCountTotal"] == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let row = &by_api["value"][0];
    assert_eq!(
        (
            &row["name"],
            &row["apiId"],
            &row["callCountSuccess"],
            &row["callCountBlocked"],
            &row["callCountTotal"]
        ),
        (
            &json!("Echo API"),
            &json!("/apis/echo-api"),
            &json!(3),
            &json!(1),
            &json!(4)
        ),
        "{by_api}"
    );
    assert!(
        row["apiTimeAvg"].as_f64() > Some(0.0) && row["serviceTimeMax"].as_f64() > Some(0.0),
        "{row}"
    );

    let filtered = format!("{ALWAYS} and subscriptionId eq '/subscriptions/ann'");
    for (report, field, value) in [
        (
            "byOperation",
            "operationId",
            "/apis/echo-api/operations/retrieve-resource",
        ),
        ("byProduct", "productId", "/products/unlimited"),
        ("bySubscription", "subscriptionId", "/subscriptions/ann"),
        ("byUser", "userId", "/users/1"),
    ] {
        let rows = send(Method::GET, &format!("/reports/{report}?{filtered}"), None)
            .await?
            .body;
        assert_eq!(
            (&rows["count"], &rows["value"][0][field]),
            (&json!(1), &json!(value)),
            "{report}: {rows}"
        );
        assert_eq!(rows["value"][0]["callCountTotal"], 3, "{report}");
    }
    let by_geo = send(Method::GET, &format!("/reports/byGeo?{filtered}"), None)
        .await?
        .body;
    assert_eq!(by_geo["value"][0]["callCountTotal"], 3, "{by_geo}");
    let by_time = send(
        Method::GET,
        &format!("/reports/byTime?interval=P1D&{ALWAYS}"),
        None,
    )
    .await?
    .body;
    assert_eq!(by_time["value"][0]["interval"], "PT1440M");
    let single = send(
        Method::GET,
        &format!("/reports/byRequest?$top=2&{ALWAYS}"),
        None,
    )
    .await?
    .body;
    assert_eq!(single["count"], 2);
    assert!(
        single["nextLink"]
            .as_str()
            .is_some_and(|link| link.contains("skip=2")),
        "{single}"
    );
    assert_eq!(
        single["value"][0]["responseCode"], 401,
        "the newest comes first"
    );

    let latency = send(Method::GET, &format!("/reports/byLatency?{ALWAYS}"), None)
        .await?
        .body;
    let row = &latency["value"][0];
    assert_eq!(
        (&latency["count"], &row["callCountTotal"]),
        (&json!(1), &by_time["value"][0]["callCountTotal"]),
        "{latency}"
    );
    let times: Vec<f64> = ["apiTimeP50", "apiTimeP90", "apiTimeP95", "apiTimeP99"]
        .iter()
        .filter_map(|name| row[name].as_f64())
        .collect();
    assert!(times.len() == 4 && times.is_sorted(), "{row}");
    let by_day = send(
        Method::GET,
        &format!("/reports/byLatency?interval=P1D&{ALWAYS}"),
        None,
    )
    .await?
    .body;
    assert_eq!(
        by_day["value"][0]["timestamp"],
        by_time["value"][0]["timestamp"]
    );

    for (query, target) in [
        ("", "$filter"),
        ("$filter=timestamp like 1", "$filter"),
        (&*format!("{ALWAYS}&interval=PT7M"), "interval"),
    ] {
        let refused = send(Method::GET, &format!("/reports/byTime?{query}"), None).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let targets: Vec<&Value> = refused.body["error"]["details"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|d| &d["target"])
            .collect();
        assert!(targets.contains(&&json!(target)), "{query}: {targets:?}");
    }
    Ok(())
}
