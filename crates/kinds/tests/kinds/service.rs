//! `service`

use crate::world::{GROUP, SERVICE, World, body, now, service};
use engine::{Method, json, sqlx};
use jobs::Attempt;

#[tokio::test]
async fn a_new_service_is_filled_by_a_long_operation() {
    let world = World::empty().await;
    let answer = world.put(SERVICE, service()).await;
    let status = answer
        .header("Azure-AsyncOperation")
        .expect("a status URL")
        .to_owned();
    assert!(
        status.starts_with(&format!(
            "http://127.0.0.1:8080{SERVICE}/operationStatuses/"
        )),
        "{status}"
    );
    assert_eq!(answer.header("Retry-After"), Some("1"));
    let created = answer.expect(201);
    assert_eq!(created["properties"]["provisioningState"], "Created");
    assert_eq!(world.names("/groups").await, [""; 0]);

    world.activate().await;

    let got = world.get(SERVICE).await.expect(200);
    let properties = &got["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["targetProvisioningState"], "");
    let gateway = properties["gatewayUrl"].as_str().expect("a URL");
    assert!(
        gateway.starts_with("http://127.") && gateway.ends_with(":8081"),
        "{gateway}"
    );
    assert_eq!(
        world.names("/groups").await,
        ["administrators", "developers", "guests"]
    );
    assert_eq!(world.names("/products").await, ["starter", "unlimited"]);
    assert_eq!(world.names("/apis").await, ["echo-api"]);
    assert_eq!(world.names("/users").await, ["1"]);
    assert_eq!(
        world.names("/apis/echo-api/operations").await,
        [
            "create-resource",
            "modify-resource",
            "remove-resource",
            "retrieve-header-only",
            "retrieve-resource",
            "retrieve-resource-cached"
        ]
    );
    for product in ["starter", "unlimited"] {
        assert_eq!(
            world.names(&format!("/products/{product}/apis")).await,
            ["echo-api"]
        );
        assert_eq!(
            world.names(&format!("/products/{product}/groups")).await,
            ["administrators", "developers", "guests"]
        );
        assert_eq!(
            world
                .names(&format!("/products/{product}/subscriptions"))
                .await
                .len(),
            1
        );
    }
    assert_eq!(world.names("/subscriptions").await.len(), 3);
    let master = world.get("/subscriptions/master").await.expect(200);
    assert_eq!(master["properties"]["scope"], format!("{SERVICE}/"));
    assert_eq!(world.names("/notifications").await.len(), 7);
    assert_eq!(world.names("/templates").await.len(), 14);
    assert_eq!(world.names("/tenant").await, ["access", "gitAccess"]);
    assert_eq!(world.names("/policies").await, ["policy"]);
    assert_eq!(
        world.mails().await,
        [(
            "service_activated".to_owned(),
            "admin@example.org".to_owned()
        )]
    );
    assert!(world.changes().await.contains(&"services".to_owned()));
    let (status, ended): (String, Option<chrono::DateTime<chrono::Utc>>) =
        sqlx::query_as("SELECT status, ended_at FROM long_operations")
            .fetch_one(&world.pool)
            .await
            .expect("an operation");
    assert_eq!((status.as_str(), ended), ("Succeeded", Some(now())));
}

#[tokio::test]
async fn an_activation_that_runs_twice_fills_once() {
    let world = World::empty().await;
    world.put(SERVICE, service()).await.expect(201);
    let work = world.waiting().await;
    for _ in 0..2 {
        world
            .run(work[0], Attempt { number: 1, max: 25 })
            .await
            .expect("an activation");
    }
    assert_eq!(world.names("/subscriptions").await.len(), 3);
    assert_eq!(world.mails().await.len(), 1);
}

#[tokio::test]
async fn an_activation_that_fails_for_good_ends_its_operation() {
    let world = World::empty().await;
    world.put(SERVICE, service()).await.expect(201);
    let work = world.waiting().await;
    sqlx::query("DROP TABLE mails")
        .execute(&world.pool)
        .await
        .expect("a broken database");
    let state = async || {
        let state: (String, Option<String>) =
            sqlx::query_as("SELECT status, error->>'code' FROM long_operations")
                .fetch_one(&world.pool)
                .await
                .expect("an operation");
        state
    };
    world
        .run(work[0], Attempt { number: 1, max: 2 })
        .await
        .expect_err("no mail can be queued");
    assert_eq!(state().await, ("InProgress".into(), None));
    assert_eq!(
        world.names("/groups").await,
        [""; 0],
        "nothing of a failed attempt stays"
    );
    world
        .run(work[0], Attempt { number: 2, max: 2 })
        .await
        .expect_err("no mail can be queued");
    assert_eq!(
        state().await,
        ("Failed".into(), Some("ActivationFailed".into()))
    );
    assert_eq!(
        world.get(SERVICE).await.expect(200)["properties"]["provisioningState"],
        "Failed"
    );
}

#[tokio::test]
async fn a_name_is_taken_in_every_group_until_its_service_is_purged() {
    let world = World::new().await;
    let elsewhere = SERVICE.replace("rg_1", "rgX1");
    let taken = world.put(&elsewhere, service()).await.expect(409);
    assert_eq!(taken["error"]["code"], "Conflict");

    world.delete(SERVICE).await.expect(200);
    world.delete(SERVICE).await.expect(204);
    world.get(SERVICE).await.expect(404);
    let deleted = world.put(SERVICE, service()).await.expect(409);
    assert_eq!(
        deleted["error"]["code"],
        "ServiceAlreadyExistsInSoftDeletedState"
    );

    let mut restore = service();
    restore["properties"]["restore"] = json!(true);
    restore["properties"]["publisherName"] = json!("Somebody else");
    // `_` in a group's name is a letter like others, not a placeholder.
    let foreign = world.put(&elsewhere, restore.clone()).await.expect(409);
    assert_eq!(
        foreign["error"]["code"],
        "ServiceAlreadyExistsInSoftDeletedState"
    );
    let restored = world.put(SERVICE, restore).await.expect(200);
    assert_eq!(
        restored["properties"]["publisherName"],
        service()["properties"]["publisherName"],
        "all other properties are ignored"
    );
    assert_eq!(world.names("/products").await, ["starter", "unlimited"]);
}

#[tokio::test]
async fn no_service_can_take_another_s_gateway_host() {
    let world = World::new().await;
    let other = format!("{GROUP}/other");
    let address: String = sqlx::query_scalar("SELECT gateway_hostname FROM services")
        .fetch_one(&world.pool)
        .await
        .expect("an address");
    let custom = |host: &str| {
        let mut service = service();
        service["properties"]["hostnameConfigurations"] =
            json!([{"type": "Proxy", "hostName": host}]);
        service
    };
    world
        .put(SERVICE, custom("api.example.org"))
        .await
        .expect(200);
    for host in [
        address.as_str(),
        "API.example.org",
        "Demo.localhost",
        "later.localhost",
        "127.1.2.3",
        "localhost",
    ] {
        let targets = world.put(&other, custom(host)).await.targets();
        assert_eq!(targets, ["hostnameConfigurations[0].hostName"], "{host}");
    }
    world
        .put(&other, custom("other.localhost"))
        .await
        .expect(201);
    world
        .put(&other, custom("api.example.com"))
        .await
        .expect(200);
    // What a client read it may send back.
    let read = world.get(SERVICE).await.expect(200);
    world.put(SERVICE, read).await.expect(200);
}

#[tokio::test]
async fn every_wrong_field_of_a_service_is_named() {
    let world = World::empty().await;
    let wrong = json!({
        "location": "",
        "sku": {"name": "Gigantic"},
        "properties": {"publisherEmail": "nobody", "publisherName": "x".repeat(101), "virtualNetworkType": "Strange",
                       "publicNetworkAccess": "Perhaps"}
    });
    assert_eq!(
        world.put(SERVICE, wrong).await.targets(),
        [
            "location",
            "sku.name",
            "publisherName",
            "publicNetworkAccess",
            "virtualNetworkType"
        ]
    );
    let mut address = service();
    address["properties"]["publisherEmail"] = json!("nobody");
    assert_eq!(
        world.put(SERVICE, address).await.targets(),
        ["publisherEmail"]
    );
    let bad = world.put(&format!("{GROUP}/1-bad"), service()).await;
    assert_eq!(bad.targets(), ["serviceName"]);
}

#[tokio::test]
async fn a_patch_keeps_what_it_does_not_name() {
    let world = World::new().await;
    let before = world.get(SERVICE).await.expect(200);
    let patch = json!({"tags": {"team": "ml"}, "properties": {"publisherName": "Contoso"}});
    // The contract's PATCH of a service knows no If-Match.
    let after = world
        .send(Method::Patch, SERVICE, None, patch)
        .await
        .expect(200);
    assert_eq!(after["tags"], json!({"team": "ml"}));
    assert_eq!(after["properties"]["publisherName"], "Contoso");
    for field in [
        "publisherEmail",
        "gatewayUrl",
        "hostnameConfigurations",
        "provisioningState",
        "createdAtUtc",
    ] {
        assert_eq!(
            after["properties"][field], before["properties"][field],
            "{field}"
        );
    }
    let gone = world
        .send(
            Method::Patch,
            SERVICE,
            None,
            body(json!({"publisherEmail": null})),
        )
        .await;
    assert_eq!(gone.targets(), ["publisherEmail"]);
}

#[tokio::test]
async fn services_are_listed_in_their_group_and_in_their_subscription() {
    let world = World::new().await;
    for list in [
        GROUP,
        "/subscriptions/s1/providers/Microsoft.ApiManagement/service",
    ] {
        assert_eq!(world.names(list).await, ["demo"], "{list}");
    }
}
