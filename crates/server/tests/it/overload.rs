//! When records of calls cannot be written as fast as calls come, the records give way.

use anyhow::{Context as _, Result};
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use std::time::{Duration, Instant};
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
/// Longest that anything may take on a busy machine before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
const QUEUE: u64 = 8;
const DROPPED: u64 = 20;

/// Records that the process has dropped, as it says.
async fn dropped(client: &Client, portico: &Portico) -> Result<u64> {
    let text = client
        .get(format!("{}/metrics", portico.management_url))
        .send()
        .await?
        .text()
        .await?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("portico_telemetry_dropped_total "));
    Ok(line.map_or(Ok(0), str::parse)?)
}

#[tokio::test]
async fn while_records_cannot_be_written_calls_are_answered_and_what_is_dropped_is_counted()
-> Result<()> {
    let database = TestDatabase::create().await?;
    let queue = QUEUE.to_string();
    let environment = [("PORTICO_GATEWAY_TELEMETRY_QUEUE", queue.as_str())];
    let portico = Portico::start(BINARY, &database, &environment).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "flooded").await?;
    let open = json!({"properties": {"subscriptionRequired": false}});
    let opened = portico
        .send(
            &token,
            Method::PATCH,
            &format!("{service}/apis/echo-api"),
            &[("If-Match", "*")],
            Some(&open),
        )
        .await?;
    anyhow::ensure!(opened.status.is_success(), "{opened:?}");
    let client = Client::new();
    let url = format!(
        "http://127.0.0.1:{}/echo/resource?param1=x",
        portico.gateway_port
    );
    let call = async || -> Result<u16> {
        let request = client.get(&url).header("Host", "flooded.localhost");
        let reply = request.send().await?;
        let status = reply.status().as_u16();
        reply.bytes().await?;
        Ok(status)
    };
    let mut connection = PgConnection::connect(&database.url()).await?;
    let written = async |connection: &mut PgConnection| -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM calls")
            .fetch_one(connection)
            .await?;
        Ok(u64::try_from(count)?)
    };
    assert_eq!(call().await?, 200);
    let began = Instant::now();
    while written(&mut connection).await? == 0 {
        anyhow::ensure!(began.elapsed() < LIMIT, "the first record never comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Whoever writes records waits for this lock.
    let mut lock = connection.begin().await?;
    sqlx::query("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await?;
    let mut calls = 1;
    let began = Instant::now();
    // The writer holds a batch; then the queue fills, and then there is no room.
    while dropped(&client, &portico).await? < DROPPED {
        for _ in 0..QUEUE {
            assert_eq!(call().await?, 200, "calls do not wait for their records");
            calls += 1;
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "nothing is dropped");
    }
    lock.rollback().await?;

    // What was not dropped is written, all of it.
    let began = Instant::now();
    loop {
        let (kept, lost) = (
            written(&mut connection).await?,
            dropped(&client, &portico).await?,
        );
        if kept + lost == calls {
            assert!(lost >= DROPPED && kept > QUEUE, "{kept} {lost}");
            break;
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "{kept} kept, {lost} dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = client
        .get(format!("{}/metrics", portico.management_url))
        .send()
        .await?
        .text()
        .await?;
    let used = metrics
        .lines()
        .find(|line| line.starts_with(r#"portico_gateway_backend_connections{state="idle"}"#))
        .context("no gauge of connections")?;
    assert!(
        used.rsplit(' ')
            .next()
            .is_some_and(|n| n.parse::<f64>().is_ok()),
        "{used}"
    );
    Ok(())
}
