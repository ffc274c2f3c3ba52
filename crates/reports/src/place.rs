//! Where callers are, by a database of addresses in MaxMind's format (GeoLite2, GeoIP2, DB-IP …), which whoever runs Portico brings.

use maxminddb::{PathElement, Reader, path};
use std::{net::IpAddr, path::PathBuf, sync::Arc, time::SystemTime};

/// Where a caller is, as far as the database knows. Empty texts mean unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1, two letters.
    pub country: String,
    /// ISO 3166-2 of the largest subdivision, without the country.
    pub region: String,
    /// Postal code.
    pub zip: String,
}

/// The database of addresses is not usable.
#[derive(Debug, thiserror::Error)]
#[error("{} is no database of addresses: {source}", path.display())]
pub struct PlacesError {
    path: PathBuf,
    source: maxminddb::MaxMindDbError,
}

/// Looks up where addresses are. The file may be replaced while it is used: they change every week.
#[derive(Clone, Debug, Default)]
pub struct Places(Option<File>);

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    /// Of the file that was read last, usable or not.
    modified_at: Option<SystemTime>,
    reader: Arc<Reader<Vec<u8>>>,
}

fn read(path: PathBuf) -> Result<File, PlacesError> {
    // Before the file is read: one that is replaced meanwhile is read again.
    let modified_at = modified_at(&path);
    match Reader::open_readfile(&path) {
        Ok(reader) => Ok(File {
            path,
            modified_at,
            reader: Arc::new(reader),
        }),
        Err(source) => Err(PlacesError { path, source }),
    }
}

fn modified_at(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|file| file.modified())
        .ok()
}

impl Places {
    /// Reads this file; without one every place is unknown.
    ///
    /// # Errors
    /// When it cannot be read, or is no database of addresses.
    pub fn open(path: Option<PathBuf>) -> Result<Self, PlacesError> {
        path.map(read).transpose().map(Self)
    }

    /// Reads the file again if it was replaced. One that is not usable is told to the log, and the last usable one stays.
    pub(crate) async fn refresh(&mut self) {
        let Some(file) = &mut self.0 else {
            return;
        };
        let path = file.path.clone();
        let last = file.modified_at;
        let read = tokio::task::spawn_blocking(move || {
            let now = modified_at(&path);
            // A file that is missing for the moment is being replaced.
            (now.is_some() && now != last).then(|| (now, read(path)))
        });
        match read.await {
            Ok(Some((_, Ok(new)))) => *file = new,
            Ok(Some((modified_at, Err(error)))) => {
                tracing::warn!(%error, "the former database of addresses stays in use");
                file.modified_at = modified_at;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "reading the database of addresses failed"),
        }
    }

    /// Where this address is.
    pub(crate) fn of(&self, address: &str) -> Place {
        let Some(file) = &self.0 else {
            return Place::default();
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Place::default();
        };
        let found = match file.reader.lookup(address) {
            Ok(found) => found,
            Err(error) => {
                // An IPv4 database has no IPv6 addresses; a damaged one has told of itself at its start.
                tracing::debug!(%error, %address, "the place of an address is unknown");
                return Place::default();
            }
        };
        let text = |path: &[PathElement<'_>]| -> String {
            match found.decode_path::<String>(path) {
                Ok(text) => text.unwrap_or_default(),
                Err(error) => {
                    tracing::debug!(%error, %address, "the place of an address is unknown");
                    String::new()
                }
            }
        };
        Place {
            country: text(&path!["country", "iso_code"]),
            region: text(&path!["subdivisions", 0, "iso_code"]),
            zip: text(&path!["postal", "code"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn a_file_that_is_no_database_of_addresses_is_refused_by_its_name() {
        let error = Places::open(Some("Cargo.toml".into())).err();
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            text.starts_with("Cargo.toml is no database of addresses: "),
            "{text}"
        );
    }
}
