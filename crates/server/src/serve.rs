//! `portico serve`: everything in one process, and how its parts find each other.

use crate::otlp::Exporter;
use crate::{
    State, arm, authorization_login, client_address,
    data_plane::{self, DataPlane},
    deleted, developer, docs, documents, echo,
    external_cache::RedisCaches,
    feed::{self, Feed},
    fetch, health, idempotency, key_vault, management,
    nodes::{self, LocalNode, Mode},
    portal, request_id,
    settings::{AddressSettings, MailSettings, ServeSettings},
    shared_rates, sign_in,
    state::OpenState,
    telemetry, traces,
    traces::{DebugTokens, Traces},
};
use actix_web::{App, HttpServer, dev::ServerHandle, guard, middleware, web};
use anyhow::Context as _;
use engine::{Codec, Engine, Settings};
use identity::{Identity, Options};
use kinds::activation::ActivateService;
use rollout::Rollout;
use std::{fs::File, io::BufReader, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How often the audit trail is chained.
const AUDIT_CHAIN: Duration = Duration::from_secs(1);
/// How often quotas are looked at that may be nearly used up.
const QUOTA_NOTICES: Duration = Duration::from_secs(1);
/// How often expired things are removed.
const HOUSEKEEPING: Duration = Duration::from_secs(600);
/// How long changes stay in the outbox; longer than any replica may lag without starting anew.
const CHANGES_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long sent mails stay readable.
const MAILS_KEPT: chrono::Duration = chrono::Duration::days(30);
/// How long single calls stay readable; their counts stay for good.
const CALLS_KEPT: chrono::Duration = chrono::Duration::days(30);
/// How long the last records of calls may take to be written.
const LAST_RECORDS: Duration = Duration::from_secs(5);
/// How long a connection without a request stays open. Longer than the 60 s of common load balancers and clients: whoever keeps
/// one should be the one to close it, because a request that crosses the server's closing is lost.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long running requests may take to end at shutdown, in seconds.
const SHUTDOWN_SECONDS: u64 = 20;

/// The one place that reads the machine's clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the clock that is injected everywhere else"
)]
pub fn clock() -> engine::Clock {
    Arc::new(chrono::Utc::now)
}

/// The addresses that resources print, once the listeners' ports are known.
///
/// # Errors
/// When `--gateway-seen-as` cannot be read.
pub fn addresses(
    address: &AddressSettings,
    mail: &MailSettings,
    management: SocketAddr,
    portal: SocketAddr,
    gateway_port: u16,
) -> anyhow::Result<Settings> {
    let (gateway_scheme, gateway_port) = address.gateway_seen(gateway_port)?;
    let own = format!("http://{management}");
    let management_url = address
        .management_url
        .clone()
        .unwrap_or_else(|| own.clone());
    Ok(Settings {
        gateway_scheme,
        gateway_port,
        gateway_domain: address.gateway_domain.clone(),
        developer_portal_url: address
            .portal_url
            .clone()
            .unwrap_or_else(|| format!("http://{portal}")),
        echo_url: format!("{own}/echo"),
        management_url,
        mail_sender: mail.mail_sender.clone(),
    })
}

/// What waits for a shutdown.
pub struct Running {
    servers: Vec<ServerHandle>,
    tasks: JoinSet<anyhow::Result<()>>,
    worker: Option<jobs::Worker>,
    gateway: Option<DataPlane>,
    node: Option<LocalNode>,
    exporter: Option<Exporter>,
    feed: Option<Arc<Feed>>,
    state: OpenState,
    /// Where the management API answers.
    pub management: SocketAddr,
    /// Where it answers over TLS.
    pub management_tls: Option<SocketAddr>,
    /// Where the developer portals answer.
    pub portal: Option<SocketAddr>,
    /// Where the gateway answers.
    pub gateway_address: Option<SocketAddr>,
    /// Where it answers over TLS.
    pub gateway_tls_address: Option<SocketAddr>,
    /// How the first administrator gets in, where the management API runs.
    pub first: Option<identity::FirstStart>,
}

/// Which parts a process runs. All of them find each other through Postgres only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    All,
    /// The gateway, with health and metrics on the management address.
    Gateway,
    /// The jobs, with health and metrics on the management address.
    Worker,
}

/// Starts a process' parts and returns when requests are answered.
///
/// # Errors
/// When a part cannot start; parts that had started end with the process.
pub async fn start(settings: ServeSettings, part: Part) -> anyhow::Result<Running> {
    let metrics = telemetry::install()?;
    let state = OpenState::open(&settings.state).await?;
    let clock = clock();
    let identity = Arc::new(Identity::new(
        state.pool.clone(),
        state.secrets.clone(),
        Options::new(clock.clone()),
    ));
    let first = match part {
        Part::All => Some(
            identity
                .first_start(&settings.admin_email, settings.admin_password.as_deref())
                .await
                .context("making the first administrator")?,
        ),
        Part::Gateway | Part::Worker => None,
    };

    let listener = std::net::TcpListener::bind(settings.listen)
        .with_context(|| format!("listening on {}", settings.listen))?;
    let management = listener.local_addr()?;
    let gateway_listener = if part == Part::Worker || (part == Part::All && settings.no_gateway) {
        None
    } else {
        let address = settings.address.gateway_listen;
        Some(
            std::net::TcpListener::bind(address)
                .with_context(|| format!("listening on {address}"))?,
        )
    };
    let gateway_address = gateway_listener
        .as_ref()
        .map(std::net::TcpListener::local_addr)
        .transpose()?;
    let gateway_port = gateway_address.map_or(settings.address.gateway_listen.port(), |address| {
        address.port()
    });
    let portal_listener = if part == Part::All {
        let address = settings.address.portal_listen;
        Some(
            std::net::TcpListener::bind(address)
                .with_context(|| format!("listening on {address} (PORTICO_PORTAL_LISTEN)"))?,
        )
    } else {
        None
    };
    let portal_address = portal_listener
        .as_ref()
        .map(std::net::TcpListener::local_addr)
        .transpose()?;
    let public = addresses(
        &settings.address,
        &settings.mail,
        management,
        portal_address.unwrap_or(settings.address.portal_listen),
        gateway_port,
    )?;

    let codec = Codec {
        secrets: state.secrets.clone(),
    };
    let audited = codec.clone();
    let signing_key = kinds::gateway::signing_key(&mut *state.pool.acquire().await?, &codec)
        .await
        .map_err(|e| anyhow::anyhow!("opening the signing key: {e:?}"))?;
    let debug_tokens = DebugTokens {
        public_key: kinds::gateway::public_key(&signing_key)
            .map_err(|e| anyhow::anyhow!("reading the signing key: {e:?}"))?,
        clock: clock.clone(),
    };
    let traces = Traces::start(
        state.pool.clone(),
        state.secrets.clone(),
        clock.clone(),
        signing_key,
        &public.management_url,
    );
    let exporter = Exporter::start(&settings.otel, metrics.clone(), clock.clone())?;
    let places = reports::Places::open(settings.geo_database.clone())?;
    let mut gateway_tls_address = None;
    let gateway = match gateway_listener {
        None => None,
        Some(listener) => {
            let backing = Arc::new(data_plane::Database::start(
                state.pool.clone(),
                traces.clone(),
                settings.edge.gateway_telemetry_queue.get(),
                places.clone(),
            ));
            let options = gateway::Options {
                debug_credentials: Some(Arc::new(debug_tokens)),
                spans: exporter.as_ref().and_then(Exporter::gateway_spans),
                shared_rates: shared_rates::start(&settings.redis).await?,
                external_caches: Some(Arc::new(RedisCaches::new(Duration::from_millis(
                    settings.redis.redis_wait_ms,
                )))),
                ..settings.edge.options()
            };
            let mut data_plane = DataPlane::start(listener, backing, options).await?;
            gateway_tls_address = data_plane.listen_by(&settings)?;
            Some(data_plane)
        }
    };
    let publish: rollout::Publish = match &gateway {
        Some(gateway) => gateway.publisher(),
        None => Arc::new(|_| ()),
    };
    let rollout = Arc::new(Rollout::start(
        state.pool.clone(),
        codec.clone(),
        public.clone(),
        publish,
    ));
    let engine = Engine::new(
        state.pool.clone(),
        kinds::registry(),
        codec,
        public,
        clock.clone(),
        rollout.clone(),
    );
    let own = settings.state.own_connections();
    let each = own.div_ceil(u32::try_from(workers())?);
    let engine = Arc::new(engine.with_own_connections(own, each));
    if part == Part::All {
        let changed = kinds::service::refresh_addresses(&engine)
            .await
            .context("refreshing the services' addresses")?;
        if changed > 0 {
            tracing::info!(changed, "services print new addresses");
        }
    }
    let works = part == Part::Worker || (part == Part::All && !settings.no_worker);
    let worker = if works {
        Some(worker(&state, &settings.mail, engine.clone()).await?)
    } else {
        None
    };

    let feed = match part {
        Part::All => Some(
            Feed::start(
                state.pool.clone(),
                Codec {
                    secrets: state.secrets.clone(),
                },
                clock.clone(),
                rollout.clone(),
                places,
            )
            .await
            .map_err(|e| anyhow::anyhow!("opening the signing key: {e:?}"))?,
        ),
        Part::Gateway | Part::Worker => None,
    };
    let mut tasks = JoinSet::new();
    let kept_up = telemetry::upkeep(
        metrics.clone(),
        gateway.as_ref().map(DataPlane::gateway),
        Some(engine.clone()),
    );
    tasks.spawn(async move {
        kept_up.await;
        Ok(())
    });
    if works {
        tasks.spawn(housekeeping(state.pool.clone(), clock));
        tasks.spawn(chain_audit(state.pool.clone(), audited));
        tasks.spawn(tell_quotas(
            engine.clone(),
            settings.mail.quota_notice_percent,
        ));
    }
    let shared = web::Data::new(State {
        engine,
        identity,
        rollout: rollout.clone(),
        gateway: gateway.as_ref().map(DataPlane::gateway),
        feed: feed.clone(),
        trusted_proxies: client_address::TrustedProxies(settings.trusted_proxies),
        portal_limits: developer::Limits::new(
            settings.portal_requests,
            settings.portal_sign_ins,
            settings.portal_tries,
        ),
        vaults: key_vault::Vaults::new(
            settings.key_vaults,
            fetch::Links::new(settings.import_private_links)?,
        ),
        links: fetch::Links::new(settings.import_private_links)?,
        spans: exporter.as_ref().and_then(Exporter::spans),
        traces: Some(traces),
        metrics: metrics.clone(),
    });
    let portals = shared.clone();
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .app_data(web::PayloadConfig::new(management::MAX_BODY_BYTES))
            .wrap(middleware::Compress::default())
            .wrap(middleware::from_fn(request_id::wrap))
            .configure(health::routes)
            .configure(|config| {
                if part == Part::All {
                    config
                        .service(
                            web::scope("/subscriptions")
                                .guard(guard::fn_guard(|request| {
                                    management::is_in_service(request.head().uri.path())
                                }))
                                .default_service(web::to(management::answer)),
                        )
                        .configure(docs::routes)
                        .configure(documents::routes)
                        .configure(authorization_login::routes)
                        .configure(echo::routes)
                        .configure(traces::routes)
                        .configure(arm::routes)
                        .configure(portal::publisher_routes)
                        .configure(sign_in::routes)
                        .configure(feed::routes)
                        .default_service(web::to(management::answer));
                }
            })
    };
    let server = HttpServer::new(app.clone())
        .workers(workers())
        .client_request_timeout(Duration::from_secs(15))
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?
        .run();
    let mut servers = vec![server.handle()];
    tasks.spawn(async move { server.await.context("serving the management API") });
    let mut management_tls = None;
    if let (Part::All, Some(cert), Some(key)) = (part, &settings.tls_cert, &settings.tls_key) {
        let listener = std::net::TcpListener::bind(settings.tls_listen)
            .with_context(|| format!("listening on {}", settings.tls_listen))?;
        management_tls = Some(listener.local_addr()?);
        let server = HttpServer::new(app)
            .workers(workers())
            .client_request_timeout(Duration::from_secs(15))
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(SHUTDOWN_SECONDS)
            .disable_signals()
            .listen_rustls_0_23(listener, tls(cert, key)?)?
            .run();
        servers.push(server.handle());
        tasks.spawn(async move { server.await.context("serving the management API over TLS") });
    }
    if let Some(listener) = portal_listener {
        let app = move || {
            App::new()
                .app_data(portals.clone())
                .app_data(web::PayloadConfig::new(management::MAX_BODY_BYTES))
                .wrap(middleware::Compress::default())
                .wrap(middleware::from_fn(request_id::wrap))
                .configure(developer::routes)
                .configure(portal::developer_routes)
        };
        let server = HttpServer::new(app)
            .workers(workers())
            .client_request_timeout(Duration::from_secs(15))
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(SHUTDOWN_SECONDS)
            .disable_signals()
            .listen(listener)?
            .run();
        servers.push(server.handle());
        tasks.spawn(async move { server.await.context("serving the developer portals") });
    }
    // Ready means that the first call through the gateway finds its API.
    rollout.loaded().await;
    let node = gateway.is_some().then(|| {
        let mode = match part {
            Part::All => Mode::Process,
            Part::Gateway | Part::Worker => Mode::Database,
        };
        LocalNode::start(state.pool.clone(), mode, rollout.revision())
    });
    Ok(Running {
        servers,
        tasks,
        worker,
        gateway,
        node,
        feed,
        exporter,
        state,
        management,
        management_tls,
        portal: portal_address,
        gateway_address,
        gateway_tls_address,
        first,
    })
}

/// Threads that answer management requests. Each blocks on nothing, so a few are enough beside the gateway.
fn workers() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(8)
}

impl Running {
    /// Runs until a part fails or `stop` completes, then ends everything in order: no new requests,
    /// running ones finish, jobs finish, connections close, the embedded Postgres stops.
    ///
    /// # Errors
    /// What made a part fail.
    pub async fn until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = stop => Ok(()),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(Ok(())) => Err(anyhow::anyhow!("a part of the server ended by itself")),
                Ok(Err(error)) => Err(error),
                Err(error) => Err(error.into()),
            },
        };
        tracing::info!("stopping");
        if let Some(feed) = &self.feed {
            // Streams of gateways would keep their connections open until the shutdown's limit.
            feed.close();
        }
        for server in &self.servers {
            server.stop(true).await;
        }
        if let Some(node) = self.node {
            node.leave().await;
        }
        if let Some(gateway) = self.gateway {
            gateway.stop().await;
        }
        if let Some(feed) = self.feed
            && tokio::time::timeout(LAST_RECORDS, feed.written())
                .await
                .is_err()
        {
            tracing::warn!("the last records of gateways' calls are lost");
        }
        if let Some(worker) = self.worker {
            worker.stop().await;
        }
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        self.tasks.shutdown().await;
        self.state.close().await;
        outcome
    }
}

/// Runs the jobs of the installation.
///
/// # Errors
/// When the SMTP URL cannot be read or the queue cannot be reached.
pub async fn worker(
    state: &OpenState,
    mail: &MailSettings,
    engine: Arc<Engine>,
) -> anyhow::Result<jobs::Worker> {
    let transport = mail
        .smtp_url
        .as_deref()
        .map(mail::Transport::smtp)
        .transpose()
        .context("PORTICO_SMTP_URL")?;
    if transport.is_some() {
        let held = mail::requeue_held(&mut *state.pool.acquire().await?).await?;
        if held > 0 {
            tracing::info!(held, "mails that waited for an SMTP server are queued");
        }
    }
    let jobs = jobs::Jobs::new()
        .register(mail::SendMail {
            pool: state.pool.clone(),
            transport,
        })
        .register(ActivateService { engine });
    Ok(jobs::Worker::start(state.pool.clone(), jobs, jobs::WorkerOptions::default()).await?)
}

/// Removes what is over: deleted services after 48 hours, old changes, old mails, sign-in counters, tickets.
async fn housekeeping(pool: sqlx::PgPool, clock: engine::Clock) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(HOUSEKEEPING);
    loop {
        interval.tick().await;
        if let Err(error) = clean(&pool, clock()).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "housekeeping failed; it is tried again"
            );
        }
    }
}

/// Tells who has used most of a quota, soon after it is so.
async fn tell_quotas(engine: Arc<Engine>, percent: i32) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(QUOTA_NOTICES);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // What was counted while no process was there to tell is looked at once.
    let mut within = Duration::from_secs(24 * 3600);
    loop {
        interval.tick().await;
        match kinds::quota_notice::tell(&engine, percent, within).await {
            Ok(_) => within = QUOTA_NOTICES * 60,
            Err(error) => {
                tracing::warn!(
                    ?error,
                    "quotas that are nearly used up could not be told; it is tried again"
                );
            }
        }
    }
}

/// Chains the audit trail, soon after each write.
async fn chain_audit(pool: sqlx::PgPool, codec: Codec) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(AUDIT_CHAIN);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = engine::audit::chain(&pool, &codec).await {
            tracing::warn!(%error, "the audit trail could not be chained; it is tried again");
        }
    }
}

async fn clean(pool: &sqlx::PgPool, now: chrono::DateTime<chrono::Utc>) -> anyhow::Result<()> {
    let services = deleted::purge_expired(pool, now).await?;
    let entities = engine::deleted::purge(pool, now).await?;
    let changes = rollout::purge(pool, CHANGES_KEPT).await?;
    let nodes = nodes::purge(pool).await?;
    let mails = mail::purge_sent(&mut *pool.acquire().await?, now - MAILS_KEPT).await?;
    sqlx::query("DELETE FROM sign_in_attempts WHERE last_at < $1")
        .bind(now - chrono::Duration::days(1))
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM idempotent_replies WHERE created_at < $1")
        .bind(now - idempotency::KEPT)
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM user_tickets WHERE expires_at < $1")
        .bind(now)
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM quota_counters WHERE period_end < $1")
        .bind(now - chrono::Duration::days(1))
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM quota_notices WHERE period_end < $1")
        .bind(now - chrono::Duration::days(1))
        .execute(pool)
        .await?;
    sqlx::query("DELETE FROM long_operations WHERE ended_at < $1")
        .bind(now - chrono::Duration::days(7))
        .execute(pool)
        .await?;
    certificates(pool, now).await?;
    let days = reports::drop_old_calls(pool, (now - CALLS_KEPT).date_naive()).await?;
    reports::drop_old_details(pool, now - CALLS_KEPT).await?;
    tracing::debug!(
        days,
        services,
        entities,
        changes,
        nodes,
        mails,
        "housekeeping done"
    );
    Ok(())
}

/// How long before its end a certificate is called to mind.
const EXPIRING: chrono::Duration = chrono::Duration::days(30);

/// Tells which certificates end soon or have ended.
async fn certificates(
    pool: &sqlx::PgPool,
    now: chrono::DateTime<chrono::Utc>,
) -> anyhow::Result<()> {
    let expiring: Vec<String> = sqlx::query_scalar(
        "SELECT place || ' (' || to_char(ends AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ')' FROM ( \
           SELECT s.name || '/certificates/' || c.name AS place, c.expiration_date AS ends \
           FROM certificates c JOIN services s ON s.id = c.parent_id WHERE s.deleted_at IS NULL \
           UNION ALL SELECT s.name || '/hostnameConfigurations/' || (h->>'hostName'), (h->'certificate'->>'expiry')::timestamptz \
           FROM services s, jsonb_array_elements(CASE jsonb_typeof(s.hostname_configurations) WHEN 'array' THEN s.hostname_configurations \
             ELSE '[]' END) h WHERE s.deleted_at IS NULL AND h->>'certificateSource' = 'Custom' \
         ) all_of_them WHERE ends < $1 ORDER BY ends, place",
    )
    .bind(now + EXPIRING)
    .fetch_all(pool)
    .await?;
    // A count of certificates is far below what a float can hold exactly.
    metrics::gauge!("portico_certificates_expiring")
        .set(f64::from(u32::try_from(expiring.len()).unwrap_or(u32::MAX)));
    if !expiring.is_empty() {
        tracing::warn!(
            certificates = expiring.join(", "),
            "certificates end within 30 days or have ended"
        );
    }
    Ok(())
}

/// TLS of the management API.
fn tls(cert: &Path, key: &Path) -> anyhow::Result<rustls::ServerConfig> {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let open = |path: &Path| {
        File::open(path)
            .map(BufReader::new)
            .with_context(|| format!("reading {}", path.display()))
    };
    let chain = CertificateDer::pem_reader_iter(open(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| anyhow::anyhow!("{}: {e}", cert.display()))?;
    let key = PrivateKeyDer::from_pem_reader(open(key)?)
        .map_err(|e| anyhow::anyhow!("{}: {e}", key.display()))?;
    rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_no_client_auth()
    .with_single_cert(chain, key)
    .context("the certificate and the key do not fit")
}
