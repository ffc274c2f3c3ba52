//! Portico's own Postgres: found on the machine, started, watched and stopped by Portico.
//!
//! A small installation needs no database administrator: the binary starts the system's Postgres
//! on a folder of its own. [`EmbeddedPostgres::start`] finds the binaries ([`binaries`]), prepares
//! the folder (lock, `initdb`, version check), starts the server and returns when it answers.
//!
//! # Layout of the data folder
//! ```text
//! <data_dir>/portico.lock   held while a Portico uses the folder
//! <data_dir>/cluster/       Postgres' data (PGDATA)
//! <data_dir>/run/           the unix socket, reachable only by the folder's owner and root
//! <data_dir>/password       password of the TCP fallback
//! ```
//!
//! # Things to note
//! - Postgres refuses to run as root. Started as root, Portico runs it as the account
//!   [`Options::run_as`] (`postgres`), which must be able to reach the folder.
//! - The server listens only on a unix socket inside a 0700 folder, so whoever may open the socket
//!   could also read the files; a password would add nothing. Where the path is too long for a
//!   socket (107 bytes on Linux), it listens on 127.0.0.1 with a generated password instead.
//! - **No orphan**: Postgres is started through `setpriv --pdeathsig QUIT`, so the kernel stops it
//!   when Portico dies in whatever way. The signal follows the *thread* that started the process,
//!   therefore one thread, living as long as the server, starts and restarts it. `SIGQUIT` is
//!   Postgres' immediate shutdown: nothing committed is lost, the next start replays the log.
//! - If the server dies it is started again, with a growing pause between attempts.
//! - [`EmbeddedPostgres::stop`] is the clean way; dropping the value does the same and blocks.

pub mod binaries;
mod folder;
mod server;
#[cfg(feature = "test-database")]
pub mod test_database;

pub use server::EmbeddedPostgres;

use std::path::PathBuf;

/// How to run the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder that holds everything; created when missing.
    pub data_dir: PathBuf,
    /// Folder with `postgres` and `initdb`; `None` searches the machine (see [`binaries::find`]).
    pub bin_dir: Option<PathBuf>,
    /// Extra `postgresql.conf` settings; they win over Portico's own.
    pub settings: Vec<(String, String)>,
    /// Account that runs the server when Portico is root.
    pub run_as: String,
    /// Database to create and connect to.
    pub database: String,
    /// Whether committed data survives a crash of the machine. Only tests say `false`.
    pub durable: bool,
}

impl Options {
    /// A durable server on `data_dir` with the newest binaries of the machine.
    pub fn durable(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            bin_dir: None,
            settings: Vec::new(),
            run_as: "postgres".to_owned(),
            database: "portico".to_owned(),
            durable: true,
        }
    }

    /// A fast server that may lose its data when the machine crashes: for tests.
    pub fn ephemeral(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            durable: false,
            ..Self::durable(data_dir)
        }
    }
}

/// Why the server could not be started or reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable binaries.
    #[error(
        "no PostgreSQL {} or newer found (searched {searched}); install the package `postgresql` or set PORTICO_POSTGRES_BIN to the folder with `postgres` and `initdb`",
        binaries::OLDEST_MAJOR
    )]
    NoBinaries {
        /// Where was looked.
        searched: String,
    },
    /// The binaries are too old or cannot be asked for their version.
    #[error("{}: {problem}", bin_dir.display())]
    Binaries {
        /// The folder of the binaries.
        bin_dir: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Root, but no account to run Postgres as.
    #[error(
        "PostgreSQL does not run as root and there is no account `{user}`; create it (the package `postgresql` does) or choose another"
    )]
    NoAccount {
        /// The account looked for in `/etc/passwd`.
        user: String,
    },
    /// The account cannot reach the data folder.
    #[error(
        "the account `{user}` that runs PostgreSQL may not enter {}, so it cannot reach the data folder {}; choose a data folder elsewhere (for example /var/lib/portico) or give others execute permission on that folder",
        blocked.display(), data_dir.display()
    )]
    Unreachable {
        /// The account.
        user: String,
        /// The first folder that it may not enter.
        blocked: PathBuf,
        /// The data folder.
        data_dir: PathBuf,
    },
    /// Another Portico uses the folder.
    #[error("the data folder {} is in use by another Portico", data_dir.display())]
    InUse {
        /// The data folder.
        data_dir: PathBuf,
    },
    /// A server nobody answers for runs on the folder and does not stop.
    #[error("a PostgreSQL server (process {pid}) already runs on {} and does not stop; stop it first", data_dir.display())]
    ForeignServer {
        /// Its process id.
        pid: i32,
        /// The data folder.
        data_dir: PathBuf,
    },
    /// The data was written by another major version.
    #[error(
        "the data folder {} was written by PostgreSQL {data}, the binaries in {} are PostgreSQL {binaries}; install PostgreSQL {data} or convert the folder `cluster` with pg_upgrade",
        data_dir.display(), bin_dir.display()
    )]
    Version {
        /// The data folder.
        data_dir: PathBuf,
        /// The folder of the binaries.
        bin_dir: PathBuf,
        /// Major version of the data.
        data: String,
        /// Major version of the binaries.
        binaries: u32,
    },
    /// `initdb` failed.
    #[error("initdb failed: {log}")]
    Initdb {
        /// What it printed.
        log: String,
    },
    /// The server ended again and again before it answered.
    #[error("PostgreSQL does not start: {log}")]
    NotStarted {
        /// The last lines it printed.
        log: String,
    },
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was attempted, with its path.
        doing: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// The server answered with an error.
    #[error("PostgreSQL refused: {0}")]
    Sql(#[from] sqlx::Error),
    /// A template of test databases could not be filled.
    #[error("cannot migrate the template database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A caller's own step of filling a template failed.
    #[cfg(feature = "test-database")]
    #[error("cannot fill the template database: {0}")]
    Fill(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
