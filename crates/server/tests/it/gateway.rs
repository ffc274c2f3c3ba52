//! Calls through the gateway of a running Portico, configured by management writes.

use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

struct Caller<'a> {
    portico: &'a Portico,
    token: String,
    service: String,
}

impl<'a> Caller<'a> {
    async fn new(portico: &'a Portico, name: &str) -> anyhow::Result<Self> {
        let token = portico.token().await?;
        let service = portico.service(&token, name).await?;
        Ok(Self {
            portico,
            token,
            service,
        })
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let asked = self
            .portico
            .ask(&self.token, &self.service, method, path, body.as_ref());
        Ok(asked.await?.body)
    }

    async fn gateway_url(&self) -> anyhow::Result<String> {
        let service = self.send(Method::GET, "", None).await?;
        Ok(service["properties"]["gatewayUrl"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// A subscription and its first key.
    async fn key(&self, sid: &str, scope: &str) -> anyhow::Result<String> {
        let body = json!({"properties": {"scope": scope, "displayName": sid, "state": "active"}});
        self.send(Method::PUT, &format!("/subscriptions/{sid}"), Some(body))
            .await?;
        let keys = self
            .send(
                Method::POST,
                &format!("/subscriptions/{sid}/listSecrets"),
                None,
            )
            .await?;
        Ok(keys["primaryKey"].as_str().unwrap_or_default().to_owned())
    }
}

async fn call(url: &str, key: &str) -> anyhow::Result<(StatusCode, Value)> {
    let reply = Client::new()
        .get(url)
        .header("Ocp-Apim-Subscription-Key", key)
        .send()
        .await?;
    let status = reply.status();
    let text = reply.text().await?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

const UNKNOWN_KEY: &str = "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.";

#[tokio::test]
async fn a_write_is_served_as_soon_as_it_is_answered() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "live").await?;
    let url = format!("{}/echo/resource?param1=x", publisher.gateway_url().await?);
    let key = publisher.key("ann", "/apis/echo-api").await?;
    for _ in 0..20 {
        assert_eq!(call(&url, &key).await?.0, StatusCode::OK);
        let suspended = json!({"properties": {"state": "suspended"}});
        publisher
            .send(Method::PATCH, "/subscriptions/ann", Some(suspended))
            .await?;
        assert_eq!(
            call(&url, &key).await?,
            (
                StatusCode::UNAUTHORIZED,
                json!({"statusCode": 401, "message": UNKNOWN_KEY})
            )
        );
        let active = json!({"properties": {"state": "active"}});
        publisher
            .send(Method::PATCH, "/subscriptions/ann", Some(active))
            .await?;
    }
    publisher
        .send(
            Method::POST,
            "/subscriptions/ann/regeneratePrimaryKey",
            None,
        )
        .await?;
    assert_eq!(
        call(&url, &key).await?.0,
        StatusCode::UNAUTHORIZED,
        "the old key"
    );
    publisher
        .send(
            Method::DELETE,
            "/apis/echo-api?deleteSubscriptions=true",
            None,
        )
        .await?;
    assert_eq!(
        call(&url, &key).await?,
        (
            StatusCode::NOT_FOUND,
            json!({"statusCode": 404, "message": "Resource not found"})
        )
    );
    Ok(())
}

#[tokio::test]
async fn services_share_a_gateway_and_keep_their_keys_apart() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let one = Caller::new(&portico, "one").await?;
    let two = Caller::new(&portico, "two").await?;
    let (url_one, url_two) = (one.gateway_url().await?, two.gateway_url().await?);
    assert_ne!(url_one, url_two);
    let key = one.key("ann", "/apis").await?;
    assert_eq!(
        call(&format!("{url_one}/echo/resource?param1=x"), &key)
            .await?
            .0,
        StatusCode::OK
    );
    let elsewhere = call(&format!("{url_two}/echo/resource?param1=x"), &key).await?;
    assert_eq!(elsewhere.0, StatusCode::UNAUTHORIZED);
    let nobody = format!("http://127.0.0.1:{}/echo/resource", portico.gateway_port);
    assert_eq!(call(&nobody, &key).await?.0, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_quota_is_counted_across_restarts() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "limits").await?;
    // The standard limits of Starter, without the five calls a minute that would take twenty minutes.
    let policy = "<policies><inbound><quota calls=\"100\" renewal-period=\"604800\" /><base /></inbound><backend><base /></backend><outbound><base /></outbound></policies>";
    let body = json!({"properties": {"value": policy, "format": "xml"}});
    publisher
        .send(Method::PUT, "/products/starter/policies/policy", Some(body))
        .await?;
    let key = publisher.key("ann", "/products/starter").await?;
    let path = "/echo/resource?param1=x";
    let url = format!("{}{path}", publisher.gateway_url().await?);
    for _ in 0..60 {
        assert_eq!(call(&url, &key).await?.0, StatusCode::OK);
    }
    // Counts are written four times a second; `kill -9` would lose what is younger.
    let mut written = 0;
    for _ in 0..100 {
        written = sqlx::query_scalar("SELECT coalesce(sum(calls), 0)::int8 FROM quota_counters")
            .fetch_one(&database.pool())
            .await?;
        if written == 60_i64 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(written, 60);
    // The Echo API's backend is Portico itself, hence the same address again.
    let listen = portico
        .management_url
        .trim_start_matches("http://")
        .to_owned();
    portico.kill().await?;

    let portico = Portico::start(BINARY, &database, &[("PORTICO_LISTEN", &listen)]).await?;
    let again = Caller {
        portico: &portico,
        token: portico.token().await?,
        service: publisher_path(),
    };
    // The gateway's port is another one now, and the service reports it.
    let url = format!("{}{path}", again.gateway_url().await?);
    for at in 61..=100 {
        assert_eq!(call(&url, &key).await?.0, StatusCode::OK, "call {at}");
    }
    let (status, body) = call(&url, &key).await?;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let message = body["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("Out of call volume quota. Quota will be replenished in "),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn a_quota_that_is_set_by_hand_is_honoured() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "limits").await?;
    let policy = "<policies><inbound><quota-by-key calls=\"2\" renewal-period=\"604800\" counter-key=\"ba\" /><base /></inbound><backend><base /></backend><outbound><base /></outbound></policies>";
    let body = json!({"properties": {"value": policy, "format": "xml"}});
    publisher
        .send(Method::PUT, "/apis/echo-api/policies/policy", Some(body))
        .await?;
    let key = publisher.key("ann", "/products/unlimited").await?;
    let url = format!("{}/echo/resource?param1=x", publisher.gateway_url().await?);
    let send = async |method: Method, path: &str, body: Option<Value>| {
        let path = format!("{}{path}", publisher.service);
        portico
            .send(&publisher.token, method, &path, &[], body.as_ref())
            .await
    };
    let unknown = send(Method::GET, "/quotas/ba", None).await?;
    assert_eq!(unknown.body["value"], json!([]), "{unknown:?}");
    let unknown = send(Method::GET, "/quotas/ba/periods/1", None).await?;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{unknown:?}");
    for _ in 0..2 {
        assert_eq!(call(&url, &key).await?.0, StatusCode::OK);
    }
    assert_eq!(call(&url, &key).await?.0, StatusCode::FORBIDDEN);
    // Counts are written four times a second.
    let mut counted = json!(null);
    for _ in 0..100 {
        let list = send(Method::GET, "/quotas/ba", None).await?;
        counted = list.body["value"][0].clone();
        if counted["value"]["callsCount"] == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(
        (&counted["counterKey"], &counted["value"]["callsCount"]),
        (&json!("ba"), &json!(2))
    );
    let period = format!(
        "/quotas/ba/periods/{}",
        counted["periodKey"].as_str().unwrap_or_default()
    );
    let one = send(Method::GET, &period, None).await?;
    assert_eq!(one.body, counted);

    let wrong = json!({"properties": {"callsCount": -1, "kbTransferred": "much"}});
    let wrong = send(Method::PATCH, &period, Some(wrong)).await?;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let targets: Vec<&str> = wrong.body["error"]["details"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|detail| detail["target"].as_str())
        .collect();
    assert_eq!(targets, ["callsCount", "kbTransferred"]);

    for (path, calls) in [(period.as_str(), 1), ("/quotas/ba", 0)] {
        let body = json!({"properties": {"callsCount": calls}});
        let set = send(Method::PATCH, path, Some(body)).await?;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
        // The gateway takes the value over with its next exchange of counts.
        let mut status = StatusCode::FORBIDDEN;
        for _ in 0..100 {
            status = call(&url, &key).await?.0;
            if status == StatusCode::OK {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(status, StatusCode::OK, "after {path} was set to {calls}");
    }
    Ok(())
}

fn publisher_path() -> String {
    format!("{}/service/limits", testkit::GROUP)
}

#[tokio::test]
async fn the_workbench_traces_a_draft_without_calling_anybody() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "bench").await?;
    let key = publisher.key("ann", "/apis/echo-api").await?;
    let draft = "<policies><inbound><base /><set-header name=\"X-Team\" exists-action=\"override\"><value>blue</value></set-header></inbound><backend><base /></backend><outbound><base /><set-status code=\"418\" reason=\"Teapot\" /></outbound><on-error><base /></on-error></policies>";
    let rehearsal = |value: &str| {
        json!({
            "drafts": [{"scope": "/apis/echo-api", "value": value}],
            "request": {"method": "GET", "url": "/echo/resource?param1=x", "headers": {"Ocp-Apim-Subscription-Key": key}},
            "response": {"status": 200, "headers": {"Content-Type": "text/plain"}, "body": "hello"}
        })
    };
    let done = publisher
        .send(Method::POST, "/policyWorkbench", Some(rehearsal(draft)))
        .await?;
    assert_eq!(
        (&done["response"]["status"], &done["response"]["body"]),
        (&json!(418), &json!("hello"))
    );
    let sent: Vec<&Value> = done["forwarded"]["headers"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    assert!(
        sent.contains(&&json!({"name": "x-team", "value": "blue"})),
        "{done}"
    );
    let steps: Vec<&str> = done["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["policy"].as_str())
        .collect();
    assert!(
        steps.contains(&"set-header") && steps.contains(&"set-status"),
        "{steps:?}"
    );

    // A publisher tests through the gateway itself.
    let gateway = publisher.gateway_url().await?;
    let tested = publisher
        .send(
            Method::POST,
            "/testCall",
            Some(json!({
                "method": "GET", "url": format!("{gateway}/echo/resource?param1=x"),
                "headers": [["Ocp-Apim-Subscription-Key", key]]
            })),
        )
        .await?;
    assert_eq!(tested["status"], 200, "{tested}");

    // Whoever writes a policy can ask which there are.
    let known = publisher
        .send(Method::GET, "/policyWorkbench", None)
        .await?;
    let header = known["value"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|policy| policy["element"] == "quota")
        .ok_or_else(|| anyhow::anyhow!("quota is not listed"))?;
    assert_eq!(
        (&header["sections"], &header["scopes"]),
        (&json!(["inbound"]), &json!(["product", "fragment"]))
    );

    // The stored policy is untouched.
    let url = format!("{}/echo/resource?param1=x", publisher.gateway_url().await?);
    assert_eq!(call(&url, &key).await?.0, StatusCode::OK);
    let wrong = portico
        .send(
            &publisher.token,
            Method::POST,
            &format!("{}/policyWorkbench", publisher.service),
            &[],
            Some(&rehearsal(
                "<policies><inbound><nonsense /></inbound></policies>",
            )),
        )
        .await?;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        wrong.body["error"]["details"][0]["target"],
        "drafts[0].value"
    );
    Ok(())
}

#[tokio::test]
async fn policy_tests_beside_an_api_say_what_a_draft_would_break() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "tested").await?;
    publisher.key("ann", "/apis/echo-api").await?;
    let policies = |inbound: &str| {
        format!(
            "<policies><inbound><base />{inbound}</inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"
        )
    };
    let blue = policies(
        "<set-header name=\"X-Team\" exists-action=\"override\"><value>blue</value></set-header>",
    );
    let tests = [
        (
            "keyless",
            json!({
                "displayName": "Without a key nobody gets in",
                "request": {"url": "/echo/resource?param1=x"},
                "expected": {"status": 401, "bodyContains": "missing subscription key", "isForwarded": false}
            }),
        ),
        (
            "team",
            json!({
                "displayName": "The backend learns the team and not the key",
                "subscriptionId": "/subscriptions/ann",
                "request": {"url": "/echo/resource?param1=x", "headers": {"Accept": "text/plain"}},
                "response": {"status": 201, "headers": {"X-Made": "yes"}, "body": "hello"},
                "expected": {
                    "status": 201, "headers": {"X-Made": "yes", "X-Other": null}, "body": "hello",
                    "forwarded": {"method": "GET", "headers": {"X-Team": "blue", "Ocp-Apim-Subscription-Key": null}}
                }
            }),
        ),
    ];
    publisher
        .send(
            Method::PUT,
            "/apis/echo-api/policies/policy",
            Some(json!({"properties": {"format": "rawxml", "value": blue}})),
        )
        .await?;
    for (name, test) in tests {
        let path = format!("/apis/echo-api/policyTests/{name}");
        publisher
            .send(Method::PUT, &path, Some(json!({"properties": test})))
            .await?;
    }

    let run = async |drafts: Value| {
        publisher
            .send(Method::POST, "/apis/echo-api/runPolicyTests", Some(drafts))
            .await
    };
    assert_eq!(
        run(json!({})).await?,
        json!({"passed": 2, "failed": 0, "value": [
            {"name": "keyless", "displayName": "Without a key nobody gets in", "passed": true, "failures": []},
            {"name": "team", "displayName": "The backend learns the team and not the key", "passed": true, "failures": []}
        ]})
    );

    let red = policies(
        "<set-header name=\"X-Team\" exists-action=\"override\"><value>red</value></set-header><set-method>POST</set-method>",
    );
    let draft = json!({"drafts": [{"scope": "/apis/echo-api", "value": red}]});
    let done = run(draft).await?;
    assert_eq!(
        (
            &done["passed"],
            &done["failed"],
            &done["value"][1]["failures"]
        ),
        (
            &json!(1),
            &json!(1),
            &json!([
                "forwarded method: expected \"GET\", got \"POST\"",
                "forwarded header X-Team: expected \"blue\", got \"red\""
            ])
        ),
        "{done}"
    );
    assert_eq!(done["value"][1]["response"]["status"], 201, "{done}");
    assert!(
        done["value"][1]["steps"]
            .as_array()
            .is_some_and(|steps| steps.iter().any(|step| step["policy"] == "set-method")),
        "{done}"
    );
    assert!(
        done["value"][0]["steps"].is_null(),
        "of a test that passed there is nothing to look into: {done}"
    );

    // Without its subscription the call has no key.
    publisher
        .send(Method::DELETE, "/subscriptions/ann", None)
        .await?;
    let done = run(json!({})).await?;
    assert_eq!(
        done["value"][1]["failures"][0], "status: expected 201, got 401",
        "{done}"
    );
    Ok(())
}

fn policy_with(inbound: &str) -> Value {
    json!({"properties": {"format": "rawxml", "value": format!(
        "<policies><inbound>{inbound}<return-response><set-status code=\"200\" reason=\"OK\" /></return-response></inbound>\
         <backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"
    )}})
}

#[tokio::test]
async fn a_schema_is_what_content_is_validated_by() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "schemas").await?;
    let open = json!({"properties": {"subscriptionRequired": false}});
    publisher
        .send(Method::PATCH, "/apis/echo-api", Some(open))
        .await?;
    let numbers =
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    for (path, schema) in [
        (
            "/schemas/row",
            json!({"schemaType": "json", "document": numbers}),
        ),
        (
            "/apis/echo-api/schemas/types",
            json!({"contentType": "application/vnd.oai.openapi.components+json",
                   "document": {"components": {"schemas": {"Row": numbers}}}}),
        ),
    ] {
        publisher
            .send(Method::PUT, path, Some(json!({"properties": schema})))
            .await?;
    }
    let url = format!("{}/echo/resource", publisher.gateway_url().await?);
    let client = Client::new();
    for place in [
        "schema-id=\"row\"",
        "schema-id=\"types\" schema-ref=\"#/components/schemas/Row\"",
    ] {
        let inbound = format!(
            "<validate-content unspecified-content-type-action=\"prevent\" max-size=\"1024\" size-exceeded-action=\"prevent\">\
             <content type=\"application/json\" validate-as=\"json\" action=\"prevent\" {place} /></validate-content>"
        );
        publisher
            .send(
                Method::PUT,
                "/apis/echo-api/policies/policy",
                Some(policy_with(&inbound)),
            )
            .await?;
        for (body, status) in [(json!({"n": 1}), 200), (json!({"n": "one"}), 400)] {
            let reply = client.post(&url).json(&body).send().await?;
            assert_eq!(reply.status().as_u16(), status, "{place}: {body}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_logger_with_a_url_gets_what_policies_log() -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "loggers").await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let sink = format!("http://{}/log", listener.local_addr()?);
    let logger = json!({"properties": {"loggerType": "azureEventHub",
        "credentials": {"name": "calls", "endpointAddress": sink}}});
    publisher
        .send(Method::PUT, "/loggers/sink", Some(logger))
        .await?;
    let open = json!({"properties": {"subscriptionRequired": false}});
    publisher
        .send(Method::PATCH, "/apis/echo-api", Some(open))
        .await?;
    let policy = policy_with("<log-to-eventhub logger-id=\"sink\">hello sink</log-to-eventhub>");
    publisher
        .send(Method::PUT, "/apis/echo-api/policies/policy", Some(policy))
        .await?;
    let url = format!("{}/echo/resource", publisher.gateway_url().await?);
    let (called, received) = tokio::join!(Client::new().get(&url).send(), async {
        let (mut stream, _) = listener.accept().await?;
        let (mut received, mut part) = (String::new(), [0; 4096]);
        while !received.ends_with("hello sink") {
            let length = stream.read(&mut part).await?;
            anyhow::ensure!(length > 0, "{received}");
            received.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        stream
            .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
            .await?;
        anyhow::Ok(received)
    });
    assert_eq!(called?.status(), StatusCode::OK);
    assert!(received?.starts_with("POST /log HTTP/1.1"));
    Ok(())
}

#[tokio::test]
async fn a_restored_product_serves_its_former_key_again() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let caller = Caller::new(&portico, "back").await?;
    let key = caller.key("kept", "/products/unlimited").await?;
    let url = format!(
        "{}/echo/resource?param1=sample",
        caller.gateway_url().await?
    );
    assert_eq!(call(&url, &key).await?.0, StatusCode::OK);
    for (resource, query, refused) in [
        (
            "/products/unlimited",
            "?deleteSubscriptions=true",
            StatusCode::UNAUTHORIZED,
        ),
        ("/subscriptions/kept", "", StatusCode::UNAUTHORIZED),
        (
            "/apis/echo-api",
            "?deleteRevisions=true",
            StatusCode::NOT_FOUND,
        ),
    ] {
        caller
            .send(Method::DELETE, &format!("{resource}{query}"), None)
            .await?;
        assert_eq!(call(&url, &key).await?.0, refused, "{resource}");
        let listed = caller.send(Method::GET, "/deletedEntities", None).await?;
        let name = listed["value"][0]["name"].as_str().unwrap_or_default();
        caller
            .send(
                Method::POST,
                &format!("/deletedEntities/{name}/restore"),
                None,
            )
            .await?;
        assert_eq!(call(&url, &key).await?.0, StatusCode::OK, "{resource}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connected_host_is_served_as_soon_as_it_is_answered() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let publisher = Caller::new(&portico, "connected").await?;
    let key = publisher.key("ann", "/apis/echo-api").await?;
    let url = format!(
        "http://127.0.0.1:{}/echo/resource?param1=x",
        portico.gateway_port
    );
    let status = async || -> anyhow::Result<StatusCode> {
        let call = Client::new()
            .get(&url)
            .header("Host", "Shop.example.org")
            .header("Ocp-Apim-Subscription-Key", &key);
        Ok(call.send().await?.status())
    };
    assert_eq!(status().await?, StatusCode::NOT_FOUND);

    let edge = format!("{}/gateways/edge", testkit::GROUP);
    let connection = format!("{edge}/configConnections/shop");
    let send = async |method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>| {
        portico
            .send(&publisher.token, method, path, headers, body.as_ref())
            .await
    };
    let gateway = json!({"location": "West US", "sku": {"name": "Standard"}, "properties": {}});
    // A repeated request is answered as it was, under a role that is looked for at the gateway and not at a service of its name.
    let once = [("Idempotency-Key", "edge-1")];
    for _ in 0..2 {
        let put = send(Method::PUT, &edge, &once, Some(gateway.clone())).await?;
        assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    }
    let shop =
        json!({"properties": {"sourceId": publisher.service, "hostnames": ["shop.example.org"]}});
    for _ in 0..10 {
        send(Method::PUT, &connection, &[], Some(shop.clone())).await?;
        assert_eq!(status().await?, StatusCode::OK);
        send(Method::DELETE, &connection, &[("If-Match", "*")], None).await?;
        assert_eq!(status().await?, StatusCode::NOT_FOUND);
    }
    send(Method::PUT, &connection, &[], Some(shop)).await?;
    // What the service changes by itself keeps the hosts of its connections.
    let renamed = json!({"properties": {"publisherName": "renamed"}});
    publisher.send(Method::PATCH, "", Some(renamed)).await?;
    assert_eq!(status().await?, StatusCode::OK);
    let deleted = send(Method::DELETE, &edge, &[], None).await?;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(status().await?, StatusCode::NOT_FOUND);
    let provider = testkit::GROUP.replace("/resourceGroups/demo-rg", "");
    let list = send(Method::GET, &format!("{provider}/gateways"), &[], None).await?;
    assert_eq!(list.body, json!({"value": [], "count": 0}));
    Ok(())
}
