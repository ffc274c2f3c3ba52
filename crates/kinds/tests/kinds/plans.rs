//! What Postgres does for the engine's statements: none of them reads a whole table.

use crate::world::World;
use engine::{Registry, Value, sqlx};

/// The parts of a plan that read all rows of a table: sequential scans, and scans of an index without a condition.
fn whole(plan: &Value, found: &mut Vec<String>) {
    let text = |name: &str| plan[name].as_str().unwrap_or_default();
    let node = text("Node Type");
    let is_unconditional = node.starts_with("Index") && plan.get("Index Cond").is_none()
        || node == "Bitmap Index Scan" && plan.get("Index Cond").is_none();
    if node == "Seq Scan" || is_unconditional {
        found.push(format!(
            "{node} of {}{}",
            text("Relation Name"),
            text("Index Name")
        ));
    }
    for part in plan["Plans"].as_array().into_iter().flatten() {
        whole(part, found);
    }
}

/// The number of the last parameter.
fn parameters(sql: &str) -> usize {
    sql.split('$')
        .skip(1)
        .filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .max()
        .unwrap_or_default()
}

/// The plan that serves all values alike, on a connection that reads a whole table only where no index serves, however small the
/// table is.
async fn plan(connection: &mut engine::PgConnection, sql: &str) -> Value {
    let nulls = vec!["NULL"; parameters(sql)].join(", ");
    let run = |text: String| sqlx::raw_sql(sqlx::AssertSqlSafe(text));
    run(format!("PREPARE planned AS {sql}"))
        .execute(&mut *connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let values = if nulls.is_empty() {
        String::new()
    } else {
        format!("({nulls})")
    };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE planned{values}");
    let explained: Value = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    run("DEALLOCATE planned".into())
        .execute(connection)
        .await
        .expect("a planned statement");
    explained[0]["Plan"].clone()
}

#[tokio::test]
async fn no_statement_of_the_engine_reads_a_whole_table() {
    let world = World::empty().await;
    let mut connection = world.pool.acquire().await.expect("a connection");
    sqlx::raw_sql(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan",
    )
    .execute(&mut *connection)
    .await
    .expect("settings");
    let statements = world.engine.registry.sql();
    let mut wrong = Vec::new();
    for (what, sql) in &statements {
        let mut found = Vec::new();
        let plan = plan(&mut connection, sql).await;
        whole(&plan, &mut found);
        if what.contains(Registry::RANGE) && plan.to_string().contains("Sort") {
            found.push("Sort".to_owned());
        }
        if !found.is_empty() {
            wrong.push(format!("{what}: {}", found.join(", ")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(statements.len() > 500, "{} statements", statements.len());
}

#[tokio::test]
async fn a_statement_that_no_index_serves_is_found_out() {
    let world = World::empty().await;
    let mut connection = world.pool.acquire().await.expect("a connection");
    sqlx::raw_sql("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        .execute(&mut *connection)
        .await
        .expect("settings");
    for sql in [
        "SELECT name FROM products WHERE description = $1",
        "SELECT p.name FROM products p ORDER BY p.id",
        "SELECT count(*) FROM tags",
    ] {
        let mut found = Vec::new();
        whole(&plan(&mut connection, sql).await, &mut found);
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
    }
}
