//! A login for an authorization, from the link to the tokens, with a provider of the test's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use embedded_postgres::test_database::TestDatabase;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming};
use reqwest::{Client, Method, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use testkit::{Answer, Portico};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

type Query = BTreeMap<String, String>;

/// A provider that gives tokens for one code, to who has the client's secret and the verifier of this challenge.
#[derive(Default)]
struct Provider {
    challenge: Mutex<String>,
    asked: Mutex<Vec<Query>>,
}

impl Provider {
    async fn start() -> anyhow::Result<(Arc<Self>, String)> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let provider = Arc::new(Self::default());
        let serving = provider.clone();
        testkit::answer(listener, move |request| {
            let provider = serving.clone();
            async move { provider.answer(request).await }
        });
        Ok((provider, url))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let credentials = request.headers().get("authorization").cloned();
        let credentials = credentials.as_ref().and_then(|value| value.to_str().ok());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let form: Query = serde_urlencoded::from_bytes(&body).unwrap();
        let verifier = form.get("code_verifier").cloned().unwrap_or_default();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest.as_ref());
        let is_right = form.get("code").map(String::as_str) == Some("the-code")
            // portal:5ca1ab1e
            && credentials == Some("Basic cG9ydGFsOjVjYTFhYjFl")
            && *self.challenge.lock().unwrap() == challenge;
        self.asked.lock().unwrap().push(form);
        let (status, body) = if is_right {
            let tokens = json!({"access_token": "let-me-in", "token_type": "Bearer", "refresh_token": "again", "expires_in": 3600});
            (200, tokens)
        } else {
            (400, json!({"error": "invalid_grant"}))
        };
        let reply = Response::builder().status(status);
        reply.body(Full::from(body.to_string())).unwrap()
    }
}

/// A Portico in which a service has a connection to the provider.
struct Connected {
    portico: Portico,
    token: String,
    /// The connection's id.
    connection: String,
    provider: Arc<Provider>,
    /// The provider's URL.
    address: String,
    _database: TestDatabase,
}

impl Connected {
    async fn start(environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (provider, address) = Provider::start().await?;
        let database = TestDatabase::create().await?;
        let portico = Portico::start(BINARY, &database, environment).await?;
        let token = portico.token().await?;
        let service = portico.service(&token, "connected").await?;
        let path = "/authorizationProviders/directory";
        let body = json!({"properties": {"displayName": "Directory", "identityProvider": "oauth2", "oauth2": {"grantTypes": {
            "authorizationCode": {"clientId": "portal", "clientSecret": "5ca1ab1e", "scopes": "read",
                "authorizationUrl": format!("{address}/authorize"), "tokenUrl": format!("{address}/token")}}}}});
        portico
            .ask(&token, &service, Method::PUT, path, Some(&body))
            .await?;
        let path = format!("{path}/authorizations/first");
        let body = json!({"properties": {"oauth2grantType": "AuthorizationCode"}});
        portico
            .ask(&token, &service, Method::PUT, &path, Some(&body))
            .await?;
        Ok(Self {
            portico,
            token,
            connection: format!("{service}{path}"),
            provider,
            address,
            _database: database,
        })
    }

    async fn post(&self, action: &str, body: Value) -> anyhow::Result<Answer> {
        let path = format!("{}/{action}", self.connection);
        self.portico
            .send(&self.token, Method::POST, &path, &[], Some(&body))
            .await
    }
}

fn query(url: &str) -> anyhow::Result<Query> {
    let url: url::Url = url.parse()?;
    Ok(url.query_pairs().into_owned().collect())
}

#[tokio::test]
async fn a_login_ends_with_tokens_of_the_provider() -> anyhow::Result<()> {
    let connected = Connected::start(&[("PORTICO_IMPORT_PRIVATE_LINKS", "true")]).await?;
    let next = json!({"postLoginRedirectUrl": "https://shop.example.org/done?from=portico"});
    let link = connected.post("getLoginLinks", next).await?;
    assert_eq!(link.status, StatusCode::OK, "{link:?}");
    let link = link.body["loginLink"].as_str().unwrap_or_default();
    assert!(
        link.starts_with(&format!("{}/authorize?", connected.address)),
        "{link}"
    );
    let asked = query(link)?;
    connected
        .provider
        .challenge
        .lock()
        .unwrap()
        .clone_from(&asked["code_challenge"]);

    // Whoever signed in comes back here, and is taken on with the code.
    let browser = Client::builder().redirect(Policy::none()).build()?;
    let back = async |state: &str, more: &str| -> anyhow::Result<(StatusCode, Option<String>)> {
        let url = format!("{}?state={state}&{more}", asked["redirect_uri"]);
        let reply = browser.get(url).send().await?;
        let location = reply.headers().get("location");
        let location = location
            .map(|l| l.to_str().map(str::to_owned))
            .transpose()?;
        Ok((reply.status(), location))
    };
    let done = "https://shop.example.org/done?from=portico";
    assert_eq!(
        back(&asked["state"], "code=the-code").await?,
        (
            StatusCode::FOUND,
            Some(format!("{done}&consentCode=the-code"))
        )
    );
    assert_eq!(
        back(&asked["state"], "error=access_denied").await?,
        (
            StatusCode::FOUND,
            Some(format!("{done}&error=access_denied"))
        )
    );
    assert_eq!(
        back("made-up", "code=the-code").await?,
        (StatusCode::NOT_FOUND, None)
    );

    let wrong = connected
        .post("confirmConsentCode", json!({"consentCode": "another"}))
        .await?;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        wrong.body["error"]["details"][0]["message"],
        "consentCode was not exchanged: the provider's tokenUrl was answered with the status 400."
    );
    // Tokens of the caller's own are not taken.
    let own = json!({"consentCode": "another", "consent": {"stateDigest": "", "tokens": {"accessToken": "own"}}});
    let own = connected.post("confirmConsentCode", own).await?;
    assert_eq!(own.status, StatusCode::BAD_REQUEST, "{own:?}");
    let right = connected
        .post("confirmConsentCode", json!({"consentCode": "the-code"}))
        .await?;
    assert_eq!(right.status, StatusCode::OK, "{right:?}");
    assert_eq!(right.body, Value::Null);
    let (token, connection) = (&connected.token, &connected.connection);
    let shown = connected
        .portico
        .send(token, Method::GET, connection, &[], None)
        .await?;
    assert_eq!(right.headers.get("etag"), shown.headers.get("etag"));
    assert_eq!(
        shown.body["properties"],
        json!({"authorizationType": "OAuth2", "oauth2grantType": "AuthorizationCode", "status": "Connected"})
    );
    let last = connected
        .provider
        .asked
        .lock()
        .unwrap()
        .last()
        .cloned()
        .unwrap();
    assert_eq!(last["grant_type"], "authorization_code");
    assert_eq!(last["redirect_uri"], asked["redirect_uri"]);
    assert!(
        !last.contains_key("client_secret") && !last.contains_key("client_id"),
        "they are the credentials: {last:?}"
    );

    // It was ended: neither the code nor the state is of use any more.
    let again = connected
        .post("confirmConsentCode", json!({"consentCode": "the-code"}))
        .await?;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    let own = json!({"consentCode": "code", "consent": {"stateDigest": "", "tokens": {"accessToken": "own"}}});
    let own = connected.post("confirmConsentCode", own).await?;
    assert_eq!(own.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        back(&asked["state"], "code=the-code").await?,
        (StatusCode::NOT_FOUND, None)
    );
    Ok(())
}

#[tokio::test]
async fn a_private_token_url_is_not_called() -> anyhow::Result<()> {
    let connected = Connected::start(&[]).await?;
    let next = json!({"postLoginRedirectUrl": "https://shop.example.org/"});
    let link = connected.post("getLoginLinks", next).await?;
    assert_eq!(link.status, StatusCode::OK, "{link:?}");
    let refused = connected
        .post("confirmConsentCode", json!({"consentCode": "the-code"}))
        .await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let message = refused.body["error"]["details"][0]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(message.contains("not a public address"), "{message}");
    assert!(connected.provider.asked.lock().unwrap().is_empty());
    Ok(())
}
