//! Finding the Postgres programs on the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Oldest major version that Portico supports.
pub const OLDEST_MAJOR: u32 = 15;

/// The programs of one Postgres installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// Folder with `postgres` and `initdb`.
    pub bin_dir: PathBuf,
    /// Major version, e.g. 15.
    pub major: u32,
}

/// Where distributions put one folder per major version.
const VERSIONED_ROOTS: &[&str] = &["/usr/lib/postgresql", "/usr/local/lib/postgresql"];
/// Where others put one installation; `PATH` comes last.
const PLAIN_FOLDERS: &[&str] = &["/usr/local/pgsql/bin", "/usr/pgsql/bin", "/usr/bin"];

/// The installation to use: `chosen` if given, else the one of `wanted_major` (the version that
/// wrote the data, so that a newer package beside it does not break the next start), else the newest.
///
/// # Errors
/// When there is none of at least [`OLDEST_MAJOR`], or `chosen` is unusable.
pub fn find(
    chosen: Option<&Path>,
    wanted_major: Option<u32>,
    path: Option<&std::ffi::OsStr>,
) -> Result<Binaries, Error> {
    if let Some(bin_dir) = chosen {
        return inspect(bin_dir);
    }
    let mut folders = Vec::new();
    for root in VERSIONED_ROOTS {
        // A root that does not exist simply holds no installation.
        if let Ok(entries) = std::fs::read_dir(root) {
            folders.extend(entries.flatten().map(|entry| entry.path().join("bin")));
        }
    }
    folders.extend(PLAIN_FOLDERS.iter().map(PathBuf::from));
    folders.extend(path.into_iter().flat_map(std::env::split_paths));

    let found = folders
        .iter()
        .filter(|folder| folder.join("initdb").is_file())
        .filter_map(|folder| inspect(folder).ok());
    found
        .max_by_key(|binaries| (Some(binaries.major) == wanted_major, binaries.major))
        .ok_or_else(|| Error::NoBinaries {
            searched: format!(
                "{}, {}, PATH",
                VERSIONED_ROOTS.join(", "),
                PLAIN_FOLDERS.join(", ")
            ),
        })
}

fn inspect(bin_dir: &Path) -> Result<Binaries, Error> {
    let problem = |problem: String| Error::Binaries {
        bin_dir: bin_dir.to_owned(),
        problem,
    };
    for program in ["postgres", "initdb"] {
        if !bin_dir.join(program).is_file() {
            return Err(problem(format!("has no program `{program}`")));
        }
    }
    let output = Command::new(bin_dir.join("postgres"))
        .arg("--version")
        .output()
        .map_err(|error| problem(format!("`postgres --version` does not run: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let major = major_version(&text)
        .ok_or_else(|| problem(format!("`postgres --version` printed `{}`", text.trim())))?;
    if major < OLDEST_MAJOR {
        return Err(problem(format!(
            "is PostgreSQL {major}; Portico needs {OLDEST_MAJOR} or newer"
        )));
    }
    Ok(Binaries {
        bin_dir: bin_dir.to_owned(),
        major,
    })
}

/// `postgres (PostgreSQL) 15.18 (Debian ..)`, also `16beta1` and `17devel`.
fn major_version(text: &str) -> Option<u32> {
    let number = text.split("(PostgreSQL) ").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read_from_releases_and_betas() {
        let read = [
            "postgres (PostgreSQL) 15.18 (Debian 15.18-0)",
            "postgres (PostgreSQL) 16beta1",
            "postgres 9",
        ]
        .map(major_version);
        assert_eq!(read, [Some(15), Some(16), None]);
    }

    #[test]
    fn a_chosen_folder_without_programs_is_named() {
        let error =
            find(Some(Path::new("/nonexistent/bin")), None, None).expect_err("no programs there");
        assert_eq!(
            error.to_string(),
            "/nonexistent/bin: has no program `postgres`"
        );
    }
}
