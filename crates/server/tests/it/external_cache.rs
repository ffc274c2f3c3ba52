//! What policies keep in an external cache is shared by gateways; without an answer of the cache calls go on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::{
    gateway_process::{Folder, Plant, eventually},
    otlp,
    rates::Redis,
};
use anyhow::{Context as _, Result};
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::Portico;

fn policy(inbound: &str, outbound: &str) -> Value {
    json!({"properties": {"format": "rawxml", "value": format!(
        "<policies><inbound><base />{inbound}</inbound><backend><base /></backend><outbound><base />{outbound}</outbound>\
         <on-error><base /></on-error></policies>"
    )}})
}

#[tokio::test]
async fn gateways_share_an_external_cache_and_go_on_without_it() -> Result<()> {
    let redis = Redis::start().await?;
    let backend = otlp::Receiver::start().await?;
    let database = TestDatabase::create().await?;
    let portico = Portico::start(env!("CARGO_BIN_EXE_portico"), &database, &[]).await?;
    let plant = Plant::new(&portico, "cached").await?;
    let answer = "<return-response><set-status code=\"200\" /><set-body>@((string)context.Variables[\"v\"])</set-body></return-response>";
    let keep = "<cache-store-value key=\"k\" value=\"@(context.Request.OriginalUrl.Query.GetValueOrDefault(\"v\", \"\"))\" duration=\"600\" caching-type=\"external\" />\
        <set-variable name=\"v\" value=\"kept\" />";
    let read = "<cache-lookup-value key=\"k\" default-value=\"none\" variable-name=\"v\" />";
    let forget = "<cache-remove-value key=\"k\" /><set-variable name=\"v\" value=\"forgotten\" />";
    for (name, inbound) in [("keep", keep), ("read", read), ("forget", forget)] {
        plant
            .api(name, &policy(&format!("{inbound}{answer}"), ""))
            .await?;
    }
    let whole = policy(
        "<cache-lookup vary-by-developer=\"false\" vary-by-developer-groups=\"false\" />",
        "<cache-store duration=\"600\" />",
    );
    plant.api("whole", &whole).await?;
    let at = json!({"properties": {"serviceUrl": backend.url}});
    plant.send(Method::PATCH, "/apis/whole", at).await?;
    for name in ["keep", "read", "forget", "whole"] {
        let path = format!("/gateways/plant/apis/{name}");
        plant.put(&path, json!({})).await?;
    }

    // The connection string is not given out, and stays when its name comes back.
    let connection = redis.url().replace("redis://", "") + ",abortConnect=False";
    let cache =
        json!({"properties": {"connectionString": connection, "useFromLocation": "default"}});
    let put = plant.put("/caches/default", cache).await?;
    let mask = put.body["properties"]["connectionString"].clone();
    let name = mask.as_str().unwrap_or_default();
    assert!(name.starts_with("{{Cache-Connection-"), "{mask}");
    let again = json!({"properties": {"connectionString": mask, "useFromLocation": "default", "description": "Shared"}});
    let put = plant.put("/caches/default?wait=all", again).await?;
    assert_eq!(put.body["properties"]["connectionString"], mask);

    let folder = Folder::new("external-cache")?;
    let gateway = plant.gateway(&folder).await?;
    let client = Client::new();
    let builtin = async |path: &str| -> Result<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", portico.gateway_port);
        let request = client.get(url).header("Host", "cached.localhost");
        let reply = request.send().await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    };
    let is = |text: &str| (200, text.to_owned());
    // The first calls find no connection yet.
    eventually("the shared value", async || {
        assert_eq!(builtin("/keep/?v=shared").await?, is("kept"));
        Ok((gateway.get("/read/").await? == is("shared")).then_some(()))
    })
    .await?;
    eventually("the own value", async || {
        Ok((builtin("/read/").await? == is("shared")).then_some(()))
    })
    .await?;
    assert_eq!(gateway.get("/forget/").await?, is("forgotten"));
    assert_eq!(builtin("/read/").await?, is("none"));

    // A whole response: the second gateway does not ask the backend.
    assert_eq!(builtin("/whole/").await?.0, 200);
    let reply = client
        .get(format!("http://127.0.0.1:{}/whole/", gateway.port))
        .send()
        .await?;
    assert!(reply.headers().contains_key("age"), "{reply:?}");
    assert_eq!(backend.seen.lock().unwrap().len(), 1);

    // A cache that hangs, and one that is gone, count as empty; back again, it is used again.
    redis.signal("-STOP").await?;
    assert_eq!(builtin("/read/").await?, is("none"));
    assert_eq!(gateway.get("/keep/?v=lost").await?, is("kept"));
    redis.signal("-CONT").await?;
    eventually("the cache again", async || {
        assert_eq!(builtin("/keep/?v=again").await?, is("kept"));
        Ok((gateway.get("/read/").await? == is("again")).then_some(()))
    })
    .await?;
    redis.kill().await?;
    assert_eq!(builtin("/read/").await?, is("none"));
    assert_eq!(gateway.get("/whole/").await?.0, 200);
    let metrics = client
        .get(format!("{}/metrics", portico.management_url))
        .send()
        .await?
        .text()
        .await?;
    let failed = metrics
        .lines()
        .find(|line| line.starts_with(r#"portico_gateway_external_cache_total{outcome="failed"}"#));
    failed.context("no failure was counted")?;
    Ok(())
}
