//! Rates, quotas, concurrency, filters.

use http::Response;
use snapshot::entity::{Api, PolicyScope, SubscriptionScope};

use crate::harness::*;

fn inbound(xml: &str) -> String {
    format!(
        "<policies><inbound>{xml}</inbound><backend><forward-request /></backend><outbound /></policies>"
    )
}

/// An API with a product that holds it, and two subscriptions.
async fn with_product(backend: &Backend, policy: &str) -> World {
    let world = World::empty().await;
    world.put([
        api(API, "echo", &backend.url()).into(),
        operation(100, API, "GET", "/a").into(),
        operation(101, API, "GET", "/b").into(),
        product(STARTER, "starter", &[API]).into(),
        subscription(30, "first", SubscriptionScope::Product(STARTER)).into(),
        subscription(31, "second", SubscriptionScope::Product(STARTER)).into(),
        subscription(32, "master", SubscriptionScope::All).into(),
    ]);
    world.policy(PolicyScope::Product(STARTER), &inbound(policy));
    world
}

async fn statuses(world: &World, path: &str, key: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(world.get(path).key(key).send().await.status);
    }
    statuses
}

#[tokio::test]
async fn a_rate_is_counted_for_each_subscription_and_not_for_keys_without_the_product() {
    let backend = Backend::echo().await;
    let world = with_product(&backend, r#"<rate-limit calls="2" renewal-period="60" />"#).await;
    assert_eq!(
        statuses(&world, "/echo/a", "first-1", 3).await,
        [200, 200, 429]
    );
    assert_eq!(statuses(&world, "/echo/a", "second-1", 2).await, [200, 200]);
    assert_eq!(
        statuses(&world, "/echo/a", "master-1", 4).await,
        [200, 200, 200, 200]
    );
}

#[tokio::test]
async fn operations_have_rates_of_their_own_inside() {
    let backend = Backend::echo().await;
    let xml = r#"<rate-limit calls="10" renewal-period="60">
        <api id="echo" calls="3" renewal-period="60"><operation name="Operation 100" calls="1" renewal-period="60" /></api>
    </rate-limit>"#;
    let world = with_product(&backend, xml).await;
    assert_eq!(statuses(&world, "/echo/a", "first-1", 2).await, [200, 429]);
    assert_eq!(statuses(&world, "/echo/b", "first-1", 2).await, [200, 429]);
}

#[tokio::test]
async fn the_state_of_a_rate_is_told_where_the_policy_says() {
    let backend = Backend::echo().await;
    let xml = r#"<rate-limit calls="2" renewal-period="60" remaining-calls-header-name="X-Left" total-calls-header-name="X-Total"
        retry-after-header-name="X-Wait" remaining-calls-variable-name="left" />
        <set-header name="X-Variable" exists-action="override"><value>@(context.Variables["left"].ToString())</value></set-header>"#;
    let world = with_product(&backend, xml).await;
    let first = world.get("/echo/a").key("first-1").send().await;
    assert_eq!(
        (
            first.header("x-left"),
            first.header("x-total"),
            first.header("x-wait")
        ),
        (Some("1"), Some("2"), None)
    );
    assert_eq!(backend.last().header("x-variable"), Some("1"));
    world.get("/echo/a").key("first-1").send().await;
    let third = world.get("/echo/a").key("first-1").send().await;
    assert_eq!(
        (
            third.status,
            third.header("x-left"),
            third.header("x-wait"),
            third.header("retry-after")
        ),
        (429, Some("0"), Some("60"), None)
    );
}

#[tokio::test]
async fn a_rate_by_key_may_count_only_some_responses() {
    let backend = Backend::answering(|seen| {
        let status = if seen.uri.contains("fail") { 500 } else { 200 };
        Response::builder().status(status).body("".into()).unwrap()
    })
    .await;
    let xml = r#"<rate-limit-by-key calls="2" renewal-period="60" counter-key="@(context.Request.Headers.GetValueOrDefault("X-Who", "nobody"))"
        increment-condition="@(context.Response.StatusCode == 200)" />"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    for _ in 0..4 {
        assert_eq!(
            world
                .get("/echo/fail")
                .header("x-who", "a")
                .send()
                .await
                .status,
            500
        );
    }
    for expected in [200, 200, 429] {
        assert_eq!(
            world
                .get("/echo/ok")
                .header("x-who", "a")
                .send()
                .await
                .status,
            expected
        );
    }
    assert_eq!(
        world
            .get("/echo/ok")
            .header("x-who", "b")
            .send()
            .await
            .status,
        200
    );
    world.clock.advance(60);
    assert_eq!(
        world
            .get("/echo/ok")
            .header("x-who", "a")
            .send()
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn concurrent_calls_never_exceed_a_rate() {
    let backend = Backend::echo().await;
    let world = with_product(&backend, r#"<rate-limit calls="7" renewal-period="60" />"#).await;
    let calls = (0..40).map(|_| world.get("/echo/a").key("first-1").send());
    let answers = futures_util::future::join_all(calls).await;
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((admitted, answers.len()), (7, 40));
}

#[tokio::test]
async fn bandwidth_counts_requests_and_responses() {
    let backend = Backend::answering(|_| Response::new("x".repeat(600).into())).await;
    let world = with_product(&backend, r#"<quota bandwidth="1" renewal-period="3600" />"#).await;
    assert_eq!(statuses(&world, "/echo/a", "first-1", 1).await, [200]);
    world.told.records(1).await;
    assert_eq!(statuses(&world, "/echo/a", "first-1", 1).await, [200]);
    world.told.records(2).await;
    let refused = world.get("/echo/a").key("first-1").send().await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.starts_with("{ \"statusCode\": 403, \"message\": \"Out of bandwidth quota. Quota will be replenished in 00:"), "{}", refused.body);
    world.clock.advance(3600);
    assert_eq!(statuses(&world, "/echo/a", "first-1", 1).await, [200]);
}

#[tokio::test]
async fn a_quota_by_key_is_renewed_from_its_first_period() {
    let backend = Backend::echo().await;
    let xml = r#"<quota-by-key calls="1" renewal-period="3600" counter-key="all" first-period-start="2020-01-01T00:00:00Z" />"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    assert_eq!(world.get("/echo/a").send().await.status, 200);
    // 2026-09-21T14:13:20Z is the standing clock's time.
    let refused = world.get("/echo/a").send().await;
    assert_eq!(
        (
            refused.status,
            refused.header("retry-after"),
            refused.body.as_str()
        ),
        (
            403,
            Some("2800"),
            "{ \"statusCode\": 403, \"message\": \"Out of call volume quota. Quota will be replenished in 00:46:40.\" }"
        )
    );
    world.clock.advance(2800);
    assert_eq!(world.get("/echo/a").send().await.status, 200);
}

#[tokio::test]
async fn a_quota_without_renewal_says_no_time() {
    let backend = Backend::echo().await;
    let world = with_product(&backend, r#"<quota calls="1" renewal-period="0" />"#).await;
    assert_eq!(statuses(&world, "/echo/a", "first-1", 1).await, [200]);
    let refused = world.get("/echo/a").key("first-1").send().await;
    assert_eq!(
        refused.body,
        "{ \"statusCode\": 403, \"message\": \"Out of call volume quota.\" }"
    );
}

#[tokio::test]
async fn no_more_calls_than_permitted_are_inside_at_one_time() {
    let backend = Backend::echo().await;
    let (listener, url) = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url)
    };
    let world = World::open(&backend).await;
    world.put([Api {
        subscription_required: false,
        ..api(API, "echo", &url)
    }
    .into()]);
    world.policy(
        PolicyScope::Api(API),
        r#"<policies><inbound /><backend><limit-concurrency key="k" max-count="1"><forward-request timeout="30" /></limit-concurrency></backend></policies>"#,
    );
    let first = async { world.get("/echo/a").send().await };
    let rest = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let second = world.get("/echo/a").send().await;
        tokio::io::AsyncWriteExt::write_all(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )
        .await
        .unwrap();
        second.status
    };
    let (first, second) = tokio::join!(first, rest);
    assert_eq!((first.status, second), (200, 429));
    drop(listener);
    // The place is free again: what fails now is the backend.
    assert_eq!(world.get("/echo/a").send().await.status, 500);
}

#[tokio::test]
async fn addresses_are_permitted_or_forbidden() {
    let backend = Backend::echo().await;
    for (xml, status, reason) in [
        (
            r#"<ip-filter action="allow"><address>127.0.0.1</address></ip-filter>"#,
            200,
            None,
        ),
        (
            r#"<ip-filter action="allow"><address-range from="10.0.0.0" to="10.0.0.9" /></ip-filter>"#,
            403,
            Some("CallerIpNotAllowed"),
        ),
        (
            r#"<ip-filter action="forbid"><address-range from="127.0.0.0" to="127.0.0.9" /></ip-filter>"#,
            403,
            Some("CallerIpBlocked"),
        ),
        (
            r#"<ip-filter action="forbid"><address>::1</address></ip-filter>"#,
            200,
            None,
        ),
    ] {
        let world = World::with_policy(&backend, &inbound(xml)).await;
        assert_eq!(world.get("/echo/a").send().await.status, status, "{xml}");
        let error = world.told.records(1).await.remove(0).error;
        assert_eq!(
            error.as_ref().map(|(_, reason)| reason.as_str()),
            reason,
            "{xml}"
        );
    }
}

#[tokio::test]
async fn a_header_is_checked_for_presence_and_value() {
    let backend = Backend::echo().await;
    let xml = r#"<check-header name="X-Secret" failed-check-httpcode="401" failed-check-error-message="Not authorized" ignore-case="true">
        <value>Sesame</value></check-header>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    let body = "{ \"statusCode\": 401, \"message\": \"Not authorized\" }";
    let missing = world.get("/echo/a").send().await;
    assert_eq!((missing.status, missing.body.as_str()), (401, body));
    let wrong = world.get("/echo/a").header("x-secret", "open").send().await;
    assert_eq!((wrong.status, wrong.body.as_str()), (401, body));
    assert_eq!(
        world
            .get("/echo/a")
            .header("x-secret", "SESAME")
            .send()
            .await
            .status,
        200
    );
    let records = world.told.records(3).await;
    let reasons: Vec<_> = records
        .into_iter()
        .map(|record| record.error.map(|(_, reason)| reason))
        .collect();
    assert_eq!(
        reasons,
        [
            Some("HeaderNotFound".to_owned()),
            Some("HeaderValueNotAllowed".to_owned()),
            None
        ]
    );
}
