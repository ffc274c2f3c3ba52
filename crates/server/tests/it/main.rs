//! A running Portico, driven as its users drive it: one file per story.

mod clients;
mod crash;
mod documents;
mod gateway;
mod idempotency;
mod management;
mod portal;
mod replicas;
mod reports;
