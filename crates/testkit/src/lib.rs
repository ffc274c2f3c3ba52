//! A real Portico for tests: the binary as a process, on a database of its own, on free ports.
//!
//! Tests get the path of the binary from cargo (`env!("CARGO_BIN_EXE_portico")`), so the process under
//! test is the one that was just built. It ends with the value, whatever the test does.

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use embedded_postgres::test_database::TestDatabase;
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{convert::Infallible, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

/// The first administrator of every test installation.
pub const ADMINISTRATOR: &str = "admin@example.org";
/// The administrator's password.
pub const PASSWORD: &str = "correct horse battery";
/// Subscription id and resource group that tests use.
pub const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/demo-rg/providers/Microsoft.ApiManagement";
/// The contract version that tests speak unless they say otherwise.
pub const API_VERSION: &str = "2024-05-01";

/// Longest start of a process on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Base64 of the key that seals every test installation's secrets, for other commands over its database.
#[must_use]
pub fn secret_key() -> String {
    BASE64_STANDARD.encode([7; 32])
}

/// Answers HTTP/1.1 on the listener until the test ends: what Portico calls in tests.
pub fn answer<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send,
{
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let answered = service_fn(|request| {
                    let reply = answer(request);
                    async { Ok::<_, Infallible>(reply.await) }
                });
                // A connection that Portico ends is no failure.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answered)
                    .await;
            });
        }
    });
}

/// A running `portico serve`.
pub struct Portico {
    child: Child,
    /// `http://127.0.0.1:{port}` of the management API.
    pub management_url: String,
    /// `https://localhost:{port}` of the management API, if it was started with a certificate.
    pub management_tls_url: Option<String>,
    /// Port of the gateway.
    pub gateway_port: u16,
    /// Port of the gateway over TLS, if it listens there.
    pub gateway_tls_port: Option<u16>,
    client: reqwest::Client,
}

/// A reply of the management API.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body; `Null` when empty.
    pub body: Value,
}

impl Portico {
    /// Starts a process over this database, with more environment variables if needed, and waits until it is ready.
    ///
    /// # Errors
    /// With the process's log when it does not start.
    pub async fn start(
        binary: &str,
        database: &TestDatabase,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::start_over(binary, &database.url(), environment).await
    }

    /// As [`start`](Self::start), over any database URL.
    ///
    /// # Errors
    /// With the process's log when it does not start.
    pub async fn start_over(
        binary: &str,
        database_url: &str,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let key = secret_key();
        let data = std::env::temp_dir().join("portico-testkit");
        let mut child = Command::new(Path::new(binary))
            .arg("serve")
            .env("DATABASE_URL", database_url)
            .env("PORTICO_DATA_DIR", data)
            .env("PORTICO_SECRET_KEY", key)
            .env("PORTICO_LISTEN", "127.0.0.1:0")
            .env("PORTICO_TLS_LISTEN", "127.0.0.1:0")
            .env("PORTICO_GATEWAY_LISTEN", "0.0.0.0:0")
            .env("PORTICO_PORTAL_LISTEN", "127.0.0.1:0")
            .env("PORTICO_ADMIN_EMAIL", ADMINISTRATOR)
            .env("PORTICO_ADMIN_PASSWORD", PASSWORD)
            .env("PORTICO_DATABASE_CONNECTIONS", "16")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {binary}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let read = async {
            let (mut management, mut tls, mut gateway_tls) = (None, None, None);
            while let Some(line) = lines.next_line().await? {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    ["Management", "API", url] => management = Some((*url).to_owned()),
                    ["over", "TLS", url] => tls = Some((*url).to_owned()),
                    ["Gateway", "TLS", "port", port] => gateway_tls = Some(port.parse()?),
                    ["Gateway", "port", port, ..] => {
                        let port: u16 = port.trim_end_matches(';').parse()?;
                        return Ok((
                            management.context("no management URL was printed")?,
                            tls,
                            gateway_tls,
                            port,
                        ));
                    }
                    _ => {}
                }
            }
            bail!("portico ended before it was ready");
        };
        let (management_url, management_tls_url, gateway_tls_port, gateway_port) =
            tokio::time::timeout(START, read)
                .await
                .context("portico was not ready in time")??;
        // Keeps the pipe open and empty until the process ends.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            management_url,
            management_tls_url,
            gateway_port,
            gateway_tls_port,
            client: reqwest::Client::new(),
        })
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends the process at once, as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Ends the process in good order, as Ctrl-C does.
    ///
    /// # Errors
    /// When it cannot be told, or does not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            Command::new("kill").arg(pid.to_string()).status().await?;
        }
        tokio::time::timeout(START, self.child.wait())
            .await
            .context("portico did not stop")??;
        Ok(())
    }

    /// A token of the administrator.
    ///
    /// # Errors
    /// When the sign-in fails.
    pub async fn token(&self) -> anyhow::Result<String> {
        let reply: Value = self
            .client
            .post(format!("{}/sign-in", self.management_url))
            .json(&json!({"email": ADMINISTRATOR, "password": PASSWORD}))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        reply["access_token"]
            .as_str()
            .map(str::to_owned)
            .context("no token")
    }

    /// Sends a request of the management API; `path` is absolute and may have a query.
    ///
    /// # Errors
    /// When the connection fails or the body is no JSON.
    pub async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let version = if path.contains("api-version=") {
            String::new()
        } else {
            format!("api-version={API_VERSION}")
        };
        let joint = if version.is_empty() {
            ""
        } else if path.contains('?') {
            "&"
        } else {
            "?"
        };
        let verb = method.clone();
        let mut request = self.client.request(
            method,
            format!("{}{path}{joint}{version}", self.management_url),
        );
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        witness::note(verb.as_str(), path, status.as_u16());
        let text = reply.text().await?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).with_context(|| text.clone())?
        };
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// What an administrator asks of something in a service, at whatever revision it is; must succeed.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn ask(
        &self,
        token: &str,
        service: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let path = format!("{service}{path}");
        let any = [("If-Match", "*")];
        let answer = self.send(token, method, &path, &any, body).await?;
        if !answer.status.is_success() {
            bail!("{path}: {answer:?}");
        }
        Ok(answer)
    }

    /// Creates a service and waits until its activation succeeded; returns its path.
    ///
    /// # Errors
    /// When the service is refused or not active in time.
    pub async fn service(&self, token: &str, name: &str) -> anyhow::Result<String> {
        let path = format!("{GROUP}/service/{name}");
        let body = json!({
            "location": "West US",
            "sku": {"name": "Developer", "capacity": 1},
            "properties": {"publisherEmail": "publisher@example.org", "publisherName": name}
        });
        let created = self
            .send(token, Method::PUT, &path, &[], Some(&body))
            .await?;
        if created.status != StatusCode::CREATED {
            bail!("{created:?}");
        }
        let operation = created
            .headers
            .get("azure-asyncoperation")
            .context("no operation")?
            .to_str()?
            .to_owned();
        let operation = operation
            .strip_prefix(&self.management_url)
            .context("an operation elsewhere")?
            .to_owned();
        for _ in 0..600 {
            let status = self.send(token, Method::GET, &operation, &[], None).await?;
            match status.body["status"].as_str() {
                Some("InProgress") => tokio::time::sleep(Duration::from_millis(50)).await,
                Some("Succeeded") => return Ok(path),
                _ => bail!("{status:?}"),
            }
        }
        bail!("the service was not active in time")
    }
}
