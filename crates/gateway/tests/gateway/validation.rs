//! Policies that hold messages against the description of the API, and tokens of Microsoft Entra.

use base64::Engine;
use http::Response;
use serde_json::{Value, json};
use snapshot::entity::{Parameter, Place, PolicyScope, Response as Documented};

use crate::harness::*;

const SECRET: &[u8] = b"signing-key-of-thirty-two-bytes!!";
const NOW: i64 = 1_790_000_000;

fn parameter(place: Place, name: &str, kind: &str, required: bool, values: &[&str]) -> Parameter {
    Parameter {
        place,
        name: name.to_owned(),
        kind: kind.to_owned(),
        required,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

/// A world whose one operation documents parameters of all places.
async fn documented(backend: &Backend, policy: &str) -> World {
    let world = World::open(backend).await;
    let mut known = operation(100, API, "GET", "/items/{id}?api-version={version}");
    known.parameters = vec![
        parameter(Place::Template, "id", "integer", true, &[]),
        parameter(Place::Template, "version", "string", true, &["1", "2"]),
        parameter(Place::Query, "top", "integer", false, &[]),
        parameter(Place::Query, "sort", "string", true, &["up", "down"]),
        parameter(Place::Query, "price", "number", false, &[]),
        parameter(Place::Query, "deep", "boolean", false, &[]),
        parameter(Place::Header, "X-Count", "integer", true, &[]),
    ];
    world.put([known.into()]);
    world.policy(
        PolicyScope::Api(API),
        &format!(
            "<policies><inbound>{policy}<set-header name=\"X-Errors\" exists-action=\"override\"><value>@(string.Join(\"|\", ((IEnumerable<object>)context.Variables[\"errors\"]).Select(e => e.ToString())))</value></set-header></inbound><backend><forward-request /></backend></policies>"
        ),
    );
    world
}

const GOOD: &str = "/echo/items/7?api-version=1&sort=up&top=10&price=1.5&deep=true";

#[tokio::test]
async fn documented_parameters_are_checked_for_presence_type_and_listed_values() {
    let backend = Backend::echo().await;
    let policy = r#"<validate-parameters specified-parameter-action="prevent" unspecified-parameter-action="ignore" errors-variable-name="errors" />"#;
    let world = documented(&backend, policy).await;
    let mut calls = 0;
    for (path, count, reason, message) in [
        (GOOD, Some("1"), "", ""),
        (
            "/echo/items/x?api-version=1&sort=up",
            Some("1"),
            "IncorrectMessage",
            "Value of path parameter id could not be parsed according to the definition.",
        ),
        (
            "/echo/items/7?api-version=3&sort=up",
            Some("1"),
            "IncorrectMessage",
            "Value of path parameter version could not be parsed according to the definition.",
        ),
        (
            "/echo/items/7?api-version=1",
            Some("1"),
            "Missing",
            "Required query parameter sort is missing.",
        ),
        (
            "/echo/items/7?api-version=1&sort=sideways",
            Some("1"),
            "IncorrectMessage",
            "Value of query parameter sort could not be parsed according to the definition.",
        ),
        (
            "/echo/items/7?api-version=1&sort=up&top=ten",
            Some("1"),
            "IncorrectMessage",
            "Value of query parameter top could not be parsed according to the definition.",
        ),
        (
            "/echo/items/7?api-version=1&sort=up&price=NaN",
            Some("1"),
            "IncorrectMessage",
            "Value of query parameter price could not be parsed according to the definition.",
        ),
        (
            "/echo/items/7?api-version=1&sort=up&deep=yes",
            Some("1"),
            "IncorrectMessage",
            "Value of query parameter deep could not be parsed according to the definition.",
        ),
        (GOOD, None, "Missing", "Required header X-Count is missing."),
        (
            GOOD,
            Some("many"),
            "IncorrectMessage",
            "Value of header X-Count could not be parsed according to the definition.",
        ),
        (
            "/echo/items/7?api-version=1&sort=up&unheard=of",
            Some("1"),
            "",
            "",
        ),
    ] {
        let mut call = world.get(path);
        if let Some(count) = count {
            call = call.header("x-count", count);
        }
        let answer = call.send().await;
        calls += 1;
        let error = world.told.records(calls).await.remove(calls - 1).error;
        let told = error.map_or_else(String::new, |(_, reason)| reason);
        assert_eq!(told, reason, "{path}");
        if reason.is_empty() {
            assert_eq!(answer.status, 200, "{path}");
        } else {
            let body = format!("{{ \"statusCode\": 400, \"message\": \"{message}\" }}");
            assert_eq!((answer.status, answer.body), (400, body), "{path}");
        }
    }
}

#[tokio::test]
async fn unspecified_parameters_are_refused_detected_or_ignored_place_by_place_and_name_by_name() {
    let backend = Backend::echo().await;
    let policy = r#"<validate-parameters specified-parameter-action="ignore" unspecified-parameter-action="prevent" errors-variable-name="errors">
        <headers specified-parameter-action="detect" unspecified-parameter-action="ignore"><parameter name="x-bad" action="prevent" /></headers>
        <query unspecified-parameter-action="detect"><parameter name="forbidden" action="prevent" /><parameter name="sort" action="prevent" /></query>
    </validate-parameters>"#;
    let world = documented(&backend, policy).await;
    let path = "/echo/items/x?api-version=1&sort=up&top=ten&more=1&most=2";
    let answer = world.get(path).header("X-Any", "1").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        backend.last().header("x-errors"),
        Some(
            "Unspecified query parameter more is not allowed.|Unspecified query parameter most is not allowed.|Required header X-Count is missing."
        )
    );
    for (path, header, message) in [
        (
            "/echo/items/7?api-version=1&sort=up&forbidden=1",
            "x-any",
            "Unspecified query parameter forbidden is not allowed.",
        ),
        (
            "/echo/items/7?api-version=1&sort=other",
            "x-any",
            "Value of query parameter sort could not be parsed according to the definition.",
        ),
        (
            "/echo/items/7?api-version=1&sort=up",
            "X-Bad",
            "Unspecified header x-bad is not allowed.",
        ),
    ] {
        let answer = world.get(path).header(header, "1").send().await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.contains(message), "{}", answer.body);
    }
}

#[tokio::test]
async fn headers_of_responses_are_held_against_those_of_their_status() {
    let backend = Backend::answering(|seen| {
        let status = if seen.uri.starts_with("/items/1") {
            200
        } else {
            404
        };
        Response::builder()
            .status(status)
            .header("content-type", "text/plain")
            .header("x-total", seen.uri.rsplit('=').next().unwrap())
            .header("x-powered-by", "something")
            .body("it".into())
            .unwrap()
    })
    .await;
    let world = World::open(&backend).await;
    let mut known = operation(100, API, "GET", "/items/{id}");
    known.responses = vec![Documented {
        status_code: 200,
        headers: vec![
            parameter(Place::Header, "X-Total", "integer", true, &[]),
            parameter(Place::Header, "X-Missing", "string", true, &[]),
            parameter(Place::Header, "Date", "string", false, &[]),
        ],
        ..Documented::default()
    }];
    world.put([known.into()]);
    world.policy(
        PolicyScope::Api(API),
        r#"<policies><inbound /><backend><forward-request /></backend><outbound>
            <validate-headers specified-header-action="detect" unspecified-header-action="prevent" errors-variable-name="errors">
                <header name="x-powered-by" action="detect" /><header name="X-Total" action="prevent" /></validate-headers>
            <set-header name="X-Errors"><value>@(string.Join("|", ((IEnumerable<object>)context.Variables["errors"]).Select(e => e.ToString())))</value></set-header>
        </outbound></policies>"#,
    );
    let answer = world.get("/echo/items/1?total=5").send().await;
    assert_eq!(
        (answer.status, answer.header("x-errors")),
        (
            200,
            Some(
                "Required header X-Missing is missing.|Unspecified header x-powered-by is not allowed."
            )
        )
    );
    // A wrong value, and a status that documents nothing.
    for path in ["/echo/items/1?total=many", "/echo/items/2?total=5"] {
        let answer = world.get(path).send().await;
        assert_eq!(answer.status, 502, "{path}");
        assert!(answer.body.contains("Bad gateway"), "{}", answer.body);
    }
    let records = world.told.records(3).await;
    let reasons: Vec<_> = records[1..]
        .iter()
        .map(|record| record.error.clone().unwrap())
        .collect();
    let source = "validate-headers".to_owned();
    assert_eq!(
        reasons,
        [
            (source.clone(), "IncorrectMessage".to_owned()),
            (source, "Unspecified".to_owned())
        ]
    );
}

#[tokio::test]
async fn tokens_of_a_tenant_of_entra_are_taken_from_its_applications_only() {
    const TENANT: &str = "11111111-2222-3333-4444-555555555555";
    let backend = Backend::echo().await;
    let entra = Backend::answering(|seen| {
        let host = seen.header("host").unwrap();
        let body = if seen.uri == format!("/{TENANT}/v2.0/.well-known/openid-configuration") {
            json!({"issuer": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "jwks_uri": format!("http://{host}/keys")})
        } else {
            let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(SECRET);
            json!({"keys": [{"kty": "oct", "kid": "1", "k": secret, "alg": "HS256"}]})
        };
        Response::new(body.to_string().into())
    })
    .await;
    let xml = format!(
        r#"<policies><inbound><validate-azure-ad-token tenant-id="{}/{TENANT}" output-token-variable-name="jwt">
            <client-application-ids><application-id>client-1</application-id><application-id>client-2</application-id></client-application-ids>
            <backend-application-ids><application-id>backend-1</application-id></backend-application-ids>
            <audiences><audience>@("aud-" + context.Request.Method)</audience></audiences>
            <required-claims><claim name="roles" match="any"><value>reader</value></claim></required-claims>
        </validate-azure-ad-token>
        <set-header name="X-Sub"><value>@(((Jwt)context.Variables["jwt"]).Subject)</value></set-header></inbound>
        <backend><forward-request /></backend></policies>"#,
        entra.url()
    );
    let world = World::with_policy(&backend, &xml).await;
    let good = json!({"iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "aud": "backend-1", "azp": "client-2",
        "exp": NOW + 100, "sub": "ada", "roles": ["reader"], "tid": TENANT});
    let with = |changes: &[(&str, Value)]| {
        let mut claims = good.clone();
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims
    };
    let older = json!(format!("https://sts.windows.net/{TENANT}/"));
    let mut calls = 0;
    for (claims, reason) in [
        (good.clone(), ""),
        (
            with(&[
                ("iss", older),
                ("aud", json!("api://backend-1")),
                ("azp", Value::Null),
                ("appid", json!("client-1")),
            ]),
            "",
        ),
        (with(&[("aud", json!("aud-GET"))]), ""),
        (
            with(&[("aud", json!("aud-POST"))]),
            "TokenAudienceNotAllowed",
        ),
        (
            with(&[("azp", json!("client-3"))]),
            "TokenClaimValueNotAllowed",
        ),
        (with(&[("azp", Value::Null)]), "TokenClaimValueNotAllowed"),
        (
            with(&[("iss", json!("https://sts.windows.net/other/"))]),
            "TokenIssuerNotAllowed",
        ),
        (
            with(&[("roles", json!(["writer"]))]),
            "TokenClaimValueNotAllowed",
        ),
        (with(&[("exp", json!(NOW - 1))]), "TokenExpired"),
    ] {
        let header = jsonwebtoken::Header {
            kid: Some("1".to_owned()),
            ..jsonwebtoken::Header::default()
        };
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let call = world
            .get("/echo")
            .header("authorization", &format!("Bearer {token}"));
        let answer = call.send().await;
        calls += 1;
        let error = world.told.records(calls).await.remove(calls - 1).error;
        let expected = match reason {
            "" => None,
            reason => Some(("validate-azure-ad-token".to_owned(), reason.to_owned())),
        };
        assert_eq!(error, expected, "{claims}");
        assert_eq!(answer.status, if reason.is_empty() { 200 } else { 401 });
    }
    assert_eq!(backend.last().header("x-sub"), Some("ada"));
    assert_eq!(world.get("/echo").send().await.status, 401);
    assert_eq!(entra.seen().len(), 2, "its keys are fetched once");
}
