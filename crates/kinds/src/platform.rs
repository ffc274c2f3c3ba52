//! What clients ask of a service as a whole: tiers, regions, network, settings of the tenant, all its policies.
//!
//! Portico runs where it runs: it has no tiers with limits, one region a service, and no network but the machine's.
//! What the contract promises beyond that is refused with a sentence that says so.

use crate::{
    policy_restriction::Required,
    service::{Service, ServiceContract},
};
use engine::{
    Access, Action, Any, Cx, Entity, Error, Reply, Result, Value, Violations, json, kind, sqlx,
    typed,
};

/// Tiers of the contract with the units that they may have there: labels, which Portico does not enforce.
pub const TIERS: &[(&str, i32, i32, &str)] = &[
    ("Developer", 1, 1, "none"),
    ("Basic", 1, 2, "manual"),
    ("Standard", 1, 4, "automatic"),
    ("Premium", 1, 10, "automatic"),
    ("Isolated", 1, 1, "automatic"),
    ("Consumption", 0, 0, "none"),
];

/// `GET …/service/{name}/{view}`
pub const VIEWS: &[Action] = &[
    crate::deleted_entity::PLAN,
    Action {
        name: "skus",
        operation: "ApiManagementServiceSkus_ListAvailableServiceSkus",
        summary: "Lists the tiers that the service may have.",
        access: Access::Read,
        status: 200,
        run: |_, _| {
            Box::pin(async {
                let tiers: Vec<Value> = TIERS
                    .iter()
                    .map(|(name, minimum, maximum, scale)| {
                        json!({"resourceType": "Microsoft.ApiManagement/service", "sku": {"name": name},
                               "capacity": {"minimum": minimum, "maximum": maximum, "default": minimum, "scaleType": scale}})
                    })
                    .collect();
                Ok(Reply::ok(json!({"value": tiers})))
            })
        },
    },
    Action {
        name: "regions",
        operation: "Region_ListByService",
        summary: "Lists the regions of the service.",
        access: Access::Read,
        status: 200,
        run: |_, service| {
            Box::pin(async move {
                let regions: Vec<Value> = locations(typed(service)?)
                    .into_iter()
                    .enumerate()
                    .map(|(at, name)| json!({"name": name, "isMasterRegion": at == 0, "isDeleted": false}))
                    .collect();
                let count = regions.len();
                Ok(Reply::ok(json!({"value": regions, "count": count})))
            })
        },
    },
    Action {
        name: "networkstatus",
        operation: "NetworkStatus_ListByService",
        summary: "Tells whether what the service needs can be reached, in each of its regions.",
        access: Access::Read,
        status: 200,
        run: |cx, service| {
            Box::pin(async move {
                let status = network_status(cx).await?;
                let all: Vec<Value> = locations(typed(service)?)
                    .into_iter()
                    .map(|location| json!({"location": location, "networkStatus": status}))
                    .collect();
                Ok(Reply::ok(Value::Array(all)))
            })
        },
    },
    Action {
        name: "outboundNetworkDependenciesEndpoints",
        operation: "OutboundNetworkDependenciesEndpoints_ListByService",
        summary: "Lists the hosts outside that the service depends on: the web services of its APIs and backends.",
        access: Access::Read,
        status: 200,
        run: |cx, service| Box::pin(outbound(cx, service)),
    },
    Action {
        name: "settings",
        operation: "TenantSettings_ListByService",
        summary: "Lists the settings of the tenant.",
        access: Access::Read,
        status: 200,
        run: |cx, _| {
            Box::pin(async move {
                let settings = tenant_settings(cx).await?;
                Ok(Reply::ok(json!({"value": [settings], "count": 1})))
            })
        },
    },
    Action {
        name: "settings/public",
        operation: "TenantSettings_Get",
        summary: "Gets the settings of the tenant that everybody may know.",
        access: Access::Read,
        status: 200,
        run: |cx, _| Box::pin(async move { Ok(Reply::ok(tenant_settings(cx).await?)) }),
    },
    Action {
        name: "tenant/configuration/syncState",
        operation: "TenantConfiguration_GetSyncState",
        summary: "Tells whether the configuration is kept in git, which it is not: the database is where it is.",
        access: Access::Read,
        status: 200,
        run: |cx, _| {
            let id = format!("{}/tenant/configuration/syncState", cx.service.path);
            let state = json!({"isGitEnabled": false, "isSynced": false, "isExport": false});
            Box::pin(async move {
                Ok(Reply::ok(
                    json!({"id": id, "type": "Microsoft.ApiManagement/service/tenant/syncState", "name": "syncState",
                           "properties": state}),
                ))
            })
        },
    },
    Action {
        name: "policyDescriptions",
        operation: "PolicyDescription_ListByService",
        summary: "Lists the policies that there are, for `scope=Tenant|Product|Api|Operation|All`.",
        access: Access::Read,
        status: 200,
        run: |cx, _| Box::pin(async move { policy_descriptions(cx) }),
    },
    Action {
        name: "allPolicies",
        operation: "AllPolicies_ListByService",
        summary: "Lists every policy document of the service, and whether it keeps its restrictions.",
        access: Access::Read,
        status: 200,
        run: |cx, _| Box::pin(all_policies(cx)),
    },
    Action {
        name: "privateLinkResources",
        operation: "PrivateEndpointConnection_ListPrivateLinkResources",
        summary: "Lists what private endpoints may lead to.",
        access: Access::Read,
        status: 200,
        run: |cx, _| {
            let gateway = private_link(&cx.service.path);
            Box::pin(async move { Ok(Reply::ok(json!({"value": [gateway]}))) })
        },
    },
    Action {
        name: "privateLinkResources/Gateway",
        operation: "PrivateEndpointConnection_GetPrivateLinkResource",
        summary: "Gets what private endpoints may lead to.",
        access: Access::Read,
        status: 200,
        run: |cx, _| {
            let gateway = private_link(&cx.service.path);
            Box::pin(async move { Ok(Reply::ok(gateway)) })
        },
    },
];

/// Saving to git, deploying from it and validating what is there: the configuration is in the database and nowhere else.
macro_rules! of_git {
    ($name:literal, $operation:literal, $summary:literal) => {
        Action {
            name: $name,
            operation: $operation,
            summary: $summary,
            access: Access::Write,
            status: 202,
            run: |_, _| {
                Box::pin(async {
                    Err(Error::invalid(
                        "configurationName",
                        "names the configuration in git, which this version of Portico does not have: \
                         configurations are read and written by the management API",
                    ))
                })
            },
        }
    };
}

/// `POST …/service/{name}/{action}`
pub const ACTIONS: &[Action] = &[
    of_git!(
        "tenant/configuration/save",
        "TenantConfiguration_Save",
        "Refused: there is no git to save the configuration to."
    ),
    of_git!(
        "tenant/configuration/deploy",
        "TenantConfiguration_Deploy",
        "Refused: there is no git to deploy the configuration from."
    ),
    of_git!(
        "tenant/configuration/validate",
        "TenantConfiguration_Validate",
        "Refused: there is no git whose configuration could be validated."
    ),
    Action {
        name: "getssotoken",
        operation: "ApiManagementService_GetSsoToken",
        summary: "Gives the URL of the publisher portal, which asks for a sign-in of its own.",
        access: Access::Read,
        status: 200,
        run: |cx, _| {
            let url = format!("{}/publisher", cx.engine.settings().management_url);
            Box::pin(async move { Ok(Reply::ok(json!({"redirectUri": url}))) })
        },
    },
    Action {
        name: "applynetworkconfigurationupdates",
        operation: "ApiManagementService_ApplyNetworkConfigurationUpdates",
        summary: "Makes the service see changes of its network. Names are resolved for each connection, so that nothing has to wait.",
        access: Access::Write,
        status: 200,
        run: |cx, service| Box::pin(async move { Ok(Reply::ok(shown(cx, service)?)) }),
    },
    Action {
        name: "migrateToStv2",
        operation: "ApiManagementService_MigrateToStv2",
        summary: "Moves the service to the platform stv2, where every service here is from the start.",
        access: Access::Write,
        status: 200,
        run: |cx, service| Box::pin(async move { Ok(Reply::ok(shown(cx, service)?)) }),
    },
    Action {
        name: "backup",
        operation: "ApiManagementService_Backup",
        summary: "Refused: a backup of an installation is one of its database.",
        access: Access::Own,
        status: 200,
        run: |cx, _| Box::pin(async move { no_storage(cx) }),
    },
    Action {
        name: "restore",
        operation: "ApiManagementService_Restore",
        summary: "Refused: an installation is restored from a backup of its database.",
        access: Access::Own,
        status: 200,
        run: |cx, _| Box::pin(async move { no_storage(cx) }),
    },
    Action {
        name: "validatePolicies",
        operation: "PolicyRestrictionValidations_ByService",
        summary: "Checks every policy document of the service against its restrictions.",
        access: Access::Write,
        status: 200,
        run: |cx, _| Box::pin(validate_policies(cx)),
    },
];

/// The service as its own GET shows it, but for its ETag.
fn shown(cx: &Cx<'_>, service: &dyn Entity) -> Result<Value> {
    let _: &ServiceContract = typed(service)?;
    let at = engine::verbs::At {
        service: cx.service.clone(),
        parents: Vec::new(),
        role: None,
    };
    Ok(engine::verbs::envelope(
        kind::<Service>(),
        &at,
        &cx.service.name,
        service,
    ))
}

/// The body is checked all the same, so that a mistake in it is not mistaken for the reason.
fn no_storage(cx: &Cx<'_>) -> Result<Reply> {
    let mut violations = Violations::default();
    for name in ["storageAccount", "containerName", "backupName"] {
        if cx
            .body
            .get(name)
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            violations.add(name, "is required");
        }
    }
    violations.into_result()?;
    Err(Error::Conflict(
        "This installation has no Azure storage to write to or read from. Its whole state is its Postgres database: \
         back that up and restore it with the tools of Postgres (pg_dump, pg_basebackup)."
            .into(),
    ))
}

/// The region of the service and those that it names besides.
#[must_use]
pub fn locations(service: &ServiceContract) -> Vec<String> {
    let mut out = vec![service.location.clone()];
    let more = service.additional_locations.iter().flat_map(|more| &more.0);
    out.extend(more.filter_map(|Any(place)| place["location"].as_str().map(str::to_owned)));
    out
}

/// Whether what a service needs can be reached: the database, and the mail server as the last mails found it.
///
/// # Errors
/// When the database fails.
pub async fn network_status(cx: &mut Cx<'_>) -> Result<Value> {
    let (since, name): (chrono::DateTime<chrono::Utc>, String) = sqlx::query_as(
        "SELECT pg_postmaster_start_time(), coalesce(host(inet_server_addr()), 'local socket')",
    )
    .fetch_one(&mut *cx.conn)
    .await?;
    let mut found = vec![
        json!({"name": name, "status": "success", "error": "", "lastUpdated": cx.now,
        "lastStatusChange": since, "resourceType": "Postgres", "isOptional": false}),
    ];
    let last: Option<(String, Option<String>, chrono::DateTime<chrono::Utc>)> = sqlx::query_as(
        "SELECT status, last_error, coalesce(sent_at, created_at) FROM mails \
         WHERE service_id = $1 AND status IN ('sent', 'failed') ORDER BY coalesce(sent_at, created_at) DESC LIMIT 1",
    )
    .bind(cx.service.id)
    .fetch_optional(&mut *cx.conn)
    .await?;
    if let Some((status, error, at)) = last {
        let status = if status == "sent" {
            "success"
        } else {
            "failure"
        };
        found.push(
            json!({"name": "mail server", "status": status, "error": error.unwrap_or_default(),
            "lastUpdated": at, "lastStatusChange": at, "resourceType": "Smtp", "isOptional": true}),
        );
    }
    Ok(json!({"dnsServers": [], "connectivityStatus": found}))
}

async fn outbound(cx: &mut Cx<'_>, service: &dyn Entity) -> Result<Reply> {
    let service: &ServiceContract = typed(service)?;
    let mut value = Vec::new();
    for (category, sql) in [
        (
            "Web services of APIs",
            "SELECT DISTINCT service_url FROM apis WHERE parent_id = $1 AND service_url <> '' ORDER BY 1",
        ),
        (
            "Backends",
            "SELECT DISTINCT url FROM backends WHERE parent_id = $1 AND url <> '' ORDER BY 1",
        ),
    ] {
        let urls: Vec<String> = sqlx::query_scalar(sql)
            .bind(cx.service.id)
            .fetch_all(&mut *cx.conn)
            .await?;
        let endpoints: Vec<Value> = urls
            .iter()
            .filter_map(|url| host_and_port(url))
            .map(|(host, port)| {
                json!({"domainName": host, "endpointDetails": [{"port": port, "region": service.location}]})
            })
            .collect();
        if !endpoints.is_empty() {
            value.push(json!({"category": category, "endpoints": endpoints}));
        }
    }
    Ok(Reply::ok(json!({"value": value})))
}

/// Host and port of an absolute URL.
fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let standard = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        _ => return None,
    };
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((authority.to_owned(), standard)),
    }
}

/// A row of `portal_settings`: name, `enabled`, terms, URL, and the switches of subscriptions and registration.
type StoredSetting = (
    String,
    Option<bool>,
    Option<Value>,
    Option<String>,
    Option<Value>,
    Option<Value>,
);

/// What the developer portal of the tenant does, in the words of the contract.
async fn tenant_settings(cx: &mut Cx<'_>) -> Result<Value> {
    let mut settings = serde_json::Map::new();
    let spelled = |on: bool| if on { "True" } else { "False" };
    let rows: Vec<StoredSetting> = sqlx::query_as(
        "SELECT name, enabled, terms_of_service, url, subscriptions, user_registration FROM portal_settings \
         WHERE parent_id = $1 ORDER BY name",
    )
    .bind(cx.service.id)
    .fetch_all(&mut *cx.conn)
    .await?;
    for (name, enabled, terms, url, subscriptions, registration) in rows {
        let on = |switch: &Option<Value>| {
            switch
                .as_ref()
                .is_some_and(|switch| switch["enabled"] == true)
        };
        let mut set = |name: &str, value: Value| {
            settings.insert(format!("CustomPortalSettings.{name}"), value);
        };
        match name.as_str() {
            "signup" => {
                let terms = terms.unwrap_or_default();
                set("RegistrationEnabled", spelled(enabled == Some(true)).into());
                set("UserRegistrationTerms", terms["text"].clone());
                set(
                    "UserRegistrationTermsEnabled",
                    spelled(terms["enabled"] == true).into(),
                );
                set(
                    "UserRegistrationTermsConsentRequired",
                    spelled(terms["consentRequired"] == true).into(),
                );
            }
            "signin" => set(
                "RequireUserSigninEnabled",
                spelled(enabled == Some(true)).into(),
            ),
            _ => {
                set("DelegationEnabled", spelled(on(&registration)).into());
                set("DelegationUrl", url.unwrap_or_default().into());
                set(
                    "DelegatedSubscriptionEnabled",
                    spelled(on(&subscriptions)).into(),
                );
            }
        }
    }
    Ok(json!({"id": format!("{}/settings/public", cx.service.path),
              "type": "Microsoft.ApiManagement/service/settings", "name": "public",
              "properties": {"settings": settings}}))
}

fn policy_descriptions(cx: &Cx<'_>) -> Result<Reply> {
    // Powers of two, because a policy may stand in several scopes.
    const SCOPES: &[(&str, &str, i64)] = &[
        ("Tenant", "global", 1),
        ("Product", "product", 2),
        ("Api", "api", 4),
        ("Operation", "operation", 8),
    ];
    let wanted = match cx.query.value("scope") {
        None | Some("") => None,
        Some(all) if all.eq_ignore_ascii_case("All") => None,
        Some(scope) => Some(
            SCOPES
                .iter()
                .find(|(name, _, _)| name.eq_ignore_ascii_case(scope))
                .ok_or_else(|| {
                    Error::invalid("scope", "must be Tenant, Product, Api, Operation or All")
                })?
                .1,
        ),
    };
    let value: Vec<Value> = policy::catalogue()
        .into_iter()
        .filter(|policy| wanted.is_none_or(|wanted| policy.scopes.contains(&wanted)))
        .map(|policy| {
            let scope: i64 = SCOPES
                .iter()
                .filter(|(_, name, _)| policy.scopes.contains(name))
                .map(|(_, _, bit)| bit)
                .sum();
            json!({"id": format!("{}/policyDescriptions/{}", cx.service.path, policy.element),
                   "type": "Microsoft.ApiManagement/service/policyDescriptions", "name": policy.element,
                   "properties": {"description": policy.description, "scope": scope}})
        })
        .collect();
    let count = value.len();
    Ok(Reply::ok(json!({"value": value, "count": count})))
}

/// Every policy document of the service with its path below the service.
const POLICIES: &str = "SELECT '/policies/' || name, value FROM service_policies WHERE parent_id = $1 \
     UNION ALL SELECT '/products/' || p.name || '/policies/' || d.name, d.value FROM product_policies d \
       JOIN products p ON p.id = d.parent_id WHERE p.parent_id = $1 \
     UNION ALL SELECT '/apis/' || a.name || '/policies/' || d.name, d.value FROM api_policies d \
       JOIN apis a ON a.id = d.parent_id WHERE a.parent_id = $1 \
     UNION ALL SELECT '/apis/' || a.name || '/operations/' || o.name || '/policies/' || d.name, d.value FROM operation_policies d \
       JOIN api_operations o ON o.id = d.parent_id JOIN apis a ON a.id = o.parent_id WHERE a.parent_id = $1 \
     ORDER BY 1";

/// A policy document, and the sections in which a restriction misses `<base />`.
struct Checked {
    path: String,
    missing: Vec<&'static str>,
}

async fn checked(cx: &mut Cx<'_>) -> Result<Vec<Checked>> {
    let documents: Vec<(String, String)> = sqlx::query_as(POLICIES)
        .bind(cx.service.id)
        .fetch_all(&mut *cx.conn)
        .await?;
    let required = engine::enum_text(&Required::Yes)?;
    let restricted: Vec<String> = sqlx::query_scalar(
        "SELECT coalesce(scope, '') FROM policy_restrictions WHERE parent_id = $1 AND require_base = $2",
    )
    .bind(cx.service.id)
    .bind(required)
    .fetch_all(&mut *cx.conn)
    .await?;
    let scopes: Vec<String> = restricted
        .iter()
        .filter_map(|scope| engine::strip_service(scope, &cx.service.path))
        .map(|scope| scope.to_lowercase())
        .collect();
    Ok(documents
        .into_iter()
        .map(|(path, value)| {
            let lower = path.to_lowercase();
            let holder = lower.trim_end_matches("/policies/policy");
            let restricted = scopes
                .iter()
                .any(|scope| *scope == lower || scope == holder);
            let missing = if restricted {
                without_base(&value)
            } else {
                Vec::new()
            };
            Checked { path, missing }
        })
        .collect())
}

/// The sections of a document that say nothing of the wider scope. The document was parsed when it was written.
fn without_base(document: &str) -> Vec<&'static str> {
    ["inbound", "backend", "outbound", "on-error"]
        .into_iter()
        .filter(|section| {
            let body = document
                .split_once(&format!("<{section}>"))
                .and_then(|(_, rest)| rest.split_once(&format!("</{section}>")))
                .map_or("", |(body, _)| body);
            !body.contains("<base")
        })
        .collect()
}

async fn all_policies(cx: &mut Cx<'_>) -> Result<Reply> {
    let policies: Vec<Value> = checked(cx)
        .await?
        .into_iter()
        .map(|policy| {
            let name = policy.path.trim_start_matches('/').replace('/', "-");
            let state = if policy.missing.is_empty() { "Compliant" } else { "NonCompliant" };
            json!({"id": format!("{}/allPolicies/{name}", cx.service.path),
                   "type": "Microsoft.ApiManagement/service/allPolicies", "name": name,
                   "properties": {"referencePolicyId": format!("{}{}", cx.service.path, policy.path), "complianceState": state}})
        })
        .collect();
    Ok(Reply::ok(json!({"value": policies})))
}

async fn validate_policies(cx: &mut Cx<'_>) -> Result<Reply> {
    let checked = checked(cx).await?;
    let log: Vec<Value> = checked
        .iter()
        .filter(|policy| !policy.missing.is_empty())
        .map(|policy| {
            json!({"objectType": "Policy", "action": format!("<base /> is missing in {}", policy.missing.join(", ")),
                   "objectKey": policy.path})
        })
        .collect();
    let id = cx.engine.new_id();
    let summary = match log.len() {
        0 => format!("All {} policies keep the restrictions.", checked.len()),
        broken => format!(
            "{broken} of {} policies break a restriction.",
            checked.len()
        ),
    };
    Ok(Reply::ok(
        json!({"id": format!("{}/tenant/operationResults/{id}", cx.service.path),
        "type": "Microsoft.ApiManagement/service/tenant/operationResults", "name": id.to_string(),
        "properties": {"id": id.to_string(), "status": if log.is_empty() { "Succeeded" } else { "Failed" },
            "started": cx.now, "updated": cx.now, "resultInfo": summary, "actionLog": log}}),
    ))
}

fn private_link(service: &str) -> Value {
    json!({"id": format!("{service}/privateLinkResources/Gateway"), "name": "Gateway",
           "type": "Microsoft.ApiManagement/service/privateLinkResources",
           "properties": {"groupId": "Gateway", "requiredMembers": ["Gateway"], "requiredZoneNames": []}})
}

#[cfg(test)]
mod tests {
    use super::{host_and_port, without_base};

    #[test]
    fn hosts_and_ports_of_urls_are_read() {
        for (url, wanted) in [
            ("https://example.org/base", Some(("example.org", 443))),
            ("http://example.org", Some(("example.org", 80))),
            ("wss://example.org:8443/x?y", Some(("example.org", 8443))),
            ("http://[::1]/x", Some(("[::1]", 80))),
            ("http://[::1]:81/x", Some(("[::1]", 81))),
            ("{{variable}}/x", None),
        ] {
            assert_eq!(
                host_and_port(url),
                wanted.map(|(host, port)| (host.to_owned(), port)),
                "{url}"
            );
        }
    }

    #[test]
    fn a_section_without_base_is_named() {
        let document = "<policies><inbound><base /></inbound><backend><base/></backend><outbound /></policies>";
        assert_eq!(without_base(document), ["outbound", "on-error"]);
    }
}
