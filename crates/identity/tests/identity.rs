//! Accounts and tokens against a real Postgres.

use chrono::{DateTime, Duration, Utc};
use embedded_postgres::test_database::TestDatabase;
use identity::{Identity, Options, SignInError, TokenError};
use secret_box::SecretBox;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

const MIGRATION: &str = include_str!("../../../migrations/0002_identity.sql");
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
    TestDatabase::from_template("identity_3", async |pool: &sqlx::PgPool| {
        sqlx::raw_sql(MIGRATION).execute(pool).await?;
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
