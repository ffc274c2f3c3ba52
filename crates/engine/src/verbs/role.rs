//! Roles of callers over services: worked out once, and known until anybody's role changes.
//!
//! Every statement that resolves a path brings the [stamp](STAMP) along, which moves in the transaction that grants or takes a role, or
//! disables or removes a principal. A role that was worked out at the same stamp is the role at the moment of the statement: nothing is
//! late. Working it out inside each statement took a fifth of a read's.

use super::At;
use crate::{Engine, Result, cx::ServiceAt, kind::Kind, page::Caller, resource::Access};
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// What says whether roles are still what they were.
pub(crate) const STAMP: &str = "(SELECT stamp FROM access_stamp WHERE singleton)";
/// How many roles are known at one time, and for how long at most: a database that was set back to an earlier state has earlier stamps.
const KNOWN: u64 = 10_000;
const LONGEST: Duration = Duration::from_secs(60);

/// A role of the caller over a service; the order is the order of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Portals only.
    Developer,
    /// Reads everything but secrets.
    Reader,
    /// Reads secrets and writes.
    Contributor,
    /// Also creates and deletes services and grants roles.
    Owner,
}

impl Role {
    fn from_rank(rank: Option<i32>) -> Option<Self> {
        match rank? {
            4 => Some(Self::Owner),
            3 => Some(Self::Contributor),
            2 => Some(Self::Reader),
            _ => Some(Self::Developer),
        }
    }

    /// Whether the role is enough.
    #[must_use]
    pub fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => self >= Self::Reader,
            Access::Write | Access::Secret => self >= Self::Contributor,
            Access::Own => self >= Self::Owner,
        }
    }
}

/// A principal's role over a service, or that it has none, at a stamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub stamp: i64,
    pub role: Option<Role>,
}

/// The roles that are known, by principal and service.
pub(crate) struct KnownRoles(moka::sync::Cache<(Uuid, Uuid), Known>);

impl Default for KnownRoles {
    fn default() -> Self {
        let cache = moka::sync::Cache::builder().max_capacity(KNOWN);
        Self(cache.time_to_live(LONGEST).build())
    }
}

impl KnownRoles {
    /// What was known last: a guess, unless the stamp is still the same.
    pub fn last(&self, principal: Uuid, service: &ServiceAt) -> Option<Known> {
        self.0.get(&(principal, service.id))
    }
}

/// The highest role of the principal `$1` over the services `$2` or the installation, as a number.
const RANK: &str = "SELECT max(CASE a.role WHEN 'owner' THEN 4 WHEN 'contributor' THEN 3 WHEN 'reader' THEN 2 ELSE 1 END) \
     FROM role_assignments a JOIN principals p ON p.id = a.principal_id AND p.disabled_at IS NULL \
     WHERE a.principal_id = $1 AND (a.scope_service_id IS NULL OR a.scope_service_id = ANY($2))";

impl Engine {
    /// Gives the place, which was found by a statement that saw this stamp, the caller's role.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn settle(
        &self,
        conn: &mut PgConnection,
        root: &dyn Kind,
        caller: &Caller,
        at: &mut At,
        stamp: i64,
    ) -> Result<()> {
        let service = &at.service;
        let id = match caller {
            Caller::Developer { service, .. } | Caller::Integration { service } => {
                at.role = (*service == at.service.root).then_some(Role::Contributor);
                return Ok(());
            }
            Caller::Principal { id, .. } => *id,
        };
        if let Some(known) = self.known_roles.last(id, service)
            && known.stamp == stamp
        {
            at.role = known.role;
            return Ok(());
        }
        // Where roles changed since that statement, this is what they are now.
        let services = if root.facts().of_installation {
            Vec::new()
        } else {
            vec![service.id, service.root]
        };
        let sql = format!("SELECT {STAMP}, ({RANK})");
        let (stamp, rank): (i64, Option<i32>) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .bind(services)
            .fetch_one(conn)
            .await?;
        let role = Role::from_rank(rank);
        let known = Known { stamp, role };
        self.known_roles.0.insert((id, service.id), known);
        at.role = role;
        Ok(())
    }
}
