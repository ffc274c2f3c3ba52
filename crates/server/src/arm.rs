//! What unmodified clients ask for before they reach API management: cloud metadata, tenants,
//! subscriptions, resource groups and provider registration.
//!
//! Subscriptions and resource groups are names that group services; they exist implicitly, so any id is
//! answered. Lists name only those of services over which the caller has a role.

use crate::{
    State,
    management::{base_url, caller, fail},
};
use actix_web::{HttpRequest, HttpResponse, web};
use arm_id::PROVIDER;
use engine::{Caller, Error};
use serde_json::{Value, json};
use uuid::Uuid;

/// The tenant of every installation: fixed, because there is only one.
pub const TENANT: &str = identity::TENANT;

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/metadata/endpoints", web::get().to(endpoints))
        .route("/tenants", web::get().to(tenants))
        .route("/subscriptions", web::get().to(subscriptions))
        .route("/subscriptions/{subscription}", web::get().to(subscription))
        .route(
            "/subscriptions/{subscription}/locations",
            web::get().to(locations),
        )
        .route(
            "/subscriptions/{subscription}/{groups:(?i)resourceGroups}",
            web::get().to(groups),
        )
        .route(
            "/subscriptions/{subscription}/{groups:(?i)resourceGroups}/{group}",
            web::to(group),
        )
        .route(
            "/subscriptions/{subscription}/providers",
            web::get().to(providers),
        )
        .route(
            "/subscriptions/{subscription}/providers/{namespace}",
            web::get().to(provider),
        )
        .route(
            "/subscriptions/{subscription}/providers/{namespace}/register",
            web::post().to(provider),
        );
}

async fn endpoints(http: HttpRequest) -> HttpResponse {
    let base = base_url(&http);
    let host = base
        .split_once("://")
        .map_or("", |(_, host)| host)
        .to_owned();
    let one = json!({
        "name": "Portico",
        "portal": base, "graphAudience": base, "graph": base, "gallery": base,
        "resourceManager": format!("{base}/"),
        "batch": base, "sqlManagement": base, "media": base, "vmImageAliasDoc": base,
        "activeDirectoryDataLake": base, "microsoftGraphResourceId": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": TENANT, "identityProvider": "AAD"
        },
        "suffixes": {"storage": host, "keyVaultDns": host, "sqlServerHostname": host,
                     "azureDataLakeStoreFileSystem": host, "acrLoginServer": host,
                     "azureDataLakeAnalyticsCatalogAndJob": host}
    });
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(http.query_string()).unwrap_or_default();
    let version = query
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("api-version"))
        .map_or("", |(_, version)| version.as_str());
    // The contract's answer was a small object at first, then a list, and is one object again.
    HttpResponse::Ok().json(match version {
        "" | "2015-01-01" | "1.0" => json!({
            "galleryEndpoint": base, "graphEndpoint": base, "portalEndpoint": base,
            "authentication": {"loginEndpoint": base, "audiences": one["authentication"]["audiences"]}
        }),
        version if version < "2022-01-01" => json!([one]),
        _ => one,
    })
}

/// Authenticates, then answers with what `body` makes for the principal; tenant access is none.
async fn answered(
    state: &State,
    http: &HttpRequest,
    body: impl AsyncFnOnce(Option<Uuid>) -> Result<Value, Error>,
) -> HttpResponse {
    let principal = match caller(state, http).await {
        Ok(Caller::Principal { id, .. }) => Some(id),
        Ok(Caller::Developer { .. } | Caller::Integration { .. }) => None,
        Err(error) => return fail(http, &error),
    };
    match body(principal).await {
        Ok(body) => HttpResponse::Ok().json(body),
        Err(error) => fail(http, &error),
    }
}

/// Services `s` over which the principal `$1` has a role, deleted ones among them.
const SEEN: &str = "EXISTS (SELECT FROM role_assignments a WHERE a.principal_id = $1 \
     AND a.role <> 'developer' AND (a.scope_service_id IS NULL OR a.scope_service_id = s.id))";

async fn tenants(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |_| {
        Ok(json!({"value": [{"id": format!("/tenants/{TENANT}"), "tenantId": TENANT, "displayName": "Portico", "tenantCategory": "Home"}]}))
    })
    .await
}

fn described(id: &str) -> Value {
    json!({"id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": TENANT, "displayName": id,
           "state": "Enabled", "authorizationSource": "RoleBased", "managedByTenants": [],
           "subscriptionPolicies": {"locationPlacementId": "Internal_2014-09-01", "quotaId": "Internal_2014-09-01", "spendingLimit": "Off"}})
}

async fn subscriptions(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |principal| {
        // Also where a service was deleted: whoever wants it back finds it there.
        let sql =
            format!("SELECT DISTINCT s.subscription_id FROM services s WHERE {SEEN} ORDER BY 1");
        let mut known: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(principal)
            .fetch_all(&state.engine.pool)
            .await?;
        // A first client must see one to begin with.
        if known.is_empty() {
            known.push(TENANT.to_owned());
        }
        let value: Vec<Value> = known.iter().map(|id| described(id)).collect();
        Ok(json!({"value": value, "count": {"type": "Total", "value": known.len()}}))
    })
    .await
}

async fn subscription(
    state: web::Data<State>,
    http: HttpRequest,
    path: web::Path<String>,
) -> HttpResponse {
    answered(&state, &http, async |_| Ok(described(&path))).await
}

async fn locations(
    state: web::Data<State>,
    http: HttpRequest,
    path: web::Path<String>,
) -> HttpResponse {
    answered(&state, &http, async |principal| {
        let sql = format!("SELECT DISTINCT s.location FROM services s WHERE s.deleted_at IS NULL AND {SEEN} ORDER BY 1");
        let known: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(principal)
            .fetch_all(&state.engine.pool)
            .await?;
        let value: Vec<Value> = known
            .iter()
            .map(|name| {
                let short = name.to_lowercase().replace(' ', "");
                json!({"id": format!("/subscriptions/{path}/locations/{short}"), "name": short, "displayName": name, "regionalDisplayName": name})
            })
            .collect();
        Ok(json!({"value": value}))
    })
    .await
}

fn group_of(subscription: &str, name: &str) -> Value {
    json!({"id": format!("/subscriptions/{subscription}/resourceGroups/{name}"), "name": name,
           "type": "Microsoft.Resources/resourceGroups", "location": "global",
           "properties": {"provisioningState": "Succeeded"}})
}

async fn groups(
    state: web::Data<State>,
    http: HttpRequest,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    answered(&state, &http, async |principal| {
        let sql = format!(
            "SELECT DISTINCT s.resource_group FROM services s WHERE s.deleted_at IS NULL AND {SEEN} AND lower(s.subscription_id) = lower($2) ORDER BY 1"
        );
        let known: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(principal)
            .bind(&path.0)
            .fetch_all(&state.engine.pool)
        .await?;
        Ok(json!({"value": known.iter().map(|name| group_of(&path.0, name)).collect::<Vec<_>>()}))
    })
    .await
}

/// Groups exist implicitly: GET, PUT and HEAD succeed, DELETE has nothing to delete.
async fn group(
    state: web::Data<State>,
    http: HttpRequest,
    path: web::Path<(String, String, String)>,
) -> HttpResponse {
    if let Err(error) = caller(&state, &http).await {
        return fail(&http, &error);
    }
    match http.method().as_str() {
        "GET" | "PUT" | "PATCH" => HttpResponse::Ok().json(group_of(&path.0, &path.2)),
        "HEAD" => HttpResponse::NoContent().finish(),
        other => fail(&http, &Error::MethodNotAllowed(other.to_owned())),
    }
}

fn registered(subscription: &str, namespace: &str) -> Value {
    json!({"id": format!("/subscriptions/{subscription}/providers/{namespace}"), "namespace": namespace,
           "registrationPolicy": "RegistrationRequired", "registrationState": "Registered",
           "resourceTypes": [{"resourceType": "service", "apiVersions": ["2024-05-01", "2022-08-01"], "locations": []},
                             {"resourceType": "gateways", "apiVersions": ["2024-06-01-preview", "2024-05-01"], "locations": []}]})
}

async fn providers(
    state: web::Data<State>,
    http: HttpRequest,
    path: web::Path<String>,
) -> HttpResponse {
    answered(&state, &http, async |_| {
        Ok(json!({"value": [registered(&path, PROVIDER)]}))
    })
    .await
}

async fn provider(
    state: web::Data<State>,
    http: HttpRequest,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    answered(&state, &http, async |_| Ok(registered(&path.0, &path.1))).await
}
