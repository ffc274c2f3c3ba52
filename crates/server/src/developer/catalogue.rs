//! What a developer may see: published products of his groups, their APIs, the operations of those.

use super::{Portal, answered, content::Presentation, fresh, markdown, session::Developer};
use crate::State;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use description::Format;
use engine::{Error, Result};
use kinds::operation::{ParameterContract, RequestContract, ResponseContract};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// Products `p` that the user `$2` may see: published, and open to one of his groups. What everybody may
/// see is open to the group `guests`.
const VISIBLE: &str = "p.parent_id = $1 AND p.state = 'published' AND EXISTS (SELECT FROM product_groups pg \
     JOIN groups g ON g.id = pg.group_id WHERE pg.product_id = p.id AND (g.name = 'guests' \
     OR EXISTS (SELECT FROM group_users gu WHERE gu.group_id = g.id AND gu.user_id = $2)))";

/// APIs `a` of such products.
fn visible_apis() -> String {
    format!(
        "a.parent_id = $1 AND a.is_current AND EXISTS (SELECT FROM product_apis pa JOIN products p ON p.id = pa.product_id \
         WHERE pa.api_id = a.root_id AND {VISIBLE})"
    )
}

/// Most rows of a list.
const LIST_LIMIT: i64 = 200;
/// Most rows of a page of APIs.
const PAGE_LIMIT: i64 = 100;
/// Rows of a page where nobody says how many.
const PAGE: i64 = 30;

/// A product.
#[derive(FromRow, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    #[serde(skip)]
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) description: Option<String>,
    pub(super) terms: Option<String>,
    pub(super) subscription_required: bool,
    pub(super) approval_required: bool,
    pub(super) subscriptions_limit: Option<i32>,
}

const PRODUCT_COLUMNS: &str = "p.id, p.name, p.display_name, p.description, p.terms, p.subscription_required, \
     coalesce(p.approval_required, false) AS approval_required, p.subscriptions_limit";

/// Products.
#[derive(Serialize, ToSchema)]
pub struct ProductList {
    value: Vec<Product>,
}

/// A product with its APIs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductPage {
    #[serde(flatten)]
    product: Product,
    /// The description as HTML.
    description_html: Option<String>,
    apis: Vec<Api>,
}

/// An API.
#[derive(FromRow, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// The current revision.
    #[serde(skip)]
    id: Uuid,
    /// What it is a revision of.
    #[serde(skip)]
    pub(super) root_id: Uuid,
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) description: Option<String>,
    path: String,
    version: Option<String>,
    /// `http`, `soap`, `websocket` or `graphql`.
    #[serde(rename = "type")]
    #[sqlx(rename = "type")]
    kind: String,
    subscription_required: bool,
    #[schema(value_type = KeyNames)]
    key_names: Value,
    /// URL at the gateway, before the operations' own.
    #[sqlx(skip)]
    base_url: String,
    #[sqlx(json)]
    tags: Vec<Tag>,
}

/// Where an API takes the subscription key.
#[derive(Serialize, ToSchema)]
pub struct KeyNames {
    header: Option<String>,
    query: Option<String>,
}

/// A tag.
#[derive(Serialize, serde::Deserialize, FromRow, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tag {
    name: String,
    display_name: String,
}

const API_COLUMNS: &str = "a.id, a.root_id, a.name, a.display_name, a.description, a.path, a.api_version AS version, a.type, \
     a.subscription_required, a.subscription_key_parameter_names AS key_names, \
     (SELECT coalesce(jsonb_agg(jsonb_build_object('name', t.name, 'displayName', t.display_name) ORDER BY lower(t.display_name)), '[]') \
      FROM api_tags x JOIN tags t ON t.id = x.tag_id WHERE x.api_id = a.id) AS tags";

impl Api {
    fn at(mut self, portal: &Portal) -> Self {
        let gateway = portal.gateway_url.clone().unwrap_or_default();
        let path = self.path.trim_matches('/');
        self.base_url = if path.is_empty() {
            gateway
        } else {
            format!("{gateway}/{path}")
        };
        self
    }
}

/// A page of APIs.
#[derive(Serialize, ToSchema)]
pub struct ApiList {
    value: Vec<Api>,
    /// How many there are on all pages.
    count: i64,
}

/// Tags.
#[derive(Serialize, ToSchema)]
pub struct TagList {
    value: Vec<Tag>,
}

/// An API with all that its page shows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiPage {
    #[serde(flatten)]
    api: Api,
    /// The description as HTML.
    description_html: Option<String>,
    operations: Vec<Operation>,
    products: Vec<Product>,
    /// Schemas of types, by the id of the document and the name of the type: JSON Schema where the document is OpenAPI's.
    #[schema(value_type = Object)]
    schemas: Map<String, Value>,
}

/// An operation.
#[derive(FromRow, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    name: String,
    display_name: String,
    method: String,
    url_template: String,
    #[schema(value_type = Vec<ParameterContract>)]
    template_parameters: Value,
    description: Option<String>,
    #[schema(value_type = Option<RequestContract>)]
    request: Option<Value>,
    #[schema(value_type = Vec<ResponseContract>)]
    responses: Value,
}

/// A parameter of the query.
pub(super) fn query(http: &HttpRequest, name: &str) -> Option<String> {
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(http.query_string()).unwrap_or_default();
    query
        .into_iter()
        .find(|(given, _)| given == name)
        .map(|(_, value)| value)
}

fn number(http: &HttpRequest, name: &str, otherwise: i64, most: i64) -> Result<i64> {
    match query(http, name) {
        None => Ok(otherwise),
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|number| (0..=most).contains(number))
            .ok_or_else(|| Error::invalid(name, format!("must be 0 to {most}"))),
    }
}

async fn user(state: &State, http: &HttpRequest, portal: &Portal) -> Result<Option<Uuid>> {
    let user = Developer::of(state, http, portal).await?.map(|d| d.id);
    if user.is_none() && Presentation::of(state, portal).await?.sign_in_required {
        return Err(Error::Unauthenticated("Sign in first.".into()));
    }
    Ok(user)
}

/// A product that the developer may see.
pub(super) async fn visible(
    state: &State,
    portal: &Portal,
    user: Option<Uuid>,
    name: &str,
) -> Result<Product> {
    let sql = format!(
        "SELECT {PRODUCT_COLUMNS} FROM products p WHERE {VISIBLE} AND lower(p.name) = lower($3)"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(portal.id)
        .bind(user)
        .bind(name)
        .fetch_optional(&state.engine.pool)
        .await?
        .ok_or_else(|| Error::not_found("Product"))
}

/// The addressed API, if the developer may see it.
pub(super) async fn visible_api(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    user: Option<Uuid>,
) -> Result<Api> {
    let sql = format!(
        "SELECT {API_COLUMNS} FROM apis a WHERE {} AND lower(a.name) = lower($3)",
        visible_apis()
    );
    let api: Option<Api> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(portal.id)
        .bind(user)
        .bind(http.match_info().get("api").unwrap_or_default())
        .fetch_optional(&state.engine.pool)
        .await?;
    api.map(|api| api.at(portal))
        .ok_or_else(|| Error::not_found("API"))
}

/// The APIs that everybody may see.
pub(super) async fn public_apis(state: &State, portal: &Portal) -> Result<Vec<Api>> {
    let sql = format!(
        "SELECT {API_COLUMNS} FROM apis a WHERE {} ORDER BY lower(a.display_name), a.name LIMIT $3",
        visible_apis()
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(portal.id)
        .bind(None::<Uuid>)
        .bind(LIST_LIMIT)
        .fetch_all(&state.engine.pool)
        .await?)
}

pub(super) async fn products(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let sql = format!(
            "SELECT {PRODUCT_COLUMNS} FROM products p WHERE {VISIBLE} ORDER BY lower(p.display_name), p.name LIMIT $3"
        );
        let value: Vec<Product> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(LIST_LIMIT)
            .fetch_all(&state.engine.pool)
            .await?;
        Ok(fresh(&ProductList { value }))
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
             WHERE pa.product_id = $1 AND a.is_current ORDER BY lower(a.display_name), a.name"
        );
        let apis: Vec<Api> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(product.id)
            .fetch_all(&state.engine.pool)
            .await?;
        Ok(fresh(&ProductPage {
            description_html: product.description.as_deref().map(markdown::html),
            product,
            apis: apis.into_iter().map(|api| api.at(&portal)).collect(),
        }))
    })
    .await
}

pub(super) async fn apis(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let search = query(&http, "q").unwrap_or_default().to_lowercase();
        let tag = query(&http, "tag").unwrap_or_default();
        let skip = number(&http, "skip", 0, i64::from(u32::MAX))?;
        let top = number(&http, "top", PAGE, PAGE_LIMIT)?;
        let found = format!(
            "{} AND ($3 = '' OR strpos(lower(a.display_name || ' ' || coalesce(a.description, '')), $3) > 0) \
             AND ($4 = '' OR EXISTS (SELECT FROM api_tags x JOIN tags t ON t.id = x.tag_id WHERE x.api_id = a.id AND lower(t.name) = lower($4)))",
            visible_apis()
        );
        let sql = format!(
            "SELECT {API_COLUMNS} FROM apis a WHERE {found} ORDER BY lower(a.display_name), a.name LIMIT $5 OFFSET $6"
        );
        let apis: Vec<Api> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(&search)
            .bind(&tag)
            .bind(top)
            .bind(skip)
            .fetch_all(&state.engine.pool)
            .await?;
        let sql = format!("SELECT count(*) FROM apis a WHERE {found}");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(&search)
            .bind(&tag)
            .fetch_one(&state.engine.pool)
            .await?;
        Ok(fresh(&ApiList {
            value: apis.into_iter().map(|api| api.at(&portal)).collect(),
            count,
        }))
    })
    .await
}

pub(super) async fn tags(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let sql = format!(
            "SELECT t.name, t.display_name FROM tags t WHERE t.parent_id = $1 AND EXISTS (SELECT FROM api_tags x \
             JOIN apis a ON a.id = x.api_id WHERE x.tag_id = t.id AND {}) ORDER BY lower(t.display_name), t.name LIMIT $3",
            visible_apis()
        );
        let value: Vec<Tag> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(LIST_LIMIT)
            .fetch_all(&state.engine.pool)
            .await?;
        Ok(fresh(&TagList { value }))
    })
    .await
}

/// An API with its operations, its types, and the visible products that hold it.
pub(super) async fn api(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let api = visible_api(&state, &http, &portal, user).await?;
        let operations: Vec<Operation> = sqlx::query_as(
            "SELECT name, display_name, method, url_template, template_parameters, description, request, responses \
             FROM api_operations WHERE parent_id = $1 ORDER BY lower(display_name), name",
        )
        .bind(api.id)
        .fetch_all(&state.engine.pool)
        .await?;
        let sql = format!(
            "SELECT {PRODUCT_COLUMNS} FROM products p JOIN product_apis pa ON pa.product_id = p.id \
             WHERE {VISIBLE} AND pa.api_id = $3 ORDER BY lower(p.display_name), p.name"
        );
        let products: Vec<Product> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(portal.id)
            .bind(user)
            .bind(api.root_id)
            .fetch_all(&state.engine.pool)
            .await?;
        let documents: Vec<(String, Value)> =
            sqlx::query_as("SELECT name, document FROM api_schemas WHERE parent_id = $1")
                .bind(api.id)
                .fetch_all(&state.engine.pool)
                .await?;
        Ok(fresh(&ApiPage {
            description_html: api.description.as_deref().map(markdown::html),
            api,
            operations,
            products,
            schemas: documents
                .into_iter()
                .map(|(name, document)| (name, types(document)))
                .collect(),
        }))
    })
    .await
}

/// The types of a document by name; a document that is one text, such as XML Schema, as that text.
fn types(mut document: Value) -> Value {
    for place in ["/components/schemas", "/definitions", "/value"] {
        if let Some(found) = document.pointer_mut(place)
            && !found.is_null()
        {
            return found.take();
        }
    }
    Value::Null
}

pub(super) async fn openapi(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let user = user(&state, &http, &portal).await?;
        let api = visible_api(&state, &http, &portal, user).await?;
        // A `+` that a browser did not escape arrives as a space.
        let format = query(&http, "format").map(|format| format.replace(' ', "+"));
        let (format, extension) = match format.as_deref() {
            None | Some("openapi+json") => (Format::OpenapiJson, "json"),
            Some("openapi") => (Format::Openapi, "yaml"),
            Some("swagger") => (Format::SwaggerJson, "json"),
            Some(_) => {
                return Err(Error::invalid(
                    "format",
                    "must be openapi+json, openapi or swagger",
                ));
            }
        };
        let mut connection = state.engine.pool.acquire().await?;
        let gateway = portal.gateway_url.as_deref().unwrap_or_default();
        let document = kinds::export::written(&mut connection, api.id, format, gateway).await?;
        // Names of resources hold nothing that would need quoting in the header.
        let file = format!("inline; filename=\"{}.{extension}\"", api.name);
        Ok(HttpResponse::Ok()
            .content_type(document.media_type)
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::CONTENT_DISPOSITION, file))
            .body(document.text))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_found_in_every_sort_of_document() {
        for (document, expected) in [
            (
                json!({"components": {"schemas": {"A": {}}}}),
                json!({"A": {}}),
            ),
            (json!({"definitions": {"A": {}}}), json!({"A": {}})),
            (json!({"value": "<xs:schema/>"}), json!("<xs:schema/>")),
            (json!({"components": {}}), Value::Null),
        ] {
            assert_eq!(types(document.clone()), expected, "{document}");
        }
    }
}
