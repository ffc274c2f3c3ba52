//! Revisions and versions of an API through the gateway of a running Portico.

use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

/// The Echo API of a service, whose backend answers with the headers that it gets.
struct Echo<'a> {
    portico: &'a Portico,
    token: String,
    service: String,
    url: String,
    key: String,
    client: Client,
}

impl<'a> Echo<'a> {
    async fn new(portico: &'a Portico, name: &str, scope: &str) -> anyhow::Result<Self> {
        let token = portico.token().await?;
        let service = portico.service(&token, name).await?;
        let mut echo = Self {
            portico,
            token,
            service,
            url: String::new(),
            key: String::new(),
            client: Client::new(),
        };
        let settings = echo.send(Method::GET, "", None).await?;
        settings["properties"]["gatewayUrl"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut echo.url);
        let subscription = json!({"scope": scope, "displayName": "ann", "state": "active"});
        echo.put("/subscriptions/ann", subscription).await?;
        let keys = echo
            .send(Method::POST, "/subscriptions/ann/listSecrets", None)
            .await?;
        keys["primaryKey"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut echo.key);
        Ok(echo)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let asked = self
            .portico
            .ask(&self.token, &self.service, method, path, body.as_ref());
        Ok(asked.await?.body)
    }

    async fn put(&self, path: &str, properties: Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, path, Some(json!({"properties": properties})))
            .await
    }

    /// Makes the API and its operation tell the backend, each by itself, which revision they belong to.
    async fn mark(&self, api: &str, mark: &str) -> anyhow::Result<()> {
        for (place, header) in [
            ("", "X-Api"),
            ("/operations/retrieve-resource", "X-Operation"),
        ] {
            let value = format!(
                "<policies><inbound><base /><set-header name=\"{header}\" exists-action=\"override\"><value>{mark}</value></set-header>\
                 </inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"
            );
            self.put(
                &format!("/apis/{api}{place}/policies/policy"),
                json!({"format": "rawxml", "value": value}),
            )
            .await?;
        }
        Ok(())
    }

    async fn release(&self, name: &str, revision: u32) -> anyhow::Result<()> {
        let release = json!({"apiId": format!("/apis/echo-api;rev={revision}"), "notes": name});
        self.put(&format!("/apis/echo-api/releases/{name}"), release)
            .await?;
        Ok(())
    }

    /// Status, and what the API's and the operation's policies said.
    async fn call(
        &self,
        path: &str,
        header: Option<&str>,
    ) -> anyhow::Result<(u16, String, String)> {
        let mut request = self
            .client
            .get(format!("{}/{path}", self.url))
            .header("Ocp-Apim-Subscription-Key", &self.key);
        if let Some(version) = header {
            request = request.header("Api-Version", version);
        }
        let reply = request.send().await?;
        let said = |name: &str| {
            let value = reply.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        Ok((reply.status().as_u16(), said("X-Api"), said("X-Operation")))
    }
}

fn ok(mark: &str) -> (u16, String, String) {
    (200, mark.to_owned(), mark.to_owned())
}

fn not_found() -> (u16, String, String) {
    (404, String::new(), String::new())
}

#[tokio::test]
async fn a_release_moves_every_call_from_one_revision_to_the_other_as_a_whole() -> anyhow::Result<()>
{
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let echo = Echo::new(&portico, "revised", "/apis/echo-api").await?;
    echo.mark("echo-api", "1").await?;
    assert_eq!(
        echo.call("echo;rev=2/resource?param1=x", None).await?,
        not_found()
    );
    let second = json!({"path": "echo", "sourceApiId": "/apis/echo-api"});
    echo.put("/apis/echo-api;rev=2", second).await?;
    assert_eq!(
        echo.call("echo;rev=2/resource?param1=x", None).await?,
        ok("1"),
        "a copy"
    );
    echo.mark("echo-api;rev=2", "2").await?;
    for (path, mark) in [("echo", "1"), ("echo;rev=1", "1"), ("echo;rev=2", "2")] {
        let called = echo
            .call(&format!("{path}/resource?param1=x"), None)
            .await?;
        assert_eq!(called, ok(mark), "{path}");
    }
    assert_eq!(
        echo.call("echo;rev=3/resource?param1=x", None).await?,
        not_found()
    );

    // The subscription of the API goes on with each revision, and no call sees parts of two.
    let done = AtomicBool::new(false);
    let calls = async {
        let mut calls = 0_u32;
        while !done.load(Ordering::Relaxed) {
            let (status, api, operation) = echo.call("echo/resource?param1=x", None).await?;
            anyhow::ensure!(
                status == 200 && api == operation,
                "{status} {api:?} {operation:?}"
            );
            calls += 1;
        }
        Ok(calls)
    };
    let releases = async {
        for number in 0..30 {
            let revision = 2 - number % 2;
            let released = echo.release(&format!("r{number}"), revision).await;
            let called = echo.call("echo/resource?param1=x", None).await;
            if released.is_err() || called.is_err() || number == 29 {
                done.store(true, Ordering::Relaxed);
            }
            released?;
            assert_eq!(called?, ok(&revision.to_string()), "release {number}");
        }
        Ok::<_, anyhow::Error>(())
    };
    let (calls, released) = tokio::join!(calls, releases);
    released?;
    assert!(calls? > 0, "calls were made meanwhile");

    // What was current is still there by its number, until it is deleted.
    echo.release("last", 2).await?;
    assert_eq!(
        echo.call("echo;rev=1/resource?param1=x", None).await?,
        ok("1")
    );
    echo.send(Method::DELETE, "/apis/echo-api;rev=1", None)
        .await?;
    assert_eq!(
        echo.call("echo;rev=1/resource?param1=x", None).await?,
        not_found()
    );
    assert_eq!(echo.call("echo/resource?param1=x", None).await?, ok("2"));
    Ok(())
}

#[tokio::test]
async fn a_version_that_began_as_a_copy_is_called_by_its_header_and_has_revisions()
-> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let echo = Echo::new(&portico, "versions", "/apis").await?;
    echo.mark("echo-api", "first").await?;
    let set = json!({"displayName": "Echo", "versioningScheme": "Header", "versionHeaderName": "Api-Version"});
    echo.put("/apiVersionSets/echo", set).await?;
    let version = json!({
        "path": "echo", "sourceApiId": "/apis/echo-api", "apiVersion": "v2",
        "apiVersionSetId": "/apiVersionSets/echo"
    });
    echo.put("/apis/echo-v2", version).await?;
    let path = "echo/resource?param1=x";
    assert_eq!(echo.call(path, Some("v2")).await?, ok("first"), "a copy");
    echo.mark("echo-v2", "second").await?;
    assert_eq!(echo.call(path, None).await?, ok("first"));
    assert_eq!(echo.call(path, Some("v2")).await?, ok("second"));
    assert_eq!(echo.call(path, Some("v3")).await?, not_found());
    let revision = json!({"path": "echo", "sourceApiId": "/apis/echo-v2"});
    echo.put("/apis/echo-v2;rev=2", revision).await?;
    echo.mark("echo-v2;rev=2", "third").await?;
    let second = "echo;rev=2/resource?param1=x";
    assert_eq!(echo.call(second, Some("v2")).await?, ok("third"));
    assert_eq!(echo.call(second, None).await?, not_found());
    assert_eq!(echo.call(path, Some("v2")).await?, ok("second"));
    Ok(())
}
