//! Slowing down guesses: every attempt counts as failed until it succeeds, per account and per address,
//! in Postgres, so that neither parallel requests nor other replicas nor a restart get around it.

use crate::{Identity, SignInError};
use chrono::{DateTime, Utc};
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::atomic::Ordering,
};

/// Failures of an account before waiting begins.
const ACCOUNT_FREE: i32 = 5;
/// Failures of an address before waiting begins; more, because people share addresses.
const ADDRESS_FREE: i32 = 30;
/// Longest wait in seconds.
const LONGEST_SECONDS: i32 = 900;
/// Seconds after which failures are forgotten.
const FORGOTTEN_SECONDS: i32 = 3600;

/// What is guessed at.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// The secret of the account of this name, whether it exists or not.
    Account(&'a str),
    /// The one-time secret of the first administrator.
    Bootstrap,
}

impl Target<'_> {
    fn key(self) -> String {
        match self {
            // Bounded, because strangers choose it.
            Self::Account(name) => format!(
                "account:{}",
                name.to_lowercase().chars().take(254).collect::<String>()
            ),
            Self::Bootstrap => "bootstrap".to_owned(),
        }
    }
}

/// A host has all of an IPv6 /64 to itself, so that counting its single addresses would count nothing.
fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("address:{address}"),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64));
            format!("address:{network}/64")
        }
    }
}

impl Identity {
    /// Counts an attempt, or refuses it while the address or the target has to wait. The address goes
    /// first: one that has to wait must not lock others' accounts meanwhile.
    pub(crate) async fn attempt(
        &self,
        target: Target<'_>,
        address: IpAddr,
    ) -> Result<(), SignInError> {
        let now = self.now();
        self.forget_attempts(now).await?;
        self.count(&address_key(address), ADDRESS_FREE, now).await?;
        self.count(&target.key(), ACCOUNT_FREE, now).await
    }

    /// Forgets the failures of a target after a success, and of the address only this attempt: who has
    /// one account must not clear the way to others, nor fill the count by signing in often.
    pub(crate) async fn succeeded(
        &self,
        target: Target<'_>,
        address: IpAddr,
    ) -> Result<(), SignInError> {
        sqlx::query("DELETE FROM sign_in_attempts WHERE key = $1")
            .bind(target.key())
            .execute(&self.pool)
            .await?;
        sqlx::query(
            "UPDATE sign_in_attempts SET failures = greatest(failures - 1, 0) WHERE key = $1",
        )
        .bind(address_key(address))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Drops what no longer counts, once in a while: strangers choose the names, and each makes a row.
    async fn forget_attempts(&self, now: DateTime<Utc>) -> Result<(), SignInError> {
        let last = self.attempts_forgotten_at.load(Ordering::Relaxed);
        let due = now.timestamp() - i64::from(FORGOTTEN_SECONDS) >= last;
        let mine = due
            && self
                .attempts_forgotten_at
                .compare_exchange(last, now.timestamp(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            sqlx::query(
                "DELETE FROM sign_in_attempts WHERE last_at < $1 - $2 * interval '1 second'",
            )
            .bind(now)
            .bind(FORGOTTEN_SECONDS)
            .execute(&self.pool)
            .await?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_as_its_host() -> Result<(), std::net::AddrParseError> {
        for (address, key) in [
            ("10.0.0.1", "address:10.0.0.1"),
            ("::ffff:10.0.0.1", "address:10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "address:2001:db8:1:2::/64"),
            ("2001:db8:1:3::9", "address:2001:db8:1:3::/64"),
        ] {
            assert_eq!(address_key(address.parse()?), key);
        }
        Ok(())
    }

    #[test]
    fn an_account_counts_in_any_case_and_apart_from_the_bootstrap_secret() {
        assert_eq!(
            Target::Account("Admin@x").key(),
            Target::Account("admin@X").key()
        );
        assert_ne!(Target::Account("bootstrap").key(), Target::Bootstrap.key());
        assert_eq!(
            Target::Account(&"x".repeat(10_000)).key().len(),
            "account:".len() + 254
        );
    }
}
