//! Settings, configuration and revisions of the developer portal.

use crate::world::{World, body};
use engine::{Method, Value, json};

#[tokio::test]
async fn a_new_service_has_its_settings_and_its_configuration() {
    let world = World::new().await;
    assert_eq!(
        world.names("/portalsettings").await,
        ["delegation", "signin", "signup"]
    );
    assert_eq!(world.names("/portalconfigs").await, ["default"]);
    let signin = world.get("/portalsettings/signin").await.expect(200);
    assert_eq!(signin["properties"], json!({"enabled": false}));
    assert_eq!(
        signin["type"],
        "Microsoft.ApiManagement/service/portalsettings"
    );
}

#[tokio::test]
async fn a_patched_setting_answers_204_and_shows_in_the_tenants_settings() {
    let world = World::new().await;
    let patch = world
        .patch(
            "/portalsettings/signup",
            json!({"termsOfService": {"text": "Be kind.", "enabled": true, "consentRequired": true}}),
        )
        .await;
    assert!(patch.header("ETag").is_some());
    assert_eq!(patch.expect(204), Value::Null);
    let terms =
        &world.get("/portalsettings/signup").await.expect(200)["properties"]["termsOfService"];
    assert_eq!(
        *terms,
        json!({"text": "Be kind.", "enabled": true, "consentRequired": true})
    );
    let settings = world.get("/settings/public").await.expect(200);
    let settings = &settings["properties"]["settings"];
    assert_eq!(
        settings["CustomPortalSettings.UserRegistrationTerms"],
        "Be kind."
    );
    assert_eq!(
        settings["CustomPortalSettings.UserRegistrationTermsConsentRequired"],
        "True"
    );
    assert_eq!(settings["CustomPortalSettings.DelegationEnabled"], "False");
    let all = world.get("/settings").await.expect(200);
    assert_eq!(all["value"][0]["properties"]["settings"], *settings);
}

#[tokio::test]
async fn the_delegations_key_is_shown_to_those_who_may_read_secrets_only() {
    let world = World::new().await;
    let put = world
        .put(
            "/portalsettings/delegation",
            body(json!({"url": "https://example.org/delegation", "validationKey": "5ca1ab1e", "subscriptions": {"enabled": true}})),
        )
        .await
        .expect(200);
    assert_eq!(
        put["properties"],
        json!({"url": "https://example.org/delegation", "subscriptions": {"enabled": true}, "userRegistration": {"enabled": false}})
    );
    let secrets = world
        .post("/portalsettings/delegation/listSecrets", Value::Null)
        .await;
    assert_eq!(secrets.expect(200), json!({"validationKey": "5ca1ab1e"}));
    world
        .post("/portalsettings/signin/listSecrets", Value::Null)
        .await
        .expect(404);
}

#[tokio::test]
async fn a_setting_has_its_own_members_only() {
    let world = World::new().await;
    let put = world
        .put(
            "/portalsettings/signin",
            body(json!({"enabled": true, "url": "https://example.org", "termsOfService": {"enabled": true}})),
        )
        .await;
    assert_eq!(
        put.targets(),
        ["properties.termsOfService", "properties.url"]
    );
    let put = world
        .put(
            "/portalsettings/delegation",
            body(json!({"userRegistration": {"enabled": true}})),
        )
        .await;
    assert_eq!(put.targets(), ["url"]);
}

#[tokio::test]
async fn the_configurations_key_is_kept_and_never_shown() {
    let world = World::new().await;
    let properties = json!({"delegation": {"delegateRegistration": true, "delegationUrl": "https://example.org", "validationKey": "5ca1ab1e"}});
    let put = world
        .send(
            Method::Put,
            "/portalconfigs/default",
            Some("*"),
            body(properties),
        )
        .await
        .expect(200);
    assert_eq!(
        put["properties"]["delegation"]["validationKey"],
        Value::Null
    );
    world
        .put("/portalconfigs/default", body(json!({})))
        .await
        .expect(400);
    world
        .send(
            Method::Put,
            "/portalconfigs/other",
            Some("*"),
            body(json!({})),
        )
        .await
        .expect(400);
}

#[tokio::test]
async fn one_revision_of_the_portal_is_current() {
    let world = World::new().await;
    for name in ["20261101", "20261102"] {
        let put = world
            .put(
                &format!("/portalRevisions/{name}"),
                body(json!({"isCurrent": true})),
            )
            .await
            .expect(201);
        assert_eq!(put["properties"]["status"], "completed");
        assert_eq!(put["properties"]["provisioningState"], "Succeeded");
    }
    assert_eq!(
        world
            .names("/portalRevisions?$filter=isCurrent eq true")
            .await,
        ["20261102"]
    );
    world
        .patch("/portalRevisions/20261101", json!({"isCurrent": true}))
        .await
        .expect(200);
    assert_eq!(
        world
            .names("/portalRevisions?$filter=isCurrent eq true")
            .await,
        ["20261101"]
    );
}

#[tokio::test]
async fn signing_in_and_up_are_switched_apart() {
    let world = World::new().await;
    for name in ["signin", "signup"] {
        let item = format!("/portalsettings/{name}");
        let first = world.head(&item).await;
        let etag = first.header("ETag").expect("an ETag").to_owned();
        first.expect(200);
        let on = world
            .put(&item, body(json!({"enabled": true})))
            .await
            .expect(200);
        assert_eq!(on["properties"]["enabled"], true, "{item}");
        let stale = world
            .send(
                Method::Patch,
                &item,
                Some(&etag),
                body(json!({"enabled": false})),
            )
            .await;
        stale.expect(412);
        world
            .patch(&item, json!({"enabled": false}))
            .await
            .expect(204);
        let off = world.get(&item).await.expect(200);
        assert_eq!(off["properties"]["enabled"], false, "{item}");
    }
}
