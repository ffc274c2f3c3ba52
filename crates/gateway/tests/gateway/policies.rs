//! Each policy by its published behaviour. Limits and conversions of bodies have files of their own.

use http::{HeaderMap, Response};
use snapshot::entity::{
    Api, Backend as BackendEntity, CircuitBreaker, Credentials, Group, Logger, LoggerType,
    PolicyScope, PoolMember, Representation, Response as Documented, Service, SubscriptionScope,
    User,
};
use uuid::Uuid;

use crate::harness::*;

fn inbound(xml: &str) -> String {
    format!(
        "<policies><inbound>{xml}</inbound><backend><forward-request /></backend><outbound /></policies>"
    )
}

fn outbound(xml: &str) -> String {
    format!(
        "<policies><inbound /><backend><forward-request /></backend><outbound>{xml}</outbound></policies>"
    )
}

fn backend_section(xml: &str) -> String {
    format!("<policies><inbound /><backend>{xml}</backend><outbound /></policies>")
}

#[tokio::test]
async fn set_header_overrides_skips_appends_and_deletes() {
    let backend = Backend::echo().await;
    let xml = r#"<set-header name="X-New"><value>@("n" + 1)</value><value>second</value></set-header>
        <set-header name="X-Old" exists-action="skip"><value>changed</value></set-header>
        <set-header name="X-More" exists-action="append"><value>two</value></set-header>
        <set-header name="X-Gone" exists-action="delete" />"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    world
        .get("/echo")
        .header("x-old", "kept")
        .header("x-more", "one")
        .header("x-gone", "1")
        .send()
        .await;
    let seen = backend.last();
    let all = |name: &str| -> Vec<String> {
        seen.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(all("x-new"), ["n1", "second"]);
    assert_eq!(
        (all("x-old"), all("x-more"), all("x-gone").len()),
        (
            vec!["kept".to_owned()],
            vec!["one".to_owned(), "two".to_owned()],
            0
        )
    );
}

#[tokio::test]
async fn set_header_in_outbound_changes_the_response_and_host_the_request() {
    let backend = Backend::answering(|_| {
        Response::builder()
            .header("x-powered-by", "x")
            .body("".into())
            .unwrap()
    })
    .await;
    let xml = r#"<policies><inbound><set-header name="Host"><value>virtual.example</value></set-header></inbound>
        <backend><forward-request /></backend><outbound>
        <set-header name="X-Powered-By" exists-action="delete" />
        <set-header name="X-Status"><value>@(context.Response.StatusCode.ToString())</value></set-header></outbound></policies>"#;
    let world = World::with_policy(&backend, xml).await;
    let answer = world.get("/echo").send().await;
    assert_eq!(
        (answer.header("x-powered-by"), answer.header("x-status")),
        (None, Some("200"))
    );
    assert_eq!(backend.last().header("host"), Some("virtual.example"));
}

#[tokio::test]
async fn a_header_value_with_a_line_break_is_an_error_and_not_a_header() {
    let backend = Backend::echo().await;
    let xml = r#"<set-header name="X-A"><value>@(context.Request.Url.Query.GetValueOrDefault("v", ""))</value></set-header>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    assert_eq!(world.get("/echo?v=a%0d%0aX-B:1").send().await.status, 500);
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn set_query_parameter_and_set_method_change_what_the_backend_sees() {
    let backend = Backend::echo().await;
    let xml = r#"<set-query-parameter name="a" exists-action="override"><value>x y</value></set-query-parameter>
        <set-query-parameter name="b" exists-action="skip"><value>2</value></set-query-parameter>
        <set-query-parameter name="c" exists-action="append"><value>3</value></set-query-parameter>
        <set-query-parameter name="d" exists-action="delete" />
        <set-method>PUT</set-method>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    let answer = world.get("/echo/p?a=1&b=1&c=1&d=1&%C3%A9=%20").send().await;
    assert_eq!(answer.body, "PUT /p?b=1&c=1&%C3%A9=%20&a=x%20y&c=3 ");
}

#[tokio::test]
async fn rewrite_uri_uses_parameters_of_the_template() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &format!("{}/base", backend.url()))
    };
    world.put([
        echo.into(),
        operation(100, API, "GET", "/get/{id}?a={b}").into(),
    ]);
    let with = |copy: &str| {
        inbound(&format!(
            r#"<rewrite-uri template="/put/{{id}}/x?c={{b}}" copy-unmatched-params="{copy}" />"#
        ))
    };
    world.policy(PolicyScope::Api(API), &with("true"));
    let answer = world.get("/echo/get/1%202?a=q%26&e=f").send().await;
    assert_eq!(answer.body, "GET /base/put/1%202/x?c=q%26&e=f ");
    world.policy(PolicyScope::Api(API), &with("false"));
    assert_eq!(
        world.get("/echo/get/7?a=q&e=f").send().await.body,
        "GET /base/put/7/x?c=q "
    );
}

#[tokio::test]
async fn set_backend_service_changes_the_backend_by_url_or_resource() {
    let (first, second) = (Backend::echo().await, Backend::echo().await);
    let world = World::with_policy(
        &first,
        &inbound(&format!(
            r#"<set-backend-service base-url="{}/v8/" />"#,
            second.url()
        )),
    )
    .await;
    assert_eq!(world.get("/echo/a").send().await.body, "GET /v8/a ");
    world.put([BackendEntity {
        id: Uuid::from_u128(70),
        service_id: SERVICE,
        name: "second".to_owned(),
        url: second.url(),
        credentials: Credentials {
            headers: vec![("X-Code".to_owned(), vec!["c".to_owned()])],
            query: vec![("code".to_owned(), vec!["q".to_owned()])],
            authorization: Some(("Basic".to_owned(), "abc".to_owned())),
            certificate: None,
        },
        ..BackendEntity::default()
    }
    .into()]);
    world.policy(
        PolicyScope::Api(API),
        &inbound(r#"<set-backend-service backend-id="second" />"#),
    );
    assert_eq!(
        world.get("/echo/a?x=1").send().await.body,
        "GET /a?x=1&code=q "
    );
    let seen = second.last();
    assert_eq!(
        (seen.header("x-code"), seen.header("authorization")),
        (Some("c"), Some("Basic abc"))
    );
    world.policy(
        PolicyScope::Api(API),
        &inbound(r#"<set-backend-service backend-id="third" />"#),
    );
    assert_eq!(world.get("/echo/a").send().await.status, 500);
}

#[tokio::test]
async fn a_pool_takes_turns_and_an_open_circuit_is_left_out() {
    let good = Backend::echo().await;
    let bad =
        Backend::answering(|_| Response::builder().status(503).body("".into()).unwrap()).await;
    let world = World::with_policy(
        &good,
        &inbound(r#"<set-backend-service backend-id="pool" />"#),
    )
    .await;
    let member = |id: u128, name: &str, url: String| BackendEntity {
        id: Uuid::from_u128(id),
        service_id: SERVICE,
        name: name.to_owned(),
        url,
        circuit_breaker: Some(CircuitBreaker {
            failures: 1,
            interval_ms: 60_000,
            trip_ms: 30_000,
            statuses: vec![(500, 599)],
            ..CircuitBreaker::default()
        }),
        ..BackendEntity::default()
    };
    let part = |name: &str| PoolMember {
        backend: name.to_owned(),
        priority: 1,
        weight: 1,
    };
    world.put([
        member(70, "good", good.url()).into(),
        member(71, "bad", bad.url()).into(),
        BackendEntity {
            id: Uuid::from_u128(72),
            service_id: SERVICE,
            name: "pool".to_owned(),
            pool: vec![part("good"), part("bad")],
            ..BackendEntity::default()
        }
        .into(),
    ]);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(world.get("/echo/a").send().await.status);
    }
    assert_eq!(statuses, [200, 503, 200, 200, 200]);
    world.clock.advance(31);
    let later = [
        world.get("/echo/a").send().await.status,
        world.get("/echo/a").send().await.status,
    ];
    assert!(later.contains(&503), "{later:?}");
}

#[tokio::test]
async fn return_response_ends_the_call() {
    let backend = Backend::echo().await;
    let xml = r#"<return-response>
        <set-status code="401" reason="Go away" />
        <set-header name="WWW-Authenticate" exists-action="override"><value>Bearer error="invalid_token"</value></set-header>
        <set-body>@("no " + context.Request.Method)</set-body></return-response>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    let answer = world.get("/echo").send().await;
    assert_eq!(
        (
            answer.status,
            answer.header("www-authenticate"),
            answer.body.as_str()
        ),
        (401, Some("Bearer error=\"invalid_token\""), "no GET")
    );
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn mock_response_gives_the_documented_example() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    let mut documented = operation(100, API, "*", "/*");
    documented.responses = vec![Documented {
        status_code: 200,
        representations: vec![
            Representation {
                content_type: "text/plain".to_owned(),
                examples: vec!["plain".to_owned()],
                ..Representation::default()
            },
            Representation {
                content_type: "application/json".to_owned(),
                examples: vec!["{\"a\":1}".to_owned(), "{\"a\":2}".to_owned()],
                ..Representation::default()
            },
        ],
        ..Documented::default()
    }];
    world.put([documented.into()]);
    for (attributes, status, content_type, body) in [
        ("", 200, Some("text/plain"), "plain"),
        (
            r#"content-type="application/json""#,
            200,
            Some("application/json"),
            "{\"a\":1}",
        ),
        (
            r#"content-type="application/json" index="2""#,
            200,
            Some("application/json"),
            "{\"a\":2}",
        ),
        (r#"status-code="204""#, 204, None, ""),
    ] {
        world.policy(
            PolicyScope::Api(API),
            &inbound(&format!("<mock-response {attributes} />")),
        );
        let answer = world.get("/echo").send().await;
        assert_eq!(
            (
                answer.status,
                answer.header("content-type"),
                answer.body.as_str()
            ),
            (status, content_type, body)
        );
    }
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn choose_runs_the_first_branch_that_holds() {
    let backend = Backend::echo().await;
    let xml = r#"<choose>
        <when condition="@(context.Request.Method == "GET")"><set-variable name="v" value="get" /></when>
        <when condition="@(true)"><set-variable name="v" value="other" /></when>
        <otherwise><set-variable name="v" value="none" /></otherwise></choose>
        <set-header name="X-V"><value>@((string)context.Variables["v"])</value></set-header>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    world.get("/echo").send().await;
    assert_eq!(backend.last().header("x-v"), Some("get"));
    world.post("/echo", "").send().await;
    assert_eq!(backend.last().header("x-v"), Some("other"));
}

#[tokio::test]
async fn expressions_see_who_calls_what() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    world.put([
        api(API, "echo", &format!("{}/base", backend.url())).into(),
        operation(100, API, "GET", "/r/{id}").into(),
        product(STARTER, "starter", &[API]).into(),
        snapshot::entity::Subscription {
            owner_id: Some(Uuid::from_u128(60)),
            display_name: Some("Mine".to_owned()),
            ..subscription(30, "sub", SubscriptionScope::Product(STARTER))
        }
        .into(),
        User {
            id: Uuid::from_u128(60),
            service_id: SERVICE,
            name: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            first_name: "Ada".to_owned(),
            last_name: "L".to_owned(),
            groups: vec![Group {
                name: "developers".to_owned(),
                display_name: "Developers".to_owned(),
            }],
            ..User::default()
        }
        .into(),
    ]);
    let line = |expression: &str| format!("<value>@({expression})</value>");
    let expressions = [
        (
            "context.Api.Id + context.Api.Path + context.Api.Revision",
            "echoecho1",
        ),
        (
            "context.Operation.Id + context.Operation.UrlTemplate",
            "op100/r/{id}",
        ),
        ("context.Product.Name", "starter"),
        (
            "context.Subscription.Id + context.Subscription.Name",
            "subMine",
        ),
        (
            "context.Subscription.Key + context.Subscription.PrimaryKey",
            "sub-1sub-1",
        ),
        (
            "context.User.Email + context.User.Groups.Count()",
            "ada@example.com1",
        ),
        ("context.Request.MatchedParameters[\"id\"]", "7"),
        (
            "context.Request.OriginalUrl.Path + context.Request.OriginalUrl.QueryString",
            "/echo/r/7?q=1",
        ),
        ("context.Request.Url.Path", "/base/r/7"),
        ("context.Request.OriginalUrl.Host", HOST),
        ("context.Request.IpAddress", "127.0.0.1"),
        (
            "context.Deployment.ServiceName + context.Deployment.Region",
            "demoazuremlWest US",
        ),
    ];
    let values: String = expressions
        .iter()
        .map(|(expression, _)| line(expression))
        .collect();
    world.policy(
        PolicyScope::Api(API),
        &inbound(&format!("<set-header name=\"X-V\">{values}</set-header>")),
    );
    assert_eq!(
        world.get("/echo/r/7?q=1").key("sub-1").send().await.status,
        200
    );
    let seen = backend.last();
    let values: Vec<_> = seen
        .headers
        .get_all("x-v")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(values, expressions.map(|(_, value)| value));
}

#[tokio::test]
async fn on_error_sees_the_last_error_and_may_change_the_answer() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    world.put([
        api(API, "echo", &backend.url()).into(),
        operation(100, API, "GET", "/a").into(),
    ]);
    let report = r#"<on-error>
        <set-header name="X-Error"><value>@(context.LastError.Source + "/" + context.LastError.Reason + "/" + context.LastError.Section + "/" + context.LastError.PolicyId)</value></set-header>
        <set-header name="X-Message"><value>@(context.LastError.Message)</value></set-header></on-error>"#;
    let document = |inbound: &str| {
        format!(
            "<policies><inbound>{inbound}</inbound><backend><forward-request /></backend><outbound />{report}</policies>"
        )
    };
    world.policy(PolicyScope::Api(API), &document(""));
    let refused = world.get("/echo/a").send().await;
    assert_eq!(
        (refused.status, refused.header("x-error")),
        (401, Some("authorization/SubscriptionKeyNotFound/inbound/"))
    );
    let unknown = world.get("/echo/b").send().await;
    assert_eq!(
        (
            unknown.status,
            unknown.header("x-error"),
            unknown.header("x-message")
        ),
        (
            404,
            Some("configuration/OperationNotFound/inbound/"),
            Some("Unable to match incoming request to an operation.")
        )
    );
    world.put([subscription(30, "all", SubscriptionScope::All).into()]);
    world.policy(
        PolicyScope::Api(API),
        &document(r#"<choose><when condition="@(true)"><check-header id="mine" name="X" failed-check-httpcode="400" failed-check-error-message="m" ignore-case="true" /></when></choose>"#),
    );
    let checked = world.get("/echo/a").key("all-1").send().await;
    assert_eq!(
        (
            checked.status,
            checked.header("x-error"),
            checked.header("x-message")
        ),
        (
            400,
            Some("check-header/HeaderNotFound/inbound/mine"),
            Some("m")
        )
    );
    world.policy(
        PolicyScope::Api(API),
        r#"<policies><inbound><set-variable name="a" value="@(context.Product.Name)" /></inbound><on-error>
        <return-response><set-status code="418" /><set-body>@(context.LastError.Reason)</set-body></return-response></on-error></policies>"#,
    );
    let returned = world.get("/echo/a").key("all-1").send().await;
    assert_eq!(
        (returned.status, returned.body.as_str()),
        (418, "ExpressionValueEvaluationFailure")
    );
}

#[tokio::test]
async fn forward_request_may_fail_on_error_statuses_and_keeps_the_answer() {
    let backend =
        Backend::answering(|_| Response::builder().status(422).body("why".into()).unwrap()).await;
    let xml = r#"<policies><inbound /><backend><forward-request fail-on-error-status-code="true" /></backend><outbound />
        <on-error><set-header name="X-Seen"><value>@(context.Response.StatusCode.ToString())</value></set-header></on-error></policies>"#;
    let world = World::with_policy(&backend, xml).await;
    let answer = world.get("/echo").send().await;
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("x-seen")),
        (422, "why", Some("422"))
    );
}

#[tokio::test]
async fn retry_repeats_with_the_same_body_until_the_condition_ends() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let backend = Backend::answering(move |seen| {
        let status = if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
            500
        } else {
            200
        };
        Response::builder()
            .status(status)
            .body(seen.body.clone().into())
            .unwrap()
    })
    .await;
    let xml = r#"<retry condition="@(context.Response.StatusCode == 500)" count="5" interval="0"><forward-request buffer-request-body="true" /></retry>"#;
    let world = World::with_policy(&backend, &backend_section(xml)).await;
    let answer = world.post("/echo", "again").send().await;
    assert_eq!(
        (answer.status, answer.body.as_str(), backend.seen().len()),
        (200, "again", 3)
    );
}

#[tokio::test]
async fn send_request_keeps_the_response_and_errors_may_be_ignored() {
    let backend = Backend::echo().await;
    let side = Backend::answering(|seen| {
        Response::builder()
            .status(202)
            .header("x-side", "s")
            .body(format!("{{\"got\":\"{}\"}}", seen.body).into())
            .unwrap()
    })
    .await;
    let xml = format!(
        r#"<send-request mode="new" response-variable-name="r" timeout="5"><set-url>{}/check</set-url><set-method>POST</set-method>
            <set-header name="X-H"><value>h</value></set-header><set-body>@("t" + context.Request.Method)</set-body></send-request>
        <send-request mode="new" response-variable-name="none" timeout="5" ignore-error="true"><set-url>http://127.0.0.1:1/</set-url></send-request>
        <set-header name="X-R"><value>@(((IResponse)context.Variables["r"]).StatusCode.ToString())</value>
            <value>@((string)((IResponse)context.Variables["r"]).Body.As<JObject>()["got"])</value>
            <value>@(context.Variables["none"] == null ? "null" : "some")</value></set-header>"#,
        side.url()
    );
    let world = World::with_policy(&backend, &inbound(&xml)).await;
    assert_eq!(world.get("/echo").send().await.status, 200);
    let seen = side.last();
    assert_eq!(
        (seen.method.as_str(), seen.uri.as_str(), seen.header("x-h")),
        ("POST", "/check", Some("h"))
    );
    let seen = backend.last();
    let values: Vec<_> = seen
        .headers
        .get_all("x-r")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(values, ["202", "tGET", "null"]);
}

#[tokio::test]
async fn wait_sends_at_the_same_time_and_can_be_content_with_the_first() {
    let backend = Backend::echo().await;
    let side = Backend::echo().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let send = |name: &str, url: String| {
        format!(
            r#"<send-request mode="new" response-variable-name="{name}" timeout="60"><set-url>{url}</set-url></send-request>"#
        )
    };
    let xml = format!(
        r#"<wait for="any">{}{}</wait><set-header name="X-A"><value>@(context.Variables.ContainsKey("slow") ? "slow" : "fast")</value></set-header>"#,
        send("slow", format!("http://{}/", silent.local_addr().unwrap())),
        send("fast", side.url()),
    );
    let world = World::with_policy(&backend, &inbound(&xml)).await;
    assert_eq!(world.get("/echo").send().await.status, 200);
    assert_eq!(backend.last().header("x-a"), Some("fast"));
}

#[tokio::test]
async fn a_one_way_request_is_sent_and_not_waited_for() {
    let backend = Backend::echo().await;
    let (sent, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let side = Backend::answering(move |seen| {
        sent.send(seen.body.clone()).unwrap();
        Response::new("".into())
    })
    .await;
    let xml = format!(
        "<send-one-way-request mode=\"new\"><set-url>{}</set-url><set-method>POST</set-method><set-body>@(\"hello \" + context.Request.Method)</set-body></send-one-way-request>",
        side.url()
    );
    let world = World::with_policy(&backend, &inbound(&xml)).await;
    assert_eq!(world.get("/echo").send().await.status, 200);
    assert_eq!(arrived.recv().await.unwrap(), "hello GET");
}

#[tokio::test]
async fn a_log_message_goes_to_its_logger() {
    let backend = Backend::echo().await;
    let (sent, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let sink = Backend::answering(move |seen| {
        sent.send((
            seen.body.clone(),
            seen.header("x-partition").map(str::to_owned),
        ))
        .unwrap();
        Response::new("".into())
    })
    .await;
    let xml = "<log-to-eventhub logger-id=\"hub\" partition-key=\"p\">@(context.Request.Method)</log-to-eventhub>";
    let world = World::with_policy(&backend, &inbound(xml)).await;
    assert_eq!(world.get("/echo").send().await.status, 500);
    world.put([Logger {
        logger_type: LoggerType::AzureEventHub,
        id: Uuid::from_u128(80),
        service_id: SERVICE,
        name: "hub".to_owned(),
        url: Some(sink.url()),
    }
    .into()]);
    assert_eq!(world.get("/echo").send().await.status, 200);
    assert_eq!(
        arrived.recv().await.unwrap(),
        ("GET".to_owned(), Some("p".to_owned()))
    );
}

#[tokio::test]
async fn traces_and_metrics_are_told() {
    let backend = Backend::echo().await;
    let xml = r#"<trace source="mine" severity="information"><message>@("m" + 1)</message><metadata name="k" value="v" /></trace>
        <emit-metric name="calls" value="2.5" namespace="ns"><dimension name="API ID" /><dimension name="IP" value="@(context.Request.IpAddress)" /></emit-metric>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    world.get("/echo").send().await;
    let trace = world.told.traces.lock().unwrap().remove(0);
    assert_eq!(
        (
            trace.source.as_str(),
            trace.severity,
            trace.message.as_str(),
            trace.metadata
        ),
        (
            "mine",
            "information",
            "m1",
            vec![("k".to_owned(), "v".to_owned())]
        )
    );
    let metric = world.told.metrics.lock().unwrap().remove(0);
    assert_eq!(
        (metric.name.as_str(), metric.value, metric.dimensions),
        (
            "calls",
            2.5,
            vec![
                ("API ID".to_owned(), "echo".to_owned()),
                ("IP".to_owned(), "127.0.0.1".to_owned())
            ]
        )
    );
}

#[tokio::test]
async fn authentication_basic_sets_the_header() {
    let backend = Backend::echo().await;
    let xml = r#"<authentication-basic username="testuser" password="testpassword" />"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    world.get("/echo").send().await;
    assert_eq!(
        backend.last().header("authorization"),
        Some("Basic dGVzdHVzZXI6dGVzdHBhc3N3b3Jk")
    );
}

struct Tokens;

impl gateway::Identity for Tokens {
    fn token(
        &self,
        service: &str,
        resource: &str,
        client: Option<&str>,
    ) -> futures_util::future::BoxFuture<'static, Result<String, String>> {
        let token = format!("{service}:{resource}:{}", client.unwrap_or("system"));
        Box::pin(async move { Ok(token) })
    }
}

#[tokio::test]
async fn a_token_of_the_services_identity_is_sent_or_kept() {
    let backend = Backend::echo().await;
    let world = World::with(|options| gateway::Options {
        identity: Some(std::sync::Arc::new(Tokens)),
        ..options
    })
    .await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &backend.url())
    };
    world.put([echo.into(), operation(100, API, "*", "/*").into()]);
    world.policy(
        PolicyScope::Api(API),
        &inbound(r#"<authentication-managed-identity resource="https://graph" /><authentication-managed-identity resource="r" client-id="c" output-token-variable-name="t" />
            <set-header name="X-T"><value>@((string)context.Variables["t"])</value></set-header>"#),
    );
    world.get("/echo").send().await;
    let seen = backend.last();
    assert_eq!(
        seen.header("authorization"),
        Some("Bearer demoazureml:https://graph:system")
    );
    assert_eq!(seen.header("x-t"), Some("demoazureml:r:c"));
}

const CACHED: &str = r#"<policies><inbound><cache-lookup vary-by-developer="false" vary-by-developer-groups="false" downstream-caching-type="public">
    <vary-by-header>Accept</vary-by-header><vary-by-query-parameter>v</vary-by-query-parameter></cache-lookup></inbound>
    <backend><forward-request /></backend><outbound><cache-store duration="60" /></outbound></policies>"#;

#[tokio::test]
async fn a_response_is_kept_by_headers_and_parameters_until_it_is_stale() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let backend = Backend::answering(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Response::builder()
            .header("content-type", "text/x")
            .header("set-cookie", "a=b")
            .body(number.to_string().into())
            .unwrap()
    })
    .await;
    let world = World::with_policy(&backend, CACHED).await;
    let body =
        async |path: &str, accept: &str| world.get(path).header("accept", accept).send().await.body;
    assert_eq!(body("/echo/a?v=1", "x").await, "0");
    assert_eq!(body("/echo/a?v=1&other=2", "x").await, "0");
    assert_eq!(body("/echo/a?v=2", "x").await, "1");
    assert_eq!(body("/echo/a?v=1", "y").await, "2");
    assert_eq!(
        world
            .post("/echo/a?v=1", "")
            .header("accept", "x")
            .send()
            .await
            .body,
        "3"
    );
    world.clock.advance(59);
    let hit = world.get("/echo/a?v=1").header("accept", "x").send().await;
    assert_eq!(
        (
            hit.body.as_str(),
            hit.header("age"),
            hit.header("content-type"),
            hit.header("set-cookie"),
            hit.header("cache-control")
        ),
        (
            "0",
            Some("59"),
            Some("text/x"),
            None,
            Some("public, must-revalidate")
        )
    );
    world.clock.advance(1);
    assert_eq!(body("/echo/a?v=1", "x").await, "4");
    assert_eq!(
        world
            .get("/echo/a?v=1")
            .header("accept", "x")
            .header("authorization", "Bearer t")
            .send()
            .await
            .body,
        "5"
    );
    let outcomes: Vec<_> = world
        .told
        .records(8)
        .await
        .iter()
        .map(|record| record.cache)
        .collect();
    use gateway::CacheOutcome::{Hit, Miss, None as Not};
    assert_eq!(outcomes, [Miss, Hit, Miss, Miss, Not, Hit, Miss, Not]);
}

#[tokio::test]
async fn a_failed_response_is_not_kept() {
    let backend =
        Backend::answering(|_| Response::builder().status(500).body("".into()).unwrap()).await;
    let world = World::with_policy(&backend, CACHED).await;
    world.get("/echo/a").send().await;
    world.get("/echo/a").send().await;
    assert_eq!(backend.seen().len(), 2);
}

#[tokio::test]
async fn values_are_kept_looked_up_and_removed() {
    let backend = Backend::echo().await;
    let xml = r#"<cache-lookup-value key="k" default-value="none" variable-name="v" />
        <set-header name="X-V"><value>@((string)context.Variables["v"])</value></set-header>
        <choose><when condition="@(context.Request.Method == "DELETE")"><cache-remove-value key="k" /></when>
        <otherwise><cache-store-value key="k" value="@(context.Request.Method)" duration="60" /></otherwise></choose>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    let mut values = Vec::new();
    for (method, seconds) in [
        ("GET", 0),
        ("PUT", 0),
        ("DELETE", 0),
        ("GET", 61),
        ("GET", 0),
    ] {
        world.call(method, "/echo").send().await;
        values.push(backend.last().header("x-v").unwrap().to_owned());
        world.clock.advance(seconds);
    }
    assert_eq!(values, ["none", "GET", "PUT", "none", "none"]);
}

const CORS: &str = r#"<cors allow-credentials="true"><allowed-origins><origin>https://shop.example</origin></allowed-origins>
    <allowed-methods preflight-result-max-age="300"><method>PUT</method></allowed-methods>
    <allowed-headers><header>x-zumo-*</header></allowed-headers><expose-headers><header>x-count</header></expose-headers></cors>"#;

fn cors_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut found: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-"))
        .map(|(name, value)| {
            (
                name.as_str()
                    .trim_start_matches("access-control-")
                    .to_owned(),
                value.to_str().unwrap().to_owned(),
            )
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_permitted_origin_may_call_and_ask_before() {
    let backend = Backend::answering(|_| {
        Response::builder()
            .header("access-control-allow-origin", "*")
            .body("".into())
            .unwrap()
    })
    .await;
    let world = World::empty().await;
    world.put([
        api(API, "echo", &backend.url()).into(),
        operation(100, API, "PUT", "/a").into(),
        subscription(30, "all", SubscriptionScope::All).into(),
    ]);
    world.policy(PolicyScope::Api(API), &inbound(CORS));
    // A preflight request brings no key.
    let asked = world
        .call("OPTIONS", "/echo/a")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "X-Zumo-Id")
        .send()
        .await;
    let expected = [
        ("allow-credentials", "true"),
        ("allow-headers", "x-zumo-id"),
        ("allow-methods", "PUT"),
        ("allow-origin", "https://shop.example"),
        ("expose-headers", "x-count"),
        ("max-age", "300"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        (
            asked.status,
            asked.body.as_str(),
            cors_headers(&asked.headers)
        ),
        (200, "", expected.to_vec())
    );
    assert_eq!(backend.seen().len(), 0);
    let called = world
        .call("PUT", "/echo/a")
        .key("all-1")
        .header("origin", "https://shop.example")
        .send()
        .await;
    assert_eq!(
        cors_headers(&called.headers),
        [
            ("allow-credentials", "true"),
            ("allow-origin", "https://shop.example"),
            ("expose-headers", "x-count")
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn another_origin_gets_nothing_and_an_operation_without_cors_is_404() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &backend.url())
    };
    world.put([echo.into(), operation(100, API, "PUT", "/a").into()]);
    let preflight = async |origin: &str, method: &str| {
        world
            .call("OPTIONS", "/echo/a")
            .header("origin", origin)
            .header("access-control-request-method", method)
            .send()
            .await
    };
    assert_eq!(preflight("https://shop.example", "PUT").await.status, 404);
    world.policy(PolicyScope::Api(API), &inbound(CORS));
    let refused = preflight("https://evil.example", "PUT").await;
    assert_eq!(
        (refused.status, cors_headers(&refused.headers)),
        (200, vec![])
    );
    let refused = preflight("https://shop.example", "DELETE").await;
    assert_eq!(
        (refused.status, cors_headers(&refused.headers)),
        (200, vec![])
    );
    let called = world
        .call("PUT", "/echo/a")
        .header("origin", "https://evil.example")
        .send()
        .await;
    assert_eq!((called.status, called.body.as_str()), (200, ""));
    assert_eq!(backend.seen().len(), 0);
    assert_eq!(world.call("OPTIONS", "/echo/a").send().await.status, 404);
}

#[tokio::test]
async fn the_services_own_portal_may_call_without_a_policy() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    world.put([
        Service {
            id: SERVICE,
            name: "demoazureml".to_owned(),
            hostnames: vec![HOST.to_owned()],
            portal_origins: vec!["https://portal.example".to_owned()],
            ..Service::default()
        }
        .into(),
        api(API, "echo", &backend.url()).into(),
        operation(100, API, "GET", "/a").into(),
    ]);
    let asked = world
        .call("OPTIONS", "/echo/a")
        .header("origin", "https://portal.example")
        .header("access-control-request-method", "GET")
        .header(
            "access-control-request-headers",
            "ocp-apim-subscription-key",
        )
        .send()
        .await;
    assert_eq!(
        (asked.status, asked.header("access-control-allow-origin")),
        (200, Some("https://portal.example"))
    );
    // The answer to the call itself must be readable too, also a refusal.
    let called = world
        .get("/echo/a")
        .header("origin", "https://portal.example")
        .send()
        .await;
    assert_eq!(
        (called.status, called.header("access-control-allow-origin")),
        (401, Some("https://portal.example"))
    );
}

#[tokio::test]
async fn cross_domain_serves_its_file() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    let root = Api {
        subscription_required: false,
        ..api(API, "", &backend.url())
    };
    world.put([root.into()]);
    world.policy(
        PolicyScope::Global,
        &inbound(r#"<cross-domain><cross-domain-policy><allow-http-request-headers-from domain="*" headers="*" /></cross-domain-policy></cross-domain>"#),
    );
    let file = world.get("/crossdomain.xml").send().await;
    assert!(
        file.status == 200 && file.body.contains("allow-http-request-headers-from"),
        "{file:?}"
    );
    assert_eq!(world.get("/a").send().await.body, "GET /a ");
}

#[tokio::test]
async fn jsonp_wraps_json_for_a_callback_that_is_a_name() {
    let backend = Backend::answering(|_| {
        Response::builder()
            .header("content-type", "application/json")
            .body("{\"a\":1}".into())
            .unwrap()
    })
    .await;
    let world = World::with_policy(
        &backend,
        &outbound(r#"<jsonp callback-parameter-name="cb" />"#),
    )
    .await;
    let wrapped = world.get("/echo?cb=my.fn").send().await;
    assert_eq!(
        (wrapped.body.as_str(), wrapped.header("content-type")),
        ("my.fn({\"a\":1})", Some("text/javascript"))
    );
    assert_eq!(world.get("/echo").send().await.body, "{\"a\":1}");
    assert_eq!(
        world.get("/echo?cb=alert(1)//").send().await.body,
        "{\"a\":1}"
    );
}

#[tokio::test]
async fn a_proxy_is_used_by_a_tunnel() {
    let backend = Backend::echo().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let target = backend.address;
    let tunnel = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut upstream = tokio::net::TcpStream::connect(target).await.unwrap();
        tokio::spawn(
            async move { tokio::io::copy_bidirectional(&mut client, &mut upstream).await },
        );
        String::from_utf8(head).unwrap().to_lowercase()
    });
    let xml = format!(r#"<proxy url="http://{proxy}" username="u" password="p" />"#);
    let world = World::with_policy(&backend, &inbound(&xml)).await;
    assert_eq!(world.get("/echo/a").send().await.body, "GET /a ");
    let head = tunnel.await.unwrap();
    assert!(
        head.starts_with(&format!("connect {target} http/1.1"))
            && head.contains("proxy-authorization: basic dtpw"),
        "{head}"
    );
}
