//! The six verbs, once, for every kind; not generic.

pub mod action;
pub mod delete;
pub mod get;
pub mod list;
pub mod patch;
pub mod put;
mod role;
mod seed;

pub use role::Role;
pub(crate) use role::{KnownRoles, STAMP};

use crate::{
    Engine, Error, Query, Result, Violations,
    column::Place,
    cx::{Change, Cx, ServiceAt, resolve_references},
    kind::{Kind, root},
    page::{Caller, Reply, Request},
    resource::{Access, Entity, FieldAccess},
    workspace,
};
use arm_id::Root;
use serde_json::{Map, Value, json};
use sqlx::{
    Arguments as _, PgConnection, Row as _,
    postgres::{PgArguments, PgRow},
};
use std::sync::Arc;
use uuid::Uuid;

/// Where paths led to a moment ago, without anybody's role: a guess that whoever makes it has to prove.
pub(crate) struct KnownParents(moka::sync::Cache<String, Arc<At>>);

/// How many of them are kept at one time.
const KNOWN_PARENTS: u64 = 1_000;

impl Default for KnownParents {
    fn default() -> Self {
        Self(moka::sync::Cache::new(KNOWN_PARENTS))
    }
}

impl KnownParents {
    /// Where the target's rows below these names stand: all names of a list's, of an item's those [above](Target::above) its own.
    pub fn find(&self, target: &Target, names: &[String]) -> Option<At> {
        self.0.get(&target.key(names)).map(|at| At::clone(&at))
    }

    /// Notes where they stand.
    pub fn keep(&self, target: &Target, names: &[String], at: &At) {
        let at = At {
            role: None,
            ..at.clone()
        };
        self.0.insert(target.key(names), Arc::new(at));
    }
}

/// Where a request stands: the service, the rows on the way, the caller's role.
#[derive(Clone, Debug)]
pub struct At {
    /// The service.
    pub service: ServiceAt,
    /// Rows below the service down to the parent, `(id, name as stored)`.
    pub parents: Vec<(Uuid, String)>,
    /// Role of the caller; `None` means that the service must look absent.
    pub role: Option<Role>,
}

/// A row of a kind.
pub struct Row {
    /// Where it stands.
    pub at: At,
    /// Its id.
    pub id: Uuid,
    /// What it is a revision of, or its own id.
    pub root: Uuid,
    /// Its name as stored.
    pub name: String,
    /// Its revision.
    pub rev: i64,
    /// Its contract.
    pub entity: Box<dyn Entity>,
}

/// What a write found.
pub(crate) enum Found {
    /// The row.
    Row(Row),
    /// Its parent only.
    Parent(At),
    /// No service of that name.
    Nothing,
}

/// A kind addressed by a request: the kind and the names on the path, the item's own name last (absent for lists).
#[derive(Clone)]
pub struct Target {
    /// The kind.
    pub kind: &'static dyn Kind,
    /// Subscription and resource group of the path.
    pub root: (String, String),
    /// Names from the service down.
    pub names: Vec<String>,
}

impl Target {
    /// Reads the names out of a path whose types were matched before.
    ///
    /// # Errors
    /// `UnknownType` for a path without a resource group.
    pub fn new(kind: &'static dyn Kind, request: &Request, names: Vec<String>) -> Result<Self> {
        match &request.path.root {
            Root::Group {
                subscription,
                group,
            } => Ok(Self {
                kind,
                root: (subscription.clone(), group.clone()),
                names,
            }),
            _ => Err(Error::UnknownType {
                path: request.path.to_string(),
            }),
        }
    }

    /// Tells the kind's rows at these names from others.
    fn key(&self, names: &[String]) -> String {
        let (subscription, group) = &self.root;
        let mut key = format!("{}\n{subscription}\n{group}", self.kind.facts().table);
        for name in names {
            key.push('\n');
            key.push_str(name);
        }
        key
    }

    /// The names above the item's own.
    fn above(&self) -> &[String] {
        self.names.split_last().map_or(&[], |(_, above)| above)
    }

    fn service_name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    fn service_not_found(&self) -> Error {
        let name = self.service_name();
        Error::ServiceNotFound {
            segment: root(self.kind).facts().segment,
            name: name.split('/').next().unwrap_or(name).to_owned(),
            group: self.root.1.clone(),
        }
    }
}

fn path_arguments(target: &Target, names: &[String]) -> Result<PgArguments> {
    let mut args = PgArguments::default();
    add_path(&mut args, target, names)?;
    Ok(args)
}

/// Adds the parameters of a path.
fn add_path(args: &mut PgArguments, target: &Target, names: &[String]) -> Result<()> {
    let mut add = |value: &str| args.add(value.to_owned()).map_err(Error::Internal);
    add(&target.root.0)?;
    add(&target.root.1)?;
    add(target.service_name())?;
    for name in names.iter().skip(1) {
        args.add(name.clone()).map_err(Error::Internal)?;
    }
    Ok(())
}

/// Where a row stands, and the stamp at which the caller's role is to be [settled](Engine::settle).
fn read_at(row: &PgRow, kind: &'static dyn Kind, parents: usize) -> Result<(At, i64)> {
    let id: Uuid = row.try_get("service_id")?;
    let name: String = row.try_get("service_name")?;
    let subscription: String = row.try_get("at_subscription")?;
    let group: String = row.try_get("at_group")?;
    let group = Root::Group {
        subscription,
        group,
    };
    let path = root_path(root(kind), &group, &name);
    let service_root: Uuid = row.try_get("service_root")?;
    let parents = (1..=parents)
        .map(|at| {
            let id: Uuid = row.try_get(format!("p{at}_id").as_str())?;
            let name: String = row.try_get(format!("p{at}_name").as_str())?;
            Ok((id, name))
        })
        .collect::<Result<Vec<_>>>()?;
    let at = At {
        service: ServiceAt {
            id,
            root: service_root,
            name,
            path,
        },
        parents,
        role: None,
    };
    Ok((at, row.try_get("stamp")?))
}

impl Engine {
    /// Loads the addressed row; `None` where it, or something on the way, is missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        &self,
        conn: &mut PgConnection,
        target: &Target,
        caller: &Caller,
        locked: bool,
    ) -> Result<Option<Row>> {
        let statements = self.registry.statements(target.kind);
        let paths = statements.paths(&target.names);
        let sql = if locked {
            self.lock_root(conn, target).await?;
            &paths.select_locked
        } else {
            &paths.select
        };
        let args = path_arguments(target, &target.names)?;
        let row = sqlx::query_with(sqlx::AssertSqlSafe(sql.clone()), args)
            .fetch_optional(&mut *conn)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let depth = target.kind.parents().len();
        let mut at = self.at(conn, &row, target.kind, depth, caller).await?;
        // The statement names the item itself like its parents; the item is no parent.
        at.parents.truncate(depth.saturating_sub(1));
        self.read_row(target.kind, &row, at).map(Some)
    }

    /// Where a row stands, with the caller's role there.
    async fn at(
        &self,
        conn: &mut PgConnection,
        row: &PgRow,
        kind: &'static dyn Kind,
        parents: usize,
        caller: &Caller,
    ) -> Result<At> {
        let (mut at, stamp) = read_at(row, kind, parents)?;
        self.settle(conn, root(kind), caller, &mut at, stamp)
            .await?;
        Ok(at)
    }

    fn read_row(&self, kind: &'static dyn Kind, row: &PgRow, at: At) -> Result<Row> {
        let id: Uuid = row.try_get("id")?;
        let root = match kind.facts().revisions {
            Some(revisions) => row.try_get(revisions.root)?,
            None => id,
        };
        Ok(Row {
            id,
            root,
            name: row.try_get("name")?,
            rev: row.try_get("rev")?,
            entity: kind.read(row, &self.codec)?,
            at,
        })
    }

    /// Looks for the addressed row as a write needs it: in one statement and without a lock where the write's last statement can
    /// see whether the row is still the same, else locked, in the transaction.
    ///
    /// # Errors
    /// `ServiceNotFound` or `NotFound` for what is missing on the way; also when the caller has no role there.
    pub(crate) async fn look(
        &self,
        tx: &mut crate::LazyTransaction,
        target: &Target,
        caller: &Caller,
    ) -> Result<Found> {
        let chain = target.kind.parents();
        let statements = self.registry.statements(target.kind);
        if tx.is_open() || chain.is_empty() || statements.lock_root.is_some() {
            let conn = tx.open().await?;
            if let Some(row) = self.load(conn, target, caller, true).await? {
                return Ok(Found::Row(row));
            }
            if chain.is_empty() {
                return Ok(Found::Nothing);
            }
            let at = self.locate(conn, target, caller).await?;
            return Ok(Found::Parent(at));
        }
        let conn = tx.reading()?;
        let sql = statements.paths(&target.names).find.clone();
        let args = path_arguments(target, &target.names)?;
        let found = sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
            .fetch_optional(&mut *conn)
            .await?;
        let Some(row) = found else {
            let at = self.locate(conn, target, caller).await?;
            return Ok(Found::Parent(at));
        };
        let at = self
            .at(conn, &row, target.kind, chain.len() - 1, caller)
            .await?;
        if at.role.is_none() {
            return Err(target.service_not_found());
        }
        match row.try_get::<Option<Uuid>, _>("id")? {
            None => Ok(Found::Parent(at)),
            Some(id) => {
                let row = self.read_row(target.kind, &row, at)?;
                tx.lock_first(target.kind.facts().table, id, row.rev);
                Ok(Found::Row(row))
            }
        }
    }

    /// Makes writers of one resource's revisions wait for each other, before any of them locks a revision: what concerns
    /// several revisions at once (another one becomes current, all are deleted) would else lock them in any order.
    async fn lock_root(&self, conn: &mut PgConnection, target: &Target) -> Result<()> {
        let statements = self.registry.statements(target.kind);
        let (Some(sql), Some(revisions)) = (&statements.lock_root, target.kind.facts().revisions)
        else {
            return Ok(());
        };
        let name = target.names.last().map_or("", String::as_str);
        sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
            .bind(&target.root.0)
            .bind(&target.root.1)
            .bind(target.service_name())
            .bind(revisions.plain(name))
            .execute(conn)
            .await?;
        Ok(())
    }

    /// Finds the parent of the addressed row or list, or says what is missing on the way.
    ///
    /// # Errors
    /// `ServiceNotFound` or `NotFound` for the first missing step; also when the caller has no role there.
    pub async fn locate(
        &self,
        conn: &mut PgConnection,
        target: &Target,
        caller: &Caller,
    ) -> Result<At> {
        let chain = target.kind.parents();
        let mut known = None;
        // Usually one statement; only a miss walks down to find out what is missing.
        for depth in (1..=chain.len()).rev() {
            let statements = match chain.get(depth) {
                Some(kind) => self.registry.statements(*kind),
                None => self.registry.statements(target.kind),
            };
            let names = &target.names[..depth.min(target.names.len())];
            let args = path_arguments(target, names)?;
            let sql = statements.paths(names).ancestors.clone();
            let row = sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
                .fetch_optional(&mut *conn)
                .await?;
            if let Some(row) = row {
                let at = self.at(conn, &row, target.kind, depth - 1, caller).await?;
                known = Some((depth, at));
                break;
            }
        }
        let Some((depth, at)) = known else {
            return Err(self.no_workspace(conn, target, caller).await?);
        };
        if at.role.is_none() {
            return Err(target.service_not_found());
        }
        match chain.get(depth) {
            None => Ok(at),
            Some(missing) => Err(Error::not_found(missing.facts().noun)),
        }
    }

    /// The error where neither the service nor the workspace of a path is known: the service shows itself only to who has a role
    /// over it.
    async fn no_workspace(
        &self,
        conn: &mut PgConnection,
        target: &Target,
        caller: &Caller,
    ) -> Result<Error> {
        let services = self.registry.kind_of_table("services");
        let (Some(kind), Some((service, _))) = (services, target.service_name().split_once('/'))
        else {
            return Ok(target.service_not_found());
        };
        let outer = Target {
            kind,
            root: target.root.clone(),
            names: vec![service.to_owned()],
        };
        let row = self.load(conn, &outer, caller, false).await?;
        Ok(match row.and_then(|row| row.at.role) {
            Some(_) => Error::not_found("Workspace"),
            None => target.service_not_found(),
        })
    }

    /// The error for an addressed row that is not there.
    pub(crate) async fn missing(
        &self,
        conn: &mut PgConnection,
        target: &Target,
        caller: &Caller,
        access: Access,
        action: &str,
    ) -> Error {
        if target.kind.is_root() {
            return target.service_not_found();
        }
        match self.locate(conn, target, caller).await {
            Ok(at) => match authorise(&at, target, access, action) {
                Ok(()) => Error::not_found(target.kind.facts().noun),
                Err(e) => e,
            },
            Err(e) => e,
        }
    }
}

impl Engine {
    /// The service, the workspace, or another row directly under the provider, of a request whose path goes on to something that is
    /// no kind, once the caller may do `action` there.
    ///
    /// # Errors
    /// `UnknownType` where no kind is meant, `ServiceNotFound` without any role, `Forbidden` with too small a one.
    pub async fn enter(
        &self,
        conn: &mut PgConnection,
        request: &Request,
        access: Access,
        action: &str,
    ) -> Result<At> {
        let kind = self
            .registry
            .root(&request.path)
            .ok_or_else(|| Error::UnknownType {
                path: request.path.to_string(),
            })?;
        let entered = workspace::entered(&request.path);
        let names = entered
            .as_ref()
            .unwrap_or(&request.path)
            .pairs
            .first()
            .map(|(_, name)| name.clone())
            .into_iter()
            .collect();
        let target = Target::new(kind, request, names)?;
        match self.load(conn, &target, &request.caller, false).await? {
            Some(row) => {
                authorise(&row.at, &target, access, action)?;
                Ok(row.at)
            }
            None => Err(target.service_not_found()),
        }
    }
}

/// Whether the caller may do this here.
///
/// # Errors
/// `ServiceNotFound` without any role (existence is secret), `Forbidden` with too small a one.
pub fn authorise(at: &At, target: &Target, access: Access, action: &str) -> Result<()> {
    match at.role {
        None => Err(target.service_not_found()),
        Some(role) if role.allows(access) => Ok(()),
        Some(_) => Err(Error::Forbidden(format!(
            "{}/{action}",
            type_name(target.kind)
        ))),
    }
}

/// `Microsoft.ApiManagement/service/apis/operations`
#[must_use]
pub fn type_name(kind: &dyn Kind) -> String {
    let mut out = arm_id::PROVIDER.to_owned();
    for parent in kind.parents() {
        out.push('/');
        out.push_str(parent.facts().segment);
    }
    out.push('/');
    out.push_str(kind.facts().segment);
    out
}

/// The id of a row directly under the provider, or of a workspace's row among the services.
pub(crate) fn root_path(kind: &dyn Kind, group: &Root, name: &str) -> String {
    if kind.facts().of_installation {
        format!("{group}/{}/{name}", kind.facts().segment)
    } else {
        workspace::service_path(group, name)
    }
}

/// The id of the parent of rows of this kind at this place.
#[must_use]
pub fn parent_path(kind: &dyn Kind, at: &At) -> String {
    let mut out = at.service.path.clone();
    for (parent, (_, name)) in kind.parents().iter().skip(1).zip(&at.parents) {
        out.push('/');
        out.push_str(parent.facts().segment);
        out.push('/');
        out.push_str(name);
    }
    out
}

/// The id of an item.
#[must_use]
pub fn item_path(kind: &dyn Kind, at: &At, name: &str) -> String {
    if kind.is_root() {
        return at.service.path.clone();
    }
    format!("{}/{}/{name}", parent_path(kind, at), kind.facts().segment)
}

/// An item as replies show it.
#[must_use]
pub fn envelope(kind: &dyn Kind, at: &At, name: &str, entity: &dyn Entity) -> Value {
    item(
        kind,
        &at.service.path,
        item_path(kind, at, name),
        at.service.type_name(type_name(kind)),
        name,
        entity,
    )
}

pub(crate) fn item(
    kind: &dyn Kind,
    service: &str,
    id: String,
    type_name: String,
    name: &str,
    entity: &dyn Entity,
) -> Value {
    let mut flat = Map::new();
    entity.encode(&mut flat, &Place { service });
    let mut out = Map::new();
    out.insert("id".into(), id.into());
    out.insert("type".into(), type_name.into());
    out.insert("name".into(), name.into());
    let mut properties = match kind.facts().open.and_then(|open| flat.remove(open)) {
        Some(Value::Object(all)) => all,
        _ => Map::new(),
    };
    for field in kind.facts().fields {
        if let Some(value) = flat.remove(field.wire) {
            if field.top_level {
                &mut out
            } else {
                &mut properties
            }
            .insert(field.wire.into(), value);
        }
    }
    out.insert("properties".into(), properties.into());
    Value::Object(out)
}

/// Envelope members that clients send back from what they read; they carry nothing to write.
const ENVELOPE: &[&str] = &[
    "id",
    "type",
    "name",
    "etag",
    "systemData",
    "properties",
    "location",
    "tags",
];

/// Flattens the body of a write into wire fields and records unknown members.
///
/// # Errors
/// When the body is not a JSON object.
pub fn flatten(
    kind: &dyn Kind,
    request: &Request,
    violations: &mut Violations,
) -> Result<Map<String, Value>> {
    let mut body = request.json()?;
    let mut flat = match body.remove("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            violations.add("properties", "must be an object");
            Map::new()
        }
    };
    let fields = kind.facts().fields;
    if let Some(open) = kind.facts().open {
        flat = Map::from_iter([(open.to_owned(), Value::Object(flat))]);
    }
    for name in flat.keys() {
        let known = fields
            .iter()
            .any(|f| f.wire == name && !f.top_level && f.access != FieldAccess::Internal);
        if !known {
            violations.add(
                format!("properties.{name}"),
                "is not a property of this resource",
            );
        }
    }
    for (name, value) in body {
        if fields.iter().any(|f| f.top_level && f.wire == name) {
            flat.insert(name, value);
        } else if !ENVELOPE.contains(&name.as_str()) {
            violations.add(name, "is not a member of this resource");
        }
    }
    Ok(flat)
}

/// Decodes and validates; every violation in one error.
///
/// # Errors
/// `Invalid` with all of them.
pub fn decode(
    kind: &dyn Kind,
    mut flat: Map<String, Value>,
    mut violations: Violations,
) -> Result<Box<dyn Entity>> {
    let entity = kind.decode(&mut flat, &mut violations);
    if let Some(entity) = &entity {
        kind.validate(entity.as_ref(), &mut violations)?;
    }
    violations.into_result()?;
    entity.ok_or_else(|| Error::internal("a body was refused without a violation"))
}

/// Replaces the row by a decoded contract: what PUT of an existing item and PATCH have in common.
#[expect(
    clippy::too_many_arguments,
    reason = "a loaded row and its new value, at the end of PUT and PATCH"
)]
pub(crate) async fn replace(
    engine: &Engine,
    request: &Request,
    kind: &'static dyn Kind,
    tx: &mut crate::LazyTransaction,
    row: Row,
    mut new: Box<dyn Entity>,
    given: Vec<String>,
    status: u16,
) -> Result<Reply> {
    let old = row.entity.as_ref();
    kind.carry(new.as_mut(), old, &|wire| given.iter().any(|g| g == wire))?;
    let mut write = Write::new(
        engine,
        tx,
        kind,
        &request.query,
        &request.caller,
        &row.at,
        row.id,
        &row.name,
    );
    write.cx.given = given;
    write.prepare(Some(old), new.as_mut()).await?;
    write.update(new.as_ref(), row.rev).await?;
    kind.written(&mut write.cx, Some(old), new.as_ref()).await?;
    let mut done = write
        .finish(request, &row.at, Some(old), new.as_ref())
        .await?;
    let revision = engine.after_write(&mut done).await;
    let reply = written_reply(
        request,
        kind,
        &row.at,
        &row.name,
        row.rev + 1,
        status,
        new.as_ref(),
        done.accepted,
    );
    Ok(reply.at_revision(revision))
}

/// A write that is durable.
pub(crate) struct Done {
    pub changes: Vec<Change>,
    pub accepted: Option<Uuid>,
    /// Whether one row was written and nothing besides, which is remembered already.
    pub is_single: bool,
}

/// One write: the transaction's context for the hooks, and the statements around them.
pub(crate) struct Write<'a> {
    pub engine: &'a Engine,
    pub kind: &'static dyn Kind,
    pub cx: Cx<'a>,
    /// What is created without a look, and the stamp at which the caller might: the statement has to prove both.
    pub unseen: Option<(&'a Target, i64)>,
}

impl<'a> Write<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "the surroundings of a row, gathered once"
    )]
    pub fn new(
        engine: &'a Engine,
        conn: &'a mut crate::LazyTransaction,
        kind: &'static dyn Kind,
        query: &'a Query,
        caller: &'a Caller,
        at: &At,
        id: Uuid,
        name: &str,
    ) -> Self {
        let cx = Cx {
            engine,
            conn,
            query,
            caller: match caller {
                Caller::Principal { name, .. } => name,
                Caller::Developer { email, .. } => email,
                Caller::Integration { .. } => "integration",
            },
            now: engine.now(),
            service: at.service.clone(),
            parents: at.parents.iter().map(|(id, _)| *id).collect(),
            id,
            name: name.to_owned(),
            body: Map::new(),
            given: Vec::new(),
            changes: Vec::new(),
            notes: Vec::new(),
            restored: false,
            accepted: None,
        };
        Self {
            engine,
            kind,
            cx,
            unseen: None,
        }
    }

    /// Resolves references and lets the kind fill and check.
    pub async fn prepare(&mut self, old: Option<&dyn Entity>, new: &mut dyn Entity) -> Result<()> {
        resolve_references(&mut self.cx, self.engine.registry.kinds(), new).await?;
        self.kind.prepare(&mut self.cx, old, new).await
    }

    /// Inserts, now or with the first statement after it; `false` when another request is known to have created the same name.
    pub async fn insert(&mut self, root: Option<(&str, &str)>, new: &dyn Entity) -> Result<bool> {
        let statements = self.engine.registry.statements(self.kind);
        let mut args = PgArguments::default();
        args.add(self.cx.id).map_err(Error::Internal)?;
        match root {
            Some((subscription, group)) => {
                args.add(subscription.to_owned()).map_err(Error::Internal)?;
                args.add(group.to_owned()).map_err(Error::Internal)?;
            }
            None => {
                let parent = self
                    .cx
                    .parents
                    .last()
                    .copied()
                    .unwrap_or(self.cx.service.id);
                args.add(parent).map_err(Error::Internal)?;
            }
        }
        args.add(self.cx.name.clone()).map_err(Error::Internal)?;
        args.add(self.cx.now).map_err(Error::Internal)?;
        new.bind(&mut args, &self.engine.codec)?;
        let sql = statements.insert.clone();
        if !self.cx.conn.is_open() {
            self.cx.conn.write_first(sql, args);
            return Ok(true);
        }
        let row = sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
            .fetch_optional(&mut *self.cx.conn)
            .await?;
        Ok(row.is_some())
    }

    /// Writes new values of the row that had this revision, now or with the first statement after it.
    pub async fn update(&mut self, new: &dyn Entity, seen: i64) -> Result<()> {
        let statements = self.engine.registry.statements(self.kind);
        let mut args = PgArguments::default();
        args.add(self.cx.id).map_err(Error::Internal)?;
        args.add(self.cx.now).map_err(Error::Internal)?;
        new.bind(&mut args, &self.engine.codec)?;
        if self.cx.conn.is_open() {
            // The row is locked.
            sqlx::query_with(sqlx::AssertSqlSafe(statements.update.clone()), args)
                .execute(&mut *self.cx.conn)
                .await?;
        } else {
            args.add(seen).map_err(Error::Internal)?;
            self.cx
                .conn
                .write_first(statements.update_seen.clone(), args);
        }
        Ok(())
    }

    /// Ends a write of the row: with its entry in the audit trail, with all changes in the outbox, and durable.
    pub async fn finish(
        mut self,
        request: &Request,
        at: &At,
        before: Option<&dyn Entity>,
        after: &dyn Entity,
    ) -> Result<Done> {
        let is_alone = self.cx.notes.is_empty() && self.cx.changes.is_empty();
        let Some(mut args) = is_alone.then(|| self.cx.conn.unwritten()).flatten() else {
            // Brings the row's own statement first, if it was not sent.
            self.cx.conn.open().await?;
            let tx = self.outbox(request, at, "write", before, Some(after));
            return tx.await?.commit().await;
        };
        self.cx.changed(self.kind.facts().table, self.cx.id);
        let entry = self.entry(request, at, "write", before, Some(after));
        entry.event(&self.cx, self.kind).bind(
            &mut args,
            self.engine.new_id(),
            self.engine.now(),
        )?;
        let statements = self.engine.registry.statements(self.kind);
        let sql = match (before, self.unseen) {
            (None, None) => &statements.create,
            (None, Some((target, stamp))) => {
                add_path(&mut args, target, target.above())?;
                args.add(stamp).map_err(Error::Internal)?;
                &statements.create_unseen
            }
            (Some(_), _) => &statements.replace,
        };
        let parent = self.cx.parents.last().copied();
        let writing = self.engine.counts.writing(
            self.kind.facts().table,
            parent.unwrap_or(self.cx.service.id),
        );
        let written = sqlx::query_with(sqlx::AssertSqlSafe(sql.clone()), args)
            .fetch_optional(self.cx.conn.reading()?)
            .await?;
        if written.is_none() {
            self.cx.conn.lose();
            return Err(Error::Conflict(
                "The resource was written meanwhile.".into(),
            ));
        }
        match before {
            None => writing.created(),
            Some(_) => writing.updated(),
        }
        let done = Ended { cx: self.cx }.commit().await?;
        Ok(Done {
            is_single: true,
            ..done
        })
    }

    /// Notes the row's own change, stores all changes in the outbox of the transaction, and records the write.
    pub async fn outbox(
        mut self,
        request: &Request,
        at: &At,
        action: &str,
        before: Option<&dyn Entity>,
        after: Option<&dyn Entity>,
    ) -> Result<Ended<'a>> {
        self.cx.changed(self.kind.facts().table, self.cx.id);
        self.audited(request, at, action, before, after).await?;
        self.noted().await
    }

    fn entry<'e>(
        &self,
        request: &'e Request,
        at: &At,
        action: &str,
        before: Option<&'e dyn Entity>,
        after: Option<&'e dyn Entity>,
    ) -> crate::audit::Entry<'e> {
        crate::audit::Entry {
            request,
            action: format!("{}/{action}", at.service.type_name(type_name(self.kind))),
            resource: item_path(self.kind, at, &self.cx.name),
            before,
            after,
        }
    }

    /// Records what was done in the audit trail.
    pub async fn audited(
        &mut self,
        request: &Request,
        at: &At,
        action: &str,
        before: Option<&dyn Entity>,
        after: Option<&dyn Entity>,
    ) -> Result<()> {
        let entry = self.entry(request, at, action, before, after);
        crate::audit::record(&mut self.cx, self.kind, entry).await?;
        crate::audit::notes(&mut self.cx, request).await
    }

    /// Stores the changes that hooks and actions noted in the outbox of the transaction.
    pub async fn noted(self) -> Result<Ended<'a>> {
        if !self.cx.changes.is_empty() {
            store_changes(self.cx.conn.open().await?, &self.cx.changes).await?;
        }
        Ok(Ended { cx: self.cx })
    }
}

/// A write that has only to be committed.
pub(crate) struct Ended<'a> {
    cx: Cx<'a>,
}

impl Ended<'_> {
    /// Makes it durable.
    pub async fn commit(self) -> Result<Done> {
        self.cx.conn.commit().await?;
        Ok(Done {
            changes: self.cx.changes,
            accepted: self.cx.accepted,
            is_single: false,
        })
    }
}

/// Stores changes in the outbox of the transaction; gateways and other replicas read it.
///
/// Call it last: the ids that the lines get are the configuration's revisions, and a revision waits for all lower ones, so
/// that the time between this and the commit is one for which gateways cannot say that they are up to date.
///
/// # Errors
/// When the database fails.
pub async fn store_changes(conn: &mut PgConnection, changes: &[Change]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let services: Vec<Uuid> = changes.iter().map(|c| c.service).collect();
    let tables: Vec<String> = changes.iter().map(|c| c.table.to_owned()).collect();
    let ids: Vec<Uuid> = changes.iter().map(|c| c.id).collect();
    sqlx::query(
        "INSERT INTO changes (service_id, entity, entity_id) \
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[])",
    )
    .bind(services)
    .bind(tables)
    .bind(ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// The reply to a write of an item, with the headers of a long-running operation if one began.
#[expect(
    clippy::too_many_arguments,
    reason = "what a reply is made of, at both ends of PUT and PATCH"
)]
pub(crate) fn written_reply(
    request: &Request,
    kind: &dyn Kind,
    at: &At,
    name: &str,
    rev: i64,
    status: u16,
    entity: &dyn Entity,
    accepted: Option<Uuid>,
) -> Reply {
    let mut body = envelope(kind, at, name, entity);
    decorate(kind, rev, &mut body);
    let reply = Reply {
        status,
        headers: Vec::new(),
        body: Some(body),
        text: None,
    }
    .with("ETag", crate::etag(rev));
    match accepted {
        None => reply,
        Some(operation) => accepted_headers(reply, request, &at.service.path, operation),
    }
}

/// Adds what only resources directly under the provider show at top level: the ETag without quotes.
pub(crate) fn decorate(kind: &dyn Kind, rev: i64, body: &mut Value) {
    if kind.is_root() {
        body["etag"] = json!(crate::etag(rev).trim_matches('"'));
    }
}

/// `Azure-AsyncOperation`, `Location` and `Retry-After` of a long-running operation (contract rules §5).
///
/// `Retry-After: 1` and not 0: the Python client ignores 0 and then waits 30 s.
pub(crate) fn accepted_headers(
    reply: Reply,
    request: &Request,
    service_path: &str,
    operation: Uuid,
) -> Reply {
    let url = |segment: &str| {
        format!(
            "{}{}/{segment}/{operation}?api-version={}",
            request.base_url,
            arm_id::to_url_path(service_path),
            request.api_version
        )
    };
    reply
        .with("Azure-AsyncOperation", url("operationStatuses"))
        .with("Location", url("operationresults"))
        .with("Retry-After", "1")
}
