//! Counters of quotas, which outlive the process.
//!
//! The gateway counts in memory, exactly for one process. The server makes the counts durable and shares them between processes:
//! every quarter of a second it writes what [`Counters::take_dirty`] gives to its table with
//! `INSERT .. ON CONFLICT (..) DO UPDATE SET calls = t.calls + excluded.calls, .. RETURNING` and hands the totals it gets back to
//! [`Counters::settle`]. When it starts, and for counts of other processes, it calls [`Counters::merge`]. If a write fails,
//! [`Counters::restore`] puts the differences back.
//!
//! What is lost by `kill -9` is what was counted since the last write; what several processes admit too much together is what each
//! admitted since then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use chrono::{DateTime, TimeDelta, Utc};
use policy::elements::quota::Allowance;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CounterKey {
    /// Service.
    pub service_id: Uuid,
    /// Id of the subscription, nil for calls without one; nil for `quota-by-key`.
    pub subscription_id: Uuid,
    /// The limit: `product:{id}` with perhaps `/api:{id}` and `/operation:{id}`, or `key:{counter-key}`.
    pub step: String,
}

/// What was counted since the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterDelta {
    /// What was counted.
    pub key: CounterKey,
    /// When the period of the quota began; rows of older periods can be deleted.
    pub period_start: DateTime<Utc>,
    /// When it ends; absent for quotas without renewal.
    pub period_end: Option<DateTime<Utc>>,
    /// Calls to add.
    pub calls: u64,
    /// Bytes of requests and responses to add.
    pub bytes: u64,
    /// Calls that the quota allows in a period, as the policy said last.
    #[serde(default)]
    pub calls_limit: Option<u64>,
    /// Bytes that it allows.
    #[serde(default)]
    pub bytes_limit: Option<u64>,
}

/// What all processes together have counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterTotal {
    /// What was counted.
    pub key: CounterKey,
    /// The period it is for.
    pub period_start: DateTime<Utc>,
    /// Calls.
    pub calls: u64,
    /// Bytes.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    calls: u64,
    bytes: u64,
}

impl Counts {
    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.bytes += other.bytes;
    }
}

#[derive(Debug, Default)]
struct Counter {
    period_start: DateTime<Utc>,
    period_end: Option<DateTime<Utc>>,
    /// Known to be stored, by all processes.
    stored: Counts,
    /// Handed out by `take_dirty`, not yet settled.
    leaving: Counts,
    /// Not yet handed out.
    fresh: Counts,
    /// What the policy allowed when it asked last.
    allowed: (Option<u64>, Option<u64>),
}

impl Counter {
    fn enter(&mut self, period: Period) {
        if self.period_start != period.start {
            // Bytes of calls that ended after their period are dropped with it: it can refuse nobody any more.
            *self = Self {
                period_start: period.start,
                allowed: self.allowed,
                ..Self::default()
            };
        }
        self.period_end = period.end;
    }

    fn calls(&self) -> u64 {
        self.stored.calls + self.leaving.calls + self.fresh.calls
    }

    fn bytes(&self) -> u64 {
        self.stored.bytes + self.leaving.bytes + self.fresh.bytes
    }
}

/// The period that a moment falls in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: Option<DateTime<Utc>>,
}

impl Period {
    /// Periods of `length` follow each other from `anchor` in both directions; a length of zero never ends.
    pub(crate) fn at(now: DateTime<Utc>, anchor: DateTime<Utc>, length: Duration) -> Self {
        let Some(length) = TimeDelta::from_std(length)
            .ok()
            .filter(|length| !length.is_zero())
        else {
            return Self {
                start: anchor,
                end: None,
            };
        };
        let passed = (now - anchor).num_milliseconds();
        let start =
            anchor + TimeDelta::milliseconds(passed - passed.rem_euclid(length.num_milliseconds()));
        Self {
            start,
            end: Some(start + length),
        }
    }
}

/// Which allowance is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Calls,
    Bandwidth,
}

const SHARDS: usize = 64;

/// Counters of all quotas of a process.
#[derive(Debug)]
pub struct Counters {
    shards: Vec<Mutex<HashMap<CounterKey, Counter, RandomState>>>,
    hasher: RandomState,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

fn exceeded(counter: &Counter, allowance: &Allowance, calls: u64) -> Option<Exceeded> {
    if allowance
        .calls
        .is_some_and(|limit| counter.calls() + calls > limit)
    {
        return Some(Exceeded::Calls);
    }
    let limit = allowance.bandwidth_kilobytes?.saturating_mul(1024);
    (counter.bytes() >= limit).then_some(Exceeded::Bandwidth)
}

impl Counters {
    fn shard(&self, key: &CounterKey) -> MutexGuard<'_, HashMap<CounterKey, Counter, RandomState>> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts calls if the allowance has room for them. With `calls` zero it only checks that there is room for one.
    pub(crate) fn ask(
        &self,
        key: &CounterKey,
        period: Period,
        allowance: &Allowance,
        calls: u64,
    ) -> Result<(), Exceeded> {
        let mut shard = self.shard(key);
        let counter = match shard.get_mut(key) {
            Some(counter) => counter,
            None => shard.entry(key.clone()).or_default(),
        };
        counter.enter(period);
        let bytes_limit = allowance.bandwidth_kilobytes;
        counter.allowed = (
            allowance.calls,
            bytes_limit.map(|limit| limit.saturating_mul(1024)),
        );
        if let Some(exceeded) = exceeded(counter, allowance, calls.max(1)) {
            return Err(exceeded);
        }
        counter.fresh.calls += calls;
        Ok(())
    }

    /// Counts without asking: bytes when a call is over, calls whose condition was known only then.
    pub(crate) fn add(&self, key: &CounterKey, period: Period, calls: u64, bytes: u64) {
        let mut shard = self.shard(key);
        let counter = match shard.get_mut(key) {
            Some(counter) => counter,
            None => shard.entry(key.clone()).or_default(),
        };
        if counter.period_start > period.start {
            return;
        }
        counter.enter(period);
        counter.fresh += Counts { calls, bytes };
    }

    /// What was counted since the last time. Follow it with [`Counters::settle`] or [`Counters::restore`].
    pub fn take_dirty(&self) -> Vec<CounterDelta> {
        let mut dirty = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, counter) in shard.iter_mut() {
                if counter.fresh.is_zero() {
                    continue;
                }
                let fresh = std::mem::take(&mut counter.fresh);
                counter.leaving += fresh;
                dirty.push(CounterDelta {
                    key: key.clone(),
                    period_start: counter.period_start,
                    period_end: counter.period_end,
                    calls: fresh.calls,
                    bytes: fresh.bytes,
                    calls_limit: counter.allowed.0,
                    bytes_limit: counter.allowed.1,
                });
            }
        }
        dirty
    }

    /// The differences of the last [`Counters::take_dirty`] are stored, and these are the totals with them.
    pub fn settle(&self, totals: impl IntoIterator<Item = CounterTotal>) {
        for total in totals {
            let mut shard = self.shard(&total.key);
            if let Some(counter) = shard.get_mut(&total.key)
                && counter.period_start == total.period_start
            {
                counter.leaving = Counts::default();
                counter.stored = Counts {
                    calls: total.calls,
                    bytes: total.bytes,
                };
            }
        }
    }

    /// The differences of the last [`Counters::take_dirty`] could not be stored.
    pub fn restore(&self, deltas: impl IntoIterator<Item = CounterDelta>) {
        for delta in deltas {
            let mut shard = self.shard(&delta.key);
            if let Some(counter) = shard.get_mut(&delta.key)
                && counter.period_start == delta.period_start
            {
                counter.leaving.calls = counter.leaving.calls.saturating_sub(delta.calls);
                counter.leaving.bytes = counter.leaving.bytes.saturating_sub(delta.bytes);
                counter.fresh += Counts {
                    calls: delta.calls,
                    bytes: delta.bytes,
                };
            }
        }
    }

    /// Totals read from the store: all of them at start, later those that changed. Counters with differences on their way are left
    /// alone, because the totals may or may not hold those; [`Counters::settle`] will tell.
    pub fn merge(&self, totals: impl IntoIterator<Item = CounterTotal>) {
        for total in totals {
            let mut shard = self.shard(&total.key);
            let counter = shard.entry(total.key).or_default();
            if counter.period_start < total.period_start {
                *counter = Counter {
                    period_start: total.period_start,
                    ..Counter::default()
                };
            }
            if counter.period_start == total.period_start && counter.leaving.is_zero() {
                counter.stored = Counts {
                    calls: total.calls,
                    bytes: total.bytes,
                };
            }
        }
    }

    /// Present totals of this process, for the management API of quotas.
    pub fn totals(&self) -> Vec<CounterTotal> {
        let mut totals = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            totals.extend(shard.iter().map(|(key, counter)| CounterTotal {
                key: key.clone(),
                period_start: counter.period_start,
                calls: counter.calls(),
                bytes: counter.bytes(),
            }));
        }
        totals
    }

    /// Forgets counters whose period is over and that have nothing to store.
    pub fn sweep(&self, now: DateTime<Utc>) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, counter| {
                let over = counter.period_end.is_some_and(|end| end <= now);
                !over || !counter.fresh.is_zero() || !counter.leaving.is_zero()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, CounterKey, CounterTotal, Counters, Exceeded, Period};
    use chrono::{DateTime, Utc};
    use std::time::Duration;
    use uuid::Uuid;

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    fn key() -> CounterKey {
        CounterKey {
            service_id: Uuid::from_u128(1),
            subscription_id: Uuid::from_u128(2),
            step: "product:x".to_owned(),
        }
    }

    const WEEK: Duration = Duration::from_secs(604_800);

    fn allowance(calls: u64) -> Allowance {
        Allowance {
            calls: Some(calls),
            bandwidth_kilobytes: None,
            renewal_period: WEEK,
        }
    }

    #[test]
    fn counts_survive_in_the_store_and_come_back() {
        let period = Period::at(time(1_000_000), time(0), WEEK);
        let counters = Counters::default();
        for _ in 0..3 {
            assert_eq!(counters.ask(&key(), period, &allowance(3), 1), Ok(()));
        }
        assert_eq!(
            counters.ask(&key(), period, &allowance(3), 1),
            Err(Exceeded::Calls)
        );
        let dirty = counters.take_dirty();
        assert_eq!(
            dirty.iter().map(|delta| delta.calls).collect::<Vec<_>>(),
            [3]
        );
        assert_eq!(counters.take_dirty(), []);
        let stored = CounterTotal {
            key: key(),
            period_start: dirty[0].period_start,
            calls: 3,
            bytes: 0,
        };
        counters.settle([stored.clone()]);
        assert_eq!(counters.totals(), std::slice::from_ref(&stored));

        let restarted = Counters::default();
        restarted.merge([stored]);
        assert_eq!(
            restarted.ask(&key(), period, &allowance(3), 1),
            Err(Exceeded::Calls)
        );
        let next = Period::at(time(1_000_000 + 604_800), time(0), WEEK);
        assert_eq!(restarted.ask(&key(), next, &allowance(3), 1), Ok(()));
    }

    #[test]
    fn a_failed_write_loses_nothing() {
        let period = Period::at(time(10), time(0), WEEK);
        let counters = Counters::default();
        counters.add(&key(), period, 2, 100);
        let taken = counters.take_dirty();
        counters.add(&key(), period, 1, 50);
        counters.restore(taken);
        let again = counters.take_dirty();
        assert_eq!((again[0].calls, again[0].bytes), (3, 150));
    }

    #[test]
    fn periods_follow_each_other_from_the_anchor() {
        let hour = Duration::from_secs(3600);
        assert_eq!(
            Period::at(time(7300), time(100), hour),
            Period {
                start: time(3700 + 3600),
                end: Some(time(3700 + 7200))
            }
        );
        assert_eq!(
            Period::at(time(50), time(100), hour),
            Period {
                start: time(100 - 3600),
                end: Some(time(100))
            }
        );
        assert_eq!(Period::at(time(50), time(0), Duration::ZERO).end, None);
    }
}
