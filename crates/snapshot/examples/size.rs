//! What a snapshot costs: memory of many routes and keys, and the time of one change among few and many operations.
//!
//! `cargo run --release -p snapshot --example size`
use std::time::{Duration, Instant};

use snapshot::entity::{
    Api, Operation, Service, Subscription, SubscriptionScope, SubscriptionState,
};
use snapshot::{Change, Snapshot};
use uuid::Uuid;

const SERVICE: Uuid = Uuid::from_u128(1);

/// Ids as the control plane makes them: mostly random bits.
fn id(number: u64) -> Uuid {
    let mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Uuid::from_u128(mixed)
}

fn operation(number: u64, api: Uuid) -> Operation {
    Operation {
        id: id(1_000_000 + number),
        api_id: api,
        service_id: SERVICE,
        name: format!("operation-{number}"),
        display_name: format!("Operation {number}"),
        method: "GET".to_owned(),
        url_template: format!("/resources/{number}/items/{{item}}"),
        ..Operation::default()
    }
}

fn api(number: u64) -> Api {
    Api {
        id: id(number),
        service_id: SERVICE,
        name: format!("api-{number}"),
        display_name: format!("API {number}"),
        path: format!("api-{number}"),
        service_url: Some("http://127.0.0.1:8080".to_owned()),
        subscription_required: true,
        revision: "1".to_owned(),
        is_current: true,
        ..Api::default()
    }
}

fn subscription(number: u64) -> Subscription {
    let digest = |key: u64| {
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(id(2 * number + key).as_bytes());
        digest
    };
    Subscription {
        id: id(2_000_000 + number),
        service_id: SERVICE,
        name: format!("subscription-{number}"),
        state: SubscriptionState::Active,
        scope: SubscriptionScope::All,
        primary_digest: digest(0),
        secondary_digest: digest(1),
        ..Subscription::default()
    }
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or_default()
}

fn service() -> Change {
    let service = Service {
        id: SERVICE,
        name: "bench".to_owned(),
        hostnames: vec!["bench.example".to_owned()],
        ..Service::default()
    };
    Change::Put(service.into())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let before = resident_kib();
    let began = Instant::now();
    let apis = (0..100).map(|number| Change::Put(api(number).into()));
    let operations =
        (0..10_000).map(|number| Change::Put(operation(number, id(number % 100)).into()));
    let keys = (0..10_000).map(|number| Change::Put(subscription(number).into()));
    let snapshot = Snapshot::default().apply(
        std::iter::once(service())
            .chain(apis)
            .chain(operations)
            .chain(keys),
    );
    println!(
        "10,000 routes and 10,000 keys: {} KiB, made in {:?}, {} entities",
        resident_kib().saturating_sub(before),
        began.elapsed(),
        snapshot.len()
    );
    for count in [10, 1_000, 100_000] {
        let all = (0..count).map(|number| Change::Put(operation(number, id(0)).into()));
        let mut snapshot = Snapshot::default().apply(
            [service(), Change::Put(api(0).into())]
                .into_iter()
                .chain(all),
        );
        let times = (0..201)
            .map(|round| {
                let changed = operation(round % count, id(0));
                let began = Instant::now();
                let next = snapshot.apply([Change::Put(changed.into())]);
                let time = began.elapsed();
                snapshot = next;
                time
            })
            .collect();
        let found = (0..201)
            .map(|round| {
                let path = format!("/api-0/resources/{}/items/7", round % count);
                let began = Instant::now();
                let service = snapshot.service("bench.example");
                let api = service.and_then(|service| service.api(&path, &mut |_| None));
                let hit = api.is_some_and(|api| {
                    api.state
                        .operation("GET", &path[api.prefix_bytes..], "")
                        .is_some()
                });
                let time = began.elapsed();
                assert!(hit, "{path}");
                time
            })
            .collect();
        println!(
            "one change among {count} operations: {:?}; one search: {:?}",
            median(times),
            median(found)
        );
    }
}
