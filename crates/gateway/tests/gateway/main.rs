//! A gateway on a loopback port, with real backends and real clients.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod callers;
mod content;
mod diagnostics;
mod harness;
mod journey;
mod limits;
mod policies;
mod proxying;
mod rehearsal;
mod routing;
mod validation;
