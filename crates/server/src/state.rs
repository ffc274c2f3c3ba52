//! Opening the state: Postgres (embedded or given), migrations, the secret key.

use crate::{secret_key, settings::StateSettings};
use anyhow::Context as _;
use embedded_postgres::{EmbeddedPostgres, Options};
use secret_box::SecretBox;
use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{sync::Arc, time::Duration};

/// The migrations of all crates, in the order of their numbers.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// A connection that was idle for longer is tested before it is used.
const RESTED: Duration = Duration::from_secs(1);

/// State that is open: connections, and the embedded server if it is ours.
pub struct OpenState {
    /// Connections.
    pub pool: PgPool,
    /// Seals stored secrets.
    pub secrets: Arc<SecretBox>,
    /// The server that this process supervises.
    pub postgres: Option<EmbeddedPostgres>,
}

impl OpenState {
    /// Starts or finds Postgres, migrates it, and checks that the secret key is the database's.
    ///
    /// Replicas that start together migrate one after the other (sqlx and graphile_worker lock).
    ///
    /// # Errors
    /// When Postgres cannot be reached or started, a migration fails, or the key is another.
    pub async fn open(settings: &StateSettings) -> anyhow::Result<Self> {
        let this = Self::connect(settings).await?;
        migrate(&this.pool).await?;
        secret_key::check(&this.pool, &this.secrets).await?;
        Ok(this)
    }

    /// As [`open`](Self::open) without migrating.
    ///
    /// # Errors
    /// When Postgres cannot be reached or started.
    pub async fn connect(settings: &StateSettings) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&settings.data_dir)
            .with_context(|| format!("creating {}", settings.data_dir.display()))?;
        let data_dir = std::path::absolute(&settings.data_dir)?;
        let embedded = settings.database_url.is_none();
        let secrets = secret_key::load(settings.secret_key.as_deref(), &data_dir, embedded)?;
        let pool_options = PgPoolOptions::new()
            .max_connections(settings.database_connections - settings.own_connections())
            .acquire_timeout(Duration::from_secs(10))
            // Each return to the pool tests a connection already. Only one that has rested may have been cut off since.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > RESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        // A statement that outlives the request's own limit holds locks for nobody.
        let limited = |options: PgConnectOptions| {
            options.options([
                ("statement_timeout", "30s"),
                ("idle_in_transaction_session_timeout", "60s"),
            ])
        };
        let (pool, postgres) = match &settings.database_url {
            Some(url) => {
                let options: PgConnectOptions = url.parse().context("DATABASE_URL")?;
                (
                    pool_options
                        .connect_with(limited(options))
                        .await
                        .context("connecting to DATABASE_URL")?,
                    None,
                )
            }
            None => {
                let mut options = Options::durable(data_dir.join("postgres"));
                options.bin_dir.clone_from(&settings.postgres_bin);
                let postgres = EmbeddedPostgres::start(options)
                    .await
                    .context("starting the embedded Postgres")?;
                note_url(&data_dir, postgres.url())?;
                let pool = pool_options
                    .connect_with(limited(postgres.connect_options().clone()))
                    .await?;
                (pool, Some(postgres))
            }
        };
        Ok(Self {
            pool,
            secrets,
            postgres,
        })
    }

    /// Closes the connections, then the server.
    pub async fn close(self) {
        self.pool.close().await;
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}

/// Brings the database to this version.
///
/// # Errors
/// When a migration fails or the database is of a newer version.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<()> {
    MIGRATIONS
        .run(pool)
        .await
        .context("migrating the database")?;
    jobs::migrate(pool)
        .await
        .context("migrating the job queue")?;
    Ok(())
}

/// Leaves the embedded server's address for `portico token`, readable by the same account only.
fn note_url(data_dir: &std::path::Path, url: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let path = data_dir.join("postgres.url");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("writing {}", path.display()))?;
    file.write_all(url.as_bytes())?;
    Ok(())
}
