//! What is remembered of long lists: how many rows all their pages hold together, and where their pages begin.
//!
//! The contract has the number on every page and lets clients skip any number of rows, and both cost the rows, not the page. So these
//! rules keep a page cheap however many rows there are:
//!
//! - Without `$filter` the number is exact. One above [`MANY`] is remembered for [`FRESH`] at most, because other processes write
//!   too.
//! - With `$filter` it is exact up to [`EXACT`], for parts of texts that no index finds up to [`EXACT_UNFOUND`]. Above that it is
//!   Postgres' own estimate, never less than what was counted: nobody turns so many pages, and no client's paging depends on it.
//! - A list that fits into one page is not counted at all.
//! - A `$skip` above [`DEEP`] goes on from a mark: each [`STEP`]th row is found in one pass through the list, and how many rows stand up
//!   to it is remembered for [`MARKED`] at most.
//!
//! What this process writes is never missed. A write that is known to have written one row only (see [`Writing`]) moves the numbers and,
//! if the row is new, makes the marks of its list forgotten; every other one makes everything forgotten. What other processes write may
//! be missed for as long as a thing is remembered: then the number, or the place where a deep page begins, is that of a moment ago.

use crate::{Error, Result, filter::Counting};
use serde_json::Value;
use sqlx::{PgConnection, postgres::PgArguments};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Numbers above this are remembered.
const MANY: i64 = 1_000;
/// How long a number may be remembered.
const FRESH: Duration = Duration::from_secs(2);
/// Rows that a filtered list counts.
const EXACT: i64 = 10_000;
/// The same where the rows have to be searched for among all others.
const EXACT_UNFOUND: i64 = 1_000;
/// Rows that are skipped one by one.
pub(crate) const DEEP: i64 = 5_000;
/// Rows from one mark to the next.
const STEP: i64 = 1_000;
/// How long marks may be remembered.
const MARKED: Duration = Duration::from_secs(30);
/// Lists of which something is remembered at one time.
const LISTS: usize = 1_000;

/// Which list: the table's rows below the parent, and what restricts them further.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct List {
    pub table: &'static str,
    pub parent: Uuid,
    /// Empty for all rows of the parent in the order of their names; else whatever tells the list from others.
    pub restriction: String,
}

impl List {
    fn holds_all_of(&self, table: &str, parent: Uuid) -> bool {
        self.table == table && self.parent == parent && self.restriction.is_empty()
    }
}

/// The lower-cased name of a row, and how many rows of the list stand up to it.
pub(crate) type Mark = (String, i64);

/// What is remembered.
#[derive(Default)]
pub(crate) struct Counts {
    known: Mutex<Known>,
    /// Held while marks are set, so that those who need the same ones wait for them.
    marking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// Changes with each write of this process, so that nobody remembers what was read before one.
    writes: u64,
    /// Writes of single rows that have begun.
    running: usize,
    numbers: HashMap<List, (i64, Instant)>,
    marks: HashMap<List, (Vec<Mark>, Instant)>,
}

impl Known {
    fn forget(&mut self, which: impl Fn(&List) -> bool) {
        self.numbers.retain(|list, _| !which(list));
        self.marks.retain(|list, _| !which(list));
    }

    /// Makes room for one list more.
    fn tidy(&mut self) {
        if self.numbers.len() >= LISTS || self.marks.len() >= LISTS {
            self.numbers.retain(|_, (_, at)| at.elapsed() < FRESH);
            self.marks.retain(|_, (_, at)| at.elapsed() < MARKED);
        }
        if self.numbers.len() >= LISTS || self.marks.len() >= LISTS {
            self.forget(|_| true);
        }
    }
}

/// A write of a single row: from before its statement until after its commit. One that is given up in between may have happened.
pub(crate) struct Writing<'a> {
    counts: &'a Counts,
    table: &'static str,
    parent: Uuid,
    is_over: bool,
}

impl Writing<'_> {
    /// The row is new. Where it stands among the marks only Postgres knows, by the collation of its names: they are forgotten.
    pub fn created(mut self) {
        let (table, parent) = (self.table, self.parent);
        let mut known = self.counts.known();
        known.forget(|list| !list.restriction.is_empty());
        known
            .marks
            .retain(|list, _| !list.holds_all_of(table, parent));
        for (list, (number, _)) in &mut known.numbers {
            if list.holds_all_of(table, parent) {
                *number += 1;
            }
        }
        drop(known);
        self.is_over = true;
    }

    /// The row has new values, and its old name.
    pub fn updated(mut self) {
        self.counts
            .known()
            .forget(|list| !list.restriction.is_empty());
        self.is_over = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut known = self.counts.known();
        known.running -= 1;
        known.writes += 1;
        if !self.is_over {
            known.forget(|_| true);
        }
    }
}

impl Counts {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: this process has written.
    pub fn written(&self) {
        let mut known = self.known();
        known.writes += 1;
        known.forget(|_| true);
    }

    /// A statement that writes one row of the table below the parent, and no other row of any kind, is about to be sent.
    pub fn writing(&self, table: &'static str, parent: Uuid) -> Writing<'_> {
        let mut known = self.known();
        known.running += 1;
        known.writes += 1;
        Writing {
            counts: self,
            table,
            parent,
            is_over: false,
        }
    }

    /// Remembers something that was read since `writes`, if no write of this process may have changed it meanwhile.
    fn remember(&self, writes: Option<u64>, keep: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        if known.running == 0 && writes == Some(known.writes) {
            known.tidy();
            keep(&mut known);
        }
    }

    /// The state of this process's writes, unless one is running.
    fn writes(&self) -> Option<u64> {
        let known = self.known();
        (known.running == 0).then_some(known.writes)
    }

    /// The exact number of rows of `statement`, a `SELECT count(*)` of the list whose only argument is the parent.
    pub async fn exact(
        &self,
        conn: &mut PgConnection,
        statement: String,
        list: List,
    ) -> Result<i64> {
        let known = self.known().numbers.get(&list).copied();
        if let Some((number, at)) = known
            && at.elapsed() < FRESH
        {
            return Ok(number);
        }
        let (writes, at) = (self.writes(), Instant::now());
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(list.parent)
            .fetch_one(conn)
            .await?;
        if count > MANY {
            self.remember(writes, |known| {
                known.numbers.insert(list, (count, at));
            });
        }
        Ok(count)
    }

    /// The last mark of the list before the row that follows the skipped ones. `rows` are the list's rows,
    /// `FROM … WHERE …`, and `arguments` makes their arguments anew.
    pub async fn mark(
        &self,
        conn: &mut PgConnection,
        list: List,
        skip: i64,
        rows: &str,
        arguments: impl Fn() -> Result<PgArguments>,
    ) -> Result<Option<Mark>> {
        let known = |list: &List| {
            let known = self.known();
            let (marks, at) = known.marks.get(list)?;
            (at.elapsed() < MARKED).then(|| last(marks, skip))
        };
        if let Some(mark) = known(&list) {
            return Ok(mark);
        }
        let _turn = self.marking.lock().await;
        if let Some(mark) = known(&list) {
            return Ok(mark);
        }
        let (writes, at) = (self.writes(), Instant::now());
        let marks: Vec<Mark> = sqlx::query_as_with(sqlx::AssertSqlSafe(marks(rows)), arguments()?)
            .persistent(false)
            .fetch_all(conn)
            .await?;
        let mark = last(&marks, skip);
        self.remember(writes, |known| {
            known.marks.insert(list, (marks, at));
        });
        Ok(mark)
    }
}

/// Sets marks in these rows.
pub(crate) fn marks(rows: &str) -> String {
    format!(
        "SELECT name, rows FROM (SELECT lower(t.name) AS name, row_number() OVER (ORDER BY lower(t.name)) AS rows {rows}) numbered \
         WHERE rows % {STEP} = 0 ORDER BY rows"
    )
}

/// The last mark up to which no more than the skipped rows stand.
fn last(marks: &[Mark], skip: i64) -> Option<Mark> {
    let after = marks.partition_point(|(_, rows)| *rows <= skip);
    after.checked_sub(1).and_then(|at| marks.get(at)).cloned()
}

/// Counts the rows of `SELECT FROM … t WHERE …` up to one more than this, in an order if there is one that leads to them.
fn up_to(exact: i64, rows: &str, order: Option<&str>) -> String {
    let order = order.map_or_else(String::new, |order| format!(" ORDER BY {order}"));
    format!(
        "SELECT count(*) FROM ({rows}{order} LIMIT {}) counted",
        exact + 1
    )
}

/// Counts the rows of a range of this field.
pub(crate) fn range(rows: &str, field: &str) -> String {
    up_to(EXACT, rows, Some(field))
}

/// The number of rows of `SELECT FROM … t WHERE …`, exact as long as they are not too many. `arguments` makes the arguments anew.
pub(crate) async fn bounded(
    conn: &mut PgConnection,
    rows: &str,
    counting: &Counting,
    arguments: impl Fn() -> Result<PgArguments>,
) -> Result<i64> {
    let exact = if counting.is_found {
        EXACT
    } else {
        EXACT_UNFOUND
    };
    let statement = up_to(exact, rows, counting.order.as_deref());
    let counted: i64 = sqlx::query_scalar_with(sqlx::AssertSqlSafe(statement), arguments()?)
        .persistent(false)
        .fetch_one(&mut *conn)
        .await?;
    if counted <= exact {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn list(restriction: &str) -> List {
        List {
            table: "products",
            parent: Uuid::nil(),
            restriction: restriction.to_owned(),
        }
    }

    fn remembering() -> Counts {
        let counts = Counts::default();
        for restriction in ["", "state eq 'published'"] {
            counts.remember(counts.writes(), |known| {
                let marks = vec![("b".to_owned(), 1_000), ("d".to_owned(), 2_000)];
                known
                    .numbers
                    .insert(list(restriction), (2_500, Instant::now()));
                known
                    .marks
                    .insert(list(restriction), (marks, Instant::now()));
            });
        }
        counts
    }

    /// The number of rows, and up to which of them there are marks.
    fn known(counts: &Counts, restriction: &str) -> (Option<i64>, Option<Vec<i64>>) {
        let known = counts.known();
        let number = known.numbers.get(&list(restriction));
        let marks = known.marks.get(&list(restriction));
        (
            number.map(|(number, _)| *number),
            marks.map(|(marks, _)| marks.iter().map(|(_, rows)| *rows).collect()),
        )
    }

    #[test]
    fn a_new_row_is_counted_and_ends_the_marks_of_its_list() {
        let counts = remembering();
        counts.writing("products", Uuid::max()).created();
        counts.writing("apis", Uuid::nil()).created();
        counts.writing("products", Uuid::nil()).updated();
        assert_eq!(known(&counts, ""), (Some(2_500), Some(vec![1_000, 2_000])));
        assert_eq!(known(&counts, "state eq 'published'"), (None, None));
        counts.writing("products", Uuid::nil()).created();
        assert_eq!(known(&counts, ""), (Some(2_501), None));
    }

    #[test]
    fn what_may_have_been_written_is_forgotten() {
        let counts = remembering();
        drop(counts.writing("products", Uuid::nil()));
        assert_eq!(known(&counts, ""), (None, None));
        let counts = remembering();
        counts.written();
        assert_eq!(known(&counts, ""), (None, None));
    }

    #[test]
    fn what_was_read_beside_a_write_is_not_remembered() {
        let counts = Counts::default();
        let keep = |writes| {
            counts.remember(writes, |known| {
                known.numbers.insert(list(""), (1, Instant::now()));
            });
            counts.known().numbers.len()
        };
        let before = counts.writes();
        let writing = counts.writing("products", Uuid::nil());
        assert_eq!(counts.writes(), None);
        assert_eq!(keep(before), 0);
        writing.updated();
        assert_eq!(keep(before), 0);
        assert_eq!(keep(counts.writes()), 1);
    }

    #[test]
    fn the_last_mark_before_the_wanted_row_is_taken() {
        let marks = vec![("b".to_owned(), 1_000), ("d".to_owned(), 2_001)];
        let taken = |skip| last(&marks, skip).map(|(_, rows)| rows);
        assert_eq!(
            [999, 1_000, 2_000, 2_001, 9_000].map(taken),
            [None, Some(1_000), Some(1_000), Some(2_001), Some(2_001)]
        );
    }
}
