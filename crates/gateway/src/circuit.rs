//! Circuit breakers, and the choice among the members of a pool.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use snapshot::ServiceState;
use snapshot::entity::{Backend, CircuitBreaker};
use uuid::Uuid;

#[derive(Debug, Default)]
struct Circuit {
    failures_at_ms: VecDeque<u64>,
    open_until_ms: u64,
}

#[derive(Debug, Default)]
struct State {
    circuits: HashMap<Uuid, Circuit>,
    /// Turns taken, by pool.
    turns: HashMap<Uuid, u64>,
}

/// Circuits of all backends, and turns of all pools.
#[derive(Debug, Default)]
pub(crate) struct Circuits(Mutex<State>);

/// A call to a backend whose outcome its circuit breaker wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) backend: Uuid,
    pub(crate) rule: CircuitBreaker,
}

/// How a call to a backend ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// With a status, and the seconds of `Retry-After` if it had them.
    Status(u16, Option<u64>),
    /// Without an answer.
    Failed,
}

impl Circuits {
    fn is_open(state: &State, backend: &Backend, now_ms: u64) -> bool {
        backend.circuit_breaker.is_some()
            && state
                .circuits
                .get(&backend.id)
                .is_some_and(|circuit| circuit.open_until_ms > now_ms)
    }

    /// The backend itself, or the member of the pool whose turn it is: the lowest priority that has a closed circuit, and there in
    /// turns by weight. `None` when every circuit is open.
    pub(crate) fn choose(
        &self,
        service: &ServiceState,
        backend: &Arc<Backend>,
        now_ms: u64,
    ) -> Option<Arc<Backend>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if backend.pool.is_empty() {
            return (!Self::is_open(&state, backend, now_ms)).then(|| Arc::clone(backend));
        }
        let members: Vec<(&Arc<Backend>, u32, u64)> = backend
            .pool
            .iter()
            .filter_map(|member| {
                Some((
                    service.backend(&member.backend)?,
                    member.priority,
                    u64::from(member.weight.max(1)),
                ))
            })
            .filter(|(member, _, _)| {
                member.pool.is_empty() && !Self::is_open(&state, member, now_ms)
            })
            .collect();
        let best = members.iter().map(|(_, priority, _)| *priority).min()?;
        let candidates = || members.iter().filter(|(_, priority, _)| *priority == best);
        let total: u64 = candidates().map(|(_, _, weight)| weight).sum();
        let turn = state.turns.entry(backend.id).or_default();
        let mut at = *turn % total;
        *turn = turn.wrapping_add(1);
        for (member, _, weight) in candidates() {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return Some(Arc::clone(member)),
            }
        }
        None
    }

    /// Tells the breaker how a call ended.
    pub(crate) fn report(&self, trial: &Trial, outcome: Outcome, now_ms: u64) {
        let rule = &trial.rule;
        let (failed, retry_after) = match outcome {
            Outcome::Status(status, retry_after) => (
                rule.statuses
                    .iter()
                    .any(|(from, to)| (*from..=*to).contains(&status)),
                retry_after,
            ),
            Outcome::Failed => (rule.connection_errors, None),
        };
        if !failed {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = state.circuits.entry(trial.backend).or_default();
        circuit.failures_at_ms.push_back(now_ms);
        while circuit
            .failures_at_ms
            .front()
            .is_some_and(|at| at + rule.interval_ms <= now_ms)
        {
            circuit.failures_at_ms.pop_front();
        }
        if circuit.failures_at_ms.len() as u64 >= rule.failures.max(1) {
            let trip_ms = match retry_after.filter(|_| rule.accept_retry_after) {
                Some(seconds) => seconds.saturating_mul(1000),
                None => rule.trip_ms,
            };
            circuit.open_until_ms = now_ms.saturating_add(trip_ms);
            circuit.failures_at_ms.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CircuitBreaker, Circuits, Outcome, Trial};
    use snapshot::entity::{Backend, PoolMember, Service};
    use snapshot::{Change, Snapshot};
    use uuid::Uuid;

    fn pool() -> Snapshot {
        let service_id = Uuid::from_u128(1);
        let rule = CircuitBreaker {
            failures: 2,
            interval_ms: 1000,
            trip_ms: 5000,
            statuses: vec![(500, 599)],
            ..CircuitBreaker::default()
        };
        let member = |id: u128, name: &str| Backend {
            id: Uuid::from_u128(id),
            service_id,
            name: name.to_owned(),
            url: format!("http://{name}"),
            circuit_breaker: Some(rule.clone()),
            ..Backend::default()
        };
        let part = |backend: &str, priority, weight| PoolMember {
            backend: backend.to_owned(),
            priority,
            weight,
        };
        let pool = Backend {
            id: Uuid::from_u128(9),
            service_id,
            name: "pool".to_owned(),
            pool: vec![part("a", 1, 2), part("b", 1, 1), part("c", 2, 1)],
            ..Backend::default()
        };
        let service = Service {
            id: service_id,
            name: "s".to_owned(),
            hostnames: vec!["s".to_owned()],
            ..Service::default()
        };
        Snapshot::default().apply([
            Change::Put(service.into()),
            Change::Put(member(2, "a").into()),
            Change::Put(member(3, "b").into()),
            Change::Put(member(4, "c").into()),
            Change::Put(pool.into()),
        ])
    }

    #[test]
    fn members_take_turns_by_weight_and_the_next_priority_steps_in_when_all_circuits_are_open() {
        let snapshot = pool();
        let circuits = Circuits::default();
        let Some(service) = snapshot.service("s") else {
            panic!("no service")
        };
        let Some(pool) = service.backend("pool") else {
            panic!("no pool")
        };
        let take = |now_ms, count: usize| -> Vec<String> {
            (0..count)
                .map(|_| {
                    circuits
                        .choose(service, pool, now_ms)
                        .map_or_else(String::new, |backend| backend.name.clone())
                })
                .collect()
        };
        assert_eq!(take(0, 6), ["a", "a", "b", "a", "a", "b"]);
        for name in ["a", "b"] {
            let Some(backend) = service.backend(name) else {
                panic!("no member")
            };
            let trial = Trial {
                backend: backend.id,
                rule: backend.circuit_breaker.clone().unwrap_or_default(),
            };
            circuits.report(&trial, Outcome::Status(200, None), 10);
            circuits.report(&trial, Outcome::Status(503, None), 10);
            circuits.report(&trial, Outcome::Status(503, None), 20);
        }
        assert_eq!(take(30, 2), ["c", "c"]);
        assert_eq!(take(5021, 1), ["b"]);
    }
}
