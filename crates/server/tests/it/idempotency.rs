//! `Idempotency-Key`

use crate::permissions::token_with;
use embedded_postgres::test_database::TestDatabase;
use reqwest::Method;
use serde_json::json;
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

#[tokio::test]
async fn a_repeated_request_gets_the_first_reply_and_another_one_is_refused() -> anyhow::Result<()>
{
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "once").await?;
    let path = format!("{service}/products/gold");
    let key = [("Idempotency-Key", "create-gold")];
    let body = json!({"properties": {"displayName": "Gold"}});
    let first = portico
        .send(&token, Method::PUT, &path, &key, Some(&body))
        .await?;
    assert_eq!(first.status.as_u16(), 201);
    let again = portico
        .send(&token, Method::PUT, &path, &key, Some(&body))
        .await?;
    assert_eq!((again.status.as_u16(), &again.body), (201, &first.body));
    assert_eq!(again.headers["etag"], first.headers["etag"]);
    assert_eq!(again.headers["idempotency-replayed"], "true");

    let other = json!({"properties": {"displayName": "Silver"}});
    let refused = portico
        .send(&token, Method::PUT, &path, &key, Some(&other))
        .await?;
    assert_eq!(refused.status.as_u16(), 409);
    let stored = portico.send(&token, Method::GET, &path, &[], None).await?;
    assert_eq!(stored.body["properties"]["displayName"], "Gold");

    let bad = [("Idempotency-Key", "fails-first")];
    let wrong = json!({"properties": {}});
    assert_eq!(
        portico
            .send(&token, Method::PUT, &path, &bad, Some(&wrong))
            .await?
            .status
            .as_u16(),
        400
    );
    let mended = portico
        .send(&token, Method::PUT, &path, &bad, Some(&other))
        .await?;
    assert_eq!(mended.status.as_u16(), 200, "a refusal keeps no reply");

    // A regenerated key is regenerated once, and the reply to its reading is sealed at rest.
    let subscription =
        json!({"properties": {"scope": "/apis", "displayName": "Ann", "state": "active"}});
    let sid = format!("{service}/subscriptions/ann");
    portico
        .send(&token, Method::PUT, &sid, &[], Some(&subscription))
        .await?;
    let once = [("Idempotency-Key", "regenerate")];
    let read = async || {
        portico
            .send(
                &token,
                Method::POST,
                &format!("{sid}/listSecrets"),
                &[("Idempotency-Key", "read")],
                None,
            )
            .await
    };
    let regenerate = async || {
        portico
            .send(
                &token,
                Method::POST,
                &format!("{sid}/regeneratePrimaryKey"),
                &once,
                None,
            )
            .await
    };
    assert_eq!(regenerate().await?.status.as_u16(), 204);
    let keys = read().await?.body;
    assert_eq!(regenerate().await?.status.as_u16(), 204);
    let now = portico
        .send(
            &token,
            Method::POST,
            &format!("{sid}/listSecrets"),
            &[],
            None,
        )
        .await?
        .body;
    assert_eq!(keys["primaryKey"], now["primaryKey"]);
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT reply FROM idempotent_replies WHERE reply IS NOT NULL")
            .fetch_all(&database.pool())
            .await?;
    let secret = keys["primaryKey"]
        .as_str()
        .unwrap_or_default()
        .as_bytes()
        .to_vec();
    assert!(
        stored
            .iter()
            .all(|reply| !reply.windows(secret.len()).any(|window| window == secret))
    );
    Ok(())
}

#[tokio::test]
async fn a_kept_reply_is_not_for_a_caller_who_lost_the_role() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let administrator = portico.token().await?;
    let service = portico.service(&administrator, "kept").await?;
    let secrets = format!("{service}/subscriptions/master/listSecrets");
    let key: &[(&str, &str)] = &[("Idempotency-Key", "once")];
    let mut statuses = Vec::new();
    for role in ["contributor", "contributor", "reader", "developer"] {
        let token = token_with(BINARY, &database, "ann@example.org", role, "kept").await?;
        let answer = portico
            .send(&token, Method::POST, &secrets, key, None)
            .await?;
        statuses.push((role, answer.status.as_u16()));
    }
    assert_eq!(
        statuses,
        [
            ("contributor", 200),
            ("contributor", 200),
            ("reader", 403),
            ("developer", 403)
        ]
    );
    Ok(())
}
