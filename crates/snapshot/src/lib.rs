//! The gateway's configuration: an immutable value that is replaced whole and shared structurally.
//!
//! [`Entity`] is what the control plane knows of a resource that the gateway serves; a [`Change`] puts or removes one, and
//! [`Snapshot::apply`] makes the next snapshot. It costs the change, not the table: maps are persistent, leaves are shared, and the
//! operations of an API live in a persistent trie ([`matcher`]). The order of changes does not matter: a child may come before
//! its parent, and is served as soon as the parent is there.
//!
//! A request finds its way by [`Snapshot::service`], [`ServiceState::api`] and [`ApiState::operation`]; the policies of its scopes
//! come from [`ServiceState::effective`], which compiles them when they are first needed and keeps the result until one of them
//! changes.
//!
//! A gateway apart from the control plane is told of its part of a snapshot only, which a [`View`] cuts out; what it is told travels
//! and is kept in signed [`frame`]s, each the list of entities or of changes.
//!
//! To add an entity: a struct and a line in [`entity`]'s list; the compiler then names the places in `change.rs`.

mod access;
mod change;
mod effective;
pub mod entity;
pub mod frame;
mod map;
pub mod matcher;
mod service;
mod view;

pub use access::{Access, Denied};
pub use change::{ANY_HOST, Change, Snapshot};
pub use effective::{Configuration, Effective, Position};
pub use entity::{Entity, Kind};
pub use service::{ApiMatch, ApiState, OperationState, ServiceState};
pub use view::View;
