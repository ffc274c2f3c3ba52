//! `workspaces`, and the kinds below them.

use crate::{
    conformance::below_roots,
    world::{SERVICE, World, body, service},
};
use engine::{Kind, Method, Resource as _, Value, json, sqlx};

const TEAM: &str = "/workspaces/team";

/// A service with the workspace `team`, in which stands what the kinds' examples refer to.
async fn with_team() -> World {
    let world = World::new().await;
    world
        .put(TEAM, body(kinds::workspace::Workspace::example()))
        .await
        .expect(201);
    for (path, properties) in [
        (
            "/apis/echo-api",
            json!({"displayName": "Echo of the team", "path": "team-echo"}),
        ),
        (
            "/apis/echo-api/operations/retrieve-resource",
            json!({"displayName": "Retrieve", "method": "GET", "urlTemplate": "/resource"}),
        ),
        ("/products/starter", kinds::product::Product::example()),
        ("/products/unlimited", json!({"displayName": "Unlimited"})),
        ("/groups/developers", json!({"displayName": "Developers"})),
        ("/tags/labelled", json!({"displayName": "Labelled"})),
        (
            "/loggers/azuremonitor",
            json!({"loggerType": "azureMonitor"}),
        ),
    ] {
        world
            .put(&format!("{TEAM}{path}"), body(properties))
            .await
            .expect(201);
    }
    world
}

fn is_mounted(kind: &dyn Kind) -> bool {
    kind.facts().in_workspaces
}

#[tokio::test]
async fn a_workspace_is_made_listed_changed_and_removed() {
    let world = World::new().await;
    let example = kinds::workspace::Workspace::example();
    let put = world.put(TEAM, body(example.clone())).await.expect(201);
    let wanted = json!({
        "id": format!("{SERVICE}{TEAM}"), "type": "Microsoft.ApiManagement/service/workspaces", "name": "team",
        "properties": example,
    });
    assert_eq!(put, wanted);
    assert_eq!(world.get(TEAM).await.expect(200), wanted);
    world.head(TEAM).await.expect(200);
    assert_eq!(world.names("/workspaces").await, ["team"]);
    let patched = world
        .patch(TEAM, json!({"displayName": "Renamed"}))
        .await
        .expect(200);
    assert_eq!(patched["properties"]["displayName"], "Renamed");
    world
        .put(&format!("{TEAM}/apis/a"), body(json!({"path": "of-team"})))
        .await
        .expect(201);
    world.delete(TEAM).await.expect(200);
    world.delete(TEAM).await.expect(204);
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM services WHERE workspace_of IS NOT NULL) + (SELECT count(*) FROM apis WHERE path = 'of-team')",
    )
    .fetch_one(&world.pool)
    .await
    .expect("a count");
    assert_eq!(left, 0, "what was in it went with it");
}

#[tokio::test]
async fn every_kind_of_a_workspace_is_made_read_listed_changed_and_removed_there() {
    let world = with_team().await;
    let mut tables = Vec::new();
    for (kind, item) in below_roots(&world).await {
        if !is_mounted(kind) {
            continue;
        }
        let facts = kind.facts();
        let one = format!("{TEAM}{item}");
        let (list, name) = one.rsplit_once('/').expect("a name");
        let before = world.names(list).await;
        let put = world
            .send(Method::Put, &one, Some("*"), body(kind.example()))
            .await;
        let created = facts.verbs.create;
        let shown = put.expect(if created { 201 } else { 200 });
        assert_eq!(shown["id"], format!("{SERVICE}{one}"));
        let kind_of = item
            .split('/')
            .skip(1)
            .step_by(2)
            .collect::<Vec<_>>()
            .join("/");
        assert_eq!(
            shown["type"],
            format!("Microsoft.ApiManagement/service/workspaces/{kind_of}")
        );
        let again = world
            .send(Method::Put, &one, Some("*"), body(kind.example()))
            .await;
        again.expect(facts.replaced);
        if facts.verbs.get {
            let got = world.get(&one).await;
            assert!(got.header("ETag").is_some(), "{one}");
            assert_eq!(got.expect(200)["id"], shown["id"]);
            assert_eq!(world.head(&one).await.status, 200, "{one}");
        } else {
            assert_eq!(world.head(&one).await.status, 204, "{one}");
        }
        let names = world.names(list).await;
        assert!(
            names.iter().any(|listed| listed == name),
            "{list}: {names:?}"
        );
        if facts.verbs.patch {
            world.patch(&one, json!({})).await.expect(200);
        }
        for action in facts.actions.iter().filter(|action| action.status == 204) {
            world
                .send(
                    Method::Post,
                    &format!("{one}/{}", action.name),
                    None,
                    Value::Null,
                )
                .await
                .expect(204);
        }
        if facts.verbs.delete {
            world.delete(&one).await.expect(200);
            world.delete(&one).await.expect(204);
            assert_eq!(world.names(list).await, before, "{list}");
        }
        tables.push(facts.table);
    }
    assert_eq!(tables.len(), 29, "{tables:?}");
}

#[tokio::test]
async fn a_workspace_has_names_of_its_own_and_none_is_in_the_service() {
    let world = with_team().await;
    let service = world.names("/apis").await;
    assert_eq!(service, ["echo-api"]);
    let outside = world.get("/apis/echo-api").await.expect(200);
    let inside = world
        .get(&format!("{TEAM}/apis/echo-api"))
        .await
        .expect(200);
    assert_eq!(inside["properties"]["displayName"], "Echo of the team");
    assert_eq!(outside["properties"]["displayName"], "Echo API");
    world
        .put(&format!("{TEAM}/apis/own"), body(json!({"path": "own"})))
        .await
        .expect(201);
    world.get("/apis/own").await.expect(404);
    assert_eq!(world.names("/apis").await, service);
    let services = world
        .get("/subscriptions/s1/providers/Microsoft.ApiManagement/service")
        .await
        .expect(200);
    assert_eq!(services["count"], 1, "a workspace is no service to callers");
    // A link leads to what is in the workspace.
    let link = format!("{TEAM}/products/starter/apiLinks/l");
    let put = world
        .put(
            &link,
            body(json!({"apiId": format!("{SERVICE}{TEAM}/apis/own")})),
        )
        .await
        .expect(201);
    assert_eq!(
        put["properties"]["apiId"],
        format!("{SERVICE}{TEAM}/apis/own")
    );
    world
        .put("/apis/outer", body(json!({"path": "outer"})))
        .await
        .expect(201);
    let refused = world
        .put(&link, body(json!({"apiId": "/apis/outer"})))
        .await;
    assert_eq!(refused.targets(), ["apiId"]);
}

#[tokio::test]
async fn people_of_the_service_are_those_of_its_workspaces() {
    let world = with_team().await;
    let sid = format!("{TEAM}/subscriptions/mine");
    let put = world
        .put(
            &sid,
            body(json!({"displayName": "Mine", "scope": "/products/starter", "ownerId": "/users/1", "state": "active"})),
        )
        .await
        .expect(201);
    assert_eq!(put["properties"]["ownerId"], format!("{SERVICE}/users/1"));
    assert_eq!(
        put["properties"]["scope"],
        format!("{SERVICE}{TEAM}/products/starter")
    );
    let listed = world
        .get(&format!(
            "{TEAM}/subscriptions?$filter=ownerId eq '{SERVICE}/users/1'"
        ))
        .await
        .expect(200);
    assert_eq!(listed["value"], json!([put]));
    let secrets = world
        .send(
            Method::Post,
            &format!("{sid}/listSecrets"),
            None,
            Value::Null,
        )
        .await
        .expect(200);
    assert_eq!(secrets["primaryKey"].as_str().map(str::len), Some(32));

    let member = format!("{TEAM}/groups/developers/users/1");
    world.head(&member).await.expect(404);
    let user = world.put(&member, Value::Null).await.expect(201);
    assert_eq!(user["id"], format!("{SERVICE}/users/1"));
    world.head(&member).await.expect(204);
    let members = world
        .get(&format!("{TEAM}/groups/developers/users"))
        .await
        .expect(200);
    assert_eq!(members["value"], json!([user]));
    world.delete(&member).await.expect(200);
    world.delete(&member).await.expect(204);
}

#[tokio::test]
async fn revisions_and_secrets_of_a_workspace_are_read_like_the_services() {
    let world = with_team().await;
    let revisions = world
        .get(&format!("{TEAM}/apis/echo-api/revisions"))
        .await
        .expect(200);
    assert_eq!(revisions["count"], 1);
    let value = format!("{TEAM}/namedValues/secret");
    world
        .put(
            &value,
            body(json!({"displayName": "secret", "value": "hidden", "secret": true})),
        )
        .await
        .expect(201);
    let shown = world
        .send(
            Method::Post,
            &format!("{value}/listValue"),
            None,
            Value::Null,
        )
        .await
        .expect(200);
    assert_eq!(shown["value"], "hidden");
    let fragment = format!("{TEAM}/policyFragments/f");
    world
        .put(
            &fragment,
            body(kinds::policy_fragment::PolicyFragment::example()),
        )
        .await
        .expect(201);
    let used = world
        .send(
            Method::Post,
            &format!("{fragment}/listReferences"),
            None,
            Value::Null,
        )
        .await
        .expect(200);
    assert_eq!(used["value"], json!([]));
}

#[tokio::test]
async fn what_is_no_kind_of_workspaces_and_no_workspace_is_not_found() {
    let mut world = with_team().await;
    world.get(&format!("{TEAM}/users")).await.expect(404);
    world
        .get(&format!("{TEAM}/apis/echo-api/issues"))
        .await
        .expect(404);
    let missing = world.get("/workspaces/absent/apis").await.expect(404);
    assert_eq!(missing["error"]["message"], "Workspace not found.");
    world
        .get(&format!("{}%2Fteam/apis", SERVICE))
        .await
        .expect(404);
    world.version = "2022-08-01";
    world.get("/workspaces").await.expect(404);
    world.get(&format!("{TEAM}/apis")).await.expect(404);
}

#[tokio::test]
async fn what_happens_in_a_workspace_is_in_the_services_trail() {
    let world = with_team().await;
    let (action, resource): (String, String) = sqlx::query_as(
        "SELECT a.action, a.resource FROM audit_entries a JOIN services s ON s.id = a.parent_id AND s.name = 'demo' \
         WHERE a.resource LIKE '%/workspaces/team/apis/echo-api'",
    )
    .fetch_one(&world.pool)
    .await
    .expect("an entry");
    assert_eq!(
        (action.as_str(), resource.as_str()),
        (
            "Microsoft.ApiManagement/service/workspaces/apis/write",
            format!("{SERVICE}{TEAM}/apis/echo-api").as_str()
        )
    );
}

#[tokio::test]
async fn workspaces_go_and_come_back_with_their_service() {
    let world = with_team().await;
    let api = format!("{TEAM}/apis/echo-api");
    let before = world.get(&api).await.expect(200);
    let deleted = world.delete(SERVICE).await;
    assert!(matches!(deleted.status, 200 | 202 | 204), "{deleted:?}");
    let missing = world.get(&api).await.expect(404);
    assert_eq!(missing["error"]["code"], "ResourceNotFound");
    let mut restored = service();
    restored["properties"]["restore"] = json!(true);
    let put = world.put(SERVICE, restored).await;
    assert!(matches!(put.status, 200 | 201), "{put:?}");
    assert_eq!(world.get(&api).await.expect(200), before);
}

#[tokio::test]
async fn a_workspace_has_a_link_that_names_its_gateways() {
    let world = World::new().await;
    world
        .put("/workspaces/team", body(json!({"displayName": "Team"})))
        .await
        .expect(201);
    let link = json!({
        "id": format!("{SERVICE}/workspaceLinks/team"),
        "type": "Microsoft.ApiManagement/service/workspaceLinks",
        "name": "team",
        "properties": {"workspaceId": format!("{SERVICE}/workspaces/team"), "gateways": []},
    });
    assert_eq!(world.get("/workspaceLinks/team").await.expect(200), link);
    let list = world.get("/workspaceLinks").await.expect(200);
    assert_eq!(list["value"], json!([link]));
    world.delete("/workspaces/team").await.expect(200);
    world.get("/workspaceLinks/team").await.expect(404);
}

#[tokio::test]
async fn what_a_workspace_refers_to_stands_in_it_or_is_the_service_s() {
    let world = World::new().await;
    world
        .put("/workspaces/team", body(json!({"displayName": "Team"})))
        .await
        .expect(201);
    let api = json!({"path": "shared", "authenticationSettings": {"oAuth2": {"authorizationServerId": "shared"}}});
    let path = "/workspaces/team/apis/shared";
    let refused = world.put(path, body(api.clone())).await;
    assert_eq!(
        refused.targets(),
        ["authenticationSettings.oAuth2.authorizationServerId"]
    );
    let server = kinds::authorization_server::AuthorizationServer::example();
    world
        .put("/authorizationServers/shared", body(server))
        .await
        .expect(201);
    world.put(path, body(api)).await.expect(201);

    let logger = json!({"loggerType": "azureMonitor"});
    world
        .put("/workspaces/team/loggers/own", body(logger))
        .await
        .expect(201);
    let diagnostic = json!({"loggerId": "/workspaces/team/loggers/own"});
    let made = world
        .put(
            "/workspaces/team/diagnostics/azuremonitor",
            body(diagnostic),
        )
        .await
        .expect(201);
    assert_eq!(
        made["properties"]["loggerId"],
        format!("{SERVICE}/workspaces/team/loggers/own")
    );
}
