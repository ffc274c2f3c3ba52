//! A running Portico, driven as its users drive it: one file per story.

mod activation;
mod api_revisions;
mod clients;
mod crash;
mod developer;
mod documents;
mod edge;
mod errors;
mod gateway;
mod gateway_apart;
mod gateway_process;
mod idempotency;
mod identity_provider;
mod mails;
mod management;
mod otlp;
mod overload;
mod permissions;
mod portal;
mod provider;
mod quota_notices;
mod rates;
mod replicas;
mod reports;
mod revisions;
mod traces;
