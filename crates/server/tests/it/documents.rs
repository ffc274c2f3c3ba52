//! Documents of APIs over HTTP: imports by link, exports.

use embedded_postgres::test_database::TestDatabase;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Portico;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
const MANAGEMENT: &str = include_str!("../../../../openapi/management.json");

const PETS: &str = r#"openapi: "3.0.1"
info: {title: Pets, version: "1"} # a comment that only the document itself has
servers: [{url: "https://pets.example.org"}]
paths:
  /pets/{id}:
    get:
      operationId: getPet
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: The pet}}
"#;

/// Answers every request with this document.
async fn serving(document: &'static str) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                document.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(document.as_bytes()).await;
        }
    });
    Ok(format!("http://{address}/pets.yaml"))
}

fn import(format: &str, value: &str) -> Value {
    json!({"properties": {"path": "pets", "format": format, "value": value}})
}

/// Follows the link of an export, without credentials.
async fn exported(
    portico: &Portico,
    token: &str,
    api: &str,
    format: &str,
) -> anyhow::Result<(Value, String, String)> {
    let path = format!("{api}?export=true&format={}", format.replace('+', "%2B"));
    let answer = portico.send(token, Method::GET, &path, &[], None).await?;
    anyhow::ensure!(answer.status == StatusCode::OK, "{answer:?}");
    let link = answer.body["value"]["link"].as_str().unwrap_or_default();
    let reply = reqwest::Client::new().get(link).send().await?;
    anyhow::ensure!(reply.status() == StatusCode::OK, "{reply:?}");
    let kind = reply.headers()["content-type"].to_str()?.to_owned();
    Ok((answer.body.clone(), kind, reply.text().await?))
}

#[tokio::test]
async fn an_api_is_imported_by_link_and_exported() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(
        BINARY,
        &database,
        &[("PORTICO_IMPORT_PRIVATE_LINKS", "true")],
    )
    .await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "documents").await?;
    let api = format!("{service}/apis/pets");
    let link = serving(PETS).await?;
    let body = import("openapi-link", &link);
    let made = portico
        .send(&token, Method::PUT, &api, &[], Some(&body))
        .await?;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["properties"]["displayName"], "Pets");

    // Untouched, it is the document that was imported.
    let (answer, kind, text) = exported(&portico, &token, &api, "openapi-link").await?;
    assert_eq!(
        (answer["id"].as_str(), answer["format"].as_str()),
        (Some(api.as_str()), Some("openapi-link"))
    );
    assert_eq!(
        (kind.as_str(), text.as_str()),
        ("application/vnd.oai.openapi", PETS)
    );

    // In another language it is written.
    let (_, _, text) = exported(&portico, &token, &api, "swagger-link").await?;
    let written: Value = serde_json::from_str(&text)?;
    assert_eq!(written["swagger"], "2.0");
    assert_eq!(
        written["paths"]["/pets/{id}"]["get"],
        json!({"summary": "getPet", "operationId": "getPet",
               "parameters": [{"name": "id", "in": "path", "required": true, "type": "string"}],
               "responses": {"200": {"description": "The pet"}}})
    );

    // Changed, it is written as it is now, and that can be imported again.
    let change = json!({"properties": {"displayName": "One pet"}});
    let operation = format!("{api}/operations/getPet");
    let changed = portico
        .send(
            &token,
            Method::PATCH,
            &operation,
            &[("If-Match", "*")],
            Some(&change),
        )
        .await?;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let (_, _, text) = exported(&portico, &token, &api, "openapi-link").await?;
    assert!(
        text.contains("summary: One pet")
            && text.contains("name: Ocp-Apim-Subscription-Key")
            && !text.contains('#'),
        "{text}"
    );
    let body = import("openapi", &text);
    let again = portico
        .send(&token, Method::PUT, &api, &[], Some(&body))
        .await?;
    assert_eq!(again.status, StatusCode::OK, "{again:?}");
    let report = portico
        .send(
            &token,
            Method::GET,
            &format!("{api}/importReport"),
            &[],
            None,
        )
        .await?;
    assert_eq!(report.body["unchanged"], 1, "{report:?}");

    // A link that nobody gave out shows nothing.
    let forged = format!("{}/exports?ticket=AAAA", portico.management_url);
    let answer = reqwest::Client::new().get(&forged).send().await?;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);

    // Portico's own description.
    let body =
        json!({"properties": {"path": "self", "format": "openapi+json", "value": MANAGEMENT}});
    let own = format!("{service}/apis/self");
    let made = portico
        .send(&token, Method::PUT, &own, &[], Some(&body))
        .await?;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let (_, _, text) = exported(&portico, &token, &own, "openapi+json-link").await?;
    assert!(text == MANAGEMENT);
    Ok(())
}

#[tokio::test]
async fn a_policy_is_taken_from_a_link() -> anyhow::Result<()> {
    const POLICY: &str = "<policies><inbound><base /><set-method>GET</set-method></inbound><backend><base /></backend><outbound><base /></outbound></policies>";
    let database = TestDatabase::create().await?;
    let portico = Portico::start(
        BINARY,
        &database,
        &[("PORTICO_IMPORT_PRIVATE_LINKS", "true")],
    )
    .await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "documents").await?;
    let link = serving(POLICY).await?;
    for format in ["xml-link", "rawxml-link"] {
        let body = json!({"properties": {"format": format, "value": link}});
        let path = "/apis/echo-api/policies/policy";
        let made = portico
            .ask(&token, &service, Method::PUT, path, Some(&body))
            .await?;
        let properties = &made.body["properties"];
        assert_eq!(
            properties["format"],
            format.trim_end_matches("-link"),
            "{made:?}"
        );
        let value = properties["value"].as_str().unwrap_or_default();
        assert!(value.contains("<set-method>GET</set-method>"), "{value}");
    }
    Ok(())
}

#[tokio::test]
async fn links_to_this_machine_are_refused_and_strangers_make_no_calls() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "documents").await?;
    let link = serving(PETS).await?;
    let body = import("openapi-link", &link);
    let refused = portico
        .send(
            &token,
            Method::PUT,
            &format!("{service}/apis/pets"),
            &[],
            Some(&body),
        )
        .await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        refused.body["error"]["details"],
        json!([{"code": "ValidationError", "target": "value",
                "message": "value leads to '127.0.0.1', which is not a public address; --import-private-links allows such links."}])
    );
    let elsewhere = service.replace("documents", "nowhere");
    let refused = portico
        .send(
            &token,
            Method::PUT,
            &format!("{elsewhere}/apis/pets"),
            &[],
            Some(&body),
        )
        .await?;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn an_api_of_a_workspace_is_exported() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "documents").await?;
    let workspace = format!("{service}/workspaces/team");
    let api = format!("{workspace}/apis/pets");
    for (path, body) in [
        (
            &workspace,
            json!({"properties": {"displayName": "The team"}}),
        ),
        (&api, import("openapi", PETS)),
    ] {
        let put = portico
            .send(&token, Method::PUT, path, &[], Some(&body))
            .await?;
        anyhow::ensure!(put.status == StatusCode::CREATED, "{put:?}");
    }
    let (reply, _, text) = exported(&portico, &token, &api, "openapi-link").await?;
    assert_eq!(reply["id"], json!(api));
    assert_eq!(text, PETS);
    Ok(())
}
