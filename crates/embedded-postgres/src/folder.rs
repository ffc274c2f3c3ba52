//! The data folder: account, permissions, lock, `initdb`, leftovers of a crash.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::binaries::{self, Binaries};
use crate::{Error, Options};

/// Superuser of the server; Portico is its only client.
pub(crate) const USER: &str = "portico";
/// Part of the socket's file name only; nothing listens on it unless TCP is needed.
pub(crate) const SOCKET_PORT: u16 = 5432;
/// `sockaddr_un.sun_path` on Linux, less the terminating zero.
const LONGEST_SOCKET_PATH: usize = 107;
/// How long a server that was told to stop by its parent's death may take.
const LEFTOVER_GRACE: Duration = Duration::from_secs(5);
/// How long an orderly stop of a leftover may take.
const LEFTOVER_STOP: Duration = Duration::from_secs(30);

/// Account that runs the server when it is not our own.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Where the server listens.
#[derive(Clone, Debug)]
pub(crate) enum Listen {
    Socket,
    Tcp { port: u16, password: String },
}

/// A folder ready to start a server on.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) cluster: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) binaries: Binaries,
    pub(crate) account: Option<Account>,
    pub(crate) listen: Listen,
    /// Releases the folder when closed.
    pub(crate) _lock: File,
}

impl Folder {
    pub(crate) fn prepare(
        options: &Options,
        path: Option<&std::ffi::OsStr>,
    ) -> Result<Self, Error> {
        let is_new = !options.data_dir.exists();
        fs::create_dir_all(&options.data_dir)
            .map_err(Error::io(format!("create {}", options.data_dir.display())))?;
        let data_dir = options
            .data_dir
            .canonicalize()
            .map_err(Error::io(format!("open {}", options.data_dir.display())))?;
        let account = account(options)?;
        if let Some(account) = &account {
            check_reachable(account, &options.run_as, &data_dir)?;
        }
        if is_new
            || fs::read_dir(&data_dir)
                .map_err(Error::io(format!("read {}", data_dir.display())))?
                .next()
                .is_none()
        {
            own(&data_dir, account.as_ref())?;
        }

        let lock = lock(&data_dir)?;
        let cluster = data_dir.join("cluster");
        let run = data_dir.join("run");
        if !run.exists() {
            fs::create_dir(&run).map_err(Error::io(format!("create {}", run.display())))?;
        }
        own(&run, account.as_ref())?;

        let data_version = match fs::read_to_string(cluster.join("PG_VERSION")) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Error::io(format!("read {}/PG_VERSION", cluster.display()))(
                    error,
                ));
            }
        };
        let wanted = data_version
            .as_deref()
            .and_then(|version| version.parse().ok());
        let binaries = binaries::find(options.bin_dir.as_deref(), wanted, path)?;
        match data_version {
            Some(data) if data != binaries.major.to_string() => {
                return Err(Error::Version {
                    data_dir,
                    bin_dir: binaries.bin_dir,
                    data,
                    binaries: binaries.major,
                });
            }
            Some(_) => stop_leftover(&data_dir, &cluster)?,
            None => initdb(options, &data_dir, &cluster, &binaries, account.as_ref())?,
        }

        let socket = run.join(format!(".s.PGSQL.{SOCKET_PORT}"));
        let listen = if socket.as_os_str().len() <= LONGEST_SOCKET_PATH {
            Listen::Socket
        } else {
            let password_file = data_dir.join("password");
            let password = fs::read_to_string(&password_file)
                .map_err(Error::io(format!("read {}", password_file.display())))?;
            Listen::Tcp {
                port: free_port()?,
                password,
            }
        };
        Ok(Self {
            cluster,
            run,
            binaries,
            account,
            listen,
            _lock: lock,
        })
    }
}

/// `None` when the server runs as ourselves.
fn account(options: &Options) -> Result<Option<Account>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").map_err(Error::io("read /etc/passwd"))?;
    account_in(&passwd, &options.run_as)
        .map(Some)
        .ok_or_else(|| Error::NoAccount {
            user: options.run_as.clone(),
        })
}

fn account_in(passwd: &str, user: &str) -> Option<Account> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    (uid != 0).then_some(Account { uid, gid })
}

/// Every folder above must let the account through; Postgres itself would only say "Permission denied".
fn check_reachable(account: &Account, user: &str, data_dir: &Path) -> Result<(), Error> {
    for folder in data_dir.ancestors().skip(1) {
        let metadata =
            fs::metadata(folder).map_err(Error::io(format!("look at {}", folder.display())))?;
        let execute = if metadata.uid() == account.uid {
            0o100
        } else if metadata.gid() == account.gid {
            0o010
        } else {
            0o001
        };
        if metadata.mode() & execute == 0 {
            return Err(Error::Unreachable {
                user: user.to_owned(),
                blocked: folder.to_owned(),
                data_dir: data_dir.to_owned(),
            });
        }
    }
    Ok(())
}

/// Only the account (and root) may enter.
fn own(folder: &Path, account: Option<&Account>) -> Result<(), Error> {
    if let Some(account) = account {
        chown(folder, Some(account.uid), Some(account.gid)).map_err(Error::io(format!(
            "change the owner of {}",
            folder.display()
        )))?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))
        .map_err(Error::io(format!("protect {}", folder.display())))
}

/// An advisory lock: the kernel lets go of it whenever the process ends, so it is never stale.
fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join("portico.lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse {
            data_dir: data_dir.to_owned(),
        }),
        Err(fs::TryLockError::Error(error)) => {
            Err(Error::io(format!("lock {}", path.display()))(error))
        }
    }
}

/// Fills a folder beside the final one and renames it, so that a crash leaves no half cluster.
fn initdb(
    options: &Options,
    data_dir: &Path,
    cluster: &Path,
    binaries: &Binaries,
    account: Option<&Account>,
) -> Result<(), Error> {
    let unfinished = data_dir.join("cluster.unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .map_err(Error::io(format!("remove {}", unfinished.display())))?;
    }
    let password_file = data_dir.join("password");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&password_file)
        .map_err(Error::io(format!("create {}", password_file.display())))?;
    file.write_all(new_password()?.as_bytes())
        .map_err(Error::io(format!("write {}", password_file.display())))?;
    if let Some(account) = account {
        chown(&password_file, Some(account.uid), Some(account.gid)).map_err(Error::io(format!(
            "change the owner of {}",
            password_file.display()
        )))?;
    }

    let run = |locale: &str| {
        let mut command = command(&binaries.bin_dir.join("initdb"), account);
        command
            .arg("--pgdata")
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(&password_file);
        command.args([
            "--username",
            USER,
            "--encoding",
            "UTF8",
            "--locale",
            locale,
            "--auth-local",
            "trust",
            "--auth-host",
            "scram-sha-256",
        ]);
        command.args(["--data-checksums", "--no-instructions"]);
        if !options.durable {
            command.arg("--no-sync");
        }
        command
            .current_dir(data_dir)
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("run initdb"))
    };
    // Byte order for sorting, Unicode for lower(); not every libc has C.UTF-8.
    let mut output = run("C.UTF-8")?;
    if String::from_utf8_lossy(&output.stderr).contains("invalid locale name") {
        output = run("C")?;
    }
    if !output.status.success() {
        let log = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        return Err(Error::Initdb {
            log: log.trim().to_owned(),
        });
    }
    fs::rename(&unfinished, cluster)
        .map_err(Error::io(format!("rename {}", unfinished.display())))?;
    File::open(data_dir)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io(format!("flush {}", data_dir.display())))
}

/// 32 bytes of the kernel's randomness in hexadecimal. Not injected: a predictable password is no use even in tests.
fn new_password() -> Result<String, Error> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(Error::io("read /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn free_port() -> Result<u16, Error> {
    let listener =
        std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("find a free port"))?;
    Ok(listener
        .local_addr()
        .map_err(Error::io("find a free port"))?
        .port())
}

/// A program of Postgres under the right account. Only locale and `PATH` of our environment matter
/// to it, and `PG*` variables would change its behaviour, so it starts with a clean one.
pub(crate) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Handles `postmaster.pid` of a server that was not stopped cleanly.
///
/// We hold the folder's lock, so no Portico answers for a server found here. Its process number
/// alone proves nothing (after a restart of a container another process may have it, and Postgres
/// would then refuse to start), hence the look at the process' working folder.
fn stop_leftover(data_dir: &Path, cluster: &Path) -> Result<(), Error> {
    let pid_file = cluster.join("postmaster.pid");
    let text = match fs::read_to_string(&pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(format!("read {}", pid_file.display()))(error)),
    };
    if let Some(pid) = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
        .and_then(Pid::from_raw)
    {
        let runs_here = || {
            fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()))
                .is_ok_and(|folder| folder == cluster)
        };
        let gone_within = |limit: Duration| {
            let start = Instant::now();
            while runs_here() {
                if start.elapsed() > limit {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            true
        };
        if !gone_within(LEFTOVER_GRACE) {
            tracing::warn!(
                pid = pid.as_raw_nonzero().get(),
                "a PostgreSQL server without a parent runs on the data folder; stopping it"
            );
            // If it ended in the meantime, the wait below notices.
            if let Err(error) = rustix::process::kill_process(pid, Signal::INT) {
                tracing::warn!(%error, "cannot signal the leftover server");
            }
            if !gone_within(LEFTOVER_STOP) {
                return Err(Error::ForeignServer {
                    pid: pid.as_raw_nonzero().get(),
                    data_dir: data_dir.to_owned(),
                });
            }
        }
    }
    match fs::remove_file(&pid_file) {
        Ok(()) => Ok(()),
        // A server that stopped in an orderly way removed it itself.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(format!("remove {}", pid_file.display()))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_name_and_root_is_refused() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:9:9::/:/x\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        let found = ["postgres", "root", "nobody"]
            .map(|user| account_in(passwd, user).map(|account| (account.uid, account.gid)));
        assert_eq!(found, [Some((101, 104)), None, None]);
    }

    #[test]
    fn a_folder_that_the_account_may_not_enter_is_named() {
        let account = Account {
            uid: 4_000_000,
            gid: 4_000_000,
        };
        let parent = std::env::temp_dir().join(format!("portico-reach-{}", std::process::id()));
        let closed = parent.join("closed");
        fs::create_dir_all(closed.join("data")).expect("create folders");
        fs::set_permissions(&parent, Permissions::from_mode(0o755)).expect("open parent");
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).expect("close folder");
        let error =
            check_reachable(&account, "someone", &closed.join("data")).expect_err("closed folder");
        fs::remove_dir_all(&parent).expect("remove folders");
        assert!(matches!(error, Error::Unreachable { blocked, .. } if blocked == closed));
    }
}
