//! Tokens and the keys that sign them.

use crate::{Identity, Principal, SignInError, Token};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::RwLock;
use uuid::Uuid;

/// `aud` of the tokens.
const AUDIENCE: &str = "portico-management";
/// Purpose under which private keys are sealed.
const SEALED: &str = "identity.signing_key";
/// Least seconds between two reads of the keys for an unknown `kid`, so that invented ones cost nothing.
const REREAD_SECONDS: i64 = 5;

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, changed, or signed by a retired key.
    #[error("The access token is invalid.")]
    Invalid,
    /// Over.
    #[error("The access token expired.")]
    Expired,
    /// The keys could not be read.
    #[error("The access token could not be checked.")]
    Unavailable(#[source] sqlx::Error),
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
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

#[derive(Default)]
pub(crate) struct Keys(RwLock<Known>);

#[derive(Default)]
struct Known {
    keys: HashMap<String, Arc<Key>>,
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

    /// Who a token names.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let key = match self.known(&kid).await {
            Some(key) => key,
            None => {
                self.reread(false).await.map_err(|e| match e {
                    SignInError::Database(e) => TokenError::Unavailable(e),
                    _ => TokenError::Invalid,
                })?;
                self.known(&kid).await.ok_or(TokenError::Invalid)?
            }
        };
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
        let now = self.now().timestamp();
        if now >= claims.exp {
            return Err(TokenError::Expired);
        }
        if now < claims.nbf {
            return Err(TokenError::Invalid);
        }
        Ok(Principal {
            id: claims.sub,
            name: claims.name,
        })
    }

    /// The public keys, as a JSON Web Key Set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn jwks(&self) -> Result<Value, SignInError> {
        self.signing_key(self.now()).await?;
        let known = self.keys.0.read().await;
        let mut keys: Vec<Value> = known
            .keys
            .iter()
            .map(|(kid, key)| {
                // Uncompressed point: 04, x, y.
                let (x, y) = key.public[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                       "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y)})
            })
            .collect();
        keys.sort_by_key(|key| key["kid"].to_string());
        Ok(json!({"keys": keys}))
    }

    async fn known(&self, kid: &str) -> Option<Arc<Key>> {
        self.keys.0.read().await.keys.get(kid).cloned()
    }

    /// The newest key that still signs; makes one when there is none.
    async fn signing_key(&self, now: DateTime<Utc>) -> Result<(String, Arc<Key>), SignInError> {
        for attempt in 0..2 {
            {
                let known = self.keys.0.read().await;
                let newest = known
                    .keys
                    .iter()
                    .filter(|(_, key)| key.retires_at > now)
                    .max_by_key(|(_, key)| key.created_at);
                if let Some((kid, key)) = newest {
                    return Ok((kid.clone(), key.clone()));
                }
            }
            if attempt == 0 {
                self.rotate(now).await?;
                self.reread(true).await?;
            }
        }
        Err(SignInError::Crypto("no key signs".into()))
    }

    /// Adds a key unless another replica has one that signs; drops keys that no valid token names.
    async fn rotate(&self, now: DateTime<Utc>) -> Result<(), SignInError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('portico signing keys', 0))")
            .execute(&mut *tx)
            .await?;
        let signs: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM signing_keys WHERE retires_at > $1)")
                .bind(now)
                .fetch_one(&mut *tx)
                .await?;
        if !signs {
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
            sqlx::query(
                "INSERT INTO signing_keys (kid, private_key, public_key, created_at, retires_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(kid)
            .bind(sealed)
            .bind(public)
            .bind(now)
            .bind(now + self.options.key_lifetime)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("DELETE FROM signing_keys WHERE retires_at < $1")
            .bind(now - self.options.token_lifetime)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn reread(&self, at_once: bool) -> Result<(), SignInError> {
        let now = self.now();
        {
            let mut known = self.keys.0.write().await;
            let recent = known
                .read_at
                .is_some_and(|at| (now - at).num_seconds().abs() < REREAD_SECONDS);
            if recent && !at_once {
                return Ok(());
            }
            known.read_at = Some(now);
        }
        let rows: Vec<Row> =
            sqlx::query_as("SELECT kid, private_key, public_key, created_at, retires_at FROM signing_keys WHERE retires_at > $1")
                .bind(now - self.options.token_lifetime)
                .fetch_all(&self.pool)
                .await?;
        let mut keys = HashMap::new();
        for row in rows {
            let private = self
                .secrets
                .open(SEALED, &row.private_key)
                .map_err(|e| SignInError::Crypto(e.to_string()))?;
            let key = Key {
                decoding: DecodingKey::from_ec_der(&row.public_key),
                encoding: EncodingKey::from_ec_der(&private),
                public: row.public_key,
                created_at: row.created_at,
                retires_at: row.retires_at,
            };
            keys.insert(row.kid, Arc::new(key));
        }
        self.keys.0.write().await.keys = keys;
        Ok(())
    }
}
