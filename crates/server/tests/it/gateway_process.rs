//! `portico gateway` as a process of its own: it knows its control plane only, and goes on without it.

use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::{Answer, Portico};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
/// Longest that anything may take on a busy machine before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("portico-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// The one file of a gateway's configuration.
    fn configuration(&self) -> anyhow::Result<PathBuf> {
        std::fs::read_dir(&self.0)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|e| e == "configuration"))
            .context("no configuration is kept")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a failed test is in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running `portico gateway`.
pub(crate) struct Apart {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) health: String,
    pub(crate) port: u16,
    /// Over TLS, if it listens there.
    pub(crate) tls_port: Option<u16>,
    client: Client,
}

impl Apart {
    /// Starts a gateway and waits until it listens, which is before it has a configuration.
    pub(crate) async fn start(
        control_url: &str,
        token: &str,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_with(control_url, token, folder, &[]).await
    }

    /// As [`start`](Self::start), with more environment variables.
    pub(crate) async fn start_with(
        control_url: &str,
        token: &str,
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(BINARY)
            .arg("gateway")
            .env_remove("DATABASE_URL")
            .env("PORTICO_CONTROL_URL", control_url)
            .env("PORTICO_GATEWAY_TOKEN", token)
            .env("PORTICO_DATA_DIR", folder)
            .env("PORTICO_LISTEN", "127.0.0.1:0")
            .env("PORTICO_GATEWAY_LISTEN", "127.0.0.1:0")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let (mut health, mut port, mut tls_port) = (None, None, None);
        while health.is_none() || port.is_none() {
            let line = tokio::time::timeout(LIMIT, lines.next_line())
                .await??
                .context("the gateway ended before it listened")?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["Health,", "metrics", url] => health = Some((*url).to_owned()),
                ["Gateway", "TLS", "port", number] => tls_port = Some(number.parse()?),
                ["Gateway", "port", number] => port = Some(number.parse()?),
                _ => {}
            }
        }
        Ok(Self {
            child,
            lines,
            health: health.context("no health address")?,
            port: port.context("no port")?,
            tls_port,
            client: Client::new(),
        })
    }

    /// Waits until it has a configuration.
    pub(crate) async fn ready(mut self) -> anyhow::Result<Self> {
        loop {
            let line = tokio::time::timeout(LIMIT, self.lines.next_line())
                .await??
                .context("the gateway ended before it was ready")?;
            if line.contains("Portico is ready") {
                return Ok(self);
            }
        }
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let reply = self.client.get(url).send().await?;
        Ok((reply.status().as_u16(), reply.text().await?))
    }

    pub(crate) async fn readyz(&self) -> anyhow::Result<(u16, Value)> {
        let reply = self
            .client
            .get(format!("{}/readyz", self.health))
            .send()
            .await?;
        Ok((reply.status().as_u16(), reply.json().await?))
    }

    /// Waits until `/readyz` tells this of the control plane.
    pub(crate) async fn control(&self, state: &str) -> anyhow::Result<Value> {
        eventually(&format!("control {state}"), async || {
            let (_, body) = self.readyz().await?;
            Ok((body["control"]["state"] == state).then_some(body))
        })
        .await
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.child.id().context("no pid")?.to_string();
        let done = Command::new("kill").args([signal, &pid]).status().await?;
        anyhow::ensure!(done.success(), "kill {signal}");
        Ok(())
    }

    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.signal("-TERM").await?;
        tokio::time::timeout(LIMIT, self.child.wait()).await??;
        Ok(())
    }
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A service with an API `hello` that answers by itself, and a gateway `plant` that serves it.
pub(crate) struct Plant<'a> {
    pub(crate) portico: &'a Portico,
    pub(crate) token: String,
    pub(crate) service: String,
}

pub(crate) fn policy(inbound: &str, body: &str) -> Value {
    json!({"properties": {"format": "rawxml", "value": format!(
        "<policies><inbound><base />{inbound}<return-response><set-status code=\"200\" reason=\"OK\" />\
         <set-body>{body}</set-body></return-response></inbound><backend><base /></backend><outbound><base /></outbound>\
         <on-error><base /></on-error></policies>"
    )}})
}

impl<'a> Plant<'a> {
    pub(crate) async fn new(portico: &'a Portico, name: &str) -> anyhow::Result<Self> {
        let token = portico.token().await?;
        let service = portico.service(&token, name).await?;
        let this = Self {
            portico,
            token,
            service,
        };
        this.api("hello", &policy("", "one")).await?;
        this.put("/gateways/plant", json!({"properties": {}}))
            .await?;
        this.put("/gateways/plant/apis/hello", json!({})).await?;
        Ok(this)
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Answer> {
        let body = (!body.is_null()).then_some(&body);
        self.portico
            .ask(&self.token, &self.service, method, path, body)
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        self.send(Method::PUT, path, body).await
    }

    /// An API of this name and path with one operation and this policy.
    pub(crate) async fn api(&self, name: &str, policy: &Value) -> anyhow::Result<()> {
        let api = json!({"properties": {"displayName": name, "path": name, "protocols": ["http"], "subscriptionRequired": false}});
        self.put(&format!("/apis/{name}"), api).await?;
        let operation =
            json!({"properties": {"displayName": "Get", "method": "GET", "urlTemplate": "/"}});
        self.put(&format!("/apis/{name}/operations/get"), operation)
            .await?;
        self.put(&format!("/apis/{name}/policies/policy"), policy.clone())
            .await?;
        Ok(())
    }

    pub(crate) async fn says(&self, body: &str, query: &str) -> anyhow::Result<Answer> {
        self.put(
            &format!("/apis/hello/policies/policy{query}"),
            policy("", body),
        )
        .await
    }

    pub(crate) async fn gateway_token(&self) -> anyhow::Result<String> {
        let expiry = (server::serve::clock()() + chrono::Duration::days(1)).to_rfc3339();
        let body = json!({"keyType": "primary", "expiry": expiry});
        let answer = self
            .send(Method::POST, "/gateways/plant/generateToken", body)
            .await?;
        Ok(answer.body["value"]
            .as_str()
            .context("no token")?
            .to_owned())
    }

    pub(crate) async fn gateway(&self, folder: &Folder) -> anyhow::Result<Apart> {
        let token = self.gateway_token().await?;
        Apart::start(&self.portico.management_url, &token, &folder.0)
            .await?
            .ready()
            .await
    }

    async fn nodes(&self, gateway: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/gateways/{gateway}/nodes");
        let answer = self.send(Method::GET, &path, Value::Null).await?;
        Ok(answer.body["value"].as_array().cloned().unwrap_or_default())
    }
}

pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

pub(crate) fn said(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

#[tokio::test]
async fn a_gateway_apart_serves_its_own_apis_and_each_write_that_waits_for_it() -> anyhow::Result<()>
{
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "apart").await?;
    let folder = Folder::new("apart")?;
    let gateway = plant.gateway(&folder).await?;
    assert_eq!(gateway.get("/hello/").await?, said("one"));
    assert_eq!(
        gateway.get("/echo/resource").await?.0,
        404,
        "not associated"
    );

    let mut last = 0;
    for round in 0..10 {
        let text = format!("round {round}");
        let answer = plant.says(&text, "?wait=all").await?;
        assert_eq!(header(&answer, "x-portico-rollout"), Some("complete"));
        assert_eq!(gateway.get("/hello/").await?, said(&text));
        let revision: u64 = header(&answer, "x-portico-revision")
            .context("no revision")?
            .parse()?;
        assert!(revision > last);
        last = revision;
    }

    // An API that is associated anew comes with everything in it, and goes the same way.
    plant.api("other", &policy("", "other")).await?;
    assert_eq!(gateway.get("/other/").await?.0, 404);
    plant
        .put("/gateways/plant/apis/other?wait=all", json!({}))
        .await?;
    assert_eq!(gateway.get("/other/").await?, said("other"));
    let removed = plant
        .send(
            Method::DELETE,
            "/gateways/plant/apis/other?wait=all",
            Value::Null,
        )
        .await?;
    assert_eq!(header(&removed, "x-portico-rollout"), Some("complete"));
    assert_eq!(gateway.get("/other/").await?.0, 404);
    assert_eq!(gateway.get("/hello/").await?.0, 200);

    let nodes = plant.nodes("plant").await?;
    let shown: Vec<_> = nodes
        .iter()
        .map(|node| (&node["properties"]["mode"], &node["properties"]["isLive"]))
        .collect();
    assert_eq!(shown, [(&json!("feed"), &json!(true))]);
    assert!(nodes[0]["properties"]["revision"].as_u64() > Some(last));
    let managed = plant.nodes("managed").await?;
    assert_eq!(managed[0]["properties"]["mode"], "process");

    // Its calls are in the reports' record like all others.
    let mut connection = PgConnection::connect(&database.url()).await?;
    eventually("a record of its calls", async || {
        let calls: i64 = sqlx::query_scalar("SELECT count(*) FROM calls WHERE path = '/hello/'")
            .fetch_one(&mut connection)
            .await?;
        Ok((calls == 12).then_some(()))
    })
    .await?;

    gateway.stop().await?;
    assert_eq!(plant.nodes("plant").await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn with_everything_else_down_a_gateway_goes_on_and_starts_again_from_its_signed_file()
-> anyhow::Result<()> {
    let (home, folder) = (Folder::new("outage-home")?, Folder::new("outage")?);
    // A Postgres of its own, which ends with it.
    let portico = Portico::start_over(BINARY, "", &[("PORTICO_DATA_DIR", &home.text())]).await?;
    let plant = Plant::new(&portico, "outage").await?;
    let (url, token) = (portico.management_url.clone(), plant.gateway_token().await?);
    let gateway = plant.gateway(&folder).await?;
    plant.says("two", "?wait=all").await?;
    // What is served is on the disk a moment later.
    eventually("the file", async || {
        let (_, body) = gateway.readyz().await?;
        Ok((body["file"]["revision"] == body["configuration"]["revision"]).then_some(()))
    })
    .await?;
    portico.kill().await?;
    gateway.control("unreachable").await?;
    for _ in 0..20 {
        assert_eq!(gateway.get("/hello/").await?, said("two"));
    }
    let file = folder.configuration()?;
    gateway.stop().await?;

    let again = Apart::start(&url, &token, &folder.0).await?.ready().await?;
    assert_eq!(again.get("/hello/").await?, said("two"));
    let (status, body) = again.readyz().await?;
    assert_eq!(
        (status, &body["configuration"]["source"]),
        (200, &json!("file"))
    );
    again.kill().await?;

    let good = std::fs::read(&file)?;
    let refused = async |bytes: Vec<u8>, token: &str| -> anyhow::Result<String> {
        std::fs::write(&file, bytes)?;
        let gateway = Apart::start(&url, token, &folder.0).await?;
        let (status, body) = gateway.readyz().await?;
        assert_eq!((status, gateway.get("/hello/").await?.0), (503, 404));
        gateway.kill().await?;
        Ok(body["file"]["problem"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    };
    let mut tampered = good.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    assert_eq!(
        refused(tampered, &token).await?,
        "the sealed value is damaged or was sealed for another purpose"
    );
    assert_eq!(
        refused(good[..200].to_vec(), &token).await?,
        "it is cut off"
    );
    assert_eq!(
        refused(b"something else".to_vec(), &token).await?,
        "it is no configuration that this program kept"
    );
    // A difference whose writing was interrupted: what is before it is served.
    std::fs::write(&file, &good[..good.len() - 1])?;
    let torn = Apart::start(&url, &token, &folder.0).await?.ready().await?;
    assert_eq!(torn.get("/hello/").await?, said("one"));
    Ok(())
}

#[tokio::test]
async fn a_quota_is_shared_by_all_gateways_and_every_call_counts_once() -> anyhow::Result<()> {
    const ALLOWED: usize = 100;
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "quotas").await?;
    let quota = format!(
        "<quota-by-key calls=\"{ALLOWED}\" renewal-period=\"36000\" counter-key=\"all\" />"
    );
    plant
        .put("/apis/hello/policies/policy", policy(&quota, "one"))
        .await?;
    let folders = (Folder::new("quota-1")?, Folder::new("quota-2")?);
    let (first, second) = (
        plant.gateway(&folders.0).await?,
        plant.gateway(&folders.1).await?,
    );
    let mut admitted = 0;
    while first.get("/hello/").await?.0 == 200 {
        admitted += 1;
    }
    assert_eq!(admitted, ALLOWED, "exact at one gateway");
    let mut at_second = 0;
    eventually("the second gateway knows", async || {
        let status = second.get("/hello/").await?.0;
        at_second += usize::from(status == 200);
        Ok((status == 403).then_some(()))
    })
    .await?;
    assert!(at_second < ALLOWED, "the second gateway began with nothing");
    let mut connection = PgConnection::connect(&database.url()).await?;
    let expected = i64::try_from(ALLOWED + at_second)?;
    eventually("every call is counted once", async || {
        let counted: Option<i64> =
            sqlx::query_scalar("SELECT sum(calls)::int8 FROM quota_counters")
                .fetch_one(&mut connection)
                .await?;
        anyhow::ensure!(counted <= Some(expected), "{counted:?} of {expected}");
        Ok((counted == Some(expected)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_regenerated_key_ends_the_feed_and_the_gateway_says_so_and_serves_on()
-> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "revoked").await?;
    let folder = Folder::new("revoked")?;
    let gateway = plant.gateway(&folder).await?;
    gateway.control("connected").await?;
    plant
        .send(
            Method::POST,
            "/gateways/plant/regenerateKey",
            json!({"keyType": "primary"}),
        )
        .await?;
    let told = gateway.control("refused").await?;
    let why = told["control"]["problem"].as_str().unwrap_or_default();
    assert!(why.contains("generateToken gives a new token"), "{why}");
    plant.says("two", "").await?;
    assert_eq!(gateway.get("/hello/").await?, said("one"));
    assert_eq!(gateway.readyz().await?.0, 200);
    gateway.stop().await?;
    // A new token opens the same file.
    let token = plant.gateway_token().await?;
    let gateway = Apart::start(&portico.management_url, &token, &folder.0).await?;
    let problem = gateway.readyz().await?.1["file"]["problem"].clone();
    assert_eq!(problem, Value::Null);
    eventually("the difference", async || {
        Ok((gateway.get("/hello/").await? == said("two")).then_some(()))
    })
    .await?;
    let missing = Client::new()
        .get(format!(
            "{}/gateway-feed/configuration",
            portico.management_url
        ))
        .send()
        .await?;
    assert_eq!(missing.status(), 401);
    Ok(())
}

#[tokio::test]
async fn a_write_that_waits_names_the_gateways_that_do_not_serve_it() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "waits").await?;
    let folder = Folder::new("waits")?;
    let gateway = plant.gateway(&folder).await?;
    plant.says("two", "?wait=all").await?;
    let node = plant.nodes("plant").await?[0]["name"]
        .as_str()
        .context("no node")?
        .to_owned();
    gateway.signal("-STOP").await?;
    let path = format!("{}/apis/hello/policies/policy?wait=all", plant.service);
    let headers = [("If-Match", "*"), ("Prefer", "wait=1")];
    let answer = portico
        .send(
            &plant.token,
            Method::PUT,
            &path,
            &headers,
            Some(&policy("", "three")),
        )
        .await?;
    assert_eq!(answer.status, 200, "the write itself is done");
    assert_eq!(header(&answer, "x-portico-rollout"), Some("pending"));
    let names = header(&answer, "x-portico-not-serving").unwrap_or_default();
    assert!(names.starts_with(&node) && !names.contains(','), "{names}");
    gateway.signal("-CONT").await?;
    let revision: u64 = header(&answer, "x-portico-revision")
        .context("no revision")?
        .parse()?;
    eventually("the revision", async || {
        let nodes = plant.nodes("plant").await?;
        Ok((nodes[0]["properties"]["revision"].as_u64() >= Some(revision)).then_some(()))
    })
    .await?;
    assert_eq!(gateway.get("/hello/").await?, said("three"));
    let wrong = portico
        .send(
            &plant.token,
            Method::PUT,
            &path.replace("wait=all", "wait=some"),
            &headers,
            Some(&policy("", "four")),
        )
        .await?;
    assert_eq!(
        (
            wrong.status.as_u16(),
            &wrong.body["error"]["details"][0]["target"]
        ),
        (400, &json!("wait"))
    );
    assert_eq!(
        gateway.get("/hello/").await?,
        said("three"),
        "nothing was written"
    );
    Ok(())
}

#[tokio::test]
async fn after_a_restored_database_revisions_go_on_behind_what_gateways_have() -> anyhow::Result<()>
{
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "restored").await?;
    let folder = Folder::new("restored")?;
    let gateway = plant.gateway(&folder).await?;
    plant.says("two", "?wait=all").await?;
    let (_, before) = gateway.readyz().await?;
    let (service, token) = (plant.service.clone(), plant.gateway_token().await?);
    gateway.stop().await?;
    portico.stop().await?;
    // What a backup from before those writes would hold of the numbering.
    let mut connection = PgConnection::connect(&database.url()).await?;
    sqlx::query("DELETE FROM changes WHERE id > 3")
        .execute(&mut connection)
        .await?;
    sqlx::query("SELECT setval(pg_get_serial_sequence('changes', 'id'), 3)")
        .execute(&mut connection)
        .await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant {
        portico: &portico,
        token: portico.token().await?,
        service,
    };
    let gateway = Apart::start(&portico.management_url, &token, &folder.0).await?;
    gateway.control("connected").await?;
    let answer = plant.says("three", "?wait=all").await?;
    assert_eq!(header(&answer, "x-portico-rollout"), Some("complete"));
    assert_eq!(gateway.get("/hello/").await?, said("three"));
    let (_, after) = gateway.readyz().await?;
    assert!(
        after["configuration"]["revision"].as_u64() > before["configuration"]["revision"].as_u64(),
        "{before} {after}"
    );
    Ok(())
}

/// How long changes go on: twenty seconds, or what PORTICO_SOAK_SECONDS says (`make soak`: a minute).
#[expect(
    clippy::disallowed_methods,
    reason = "the one setting of this test, for who runs it by hand"
)]
fn soak_seconds() -> usize {
    let seconds = std::env::var("PORTICO_SOAK_SECONDS").ok();
    seconds.and_then(|s| s.parse().ok()).unwrap_or(20)
}

#[tokio::test]
async fn no_call_fails_or_goes_astray_while_ten_changes_a_second_are_made() -> anyhow::Result<()> {
    const CALLERS: usize = 4;
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "changing").await?;
    plant.api("steady", &policy("", "steady")).await?;
    plant.put("/gateways/plant/apis/steady", json!({})).await?;
    let folder = Folder::new("changing")?;
    let gateway = plant.gateway(&folder).await?;
    plant.says("0", "?wait=all").await?;
    let is_over = std::sync::atomic::AtomicBool::new(false);
    // The in-process gateway serves the same, found by the service's name.
    let targets = [
        (
            format!("http://127.0.0.1:{}", gateway.port),
            "any.example.org",
        ),
        (
            format!("http://127.0.0.1:{}", portico.gateway_port),
            "changing.localhost",
        ),
    ];
    let written = std::sync::atomic::AtomicUsize::new(0);
    let caller = async |number: usize| -> anyhow::Result<usize> {
        let client = Client::new();
        let (base, host) = &targets[number % 2];
        let (mut calls, mut seen) = (0, 0);
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            for api in ["steady", "hello"] {
                let reply = client
                    .get(format!("{base}/{api}/"))
                    .header("Host", *host)
                    .send()
                    .await?;
                let (status, body) = (reply.status().as_u16(), reply.text().await?);
                anyhow::ensure!(status == 200, "{api}: {status} {body}");
                if api == "steady" {
                    anyhow::ensure!(body == "steady", "{body}");
                } else {
                    // What was served may not go back, nor be ahead of what is being written.
                    let version: usize = body.parse()?;
                    let newest = written.load(std::sync::atomic::Ordering::SeqCst) + 1;
                    anyhow::ensure!(
                        (seen..=newest).contains(&version),
                        "{seen} {version} {newest}"
                    );
                    seen = version;
                }
                calls += 1;
            }
        }
        Ok(calls)
    };
    let changes = async {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for round in 1..=soak_seconds() * 10 {
            tick.tick().await;
            // Neighbours come, change and go: APIs, operations, named values, products.
            match round % 5 {
                0 => {
                    let named = json!({"properties": {"displayName": format!("value-{}", round % 7), "value": round.to_string()}});
                    plant
                        .put(&format!("/namedValues/value-{}", round % 7), named)
                        .await?;
                }
                1 => plant.api("passing", &policy("", "passing")).await?,
                2 => {
                    plant.put("/gateways/plant/apis/passing", json!({})).await?;
                }
                3 => {
                    plant
                        .send(Method::DELETE, "/apis/passing", Value::Null)
                        .await?;
                }
                _ => {
                    let operation = json!({"properties": {"displayName": "More", "method": "GET", "urlTemplate": format!("/more/{round}")}});
                    plant.put("/apis/steady/operations/more", operation).await?;
                }
            }
            let next = written.load(std::sync::atomic::Ordering::SeqCst) + 1;
            plant.says(&next.to_string(), "").await?;
            written.store(next, std::sync::atomic::Ordering::SeqCst);
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        anyhow::Ok(())
    };
    let callers = futures_util::future::try_join_all((0..CALLERS).map(&caller));
    let (calls, ()) = tokio::try_join!(callers, changes)?;
    eprintln!(
        "{} calls during {} rounds of changes",
        calls.iter().sum::<usize>(),
        soak_seconds() * 10
    );
    assert!(calls.iter().all(|calls| *calls > 0));
    Ok(())
}
