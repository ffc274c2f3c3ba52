//! Named values and certificates that live in a key vault: a small vault of the test's own, with a token endpoint.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use embedded_postgres::test_database::TestDatabase;
use engine::Resource as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use testkit::{Answer, Portico};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

/// A vault with one text and one certificate; it is closed while the text is `None`.
struct Vault {
    url: String,
    text: Mutex<Option<&'static str>>,
}

impl Vault {
    async fn start() -> anyhow::Result<Arc<Self>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let vault = Arc::new(Self {
            url: format!("http://{}", listener.local_addr()?),
            text: Mutex::new(Some("open-sesame")),
        });
        let serving = vault.clone();
        testkit::answer(listener, move |request| {
            let vault = serving.clone();
            async move { vault.answer(request).await }
        });
        Ok(vault)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<bytes::Bytes>> {
        let place = request.uri().to_string();
        let shown = request.headers().get("authorization").cloned();
        let shown = shown.as_ref().and_then(|shown| shown.to_str().ok());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let form = "grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default";
        let (status, body) = match (place.as_str(), shown, *self.text.lock().unwrap()) {
            // portico:secret
            ("/token", Some("Basic cG9ydGljbzpzZWNyZXQ="), _) if *body == *form.as_bytes() => {
                (200, json!({"access_token": "let-me-in"}))
            }
            ("/secrets/text?api-version=7.4", Some("Bearer let-me-in"), Some(text)) => {
                (200, json!({"value": text}))
            }
            ("/secrets/file/1?api-version=7.4", Some("Bearer let-me-in"), Some(_)) => {
                let file = kinds::certificate::Certificate::example();
                (200, json!({"value": file["data"]}))
            }
            _ => (403, json!({})),
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }
}

/// A Portico that may read one vault, with a service and its workspace.
struct Vaulted {
    /// Dropped with its databases at the end of the test.
    _database: TestDatabase,
    vault: Arc<Vault>,
    portico: Portico,
    token: String,
    service: String,
    team: String,
}

async fn vaulted() -> anyhow::Result<Vaulted> {
    let (database, vault) = (TestDatabase::create().await?, Vault::start().await?);
    let token_url = format!("{}/token", vault.url);
    let portico = Portico::start(
        BINARY,
        &database,
        &[
            ("PORTICO_IMPORT_PRIVATE_LINKS", "true"),
            ("PORTICO_KEY_VAULTS", &vault.url),
            ("PORTICO_KEY_VAULT_TOKEN_URL", &token_url),
            ("PORTICO_KEY_VAULT_CLIENT_ID", "portico"),
            ("PORTICO_KEY_VAULT_CLIENT_SECRET", "secret"),
        ],
    )
    .await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "vaulted").await?;
    let team = format!("{service}/workspaces/team");
    let named = json!({"properties": {"displayName": "Team"}});
    portico
        .ask(&token, &team, Method::PUT, "", Some(&named))
        .await?;
    Ok(Vaulted {
        _database: database,
        vault,
        portico,
        token,
        service,
        team,
    })
}

/// How the last reading went.
fn status(answer: &Answer) -> (&str, &str) {
    let status = &answer.body["properties"]["keyVault"]["lastStatus"];
    assert!(status["timeStampUtc"].is_string(), "{answer:?}");
    (
        status["code"].as_str().unwrap(),
        status["message"].as_str().unwrap(),
    )
}

#[tokio::test]
async fn a_named_value_is_read_from_its_vault_and_read_again_on_request() -> anyhow::Result<()> {
    let vaulted = vaulted().await?;
    let (vault, portico, token) = (&vaulted.vault, &vaulted.portico, &vaulted.token);
    let (service, team) = (&vaulted.service, &vaulted.team);
    let identifier = format!("{}/secrets/text", vault.url);
    let keeps = json!({"secretIdentifier": identifier, "identityClientId": "ours",
        "lastStatus": {"code": "Success", "message": "as the caller says", "timeStampUtc": "2020-01-01T00:00:00Z"}});
    for place in [service, team] {
        *vault.text.lock().unwrap() = Some("open-sesame");
        let post = async |action: &str| {
            let path = format!("/namedValues/backend/{action}");
            portico.ask(token, place, Method::POST, &path, None).await
        };
        let value = async || anyhow::Ok(post("listValue").await?.body["value"].clone());
        let body =
            json!({"properties": {"displayName": "backend", "secret": true, "keyVault": keeps}});
        let made = portico
            .ask(
                token,
                place,
                Method::PUT,
                "/namedValues/backend",
                Some(&body),
            )
            .await?;
        assert_eq!(made.status, StatusCode::CREATED);
        assert_eq!(status(&made), ("Success", ""));
        let properties = &made.body["properties"];
        assert_eq!(properties.get("value"), None);
        assert_eq!(properties["keyVault"]["secretIdentifier"], identifier);
        assert_eq!(properties["keyVault"]["identityClientId"], "ours");
        assert_eq!(value().await?, "open-sesame");

        *vault.text.lock().unwrap() = Some("open-barley");
        let refreshed = post("refreshSecret").await?;
        assert_eq!(refreshed.status, StatusCode::OK);
        assert_eq!(refreshed.body["name"], "backend");
        assert_eq!(status(&refreshed), ("Success", ""));
        assert_eq!(value().await?, "open-barley");

        *vault.text.lock().unwrap() = None;
        let closed = post("refreshSecret").await?;
        let why = format!("{identifier} was answered with the status 403.");
        assert_eq!(status(&closed), ("Failed", why.as_str()));
        assert_eq!(value().await?, "open-barley");
        let failed = "/namedValues?isKeyVaultRefreshFailed=true";
        let list = portico.ask(token, place, Method::GET, failed, None).await?;
        assert_eq!(list.body["count"], 1);
    }
    vaulted.portico.stop().await
}

#[tokio::test]
async fn a_certificate_is_read_from_its_vault_or_refused() -> anyhow::Result<()> {
    let vaulted = vaulted().await?;
    let (vault, portico, token) = (&vaulted.vault, &vaulted.portico, &vaulted.token);
    let (service, team) = (&vaulted.service, &vaulted.team);
    for place in [service, team] {
        *vault.text.lock().unwrap() = None;
        let path = format!("{place}/certificates/client");
        let keeps = json!({"secretIdentifier": format!("{}/secrets/file/1", vault.url)});
        let body = json!({"properties": {"keyVault": keeps}});
        let put = async |body: &Value| {
            portico
                .send(token, Method::PUT, &path, &[], Some(body))
                .await
        };
        let refused = put(&body).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.body["error"]["details"][0]["target"], "keyVault");

        *vault.text.lock().unwrap() = Some("open");
        let both = json!({"properties": {"keyVault": keeps, "data": "AAAA"}});
        let refused = put(&both).await?;
        assert_eq!(refused.body["error"]["details"][0]["target"], "data");
        let made = put(&body).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(status(&made), ("Success", ""));
        let thumbprint = made.body["properties"]["thumbprint"].clone();
        assert_eq!(thumbprint.as_str().map(str::len), Some(40));

        *vault.text.lock().unwrap() = None;
        let refresh = "/certificates/client/refreshSecret";
        let closed = portico
            .ask(token, place, Method::POST, refresh, None)
            .await?;
        assert_eq!(status(&closed).0, "Failed");
        assert_eq!(closed.body["properties"]["thumbprint"], thumbprint);
    }
    vaulted.portico.stop().await
}

#[tokio::test]
async fn no_vault_that_is_not_named_is_shown_a_token() -> anyhow::Result<()> {
    let vaulted = vaulted().await?;
    let (vault, portico, token) = (&vaulted.vault, &vaulted.portico, &vaulted.token);
    let service = &vaulted.service;
    // As a text, the named vault begins like this one.
    let elsewhere = format!("{}0/secrets/text", vault.url);
    let keeps = json!({"secretIdentifier": elsewhere});
    let body = json!({"properties": {"displayName": "backend", "keyVault": keeps}});
    let made = portico
        .ask(
            token,
            service,
            Method::PUT,
            "/namedValues/backend",
            Some(&body),
        )
        .await?;
    let why = format!(
        "{elsewhere} is in none of the key vaults that this installation may read (--key-vaults)."
    );
    assert_eq!(status(&made), ("Failed", why.as_str()));
    // It has no value, and no policy finds one.
    let policy = json!({"properties": {"value": "<policies><inbound><base /><return-response><set-body>{{backend}}</set-body></return-response></inbound><backend><base /></backend><outbound><base /></outbound></policies>"}});
    portico
        .ask(
            token,
            service,
            Method::PUT,
            "/apis/echo-api/policies/policy",
            Some(&policy),
        )
        .await?;
    let shown = portico.ask(token, service, Method::GET, "", None).await?;
    let gateway = shown.body["properties"]["gatewayUrl"].as_str().unwrap();
    let secrets = "/subscriptions/master/listSecrets";
    let secrets = portico
        .ask(token, service, Method::POST, secrets, None)
        .await?;
    let called = reqwest::Client::new()
        .get(format!("{gateway}/echo/resource?param1=sample"))
        .header(
            "Ocp-Apim-Subscription-Key",
            secrets.body["primaryKey"].as_str().unwrap(),
        )
        .send()
        .await?;
    assert_eq!(called.status(), StatusCode::INTERNAL_SERVER_ERROR);
    vaulted.portico.stop().await
}
