//! The engine of the management API: every verb of every resource kind, written once.
//!
//! A kind is data ([`Resource`], in the crate `kinds`). Behind [`Kind`] its type is erased, so that
//! nothing here is generic and adding a kind adds no code here. A [`Request`] goes through
//! [`Engine::handle`]: the [`Registry`] finds the kind, link or action that the path names, a verb in
//! [`verbs`] loads the row *together with the caller's role* in one statement, decides, writes row,
//! hooks' effects and the outbox of [`Change`]s in one transaction, and answers a [`Reply`].
//! HTTP, authentication and the gateway live elsewhere; the server maps them to these types.
//!
//! Rules of the wire contract are cited as "contract rules §n": the Microsoft.ApiManagement REST
//! contract, api-versions 2022-08-01 and 2024-05-01.

pub mod audit;
pub mod column;
pub mod connections;
mod count;
pub mod cx;
pub mod deleted;
mod error;
mod etag;
pub mod filter;
pub mod kind;
pub mod link;
pub mod listing;
pub mod openapi;
pub mod page;
mod print;
mod registry;
pub mod resource;
pub mod revision;
mod sql;
mod transaction;
mod validate;
pub mod verbs;
pub mod workspace;

pub use column::{
    Any, Codec, ColumnValue, Json, Place, Ref, Reference, Secret, check_length, decode_value,
    encode_value, enum_text, enum_value,
};
pub use cx::{Change, Cx, Note, ServiceAt, strip_service};
pub use engine_derive::{Contract, TextColumn};
pub use error::{Error, Result};
pub use etag::{IfMatch, etag};
pub use filter::{Filter, FilterKind};
pub use kind::Kind;
pub use link::{Join, Link};
pub use page::{Caller, Method, Origin, Query, REVISION_HEADER, Reply, Request, Window};
pub use registry::{Place as RequestPlace, Registry};
pub use resource::{
    Access, Action, ActionDetail, BoxFuture, ColumnType, Contract, Delete, Entity, Field,
    FieldAccess, ListEffect, ListParameter, Parent, Resource, Restriction, Revisions, Root, Shown,
    Verbs, kind, ok, typed,
};
pub use transaction::LazyTransaction;
pub use validate::{Violation, Violations};
pub use verbs::Role;

// What derived code and the kinds' own statements need.
pub use arm_id::{self, NameRule};
pub use serde_json::{Map, Value, json};
pub use sqlx::{
    self, PgConnection, PgPool,
    postgres::{PgArguments, PgRow, PgValueRef},
};

use chrono::{DateTime, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// The current time, injected.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Hears of the changes of every committed write before the writer gets its reply.
///
/// Replies wait for it, so that a write is visible at the gateway of this process right after the reply.
pub trait Committed: Send + Sync {
    /// Takes the changes over; must not fail, because the write is already durable. The answer is the revision of the
    /// configuration that has them, or `None` where it is not known (yet).
    fn committed(&self, changes: Vec<Change>) -> BoxFuture<'_, Option<u64>>;
}

/// Nobody listens: tools and tests.
#[derive(Debug, Default)]
pub struct Unheard;
impl Committed for Unheard {
    fn committed(&self, _: Vec<Change>) -> BoxFuture<'_, Option<u64>> {
        Box::pin(std::future::ready(None))
    }
}

/// Public addresses that resources print.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http` or `https`: how callers reach the gateway.
    pub gateway_scheme: String,
    /// Port of the gateway, printed unless it is the scheme's own.
    pub gateway_port: u16,
    /// Domain under which every service has a host of its own: `{name}.{domain}`.
    /// Without one a service's gateway URL holds its own loopback address.
    pub gateway_domain: Option<String>,
    /// Base of the management API, without a slash at the end.
    pub management_url: String,
    /// Base of the developer portals; a service's is `{base}/{name}`.
    pub developer_portal_url: String,
    /// Web service URL of the Echo API that every new service holds.
    pub echo_url: String,
    /// Sender of mails where a service names none.
    pub mail_sender: String,
}

impl Settings {
    /// The URL under which callers reach a service's gateway: its own loopback address
    /// unless the installation has a domain.
    #[must_use]
    pub fn gateway_url(&self, service: &str, loopback: &str) -> String {
        let host = match &self.gateway_domain {
            Some(domain) => format!("{}.{domain}", service.to_ascii_lowercase()),
            None => loopback.to_owned(),
        };
        match (self.gateway_scheme.as_str(), self.gateway_port) {
            ("http", 80) | ("https", 443) => format!("{}://{host}", self.gateway_scheme),
            (scheme, port) => format!("{scheme}://{host}:{port}"),
        }
    }

    /// The URL of a service's developer portal.
    #[must_use]
    pub fn portal_url(&self, service: &str) -> String {
        format!(
            "{}/{}",
            self.developer_portal_url,
            service.to_ascii_lowercase()
        )
    }
}

/// The engine: state, kinds and surroundings.
pub struct Engine {
    /// Connections to Postgres.
    pub pool: PgPool,
    /// The kinds.
    pub registry: Registry,
    /// The key of sealed columns.
    pub codec: Codec,
    settings: Settings,
    clock: Clock,
    committed: Arc<dyn Committed>,
    connections: connections::Connections,
    counts: count::Counts,
    known_parents: verbs::KnownParents,
    known_roles: verbs::KnownRoles,
    seen: verbs::put::Seen,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over these kinds.
    #[must_use]
    pub fn new(
        pool: PgPool,
        registry: Registry,
        codec: Codec,
        settings: Settings,
        clock: Clock,
        committed: Arc<dyn Committed>,
    ) -> Self {
        Self {
            connections: connections::Connections::new(pool.clone()),
            pool,
            registry,
            codec,
            settings,
            clock,
            committed,
            counts: count::Counts::default(),
            known_parents: verbs::KnownParents::default(),
            known_roles: verbs::KnownRoles::default(),
            seen: verbs::put::Seen::default(),
        }
    }

    /// With so many connections, besides those of the pool, for the threads that serve HTTP, and so many of them for each
    /// ([`Connections::with_own`](connections::Connections::with_own)).
    #[must_use]
    pub fn with_own_connections(mut self, all: u32, each: u32) -> Self {
        self.connections = self.connections.with_own(all, each);
        self
    }

    /// Connections besides those of the pool, and how many of these are not in use.
    #[must_use]
    pub fn own_connections(&self) -> (u32, usize) {
        self.connections.own()
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// A transaction that begins when a statement needs it.
    ///
    /// # Errors
    /// When Postgres gives no connection.
    pub async fn transaction(&self) -> Result<LazyTransaction> {
        Ok(LazyTransaction::new(self.connections.acquire().await?))
    }

    /// A new row id: time-ordered, so that index inserts stay at the right edge.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(uuid::Timestamp::from_unix(
            uuid::NoContext,
            seconds,
            now.timestamp_subsec_nanos(),
        ))
    }

    /// Random bytes for keys and tokens.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| Error::internal("the system gave no randomness"))?;
        Ok(bytes)
    }

    /// The public addresses.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tells the listener about committed changes; the answer is the revision of the configuration that has them, for
    /// [`Reply::at_revision`].
    pub async fn after_commit(&self, changes: Vec<Change>) -> Option<u64> {
        self.counts.written();
        self.tell(changes).await
    }

    /// As [`after_commit`](Self::after_commit), for a write that knows whether it wrote a single row.
    pub(crate) async fn after_write(&self, done: &mut verbs::Done) -> Option<u64> {
        let changes = std::mem::take(&mut done.changes);
        if done.is_single {
            self.tell(changes).await
        } else {
            self.after_commit(changes).await
        }
    }

    async fn tell(&self, changes: Vec<Change>) -> Option<u64> {
        if changes.is_empty() {
            return None;
        }
        self.committed.committed(changes).await
    }

    /// Answers a request of the management API, with the body as a value.
    ///
    /// # Errors
    /// By meaning; [`Error::status`] and [`Error::envelope`] make the reply.
    pub async fn handle(&self, request: &Request) -> Result<Reply> {
        self.print(request).await?.parsed()
    }

    /// As [`handle`](Self::handle), for callers who want the body's text only: lists are [`Reply::text`].
    ///
    /// # Errors
    /// As there.
    pub async fn print(&self, request: &Request) -> Result<Reply> {
        registry::handle(self, request).await
    }
}
