//! Calls that are only tried, and traces of live ones.

use bytes::Bytes;
use gateway::RehearsalError;
use http::{Request, Response};
use snapshot::entity::{self, NamedValue, PolicyScope, Subscription, SubscriptionScope};
use uuid::Uuid;

use crate::harness::*;

const DRAFT: &str = r#"<policies><inbound>
    <set-header name="X-Secret"><value>{{password}}</value></set-header>
    <choose><when condition="@(context.Request.Method == "POST")"><set-variable name="kind" value="write" /></when></choose>
</inbound><backend><forward-request /></backend><outbound>
    <set-status code="202" />
</outbound></policies>"#;

async fn world() -> (World, Backend) {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    world.put([NamedValue {
        id: Uuid::from_u128(60),
        service_id: SERVICE,
        display_name: "password".to_owned(),
        value: "hush".to_owned(),
        secret: true,
    }
    .into()]);
    (world, backend)
}

fn request(path: &str) -> Request<Bytes> {
    Request::post(format!("https://{HOST}{path}"))
        .header("authorization", "Bearer t")
        .body("body".into())
        .unwrap()
}

#[tokio::test]
async fn a_draft_is_tried_without_a_backend_and_tells_every_step() {
    let (world, backend) = world().await;
    let mut draft = world.snapshot.lock().unwrap().clone();
    draft = draft.apply([snapshot::Change::Put(
        entity::Policy {
            id: Uuid::from_u128(1),
            service_id: SERVICE,
            scope: PolicyScope::Api(API),
            xml: DRAFT.to_owned(),
            format: policy::Format::RawXml,
        }
        .into(),
    )]);
    let answer = Response::builder()
        .status(200)
        .header("x-from", "canned")
        .body("answer".into())
        .unwrap();
    let rehearsed = world
        .gateway
        .rehearse(&draft, request("/echo/a?q=1"), answer)
        .await
        .unwrap();
    assert_eq!(
        (
            rehearsed.response.status().as_u16(),
            rehearsed.response.body().as_ref()
        ),
        (202, b"answer".as_slice())
    );
    assert_eq!(rehearsed.response.headers()["x-from"], "canned");
    let forwarded = rehearsed.forwarded.unwrap();
    assert_eq!(
        forwarded.uri().to_string(),
        format!("{}/a?q=1", backend.url())
    );
    assert_eq!(
        (
            forwarded.headers()["x-secret"].to_str().unwrap(),
            forwarded.body().as_ref()
        ),
        ("hush", b"body".as_slice())
    );
    let steps: Vec<_> = rehearsed
        .steps
        .iter()
        .map(|step| (step.section, step.policy, step.line, step.status))
        .collect();
    assert_eq!(
        steps,
        [
            // Lines of the document as the management API gives it back, re-indented.
            ("inbound", "set-header", 3, None),
            ("inbound", "set-variable", 8, None),
            ("inbound", "choose", 6, None),
            ("backend", "forward-request", 13, Some(200)),
            ("outbound", "set-status", 16, Some(202)),
        ]
    );
    assert_eq!(
        rehearsed.steps[2].variables,
        [("kind".to_owned(), "write".to_owned())]
    );
    let text = serde_json::to_string(&rehearsed.steps).unwrap();
    assert!(
        text.contains("***") && !text.contains("hush") && !text.contains("Bearer t"),
        "{text}"
    );
    assert_eq!(backend.seen().len(), 0);
    // The published configuration knows nothing of the draft.
    assert_eq!(world.get("/echo/a").send().await.status, 200);
}

#[tokio::test]
async fn a_rehearsal_sends_nothing_and_counts_apart() {
    let (world, backend) = world().await;
    let limit = r#"<policies><inbound><rate-limit-by-key calls="1" renewal-period="60" counter-key="k" /></inbound><backend><forward-request /></backend></policies>"#;
    world.policy(PolicyScope::Api(API), limit);
    let draft = world.snapshot.lock().unwrap().clone();
    for _ in 0..2 {
        let rehearsed = world
            .gateway
            .rehearse(&draft, request("/echo/a"), Response::new(Bytes::new()))
            .await
            .unwrap();
        assert_eq!(rehearsed.response.status(), 200);
    }
    assert_eq!(world.get("/echo/a").send().await.status, 200);
    let outside = format!(
        r#"<policies><inbound><send-request mode="new" response-variable-name="r"><set-url>{}</set-url></send-request></inbound></policies>"#,
        backend.url()
    );
    world.policy(PolicyScope::Api(API), &outside);
    let draft = world.snapshot.lock().unwrap().clone();
    let before = backend.seen().len();
    let rehearsed = world
        .gateway
        .rehearse(&draft, request("/echo/a"), Response::new(Bytes::new()))
        .await
        .unwrap();
    assert_eq!(
        (rehearsed.response.status().as_u16(), backend.seen().len()),
        (500, before)
    );
    let error = rehearsed.steps[0].error.clone().unwrap();
    assert!(
        error.1.contains("A rehearsal sends no request"),
        "{error:?}"
    );
    let elsewhere = Request::get("https://nobody.example/")
        .body(Bytes::new())
        .unwrap();
    let refused = world
        .gateway
        .rehearse(&draft, elsewhere, Response::new(Bytes::new()))
        .await
        .unwrap_err();
    assert!(matches!(refused, RehearsalError::UnknownHost(host) if host == "nobody.example"));
}

#[tokio::test]
async fn a_caller_with_permission_gets_the_address_of_the_trace() {
    let (world, backend) = world().await;
    world.policy(PolicyScope::Api(API), DRAFT);
    let mut tracing = subscription(30, "tracing", SubscriptionScope::All);
    tracing.allow_tracing = true;
    world.put([
        tracing.into(),
        Subscription {
            allow_tracing: false,
            ..subscription(31, "plain", SubscriptionScope::All)
        }
        .into(),
    ]);
    let traced = world
        .get("/echo/a")
        .key("tracing-1")
        .header("ocp-apim-trace", "true")
        .send()
        .await;
    let calls = world.told.calls.lock().unwrap().clone();
    assert_eq!(
        traced.header("ocp-apim-trace-location").unwrap(),
        format!("https://traces.example/{}", calls[0].request_id)
    );
    assert_eq!(
        traced.header("x-request-id").unwrap(),
        calls[0].request_id.to_string()
    );
    assert_eq!(
        calls[0]
            .steps
            .iter()
            .map(|step| step.policy)
            .collect::<Vec<_>>(),
        ["set-header", "choose", "forward-request", "set-status"]
    );
    assert_eq!(backend.last().header("ocp-apim-trace"), None);
    let refused = world
        .get("/echo/a")
        .key("plain-1")
        .header("ocp-apim-trace", "true")
        .send()
        .await;
    assert_eq!(refused.header("ocp-apim-trace-location"), None);
    assert_eq!(world.told.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_trace_hides_what_a_backend_gets_from_the_gateway_to_let_it_in() {
    let backend = Backend::echo().await;
    let world = World::with_policy(
        &backend,
        r#"<policies><inbound><set-backend-service backend-id="pool" /></inbound><backend><forward-request /></backend></policies>"#,
    )
    .await;
    let member = entity::Backend {
        id: Uuid::from_u128(60),
        service_id: SERVICE,
        name: "member".to_owned(),
        url: backend.url(),
        credentials: entity::Credentials {
            headers: vec![("X-Api-Key".to_owned(), vec!["of-the-header".to_owned()])],
            query: vec![("code".to_owned(), vec!["of-the-query".to_owned()])],
            authorization: Some(("Basic".to_owned(), "of-authorization".to_owned())),
            certificate: None,
        },
        ..entity::Backend::default()
    };
    let pool = entity::Backend {
        id: Uuid::from_u128(61),
        service_id: SERVICE,
        name: "pool".to_owned(),
        pool: vec![entity::PoolMember {
            backend: "member".to_owned(),
            priority: 0,
            weight: 0,
        }],
        ..entity::Backend::default()
    };
    world.put([member.into(), pool.into()]);
    let mut allowed = subscription(30, "tracer", SubscriptionScope::All);
    allowed.allow_tracing = true;
    world.put([allowed.into()]);
    let traced = world
        .get("/echo/a?shown=1")
        .key("tracer-1")
        .header("ocp-apim-trace", "true")
        .send()
        .await;
    assert_eq!(traced.status, 200);
    assert!(traced.body.contains("code=of-the-query"), "{}", traced.body);
    let calls = world.told.calls.lock().unwrap().clone();
    let text = serde_json::to_string(&calls).unwrap();
    assert!(
        text.contains("x-api-key") && text.contains("shown=1"),
        "{text}"
    );
    for hidden in ["of-the-header", "of-the-query", "of-authorization"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}
