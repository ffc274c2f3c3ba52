//! Connections that a thread has of its own, beside those of the pool.

use crate::world::World;
use engine::{json, sqlx};
use futures_util::future::join_all;

async fn world() -> World {
    let mut world = World::new().await;
    world.with_own_connections(2);
    world
}

#[tokio::test]
async fn more_requests_than_own_connections_wait_for_none_of_them() {
    let world = world().await;
    for round in 0..3 {
        let reads = join_all((0..20).map(|_| world.get("/products/starter"))).await;
        for read in reads {
            read.expect(200);
        }
        let writes = join_all((0..10).map(|at| {
            let name = format!("/tags/t-{round}-{at}");
            let body = json!({"properties": {"displayName": name}});
            let world = &world;
            async move { world.put(&name, body).await }
        }));
        for write in writes.await {
            write.expect(201);
        }
        let (open, idle) = world.engine.own_connections();
        assert_eq!((open, idle), (2, 2), "all are given back");
    }
}

#[tokio::test]
async fn a_connection_whose_statement_failed_is_used_again() {
    let world = world().await;
    let body = json!({"properties": {"displayName": "one", "scope": "/apis",
        "primaryKey": "first-key-of-one", "secondaryKey": "second-key-of-one"}});
    world
        .put("/subscriptions/one", body.clone())
        .await
        .expect(201);
    for _ in 0..3 {
        // The index of keys finds it out.
        let twin = world.put("/subscriptions/two", body.clone()).await;
        assert!((400..500).contains(&twin.status), "{twin:?}");
        world.get("/subscriptions/one").await.expect(200);
    }
    let (open, idle) = world.engine.own_connections();
    assert_eq!((open, idle), (1, 1));
}

#[tokio::test]
async fn a_connection_that_postgres_ended_is_replaced() {
    let world = world().await;
    world.get("/products/starter").await.expect(200);
    assert_eq!(world.engine.own_connections(), (1, 1));
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&world.pool)
    .await
    .expect("a command to Postgres");
    // What has just been used is not asked whether it lives: one request may pay for it.
    let first = world.get("/products/starter").await;
    assert!(matches!(first.status, 200 | 500 | 503), "{first:?}");
    world.get("/products/starter").await.expect(200);
    assert_eq!(world.engine.own_connections(), (1, 1));
}

#[tokio::test]
async fn a_pool_that_is_closed_ends_them_too() {
    let world = world().await;
    world.get("/products/starter").await.expect(200);
    world.pool.close().await;
    let refused = world.get("/products/starter").await;
    assert!(matches!(refused.status, 500 | 503), "{refused:?}");
}
