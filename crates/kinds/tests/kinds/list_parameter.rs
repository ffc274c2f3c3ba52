//! `tags=`, `tag=`, `expandGroups=`, `scope=`, `expandCommentsAttachments=`, `isKeyVaultRefreshFailed=`, and references that must exist

use crate::world::{SERVICE, World, body};
use engine::{Value, json};

async fn tagged() -> World {
    let world = World::new().await;
    for (path, properties) in [
        ("/tags/ml", json!({"displayName": "machine learning"})),
        ("/tags/old", json!({"displayName": "Old"})),
        ("/tags/idle", json!({"displayName": "Idle"})),
    ] {
        world.put(path, body(properties)).await.expect(201);
    }
    for pair in [
        "/apis/echo-api/tags/ml",
        "/apis/echo-api/operations/create-resource/tags/old",
        "/products/starter/tags/ml",
    ] {
        world.put(pair, Value::Null).await.expect(201);
    }
    world
}

/// A member of each item's properties, by the item's name; items without it are left out.
async fn members(world: &World, list: &str, member: &str) -> Vec<(String, Value)> {
    let page = world.get(list).await.expect(200);
    page["value"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|item| !item["properties"][member].is_null())
        .map(|item| {
            (
                item["name"].as_str().expect("a name").to_owned(),
                item["properties"][member].clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn lists_show_tags_to_who_asks() {
    let world = tagged().await;
    let ml = json!([{"id": "/tags/ml", "name": "machine learning"}]);
    let old = json!([{"id": "/tags/old", "name": "Old"}]);
    for (list, name, tags) in [
        ("/apis", "echo-api", &ml),
        ("/products", "starter", &ml),
        ("/apis/echo-api/operations", "create-resource", &old),
    ] {
        let shown = members(&world, &format!("{list}?tags=true"), "tags").await;
        assert_eq!(shown, [(name.to_owned(), tags.clone())], "{list}");
        assert_eq!(members(&world, list, "tags").await, [], "{list}");
        let refused = world.get(&format!("{list}?tags=perhaps")).await;
        assert_eq!(refused.targets(), ["tags"], "{list}");
    }
}

#[tokio::test]
async fn lists_show_groups_to_who_asks() {
    let world = World::new().await;
    let names = |groups: &Value| -> Vec<String> {
        groups
            .as_array()
            .expect("groups")
            .iter()
            .map(|group| group["displayName"].as_str().expect("a name").to_owned())
            .collect()
    };
    let users = members(&world, "/users?expandGroups=true", "groups").await;
    assert_eq!(users.len(), 1);
    assert_eq!(names(&users[0].1), ["Administrators", "Developers"]);
    assert_eq!(
        users[0].1[0]["builtIn"],
        json!(true),
        "a group's own properties"
    );
    let products = members(&world, "/products?expandGroups=true", "groups").await;
    assert_eq!(products.len(), 2);
    assert_eq!(
        names(&products[0].1),
        ["Administrators", "Developers", "Guests"]
    );
    assert_eq!(members(&world, "/users", "groups").await, []);
}

#[tokio::test]
async fn tags_are_listed_by_what_has_them() {
    let world = tagged().await;
    for (scope, wanted) in [
        ("apis", vec!["ml"]),
        ("products", vec!["ml"]),
        ("apis/echo-api", vec!["ml", "old"]),
        ("/apis/ECHO-API;rev=1", vec!["ml", "old"]),
        ("apis/absent", vec![]),
        ("products/starter", vec!["ml"]),
        ("products/unlimited", vec![]),
    ] {
        let list = format!("/tags?scope={scope}");
        assert_eq!(world.names(&list).await, wanted, "{list}");
        let page = world.get(&format!("{list}&$top=1")).await.expect(200);
        assert_eq!(page["count"], wanted.len(), "{list}");
    }
    assert_eq!(world.names("/tags").await, ["idle", "ml", "old"]);
    let refused = world.get("/tags?scope=users").await;
    assert_eq!(refused.targets(), ["scope"]);
}

#[tokio::test]
async fn what_has_a_tag_is_listed_by_it() {
    let world = tagged().await;
    for (list, wanted) in [
        ("/apis?tag=ML", vec!["echo-api"]),
        ("/apis?tag=old", vec![]),
        ("/products?tag=ml", vec!["starter"]),
        ("/products?tag=absent", vec![]),
        ("/apis/echo-api/operations?tag=old", vec!["create-resource"]),
        ("/apis/echo-api/operations?tag=ml", vec![]),
    ] {
        assert_eq!(world.names(list).await, wanted, "{list}");
        let page = world.get(&format!("{list}&$top=1")).await.expect(200);
        assert_eq!(page["count"], wanted.len(), "{list}");
    }
}

#[tokio::test]
async fn an_issue_shows_its_comments_and_attachments_to_who_asks() {
    let world = World::new().await;
    let issue = "/apis/echo-api/issues/i";
    for (path, properties) in [
        (
            issue,
            json!({"title": "T", "description": "D", "userId": "/users/1"}),
        ),
        (
            "/apis/echo-api/issues/i/comments/c",
            json!({"text": "Indeed.", "userId": "/users/1", "createdDate": "2026-01-02T03:04:05Z"}),
        ),
        (
            "/apis/echo-api/issues/i/attachments/a",
            json!({"title": "a.txt", "contentFormat": "text/plain", "content": "aGVsbG8="}),
        ),
    ] {
        world.put(path, body(properties)).await.expect(201);
    }
    let comments =
        json!([{"text": "Indeed.", "createdDate": "2026-01-02T03:04:05Z", "userId": "/users/1"}]);
    let attachments =
        json!([{"title": "a.txt", "contentFormat": "text/plain", "content": "aGVsbG8="}]);
    let got = world
        .get(&format!("{issue}?expandCommentsAttachments=true"))
        .await
        .expect(200);
    let page = world
        .get("/apis/echo-api/issues?expandCommentsAttachments=true")
        .await
        .expect(200);
    for shown in [&got, &page["value"][0]] {
        assert_eq!(shown["properties"]["comments"], comments);
        assert_eq!(shown["properties"]["attachments"], attachments);
    }
    let plain = world.get(issue).await.expect(200);
    assert_eq!(plain["properties"]["comments"], Value::Null);
}

#[tokio::test]
async fn what_a_key_vault_did_not_give_is_found() {
    let world = World::new().await;
    let status =
        json!({"code": "Failed", "message": "closed", "timeStampUtc": "2026-01-01T00:00:00Z"});
    let vault =
        json!({"secretIdentifier": "https://vault.example.org/secrets/s", "lastStatus": status});
    world
        .put(
            "/namedValues/kept",
            body(json!({"displayName": "kept", "keyVault": vault})),
        )
        .await
        .expect(201);
    world
        .put(
            "/namedValues/v",
            body(json!({"displayName": "v", "value": "1"})),
        )
        .await
        .expect(201);
    for (value, wanted) in [("true", vec!["kept"]), ("false", vec!["v"])] {
        let list = format!("/namedValues?isKeyVaultRefreshFailed={value}");
        assert_eq!(world.names(&list).await, wanted);
    }
    let refused = world.get("/certificates?isKeyVaultRefreshFailed=x").await;
    assert_eq!(refused.targets(), ["isKeyVaultRefreshFailed"]);
}

#[tokio::test]
async fn what_an_api_refers_to_must_exist() {
    let world = World::new().await;
    let put = async |more: Value| {
        let mut properties = json!({"path": "refers"});
        for (name, value) in more.as_object().expect("members") {
            properties[name] = value.clone();
        }
        world.put("/apis/refers", body(properties)).await
    };
    assert_eq!(
        put(json!({"apiVersionSetId": format!("{SERVICE}/apiVersionSets/absent"), "apiVersion": "v1"}))
            .await
            .targets(),
        ["apiVersionSetId"]
    );
    assert_eq!(
        put(json!({"authenticationSettings": {
            "oAuth2": {"authorizationServerId": "absent"},
            "openidAuthenticationSettings": [{"openidProviderId": "absent"}],
        }}))
        .await
        .targets(),
        [
            "authenticationSettings.oAuth2.authorizationServerId",
            "authenticationSettings.openidAuthenticationSettings[0].openidProviderId"
        ]
    );
    world.get("/apis/refers").await.expect(404);
}
