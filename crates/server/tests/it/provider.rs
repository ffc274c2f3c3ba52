//! What is asked of the provider and its places.

use embedded_postgres::test_database::TestDatabase;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use testkit::Portico;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

#[tokio::test]
async fn a_check_of_connectivity_connects() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "own").await?;
    let path = format!("{service}/connectivityCheck");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let check = async |body: serde_json::Value| {
        portico
            .send(&token, Method::POST, &path, &[], Some(&body))
            .await
    };
    let to = |port: u16| json!({"source": {"region": "westus"}, "destination": {"address": "127.0.0.1", "port": port}, "protocol": "TCP"});

    let open = check(to(port)).await?;
    assert_eq!(open.status.as_u16(), 200, "{open:?}");
    assert_eq!(
        (
            &open.body["connectionStatus"],
            &open.body["probesSent"],
            &open.body["probesFailed"]
        ),
        (&json!("Connected"), &json!(3), &json!(0))
    );
    assert_eq!(open.body["hops"][1]["address"], "127.0.0.1");
    // Over a connection for HTTP goes a request, and its answer counts.
    let answering = tokio::spawn(async move {
        // Those of the check before.
        for _ in 0..3 {
            drop(listener.accept().await?);
        }
        let mut asked = Vec::new();
        for status in [204, 204, 204, 403, 403, 403] {
            let (mut stream, _) = listener.accept().await?;
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await?;
            request.truncate(read);
            asked.push(String::from_utf8_lossy(&request).into_owned());
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await?;
        }
        anyhow::Ok((listener, asked))
    });
    let mut http = to(port);
    http["destination"]["address"] = json!("http://127.0.0.1/health");
    http["protocol"] = json!("HTTP");
    http["protocolConfiguration"] = json!({"HTTPConfiguration": {"method": "POST", "validStatusCodes": [200, 204],
        "headers": [{"name": "X-Probe", "value": "1"}]}});
    let good = check(http.clone()).await?;
    assert_eq!(good.body["connectionStatus"], "Connected", "{good:?}");
    let bad = check(http.clone()).await?;
    assert_eq!(bad.body["connectionStatus"], "Disconnected", "{bad:?}");
    assert_eq!(
        bad.body["hops"][0]["issues"][0]["context"],
        json!([{"reason": "The destination answered with the status 403."}])
    );
    let (listener, asked) = answering.await??;
    for request in asked {
        assert!(
            request.starts_with("POST /health HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("x-probe: 1\r\n"), "{request}");
    }
    http["protocol"] = json!("TCP");
    let wrong = check(http).await?;
    let detail = &wrong.body["error"]["details"][0];
    assert_eq!(detail["target"], "protocolConfiguration", "{wrong:?}");
    // Nobody else gets the port of a listener that is gone within this test's moment.
    drop(listener);
    let closed = check(to(port)).await?;
    assert_eq!(
        (
            &closed.body["connectionStatus"],
            &closed.body["probesFailed"]
        ),
        (&json!("Disconnected"), &json!(3)),
        "{closed:?}"
    );
    let wrong = check(json!({"destination": {"port": 0}, "protocol": "UDP"})).await?;
    let targets: Vec<&str> = wrong.body["error"]["details"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|detail| detail["target"].as_str())
        .collect();
    assert_eq!(
        targets,
        [
            "source.region",
            "destination.address",
            "destination.port",
            "protocol"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_operation_is_found_by_its_region_too() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "own").await?;
    let pool = database.pool();
    let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM long_operations")
        .fetch_one(&pool)
        .await?;
    let get = async |path: &str| portico.send(&token, Method::GET, path, &[], None).await;
    let status = get(&format!(
        "{PROVIDER}/locations/westus/operationStatuses/{id}"
    ))
    .await?;
    assert_eq!(
        (status.status.as_u16(), &status.body["status"]),
        (200, &json!("Succeeded"))
    );
    let result = get(&format!(
        "{PROVIDER}/locations/WestUS/operationResults/{id}"
    ))
    .await?;
    assert_eq!(
        (result.status.as_u16(), &result.body["name"]),
        (200, &json!("own")),
        "{service}"
    );
    let elsewhere = get(&format!(
        "{PROVIDER}/locations/eastus/operationStatuses/{id}"
    ))
    .await?;
    assert_eq!(elsewhere.status.as_u16(), 404);
    Ok(())
}
