//! Every error of the management API, produced by a real request.

use embedded_postgres::test_database::TestDatabase;
use engine::{Error, Violations};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{GROUP, Portico};

use crate::permissions::token_with;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

/// The variant's place in the list below; a new variant does not compile until it stands here and there.
fn variant(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "NotFound",
        Error::ServiceNotFound { .. } => "ServiceNotFound",
        Error::UnknownType { .. } => "UnknownType",
        Error::Invalid(_) => "Invalid",
        Error::Malformed(_) => "Malformed",
        Error::MissingApiVersion => "MissingApiVersion",
        Error::UnsupportedApiVersion(_) => "UnsupportedApiVersion",
        Error::Conflict(_) => "Conflict",
        Error::SoftDeleted(_) => "SoftDeleted",
        Error::PreconditionFailed => "PreconditionFailed",
        Error::PreconditionRequired => "PreconditionRequired",
        Error::Unauthenticated(_) => "Unauthenticated",
        Error::Forbidden(_) => "Forbidden",
        Error::MethodNotAllowed(_) => "MethodNotAllowed",
        Error::TooLarge(_) => "TooLarge",
        Error::TooManyRequests(_) => "TooManyRequests",
        Error::Unavailable(_) => "Unavailable",
        Error::Internal(_) => "Internal",
    }
}

fn every_error() -> Vec<Error> {
    let text = String::new;
    vec![
        Error::NotFound { what: text() },
        Error::ServiceNotFound {
            segment: "service",
            name: text(),
            group: text(),
        },
        Error::UnknownType { path: text() },
        Error::Invalid(Violations::default()),
        Error::Malformed(text()),
        Error::MissingApiVersion,
        Error::UnsupportedApiVersion(text()),
        Error::Conflict(text()),
        Error::SoftDeleted(text()),
        Error::PreconditionFailed,
        Error::PreconditionRequired,
        Error::Unauthenticated(text()),
        Error::Forbidden(text()),
        Error::MethodNotAllowed(text()),
        Error::TooLarge(0),
        Error::TooManyRequests(0),
        Error::Unavailable(text().into()),
        Error::Internal(text().into()),
    ]
}

#[tokio::test]
async fn every_error_is_answered_in_the_contracts_envelope() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool();
    // A lock that does not come in time is how Postgres is away here.
    sqlx::query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout = ''3s''', current_database()); END $$",
    )
    .execute(&pool)
    .await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let owner = portico.token().await?;
    let service = portico.service(&owner, "errors").await?;
    let deleted = portico.service(&owner, "deleted").await?;
    portico
        .send(&owner, Method::DELETE, &deleted, &[], None)
        .await?;
    let reader = token_with(BINARY, &database, "reader@example.org", "reader", "errors").await?;
    let product = format!("{service}/products/starter");
    let new_service = json!({
        "location": "West US", "sku": {"name": "Developer", "capacity": 1},
        "properties": {"publisherEmail": "publisher@example.org", "publisherName": "errors"}
    });
    let elsewhere = format!("{}/service/errors", GROUP.replace("demo-rg", "other-rg"));
    let stale: &[(&str, &str)] = &[("If-Match", "\"AAAAAAAAAAA=\"")];
    let large = json!({"properties": {"description": "x".repeat(17 * 1024 * 1024)}});
    let patch = json!({"properties": {"description": "new"}});
    type Case<'a> = (
        &'a str,
        &'a str,
        Method,
        String,
        &'a [(&'a str, &'a str)],
        Option<Value>,
    );
    let cases: Vec<Case<'_>> = vec![
        (
            "NotFound",
            &owner,
            Method::GET,
            format!("{service}/products/absent"),
            &[],
            None,
        ),
        (
            "ServiceNotFound",
            &owner,
            Method::GET,
            format!("{GROUP}/service/absent"),
            &[],
            None,
        ),
        (
            "UnknownType",
            &owner,
            Method::GET,
            format!("{service}/nonsense/x"),
            &[],
            None,
        ),
        (
            "Invalid",
            &owner,
            Method::PUT,
            format!("{service}/products/new"),
            &[],
            Some(json!({})),
        ),
        (
            "Malformed",
            &owner,
            Method::PUT,
            format!("{service}/products/new"),
            &[],
            Some(json!([1])),
        ),
        (
            "MissingApiVersion",
            &owner,
            Method::GET,
            format!("{product}?api-version="),
            &[],
            None,
        ),
        (
            "UnsupportedApiVersion",
            &owner,
            Method::GET,
            format!("{product}?api-version=2010-01-01"),
            &[],
            None,
        ),
        (
            "Conflict",
            &owner,
            Method::PUT,
            elsewhere,
            &[],
            Some(new_service.clone()),
        ),
        (
            "SoftDeleted",
            &owner,
            Method::PUT,
            deleted,
            &[],
            Some(new_service),
        ),
        (
            "PreconditionFailed",
            &owner,
            Method::PATCH,
            product.clone(),
            stale,
            Some(patch.clone()),
        ),
        (
            "PreconditionRequired",
            &owner,
            Method::PATCH,
            product.clone(),
            &[],
            Some(patch.clone()),
        ),
        (
            "Unauthenticated",
            "",
            Method::GET,
            product.clone(),
            &[],
            None,
        ),
        (
            "Forbidden",
            &reader,
            Method::PATCH,
            product.clone(),
            &[("If-Match", "*")],
            Some(patch),
        ),
        (
            "MethodNotAllowed",
            &owner,
            Method::POST,
            product.clone(),
            &[],
            None,
        ),
        (
            "TooLarge",
            &owner,
            Method::PUT,
            format!("{service}/products/new"),
            &[],
            Some(large),
        ),
    ];
    let mut produced = BTreeSet::new();
    let every = every_error();
    let mut check = |name: &'static str, answer: &testkit::Answer| {
        let error = every
            .iter()
            .find(|error| variant(error) == name)
            .unwrap_or_else(|| panic!("no error {name}"));
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.body["error"]["code"].as_str()
            ),
            (error.status(), Some(error.code())),
            "{name}: {answer:?}"
        );
        let envelope = answer
            .body
            .as_object()
            .map(|body| body.keys().collect::<Vec<_>>());
        assert_eq!(envelope, Some(vec![&"error".to_owned()]), "{name}");
        assert!(
            answer.body["error"]["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{name}: {answer:?}"
        );
        assert!(
            answer.headers.contains_key("x-ms-request-id"),
            "{name}: {answer:?}"
        );
        produced.insert(name);
    };
    for (name, token, method, path, headers, body) in &cases {
        let answer = portico
            .send(token, method.clone(), path, headers, body.as_ref())
            .await?;
        let name = every
            .iter()
            .map(variant)
            .find(|known| known == name)
            .unwrap_or_default();
        check(name, &answer);
    }

    let guess = json!({"email": "reader@example.org", "password": "guess"});
    let mut slowed = None;
    for _ in 0..50 {
        let answer = portico
            .send("", Method::POST, "/sign-in", &[], Some(&guess))
            .await?;
        if answer.status.as_u16() != 401 {
            slowed = Some(answer);
            break;
        }
    }
    let slowed = slowed.unwrap_or_else(|| panic!("50 guesses were not slowed"));
    check("TooManyRequests", &slowed);
    assert!(slowed.headers.contains_key("retry-after"), "{slowed:?}");

    let mut lock = pool.begin().await?;
    sqlx::query("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await?;
    let away = portico
        .send(&owner, Method::GET, &product, &[], None)
        .await?;
    check("Unavailable", &away);
    lock.rollback().await?;

    sqlx::query("ALTER TABLE tags RENAME TO secret_internals")
        .execute(&pool)
        .await?;
    let broken = portico
        .send(&owner, Method::GET, &format!("{service}/tags"), &[], None)
        .await?;
    check("Internal", &broken);
    let shown = broken.body.to_string();
    assert!(
        !shown.contains("relation") && !shown.contains("tags"),
        "{shown}"
    );

    let all: BTreeSet<&str> = every.iter().map(variant).collect();
    assert_eq!(produced, all, "every error is produced");
    Ok(())
}
