//! A small, real web service of the kind that Azure Machine Learning Studio (classic) published: the guide "simple
//! feature hashing" experiment, to be called directly or through Portico.
//!
//! One web service in one workspace, with the two faces such a service had. The request–response service (`execute`)
//! takes a table as JSON and answers with the table and its hash columns. The batch execution service (`jobs`) takes
//! the addresses of an input and an output blob, is started, asked for its status and cancelled, and reads and writes
//! CSV in Azure blob storage.
//!
//! A call passes `http` (key, address, limits), then `table` (the caller's data, checked) and `feature_hashing` (the
//! experiment); a batch job does so in `job`, between a read and a write of `storage`. Every refusal is an `error` in
//! Azure ML's shape.

mod error;
mod feature_hashing;
mod http;
mod job;
mod storage;
mod table;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use anyhow::Context;
use base64::Engine;
use chrono::Utc;
use clap::{Parser, ValueEnum};
use uuid::Uuid;

use crate::http::WebService;
use crate::job::{Jobs, Surroundings};

/// How long requests and jobs may still take after the signal to end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(30);

/// The sample web service: feature hashing in the manner of Azure Machine Learning Studio (classic).
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Address to listen on; port 0 takes a free one, which is then printed.
    #[arg(long, env = "AZUREML_LISTEN", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Id of the workspace; generated and printed when not given.
    #[arg(long, env = "AZUREML_WORKSPACE", value_parser = id)]
    workspace: Option<String>,
    /// Id of the service; generated and printed when not given.
    #[arg(long, env = "AZUREML_SERVICE", value_parser = id)]
    service: Option<String>,
    /// The key that callers send as `Authorization: Bearer <key>`; generated and printed when not given.
    #[arg(long, env = "AZUREML_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Folder that keeps batch jobs over restarts. It holds storage keys while jobs wait or run.
    #[arg(long, env = "AZUREML_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Most bytes of a request's body.
    #[arg(long, env = "AZUREML_MAX_BODY_BYTES", default_value_t = 8 << 20)]
    max_body_bytes: usize,
    /// Most bytes of a batch job's input.
    #[arg(long, env = "AZUREML_MAX_INPUT_BYTES", default_value_t = 64 << 20)]
    max_input_bytes: u64,
    /// How many batch jobs run at once; more wait.
    #[arg(long, env = "AZUREML_MAX_RUNNING_JOBS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    max_running_jobs: u32,
    /// Form of the log, which goes to the standard error stream. RUST_LOG filters it.
    #[arg(long, env = "AZUREML_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// One line a record, for people.
    Text,
    /// One JSON object a record, for machines.
    Json,
}

#[tokio::main]
#[expect(
    clippy::disallowed_methods,
    reason = "the clock that is handed to everything else"
)]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    start_log(flags.log_format);

    let workspace = flags
        .workspace
        .unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let service = flags
        .service
        .unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let (api_key, generated) = match flags.api_key {
        Some(key) if key.trim().is_empty() => anyhow::bail!("the API key is empty"),
        Some(key) => (key.trim().to_owned(), false),
        None => (random_key()?, true),
    };
    let jobs = Jobs::open(
        flags.state_dir,
        flags.max_running_jobs,
        flags.max_input_bytes,
        Surroundings {
            now: Utc::now,
            new_id: Uuid::new_v4,
            runtime: tokio::runtime::Handle::current(),
        },
    )?;
    let data = web::Data::new(WebService {
        workspace: workspace.clone(),
        service: service.clone(),
        key_digest: aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, api_key.as_bytes()),
        max_body_bytes: flags.max_body_bytes,
        jobs: jobs.clone(),
        new_id: Uuid::new_v4,
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .wrap(from_fn(http::log_request))
            .configure(http::configure)
    })
    .workers(2)
    .client_request_timeout(Duration::from_secs(10))
    .shutdown_timeout(SHUTDOWN_PATIENCE.as_secs())
    .bind(flags.listen)
    .with_context(|| format!("cannot listen on {}", flags.listen))?;

    let address = server
        .addrs()
        .first()
        .copied()
        .context("no address is bound")?;
    print_addresses(address, &workspace, &service, generated.then_some(&api_key))?;
    server.run().await?;
    jobs.drain(SHUTDOWN_PATIENCE).await;
    tracing::info!("ended");
    Ok(())
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Says on the standard output where the service is; the first line's form is relied upon by scripts.
fn print_addresses(
    address: SocketAddr,
    workspace: &str,
    service: &str,
    generated_key: Option<&String>,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Azure ML sample web service: http://{address}")?;
    writeln!(out, "  workspace: {workspace}")?;
    writeln!(out, "  service:   {service}")?;
    if let Some(key) = generated_key {
        writeln!(out, "  API key:   {key} (generated for this run)")?;
    }
    out.flush()
}

fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 64];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Ids are path segments; only what needs no encoding there is taken.
fn id(text: &str) -> Result<String, String> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(valid) {
        return Err("an id has 1 to 64 letters, digits, hyphens and underscores".to_owned());
    }
    Ok(text.to_owned())
}
