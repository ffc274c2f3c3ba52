//! CPU time for each call, side by side with nginx and HAProxy where they are installed.
//!
//! `cargo run --release -p gateway --example bench [-- rounds seconds]`
//!
//! One process is the backend, one at a time is the proxy under test, pinned to one core by `taskset`; this one makes the load over
//! 64 kept-alive connections. Rounds of all proxies are interleaved, and the median of CPU microseconds per call is what counts: calls
//! per second depend on the neighbours. `Pss` is the proxy's memory after the last round.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gateway::{Gateway, Options, Record, Telemetry};
use policy::Format;
use snapshot::entity::{
    Api, Operation, Policy, PolicyScope, Product, Service, Subscription, SubscriptionScope,
    SubscriptionState,
};
use snapshot::{Change, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

/// The allocator of the `portico` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const SERVICE: Uuid = Uuid::from_u128(1);
const PRODUCT: Uuid = Uuid::from_u128(2);
const CONNECTIONS: usize = 64;
const PROXIES: [&str; 3] = ["gateway", "haproxy", "nginx"];
const LIMITED: &str = r#"<rate-limit calls="1000000000" renewal-period="60" />"#;
const FULL: &str = r#"<rate-limit calls="1000000000" renewal-period="60" /><quota calls="1000000000000" renewal-period="604800" />
    <set-header name="X-One" exists-action="override"><value>1</value></set-header>
    <set-header name="X-Two" exists-action="override"><value>2</value></set-header>
    <set-header name="X-Three" exists-action="delete" />"#;

/// What is compared with what.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    routes: usize,
    keys: usize,
    policies: &'static str,
    telemetry: bool,
}

const CASES: [Case; 3] = [
    Case {
        name: "key and rate limit, 10 routes",
        routes: 10,
        keys: 10,
        policies: LIMITED,
        telemetry: false,
    },
    Case {
        name: "key and rate limit, 10,000 routes and keys",
        routes: 10_000,
        keys: 10_000,
        policies: LIMITED,
        telemetry: false,
    },
    Case {
        name: "full chain, 10 routes",
        routes: 10,
        keys: 10,
        policies: FULL,
        telemetry: true,
    },
];

fn id(kind: u128, number: usize) -> Uuid {
    let mixed =
        (kind << 64 | number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Uuid::from_u128(mixed)
}

fn key(number: usize) -> String {
    format!("{:032x}", id(9, number).as_u128())
}

fn configuration(case: Case, backend: &str) -> Snapshot {
    let api_id = |number: usize| id(3, number % 100);
    let mut changes = vec![
        Change::Put(
            Service {
                id: SERVICE,
                name: "bench".to_owned(),
                hostnames: vec!["127.0.0.1".to_owned()],
                ..Service::default()
            }
            .into(),
        ),
        Change::Put(
            Product {
                id: PRODUCT,
                service_id: SERVICE,
                name: "product".to_owned(),
                subscription_required: true,
                is_published: true,
                api_ids: (0..case.routes.min(100)).map(api_id).collect(),
                ..Product::default()
            }
            .into(),
        ),
        Change::Put(
            Policy {
                id: id(4, 0),
                service_id: SERVICE,
                scope: PolicyScope::Product(PRODUCT),
                xml: format!("<policies><inbound>{}</inbound><backend><forward-request /></backend></policies>", case.policies),
                format: Format::Xml,
            }
            .into(),
        ),
    ];
    for number in 0..case.routes.min(100) {
        changes.push(Change::Put(
            Api {
                id: api_id(number),
                service_id: SERVICE,
                name: format!("api-{number}"),
                path: format!("api-{number}"),
                service_url: Some(backend.to_owned()),
                subscription_required: true,
                revision: "1".to_owned(),
                is_current: true,
                ..Api::default()
            }
            .into(),
        ));
    }
    for number in 0..case.routes {
        changes.push(Change::Put(
            Operation {
                id: id(5, number),
                api_id: api_id(number),
                service_id: SERVICE,
                name: format!("operation-{number}"),
                method: "GET".to_owned(),
                url_template: format!("/resources/{number}/items/{{item}}"),
                ..Operation::default()
            }
            .into(),
        ));
    }
    for number in 0..case.keys {
        let digest = |text: &str| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            let mut bytes = [0; 32];
            bytes.copy_from_slice(digest.as_ref());
            bytes
        };
        changes.push(Change::Put(
            Subscription {
                id: id(6, number),
                service_id: SERVICE,
                name: format!("subscription-{number}"),
                state: SubscriptionState::Active,
                scope: SubscriptionScope::Product(PRODUCT),
                primary_digest: digest(&key(number)),
                secondary_digest: digest(&format!("second {number}")),
                ..Subscription::default()
            }
            .into(),
        ));
    }
    Snapshot::default().apply(changes)
}

/// Counts records as a queue would take them.
#[derive(Default)]
struct Counted(AtomicU64);

impl Telemetry for Counted {
    fn record(&self, record: Record) {
        self.0.fetch_add(record.response_bytes, Ordering::Relaxed);
    }
}

fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// The proxy under test, in a process of its own.
fn serve(case: usize, address: &str, backend: &str) -> Outcome<()> {
    let case = CASES[case];
    let mut options = Options::default();
    if case.telemetry {
        options.telemetry = Arc::new(Counted::default());
    }
    let gateway = Gateway::new(options)?;
    gateway.publish(configuration(case, backend));
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        // A program that takes a profile of itself writes it when it ends of its own accord.
        let mut told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        gateway
            .serve(listener, None, async {
                told.recv().await;
            })
            .await?;
        Ok(())
    })
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world";

/// A web service that answers at once, in a process of its own.
fn backend(address: &str) -> Outcome<()> {
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 * 1024];
                let mut filled = 0;
                loop {
                    match stream.read(&mut buffer[filled..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => filled += read,
                    }
                    while let Some(end) = buffer[..filled]
                        .windows(4)
                        .position(|window| window == b"\r\n\r\n")
                    {
                        buffer.copy_within(end + 4..filled, 0);
                        filled -= end + 4;
                        if stream.write_all(ANSWER).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    })
}

/// Calls for a while and gives their number.
fn load(case: Case, address: SocketAddr, time: Duration) -> Outcome<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    runtime()?.block_on(async {
        let mut tasks = Vec::new();
        for connection in 0..CONNECTIONS {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            tasks.push(tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let mut answer = vec![0; 4096];
                let mut number = connection;
                while !stop.load(Ordering::Relaxed) {
                    // A prime step spreads calls over routes and keys.
                    number = (number + 7919) % case.routes;
                    let request = format!(
                        "GET /api-{}/resources/{number}/items/7 HTTP/1.1\r\nHost: 127.0.0.1\r\nOcp-Apim-Subscription-Key: {}\r\nX-Three: 3\r\n\r\n",
                        number % 100,
                        key(number % case.keys)
                    );
                    stream.write_all(request.as_bytes()).await?;
                    let mut filled = 0;
                    while !answer[..filled].ends_with(b"hello, world") {
                        let read = stream.read(&mut answer[filled..]).await?;
                        filled += read;
                        if read == 0 || filled == answer.len() {
                            return Err(String::from_utf8_lossy(&answer[..filled]).into_owned().into());
                        }
                        if answer[..filled].starts_with(b"HTTP/1.1 4") || answer[..filled].starts_with(b"HTTP/1.1 5") {
                            return Err(String::from_utf8_lossy(&answer[..filled]).into_owned().into());
                        }
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Ok(())
            }));
        }
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await??;
        }
        Outcome::Ok(())
    })?;
    Ok(count.load(Ordering::Relaxed))
}

/// CPU time of a process and its children in microseconds: of all, and of the kernel's part.
fn cpu_us(pid: u32) -> [u64; 2] {
    let ticks = |pid: u32| -> [u64; 2] {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let field = |at: usize| {
            fields
                .get(at)
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or_default()
        };
        [field(11) + field(12), field(12)]
    };
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .chain([pid])
        .map(ticks)
        .fold([0, 0], |sum, used| {
            [sum[0] + used[0] * 10_000, sum[1] + used[1] * 10_000]
        })
}

fn pss_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // nginx and HAProxy end their workers on SIGTERM only.
        let ended = Command::new("kill").arg(self.0.id().to_string()).status();
        if ended.is_err() {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

fn free_address() -> Outcome<SocketAddr> {
    Ok(StdListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until a server takes connections.
fn ready(address: SocketAddr) -> Outcome<()> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Ok(mut stream) = StdStream::connect(address) {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream
                .write_all(b"GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            let mut first = [0; 1];
            if stream.read(&mut first)? == 1 {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("a server did not start".into())
}

fn pinned(program: &Path, arguments: &[&str]) -> Outcome<Running> {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program).args(arguments);
    Ok(Running(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    ))
}

fn installed(program: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
}

fn nginx(case: Case, folder: &Path, address: SocketAddr, backend: SocketAddr) -> Outcome<PathBuf> {
    let mut text = String::from("worker_processes 1;\ndaemon off;\nerror_log /dev/null;\n");
    writeln!(
        text,
        "pid {}/nginx.pid;\nevents {{ worker_connections 4096; }}\nhttp {{\naccess_log off;",
        folder.display()
    )?;
    writeln!(text, "map_hash_max_size 65536; map_hash_bucket_size 128;")?;
    writeln!(
        text,
        "map $http_ocp_apim_subscription_key $known {{ default 0;"
    )?;
    for number in 0..case.keys {
        writeln!(text, "\"{}\" 1;", key(number))?;
    }
    writeln!(text, "}}\nmap $uri $route {{ default 0;")?;
    for number in 0..case.routes {
        writeln!(text, "/api-{}/resources/{number}/items/7 1;", number % 100)?;
    }
    writeln!(
        text,
        "}}\nlimit_req_zone $http_ocp_apim_subscription_key zone=keys:32m rate=100000r/s;"
    )?;
    writeln!(
        text,
        "upstream backend {{ server {backend}; keepalive 256; keepalive_requests 1000000; }}"
    )?;
    writeln!(
        text,
        "server {{ listen {address}; keepalive_requests 1000000; location / {{"
    )?;
    writeln!(
        text,
        "if ($known = 0) {{ return 401; }} if ($route = 0) {{ return 404; }}"
    )?;
    writeln!(text, "limit_req zone=keys burst=100000 nodelay;")?;
    writeln!(
        text,
        "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection \"\";"
    )?;
    writeln!(
        text,
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;"
    )?;
    writeln!(
        text,
        "proxy_set_header Ocp-Apim-Subscription-Key \"\"; }} }} }}"
    )?;
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn haproxy(
    case: Case,
    folder: &Path,
    address: SocketAddr,
    backend: SocketAddr,
) -> Outcome<PathBuf> {
    let (mut keys, mut routes) = (String::new(), String::new());
    for number in 0..case.keys {
        writeln!(keys, "{} 1", key(number))?;
    }
    for number in 0..case.routes {
        writeln!(routes, "/api-{}/resources/{number}/items/7 1", number % 100)?;
    }
    std::fs::write(folder.join("keys.map"), keys)?;
    std::fs::write(folder.join("routes.map"), routes)?;
    let folder_text = folder.display();
    let text = format!(
        "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n timeout client 30s\n timeout server 30s\n timeout connect 5s\n option http-keep-alive\n\
         frontend f\n bind {address}\n stick-table type string len 64 size 100k expire 60s store http_req_rate(60s)\n\
         http-request deny deny_status 401 unless {{ req.hdr(Ocp-Apim-Subscription-Key),map({folder_text}/keys.map) -m found }}\n\
         http-request deny deny_status 404 unless {{ path,map({folder_text}/routes.map) -m found }}\n\
         http-request track-sc0 req.hdr(Ocp-Apim-Subscription-Key)\n\
         http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000000 }}\n\
         http-request del-header Ocp-Apim-Subscription-Key\n option forwardfor\n default_backend b\n\
         backend b\n http-reuse always\n server s {backend}\n"
    );
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn compare(rounds: usize, seconds: u64, proxies: &[&'static str]) -> Outcome<()> {
    let own = std::env::current_exe()?;
    let folder = std::env::temp_dir().join(format!("portico-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let backend = free_address()?;
    let backend_text = backend.to_string();
    let _backend = Running(
        Command::new(&own)
            .args(["backend", &backend_text])
            .spawn()?,
    );
    ready(backend)?;
    println!(
        "| case | proxy | CPU µs/call | of it kernel | × nginx | calls/s | Pss MiB | start ms |\n|---|---|---|---|---|---|---|---|"
    );
    for (index, case) in CASES.iter().enumerate() {
        let mut results: BTreeMap<&str, Vec<[f64; 5]>> = BTreeMap::new();
        for _ in 0..rounds {
            for proxy in proxies.iter().copied() {
                let address = free_address()?;
                let (address_text, url) = (address.to_string(), format!("http://{backend}"));
                let began = Instant::now();
                let running = match proxy {
                    "gateway" => {
                        pinned(&own, &["gateway", &index.to_string(), &address_text, &url])?
                    }
                    program => {
                        let Some(path) = installed(program) else {
                            continue;
                        };
                        if program == "nginx" {
                            let config = nginx(*case, &folder, address, backend)?;
                            pinned(&path, &["-c", &config.to_string_lossy()])?
                        } else {
                            let config = haproxy(*case, &folder, address, backend)?;
                            pinned(&path, &["-db", "-f", &config.to_string_lossy()])?
                        }
                    }
                };
                ready(address)?;
                let start_ms = began.elapsed().as_secs_f64() * 1000.0;
                let pid = running.0.id();
                // The first calls open connections and compile policies.
                load(*case, address, Duration::from_millis(500))?;
                let before = cpu_us(pid);
                let calls = load(*case, address, Duration::from_secs(seconds))?;
                let after = cpu_us(pid);
                let entry = [
                    (after[0] - before[0]) as f64 / calls as f64,
                    (after[1] - before[1]) as f64 / calls as f64,
                    calls as f64 / seconds as f64,
                    pss_kib(pid) as f64 / 1024.0,
                    start_ms,
                ];
                results.entry(proxy).or_default().push(entry);
            }
        }
        let column = |proxy: &str, at: usize| {
            results
                .get(proxy)
                .map(|all| median(all.iter().map(|entry| entry[at]).collect()))
        };
        for proxy in results.keys() {
            let cpu = column(proxy, 0).unwrap_or_default();
            let ratio = column("nginx", 0)
                .map_or_else(|| "-".to_owned(), |nginx| format!("{:.2}", cpu / nginx));
            println!(
                "| {} | {proxy} | {cpu:.1} | {:.1} | {ratio} | {:.0} | {:.1} | {:.0} |",
                case.name,
                column(proxy, 1).unwrap_or_default(),
                column(proxy, 2).unwrap_or_default(),
                column(proxy, 3).unwrap_or_default(),
                column(proxy, 4).unwrap_or_default(),
            );
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["backend", address] => backend(address),
        ["gateway", case, address, url] => serve(case.parse()?, address, url),
        ["load", case, address, seconds] => {
            let time = Duration::from_secs(seconds.parse()?);
            let case: usize = case.parse()?;
            println!("{} calls", load(CASES[case], address.parse()?, time)?);
            Ok(())
        }
        ["train"] => compare(1, 2, &PROXIES[..1]),
        [rounds, seconds] => compare(rounds.parse()?, seconds.parse()?, &PROXIES),
        [] => compare(5, 4, &PROXIES),
        _ => Err("usage: bench [rounds seconds | train | load case address seconds]".into()),
    }
}
