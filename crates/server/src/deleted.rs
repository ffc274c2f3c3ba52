//! Deleted services: kept for 48 hours, listed, restored by PUT with `restore`, or purged (contract rules §9).
//! Also `checkNameAvailability`, because a deleted service still holds its name.

use crate::State;
use arm_id::{NameRule, PROVIDER, Root};
use chrono::{DateTime, Duration, Utc};
use engine::{Caller, Error, Method, Reply, Request, Result, json};
use serde_json::Value;
use uuid::Uuid;

/// How long a deleted service can be restored.
pub const KEPT: Duration = Duration::hours(48);

#[derive(sqlx::FromRow)]
struct Deleted {
    id: Uuid,
    name: String,
    subscription_id: String,
    resource_group: String,
    location: String,
    deleted_at: DateTime<Utc>,
}

impl Deleted {
    fn envelope(&self) -> Value {
        let location = self.location.to_lowercase().replace(' ', "");
        json!({
            "id": format!("/subscriptions/{}/providers/{PROVIDER}/locations/{location}/deletedservices/{}", self.subscription_id, self.name),
            "type": format!("{PROVIDER}/deletedservices"),
            "name": self.name,
            "location": self.location,
            "properties": {
                "serviceId": format!("/subscriptions/{}/resourceGroups/{}/providers/{PROVIDER}/service/{}", self.subscription_id, self.resource_group, self.name),
                "deletionDate": self.deleted_at.to_rfc3339(),
                "scheduledPurgeDate": (self.deleted_at + KEPT).to_rfc3339(),
            }
        })
    }
}

/// The reply to requests about deleted services and names; `None` for other requests.
///
/// # Errors
/// Not found, not allowed.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let Root::Subscription { subscription } = &request.path.root else {
        return Ok(None);
    };
    let pairs: Vec<(String, &str)> = request
        .path
        .pairs
        .iter()
        .map(|(k, v)| (k.to_ascii_lowercase(), v.as_str()))
        .collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let tail = request.path.tail.as_deref().map(str::to_ascii_lowercase);
    let not_allowed = || Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    match (pairs.as_slice(), tail.as_deref()) {
        ([], Some("checknameavailability")) => match request.method {
            Method::Post => name_availability(state, request).await.map(Some),
            _ => not_allowed(),
        },
        ([], Some("deletedservices")) => match request.method {
            Method::Get => list(state, request, subscription).await.map(Some),
            _ => not_allowed(),
        },
        ([("locations", location), ("deletedservices", name)], None) => match request.method {
            Method::Get => {
                let deleted = find(state, request, subscription, location, name).await?;
                Ok(Some(Reply::ok(deleted.envelope())))
            }
            Method::Delete => purge(state, request, subscription, location, name)
                .await
                .map(Some),
            _ => not_allowed(),
        },
        _ => Ok(None),
    }
}

/// The principal's id; a service's own integration key says nothing about other services.
fn principal(request: &Request) -> Result<Uuid> {
    match &request.caller {
        Caller::Principal { id, .. } => Ok(*id),
        Caller::Developer { .. } | Caller::Integration { .. } => {
            Err(Error::Forbidden(format!("{PROVIDER}/deletedservices/read")))
        }
    }
}

const SELECT: &str = "SELECT s.id, s.name, s.subscription_id, s.resource_group, s.location, s.deleted_at FROM services s \
     WHERE s.deleted_at IS NOT NULL AND s.workspace_of IS NULL AND lower(s.subscription_id) = lower($1) \
     AND EXISTS (SELECT FROM role_assignments a WHERE a.principal_id = $2 AND a.role <> 'developer' \
                 AND (a.scope_service_id IS NULL OR a.scope_service_id = s.id))";

async fn list(state: &State, request: &Request, subscription: &str) -> Result<Reply> {
    let sql = format!("{SELECT} ORDER BY lower(s.name)");
    let rows: Vec<Deleted> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(subscription)
        .bind(principal(request)?)
        .fetch_all(&state.engine.pool)
        .await?;
    Ok(Reply::ok(
        json!({"value": rows.iter().map(Deleted::envelope).collect::<Vec<_>>(), "count": rows.len()}),
    ))
}

async fn find(
    state: &State,
    request: &Request,
    subscription: &str,
    location: &str,
    name: &str,
) -> Result<Deleted> {
    let sql = format!(
        "{SELECT} AND lower(s.name) = lower($3) AND lower(replace(s.location, ' ', '')) = lower(replace($4, ' ', ''))"
    );
    let found = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(subscription)
        .bind(principal(request)?)
        .bind(name)
        .bind(location)
        .fetch_optional(&state.engine.pool)
        .await?;
    found.ok_or_else(|| Error::not_found("DeletedService"))
}

async fn purge(
    state: &State,
    request: &Request,
    subscription: &str,
    location: &str,
    name: &str,
) -> Result<Reply> {
    let deleted = match find(state, request, subscription, location, name).await {
        Ok(deleted) => deleted,
        Err(Error::NotFound { .. }) => return Ok(Reply::empty(204)),
        Err(error) => return Err(error),
    };
    let owner: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM role_assignments WHERE principal_id = $1 AND role = 'owner' \
         AND (scope_service_id IS NULL OR scope_service_id = $2))",
    )
    .bind(principal(request)?)
    .bind(deleted.id)
    .fetch_one(&state.engine.pool)
    .await?;
    if !owner {
        return Err(Error::Forbidden(format!(
            "{PROVIDER}/locations/deletedservices/delete"
        )));
    }
    let mut tx = state.engine.pool.begin().await?;
    let action = format!("{PROVIDER}/locations/deletedservices/delete");
    let path = request.path.to_string();
    // The condition again: a restore may have won meanwhile.
    let gone = sqlx::query("DELETE FROM services WHERE id = $1 AND deleted_at IS NOT NULL")
        .bind(deleted.id)
        .execute(&mut *tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Ok(Reply::empty(204));
    }
    engine::audit::note(
        &mut tx,
        &state.engine,
        request,
        deleted.id,
        &action,
        &path,
        None,
    )
    .await?;
    tx.commit().await?;
    Ok(Reply::empty(200))
}

/// Purges services that were deleted more than 48 hours ago; returns how many.
///
/// # Errors
/// When the database fails.
pub async fn purge_expired(pool: &sqlx::PgPool, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let done = sqlx::query("DELETE FROM services WHERE deleted_at < $1")
        .bind(now - KEPT)
        .execute(pool)
        .await?;
    Ok(done.rows_affected())
}

async fn name_availability(state: &State, request: &Request) -> Result<Reply> {
    let body = request.json()?;
    let name = body
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid("name", "is required"))?;
    if let Err(why) = NameRule::SERVICE.check(name) {
        return Ok(Reply::ok(
            json!({"nameAvailable": false, "reason": "Invalid", "message": format!("The name {why}.")}),
        ));
    }
    let taken: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM services WHERE lower(name) = lower($1))")
            .bind(name)
            .fetch_one(&state.engine.pool)
            .await?;
    Ok(Reply::ok(if taken {
        json!({"nameAvailable": false, "reason": "AlreadyExists", "message": format!("The service name '{name}' is already in use.")})
    } else {
        json!({"nameAvailable": true, "reason": "Valid", "message": ""})
    }))
}
