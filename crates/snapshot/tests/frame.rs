//! What a gateway apart accepts, and what it is told.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;
use snapshot::entity::{
    Api, Cache, Diagnostic, Gateway, Kind, NamedValue, Operation, Policy, PolicyScope, Product,
    Schema, Service, Subscription, TlsHost,
};
use snapshot::frame::{
    FrameError, FrameKind, Head, PublicKey, Receiver, SIGNED_HEAD_BYTES, Signer,
};
use snapshot::{Change, Entity, Snapshot, View};
use uuid::Uuid;

const GATEWAY: Uuid = Uuid::from_u128(7);

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn public(key: &Ed25519KeyPair) -> PublicKey {
    PublicKey(key.public_key().as_ref().try_into().unwrap())
}

fn signer(key: &Ed25519KeyPair) -> Signer<'_> {
    Signer {
        key,
        gateway: GATEWAY,
        now_ms: 1_700_000_000_000,
    }
}

fn value(text: &str) -> Entity {
    NamedValue {
        id: Uuid::from_u128(9),
        service_id: Uuid::from_u128(1),
        display_name: "name".to_owned(),
        value: text.to_owned(),
        secret: true,
    }
    .into()
}

#[test]
fn frames_are_taken_in_order_and_lead_to_the_same_configuration() {
    let key = key(1);
    let mut receiver = Receiver::new(public(&key), GATEWAY);
    let whole = signer(&key).whole(5, &[value("one")]).unwrap();
    assert_eq!(
        receiver.frame_bytes(&whole[..100]),
        Ok(None),
        "a head first"
    );
    assert_eq!(receiver.frame_bytes(&whole), Ok(Some(whole.len())));
    let head = receiver.take(&whole).unwrap();
    assert_eq!(
        (head.kind, head.base, head.revision),
        (FrameKind::Whole, 0, 5)
    );
    let next = signer(&key)
        .difference(5, 8, &[Change::Put(value("two"))])
        .unwrap();
    receiver.take(&next).unwrap();
    receiver.take(&signer(&key).alive(8)).unwrap();
    assert_eq!(
        (
            receiver.snapshot().revision(),
            receiver.snapshot().entities()
        ),
        (8, vec![value("two")])
    );
}

#[test]
fn what_is_not_right_is_refused_and_changes_nothing() {
    let (own, strange) = (key(1), key(2));
    let mut receiver = Receiver::new(public(&own), GATEWAY);
    let signer = signer(&own);
    let early = signer.difference(0, 5, &[]).unwrap();
    assert_eq!(
        receiver.take(&early),
        Err(FrameError::Gap {
            present: 0,
            base: 0
        }),
        "a difference to nothing"
    );
    let whole = signer.whole(5, &[value("one")]).unwrap();
    receiver.take(&whole).unwrap();

    let with = |at: usize, byte: u8| {
        let mut changed = whole.clone();
        changed[at] ^= byte;
        changed
    };
    let other_gateway = Signer {
        gateway: Uuid::from_u128(8),
        ..signer
    };
    let other_key = Signer {
        key: &strange,
        ..signer
    };
    let mut long = whole.clone();
    long.push(0);
    for (what, frame, error) in [
        (
            "another key",
            other_key.whole(6, &[]).unwrap(),
            FrameError::Signature,
        ),
        (
            "another gateway",
            other_gateway.whole(6, &[]).unwrap(),
            FrameError::OtherGateway,
        ),
        ("no frame", with(0, 1), FrameError::Magic),
        ("another format", with(9, 2), FrameError::Version(3)),
        ("a changed head", with(40, 1), FrameError::Signature),
        ("a changed signature", with(100, 1), FrameError::Signature),
        (
            "a changed body",
            with(whole.len() - 1, 1),
            FrameError::Digest,
        ),
        (
            "cut off in the body",
            whole[..whole.len() - 1].to_vec(),
            FrameError::Truncated,
        ),
        (
            "cut off in the head",
            whole[..50].to_vec(),
            FrameError::Truncated,
        ),
        ("nothing", Vec::new(), FrameError::Truncated),
        ("more than a frame", long, FrameError::Head),
        (
            "an older one",
            signer.whole(4, &[]).unwrap(),
            FrameError::Rollback {
                present: 5,
                offered: 4,
            },
        ),
        (
            "a difference backwards",
            signer.difference(5, 4, &[]).unwrap(),
            FrameError::Rollback {
                present: 5,
                offered: 4,
            },
        ),
        (
            "a difference to something else",
            signer.difference(6, 7, &[]).unwrap(),
            FrameError::Gap {
                present: 5,
                base: 6,
            },
        ),
    ] {
        assert_eq!(receiver.take(&frame), Err(error), "{what}");
    }
    assert_eq!(
        (
            receiver.snapshot().revision(),
            receiver.snapshot().entities()
        ),
        (5, vec![value("one")])
    );
}

#[test]
fn a_signed_head_alone_proves_a_revision() {
    let key = key(1);
    let frame = signer(&key).whole(5, &[value("one")]).unwrap();
    let head = Head::verified(&frame[..SIGNED_HEAD_BYTES], &public(&key)).unwrap();
    assert_eq!(
        (head.gateway, head.revision, head.frame_bytes()),
        (GATEWAY, 5, frame.len())
    );
}

/// Entities of two services with few ids, so that changes meet.
fn entity() -> impl Strategy<Value = Entity> {
    let service = |n: u128| Uuid::from_u128(1 + n % 2);
    let api = |n: u128| Uuid::from_u128(10 + n % 4);
    (0..12_u8, 0..12_u128, 0..4_u128).prop_map(move |(kind, n, version)| {
        let service_id = service(n);
        let api_id = api(n);
        let text = format!("{n}-{version}");
        match kind {
            0 => Service {
                id: service_id,
                name: text,
                ..Service::default()
            }
            .into(),
            1 => Api {
                id: api_id,
                service_id: service(n % 4),
                name: text,
                ..Api::default()
            }
            .into(),
            2 | 3 => Operation {
                id: Uuid::from_u128(20 + n),
                api_id,
                service_id: service(n % 4),
                method: "GET".to_owned(),
                url_template: format!("/{text}"),
                ..Operation::default()
            }
            .into(),
            4 => Product {
                id: Uuid::from_u128(40 + n),
                service_id,
                name: text,
                ..Product::default()
            }
            .into(),
            5 => Subscription {
                id: Uuid::from_u128(60 + n),
                service_id,
                name: text,
                primary_digest: [u8::try_from(n).unwrap(); 32],
                secondary_digest: [u8::try_from(100 + n).unwrap(); 32],
                ..Subscription::default()
            }
            .into(),
            6 => Policy {
                id: Uuid::from_u128(80 + n),
                service_id: service(n % 4),
                scope: if n < 4 {
                    PolicyScope::Api(api_id)
                } else {
                    PolicyScope::Operation(Uuid::from_u128(20 + n))
                },
                xml: text,
                format: policy::Format::RawXml,
            }
            .into(),
            7 => Schema {
                id: Uuid::from_u128(100 + n),
                service_id: service(n % 4),
                api_id: (n < 6).then_some(api_id),
                name: format!("s{n}"),
                document: text,
                ..Schema::default()
            }
            .into(),
            8 => NamedValue {
                id: Uuid::from_u128(120 + n),
                service_id,
                display_name: format!("v{n}"),
                value: text,
                secret: false,
            }
            .into(),
            9 => Diagnostic {
                id: Uuid::from_u128(140 + n),
                service_id: service(n % 4),
                api_id: (n < 8).then_some(api_id),
                name: format!("d{}", n % 3),
                logger: text,
                ..Diagnostic::default()
            }
            .into(),
            10 => Cache {
                id: Uuid::from_u128(160 + n),
                service_id,
                name: format!("c{n}"),
                location: text,
                ..Cache::default()
            }
            .into(),
            _ => Gateway {
                tls_hosts: (0..version % 3)
                    .map(|host| TlsHost {
                        host: format!("host-{host}"),
                        certificate: Some(text.clone()),
                        ..TlsHost::default()
                    })
                    .collect(),
                authorities: (n % 2 == 0).then(|| vec![text.clone()]),
                id: GATEWAY,
                service_id: Uuid::from_u128(1),
                name: "plant".to_owned(),
                api_ids: (0..4)
                    .filter(|bit| version >> bit & 1 == 1 || n % 3 == *bit)
                    .map(api)
                    .collect(),
                ..Gateway::default()
            }
            .into(),
        }
    })
}

fn change() -> impl Strategy<Value = Change> {
    (entity(), 0..4_u8).prop_map(|(entity, removes)| {
        if removes == 0 && !matches!(entity.kind(), Kind::Service | Kind::Gateway) {
            Change::Remove {
                kind: entity.kind(),
                id: entity.id(),
            }
        } else {
            Change::Put(entity)
        }
    })
}

fn sorted(mut entities: Vec<Entity>) -> Vec<Entity> {
    entities.sort_by_key(|entity| (entity.kind(), entity.id()));
    entities
}

fn service() -> Change {
    Change::Put(
        Service {
            id: Uuid::from_u128(1),
            ..Service::default()
        }
        .into(),
    )
}

proptest! {
    /// However the changes come, a gateway that is told the differences has what one has that is told the whole.
    #[test]
    fn differences_lead_to_the_whole_view(rounds in prop::collection::vec(prop::collection::vec(change(), 1..6), 1..12)) {
        let view = View::of(GATEWAY);
        let mut snapshot = Snapshot::default().apply([service()]);
        let mut told = Snapshot::default().apply(view.entities(&snapshot).into_iter().map(Change::Put));
        for changes in rounds {
            let next = snapshot.apply(changes.clone());
            told = told.apply(view.changes(&snapshot, &next, &changes));
            prop_assert_eq!(sorted(told.entities()), sorted(view.entities(&next)));
            snapshot = next;
        }
    }
}
