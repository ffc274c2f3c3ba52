//! From changes to what a request finds.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use policy::{Format, StepKind};
use snapshot::entity::{
    Api, Fragment, NamedValue, Operation, Policy, PolicyScope, Product, Service, Subscription,
    SubscriptionScope, SubscriptionState, Version, VersionScheme,
};
use snapshot::{Change, Denied, Entity, Kind, Position, Snapshot};
use std::sync::Arc;
use uuid::Uuid;

const SERVICE: Uuid = Uuid::from_u128(1);

fn id(id: u128) -> Uuid {
    Uuid::from_u128(id)
}

fn put(entity: impl Into<Entity>) -> Change {
    Change::Put(entity.into())
}

fn service(id: Uuid, hosts: &[&str]) -> Service {
    Service {
        id,
        name: format!("s{id}"),
        hostnames: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..Service::default()
    }
}

fn api(number: u128, path: &str) -> Api {
    Api {
        id: id(number),
        service_id: SERVICE,
        name: format!("api{number}"),
        path: path.to_owned(),
        subscription_required: true,
        revision: "1".to_owned(),
        is_current: true,
        ..Api::default()
    }
}

fn operation(number: u128, api: u128, template: &str) -> Operation {
    Operation {
        id: id(number),
        api_id: id(api),
        service_id: SERVICE,
        method: "GET".to_owned(),
        url_template: template.to_owned(),
        ..Operation::default()
    }
}

fn policy(number: u128, scope: PolicyScope, inbound: &str) -> Policy {
    Policy {
        id: id(number),
        service_id: SERVICE,
        scope,
        xml: format!(
            "<policies><inbound>{inbound}</inbound><backend><base /></backend><outbound><base /></outbound></policies>"
        ),
        format: Format::RawXml,
    }
}

fn value(number: u128, name: &str, value: &str) -> NamedValue {
    NamedValue {
        id: id(number),
        service_id: SERVICE,
        display_name: name.to_owned(),
        value: value.to_owned(),
        secret: false,
    }
}

/// Id of the API that a path leads to, and the rest of the path.
fn route(
    snapshot: &Snapshot,
    path: &str,
    said: &[(VersionScheme, &str)],
) -> Option<(u128, String)> {
    let service = snapshot.service("gateway.example").unwrap();
    let mut look = |scheme: &VersionScheme| {
        let known = said.iter().find(|(known, _)| known == scheme);
        known.map(|(_, name)| (*name).to_owned())
    };
    let found = service.api(path, &mut look)?;
    Some((
        found.api.id.as_u128(),
        path[found.prefix_bytes..].to_owned(),
    ))
}

fn with(changes: impl IntoIterator<Item = Change>) -> Snapshot {
    Snapshot::default()
        .apply([put(service(SERVICE, &["gateway.example"]))])
        .apply(changes)
}

#[test]
fn a_service_is_found_by_host_with_and_without_port_and_loses_hosts_it_gives_up() {
    let snapshot = Snapshot::default().apply([
        put(service(id(1), &["A.example", "127.0.0.1:81"])),
        put(service(id(2), &["b.example", "127.0.0.1:82", "[::1]"])),
    ]);
    let find = |snapshot: &Snapshot, host: &str| {
        snapshot
            .service(host)
            .map(|state| state.service().unwrap().id.as_u128())
    };
    assert_eq!(find(&snapshot, "a.EXAMPLE:8080"), Some(1));
    assert_eq!(find(&snapshot, "127.0.0.1:82"), Some(2));
    assert_eq!(find(&snapshot, "127.0.0.1:83"), None);
    assert_eq!(find(&snapshot, "[::1]:80"), Some(2));
    let next = snapshot.apply([
        put(service(id(1), &["c.example"])),
        Change::Remove {
            kind: Kind::Service,
            id: id(2),
        },
    ]);
    assert_eq!(find(&next, "a.example"), None);
    assert_eq!(find(&next, "c.example"), Some(1));
    assert_eq!(find(&next, "b.example"), None);
    assert_eq!(find(&snapshot, "b.example"), Some(2));
}

#[test]
fn the_longest_path_of_whole_segments_wins() {
    let snapshot = with([
        put(api(10, "a")),
        put(api(11, "a/b")),
        put(api(12, "")),
        put(api(13, "Ab")),
    ]);
    let cases = [
        ("/a/b/c", 11, "/c"),
        ("/A/B", 11, ""),
        ("/a/bc", 10, "/bc"),
        ("/a", 10, ""),
        ("/a/", 10, "/"),
        ("/ab/x", 13, "/x"),
        ("/zzz", 12, "/zzz"),
        ("/", 12, "/"),
    ];
    for (path, api, rest) in cases {
        assert_eq!(
            route(&snapshot, path, &[]),
            Some((api, rest.to_owned())),
            "{path}"
        );
    }
    let moved = snapshot.apply([
        put(api(11, "q")),
        Change::Remove {
            kind: Kind::Api,
            id: id(12),
        },
    ]);
    assert_eq!(route(&moved, "/a/b/c", &[]), Some((10, "/b/c".to_owned())));
    assert_eq!(route(&moved, "/q/b", &[]), Some((11, "/b".to_owned())));
    assert_eq!(route(&moved, "/zzz", &[]), None);
}

#[test]
fn versions_are_told_by_path_header_or_query() {
    let version = |scheme: &VersionScheme, name: &str| {
        Some(Version {
            scheme: scheme.clone(),
            name: name.to_owned(),
        })
    };
    let (segment, header) = (
        VersionScheme::Segment,
        VersionScheme::Header("api-version".to_owned()),
    );
    let of = |number, path: &str, scheme: &VersionScheme, name: &str| Api {
        version: version(scheme, name),
        ..api(number, path)
    };
    let snapshot = with([
        put(of(10, "a", &segment, "")),
        put(of(11, "a", &segment, "v2")),
        put(of(20, "h", &header, "")),
        put(of(21, "h", &header, "v2")),
    ]);
    assert_eq!(route(&snapshot, "/a/x", &[]), Some((10, "/x".to_owned())));
    assert_eq!(
        route(&snapshot, "/a/V2/x", &[]),
        Some((11, "/x".to_owned()))
    );
    assert_eq!(route(&snapshot, "/h/x", &[]), Some((20, "/x".to_owned())));
    assert_eq!(
        route(&snapshot, "/h/x", &[(header.clone(), "v2")]),
        Some((21, "/x".to_owned()))
    );
    assert_eq!(route(&snapshot, "/h/x", &[(header, "v3")]), None);
}

#[test]
fn a_revision_is_reached_by_its_number_only() {
    let second = Api {
        root_id: id(10),
        revision: "2".to_owned(),
        is_current: false,
        ..api(11, "a")
    };
    let snapshot = with([put(api(10, "a")), put(second)]);
    assert_eq!(route(&snapshot, "/a/x", &[]), Some((10, "/x".to_owned())));
    assert_eq!(
        route(&snapshot, "/a;rev=2/x", &[]),
        Some((11, "/x".to_owned()))
    );
    assert_eq!(
        route(&snapshot, "/a;rev=1/x", &[]),
        Some((10, "/x".to_owned()))
    );
    assert_eq!(route(&snapshot, "/a;rev=3/x", &[]), None);
    assert_eq!(route(&snapshot, "/a/b;rev=2/x", &[]), None);
}

#[test]
fn children_may_come_before_their_parents() {
    let early = Snapshot::default().apply([put(operation(30, 10, "/x")), put(api(10, "a"))]);
    assert!(early.service("gateway.example").is_none());
    let snapshot = early.apply([put(service(SERVICE, &["gateway.example"]))]);
    let service = snapshot.service("gateway.example").unwrap();
    let found = service.api("/a/x", &mut |_| None).unwrap();
    let operation = found.state.operation("GET", "/x", "").unwrap();
    assert_eq!(operation.value.operation.id, id(30));
}

#[test]
fn what_is_below_a_removed_api_is_gone_too() {
    let snapshot = with([
        put(api(10, "a")),
        put(operation(30, 10, "/x")),
        put(policy(50, PolicyScope::Api(id(10)), "")),
    ]);
    assert_eq!(snapshot.len(), 4);
    let next = snapshot.apply([Change::Remove {
        kind: Kind::Api,
        id: id(10),
    }]);
    assert_eq!(next.len(), 1);
    assert_eq!(
        snapshot
            .apply([Change::Remove {
                kind: Kind::Service,
                id: SERVICE
            }])
            .len(),
        0
    );
}

#[test]
fn a_change_shares_everything_else() {
    let snapshot = with([
        put(api(10, "a")),
        put(api(11, "b")),
        put(operation(30, 10, "/x")),
    ]);
    let next = snapshot.apply([put(operation(31, 10, "/y"))]);
    let state = |snapshot: &Snapshot, api| {
        Arc::clone(
            snapshot
                .service("gateway.example")
                .unwrap()
                .api_state(id(api))
                .unwrap(),
        )
    };
    assert!(Arc::ptr_eq(&state(&snapshot, 11), &state(&next, 11)));
    let find = |snapshot: &Snapshot| {
        Arc::clone(
            state(snapshot, 10)
                .operation("GET", "/x", "")
                .unwrap()
                .value,
        )
    };
    assert!(Arc::ptr_eq(&find(&snapshot), &find(&next)));
    assert!(state(&snapshot, 10).operation("GET", "/y", "").is_none());
}

#[test]
fn a_snapshot_survives_json() {
    let snapshot = with([
        put(api(10, "a")),
        put(operation(30, 10, "/x")),
        put(policy(50, PolicyScope::Api(id(10)), "<base />")),
        put(value(60, "n", "v")),
    ])
    .at_revision(7);
    let text = serde_json::to_string(&snapshot).unwrap();
    let read: Snapshot = serde_json::from_str(&text).unwrap();
    let sorted = |snapshot: &Snapshot| {
        let mut entities = snapshot.entities();
        entities.sort_by_key(Entity::id);
        entities
    };
    assert_eq!((read.revision(), sorted(&read)), (7, sorted(&snapshot)));
}

fn subscription(number: u128, scope: SubscriptionScope) -> Subscription {
    let digest = |key: u8| [u8::try_from(number).unwrap() ^ (key << 7); 32];
    Subscription {
        id: id(number),
        service_id: SERVICE,
        state: SubscriptionState::Active,
        scope,
        primary_digest: digest(0),
        secondary_digest: digest(1),
        ..Subscription::default()
    }
}

#[test]
fn a_key_opens_what_its_subscription_covers() {
    let product = |number, open: bool, apis: &[u128]| Product {
        id: id(number),
        service_id: SERVICE,
        subscription_required: !open,
        is_published: true,
        api_ids: apis.iter().map(|api| id(*api)).collect(),
        ..Product::default()
    };
    let free = Api {
        subscription_required: false,
        ..api(13, "free")
    };
    let mut suspended = subscription(45, SubscriptionScope::All);
    suspended.state = SubscriptionState::Suspended;
    let snapshot = with([
        put(api(10, "a")),
        put(api(11, "b")),
        put(api(12, "open")),
        put(free),
        put(product(20, false, &[10])),
        put(product(21, true, &[12])),
        put(subscription(40, SubscriptionScope::All)),
        put(subscription(41, SubscriptionScope::Product(id(20)))),
        put(subscription(42, SubscriptionScope::Api(id(11)))),
        put(suspended),
    ]);
    let service = snapshot.service("gateway.example").unwrap();
    let access = |api: u128, key: Option<u8>| {
        let state = service.api_state(id(api)).unwrap();
        let access = service.access(state.api().unwrap(), key.map(|key| [key; 32]).as_ref())?;
        Ok((
            access
                .subscription
                .map(|subscription| subscription.id.as_u128()),
            access.product.map(|product| product.id.as_u128()),
        ))
    };
    assert_eq!(access(10, Some(40)), Ok((Some(40), None)));
    assert_eq!(access(10, Some(40 ^ 128)), Ok((Some(40), None)));
    assert_eq!(access(10, Some(41)), Ok((Some(41), Some(20))));
    assert_eq!(access(11, Some(41)), Err(Denied::Invalid));
    assert_eq!(access(11, Some(42)), Ok((Some(42), None)));
    assert_eq!(access(10, Some(42)), Err(Denied::Invalid));
    assert_eq!(access(10, Some(45)), Err(Denied::Invalid));
    assert_eq!(access(10, Some(99)), Err(Denied::Invalid));
    assert_eq!(access(10, None), Err(Denied::Missing));
    // An open product makes keys irrelevant, an API without need of one does not.
    assert_eq!(access(12, None), Ok((None, Some(21))));
    assert_eq!(access(12, Some(99)), Ok((None, Some(21))));
    assert_eq!(access(13, None), Ok((None, None)));
    assert_eq!(access(13, Some(99)), Err(Denied::Invalid));

    let renewed = snapshot.apply([
        Change::Remove {
            kind: Kind::Subscription,
            id: id(40),
        },
        put(Product {
            subscription_required: true,
            ..product(21, true, &[12])
        }),
    ]);
    let service = renewed.service("gateway.example").unwrap();
    let state = service.api_state(id(12)).unwrap();
    assert_eq!(
        service.access(state.api().unwrap(), None).unwrap_err(),
        Denied::Missing
    );
    assert_eq!(
        service
            .access(state.api().unwrap(), Some(&[40; 32]))
            .unwrap_err(),
        Denied::Invalid
    );
}

/// Names of the variables that the inbound section sets.
fn variables(snapshot: &Snapshot, product: Option<u128>, operation: u128) -> Vec<String> {
    let service = snapshot.service("gateway.example").unwrap();
    let effective = service
        .effective(product.map(id), id(10), id(operation))
        .unwrap();
    effective
        .document
        .inbound
        .iter()
        .map(|step| match &step.kind {
            StepKind::SetVariable(variable) => {
                format!("{}={}", variable.name, variable.value.literal().unwrap())
            }
            other => other.element().to_owned(),
        })
        .collect()
}

fn set(name: &str, value: &str) -> String {
    format!("<set-variable name=\"{name}\" value=\"{value}\" />")
}

#[test]
fn policies_of_all_scopes_combine_and_a_change_of_one_is_seen_at_once() {
    let snapshot = with([
        put(api(10, "a")),
        put(operation(30, 10, "/x")),
        put(operation(31, 10, "/y")),
        put(policy(50, PolicyScope::Global, &set("g", "1"))),
        put(policy(
            51,
            PolicyScope::Product(id(20)),
            &format!("{}<base />", set("p", "1")),
        )),
        put(policy(
            52,
            PolicyScope::Api(id(10)),
            &format!("<base />{}", set("a", "{{n}}")),
        )),
        put(policy(
            53,
            PolicyScope::Operation(id(30)),
            &format!(
                "{}<base /><include-fragment fragment-id=\"f\" />",
                set("o", "1")
            ),
        )),
        put(value(60, "n", "one")),
        put(Fragment {
            id: id(61),
            service_id: SERVICE,
            name: "f".to_owned(),
            xml: format!("<fragment>{}</fragment>", set("f", "{{n}}")),
            format: Format::RawXml,
        }),
    ]);
    assert_eq!(
        variables(&snapshot, Some(20), 30),
        ["o=1", "p=1", "g=1", "a=one", "f=one"]
    );
    assert_eq!(variables(&snapshot, None, 31), ["g=1", "a=one"]);
    let renamed = snapshot.apply([put(value(60, "n", "two"))]);
    assert_eq!(
        variables(&renamed, Some(20), 30),
        ["o=1", "p=1", "g=1", "a=two", "f=two"]
    );
    assert_eq!(
        variables(&snapshot, Some(20), 30),
        ["o=1", "p=1", "g=1", "a=one", "f=one"]
    );
    let replaced = renamed.apply([put(policy(50, PolicyScope::Global, &set("g", "2")))]);
    assert_eq!(
        variables(&replaced, Some(20), 30),
        ["o=1", "p=1", "g=2", "a=two", "f=two"]
    );
    let removed = replaced.apply([Change::Remove {
        kind: Kind::Policy,
        id: id(53),
    }]);
    assert_eq!(variables(&removed, Some(20), 30), ["p=1", "g=2", "a=two"]);
}

#[test]
fn effective_policies_are_compiled_once_and_shared_by_operations_without_their_own() {
    let snapshot = with([
        put(api(10, "a")),
        put(operation(30, 10, "/x")),
        put(operation(31, 10, "/y")),
        put(policy(52, PolicyScope::Api(id(10)), &set("a", "1"))),
    ]);
    let effective = |snapshot: &Snapshot, operation| {
        snapshot
            .service("gateway.example")
            .unwrap()
            .effective(None, id(10), id(operation))
            .unwrap()
    };
    let first = effective(&snapshot, 30);
    assert!(Arc::ptr_eq(&first, &effective(&snapshot, 31)));
    let unrelated = snapshot.apply([put(api(11, "b")), put(value(60, "n", "v"))]);
    assert!(Arc::ptr_eq(&first, &effective(&unrelated, 30)));
}

#[test]
fn steps_know_the_scope_and_line_that_they_come_from() {
    let snapshot = with([
        put(policy(
            50,
            PolicyScope::Global,
            &format!("\n{}{}", set("g", "1"), set("h", "1")),
        )),
        put(policy(
            52,
            PolicyScope::Api(id(10)),
            &format!("<base />\n\n{}", set("a", "1")),
        )),
    ]);
    let service = snapshot.service("gateway.example").unwrap();
    let effective = service.effective(None, id(10), id(30)).unwrap();
    let positions: Vec<_> = effective
        .document
        .inbound
        .iter()
        .map(Position::of)
        .map(|position| (position.scope, position.line, position.ordinal))
        .collect();
    assert_eq!(
        positions,
        [
            (policy::Scope::Global, 2, 0),
            (policy::Scope::Global, 2, 1),
            (policy::Scope::Api, 3, 0)
        ]
    );
}

#[test]
fn a_document_that_lost_its_named_value_is_an_error_that_says_so() {
    let snapshot = with([put(policy(50, PolicyScope::Global, &set("g", "{{gone}}")))]);
    let service = snapshot.service("gateway.example").unwrap();
    let error = service.effective(None, id(10), id(30)).unwrap_err();
    assert!(
        error.message.contains("Cannot find a property 'gone'."),
        "{error}"
    );
}
