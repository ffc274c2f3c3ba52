//! The audit trail: every write and every reading of a secret, in the transaction that did it.
//!
//! Rows are chained later by [`chain`], because a chain that is extended inside every transaction would
//! make all writers of an installation wait for each other's commits. Until then (a second, usually) a
//! row can be changed by who can write to the database; from then on [`verify`] finds it. The end of the
//! chain is sealed under the installation's secret key, so that it cannot be cut off either.

use crate::{
    Codec, Engine, Error, Result,
    column::Place,
    cx::Cx,
    kind::Kind,
    page::{Caller, Request},
    resource::Entity,
};
use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::{
    Arguments as _, Connection as _, FromRow, PgConnection, PgPool, error::BoxDynError,
    postgres::PgArguments,
};
use uuid::Uuid;

/// Purpose under which the end of the chain is sealed.
const SEALED: &str = "engine.audit_head";
/// Rows that are chained in one transaction.
const BATCH: i64 = 2_000;

/// What an entry says besides the state before and after.
pub(crate) struct Entry<'a> {
    pub request: &'a Request,
    /// Such as `Microsoft.ApiManagement/service/products/write`.
    pub action: String,
    /// Id of the resource.
    pub resource: String,
    pub before: Option<&'a dyn Entity>,
    pub after: Option<&'a dyn Entity>,
}

/// The state as replies show it: without secrets.
fn shown(kind: &dyn Kind, entity: &dyn Entity, service: &str) -> Value {
    let mut out = Map::new();
    entity.encode(&mut out, &Place { service });
    debug_assert!(
        kind.facts().fields.len() >= out.len(),
        "only fields are shown"
    );
    Value::Object(out)
}

impl Entry<'_> {
    /// What the trail says of it.
    pub fn event(&self, cx: &Cx<'_>, kind: &dyn Kind) -> Event<'_> {
        let shown = |entity: Option<&dyn Entity>| {
            entity.map(|entity| shown(kind, entity, &cx.service.path))
        };
        Event {
            action: &self.action,
            resource: &self.resource,
            before: shown(self.before),
            after: shown(self.after),
            ..Event::of(self.request, cx.service.root)
        }
    }
}

/// Records an entry in the transaction.
pub(crate) async fn record(cx: &mut Cx<'_>, kind: &dyn Kind, entry: Entry<'_>) -> Result<()> {
    let event = entry.event(cx, kind);
    let (id, at) = (cx.engine.new_id(), cx.engine.now());
    event.record(cx.conn.open().await?, id, at).await
}

/// Records what hooks noted on the way.
pub(crate) async fn notes(cx: &mut Cx<'_>, request: &Request) -> Result<()> {
    for note in std::mem::take(&mut cx.notes) {
        let event = Event {
            action: &note.action,
            resource: &note.resource,
            after: note.after,
            ..Event::of(request, cx.service.root)
        };
        let (id, at) = (cx.engine.new_id(), cx.engine.now());
        event.record(cx.conn.open().await?, id, at).await?;
    }
    Ok(())
}

/// Records what the server did outside of a kind's verbs, such as purging a service.
///
/// # Errors
/// When the database fails.
pub async fn note(
    conn: &mut PgConnection,
    engine: &Engine,
    request: &Request,
    service: Uuid,
    action: &str,
    resource: &str,
    after: Option<Value>,
) -> Result<()> {
    let event = Event {
        action,
        resource,
        after,
        ..Event::of(request, service)
    };
    event.record(conn, engine.new_id(), engine.now()).await
}

/// Something that happened outside of the management API's resources: a sign-in, a granted role.
#[derive(Clone, Debug, Default)]
pub struct Event<'a> {
    /// The service that it is about; `None` for the installation.
    pub service: Option<Uuid>,
    /// Name of who did it.
    pub caller: &'a str,
    /// The principal, if it is one.
    pub principal: Option<Uuid>,
    /// Address that it came from.
    pub address: &'a str,
    /// Id of the request in the log.
    pub request_id: &'a str,
    /// Such as `Portico/signIn/action`.
    pub action: &'a str,
    /// What it was done to.
    pub resource: &'a str,
    /// State before, without secrets.
    pub before: Option<Value>,
    /// State afterwards, without secrets.
    pub after: Option<Value>,
}

impl<'a> Event<'a> {
    /// Who caused it, and where.
    fn of(request: &'a Request, service: Uuid) -> Self {
        let (principal, caller) = match &request.caller {
            Caller::Principal { id, name } => (Some(*id), name.as_str()),
            Caller::Developer { email, .. } => (None, email.as_str()),
            Caller::Integration { .. } => (None, "integration"),
        };
        Self {
            service: Some(service),
            caller,
            principal,
            address: &request.origin.address,
            request_id: &request.origin.request_id,
            ..Self::default()
        }
    }

    /// Adds the values that [`values`] names.
    pub(crate) fn bind(self, args: &mut PgArguments, id: Uuid, at: DateTime<Utc>) -> Result<()> {
        let mut add = || -> std::result::Result<(), BoxDynError> {
            args.add(id)?;
            args.add(self.service.unwrap_or(Uuid::nil()))?;
            args.add(id.to_string())?;
            args.add(at)?;
            args.add(self.caller)?;
            args.add(self.principal)?;
            args.add(self.address)?;
            args.add(self.request_id)?;
            args.add(self.action)?;
            args.add(self.resource)?;
            args.add(self.before.as_ref().map(sqlx::types::Json))?;
            args.add(self.after.as_ref().map(sqlx::types::Json))
        };
        add().map_err(Error::Internal)
    }

    /// Records the event in the open transaction, or at once on a plain connection.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(self, conn: &mut PgConnection, id: Uuid, at: DateTime<Utc>) -> Result<()> {
        let mut args = PgArguments::default();
        self.bind(&mut args, id, at)?;
        let sql = format!("{INSERT} SELECT {}", values(1));
        sqlx::query_with(sqlx::AssertSqlSafe(sql), args)
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// The beginning of a statement that writes entries.
pub(crate) const INSERT: &str = "INSERT INTO audit_entries (id, parent_id, name, rev, created_at, updated_at, recorded_at, \
     caller, principal_id, address, request_id, action, resource, before, after)";

/// How many parameters an entry has.
pub(crate) const VALUES: usize = 12;

/// The values of an entry from this parameter on, as [`Event::bind`] adds them.
pub(crate) fn values(from: usize) -> String {
    let at = |offset: usize| from + offset;
    format!(
        "${}::uuid, ${}::uuid, ${}::text, 1, ${now}::timestamptz, ${now}, ${now}, ${}::text, ${}::uuid, ${}::text, ${}::text, ${}::text, \
         ${}::text, ${}::jsonb, ${}::jsonb",
        at(0),
        at(1),
        at(2),
        at(4),
        at(5),
        at(6),
        at(7),
        at(8),
        at(9),
        at(10),
        at(11),
        now = at(3),
    )
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    parent_id: Uuid,
    recorded_at: DateTime<Utc>,
    caller: String,
    principal_id: Option<Uuid>,
    address: String,
    request_id: String,
    action: String,
    resource: String,
    before: Option<Value>,
    after: Option<Value>,
    sequence: Option<i64>,
    hash: Option<String>,
}

const COLUMNS: &str = "id, parent_id, recorded_at, caller, principal_id, address, request_id, action, resource, before, after, sequence, hash";

impl Row {
    /// Hash of the row and everything before it.
    fn chained(&self, sequence: i64, previous: &str) -> String {
        // An array, because its text has one form only.
        let text = json!([
            sequence,
            previous,
            self.id,
            self.parent_id,
            self.recorded_at.timestamp_micros(),
            self.caller,
            self.principal_id,
            self.address,
            self.request_id,
            self.action,
            self.resource,
            sorted(self.before.as_ref()),
            sorted(self.after.as_ref()),
        ])
        .to_string();
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn line(&self) -> Value {
        json!({
            "sequence": self.sequence, "id": self.id, "serviceId": self.parent_id, "at": self.recorded_at,
            "caller": self.caller, "principalId": self.principal_id, "address": self.address, "requestId": self.request_id,
            "action": self.action, "resource": self.resource, "before": self.before, "after": self.after, "hash": self.hash,
        })
    }
}

/// The value with the members of every object in one order; jsonb keeps none.
fn sorted(value: Option<&Value>) -> Value {
    match value {
        None => Value::Null,
        Some(Value::Object(map)) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            Value::Array(
                members
                    .into_iter()
                    .map(|(name, value)| json!([name, sorted(Some(value))]))
                    .collect(),
            )
        }
        Some(Value::Array(list)) => {
            Value::Array(list.iter().map(|value| sorted(Some(value))).collect())
        }
        Some(other) => other.clone(),
    }
}

/// The end of the chain: number of its entries and the last hash.
async fn head(conn: &mut PgConnection, codec: &Codec) -> Result<(i64, String)> {
    let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM audit_head FOR UPDATE")
        .fetch_optional(conn)
        .await?;
    let Some(sealed) = sealed else {
        return Ok((0, String::new()));
    };
    let plain = codec
        .secrets
        .open(SEALED, &sealed)
        .map_err(Error::internal)?;
    serde_json::from_slice(&plain).map_err(Error::internal)
}

/// Numbers and chains the entries whose transactions are over, oldest first; returns how many.
/// Any process may call it; one at a time works.
///
/// # Errors
/// When the database fails, or the stored end of the chain was sealed under another key.
pub async fn chain(pool: &PgPool, codec: &Codec) -> Result<i64> {
    let mut all = 0;
    loop {
        let chained = chain_some(pool, codec).await?;
        all += chained;
        if chained < BATCH {
            return Ok(all);
        }
    }
}

/// Chains [`BATCH`] entries at most.
async fn chain_some(pool: &PgPool, codec: &Codec) -> Result<i64> {
    let mut tx = pool.begin().await?;
    let mine: bool = sqlx::query_scalar(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('portico audit chain', 0))",
    )
    .fetch_one(&mut *tx)
    .await?;
    if !mine {
        return Ok(0);
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_entries WHERE sequence IS NULL AND xid < pg_snapshot_xmin(pg_current_snapshot()) \
         ORDER BY xid, id LIMIT $1"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let (before, mut hash) = head(&mut tx, codec).await?;
    let mut sequence = before;
    let (mut ids, mut sequences, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        sequence += 1;
        hash = row.chained(sequence, &hash);
        ids.push(row.id);
        sequences.push(sequence);
        hashes.push(hash.clone());
    }
    sqlx::query(
        "UPDATE audit_entries a SET sequence = c.sequence, hash = c.hash \
         FROM unnest($1::uuid[], $2::int8[], $3::text[]) AS c (id, sequence, hash) WHERE a.id = c.id",
    )
    .bind(ids)
    .bind(sequences)
    .bind(hashes)
    .execute(&mut *tx)
    .await?;
    let sealed = codec
        .secrets
        .seal(SEALED, json!([sequence, hash]).to_string().as_bytes())
        .map_err(Error::internal)?;
    sqlx::query(
        "INSERT INTO audit_head (singleton, sealed) VALUES (true, $1) ON CONFLICT (singleton) DO UPDATE SET sealed = $1",
    )
    .bind(sealed)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(sequence - before)
}

/// What is wrong with the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// An entry of this number is gone.
    Missing(i64),
    /// The entry of this number, or one before it, is not what was chained.
    Changed(i64),
    /// The end of the chain is not the one that was sealed.
    Cut {
        /// Entries by the sealed end.
        sealed: i64,
        /// Entries that are there.
        found: i64,
    },
}

/// A checked trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Chained entries.
    pub entries: i64,
    /// Entries that wait for the chain.
    pub waiting: i64,
    /// Hash of the last one: written down elsewhere it proves that nothing before it changed.
    pub head: String,
}

/// Recomputes the whole chain.
///
/// # Errors
/// When the database fails or the sealed end cannot be opened.
pub async fn verify(
    pool: &PgPool,
    codec: &Codec,
) -> Result<std::result::Result<Verified, Tampering>> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    let (sealed, sealed_hash) = head(&mut tx, codec).await?;
    let (mut sequence, mut hash) = (0, String::new());
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_entries WHERE sequence > $1 ORDER BY sequence LIMIT $2"
    );
    loop {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(sequence)
            .bind(BATCH)
            .fetch_all(&mut *tx)
            .await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            sequence += 1;
            if row.sequence != Some(sequence) {
                return Ok(Err(Tampering::Missing(sequence)));
            }
            hash = row.chained(sequence, &hash);
            if row.hash.as_deref() != Some(hash.as_str()) {
                return Ok(Err(Tampering::Changed(sequence)));
            }
        }
    }
    if (sealed, &sealed_hash) != (sequence, &hash) {
        return Ok(Err(Tampering::Cut {
            sealed,
            found: sequence,
        }));
    }
    let waiting = sqlx::query_scalar("SELECT count(*) FROM audit_entries WHERE sequence IS NULL")
        .fetch_one(&mut *tx)
        .await?;
    Ok(Ok(Verified {
        entries: sequence,
        waiting,
        head: hash,
    }))
}

/// The chained entries as JSON, one by one in their order, of one service or of all.
///
/// # Errors
/// When the database fails, or what `each` answers.
pub async fn export(
    pool: &PgPool,
    service: Option<Uuid>,
    mut each: impl FnMut(Value) -> Result<()>,
) -> Result<()> {
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_entries WHERE sequence > $1 AND ($3::uuid IS NULL OR parent_id = $3) ORDER BY sequence LIMIT $2"
    );
    let mut after = 0;
    loop {
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql.clone()))
            .bind(after)
            .bind(BATCH)
            .bind(service)
            .fetch_all(pool)
            .await?;
        let Some(last) = rows.last().and_then(|row| row.sequence) else {
            return Ok(());
        };
        after = last;
        for row in &rows {
            each(row.line())?;
        }
    }
}
