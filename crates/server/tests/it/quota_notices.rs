//! Who has used most of a quota is told, once.

use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
/// Longest that anything may take on a busy machine before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
const DEVELOPER: &str = "quotaLimitApproachingDeveloperNotificationMessage";
const PUBLISHER: &str = "QuotaLimitApproachingPublisherNotificationMessage";

struct Publisher<'a> {
    portico: &'a Portico,
    token: String,
    service: String,
}

impl Publisher<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let path = format!("{}{path}", self.service);
        let any = [("If-Match", "*")];
        let answer = self
            .portico
            .send(&self.token, method, &path, &any, body.as_ref())
            .await?;
        anyhow::ensure!(answer.status.is_success(), "{path}: {answer:?}");
        Ok(answer.body)
    }

    /// Templates and recipients of the mails on quotas, sorted.
    async fn told(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mails = self.send(Method::GET, "/mails", None).await?;
        let mut told: Vec<(String, String)> = mails["value"]
            .as_array()
            .context("no list")?
            .iter()
            .map(|mail| {
                let text = |name: &str| mail["properties"][name].as_str().unwrap_or_default();
                (text("template").to_owned(), text("recipient").to_owned())
            })
            .filter(|(template, _)| [DEVELOPER, PUBLISHER].contains(&template.as_str()))
            .collect();
        told.sort();
        Ok(told)
    }

    async fn until_told(&self, count: usize) -> anyhow::Result<Vec<(String, String)>> {
        let began = Instant::now();
        loop {
            let told = self.told().await?;
            if told.len() >= count {
                return Ok(told);
            }
            anyhow::ensure!(began.elapsed() < LIMIT, "told: {told:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn developer_and_publishers_are_told_once_at_each_share_by_one_of_two_processes()
-> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let _other = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "quotas").await?;
    let publisher = Publisher {
        portico: &portico,
        token,
        service,
    };
    publisher
        .send(
            Method::PUT,
            &format!("/notifications/{PUBLISHER}/recipientEmails/boss@example.org"),
            None,
        )
        .await?;
    let ann = json!({"properties": {"email": "ann@example.org", "firstName": "Ann", "lastName": "Example"}});
    publisher.send(Method::PUT, "/users/ann", Some(ann)).await?;
    let subscription = json!({"properties": {"scope": "/products/unlimited", "displayName": "Ann", "state": "active", "ownerId": "/users/ann"}});
    publisher
        .send(Method::PUT, "/subscriptions/ann", Some(subscription))
        .await?;
    let keys = publisher
        .send(Method::POST, "/subscriptions/ann/listSecrets", None)
        .await?;
    let policies = "<policies><inbound><base /><quota calls=\"10\" renewal-period=\"86400\" /><return-response>\
        <set-status code=\"204\" /></return-response></inbound><backend><base /></backend><outbound><base /></outbound>\
        <on-error><base /></on-error></policies>";
    let body = json!({"properties": {"format": "rawxml", "value": policies}});
    publisher
        .send(
            Method::PUT,
            "/products/unlimited/policies/policy",
            Some(body),
        )
        .await?;
    let client = Client::new();
    let url = format!(
        "http://127.0.0.1:{}/echo/resource?param1=x",
        portico.gateway_port
    );
    let call = async || {
        let key = keys["primaryKey"].as_str().unwrap_or_default();
        let reply = client
            .get(&url)
            .header("Host", "quotas.localhost")
            .header("Ocp-Apim-Subscription-Key", key)
            .send()
            .await?;
        anyhow::Ok(reply.status().as_u16())
    };
    for _ in 0..8 {
        assert_eq!(call().await?, 204);
    }
    let both = || {
        [
            (PUBLISHER, "boss@example.org"),
            // Who owns the service is a recipient from its beginning.
            (PUBLISHER, "publisher@example.org"),
            (DEVELOPER, "Ann Example <ann@example.org>"),
        ]
        .map(|(template, recipient)| (template.to_owned(), recipient.to_owned()))
    };
    let mut expected = both().to_vec();
    expected.sort();
    let told = publisher.until_told(3).await?;
    assert_eq!(told, expected, "at 80 %");

    // The ninth call tells nobody again; the tenth uses the quota up, which is told; so does no refused one.
    for _ in 0..2 {
        assert_eq!(call().await?, 204);
    }
    expected.extend(both());
    expected.sort();
    let told = publisher.until_told(6).await?;
    assert_eq!(told, expected, "at 100 %");
    assert_eq!(call().await?, 403);
    // Both processes have looked again by the time that two more rounds of counts are exchanged.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(publisher.told().await?, expected, "once");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}
