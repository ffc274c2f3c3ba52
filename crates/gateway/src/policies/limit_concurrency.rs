//! `<limit-concurrency>`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use policy::elements::limit_concurrency::LimitConcurrency;
use uuid::Uuid;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "limit-concurrency";

type Key = (Uuid, String);

/// How many calls are inside, by service and key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Concurrency(Arc<Mutex<HashMap<Key, u32>>>);

/// A place inside, given back when dropped: also when the client goes away.
#[derive(Debug)]
pub(crate) struct Place {
    all: Concurrency,
    key: Key,
}

impl Concurrency {
    fn enter(&self, key: Key, limit: u32) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= limit {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        drop(counts);
        Some(Place {
            all: self.clone(),
            key,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.key);
            }
        }
    }
}

pub(super) async fn apply(x: &mut Exchange, policy: &LimitConcurrency) -> Result<Flow, Fault> {
    let key = x.value(&policy.key, SOURCE).await?.into_owned();
    let limit = *x.value(&policy.max_count, SOURCE).await?;
    let Some(place) = x.gateway.concurrency.enter((x.service_id, key), limit) else {
        return Err(Fault {
            shown: Some("Too many concurrent requests. Try again later."),
            ..Fault::new(
                StatusCode::TOO_MANY_REQUESTS,
                SOURCE,
                "ConcurrencyLimitExceeded",
                format!("More than {limit} requests are being processed."),
            )
        });
    };
    let outcome = super::run(x, &policy.steps).await;
    drop(place);
    outcome
}
