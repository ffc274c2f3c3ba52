//! Who may call the management API: administrators with passwords, applications with client secrets,
//! the tokens they get, and the SharedAccessSignatures of a service's tenant access.
//!
//! A token is a JWT (ES256) that names a principal. It holds no roles: the engine knows them by a stamp
//! that it reads together with the row that a request is about, and [`Identity::verify`] looks the
//! principal up, so that a revoked role or a disabled principal ends at once and not with the
//! token. Signing keys rotate, and are known everywhere before they sign; all replicas read them from
//! Postgres. Guessing is slowed by durable counters per account and per address.

pub mod gateway_token;
pub mod password;
pub mod sas;

mod attempts;
mod principals;
mod tokens;

pub use principals::{Account, Assignment, FirstStart, NewApplication, Role};
pub use tokens::{TENANT, TokenError};

use aws_lc_rs::{digest, rand};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use secret_box::SecretBox;
use sqlx::PgPool;
use std::{
    fmt,
    sync::{Arc, atomic::AtomicI64},
};
use uuid::Uuid;

/// The current time, injected.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A token for the management API. `Debug` leaves the token itself out.
#[derive(Clone)]
pub struct Token {
    /// The JWT.
    pub access_token: String,
    /// Seconds until it ends.
    pub expires_in_seconds: i64,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Signs in with an e-mail address and a password.
    Person,
    /// Signs in with a client id and a secret.
    Application,
}

impl Kind {
    const fn text(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Application => "application",
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = UnknownText;

    fn try_from(text: String) -> Result<Self, UnknownText> {
        match text.as_str() {
            "person" => Ok(Self::Person),
            "application" => Ok(Self::Application),
            _ => Err(UnknownText(text)),
        }
    }
}

/// A text in the database that this version does not know, such as a role of a later one.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is unknown to this version")]
pub struct UnknownText(pub(crate) String);

/// Who a token names.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Principal {
    /// Row in `principals`.
    pub id: Uuid,
    /// E-mail address or client id.
    pub name: String,
    /// Person or application.
    #[sqlx(try_from = "String")]
    pub kind: Kind,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The account, the password or the secret is wrong, or there is no such principal; which of them
    /// is not said.
    #[error("the account or the secret is wrong")]
    Wrong,
    /// Too many failures; not even the right secret helps before the time is over.
    #[error("too many attempts; try again in {retry_after_seconds} seconds")]
    Slowed {
        /// Seconds to wait.
        retry_after_seconds: u64,
    },
    /// A new password is not good enough.
    #[error("the password {}", .0.join(", "))]
    Password(Vec<String>),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Hashing, sealing or signing failed.
    #[error("{0}")]
    Crypto(String),
}

/// How tokens are made.
#[derive(Clone)]
pub struct Options {
    /// `iss` of the tokens.
    pub issuer: String,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// How long a key signs before the next takes over.
    pub key_lifetime: Duration,
    /// Time.
    pub clock: Clock,
}

impl Options {
    /// Tokens for an hour, keys for 30 days.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            issuer: "portico".into(),
            token_lifetime: Duration::hours(1),
            key_lifetime: Duration::days(30),
            clock,
        }
    }
}

/// Accounts and tokens.
pub struct Identity {
    pool: PgPool,
    secrets: Arc<SecretBox>,
    options: Options,
    keys: tokens::Keys,
    seen: tokens::Seen,
    /// When rows of `sign_in_attempts` were last dropped by this replica, in seconds.
    attempts_forgotten_at: AtomicI64,
}

impl Identity {
    /// Over a migrated database.
    #[must_use]
    pub fn new(pool: PgPool, secrets: Arc<SecretBox>, options: Options) -> Self {
        Self {
            pool,
            secrets,
            options,
            seen: tokens::Seen::default(),
            keys: tokens::Keys::default(),
            attempts_forgotten_at: AtomicI64::new(0),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        (self.options.clock)()
    }
}

/// A text that cannot be guessed: 192 random bits.
fn random_text() -> Result<String, SignInError> {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes)
        .map_err(|_| SignInError::Crypto("the system gave no randomness".into()))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Digest of a random text. A slow hash would add nothing to 192 random bits.
fn digest_of(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .to_vec()
}
