//! What is asked of the provider and its places.

use embedded_postgres::test_database::TestDatabase;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
const PROVIDER: &str =
    "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.ApiManagement";

#[tokio::test]
async fn operations_tiers_domains_and_regions_are_told() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "own").await?;
    let get = async |path: &str| portico.send(&token, Method::GET, path, &[], None).await;

    let operations = get("/providers/Microsoft.ApiManagement/operations").await?;
    let names: BTreeSet<&str> = operations.body["value"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|operation| operation["name"].as_str())
        .collect();
    for wanted in [
        "Microsoft.ApiManagement/service/apis/operations/write",
        "Microsoft.ApiManagement/service/products/apis/delete",
        "Microsoft.ApiManagement/service/subscriptions/listSecrets/action",
    ] {
        assert!(names.contains(wanted), "{wanted} is not in {names:?}");
    }

    let skus = get(&format!("{PROVIDER}/skus")).await?;
    assert_eq!(
        skus.body["value"][0],
        json!({"resourceType": "service", "name": "Developer", "locations": ["westus"],
               "locationInfo": [{"location": "westus", "zones": [], "zoneDetails": []}],
               "capacity": {"minimum": 1, "maximum": 1, "default": 1, "scaleType": "None"}, "restrictions": []})
    );

    let owner = format!("{PROVIDER}/getDomainOwnershipIdentifier");
    let first = portico
        .send(&token, Method::POST, &owner, &[], None)
        .await?;
    let second = portico
        .send(&token, Method::POST, &owner, &[], None)
        .await?;
    assert_eq!(first.body, second.body);
    assert_eq!(
        first.body["domainOwnershipIdentifier"]
            .as_str()
            .map(str::len),
        Some(44)
    );

    let here = get(&format!("{service}/locations/westus/networkstatus")).await?;
    assert_eq!(
        here.body["connectivityStatus"][0]["resourceType"], "Postgres",
        "{here:?}"
    );
    let absent = service.replace("/own", "/absent");
    let absent = get(&format!("{absent}/locations/westus/networkstatus")).await?;
    assert_eq!(absent.status.as_u16(), 404);
    Ok(())
}
