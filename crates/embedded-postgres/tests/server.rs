//! The server process: durability, restarts, no orphans, one owner.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use embedded_postgres::{EmbeddedPostgres, Error, Options};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.0.exists() {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

async fn put(server: &EmbeddedPostgres, statement: &'static str) {
    let mut connection = server.connect_options().connect().await.unwrap();
    sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn numbers(options: &PgConnectOptions) -> Result<Vec<i32>, sqlx::Error> {
    let mut connection = options.connect().await?;
    sqlx::query_scalar("SELECT n FROM numbers ORDER BY n")
        .fetch_all(&mut connection)
        .await
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// Waits for the end of a process that is not our child.
async fn ended(raw: u32) {
    let process = PathBuf::from(format!("/proc/{raw}/stat"));
    let alive = || fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
    tokio::time::timeout(Duration::from_secs(20), async {
        while alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn data_survives_a_clean_stop_and_the_url_connects() {
    let folder = Folder::new("clean-stop");
    let server = EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap();
    put(&server, "CREATE TABLE numbers (n int)").await;
    put(&server, "INSERT INTO numbers VALUES (1), (2)").await;
    let by_url: PgConnectOptions = server.url().parse().unwrap();
    assert_eq!(numbers(&by_url).await.unwrap(), [1, 2]);
    let process = server.pid().unwrap();
    server.stop().await;
    assert!(!PathBuf::from(format!("/proc/{process}")).exists());

    let server = EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap();
    assert_eq!(numbers(server.connect_options()).await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_data() {
    let folder = Folder::new("killed-server");
    let server = EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap();
    put(&server, "CREATE TABLE numbers AS SELECT 7 AS n").await;
    let first = server.pid().unwrap();
    kill_process(pid(first), Signal::KILL).unwrap();
    ended(first).await;
    let back = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Ok(numbers) = numbers(server.connect_options()).await {
                break numbers;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(back.await.unwrap(), [7]);
    assert_ne!(server.pid().unwrap(), first);
    assert!(server.restarts() >= 1);
    server.stop().await;
}

#[tokio::test]
async fn a_folder_has_one_owner_and_is_free_after_a_drop() {
    let folder = Folder::new("one-owner");
    let first = EmbeddedPostgres::start(Options::ephemeral(&folder.0))
        .await
        .unwrap();
    let refusal = EmbeddedPostgres::start(Options::ephemeral(&folder.0))
        .await
        .unwrap_err();
    assert!(matches!(refusal, Error::InUse { .. }), "{refusal}");
    drop(first);
    EmbeddedPostgres::start(Options::ephemeral(&folder.0))
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_with_advice() {
    let folder = Folder::new("other-version");
    fs::create_dir_all(folder.0.join("cluster")).unwrap();
    fs::write(folder.0.join("cluster/PG_VERSION"), "9.6\n").unwrap();
    let refusal = EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("was written by PostgreSQL 9.6") && refusal.contains("pg_upgrade"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_bad_setting_is_reported_in_the_servers_words() {
    let folder = Folder::new("bad-setting");
    let mut options = Options::ephemeral(&folder.0);
    options
        .settings
        .push(("shared_buffers".to_owned(), "plenty".to_owned()));
    let refusal = EmbeddedPostgres::start(options)
        .await
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("shared_buffers"), "{refusal}");
}

#[tokio::test]
async fn a_process_number_of_somebody_else_in_the_pid_file_does_no_harm() {
    let folder = Folder::new("stale-pid");
    EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap()
        .stop()
        .await;
    // Process 1 always exists and is never this server.
    fs::write(folder.0.join("cluster/postmaster.pid"), "1\n/somewhere\n").unwrap();
    EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_uses_the_loopback_with_a_password() {
    let folder = Folder::new(&format!("long-{}", "x".repeat(100)));
    let server = EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap();
    put(&server, "CREATE TABLE numbers AS SELECT 3 AS n").await;
    let by_url: PgConnectOptions = server.url().parse().unwrap();
    assert_eq!(by_url.get_host(), "127.0.0.1");
    assert_eq!(numbers(&by_url).await.unwrap(), [3]);
    assert!(numbers(&by_url.password("guess")).await.is_err());
    server.stop().await;
}

const HOLD: &str = "PORTICO_TEST_HOLD_FOLDER";

/// Not a test of its own: the process that `a_killed_portico_leaves_no_server` kills.
#[tokio::test]
#[ignore = "run by another test"]
async fn hold_a_server_until_killed() {
    let folder = std::env::var_os(HOLD).unwrap();
    let server = EmbeddedPostgres::start(Options::durable(folder))
        .await
        .unwrap();
    put(
        &server,
        "CREATE TABLE IF NOT EXISTS numbers AS SELECT 5 AS n",
    )
    .await;
    println!("\npostmaster {}", server.pid().unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_portico_leaves_no_server_and_the_next_start_recovers() {
    let folder = Folder::new("killed-portico");
    let mut portico = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "hold_a_server_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(HOLD, &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(portico.stdout.take().unwrap()).lines();
    let postmaster: u32 = lines
        .map(|line| line.unwrap())
        .find_map(|line| line.strip_prefix("postmaster ")?.parse().ok())
        .unwrap();
    assert!(PathBuf::from(format!("/proc/{postmaster}")).exists());

    portico.kill().unwrap();
    portico.wait().unwrap();
    // At once, as a process supervisor would.
    let server = EmbeddedPostgres::start(Options::durable(&folder.0))
        .await
        .unwrap();
    ended(postmaster).await;
    assert_eq!(numbers(server.connect_options()).await.unwrap(), [5]);
    server.stop().await;
}
