//! The master key of sealed columns: from the environment, or generated once beside the embedded database.

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secret_box::SecretBox;
use std::{
    io::{ErrorKind, Write as _},
    path::Path,
    sync::Arc,
};

/// The box under the configured key, or under the one kept in `data_dir` (made at the first start).
///
/// # Errors
/// When the configured key is no base64 of 32 bytes, when an external database has no configured key
/// (replicas must share it, so none may invent its own), and when the file cannot be read or made.
pub fn load(
    configured: Option<&str>,
    data_dir: &Path,
    embedded: bool,
) -> anyhow::Result<Arc<SecretBox>> {
    let key = match configured {
        Some(text) => decode(text)
            .context("PORTICO_SECRET_KEY must be base64 of 32 bytes (openssl rand -base64 32)")?,
        None if embedded => kept(&data_dir.join("secret.key"))?,
        None => bail!(
            "PORTICO_SECRET_KEY is required with DATABASE_URL, because all replicas must share it: openssl rand -base64 32"
        ),
    };
    Ok(Arc::new(SecretBox::new(&key)?))
}

fn decode(text: &str) -> anyhow::Result<[u8; SecretBox::KEY_LEN]> {
    let bytes = BASE64_STANDARD.decode(text.trim())?;
    <[u8; SecretBox::KEY_LEN]>::try_from(bytes.as_slice()).context("the key has another length")
}

fn kept(path: &Path) -> anyhow::Result<[u8; SecretBox::KEY_LEN]> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            return decode(&text).with_context(|| format!("{} is not a key", path.display()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    }
    let mut key = [0; SecretBox::KEY_LEN];
    aws_lc_rs::rand::fill(&mut key)
        .ok()
        .context("the system gave no randomness")?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.write_all(BASE64_STANDARD.encode(key).as_bytes())?;
    file.sync_all()?;
    Ok(key)
}

/// Refuses to start with another key than the one that sealed what is stored.
///
/// # Errors
/// When the database was sealed under another key, or cannot be asked.
pub async fn check(pool: &sqlx::PgPool, secrets: &SecretBox) -> anyhow::Result<()> {
    let id = secrets.key_id().to_vec();
    sqlx::query(
        "INSERT INTO secret_key (singleton, key_id) VALUES (true, $1) ON CONFLICT DO NOTHING",
    )
    .bind(&id)
    .execute(pool)
    .await?;
    let stored: Vec<u8> = sqlx::query_scalar("SELECT key_id FROM secret_key")
        .fetch_one(pool)
        .await?;
    if stored == id {
        Ok(())
    } else {
        bail!("the stored secrets were sealed under another PORTICO_SECRET_KEY")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_database_needs_a_configured_key() {
        let error = load(None, Path::new("/nowhere"), false)
            .map(|_| ())
            .expect_err("no key");
        assert!(
            error.to_string().contains("PORTICO_SECRET_KEY is required"),
            "{error}"
        );
    }

    #[test]
    fn a_short_key_is_refused() {
        let error = load(Some("c2hvcnQ="), Path::new("/nowhere"), false)
            .map(|_| ())
            .expect_err("short");
        assert!(
            format!("{error:#}").contains("base64 of 32 bytes"),
            "{error:#}"
        );
    }
}
