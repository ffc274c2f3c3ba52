//! Two Porticos on one Postgres.

use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::{API_VERSION, GROUP, Portico};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
/// Changes that the other is to serve.
const ROUNDS: usize = 6;

#[tokio::test]
async fn a_write_through_one_is_served_by_the_other() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let (one, two) = (
        Portico::start(BINARY, &database, &[]).await?,
        Portico::start(BINARY, &database, &[]).await?,
    );
    let token = one.token().await?;
    let service = one.service(&token, "pair").await?;
    let subscription = format!("{service}/subscriptions/ann");
    let state = |state: &str| json!({"properties": {"scope": "/apis", "displayName": "Ann", "state": state, "primaryKey": "key-of-ann"}});
    one.send(
        &token,
        Method::PUT,
        &subscription,
        &[],
        Some(&state("suspended")),
    )
    .await?;
    // The other's gateway, by the service's name: addresses of two processes on one machine differ by port only.
    let url = format!(
        "http://127.0.0.1:{}/echo/resource?param1=x",
        two.gateway_port
    );
    let client = Client::new();
    let call = async || -> anyhow::Result<StatusCode> {
        let reply = client
            .get(&url)
            .header("Host", "pair.localhost")
            .header("Ocp-Apim-Subscription-Key", "key-of-ann")
            .send()
            .await?;
        Ok(reply.status())
    };
    for round in 0..ROUNDS {
        let (wanted, status) = if round % 2 == 0 {
            ("active", StatusCode::OK)
        } else {
            ("suspended", StatusCode::UNAUTHORIZED)
        };
        one.send(
            &token,
            Method::PUT,
            &subscription,
            &[],
            Some(&state(wanted)),
        )
        .await?;
        let written = Instant::now();
        while call().await? != status {
            anyhow::ensure!(
                written.elapsed() < Duration::from_secs(30),
                "round {round}: not served"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_operation_is_polled_at_either_and_its_job_runs_once() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let (one, two) = (
        Portico::start(BINARY, &database, &[]).await?,
        Portico::start(BINARY, &database, &[]).await?,
    );
    let token = one.token().await?;
    for at in 0..5 {
        let path = format!("{GROUP}/service/shared{at}");
        let body = json!({
            "location": "West US", "sku": {"name": "Developer", "capacity": 1},
            "properties": {"publisherEmail": "publisher@example.org", "publisherName": "shared"}
        });
        let created = one
            .send(&token, Method::PUT, &path, &[], Some(&body))
            .await?;
        let operation = created.headers["azure-asyncoperation"]
            .to_str()?
            .replace(&one.management_url, "");
        let mut status = json!(null);
        for _ in 0..200 {
            // A token of one replica is good at the other.
            status = two
                .send(&token, Method::GET, &operation, &[], None)
                .await?
                .body["status"]
                .clone();
            if status == "Succeeded" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(status, "Succeeded");
        let result = operation.replace("operationStatuses", "operationresults");
        let resource = two.send(&token, Method::GET, &result, &[], None).await?;
        assert_eq!(
            resource.body["properties"]["provisioningState"],
            "Succeeded"
        );
        let mails = two
            .send(
                &token,
                Method::GET,
                &format!("{path}/mails?api-version={API_VERSION}"),
                &[],
                None,
            )
            .await?;
        assert_eq!(mails.body["count"], 1, "one welcome mail: {mails:?}");
    }
    Ok(())
}

#[tokio::test]
async fn of_two_clients_with_the_same_etag_exactly_one_wins() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let (one, two) = (
        Portico::start(BINARY, &database, &[]).await?,
        Portico::start(BINARY, &database, &[]).await?,
    );
    let token = one.token().await?;
    let service = one.service(&token, "race").await?;
    let product = format!("{service}/products/starter");
    for round in 0..20 {
        let etag = one
            .send(&token, Method::GET, &product, &[], None)
            .await?
            .headers["etag"]
            .to_str()?
            .to_owned();
        let headers = [("If-Match", etag.as_str())];
        let body = |who: &str| json!({"properties": {"description": format!("{who} {round}")}});
        let (mine, theirs) = (body("one"), body("two"));
        let (a, b) = tokio::join!(
            one.send(&token, Method::PATCH, &product, &headers, Some(&mine)),
            two.send(&token, Method::PATCH, &product, &headers, Some(&theirs)),
        );
        let (a, b) = (a?, b?);
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "round {round}");
        let winner = if a.status.as_u16() == 200 { a } else { b };
        let stored = two.send(&token, Method::GET, &product, &[], None).await?;
        assert_eq!(
            stored.body["properties"]["description"],
            winner.body["properties"]["description"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn of_many_creates_of_one_name_exactly_one_creates() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "race").await?;
    let body = json!({"properties": {"displayName": "Same"}});
    let path = format!("{service}/products/same");
    let puts = (0..50).map(|_| portico.send(&token, Method::PUT, &path, &[], Some(&body)));
    let mut created = 0;
    for answer in futures_util::future::join_all(puts).await {
        match answer?.status.as_u16() {
            201 => created += 1,
            200 => {}
            other => anyhow::bail!("a create was answered {other}"),
        }
    }
    assert_eq!(created, 1);
    Ok(())
}

#[tokio::test]
async fn fifty_writers_of_one_service_need_no_more_than_the_current_etag() -> anyhow::Result<()> {
    const WRITERS: usize = 50;
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "crowd").await?;
    let shared = format!("{service}/products/starter");
    let writer = async |writer: usize| -> anyhow::Result<()> {
        // One's own: nobody else's write is in the way.
        let own = format!("{service}/products/own-{writer}");
        let body = json!({"properties": {"displayName": format!("Own {writer}")}});
        let created = portico
            .send(&token, Method::PUT, &own, &[], Some(&body))
            .await?;
        anyhow::ensure!(created.status == StatusCode::CREATED, "{created:?}");
        // Everybody's: whoever comes late reads again.
        for _ in 0..=WRITERS {
            let read = portico
                .send(&token, Method::GET, &shared, &[], None)
                .await?;
            let headers = [("If-Match", read.headers["etag"].to_str()?)];
            let body = json!({"properties": {"description": format!("by {writer}")}});
            let written = portico
                .send(&token, Method::PATCH, &shared, &headers, Some(&body))
                .await?;
            match written.status {
                StatusCode::OK => return Ok(()),
                StatusCode::PRECONDITION_FAILED => {}
                _ => anyhow::bail!("{written:?}"),
            }
        }
        // Each failure is another writer's success, of which there are fewer.
        anyhow::bail!("writer {writer} never got through")
    };
    futures_util::future::try_join_all((0..WRITERS).map(writer)).await?;
    let etag = portico
        .send(&token, Method::GET, &shared, &[], None)
        .await?
        .headers["etag"]
        .to_str()?
        .to_owned();
    assert_eq!(engine::etag(1 + WRITERS as i64), etag);
    Ok(())
}
