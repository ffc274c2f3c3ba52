//! What the author of a resource kind writes. Copy `crates/kinds/src/product.rs`.

use crate::{
    Result, Violations,
    column::{Codec, Place, Ref},
    cx::Cx,
    filter::Filter,
    kind::{Chain, Kind},
    page::Reply,
};
use arm_id::NameRule;
use serde_json::{Map, Value};
use sqlx::postgres::{PgArguments, PgRow};
use std::{any::Any, fmt::Debug, future::Future, pin::Pin};
use utoipa::ToSchema;

/// A boxed future of the engine: hooks and actions are erased, so they return one.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A hook with nothing to do.
#[must_use]
pub fn ok<'a>() -> BoxFuture<'a, Result<()>> {
    Box::pin(std::future::ready(Ok(())))
}

/// Who may see or set a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldAccess {
    /// In bodies and replies.
    ReadWrite,
    /// In replies only; ignored in bodies, because clients send back what they read.
    ReadOnly,
    /// In bodies only; no column.
    WriteOnly,
    /// A column that is never on the wire.
    Internal,
    /// In bodies only, with a sealed column.
    Secret,
}

/// The column of a field.
#[derive(Clone, Copy, Debug)]
pub struct ColumnType {
    /// Column name.
    pub name: &'static str,
    /// Postgres type as `udt_name`.
    pub sql: &'static str,
    /// Whether the column may be NULL.
    pub nullable: bool,
    /// Whether the database computes it, so that it is never written.
    pub computed: bool,
    /// Writes a value that is not NULL as JSON.
    pub print: crate::print::Print,
}

/// One field of a contract, as data.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name on the wire.
    pub wire: &'static str,
    /// Who may see or set it.
    pub access: FieldAccess,
    /// Whether a PUT must name it.
    pub required: bool,
    /// Whether it stands beside `properties`.
    pub top_level: bool,
    /// Segment of the sibling kind it refers to; `""` for any path below the service.
    pub reference: Option<&'static str>,
    /// Fewest and most characters.
    pub length: Option<(usize, usize)>,
    /// Its column, unless it is write-only.
    pub column: Option<ColumnType>,
}

/// What a kind stores and says. Derived: `#[derive(Contract)]`.
pub trait Contract: Clone + Debug + Send + Sync + Sized + 'static {
    /// All fields, in the order of declaration.
    const FIELDS: &'static [Field];
    /// Takes the known fields out of a body and records every violation; `None` if any.
    fn decode(body: &mut Map<String, Value>, violations: &mut Violations) -> Option<Self>;
    /// Prints what a reply may hold.
    fn encode(&self, out: &mut Map<String, Value>, place: &Place<'_>);
    /// Adds the columns to a statement's arguments, in the order of [`FIELDS`](Self::FIELDS).
    ///
    /// # Errors
    /// When a value cannot be encoded: ours.
    fn bind(&self, args: &mut PgArguments, codec: &Codec) -> Result<()>;
    /// Reads a row.
    ///
    /// # Errors
    /// When row and struct disagree: ours.
    fn read(row: &PgRow, codec: &Codec) -> Result<Self>;
    /// Keeps what a body cannot set, and secrets that it left out.
    fn carry(&mut self, stored: &Self, given: &dyn Fn(&str) -> bool);
    /// The references to resolve before a write.
    fn references(&mut self) -> Vec<(&'static str, &'static str, &mut Ref)>;
}

/// How a kind keeps several revisions of one resource: each is a row, and all of them refer to one row that stands for
/// what they are revisions of.
///
/// One of the rows is current and has the plain name; the others are named with the marker, as the current one can be, too.
#[derive(Clone, Copy, Debug)]
pub struct Revisions {
    /// What stands between name and number: `;rev=`.
    pub marker: &'static str,
    /// Table of what the rows are revisions of: `id`, `parent_id`, `name`.
    pub roots: &'static str,
    /// Column that refers to it.
    pub root: &'static str,
    /// Column with the name that has the marker, of the current revision, too.
    pub name: &'static str,
    /// Boolean column of the one that is current.
    pub current: &'static str,
    /// Tables of pairs whose links belong to one revision; all other links belong to all of them.
    pub own_links: &'static [&'static str],
}

impl Revisions {
    /// The name and the number in `echo-api;rev=2`; `None` for a plain name.
    #[must_use]
    pub fn split<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        let at = name.to_ascii_lowercase().find(self.marker)?;
        Some((&name[..at], &name[at + self.marker.len()..]))
    }

    /// The name without a number.
    #[must_use]
    pub fn plain<'n>(&self, name: &'n str) -> &'n str {
        self.split(name).map_or(name, |(plain, _)| plain)
    }
}

/// The verbs that a kind answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbs {
    /// GET and HEAD with an ETag; without it HEAD says 204 or 404 and GET does not exist.
    pub get: bool,
    /// PUT creates; without it PUT only replaces what exists (and answers 200 only).
    pub create: bool,
    /// PUT at all.
    pub put: bool,
    /// PATCH.
    pub patch: bool,
    /// DELETE.
    pub delete: bool,
    /// Whether LIST exists.
    pub list: bool,
}

impl Verbs {
    /// Everything.
    pub const ALL: Self = Self {
        get: true,
        create: true,
        put: true,
        patch: true,
        delete: true,
        list: true,
    };
    /// GET and LIST only.
    pub const READ: Self = Self {
        get: true,
        create: false,
        put: false,
        patch: false,
        delete: false,
        list: true,
    };
}

/// What DELETE does.
#[derive(Clone, Copy)]
pub enum Delete {
    /// Removes the row.
    Row,
    /// The `deleting` hook did it (services are kept for 48 hours, e-mail templates get their default back).
    Hook,
}

/// One kind of resource: everything the engine needs to know, nothing about HTTP.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a resource kind",
    note = "implement `Resource`; start from crates/kinds/src/product.rs"
)]
pub trait Resource: Send + Sync + 'static {
    /// The kind on the path above, or [`Root`](crate::Root).
    type Parent: Parent;
    /// What is stored and said.
    type Contract: Contract + ToSchema;
    /// Operation group of the published API and noun of messages: `Product`, `ApiOperation`.
    const TITLE: &'static str;
    /// The noun in "… not found.", where it differs from the title.
    const NOUN: &'static str = Self::TITLE;
    /// Type segment, spelled as on the wire.
    const SEGMENT: &'static str;
    /// Name of the path parameter in messages and OpenAPI: `productId`.
    const PARAMETER: &'static str;
    /// Table.
    const TABLE: &'static str;
    /// What a resource may be called.
    const NAME: NameRule;
    /// The verbs it answers.
    const VERBS: Verbs = Verbs::ALL;
    /// What DELETE does.
    const DELETE: Delete = Delete::Row;
    /// Whether PATCH and DELETE, and a PUT that only replaces, demand `If-Match` (`if_match` column of the
    /// contract's operations).
    const IF_MATCH: bool = true;
    /// Whether DELETE does without `If-Match` although PATCH demands it (policy restrictions).
    const DELETE_WITHOUT_IF_MATCH: bool = false;
    /// Status of a PUT that created: 200 where the contract's clients accept nothing else (private endpoint connections).
    const CREATED: u16 = 201;
    /// Status of a PUT that replaced: 201 where the contract's clients accept nothing else (portal revisions).
    const REPLACED: u16 = 200;
    /// Status of PATCH: 204 without a body where the contract's clients accept nothing else (portal settings).
    const PATCHED: u16 = 200;
    /// The field that holds all of `properties`, where these are free (content items); the only field of its kind.
    const OPEN: Option<&'static str> = None;
    /// Whether DELETE is a long-running operation of the contract (APIs and users).
    const LONG_DELETE: bool = false;
    /// What `$filter` may name.
    const FILTERS: &'static [Filter] = &[];
    /// `POST …/{name}/{action}`.
    const ACTIONS: &'static [Action] = &[];
    /// `GET …/{name}/{view}`: what is computed from a resource and is no resource itself.
    const VIEWS: &'static [Action] = &[];
    /// Whether LIST shows reduced items: these wire fields are left out (contract rules §2).
    const OMITTED_IN_LIST: &'static [&'static str] = &[];
    /// Query parameters of LIST besides filter, order and paging.
    const LIST_PARAMETERS: &'static [ListParameter] = &[];
    /// Whether the gateway's configuration depends on this kind.
    const SERVED: bool = false;
    /// Where the revisions of a resource are, for a kind that has such (`apis/{id};rev=2`).
    const REVISIONS: Option<Revisions> = None;
    /// Below a kind with revisions: whether a resource belongs to what all revisions are revisions of, and not to one of them.
    ///
    /// The table's `parent_id` then refers to [`Revisions::roots`] instead of the parent's table. Of a kind without this, a new
    /// revision gets copies.
    const OF_ALL_REVISIONS: bool = false;
    /// Whether a kind directly under the provider belongs to the installation as a whole: only roles over the installation count
    /// for it and what is below it, and a deleted row is gone. Without this it is the kind of services: roles are given over
    /// each, a deleted one is kept for a while, and it may have workspaces.
    const OF_INSTALLATION: bool = false;
    /// The contract version that brought the kind; to callers of an older one it does not exist.
    const SINCE: &'static str = "";
    /// Whether the kind exists in workspaces, too.
    const IN_WORKSPACES: bool = false;
    /// Whether a deleted row is kept for a while, see [`deleted`](crate::deleted).
    const RESTORABLE: bool = true;
    /// What OpenAPI says of actions and views beyond their summaries.
    const ACTION_DETAILS: &'static [ActionDetail] = &[];
    /// Makes of a stored contract what GET shows, where that depends on the query (`?format=rawxml`).
    const SHOWN: Option<Shown<Self::Contract>> = None;

    /// A realistic body of `properties`: OpenAPI example and seed of the conformance tests.
    fn example() -> Value;
    /// Reports every problem that needs no database.
    fn validate(_: &Self::Contract, _: &mut Violations) {}
    /// Fills what the server owns (keys, defaults) and checks what needs the database.
    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        _old: Option<&'a Self::Contract>,
        _new: &'a mut Self::Contract,
    ) -> BoxFuture<'a, Result<()>> {
        ok()
    }
    /// After the row is written, in the same transaction: mails, jobs.
    fn written<'a>(
        _: &'a mut Cx<'_>,
        _old: Option<&'a Self::Contract>,
        _new: &'a Self::Contract,
    ) -> BoxFuture<'a, Result<()>> {
        ok()
    }
    /// Before the row is removed, in the same transaction.
    fn deleting<'a>(_: &'a mut Cx<'_>, _old: &'a Self::Contract) -> BoxFuture<'a, Result<()>> {
        ok()
    }
}

/// See [`Resource::SHOWN`].
pub type Shown<C> = fn(&C, &crate::Query) -> Result<C>;

/// A parent: a kind, or nothing.
pub trait Parent: 'static {
    /// The chain of kinds down to this one.
    fn chain() -> Chain;
}

impl<R: Resource> Parent for R {
    fn chain() -> Chain {
        let mut chain = R::Parent::chain();
        chain.push(kind::<R>());
        chain
    }
}

/// No parent: the kind stands directly under the provider.
pub enum Root {}
impl Parent for Root {
    fn chain() -> Chain {
        Vec::new()
    }
}

/// A query parameter of LIST besides filter, order and paging.
#[derive(Clone, Copy, Debug)]
pub struct ListParameter {
    /// Its name: `expandGroups`.
    pub name: &'static str,
    /// What it does, for OpenAPI.
    pub summary: &'static str,
    /// What it does.
    pub effect: ListEffect,
}

/// A condition over the row `t` and a text for its `{}`, or what is wrong with the value of the parameter.
pub type Restriction = std::result::Result<(&'static str, Option<String>), &'static str>;

/// What a query parameter of LIST does.
#[derive(Clone, Copy, Debug)]
pub enum ListEffect {
    /// With `true`, items show this field of the contract, which they lack otherwise.
    Show(&'static str),
    /// With `true`, the `properties` of items, and of GET, have one more member: its name, and the SQL of its value (jsonb, null
    /// for none) over the row `t`.
    Add(&'static str, &'static str),
    /// Only some rows, by the parameter's value.
    Restrict(fn(&str) -> Restriction),
}

impl ListParameter {
    /// Whether the parameter is a switch, and on.
    ///
    /// # Errors
    /// A violation naming the parameter when a switch is neither `true` nor `false`.
    pub fn is_on(&self, query: &crate::Query) -> Result<bool> {
        match self.effect {
            ListEffect::Show(_) | ListEffect::Add(..) => query.switch(self.name),
            ListEffect::Restrict(_) => Ok(false),
        }
    }
}

/// What an operation needs of the caller's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// reader and above.
    Read,
    /// contributor and above.
    Write,
    /// contributor and above; recorded as the reading of a secret.
    Secret,
    /// owner only.
    Own,
}

/// `POST …/{name}/{action}` on an existing resource; as a view, `GET …/{name}/{view}` of it.
pub struct Action {
    /// The segment or segments after the name: `listSecrets`, `confirmations/password/send`.
    pub name: &'static str,
    /// Operation id in OpenAPI: `Subscription_ListSecrets`.
    pub operation: &'static str,
    /// What it does, for OpenAPI.
    pub summary: &'static str,
    /// Role that it needs.
    pub access: Access,
    /// Status of success: 200 with a body or 204 without.
    pub status: u16,
    /// Does it; the row is locked.
    pub run: for<'a> fn(&'a mut Cx<'_>, &'a dyn Entity) -> BoxFuture<'a, Result<Reply>>,
}

/// Parameters and bodies of an action or a view, for OpenAPI.
pub struct ActionDetail {
    /// Operation id of the action.
    pub operation: &'static str,
    /// Query parameters, as objects of OpenAPI.
    pub parameters: fn() -> Vec<Value>,
    /// Schema of the request's body.
    pub body: Option<fn() -> Value>,
    /// Schema of the reply's body; null for a 200 without one.
    pub reply: fn() -> Value,
}

/// A boxed contract: what the engine moves without knowing the type.
pub trait Entity: Any + Send + Sync + Debug {
    /// For downcasts in typed wrappers.
    fn any(&self) -> &dyn Any;
    /// For downcasts in typed wrappers.
    fn any_mut(&mut self) -> &mut dyn Any;
    /// See [`Contract::encode`].
    fn encode(&self, out: &mut Map<String, Value>, place: &Place<'_>);
    /// See [`Contract::bind`].
    ///
    /// # Errors
    /// As there.
    fn bind(&self, args: &mut PgArguments, codec: &Codec) -> Result<()>;
    /// See [`Contract::references`].
    fn references(&mut self) -> Vec<(&'static str, &'static str, &mut Ref)>;
}

impl<C: Contract> Entity for C {
    fn any(&self) -> &dyn Any {
        self
    }
    fn any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn encode(&self, out: &mut Map<String, Value>, place: &Place<'_>) {
        Contract::encode(self, out, place);
    }
    fn bind(&self, args: &mut PgArguments, codec: &Codec) -> Result<()> {
        Contract::bind(self, args, codec)
    }
    fn references(&mut self) -> Vec<(&'static str, &'static str, &mut Ref)> {
        Contract::references(self)
    }
}

/// The typed contract inside an [`Entity`].
///
/// # Errors
/// When the entity is of another kind: ours.
pub fn typed<C: Contract>(entity: &dyn Entity) -> Result<&C> {
    entity
        .any()
        .downcast_ref::<C>()
        .ok_or_else(|| crate::Error::internal(format!("not a {}", std::any::type_name::<C>())))
}

/// The kind of a resource, as an object that the non-generic engine works on.
#[must_use]
pub const fn kind<R: Resource>() -> &'static dyn Kind {
    &crate::kind::Of::<R>(std::marker::PhantomData)
}
