//! Numbers of the configuration: what a process may say that it serves, while writes commit in any order.

use embedded_postgres::test_database::TestDatabase;
use engine::{Codec, PgPool, Settings};
use rollout::{Rollout, Update};
use secret_box::SecretBox;
use sqlx::PgConnection;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast;
use uuid::Uuid;

/// Longest that anything may take on a busy machine before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

async fn started(database: &TestDatabase) -> anyhow::Result<(PgPool, Rollout)> {
    let pool = database.pool();
    server::state::migrate(&pool).await?;
    let codec = Codec {
        secrets: Arc::new(SecretBox::new(&[7; 32])?),
    };
    let settings = Settings {
        gateway_scheme: "http".to_owned(),
        gateway_port: 80,
        gateway_domain: None,
        management_url: String::new(),
        developer_portal_url: String::new(),
        echo_url: String::new(),
        mail_sender: String::new(),
    };
    let rollout = Rollout::start(pool.clone(), codec, settings, Arc::new(|_| ()));
    rollout.loaded().await;
    Ok((pool, rollout))
}

/// A line of the outbox; its row does not exist, which gateways hear as a removal.
async fn line(conn: &mut PgConnection) -> anyhow::Result<u64> {
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO changes (service_id, entity, entity_id) VALUES ($1, 'users', $1) RETURNING id",
    )
    .bind(Uuid::new_v4())
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(id)?)
}

/// The next step of the configuration: from which revision to which, by how many changes.
async fn step(updates: &mut broadcast::Receiver<Update>) -> anyhow::Result<(u64, u64, usize)> {
    let update = tokio::time::timeout(LIMIT, updates.recv()).await??;
    let changes = update.changes.map_or(0, |changes| changes.len());
    Ok((update.before.revision(), update.after.revision(), changes))
}

#[tokio::test]
async fn a_revision_is_reached_when_nothing_before_it_can_come_any_more() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let (pool, rollout) = started(&database).await?;
    let mut updates = rollout.follow(None).updates;
    let first = line(&mut *pool.acquire().await?).await?;
    rollout.look();
    assert_eq!(step(&mut updates).await?, (first - 1, first, 1));

    // A write that commits after a later one: what is committed is served at once, but its number is not reached.
    let mut slow = pool.begin().await?;
    let late = line(&mut slow).await?;
    let early = line(&mut *pool.acquire().await?).await?;
    assert_eq!((late, early), (first + 1, first + 2));
    rollout.look();
    assert_eq!(step(&mut updates).await?, (first, first, 1));
    slow.commit().await?;
    rollout.look();
    assert_eq!(step(&mut updates).await?, (first, early, 1));

    // A write that never commits: its number is passed when it is over, with nothing to change.
    let mut lost = pool.begin().await?;
    let gone = line(&mut lost).await?;
    let after = line(&mut *pool.acquire().await?).await?;
    assert_eq!((gone, after), (early + 1, early + 2));
    rollout.look();
    assert_eq!(step(&mut updates).await?, (early, early, 1));
    lost.rollback().await?;
    assert_eq!(step(&mut updates).await?, (early, after, 0));

    // Who has a revision is told all that came after it, and not more than what may have been missed.
    let missed = |since: u64| {
        let following = rollout.follow(Some(since));
        following.missed.map(|updates| {
            updates
                .iter()
                .map(|update| (update.before.revision(), update.after.revision()))
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(missed(after), Some(vec![]));
    assert_eq!(missed(early), Some(vec![(early, early), (early, after)]));
    assert_eq!(missed(after + 1), None, "never given out here");

    // Who starts now begins with the present revision.
    let (_, again) = started(&database).await?;
    let mut revision = again.revision();
    tokio::time::timeout(LIMIT, revision.wait_for(|now| *now == after)).await??;
    assert_eq!(
        again.follow(Some(first)).missed.map(|missed| missed.len()),
        None,
        "before this process began"
    );
    Ok(())
}
