//! Connections between two statements of the engine.
//!
//! The pool asks Postgres whether a connection still lives each time one is given back: a round trip, which is a sixth of a read.
//! So connections whose last statement went well wait here for the next request instead, half of the pool's at most and a second or
//! two, as long as the pool has others: whoever waits at the pool does not see those that wait here. One whose statement failed or was
//! given up goes to the pool at once.

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

    /// Gives connections back to the pool that nobody took in time, and all of them when the pool is to be closed, which it can be only
    /// then.
    fn watch(&self) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (closed, waiting) = (self.pool.close_event(), Arc::downgrade(&self.waiting));
        tokio::spawn(async move {
            tokio::pin!(closed);
            loop {
                let is_closed = tokio::select! {
                    () = &mut closed => true,
                    () = tokio::time::sleep(FRESH) => false,
                };
                let Some(waiting) = waiting.upgrade() else {
                    return;
                };
                let mut all = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                all.retain(|(_, since)| !is_closed && since.elapsed() < FRESH);
                if is_closed {
                    return;
                }
            }
        });
    }
}

impl Lent {
    /// Gives the connection back after a statement that went well, without asking Postgres.
    pub fn rest(self) {
        let Self { connection, home } = self;
        home.watch();
        let all = home.pool.options().get_max_connections();
        // Nobody waits at a pool that has a connection or may make one.
        let has_others = home.pool.size() < all || home.pool.num_idle() > 0;
        let mut waiting = home.waiting();
        let has_room = u32::try_from(waiting.len()).is_ok_and(|len| len < all / 2);
        if has_others && has_room && !home.pool.is_closed() {
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
