//! The developer API: who asks counts, and how often; what a developer sees and does there.

use crate::portal::{BINARY, Browser, DANA, DANAS_PASSWORD, developer, service, ticket as mailed};
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use server::developer::operations::{Access, OPERATIONS};
use std::net::IpAddr;
use testkit::Portico;

/// A browser at another address of this machine.
fn browser_at(address: &str) -> anyhow::Result<Browser> {
    let address: IpAddr = address.parse()?;
    Ok(Browser {
        client: reqwest::Client::builder().local_address(address).build()?,
        cookie: None,
    })
}

/// Calls the Echo API by the relay; the status that the gateway answers.
async fn tried(browser: &mut Browser, api: &str, headers: Value) -> anyhow::Result<Value> {
    let (_, echo) = browser.get(&format!("{api}/apis/echo-api")).await?;
    let url = format!(
        "{}/resource?param1=a",
        echo["baseUrl"].as_str().unwrap_or_default()
    );
    let call = json!({"method": "GET", "url": url, "headers": headers});
    let (status, reply) = browser.post(&format!("{api}/relay"), call).await?;
    Ok(if status == StatusCode::OK {
        reply["status"].clone()
    } else {
        json!([status.as_u16(), reply["error"]["details"][0]["target"]])
    })
}

#[tokio::test]
async fn the_gateway_sees_who_tries_an_api_and_no_header_can_pretend_it() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let proxies = [("PORTICO_TRUSTED_PROXIES", "127.0.0.7")];
    let portico = Portico::start(BINARY, &database, &proxies).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let echo = format!("{service}/apis/echo-api");
    let open = json!({"properties": {"subscriptionRequired": false}});
    let any = [("if-match", "*")];
    let patched = portico
        .send(&token, Method::PATCH, &echo, &any, Some(&open))
        .await?;
    assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
    let policy = json!({"properties": {"format": "rawxml", "value": "<policies><inbound><base />\
        <ip-filter action=\"allow\"><address>127.0.0.5</address></ip-filter>\
        <return-response><set-status code=\"204\" /></return-response></inbound>\
        <backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"}});
    let path = format!("{echo}/policies/policy");
    let put = portico
        .send(&token, Method::PUT, &path, &[], Some(&policy))
        .await?;
    assert!(put.status.is_success(), "{put:?}");

    let mut allowed = browser_at("127.0.0.5")?;
    let mut other = browser_at("127.0.0.6")?;
    assert_eq!(tried(&mut allowed, &api, json!([])).await?, 204);
    assert_eq!(tried(&mut other, &api, json!([])).await?, 403);
    let pretended = json!([["X-Forwarded-For", "127.0.0.5"]]);
    assert_eq!(
        tried(&mut other, &api, pretended).await?,
        json!([400, "headers"])
    );

    // The same claim as a header of the browser's own request: nothing from a stranger, all from a proxy that is trusted.
    for (from, expected) in [("127.0.0.6", 403), ("127.0.0.7", 204)] {
        let mut through = browser_at(from)?;
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-forwarded-for", "127.0.0.5".parse()?);
        through.client = reqwest::Client::builder()
            .local_address(from.parse::<IpAddr>()?)
            .default_headers(headers)
            .build()?;
        assert_eq!(
            tried(&mut through, &api, json!([])).await?,
            expected,
            "{from}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_audit_trail_says_where_a_developer_was() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let there: IpAddr = "127.0.0.5".parse()?;
    dana.client = reqwest::Client::builder().local_address(there).build()?;
    let names = json!({"firstName": "Diana", "lastName": "Developer"});
    let (status, _) = dana
        .send(Method::PATCH, &format!("{api}/profile"), Some(names))
        .await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let address: String =
        sqlx::query_scalar("SELECT address FROM audit_entries WHERE after::text LIKE '%Diana%'")
            .fetch_one(&database.pool())
            .await?;
    assert_eq!(address, "127.0.0.5");
    Ok(())
}

#[tokio::test]
async fn an_address_may_sign_in_so_often_a_minute() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let few = [("PORTICO_PORTAL_SIGN_INS", "3")];
    let portico = Portico::start(BINARY, &database, &few).await?;
    let token = portico.token().await?;
    let (_, api) = service(&portico, &token).await?;
    let mut guesser = browser_at("127.0.0.5")?;
    let mut seen = Vec::new();
    for guess in 0..4 {
        // Another account each time: no account's own limit is reached.
        let body = json!({"email": format!("someone{guess}@example.org"), "password": "guess"});
        seen.push(
            guesser
                .post(&format!("{api}/session"), body)
                .await?
                .0
                .as_u16(),
        );
    }
    assert_eq!(seen, [401, 401, 401, 429]);
    let (status, _) = guesser.get(&format!("{api}/apis")).await?;
    assert_eq!(status, StatusCode::OK, "reading goes on");
    let mut other = browser_at("127.0.0.6")?;
    let body = json!({"email": DANA, "password": "guess"});
    let (status, _) = other.post(&format!("{api}/session"), body).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    Ok(())
}

/// A path with its placeholders filled by names that need not exist.
fn filled(path: &str) -> String {
    let mut out = path
        .replace("{api}", "echo-api")
        .replace("{product}", "starter");
    while let Some((head, rest)) = out.clone().split_once('{') {
        let tail = rest.split_once('}').map_or("", |(_, tail)| tail);
        out = format!("{head}nothing{tail}");
    }
    out
}

#[tokio::test]
async fn only_who_is_signed_in_may_call_what_is_theirs() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[("PORTICO_PORTAL_SIGN_INS", "1000")]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    // A session of another service's portal, even under the same name, is none here.
    let path = portico.service(&token, "other").await?;
    let other = portico.send(&token, Method::GET, &path, &[], None).await?;
    let url = other.body["properties"]["developerPortalUrl"]
        .as_str()
        .unwrap_or_default();
    let mut foreign = developer(&portico, &token, &path, &format!("{url}/api"), DANA).await?;
    let mut stranger = Browser::default();
    let mut asked = 0;
    for operation in OPERATIONS {
        // Redirects are followed by the client; they have a test of their own.
        let (method, url) = (
            operation.method.parse::<Method>()?,
            format!("{api}{}", filled(operation.path)),
        );
        let body = (method != Method::GET).then(|| json!({}));
        let statuses = [
            stranger.send(method.clone(), &url, body.clone()).await?.0,
            foreign.send(method.clone(), &url, body.clone()).await?.0,
        ];
        let expected = operation.access == Access::Developer;
        for status in statuses {
            // A refused sign-in is 401 as well; an empty body is refused before it is one.
            assert_eq!(
                status == StatusCode::UNAUTHORIZED,
                expected,
                "{} {status}",
                operation.id
            );
        }
        if operation.access == Access::Developer {
            let (status, reply) = dana.send(method.clone(), &url, body).await?;
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{} {reply}", operation.id);
        }
        if method != Method::GET {
            // Without the header that only the portal's own scripts send.
            let mut forged = reqwest::Client::new()
                .request(method, &url)
                .json(&json!({}));
            if let Some(cookie) = &dana.cookie {
                forged = forged.header(reqwest::header::COOKIE, cookie);
            }
            let status = forged.send().await?.status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", operation.id);
        }
        asked += 1;
    }
    assert_eq!(asked, OPERATIONS.len());
    let (status, me) = dana.get(&format!("{api}/session")).await?;
    assert_eq!(
        (status, &me["email"]),
        (StatusCode::OK, &json!(DANA)),
        "nothing of this signed out"
    );
    Ok(())
}

#[test]
fn the_committed_document_is_the_codes() -> anyhow::Result<()> {
    let committed: Value =
        serde_json::from_str(include_str!("../../../../openapi/developer.json"))?;
    assert_eq!(
        committed,
        server::developer::operations::document(),
        "run `make goldens`"
    );
    Ok(())
}

#[tokio::test]
async fn an_account_changes_its_password_and_address_and_is_closed() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let mut elsewhere = Browser::default();
    let credentials = json!({"email": DANA, "password": DANAS_PASSWORD});
    elsewhere
        .post(&format!("{api}/session"), credentials)
        .await?;

    let change = |old: &str, new: &str| json!({"password": old, "newPassword": new});
    let url = format!("{api}/profile/password");
    let (status, reply) = dana
        .post(&url, change("wrong", "seven quiet lanterns 9"))
        .await?;
    assert_eq!(
        (status, &reply["error"]["details"][0]["target"]),
        (StatusCode::BAD_REQUEST, &json!("password"))
    );
    let (status, reply) = dana.post(&url, change(DANAS_PASSWORD, "short")).await?;
    assert_eq!(
        (status, &reply["error"]["details"][0]["target"]),
        (StatusCode::BAD_REQUEST, &json!("newPassword"))
    );
    let (status, _) = dana
        .post(&url, change(DANAS_PASSWORD, "seven quiet lanterns 9"))
        .await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(dana.get(&format!("{api}/session")).await?.1["email"], DANA);
    assert_eq!(
        elsewhere.get(&format!("{api}/session")).await?.1["email"],
        Value::Null,
        "other sessions end"
    );

    let url = format!("{api}/profile/email");
    let change = json!({"email": "diana@example.org", "password": "seven quiet lanterns 9"});
    let (status, reply) = dana.post(&url, change).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{reply}");
    assert_eq!(
        dana.get(&format!("{api}/session")).await?.1["email"],
        DANA,
        "not yet"
    );
    let ticket = mailed(&portico, &token, &service, "diana@example.org").await?;
    let described = dana
        .post(&format!("{api}/ticket"), json!({"ticket": ticket}))
        .await?;
    assert_eq!(
        described.1,
        json!({"email": "diana@example.org", "needsPassword": false})
    );
    let (status, reply) = dana
        .post(&format!("{api}/confirm"), json!({"ticket": ticket}))
        .await?;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(
        dana.get(&format!("{api}/session")).await?.1["email"],
        "diana@example.org"
    );

    let starter = json!({"product": "starter", "displayName": "mine"});
    dana.post(&format!("{api}/subscriptions"), starter).await?;
    let url = format!("{api}/profile/close");
    let closing = |email: &str| json!({"email": email, "password": "seven quiet lanterns 9"});
    let (status, _) = dana.post(&url, closing(DANA)).await?;
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "that is not the address any more"
    );
    let (status, reply) = dana.post(&url, closing("diana@example.org")).await?;
    assert_eq!(status, StatusCode::NO_CONTENT, "{reply}");
    let credentials = json!({"email": "diana@example.org", "password": "seven quiet lanterns 9"});
    let (status, _) = dana.post(&format!("{api}/session"), credentials).await?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let left = portico
        .send(
            &token,
            Method::GET,
            &format!("{service}/subscriptions"),
            &[],
            None,
        )
        .await?;
    let names: Vec<&str> = left.body["value"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|s| s["properties"]["displayName"].as_str())
        .collect();
    assert!(!names.contains(&"mine"), "{names:?}");
    Ok(())
}

#[tokio::test]
async fn a_generated_url_signs_in_once() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let user = json!({"properties": {"firstName": "Ann", "lastName": "Novak", "email": "ann@example.org"}});
    portico
        .send(
            &token,
            Method::PUT,
            &format!("{service}/users/ann"),
            &[],
            Some(&user),
        )
        .await?;
    let path = format!("{service}/users/ann/generateSsoUrl");
    let reply = portico.send(&token, Method::POST, &path, &[], None).await?;
    let url = reqwest::Url::parse(reply.body["value"].as_str().unwrap_or_default())?;
    assert!(url.path().ends_with("/demo/signin-sso"), "{url}");
    let given = url
        .query_pairs()
        .find(|(n, _)| n == "token")
        .map(|(_, v)| v.into_owned())
        .unwrap_or_default();

    let mut ann = Browser::default();
    let forged = json!({"token": given.replacen("ann", "1", 1)});
    assert_eq!(
        ann.post(&format!("{api}/sso"), forged).await?.0,
        StatusCode::UNAUTHORIZED
    );
    let (status, _) = ann
        .post(&format!("{api}/sso"), json!({"token": given}))
        .await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(
        ann.get(&format!("{api}/session")).await?.1["email"],
        "ann@example.org"
    );
    let mut thief = Browser::default();
    assert_eq!(
        thief
            .post(&format!("{api}/sso"), json!({"token": given}))
            .await?
            .0,
        StatusCode::UNAUTHORIZED
    );
    Ok(())
}

#[tokio::test]
async fn a_publisher_gives_the_portal_its_look_pages_and_terms() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut visitor = Browser::default();
    let (_, before) = visitor.get(&format!("{api}/service")).await?;
    assert_eq!(
        (&before["terms"], &before["pages"]),
        (&Value::Null, &json!([]))
    );

    for (name, title) in [("start", "Getting started"), ("draft", "Not shown")] {
        let page = json!({"properties": {"title": title, "content": "# Hello\n\n<script>x</script>\n\nAsk **us**."}});
        portico
            .send(
                &token,
                Method::PUT,
                &format!("{service}/documentations/{name}"),
                &[],
                Some(&page),
            )
            .await?;
    }
    let path = format!("{service}/developerPortals/default");
    let wrong =
        json!({"properties": {"accentColor": "red;}", "logo": "https://evil.example/x.png"}});
    let refused = portico
        .send(&token, Method::PUT, &path, &[], Some(&wrong))
        .await?;
    let targets: Vec<&str> = refused.body["error"]["details"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|d| d["target"].as_str())
        .collect();
    assert_eq!(targets, ["accentColor", "logo"], "{refused:?}");
    let look = json!({"properties": {"title": "Contoso APIs", "accentColor": "#0b5cad", "logo": "data:image/png;base64,iVBORw0KGgo=",
        "welcome": "Welcome!", "pages": ["start", "gone"]}});
    let put = portico
        .send(&token, Method::PUT, &path, &[], Some(&look))
        .await?;
    assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    let terms = terms_of_use(true, "Be *nice*.");
    let path = format!("{service}/portalsettings/signup");
    let put = portico
        .send(&token, Method::PUT, &path, &[], Some(&terms))
        .await?;
    assert!(put.status.is_success(), "{put:?}");

    let (_, shown) = visitor.get(&format!("{api}/service")).await?;
    assert_eq!(shown["title"], "Contoso APIs");
    assert_eq!(shown["accentColor"], "#0b5cad");
    assert_eq!(
        shown["pages"],
        json!([{"name": "start", "title": "Getting started"}])
    );
    assert_eq!(
        shown["terms"],
        json!({"html": "<p>Be <em>nice</em>.</p>\n", "consentRequired": true})
    );
    let (_, page) = visitor.get(&format!("{api}/pages/start")).await?;
    assert_eq!(
        page["html"],
        "<h2>Hello</h2>\n\n<p>Ask <strong>us</strong>.</p>\n"
    );
    assert_eq!(
        visitor.get(&format!("{api}/pages/draft")).await?.0,
        StatusCode::NOT_FOUND
    );

    let mut person = json!({"firstName": "Dana", "lastName": "Developer", "email": DANA, "password": DANAS_PASSWORD});
    let (status, reply) = visitor
        .post(&format!("{api}/sign-up"), person.clone())
        .await?;
    assert_eq!(
        (status, &reply["error"]["details"][0]["target"]),
        (StatusCode::BAD_REQUEST, &json!("consent"))
    );
    person["consent"] = true.into();
    assert_eq!(
        visitor.post(&format!("{api}/sign-up"), person).await?.0,
        StatusCode::ACCEPTED
    );
    let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM terms_consents")
        .fetch_one(&database.pool())
        .await?;
    assert_eq!(noted, 1);
    Ok(())
}

#[tokio::test]
async fn the_catalogue_is_searched_by_text_and_tag_and_read_by_machines() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    for (name, display) in [("fast", "Fast"), ("hidden", "Hidden")] {
        let tag = json!({"properties": {"displayName": display}});
        portico
            .send(
                &token,
                Method::PUT,
                &format!("{service}/tags/{name}"),
                &[],
                Some(&tag),
            )
            .await?;
    }
    portico
        .send(
            &token,
            Method::PUT,
            &format!("{service}/apis/echo-api/tags/fast"),
            &[],
            None,
        )
        .await?;
    let secret = json!({"properties": {"displayName": "Secret API", "path": "secret", "protocols": ["http"], "serviceUrl": "http://inner.example"}});
    portico
        .send(
            &token,
            Method::PUT,
            &format!("{service}/apis/secret"),
            &[],
            Some(&secret),
        )
        .await?;
    portico
        .send(
            &token,
            Method::PUT,
            &format!("{service}/apis/secret/tags/hidden"),
            &[],
            None,
        )
        .await?;

    let mut visitor = Browser::default();
    let (_, tags) = visitor.get(&format!("{api}/tags")).await?;
    assert_eq!(
        tags,
        json!({"value": [{"name": "fast", "displayName": "Fast"}]}),
        "tags of hidden APIs are hidden"
    );
    for (query, count) in [
        ("q=ECHO", 1),
        ("q=nothing", 0),
        ("tag=fast", 1),
        ("tag=hidden", 0),
        ("skip=1", 1),
    ] {
        let (_, found) = visitor.get(&format!("{api}/apis?{query}")).await?;
        assert_eq!(found["count"], count, "{query}");
    }
    assert_eq!(
        visitor.get(&format!("{api}/apis?top=1000")).await?.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        visitor.get(&format!("{api}/apis/secret/openapi")).await?.0,
        StatusCode::NOT_FOUND
    );

    let (status, document) = visitor.get(&format!("{api}/apis/echo-api/openapi")).await?;
    assert_eq!(
        (status, &document["info"]["title"]),
        (StatusCode::OK, &json!("Echo API"))
    );
    assert!(
        !document
            .to_string()
            .contains(&format!("{}/echo", portico.management_url)),
        "the web service's own address stays inside"
    );
    let llms = reqwest::Client::new()
        .get(format!("{}/llms.txt", api.trim_end_matches("/api")))
        .send()
        .await?
        .text()
        .await?;
    assert!(
        llms.contains("[Echo API](")
            && llms.contains("/apis/echo-api/openapi)")
            && !llms.contains("Secret"),
        "{llms}"
    );
    Ok(())
}

#[tokio::test]
async fn issues_are_reported_opened_and_discussed() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let mut eve = developer(&portico, &token, &service, &api, "eve@example.org").await?;
    let url = format!("{api}/apis/echo-api/issues");
    let issue = json!({"title": "Wrong echo", "description": "It answers backwards."});
    let (status, made) = dana.post(&url, issue).await?;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let name = made["name"].as_str().unwrap_or_default();
    let seen = |list: &Value| list["value"].as_array().map_or(0, Vec::len);
    assert_eq!(seen(&dana.get(&url).await?.1), 1);
    assert_eq!(
        seen(&eve.get(&url).await?.1),
        0,
        "not opened by the publisher yet"
    );
    let comments = format!("{url}/{name}/comments");
    let hello = json!({"text": "Here too."});
    assert_eq!(
        eve.post(&comments, hello.clone()).await?.0,
        StatusCode::NOT_FOUND
    );

    let path = format!("{service}/apis/echo-api/issues/{name}");
    let open = json!({"properties": {"state": "open"}});
    let opened = portico
        .send(
            &token,
            Method::PATCH,
            &path,
            &[("if-match", "*")],
            Some(&open),
        )
        .await?;
    assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
    assert_eq!(eve.post(&comments, hello).await?.0, StatusCode::CREATED);
    let (_, said) = dana.get(&comments).await?;
    assert_eq!(
        (&said["value"][0]["text"], &said["value"][0]["author"]),
        (&json!("Here too."), &json!("Dana Developer"))
    );
    let (_, list) = dana.get(&url).await?;
    assert_eq!(
        (&list["value"][0]["comments"], &list["value"][0]["isOwn"]),
        (&json!(1), &json!(true))
    );
    Ok(())
}

#[tokio::test]
async fn a_developer_sees_the_own_calls_and_nobody_elses() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let mut eve = developer(&portico, &token, &service, &api, "eve@example.org").await?;
    let row = "INSERT INTO call_counts SELECT s.id, date_bin('15 minutes', now() - $2 * interval '1 day', 'epoch'), a.id, a.id, a.id, a.id, u.id, \
               $3, 2, 1, 0, 1000, 0, 0, 0, 0, 0, 0, 0, 0 FROM services s JOIN apis a ON a.parent_id = s.id AND a.name = 'echo-api' \
               JOIN users u ON u.parent_id = s.id AND u.email = $1 WHERE s.name = 'demo'";
    for (who, days, success) in [
        (DANA, 0, 5_i64),
        (DANA, 3, 7),
        (DANA, 60, 11),
        ("eve@example.org", 0, 13),
    ] {
        let inserted = sqlx::query(row)
            .bind(who)
            .bind(days)
            .bind(success)
            .execute(&database.pool())
            .await?;
        assert_eq!(inserted.rows_affected(), 1);
    }
    let (status, week) = dana.get(&format!("{api}/usage")).await?;
    assert_eq!(status, StatusCode::OK, "{week}");
    assert_eq!(
        week["apis"],
        json!([{"name": "echo-api", "displayName": "Echo API", "calls": 18, "blocked": 4, "failed": 2, "bytes": 2000}])
    );
    let points = week["points"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        (points.len(), &week["intervalSeconds"]),
        (28, &json!(6 * 3600))
    );
    let calls: i64 = points.iter().filter_map(|p| p["calls"].as_i64()).sum();
    assert_eq!(calls, 18);
    let (_, quarter) = dana.get(&format!("{api}/usage?days=90")).await?;
    assert_eq!(quarter["apis"][0]["calls"], 32);
    assert_eq!(
        eve.get(&format!("{api}/usage?days=1")).await?.1["apis"][0]["calls"],
        16
    );
    assert_eq!(
        dana.get(&format!("{api}/usage?days=91")).await?.0,
        StatusCode::BAD_REQUEST
    );
    Ok(())
}

/// The contract's setting of signing up.
pub fn terms_of_use(sign_up: bool, text: &str) -> Value {
    json!({"properties": {"enabled": sign_up, "termsOfService": {"text": text, "enabled": true, "consentRequired": true}}})
}

#[tokio::test]
async fn a_closed_portal_shows_nothing_and_takes_nobody() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let (service, api) = service(&portico, &token).await?;
    let mut dana = developer(&portico, &token, &service, &api, DANA).await?;
    let settings = [
        ("signin", json!({"properties": {"enabled": true}})),
        ("signup", terms_of_use(false, "Be nice.")),
    ];
    for (name, body) in settings {
        let path = format!("{service}/portalsettings/{name}");
        let put = portico
            .send(&token, Method::PUT, &path, &[], Some(&body))
            .await?;
        assert!(put.status.is_success(), "{put:?}");
    }
    let mut visitor = Browser::default();
    let (_, shown) = visitor.get(&format!("{api}/service")).await?;
    assert_eq!(
        (&shown["signInRequired"], &shown["signUpEnabled"]),
        (&json!(true), &json!(false))
    );
    for path in [
        "apis",
        "products",
        "tags",
        "apis/echo-api",
        "products/starter",
        "apis/echo-api/openapi",
    ] {
        let url = format!("{api}/{path}");
        assert_eq!(
            visitor.get(&url).await?.0,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        assert_eq!(dana.get(&url).await?.0, StatusCode::OK, "{path}");
    }
    let person = json!({"firstName": "Eve", "lastName": "Developer", "email": "eve@example.org", "password": DANAS_PASSWORD, "consent": true});
    let (status, _) = visitor.post(&format!("{api}/sign-up"), person).await?;
    assert_eq!(status, StatusCode::CONFLICT);
    Ok(())
}
