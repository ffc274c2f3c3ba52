//! The developer API: who asks counts, and how often; what a developer sees and does there.

use crate::portal::{BINARY, Browser, DANA, developer, service};
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::net::IpAddr;
use testkit::Portico;

/// A browser at another address of this machine.
fn browser_at(address: &str) -> anyhow::Result<Browser> {
    let address: IpAddr = address.parse()?;
    Ok(Browser {
        client: reqwest::Client::builder().local_address(address).build()?,
        cookie: None,
    })
}

/// Calls the Echo API by the relay; the status that the gateway answers.
async fn tried(browser: &mut Browser, api: &str, headers: Value) -> anyhow::Result<Value> {
    let (_, echo) = browser.get(&format!("{api}/apis/echo-api")).await?;
    let url = format!(
        "{}/resource?param1=a",
        echo["baseUrl"].as_str().unwrap_or_default()
    );
    let call = json!({"method": "GET", "url": url, "headers": headers});
    let (status, reply) = browser.post(&format!("{api}/relay"), call).await?;
    Ok(if status == StatusCode::OK {
        reply["status"].clone()
    } else {
        json!([status.as_u16(), reply["error"]["details"][0]["target"]])
    })
}

#[tokio::test]
async fn the_gateway_sees_who_tries_an_api_and_no_header_can_pretend_it() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let proxies = [("PORTICO_TRUSTED_PROXIES", "127.0.0.7")];
    let portico = Portico::start(BINARY, &database, &proxies).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let echo = format!("{service}/apis/echo-api");
    let open = json!({"properties": {"subscriptionRequired": false}});
    let any = [("if-match", "*")];
    let patched = portico
        .send(&token, Method::PATCH, &echo, &any, Some(&open))
        .await?;
    assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
    let policy = json!({"properties": {"format": "rawxml", "value": "<policies><inbound><base />\
        <ip-filter action=\"allow\"><address>127.0.0.5</address></ip-filter>\
        <return-response><set-status code=\"204\" /></return-response></inbound>\
        <backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"}});
    let path = format!("{echo}/policies/policy");
    let put = portico
        .send(&token, Method::PUT, &path, &[], Some(&policy))
        .await?;
    assert!(put.status.is_success(), "{put:?}");

    let mut allowed = browser_at("127.0.0.5")?;
    let mut other = browser_at("127.0.0.6")?;
    assert_eq!(tried(&mut allowed, &api, json!([])).await?, 204);
    assert_eq!(tried(&mut other, &api, json!([])).await?, 403);
    let pretended = json!([["X-Forwarded-For", "127.0.0.5"]]);
    assert_eq!(
        tried(&mut other, &api, pretended).await?,
        json!([400, "headers"])
    );

    // The same claim as a header of the browser's own request: nothing from a stranger, all from a proxy that is trusted.
    for (from, expected) in [("127.0.0.6", 403), ("127.0.0.7", 204)] {
        let mut through = browser_at(from)?;
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-forwarded-for", "127.0.0.5".parse()?);
        through.client = reqwest::Client::builder()
            .local_address(from.parse::<IpAddr>()?)
            .default_headers(headers)
            .build()?;
        assert_eq!(
            tried(&mut through, &api, json!([])).await?,
            expected,
            "{from}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_audit_trail_says_where_a_developer_was() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let there: IpAddr = "127.0.0.5".parse()?;
    dana.client = reqwest::Client::builder().local_address(there).build()?;
    let names = json!({"firstName": "Diana", "lastName": "Developer"});
    let (status, _) = dana
        .send(Method::PATCH, &format!("{api}/profile"), Some(names))
        .await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let address: String =
        sqlx::query_scalar("SELECT address FROM audit_entries WHERE after::text LIKE '%Diana%'")
            .fetch_one(&database.pool())
            .await?;
    assert_eq!(address, "127.0.0.5");
    Ok(())
}

#[tokio::test]
async fn an_address_may_sign_in_so_often_a_minute() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let few = [("PORTICO_PORTAL_SIGN_INS", "3")];
    let portico = Portico::start(BINARY, &database, &few).await?;
    let token = portico.token().await?;
    let (_, api) = service(&portico, &token).await?;
    let mut guesser = browser_at("127.0.0.5")?;
    let mut seen = Vec::new();
    for guess in 0..4 {
        // Another account each time: no account's own limit is reached.
        let body = json!({"email": format!("someone{guess}@example.org"), "password": "guess"});
        seen.push(
            guesser
                .post(&format!("{api}/session"), body)
                .await?
                .0
                .as_u16(),
        );
    }
    assert_eq!(seen, [401, 401, 401, 429]);
    let (status, _) = guesser.get(&format!("{api}/apis")).await?;
    assert_eq!(status, StatusCode::OK, "reading goes on");
    let mut other = browser_at("127.0.0.6")?;
    let body = json!({"email": DANA, "password": "guess"});
    let (status, _) = other.post(&format!("{api}/session"), body).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    Ok(())
}
