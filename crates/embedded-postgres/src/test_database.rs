//! A fresh database for each test (feature `test-database`).
//!
//! ```no_run
//! # use embedded_postgres::test_database::TestDatabase;
//! # static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT;
//! # async fn a_test() -> Result<(), embedded_postgres::Error> {
//! let database = TestDatabase::migrated(&MIGRATOR).await?;
//! sqlx::query("SELECT 1").execute(&database.pool()).await?;
//! # Ok(()) } // dropping `database` removes it
//! ```
//!
//! # Where the server comes from
//! - `PORTICO_TEST_DATABASE_URL` set: that server (the user must be allowed to create databases).
//! - Otherwise one server per target folder, shared by all test processes that run at the same time,
//!   because starting one takes a second and a database only milliseconds. It lives in
//!   `<target>/test-postgres` (the temporary folder if the account of Postgres cannot reach that).
//!
//! # Life of the shared server
//! Each test process holds a shared lock on the file `users`. A small shell loop next to the server
//! tries every few seconds to get that lock exclusively; once nobody holds it, it stops the server and
//! ends. So no test process is the server's parent, and nothing stays behind after the last one,
//! however it ended. Each start begins with an empty folder: there is no state to distrust.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

use crate::folder::{self, Folder};
use crate::server::{addresses, quoted, settings};
use crate::{Error, Options};

/// Seconds between two looks whether anybody still uses the server.
const IDLE_CHECK_SECONDS: u32 = 15;
/// How long the server may take to answer after its launch.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An empty or freshly copied database, removed when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    server: PgConnectOptions,
    connect: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    /// An empty database.
    ///
    /// # Errors
    /// When the server cannot be started or refuses.
    pub async fn create() -> Result<Self, Error> {
        let server = server().await?;
        let mut connection = server.connect().await?;
        let database = Self::copy(&mut connection, server, "template0").await;
        connection.close().await?;
        database
    }

    /// A copy of a database that `migrator` has migrated once for the whole server.
    ///
    /// # Errors
    /// As [`Self::create`], and when a migration fails.
    pub async fn migrated(migrator: &Migrator) -> Result<Self, Error> {
        let mut key = 0xcbf2_9ce4_8422_2325_u64;
        for migration in migrator.iter() {
            fnv1a(&mut key, &migration.version.to_be_bytes());
            fnv1a(&mut key, &migration.checksum);
        }
        Self::from_template(&format!("migrated_{key:016x}"), async |pool| {
            Ok(migrator.run(pool).await?)
        })
        .await
    }

    /// A copy of the template `name`, which `fill` fills the first time the server is asked for it.
    ///
    /// The name must change with the content, e.g. carry a hash: other test processes with another
    /// state of the source share the server.
    ///
    /// # Errors
    /// As [`Self::create`], and what `fill` returns.
    pub async fn from_template(
        name: &str,
        fill: impl AsyncFnOnce(&PgPool) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let server = server().await?;
        let template = format!("template_{name}");
        let mut connection = server.connect().await?;
        if !exists(&mut connection, &template).await? {
            // One process fills it; the lock goes with the connection.
            sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
                .bind(&template)
                .execute(&mut connection)
                .await?;
            if !exists(&mut connection, &template).await? {
                let unfinished = format!("{template}_unfinished");
                execute(
                    &mut connection,
                    format!(
                        "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                        quoted(&unfinished)
                    ),
                )
                .await?;
                execute(
                    &mut connection,
                    format!("CREATE DATABASE {} TEMPLATE template0", quoted(&unfinished)),
                )
                .await?;
                let inside = PgPoolOptions::new()
                    .max_connections(2)
                    .connect_with(server.clone().database(&unfinished))
                    .await?;
                fill(&inside).await?;
                inside.close().await;
                execute(
                    &mut connection,
                    format!(
                        "ALTER DATABASE {} RENAME TO {}",
                        quoted(&unfinished),
                        quoted(&template)
                    ),
                )
                .await?;
            }
        }
        let database = Self::copy(&mut connection, server, &template).await;
        connection.close().await?;
        database
    }

    async fn copy(
        connection: &mut PgConnection,
        server: &PgConnectOptions,
        template: &str,
    ) -> Result<Self, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Process numbers come back, so a database of a killed test process may still be there.
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        execute(
            connection,
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&name)),
        )
        .await?;
        execute(
            connection,
            format!(
                "CREATE DATABASE {} TEMPLATE {}",
                quoted(&name),
                quoted(template)
            ),
        )
        .await?;
        Ok(Self {
            server: server.clone(),
            connect: server.clone().database(&name),
            name,
        })
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to connect to it.
    pub fn connect_options(&self) -> &PgConnectOptions {
        &self.connect
    }

    /// The same as a connect string, for programs that take one.
    pub fn url(&self) -> String {
        self.connect.to_url_lossy().to_string()
    }

    /// A new pool; connections are opened when first needed.
    pub fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(10)
            .connect_lazy_with(self.connect.clone())
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread with its own runtime: the test's may be about to end, and a drop cannot wait in it.
        let dropping = std::thread::spawn(move || -> Result<(), Error> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::io("build a runtime"))?;
            runtime.block_on(async {
                let mut connection = server.connect().await?;
                execute(
                    &mut connection,
                    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&name)),
                )
                .await?;
                Ok(connection.close().await?)
            })
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("test database {} was not removed: {error}", self.name),
            Err(_) => eprintln!(
                "test database {} was not removed: the thread panicked",
                self.name
            ),
        }
    }
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), Error> {
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}

async fn exists(connection: &mut PgConnection, database: &str) -> Result<bool, Error> {
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(database)
            .fetch_one(connection)
            .await?,
    )
}

fn fnv1a(hash: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

/// The server of this process' tests, found or started once.
async fn server() -> Result<&'static PgConnectOptions, Error> {
    static SERVER: OnceCell<PgConnectOptions> = OnceCell::const_new();
    SERVER
        .get_or_try_init(|| async {
            #[expect(
                clippy::disallowed_methods,
                reason = "tests have no main that could hand in a setting"
            )]
            if let Ok(url) = std::env::var("PORTICO_TEST_DATABASE_URL") {
                return Ok(PgConnectOptions::from_str(&url)?);
            }
            shared_server().await
        })
        .await
}

/// `<target>/test-postgres` of the running test binary (`<target>/debug/deps/<test>`).
fn shared_folder() -> PathBuf {
    let target = std::env::current_exe().ok().and_then(|program| {
        let deps = program
            .ancestors()
            .find(|folder| folder.ends_with("deps"))?;
        Some(deps.parent()?.parent()?.to_owned())
    });
    target
        .unwrap_or_else(std::env::temp_dir)
        .join("test-postgres")
}

async fn shared_server() -> Result<PgConnectOptions, Error> {
    let preferred = shared_folder();
    match shared_server_in(&preferred).await {
        Err(Error::Unreachable { .. }) => {
            let mut name = 0xcbf2_9ce4_8422_2325_u64;
            fnv1a(&mut name, preferred.as_os_str().as_encoded_bytes());
            shared_server_in(
                &std::env::temp_dir().join(format!("portico-test-postgres-{name:016x}")),
            )
            .await
        }
        result => result,
    }
}

async fn shared_server_in(base: &Path) -> Result<PgConnectOptions, Error> {
    let create = || -> Result<(File, File), Error> {
        fs::create_dir_all(base).map_err(Error::io(format!("create {}", base.display())))?;
        let open = |name: &str| {
            let path = base.join(name);
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(Error::io(format!("open {}", path.display())))
        };
        Ok((open("users")?, open("starting")?))
    };
    let (users, starting) = create()?;
    let data_dir = base.join("data");
    let base_for_lock = base.to_owned();
    let (users, starting) = tokio::task::spawn_blocking(move || {
        // `users` first: with it held, a running server stays, and one that is being stopped is gone.
        users
            .lock_shared()
            .and_then(|()| starting.lock())
            .map_err(Error::io(format!("lock {}", base_for_lock.display())))?;
        Ok::<_, Error>((users, starting))
    })
    .await
    .map_err(|error| Error::Io {
        doing: "wait for the test server's lock".to_owned(),
        source: std::io::Error::other(error),
    })??;
    // Held until the process ends, which closes it.
    std::mem::forget(users);

    let address = base.join("address");
    if let Ok(url) = fs::read_to_string(&address) {
        let connect = PgConnectOptions::from_str(&url)?;
        if let Ok(connection) = connect.connect().await {
            connection.close().await?;
            return Ok(connect);
        }
    }
    let connect = launch(base, &data_dir).await?;
    fs::write(&address, connect.to_url_lossy().as_str())
        .map_err(Error::io(format!("write {}", address.display())))?;
    drop(starting);
    Ok(connect)
}

/// Starts server and watching shell with empty data; the caller holds the locks.
async fn launch(base: &Path, data_dir: &Path) -> Result<PgConnectOptions, Error> {
    let options = Options::ephemeral(data_dir);
    let path = std::env::var_os("PATH");
    let prepared = options.clone();
    let folder = tokio::task::spawn_blocking(move || {
        if prepared.data_dir.exists() {
            fs::remove_dir_all(&prepared.data_dir)
                .map_err(Error::io(format!("remove {}", prepared.data_dir.display())))?;
        }
        Folder::prepare(&prepared, path.as_deref())
    })
    .await
    .map_err(|error| Error::Io {
        doing: "prepare the test server's folder".to_owned(),
        source: std::io::Error::other(error),
    })??;

    let log = base.join("log");
    let log_file = File::create(&log).map_err(Error::io(format!("create {}", log.display())))?;
    // $1 seconds, $2 lock file, then the server. In a process group of their own: a ^C at the
    // terminal that runs the tests must reach neither.
    const WATCH: &str = r#"seconds=$1 users=$2; shift 2
"$@" & server=$!
while kill -0 $server 2>/dev/null; do
  sleep "$seconds"
  flock --nonblock "$users" sh -c "kill -QUIT $server; while kill -0 $server 2>/dev/null; do sleep 0.05; done" && break
done
wait $server"#;
    let users = base.join("users");
    let mut command = folder::command("sh".as_ref(), None);
    command
        .args([
            "-c",
            WATCH,
            "portico-test-postgres",
            &IDLE_CHECK_SECONDS.to_string(),
        ])
        .arg(&users);
    command.args(["setpriv", "--pdeathsig", "QUIT"]);
    if let Some(account) = &folder.account {
        command.args([
            "--reuid",
            &account.uid.to_string(),
            "--regid",
            &account.gid.to_string(),
            "--clear-groups",
        ]);
    }
    command
        .arg("--")
        .arg(folder.binaries.bin_dir.join("postgres"))
        .arg("-D")
        .arg(&folder.cluster);
    for (name, value) in settings(&options, &folder) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let log_copy = log_file
        .try_clone()
        .map_err(Error::io(format!("open {}", log.display())))?;
    command
        .stdin(Stdio::null())
        .stdout(log_copy)
        .stderr(log_file)
        .process_group(0)
        .current_dir(base);
    let mut shell = command
        .spawn()
        .map_err(Error::io("run sh, which watches the test server"))?;

    let (connect, _) = addresses(&folder, "postgres");
    let ready = tokio::time::timeout(START_LIMIT, async {
        let mut interval = tokio::time::interval(Duration::from_millis(10));
        loop {
            interval.tick().await;
            if let Ok(connection) = connect.connect().await {
                return connection.close().await.map_err(Error::from);
            }
            if shell
                .try_wait()
                .map_err(Error::io("look at the test server's shell"))?
                .is_some()
            {
                break;
            }
        }
        Err(Error::NotStarted { log: String::new() })
    });
    match ready.await {
        Ok(Ok(())) => Ok(connect),
        Ok(Err(Error::NotStarted { .. })) | Err(_) => Err(Error::NotStarted {
            log: fs::read_to_string(&log).map_err(Error::io(format!("read {}", log.display())))?,
        }),
        Ok(Err(error)) => Err(error),
    }
}
