//! Policies that read bodies and tokens.

use http::Response;
use serde_json::{Value, json};
use snapshot::entity::{PolicyScope, Representation};
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

#[tokio::test]
async fn set_body_replaces_and_may_read_the_old_body() {
    let backend = Backend::echo().await;
    let xml = r#"<set-body>@{ var body = context.Request.Body.As<JObject>(); body["n"] = (int)body["n"] + 1; return body.ToString(Newtonsoft.Json.Formatting.None); }</set-body>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    let answer = world.post("/echo", "{\"n\":1}").send().await;
    assert_eq!(answer.body, "POST / {\"n\":2}");
    assert_eq!(backend.last().header("content-length"), Some("7"));
}

#[tokio::test]
async fn a_body_that_an_expression_consumes_is_gone_unless_it_is_preserved() {
    let backend = Backend::echo().await;
    for (preserve, expected) in [("true", "POST / text"), ("false", "POST / ")] {
        let xml = format!(
            r#"<set-variable name="b" value="@(context.Request.Body.As<string>(preserveContent: {preserve}))" />
            <set-header name="X-B"><value>@((string)context.Variables["b"])</value></set-header>"#
        );
        let world = World::with_policy(&backend, &inbound(&xml)).await;
        assert_eq!(world.post("/echo", "text").send().await.body, expected);
        assert_eq!(backend.last().header("x-b"), Some("text"));
    }
}

#[tokio::test]
async fn a_liquid_template_sees_body_and_context() {
    let backend = Backend::echo().await;
    let xml = r#"<set-body template="liquid">{"id":"{{body.customer.id}}","method":"{{context.Request.Method}}"{% for item in body.items %},"{{item}}":1{% endfor %}}</set-body>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    let answer = world
        .post(
            "/echo",
            "{\"customer\":{\"id\":\"c7\"},\"items\":[\"a\",\"b\"]}",
        )
        .header("content-type", "application/json")
        .send()
        .await;
    assert_eq!(
        answer.body,
        "POST / {\"id\":\"c7\",\"method\":\"POST\",\"a\":1,\"b\":1}"
    );
}

#[tokio::test]
async fn find_and_replace_changes_text_of_the_response() {
    let backend = Backend::answering(|_| Response::new("notebook, notebook".into())).await;
    let world = World::with_policy(
        &backend,
        &outbound(r#"<find-and-replace from="notebook" to="laptop" />"#),
    )
    .await;
    let answer = world.get("/echo").send().await;
    assert_eq!(
        (answer.body.as_str(), answer.header("content-length")),
        ("laptop, laptop", Some("14"))
    );
}

#[tokio::test]
async fn json_becomes_xml_on_the_way_in_and_xml_json_on_the_way_out() {
    let backend = Backend::answering(|seen| {
        Response::builder()
            .header("content-type", "text/xml")
            .body(seen.body.clone().into())
            .unwrap()
    })
    .await;
    let xml = r#"<policies><inbound><json-to-xml apply="content-type-json" consider-accept-header="false" /></inbound><backend><forward-request /></backend>
        <outbound><xml-to-json kind="direct" apply="content-type-xml" consider-accept-header="true" /></outbound></policies>"#;
    let world = World::with_policy(&backend, xml).await;
    let json = world
        .post("/echo", "{\"a\":[1,2]}")
        .header("content-type", "application/json")
        .send()
        .await;
    let seen = backend.last();
    assert_eq!(
        (seen.body.as_str(), seen.header("content-type")),
        ("<Document><a>1</a><a>2</a></Document>", Some("text/xml"))
    );
    assert_eq!(
        (json.body.as_str(), json.header("content-type")),
        (
            "{\"Document\":{\"a\":[\"1\",\"2\"]}}",
            Some("application/json")
        )
    );
    let xml = world
        .post("/echo", "<a/>")
        .header("content-type", "text/xml")
        .header("accept", "application/xml")
        .send()
        .await;
    assert_eq!(xml.body, "<a/>");
    let broken = world
        .post("/echo", "{")
        .header("content-type", "application/json")
        .send()
        .await;
    assert_eq!(broken.status, 400);
}

#[tokio::test]
async fn validate_content_refuses_by_size_type_and_form_or_only_notes() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    let set = |action: &str| {
        let document = inbound(&format!(
            r#"<validate-content unspecified-content-type-action="{action}" max-size="20" size-exceeded-action="{action}" errors-variable-name="errors">
                <content type="application/json" validate-as="json" action="{action}" /></validate-content>"#
        ));
        world.policy(PolicyScope::Api(API), &document);
    };
    let post = async |body: &str, content_type: &str| {
        world
            .post("/echo", body)
            .header("content-type", content_type)
            .send()
            .await
            .status
    };
    set("prevent");
    assert_eq!(post("{}", "application/json; charset=utf-8").await, 200);
    assert_eq!(post("{", "application/json").await, 400);
    assert_eq!(post("{}", "text/plain").await, 400);
    assert_eq!(
        post("\"0123456789012345678\"", "application/json").await,
        400
    );
    set("detect");
    assert_eq!(post("{", "application/json").await, 200);
    let records = world.told.records(5).await;
    let reasons: Vec<_> = records
        .into_iter()
        .map(|record| record.error.map(|(_, reason)| reason))
        .collect();
    let reason = |reason: &str| Some(reason.to_owned());
    assert_eq!(
        reasons,
        [
            None,
            reason("ValidationError"),
            reason("UnspecifiedContentType"),
            reason("SizeExceeded"),
            None
        ]
    );
}

#[tokio::test]
async fn validate_content_checks_json_by_the_schema_of_the_rule_or_of_the_operation() {
    let backend = Backend::echo().await;
    let world = World::open(&backend).await;
    let schema = snapshot::entity::Schema {
        id: Uuid::from_u128(90),
        service_id: SERVICE,
        api_id: None,
        name: "shop".to_owned(),
        content_type: "application/vnd.oai.openapi.components+json".to_owned(),
        document: json!({"components": {"schemas": {
            "Address": {"type": "object", "properties": {"Street": {"type": "string"}}, "required": ["Street"]},
            "Person": {"type": "object", "properties": {"home": {"$ref": "#/components/schemas/Address"}}}
        }}})
        .to_string(),
    };
    let mut documented = operation(100, API, "*", "/*");
    documented.request = vec![Representation {
        content_type: "application/json".to_owned(),
        schema_id: Some("shop".to_owned()),
        type_name: Some("Person".to_owned()),
        ..Representation::default()
    }];
    world.put([schema.into(), documented.into()]);
    let set = |rule: &str| {
        let document = inbound(&format!(
            r#"<validate-content unspecified-content-type-action="prevent" max-size="1000" size-exceeded-action="prevent"><content {rule} validate-as="json" action="prevent" /></validate-content>"#
        ));
        world.policy(PolicyScope::Api(API), &document);
    };
    let post = async |body: Value| {
        world
            .post("/echo", &body.to_string())
            .header("content-type", "application/json")
            .send()
            .await
    };
    set(
        r#"type="application/json" schema-id="shop" schema-ref="$ref/#/components/schemas/Address""#,
    );
    assert_eq!(post(json!({"Street": "s"})).await.status, 200);
    let refused = post(json!({"Street": 1})).await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (
            400,
            "{ \"statusCode\": 400, \"message\": \"/Street: 1 is not of type \\\"string\\\"\" }"
        )
    );
    assert_eq!(post(json!({"street": "s"})).await.status, 400);
    set(
        r#"type="application/json" schema-id="shop" schema-ref="$ref/#/components/schemas/Address" case-insensitive-property-names="true" allow-additional-properties="false""#,
    );
    assert_eq!(post(json!({"STREET": "s"})).await.status, 200);
    assert_eq!(post(json!({"STREET": "s", "zip": 1})).await.status, 400);
    set("");
    assert_eq!(post(json!({"home": {"Street": "s"}})).await.status, 200);
    assert_eq!(post(json!({"home": {}})).await.status, 400);
    set(r#"type="application/json" schema-id="gone""#);
    assert_eq!(post(json!({})).await.status, 500);
}

const SECRET: &[u8] = b"signing-key-of-thirty-two-bytes!!";

fn token(claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

const NOW: i64 = 1_790_000_000;

#[tokio::test]
async fn a_token_is_checked_for_signature_time_audience_issuer_and_claims() {
    let backend = Backend::echo().await;
    let xml = format!(
        r#"<validate-jwt header-name="Authorization" require-scheme="Bearer" clock-skew="10" output-token-variable-name="jwt">
            <issuer-signing-keys><key>{}</key></issuer-signing-keys><audiences><audience>me</audience></audiences><issuers><issuer>them</issuer></issuers>
            <required-claims><claim name="scp" match="any" separator=" "><value>read</value><value>all</value></claim></required-claims></validate-jwt>
        <set-header name="X-Sub"><value>@(((Jwt)context.Variables["jwt"]).Subject)</value></set-header>"#,
        base64(SECRET)
    );
    let world = World::with_policy(&backend, &inbound(&xml)).await;
    let good = json!({"iss": "them", "aud": ["you", "me"], "exp": NOW + 60, "sub": "ada", "scp": "write read"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let unsigned = {
        use base64::Engine;
        let part = |value: &Value| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
        };
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&good))
    };
    let mut broken = token(&good);
    broken.truncate(broken.len() - 4);
    let cases = [
        (None, "TokenNotPresent", "JWT not present."),
        (Some(token(&good)), "", ""),
        (Some(token(&with("exp", json!(NOW - 9)))), "", ""),
        (
            Some(token(&with("exp", json!(NOW - 10)))),
            "TokenExpired",
            "JWT expired.",
        ),
        (
            Some(token(&with("exp", Value::Null))),
            "TokenExpirationMissing",
            "JWT has no expiration time.",
        ),
        (
            Some(token(&with("nbf", json!(NOW + 11)))),
            "TokenNotYetValid",
            "JWT is not yet valid.",
        ),
        (
            Some(token(&with("aud", json!("you")))),
            "TokenAudienceNotAllowed",
            "JWT audience is not allowed.",
        ),
        (
            Some(token(&with("iss", json!("me")))),
            "TokenIssuerNotAllowed",
            "JWT issuer is not allowed.",
        ),
        (
            Some(token(&with("scp", json!("write")))),
            "TokenClaimValueNotAllowed",
            "JWT claim 'scp' has a value that is not allowed.",
        ),
        (
            Some(token(&with("scp", Value::Null))),
            "TokenClaimNotFound",
            "JWT claim 'scp' is missing.",
        ),
        (
            Some(broken),
            "TokenSignatureInvalid",
            "JWT signature is invalid.",
        ),
        (
            Some(unsigned),
            "TokenSignatureMissing",
            "JWT is not signed.",
        ),
        (Some("nonsense".to_owned()), "TokenInvalid", "Invalid JWT."),
    ];
    for (at, (token, reason, message)) in cases.into_iter().enumerate() {
        let mut call = world.get("/echo");
        if let Some(token) = token {
            call = call.header("authorization", &format!("Bearer {token}"));
        }
        let answer = call.send().await;
        let error = world.told.records(at + 1).await.remove(at).error;
        assert_eq!(error.map_or_else(String::new, |(_, reason)| reason), reason);
        if reason.is_empty() {
            assert_eq!(
                (answer.status, backend.last().header("x-sub")),
                (200, Some("ada"))
            );
        } else {
            assert_eq!(
                (answer.status, answer.body),
                (
                    401,
                    format!("{{ \"statusCode\": 401, \"message\": \"{message}\" }}")
                )
            );
        }
    }
    let basic = world
        .get("/echo")
        .header("authorization", "Basic abc")
        .send()
        .await;
    assert_eq!(basic.status, 401);
}

#[tokio::test]
async fn keys_of_an_issuer_are_fetched_once_and_again_for_an_unknown_key() {
    let backend = Backend::echo().await;
    let keys = std::sync::Arc::new(std::sync::Mutex::new(vec!["first"]));
    let published = std::sync::Arc::clone(&keys);
    let issuer = Backend::answering(move |seen| {
        let body = if seen.uri == "/config" {
            json!({"issuer": "https://them", "jwks_uri": format!("http://{}/keys", seen.header("host").unwrap())})
        } else {
            let jwk = |kid: &&str| {
                use base64::Engine;
                let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(SECRET);
                json!({"kty": "oct", "kid": kid, "k": secret, "alg": "HS256"})
            };
            let mut all: Vec<Value> = published.lock().unwrap().iter().map(jwk).collect();
            all.push(json!({"kty": "unheard-of"}));
            json!({ "keys": all })
        };
        Response::new(body.to_string().into())
    })
    .await;
    let xml = format!(
        r#"<validate-jwt header-name="Authorization"><openid-config url="{}/config" /></validate-jwt>"#,
        issuer.url()
    );
    let world = World::with_policy(&backend, &inbound(&xml)).await;
    let call = async |kid: &str, issuer: &str| {
        let header = jsonwebtoken::Header {
            kid: Some(kid.to_owned()),
            ..jsonwebtoken::Header::default()
        };
        let claims = json!({"iss": issuer, "exp": NOW + 100_000});
        let token = jsonwebtoken::encode(
            &header,
            &claims,
            &jsonwebtoken::EncodingKey::from_secret(SECRET),
        )
        .unwrap();
        world
            .get("/echo")
            .header("authorization", &format!("Bearer {token}"))
            .send()
            .await
            .status
    };
    assert_eq!(call("first", "https://them").await, 200);
    assert_eq!(call("first", "https://them").await, 200);
    assert_eq!(issuer.seen().len(), 2);
    assert_eq!(call("first", "https://others").await, 401);
    keys.lock().unwrap().push("second");
    // A minute must have passed since the last fetch.
    assert_eq!(call("second", "https://them").await, 401);
    world.clock.advance(61);
    assert_eq!(call("second", "https://them").await, 200);
    assert_eq!(issuer.seen().len(), 4);
}

#[tokio::test]
async fn a_certificates_key_verifies_its_own_algorithm_and_is_never_a_secret() {
    let backend = Backend::echo().await;
    let made = rcgen::generate_simple_self_signed(vec!["issuer.example".to_owned()]).unwrap();
    let xml = r#"<validate-jwt header-name="Authorization"><issuer-signing-keys><key certificate-id="signer" /></issuer-signing-keys></validate-jwt>"#;
    let world = World::with_policy(&backend, &inbound(xml)).await;
    world.put([snapshot::entity::Certificate {
        id: Uuid::from_u128(80),
        service_id: SERVICE,
        name: "signer".to_owned(),
        chain_pem: made.cert.pem(),
        ..snapshot::entity::Certificate::default()
    }
    .into()]);
    let claims = json!({"exp": NOW + 60});
    let call = async |algorithm: jsonwebtoken::Algorithm, key: &jsonwebtoken::EncodingKey| {
        let token =
            jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), &claims, key).unwrap();
        world
            .get("/echo")
            .header("authorization", &format!("Bearer {token}"))
            .send()
            .await
            .status
    };
    // rcgen makes keys on P-256.
    let own = jsonwebtoken::EncodingKey::from_ec_pem(made.signing_key.serialize_pem().as_bytes())
        .unwrap();
    assert_eq!(call(jsonwebtoken::Algorithm::ES256, &own).await, 200);
    let public = jsonwebtoken::EncodingKey::from_secret(made.cert.pem().as_bytes());
    assert_eq!(call(jsonwebtoken::Algorithm::HS256, &public).await, 401);
    let stranger = rcgen::generate_simple_self_signed(vec!["issuer.example".to_owned()]).unwrap();
    let stranger =
        jsonwebtoken::EncodingKey::from_ec_pem(stranger.signing_key.serialize_pem().as_bytes())
            .unwrap();
    assert_eq!(call(jsonwebtoken::Algorithm::ES256, &stranger).await, 401);
}

#[tokio::test]
async fn addresses_of_the_backend_become_those_of_the_gateway_and_back() {
    let backend = Backend::answering(|seen| {
        let host = seen.header("host").unwrap();
        let body = format!(
            "{{\"self\": \"http://{host}/a\", \"escaped\": \"http:\\/\\/{host}\\/b\", \"other\": \"http://{host}1/c\", \"got\": \"{}\"}}",
            seen.body
        );
        Response::builder()
            .header("location", format!("http://{host}/next"))
            .body(body.into())
            .unwrap()
    })
    .await;
    let world = World::with_policy(
        &backend,
        "<policies><inbound><redirect-content-urls /></inbound><backend><forward-request /></backend><outbound><redirect-content-urls /></outbound></policies>",
    )
    .await;
    let answer = world
        .post("/echo/x", &format!("http://{HOST}/echo/callback"))
        .send()
        .await;
    let own = backend.address;
    assert_eq!(backend.last().body, format!("http://{own}/callback"));
    assert_eq!(
        answer.header("location"),
        Some(format!("http://{HOST}/echo/next").as_str())
    );
    assert_eq!(
        answer.body,
        format!(
            "{{\"self\": \"http://{HOST}/echo/a\", \"escaped\": \"http:\\/\\/{HOST}\\/echo\\/b\", \"other\": \"http://{own}1/c\", \"got\": \"http://{HOST}/echo/callback\"}}"
        )
    );
}

#[tokio::test]
async fn a_status_that_is_not_documented_is_refused_noted_or_ignored() {
    let backend = Backend::answering(|seen| {
        let status: u16 = seen.uri.trim_start_matches('/').parse().unwrap();
        Response::builder()
            .status(status)
            .body("it".into())
            .unwrap()
    })
    .await;
    let world = World::open(&backend).await;
    let mut documented = operation(100, API, "*", "/*");
    documented.responses = vec![snapshot::entity::Response {
        status_code: 200,
        ..snapshot::entity::Response::default()
    }];
    world.put([documented.into()]);
    world.policy(
        PolicyScope::Api(API),
        "<policies><backend><forward-request /></backend><outbound><validate-status-code unspecified-status-code-action=\"prevent\" errors-variable-name=\"errors\"><status-code code=\"404\" action=\"detect\" /><status-code code=\"500\" action=\"ignore\" /></validate-status-code><set-header name=\"X-Errors\" exists-action=\"override\"><value>@(((IEnumerable<object>)context.Variables[\"errors\"]).Count().ToString())</value></set-header></outbound></policies>",
    );
    for (status, told, errors) in [
        (200, 200, Some("0")),
        (404, 404, Some("1")),
        (500, 500, Some("0")),
        (418, 502, None),
    ] {
        let answer = world.get(&format!("/echo/{status}")).send().await;
        assert_eq!(
            (answer.status, answer.header("x-errors")),
            (told, errors),
            "{status}"
        );
    }
}
