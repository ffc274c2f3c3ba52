//! What the management API costs above Postgres: its calls side by side with `pgbench` on the same Postgres, in one run.
//!
//! `make bench-control`, or `target/release/bench-control [seconds rows [measure]]`
//!
//! A `portico serve` of its own on its embedded Postgres, durable as in production. Each measure is taken at several numbers of
//! connections on each side, the rounds of the two sides interleaved, and the best of each side is compared: calls per second of
//! authenticated, authorised HTTP against transactions per second of the statement that a hand-written program would send at least.
//! The last table has latencies with `rows` (1,000,000) subscriptions in one service.
//!
//! `bench-control train` only makes the calls, a second for each measure and number of connections: the load for which
//! `scripts/release.sh` optimises the management API.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The allocator of the `portico` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERVICE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/bench/providers/Microsoft.ApiManagement/service/bench";
const ADMINISTRATOR: &str = "admin@example.org";
/// Connections on either side.
const CONNECTIONS: [usize; 4] = [4, 8, 16, 32];
/// Subscriptions that are there while calls are compared with statements.
const FEW: usize = 10_000;

/// One HTTP/1.1 connection.
struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
    token: Arc<str>,
}

struct Answer {
    status: u16,
    etag: Option<String>,
    body: Vec<u8>,
}

impl Http {
    async fn connect(address: SocketAddr, token: Arc<str>) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            token,
        })
    }

    async fn call(
        &mut self,
        method: &str,
        path: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Outcome<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let if_match = if_match.map_or_else(String::new, |etag| format!("If-Match: {etag}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{if_match}Content-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break end + 4;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed".into());
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).into_owned();
        let header = |name: &str| {
            text.lines().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        let length: usize = header("content-length").map_or(Ok(0), |text| text.parse())?;
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
        Ok(Answer {
            status: text.split(' ').nth(1).unwrap_or_default().parse()?,
            etag: header("etag"),
            body: self.buffer[head..head + length].to_vec(),
        })
    }

    async fn expect(
        &mut self,
        statuses: &[u16],
        method: &str,
        path: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Outcome<Answer> {
        let answer = self.call(method, path, if_match, body).await?;
        if statuses.contains(&answer.status) {
            return Ok(answer);
        }
        let body = String::from_utf8_lossy(&answer.body);
        Err(format!("{method} {path}: {} {body}", answer.status).into())
    }
}

fn path(below: &str, query: &str) -> String {
    format!("{SERVICE}{below}?api-version=2024-05-01{query}")
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Read,
    Create,
    Page,
    Update,
}

impl Measure {
    const ALL: [Self; 4] = [Self::Read, Self::Create, Self::Page, Self::Update];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read by id",
            Self::Create => "create",
            Self::Page => "page of 100",
            Self::Update => "versioned update",
        }
    }

    fn bounds(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("0.35", "0.6"),
            Self::Create => ("0.5", "0.85"),
            Self::Page => ("0.4", "0.75"),
            Self::Update => ("0.5", "0.85"),
        }
    }

    /// The least that a program of one's own would send: the same rows, in one statement.
    fn statement(self) -> String {
        let find = "FROM services c JOIN subscriptions s ON s.parent_id = c.id WHERE lower(c.name) = 'bench'";
        let parent = "(SELECT id FROM services WHERE lower(name) = 'bench')";
        match self {
            Self::Read => format!(
                "\\set n random(1, {FEW})\nSELECT s.* {find} AND lower(s.name) = 's-' || lpad(:n::text, 7, '0');\n"
            ),
            Self::Create => format!(
                "WITH c AS (SELECT id FROM services WHERE lower(name) = 'bench'), r AS (INSERT INTO subscriptions ({COLUMNS}) \
                 SELECT gen_random_uuid(), c.id, 'p-' || gen_random_uuid(), 1, now(), now(), '/apis', 'pgbench', 'active', now(), true, \
                 sha256(gen_random_uuid()::text::bytea), sha256(gen_random_uuid()::text::bytea), \
                 sha256(gen_random_uuid()::text::bytea), sha256(gen_random_uuid()::text::bytea) FROM c RETURNING id, parent_id, name), \
                 a AS (INSERT INTO audit_entries (id, parent_id, name, rev, created_at, updated_at, recorded_at, caller, address, request_id, action, resource, after) \
                 SELECT gen_random_uuid(), r.parent_id, gen_random_uuid()::text, 1, now(), now(), now(), 'bench', '127.0.0.1', gen_random_uuid()::text, 'create', r.name, '{{\"displayName\":\"pgbench\",\"state\":\"active\",\"scope\":\"/apis\"}}' FROM r) \
                 INSERT INTO changes (service_id, entity, entity_id) SELECT r.parent_id, 'subscriptions', r.id FROM r;\n"
            ),
            Self::Page => format!(
                "\\set n random(1, {})\nSELECT s.* FROM subscriptions s WHERE s.parent_id = {parent} \
                 AND lower(s.name) > 's-' || lpad(:n::text, 7, '0') ORDER BY lower(s.name) LIMIT 101;\n",
                FEW - 101
            ),
            Self::Update => "WITH r AS (UPDATE subscriptions s SET display_name = 'pgbench ' || random(), rev = s.rev + 1, updated_at = now() \
                 FROM services c WHERE s.parent_id = c.id AND lower(c.name) = 'bench' AND lower(s.name) = 's-' || lpad((:client_id + 1)::text, 7, '0') RETURNING s.id, s.parent_id, s.name), \
                 a AS (INSERT INTO audit_entries (id, parent_id, name, rev, created_at, updated_at, recorded_at, caller, address, request_id, action, resource, before, after) \
                 SELECT gen_random_uuid(), r.parent_id, gen_random_uuid()::text, 1, now(), now(), now(), 'bench', '127.0.0.1', gen_random_uuid()::text, 'update', r.name, '{\"displayName\":\"before\"}', '{\"displayName\":\"after\"}' FROM r) \
                 INSERT INTO changes (service_id, entity, entity_id) SELECT r.parent_id, 'subscriptions', r.id FROM r;\n".to_owned(),
        }
    }
}

const COLUMNS: &str = "id, parent_id, name, rev, created_at, updated_at, scope, display_name, state, created_date, allow_tracing, primary_key, secondary_key, primary_digest, secondary_digest";

fn subscription(number: usize) -> String {
    format!("/subscriptions/s-{number:07}")
}

/// Calls over `connections` for a while; gives calls per second.
async fn calls(
    address: SocketAddr,
    token: &Arc<str>,
    measure: Measure,
    connections: usize,
    time: Duration,
    serial: &Arc<AtomicU64>,
) -> Outcome<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for connection in 0..connections {
        let (stop, count, serial, token) = (
            Arc::clone(&stop),
            Arc::clone(&count),
            Arc::clone(serial),
            Arc::clone(token),
        );
        tasks.push(tokio::spawn(async move {
            let mut http = Http::connect(address, token).await?;
            // Seeded rows have keys of another one, which no write of theirs would be allowed to keep.
            let own = path(&format!("/subscriptions/u-{connection}"), "");
            let body = json!({"properties": {"scope": "/apis", "displayName": "own", "state": "active"}});
            let mut etag = match measure {
                Measure::Update => http.expect(&[200, 201], "PUT", &own, None, Some(&body)).await?.etag,
                _ => None,
            };
            let mut number = connection;
            while !stop.load(Ordering::Relaxed) {
                number = (number + 7919) % FEW;
                match measure {
                    Measure::Read => {
                        http.expect(&[200], "GET", &path(&subscription(number + 1), ""), None, None).await?;
                    }
                    Measure::Page => {
                        let after = format!("s-{:07}", number % (FEW - 101) + 1);
                        let token = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(after);
                        let query = format!("&$top=100&$skiptoken={token}");
                        http.expect(&[200], "GET", &path("/subscriptions", &query), None, None).await?;
                    }
                    Measure::Create => {
                        let new = path(&format!("/subscriptions/n-{}", serial.fetch_add(1, Ordering::Relaxed)), "");
                        let body = json!({"properties": {"scope": "/apis", "displayName": "created", "state": "active", "allowTracing": true}});
                        http.expect(&[201], "PUT", &new, None, Some(&body)).await?;
                    }
                    Measure::Update => {
                        let body = json!({"properties": {"displayName": format!("updated {number}")}});
                        etag = http.expect(&[200], "PATCH", &own, etag.as_deref(), Some(&body)).await?.etag;
                    }
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Ok(())
        }));
    }
    let began = Instant::now();
    tokio::time::sleep(time).await;
    let counted = count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(counted)
}

/// Transactions per second of `pgbench`.
fn statements(
    pgbench: &Path,
    url: &str,
    script: &Path,
    connections: usize,
    time: Duration,
) -> Outcome<f64> {
    let output = Command::new(pgbench)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={connections}"))
        .arg(format!("--time={}", time.as_secs().max(1)))
        .arg("--file")
        .arg(script)
        .arg(url)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.ok_or_else(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Ends a process with the value: politely, so that its Postgres ends too.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if Command::new("kill")
            .arg(self.0.id().to_string())
            .status()
            .is_err()
        {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

/// CPU seconds that Portico, its Postgres, and this program with its children have used so far. Unlike rates they say the same on a
/// machine that others use, too.
fn cpu_seconds(portico: u32) -> Outcome<f64> {
    /// Clock ticks in a second, on every Linux.
    const TICKS: f64 = 100.0;
    let mut ticks = 0;
    let mut parents = std::collections::HashMap::new();
    let mut times = std::collections::HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end meanwhile; its parent has its time then.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        let time: u64 = (11..15).filter_map(number).sum();
        let parent = number(1).and_then(|parent| u32::try_from(parent).ok());
        parents.insert(pid, parent.unwrap_or_default());
        times.insert(pid, time);
    }
    for (pid, time) in times {
        let mut ancestor = pid;
        while ancestor > 1 && ancestor != portico && ancestor != std::process::id() {
            ancestor = parents.get(&ancestor).copied().unwrap_or_default();
        }
        if ancestor > 1 {
            ticks += time;
        }
    }
    Ok(ticks as f64 / TICKS)
}

/// Portico beside this program's own file, or one folder above it.
fn portico() -> Outcome<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .map(|folder| folder.join("portico"))
        .find(|path| path.is_file())
        .ok_or_else(|| "portico is not built: cargo build --release -p server".into())
}

fn pgbench() -> Outcome<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/pgbench")))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().ok_or_else(|| "pgbench is not installed".into())
}

fn free_address() -> Outcome<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn started(address: SocketAddr) -> Outcome<()> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if let Ok(mut http) = Http::connect(address, "".into()).await
            && let Ok(answer) = http.call("GET", "/readyz", None, None).await
            && answer.status == 200
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("portico did not start".into())
}

/// Waits until Portico has done what the writes so far leave to be done after them, whoever made them: the audit trail is chained and
/// the gateways have the changes. Else each side would pay for what the other one left behind.
async fn settled(url: &str) -> Outcome<()> {
    let mut connection = PgConnection::connect(url).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let is_settled: bool = sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM audit_entries WHERE sequence IS NULL) \
             AND (SELECT max(id) FROM changes) <= (SELECT max(revision) FROM gateway_nodes)",
        )
        .fetch_one(&mut connection)
        .await?;
        if is_settled {
            connection.close().await?;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("Portico did not catch up with what was written".into())
}

/// Rows `from..to` of subscriptions as Portico would have written them, but with keys that open nothing.
async fn seed(url: &str, from: usize, to: usize) -> Outcome<()> {
    let mut connection = PgConnection::connect(url).await?;
    let statement = format!(
        "INSERT INTO subscriptions ({COLUMNS}) SELECT gen_random_uuid(), c.id, 's-' || lpad(n::text, 7, '0'), 1, now(), now(), '/apis', \
         'Subscription ' || n, CASE WHEN n % 1000 = 0 THEN 'submitted' ELSE 'active' END, now(), true, k.primary_key, k.secondary_key, \
         sha256(('p' || n)::bytea), sha256(('s' || n)::bytea) \
         FROM services c, generate_series($1::int, $2::int - 1) n, \
         (SELECT primary_key, secondary_key FROM subscriptions ORDER BY created_at LIMIT 1) k WHERE lower(c.name) = 'bench'"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(i32::try_from(from)?)
        .bind(i32::try_from(to)?)
        .execute(&mut connection)
        .await?;
    sqlx::query("VACUUM ANALYZE subscriptions")
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// Operations of the document that is imported.
const IMPORTED: usize = 2_000;

/// How long the import of a large document takes, as create and as re-import; medians of some.
async fn imports(address: SocketAddr, token: &Arc<str>) -> Outcome<()> {
    let mut http = Http::connect(address, Arc::clone(token)).await?;
    let paths: serde_json::Map<String, Value> = (0..IMPORTED)
        .map(|n| {
            let operation = json!({"operationId": format!("operation-{n}"), "summary": format!("Operation {n}"),
                "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
                "responses": {"200": {"description": "OK"}}});
            (format!("/resources/{n}/items/{{id}}"), json!({"get": operation}))
        })
        .collect();
    let document =
        json!({"openapi": "3.0.3", "info": {"title": "Large", "version": "1"}, "paths": paths})
            .to_string();
    println!("\n| import of {IMPORTED} operations | median s | must |\n|---|---|---|");
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let body = json!({"properties": {"path": format!("large-{n}"), "format": "openapi+json", "value": document}});
        for times in [&mut first, &mut again] {
            let began = Instant::now();
            http.expect(
                &[200, 201],
                "PUT",
                &path(&format!("/apis/large-{n}"), ""),
                None,
                Some(&body),
            )
            .await?;
            times.push(began.elapsed().as_secs_f64());
        }
    }
    for (name, mut times) in [("as a new API", first), ("onto the same API", again)] {
        times.sort_by(f64::total_cmp);
        println!("| {name} | {:.2} | < 2 |", percentile(&times, 0.5));
    }
    Ok(())
}

/// The p-th percentile in milliseconds.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let at = ((sorted.len() as f64 * p).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted.get(at).copied().unwrap_or_default()
}

/// Latencies of lists of one connection with many rows.
async fn lists(address: SocketAddr, token: &Arc<str>, rows: usize) -> Outcome<()> {
    let mut http = Http::connect(address, Arc::clone(token)).await?;
    println!("\n| {rows} subscriptions: list | p50 ms | p99 ms | longest ms |\n|---|---|---|---|");
    let numbers = |n: usize| (n * 7919 * 104_729) % rows + 1;
    let deep = |n: usize| -> String {
        let token = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(format!("s-{:07}", numbers(n)));
        format!("&$top=100&$skiptoken={token}")
    };
    type Query<'q> = (&'static str, Box<dyn Fn(usize) -> String + 'q>);
    let filter = |text: String| {
        format!(
            "&$top=100&$filter={}",
            text.replace(' ', "%20").replace('\'', "%27")
        )
    };
    let queries: Vec<Query<'_>> = vec![
        ("first page", Box::new(|_| "&$top=100".to_owned())),
        ("page at any depth, by nextLink", Box::new(deep)),
        (
            "page at any depth, by $skip",
            Box::new(|n| format!("&$top=100&$skip={}", numbers(n) - 1)),
        ),
        (
            "page after page, by $skip",
            Box::new(move |n| format!("&$top=100&$skip={}", rows / 2 + n * 100)),
        ),
        (
            "name ne, at any depth",
            Box::new(|n| {
                let filter = filter(format!("name ne 's-{:07}'", numbers(n)));
                format!("{filter}{}", deep(n).replace("&$top=100", ""))
            }),
        ),
        (
            "name eq",
            Box::new(|n| filter(format!("name eq 's-{:07}'", numbers(n)))),
        ),
        (
            "name ge",
            Box::new(|n| filter(format!("name ge 's-{:07}'", numbers(n)))),
        ),
        (
            "displayName eq",
            Box::new(|n| {
                filter(format!(
                    "properties/displayName eq 'Subscription {}'",
                    numbers(n)
                ))
            }),
        ),
        (
            "displayName ge",
            Box::new(|n| {
                filter(format!(
                    "properties/displayName ge 'Subscription {}'",
                    numbers(n)
                ))
            }),
        ),
        (
            "startswith(displayName)",
            Box::new(|n| {
                filter(format!(
                    "startswith(properties/displayName,'Subscription {}')",
                    numbers(n) / 10
                ))
            }),
        ),
        (
            "contains(displayName)",
            Box::new(|n| filter(format!("contains(properties/displayName,'{}')", numbers(n)))),
        ),
        (
            "endswith(name)",
            Box::new(|n| filter(format!("endswith(name,'{}')", numbers(n)))),
        ),
        (
            "state eq submitted",
            Box::new(|_| filter("properties/state eq 'submitted'".to_owned())),
        ),
        (
            "state eq rejected (none)",
            Box::new(|_| filter("properties/state eq 'rejected'".to_owned())),
        ),
        (
            "state ne active",
            Box::new(|_| filter("properties/state ne 'active'".to_owned())),
        ),
        (
            "not (state eq active) and contains(displayName)",
            Box::new(|n| {
                filter(format!(
                    "not (properties/state eq 'active') and contains(properties/displayName,'{}')",
                    numbers(n) % 1000
                ))
            }),
        ),
        (
            "scope ne (none)",
            Box::new(|_| filter("properties/scope ne '/apis'".to_owned())),
        ),
        (
            "startswith(scope) (none)",
            Box::new(|_| filter("startswith(properties/scope,'/products/')".to_owned())),
        ),
        (
            "scope eq",
            Box::new(|_| filter("properties/scope eq '/apis'".to_owned())),
        ),
        (
            "stateComment eq (none)",
            Box::new(|n| filter(format!("properties/stateComment eq '{n}'"))),
        ),
        (
            "contains(stateComment) (none)",
            Box::new(|n| filter(format!("contains(properties/stateComment,'reason {n}')"))),
        ),
        (
            "ownerId eq (none)",
            Box::new(|n| filter(format!("properties/ownerId eq '/users/{n}'"))),
        ),
        (
            "productId ne (all)",
            Box::new(|_| filter("properties/productId ne '/products/starter'".to_owned())),
        ),
        (
            "contains(displayName), two digits",
            Box::new(|n| {
                filter(format!(
                    "contains(properties/displayName,'{}')",
                    numbers(n) % 90 + 10
                ))
            }),
        ),
    ];
    for (name, query) in queries {
        let mut times = Vec::new();
        for n in 0..300 {
            let began = Instant::now();
            http.expect(
                &[200],
                "GET",
                &path("/subscriptions", &query(n)),
                None,
                None,
            )
            .await?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            if times.iter().sum::<f64>() > 30_000.0 {
                break;
            }
        }
        times.sort_by(f64::total_cmp);
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            percentile(&times, 0.5),
            percentile(&times, 0.99),
            percentile(&times, 1.0)
        );
    }
    Ok(())
}

async fn run(time: Duration, rows: usize, only: &str, against: Option<&Path>) -> Outcome<()> {
    let folder = std::env::temp_dir().join(format!("portico-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    // Postgres has an account of its own where this runs as root, and must be able to enter.
    Command::new("chmod").arg("711").arg(&folder).status()?;
    let address = free_address()?;
    let mut command = Command::new(portico()?);
    let log = std::fs::File::create(folder.join("portico.log"))?;
    for listener in [
        "PORTICO_GATEWAY_LISTEN",
        "PORTICO_PORTAL_LISTEN",
        "PORTICO_TLS_LISTEN",
    ] {
        command.env(listener, free_address()?.to_string());
    }
    let password = format!("bench-{}-{:?}", std::process::id(), Instant::now());
    command
        .arg("serve")
        .env("PORTICO_DATA_DIR", folder.join("data"))
        .env("PORTICO_LISTEN", address.to_string())
        .env("PORTICO_ADMIN_EMAIL", ADMINISTRATOR)
        .env("PORTICO_ADMIN_PASSWORD", &password)
        .env_remove("DATABASE_URL")
        .stdout(Stdio::null())
        .stderr(log);
    let serving = Running(command.spawn()?);
    started(address).await?;
    let mut http = Http::connect(address, "".into()).await?;
    let body = json!({"email": ADMINISTRATOR, "password": password});
    let answer = http
        .expect(&[200], "POST", "/sign-in", None, Some(&body))
        .await?;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let token: Arc<str> = answer["access_token"].as_str().unwrap_or_default().into();
    http.token = Arc::clone(&token);
    let body = json!({"location": "westeurope", "sku": {"name": "Developer", "capacity": 1},
        "properties": {"publisherEmail": ADMINISTRATOR, "publisherName": "Bench"}});
    http.expect(&[200, 201], "PUT", &path("", ""), None, Some(&body))
        .await?;
    loop {
        let answer = http
            .expect(&[200], "GET", &path("", ""), None, None)
            .await?;
        let service: Value = serde_json::from_slice(&answer.body)?;
        match service["properties"]["provisioningState"].as_str() {
            Some("Succeeded") => break,
            Some("Failed") => return Err("the service could not be activated".into()),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    let url = std::fs::read_to_string(folder.join("data/postgres.url"))?;
    let url = url.trim();
    seed(url, 1, FEW + 1).await?;

    let serial = Arc::new(AtomicU64::new(0));
    println!(
        "| measure | Portico calls/s | pgbench tps | ratio | must | aim | CPU µs/call | CPU µs/transaction | ratio |\n|---|---|---|---|---|---|---|---|---|"
    );
    for measure in Measure::ALL {
        if !measure.name().starts_with(only) {
            continue;
        }
        let script = folder.join("statement.sql");
        std::fs::File::create(&script)?.write_all(measure.statement().as_bytes())?;
        let (mut ours, mut theirs) = ((0.0, 0), (0.0, 0));
        let (mut our_cpu, mut their_cpu) = (f64::INFINITY, f64::INFINITY);
        let cpu = || cpu_seconds(serving.0.id());
        for connections in CONNECTIONS {
            settled(url).await?;
            let before = cpu()?;
            let rate = calls(address, &token, measure, connections, time, &serial).await?;
            our_cpu = our_cpu.min((cpu()? - before) / (rate * time.as_secs_f64()));
            if rate > ours.0 {
                ours = (rate, connections);
            }
            let Some(pgbench) = against else { continue };
            settled(url).await?;
            let before = cpu()?;
            let rate = statements(pgbench, url, &script, connections, time)?;
            their_cpu = their_cpu.min((cpu()? - before) / (rate * time.as_secs_f64()));
            if rate > theirs.0 {
                theirs = (rate, connections);
            }
        }
        let (must, aim) = measure.bounds();
        println!(
            "| {} | {:.0} ({} connections) | {:.0} ({}) | {:.2} | ≥ {must} | ≥ {aim} | {:.0} | {:.0} | {:.2} |",
            measure.name(),
            ours.0,
            ours.1,
            theirs.0,
            theirs.1,
            ours.0 / theirs.0,
            our_cpu * 1e6,
            their_cpu * 1e6,
            their_cpu / our_cpu
        );
    }
    imports(address, &token).await?;
    if rows > FEW {
        seed(url, FEW + 1, rows + 1).await?;
        lists(address, &token, rows).await?;
    }
    drop(serving);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (seconds, rows, only, against) = match &arguments[..] {
        [] => (5, 1_000_000, "", Some(pgbench()?)),
        [train] if train == "train" => (1, FEW, "", None),
        [seconds, rows] => (seconds.parse()?, rows.parse()?, "", Some(pgbench()?)),
        [seconds, rows, only] => (
            seconds.parse()?,
            rows.parse()?,
            only.as_str(),
            Some(pgbench()?),
        ),
        _ => return Err("usage: bench-control [seconds rows [read|create|page|versioned]] | bench-control train".into()),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(
            Duration::from_secs(seconds),
            rows,
            only,
            against.as_deref(),
        ))
}
