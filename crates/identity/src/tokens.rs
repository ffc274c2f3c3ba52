//! Tokens and the keys that sign them.

use crate::{Identity, Principal, SignInError, Token};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Mutex, RwLock};
use uuid::Uuid;

/// `aud` of the tokens.
const AUDIENCE: &str = "portico-management";
/// The one tenant of every installation.
pub const TENANT: &str = "00000000-0000-0000-0000-000000000000";
/// Purpose under which private keys are sealed.
const SEALED: &str = "identity.signing_key";
/// Least seconds between two reads of the keys for an unknown `kid`, so that invented ones cost nothing.
const REREAD_SECONDS: i64 = 5;
/// Seconds after which the keys are read again anyway.
const STALE_SECONDS: i64 = 300;
/// The next key is made when this part of a key's lifetime is left, and signs when the former ends.
/// All replicas have read it by then, and so have those who read the JSON Web Key Set now and then.
const AHEAD_PART: i32 = 10;
/// How long a principal counts as there without another look.
pub const RECOGNISED: std::time::Duration = std::time::Duration::from_secs(5);
/// How long a checked signature is remembered.
const CHECKED: std::time::Duration = std::time::Duration::from_secs(300);
/// Tokens and principals that are remembered at one time.
const REMEMBERED: u64 = 10_000;
/// Bytes of an uncompressed point of P-256: 04, x, y.
const POINT_LEN: usize = 65;

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, changed, signed by a retired key, or of a principal that is gone or disabled.
    #[error("The access token is invalid.")]
    Invalid,
    /// Over.
    #[error("The access token expired.")]
    Expired,
    /// The keys or the principal could not be read.
    #[error("The access token could not be checked.")]
    Unavailable(#[source] sqlx::Error),
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    /// Tenant and object id, which clients of the contract look for.
    #[serde(default)]
    tid: String,
    #[serde(default)]
    oid: Uuid,
    name: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

struct Key {
    decoding: DecodingKey,
    public: Vec<u8>,
    encoding: EncodingKey,
    created_at: DateTime<Utc>,
    retires_at: DateTime<Utc>,
}

/// What was checked a moment ago.
pub(crate) struct Seen {
    /// The signing key's id and the claims, by token.
    tokens: Cache<Box<str>, Arc<(String, Claims)>>,
    principals: Cache<Uuid, Principal>,
}

impl Default for Seen {
    fn default() -> Self {
        let (tokens, principals) = (Cache::builder(), Cache::builder());
        Self {
            tokens: tokens
                .max_capacity(REMEMBERED)
                .time_to_live(CHECKED)
                .build(),
            principals: principals
                .max_capacity(REMEMBERED)
                .time_to_live(RECOGNISED)
                .build(),
        }
    }
}

#[derive(Default)]
pub(crate) struct Keys {
    known: RwLock<Known>,
    /// Held while the keys are read, so that those who need the same read wait for it.
    reading: Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, Arc<Key>>,
    /// When they were last read, for good.
    read_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    kid: String,
    private_key: Vec<u8>,
    public_key: Vec<u8>,
    created_at: DateTime<Utc>,
    retires_at: DateTime<Utc>,
}

impl Identity {
    /// A token for a principal whose identity was proven otherwise (`portico token`, a fresh sign-in).
    ///
    /// # Errors
    /// `Wrong` for an unknown or disabled principal.
    pub async fn issue(&self, principal: Uuid) -> Result<Token, SignInError> {
        let name: Option<String> =
            sqlx::query_scalar("SELECT name FROM principals WHERE id = $1 AND disabled_at IS NULL")
                .bind(principal)
                .fetch_optional(&self.pool)
                .await?;
        let name = name.ok_or(SignInError::Wrong)?;
        let now = self.now();
        let expires_at = now + self.options.token_lifetime;
        let (kid, key) = self.signing_key(now).await?;
        let claims = Claims {
            iss: self.options.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: principal,
            tid: TENANT.to_owned(),
            oid: principal,
            name,
            iat: now.timestamp(),
            // Replicas' clocks differ a little.
            nbf: now.timestamp() - 5,
            exp: expires_at.timestamp(),
        };
        let header = Header {
            kid: Some(kid),
            ..Header::new(Algorithm::ES256)
        };
        let access_token = jsonwebtoken::encode(&header, &claims, &key.encoding)
            .map_err(|e| SignInError::Crypto(e.to_string()))?;
        Ok(Token {
            access_token,
            expires_in_seconds: self.options.token_lifetime.num_seconds(),
            expires_at,
        })
    }

    /// Who a token names. The principal is looked up each time, so that a disabled one is refused at
    /// once, on every replica.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        let signed = self.claims(token).await?;
        self.principal(signed.1.sub).await
    }

    /// As [`verify`](Self::verify), but a principal that was there in the last [`RECOGNISED`] is not looked up again. For
    /// requests whose own statements ask for the principal's roles and whether it is disabled: these need no other round trip.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn recognise(&self, token: &str) -> Result<Principal, TokenError> {
        let id = self.claims(token).await?.1.sub;
        if let Some(known) = self.seen.principals.get(&id) {
            return Ok(known);
        }
        let principal = self.principal(id).await?;
        self.seen.principals.insert(id, principal.clone());
        Ok(principal)
    }

    async fn principal(&self, id: Uuid) -> Result<Principal, TokenError> {
        sqlx::query_as(
            "SELECT id, name, kind FROM principals WHERE id = $1 AND disabled_at IS NULL",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .map_err(TokenError::Unavailable)?
        .ok_or(TokenError::Invalid)
    }

    /// What a token says, once its signature, its key and its time are right. The signature is checked once: it costs more than
    /// the rest of a read. Key and time are judged each time.
    async fn claims(&self, token: &str) -> Result<Arc<(String, Claims)>, TokenError> {
        let seen = self.seen.tokens.get(token);
        let signed = match seen {
            Some(signed) => {
                self.key_of(&signed.0).await?;
                signed
            }
            None => {
                let signed = Arc::new(self.signed(token).await?);
                self.seen.tokens.insert(token.into(), Arc::clone(&signed));
                signed
            }
        };
        let now = self.now().timestamp();
        if now >= signed.1.exp {
            return Err(TokenError::Expired);
        }
        if now < signed.1.nbf {
            return Err(TokenError::Invalid);
        }
        Ok(signed)
    }

    /// What a token says, and by which key, once its signature is right.
    async fn signed(&self, token: &str) -> Result<(String, Claims), TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let key = self.key_of(&kid).await?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        // Time is judged below, by the injected clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        Ok((kid, claims))
    }

    /// The public keys of all tokens that are valid or will be soon, as a JSON Web Key Set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn jwks(&self) -> Result<Value, SignInError> {
        let now = self.now();
        self.refresh(now).await?;
        self.signing_key(now).await?;
        let known = self.keys.known.read().await;
        let mut keys: Vec<Value> = known
            .keys
            .iter()
            .filter(|(_, key)| key.retires_at + self.options.token_lifetime > now)
            .map(|(kid, key)| {
                let (x, y) = key.public[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                       "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y)})
            })
            .collect();
        keys.sort_by_key(|key| key["kid"].to_string());
        Ok(json!({"keys": keys}))
    }

    /// Makes the next key when the newest one has a tenth of its lifetime left, and drops keys that no
    /// valid token names; whether it made one. Issuing tokens does the same, so calling this from time
    /// to time only serves installations that issue none for long.
    ///
    /// # Errors
    /// When the database or sealing fails.
    pub async fn rotate_if_due(&self) -> Result<bool, SignInError> {
        let now = self.now();
        let made = self.rotate(now).await?;
        let _turn = self.keys.reading.lock().await;
        self.read(now).await?;
        Ok(made)
    }

    async fn known(&self, kid: &str) -> Option<Arc<Key>> {
        self.keys.known.read().await.keys.get(kid).cloned()
    }

    /// Seconds since the keys were read; `None` before the first time.
    async fn age_seconds(&self, now: DateTime<Utc>) -> Option<i64> {
        let known = self.keys.known.read().await;
        // A clock that was set back makes them old, not new.
        known.read_at.map(|at| (now - at).num_seconds().abs())
    }

    /// The key of this id; one that is unknown may have been made by another replica.
    async fn key_of(&self, kid: &str) -> Result<Arc<Key>, TokenError> {
        let now = self.now();
        let refreshed = self.refresh(now).await;
        if let Some(key) = self.known(kid).await {
            if let Err(error) = refreshed {
                tracing::warn!(%error, "the signing keys could not be read again; the known ones still serve");
            }
            return Ok(key);
        }
        refreshed.map_err(TokenError::Unavailable)?;
        let _turn = self.keys.reading.lock().await;
        let read_lately = |age: Option<i64>| age.is_some_and(|age| age < REREAD_SECONDS);
        if let Some(key) = self.known(kid).await {
            return Ok(key);
        }
        if !read_lately(self.age_seconds(now).await) {
            self.read(now).await.map_err(TokenError::Unavailable)?;
        }
        self.known(kid).await.ok_or(TokenError::Invalid)
    }

    /// Reads the keys for the first time, or when they are stale. Who finds stale ones being read by
    /// another goes on with them.
    async fn refresh(&self, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let stale = |age: Option<i64>| age.is_none_or(|age| age >= STALE_SECONDS);
        let age = self.age_seconds(now).await;
        if !stale(age) {
            return Ok(());
        }
        let _turn = match (age, self.keys.reading.try_lock()) {
            (_, Ok(turn)) => turn,
            (Some(_), Err(_)) => return Ok(()),
            (None, Err(_)) => self.keys.reading.lock().await,
        };
        if stale(self.age_seconds(now).await) {
            self.read(now).await?;
        }
        Ok(())
    }

    /// The oldest key that still signs: the newer ones wait until everybody has read them.
    async fn oldest_signing(&self, now: DateTime<Utc>) -> Option<(String, Arc<Key>)> {
        let known = self.keys.known.read().await;
        known
            .keys
            .iter()
            .filter(|(_, key)| key.retires_at > now)
            .min_by_key(|(kid, key)| (key.created_at, kid.as_str()))
            .map(|(kid, key)| (kid.clone(), key.clone()))
    }

    fn ahead(&self) -> Duration {
        self.options.key_lifetime / AHEAD_PART
    }

    /// The key that signs; makes one when there is none, and the next one when it is due.
    async fn signing_key(&self, now: DateTime<Utc>) -> Result<(String, Arc<Key>), SignInError> {
        self.refresh(now).await?;
        let newest = {
            let known = self.keys.known.read().await;
            known.keys.values().map(|key| key.retires_at).max()
        };
        if newest.is_none_or(|at| at <= now + self.ahead()) {
            let rotated = self.rotate_if_due().await;
            if let (Err(error), Some(key)) = (&rotated, self.oldest_signing(now).await) {
                tracing::error!(%error, "the next signing key could not be made; the present one still signs");
                return Ok(key);
            }
            rotated?;
        }
        self.oldest_signing(now).await.ok_or_else(|| {
            SignInError::Crypto("no signing key can be used; see the errors before".into())
        })
    }

    /// Adds a key unless there is one that signs for long enough; whether it did.
    async fn rotate(&self, now: DateTime<Utc>) -> Result<bool, SignInError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('portico signing keys', 0))")
            .execute(&mut *tx)
            .await?;
        let newest: Option<DateTime<Utc>> =
            sqlx::query_scalar("SELECT max(retires_at) FROM signing_keys")
                .fetch_one(&mut *tx)
                .await?;
        let due = newest.is_none_or(|at| at <= now + self.ahead());
        if due {
            let crypto = |_| SignInError::Crypto("a signing key could not be made".into());
            let document = EcdsaKeyPair::generate_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &SystemRandom::new(),
            )
            .map_err(crypto)?;
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())
                    .map_err(|e| SignInError::Crypto(e.to_string()))?;
            let public = pair.public_key().as_ref().to_vec();
            let kid = hex::encode(&crate::digest_of(&hex::encode(&public))[..8]);
            let sealed = self
                .secrets
                .seal(SEALED, document.as_ref())
                .map_err(|e| SignInError::Crypto(e.to_string()))?;
            // It signs when the former ends.
            let signs_from = newest.map_or(now, |at| at.max(now));
            sqlx::query(
                "INSERT INTO signing_keys (kid, private_key, public_key, created_at, retires_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(kid)
            .bind(sealed)
            .bind(public)
            .bind(now)
            .bind(signs_from + self.options.key_lifetime)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("DELETE FROM signing_keys WHERE retires_at < $1")
            .bind(now - self.options.token_lifetime)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(due)
    }

    /// Reads all keys. The caller holds `reading`.
    async fn read(&self, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT kid, private_key, public_key, created_at, retires_at FROM signing_keys WHERE retires_at > $1",
        )
        .bind(now - self.options.token_lifetime)
        .fetch_all(&self.pool)
        .await?;
        let mut keys = HashMap::new();
        for row in rows {
            if row.public_key.len() != POINT_LEN {
                tracing::error!(
                    kid = row.kid,
                    "a signing key is skipped: its public key is damaged"
                );
                continue;
            }
            let private = match self.secrets.open(SEALED, &row.private_key) {
                Ok(private) => private,
                Err(error) => {
                    tracing::error!(kid = row.kid, %error, "a signing key is skipped: it cannot be opened");
                    continue;
                }
            };
            let key = Key {
                decoding: DecodingKey::from_ec_der(&row.public_key),
                encoding: EncodingKey::from_ec_der(&private),
                public: row.public_key,
                created_at: row.created_at,
                retires_at: row.retires_at,
            };
            keys.insert(row.kid, Arc::new(key));
        }
        *self.keys.known.write().await = Known {
            keys,
            read_at: Some(now),
        };
        Ok(())
    }
}
