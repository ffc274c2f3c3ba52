//! Accounts and tokens against a real Postgres.

use chrono::{DateTime, Duration, Utc};
use embedded_postgres::test_database::TestDatabase;
use identity::{
    Account, Assignment, Identity, Kind, Options, Principal, Role, SignInError, TokenError,
};
use secret_box::SecretBox;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

const MIGRATION: &str = include_str!("../../../migrations/0002_identity.sql");
/// Sign-ins and roles are recorded.
const AUDIT: &str = include_str!("../../../migrations/0016_audit.sql");
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const PASSWORD: &str = "correct horse";

/// A clock that tests turn.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000)))
    }
    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.num_seconds(), Ordering::SeqCst);
    }
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.load(Ordering::SeqCst), 0).expect("a time")
    }
}

async fn database() -> TestDatabase {
    TestDatabase::from_template("identity_4", async |pool: &sqlx::PgPool| {
        sqlx::raw_sql(MIGRATION).execute(pool).await?;
        sqlx::raw_sql(AUDIT).execute(pool).await?;
        Ok(())
    })
    .await
    .expect("a database")
}

fn replica(database: &TestDatabase, clock: &Clock) -> Identity {
    let clock = clock.clone();
    let secrets = Arc::new(SecretBox::new(&[1; 32]).expect("a key"));
    Identity::new(
        database.pool(),
        secrets,
        Options::new(Arc::new(move || clock.now())),
    )
}

#[tokio::test]
async fn the_first_administrator_sets_a_password_once_with_the_bootstrap_secret() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    let first = identity
        .first_start("admin@example.org", None)
        .await
        .expect("a start");
    let lost = first.bootstrap_secret.expect("a secret");
    let again = identity
        .first_start("other@example.org", None)
        .await
        .expect("a second start");
    assert_eq!(again.administrator, "admin@example.org");
    let secret = again.bootstrap_secret.expect("a fresh secret");
    assert!(matches!(
        identity.redeem_bootstrap(&lost, PASSWORD, HOME).await,
        Err(SignInError::Wrong)
    ));
    assert!(matches!(
        identity.redeem_bootstrap(&secret, "short", HOME).await,
        Err(SignInError::Password(_))
    ));
    let token = identity
        .redeem_bootstrap(&secret, PASSWORD, HOME)
        .await
        .expect("a token");
    assert_eq!(
        identity
            .verify(&token.access_token)
            .await
            .expect("a principal")
            .name,
        "admin@example.org"
    );
    assert!(matches!(
        identity
            .redeem_bootstrap(&secret, "another password", HOME)
            .await,
        Err(SignInError::Wrong)
    ));
    assert!(
        identity
            .first_start("x", None)
            .await
            .expect("a third start")
            .bootstrap_secret
            .is_none()
    );
    identity
        .sign_in("ADMIN@example.org", PASSWORD, HOME)
        .await
        .expect("a sign-in");
}

#[tokio::test]
async fn replicas_that_start_together_make_one_administrator() {
    let (database, clock) = (database().await, Clock::new());
    let (one, two) = (replica(&database, &clock), replica(&database, &clock));
    let (a, b) = tokio::join!(
        one.first_start("admin@example.org", Some(PASSWORD)),
        two.first_start("admin@example.org", Some(PASSWORD))
    );
    assert!(a.is_ok() && b.is_ok());
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM principals")
        .fetch_one(&database.pool())
        .await
        .expect("a count");
    assert_eq!(count, 1);
}

#[tokio::test]
async fn guessing_is_slowed_even_for_the_right_password() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    for _ in 0..5 {
        assert!(matches!(
            identity
                .sign_in("admin@example.org", "wrong password", HOME)
                .await,
            Err(SignInError::Wrong)
        ));
    }
    let slowed = identity.sign_in("admin@example.org", PASSWORD, HOME).await;
    assert!(
        matches!(
            slowed,
            Err(SignInError::Slowed {
                retry_after_seconds: 1
            })
        ),
        "{slowed:?}"
    );
    let other = replica(&database, &clock)
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await;
    assert!(
        matches!(other, Err(SignInError::Slowed { .. })),
        "another replica knows it too"
    );
    clock.advance(Duration::seconds(1));
    identity
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a sign-in after the wait");
    identity
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a success clears the account");
}

#[tokio::test]
async fn one_address_cannot_try_many_accounts() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    for at in 0..30 {
        assert!(matches!(
            identity
                .sign_in(&format!("user{at}"), "wrong password", HOME)
                .await,
            Err(SignInError::Wrong)
        ));
    }
    assert!(matches!(
        identity.sign_in("user31", "wrong password", HOME).await,
        Err(SignInError::Slowed { .. })
    ));
    let elsewhere: IpAddr = "10.0.0.2".parse().expect("an address");
    assert!(matches!(
        identity
            .sign_in("user31", "wrong password", elsewhere)
            .await,
        Err(SignInError::Wrong)
    ));
}

#[tokio::test]
async fn keys_rotate_and_every_replica_verifies_the_others_tokens() {
    let (database, clock) = (database().await, Clock::new());
    let (one, two) = (replica(&database, &clock), replica(&database, &clock));
    one.first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    let early = one
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a token");
    two.verify(&early.access_token)
        .await
        .expect("the other replica reads the key");
    clock.advance(Duration::days(30) - Duration::minutes(10));
    let before = one
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a token");
    clock.advance(Duration::minutes(20));
    let after = one
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a token of the next key");
    let kid = |token: &str| jsonwebtoken::decode_header(token).expect("a header").kid;
    assert_ne!(kid(&before.access_token), kid(&after.access_token));
    two.verify(&before.access_token)
        .await
        .expect("the retired key still verifies");
    two.verify(&after.access_token)
        .await
        .expect("the new key is found");
    clock.advance(Duration::hours(1));
    assert!(matches!(
        two.verify(&after.access_token).await,
        Err(TokenError::Expired)
    ));
    let kids = |keys: serde_json::Value| keys["keys"].as_array().map(Vec::len);
    assert_eq!(
        kids(replica(&database, &clock).jwks().await.expect("keys")),
        Some(1),
        "the retired key is forgotten"
    );
}

#[tokio::test]
async fn tokens_of_others_are_refused() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    let token = identity
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a token")
        .access_token;
    let parts: Vec<&str> = token.split('.').collect();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    let mut changed = token.clone();
    changed.truncate(token.len() - 6);
    changed.push_str("AAAAAA");
    for wrong in ["", "x.y.z", unsigned.as_str(), changed.as_str()] {
        assert!(
            matches!(identity.verify(wrong).await, Err(TokenError::Invalid)),
            "{wrong}"
        );
    }
    let mut options = Options::new(Arc::new({
        let clock = clock.clone();
        move || clock.now()
    }));
    options.issuer = "somebody else".into();
    let secrets = Arc::new(SecretBox::new(&[1; 32]).expect("a key"));
    let other = Identity::new(database.pool(), secrets, options);
    assert!(
        matches!(other.verify(&token).await, Err(TokenError::Invalid)),
        "another issuer"
    );
}

#[tokio::test]
async fn applications_get_tokens_until_they_are_disabled() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    let application = identity
        .create_application("pipeline")
        .await
        .expect("an application");
    identity
        .client_credentials(&application.client_id, &application.client_secret, HOME)
        .await
        .expect("a token");
    let as_person = identity
        .sign_in(&application.client_id, &application.client_secret, HOME)
        .await;
    assert!(matches!(as_person, Err(SignInError::Wrong)));
    identity.disable(application.id).await.expect("a change");
    let disabled = identity
        .client_credentials(&application.client_id, &application.client_secret, HOME)
        .await;
    assert!(matches!(disabled, Err(SignInError::Wrong)));
}

#[tokio::test]
async fn successes_are_not_held_against_an_address() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    for at in 0..40 {
        let outcome = identity.sign_in("admin@example.org", PASSWORD, HOME).await;
        assert!(outcome.is_ok(), "sign-in {at}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_success_does_not_clear_what_an_address_failed_before() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    for at in 0..29 {
        let outcome = identity
            .sign_in(&format!("user{at}"), "wrong password", HOME)
            .await;
        assert!(matches!(outcome, Err(SignInError::Wrong)));
    }
    identity
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a sign-in");
    let last = identity.sign_in("user29", "wrong password", HOME).await;
    assert!(matches!(last, Err(SignInError::Wrong)));
    let over = identity.sign_in("user30", "wrong password", HOME).await;
    assert!(matches!(over, Err(SignInError::Slowed { .. })), "{over:?}");
}

#[tokio::test]
async fn a_password_set_otherwise_ends_the_bootstrap_secret() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    let first = identity
        .first_start("admin@example.org", None)
        .await
        .expect("a start");
    let secret = first.bootstrap_secret.expect("a secret");
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start with a password");
    let outcome = identity
        .redeem_bootstrap(&secret, "another password", HOME)
        .await;
    assert!(matches!(outcome, Err(SignInError::Wrong)), "{outcome:?}");
    identity
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("the password still holds");
}

#[tokio::test]
async fn an_installation_without_an_owner_starts_and_gets_one_again() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    let admin = identity
        .find("admin@example.org")
        .await
        .expect("an answer")
        .expect("the administrator");
    identity
        .grant(admin, None, Role::Reader)
        .await
        .expect("a lesser role");
    let again = identity
        .first_start("Admin@example.org", None)
        .await
        .expect("a start without an owner");
    assert_eq!(again.administrator, "admin@example.org");
    assert!(again.bootstrap_secret.is_none(), "the password still holds");
    let role: String = sqlx::query_scalar("SELECT role FROM role_assignments")
        .fetch_one(&database.pool())
        .await
        .expect("one role");
    assert_eq!(role, "owner");
}

#[tokio::test]
async fn guessing_the_bootstrap_secret_is_slowed_whatever_the_new_password() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    let first = identity
        .first_start("admin@example.org", None)
        .await
        .expect("a start");
    for _ in 0..5 {
        let guess = identity.redeem_bootstrap("a guess", PASSWORD, HOME).await;
        assert!(matches!(guess, Err(SignInError::Wrong)));
        let bad = identity.redeem_bootstrap("a guess", "short", HOME).await;
        assert!(matches!(bad, Err(SignInError::Password(_))));
    }
    let secret = first.bootstrap_secret.expect("a secret");
    let right = identity.redeem_bootstrap(&secret, PASSWORD, HOME).await;
    assert!(
        matches!(right, Err(SignInError::Slowed { .. })),
        "{right:?}"
    );
}

#[tokio::test]
async fn the_first_tokens_of_a_fresh_replica_verify_all_at_once() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    let token = identity
        .sign_in("admin@example.org", PASSWORD, HOME)
        .await
        .expect("a token")
        .access_token;
    let fresh = replica(&database, &clock);
    let outcomes = tokio::join!(
        fresh.verify(&token),
        fresh.verify(&token),
        fresh.verify(&token)
    );
    assert!(matches!(outcomes, (Ok(_), Ok(_), Ok(_))), "{outcomes:?}");
}

#[tokio::test]
async fn a_disabled_principals_token_ends_at_once_on_every_replica() {
    let (database, clock) = (database().await, Clock::new());
    let (one, two) = (replica(&database, &clock), replica(&database, &clock));
    let application = one
        .create_application("pipeline")
        .await
        .expect("an application");
    let token = one
        .client_credentials(&application.client_id, &application.client_secret, HOME)
        .await
        .expect("a token")
        .access_token;
    one.verify(&token).await.expect("a principal");
    two.verify(&token).await.expect("a principal");
    one.disable(application.id).await.expect("a change");
    let here = one.verify(&token).await;
    assert!(matches!(here, Err(TokenError::Invalid)), "{here:?}");
    let there = two.verify(&token).await;
    assert!(matches!(there, Err(TokenError::Invalid)), "{there:?}");
}

#[tokio::test]
async fn replicas_that_start_together_leave_one_bootstrap_secret_that_holds() {
    let (database, clock) = (database().await, Clock::new());
    let (one, two) = (replica(&database, &clock), replica(&database, &clock));
    let (a, b) = tokio::join!(
        one.first_start("admin@example.org", None),
        two.first_start("admin@example.org", None)
    );
    let mut accepted = 0;
    for first in [a, b] {
        let secret = first
            .expect("a start")
            .bootstrap_secret
            .expect("a printed secret");
        match one.redeem_bootstrap(&secret, PASSWORD, HOME).await {
            Ok(_) => accepted += 1,
            Err(error) => assert!(matches!(error, SignInError::Wrong), "{error}"),
        }
    }
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn what_nobody_failed_at_for_an_hour_is_forgotten() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    for at in 0..3 {
        let outcome = identity
            .sign_in(&format!("user{at}"), "wrong password", HOME)
            .await;
        assert!(matches!(outcome, Err(SignInError::Wrong)));
    }
    clock.advance(Duration::seconds(3601));
    let outcome = identity.sign_in("another", "wrong password", HOME).await;
    assert!(matches!(outcome, Err(SignInError::Wrong)));
    let keys: Vec<String> = sqlx::query_scalar("SELECT key FROM sign_in_attempts ORDER BY key")
        .fetch_all(&database.pool())
        .await
        .expect("keys");
    assert_eq!(keys, ["account:another", "address:10.0.0.1"]);
}

#[tokio::test]
async fn a_slowed_address_does_not_lock_accounts() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    identity
        .first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    for at in 0..30 {
        let outcome = identity
            .sign_in(&format!("user{at}"), "wrong password", HOME)
            .await;
        assert!(matches!(outcome, Err(SignInError::Wrong)));
    }
    for _ in 0..10 {
        let outcome = identity
            .sign_in("admin@example.org", "wrong password", HOME)
            .await;
        assert!(matches!(outcome, Err(SignInError::Slowed { .. })));
    }
    let elsewhere: IpAddr = "10.0.0.2".parse().expect("an address");
    identity
        .sign_in("admin@example.org", PASSWORD, elsewhere)
        .await
        .expect("a sign-in from elsewhere");
}

#[tokio::test]
async fn waiting_doubles_with_every_failure_up_to_a_quarter_of_an_hour() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    for _ in 0..5 {
        let outcome = identity
            .sign_in("admin@example.org", "wrong password", HOME)
            .await;
        assert!(matches!(outcome, Err(SignInError::Wrong)));
    }
    let mut waits = Vec::new();
    for _ in 0..12 {
        match identity
            .sign_in("admin@example.org", "wrong password", HOME)
            .await
        {
            Err(SignInError::Slowed {
                retry_after_seconds,
            }) => {
                waits.push(retry_after_seconds);
                clock.advance(Duration::seconds(
                    i64::try_from(retry_after_seconds).expect("a wait"),
                ));
            }
            other => panic!("{other:?}"),
        }
        let outcome = identity
            .sign_in("admin@example.org", "wrong password", HOME)
            .await;
        assert!(matches!(outcome, Err(SignInError::Wrong)), "{outcome:?}");
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs() {
    let (database, clock) = (database().await, Clock::new());
    let (one, two) = (replica(&database, &clock), replica(&database, &clock));
    one.first_start("admin@example.org", Some(PASSWORD))
        .await
        .expect("a start");
    let admin = one
        .find("admin@example.org")
        .await
        .expect("an answer")
        .expect("the administrator");
    let kid = |token: &str| jsonwebtoken::decode_header(token).expect("a header").kid;
    let early = one.issue(admin).await.expect("a token").access_token;
    assert!(
        !one.rotate_if_due().await.expect("an answer"),
        "not due yet"
    );
    clock.advance(Duration::days(28));
    let (a, b) = tokio::join!(one.rotate_if_due(), two.rotate_if_due());
    let made = [a.expect("an answer"), b.expect("an answer")];
    assert!(
        made[0] != made[1],
        "one replica makes the next key: {made:?}"
    );
    let published = two.jwks().await.expect("keys");
    assert_eq!(published["keys"].as_array().map(Vec::len), Some(2));
    let still = one.issue(admin).await.expect("a token").access_token;
    assert_eq!(
        kid(&still),
        kid(&early),
        "the present key signs until its end"
    );
    clock.advance(Duration::days(2));
    let next = one.issue(admin).await.expect("a token").access_token;
    assert_ne!(kid(&next), kid(&early));
    let listed = published["keys"].as_array().expect("a list");
    let key = listed
        .iter()
        .find(|key| key["kid"].as_str() == kid(&next).as_deref())
        .expect("the key was published before");
    let decoding = jsonwebtoken::DecodingKey::from_ec_components(
        key["x"].as_str().expect("x"),
        key["y"].as_str().expect("y"),
    )
    .expect("a key");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["portico-management"]);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<serde_json::Value>(&next, &decoding, &validation)
        .expect("a signature of the published key")
        .claims;
    assert_eq!(claims["sub"], admin.to_string());
    two.verify(&next).await.expect("the other replica knows it");
}

/// Signs claims as another would who had this private key.
fn forged(kid: &str, claims: &serde_json::Value, private: &[u8]) -> String {
    let header = jsonwebtoken::Header {
        kid: Some(kid.to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256)
    };
    jsonwebtoken::encode(
        &header,
        claims,
        &jsonwebtoken::EncodingKey::from_ec_der(private),
    )
    .expect("a token")
}

#[tokio::test]
async fn only_our_key_for_us_and_now_makes_a_token() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    let application = identity
        .create_application("pipeline")
        .await
        .expect("an application");
    let ours = identity.issue(application.id).await.expect("a token");
    let (kid, sealed, public): (String, Vec<u8>, Vec<u8>) =
        sqlx::query_as("SELECT kid, private_key, public_key FROM signing_keys")
            .fetch_one(&database.pool())
            .await
            .expect("the key");
    let private = SecretBox::new(&[1; 32])
        .expect("a box")
        .open("identity.signing_key", &sealed)
        .expect("the private key");
    let now = clock.now().timestamp();
    let claims = serde_json::json!({
        "iss": "portico", "aud": "portico-management", "sub": application.id, "name": "pipeline",
        "iat": now, "nbf": now, "exp": now + 60,
    });
    let with = |name: &str, value: serde_json::Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        forged(&kid, &changed, &private)
    };
    let principal = identity
        .verify(&forged(&kid, &claims, &private))
        .await
        .expect("the claims are right otherwise");
    assert_eq!(principal.id, application.id);
    let other = EcdsaKeyPair::generate_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &aws_lc_rs::rand::SystemRandom::new(),
    )
    .expect("another key");
    let symmetric = jsonwebtoken::encode(
        &jsonwebtoken::Header {
            kid: Some(kid.clone()),
            ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
        },
        &claims,
        &jsonwebtoken::EncodingKey::from_secret(&public),
    )
    .expect("a token");
    for (what, token) in [
        (
            "another key under our id",
            forged(&kid, &claims, other.as_ref()),
        ),
        (
            "a key id nobody has",
            forged("0000000000000000", &claims, &private),
        ),
        ("an HMAC under the public key", symmetric),
        (
            "another issuer",
            with("iss", "https://sts.example.org".into()),
        ),
        (
            "another audience",
            with("aud", "https://management.azure.com/".into()),
        ),
        ("the future", with("nbf", (now + 60).into())),
        ("nobody", with("sub", uuid::Uuid::nil().to_string().into())),
    ] {
        let outcome = identity.verify(&token).await;
        assert!(
            matches!(outcome, Err(TokenError::Invalid)),
            "{what}: {outcome:?}"
        );
    }
    let over = identity.verify(&with("exp", now.into())).await;
    assert!(matches!(over, Err(TokenError::Expired)), "{over:?}");
    identity
        .verify(&ours.access_token)
        .await
        .expect("our own token still holds");
}

#[tokio::test]
async fn accounts_show_secrets_and_roles_as_they_change() {
    let (database, clock) = (database().await, Clock::new());
    let identity = replica(&database, &clock);
    let person = identity
        .create_person("Zoe@example.org", None)
        .await
        .expect("a person");
    let application = identity
        .create_application("pipeline")
        .await
        .expect("an application");
    let short = identity.set_password(person, "short").await;
    assert!(matches!(short, Err(SignInError::Password(_))), "{short:?}");
    let mistaken = identity.set_password(application.id, PASSWORD).await;
    assert!(matches!(mistaken, Err(SignInError::Wrong)), "{mistaken:?}");
    identity
        .set_password(person, PASSWORD)
        .await
        .expect("a change");
    identity
        .sign_in("zoe@example.org", PASSWORD, HOME)
        .await
        .expect("a sign-in");
    let rotated = identity
        .rotate_secret(application.id)
        .await
        .expect("a new secret");
    assert_eq!(rotated.client_id, application.client_id);
    let former = identity
        .client_credentials(&application.client_id, &application.client_secret, HOME)
        .await;
    assert!(matches!(former, Err(SignInError::Wrong)), "{former:?}");
    identity
        .client_credentials(&rotated.client_id, &rotated.client_secret, HOME)
        .await
        .expect("a token");
    let service = uuid::Uuid::from_u128(7);
    for (scope, role) in [
        (Some(service), Role::Reader),
        (None, Role::Developer),
        (Some(service), Role::Contributor),
    ] {
        identity.grant(person, scope, role).await.expect("a role");
    }
    let assignment = |scope_service_id, role| Assignment {
        scope_service_id,
        role,
    };
    assert_eq!(
        identity.assignments(person).await.expect("roles"),
        [
            assignment(None, Role::Developer),
            assignment(Some(service), Role::Contributor)
        ]
    );
    assert!(identity.revoke(person, None).await.expect("an answer"));
    assert!(!identity.revoke(person, None).await.expect("an answer"));
    assert_eq!(
        identity.assignments(person).await.expect("roles"),
        [assignment(Some(service), Role::Contributor)]
    );
    identity.disable(person).await.expect("a change");
    let mut expected = [
        Account {
            principal: Principal {
                id: application.id,
                name: application.client_id.clone(),
                kind: Kind::Application,
            },
            display_name: "pipeline".into(),
            has_secret: true,
            disabled_at: None,
            created_at: clock.now(),
        },
        Account {
            principal: Principal {
                id: person,
                name: "Zoe@example.org".into(),
                kind: Kind::Person,
            },
            display_name: "Zoe@example.org".into(),
            has_secret: true,
            disabled_at: Some(clock.now()),
            created_at: clock.now(),
        },
    ];
    expected.sort_by_key(|account| account.principal.name.to_lowercase());
    assert_eq!(identity.accounts().await.expect("accounts"), expected);
    identity.enable(person).await.expect("a change");
    identity
        .sign_in("zoe@example.org", PASSWORD, HOME)
        .await
        .expect("a sign-in again");
    let nobody = identity.disable(uuid::Uuid::nil()).await;
    assert!(matches!(nobody, Err(SignInError::Wrong)), "{nobody:?}");
}

#[test]
fn secrets_do_not_show_in_debug_texts() {
    let first = identity::FirstStart {
        administrator: "admin@example.org".into(),
        bootstrap_secret: Some("hidden".into()),
    };
    let application = identity::NewApplication {
        id: uuid::Uuid::nil(),
        client_id: "client".into(),
        client_secret: "hidden".into(),
    };
    let token = identity::Token {
        access_token: "hidden".into(),
        expires_in_seconds: 1,
        expires_at: DateTime::UNIX_EPOCH,
    };
    for text in [
        format!("{first:?}"),
        format!("{application:?}"),
        format!("{token:?}"),
    ] {
        assert!(!text.contains("hidden"), "{text}");
    }
}
