//! What is asked of the provider and its places rather than of a service: its operations, its tiers, a domain's owner,
//! and the network as one region sees it.

use crate::State;
use arm_id::{PROVIDER, ResourcePath, Root};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{Caller, Error, Method, Registry, Reply, Request, Result, json, verbs};
use serde_json::Value;

/// The reply to requests about the provider; `None` for other requests.
///
/// # Errors
/// Methods that do not exist, missing role.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let pairs: Vec<(String, &str)> = request
        .path
        .pairs
        .iter()
        .map(|(segment, name)| (segment.to_ascii_lowercase(), name.as_str()))
        .collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(s, n)| (s.as_str(), *n)).collect();
    let tail = request.path.tail.as_deref().map(str::to_ascii_lowercase);
    let only = |method: Method| {
        if request.method == method {
            Ok(())
        } else {
            Err(Error::MethodNotAllowed(request.method.name().to_owned()))
        }
    };
    match (&request.path.root, pairs.as_slice(), tail.as_deref()) {
        (Root::Tenant, [], Some("operations")) => {
            only(Method::Get)?;
            Ok(Some(Reply::ok(
                json!({"value": operations(&state.engine.registry)}),
            )))
        }
        (Root::Subscription { .. }, [], Some("skus")) => {
            only(Method::Get)?;
            Ok(Some(Reply::ok(
                json!({"value": skus(state, request).await?}),
            )))
        }
        (Root::Subscription { subscription }, [], Some("getdomainownershipidentifier")) => {
            only(Method::Post)?;
            // The same for a subscription of an installation, as long as both are.
            let text = format!("{}\n{subscription}", state.engine.settings().management_url);
            let digest = aws_lc_rs::digest::digest(
                &aws_lc_rs::digest::SHA256,
                text.to_lowercase().as_bytes(),
            );
            Ok(Some(Reply::ok(
                json!({"domainOwnershipIdentifier": BASE64_STANDARD.encode(digest)}),
            )))
        }
        (Root::Group { .. }, [("service", service), ("locations", _)], Some("networkstatus")) => {
            only(Method::Get)?;
            network_status(state, request, service).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// Every operation of the kinds, links and actions, as a role definition would name it.
fn operations(registry: &Registry) -> Vec<Value> {
    let mut out = Vec::new();
    let mut add = |name: String, resource: &str, operation: String| {
        out.push(
            json!({"name": name, "origin": "user", "display": {"provider": "Portico API management",
            "resource": resource, "operation": operation, "description": operation}}),
        );
    };
    let inside = |name: &str| name.replacen("/service/", "/service/workspaces/", 1);
    for (kind, is_inside) in registry
        .kinds()
        .iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
    {
        let (facts, mut name) = (kind.facts(), verbs::type_name(*kind));
        if is_inside {
            if !facts.in_workspaces {
                continue;
            }
            name = inside(&name);
        }
        let what = facts.noun;
        add(format!("{name}/read"), what, format!("Read {what}"));
        if facts.verbs.put || facts.verbs.patch {
            add(
                format!("{name}/write"),
                what,
                format!("Create or change {what}"),
            );
        }
        if facts.verbs.delete {
            add(format!("{name}/delete"), what, format!("Delete {what}"));
        }
        for action in facts.actions {
            add(
                format!("{name}/{}/action", action.name),
                what,
                action.summary.to_owned(),
            );
        }
    }
    for (link, is_inside) in registry
        .links()
        .iter()
        .flat_map(|link| [(link, false), (link, true)])
    {
        let mut name = format!("{}/{}", verbs::type_name(link.parent), link.segment);
        if is_inside {
            if !link.in_workspaces {
                continue;
            }
            name = inside(&name);
        }
        let what = link.title;
        add(format!("{name}/read"), what, format!("Read {what}"));
        if link.writable {
            add(format!("{name}/write"), what, format!("Add {what}"));
            add(format!("{name}/delete"), what, format!("Remove {what}"));
        }
    }
    out
}

/// The tiers in each region where the caller may see a service.
async fn skus(state: &State, request: &Request) -> Result<Vec<Value>> {
    let principal = match &request.caller {
        Caller::Principal { id, .. } => *id,
        Caller::Developer { .. } | Caller::Integration { .. } => {
            return Err(Error::Forbidden(format!("{PROVIDER}/skus/read")));
        }
    };
    let mut places: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT lower(replace(s.location, ' ', '')) FROM services s WHERE s.deleted_at IS NULL \
         AND EXISTS (SELECT FROM role_assignments a WHERE a.principal_id = $1 AND a.role <> 'developer' \
                     AND (a.scope_service_id IS NULL OR a.scope_service_id = s.id)) ORDER BY 1",
    )
    .bind(principal)
    .fetch_all(&state.engine.pool)
    .await?;
    if places.is_empty() {
        places.push("global".into());
    }
    let mut out = Vec::new();
    for place in places {
        for (name, minimum, maximum, scale) in kinds::platform::TIERS {
            // The list of a subscription spells the ways to scale in capitals.
            let (first, rest) = scale.split_at(1);
            out.push(
                json!({"resourceType": "service", "name": name, "locations": [place],
                "locationInfo": [{"location": place, "zones": [], "zoneDetails": []}],
                "capacity": {"minimum": minimum, "maximum": maximum, "default": minimum,
                             "scaleType": format!("{}{rest}", first.to_uppercase())},
                "restrictions": []}),
            );
        }
    }
    Ok(out)
}

/// The same in every region: Portico has the network of the machine, whatever a region is called.
async fn network_status(state: &State, request: &Request, service: &str) -> Result<Reply> {
    let path = ResourcePath {
        root: request.path.root.clone(),
        pairs: vec![("service".to_owned(), service.to_owned())],
        tail: Some("networkstatus".to_owned()),
    };
    let all = Request {
        path,
        ..request.clone()
    };
    let reply = state.engine.handle(&all).await?;
    let first = reply
        .body
        .as_ref()
        .map(|all| all[0]["networkStatus"].clone());
    first
        .map(Reply::ok)
        .ok_or_else(|| Error::internal("a service without a region"))
}
