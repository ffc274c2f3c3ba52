//! What a developer may see: published products of his groups, their APIs, the operations of those.

use super::{Portal, answered, fresh, session::Developer};
use crate::State;
use actix_web::{HttpRequest, HttpResponse, web};
use engine::{Error, Result};
use serde_json::{Value, json};
use sqlx::FromRow;
use uuid::Uuid;

/// Products `p` that the user `$2` may see: published, and open to one of his groups. What everybody may
/// see is open to the group `guests`.
const VISIBLE: &str = "p.parent_id = $1 AND p.state = 'published' AND EXISTS (SELECT FROM product_groups pg \
     JOIN groups g ON g.id = pg.group_id WHERE pg.product_id = p.id AND (g.name = 'guests' \
     OR EXISTS (SELECT FROM group_users gu WHERE gu.group_id = g.id AND gu.user_id = $2)))";

/// Most rows of a list; the portal narrows by search.
const LIST_LIMIT: i64 = 200;

#[derive(FromRow)]
pub(super) struct Product {
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) description: Option<String>,
    pub(super) terms: Option<String>,
    pub(super) subscription_required: bool,
    pub(super) approval_required: Option<bool>,
    pub(super) subscriptions_limit: Option<i32>,
    pub(super) id: Uuid,
}

impl Product {
    fn described(&self) -> Value {
        json!({
            "name": self.name,
            "displayName": self.display_name,
            "description": self.description,
            "terms": self.terms,
            "subscriptionRequired": self.subscription_required,
            "approvalRequired": self.approval_required.unwrap_or_default(),
            "subscriptionsLimit": self.subscriptions_limit,
        })
    }
}

#[derive(FromRow)]
struct Api {
    id: Uuid,
    name: String,
    display_name: String,
    description: Option<String>,
    path: String,
    protocols: Value,
    api_version: Option<String>,
    subscription_required: bool,
    subscription_key_parameter_names: Value,
}

const API_COLUMNS: &str = "a.id, a.name, a.display_name, a.description, a.path, a.protocols, a.api_version, \
     a.subscription_required, a.subscription_key_parameter_names";

impl Api {
    fn described(&self, portal: &Portal) -> Value {
        let gateway = portal.gateway_url.clone().unwrap_or_default();
        let path = self.path.trim_matches('/');
        json!({
            "name": self.name,
            "displayName": self.display_name,
            "description": self.description,
            "path": self.path,
            "protocols": self.protocols,
            "version": self.api_version,
            "subscriptionRequired": self.subscription_required,
            "keyNames": self.subscription_key_parameter_names,
            "baseUrl": if path.is_empty() { gateway } else { format!("{gateway}/{path}") },
        })
    }
}

async fn user(state: &State, http: &HttpRequest, portal: &Portal) -> Result<Option<Uuid>> {
    Ok(Developer::of(state, http, portal).await?.map(|d| d.id))
}

/// A product that the developer may see.
pub(super) async fn visible(
    state: &State,
    portal: &Portal,
    user: Option<Uuid>,
    name: &str,
) -> Result<Product> {
    let sql = format!("SELECT p.* FROM products p WHERE {VISIBLE} AND lower(p.name) = lower($3)");
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(portal.id)
        .bind(user)
        .bind(name)
        .fetch_optional(&state.engine.pool)
        .await?
        .ok_or_else(|| Error::not_found("Product"))
}

pub(super) async fn service(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        Ok(fresh(&json!({
            "name": portal.name,
            "publisherName": portal.publisher_name,
            "publisherEmail": portal.publisher_email,
            "gatewayUrl": portal.gateway_url,
        })))
    })
    .await
}

pub(super) async fn products(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let sql = format!(
            "SELECT p.* FROM products p WHERE {VISIBLE} ORDER BY lower(p.display_name) LIMIT $3"
        );
        let products: Vec<Product> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(LIST_LIMIT)
            .fetch_all(&state.engine.pool)
            .await?;
        let value: Vec<Value> = products.iter().map(Product::described).collect();
        Ok(fresh(&json!({"value": value})))
    })
    .await
}

pub(super) async fn product(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let name = http.match_info().get("product").unwrap_or_default();
        let product = visible(&state, &portal, user, name).await?;
        let sql = format!(
            "SELECT {API_COLUMNS} FROM apis a JOIN product_apis pa ON pa.api_id = a.root_id \
             WHERE pa.product_id = $1 AND a.is_current ORDER BY lower(a.display_name)"
        );
        let apis: Vec<Api> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(product.id)
            .fetch_all(&state.engine.pool)
            .await?;
        let apis: Vec<Value> = apis.iter().map(|api| api.described(&portal)).collect();
        let mut body = product.described();
        body["apis"] = apis.into();
        Ok(fresh(&body))
    })
    .await
}

/// APIs of visible products; `q` searches names and descriptions.
pub(super) async fn apis(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let query: Vec<(String, String)> =
            serde_urlencoded::from_str(http.query_string()).unwrap_or_default();
        let search = query
            .into_iter()
            .find(|(name, _)| name == "q")
            .map(|(_, value)| value.to_lowercase())
            .unwrap_or_default();
        let sql = format!(
            "SELECT {API_COLUMNS} FROM apis a WHERE a.parent_id = $1 AND a.is_current \
             AND EXISTS (SELECT FROM product_apis pa JOIN products p ON p.id = pa.product_id WHERE pa.api_id = a.root_id AND {VISIBLE}) \
             AND ($3 = '' OR strpos(lower(a.display_name || ' ' || coalesce(a.description, '')), $3) > 0) \
             ORDER BY lower(a.display_name) LIMIT $4"
        );
        let apis: Vec<Api> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(search)
            .bind(LIST_LIMIT)
            .fetch_all(&state.engine.pool)
            .await?;
        let value: Vec<Value> = apis.iter().map(|api| api.described(&portal)).collect();
        Ok(fresh(&json!({"value": value})))
    })
    .await
}

#[derive(FromRow)]
struct Operation {
    name: String,
    display_name: String,
    method: String,
    url_template: String,
    template_parameters: Value,
    description: Option<String>,
    request: Option<Value>,
    responses: Value,
}

/// An API with its operations and the visible products that hold it.
pub(super) async fn api(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let name = http.match_info().get("api").unwrap_or_default();
        let sql = format!(
            "SELECT {API_COLUMNS} FROM apis a WHERE a.parent_id = $1 AND a.is_current AND lower(a.name) = lower($3) \
             AND EXISTS (SELECT FROM product_apis pa JOIN products p ON p.id = pa.product_id WHERE pa.api_id = a.root_id AND {VISIBLE})"
        );
        let api: Api = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(name)
            .fetch_optional(&state.engine.pool)
            .await?
            .ok_or_else(|| Error::not_found("API"))?;
        let operations: Vec<Operation> = sqlx::query_as(
            "SELECT name, display_name, method, url_template, template_parameters, description, request, responses \
             FROM api_operations WHERE parent_id = $1 ORDER BY lower(display_name), name",
        )
        .bind(api.id)
        .fetch_all(&state.engine.pool)
        .await?;
        let sql = format!(
            "SELECT p.* FROM products p JOIN product_apis pa ON pa.product_id = p.id \
             WHERE {VISIBLE} AND pa.api_id = (SELECT root_id FROM apis WHERE id = $3) ORDER BY lower(p.display_name)"
        );
        let products: Vec<Product> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(api.id)
            .fetch_all(&state.engine.pool)
            .await?;
        let mut body = api.described(&portal);
        body["operations"] = operations
            .into_iter()
            .map(|o| {
                json!({
                    "name": o.name, "displayName": o.display_name, "method": o.method,
                    "urlTemplate": o.url_template, "templateParameters": o.template_parameters,
                    "description": o.description, "request": o.request, "responses": o.responses,
                })
            })
            .collect();
        body["products"] = products.iter().map(Product::described).collect();
        Ok(fresh(&body))
    })
    .await
}
