//! The web service as its callers see it: the built program, real blob storage (Azurite) and the Python clients.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its surroundings has failed"
)]

mod surroundings;

mod batch;
mod clients;
mod request_response;
