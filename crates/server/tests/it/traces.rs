//! What policies did for a call, for those who may see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Answer, Portico};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
/// Longest that anything may take on a busy machine before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

struct Publisher<'a> {
    portico: &'a Portico,
    token: String,
    service: String,
    client: Client,
}

impl Publisher<'_> {
    async fn send(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Answer> {
        let path = format!("{}{path}", self.service);
        let any = [("If-Match", "*")];
        let body = (!body.is_null()).then_some(&body);
        self.portico
            .send(&self.token, method, &path, &any, body)
            .await
    }

    async fn gateway(&self, action: &str, body: Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, &format!("/gateways/managed/{action}"), body)
            .await
    }

    async fn credentials(&self, api: &str, length: &str) -> anyhow::Result<String> {
        let body = json!({"credentialsExpireAfter": length, "purposes": ["tracing"], "apiId": format!("{}/apis/{api}", self.service)});
        let answer = self.gateway("listDebugCredentials", body).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body["token"].as_str().unwrap_or_default().to_owned())
    }

    async fn call(
        &self,
        portico: &Portico,
        header: (&str, &str),
        key: &str,
    ) -> anyhow::Result<Response> {
        let url = format!(
            "http://127.0.0.1:{}/echo/resource?param1=x",
            portico.gateway_port
        );
        let request = self
            .client
            .get(url)
            .header("Host", "seen.localhost")
            .header(header.0, header.1);
        Ok(request
            .header("Ocp-Apim-Subscription-Key", key)
            .send()
            .await?)
    }
}

#[tokio::test]
async fn a_call_is_traced_for_debug_credentials_and_by_a_subscription_that_allows_it()
-> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let other = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "seen").await?;
    let publisher = Publisher {
        portico: &portico,
        token,
        service,
        client: Client::new(),
    };
    let secret = json!({"properties": {"displayName": "password", "value": "of-the-backend", "secret": true}});
    publisher
        .send(Method::PUT, "/namedValues/password", secret)
        .await?;
    let value = "<policies><inbound><base /><set-header name=\"x-password\"><value>{{password}}</value></set-header></inbound>\
        <backend><base /></backend><outbound><base /><set-header name=\"x-done\"><value>yes</value></set-header></outbound>\
        <on-error><base /></on-error></policies>";
    let policy = json!({"properties": {"format": "rawxml", "value": value}});
    let put = publisher
        .send(
            Method::PUT,
            "/apis/echo-api/policies/policy?wait=all",
            policy,
        )
        .await?;
    anyhow::ensure!(put.status.is_success(), "{put:?}");
    let subscription = json!({"properties": {"scope": "/apis", "displayName": "Ann", "state": "active", "primaryKey": "key-of-ann", "allowTracing": false}});
    publisher
        .send(Method::PUT, "/subscriptions/ann?wait=all", subscription)
        .await?;
    let key = "key-of-ann";

    // The new way, also through another process: its gateway checks the token by itself.
    let credentials = publisher.credentials("echo-api", "PT30M").await?;
    for process in [&portico, &other] {
        let reply = publisher
            .call(process, ("Apim-Debug-Authorization", &credentials), key)
            .await?;
        assert_eq!(reply.status(), 200);
        assert!(!reply.headers().contains_key("ocp-apim-trace-location"));
        let id = reply.headers()["apim-trace-id"].to_str()?.to_owned();
        assert_eq!(reply.headers()["x-done"], "yes");
        let trace = publisher
            .gateway("listTrace", json!({"traceId": id}))
            .await?;
        assert_eq!(
            (trace.status.as_u16(), &trace.body["traceId"]),
            (200, &json!(id))
        );
        let entries = &trace.body["traceEntries"];
        let names = |section: &str| -> Vec<&str> {
            let list = entries[section].as_array().into_iter().flatten();
            list.filter_map(|entry| entry["source"].as_str()).collect()
        };
        assert!(names("inbound").contains(&"set-header"), "{entries}");
        assert!(names("backend").contains(&"forward-request"), "{entries}");
        assert!(names("outbound").contains(&"set-header"), "{entries}");
        let text = trace.body.to_string();
        assert!(text.contains("x-password"), "{text}");
        for hidden in ["of-the-backend", key, credentials.as_str()] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
    }
    // Another API, another token, none: no trace.
    let elsewhere =
        json!({"properties": {"displayName": "Other", "path": "other", "protocols": ["http"]}});
    let made = publisher
        .send(Method::PUT, "/apis/other", elsewhere)
        .await?;
    anyhow::ensure!(made.status.is_success(), "{made:?}");
    let wrong = publisher.credentials("other", "PT1H").await?;
    let reply = publisher
        .call(&portico, ("Apim-Debug-Authorization", &wrong), key)
        .await?;
    assert_eq!(reply.headers()["apim-debug-authorization-wrongapi"], "1");
    assert!(!reply.headers().contains_key("apim-trace-id"));
    let damaged = format!("B{}", &credentials[1..]);
    let reply = publisher
        .call(&portico, ("Apim-Debug-Authorization", &damaged), key)
        .await?;
    assert!(!reply.headers().contains_key("apim-trace-id"));
    let short = publisher.credentials("echo-api", "PT1S").await?;
    let began = Instant::now();
    loop {
        let reply = publisher
            .call(&portico, ("Apim-Debug-Authorization", &short), key)
            .await?;
        if reply
            .headers()
            .contains_key("apim-debug-authorization-expired")
        {
            assert!(!reply.headers().contains_key("apim-trace-id"));
            break;
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "it never expires");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // The old way needs a subscription that allows it.
    let reply = publisher
        .call(&portico, ("Ocp-Apim-Trace", "true"), key)
        .await?;
    assert!(!reply.headers().contains_key("ocp-apim-trace-location"));
    let allowed = json!({"properties": {"allowTracing": true}});
    publisher
        .send(Method::PATCH, "/subscriptions/ann", allowed)
        .await?;
    let reply = publisher
        .call(&portico, ("Ocp-Apim-Trace", "true"), key)
        .await?;
    let link = reply.headers()["ocp-apim-trace-location"]
        .to_str()?
        .to_owned();
    let linked: Value = publisher
        .client
        .get(&link)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    assert!(linked["traceEntries"]["inbound"].is_array(), "{linked}");
    let (base, sealed) = link.rsplit_once('/').unwrap();
    let forged = format!("{base}/B{}", &sealed[1..]);
    assert_eq!(publisher.client.get(forged).send().await?.status(), 404);

    // All credentials so far end, here at once and elsewhere soon.
    let ended = publisher
        .gateway("invalidateDebugCredentials", json!({}))
        .await?;
    assert_eq!(ended.status.as_u16(), 204);
    let reply = publisher
        .call(&portico, ("Apim-Debug-Authorization", &credentials), key)
        .await?;
    assert!(!reply.headers().contains_key("apim-trace-id"));
    let began = Instant::now();
    loop {
        let reply = publisher
            .call(&other, ("Apim-Debug-Authorization", &credentials), key)
            .await?;
        if !reply.headers().contains_key("apim-trace-id") {
            break;
        }
        anyhow::ensure!(
            began.elapsed() < LIMIT,
            "the other process never learns of it"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let again = publisher.credentials("echo-api", "PT1H").await?;
    let reply = publisher
        .call(&portico, ("Apim-Debug-Authorization", &again), key)
        .await?;
    assert!(reply.headers().contains_key("apim-trace-id"));

    // What is wrong with a request is named, all of it.
    let refused = publisher
        .gateway("listDebugCredentials", json!({"credentialsExpireAfter": "PT2H", "purposes": ["spying"], "apiId": "/apis/none"}))
        .await?;
    assert_eq!(refused.status.as_u16(), 400);
    let targets: Vec<&str> = refused.body["error"]["details"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|detail| detail["target"].as_str())
        .collect();
    assert_eq!(targets, ["credentialsExpireAfter", "purposes", "apiId"]);
    let unknown = json!({"traceId": "00000000-0000-0000-0000-000000000001"});
    assert_eq!(
        publisher
            .gateway("listTrace", unknown)
            .await?
            .status
            .as_u16(),
        404
    );
    Ok(())
}
