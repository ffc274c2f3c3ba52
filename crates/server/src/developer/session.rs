//! Developers' sessions: a random cookie whose digest stands in `user_tickets`, so that signing out, a new
//! password and a blocked account end it at once.

use super::Portal;
use crate::{State, portal::cookie};
use actix_web::{HttpRequest, cookie::Cookie};
use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Duration;
use engine::{Error, Result};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

/// Cookie of a session.
pub(super) const COOKIE: &str = "portico_developer";
/// How long a session lasts.
const HOURS: i64 = 12;
/// `user_tickets.purpose` of a session.
const PURPOSE: &str = "session";

/// Who is signed in to a developer portal.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Developer {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) email: String,
    pub(super) has_password: bool,
    /// Digest of the session's cookie.
    pub(super) session: Vec<u8>,
}

/// Who is signed in; all absent for a visitor.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Whether the account has a password; others sign in with an identity provider only.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_password: Option<bool>,
}

impl From<Developer> for Me {
    fn from(developer: Developer) -> Self {
        Self {
            user_id: Some(developer.name),
            first_name: Some(developer.first_name),
            last_name: Some(developer.last_name),
            email: Some(developer.email),
            has_password: Some(developer.has_password),
        }
    }
}

pub(super) fn digest_of(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .to_vec()
}

impl Developer {
    /// Whose session the request carries; `None` for a visitor.
    pub(super) async fn of(
        state: &State,
        http: &HttpRequest,
        portal: &Portal,
    ) -> Result<Option<Self>> {
        let Some(cookie) = http.cookie(COOKIE) else {
            return Ok(None);
        };
        Ok(sqlx::query_as(
            "SELECT u.id, u.name, u.first_name, u.last_name, u.email, u.password_hash IS NOT NULL AS has_password, t.digest AS session \
             FROM user_tickets t JOIN users u ON u.id = t.user_id \
             WHERE t.digest = $1 AND t.service_id = $2 AND t.purpose = $3 AND t.expires_at > $4 AND u.state = 'active'",
        )
        .bind(digest_of(cookie.value()))
        .bind(portal.id)
        .bind(PURPOSE)
        .bind(state.engine.now())
        .fetch_optional(&state.engine.pool)
        .await?)
    }

    /// Begins a session of an account.
    pub(super) async fn begin(
        state: &State,
        http: &HttpRequest,
        portal: &Portal,
        user: Uuid,
    ) -> Result<Cookie<'static>> {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(state.engine.random::<32>()?);
        sqlx::query(
            "INSERT INTO user_tickets (digest, service_id, user_id, email, purpose, expires_at) \
             SELECT $1, $2, id, email, $4, $5 FROM users WHERE id = $3",
        )
        .bind(digest_of(&secret))
        .bind(portal.id)
        .bind(user)
        .bind(PURPOSE)
        .bind(state.engine.now() + Duration::hours(HOURS))
        .execute(&state.engine.pool)
        .await?;
        Ok(cookie(http, COOKIE, secret, path(portal), HOURS * 3600).into_owned())
    }

    /// Ends the session of the request, if it has one.
    pub(super) async fn end(
        state: &State,
        http: &HttpRequest,
        portal: &Portal,
    ) -> Result<Cookie<'static>> {
        if let Some(cookie) = http.cookie(COOKIE) {
            sqlx::query("DELETE FROM user_tickets WHERE digest = $1 AND purpose = $2")
                .bind(digest_of(cookie.value()))
                .bind(PURPOSE)
                .execute(&state.engine.pool)
                .await?;
        }
        Ok(cookie(http, COOKIE, String::new(), path(portal), 0).into_owned())
    }
}

/// Ends every session of an account but one, and every mailed link that is still open.
pub(super) async fn end_all(conn: &mut PgConnection, user: Uuid, but: &[u8]) -> Result<()> {
    sqlx::query("DELETE FROM user_tickets WHERE user_id = $1 AND digest <> $2")
        .bind(user)
        .bind(but)
        .execute(conn)
        .await?;
    Ok(())
}

/// A service's own part of the portals' origin: another service's portal must not get this cookie.
fn path(portal: &Portal) -> String {
    format!("/{}/", portal.name.to_lowercase())
}

/// Attempts before waiting begins.
const FREE: i32 = 5;
/// Longest wait in seconds.
const LONGEST_SECONDS: i32 = 900;

/// Counts an attempt to sign in as failed until [`succeeded`], or refuses it while the account has to wait:
/// twice as long after each failure. In Postgres, so that other replicas and restarts are no way around.
pub(super) async fn attempt(state: &State, portal: &Portal, email: &str) -> Result<()> {
    let counted: Option<i32> = sqlx::query_scalar(
        "INSERT INTO sign_in_attempts AS a (key, failures, last_at) VALUES ($1, 1, $2) \
         ON CONFLICT (key) DO UPDATE SET last_at = $2, \
           failures = CASE WHEN a.last_at < $2 - interval '1 hour' THEN 1 ELSE least(a.failures + 1, 1000) END \
         WHERE a.failures < $3 \
            OR a.last_at + least(power(2, least(a.failures - $3, 20)), $4) * interval '1 second' <= $2 \
         RETURNING failures",
    )
    .bind(key(portal, email))
    .bind(state.engine.now())
    .bind(FREE)
    .bind(LONGEST_SECONDS)
    .fetch_optional(&state.engine.pool)
    .await?;
    match counted {
        Some(_) => Ok(()),
        None => Err(Error::TooManyRequests(60)),
    }
}

/// Forgets the failures of an account.
pub(super) async fn succeeded(state: &State, portal: &Portal, email: &str) -> Result<()> {
    sqlx::query("DELETE FROM sign_in_attempts WHERE key = $1")
        .bind(key(portal, email))
        .execute(&state.engine.pool)
        .await?;
    Ok(())
}

fn key(portal: &Portal, email: &str) -> String {
    // Bounded, because strangers choose it.
    let email: String = email.to_lowercase().chars().take(254).collect();
    format!("developer:{}:{email}", portal.id)
}
