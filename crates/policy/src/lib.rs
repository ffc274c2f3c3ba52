//! Policy documents: XML and policy expressions in, checked programs out.
//!
//! The control plane calls [`parse`] when a policy is stored, so that authors see every problem with its line and column. The gateway
//! calls it again on the stored text, combines the scopes of a request with [`effective`], and runs the [`Step`]s. This crate does no
//! IO, reads no clock and draws no random number: whatever an expression can see comes through [`expression::Context`].
//!
//! The life of a document: [`substitute_named_values`] puts named values in place, [`parse`] reads the XML (own reader, because
//! `rawxml` is not XML) and hands each element to its file in [`elements`], which compiles expressions on the way;
//! [`Document::resolve_fragments`] puts fragments in place; [`effective`] resolves `<base />`.
//!
//! To add a policy: a file in `elements/` and a line in its list.

mod document;
pub mod elements;
pub mod expression;
mod named_value;
mod parser;
mod problem;
mod value;
mod xml;

pub use document::{
    DOCUMENT_BYTES_LIMIT, Document, Scope, Section, Step, effective, parse, reformat,
};
pub use elements::{Description, StepKind, catalogue};
pub use named_value::{named_values_in, substitute_named_values};
pub use problem::Problem;
pub use value::{Bytes, Literal, StatusCode, Value};
pub use xml::Format;
