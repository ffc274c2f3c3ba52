//! Rates: at most so many calls in any window of a length.
//!
//! The window slides, as published. Up to [`EXACT`] calls each call's time is kept. Above that, calls are counted in slices of a
//! 32nd of the window and a slice leaves as a whole, so that a limit is never exceeded in any window, and a call may be refused for
//! at most a 32nd of the window longer than the log would.
//!
//! Windows are counted by this process, unless it has [`SharedRates`], which several gateways ask. While those do not answer, each
//! gateway goes on with its own windows, which hold what it admitted itself: together they then admit at most as many times the
//! limit as there are gateways.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

// Keyed as the standard library's, and a fraction of its price for keys of five ids.
use ahash::RandomState;

/// Up to this limit, times are kept exactly.
const EXACT: u64 = 64;
const SLICES: u32 = 32;
const SHARDS: usize = 64;
/// A shard is cleaned of ended windows when it has grown by this many entries.
const SWEEP: usize = 4096;

#[derive(Debug, Default)]
struct Window {
    period_ms: u32,
    /// Length of a slice; zero while times are kept exactly.
    slice_ms: u32,
    /// When the last call was counted.
    last_ms: u64,
    /// The slice that calls are counted in now; one without calls is none. Here, and the beginning of the oldest one too, so that
    /// most calls find all they need in one place.
    newest: Slice,
    /// When the first of the older slices began.
    oldest_ms: u32,
    /// Ten thousand active keys have a third of a million of these.
    older: VecDeque<Slice>,
    calls: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    /// The low 32 bits of its beginning.
    began_ms: u32,
    calls: u32,
}

/// What a limit says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Admitted {
        /// So many more may.
        remaining: u64,
    },
    /// It may not.
    Refused {
        /// Something is free after so many milliseconds.
        wait_ms: u64,
    },
}

/// What a gateway asks of counters that it shares with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateQuestion {
    /// What is counted together: the same text on every gateway, without secrets and of bounded length.
    pub key: String,
    /// Calls in a window at most.
    pub limit: u64,
    /// Length of the window in milliseconds.
    pub period_ms: u64,
    /// Calls to count if they fit; zero asks only whether there is room for one.
    pub count: u64,
    /// Whether the calls were admitted before and count whatever the limit.
    pub is_admitted: bool,
}

/// Counters of rates that several gateways share.
pub trait SharedRates: Send + Sync {
    /// The verdict of all gateways together, in bounded time; `None` when there is none to be had now.
    fn ask(&self, question: RateQuestion) -> BoxFuture<'_, Option<Verdict>>;
}

/// Times of single calls are kept up to this limit, slices above.
#[must_use]
pub fn slice_ms(limit: u64, period_ms: u64) -> u64 {
    if limit > EXACT {
        period_ms / u64::from(SLICES)
    } else {
        0
    }
}

impl Window {
    /// Begins anew when the policy has changed its period or the way of counting.
    fn adopt(&mut self, limit: u64, period_ms: u64) {
        // Published periods have at most 300 s.
        let period_ms = u32::try_from(period_ms).unwrap_or(u32::MAX / 2);
        let slice_ms = low(slice_ms(limit, u64::from(period_ms)));
        if (self.period_ms, self.slice_ms) != (period_ms, slice_ms) {
            *self = Self {
                period_ms,
                slice_ms,
                ..Self::default()
            };
        }
    }

    /// The time of a call that read the clock before another one did, but came here after it: what was counted must not seem to
    /// lie in the future, which is as far away as the distant past.
    fn not_before(&self, now_ms: u64) -> u64 {
        now_ms.max(self.last_ms)
    }

    /// How long a slice counts.
    fn life_ms(&self) -> u32 {
        self.period_ms + self.slice_ms
    }

    fn expire(&mut self, now_ms: u64) {
        // After this nothing is left whose age does not fit into 32 bits.
        if now_ms.saturating_sub(self.last_ms) >= u64::from(self.life_ms()) {
            self.older.clear();
            self.newest.calls = 0;
            self.calls = 0;
            return;
        }
        let (now, life_ms) = (low(now_ms), self.life_ms());
        let is_over = |began_ms: u32| now.wrapping_sub(began_ms) >= life_ms;
        while !self.older.is_empty() && is_over(self.oldest_ms) {
            if let Some(oldest) = self.older.pop_front() {
                self.calls -= u64::from(oldest.calls);
            }
            if let Some(next) = self.older.front() {
                self.oldest_ms = next.began_ms;
            }
        }
        if self.newest.calls > 0 && is_over(self.newest.began_ms) {
            self.calls -= u64::from(self.newest.calls);
            self.newest.calls = 0;
        }
    }

    fn add(&mut self, now_ms: u64, count: u64) {
        let mut left = count;
        self.calls += count;
        self.last_ms = now_ms;
        let now = low(now_ms);
        while left > 0 {
            let is_same = now.wrapping_sub(self.newest.began_ms) < self.slice_ms.max(1);
            if self.newest.calls > 0 && (!is_same || self.newest.calls == u32::MAX) {
                if self.older.is_empty() {
                    self.oldest_ms = self.newest.began_ms;
                }
                self.older.push_back(self.newest);
                self.newest.calls = 0;
            }
            if self.newest.calls == 0 {
                self.newest.began_ms = now;
            }
            let fits = left.min(u64::from(u32::MAX - self.newest.calls));
            self.newest.calls += fits as u32;
            left -= fits;
        }
    }

    /// When enough calls leave for `count` to fit under `limit`.
    fn wait_ms(&self, now_ms: u64, limit: u64, count: u64) -> u64 {
        let mut calls = self.calls;
        for slice in self.older.iter().chain([&self.newest]) {
            calls -= u64::from(slice.calls);
            if calls + count <= limit {
                let age = low(now_ms).wrapping_sub(slice.began_ms);
                return u64::from(self.life_ms().saturating_sub(age)).max(1);
            }
        }
        u64::from(self.period_ms)
    }
}

/// The low 32 bits: differences of less than 49 days stay right.
fn low(ms: u64) -> u32 {
    (ms & u64::from(u32::MAX)) as u32
}

#[derive(Debug)]
struct Shard<K> {
    windows: HashMap<K, Window, RandomState>,
    sweep_at: usize,
}

/// Windows by key.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    shards: Vec<Mutex<Shard<K>>>,
    hasher: RandomState,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        let shard = || {
            Mutex::new(Shard {
                windows: HashMap::default(),
                sweep_at: SWEEP,
            })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl<K: Hash + Eq> Rates<K> {
    /// Asks for `count` calls and counts them if they fit. A `count` of zero asks only whether there is room for one.
    pub(crate) fn ask(
        &self,
        key: K,
        now_ms: u64,
        limit: u64,
        period_ms: u64,
        count: u64,
    ) -> Verdict {
        let at = self.hasher.hash_one(&key) as usize % SHARDS;
        let mut shard = self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if shard.windows.len() >= shard.sweep_at {
            shard.windows.retain(|_, window| {
                window.expire(window.not_before(now_ms));
                window.calls > 0
            });
            shard.sweep_at = shard.windows.len() * 2 + SWEEP;
        }
        let window = shard.windows.entry(key).or_default();
        let now_ms = window.not_before(now_ms);
        window.adopt(limit, period_ms);
        window.expire(now_ms);
        if window.calls + count.max(1) > limit {
            return Verdict::Refused {
                wait_ms: window.wait_ms(now_ms, limit, count.max(1)),
            };
        }
        if count > 0 {
            window.add(now_ms, count);
        }
        Verdict::Admitted {
            remaining: limit - window.calls,
        }
    }

    /// Counts calls that have been admitted before, whatever the limit.
    pub(crate) fn count(&self, key: K, now_ms: u64, limit: u64, period_ms: u64, count: u64) {
        let at = self.hasher.hash_one(&key) as usize % SHARDS;
        let mut shard = self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let window = shard.windows.entry(key).or_default();
        let now_ms = window.not_before(now_ms);
        window.adopt(limit, period_ms);
        window.expire(now_ms);
        window.add(now_ms, count);
    }
}

#[cfg(test)]
mod tests {
    use super::{Rates, Verdict};

    #[test]
    fn the_sixth_call_in_a_minute_is_refused_until_the_first_leaves_the_window() {
        let rates = Rates::default();
        for call in 0..5 {
            assert_eq!(
                rates.ask("a", call * 1000, 5, 60_000, 1),
                Verdict::Admitted {
                    remaining: 4 - call
                }
            );
        }
        assert_eq!(
            rates.ask("a", 10_000, 5, 60_000, 1),
            Verdict::Refused { wait_ms: 50_000 }
        );
        assert_eq!(
            rates.ask("b", 10_000, 5, 60_000, 1),
            Verdict::Admitted { remaining: 4 }
        );
        assert_eq!(
            rates.ask("a", 59_999, 5, 60_000, 1),
            Verdict::Refused { wait_ms: 1 }
        );
        assert_eq!(
            rates.ask("a", 60_000, 5, 60_000, 1),
            Verdict::Admitted { remaining: 0 }
        );
        assert_eq!(
            rates.ask("a", 60_500, 5, 60_000, 1),
            Verdict::Refused { wait_ms: 500 }
        );
    }

    #[test]
    fn a_call_that_is_overtaken_by_a_later_one_counts_as_well() {
        let rates = Rates::default();
        assert_eq!(
            rates.ask("a", 1005, 2, 60_000, 1),
            Verdict::Admitted { remaining: 1 }
        );
        assert_eq!(
            rates.ask("a", 1003, 2, 60_000, 1),
            Verdict::Admitted { remaining: 0 }
        );
        assert_eq!(
            rates.ask("a", 1004, 2, 60_000, 1),
            Verdict::Refused { wait_ms: 60_000 }
        );
    }

    #[test]
    fn a_key_that_rests_for_months_begins_anew() {
        let rates = Rates::default();
        let months = 1 << 33;
        assert_eq!(
            rates.ask("a", 5, 1, 60_000, 1),
            Verdict::Admitted { remaining: 0 }
        );
        assert_eq!(
            rates.ask("a", months + 5, 1, 60_000, 1),
            Verdict::Admitted { remaining: 0 }
        );
        assert_eq!(
            rates.ask("a", months + 6, 1, 60_000, 1),
            Verdict::Refused { wait_ms: 59_999 }
        );
    }

    #[test]
    fn no_window_ever_holds_more_than_the_limit() {
        let rates = Rates::default();
        let (limit, period) = (1000, 10_000);
        let mut admitted = Vec::new();
        for now in (0..40_000).step_by(3) {
            if matches!(
                rates.ask((), now, limit, period, 1),
                Verdict::Admitted { .. }
            ) {
                admitted.push(now);
            }
        }
        let most = admitted
            .iter()
            .map(|first| {
                admitted
                    .iter()
                    .filter(|time| (*first..first + period).contains(time))
                    .count()
            })
            .max();
        assert_eq!(most, Some(1000));
        // 40 s hold four windows; the slices cost at most a 32nd of each.
        assert!(admitted.len() >= 3850, "{}", admitted.len());
    }
}
