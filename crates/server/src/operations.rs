//! Polling of long-running operations (contract rules §5), at any replica: the state is in Postgres.
//!
//! `operationStatuses/{id}` (the `Azure-AsyncOperation` header) answers a status document with 200;
//! `operationresults/{id}` (the `Location` header) answers 202 while running and the resource when done.

use crate::State;
use arm_id::{ResourcePath, Root};
use chrono::{DateTime, Utc};
use engine::{Error, Method, Reply, Request, Result, json};
use serde_json::Value;
use uuid::Uuid;

#[derive(sqlx::FromRow)]
struct Operation {
    service_id: Uuid,
    status: String,
    error: Option<Value>,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

/// The reply to a poll; `None` for other requests.
///
/// # Errors
/// `ResourceNotFound` for an unknown operation or one of a service that the caller must not know.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    if let Some(request) = located(state, request).await? {
        return Box::pin(answer(state, &request)).await;
    }
    let (Root::Group { .. }, Some((kind, id)), Some((service, name))) = (
        &request.path.root,
        request.path.pairs.last(),
        request.path.pairs.first(),
    ) else {
        return Ok(None);
    };
    let result = kind.eq_ignore_ascii_case("operationresults");
    let known = result || kind.eq_ignore_ascii_case("operationstatuses");
    if !known || request.path.tail.is_some() || !service.eq_ignore_ascii_case("service") {
        return Ok(None);
    }
    if request.method != Method::Get {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let missing = || Error::not_found("Operation");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    // Reading the service answers who may see the operation, and is the result of a finished one.
    let path = ResourcePath {
        root: request.path.root.clone(),
        pairs: vec![("service".to_owned(), name.clone())],
        tail: None,
    };
    let resource = Request {
        path,
        ..request.clone()
    };
    let reply = state.engine.handle(&resource).await?;
    let operation: Option<Operation> = sqlx::query_as(
        "SELECT o.service_id, o.status, o.error, o.started_at, o.ended_at FROM long_operations o \
         JOIN services s ON s.id = o.service_id WHERE o.id = $1 AND lower(s.name) = lower($2)",
    )
    .bind(id)
    .bind(name)
    .fetch_optional(&state.engine.pool)
    .await?;
    let operation = operation.ok_or_else(missing)?;
    tracing::debug!(service = %operation.service_id, status = operation.status, "operation polled");
    let running = operation.status == "InProgress";
    if result {
        return Ok(Some(match operation.error {
            _ if running => Reply::empty(202)
                .with("Location", own_url(request))
                .with("Retry-After", "1"),
            None => reply,
            Some(error) => Reply {
                status: 500,
                headers: Vec::new(),
                body: Some(json!({"error": error})),
                text: None,
            },
        }));
    }
    let mut body = json!({
        "id": request.path.to_string(),
        "name": id.to_string(),
        "status": operation.status,
        "startTime": operation.started_at.to_rfc3339(),
    });
    if let Some(ended_at) = operation.ended_at {
        body["endTime"] = ended_at.to_rfc3339().into();
    }
    if let Some(error) = operation.error {
        body["error"] = error;
    }
    let reply = Reply::ok(body);
    Ok(Some(if running {
        reply.with("Retry-After", "1")
    } else {
        reply
    }))
}

/// A poll of `/subscriptions/{s}/providers/…/locations/{location}/operationStatuses/{id}` as that of the operation's service.
async fn located(state: &State, request: &Request) -> Result<Option<Request>> {
    let (Root::Subscription { subscription }, [(locations, location), (kind, id)], None) = (
        &request.path.root,
        request.path.pairs.as_slice(),
        &request.path.tail,
    ) else {
        return Ok(None);
    };
    let known = kind.eq_ignore_ascii_case("operationresults")
        || kind.eq_ignore_ascii_case("operationstatuses");
    if !known || !locations.eq_ignore_ascii_case("locations") {
        return Ok(None);
    }
    let missing = || Error::not_found("Operation");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT s.resource_group, s.name FROM long_operations o JOIN services s ON s.id = o.service_id WHERE o.id = $1 \
         AND lower(s.subscription_id) = lower($2) AND lower(replace(s.location, ' ', '')) = lower(replace($3, ' ', ''))",
    )
    .bind(id)
    .bind(subscription)
    .bind(location)
    .fetch_optional(&state.engine.pool)
    .await?;
    let (group, name) = found.ok_or_else(missing)?;
    let path = ResourcePath {
        root: Root::Group {
            subscription: subscription.clone(),
            group,
        },
        pairs: vec![("service".to_owned(), name), (kind.clone(), id.to_string())],
        tail: None,
    };
    Ok(Some(Request {
        path,
        ..request.clone()
    }))
}

fn own_url(request: &Request) -> String {
    format!(
        "{}{}?api-version={}",
        request.base_url,
        arm_id::to_url_path(&request.path.to_string()),
        request.api_version
    )
}
