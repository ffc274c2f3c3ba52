//! How many rows all pages of a list hold together.
//!
//! The contract has the number on every page, and counting costs the rows, not the page. So three rules keep a page cheap however
//! many rows there are:
//!
//! - Without `$filter` the number is exact. One above [`MANY`] is remembered until this process writes something, and for
//!   [`FRESH`] at most, because other processes write too.
//! - With `$filter` it is exact up to [`EXACT`]. Above that it is Postgres' own estimate, never less than what was counted: nobody
//!   turns so many pages, and no client's paging depends on it.
//! - A list that fits into one page is not counted at all.

use crate::{Error, Result};
use moka::future::Cache;
use serde_json::Value;
use sqlx::{PgConnection, postgres::PgArguments};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use uuid::Uuid;

/// Numbers above this are remembered.
const MANY: i64 = 1_000;
/// How long a number may be remembered.
const FRESH: Duration = Duration::from_secs(2);
/// Rows that a filtered list counts.
const EXACT: i64 = 10_000;
/// Lists whose numbers are remembered at one time.
const LISTS: u64 = 1_000;

/// Remembered numbers.
pub(crate) struct Counts {
    /// By the state of this process's writes, statement and parent.
    known: Cache<(u64, String, Uuid), i64>,
    writes: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(LISTS)
                .time_to_live(FRESH)
                .build(),
            writes: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// Forgets every number: this process has written.
    pub fn written(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
    }

    /// The exact number of rows of `statement`, a `SELECT count(*)` whose only argument is the parent.
    pub async fn exact(
        &self,
        conn: &mut PgConnection,
        statement: String,
        parent: Uuid,
    ) -> Result<i64> {
        // Read before the rows: a write in between makes the number of no use to anybody.
        let key = (self.writes.load(Ordering::Acquire), statement, parent);
        if let Some(known) = self.known.get(&key).await {
            return Ok(known);
        }
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(key.1.clone()))
            .bind(parent)
            .fetch_one(conn)
            .await?;
        if count > MANY {
            self.known.insert(key, count).await;
        }
        Ok(count)
    }
}

/// The number of rows of `SELECT FROM …`, exact as long as they are not too many. `arguments` makes the arguments anew.
pub(crate) async fn bounded(
    conn: &mut PgConnection,
    rows: &str,
    arguments: impl Fn() -> Result<PgArguments>,
) -> Result<i64> {
    let statement = format!("SELECT count(*) FROM ({rows} LIMIT {}) counted", EXACT + 1);
    let counted: i64 = sqlx::query_scalar_with(sqlx::AssertSqlSafe(statement), arguments()?)
        .persistent(false)
        .fetch_one(&mut *conn)
        .await?;
    if counted <= EXACT {
        return Ok(counted);
    }
    let statement = format!("EXPLAIN (FORMAT JSON) {rows}");
    let plan: Value = sqlx::query_scalar_with(sqlx::AssertSqlSafe(statement), arguments()?)
        .persistent(false)
        .fetch_one(conn)
        .await?;
    let estimate = plan
        .pointer("/0/Plan/Plan Rows")
        .and_then(Value::as_f64)
        .ok_or_else(|| Error::internal("Postgres explained a list without a number of rows"))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an estimate of rows is far below the largest whole number"
    )]
    Ok((estimate as i64).max(counted))
}
