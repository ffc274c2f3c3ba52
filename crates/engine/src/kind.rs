//! The erased side of [`Resource`]: object safe, implemented once, known to the whole engine.

use crate::{
    Result, Violations,
    column::Codec,
    cx::Cx,
    filter::Filter,
    resource::{
        Action, ActionDetail, BoxFuture, Contract, Delete, Entity, Field, ListParameter, Parent,
        Resource, Revisions, Verbs, typed,
    },
};
use arm_id::NameRule;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use std::marker::PhantomData;
use utoipa::openapi::{RefOr, schema::Schema};

/// Kinds from the outermost to the innermost.
pub type Chain = Vec<&'static dyn Kind>;

/// The facts of a kind.
#[derive(Clone, Copy)]
pub struct Facts {
    /// `Product`
    pub title: &'static str,
    /// Noun in "… not found."
    pub noun: &'static str,
    /// `products`
    pub segment: &'static str,
    /// `productId`
    pub parameter: &'static str,
    /// `products`
    pub table: &'static str,
    /// What a resource may be called.
    pub name: NameRule,
    /// Verbs it answers.
    pub verbs: Verbs,
    /// Whether PATCH and DELETE demand `If-Match`.
    pub if_match: bool,
    /// Whether DELETE does without `If-Match`.
    pub delete_without_if_match: bool,
    /// Status of a PUT that created.
    pub created: u16,
    /// Status of a PUT that replaced.
    pub replaced: u16,
    /// Status of PATCH; 204 is without a body.
    pub patched: u16,
    /// The field that holds all of `properties`.
    pub open: Option<&'static str>,
    /// Whether DELETE is a long-running operation of the contract.
    pub long_delete: bool,
    /// What `$filter` may name.
    pub filters: &'static [Filter],
    /// `POST …/{name}/{action}`
    pub actions: &'static [Action],
    /// `GET …/{name}/{view}`
    pub views: &'static [Action],
    /// Wire fields that LIST leaves out.
    pub omitted_in_list: &'static [&'static str],
    /// Query parameters of LIST.
    pub list_parameters: &'static [ListParameter],
    /// Where its revisions are.
    pub revisions: Option<Revisions>,
    /// Whether it stands below all revisions of its parent.
    pub of_all_revisions: bool,
    /// All fields.
    pub fields: &'static [Field],
    /// Whether the gateway depends on it.
    pub served: bool,
    /// What DELETE does with a row.
    pub delete: Delete,
    /// Whether it is of the installation and not of a service; of a kind directly under the provider.
    pub of_installation: bool,
    /// The contract version that brought the kind.
    pub since: &'static str,
    /// Whether it exists in workspaces, too.
    pub in_workspaces: bool,
    /// Whether a deleted row is kept for a while.
    pub restorable: bool,
    /// What OpenAPI says of actions and views.
    pub action_details: &'static [ActionDetail],
    /// Whether what GET shows depends on the query.
    pub shown_by_query: bool,
}

/// Schema of a contract with everything it refers to.
pub struct KindSchema {
    /// The schema of the contract itself.
    pub schema: RefOr<Schema>,
    /// Named schemas that it refers to.
    pub named: Vec<(String, RefOr<Schema>)>,
}

/// A resource kind as the engine sees it.
pub trait Kind: Send + Sync {
    /// The facts.
    fn facts(&self) -> Facts;
    /// The kinds above, outermost first.
    fn parents(&self) -> Chain;
    /// Whether it stands directly under the provider.
    fn is_root(&self) -> bool {
        self.parents().is_empty()
    }
    /// Decodes the body of a write; every violation is recorded.
    fn decode(
        &self,
        body: &mut Map<String, Value>,
        violations: &mut Violations,
    ) -> Option<Box<dyn Entity>>;
    /// Reads a row.
    ///
    /// # Errors
    /// When row and contract disagree: ours.
    fn read(&self, row: &PgRow, codec: &Codec) -> Result<Box<dyn Entity>>;
    /// Validates without the database.
    ///
    /// # Errors
    /// When the entity is of another kind: ours.
    fn validate(&self, entity: &dyn Entity, violations: &mut Violations) -> Result<()>;
    /// See [`Contract::carry`].
    ///
    /// # Errors
    /// When an entity is of another kind: ours.
    fn carry(
        &self,
        new: &mut dyn Entity,
        stored: &dyn Entity,
        given: &dyn Fn(&str) -> bool,
    ) -> Result<()>;
    /// See [`Resource::prepare`].
    fn prepare<'a>(
        &self,
        cx: &'a mut Cx<'_>,
        old: Option<&'a dyn Entity>,
        new: &'a mut dyn Entity,
    ) -> BoxFuture<'a, Result<()>>;
    /// See [`Resource::written`].
    fn written<'a>(
        &self,
        cx: &'a mut Cx<'_>,
        old: Option<&'a dyn Entity>,
        new: &'a dyn Entity,
    ) -> BoxFuture<'a, Result<()>>;
    /// See [`Resource::deleting`].
    fn deleting<'a>(&self, cx: &'a mut Cx<'_>, old: &'a dyn Entity) -> BoxFuture<'a, Result<()>>;
    /// See [`Resource::SHOWN`]; `None` for the contract as it is stored.
    ///
    /// # Errors
    /// What the kind says about the query.
    fn shown(&self, entity: &dyn Entity, query: &crate::Query) -> Result<Option<Box<dyn Entity>>>;
    /// See [`Resource::example`].
    fn example(&self) -> Value;
    /// The contract's schema.
    fn schema(&self) -> KindSchema;
}

/// The kind directly under the provider that a kind is below, or is itself.
#[must_use]
pub fn root(kind: &'static dyn Kind) -> &'static dyn Kind {
    kind.parents().first().copied().unwrap_or(kind)
}

pub(crate) struct Of<R>(pub PhantomData<fn() -> R>);

impl<R: Resource> Kind for Of<R> {
    fn facts(&self) -> Facts {
        Facts {
            title: R::TITLE,
            noun: R::NOUN,
            segment: R::SEGMENT,
            parameter: R::PARAMETER,
            table: R::TABLE,
            name: R::NAME,
            verbs: R::VERBS,
            if_match: R::IF_MATCH,
            delete_without_if_match: R::DELETE_WITHOUT_IF_MATCH,
            created: R::CREATED,
            replaced: R::REPLACED,
            patched: R::PATCHED,
            open: R::OPEN,
            long_delete: R::LONG_DELETE,
            filters: R::FILTERS,
            actions: R::ACTIONS,
            views: R::VIEWS,
            omitted_in_list: R::OMITTED_IN_LIST,
            list_parameters: R::LIST_PARAMETERS,
            revisions: R::REVISIONS,
            of_all_revisions: R::OF_ALL_REVISIONS,
            fields: R::Contract::FIELDS,
            served: R::SERVED,
            delete: R::DELETE,
            of_installation: R::OF_INSTALLATION,
            since: R::SINCE,
            in_workspaces: R::IN_WORKSPACES,
            restorable: R::RESTORABLE,
            action_details: R::ACTION_DETAILS,
            shown_by_query: R::SHOWN.is_some(),
        }
    }
    fn parents(&self) -> Chain {
        R::Parent::chain()
    }
    fn decode(
        &self,
        body: &mut Map<String, Value>,
        violations: &mut Violations,
    ) -> Option<Box<dyn Entity>> {
        R::Contract::decode(body, violations).map(|c| Box::new(c) as Box<dyn Entity>)
    }
    fn read(&self, row: &PgRow, codec: &Codec) -> Result<Box<dyn Entity>> {
        Ok(Box::new(R::Contract::read(row, codec)?))
    }
    fn validate(&self, entity: &dyn Entity, violations: &mut Violations) -> Result<()> {
        R::validate(typed(entity)?, violations);
        Ok(())
    }
    fn carry(
        &self,
        new: &mut dyn Entity,
        stored: &dyn Entity,
        given: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        typed_mut::<R::Contract>(new)?.carry(typed(stored)?, given);
        Ok(())
    }
    fn prepare<'a>(
        &self,
        cx: &'a mut Cx<'_>,
        old: Option<&'a dyn Entity>,
        new: &'a mut dyn Entity,
    ) -> BoxFuture<'a, Result<()>> {
        match (old.map(typed).transpose(), typed_mut(new)) {
            (Ok(old), Ok(new)) => R::prepare(cx, old, new),
            (Err(e), _) | (_, Err(e)) => Box::pin(std::future::ready(Err(e))),
        }
    }
    fn written<'a>(
        &self,
        cx: &'a mut Cx<'_>,
        old: Option<&'a dyn Entity>,
        new: &'a dyn Entity,
    ) -> BoxFuture<'a, Result<()>> {
        match (old.map(typed).transpose(), typed(new)) {
            (Ok(old), Ok(new)) => R::written(cx, old, new),
            (Err(e), _) | (_, Err(e)) => Box::pin(std::future::ready(Err(e))),
        }
    }
    fn deleting<'a>(&self, cx: &'a mut Cx<'_>, old: &'a dyn Entity) -> BoxFuture<'a, Result<()>> {
        match typed(old) {
            Ok(old) => R::deleting(cx, old),
            Err(e) => Box::pin(std::future::ready(Err(e))),
        }
    }
    fn shown(&self, entity: &dyn Entity, query: &crate::Query) -> Result<Option<Box<dyn Entity>>> {
        let Some(shown) = R::SHOWN else {
            return Ok(None);
        };
        Ok(Some(Box::new(shown(typed(entity)?, query)?)))
    }
    fn example(&self) -> Value {
        R::example()
    }
    fn schema(&self) -> KindSchema {
        use utoipa::{PartialSchema as _, ToSchema as _};
        let mut named = Vec::new();
        R::Contract::schemas(&mut named);
        KindSchema {
            schema: R::Contract::schema(),
            named,
        }
    }
}

fn typed_mut<C: Contract>(entity: &mut dyn Entity) -> Result<&mut C> {
    entity
        .any_mut()
        .downcast_mut::<C>()
        .ok_or_else(|| crate::Error::internal(format!("not a {}", std::any::type_name::<C>())))
}
