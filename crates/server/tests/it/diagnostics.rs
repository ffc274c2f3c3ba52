//! Diagnostics that are set over the management API are honoured by every gateway, and what they keep can be read.

use super::gateway_process::{Folder, Plant};
use anyhow::{Context as _, Result};
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::Portico;

#[tokio::test]
async fn what_diagnostics_keep_of_a_call_can_be_read_by_its_id_wherever_it_was_served() -> Result<()>
{
    let database = TestDatabase::create().await?;
    let portico = Portico::start(env!("CARGO_BIN_EXE_portico"), &database, &[]).await?;
    let plant = Plant::new(&portico, "diagnosed").await?;
    let folder = Folder::new("diagnosed")?;
    let gateway = plant.gateway(&folder).await?;
    gateway.control("connected").await?;
    let client = Client::new();
    let call = async |port: u16| -> Result<String> {
        let reply = client
            .get(format!("http://127.0.0.1:{port}/hello/?token=t"))
            .header("Host", "diagnosed.localhost")
            .header("X-Shown", "yes")
            .send()
            .await?;
        let id = reply.headers().get("x-request-id").context("no id")?;
        Ok(id.to_str()?.to_owned())
    };
    let read = async |id: &str| -> Result<(u16, Value)> {
        let path = format!("{}/calls/{id}", plant.service);
        let answer = portico
            .send(&plant.token, Method::GET, &path, &[], None)
            .await?;
        Ok((answer.status.as_u16(), answer.body))
    };
    let without = call(gateway.port).await?;

    let diagnostic = json!({"properties": {
        "loggerId": format!("{}/loggers/azuremonitor", plant.service),
        "alwaysLog": "allErrors", "sampling": {"samplingType": "fixed", "percentage": 100}, "logClientIp": true,
        "frontend": {"request": {"headers": ["X-Shown"], "dataMasking": {"queryParams": [{"value": "token", "mode": "Mask"}]}},
                     "response": {"headers": [], "body": {"bytes": 2}}},
        "backend": {"request": {"headers": []}, "response": {"headers": []}}}});
    plant
        .put("/apis/hello/diagnostics/azuremonitor?wait=all", diagnostic)
        .await?;
    for (port, name) in [(gateway.port, "plant"), (portico.gateway_port, "managed")] {
        let id = call(port).await?;
        let (status, body) = read(&id).await?;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["name"], json!(id));
        let log = &body["properties"]["azuremonitor"];
        assert_eq!(
            (
                &log["gatewayId"],
                &log["requestHeaders"],
                &log["responseBody"],
                &log["operationName"]
            ),
            (
                &json!(name),
                &json!({"X-Shown": "yes"}),
                &json!("on"),
                &json!("hello;rev=1 - get")
            ),
            "{log}"
        );
        let url = log["url"].as_str().unwrap_or_default();
        assert!(url.ends_with("/hello/?token=***"), "{url}");
    }
    // Nothing was kept before, nor is anything of another service's.
    assert_eq!(read(&without).await?.0, 404);
    assert_eq!(read("00000000-0000-0000-0000-000000000001").await?.0, 404);
    Ok(())
}
