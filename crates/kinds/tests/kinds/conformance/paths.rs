//! What a path may look like, what is missing on it, and what a refused write leaves.

use super::{below_roots, collection, name};
use crate::world::{World, body};
use engine::{FieldAccess, Kind, Method, NameRule, Value, json};

/// The same path with every type segment in capitals; names stay.
fn shouted(item: &str) -> String {
    let mut out = String::new();
    for (at, segment) in item.split('/').skip(1).enumerate() {
        out.push('/');
        if at % 2 == 0 {
            out.push_str(&segment.to_uppercase());
        } else {
            out.push_str(segment);
        }
    }
    out
}

#[tokio::test]
async fn type_segments_match_in_any_case_and_are_printed_in_theirs() {
    let world = World::new().await;
    for (kind, item) in below_roots(&world).await {
        let put = world
            .send(
                Method::Put,
                &shouted(&item),
                Some("*"),
                body(kind.example()),
            )
            .await;
        assert!(matches!(put.status, 200 | 201), "{item}: {}", put.body);
        if kind.facts().verbs.get {
            assert_eq!(
                world.get(&shouted(&item)).await.expect(200),
                world.get(&item).await.expect(200),
                "{item}"
            );
        }
    }
}

/// Names that break a kind's rule.
fn bad_names(kind: &dyn Kind) -> Vec<String> {
    match kind.facts().name {
        NameRule::Id { max, .. } => vec!["a".repeat(max + 1), "a*b".into(), "a<b>".into()],
        NameRule::Fixed(_) => vec!["unlisted".into()],
        NameRule::Email => vec!["nobody".into()],
        NameRule::Label { max } => vec!["a".repeat(max + 1), "-a".into(), "a_b".into()],
    }
}

#[tokio::test]
async fn a_name_against_its_rule_is_refused_under_the_parameters_name() {
    let world = World::new().await;
    for (kind, _) in below_roots(&world).await {
        let facts = kind.facts();
        if !facts.verbs.create {
            continue;
        }
        for bad in bad_names(kind) {
            let item = format!("{}/{bad}", collection(kind));
            let put = world
                .send(Method::Put, &item, None, body(kind.example()))
                .await;
            assert_eq!(put.targets(), [facts.parameter], "{item}");
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_said_by_its_own_noun() {
    let world = World::new().await;
    for (kind, item) in below_roots(&world).await {
        let facts = kind.facts();
        let parents = kind.parents();
        for (at, parent) in parents.iter().enumerate().skip(1) {
            let mut pieces: Vec<&str> = item.split('/').collect();
            pieces[at * 2] = "absent";
            let below = pieces.join("/");
            let list = pieces[..pieces.len() - 1].join("/");
            let wanted = format!("{} not found.", parent.facts().noun);
            let mut answers = vec![
                world
                    .send(Method::Put, &below, Some("*"), body(kind.example()))
                    .await,
            ];
            if facts.verbs.get {
                answers.push(world.get(&below).await);
            }
            if facts.verbs.list {
                answers.push(world.get(&list).await);
            }
            for answer in answers {
                let error = answer.expect(404);
                assert_eq!(error["error"]["code"], "ResourceNotFound", "{below}");
                assert_eq!(error["error"]["message"], wanted, "{below}");
            }
            world.head(&below).await.expect(404);
        }
        if matches!(facts.name, NameRule::Id { .. }) && facts.verbs.get {
            let absent = format!("{}/absent", collection(kind));
            let wanted = json!({"error": {
                "code": "ResourceNotFound", "message": format!("{} not found.", facts.noun), "details": null
            }});
            assert_eq!(world.get(&absent).await.expect(404), wanted, "{absent}");
            world.head(&absent).await.expect(404);
            if facts.verbs.patch {
                assert_eq!(
                    world.patch(&absent, json!({})).await.expect(404),
                    wanted,
                    "{absent}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_refused_write_changes_nothing() {
    let world = World::new().await;
    for (kind, item) in below_roots(&world).await {
        if !kind.facts().verbs.get || kind.facts().open.is_some() {
            continue;
        }
        let state = async || {
            let head = world.head(&item).await;
            (head.status, head.header("ETag").map(str::to_owned))
        };
        let mut wrong = kind.example();
        wrong["nonsense"] = json!(1);
        let before = state().await;
        world
            .send(Method::Put, &item, Some("*"), body(wrong.clone()))
            .await
            .expect(400);
        assert_eq!(state().await, before, "{item}");
        world
            .send(Method::Put, &item, Some("*"), body(kind.example()))
            .await;
        let written = state().await;
        assert_eq!(written.0, 200, "{item}");
        world
            .send(Method::Put, &item, Some("*"), body(wrong))
            .await
            .expect(400);
        if kind.facts().verbs.patch {
            world.patch(&item, json!({"nonsense": 1})).await.expect(400);
        }
        assert_eq!(state().await, written, "{item}");
    }
}

#[tokio::test]
async fn a_patch_changes_the_field_that_it_names_and_the_etag() {
    let world = World::new().await;
    let mut patched = 0;
    for (kind, item) in below_roots(&world).await {
        let facts = kind.facts();
        let example = kind.example();
        let field = facts.fields.iter().find(|field| {
            field.access == FieldAccess::ReadWrite
                && matches!(field.wire, "description" | "displayName" | "title")
                && example[field.wire].is_string()
        });
        let (true, Some(field)) = (facts.verbs.patch, field) else {
            continue;
        };
        world
            .send(Method::Put, &item, Some("*"), body(example))
            .await;
        let before = world.get(&item).await;
        let etag = before.header("ETag").expect("an ETag").to_owned();
        let mut wanted = before.expect(200);
        let answer = world
            .send(
                Method::Patch,
                &item,
                Some(&etag),
                body(json!({field.wire: "changed"})),
            )
            .await;
        assert_ne!(answer.header("ETag"), Some(etag.as_str()), "{item}");
        wanted["properties"][field.wire] = json!("changed");
        assert_eq!(answer.expect(200), wanted, "{item}");
        assert_eq!(world.get(&item).await.expect(200), wanted, "{item}");
        patched += 1;
    }
    assert!(patched > 8, "only {patched} kinds were patched");
}

#[tokio::test]
async fn read_only_fields_of_a_body_are_ignored() {
    let world = World::new().await;
    for (kind, item) in below_roots(&world).await {
        let facts = kind.facts();
        if !facts.verbs.get {
            continue;
        }
        world
            .send(Method::Put, &item, Some("*"), body(kind.example()))
            .await;
        let before = world.get(&item).await.expect(200);
        let mut properties = kind.example();
        for field in facts.fields {
            if field.access == FieldAccess::ReadOnly && !field.top_level {
                properties[field.wire] = json!("made up");
            }
        }
        let put = world
            .send(Method::Put, &item, Some("*"), body(properties))
            .await
            .expect(facts.replaced);
        assert_eq!(put, before, "{item}");
    }
}

#[tokio::test]
async fn no_kinds_secret_is_in_a_reply() {
    let world = World::new().await;
    let marker = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
    let mut secrets = Vec::new();
    for (kind, item) in below_roots(&world).await {
        let mut properties = kind.example();
        let mut fields: Vec<&str> = kind
            .facts()
            .fields
            .iter()
            .filter(|field| field.access == FieldAccess::Secret)
            .map(|field| field.wire)
            .collect();
        fields.retain(|field| properties[*field].is_string() || properties[*field].is_null());
        if fields.is_empty() {
            continue;
        }
        for field in &fields {
            // Two secrets of one resource are not the same.
            properties[*field] = json!(format!("{marker}{field}"));
        }
        if kind.facts().segment == "namedValues" {
            properties["secret"] = json!(true);
        }
        let put = world
            .send(Method::Put, &item, Some("*"), body(properties))
            .await;
        assert!(matches!(put.status, 200 | 201), "{item}: {}", put.body);
        let mut replies = vec![put.body, world.get(&collection(kind)).await.expect(200)];
        if kind.facts().verbs.get {
            replies.push(world.get(&item).await.expect(200));
        }
        for reply in replies {
            assert!(!reply.to_string().contains(marker), "{item}: {reply}");
        }
        secrets.push(kind.facts().table);
    }
    assert!(secrets.len() >= 3, "kinds with secrets: {secrets:?}");
}

/// A target of a link that exists and is not linked yet.
async fn target(world: &World, kind: &dyn Kind) -> String {
    let list = collection(kind);
    let item = format!("{list}/linked");
    let mut properties = kind.example();
    for (field, value) in [
        ("displayName", json!("Linked")),
        ("path", json!("linked")),
        ("email", json!("linked@example.org")),
    ] {
        if !properties[field].is_null() {
            properties[field] = value;
        }
    }
    world
        .send(Method::Put, &item, None, body(properties))
        .await
        .expect(201);
    assert_eq!(name(kind), "sample", "{list} has free names");
    item
}

#[tokio::test]
async fn a_link_is_made_once_seen_and_removed_once() {
    let world = World::new().await;
    // Makes the parents that no new service has.
    below_roots(&world).await;
    let links = world.engine.registry.links().to_vec();
    let mut made = Vec::new();
    for link in links.iter().filter(|link| link.writable) {
        let kind = link.target;
        let item = target(&world, kind).await;
        let parent = match link.parent.facts().segment {
            "groups" => {
                let group = "/groups/linking".to_owned();
                world
                    .send(
                        Method::Put,
                        &group,
                        Some("*"),
                        body(json!({"displayName": "Linking"})),
                    )
                    .await;
                group
            }
            segment => format!(
                "{}/{}",
                collection(link.parent),
                super::parent_name(segment)
            ),
        };
        let one = format!("{parent}/{}/linked", link.segment);
        let list = format!("{parent}/{}", link.segment);
        let shown = world.get(&item).await.expect(200);

        world.head(&one).await.expect(404);
        let put = world.send(Method::Put, &one, None, Value::Null).await;
        assert_eq!(put.expect(201)["id"], shown["id"], "{one} shows its target");
        let again = world.send(Method::Put, &one, None, Value::Null).await;
        assert_eq!(again.expect(200)["id"], shown["id"], "{one}");
        let head = world.head(&one).await;
        assert_eq!(head.status, if link.readable { 200 } else { 204 }, "{one}");
        assert!(
            world.names(&list).await.contains(&"linked".to_owned()),
            "{list}"
        );
        world.delete(&one).await.expect(200);
        world.head(&one).await.expect(404);
        world.delete(&one).await.expect(204);
        assert!(
            !world.names(&list).await.contains(&"linked".to_owned()),
            "{list}"
        );

        let absent = format!("{parent}/{}/absent", link.segment);
        let missing = world.send(Method::Put, &absent, None, Value::Null).await;
        assert_eq!(
            missing.expect(404)["error"]["message"],
            format!("{} not found.", kind.facts().noun),
            "{absent}"
        );
        world.delete(&absent).await.expect(204);
        world.delete(&item).await;
        made.push(link.title);
    }
    assert_eq!(
        made,
        [
            "GatewayApi",
            "ApiTag",
            "OperationTag",
            "ProductTag",
            "ProductApi",
            "ProductGroup",
            "GroupUser"
        ]
    );
}
