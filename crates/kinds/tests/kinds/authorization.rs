//! Authorizations keep their secrets.

use crate::world::{World, body};
use engine::{json, sqlx};

#[tokio::test]
async fn secrets_of_providers_and_connections_are_sealed() {
    let world = World::new().await;
    let provider = json!({"displayName": "Directory", "identityProvider": "oauth2", "oauth2": {
        "redirectUrl": "https://example.org/back",
        "grantTypes": {"authorizationCode": {"clientId": "portal", "clientSecret": "5ca1ab1e"}}}});
    let item = "/authorizationProviders/directory";
    let created = world.put(item, body(provider)).await.expect(201);
    assert_eq!(
        created["properties"]["oauth2"]["grantTypes"],
        json!({"authorizationCode": {"clientId": "portal"}})
    );
    world
        .put(item, body(created["properties"].clone()))
        .await
        .expect(200);
    let connection = format!("{item}/authorizations/first");
    let created = world
        .put(
            &connection,
            body(json!({"oauth2grantType": "ClientCredentials", "parameters": {"clientId": "portal", "clientSecret": "5ca1ab1e"}})),
        )
        .await
        .expect(201);
    assert_eq!(
        created["properties"],
        json!({"authorizationType": "OAuth2", "oauth2grantType": "ClientCredentials", "parameters": {"clientId": "portal"},
               "status": "Error", "error": {"code": "Unauthenticated", "message": "This connection is not authenticated."}})
    );
    for (table, column, wanted) in [
        (
            "authorization_providers",
            "sealed_secrets",
            json!({"authorizationCode": {"clientSecret": "5ca1ab1e"}}),
        ),
        (
            "authorizations",
            "sealed_parameters",
            json!({"clientSecret": "5ca1ab1e"}),
        ),
    ] {
        let sql = format!("SELECT to_jsonb(t)::text, {column} FROM {table} t");
        let (row, sealed): (String, Vec<u8>) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .fetch_one(&world.pool)
            .await
            .expect("a row");
        assert!(!row.contains("5ca1ab1e"), "{row}");
        let kept = world.engine.codec.open(&sealed).expect("a secret");
        assert_eq!(kept.expose(), wanted.to_string());
    }
    let policy = json!({"tenantId": "t", "objectId": "o", "appIds": ["a"]});
    let created = world
        .put(
            &format!("{connection}/accessPolicies/reader"),
            body(policy.clone()),
        )
        .await
        .expect(201);
    assert_eq!(created["properties"], policy);
}
