//! The `portico` binary.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use server::{
    independent,
    serve::{self, Part},
    settings::{GatewaySettings, ServeSettings, StateSettings},
    state::{OpenState, migrate},
};
use std::io::{IsTerminal as _, Write as _};
use tracing_subscriber::EnvFilter;

/// Costs a call through the gateway less than the C library's (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Self-hosted API management: control plane, gateway and portals in one program.
#[derive(Parser)]
#[command(name = "portico", version)]
struct Cli {
    /// Log as JSON lines
    #[arg(long, env = "PORTICO_LOG_JSON", global = true)]
    log_json: bool,
    /// What is logged, such as `info` or `info,gateway=debug`
    #[arg(
        long,
        env = "PORTICO_LOG",
        default_value = "warn,server=info,portico=info",
        global = true
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything: management API, gateway, worker, and a Postgres unless DATABASE_URL is set
    Serve(Box<ServeSettings>),
    /// Runs a gateway of its own: apart, with PORTICO_CONTROL_URL, or over the database of a `serve`
    Gateway(Box<GatewaySettings>),
    /// Runs jobs only: activations, mails, housekeeping
    Worker(Box<ServeSettings>),
    /// Brings the database to this version
    Migrate(StateSettings),
    /// Prints the OpenAPI document of the management API
    Openapi {
        /// That of the developer API instead, which the developer portals ask
        #[arg(long)]
        developer: bool,
    },
    /// Prints a bearer token for scripts
    Token {
        /// E-mail address or client id of the principal
        #[arg(long)]
        email: String,
        /// State
        #[command(flatten)]
        state: StateSettings,
    },
    /// Gives a principal a role over a service, or over everything; makes the principal if need be
    Grant {
        /// E-mail address or client id
        #[arg(long)]
        email: String,
        /// Role
        #[arg(long, value_enum)]
        role: GrantedRole,
        /// Name of the service; the whole installation without it
        #[arg(long)]
        service: Option<String>,
        /// State
        #[command(flatten)]
        state: StateSettings,
    },
    /// Checks or prints the audit trail
    Audit {
        /// What to do
        #[command(subcommand)]
        what: Audit,
    },
    /// Makes an application for automation and prints its credentials
    Application {
        /// Name that people see
        #[arg(long)]
        name: String,
        /// State
        #[command(flatten)]
        state: StateSettings,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Recomputes the chain of all entries and says whether one was changed, removed or cut off
    Verify {
        /// State
        #[command(flatten)]
        state: StateSettings,
    },
    /// Prints the chained entries as JSON lines, oldest first
    Export {
        /// Name of the service; all without it
        #[arg(long)]
        service: Option<String>,
        /// State
        #[command(flatten)]
        state: StateSettings,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum GrantedRole {
    Owner,
    Contributor,
    Reader,
    Developer,
}

impl From<GrantedRole> for identity::Role {
    fn from(role: GrantedRole) -> Self {
        match role {
            GrantedRole::Owner => Self::Owner,
            GrantedRole::Contributor => Self::Contributor,
            GrantedRole::Reader => Self::Reader,
            GrantedRole::Developer => Self::Developer,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let filter = EnvFilter::try_new(&cli.log).context("--log")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if cli.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
    match cli.command {
        Command::Openapi { developer } => {
            let document = if developer {
                server::developer::operations::document()
            } else {
                server::docs::document(&kinds::registry())
            };
            let text = serde_json::to_string_pretty(&document)?;
            writeln!(std::io::stdout(), "{text}").context("printing")
        }
        Command::Serve(settings) => {
            actix_web::rt::System::new().block_on(run(settings.cleaned(), Part::All))
        }
        Command::Gateway(settings) => actix_web::rt::System::new().block_on(async {
            let settings = settings.cleaned();
            if settings.control_url.is_some() {
                run_apart(&settings).await
            } else {
                run(settings.serve, Part::Gateway).await
            }
        }),
        Command::Worker(settings) => {
            actix_web::rt::System::new().block_on(run(settings.cleaned(), Part::Worker))
        }
        Command::Migrate(settings) => actix_web::rt::System::new().block_on(async {
            let state = OpenState::connect(&settings.cleaned()).await?;
            let outcome = migrate(&state.pool).await;
            state.close().await;
            outcome
        }),
        Command::Token { email, state } => actix_web::rt::System::new().block_on(async {
            let state = attach(&state).await?;
            let identity = identity(&state);
            let principal = identity
                .find(&email)
                .await?
                .with_context(|| format!("there is no principal {email}"))?;
            writeln!(
                std::io::stdout(),
                "{}",
                identity.issue(principal).await?.access_token
            )?;
            state.close().await;
            Ok(())
        }),
        Command::Grant {
            email,
            role,
            service,
            state,
        } => actix_web::rt::System::new().block_on(async {
            let state = attach(&state).await?;
            let outcome = grant(&state, &email, role.into(), service.as_deref()).await;
            state.close().await;
            outcome
        }),
        Command::Audit { what } => actix_web::rt::System::new().block_on(audit(what)),
        Command::Application { name, state } => actix_web::rt::System::new().block_on(async {
            let state = attach(&state).await?;
            let identity = identity(&state);
            let application = identity.create_application(&name).await?;
            identity
                .grant(application.id, None, identity::Role::Contributor)
                .await?;
            writeln!(
                std::io::stdout(),
                "client id      {}\nclient secret  {}",
                application.client_id,
                application.client_secret
            )?;
            state.close().await;
            Ok(())
        }),
    }
}

async fn audit(what: Audit) -> anyhow::Result<()> {
    let settings = match &what {
        Audit::Verify { state } | Audit::Export { state, .. } => state,
    };
    let state = attach(settings).await?;
    let codec = engine::Codec {
        secrets: state.secrets.clone(),
    };
    let outcome = match &what {
        Audit::Verify { .. } => verify_audit(&state, &codec).await,
        Audit::Export { service, .. } => export_audit(&state, service.as_deref()).await,
    };
    state.close().await;
    outcome
}

async fn verify_audit(state: &OpenState, codec: &engine::Codec) -> anyhow::Result<()> {
    use engine::audit::Tampering;
    match engine::audit::verify(&state.pool, codec).await? {
        Ok(trail) => {
            writeln!(
                std::io::stdout(),
                "{} entries, none changed; {} wait for the chain",
                trail.entries,
                trail.waiting
            )?;
            writeln!(std::io::stdout(), "last hash {}", trail.head)?;
            Ok(())
        }
        Err(Tampering::Missing(number)) => anyhow::bail!("entry {number} is missing"),
        Err(Tampering::Changed(number)) => {
            anyhow::bail!("entry {number} was changed, or one before it")
        }
        Err(Tampering::Cut { sealed, found }) => {
            anyhow::bail!("{found} entries are there, but {sealed} were chained")
        }
    }
}

async fn export_audit(state: &OpenState, service: Option<&str>) -> anyhow::Result<()> {
    let service = match service {
        None => None,
        Some(name) => Some(
            sqlx::query_scalar("SELECT id FROM services WHERE lower(name) = lower($1)")
                .bind(name)
                .fetch_optional(&state.pool)
                .await?
                .with_context(|| format!("there is no service {name}"))?,
        ),
    };
    let mut out = std::io::stdout().lock();
    engine::audit::export(&state.pool, service, |line| {
        writeln!(out, "{line}").map_err(engine::Error::internal)
    })
    .await?;
    Ok(())
}

/// Grants a role; a new person's password is read from standard input.
async fn grant(
    state: &OpenState,
    email: &str,
    role: identity::Role,
    service: Option<&str>,
) -> anyhow::Result<()> {
    let identity = identity(state);
    let scope = match service {
        None => None,
        Some(name) => Some(
            sqlx::query_scalar(
                "SELECT id FROM services WHERE lower(name) = lower($1) AND deleted_at IS NULL",
            )
            .bind(name)
            .fetch_optional(&state.pool)
            .await?
            .with_context(|| format!("there is no service {name}"))?,
        ),
    };
    let principal = match identity.find(email).await? {
        Some(principal) => principal,
        None => {
            let password = read_password(email)?;
            identity.create_person(email, Some(&password)).await?
        }
    };
    identity.grant(principal, scope, role).await?;
    Ok(())
}

/// A line of standard input, so that a password is in no command line and no environment.
fn read_password(email: &str) -> anyhow::Result<String> {
    write!(std::io::stderr(), "Password of the new account {email}: ")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn identity(state: &OpenState) -> identity::Identity {
    identity::Identity::new(
        state.pool.clone(),
        state.secrets.clone(),
        identity::Options::new(serve::clock()),
    )
}

/// The state of a Portico that may be running: its embedded Postgres is used, not started twice.
async fn attach(settings: &StateSettings) -> anyhow::Result<OpenState> {
    let mut settings = settings.clone().cleaned();
    if settings.database_url.is_none() {
        let data_dir = std::path::absolute(&settings.data_dir)?;
        let url = std::fs::read_to_string(data_dir.join("postgres.url"));
        let url = url.with_context(|| {
            format!(
                "no Portico runs over {}; start it, or set DATABASE_URL",
                data_dir.display()
            )
        })?;
        settings.secret_key = match settings.secret_key {
            Some(key) => Some(key),
            None => Some(
                std::fs::read_to_string(data_dir.join("secret.key"))
                    .context("reading the secret key")?,
            ),
        };
        settings.database_url = Some(url.trim().to_owned());
    }
    OpenState::connect(&settings).await
}

async fn run(settings: ServeSettings, part: Part) -> anyhow::Result<()> {
    let running = serve::start(settings, part).await?;
    let mut out = std::io::stdout();
    writeln!(out, "Portico is ready.")?;
    if part == Part::All {
        writeln!(out, "  Management API    http://{}", running.management)?;
    } else {
        writeln!(out, "  Health, metrics   http://{}", running.management)?;
    }
    if let Some(address) = running.management_tls {
        writeln!(
            out,
            "  over TLS          https://localhost:{}",
            address.port()
        )?;
    }
    if part == Part::All {
        writeln!(
            out,
            "  Documentation     http://{}/docs",
            running.management
        )?;
    }
    if part == Part::All {
        writeln!(
            out,
            "  Publisher portal  http://{}/publisher/",
            running.management
        )?;
    }
    if let Some(address) = running.portal {
        writeln!(out, "  Developer portals http://{address}/{{service}}/")?;
    }
    if let Some(address) = running.gateway_tls_address {
        writeln!(out, "  Gateway TLS       port {}", address.port())?;
    }
    if let Some(address) = running.gateway_address {
        writeln!(
            out,
            "  Gateway           port {}; each service reports its own gatewayUrl",
            address.port()
        )?;
    }
    if let Some(first) = &running.first {
        writeln!(out, "  Administrator     {}", first.administrator)?;
        if let Some(secret) = &first.bootstrap_secret {
            writeln!(out, "  Bootstrap secret  {secret}")?;
            writeln!(
                out,
                "  Set the password  curl -X POST http://{}/bootstrap -d '{{\"secret\": \"{secret}\", \"password\": \"...\"}}'",
                running.management
            )?;
        }
    }
    out.flush()?;
    running.until(signalled()).await
}

/// A gateway apart: listens at once, and is ready when it has a configuration.
async fn run_apart(settings: &GatewaySettings) -> anyhow::Result<()> {
    let gateway = independent::start(settings, serve::clock()).await?;
    let mut out = std::io::stdout();
    writeln!(out, "Portico's gateway waits for its configuration.")?;
    writeln!(out, "  Health, metrics   http://{}", gateway.health)?;
    if let Some(address) = gateway.gateway_tls_address {
        writeln!(out, "  Gateway TLS       port {}", address.port())?;
    }
    writeln!(
        out,
        "  Gateway           port {}",
        gateway.gateway_address.port()
    )?;
    out.flush()?;
    let stopped = signalled();
    tokio::pin!(stopped);
    tokio::select! {
        (revision, source) = gateway.ready() => {
            writeln!(out, "Portico is ready.")?;
            writeln!(out, "  Configuration     revision {revision}, from the {source}")?;
            out.flush()?;
        }
        () = &mut stopped => return gateway.until(std::future::ready(())).await,
    }
    gateway.until(stopped).await
}

/// Completes on SIGTERM and on Ctrl-C.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard; only Ctrl-C stops this process in order");
            // Without this handler either, the process is ended by the signal itself.
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
