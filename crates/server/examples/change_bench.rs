//! How long a write takes to be served among 100,000 operations, and how fast a gateway starts from its file.
//!
//! ```sh
//! cargo build --release -p server
//! cargo run --release -p server --example change_bench -- target/release/portico
//! ```
//!
//! Three processes as in production: Postgres, the control plane with its own gateway, and a gateway apart. A write is measured from
//! the moment it is sent until a call through the gateway is answered by what was written; callers ask all the time. A start is
//! measured from the process's creation until a call is answered, with the control plane down.

use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::Portico;
use tokio::process::{Child, Command};

/// Operations around the one that is written.
const OPERATIONS: i64 = 100_000;
/// Writes that are measured.
const WRITES: usize = 300;
/// Operations, and subscriptions, of the configuration that gateways start from.
const ROUTES: i64 = 10_000;
/// Starts that are measured.
const STARTS: usize = 31;
/// Longest that a step may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Host of the measured service.
const HOST: &str = "bench.localhost";

/// The control plane with a service, and its administrator.
struct Plane<'a> {
    portico: &'a Portico,
    token: String,
    service: String,
}

impl Plane<'_> {
    async fn send(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let body = (!body.is_null()).then_some(&body);
        let asked = self
            .portico
            .ask(&self.token, &self.service, method, path, body);
        Ok(asked.await?.body)
    }

    /// A token of the gateway that serves everything.
    async fn gateway_token(&self) -> anyhow::Result<String> {
        self.send(Method::PUT, "/gateways/managed", json!({"properties": {}}))
            .await?;
        let expiry = (server::serve::clock()() + chrono::Duration::days(1)).to_rfc3339();
        let body = json!({"keyType": "primary", "expiry": expiry});
        let answer = self
            .send(Method::POST, "/gateways/managed/generateToken", body)
            .await?;
        Ok(answer["value"].as_str().context("no token")?.to_owned())
    }

    /// An API that answers by itself, with this many operations put straight into the database.
    async fn api(&self, database: &TestDatabase, operations: i64) -> anyhow::Result<()> {
        let api = json!({"properties": {"displayName": "many", "path": "many", "protocols": ["http"], "subscriptionRequired": false}});
        self.send(Method::PUT, "/apis/many", api).await?;
        let policy = json!({"properties": {"format": "rawxml", "value":
            "<policies><inbound><return-response><set-status code=\"200\" reason=\"OK\" /></return-response></inbound>\
             <backend><base /></backend><outbound /><on-error /></policies>"}});
        self.send(Method::PUT, "/apis/many/policies/policy", policy)
            .await?;
        let mut connection = PgConnection::connect(&database.url()).await?;
        sqlx::query(
            "INSERT INTO api_operations (id, parent_id, name, rev, created_at, updated_at, display_name, method, url_template, \
               template_parameters, responses) \
             SELECT gen_random_uuid(), a.id, 'o' || n, 1, now(), now(), 'Operation ' || n, 'GET', '/items/' || n || '/{part}', '[]', '[]' \
             FROM apis a, generate_series(1, $1) n WHERE a.name = 'many'",
        )
        .bind(operations)
        .execute(&mut connection)
        .await?;
        Ok(())
    }
}

/// A gateway apart, started by hand, because the start is what is measured.
fn gateway(
    binary: &Path,
    url: &str,
    token: &str,
    folder: &Path,
    port: u16,
) -> anyhow::Result<Child> {
    Ok(Command::new(binary)
        .arg("gateway")
        .env_remove("DATABASE_URL")
        .env("PORTICO_CONTROL_URL", url)
        .env("PORTICO_GATEWAY_TOKEN", token)
        .env("PORTICO_DATA_DIR", folder)
        .env("PORTICO_LISTEN", "127.0.0.1:0")
        .env("PORTICO_GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
        .env("PORTICO_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Calls until the status is 200; the moment of that answer.
async fn served(client: &Client, url: &str) -> anyhow::Result<Instant> {
    let began = Instant::now();
    loop {
        let answer = client.get(url).header("Host", HOST).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return Ok(Instant::now());
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "{url} is not served");
        // The processes share what the machine has: a caller that never waits would measure itself.
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!(
        "{what}: n {}, p50 {:.2?}, p90 {:.2?}, p99 {:.2?}, max {:.2?}",
        times.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

async fn changes(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    let text = binary.to_string_lossy();
    let database = TestDatabase::create().await?;
    let quiet = [("PORTICO_LOG", "error")];
    let portico = Portico::start(&text, &database, &quiet).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "bench").await?;
    let plane = Plane {
        portico: &portico,
        token,
        service: service.clone(),
    };
    plane.api(&database, OPERATIONS).await?;
    portico.stop().await?;
    // What was put straight into the database is read at the start.
    let portico = Portico::start(&text, &database, &quiet).await?;
    let plane = Plane {
        token: portico.token().await?,
        portico: &portico,
        service,
    };
    let token = plane.gateway_token().await?;
    let port = free_port()?;
    let _apart = gateway(binary, &portico.management_url, &token, folder, port)?;
    let client = Client::new();
    let own = format!("http://127.0.0.1:{}/many", portico.gateway_port);
    let other = format!("http://127.0.0.1:{port}/many");
    served(&client, &format!("{other}/items/1/x")).await?;
    let (mut replies, mut here, mut there) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..WRITES {
        let body = json!({"properties": {"displayName": "Written", "method": "GET", "urlTemplate": format!("/written/{round}")}});
        let (own, other) = (
            format!("{own}/written/{round}"),
            format!("{other}/written/{round}"),
        );
        let began = Instant::now();
        let write = async {
            plane
                .send(Method::PUT, "/apis/many/operations/written", body)
                .await?;
            anyhow::Ok(Instant::now())
        };
        let (replied, at_own, at_other) =
            tokio::try_join!(write, served(&client, &own), served(&client, &other))?;
        replies.push(replied - began);
        here.push(at_own - began);
        there.push(at_other - began);
    }
    println!("among {OPERATIONS} operations:");
    print("  write -> reply", replies);
    print("  write -> served by the control plane's own gateway", here);
    print("  write -> served by a gateway apart", there);
    Ok(())
}

/// Proportional set size of a process in KiB: of all, and of what comes from files, which is the program itself.
fn pss_kib(pid: u32) -> [u64; 2] {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    ["Pss:", "Pss_File:"].map(|name| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_default()
    })
}

async fn starts(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    let text = binary.to_string_lossy();
    let database = TestDatabase::create().await?;
    let quiet = [("PORTICO_LOG", "error")];
    let portico = Portico::start(&text, &database, &quiet).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "bench").await?;
    let plane = Plane {
        portico: &portico,
        token,
        service: service.clone(),
    };
    plane.api(&database, ROUTES).await?;
    let mut connection = PgConnection::connect(&database.url()).await?;
    // Gateways get the digests only; nobody asks for these keys.
    sqlx::query(
        "INSERT INTO subscriptions (id, parent_id, name, rev, created_at, updated_at, scope, display_name, state, created_date, \
           primary_key, secondary_key, primary_digest, secondary_digest) \
         SELECT gen_random_uuid(), s.id, 's' || n, 1, now(), now(), '/apis', 'Subscription ' || n, 'active', now(), \
           '', '', sha256(('a' || n)::bytea), sha256(('b' || n)::bytea) FROM services s, generate_series(1, $1) n WHERE s.name = 'bench'",
    )
    .bind(ROUTES)
    .execute(&mut connection)
    .await?;
    portico.stop().await?;
    let portico = Portico::start(&text, &database, &quiet).await?;
    let plane = Plane {
        token: portico.token().await?,
        portico: &portico,
        service,
    };
    let (url, token) = (portico.management_url.clone(), plane.gateway_token().await?);
    let port = free_port()?;
    let call = format!("http://127.0.0.1:{port}/many/items/{ROUTES}/x");
    let mut first = gateway(binary, &url, &token, folder, port)?;
    served(&Client::new(), &call).await?;
    let began = Instant::now();
    let file = loop {
        let found = std::fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|e| e == "configuration"));
        match found {
            Some(found) => break found,
            None => anyhow::ensure!(began.elapsed() < LIMIT, "nothing is kept"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    first.kill().await?;
    portico.stop().await?;
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let client = Client::new();
        let began = Instant::now();
        let mut started = gateway(binary, &url, &token, folder, port)?;
        times.push(served(&client, &call).await? - began);
        memory.push(pss_kib(started.id().context("no pid")?));
        started.kill().await?;
    }
    memory.sort_unstable();
    println!(
        "{ROUTES} routes and {ROUTES} keys, a file of {} KiB:",
        std::fs::metadata(file)?.len() / 1024
    );
    print(
        "  start of a gateway from its file -> first call served",
        times,
    );
    let [all, program] = memory[memory.len() / 2];
    println!("  its memory then: {all} KiB PSS, of it {program} KiB the program");
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let binary = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/release/portico"), PathBuf::from);
    anyhow::ensure!(binary.is_file(), "{} is not built", binary.display());
    let folder = std::env::temp_dir().join(format!("portico-bench-{}", std::process::id()));
    for part in ["changes", "starts"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    changes(&binary, &folder.join("changes")).await?;
    starts(&binary, &folder.join("starts")).await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
