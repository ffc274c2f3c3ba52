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

/// A provider with these parameters of the code grant, and a connection to it.
async fn connected(
    world: &World,
    identity_provider: &str,
    redirect_url: Option<&str>,
    grant: engine::Value,
) -> String {
    let provider = json!({"displayName": "Directory", "identityProvider": identity_provider, "oauth2": {
        "redirectUrl": redirect_url, "grantTypes": {"authorizationCode": grant}}});
    let item = "/authorizationProviders/directory";
    let put = world.put(item, body(provider)).await;
    assert!(matches!(put.status, 200 | 201), "{put:?}");
    let connection = format!("{item}/authorizations/first");
    let code_grant = json!({"oauth2grantType": "AuthorizationCode"});
    let put = world.put(&connection, body(code_grant)).await;
    assert!(matches!(put.status, 200 | 201), "{put:?}");
    connection
}

fn generic() -> engine::Value {
    json!({"clientId": "portal", "clientSecret": "5ca1ab1e", "scopes": "read write",
           "authorizationUrl": "https://login.example.org/authorize?audience=apis", "tokenUrl": "https://login.example.org/token"})
}

/// The page and the query of a login link.
async fn link(
    world: &World,
    connection: &str,
    given: engine::Value,
) -> (String, Vec<(String, String)>) {
    let reply = world
        .post(&format!("{connection}/getLoginLinks"), given)
        .await
        .expect(200);
    let link: url::Url = reply["loginLink"]
        .as_str()
        .expect("a link")
        .parse()
        .expect("a URL");
    let mut page = link.clone();
    page.set_query(None);
    (page.into(), link.query_pairs().into_owned().collect())
}

fn value<'q>(query: &'q [(String, String)], name: &str) -> Option<&'q str> {
    let found = query.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_login_link_leads_to_the_provider_and_is_remembered_sealed() {
    let world = World::new().await;
    let own_page = "https://shop.example.org/back";
    let connection = connected(&world, "oauth2", Some(own_page), generic()).await;
    let (page, first) = link(&world, &connection, json!({})).await;
    assert_eq!(page, "https://login.example.org/authorize");
    for (name, wanted) in [
        ("audience", "apis"),
        ("response_type", "code"),
        ("client_id", "portal"),
        ("redirect_uri", own_page),
        ("scope", "read write"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(value(&first, name), Some(wanted), "{name}");
    }
    let (_, second) = link(&world, &connection, json!({})).await;
    for name in ["state", "code_challenge"] {
        let (one, two) = (value(&first, name), value(&second, name));
        assert_eq!(one.map(str::len), Some(43), "{name} has 256 bits");
        assert_ne!(one, two, "{name}");
    }
    let state = value(&second, "state").expect("a state");
    let (kept, row): (Vec<u8>, String) =
        sqlx::query_as("SELECT state_digest, to_jsonb(l)::text FROM authorization_logins l")
            .fetch_one(&world.pool)
            .await
            .expect("one login at a time");
    assert_eq!(kept, kinds::authorization_login::state_digest(state));
    for secret in [state, "5ca1ab1e"] {
        assert!(!row.contains(secret), "{row}");
    }
    let trail: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_entries WHERE action LIKE '%/authorizations/getLoginLinks/action'",
    )
    .fetch_one(&world.pool)
    .await
    .expect("a count");
    assert_eq!(trail, 2);
    world.delete(&connection).await.expect(200);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM authorization_logins")
        .fetch_one(&world.pool)
        .await
        .expect("a count");
    assert_eq!(left, 0, "a login goes with its connection");
}

#[tokio::test]
async fn known_providers_need_not_name_their_pages() {
    let world = World::new().await;
    let next = json!({"postLoginRedirectUrl": "https://shop.example.org/"});
    for (provider, grant, page, scope) in [
        (
            "aad",
            json!({"clientId": "c", "resourceUri": "https://graph.microsoft.com/"}),
            "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
            "https://graph.microsoft.com/.default",
        ),
        (
            "aad",
            json!({"clientId": "c", "loginUri": "https://login.example.org/", "tenantId": "t", "scopes": "User.Read"}),
            "https://login.example.org/t/oauth2/v2.0/authorize",
            "User.Read",
        ),
        (
            "google",
            json!({"clientId": "c", "scopes": "openid"}),
            "https://accounts.google.com/o/oauth2/v2/auth",
            "openid",
        ),
    ] {
        let connection = connected(&world, provider, None, grant).await;
        let (found, query) = link(&world, &connection, next.clone()).await;
        assert_eq!(found, page);
        assert_eq!(value(&query, "scope"), Some(scope));
        assert_eq!(
            value(&query, "redirect_uri"),
            Some("http://127.0.0.1:8080/authorizations/redirect")
        );
    }
}

#[tokio::test]
async fn what_a_login_lacks_is_named() {
    let world = World::new().await;
    let own_page = Some("https://shop.example.org/back");
    let connection = connected(&world, "oauth2", own_page, json!({})).await;
    let links = format!("{connection}/getLoginLinks");
    let field = |name: &str| format!("oauth2.grantTypes.authorizationCode.{name}");
    assert_eq!(
        world.post(&links, json!({})).await.targets(),
        [
            field("clientId"),
            field("authorizationUrl"),
            field("tokenUrl")
        ]
    );
    let mut wrong = generic();
    wrong["authorizationUrl"] = json!("javascript:alert(1)");
    wrong["tokenUrl"] = json!("login.example.org/token");
    connected(&world, "oauth2", own_page, wrong).await;
    assert_eq!(
        world.post(&links, json!({})).await.targets(),
        [field("authorizationUrl"), field("tokenUrl")]
    );
    connected(&world, "oauth2", own_page, generic()).await;
    let next = json!({"postLoginRedirectUrl": "https://shop.example.org/"});
    let elsewhere = world.post(&links, next).await;
    assert_eq!(elsewhere.targets(), ["postLoginRedirectUrl"]);
    connected(&world, "oauth2", None, generic()).await;
    for next in [json!({}), json!({"postLoginRedirectUrl": "shop"})] {
        let refused = world.post(&links, next).await;
        assert_eq!(refused.targets(), ["postLoginRedirectUrl"]);
    }
    let other = connection.replace("/first", "/second");
    let credentials = json!({"oauth2grantType": "ClientCredentials"});
    world.put(&other, body(credentials)).await.expect(201);
    let refused = world
        .post(&format!("{other}/getLoginLinks"), json!({}))
        .await;
    assert_eq!(refused.targets(), ["authorizationId"]);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM authorization_logins")
        .fetch_one(&world.pool)
        .await
        .expect("a count");
    assert_eq!(count, 0, "what is refused begins no login");
}

#[tokio::test]
async fn tokens_are_kept_once_and_go_with_other_parameters() {
    let world = World::new().await;
    let connection = connected(&world, "oauth2", Some("https://a.example.org/"), generic()).await;
    let confirm = format!("{connection}/confirmConsentCode");
    for (given, why) in [
        (json!({}), "is required"),
        (
            json!({"consentCode": 1}),
            "must be a text of 1 to 8192 characters",
        ),
        (
            json!({"consentCode": "code"}),
            "belongs to no login that is under way; get a new login link",
        ),
    ] {
        let refused = world.post(&confirm, given).await.expect(400);
        assert_eq!(refused["error"]["details"][0]["target"], "consentCode");
        assert_eq!(
            refused["error"]["details"][0]["message"],
            format!("consentCode {why}.")
        );
    }
    let (_, query) = link(&world, &connection, json!({})).await;
    let state = value(&query, "state").expect("a state");
    let consent = |state: &str| {
        json!({"consentCode": "code", "consent": {
            "stateDigest": hex::encode(kinds::authorization_login::state_digest(state)),
            "tokens": {"accessToken": "5ca1ab1e", "refreshToken": null, "expiresAt": null}}})
    };
    let other = world.post(&confirm, consent("another")).await;
    assert_eq!(other.targets(), ["consentCode"]);
    let before = world
        .get(&connection)
        .await
        .header("ETag")
        .map(str::to_owned);
    let confirmed = world.post(&confirm, consent(state)).await;
    let etag = confirmed.header("ETag").map(str::to_owned);
    assert_ne!(etag, before);
    assert_eq!(confirmed.expect(200), engine::Value::Null);
    let connected = json!({"authorizationType": "OAuth2", "oauth2grantType": "AuthorizationCode", "status": "Connected"});
    let got = world.get(&connection).await;
    assert_eq!(got.header("ETag"), etag.as_deref());
    assert_eq!(got.expect(200)["properties"], connected);
    let again = world.post(&confirm, consent(state)).await;
    assert_eq!(again.targets(), ["consentCode"]);
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed_tokens FROM authorizations")
        .fetch_one(&world.pool)
        .await
        .expect("tokens");
    let tokens = world.engine.codec.open(&sealed).expect("a secret");
    assert!(tokens.expose().contains("5ca1ab1e"), "{}", tokens.expose());

    let same = json!({"oauth2grantType": "AuthorizationCode"});
    let put = world.put(&connection, body(same)).await.expect(200);
    assert_eq!(put["properties"], connected);
    let changed = json!({"oauth2grantType": "AuthorizationCode", "parameters": {"scopes": "all"}});
    let put = world.put(&connection, body(changed)).await.expect(200);
    assert_eq!(put["properties"]["status"], "Error");
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM authorizations WHERE sealed_tokens IS NOT NULL")
            .fetch_one(&world.pool)
            .await
            .expect("a count");
    assert_eq!(left, 0);
}
