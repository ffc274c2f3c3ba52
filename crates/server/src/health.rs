//! `/healthz`, `/readyz` and `/metrics`.

use crate::State;
use actix_web::{HttpResponse, web};
use serde_json::json;
use std::time::Duration;

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(prometheus));
}

/// The process answers. Says nothing about Postgres: a restart of Portico would not bring that back.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Requests can be served: Postgres answers and the gateway has its configuration.
async fn readyz(state: web::Data<State>) -> HttpResponse {
    let database = tokio::time::timeout(
        Duration::from_secs(2),
        sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&state.engine.pool),
    )
    .await;
    let database = match database {
        Ok(Ok(_)) => "ok".to_owned(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            "unavailable".to_owned()
        }
        Err(_) => "slow".to_owned(),
    };
    let gateway = if state.rollout.is_loaded() {
        "ok"
    } else {
        "loading"
    };
    let body = json!({"database": database, "gateway": gateway});
    if database == "ok" && gateway == "ok" {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

async fn prometheus(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(state.metrics.render())
}
