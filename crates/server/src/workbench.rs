//! The policy workbench: a request against draft policies, offline, with the trace of every step.
//!
//! `POST …/service/{name}/policyWorkbench`. Portico's own addition to the contract. Nothing is sent
//! anywhere: the answer of the backend is part of the request, and limits count apart from live calls.
//!
//! `GET` of it lists the policies that there are, for whoever writes one.

use crate::State;
use engine::{
    Access, Error, Method, PgConnection, Reply, Request, Result, Violations, json, verbs::At,
};
use gateway::RehearsalError;
use serde::Deserialize;
use serde_json::Value;
use snapshot::{
    Change, Entity,
    entity::{Policy, PolicyScope},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Largest status of a reply.
const LARGEST_STATUS: u16 = 599;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rehearsal {
    /// Documents in the place of the stored ones.
    #[serde(default)]
    drafts: Vec<Draft>,
    request: Message,
    /// What the backend answers; 200 without a body when absent.
    response: Option<Message>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// `/`, `/products/{id}`, `/apis/{id}` or `/apis/{id}/operations/{id}`.
    scope: String,
    value: String,
    #[serde(default)]
    format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    method: Option<String>,
    /// Path and query at the gateway.
    url: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

/// The reply to a rehearsal or to the question which policies there are; `None` for other requests.
///
/// # Errors
/// Every violation of the body and every problem of a draft; missing service, missing role.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    if !request.is_of_service("policyWorkbench") {
        return Ok(None);
    }
    let mut connection = state.engine.pool.acquire().await?;
    if request.method == Method::Get {
        state
            .engine
            .enter(
                &mut connection,
                request,
                Access::Read,
                "policyWorkbench/read",
            )
            .await?;
        let policies = policy::catalogue();
        return Ok(Some(Reply::ok(
            json!({"count": policies.len(), "value": policies}),
        )));
    }
    if request.method != Method::Post {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    // Traces show what policies add to requests, keys of backends among it.
    let at = state
        .engine
        .enter(
            &mut connection,
            request,
            Access::Secret,
            "policyWorkbench/action",
        )
        .await?;
    let gateway = state.gateway.as_ref().ok_or_else(|| {
        Error::Conflict("This process runs no gateway; ask one that does.".into())
    })?;
    let rehearsal: Rehearsal = serde_json::from_value(Value::Object(request.json()?))
        .map_err(|e| Error::Malformed(format!("The request content was invalid: {e}")))?;
    let mut violations = Violations::default();
    let mut changes = Vec::new();
    for (number, draft) in rehearsal.drafts.iter().enumerate() {
        if let Some(policy) =
            read_draft(&mut connection, &at, number, draft, &mut violations).await?
        {
            changes.push(Change::Put(Entity::Policy(policy)));
        }
    }
    let host: String = sqlx::query_scalar("SELECT gateway_hostname FROM services WHERE id = $1")
        .bind(at.service.id)
        .fetch_one(&mut *connection)
        .await?;
    let (call, backend) = messages(&rehearsal, &host, &mut violations);
    violations.into_result()?;
    let (Some(call), Some(backend)) = (call, backend) else {
        return Err(Error::internal("a message was refused without a violation"));
    };
    let draft = gateway.snapshot().apply(changes);
    let done = gateway
        .rehearse(&draft, call, backend)
        .await
        .map_err(|error| match error {
            RehearsalError::UnknownHost(_) => {
                Error::Conflict("The gateway does not serve this service (yet).".into())
            }
            other => Error::Internal(Box::new(other)),
        })?;
    let forwarded = done.forwarded.map(|request| {
        json!({
            "method": request.method().as_str(),
            "url": request.uri().to_string(),
            "headers": headers(request.headers()),
            "body": String::from_utf8_lossy(request.body()),
        })
    });
    Ok(Some(Reply::ok(json!({
        "response": {
            "status": done.response.status().as_u16(),
            "headers": headers(done.response.headers()),
            "body": String::from_utf8_lossy(done.response.body()),
        },
        "forwarded": forwarded,
        "steps": serde_json::to_value(done.steps).map_err(Error::internal)?,
    }))))
}

fn headers(map: &http::HeaderMap) -> Value {
    map.iter()
        .map(|(name, value)| json!({"name": name.as_str(), "value": String::from_utf8_lossy(value.as_bytes())}))
        .collect()
}

/// A draft as the policy of its scope, in the place of the stored one.
async fn read_draft(
    connection: &mut PgConnection,
    at: &At,
    number: usize,
    draft: &Draft,
    violations: &mut Violations,
) -> Result<Option<Policy>> {
    let parts: Vec<&str> = draft
        .scope
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let (sql, kind, names): (&str, policy::Scope, &[&str]) = match parts.as_slice() {
        [] => (
            "SELECT $1::uuid, (SELECT id FROM service_policies WHERE parent_id = $1) WHERE $2::text[] IS NOT NULL",
            policy::Scope::Global,
            &[],
        ),
        [kind, name] if kind.eq_ignore_ascii_case("products") => (
            "SELECT p.id, x.id FROM products p LEFT JOIN product_policies x ON x.parent_id = p.id \
             WHERE p.parent_id = $1 AND lower(p.name) = lower($2[1])",
            policy::Scope::Product,
            &[*name],
        ),
        [kind, name] if kind.eq_ignore_ascii_case("apis") => (
            "SELECT a.id, x.id FROM apis a LEFT JOIN api_policies x ON x.parent_id = a.id \
             WHERE a.parent_id = $1 AND (lower(a.name) = lower($2[1]) OR lower(a.revision_name) = lower($2[1]))",
            policy::Scope::Api,
            &[*name],
        ),
        [kind, api, inner, name]
            if kind.eq_ignore_ascii_case("apis") && inner.eq_ignore_ascii_case("operations") =>
        {
            (
                "SELECT o.id, x.id FROM apis a JOIN api_operations o ON o.parent_id = a.id \
             LEFT JOIN operation_policies x ON x.parent_id = o.id \
             WHERE a.parent_id = $1 AND (lower(a.name) = lower($2[1]) OR lower(a.revision_name) = lower($2[1])) AND lower(o.name) = lower($2[2])",
                policy::Scope::Operation,
                &[*api, *name],
            )
        }
        _ => {
            violations.add(
                format!("drafts[{number}].scope"),
                "must be /, /products/{id}, /apis/{id} or /apis/{id}/operations/{id}",
            );
            return Ok(None);
        }
    };
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let found: Option<(Uuid, Option<Uuid>)> = sqlx::query_as(sql)
        .bind(at.service.id)
        .bind(names)
        .fetch_optional(&mut *connection)
        .await?;
    let Some((owner, stored)) = found else {
        violations.add(
            format!("drafts[{number}].scope"),
            "names something that does not exist",
        );
        return Ok(None);
    };
    let format = match draft.format.as_deref() {
        None | Some("xml") => policy::Format::Xml,
        Some("rawxml") => policy::Format::RawXml,
        Some(_) => {
            violations.add(format!("drafts[{number}].format"), "must be xml or rawxml");
            return Ok(None);
        }
    };
    if let Err(problems) = policy::parse(&draft.value, format, kind) {
        for problem in problems {
            violations.add(
                format!("drafts[{number}].value"),
                format!(
                    "is wrong at line {}, column {}: {}",
                    problem.line, problem.column, problem.message
                ),
            );
        }
        return Ok(None);
    }
    Ok(Some(Policy {
        id: stored.unwrap_or_else(Uuid::new_v4),
        service_id: at.service.id,
        scope: match kind {
            policy::Scope::Product => PolicyScope::Product(owner),
            policy::Scope::Api => PolicyScope::Api(owner),
            policy::Scope::Operation => PolicyScope::Operation(owner),
            policy::Scope::Global | policy::Scope::Fragment => PolicyScope::Global,
        },
        xml: draft.value.clone(),
        format,
    }))
}

type Call = http::Request<bytes::Bytes>;
type Answer = http::Response<bytes::Bytes>;

/// The caller's request and the backend's answer.
fn messages(
    rehearsal: &Rehearsal,
    host: &str,
    violations: &mut Violations,
) -> (Option<Call>, Option<Answer>) {
    let request = &rehearsal.request;
    let url = request.url.as_deref().unwrap_or_default();
    if !url.starts_with('/') {
        violations.add(
            "request.url",
            "must be a path at the gateway, with its query, such as /echo/resource?param1=x",
        );
    }
    let mut call = http::Request::builder()
        .method(request.method.as_deref().unwrap_or("GET"))
        .uri(format!("http://{host}{url}"));
    for (name, value) in &request.headers {
        call = call.header(name, value);
    }
    let call = call.body(bytes::Bytes::from(request.body.clone()));
    if let Err(error) = &call {
        violations.add("request", format!("is no HTTP request: {error}"));
    }
    let mut answer = http::Response::builder();
    let mut body = String::new();
    if let Some(response) = &rehearsal.response {
        let status = response.status.unwrap_or(200);
        if !(100..=LARGEST_STATUS).contains(&status) {
            violations.add("response.status", "must be an HTTP status");
        }
        answer = answer.status(status);
        for (name, value) in &response.headers {
            answer = answer.header(name, value);
        }
        body.clone_from(&response.body);
    }
    let answer = answer.body(bytes::Bytes::from(body));
    if let Err(error) = &answer {
        violations.add("response", format!("is no HTTP response: {error}"));
    }
    (call.ok(), answer.ok())
}
