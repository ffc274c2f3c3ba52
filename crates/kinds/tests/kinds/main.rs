//! The kinds through the engine, on a real Postgres with the real migrations: what a client sees,
//! what mails go out, what the gateway hears of.

mod api;
mod api_version_set;
mod audit_entry;
mod authorisation;
mod authorization;
mod certificate;
mod conformance;
mod content;
mod deleted_entity;
mod diagnostic;
mod email_template;
mod gateway;
mod group;
mod import;
mod link_resource;
mod list_parameter;
mod logger;
mod named_value;
mod notification;
mod operation;
mod platform;
mod policy;
mod portal;
mod product;
mod revision;
mod schema;
mod secrets;
mod service;
mod subscription;
mod tag;
mod tag_resource;
mod tenant_access;
mod user;
mod wiki;
mod world;
