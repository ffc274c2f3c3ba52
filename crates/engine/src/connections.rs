//! Connections between two statements of the engine.
//!
//! The pool asks Postgres whether a connection still lives each time one is given back: a round trip, which is a sixth of a read.
//! So connections whose last statement went well wait here for the next request instead, half of the pool's at most, and go back to
//! the pool when the next taker comes later than a second. One whose statement failed or was given up goes to the pool at once.

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A connection that has waited for longer may have been cut off.
const FRESH: Duration = Duration::from_secs(1);

type Waiting = Mutex<Vec<(PoolConnection<Postgres>, Instant)>>;

/// Where connections wait.
#[derive(Clone)]
pub struct Connections {
    pool: PgPool,
    waiting: Arc<Waiting>,
    /// Whether somebody empties this when the pool is closed.
    is_watched: Arc<AtomicBool>,
}

/// A connection that is in use.
pub struct Lent {
    connection: PoolConnection<Postgres>,
    home: Connections,
}

impl Connections {
    /// For the connections of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            waiting: Arc::default(),
            is_watched: Arc::default(),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<(PoolConnection<Postgres>, Instant)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection.
    ///
    /// # Errors
    /// When Postgres gives none.
    pub async fn acquire(&self) -> Result<Lent, sqlx::Error> {
        let last = self.waiting().pop();
        let connection = match last {
            Some((connection, since)) if since.elapsed() < FRESH => connection,
            Some(_) => {
                // Those below it have waited for longer.
                let rested = std::mem::take(&mut *self.waiting());
                drop(rested);
                self.pool.acquire().await?
            }
            None => self.pool.acquire().await?,
        };
        Ok(Lent {
            connection,
            home: self.clone(),
        })
    }

    /// The pool can be closed only when all its connections are back.
    fn watch(&self) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (closed, waiting) = (self.pool.close_event(), Arc::downgrade(&self.waiting));
        tokio::spawn(async move {
            closed.await;
            if let Some(waiting) = waiting.upgrade() {
                let all =
                    std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
                drop(all);
            }
        });
    }
}

impl Lent {
    /// Gives the connection back after a statement that went well, without asking Postgres.
    pub fn rest(self) {
        let Self { connection, home } = self;
        home.watch();
        let most = home.pool.options().get_max_connections() / 2;
        let mut waiting = home.waiting();
        if !home.pool.is_closed() && u32::try_from(waiting.len()).is_ok_and(|len| len < most) {
            waiting.push((connection, Instant::now()));
        }
    }

    /// The pool's connection.
    pub fn into_inner(self) -> PoolConnection<Postgres> {
        self.connection
    }
}

impl Deref for Lent {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
