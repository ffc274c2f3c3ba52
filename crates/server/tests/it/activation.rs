//! `kill -9` of Portico in the middle of filling a new service.

use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use testkit::{GROUP, Portico};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

#[tokio::test]
async fn an_activation_that_is_killed_in_the_middle_finishes_after_the_restart()
-> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let pool = database.pool();
    // The job writes this table among the last ones: it stops there, with most of its work done.
    let mut lock = pool.begin().await?;
    sqlx::query("LOCK TABLE tenant_access IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await?;
    let path = format!("{GROUP}/service/halfway");
    let body = json!({
        "location": "West US", "sku": {"name": "Developer", "capacity": 1},
        "properties": {"publisherEmail": "publisher@example.org", "publisherName": "halfway"}
    });
    let created = portico
        .send(&token, Method::PUT, &path, &[], Some(&body))
        .await?;
    assert_eq!(created.status.as_u16(), 201, "{created:?}");
    let operation = created.headers["azure-asyncoperation"]
        .to_str()?
        .replace(&portico.management_url, "");
    let mut stopped = false;
    for _ in 0..1200 {
        stopped = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'tenant_access'::regclass)",
        )
        .fetch_one(&pool)
        .await?;
        if stopped {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(stopped, "the activation did not reach the locked table");
    portico.kill().await?;
    lock.rollback().await?;
    // Nothing of the broken run is visible: one transaction writes it all.
    let products: i64 = sqlx::query_scalar("SELECT count(*) FROM products")
        .fetch_one(&pool)
        .await?;
    assert_eq!(products, 0);

    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let mut status = json!(null);
    for _ in 0..1200 {
        let polled = portico
            .send(&token, Method::GET, &operation, &[], None)
            .await?;
        status = polled.body["status"].clone();
        if status != "InProgress" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, "Succeeded");
    for (list, count) in [("products", 2), ("apis", 1), ("groups", 3), ("mails", 1)] {
        let items = portico
            .send(&token, Method::GET, &format!("{path}/{list}"), &[], None)
            .await?;
        let found = items.body["value"].as_array().context("no list")?.len();
        assert_eq!(found, count, "{list}");
    }
    Ok(())
}
