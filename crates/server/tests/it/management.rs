//! The first steps of a publisher over plain HTTP.

use embedded_postgres::test_database::TestDatabase;
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{GROUP, Portico};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

#[tokio::test]
async fn a_service_is_created_filled_and_deleted() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "demoazureml").await?;

    let apis = portico
        .send(&token, Method::GET, &format!("{service}/apis"), &[], None)
        .await?;
    assert_eq!(
        (apis.status, apis.body["count"].as_i64()),
        (StatusCode::OK, Some(1))
    );
    assert_eq!(apis.body["value"][0]["name"], "echo-api");

    let taken = portico
        .send(
            &token,
            Method::POST,
            "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.ApiManagement/checkNameAvailability",
            &[],
            Some(&json!({"name": "DEMOAZUREML"})),
        )
        .await?;
    assert_eq!(
        taken.body,
        json!({"nameAvailable": false, "reason": "AlreadyExists", "message": "The service name 'DEMOAZUREML' is already in use."})
    );

    let deleted = portico
        .send(&token, Method::DELETE, &service, &[], None)
        .await?;
    assert_eq!(deleted.status, StatusCode::OK);
    let gone = portico
        .send(&token, Method::GET, &service, &[], None)
        .await?;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_bad_body_names_every_violation_and_changes_nothing() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let path = format!("{GROUP}/service/wrong");
    let body = json!({
        "sku": {"name": "Gigantic"},
        "colour": "blue",
        "properties": {"publisherEmail": "nobody", "depth": 3}
    });
    let refused = portico
        .send(&token, Method::PUT, &path, &[], Some(&body))
        .await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.body["error"]["code"], "ValidationError");
    let mut targets: Vec<&str> = refused.body["error"]["details"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|detail| detail["target"].as_str())
        .collect();
    targets.sort_unstable();
    assert_eq!(
        targets,
        [
            "colour",
            "location",
            "properties.depth",
            "publisherName",
            "sku.name"
        ]
    );
    let absent = portico.send(&token, Method::GET, &path, &[], None).await?;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    Ok(())
}
