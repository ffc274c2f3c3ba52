//! Time and chance, which tests fix.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ahash::RandomState;
use chrono::{DateTime, Utc};

/// Where the gateway gets the time from.
pub trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> DateTime<Utc>;

    /// Milliseconds since some fixed moment, never going back.
    fn monotonic_ms(&self) -> u64;
}

/// Where the gateway gets random bits from: request ids, `Guid.NewGuid()`. Not for secrets.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that is handed to the gateway"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Bits of a keyed hash over a counter: unpredictable without the process's keys, and cheap enough for each request.
#[derive(Debug, Default)]
pub struct SystemRandom {
    keys: RandomState,
    next: AtomicU64,
}

impl Random for SystemRandom {
    fn bits(&self) -> u64 {
        self.keys
            .hash_one(self.next.fetch_add(1, Ordering::Relaxed))
    }
}
