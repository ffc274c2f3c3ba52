//! The portals' sessions and the developer API, as a browser uses them.

use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use testkit::{ADMINISTRATOR, API_VERSION, PASSWORD, Portico};

pub const BINARY: &str = env!("CARGO_BIN_EXE_portico");
pub const DANA: &str = "dana@example.org";
pub const DANAS_PASSWORD: &str = "plum 7 tractor hills";

/// A browser: it keeps one cookie and sends what a portal's script sends.
#[derive(Default)]
pub struct Browser {
    pub client: reqwest::Client,
    pub cookie: Option<String>,
}

impl Browser {
    pub async fn send(
        &mut self,
        method: Method,
        url: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = self
            .client
            .request(method, url)
            .header("x-portico-portal", "1");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await?;
        if let Some(set) = reply.headers().get(header::SET_COOKIE) {
            self.cookie = set.to_str()?.split(';').next().map(str::to_owned);
        }
        let status = reply.status();
        let text = reply.text().await?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).with_context(|| text.clone())?
        };
        Ok((status, body))
    }

    pub async fn get(&mut self, url: &str) -> anyhow::Result<(StatusCode, Value)> {
        self.send(Method::GET, url, None).await
    }

    pub async fn post(&mut self, url: &str, body: Value) -> anyhow::Result<(StatusCode, Value)> {
        self.send(Method::POST, url, Some(body)).await
    }
}

/// A service and the base of its developer API.
pub async fn service(portico: &Portico, token: &str) -> anyhow::Result<(String, String)> {
    let path = portico.service(token, "demo").await?;
    let service = portico.send(token, Method::GET, &path, &[], None).await?;
    let portal = service.body["properties"]["developerPortalUrl"]
        .as_str()
        .context("no developer portal")?;
    Ok((path, format!("{portal}/api")))
}

/// The ticket of the newest mail to an address.
pub async fn ticket(
    portico: &Portico,
    token: &str,
    service: &str,
    to: &str,
) -> anyhow::Result<String> {
    let mails = portico
        .send(token, Method::GET, &format!("{service}/mails"), &[], None)
        .await?;
    let mails = mails.body["value"].as_array().context("no mails")?.clone();
    let text = mails
        .iter()
        .map(|mail| &mail["properties"])
        .filter(|mail| mail["recipient"].as_str().is_some_and(|r| r.contains(to)))
        .find_map(|mail| mail["text"].as_str().filter(|t| t.contains("?ticket=")))
        .context("no mail with a ticket")?;
    let (_, rest) = text.split_once("?ticket=").context("no ticket")?;
    Ok(rest
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '='))
        .collect())
}

/// Signs a developer up and in.
pub async fn developer(
    portico: &Portico,
    token: &str,
    service: &str,
    api: &str,
    email: &str,
) -> anyhow::Result<Browser> {
    let mut browser = Browser::default();
    let person = json!({"firstName": "Dana", "lastName": "Developer", "email": email, "password": DANAS_PASSWORD});
    let (status, body) = browser.post(&format!("{api}/sign-up"), person).await?;
    anyhow::ensure!(status == StatusCode::ACCEPTED, "{body}");
    let ticket = ticket(portico, token, service, email).await?;
    let (status, body) = browser
        .post(&format!("{api}/confirm"), json!({"ticket": ticket}))
        .await?;
    anyhow::ensure!(status == StatusCode::OK, "{body}");
    Ok(browser)
}

#[tokio::test]
async fn a_publishers_cookie_opens_the_management_api_to_the_portal_only() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let url = &portico.management_url;
    let client = reqwest::Client::new();

    let page = client.get(format!("{url}/publisher/apis")).send().await?;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"]
        .to_str()?
        .to_owned();
    assert!(
        policy.contains("script-src 'self' 'nonce-") && !policy.contains("unsafe"),
        "{policy}"
    );

    let credentials = json!({"email": ADMINISTRATOR, "password": PASSWORD});
    let session = format!("{url}/publisher/session");
    let forged = client.post(&session).json(&credentials).send().await?;
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    let signed_in = client
        .post(&session)
        .header("x-portico-portal", "1")
        .json(&credentials)
        .send()
        .await?;
    assert_eq!(signed_in.status(), StatusCode::OK);
    let cookie = signed_in.headers()[header::SET_COOKIE].to_str()?.to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );

    let cookie = cookie.split(';').next().context("no cookie")?;
    let list = format!("{url}/subscriptions?api-version={API_VERSION}");
    let asked = async |headers: &[(&str, &str)]| -> anyhow::Result<StatusCode> {
        let mut request = client.get(&list).header(header::COOKIE, cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.send().await?.status())
    };
    assert_eq!(asked(&[]).await?, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&[("x-portico-portal", "1")]).await?, StatusCode::OK);
    let elsewhere = [
        ("x-portico-portal", "1"),
        ("origin", "https://evil.example"),
    ];
    assert_eq!(asked(&elsewhere).await?, StatusCode::UNAUTHORIZED);

    let mut browser = Browser {
        cookie: Some(cookie.to_owned()),
        ..Browser::default()
    };
    let (status, _) = browser.send(Method::DELETE, &session, None).await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(browser.get(&session).await?.0, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test]
async fn an_account_opens_with_the_mailed_ticket_and_only_once() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut browser = Browser::default();

    let weak =
        json!({"firstName": "Dana", "lastName": "Developer", "email": DANA, "password": "short"});
    let (status, body) = browser.post(&format!("{api}/sign-up"), weak).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let person = json!({"firstName": "Dana", "lastName": "Developer", "email": DANA, "password": DANAS_PASSWORD});
    let (status, _) = browser.post(&format!("{api}/sign-up"), person).await?;
    assert_eq!(status, StatusCode::ACCEPTED);
    let credentials = json!({"email": DANA, "password": DANAS_PASSWORD});
    let early = browser
        .post(&format!("{api}/session"), credentials.clone())
        .await?;
    assert_eq!(early.0, StatusCode::UNAUTHORIZED);

    let first = ticket(&portico, &token, &service, DANA).await?;
    let confirmed = browser
        .post(&format!("{api}/confirm"), json!({"ticket": first}))
        .await?;
    assert_eq!(confirmed.0, StatusCode::OK);
    assert_eq!(
        browser.get(&format!("{api}/session")).await?.1["email"],
        DANA
    );
    let again = browser
        .post(&format!("{api}/confirm"), json!({"ticket": first}))
        .await?;
    assert_eq!(again.0, StatusCode::BAD_REQUEST);

    let reset = browser
        .post(&format!("{api}/reset"), json!({"email": DANA}))
        .await?;
    let stranger = browser
        .post(
            &format!("{api}/reset"),
            json!({"email": "nobody@example.org"}),
        )
        .await?;
    assert_eq!(
        reset, stranger,
        "whether an address has an account is not told"
    );
    let second = ticket(&portico, &token, &service, DANA).await?;
    let mut other = Browser::default();
    let new = json!({"ticket": second, "password": "seven quiet lanterns 9"});
    assert_eq!(
        other.post(&format!("{api}/confirm"), new).await?.0,
        StatusCode::OK
    );
    assert_eq!(
        browser.get(&format!("{api}/session")).await?.1,
        json!({}),
        "a new password ends the sessions of the old one"
    );
    assert_eq!(
        browser
            .post(&format!("{api}/session"), credentials)
            .await?
            .0,
        StatusCode::UNAUTHORIZED
    );
    Ok(())
}

#[tokio::test]
async fn subscribing_honours_approval_limit_and_ownership() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;

    let mut visitor = Browser::default();
    let (_, products) = visitor.get(&format!("{api}/products")).await?;
    assert_eq!(products["value"].as_array().map(Vec::len), Some(2));
    let starter = json!({"product": "starter", "displayName": "mine"});
    let (status, _) = visitor
        .post(&format!("{api}/subscriptions"), starter.clone())
        .await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);

    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let (status, active) = dana
        .post(&format!("{api}/subscriptions"), starter.clone())
        .await?;
    assert_eq!(
        (status, &active["state"]),
        (StatusCode::CREATED, &json!("active"))
    );
    let (status, _) = dana.post(&format!("{api}/subscriptions"), starter).await?;
    assert_eq!(status, StatusCode::CONFLICT, "the product's limit is one");
    let unlimited = json!({"product": "unlimited", "displayName": "more"});
    let (_, submitted) = dana
        .post(&format!("{api}/subscriptions"), unlimited)
        .await?;
    assert_eq!(submitted["state"], "submitted");

    let sid = active["name"].as_str().context("no name")?;
    let own = format!("{api}/subscriptions/{sid}");
    let (_, before) = dana.post(&format!("{own}/keys"), json!({})).await?;
    let (status, _) = dana
        .post(&format!("{own}/regenerate"), json!({"key": "primary"}))
        .await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, after) = dana.post(&format!("{own}/keys"), json!({})).await?;
    assert_ne!(before["primaryKey"], after["primaryKey"]);
    assert_eq!(before["secondaryKey"], after["secondaryKey"]);

    let mut eve = developer(&portico, &token, &service, &api, "eve@example.org").await?;
    let (status, _) = eve.post(&format!("{own}/keys"), json!({})).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = eve.post(&format!("{own}/cancel"), json!({})).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let (status, _) = dana.post(&format!("{own}/cancel"), json!({})).await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, list) = dana.get(&format!("{api}/subscriptions")).await?;
    let mut states: Vec<&str> = list["value"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|s| s["state"].as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["cancelled", "submitted"]);
    Ok(())
}

#[tokio::test]
async fn a_product_of_other_groups_is_hidden_with_its_apis() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    for product in ["starter", "unlimited"] {
        let link = format!("{service}/products/{product}/groups/guests");
        let removed = portico
            .send(&token, Method::DELETE, &link, &[], None)
            .await?;
        assert_eq!(removed.status, StatusCode::OK);
    }
    let mut visitor = Browser::default();
    for list in ["products", "apis"] {
        let (_, body) = visitor.get(&format!("{api}/{list}")).await?;
        assert_eq!(body["value"], json!([]), "{list}");
    }
    for one in ["products/starter", "apis/echo-api"] {
        let (status, _) = visitor.get(&format!("{api}/{one}")).await?;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let (_, body) = dana.get(&format!("{api}/apis/echo-api")).await?;
    assert_eq!(body["operations"].as_array().map(Vec::len), Some(6));
    Ok(())
}

#[tokio::test]
async fn the_relay_calls_the_own_gateway_and_nothing_else() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let starter = json!({"product": "starter", "displayName": "mine"});
    let (_, subscription) = dana.post(&format!("{api}/subscriptions"), starter).await?;
    let sid = subscription["name"].as_str().context("no name")?;
    let (_, keys) = dana
        .post(&format!("{api}/subscriptions/{sid}/keys"), json!({}))
        .await?;
    let (_, echo) = dana.get(&format!("{api}/apis/echo-api")).await?;
    let base = echo["baseUrl"].as_str().context("no URL")?;

    let call = json!({"method": "POST", "url": format!("{base}/resource?a=1"), "body": "{\"x\": 1}",
        "headers": [["Ocp-Apim-Subscription-Key", keys["primaryKey"]], ["Content-Type", "application/json"]]});
    // The gateway hears of a new key within moments; until then it refuses it.
    let mut reply = Value::Null;
    for _ in 0..200 {
        reply = dana.post(&format!("{api}/relay"), call.clone()).await?.1;
        if reply["status"] != 401 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(reply["status"], 200, "{reply}");
    let keyless = json!({"method": "GET", "url": format!("{base}/resource"), "headers": []});
    let (_, reply) = dana.post(&format!("{api}/relay"), keyless).await?;
    assert_eq!(reply["status"], 401);

    let inward = json!({"method": "GET", "url": format!("{}/healthz", portico.management_url), "headers": []});
    let (status, _) = dana.post(&format!("{api}/relay"), inward).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    Ok(())
}
