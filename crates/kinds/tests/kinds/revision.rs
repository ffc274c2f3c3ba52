//! `apis/{id};rev=N`, and `releases`

use crate::world::{SERVICE, World, body};
use engine::{Resource as _, Value, json, sqlx};

/// Revision 2 of the Echo API, copied from the first.
async fn second(world: &World) -> Value {
    world
        .put(
            "/apis/echo-api;rev=2",
            body(json!({
                "path": "echo", "sourceApiId": "/apis/echo-api", "apiRevisionDescription": "Louder",
                "serviceUrl": "http://127.0.0.1:9/v2"
            })),
        )
        .await
        .expect(201)
}

async fn release(world: &World, name: &str, revision: u32) -> Value {
    world
        .put(
            &format!("/apis/echo-api/releases/{name}"),
            body(json!({"apiId": format!("/apis/echo-api;rev={revision}"), "notes": format!("To {revision}")})),
        )
        .await
        .expect(201)
}

/// Name, number and whether it is current, of every row that the list of APIs shows.
async fn listed(world: &World) -> Vec<(String, String, bool)> {
    let list = world.get("/apis").await.expect(200);
    list["value"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|api| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (
                text(&api["name"]),
                text(&api["properties"]["apiRevision"]),
                api["properties"]["isCurrent"] == true,
            )
        })
        .collect()
}

fn row(name: &str, number: &str, current: bool) -> (String, String, bool) {
    (name.to_owned(), number.to_owned(), current)
}

#[tokio::test]
async fn a_revision_is_a_copy_with_a_life_of_its_own() {
    let world = World::new().await;
    world
        .put("/tags/ml", body(json!({"displayName": "ml"})))
        .await
        .expect(201);
    world
        .put(
            "/apis/echo-api/tagDescriptions/ml",
            body(json!({"description": "d"})),
        )
        .await
        .expect(201);
    world
        .put(
            "/apis/echo-api/operations/create-resource/tags/ml",
            Value::Null,
        )
        .await
        .expect(201);
    world
        .put(
            "/apis/echo-api/schemas/types",
            body(json!({"contentType": "application/json", "document": {"definitions": {}}})),
        )
        .await
        .expect(201);
    let made = second(&world).await;
    assert_eq!(made["name"], "echo-api;rev=2");
    assert_eq!(made["id"], format!("{SERVICE}/apis/echo-api;rev=2"));
    assert_eq!(
        made["properties"],
        json!({
            "displayName": "Echo API", "serviceUrl": "http://127.0.0.1:9/v2", "path": "echo", "protocols": ["https"],
            "type": "http", "apiRevision": "2", "apiRevisionDescription": "Louder", "isCurrent": false, "isOnline": true,
            "subscriptionRequired": true, "provisioningState": "Succeeded",
            "subscriptionKeyParameterNames": {"header": "Ocp-Apim-Subscription-Key", "query": "subscription-key"}
        })
    );
    for below in [
        "/operations",
        "/operations/create-resource/tags",
        "/tags",
        "/tagDescriptions",
        "/schemas",
    ] {
        let names = world.names(&format!("/apis/echo-api{below}")).await;
        assert!(!names.is_empty(), "{below}");
        assert_eq!(
            world.names(&format!("/apis/echo-api;rev=2{below}")).await,
            names,
            "{below}"
        );
        // The current revision has a number, too.
        assert_eq!(
            world.names(&format!("/apis/ECHO-API;REV=1{below}")).await,
            names,
            "{below}"
        );
    }
    for policy in [
        "/policies/policy",
        "/operations/create-resource/policies/policy",
    ] {
        let of = async |api: &str| {
            let policy = world.get(&format!("/apis/{api}{policy}")).await.expect(200);
            policy["properties"]["value"].clone()
        };
        assert_eq!(of("echo-api;rev=2").await, of("echo-api").await);
    }

    // What happens to one does not happen to the other.
    world
        .delete("/apis/echo-api;rev=2/operations/create-resource")
        .await
        .expect(200);
    world
        .get("/apis/echo-api;rev=2/operations/create-resource")
        .await
        .expect(404);
    let kept = world
        .get("/apis/echo-api/operations/create-resource")
        .await
        .expect(200);
    assert_eq!(
        kept["id"],
        format!("{SERVICE}/apis/echo-api/operations/create-resource")
    );
    let renamed = world
        .patch("/apis/echo-api;rev=2", json!({"displayName": "Echo 2"}))
        .await
        .expect(200);
    assert_eq!(renamed["properties"]["displayName"], "Echo 2");
    let first = world.get("/apis/echo-api;rev=1").await.expect(200);
    assert_eq!(
        (&first["name"], &first["properties"]["displayName"]),
        (&json!("echo-api;rev=1"), &json!("Echo API"))
    );
    assert_eq!(
        world.names("/apis?$filter=isCurrent eq true").await,
        ["echo-api"]
    );
    assert_eq!(
        listed(&world).await,
        [
            row("echo-api", "1", true),
            row("echo-api;rev=2", "2", false)
        ]
    );
}

#[tokio::test]
async fn a_revision_without_a_source_is_empty() {
    let world = World::new().await;
    world
        .put("/apis/echo-api;rev=7", body(json!({"path": "echo"})))
        .await
        .expect(201);
    assert_eq!(
        world.names("/apis/echo-api;rev=7/operations").await,
        [""; 0]
    );
    // The first revision can be made by its number: what some tools do.
    world
        .put("/apis/fresh;rev=1", body(json!({"path": "fresh"})))
        .await
        .expect(201);
    let plain = world.get("/apis/fresh").await.expect(200);
    assert_eq!(
        (
            &plain["properties"]["apiRevision"],
            &plain["properties"]["isCurrent"]
        ),
        (&json!("1"), &json!(true))
    );
    world
        .put("/apis/fresh;rev=1", body(json!({"path": "fresh"})))
        .await
        .expect(200);
}

#[tokio::test]
async fn wrong_revisions_are_refused_by_name() {
    let world = World::new().await;
    let path = |path: &str| body(json!({"path": path}));
    for name in [
        "echo-api;rev=x",
        "echo-api;rev=0",
        "echo-api;rev=",
        "none;rev=2",
    ] {
        let answer = world.put(&format!("/apis/{name}"), path("echo")).await;
        assert_eq!(answer.targets(), ["apiId"], "{name}");
    }
    let source = json!({"path": "echo", "sourceApiId": "/apis/none"});
    assert_eq!(
        world
            .put("/apis/echo-api;rev=2", body(source))
            .await
            .targets(),
        ["sourceApiId"]
    );
    let elsewhere =
        json!({"path": "elsewhere", "apiVersion": "v1", "apiVersionSetId": "/apiVersionSets/s"});
    assert_eq!(
        world
            .put("/apis/echo-api;rev=2", body(elsewhere))
            .await
            .targets(),
        ["path", "apiVersionSetId", "apiVersion"]
    );
    assert_eq!(listed(&world).await, [row("echo-api", "1", true)]);
    for missing in ["/apis/echo-api;rev=2", "/apis/echo-api;rev=2/operations"] {
        world.get(missing).await.expect(404);
    }
}

#[tokio::test]
async fn a_release_makes_its_revision_current_and_keeps_what_belongs_to_the_api() {
    let world = World::new().await;
    second(&world).await;
    let issue = body(kinds::issue::Issue::example());
    world
        .put("/apis/echo-api/issues/i", issue)
        .await
        .expect(201);
    world
        .put(
            "/subscriptions/s",
            body(json!({"scope": "/apis/echo-api", "displayName": "s"})),
        )
        .await
        .expect(201);
    let before = world.get("/apis/echo-api").await;
    world.changes().await;

    let made = release(&world, "loud", 2).await;
    assert_eq!(
        made["type"],
        "Microsoft.ApiManagement/service/apis/releases"
    );
    assert_eq!(
        made["properties"],
        json!({
            "apiId": format!("{SERVICE}/apis/echo-api;rev=2"), "notes": "To 2",
            "createdDateTime": "2027-01-15T08:00:00Z", "updatedDateTime": "2027-01-15T08:00:00Z"
        })
    );
    assert_eq!(world.changes().await, ["api_releases", "apis"]);
    let after = world.get("/apis/echo-api").await;
    assert_ne!(after.header("ETag"), before.header("ETag"));
    assert_eq!(after.body["properties"]["apiRevision"], "2");
    assert_eq!(
        listed(&world).await,
        [
            row("echo-api", "2", true),
            row("echo-api;rev=1", "1", false)
        ]
    );
    assert_eq!(world.names("/apis/echo-api/issues").await, ["i"]);
    assert_eq!(world.names("/apis/echo-api/releases").await, ["loud"]);
    assert_eq!(world.names("/products/starter/apis").await, ["echo-api"]);
    assert_eq!(
        world.names("/apis/echo-api/products").await,
        ["starter", "unlimited"]
    );
    world
        .head("/products/starter/apis/echo-api")
        .await
        .expect(204);
    let subscription = world.get("/subscriptions/s").await.expect(200);
    assert_eq!(
        subscription["properties"]["scope"],
        format!("{SERVICE}/apis/echo-api")
    );

    // The path belongs to all of them.
    world
        .patch("/apis/echo-api", json!({"path": "moved"}))
        .await
        .expect(200);
    let first = world.get("/apis/echo-api;rev=1").await.expect(200);
    assert_eq!(first["properties"]["path"], "moved");

    // Notes can be changed, what was released cannot; and back.
    let item = "/apis/echo-api/releases/loud";
    let noted = world
        .patch(item, json!({"notes": "Louder"}))
        .await
        .expect(200);
    assert_eq!(noted["properties"]["notes"], "Louder");
    let other = world
        .patch(item, json!({"apiId": "/apis/echo-api;rev=1"}))
        .await;
    assert_eq!(other.targets(), ["apiId"]);
    release(&world, "quiet", 1).await;
    assert_eq!(
        listed(&world).await,
        [
            row("echo-api", "1", true),
            row("echo-api;rev=2", "2", false)
        ]
    );
    assert_eq!(
        world
            .names("/apis/echo-api/releases?$filter=contains(notes,'loud')")
            .await,
        ["loud"]
    );
    let wrong = json!({"apiId": "/apis/none;rev=1"});
    assert_eq!(
        world
            .put("/apis/echo-api/releases/x", body(wrong))
            .await
            .targets(),
        ["apiId"]
    );
    world.delete(item).await.expect(200);
}

#[tokio::test]
async fn the_current_revision_goes_only_with_the_whole_api() {
    let world = World::new().await;
    second(&world).await;
    let alone = world.delete("/apis/echo-api").await;
    assert_eq!(alone.targets(), ["deleteRevisions"]);
    assert_eq!(
        world.delete("/apis/echo-api;rev=1").await.targets(),
        ["deleteRevisions"]
    );
    release(&world, "loud", 2).await;
    world.changes().await;
    world.delete("/apis/echo-api;rev=1").await.expect(204);
    assert_eq!(
        world.changes().await,
        [
            "api_operations",
            "api_policies",
            "apis",
            "operation_policies"
        ]
    );
    assert_eq!(listed(&world).await, [row("echo-api", "2", true)]);
    // What was made by the first revision stays with the API.
    assert_eq!(world.names("/products/starter/apis").await, ["echo-api"]);

    world
        .put(
            "/apis/echo-api;rev=3",
            body(json!({"path": "echo", "sourceApiId": "/apis/echo-api;rev=2"})),
        )
        .await
        .expect(201);
    world
        .delete("/apis/echo-api?deleteRevisions=true")
        .await
        .expect(204);
    assert_eq!(listed(&world).await, []);
    assert_eq!(world.names("/products/starter/apis").await, [""; 0]);
    let left: i64 =
        sqlx::query_scalar("SELECT (SELECT count(*) FROM apis) + (SELECT count(*) FROM api_roots)")
            .fetch_one(&world.pool)
            .await
            .expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn of_many_releases_at_once_each_is_made_and_one_revision_is_current() {
    let world = World::new().await;
    for number in 2..=5 {
        let copy = json!({"path": "echo", "sourceApiId": "/apis/echo-api"});
        world
            .put(&format!("/apis/echo-api;rev={number}"), body(copy))
            .await
            .expect(201);
    }
    let releases = (1..=5).map(|number| {
        let world = &world;
        async move {
            let name = format!("r{number}");
            release(world, &name, number).await;
            // Meanwhile others write revisions.
            world
                .patch(
                    &format!("/apis/echo-api;rev={number}"),
                    json!({"description": name}),
                )
                .await
                .expect(200);
        }
    });
    futures_util::future::join_all(releases).await;
    let rows = listed(&world).await;
    assert_eq!(rows.len(), 5);
    assert_eq!(rows.iter().filter(|(.., current)| *current).count(), 1);
    assert_eq!(world.names("/apis/echo-api/releases").await.len(), 5);
    for number in 1..=5 {
        let api = world
            .get(&format!("/apis/echo-api;rev={number}"))
            .await
            .expect(200);
        assert_eq!(api["properties"]["description"], format!("r{number}"));
    }
}

#[tokio::test]
async fn an_api_can_begin_as_a_copy_of_another_in_a_version_set() {
    let world = World::new().await;
    let set = json!({"displayName": "Echo", "versioningScheme": "Header", "versionHeaderName": "Api-Version"});
    world
        .put("/apiVersionSets/echo", body(set))
        .await
        .expect(201);
    let version = json!({
        "path": "echo", "sourceApiId": "/apis/echo-api", "apiVersion": "v2", "apiVersionSetId": "/apiVersionSets/echo"
    });
    let made = world.put("/apis/echo-v2", body(version)).await.expect(201);
    let details = json!({
        "id": format!("{SERVICE}/apiVersionSets/echo"), "name": "Echo", "versioningScheme": "Header",
        "versionHeaderName": "Api-Version"
    });
    assert_eq!(made["properties"]["apiVersionSet"], details);
    assert_eq!(made["properties"]["isCurrent"], true);
    assert_eq!(
        world.names("/apis/echo-v2/operations").await,
        world.names("/apis/echo-api/operations").await
    );
    let listed = async |query: &str| {
        let list = world
            .get(&format!("/apis?$filter=name eq 'echo-v2'{query}"))
            .await
            .expect(200);
        list["value"][0]["properties"]["apiVersionSet"].clone()
    };
    assert_eq!(listed("").await, Value::Null);
    assert_eq!(listed("&expandApiVersionSet=true").await, details);
    world
        .patch("/apiVersionSets/echo", json!({"displayName": "Loud"}))
        .await
        .expect(200);
    assert_eq!(listed("&expandApiVersionSet=true").await["name"], "Loud");
    assert_eq!(
        world.get("/apis?expandApiVersionSet=maybe").await.targets(),
        ["expandApiVersionSet"]
    );
}
