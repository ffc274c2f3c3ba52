//! Signing in to a developer portal with an identity provider: a small OpenID Connect provider of the test's own, which
//! checks the portal's side of the protocol as strictly as a real one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "the provider of the test has a clock of its own, as real ones have"
)]

use crate::portal::{BINARY, Browser, DANA, DANAS_PASSWORD, service};
use anyhow::Context as _;
use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use embedded_postgres::test_database::TestDatabase;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming};
use reqwest::{Method, StatusCode, Url, header};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};
use testkit::Portico;

/// What the provider remembers of a visit.
type Visit = HashMap<String, String>;

/// A provider: who visits it is `person`.
struct Provider {
    url: String,
    key: EcdsaKeyPair,
    person: Mutex<Value>,
    /// Open codes.
    codes: Mutex<HashMap<String, Visit>>,
}

impl Provider {
    async fn start() -> anyhow::Result<Arc<Self>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        let provider = Arc::new(Self {
            url: format!("http://{}", listener.local_addr()?),
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())?,
            person: Mutex::default(),
            codes: Mutex::default(),
        });
        let serving = provider.clone();
        testkit::answer(listener, move |request| {
            let provider = serving.clone();
            async move { provider.answer(request).await }
        });
        Ok(provider)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<bytes::Bytes>> {
        let path = request.uri().path().to_owned();
        let authorization = request
            .headers()
            .get("authorization")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        let body = request
            .into_body()
            .collect()
            .await
            .map(|b| b.to_bytes())
            .unwrap_or_default();
        let reply = match path.as_str() {
            "/.well-known/openid-configuration" => Ok(json!({
                "issuer": self.url, "authorization_endpoint": format!("{}/authorize", self.url),
                "token_endpoint": format!("{}/token", self.url), "jwks_uri": format!("{}/keys", self.url),
            })),
            "/keys" => {
                let point = self.key.public_key().as_ref();
                let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
                Ok(json!({"keys": [
                    {"kty": "unheard-of", "kid": "other"},
                    {"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
                     "x": number(&point[1..33]), "y": number(&point[33..65])},
                ]}))
            }
            "/token" => self.token(authorization.as_deref(), &body),
            _ => Err("no such path"),
        };
        let (status, body) = match reply {
            Ok(body) => (200, body),
            Err(why) => (400, json!({"error": why})),
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        response
    }

    /// What the provider's own page does: the person agrees, and is sent back with a code.
    fn agreed(&self, location: &Url) -> anyhow::Result<Url> {
        let visit: Visit = location.query_pairs().into_owned().collect();
        let is = |name: &str, value: &str| {
            assert_eq!(visit.get(name).map(String::as_str), Some(value), "{name}");
        };
        is("response_type", "code");
        is("client_id", "portal");
        is("code_challenge_method", "S256");
        let scopes: Vec<&str> = visit.get("scope").context("no scope")?.split(' ').collect();
        assert!(scopes.contains(&"openid"), "{scopes:?}");
        let mut back: Url = visit
            .get("redirect_uri")
            .context("no redirect_uri")?
            .parse()?;
        let mut codes = self.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", visit.get("state").context("no state")?);
        codes.insert(code, visit);
        Ok(back)
    }

    fn token(&self, authorization: Option<&str>, body: &[u8]) -> Result<Value, &'static str> {
        let form: HashMap<String, String> =
            serde_urlencoded::from_bytes(body).map_err(|_| "no form")?;
        let expected = format!("Basic {}", BASE64_STANDARD.encode("portal:s%26cret"));
        if authorization != Some(expected.as_str()) {
            return Err("invalid_client");
        }
        let code = form.get("code").ok_or("no code")?;
        let visit = self
            .codes
            .lock()
            .unwrap()
            .remove(code)
            .ok_or("invalid_grant")?;
        let verifier = form.get("code_verifier").ok_or("no verifier")?;
        let challenge =
            BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        if visit.get("code_challenge") != Some(&challenge)
            || visit.get("redirect_uri") != form.get("redirect_uri")
        {
            return Err("invalid_grant");
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| "no time")?
            .as_secs();
        let mut claims = json!({"iss": self.url, "aud": "portal", "iat": now, "exp": now + 300, "nonce": visit["nonce"]});
        for (name, value) in self
            .person
            .lock()
            .unwrap()
            .as_object()
            .into_iter()
            .flatten()
        {
            claims[name] = value.clone();
        }
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "ES256", "typ": "JWT", "kid": "one"})),
            part(&claims)
        );
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| "no signature")?;
        let token = format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref())
        );
        Ok(json!({"access_token": "unused", "token_type": "Bearer", "id_token": token}))
    }
}

/// A browser that follows no redirect by itself.
fn browser() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?)
}

/// Goes to the provider: where it is sent, and the cookie that it must bring back.
async fn begun(client: &reqwest::Client, api: &str, query: &str) -> anyhow::Result<(Url, String)> {
    let reply = client
        .get(format!("{api}/sign-in/acme{query}"))
        .send()
        .await?;
    assert_eq!(reply.status(), StatusCode::FOUND);
    let set = reply.headers()[header::SET_COOKIE].to_str()?.to_owned();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Lax"),
        "{set}"
    );
    let cookie = set.split(';').next().context("no cookie")?.to_owned();
    Ok((reply.headers()[header::LOCATION].to_str()?.parse()?, cookie))
}

/// Comes back from the provider: where it is sent, and the session if there is one.
async fn ended(
    client: &reqwest::Client,
    back: Url,
    cookie: &str,
) -> anyhow::Result<(String, Browser)> {
    let reply = client
        .get(back)
        .header(header::COOKIE, cookie)
        .send()
        .await?;
    assert_eq!(reply.status(), StatusCode::FOUND);
    let session = reply
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|set| set.to_str().ok()?.split(';').next())
        .find(|cookie| cookie.starts_with("portico_developer="))
        .map(str::to_owned);
    let location: Url = reply.headers()[header::LOCATION].to_str()?.parse()?;
    let path = location.path().to_owned()
        + &location
            .query()
            .map(|q| format!("?{q}"))
            .unwrap_or_default();
    Ok((
        path,
        Browser {
            cookie: session,
            ..Browser::default()
        },
    ))
}

/// A whole visit of somebody.
async fn visited(
    provider: &Provider,
    api: &str,
    query: &str,
    person: Value,
) -> anyhow::Result<(String, Value)> {
    *provider.person.lock().unwrap() = person;
    let client = browser()?;
    let (location, cookie) = begun(&client, api, query).await?;
    let (path, mut signed_in) = ended(&client, provider.agreed(&location)?, &cookie).await?;
    Ok((path, signed_in.get(&format!("{api}/session")).await?.1))
}

async fn configured(
    portico: &Portico,
    provider: &Provider,
    token: &str,
    service: &str,
    portal: Value,
) -> anyhow::Result<()> {
    let acme = json!({"properties": {"displayName": "Acme", "metadataEndpoint": format!("{}/.well-known/openid-configuration", provider.url),
        "clientId": "portal", "clientSecret": "s&cret"}});
    let put = portico
        .send(
            token,
            Method::PUT,
            &format!("{service}/openidConnectProviders/acme"),
            &[],
            Some(&acme),
        )
        .await?;
    anyhow::ensure!(put.status.is_success(), "{put:?}");
    let path = format!("{service}/developerPortals/default");
    let put = portico
        .send(
            token,
            Method::PUT,
            &path,
            &[],
            Some(&json!({"properties": portal})),
        )
        .await?;
    anyhow::ensure!(put.status.is_success(), "{put:?}");
    Ok(())
}

const PRIVATE: [(&str, &str); 1] = [("PORTICO_IMPORT_PRIVATE_LINKS", "true")];

#[tokio::test]
async fn whom_a_provider_vouches_for_has_an_account() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &PRIVATE).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let provider = Provider::start().await?;
    let client = browser()?;
    configured(&portico, &provider, &token, &service, json!({})).await?;
    let unlisted = client.get(format!("{api}/sign-in/acme")).send().await?;
    assert_eq!(
        unlisted.status(),
        StatusCode::NOT_FOUND,
        "the publisher did not choose it"
    );
    configured(
        &portico,
        &provider,
        &token,
        &service,
        json!({"signInProviders": ["acme"]}),
    )
    .await?;
    let (_, shown) = Browser::default().get(&format!("{api}/service")).await?;
    assert_eq!(
        shown["providers"],
        json!([{"name": "acme", "displayName": "Acme"}])
    );

    let ann = json!({"sub": "a-1", "email": "ann@example.org", "email_verified": true, "given_name": "Ann", "family_name": "Novak"});
    let (path, me) = visited(&provider, &api, "", ann.clone()).await?;
    assert_eq!(
        (
            path.as_str(),
            &me["email"],
            &me["firstName"],
            &me["hasPassword"]
        ),
        (
            "/demo/",
            &json!("ann@example.org"),
            &json!("Ann"),
            &json!(false)
        )
    );
    let user = me["userId"].clone();
    // The subject counts, not the address.
    let moved = json!({"sub": "a-1", "email": "ann@elsewhere.example", "email_verified": true});
    let (_, me) = visited(&provider, &api, "", moved).await?;
    assert_eq!(
        (&me["userId"], &me["email"]),
        (&user, &json!("ann@example.org"))
    );
    let stored = portico
        .send(
            &token,
            Method::GET,
            &format!("{service}/users/{}", user.as_str().unwrap_or_default()),
            &[],
            None,
        )
        .await?;
    let identities = &stored.body["properties"]["identities"];
    assert!(
        identities
            .as_array()
            .is_some_and(|all| all.contains(&json!({"provider": "acme", "id": "a-1"}))),
        "{identities}"
    );

    let blocked = json!({"properties": {"state": "blocked"}});
    let path = format!("{service}/users/{}", user.as_str().unwrap_or_default());
    portico
        .send(
            &token,
            Method::PATCH,
            &path,
            &[("if-match", "*")],
            Some(&blocked),
        )
        .await?;
    let (path, me) = visited(&provider, &api, "", ann).await?;
    assert_eq!(
        (path.as_str(), &me["email"]),
        ("/demo/signin?problem=blocked", &Value::Null)
    );
    let nameless = json!({"sub": "n-1"});
    assert_eq!(
        visited(&provider, &api, "", nameless).await?.0,
        "/demo/signin?problem=email"
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_that_belongs_to_another_sign_in_is_refused() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &PRIVATE).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let provider = Provider::start().await?;
    configured(
        &portico,
        &provider,
        &token,
        &service,
        json!({"signInProviders": ["acme"]}),
    )
    .await?;
    let person = json!({"sub": "a-1", "email": "ann@example.org", "email_verified": true});
    *provider.person.lock().unwrap() = person.clone();
    let client = browser()?;
    let failed = "/demo/signin?problem=provider";

    let (location, cookie) = begun(&client, &api, "").await?;
    let back = provider.agreed(&location)?;
    assert_eq!(
        ended(&client, back.clone(), "").await?.0,
        failed,
        "another browser"
    );
    let (_, other) = begun(&client, &api, "").await?;
    assert_eq!(
        ended(&client, back.clone(), &other).await?.0,
        failed,
        "another visit's cookie"
    );
    assert_eq!(ended(&client, back.clone(), &cookie).await?.0, "/demo/");
    assert_eq!(
        ended(&client, back, &cookie).await?.0,
        failed,
        "a code counts once"
    );

    let later = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() - 3600;
    for (claim, value) in [
        ("nonce", json!("another")),
        ("aud", json!("another")),
        ("aud", json!(["portal", "another"])),
        ("azp", json!("another")),
        ("iss", json!("https://another.example")),
        ("exp", json!(later)),
        ("iat", json!(later + 10_000)),
    ] {
        let mut wrong = person.clone();
        wrong[claim] = value.clone();
        let (path, me) = visited(&provider, &api, "", wrong).await?;
        assert_eq!(
            (path.as_str(), &me["email"]),
            (failed, &Value::Null),
            "{claim} {value}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_address_is_taken_over_only_by_who_proved_it() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &PRIVATE).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let provider = Provider::start().await?;
    let portal = json!({"signInProviders": ["acme"]});
    configured(&portico, &provider, &token, &service, portal).await?;
    let path = format!("{service}/portalsettings/signup");
    let terms = crate::developer::terms_of_use(true, "Be nice.");
    let put = portico
        .send(&token, Method::PUT, &path, &[], Some(&terms))
        .await?;
    assert!(put.status.is_success(), "{put:?}");
    let newcomer = json!({"sub": "n-1", "email": "new@example.org", "email_verified": true});
    assert_eq!(
        visited(&provider, &api, "", newcomer.clone()).await?.0,
        "/demo/signin?problem=consent"
    );
    assert_eq!(
        visited(&provider, &api, "?consent=1", newcomer).await?.0,
        "/demo/"
    );

    // Somebody signs up with Dana's address and cannot confirm it.
    let person = json!({"firstName": "Dana", "lastName": "Developer", "email": DANA, "password": DANAS_PASSWORD, "consent": true});
    let mut stranger = Browser::default();
    assert_eq!(
        stranger.post(&format!("{api}/sign-up"), person).await?.0,
        StatusCode::ACCEPTED
    );
    let unproved = json!({"sub": "d-1", "email": DANA, "email_verified": false});
    assert_eq!(
        visited(&provider, &api, "", unproved).await?.0,
        "/demo/signin?problem=exists"
    );
    let proved = json!({"sub": "d-1", "email": DANA, "email_verified": true});
    let (path, me) = visited(&provider, &api, "", proved).await?;
    assert_eq!(
        (path.as_str(), &me["email"], &me["hasPassword"]),
        ("/demo/", &json!(DANA), &json!(false))
    );
    let credentials = json!({"email": DANA, "password": DANAS_PASSWORD});
    let (status, _) = stranger
        .post(&format!("{api}/session"), credentials)
        .await?;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "the stranger's password opens nothing"
    );
    Ok(())
}
