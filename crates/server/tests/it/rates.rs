//! Limits over several gateway processes: exact with Redis, bounded without.

use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::json;
use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::Portico;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
/// Longest that anything may take on a busy machine before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
const CALLS: usize = 20;

/// A real Redis without persistence.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Redis {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        // The port is free when it is asked for; Redis cannot be told to choose one.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        Self::start_at(port).await
    }

    pub(crate) async fn start_at(port: u16) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("portico-redis-{port}"));
        std::fs::create_dir_all(&folder)?;
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .arg("--dir")
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server; scripts/prepare.sh test installs it")?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            anyhow::ensure!(began.elapsed() < LIMIT, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            child,
            port,
            folder,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it, and with it everything that was counted.
    pub(crate) async fn kill(mut self) -> anyhow::Result<u16> {
        self.child.kill().await?;
        Ok(self.port)
    }

    /// Stops it from answering without closing its connections, or lets it go on.
    pub(crate) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.child.id().context("no pid")?.to_string();
        let done = Command::new("kill").args([signal, &pid]).status().await?;
        anyhow::ensure!(done.success(), "kill {signal}");
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // What is left of a failed test is in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Three Porticos over one database, whose gateways all serve one service.
struct Three {
    _database: TestDatabase,
    porticos: Vec<Portico>,
    token: String,
    service: String,
    client: Client,
}

impl Three {
    async fn start(environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let database = TestDatabase::create().await?;
        let mut porticos = Vec::new();
        for _ in 0..3 {
            porticos.push(Portico::start(BINARY, &database, environment).await?);
        }
        let token = porticos[0].token().await?;
        let service = porticos[0].service(&token, "limited").await?;
        Ok(Self {
            _database: database,
            porticos,
            token,
            service,
            client: Client::new(),
        })
    }

    /// Puts these policies on the Echo API, which then needs no key, and waits until every gateway has them.
    async fn limit(&self, policies: &str) -> anyhow::Result<()> {
        let open = json!({"properties": {"subscriptionRequired": false}});
        let path = format!("{}/apis/echo-api", self.service);
        let any = [("If-Match", "*")];
        let opened = self.porticos[0]
            .send(&self.token, Method::PATCH, &path, &any, Some(&open))
            .await?;
        anyhow::ensure!(opened.status.is_success(), "{opened:?}");
        let value = format!(
            "<policies><inbound><base />{policies}<return-response><set-status code=\"204\" /></return-response></inbound>\
             <backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"
        );
        let body = json!({"properties": {"format": "rawxml", "value": value}});
        let put = self.porticos[0]
            .send(
                &self.token,
                Method::PUT,
                &format!("{path}/policies/policy?wait=all"),
                &[("Prefer", "wait=30")],
                Some(&body),
            )
            .await?;
        anyhow::ensure!(put.status.is_success(), "{put:?}");
        anyhow::ensure!(put.headers["x-portico-rollout"] == "complete", "{put:?}");
        Ok(())
    }

    async fn call(&self, gateway: usize, tenant: &str) -> anyhow::Result<u16> {
        let port = self.porticos[gateway].gateway_port;
        let reply = self
            .client
            .get(format!("http://127.0.0.1:{port}/echo/resource?param1=x"))
            .header("Host", "limited.localhost")
            .header("tenant", tenant)
            .send()
            .await?;
        Ok(reply.status().as_u16())
    }

    /// Calls every gateway so often, all at once; how many calls each let pass.
    async fn admitted(
        &self,
        tenant: &str,
        calls: usize,
        refusal: u16,
    ) -> anyhow::Result<Vec<usize>> {
        let mut admitted = vec![0; self.porticos.len()];
        let all = (0..self.porticos.len() * calls).map(async |n| {
            let gateway = n % self.porticos.len();
            anyhow::Ok((gateway, self.call(gateway, tenant).await?))
        });
        for outcome in futures_util::future::join_all(all).await {
            match outcome? {
                (gateway, 204) => admitted[gateway] += 1,
                (_, status) => anyhow::ensure!(status == refusal, "{status}"),
            }
        }
        Ok(admitted)
    }

    async fn metric(&self, gateway: usize, line: &str) -> anyhow::Result<bool> {
        let url = format!("{}/metrics", self.porticos[gateway].management_url);
        let text = self.client.get(url).send().await?.text().await?;
        Ok(text.lines().any(|known| known == line))
    }

    async fn all_connected(&self, connected: bool) -> anyhow::Result<()> {
        let line = format!(
            "portico_gateway_shared_rates_connected {}",
            u8::from(connected)
        );
        for gateway in 0..self.porticos.len() {
            let began = Instant::now();
            while !self.metric(gateway, &line).await? {
                anyhow::ensure!(began.elapsed() < LIMIT, "gateway {gateway}: never {line}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

/// One limit per tenant, so that each part of a test begins with nothing counted.
fn rate(limit: usize) -> String {
    format!(
        "<rate-limit-by-key calls=\"{limit}\" renewal-period=\"300\" \
         counter-key=\"@(context.Request.Headers.GetValueOrDefault(\"tenant\", \"none\"))\" />"
    )
}

#[tokio::test]
async fn three_gateways_with_redis_admit_the_limit_together_and_go_on_without_it()
-> anyhow::Result<()> {
    let redis = Redis::start().await?;
    let three = Three::start(&[
        ("PORTICO_REDIS_URL", &redis.url()),
        // As long as a busy machine may take, so that only a Redis that hangs is one.
        ("PORTICO_REDIS_WAIT_MS", "3000"),
    ])
    .await?;
    three.limit(&rate(CALLS)).await?;
    three.all_connected(true).await?;
    let admitted = three.admitted("exact", CALLS, 429).await?;
    assert_eq!(
        admitted.iter().sum::<usize>(),
        CALLS,
        "counted as single calls: {admitted:?}"
    );

    // Above 64 calls the windows are slices, and they are as exact.
    three.limit(&rate(90)).await?;
    let admitted = three.admitted("slices", 60, 429).await?;
    assert_eq!(
        admitted.iter().sum::<usize>(),
        90,
        "counted in slices: {admitted:?}"
    );
    three.limit(&rate(CALLS)).await?;

    // It hangs: no call fails, and each gateway counts for itself.
    redis.signal("-STOP").await?;
    let began = Instant::now();
    let admitted = three.admitted("hanging", CALLS + 5, 429).await?;
    assert_eq!(admitted, [CALLS; 3], "each gateway has the limit");
    anyhow::ensure!(began.elapsed() < LIMIT, "calls waited for Redis");
    three.all_connected(false).await?;
    redis.signal("-CONT").await?;
    three.all_connected(true).await?;
    let admitted = three.admitted("awake", CALLS, 429).await?;
    assert_eq!(admitted.iter().sum::<usize>(), CALLS, "{admitted:?}");

    // It is gone, and another one comes: what a gateway admitted itself is not forgotten meanwhile.
    let mut before = 0;
    for _ in 0..CALLS {
        before += usize::from(three.call(0, "lost").await? == 204);
    }
    assert_eq!(before, CALLS);
    let port = redis.kill().await?;
    assert_eq!(three.call(0, "lost").await?, 429, "counted here as well");
    let admitted = three.admitted("gone", CALLS + 5, 429).await?;
    assert_eq!(admitted, [CALLS; 3]);
    let _another = Redis::start_at(port).await?;
    three.all_connected(true).await?;
    let admitted = three.admitted("recovered", CALLS, 429).await?;
    assert_eq!(admitted.iter().sum::<usize>(), CALLS, "{admitted:?}");
    Ok(())
}

#[tokio::test]
async fn three_gateways_without_redis_admit_at_most_three_times_a_rate_and_one_exchange_over_a_quota()
-> anyhow::Result<()> {
    let three = Three::start(&[]).await?;
    three.limit(&rate(CALLS)).await?;
    // The bound is reached, so that it is the least that can be promised.
    let admitted = three.admitted("bound", CALLS + 5, 429).await?;
    assert_eq!(admitted, [CALLS; 3], "each gateway is exact");

    three
        .limit(&format!(
            "<quota-by-key calls=\"{CALLS}\" renewal-period=\"100000\" \
             counter-key=\"@(context.Request.Headers.GetValueOrDefault(\"tenant\", \"none\"))\" />"
        ))
        .await?;
    let admitted = three.admitted("burst", CALLS + 5, 403).await?;
    let total: usize = admitted.iter().sum();
    assert!(
        (CALLS..=3 * CALLS).contains(&total),
        "a burst within one exchange: {admitted:?}"
    );
    // One gateway uses the quota up. The others learn of it with the next exchange and admit nothing after that.
    for call in 0..CALLS {
        assert_eq!(three.call(0, "shared").await?, 204, "call {call}");
    }
    assert_eq!(three.call(0, "shared").await?, 403);
    for gateway in [1, 2] {
        let began = Instant::now();
        let mut late = 0;
        while three.call(gateway, "shared").await? == 204 {
            late += 1;
            anyhow::ensure!(began.elapsed() < LIMIT, "gateway {gateway} never learned");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(late <= CALLS, "gateway {gateway} admitted {late}");
        for _ in 0..5 {
            assert_eq!(three.call(gateway, "shared").await?, 403);
        }
    }
    Ok(())
}
