//! A running Portico, driven as its users drive it: one file per story.

mod clients;
mod gateway;
mod management;
mod reports;
