//! Connections of workers, on a real pool.

use crate::world::World;
use engine::{connections::Connections, sqlx};

#[tokio::test]
async fn a_worker_has_connections_of_its_own_until_the_pool_is_closed() {
    let world = World::empty().await;
    let connections = Connections::new(world.pool.clone()).with_own(3, 2);
    let others = world.pool.size();
    for _ in 0..3 {
        let mut lent = connections.acquire().await.expect("a connection");
        sqlx::query("SELECT 1")
            .execute(&mut *lent)
            .await
            .expect("an answer");
        assert_eq!(connections.own(), (1, 0));
        lent.rest();
        assert_eq!(connections.own().0, 1);
    }
    assert_eq!(world.pool.size(), others);
    world.pool.close().await;
    while connections.own() != (0, 0) {
        tokio::task::yield_now().await;
    }
    assert!(connections.acquire().await.is_err());
}

#[tokio::test]
async fn who_finds_all_of_a_workers_connections_in_use_gets_one_of_the_pool() {
    let world = World::empty().await;
    let connections = Connections::new(world.pool.clone()).with_own(2, 2);
    let mut lent = Vec::new();
    for _ in 0..3 {
        lent.push(connections.acquire().await.expect("a connection"));
    }
    assert_eq!(connections.own(), (2, 0));
    lent.pop();
    let first = lent.remove(0);
    drop(first);
    let next = connections.acquire().await.expect("a connection");
    assert_eq!(connections.own().0, 2);
    next.rest();
}
