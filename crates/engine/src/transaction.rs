//! A transaction that begins with the first statement that needs one.
//!
//! Most writes are one row, its line in the audit trail and its line in the outbox: one statement, which is a transaction by itself. So
//! a write looks at the row without a lock, and its last statement writes only if the row is still the one it saw. Only when a hook of
//! the kind sends a statement of its own is there a transaction around all of them, and then it begins with what the hook may rely
//! on: before the row is written with the row's lock, afterwards with the row itself.
//!
//! When the row is another one meanwhile, nothing was changed and the write begins anew ([`is_lost`](LazyTransaction::is_lost)).

use crate::connections::Lent;
use futures_util::TryFutureExt as _;
use sqlx::{
    AssertSqlSafe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr, Transaction,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::{future::Future, pin::Pin};
use uuid::Uuid;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;
type Stream<'a, T> = futures_util::stream::BoxStream<'a, Result<T, Error>>;

/// A transaction that has begun, or will when it is needed. As `&mut` it sends statements; the first one begins it.
pub struct LazyTransaction {
    state: State,
    first: Option<First>,
    lost: bool,
    /// Whether one statement has to be enough, and whether it was not.
    is_single: bool,
    wants_more: bool,
}

enum State {
    Resting(Lent),
    Open(Transaction<'static, Postgres>),
    Ended,
}

/// What the transaction begins with.
enum First {
    /// Locks the row, if it still has the revision.
    Lock { sql: String, id: Uuid, rev: i64 },
    /// Writes the row.
    Write { sql: String, args: PgArguments },
}

impl std::fmt::Debug for LazyTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LazyTransaction")
            .field("is_open", &self.is_open())
            .field("lost", &self.lost)
            .field("is_single", &self.is_single)
            .finish_non_exhaustive()
    }
}

impl From<Transaction<'static, Postgres>> for LazyTransaction {
    fn from(open: Transaction<'static, Postgres>) -> Self {
        Self {
            state: State::Open(open),
            first: None,
            lost: false,
            is_single: false,
            wants_more: false,
        }
    }
}

impl LazyTransaction {
    pub(crate) fn new(connection: Lent) -> Self {
        Self {
            state: State::Resting(connection),
            first: None,
            lost: false,
            is_single: false,
            wants_more: false,
        }
    }

    /// For a write whose only statement proves what the write is founded on: one that needs more is lost.
    pub(crate) fn single(connection: Lent) -> Self {
        Self {
            is_single: true,
            ..Self::new(connection)
        }
    }

    /// The connection, inside the transaction.
    ///
    /// # Errors
    /// When the database fails, the row is another one meanwhile, or there may be one statement only.
    pub async fn open(&mut self) -> Result<&mut PgConnection, Error> {
        if self.is_single {
            (self.lost, self.wants_more) = (true, true);
            return Err(Error::Protocol(
                "this write has to begin with a look at the row".into(),
            ));
        }
        if let State::Resting(_) = self.state
            && let State::Resting(connection) = std::mem::replace(&mut self.state, State::Ended)
        {
            let mut open = Transaction::begin(connection.into_pooled().await?, None).await?;
            let is_ours = match self.first.take() {
                None => true,
                Some(First::Lock { sql, id, rev }) => {
                    let found: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
                        .bind(id)
                        .fetch_optional(&mut *open)
                        .await?;
                    found == Some(rev)
                }
                Some(First::Write { sql, args }) => sqlx::query_with(AssertSqlSafe(sql), args)
                    .fetch_optional(&mut *open)
                    .await?
                    .is_some(),
            };
            if !is_ours {
                self.lost = true;
                return Err(Error::Protocol("the row was written meanwhile".into()));
            }
            self.state = State::Open(open);
        }
        self.reading()
    }

    /// The connection as it is: for looking up what constraints guard, or what needs no guard.
    ///
    /// # Errors
    /// After the end.
    pub fn reading(&mut self) -> Result<&mut PgConnection, Error> {
        match &mut self.state {
            State::Resting(connection) => Ok(connection),
            State::Open(open) => Ok(open),
            State::Ended => Err(Error::Protocol("the transaction has ended".into())),
        }
    }

    /// Whether it has begun.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether another request wrote the row in between: nothing of this one is done, and it may begin anew.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether it is lost because one statement was not enough.
    pub(crate) const fn wants_more(&self) -> bool {
        self.wants_more
    }

    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// Hooks that send statements rely on the row being locked.
    pub(crate) fn lock_first(&mut self, table: &str, id: Uuid, rev: i64) {
        if !self.is_open() {
            let sql = format!("SELECT rev FROM {table} WHERE id = $1 FOR NO KEY UPDATE");
            self.first = Some(First::Lock { sql, id, rev });
        }
    }

    /// Hooks that send statements rely on the row being written.
    pub(crate) fn write_first(&mut self, sql: String, args: PgArguments) {
        self.first = Some(First::Write { sql, args });
    }

    /// The arguments of the row's statement, if it was not sent.
    pub(crate) fn unwritten(&mut self) -> Option<PgArguments> {
        match self.first.take() {
            Some(First::Write { args, .. }) => Some(args),
            _ => None,
        }
    }

    /// Makes durable what was done.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn commit(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open(open) => open.commit().await,
            State::Resting(connection) => {
                connection.rest();
                Ok(())
            }
            State::Ended => Ok(()),
        }
    }
}

impl<'c> Executor<'c> for &'c mut LazyTransaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Stream<'e, Either<PgQueryResult, PgRow>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(
            self.open()
                .map_ok(move |connection| connection.fetch_many(query))
                .try_flatten_stream(),
        )
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> Boxed<'e, Option<PgRow>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move { self.open().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> Boxed<'e, PgStatement>
    where
        'c: 'e,
    {
        Box::pin(async move { self.open().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> Boxed<'e, sqlx::Describe<Postgres>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.open().await?.describe(sql).await })
    }
}
