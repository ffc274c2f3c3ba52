//! From a request to its operation, while the configuration changes.

use gateway::Options;
use snapshot::entity::{Api, PolicyScope, Service, SubscriptionScope, Version, VersionScheme};
use snapshot::{Change, Kind};
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn services_share_a_gateway_by_host_name() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    let other = Uuid::from_u128(2);
    world.put([
        Service {
            id: other,
            name: "other".to_owned(),
            hostnames: vec!["other.example".to_owned()],
            ..Service::default()
        }
        .into(),
        Api {
            service_id: other,
            subscription_required: false,
            ..api(Uuid::from_u128(50), "mine", &backend.url())
        }
        .into(),
        snapshot::entity::Operation {
            service_id: other,
            ..operation(51, Uuid::from_u128(50), "GET", "/x")
        }
        .into(),
    ]);
    let call = |host: &'static str, path: &str| {
        let uri = format!("http://{}{path}", world.address);
        async move {
            let request = http::Request::builder()
                .uri(uri)
                .header("Host", host)
                .body(http_body_util::Empty::<bytes::Bytes>::new())
                .unwrap();
            let client =
                hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                    .build_http();
            client.request(request).await.unwrap().status().as_u16()
        }
    };
    assert_eq!(call("OTHER.example:8080", "/mine/x").await, 200);
    assert_eq!(call("other.example", "/echo/x").await, 404);
    assert_eq!(call(HOST, "/mine/x").await, 404);
    assert_eq!(call("unknown.example", "/echo/x").await, 404);
}

#[tokio::test]
async fn versions_and_revisions_have_their_own_backends() {
    let (first, second) = (Backend::echo().await, Backend::echo().await);
    let world = World::open(&first).await;
    let header = VersionScheme::Header("Api-Version".to_owned());
    let v2 = Api {
        subscription_required: false,
        version: Some(Version {
            scheme: header,
            name: "v2".to_owned(),
        }),
        ..api(Uuid::from_u128(11), "echo", &second.url())
    };
    let revision = Api {
        subscription_required: false,
        root_id: API,
        revision: "2".to_owned(),
        is_current: false,
        ..api(Uuid::from_u128(12), "echo", &second.url())
    };
    world.put([
        v2.into(),
        operation(200, Uuid::from_u128(11), "GET", "/*").into(),
        revision.into(),
        operation(201, Uuid::from_u128(12), "GET", "/*").into(),
    ]);
    world.get("/echo/a").send().await;
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));
    world
        .get("/echo/b")
        .header("api-version", "v2")
        .send()
        .await;
    assert_eq!(second.last().uri, "/b");
    world.get("/echo;rev=2/c").send().await;
    assert_eq!(second.last().uri, "/c");
    assert_eq!(
        world
            .get("/echo/d")
            .header("api-version", "v3")
            .send()
            .await
            .status,
        404
    );
    assert_eq!(first.seen().len(), 1);
}

#[tokio::test]
async fn a_published_change_is_served_by_the_next_call() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    assert_eq!(world.get("/echo/a").send().await.status, 200);
    world.change([Change::Remove {
        kind: Kind::Operation,
        id: Uuid::from_u128(100),
    }]);
    assert_eq!(world.get("/echo/a").send().await.status, 404);
    world.put([operation(100, API, "GET", "/a").into()]);
    assert_eq!(world.get("/echo/a").send().await.status, 200);
}

#[tokio::test]
async fn dots_in_a_path_do_not_lead_to_another_operation() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", &backend.url())
    };
    world.put([echo.into(), operation(100, API, "GET", "/public/*").into()]);
    for path in [
        "/echo/public/../admin",
        "/echo/public/%2e%2E/admin",
        "/echo/public/x/../../admin",
    ] {
        assert_eq!(world.get(path).send().await.status, 404, "{path}");
    }
    assert_eq!(world.get("/echo/public/a/../b").send().await.status, 200);
    assert_eq!(
        backend
            .seen()
            .iter()
            .map(|seen| seen.uri.as_str())
            .collect::<Vec<_>>(),
        ["/public/b"]
    );
}

#[tokio::test]
async fn an_api_may_name_its_key_otherwise() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    let named = Api {
        key_names: snapshot::entity::KeyNames {
            header: "X-Key".to_owned(),
            query: "key".to_owned(),
        },
        ..api(API, "echo", &backend.url())
    };
    world.put([
        named.into(),
        operation(100, API, "GET", "/*").into(),
        subscription(30, "all", SubscriptionScope::All).into(),
    ]);
    assert_eq!(
        world
            .get("/echo/a")
            .header("x-key", "all-1")
            .send()
            .await
            .status,
        200
    );
    assert_eq!(backend.last().header("x-key"), None);
    assert_eq!(world.get("/echo/a?key=all-2&b=1").send().await.status, 200);
    assert_eq!(backend.last().uri, "/a?b=1");
    let refused = world.get("/echo/a").key("all-1").send().await;
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("name=\"X-Key\"")
    );
}

#[tokio::test]
async fn https_only_apis_are_hidden_from_plain_http_where_the_gateway_is_told_to() {
    let backend = Backend::echo().await;
    let world = World::with(|options| Options {
        require_scheme: true,
        ..options
    })
    .await;
    let both = Api {
        subscription_required: false,
        protocols: vec![
            snapshot::entity::Protocol::Http,
            snapshot::entity::Protocol::Https,
        ],
        ..api(Uuid::from_u128(11), "both", &backend.url())
    };
    let secure = Api {
        subscription_required: false,
        ..api(API, "secure", &backend.url())
    };
    world.put([
        secure.into(),
        operation(100, API, "GET", "/*").into(),
        both.into(),
        operation(101, Uuid::from_u128(11), "GET", "/*").into(),
    ]);
    assert_eq!(world.get("/secure/a").send().await.status, 404);
    assert_eq!(world.get("/both/a").send().await.status, 200);
}

#[tokio::test]
async fn load_balancers_can_ask_whether_the_gateway_is_there() {
    let world = World::empty().await;
    let answer = world.get("/status-0123456789abcdef").send().await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "Service Operational")
    );
}

#[tokio::test]
async fn a_policy_that_cannot_be_compiled_any_more_is_500_and_says_so_to_telemetry_only() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    world.policy(
        PolicyScope::Global,
        "<policies><inbound><set-variable name=\"a\" value=\"{{gone}}\" /></inbound></policies>",
    );
    let answer = world.get("/echo/a").send().await;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("gone"));
    let error = world.told.records(1).await.remove(0).error.unwrap();
    assert_eq!(
        error,
        ("configuration".to_owned(), "PolicyConfiguration".to_owned())
    );
}

#[tokio::test]
async fn no_call_fails_or_goes_astray_while_the_configuration_changes() {
    let (one, other) = (Backend::echo().await, Backend::echo().await);
    let world = World::open(&one).await;
    let second = Api {
        subscription_required: false,
        ..api(Uuid::from_u128(11), "second", &other.url())
    };
    world.put([
        second.into(),
        operation(101, Uuid::from_u128(11), "GET", "/{x}").into(),
    ]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let done = || stop.load(std::sync::atomic::Ordering::SeqCst);
    let changes = async {
        for round in 0..200_u128 {
            // The APIs that are called keep their meaning; everything about them is replaced, and others come and go.
            world.put([
                operation(100, API, "*", "/*").into(),
                operation(1000 + round, API, "GET", &format!("/other{round}/{{x}}")).into(),
                api(
                    Uuid::from_u128(5000 + round),
                    &format!("echo/{round}"),
                    "http://127.0.0.1:1",
                )
                .into(),
            ]);
            world.policy(
                PolicyScope::Api(API),
                &format!("<policies><inbound><set-header name=\"X-Round\"><value>{round}</value></set-header></inbound><backend><forward-request /></backend></policies>"),
            );
            world.change([Change::Remove {
                kind: Kind::Api,
                id: Uuid::from_u128(5000 + round),
            }]);
            tokio::task::yield_now().await;
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let calls = async |path: &str, expected: &str| {
        let mut count = 0;
        while !done() || count < 50 {
            let answer = world.get(path).send().await;
            assert_eq!((answer.status, answer.body.as_str()), (200, expected));
            count += 1;
        }
        count
    };
    let ((), first, second) = tokio::join!(
        changes,
        calls("/echo/a", "GET /a "),
        calls("/second/b", "GET /b ")
    );
    assert_eq!((one.seen().len(), other.seen().len()), (first, second));
}

#[tokio::test]
async fn an_operation_of_a_soap_api_is_found_by_the_action_that_the_client_names() {
    let backend = Backend::echo().await;
    let world = World::empty().await;
    let calculator = Api {
        subscription_required: false,
        api_type: snapshot::entity::ApiType::Soap,
        ..api(API, "calculator", &backend.url())
    };
    world.put([
        calculator.clone().into(),
        operation(100, API, "POST", "/?soapAction=http://tempuri.org/Add").into(),
        operation(
            101,
            API,
            "POST",
            "/?soapAction=http://tempuri.org/Take%20Away",
        )
        .into(),
    ]);
    for number in [100, 101] {
        world.policy(
            PolicyScope::Operation(Uuid::from_u128(number)),
            &format!(
                "<policies><inbound /><backend><forward-request /></backend><outbound><set-header name=\"X-Operation\"><value>{number}</value></set-header></outbound></policies>"
            ),
        );
    }
    let ask = async |path: &str, header: &str, value: &str| {
        let answer = world.post(path, "<e/>").header(header, value).send().await;
        let operation = answer.header("x-operation").map(str::to_owned);
        (answer.status, operation, answer.body)
    };
    let found = |operation: &str, uri: &str| {
        let told = format!("POST {uri} <e/>");
        (200, Some(operation.to_owned()), told)
    };
    assert_eq!(
        ask("/calculator", "SOAPAction", "\"http://tempuri.org/Add\"").await,
        found("100", "/")
    );
    assert_eq!(
        ask("/calculator", "SOAPAction", "http://tempuri.org/Take Away").await,
        found("101", "/")
    );
    assert_eq!(
        ask(
            "/calculator?x=1",
            "Content-Type",
            "application/soap+xml; charset=utf-8; action=\"http://tempuri.org/Add\""
        )
        .await,
        found("100", "/?x=1")
    );
    // What the URL says counts before the header, and an unknown action is no operation.
    assert_eq!(
        ask(
            "/calculator?soapAction=http://tempuri.org/Add",
            "SOAPAction",
            "http://tempuri.org/Take Away"
        )
        .await,
        found("100", "/?soapAction=http://tempuri.org/Add")
    );
    for (path, value) in [
        ("/calculator", "\"\""),
        ("/calculator", "http://tempuri.org/Nothing"),
        ("/calculator?soapAction=other", "http://tempuri.org/Add"),
    ] {
        assert_eq!(
            ask(path, "SOAPAction", value).await.0,
            404,
            "{path} {value}"
        );
    }
    world.put([Api {
        api_type: snapshot::entity::ApiType::Http,
        ..calculator
    }
    .into()]);
    let answer = ask("/calculator", "SOAPAction", "http://tempuri.org/Add").await;
    assert_eq!(answer.0, 404, "no API of SOAP");
}
