//! Rows that Portico itself creates: the content of a new service, imported documents, tests.

use crate::{
    Engine, Error, Result,
    resource::{Contract as _, Resource, kind},
};
use chrono::{DateTime, Utc};
use sqlx::{Arguments as _, PgConnection, postgres::PgArguments};
use uuid::Uuid;

impl Engine {
    /// Inserts a row below a parent unless the name is taken; returns the row of that name and whether it is new.
    ///
    /// No hook runs and no change is noted: the caller knows what it creates.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn seed<R: Resource>(
        &self,
        conn: &mut PgConnection,
        now: DateTime<Utc>,
        parent: Uuid,
        name: &str,
        contract: &R::Contract,
    ) -> Result<(Uuid, bool)> {
        let id = self.new_id();
        self.seed_as::<R>(conn, now, id, parent, name, contract)
            .await
    }

    /// As [`seed`](Self::seed), with the id of a new row.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn seed_as<R: Resource>(
        &self,
        conn: &mut PgConnection,
        now: DateTime<Utc>,
        id: Uuid,
        parent: Uuid,
        name: &str,
        contract: &R::Contract,
    ) -> Result<(Uuid, bool)> {
        let statements = self.registry.statements(kind::<R>());
        let mut args = PgArguments::default();
        args.add(id).map_err(Error::Internal)?;
        args.add(parent).map_err(Error::Internal)?;
        args.add(name.to_owned()).map_err(Error::Internal)?;
        args.add(now).map_err(Error::Internal)?;
        contract.bind(&mut args, &self.codec)?;
        let new: Option<Uuid> =
            sqlx::query_scalar_with(sqlx::AssertSqlSafe(statements.insert.clone()), args)
                .fetch_optional(&mut *conn)
                .await?;
        if let Some(id) = new {
            return Ok((id, true));
        }
        let sql = format!(
            "SELECT id FROM {} WHERE parent_id = $1 AND lower(name) = lower($2)",
            R::TABLE
        );
        let id = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(parent)
            .bind(name)
            .fetch_one(conn)
            .await?;
        Ok((id, false))
    }
}
