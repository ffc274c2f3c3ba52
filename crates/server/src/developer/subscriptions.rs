//! A developer's own subscriptions.

use super::{Portal, accepted, answered_to_developer, catalogue, fresh, session::Developer};
use crate::{State, sign_in::parsed};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use engine::{Error, Method, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::FromRow;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// Subscribing holds a lock on one connection while the engine writes on another: without a bound, as many
/// at once as there are connections would wait for each other.
static SUBSCRIBING: Semaphore = Semaphore::const_new(2);

/// A subscription.
#[derive(FromRow, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    name: String,
    display_name: Option<String>,
    scope: String,
    state: String,
    created_date: DateTime<Utc>,
    state_comment: Option<String>,
    /// Name that people see of its product.
    product: Option<String>,
}

/// Subscriptions.
#[derive(Serialize, ToSchema)]
pub struct SubscriptionList {
    value: Vec<Subscription>,
}

/// What became of a request to subscribe.
#[derive(Serialize, ToSchema)]
pub struct Subscribed {
    name: String,
    /// `active` or `submitted`.
    state: String,
}

/// The keys of a subscription; either works.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    primary_key: String,
    secondary_key: String,
}

pub(super) async fn list(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let value: Vec<Subscription> = sqlx::query_as(
            "SELECT s.name, s.display_name, s.scope, s.state, s.created_date, s.state_comment, p.display_name AS product \
             FROM subscriptions s LEFT JOIN products p ON p.id = s.scope_product_id \
             WHERE s.parent_id = $1 AND s.owner_id = $2 ORDER BY s.created_date DESC, s.name",
        )
        .bind(portal.id)
        .bind(developer.id)
        .fetch_all(&state.engine.pool)
        .await?;
        Ok(fresh(&SubscriptionList { value }))
    })
    .await
}

/// A request to subscribe.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Subscribe {
    product: String,
    display_name: String,
}

/// Subscribes to a product: active at once, or submitted where the product asks for approval.
pub(super) async fn subscribe(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: Subscribe = parsed(&body)?;
        let product = catalogue::visible(&state, &portal, Some(developer.id), &given.product).await?;
        if !product.subscription_required {
            return Err(Error::Conflict(
                "The product's APIs can be called without a subscription.".into(),
            ));
        }
        let _turn = SUBSCRIBING.acquire().await.map_err(Error::internal)?;
        // Two requests at once must not both find room below the limit.
        let mut tx = state.engine.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('subscribe ' || $1::text || $2::text, 0))")
            .bind(product.id)
            .bind(developer.id)
            .execute(&mut *tx)
            .await?;
        if let Some(limit) = product.subscriptions_limit {
            let held: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM subscriptions WHERE owner_id = $1 AND scope_product_id = $2 \
                 AND state IN ('active', 'submitted', 'suspended')",
            )
            .bind(developer.id)
            .bind(product.id)
            .fetch_one(&mut *tx)
            .await?;
            if held >= i64::from(limit) {
                return Err(Error::Conflict(
                    format!("You have {held} subscriptions of this product, and its limit is {limit}."),
                ));
            }
        }
        let first = if product.approval_required {
            "submitted"
        } else {
            "active"
        };
        let sid = state.engine.new_id().simple().to_string();
        let properties = json!({"properties": {
            "ownerId": format!("/users/{}", developer.name),
            "scope": format!("/products/{}", product.name),
            "displayName": given.display_name,
            "state": first,
        }});
        let below = format!("/subscriptions/{sid}");
        accepted(portal.ask(&state, &http, Method::Put, &below, Some(properties)).await?)?;
        tx.commit().await?;
        Ok(HttpResponse::Created().json(Subscribed {
            name: sid,
            state: first.to_owned(),
        }))
    })
    .await
}

/// Where the addressed subscription is, once it is known to be the developer's own.
async fn own(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    developer: &Developer,
) -> Result<String> {
    let name: Option<String> = sqlx::query_scalar(
        "SELECT name FROM subscriptions WHERE parent_id = $1 AND owner_id = $2 AND lower(name) = lower($3)",
    )
    .bind(portal.id)
    .bind(developer.id)
    .bind(http.match_info().get("sid").unwrap_or_default())
    .fetch_optional(&state.engine.pool)
    .await?;
    name.map(|name| format!("/subscriptions/{name}"))
        .ok_or_else(|| Error::not_found("Subscription"))
}

pub(super) async fn keys(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let below = own(&state, &http, &portal, &developer).await?;
        let below = format!("{below}/listSecrets");
        let keys = accepted(
            portal
                .ask(&state, &http, Method::Post, &below, None)
                .await?,
        )?;
        let keys: Keys = serde_json::from_value(keys).map_err(Error::internal)?;
        Ok(fresh(&keys))
    })
    .await
}

/// Which key is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Regenerate {
    key: Key,
}

/// One of the two keys.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Key {
    /// The first.
    Primary,
    /// The other.
    Secondary,
}

pub(super) async fn regenerate(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let action = match parsed::<Regenerate>(&body)?.key {
            Key::Primary => "regeneratePrimaryKey",
            Key::Secondary => "regenerateSecondaryKey",
        };
        let below = own(&state, &http, &portal, &developer).await?;
        let below = format!("{below}/{action}");
        accepted(
            portal
                .ask(&state, &http, Method::Post, &below, None)
                .await?,
        )?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

pub(super) async fn cancel(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let below = own(&state, &http, &portal, &developer).await?;
        let body = json!({"properties": {"state": "cancelled"}});
        accepted(
            portal
                .ask(&state, &http, Method::Patch, &below, Some(body))
                .await?,
        )?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}

/// A new name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rename {
    display_name: String,
}

pub(super) async fn rename(
    state: web::Data<State>,
    http: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    answered_to_developer(&state, &http, async |portal, developer| {
        let given: Rename = parsed(&body)?;
        let below = own(&state, &http, &portal, &developer).await?;
        let body = json!({"properties": {"displayName": given.display_name}});
        accepted(
            portal
                .ask(&state, &http, Method::Patch, &below, Some(body))
                .await?,
        )?;
        Ok(HttpResponse::NoContent().finish())
    })
    .await
}
