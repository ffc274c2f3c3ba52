//! Databases for tests.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use embedded_postgres::test_database::TestDatabase;
use sqlx::{ConnectOptions, Connection};

#[tokio::test]
async fn each_database_is_a_copy_of_the_template_and_its_own() {
    let fill = async |pool: &sqlx::PgPool| {
        sqlx::raw_sql("CREATE TABLE things AS SELECT 1 AS n")
            .execute(pool)
            .await?;
        Ok(())
    };
    let first = TestDatabase::from_template("things_1", fill).await.unwrap();
    let second = TestDatabase::from_template("things_1", fill).await.unwrap();
    sqlx::query("INSERT INTO things VALUES (2)")
        .execute(&first.pool())
        .await
        .unwrap();
    let count = async |database: &TestDatabase| {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM things")
            .fetch_one(&database.pool())
            .await
            .unwrap()
    };
    assert_eq!((count(&first).await, count(&second).await), (2, 1));
}

#[tokio::test]
async fn a_dropped_database_is_gone_even_with_open_connections() {
    let witness = TestDatabase::create().await.unwrap();
    let database = TestDatabase::create().await.unwrap();
    let name = database.name().to_owned();
    let _open = database.connect_options().connect().await.unwrap();
    drop(database);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_one(&witness.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_url_connects_to_the_database() {
    let database = TestDatabase::create().await.unwrap();
    let options: sqlx::postgres::PgConnectOptions = database.url().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    assert_eq!(name, database.name());
}
