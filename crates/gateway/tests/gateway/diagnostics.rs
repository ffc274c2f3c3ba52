//! What diagnostics log of calls, and what they never do.

use http::Response;
use serde_json::{Value, json};
use snapshot::entity::{
    Backend as BackendEntity, Correlation, Credentials, Diagnostic, LoggedMessage, Logger,
    LoggerType, Masking, PolicyScope, SubscriptionScope, Verbosity,
};
use uuid::Uuid;

use crate::harness::*;

fn logger(name: &str, logger_type: LoggerType, url: Option<String>) -> Logger {
    Logger {
        id: Uuid::from_u128(name.len() as u128 + 80),
        service_id: SERVICE,
        name: name.to_owned(),
        logger_type,
        url,
    }
}

fn message(headers: &[&str], body_bytes: usize) -> LoggedMessage {
    LoggedMessage {
        headers: headers.iter().map(|name| (*name).to_owned()).collect(),
        body_bytes,
        ..LoggedMessage::default()
    }
}

fn monitor() -> Diagnostic {
    Diagnostic {
        id: Uuid::from_u128(70),
        service_id: SERVICE,
        name: "azuremonitor".to_owned(),
        logger: "monitor".to_owned(),
        ..Diagnostic::default()
    }
}

async fn world(backend: &Backend, diagnostic: Diagnostic) -> World {
    let world = World::open(backend).await;
    world.put([
        logger("monitor", LoggerType::AzureMonitor, None).into(),
        diagnostic.into(),
    ]);
    world
}

/// What was kept of the last call.
async fn kept(world: &World, calls: usize) -> Option<Value> {
    world.told.records(calls).await.pop().unwrap().detail
}

#[tokio::test]
async fn chosen_headers_and_the_beginnings_of_bodies_are_kept_without_secrets() {
    let backend = Backend::answering(|seen| {
        Response::builder()
            .status(201)
            .header("x-backend", "b")
            .header("x-other", "o")
            .body(format!("answer to {}", seen.body).into())
            .unwrap()
    })
    .await;
    let mut diagnostic = monitor();
    diagnostic.logs_client_ip = true;
    diagnostic.frontend_request = LoggedMessage {
        masked_headers: vec![
            ("X-Masked".to_owned(), Masking::Mask),
            ("x-hidden".to_owned(), Masking::Hide),
        ],
        masked_parameters: vec![
            ("token".to_owned(), Masking::Mask),
            ("gone".to_owned(), Masking::Hide),
        ],
        ..message(
            &[
                "X-Shown",
                "X-Masked",
                "X-Hidden",
                "Authorization",
                "Ocp-Apim-Subscription-Key",
                "X-Absent",
            ],
            5,
        )
    };
    diagnostic.frontend_response = message(&["X-Backend", "X-Mine"], 6);
    diagnostic.backend_request = message(&["X-Mine", "X-Api-Key"], 4);
    diagnostic.backend_response = message(&["x-backend"], 9);
    let world = world(&backend, diagnostic).await;
    let let_in = BackendEntity {
        id: Uuid::from_u128(60),
        service_id: SERVICE,
        name: "guarded".to_owned(),
        url: backend.url(),
        credentials: Credentials {
            headers: vec![("X-Api-Key".to_owned(), vec!["of-the-header".to_owned()])],
            query: vec![("code".to_owned(), vec!["of-the-query".to_owned()])],
            ..Credentials::default()
        },
        ..BackendEntity::default()
    };
    world.put([
        let_in.into(),
        subscription(30, "ann", SubscriptionScope::All).into(),
    ]);
    world.policy(
        PolicyScope::Api(API),
        r#"<policies><inbound><set-backend-service backend-id="guarded" />
            <set-header name="X-Mine"><value>inbound</value></set-header></inbound><backend><forward-request /></backend>
            <outbound><set-header name="X-Mine"><value>outbound</value></set-header></outbound></policies>"#,
    );
    let answer = world
        .post("/echo/a?token=secret-1&gone=secret-2&shown=1", "question")
        .key("ann-1")
        .header("X-Shown", "yes")
        .header("X-Masked", "secret-3")
        .header("X-Hidden", "secret-4")
        .header("Authorization", "Bearer secret-5")
        .send()
        .await;
    assert_eq!((answer.status, &*answer.body), (201, "answer to question"));
    let mut detail = kept(&world, 1).await.unwrap();
    let text = detail.to_string();
    for secret in ["secret-", "ann-1", "of-the-"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let log = detail["azuremonitor"].take();
    assert_eq!(
        log,
        json!({
            "time": chrono::DateTime::from_timestamp(1_790_000_000, 0),
            "correlationId": "00000000-0000-4000-8000-000000000001",
            "isRequestSuccess": true,
            "gatewayId": "managed",
            "region": "West US",
            "method": "POST",
            "url": format!("http://{HOST}/echo/a?shown=1&token=***"),
            "responseCode": 201,
            "requestSize": 8,
            "responseSize": 18,
            "totalTime": 0,
            "backendTime": 0,
            "cache": "none",
            "configurationRevision": world.gateway.revision(),
            "apiId": "echo",
            "apiRevision": "1",
            "operationName": "echo;rev=1 - op100",
            "operationId": "op100",
            "apimSubscriptionId": "ann",
            "callerIpAddress": "127.0.0.1",
            "requestHeaders": {"X-Shown": "yes", "X-Masked": "***", "Authorization": "***", "Ocp-Apim-Subscription-Key": "***"},
            "requestBody": "quest",
            "responseHeaders": {"X-Backend": "b", "X-Mine": "outbound"},
            "responseBody": "answer",
            "backendRequestHeaders": {"X-Mine": "inbound", "X-Api-Key": "***"},
            "backendRequestBody": "ques",
            "backendResponseHeaders": {"x-backend": "b"},
            "backendResponseBody": "answer to",
            "backendMethod": "POST",
            "backendUrl": format!("{}/a?shown=1&token=***&code=***", backend.url()),
            "backendResponseCode": 201,
            "backendId": "guarded",
        })
    );
}

#[tokio::test]
async fn a_share_of_the_calls_is_logged_and_errors_always_if_so_wanted() {
    let backend = Backend::answering(|seen| {
        let status = if seen.uri == "/bad" { 404 } else { 200 };
        let body = "text".into();
        Response::builder().status(status).body(body).unwrap()
    })
    .await;
    let mut diagnostic = monitor();
    diagnostic.percentage = Some(0.0);
    let world = world(&backend, diagnostic.clone()).await;
    world.get("/echo/bad").send().await;
    assert_eq!(kept(&world, 1).await, None);
    diagnostic.always_logs_errors = true;
    diagnostic.frontend_response = message(&[], 2);
    world.put([diagnostic.clone().into()]);
    world.get("/echo/good").send().await;
    assert_eq!(kept(&world, 2).await, None);
    world.get("/echo/bad").send().await;
    let log = kept(&world, 3).await.unwrap()["azuremonitor"].take();
    assert_eq!(
        (
            &log["responseCode"],
            &log["responseBody"],
            &log["isRequestSuccess"]
        ),
        (&json!(404), &json!("te"), &json!(false))
    );
    // An error of the gateway's own, with its reason.
    world.policy(
        PolicyScope::Api(API),
        r#"<policies><inbound><check-header name="X-Needed" failed-check-httpcode="400" failed-check-error-message="No." ignore-case="true" /></inbound></policies>"#,
    );
    world.get("/echo/good").send().await;
    let log = kept(&world, 4).await.unwrap()["azuremonitor"].take();
    assert_eq!(
        (
            &log["lastErrorSource"],
            &log["lastErrorReason"],
            &log["lastErrorSection"],
            &log["responseCode"]
        ),
        (
            &json!("check-header"),
            &json!("HeaderNotFound"),
            &json!("inbound"),
            &json!(400)
        )
    );
}

#[tokio::test]
async fn an_api_replaces_the_services_diagnostic_of_the_same_name() {
    let backend = Backend::echo().await;
    let mut general = monitor();
    general.frontend_response = message(&["content-type"], 0);
    let world = world(&backend, general.clone()).await;
    world.get("/echo").send().await;
    let log = kept(&world, 1).await.unwrap()["azuremonitor"].take();
    assert_eq!(
        log["responseHeaders"],
        json!({"content-type": "text/plain"})
    );
    let own = Diagnostic {
        id: Uuid::from_u128(71),
        api_id: Some(API),
        names_by_url: true,
        ..monitor()
    };
    world.put([own.clone().into()]);
    world.get("/echo").send().await;
    let log = kept(&world, 2).await.unwrap()["azuremonitor"].take();
    assert_eq!(
        (&log["responseHeaders"], &log["operationName"]),
        (&Value::Null, &json!("GET /echo"))
    );
    world.change([snapshot::Change::Remove {
        kind: snapshot::entity::Kind::Diagnostic,
        id: own.id,
    }]);
    world.get("/echo").send().await;
    let log = kept(&world, 3).await.unwrap()["azuremonitor"].take();
    assert_eq!(
        log["responseHeaders"],
        json!({"content-type": "text/plain"})
    );
    world.change([snapshot::Change::Remove {
        kind: snapshot::entity::Kind::Diagnostic,
        id: general.id,
    }]);
    world.get("/echo").send().await;
    assert_eq!(kept(&world, 4).await, None);
}

#[tokio::test]
async fn an_event_hub_gets_each_log_and_a_sink_that_hangs_slows_no_call() {
    let backend = Backend::echo().await;
    let (sent, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let sink = Backend::answering(move |seen| {
        sent.send((
            seen.header("content-type").map(str::to_owned),
            seen.body.clone(),
        ))
        .unwrap();
        Response::new("".into())
    })
    .await;
    let mut diagnostic = monitor();
    diagnostic.logger = "hub".to_owned();
    let world = world(&backend, diagnostic).await;
    world.put([logger("hub", LoggerType::AzureEventHub, Some(sink.url())).into()]);
    assert_eq!(world.get("/echo").send().await.status, 200);
    let (kind, text) = arrived.recv().await.unwrap();
    let log: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (kind.as_deref(), &log["apiId"], &log["responseCode"]),
        (Some("application/json"), &json!("echo"), &json!(200))
    );
    assert_eq!(kept(&world, 1).await, None, "it went to its logger");
    // A listener that accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    world.put([logger("hub", LoggerType::AzureEventHub, Some(url)).into()]);
    for _ in 0..1100 {
        assert_eq!(world.get("/echo").send().await.status, 200);
    }
}

#[tokio::test]
async fn the_headers_that_join_records_are_those_of_the_diagnostic() {
    let backend = Backend::echo().await;
    let world = world(&backend, monitor()).await;
    let with = |correlation: Correlation| {
        let diagnostic = Diagnostic {
            correlation: Some(correlation),
            ..monitor()
        };
        world.put([diagnostic.into()]);
    };
    world.get("/echo").send().await;
    let seen = backend.last();
    assert_eq!(
        (seen.header("traceparent"), seen.header("request-id")),
        (None, None)
    );
    with(Correlation::W3C);
    world.get("/echo").send().await;
    let begun = backend.last().header("traceparent").unwrap().to_owned();
    assert!(
        begun.starts_with("00-") && begun.ends_with("-01") && begun.len() == 55,
        "{begun}"
    );
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    world
        .get("/echo")
        .header("traceparent", parent)
        .send()
        .await;
    let continued = backend.last().header("traceparent").unwrap().to_owned();
    assert!(
        continued.starts_with(&parent[..36]) && continued.ends_with("-00"),
        "{continued}"
    );
    assert_ne!(continued, parent);
    with(Correlation::Legacy);
    world.get("/echo").send().await;
    let seen = backend.last();
    let begun = seen.header("request-id").unwrap();
    assert!(begun.starts_with('|') && begun.ends_with('.'), "{begun}");
    assert_eq!(seen.header("traceparent"), None);
    world
        .get("/echo")
        .header("request-id", "|root.1.")
        .send()
        .await;
    let seen = backend.last();
    assert!(seen.header("request-id").unwrap().starts_with("|root.1."));
    with(Correlation::None);
    world
        .get("/echo")
        .header("traceparent", parent)
        .send()
        .await;
    assert_eq!(
        backend.last().header("traceparent"),
        Some(parent),
        "as any header"
    );
}

#[tokio::test]
async fn messages_of_the_trace_policy_are_logged_from_the_wanted_severity_on() {
    let backend = Backend::echo().await;
    let world = world(&backend, monitor()).await;
    world.policy(
        PolicyScope::Api(API),
        r#"<policies><inbound><trace source="s" severity="verbose"><message>v</message></trace>
            <trace source="s" severity="information"><message>i</message><metadata name="k" value="1" /></trace>
            <trace source="s" severity="error"><message>e</message></trace></inbound><backend><forward-request /></backend></policies>"#,
    );
    for (calls, verbosity, expected) in [
        (1, Verbosity::Verbose, &["v", "i", "e"][..]),
        (2, Verbosity::Information, &["i", "e"]),
        (3, Verbosity::Error, &["e"]),
    ] {
        world.put([Diagnostic {
            verbosity,
            ..monitor()
        }
        .into()]);
        world.get("/echo").send().await;
        let log = kept(&world, calls).await.unwrap()["azuremonitor"].take();
        let messages: Vec<&str> = log["traceRecords"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|record| record["message"].as_str())
            .collect();
        assert_eq!(messages, expected);
    }
}
