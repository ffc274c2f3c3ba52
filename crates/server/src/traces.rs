//! Traces of single calls, for those who may see them, as the contract has it (contract rules §11).
//!
//! `POST …/gateways/{gatewayId}/listDebugCredentials` gives a token for one API at one gateway (`managed`: the built-in one) and at
//! most an hour. It is signed with the key that signs configuration, so that a gateway checks it without a database, apart or not.
//! A call with it in `Apim-Debug-Authorization` is traced and answered with `Apim-Trace-Id`, which `listTrace` takes.
//! `invalidateDebugCredentials` ends all tokens of the service so far; gateways learn of it as of any other configuration.
//!
//! The older way: `Ocp-Apim-Trace: true` with the key of a subscription that allows tracing is answered with
//! `Ocp-Apim-Trace-Location`, a link that is sealed, works without a sign-in, and ends with the trace. Gateways apart seal theirs
//! under the secret of their token.
//!
//! Traces wait in a short queue that drops, and counts, when it is full; they stay for [`KEPT`], the newest [`MOST`] of a service.

use crate::State;
use actix_web::{HttpResponse, web};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use chrono::{DateTime, TimeDelta, Utc};
use engine::{Access, Committed as _, Error, Method, Reply, Request, Result, Violations, json};
use gateway::{CallTrace, DebugAccess, DebugCredentials, StepTrace};
use secret_box::SecretBox;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use snapshot::entity::Service;
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};
use uuid::Uuid;

/// How long a trace can be read.
pub const KEPT: TimeDelta = TimeDelta::hours(1);
/// Longest that debug credentials are good for.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// Traces that are kept of a service.
const MOST: i64 = 1000;
/// Traces that may wait to be written.
pub const QUEUE: usize = 256;
/// Largest trace in bytes.
const LARGEST: usize = 1024 * 1024;
/// How long `listTrace` waits for a trace that is on its way.
const ARRIVAL: Duration = Duration::from_secs(2);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(50);
/// What stands before signed credentials: no signature of anything else passes for one of them.
const CREDENTIALS: &[u8] = b"portico gateway debug credentials\0";
/// Purpose of sealed links.
const LINK: &str = "trace link";

#[derive(Serialize, Deserialize)]
struct Credentials {
    service: Uuid,
    /// Name of the gateway's resource.
    gateway: String,
    api: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Link {
    trace: Uuid,
    expires_at: DateTime<Utc>,
}

struct Shared {
    pool: PgPool,
    secrets: Arc<SecretBox>,
    clock: engine::Clock,
    key: Ed25519KeyPair,
}

/// Checks debug credentials by the control plane's public key.
#[derive(Clone)]
pub struct DebugTokens {
    /// The control plane's public key.
    pub public_key: [u8; 32],
    /// The time.
    pub clock: engine::Clock,
}

impl DebugTokens {
    fn open(&self, token: &str) -> Option<Credentials> {
        let (content, signature) = token.split_once('.')?;
        let content = BASE64_URL_SAFE_NO_PAD.decode(content).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ED25519, &self.public_key)
            .verify(&[CREDENTIALS, &content].concat(), &signature)
            .ok()?;
        serde_json::from_slice(&content).ok()
    }
}

impl DebugCredentials for DebugTokens {
    fn check(&self, token: &str, service: &Service, api: &str) -> DebugAccess {
        let Some(known) = self.open(token) else {
            return DebugAccess::Invalid;
        };
        let is_here = match service.gateway.as_str() {
            "" => kinds::gateway::is_managed(&known.gateway),
            gateway => known.gateway.eq_ignore_ascii_case(gateway),
        };
        let is_invalidated = service
            .debug_invalidated_at
            .is_some_and(|until| known.issued_at <= until);
        if known.service != service.id || !is_here || is_invalidated {
            DebugAccess::Invalid
        } else if known.expires_at <= (self.clock)() {
            DebugAccess::Expired
        } else if !known.api.eq_ignore_ascii_case(root(api)) {
            DebugAccess::WrongApi
        } else {
            DebugAccess::Granted
        }
    }
}

/// A link to a trace, sealed: `{base_url}/traces/{prefix}{sealed}`. Whoever has it may read the trace.
///
/// # Errors
/// When the cipher fails.
pub fn link(
    base_url: &str,
    prefix: &str,
    secrets: &SecretBox,
    trace: Uuid,
    now: DateTime<Utc>,
) -> Result<String> {
    let link = Link {
        trace,
        expires_at: now + KEPT,
    };
    let plain = serde_json::to_vec(&link).map_err(Error::internal)?;
    let sealed = secrets.seal(LINK, &plain).map_err(Error::internal)?;
    let sealed = BASE64_URL_SAFE_NO_PAD.encode(sealed);
    Ok(format!(
        "{}/traces/{prefix}{sealed}",
        base_url.trim_end_matches('/')
    ))
}

/// Traces of this process's gateway, and of gateways apart that send them here.
pub struct Traces {
    shared: Arc<Shared>,
    /// Base of links.
    base_url: String,
    sender: mpsc::Sender<CallTrace>,
    writing: JoinHandle<()>,
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

/// Name of an API without its revision.
fn root(api: &str) -> &str {
    api.split(';').next().unwrap_or_default()
}

impl Shared {
    fn sign(&self, credentials: &Credentials) -> Result<String> {
        let content = serde_json::to_vec(credentials).map_err(Error::internal)?;
        let signature = self.key.sign(&[CREDENTIALS, &content].concat());
        Ok(format!(
            "{}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(&content),
            BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref())
        ))
    }
}

fn open_link(secrets: &SecretBox, text: &str) -> Option<Link> {
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let plain = secrets.open(LINK, &sealed).ok()?;
    serde_json::from_slice(&plain).ok()
}

impl Traces {
    /// Begins to keep traces; links begin with this URL.
    #[must_use]
    pub fn start(
        pool: PgPool,
        secrets: Arc<SecretBox>,
        clock: engine::Clock,
        key: Ed25519KeyPair,
        base_url: &str,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            pool,
            secrets,
            clock,
            key,
        });
        let (sender, inbox) = mpsc::channel(QUEUE);
        let writing = tokio::spawn(write(shared.clone(), inbox));
        Arc::new(Self {
            shared,
            base_url: base_url.trim_end_matches('/').to_owned(),
            sender,
            writing,
        })
    }

    /// Base of links.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Takes a trace, or drops it when too many wait; the answer is a link to it.
    pub fn take(&self, trace: CallTrace) -> Option<String> {
        let id = trace.request_id;
        if self.sender.try_send(trace).is_err() {
            dropped();
            return None;
        }
        let shared = &self.shared;
        link(&self.base_url, "", &shared.secrets, id, (shared.clock)()).ok()
    }

    /// Keeps a trace of a gateway apart.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep(&self, service: Uuid, id: Uuid, document: Value) -> Result<()> {
        Ok(store(&self.shared, service, id, document).await?)
    }
}

/// Counts a trace that nobody will read.
pub fn dropped() {
    metrics::counter!("portico_traces_dropped_total").increment(1);
}

async fn write(shared: Arc<Shared>, mut inbox: mpsc::Receiver<CallTrace>) {
    while let Some(trace) = inbox.recv().await {
        let stored = store(
            &shared,
            trace.service_id,
            trace.request_id,
            document(&trace),
        );
        if let Err(error) = stored.await {
            tracing::warn!(%error, "a trace is lost");
            dropped();
        }
    }
}

async fn store(
    shared: &Shared,
    service: Uuid,
    id: Uuid,
    document: Value,
) -> std::result::Result<(), sqlx::Error> {
    if document.to_string().len() > LARGEST {
        dropped();
        return Ok(());
    }
    let now = (shared.clock)();
    let mut tx = shared.pool.begin().await?;
    // A service that was purged meanwhile has no traces.
    sqlx::query(
        "INSERT INTO gateway_traces (id, service_id, created_at, expires_at, trace) \
         SELECT $1, s.id, $3, $4, $5 FROM services s WHERE s.id = $2 ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(service)
    .bind(now)
    .bind(now + KEPT)
    .bind(document)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM gateway_traces WHERE expires_at < $2 OR id IN \
         (SELECT id FROM gateway_traces WHERE service_id = $1 ORDER BY created_at DESC, id OFFSET $3)",
    )
    .bind(service)
    .bind(now)
    .bind(MOST)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// The trace as the contract's clients show it: entries by section, in the order in which policies ended.
#[must_use]
pub fn document(trace: &CallTrace) -> Value {
    let mut entries: Map<String, Value> = Map::new();
    for step in &trace.steps {
        let list = entries
            .entry(step.section)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(entry(step));
        }
    }
    json!({"traceId": trace.request_id, "traceEntries": entries})
}

fn entry(step: &StepTrace) -> Value {
    let (seconds, ms) = (step.took_ms / 1000, step.took_ms % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    json!({
        "source": step.policy,
        "elapsed": format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60),
        "data": step,
    })
}

/// `PT1H`, `PT30M`, `PT90S` and what they can be joined to.
fn duration(text: &str) -> Option<TimeDelta> {
    let mut seconds = 0_i64;
    let mut digits = String::new();
    for c in text.strip_prefix("PT")?.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            'H' => 3600,
            'M' => 60,
            'S' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(digits.parse::<i64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    (digits.is_empty() && seconds > 0).then(|| TimeDelta::try_seconds(seconds))?
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Credentials,
    Invalidation,
    Trace,
}

/// The reply to the three actions on a gateway's debug credentials and traces; `None` for other requests.
///
/// # Errors
/// Not found, not allowed, every violation of the body.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let ([(service, _), (gateways, name)], Some(tail)) =
        (request.path.pairs.as_slice(), request.path.tail.as_deref())
    else {
        return Ok(None);
    };
    let asked = match tail.to_ascii_lowercase().as_str() {
        "listdebugcredentials" => Asked::Credentials,
        "invalidatedebugcredentials" => Asked::Invalidation,
        "listtrace" => Asked::Trace,
        _ => return Ok(None),
    };
    if !service.eq_ignore_ascii_case("service") || !gateways.eq_ignore_ascii_case("gateways") {
        return Ok(None);
    }
    let name = name.clone();
    if request.method != Method::Post {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let (access, action) = match asked {
        Asked::Credentials => (Access::Secret, "gateways/listDebugCredentials/action"),
        Asked::Invalidation => (Access::Write, "gateways/invalidateDebugCredentials/action"),
        Asked::Trace => (Access::Secret, "gateways/listTrace/action"),
    };
    let mut conn = state.engine.pool.acquire().await?;
    let at = state
        .engine
        .enter(&mut conn, request, access, action)
        .await?;
    if !kinds::gateway::is_managed(&name) {
        let known: Option<Uuid> = sqlx::query_scalar(
            "SELECT id FROM gateways WHERE parent_id = $1 AND lower(name) = lower($2)",
        )
        .bind(at.service.id)
        .bind(&name)
        .fetch_optional(&mut *conn)
        .await?;
        if known.is_none() {
            return Err(Error::not_found("Gateway"));
        }
    }
    let traces = state
        .traces
        .as_ref()
        .ok_or_else(|| Error::Conflict("This process keeps no traces.".into()))?;
    let shared = &traces.shared;
    match asked {
        Asked::Invalidation => {
            let mut tx = state.engine.pool.begin().await?;
            sqlx::query(
                "INSERT INTO debug_invalidations (service_id, invalidated_at) VALUES ($1, $2) \
                 ON CONFLICT (service_id) DO UPDATE SET invalidated_at = greatest(debug_invalidations.invalidated_at, $2)",
            )
            .bind(at.service.id)
            .bind(state.engine.now())
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "INSERT INTO changes (service_id, entity, entity_id) VALUES ($1, 'services', $1)",
            )
            .bind(at.service.id)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            state.rollout.committed(Vec::new()).await;
            Ok(Some(Reply::empty(204)))
        }
        Asked::Trace => {
            let body = request.json()?;
            let id = body.get("traceId").and_then(Value::as_str);
            let id = id.ok_or_else(|| Error::invalid("traceId", "is required"))?;
            let missing = || Error::not_found("Trace");
            let id: Uuid = id.parse().map_err(|_| missing())?;
            let began = tokio::time::Instant::now();
            loop {
                let found = read(shared, &mut conn, id, Some(at.service.id)).await?;
                if let Some(trace) = found {
                    return Ok(Some(Reply::ok(trace)));
                }
                if began.elapsed() >= ARRIVAL {
                    return Err(missing());
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Asked::Credentials => {
            let body = request.json()?;
            let mut violations = Violations::default();
            let length = match body.get("credentialsExpireAfter") {
                None | Some(Value::Null) => LONGEST,
                Some(text) => match text.as_str().and_then(duration) {
                    Some(length) if length <= LONGEST => length,
                    _ => {
                        violations.add(
                            "credentialsExpireAfter",
                            "must be an ISO 8601 duration of at most PT1H",
                        );
                        LONGEST
                    }
                },
            };
            match body.get("purposes").and_then(Value::as_array) {
                Some(list) if !list.is_empty() && list.iter().all(|one| one == "tracing") => {}
                Some(_) => violations.add("purposes", "must be a list of 'tracing'"),
                None => violations.add("purposes", "is required"),
            }
            let api = body
                .get("apiId")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let prefix = format!("{}/apis/", at.service.path);
            let named = match api.to_lowercase().strip_prefix(&prefix.to_lowercase()) {
                Some(rest) => Some(root(rest).to_owned()),
                None => api.strip_prefix("/apis/").map(|rest| root(rest).to_owned()),
            };
            let known: Option<String> =
                match &named {
                    None => None,
                    Some(name) => sqlx::query_scalar(
                        "SELECT name FROM apis WHERE parent_id = $1 AND lower(name) = lower($2)",
                    )
                    .bind(at.service.id)
                    .bind(name)
                    .fetch_optional(&mut *conn)
                    .await?,
                };
            if api.is_empty() {
                violations.add("apiId", "is required");
            } else if known.is_none() {
                violations.add("apiId", "must be the resource id of an API of this service");
            }
            violations.into_result()?;
            let now = state.engine.now();
            let token = shared.sign(&Credentials {
                service: at.service.id,
                gateway: name,
                api: known.unwrap_or_default(),
                issued_at: now,
                expires_at: now + length,
            })?;
            Ok(Some(Reply::ok(json!({"token": token}))))
        }
    }
}

async fn read(
    shared: &Shared,
    conn: &mut sqlx::PgConnection,
    id: Uuid,
    service: Option<Uuid>,
) -> Result<Option<Value>> {
    Ok(sqlx::query_scalar(
        "SELECT trace FROM gateway_traces WHERE id = $1 AND expires_at > $2 AND ($3::uuid IS NULL OR service_id = $3)",
    )
    .bind(id)
    .bind((shared.clock)())
    .bind(service)
    .fetch_optional(conn)
    .await?)
}

/// Registers the links.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/traces/{link}", web::get().to(linked));
}

/// The secret in the tokens of a gateway apart.
async fn file_secret(state: &State, gateway: Uuid) -> Option<[u8; 32]> {
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT file_secret FROM gateways WHERE id = $1")
        .bind(gateway)
        .fetch_optional(&state.engine.pool)
        .await
        .inspect_err(|error| tracing::warn!(%error, "a gateway cannot be read"))
        .ok()??;
    let secret = state.engine.codec.open(&sealed).ok()?;
    BASE64_STANDARD
        .decode(secret.expose())
        .ok()?
        .try_into()
        .ok()
}

/// The trace behind a link; whoever has the link may read it.
async fn linked(state: web::Data<State>, link: web::Path<String>) -> HttpResponse {
    let found = async {
        let traces = state.traces.as_ref()?;
        let link = match link.split_once('.') {
            None => open_link(&traces.shared.secrets, &link),
            Some((gateway, sealed)) => {
                let secret = file_secret(&state, gateway.parse().ok()?).await?;
                open_link(&SecretBox::new(&secret).ok()?, sealed)
            }
        }?;
        if link.expires_at <= (traces.shared.clock)() {
            return None;
        }
        let began = tokio::time::Instant::now();
        loop {
            let mut conn = state.engine.pool.acquire().await.ok()?;
            let found = read(&traces.shared, &mut conn, link.trace, None).await;
            drop(conn);
            match found {
                Ok(Some(trace)) => return Some(trace),
                Ok(None) if began.elapsed() < ARRIVAL => tokio::time::sleep(PAUSE).await,
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(?error, "a trace cannot be read");
                    return None;
                }
            }
        }
    };
    match found.await {
        Some(trace) => HttpResponse::Ok().json(trace),
        None => HttpResponse::NotFound().json(Error::not_found("Trace").envelope()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_hours_minutes_and_seconds() {
        for (text, seconds) in [
            ("PT1H", Some(3600)),
            ("PT30M", Some(1800)),
            ("PT1M30S", Some(90)),
            ("PT0S", None),
            ("PT", None),
            ("P1D", None),
            ("PT5", None),
            ("1H", None),
        ] {
            assert_eq!(
                duration(text).map(|length| length.num_seconds()),
                seconds,
                "{text}"
            );
        }
    }
}
