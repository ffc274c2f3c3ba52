//! Connections between two statements of the engine.
//!
//! The pool asks Postgres whether a connection still lives each time one is given back: a round trip, which is a sixth of a read.
//! So connections whose last statement went well wait here for the next request instead, half of the pool's at most and a second or
//! two, as long as the pool has others: whoever waits at the pool does not see those that wait here. One whose statement failed or was
//! given up goes to the pool at once.
//!
//! A connection belongs to the runtime that opened it: what Postgres answers wakes a thread of that runtime, and only this one wakes
//! whoever asked. Each worker of the HTTP server is a runtime with one thread, so with connections of the pool most statements go
//! through two threads. [`Connections::with_own`] lets each such runtime open a few connections of its own. Nobody ever waits for one
//! of them: when they are all in use there is the pool.

use sqlx::{Connection as _, PgConnection, PgPool, Postgres, pool::PoolConnection};
use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::{Handle, Id, RuntimeFlavor};

/// A connection that has waited for longer may have been cut off.
const FRESH: Duration = Duration::from_secs(1);
/// How long a connection of a runtime's own may take to answer that it lives.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one is used: a backend of Postgres keeps what it has once looked at. As the pool's.
const LIFE: Duration = Duration::from_secs(30 * 60);

type Waiting = Mutex<Vec<(PoolConnection<Postgres>, Instant)>>;

/// Where connections wait.
#[derive(Clone)]
pub struct Connections {
    pool: PgPool,
    waiting: Arc<Waiting>,
    /// Whether somebody empties this when the pool is closed.
    is_watched: Arc<AtomicBool>,
    own: Option<Arc<Own>>,
}

/// The connections that runtimes with one thread have of their own.
struct Own {
    homes: Mutex<HashMap<Id, Home>>,
    /// How many there may be of all and of one runtime.
    all: u32,
    each: u32,
    open: Arc<AtomicU32>,
}

#[derive(Default)]
struct Home {
    resting: Vec<OwnConnection>,
    open: Arc<AtomicU32>,
}

struct OwnConnection {
    connection: PgConnection,
    opened: Instant,
    /// When its last statement went well; `None` when it did not.
    rested: Option<Instant>,
    runtime: Id,
    _place: Place,
}

/// The right to one connection, counted while it lasts.
struct Place([Arc<AtomicU32>; 2]);

impl Drop for Place {
    fn drop(&mut self) {
        for open in &self.0 {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Where a runtime's connection comes from.
enum Found {
    Resting(OwnConnection),
    ToOpen(Place),
    Nothing,
}

/// A connection that is in use.
pub struct Lent {
    /// Until it is given back.
    link: Option<Link>,
    home: Connections,
}

enum Link {
    Pooled(PoolConnection<Postgres>),
    Own(OwnConnection),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Own {
    fn find(&self, runtime: Id) -> Found {
        let mut homes = locked(&self.homes);
        let home = homes.entry(runtime).or_default();
        if let Some(resting) = home.resting.pop() {
            return Found::Resting(resting);
        }
        let place = Place([home.open.clone(), self.open.clone()]);
        let before = [&home.open, &self.open].map(|open| open.fetch_add(1, Ordering::AcqRel));
        // What is too much the place takes back.
        if before[0] < self.each && before[1] < self.all {
            Found::ToOpen(place)
        } else {
            Found::Nothing
        }
    }

    fn rest(&self, connection: OwnConnection) {
        let mut homes = locked(&self.homes);
        let home = homes.entry(connection.runtime).or_default();
        home.resting.push(connection);
    }
}

impl OwnConnection {
    /// Whether it can be used; asks Postgres when there is a doubt.
    async fn is_usable(&mut self) -> bool {
        if self.opened.elapsed() > LIFE {
            return false;
        }
        if self.rested.is_some_and(|since| since.elapsed() < FRESH) {
            return true;
        }
        let answer = tokio::time::timeout(PATIENCE, self.connection.ping()).await;
        matches!(answer, Ok(Ok(())))
    }
}

impl Connections {
    /// For the connections of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            waiting: Arc::default(),
            is_watched: Arc::default(),
            own: None,
        }
    }

    /// With so many connections, besides those of the pool, for the runtimes that have one thread, and so many of them for each.
    #[must_use]
    pub fn with_own(self, all: u32, each: u32) -> Self {
        let own = (all > 0).then(|| {
            Arc::new(Own {
                homes: Mutex::default(),
                all,
                each,
                open: Arc::default(),
            })
        });
        Self { own, ..self }
    }

    /// Connections that runtimes have of their own, and how many of these are not in use.
    #[must_use]
    pub fn own(&self) -> (u32, usize) {
        let Some(own) = &self.own else { return (0, 0) };
        let homes = locked(&own.homes);
        let resting = homes.values().map(|home| home.resting.len()).sum();
        (own.open.load(Ordering::Acquire), resting)
    }

    /// A connection.
    ///
    /// # Errors
    /// When Postgres gives none.
    pub async fn acquire(&self) -> Result<Lent, sqlx::Error> {
        let link = match self.acquire_own().await {
            Some(own) => Link::Own(own),
            None => Link::Pooled(self.acquire_pooled().await?),
        };
        Ok(Lent {
            link: Some(link),
            home: self.clone(),
        })
    }

    async fn acquire_own(&self) -> Option<OwnConnection> {
        let own = self.own.as_ref().filter(|_| !self.pool.is_closed())?;
        let runtime = Handle::try_current().ok()?;
        if runtime.runtime_flavor() != RuntimeFlavor::CurrentThread {
            return None;
        }
        let runtime = runtime.id();
        loop {
            match own.find(runtime) {
                Found::Resting(mut resting) => {
                    if resting.is_usable().await {
                        return Some(resting);
                    }
                }
                Found::ToOpen(place) => {
                    let options = self.pool.connect_options();
                    // The pool says what is wrong, if it fares no better.
                    let connection = PgConnection::connect_with(&options).await.ok()?;
                    return Some(OwnConnection {
                        connection,
                        opened: Instant::now(),
                        rested: None,
                        runtime,
                        _place: place,
                    });
                }
                Found::Nothing => return None,
            }
        }
    }

    async fn acquire_pooled(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let last = locked(&self.waiting).pop();
        match last {
            Some((connection, since)) if since.elapsed() < FRESH => Ok(connection),
            Some(_) => {
                // Those below it have waited for longer.
                let rested = std::mem::take(&mut *locked(&self.waiting));
                drop(rested);
                self.pool.acquire().await
            }
            None => self.pool.acquire().await,
        }
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
                locked(&waiting).retain(|(_, since)| !is_closed && since.elapsed() < FRESH);
                if is_closed {
                    return;
                }
            }
        });
    }

    fn rest_pooled(&self, connection: PoolConnection<Postgres>) {
        self.watch();
        let all = self.pool.options().get_max_connections();
        // Nobody waits at a pool that has a connection or may make one.
        let has_others = self.pool.size() < all || self.pool.num_idle() > 0;
        let mut waiting = locked(&self.waiting);
        let has_room = u32::try_from(waiting.len()).is_ok_and(|len| len < all / 2);
        if has_others && has_room && !self.pool.is_closed() {
            waiting.push((connection, Instant::now()));
        }
    }

    fn rest_own(&self, mut connection: OwnConnection, rested: Option<Instant>) {
        connection.rested = rested;
        if let Some(own) = &self.own
            && !self.pool.is_closed()
        {
            own.rest(connection);
        }
    }
}

impl Lent {
    /// Gives the connection back after a statement that went well, without asking Postgres.
    pub fn rest(mut self) {
        match self.link.take() {
            Some(Link::Pooled(connection)) => self.home.rest_pooled(connection),
            Some(Link::Own(connection)) => self.home.rest_own(connection, Some(Instant::now())),
            None => {}
        }
    }

    /// A connection of the pool, for a transaction: this one, or another one when this is none.
    ///
    /// # Errors
    /// When Postgres gives none.
    pub async fn into_pooled(mut self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        match self.link.take() {
            Some(Link::Pooled(connection)) => return Ok(connection),
            Some(Link::Own(connection)) => self.home.rest_own(connection, Some(Instant::now())),
            None => {}
        }
        self.home.acquire_pooled().await
    }
}

impl Drop for Lent {
    /// What came to no good end is asked whether it lives before it is used again, as the pool asks its own.
    fn drop(&mut self) {
        if let Some(Link::Own(connection)) = self.link.take() {
            self.home.rest_own(connection, None);
        }
    }
}

/// The link is taken by what consumes a `Lent`, and by nobody else.
const GONE: &str = "a connection that was given back is used by nobody";

impl Deref for Lent {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        match self.link.as_ref().expect(GONE) {
            Link::Pooled(connection) => connection,
            Link::Own(own) => &own.connection,
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self.link.as_mut().expect(GONE) {
            Link::Pooled(connection) => connection,
            Link::Own(own) => &mut own.connection,
        }
    }
}
