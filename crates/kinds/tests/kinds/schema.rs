//! Columns and contracts agree: what the compiler cannot see.

use crate::world::World;
use engine::sqlx;

/// Views over other tables: they have neither constraints nor indexes of their own, and any column may be NULL.
async fn views(world: &World) -> Vec<String> {
    sqlx::query_scalar("SELECT viewname::text FROM pg_views WHERE schemaname = 'public'")
        .fetch_all(&world.pool)
        .await
        .expect("views")
}

type Column = (String, String, bool);

#[tokio::test]
async fn every_table_has_exactly_the_columns_of_its_contract() {
    let world = World::empty().await;
    let mut wanted = Vec::new();
    let mut found = Vec::new();
    let views = views(&world).await;
    for kind in world.engine.registry.kinds() {
        let facts = kind.facts();
        let is_view = views.iter().any(|view| view == facts.table);
        let mut columns: Vec<Column> = facts
            .fields
            .iter()
            .filter_map(|field| field.column)
            .map(|column| {
                (
                    column.name.to_owned(),
                    column.sql.to_owned(),
                    column.nullable,
                )
            })
            .collect();
        let head: &[(&str, &str)] = if kind.parents().is_empty() {
            &[("subscription_id", "text"), ("resource_group", "text")]
        } else {
            &[("parent_id", "uuid")]
        };
        let always = [
            ("id", "uuid"),
            ("name", "text"),
            ("rev", "int8"),
            ("created_at", "timestamptz"),
            ("updated_at", "timestamptz"),
        ];
        columns.extend(
            head.iter()
                .chain(&always)
                .map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned(), false)),
        );
        if kind.is_root() && !facts.of_installation {
            columns.push(("deleted_at".into(), "timestamptz".into(), true));
            // See `engine::workspace`.
            columns.push(("workspace_of".into(), "uuid".into(), true));
        }
        if facts.table == "audit_entries" {
            // Orders the chain; see `engine::audit`.
            columns.push(("xid".into(), "xid8".into(), false));
        }
        if let Some(revisions) = facts.revisions {
            // Computed from the name.
            columns.push((revisions.name.into(), "text".into(), false));
        }
        for column in columns.iter_mut().filter(|_| is_view) {
            column.2 = true;
        }
        columns.sort();
        wanted.push((facts.table, columns));
        let stored: Vec<Column> = sqlx::query_as(
            "SELECT column_name::text, udt_name::text, is_nullable = 'YES' FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = $1 ORDER BY column_name::text COLLATE \"C\"",
        )
        .bind(facts.table)
        .fetch_all(&world.pool)
        .await
        .expect("columns");
        found.push((facts.table, stored));
    }
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn every_row_goes_with_its_parent_and_has_a_name_of_its_own_there() {
    let world = World::empty().await;
    let views = views(&world).await;
    for kind in world.engine.registry.kinds() {
        let facts = kind.facts();
        if views.iter().any(|view| view == facts.table) {
            continue;
        }
        let indexes: Vec<String> = sqlx::query_scalar(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = $1",
        )
        .bind(facts.table)
        .fetch_all(&world.pool)
        .await
        .expect("indexes");
        let parents = kind.parents();
        let key = if parents.is_empty() {
            "(lower(name))"
        } else {
            "(parent_id, lower(name))"
        };
        assert!(
            indexes
                .iter()
                .any(|index| index.starts_with("CREATE UNIQUE") && index.ends_with(key)),
            "{}: {indexes:?}",
            facts.table
        );
        let Some(parent) = parents.last() else {
            continue;
        };
        if facts.table == "audit_entries" {
            // The trail outlives what it is about.
            continue;
        }
        let cascades: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] \
             WHERE c.conrelid = $1::regclass AND c.confrelid = $2::regclass AND a.attname = 'parent_id' AND c.confdeltype = 'c')",
        )
        .bind(facts.table)
        .bind(match parent.facts().revisions {
            Some(revisions) if facts.of_all_revisions => revisions.roots,
            _ => parent.facts().table,
        })
        .fetch_one(&world.pool)
        .await
        .expect("constraints");
        assert!(
            cascades,
            "{} does not go with {}",
            facts.table,
            parent.facts().table
        );
    }
}

/// A deletion looks for rows that refer to the deleted one; without an index it reads whole tables.
#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let world = World::empty().await;
    let without: Vec<String> = sqlx::query_scalar(
        "SELECT c.conname::text FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace \
         WHERE c.contype = 'f' AND n.nspname = 'public' AND NOT EXISTS ( \
           SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1]) ORDER BY 1",
    )
    .fetch_all(&world.pool)
    .await
    .expect("constraints");
    // One row for good: nothing is gained by an index.
    assert_eq!(without, ["bootstrap_secret_principal_id_fkey"]);
}
