//! Starting, watching and stopping the server process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::folder::{self, Folder, Listen, SOCKET_PORT, USER};
use crate::{Error, Options};

/// Launches that may fail before [`EmbeddedPostgres::start`] gives up. More than one, because after a
/// crash of the server its last processes may hold the shared memory for a moment.
const FIRST_START_ATTEMPTS: u32 = 4;
/// Pause before the first restart; doubles up to [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A server that ran this long was healthy: its next restart is quick again.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// How often the start asks whether the server answers.
const READY_INTERVAL: Duration = Duration::from_millis(10);
/// A clean stop that takes longer is cut short; the log is replayed at the next start.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Lines of the server's output kept for error messages.
const KEPT_LINES: usize = 30;

/// Portico's settings, before those of the caller. Log lines go to standard error, thus to ours.
const SETTINGS: &[(&str, &str)] = &[
    ("cluster_name", "portico"),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    ("password_encryption", "scram-sha-256"),
    ("max_connections", "200"),
    ("shared_buffers", "128MB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", ""),
];
const DURABLE: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
];
const EPHEMERAL: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_connections", "500"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "4GB"),
];

/// A running server. Dropping it stops it, blocking until it has ended; prefer [`Self::stop`].
#[derive(Debug)]
pub struct EmbeddedPostgres {
    watch: Arc<Watch>,
    supervisor: Option<JoinHandle<()>>,
    connect: PgConnectOptions,
    url: String,
}

#[derive(Debug, Default)]
struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Set while the process exists and has not been waited for, so it cannot name another one.
    pid: Option<Pid>,
    stopping: bool,
    /// How many launches ended without being asked to.
    failures: u32,
    launch_error: Option<String>,
    log: VecDeque<String>,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state consistent, so a panic elsewhere changes nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.state().pid
            && let Err(error) = rustix::process::kill_process(pid, signal)
        {
            tracing::error!(%error, "cannot signal PostgreSQL");
        }
    }

    fn request_stop(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
        // Fast shutdown: roll back what runs, write a checkpoint, end.
        self.signal(Signal::INT);
    }
}

impl EmbeddedPostgres {
    /// Prepares the folder, starts the server and waits until it answers.
    ///
    /// # Errors
    /// Everything that [`Error`] names; the folder is released again.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let path = std::env::var_os("PATH");
        Self::start_with_path(options, path).await
    }

    async fn start_with_path(
        options: Options,
        path: Option<std::ffi::OsString>,
    ) -> Result<Self, Error> {
        let prepared = options.clone();
        let folder =
            tokio::task::spawn_blocking(move || Folder::prepare(&prepared, path.as_deref()))
                .await
                .map_err(|error| Error::Io {
                    doing: "prepare the data folder".to_owned(),
                    source: std::io::Error::other(error),
                })??;

        let (connect, url) = addresses(&folder, &options.database);
        let watch = Arc::new(Watch::default());
        let supervised = Arc::clone(&watch);
        let settings = settings(&options, &folder);
        let supervisor = std::thread::Builder::new()
            .name("postgres-supervisor".to_owned())
            .spawn(move || supervise(&supervised, &folder, &settings))
            .map_err(Error::io("start the supervisor thread"))?;
        // From here on dropping `server` stops the process.
        let server = Self {
            watch,
            supervisor: Some(supervisor),
            connect,
            url,
        };
        server.answers().await?;
        server.create_database(&options.database).await?;
        Ok(server)
    }

    /// Connect string for sqlx: `postgres://portico@%2Fdata%2Frun:5432/portico`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same as [`Self::url`], as sqlx' options.
    pub fn connect_options(&self) -> &PgConnectOptions {
        &self.connect
    }

    /// Process number of the server; `None` between its end and its restart.
    pub fn pid(&self) -> Option<u32> {
        self.watch
            .state()
            .pid
            .map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// How often the server ended without being asked to; it was started again each time.
    pub fn restarts(&self) -> u32 {
        self.watch.state().failures
    }

    /// Stops the server in an orderly way and releases the folder.
    pub async fn stop(mut self) {
        self.watch.request_stop();
        if let Some(supervisor) = self.supervisor.take() {
            let watch = Arc::clone(&self.watch);
            if let Err(error) =
                tokio::task::spawn_blocking(move || finish(&watch, supervisor)).await
            {
                tracing::error!(%error, "stopping PostgreSQL was interrupted");
            }
        }
    }

    /// Waits until the server accepts a connection to its own maintenance database.
    ///
    /// Without a time limit: replaying a long log takes as long as it takes, and a server that
    /// cannot start ends by itself.
    async fn answers(&self) -> Result<(), Error> {
        let maintenance = self.connect.clone().database("postgres");
        let mut interval = tokio::time::interval(READY_INTERVAL);
        loop {
            interval.tick().await;
            match maintenance.connect().await {
                Ok(connection) => return Ok(connection.close().await?),
                // "The database system is starting up", or nobody listens yet.
                Err(error) => tracing::trace!(%error, "PostgreSQL does not answer yet"),
            }
            let state = self.watch.state();
            if let Some(error) = &state.launch_error {
                return Err(Error::NotStarted { log: error.clone() });
            }
            if state.failures >= FIRST_START_ATTEMPTS {
                return Err(Error::NotStarted {
                    log: state.log.iter().cloned().collect::<Vec<_>>().join("\n"),
                });
            }
        }
    }

    async fn create_database(&self, database: &str) -> Result<(), Error> {
        let mut connection = self.connect.clone().database("postgres").connect().await?;
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(database)
                .fetch_one(&mut connection)
                .await?;
        if !exists {
            let statement = format!("CREATE DATABASE {}", quoted(database));
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(&mut connection)
                .await?;
        }
        Ok(connection.close().await?)
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            self.watch.request_stop();
            finish(&self.watch, supervisor);
        }
    }
}

/// A name as an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn addresses(folder: &Folder, database: &str) -> (PgConnectOptions, String) {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let connect = PgConnectOptions::new_without_pgpass()
        .username(USER)
        .database(database);
    match &folder.listen {
        Listen::Socket => {
            let run = folder.run.to_string_lossy();
            let url = format!(
                "postgres://{USER}@{}:{SOCKET_PORT}/{}",
                encode(&run),
                encode(database)
            );
            (connect.socket(&folder.run).port(SOCKET_PORT), url)
        }
        Listen::Tcp { port, password } => {
            let url = format!(
                "postgres://{USER}:{password}@127.0.0.1:{port}/{}",
                encode(database)
            );
            (
                connect.host("127.0.0.1").port(*port).password(password),
                url,
            )
        }
    }
}

pub(crate) fn settings(options: &Options, folder: &Folder) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    let own = SETTINGS
        .iter()
        .chain(if options.durable { DURABLE } else { EPHEMERAL });
    settings.extend(own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    match &folder.listen {
        Listen::Socket => {
            settings.push(("listen_addresses".to_owned(), String::new()));
            // A list in Postgres' syntax: a comma in the path must not split it.
            let run = folder.run.to_string_lossy().replace('"', "\"\"");
            settings.push(("unix_socket_directories".to_owned(), format!("\"{run}\"")));
        }
        Listen::Tcp { port, .. } => {
            settings.push(("listen_addresses".to_owned(), "127.0.0.1".to_owned()));
            settings.push(("unix_socket_directories".to_owned(), String::new()));
            settings.push(("port".to_owned(), port.to_string()));
        }
    }
    settings.extend(options.settings.iter().cloned());
    settings
}

/// Body of the thread that owns the process; ends only after it.
fn supervise(watch: &Arc<Watch>, folder: &Folder, settings: &[(String, String)]) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let mut state = watch.state();
        if state.stopping {
            return;
        }
        let started_at = Instant::now();
        // Launching under the lock: a stop request comes either before it or finds the process.
        match launch(folder, settings, watch) {
            Ok(mut child) => {
                let pid = Pid::from_child(&child);
                state.pid = Some(pid);
                drop(state);
                // Without reaping, so that `pid` names this process until the lock is held again.
                while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
                ) {}
                state = watch.state();
                state.pid = None;
                match child.wait() {
                    Ok(status) if !state.stopping => {
                        tracing::error!(%status, "PostgreSQL ended by itself; starting it again")
                    }
                    Ok(status) => tracing::debug!(%status, "PostgreSQL stopped"),
                    Err(error) => tracing::error!(%error, "cannot wait for PostgreSQL"),
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot launch PostgreSQL");
                state.launch_error = Some(error.to_string());
            }
        }
        if state.stopping {
            return;
        }
        state.failures += 1;
        if started_at.elapsed() > HEALTHY_AFTER {
            pause = SHORTEST_PAUSE;
        }
        let (resumed, _) = watch
            .changed
            .wait_timeout_while(state, pause, |state| !state.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        drop(resumed);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn launch(
    folder: &Folder,
    settings: &[(String, String)],
    watch: &Arc<Watch>,
) -> Result<Child, Error> {
    // setpriv sets the signal and becomes postgres: no process between us and the server.
    let mut command = folder::command("setpriv".as_ref(), folder.account.as_ref());
    command
        .args(["--pdeathsig", "QUIT", "--"])
        .arg(folder.binaries.bin_dir.join("postgres"))
        .arg("-D")
        .arg(&folder.cluster);
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command
        .current_dir(&folder.cluster)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Error::io(
        "run setpriv (of util-linux), which starts PostgreSQL",
    ))?;
    if let Some(stderr) = child.stderr.take() {
        let watch = Arc::clone(watch);
        // Ends with the server's last process, which closes the pipe.
        std::thread::Builder::new()
            .name("postgres-log".to_owned())
            .spawn(move || relay_log(BufReader::new(stderr), &watch))
            .map_err(Error::io("start the log thread"))?;
    }
    Ok(child)
}

fn relay_log(lines: impl BufRead, watch: &Watch) {
    for line in lines.split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        let severity = line.split_once(':').map_or("", |(severity, _)| severity);
        match severity {
            "PANIC" | "FATAL" => tracing::error!(target: "postgres", "{line}"),
            "WARNING" => tracing::warn!(target: "postgres", "{line}"),
            _ => tracing::debug!(target: "postgres", "{line}"),
        }
        let mut state = watch.state();
        if state.log.len() == KEPT_LINES {
            state.log.pop_front();
        }
        state.log.push_back(line);
    }
}

/// Waits for the supervisor; hurries the server when a clean stop takes too long.
fn finish(watch: &Watch, supervisor: JoinHandle<()>) {
    let started_at = Instant::now();
    let mut signal = Some(Signal::QUIT);
    while !supervisor.is_finished() {
        if started_at.elapsed() > STOP_LIMIT
            && let Some(signal) = signal.take()
        {
            tracing::warn!("PostgreSQL does not stop; cutting it short");
            watch.signal(signal);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if supervisor.join().is_err() {
        tracing::error!("the PostgreSQL supervisor panicked");
    }
}
