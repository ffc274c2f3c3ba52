//! The journey of the first issue: a web service behind the gateway, with a product's limits.

use crate::harness::*;
use gateway::{CounterTotal, Counters, Options};
use snapshot::entity::{Api, Entity, PolicyScope, SubscriptionScope, SubscriptionState};
use std::sync::Arc;
use uuid::Uuid;

const TEMPLATES: [(u128, &str, &str, &str); 5] = [
    (
        101,
        "RRS Execute",
        "POST",
        "/workspaces/{workspace}/services/{service}/execute?api-version={apiversion}&details={details}",
    ),
    (
        102,
        "BES Submit",
        "POST",
        "/workspaces/{workspace}/services/{service}/jobs?api-version={apiversion}",
    ),
    (
        103,
        "BES Start",
        "POST",
        "/workspaces/{workspace}/services/{service}/jobs/{jobid}/start?api-version={apiversion}",
    ),
    (
        104,
        "BES Status",
        "GET",
        "/workspaces/{workspace}/services/{service}/jobs/{jobid}?api-version={apiversion}",
    ),
    (
        105,
        "BES Delete",
        "DELETE",
        "/workspaces/{workspace}/services/{service}/jobs/{jobid}?api-version={apiversion}",
    ),
];

const STARTER_POLICY: &str = r#"<policies><inbound>
    <rate-limit calls="5" renewal-period="60" />
    <quota calls="100" renewal-period="604800" />
    <base />
</inbound><backend><base /></backend><outbound><base /></outbound></policies>"#;

fn azureml(url: &str) -> Vec<Entity> {
    let demo = Api {
        display_name: "AzureML Demo API".to_owned(),
        ..api(API, "azureml-demo", url)
    };
    let mut entities: Vec<Entity> = vec![
        demo.into(),
        product(STARTER, "starter", &[API]).into(),
        product(UNLIMITED, "unlimited", &[API]).into(),
        subscription(30, "starter", SubscriptionScope::Product(STARTER)).into(),
        subscription(31, "unlimited", SubscriptionScope::Product(UNLIMITED)).into(),
    ];
    for (id, name, method, template) in TEMPLATES {
        let mut operation = operation(id, API, method, template);
        operation.display_name = name.to_owned();
        entities.push(operation.into());
    }
    entities
}

async fn journey(backend: &Backend) -> World {
    journey_with(backend, |options| options).await
}

async fn journey_with(backend: &Backend, change: impl FnOnce(Options) -> Options) -> World {
    let world = World::with(change).await;
    world.put(azureml(&backend.url()));
    world.policy(
        PolicyScope::Global,
        "<policies><inbound /><backend><forward-request /></backend><outbound /></policies>",
    );
    world.policy(PolicyScope::Product(STARTER), STARTER_POLICY);
    world
}

const EXECUTE: &str =
    "/azureml-demo/workspaces/w1/services/s1/execute?api-version=2.0&details=true";

#[tokio::test]
async fn a_call_with_a_key_reaches_the_web_service_with_its_own_authorization() {
    let backend = Backend::echo().await;
    let world = journey(&backend).await;
    let answer = world
        .post(EXECUTE, "{\"Inputs\":{}}")
        .key("starter-1")
        .header("Authorization", "Bearer service-key")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (
            200,
            "POST /workspaces/w1/services/s1/execute?api-version=2.0&details=true {\"Inputs\":{}}"
        )
    );
    let seen = backend.last();
    assert_eq!(seen.header("authorization"), Some("Bearer service-key"));
    assert_eq!(seen.header("ocp-apim-subscription-key"), None);
    assert_eq!(
        seen.header("host"),
        Some(backend.address.to_string().as_str())
    );
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some(HOST));
}

#[tokio::test]
async fn the_key_may_be_in_the_query_and_is_taken_out_of_it() {
    let backend = Backend::echo().await;
    let world = journey(&backend).await;
    let path = "/azureml-demo/workspaces/w/services/s/execute?subscription-key=unlimited-2&details=true&api-version=2.0";
    let answer = world.post(path, "").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        backend.last().uri,
        "/workspaces/w/services/s/execute?details=true&api-version=2.0"
    );
}

#[tokio::test]
async fn the_header_wins_over_the_query() {
    let backend = Backend::echo().await;
    let world = journey(&backend).await;
    let path = format!("{EXECUTE}&subscription-key=unlimited-1");
    assert_eq!(
        world.post(&path, "").key("nonsense").send().await.status,
        401
    );
    let path = format!("{EXECUTE}&subscription-key=nonsense");
    assert_eq!(
        world.post(&path, "").key("unlimited-1").send().await.status,
        200
    );
    assert_eq!(
        backend.last().uri,
        "/workspaces/w1/services/s1/execute?api-version=2.0&details=true"
    );
}

#[tokio::test]
async fn each_of_the_five_operations_is_found_by_method_path_and_query() {
    let backend = Backend::echo().await;
    let world = journey(&backend).await;
    let calls = [
        (
            "POST",
            "/workspaces/w/services/s/execute?details=true&api-version=2.0",
            Some(101),
        ),
        (
            "POST",
            "/workspaces/w/services/s/jobs?api-version=2.0",
            Some(102),
        ),
        (
            "POST",
            "/workspaces/w/services/s/jobs/j7/start?api-version=2.0",
            Some(103),
        ),
        (
            "GET",
            "/workspaces/w/services/s/jobs/j7?api-version=2.0",
            Some(104),
        ),
        (
            "DELETE",
            "/workspaces/w/services/s/jobs/j7?api-version=2.0",
            Some(105),
        ),
        (
            "POST",
            "/workspaces/w/services/s/execute?api-version=2.0",
            None,
        ),
        (
            "PUT",
            "/workspaces/w/services/s/jobs/j7?api-version=2.0",
            None,
        ),
        ("GET", "/workspaces/w/services/s/jobs/j7", None),
    ];
    for (at, (method, path, expected)) in calls.into_iter().enumerate() {
        let answer = world
            .call(method, &format!("/azureml-demo{path}"))
            .key("unlimited-1")
            .send()
            .await;
        let records = world.told.records(at + 1).await;
        assert_eq!(
            records[at].operation_id,
            expected.map(Uuid::from_u128),
            "{method} {path}"
        );
        assert_eq!(
            answer.status,
            if expected.is_some() { 200 } else { 404 },
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn an_unknown_operation_or_host_or_api_is_404_with_the_published_body() {
    let backend = Backend::echo().await;
    let world = journey(&backend).await;
    let body = "{ \"statusCode\": 404, \"message\": \"Resource not found\" }";
    let wrong_method = world.get(EXECUTE).key("starter-1").send().await;
    assert_eq!(
        (wrong_method.status, wrong_method.body.as_str()),
        (404, body)
    );
    assert_eq!(
        wrong_method.header("content-type"),
        Some("application/json")
    );
    let wrong_api = world.get("/nothing").send().await;
    assert_eq!((wrong_api.status, wrong_api.body.as_str()), (404, body));
    let mut request = http::Request::new(http_body_util::Empty::<bytes::Bytes>::new());
    *request.uri_mut() = format!("http://{}/azureml-demo", world.address)
        .parse()
        .unwrap();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http();
    assert_eq!(client.request(request).await.unwrap().status(), 404);
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn a_missing_an_unknown_and_a_suspended_key_are_401_with_the_published_bodies() {
    let backend = Backend::echo().await;
    let world = journey(&backend).await;
    let mut suspended = subscription(32, "suspended", SubscriptionScope::Product(STARTER));
    suspended.state = SubscriptionState::Suspended;
    world.put([suspended.into()]);
    let missing = world.post(EXECUTE, "").send().await;
    assert_eq!(
        (missing.status, missing.body.as_str()),
        (
            401,
            "{ \"statusCode\": 401, \"message\": \"Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API.\" }"
        )
    );
    let challenge = "AzureApiManagementKey realm=\"https://demoazureml.example/azureml-demo\",name=\"Ocp-Apim-Subscription-Key\",type=\"header\"";
    assert_eq!(missing.header("www-authenticate"), Some(challenge));
    for key in ["nonsense", "suspended-1"] {
        let refused = world.post(EXECUTE, "").key(key).send().await;
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (
                401,
                "{ \"statusCode\": 401, \"message\": \"Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.\" }"
            )
        );
        assert_eq!(refused.header("www-authenticate"), Some(challenge));
    }
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn the_sixth_call_in_a_minute_is_429_and_the_hundred_and_first_in_a_week_403() {
    let backend = Backend::echo().await;
    let world = journey(&backend).await;
    for _ in 0..5 {
        assert_eq!(
            world.post(EXECUTE, "").key("starter-1").send().await.status,
            200
        );
    }
    world.clock.advance(10);
    let sixth = world.post(EXECUTE, "").key("starter-2").send().await;
    assert_eq!(
        (
            sixth.status,
            sixth.header("retry-after"),
            sixth.body.as_str()
        ),
        (
            429,
            Some("50"),
            "{ \"statusCode\": 429, \"message\": \"Rate limit is exceeded. Try again in 50 seconds.\" }"
        )
    );
    // Policies of the product do not bind subscriptions of another one.
    assert_eq!(
        world
            .post(EXECUTE, "")
            .key("unlimited-1")
            .send()
            .await
            .status,
        200
    );
    for _ in 0..19 {
        world.clock.advance(60);
        for _ in 0..5 {
            assert_eq!(
                world.post(EXECUTE, "").key("starter-1").send().await.status,
                200
            );
        }
    }
    world.clock.advance(60);
    let last = world.post(EXECUTE, "").key("starter-1").send().await;
    // The week began when the subscription did: at 1,789,000,000; now it is 1,790,001,210.
    let left_s = 1_789_000_000 + 2 * 604_800 - 1_790_001_210;
    assert_eq!(left_s, 208_390);
    assert_eq!(
        (last.status, last.body.as_str()),
        (
            403,
            "{ \"statusCode\": 403, \"message\": \"Out of call volume quota. Quota will be replenished in 2.09:53:10.\" }"
        )
    );
    assert_eq!(backend.seen().len(), 101);
}

#[tokio::test]
async fn a_quota_continues_where_it_was_before_a_restart() {
    let backend = Backend::echo().await;
    let before = Arc::new(Counters::default());
    let counters = Arc::clone(&before);
    let world = journey_with(&backend, |options| Options {
        counters,
        ..options
    })
    .await;
    for _ in 0..3 {
        assert_eq!(
            world.post(EXECUTE, "").key("starter-1").send().await.status,
            200
        );
    }
    // What the server stores is the sum of what it is told.
    let stored: Vec<CounterTotal> = before
        .take_dirty()
        .into_iter()
        .map(|delta| CounterTotal {
            key: delta.key,
            period_start: delta.period_start,
            calls: delta.calls + 97,
            bytes: delta.bytes,
        })
        .collect();
    let after = Arc::new(Counters::default());
    after.merge(stored);
    let restarted = journey_with(&backend, |options| Options {
        counters: after,
        ..options
    })
    .await;
    assert_eq!(
        restarted
            .post(EXECUTE, "")
            .key("starter-1")
            .send()
            .await
            .status,
        403
    );
}
