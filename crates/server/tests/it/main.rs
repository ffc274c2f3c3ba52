//! A running Portico, driven as its users drive it: one file per story.

mod activation;
mod api_revisions;
mod clients;
mod crash;
mod developer;
mod documents;
mod errors;
mod gateway;
mod gateway_process;
mod idempotency;
mod mails;
mod management;
mod permissions;
mod portal;
mod provider;
mod replicas;
mod reports;
mod revisions;
