//! Slowing down guesses: every attempt counts as failed until it succeeds, per account and per address,
//! in Postgres, so that neither parallel requests nor other replicas nor a restart get around it.

use crate::{Identity, SignInError};
use chrono::{DateTime, Utc};
use std::net::IpAddr;

/// Failures of an account before waiting begins.
const ACCOUNT_FREE: i32 = 5;
/// Failures of an address before waiting begins; more, because people share addresses.
const ADDRESS_FREE: i32 = 30;
/// Longest wait in seconds.
const LONGEST_SECONDS: i32 = 900;
/// Seconds after which failures are forgotten.
const FORGOTTEN_SECONDS: i32 = 3600;

impl Identity {
    /// Counts an attempt, or refuses it while the account or the address has to wait.
    pub(crate) async fn attempt(&self, account: &str, address: IpAddr) -> Result<(), SignInError> {
        let now = self.now();
        self.count(&account_key(account), ACCOUNT_FREE, now).await?;
        self.count(&format!("address:{address}"), ADDRESS_FREE, now)
            .await
    }

    /// Forgets the failures of an account after a success. The address keeps its own: who has one
    /// account must not clear the way to others.
    pub(crate) async fn succeeded(&self, account: &str) -> Result<(), SignInError> {
        sqlx::query("DELETE FROM sign_in_attempts WHERE key = $1")
            .bind(account_key(account))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn count(&self, key: &str, free: i32, now: DateTime<Utc>) -> Result<(), SignInError> {
        // One statement: the row lock makes parallel attempts queue up and count.
        let counted: Option<i32> = sqlx::query_scalar(
            "INSERT INTO sign_in_attempts AS a (key, failures, last_at) VALUES ($1, 1, $2) \
             ON CONFLICT (key) DO UPDATE SET last_at = $2, \
               failures = CASE WHEN a.last_at < $2 - $5 * interval '1 second' THEN 1 ELSE least(a.failures + 1, 1000) END \
             WHERE a.failures < $3 \
                OR a.last_at + least(power(2, least(a.failures - $3, 20)), $4) * interval '1 second' <= $2 \
             RETURNING failures",
        )
        .bind(key)
        .bind(now)
        .bind(free)
        .bind(LONGEST_SECONDS)
        .bind(FORGOTTEN_SECONDS)
        .fetch_optional(&self.pool)
        .await?;
        if counted.is_some() {
            return Ok(());
        }
        let left: Option<f64> = sqlx::query_scalar(
            "SELECT extract(epoch FROM last_at + least(power(2, least(failures - $3, 20)), $4) * interval '1 second' - $2)::float8 \
             FROM sign_in_attempts WHERE key = $1",
        )
        .bind(key)
        .bind(now)
        .bind(free)
        .bind(LONGEST_SECONDS)
        .fetch_optional(&self.pool)
        .await?;
        let seconds = left
            .unwrap_or(1.0)
            .ceil()
            .clamp(1.0, f64::from(LONGEST_SECONDS));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 1..=900"
        )]
        let retry_after_seconds = seconds as u64;
        Err(SignInError::Slowed {
            retry_after_seconds,
        })
    }
}

fn account_key(account: &str) -> String {
    // Bounded, because strangers choose it.
    format!(
        "account:{}",
        account.to_lowercase().chars().take(254).collect::<String>()
    )
}
