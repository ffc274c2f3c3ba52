//! Connections between two statements of the engine.
//!
//! The pool asks Postgres whether a connection still lives each time one is given back: a round trip, which is a sixth of a read.
//! So connections whose last statement went well wait here for the next request instead, half of the pool's at most and a second or
//! two, as long as the pool has others: whoever waits at the pool does not see those that wait here. One whose statement failed or was
//! given up goes to the pool at once.
//!
//! A connection belongs to the runtime that opened it: what Postgres answers wakes a thread of that runtime, and only this one wakes
//! whoever asked. Each worker of the HTTP server is a runtime with one thread, so that with connections of a common pool most
//! statements would go through two threads. [`Connections::with_own`] gives each such runtime a few connections of its own.

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// A connection that has waited for longer may have been cut off.
const FRESH: Duration = Duration::from_secs(1);
/// How long one waits for a connection of the runtime's own before a common one is taken: whoever holds them all does something that
/// takes its time.
const PATIENCE: Duration = Duration::from_millis(20);

/// Where connections are lent from.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Home>,
    own: Option<Own>,
}

/// The homes of runtimes with one thread.
#[derive(Clone)]
struct Own {
    homes: Arc<Mutex<Homes>>,
}

struct Homes {
    by_runtime: HashMap<Id, Arc<Home>>,
    /// Connections that no runtime has yet.
    left: u32,
    /// Connections of one runtime.
    each: u32,
}

/// A pool, and those of its connections that wait for the next statement.
struct Home {
    pool: PgPool,
    waiting: Mutex<Vec<(PoolConnection<Postgres>, Instant)>>,
    /// Whose turn it is, where all connections wait here and none in the pool.
    turns: Option<Arc<Semaphore>>,
    /// Whether somebody empties this.
    is_watched: AtomicBool,
}

/// A connection that is in use.
pub struct Lent {
    connection: PoolConnection<Postgres>,
    home: Arc<Home>,
    turn: Turn,
}

/// The right to have a connection; given back with it.
pub type Turn = Option<OwnedSemaphorePermit>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// For the connections of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            shared: Arc::new(Home::new(pool, None)),
            own: None,
        }
    }

    /// With so many connections, besides those of the pool, for the runtimes that have one thread: the first that ask get so many
    /// each.
    #[must_use]
    pub fn with_own(self, all: u32, each: u32) -> Self {
        let homes = Homes {
            by_runtime: HashMap::new(),
            left: all,
            each,
        };
        let own = (all > 0).then(|| Own {
            homes: Arc::new(Mutex::new(homes)),
        });
        Self { own, ..self }
    }

    /// Connections that runtimes have of their own, and how many of these are not in use.
    #[must_use]
    pub fn own(&self) -> (u32, usize) {
        let Some(own) = &self.own else { return (0, 0) };
        let homes = locked(&own.homes);
        homes.by_runtime.values().fold((0, 0), |(all, idle), home| {
            let waiting = locked(&home.waiting).len();
            (
                all + home.pool.size(),
                idle + home.pool.num_idle() + waiting,
            )
        })
    }

    /// A connection.
    ///
    /// # Errors
    /// When Postgres gives none.
    pub async fn acquire(&self) -> Result<Lent, sqlx::Error> {
        if let Some(home) = self.home()
            && let Some(turns) = &home.turns
        {
            let turn = match turns.clone().try_acquire_owned() {
                Ok(turn) => Some(turn),
                Err(_) => {
                    let turn = tokio::time::timeout(PATIENCE, turns.clone().acquire_owned()).await;
                    turn.ok().and_then(Result::ok)
                }
            };
            if turn.is_some() {
                return home.lend(turn).await;
            }
        }
        self.shared.clone().lend(None).await
    }

    /// That of the current runtime, if it has one of its own.
    fn home(&self) -> Option<Arc<Home>> {
        let own = self.own.as_ref()?;
        let runtime = Handle::try_current().ok()?;
        if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread || self.shared.pool.is_closed()
        {
            return None;
        }
        let mut homes = locked(&own.homes);
        if let Some(home) = homes.by_runtime.get(&runtime.id()) {
            return Some(home.clone());
        }
        let most = homes.left.min(homes.each);
        if most == 0 {
            return None;
        }
        homes.left -= most;
        let pool = &self.shared.pool;
        let options = pool.options().clone().max_connections(most);
        let turns = Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX));
        let home = Arc::new(Home::new(
            options.connect_lazy_with((*pool.connect_options()).clone()),
            Some(Arc::new(turns)),
        ));
        homes.by_runtime.insert(runtime.id(), home.clone());
        drop(homes);
        let leaving = Leaving {
            homes: Arc::downgrade(&own.homes),
            runtime: runtime.id(),
        };
        let (closed, opened) = (pool.close_event(), home.pool.clone());
        tokio::spawn(async move {
            closed.await;
            drop(leaving);
            opened.close().await;
        });
        Some(home)
    }
}

/// Removes what a runtime has, at the latest with the runtime itself.
struct Leaving {
    homes: Weak<Mutex<Homes>>,
    runtime: Id,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(homes) = self.homes.upgrade() {
            let mut homes = locked(&homes);
            let Some(home) = homes.by_runtime.remove(&self.runtime) else {
                return;
            };
            homes.left += home.pool.options().get_max_connections();
            drop(homes);
            let waiting = std::mem::take(&mut *locked(&home.waiting));
            drop(waiting);
        }
    }
}

impl Home {
    fn new(pool: PgPool, turns: Option<Arc<Semaphore>>) -> Self {
        Self {
            pool,
            waiting: Mutex::default(),
            turns,
            is_watched: AtomicBool::default(),
        }
    }

    async fn lend(self: Arc<Self>, turn: Turn) -> Result<Lent, sqlx::Error> {
        let last = locked(&self.waiting).pop();
        let connection = match last {
            Some((connection, since)) if since.elapsed() < FRESH => connection,
            Some(_) => {
                // Those below it have waited for longer.
                let rested = std::mem::take(&mut *locked(&self.waiting));
                drop(rested);
                self.pool.acquire().await?
            }
            None => self.pool.acquire().await?,
        };
        Ok(Lent {
            connection,
            home: self,
            turn,
        })
    }

    /// Whether a connection may wait here. Where turns are taken nobody waits at the pool.
    fn has_room(&self, waiting: usize) -> bool {
        if self.turns.is_some() {
            return true;
        }
        let all = self.pool.options().get_max_connections();
        // Nobody waits at a pool that has a connection or may make one.
        let has_others = self.pool.size() < all || self.pool.num_idle() > 0;
        has_others && u32::try_from(waiting).is_ok_and(|len| len < all / 2)
    }

    /// Gives connections back to the pool that nobody took in time, and all of them when the pool is to be closed, which it can be only
    /// then.
    fn watch(self: &Arc<Self>) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (closed, home) = (self.pool.close_event(), Arc::downgrade(self));
        tokio::spawn(async move {
            tokio::pin!(closed);
            loop {
                let is_closed = tokio::select! {
                    () = &mut closed => true,
                    () = tokio::time::sleep(FRESH) => false,
                };
                let Some(home) = home.upgrade() else {
                    return;
                };
                let mut all = locked(&home.waiting);
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
        let Self {
            connection,
            home,
            turn,
        } = self;
        home.watch();
        {
            let mut waiting = locked(&home.waiting);
            if home.has_room(waiting.len()) && !home.pool.is_closed() {
                waiting.push((connection, Instant::now()));
            }
        }
        // Whoever has the next turn finds the connection.
        drop(turn);
    }

    /// The pool's connection, and the turn that ends with its use.
    pub fn into_inner(self) -> (PoolConnection<Postgres>, Turn) {
        (self.connection, self.turn)
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
