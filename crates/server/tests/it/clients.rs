//! Unmodified clients of the contract drive a running Portico: the SDKs for Python and JavaScript over
//! http, the Azure CLI over TLS. The programs are in `tests/clients`; `scripts/sdk-clients.sh` installs
//! what they need, once.

use anyhow::{Context as _, ensure};
use embedded_postgres::test_database::TestDatabase;
use std::path::{Path, PathBuf};
use testkit::{Portico, secret_key};
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a program to its end; its standard output, or everything it said.
async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let done = Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {program}"))?;
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(
        done.status.success(),
        "{program} {arguments:?}: {}\n{output}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(output)
}

/// Installs a client unless it is there; its interpreter, folder or program.
async fn client(name: &str) -> anyhow::Result<String> {
    Ok(run("scripts/sdk-clients.sh", &[name])
        .await?
        .trim()
        .to_owned())
}

async fn python(version: &str) -> anyhow::Result<String> {
    let interpreter = client(version).await?;
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    run(
        &interpreter,
        &[
            "tests/clients/journey.py",
            &portico.management_url,
            &token,
            "demosdk",
        ],
    )
    .await
}

#[tokio::test]
async fn the_python_sdk_5_drives_every_kind() -> anyhow::Result<()> {
    assert_eq!(
        python("python-5").await?,
        "145 operations called, 285 answers checked\n"
    );
    Ok(())
}

#[tokio::test]
async fn the_python_sdk_4_drives_every_kind() -> anyhow::Result<()> {
    assert_eq!(
        python("python-4").await?,
        "134 operations called, 273 answers checked\n"
    );
    Ok(())
}

#[tokio::test]
async fn the_javascript_sdk_drives_the_journey() -> anyhow::Result<()> {
    let modules = client("javascript").await?;
    let node = run("scripts/node.sh", &[]).await?;
    let node = format!("{}/node", node.trim());
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let arguments = [
        "tests/clients/journey.mjs",
        &modules,
        &portico.management_url,
        &token,
        "demosdk",
    ];
    assert_eq!(
        run(&node, &arguments).await?,
        "134 operations called, 169 answers checked\n"
    );
    Ok(())
}

/// Makes an application that owns the installation; its client id and secret.
async fn application(database: &TestDatabase) -> anyhow::Result<(String, String)> {
    let (url, key) = (database.url(), secret_key());
    let over = ["--database-url", &url, "--secret-key", &key];
    let made = run(
        BINARY,
        &[&["application", "--name", "ci"], &over[..]].concat(),
    )
    .await?;
    let value = |label: &str| {
        made.lines()
            .find_map(|line| line.strip_prefix(label))
            .map(|rest| rest.trim().to_owned())
            .with_context(|| format!("no {label} in {made}"))
    };
    let (id, secret) = (value("client id")?, value("client secret")?);
    let grant = ["grant", "--email", &id, "--role", "owner"];
    run(BINARY, &[&grant[..], &over].concat()).await?;
    Ok((id, secret))
}

#[tokio::test]
async fn az_drives_the_journey_over_tls() -> anyhow::Result<()> {
    let az = client("az").await?;
    let folder = std::env::temp_dir().join(format!("portico-az-{}", std::process::id()));
    let tls = folder.to_string_lossy().into_owned();
    run("scripts/certificate.sh", &[&tls]).await?;
    let (cert, key) = (format!("{tls}/server.pem"), format!("{tls}/server-key.pem"));
    let database = TestDatabase::create().await?;
    let environment = [
        ("PORTICO_TLS_CERT", cert.as_str()),
        ("PORTICO_TLS_KEY", key.as_str()),
    ];
    let portico = Portico::start(BINARY, &database, &environment).await?;
    let token = portico.token().await?;
    let management = portico
        .management_tls_url
        .clone()
        .context("no TLS listener")?;
    let identity = format!("{}/metadata/identity/oauth2/token", portico.management_url);
    let ca = format!("{tls}/ca.pem");
    let (id, secret) = application(&database).await?;
    let outcome = run(
        "tests/clients/az.sh",
        &[
            &az,
            &management,
            &identity,
            &ca,
            &token,
            "demoaz",
            &id,
            &secret,
        ],
    )
    .await;
    std::fs::remove_dir_all(&folder)?;
    assert_eq!(outcome?, "38 answers checked\n");
    Ok(())
}
