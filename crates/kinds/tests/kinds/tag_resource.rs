//! `apisByTags`, `productsByTags`, `operationsByTags`, `tagResources`, and `revisions`

use crate::world::{World, body};
use engine::{Value, json};

/// A service whose API, operation and product have tags: `ml` all three, `old` the operation only.
async fn tagged() -> World {
    let world = World::new().await;
    for tag in ["ml", "old"] {
        let named = json!({"displayName": format!("The {tag}")});
        world
            .put(&format!("/tags/{tag}"), body(named))
            .await
            .expect(201);
    }
    world
        .put("/apis/other", body(json!({"path": "other"})))
        .await
        .expect(201);
    let operation = "/apis/echo-api/operations/create-resource";
    for item in [
        "/apis/echo-api/tags/ml".to_owned(),
        "/products/starter/tags/ml".to_owned(),
        format!("{operation}/tags/ml"),
        format!("{operation}/tags/old"),
    ] {
        world.put(&item, Value::Null).await.expect(201);
    }
    world
}

/// Tag and resource of each item; follows pages of one and compares them with the whole.
async fn pairs(world: &World, list: &str) -> Vec<(String, String)> {
    let pair = |item: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = ["api", "operation", "product"]
            .into_iter()
            .find(|kind| item.get(kind).is_some())
            .expect("a resource");
        (text(&item["tag"]["id"]), text(&item[resource]["id"]))
    };
    let whole = world.get(list).await.expect(200);
    let all: Vec<_> = whole["value"]
        .as_array()
        .expect("items")
        .iter()
        .map(pair)
        .collect();
    assert_eq!(whole["count"], all.len(), "{list}");
    let mark = if list.contains('?') { '&' } else { '?' };
    let mut next = Some(format!("{list}{mark}$top=1"));
    let mut paged = Vec::new();
    while let Some(target) = next {
        let page = world.get(&target).await.expect(200);
        assert_eq!(page["count"], all.len(), "{target}");
        paged.extend(page["value"].as_array().expect("items").iter().map(pair));
        assert!(
            paged.len() <= all.len(),
            "{target} repeats items: {paged:?}"
        );
        next = page["nextLink"].as_str().map(|link| {
            link.strip_prefix("http://127.0.0.1:8080")
                .expect("an absolute link")
                .to_owned()
        });
    }
    assert_eq!(paged, all, "{list}");
    all
}

fn pair(tag: &str, resource: &str) -> (String, String) {
    (tag.to_owned(), resource.to_owned())
}

const ECHO: &str = "/apis/echo-api";
const CREATE: &str = "/apis/echo-api/operations/create-resource";

#[tokio::test]
async fn tagged_resources_are_listed_by_tag_and_those_without_one_at_the_end() {
    let world = tagged().await;
    assert_eq!(pairs(&world, "/apisByTags").await, [pair("/tags/ml", ECHO)]);
    assert_eq!(
        pairs(&world, "/apisByTags?includeNotTaggedApis=true").await,
        [pair("/tags/ml", ECHO), pair("", "/apis/other")]
    );
    assert_eq!(
        pairs(&world, "/productsByTags?includeNotTaggedProducts=true").await,
        [
            pair("/tags/ml", "/products/starter"),
            pair("", "/products/unlimited")
        ]
    );
    assert_eq!(
        pairs(&world, "/apis/echo-api/operationsByTags").await,
        [pair("/tags/ml", CREATE), pair("/tags/old", CREATE)]
    );
    let all = pairs(
        &world,
        "/apis/echo-api/operationsByTags?includeNotTaggedOperations=true",
    )
    .await;
    assert_eq!(all.len(), 7, "{all:?}");
    assert_eq!(pairs(&world, "/apis/other/operationsByTags").await, []);
    assert_eq!(
        pairs(&world, "/tagResources").await,
        [
            pair("/tags/ml", ECHO),
            pair("/tags/ml", CREATE),
            pair("/tags/ml", "/products/starter"),
            pair("/tags/old", CREATE)
        ]
    );
    for (list, switch) in [
        ("/apisByTags", "includeNotTaggedApis"),
        ("/productsByTags", "includeNotTaggedProducts"),
        (
            "/apis/echo-api/operationsByTags",
            "includeNotTaggedOperations",
        ),
    ] {
        let answer = world.get(&format!("{list}?{switch}=perhaps")).await;
        assert_eq!(answer.targets(), [switch]);
    }
    world.get("/apis/none/operationsByTags").await.expect(404);
}

#[tokio::test]
async fn an_item_says_what_people_see_of_tag_and_resource() {
    let world = tagged().await;
    let list = world
        .get("/tagResources?$filter=method eq 'POST'")
        .await
        .expect(200);
    assert_eq!(
        list["value"][0],
        json!({
            "tag": {"id": "/tags/ml", "name": "The ml"},
            "operation": {
                "id": CREATE, "name": "Create resource", "apiName": "Echo API", "apiRevision": "1", "method": "POST",
                "urlTemplate": "/resource", "description": list["value"][0]["operation"]["description"]
            }
        })
    );
    let list = world.get("/apisByTags").await.expect(200);
    assert_eq!(
        list["value"][0]["api"],
        json!({
            "id": ECHO, "name": "Echo API", "serviceUrl": "http://127.0.0.1:8080/echo", "path": "echo",
            "protocols": ["https"], "type": "http", "apiRevision": "1", "isCurrent": true, "isOnline": true,
            "subscriptionRequired": true
        })
    );
}

/// Every declared field of every listing splits it in two.
#[tokio::test]
async fn every_filter_of_every_listing_splits_it_in_two() {
    let world = tagged().await;
    for listing in world.engine.registry.listings() {
        let list = if listing.parent.parents().is_empty() {
            format!("/{}", listing.segment)
        } else {
            format!("/apis/echo-api/{}", listing.segment)
        };
        let count = async |filter: &str| {
            let body = world.get(&format!("{list}{filter}")).await.expect(200);
            body["count"].as_i64().expect("a count")
        };
        let all = count("").await;
        assert!(all > 0, "{list}");
        for filter in listing.filters {
            let field = filter.field;
            let conditions = match filter.kind {
                engine::FilterKind::Bool => vec![format!("{field} eq true")],
                engine::FilterKind::Equal => vec![format!("{field} eq 'published'")],
                engine::FilterKind::Text => vec![
                    format!("{field} ge 'e'"),
                    format!("contains({field},'o')"),
                    format!("startswith({field},'e')"),
                ],
                other => panic!("{list}: try a field of the kind {other:?}"),
            };
            for condition in conditions {
                let both = count(&format!("?$filter={condition}")).await
                    + count(&format!("?$filter=not ({condition})")).await;
                assert_eq!(both, all, "{list}: {condition}");
            }
        }
        let refused = world.get(&format!("{list}?$filter=colour eq 'x'")).await;
        assert_eq!(refused.targets(), ["$filter"], "{list}");
    }
}

#[tokio::test]
async fn the_revisions_of_an_api_are_listed_in_their_order() {
    let world = World::new().await;
    for number in [10, 2] {
        let copy = json!({"path": "echo", "sourceApiId": ECHO, "apiRevisionDescription": format!("No {number}")});
        world
            .put(&format!("/apis/echo-api;rev={number}"), body(copy))
            .await
            .expect(201);
    }
    let list = world.get("/apis/echo-api/revisions").await.expect(200);
    let at = |number: u32| format!("/apis/echo-api;rev={number}");
    assert_eq!(list["count"], 3);
    let ids: Vec<&Value> = list["value"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["apiId"])
        .collect();
    assert_eq!(ids, [&json!(at(1)), &json!(at(2)), &json!(at(10))]);
    assert_eq!(
        list["value"][1],
        json!({
            "apiId": at(2), "apiRevision": "2", "createdDateTime": "2027-01-15T08:00:00.000Z",
            "updatedDateTime": "2027-01-15T08:00:00.000Z", "description": "No 2", "privateUrl": "/echo;rev=2",
            "isOnline": true, "isCurrent": false
        })
    );
    let two = world
        .get("/apis/echo-api;rev=10/revisions?$filter=apiRevision eq '2'")
        .await
        .expect(200);
    assert_eq!(two["count"], 1);
    let first = world
        .get("/apis/echo-api/revisions?$top=2")
        .await
        .expect(200);
    let next = first["nextLink"]
        .as_str()
        .expect("a link")
        .replace("http://127.0.0.1:8080", "");
    let rest = world.get(&next).await.expect(200);
    assert_eq!(rest["value"][0]["apiId"], at(10));
}
