//! The context of a hook or an action: the open transaction and what surrounds the row.

use crate::{
    Engine, Error, Query, Result,
    kind::Kind,
    resource::{Contract, Revisions},
    workspace,
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

/// A change that the gateway's configuration, the audit trail and other replicas hear of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The service it belongs to.
    pub service: Uuid,
    /// Table of the changed row.
    pub table: &'static str,
    /// The changed row.
    pub id: Uuid,
}

/// An entry of the audit trail besides that of the request itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Such as `Microsoft.ApiManagement/service/apis/import/action`.
    pub action: String,
    /// Id of the resource.
    pub resource: String,
    /// What came of it, without secrets.
    pub after: Option<Value>,
}

/// The service that a request is about; for a kind of the installation the row directly under the provider that the path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAt {
    /// Row in `services` (or in the table of that kind); of a workspace, its row there.
    pub id: Uuid,
    /// The service itself, also within a workspace of it.
    pub root: Uuid,
    /// Name as stored.
    pub name: String,
    /// `/subscriptions/…/providers/Microsoft.ApiManagement/service/{name}`
    pub path: String,
}

/// The context of a hook or an action. Everything it does happens in the writing transaction.
pub struct Cx<'a> {
    /// Clock, randomness, sealed columns, settings.
    pub engine: &'a Engine,
    /// The transaction of the write, which begins with the first statement that a hook sends.
    pub conn: &'a mut crate::LazyTransaction,
    /// The request that caused the write; `None` inside jobs.
    pub query: &'a Query,
    /// Name of the caller, for mails and the audit trail.
    pub caller: &'a str,
    /// The moment of the request.
    pub now: DateTime<Utc>,
    /// The service.
    pub service: ServiceAt,
    /// Rows between the service and the parent, outermost first, the parent last.
    pub parents: Vec<Uuid>,
    /// The row itself.
    pub id: Uuid,
    /// The row's name.
    pub name: String,
    /// Body of an action, as JSON; empty in hooks.
    pub body: serde_json::Map<String, Value>,
    /// Wire fields that the body of a write names.
    pub given: Vec<String>,
    /// What changed besides the row itself.
    pub changes: Vec<Change>,
    /// Entries of the audit trail besides that of the request itself.
    pub notes: Vec<Note>,
    /// Set by `prepare` of a create that made an existing row visible again (a restored service): the
    /// transaction is committed and the write begins anew as an update.
    pub restored: bool,
    /// The long-running operation that goes on after the reply, if the hook began one.
    pub accepted: Option<Uuid>,
}

impl Cx<'_> {
    /// Notes that another row changed, so that gateways and the audit trail hear of it.
    pub fn changed(&mut self, table: &'static str, id: Uuid) {
        let service = self.service.id;
        self.changes.push(Change { service, table, id });
    }

    /// Records something that happened on the way in the audit trail; `after` must hold no secret.
    pub fn record(
        &mut self,
        action: impl Into<String>,
        resource: impl Into<String>,
        after: Option<Value>,
    ) {
        self.notes.push(Note {
            action: action.into(),
            resource: resource.into(),
            after,
        });
    }

    /// The row of a sibling kind by name, directly under the service; of a kind with revisions, what they are revisions of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(
        &mut self,
        table: &'static str,
        name: &str,
    ) -> Result<Option<(Uuid, String)>> {
        let revisions = self
            .engine
            .registry
            .kind_of_table(table)
            .and_then(|kind| kind.facts().revisions);
        find_sibling(self.conn.reading()?, table, revisions, &self.service, name).await
    }

    /// The contract of a row.
    ///
    /// # Errors
    /// When the database fails, or the row is gone.
    pub async fn read<R: crate::Resource>(&mut self, id: Uuid) -> Result<R::Contract> {
        let kind = crate::kind::<R>();
        let sql = format!(
            "{} WHERE t.id = $1",
            self.engine.registry.statements(kind).list
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_one(self.conn.reading()?)
            .await?;
        R::Contract::read(&row, &self.engine.codec)
    }

    /// Encodes an entity as the envelope shows it, for mails and actions.
    pub fn properties<C: Contract>(&self, contract: &C) -> serde_json::Map<String, Value> {
        let mut out = serde_json::Map::new();
        contract.encode(
            &mut out,
            &crate::Place {
                service: &self.service.path,
            },
        );
        out
    }
}

/// Looks a row up by name under a service; of a kind with revisions, what they are revisions of.
pub(crate) async fn find_sibling(
    conn: &mut PgConnection,
    table: &'static str,
    revisions: Option<Revisions>,
    service: &ServiceAt,
    name: &str,
) -> Result<Option<(Uuid, String)>> {
    let service = if workspace::is_shared(table) {
        service.root
    } else {
        service.id
    };
    // `table` is one of the kinds' constants, never a text of a caller.
    let (table, name) = match revisions {
        Some(revisions) => (revisions.roots, revisions.plain(name)),
        None => (table, name),
    };
    let sql =
        format!("SELECT id, name FROM {table} WHERE parent_id = $1 AND lower(name) = lower($2)");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(service)
        .bind(name)
        .fetch_optional(conn)
        .await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}

/// Resolves the references of an entity; an unknown one is a violation of its field.
pub(crate) async fn resolve_references(
    cx: &mut Cx<'_>,
    kinds: &[&'static dyn Kind],
    entity: &mut dyn crate::Entity,
) -> Result<()> {
    let mut violations = crate::Violations::default();
    let service_path = cx.service.path.clone();
    for (wire, segment, reference) in entity.references() {
        if reference.id.is_some() {
            continue;
        }
        let Some(facts) = kinds
            .iter()
            .map(|k| (k.facts(), k.parents().len()))
            .find(|(facts, depth)| *depth == 1 && facts.segment == segment)
            .map(|(facts, _)| facts)
        else {
            return Err(Error::internal(format!(
                "{wire} refers to the unknown kind {segment}"
            )));
        };
        let base = workspace::base(&service_path, segment);
        let Some(name) = tail_name(&reference.name, segment, base) else {
            violations.add(
                wire,
                format!("must be a resource id that ends in /{segment}/{{name}}"),
            );
            continue;
        };
        let conn = cx.conn.reading()?;
        match find_sibling(conn, facts.table, facts.revisions, &cx.service, &name).await? {
            Some((id, name)) => {
                reference.id = Some(id);
                reference.name = name;
            }
            None => violations.add(
                wire,
                format!("names {segment}/{name}, which does not exist"),
            ),
        }
    }
    violations.into_result()
}

/// The name in `/users/1`, `users/1`, or a full id under this service.
fn tail_name(text: &str, segment: &str, service_path: &str) -> Option<String> {
    let rest = strip_service(text, service_path)?;
    let path = arm_id::ResourcePath::parse(&rest).ok()?;
    match (path.pairs.as_slice(), &path.tail) {
        ([(kind, name)], None) if kind.eq_ignore_ascii_case(segment) => Some(name.clone()),
        _ => None,
    }
}

/// The part of an id below the service, with a leading slash; `None` for an id of another service.
#[must_use]
pub fn strip_service(text: &str, service_path: &str) -> Option<String> {
    let text = text.trim_end_matches('/');
    let below = |path: &str| {
        let head = text.get(..path.len())?;
        let rest = &text[path.len()..];
        let is_below = rest.is_empty() || rest.starts_with('/') || path == service_path;
        (head.eq_ignore_ascii_case(path) && is_below).then_some(rest)
    };
    // In a workspace also below the service: `/workspaces/{name}/loggers/…`.
    let short = service_path
        .rfind("/workspaces/")
        .and_then(|at| below(&service_path[at..]));
    let rest = below(service_path).or(short).unwrap_or(text);
    if rest.to_ascii_lowercase().starts_with("/subscriptions/") && rest.matches('/').count() > 2 {
        return None;
    }
    if rest.is_empty() || rest.starts_with('/') {
        Some(rest.to_owned())
    } else {
        Some(format!("/{rest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ApiManagement/service/demo";

    #[test]
    fn references_are_read_in_every_form_that_clients_send() {
        for text in [
            "/users/1",
            "users/1",
            &format!("{SERVICE}/users/1"),
            &format!("{}/users/1/", SERVICE.to_uppercase()),
        ] {
            assert_eq!(
                tail_name(text, "users", SERVICE).as_deref(),
                Some("1"),
                "{text}"
            );
        }
        for text in [
            "/products/1",
            "1",
            "",
            &format!("{}x/users/1", SERVICE),
            "/users/1/groups/2",
        ] {
            assert_eq!(tail_name(text, "users", SERVICE), None, "{text}");
        }
    }

    #[test]
    fn what_is_in_a_workspace_is_named_below_the_service_too() {
        let workspace = format!("{SERVICE}/workspaces/team");
        for text in [
            "/loggers/one",
            "/workspaces/team/loggers/one",
            "/Workspaces/Team/loggers/one",
            &format!("{workspace}/loggers/one"),
        ] {
            assert_eq!(
                tail_name(text, "loggers", &workspace).as_deref(),
                Some("one"),
                "{text}"
            );
        }
        for text in [
            "/workspaces/teams/loggers/one",
            "/workspaces/other/loggers/one",
        ] {
            assert_eq!(tail_name(text, "loggers", &workspace), None, "{text}");
        }
        assert_eq!(
            tail_name("/workspaces/team/loggers/one", "loggers", SERVICE),
            None
        );
    }

    #[test]
    fn a_subscription_named_in_short_form_is_not_taken_for_a_full_id() {
        assert_eq!(
            strip_service("/subscriptions/sid", SERVICE).as_deref(),
            Some("/subscriptions/sid")
        );
    }
}
