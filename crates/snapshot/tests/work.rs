//! One change costs the same among few and among many operations: counted in allocations, not in time.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use snapshot::entity::{Api, Gateway, Operation, Service};
use snapshot::{Change, Entity, Snapshot, View};
use uuid::Uuid;

const SERVICE: Uuid = Uuid::from_u128(1);
const GATEWAY: Uuid = Uuid::from_u128(3);

/// Ids as the control plane makes them: mostly random bits.
fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn operation(number: u64, version: u64) -> Change {
    Change::Put(Entity::Operation(Operation {
        id: id(100 + number),
        api_id: id(2),
        service_id: SERVICE,
        name: format!("operation-{number}"),
        display_name: format!("version-{version:04}"),
        method: "GET".to_owned(),
        url_template: format!("/resources/{number}/items/{{item}}"),
        ..Operation::default()
    }))
}

fn snapshot(operations: u64) -> Snapshot {
    let around: [Entity; 3] = [
        Service {
            id: SERVICE,
            hostnames: vec!["work.example".to_owned()],
            ..Service::default()
        }
        .into(),
        Api {
            id: id(2),
            service_id: SERVICE,
            path: "work".to_owned(),
            is_current: true,
            ..Api::default()
        }
        .into(),
        Gateway {
            id: GATEWAY,
            service_id: SERVICE,
            api_ids: vec![id(2)],
            ..Gateway::default()
        }
        .into(),
    ];
    let all = (0..operations).map(|number| operation(number, 0));
    Snapshot::default().apply(around.into_iter().map(Change::Put).chain(all))
}

/// Allocations and bytes of one change, with what a gateway apart is told of it: the largest of several.
fn work(operations: u64) -> (u64, u64) {
    let before = snapshot(operations);
    (0..50)
        .map(|round| {
            let changes = [operation(round * 7 % operations, round)];
            let mut told = Vec::new();
            let info = allocation_counter::measure(|| {
                let after = before.apply(changes.iter().cloned());
                told = View::of(GATEWAY).changes(&before, &after, &changes);
                // Dropping what the change made is part of its cost, and frees nothing of what it shares.
                drop(after);
            });
            assert_eq!(told, changes);
            (info.count_total, info.bytes_total)
        })
        .max()
        .unwrap()
}

#[test]
fn one_change_costs_the_same_among_ten_and_among_a_hundred_thousand_operations() {
    let (few, many) = (work(10), work(100_000));
    println!(
        "allocations and bytes of a change: {few:?} among 10, {many:?} among 100,000 operations"
    );
    // Persistent maps copy the path to the changed leaf: a few nodes of at most 32 children, three levels deeper for 10,000 times as
    // many. A copy of anything that grows with the number of operations would be thousands of times as much.
    assert!(many.0 <= few.0 + 30, "{few:?} {many:?}");
    assert!(many.1 <= few.1 + 24 * 1024, "{few:?} {many:?}");
}
