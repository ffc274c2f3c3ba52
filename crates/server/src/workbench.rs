//! The policy workbench: a request against draft policies, offline, with the trace of every step.
//!
//! `POST …/service/{name}/policyWorkbench`. Portico's own addition to the contract. Nothing is sent
//! anywhere: the answer of the backend is part of the request, and limits count apart from live calls.
//!
//! `GET` of it lists the policies that there are, for whoever writes one. `POST …/apis/{id}/runPolicyTests` tries the calls that are
//! kept beside an API ([`kinds::policy_test`]), against its policies or against drafts of them, and compares.

use crate::State;
use bytes::Bytes;
use engine::{
    Access, Error, Method, PgConnection, Reply, Request, Result, Violations, json, verbs::At,
};
use gateway::{Gateway, RehearsalError, Rehearsed};
use kinds::policy_test::{self, BackendResponse, Expectation, Runnable, TriedRequest};
use serde::Deserialize;
use serde_json::Value;
use snapshot::{
    Change, Entity,
    entity::{Policy, PolicyScope},
};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rehearsal {
    /// Documents in the place of the stored ones.
    #[serde(default)]
    drafts: Vec<Draft>,
    request: TriedRequest,
    /// What the backend answers; 200 without a body when absent.
    response: Option<BackendResponse>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    /// Documents in the place of the stored ones.
    #[serde(default)]
    drafts: Vec<Draft>,
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

/// The reply to a rehearsal, to a run of tests, or to the question which policies there are; `None` for other requests.
///
/// # Errors
/// Every violation of the body and every problem of a draft; missing service, missing role.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    if let Some(api) = tested_api(request) {
        return run_tests(state, request, api).await.map(Some);
    }
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
    let rehearsal: Rehearsal = request.read()?;
    let mut violations = Violations::default();
    let changes = read_drafts(&mut connection, &at, &rehearsal.drafts, &mut violations).await?;
    rehearsal.request.check("request", &mut violations);
    let response = rehearsal.response.unwrap_or_default();
    response.check("response", &mut violations);
    violations.into_result()?;
    let stage = Stage::new(state, &mut connection, &at, changes).await?;
    drop(connection);
    let done = stage.rehearse(&rehearsal.request, &response, None).await?;
    let forwarded = done.forwarded.map(|request| {
        json!({
            "method": request.method().as_str(),
            "url": request.uri().to_string(),
            "headers": headers(request.headers()),
            "body": String::from_utf8_lossy(request.body()),
        })
    });
    Ok(Some(Reply::ok(json!({
        "response": message(&done.response),
        "forwarded": forwarded,
        "steps": serde_json::to_value(done.steps).map_err(Error::internal)?,
    }))))
}

fn headers(map: &http::HeaderMap) -> Value {
    map.iter()
        .map(|(name, value)| json!({"name": name.as_str(), "value": String::from_utf8_lossy(value.as_bytes())}))
        .collect()
}

/// What the caller gets.
fn message(response: &http::Response<Bytes>) -> Value {
    json!({
        "status": response.status().as_u16(),
        "headers": headers(response.headers()),
        "body": String::from_utf8_lossy(response.body()),
    })
}

/// Drafts as changes of the configuration.
async fn read_drafts(
    connection: &mut PgConnection,
    at: &At,
    drafts: &[Draft],
    violations: &mut Violations,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (number, draft) in drafts.iter().enumerate() {
        let policy = read_draft(connection, at, number, draft, violations).await?;
        changes.extend(policy.map(|policy| Change::Put(Entity::Policy(policy))));
    }
    Ok(changes)
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

/// A configuration with drafts in it, and the host of the service that is tried.
struct Stage<'a> {
    gateway: &'a Gateway,
    draft: snapshot::Snapshot,
    host: String,
}

impl<'a> Stage<'a> {
    async fn new(
        state: &'a State,
        connection: &mut PgConnection,
        at: &At,
        changes: Vec<Change>,
    ) -> Result<Self> {
        let gateway = state.gateway.as_ref().ok_or_else(|| {
            Error::Conflict("This process runs no gateway; ask one that does.".into())
        })?;
        let host = sqlx::query_scalar("SELECT gateway_hostname FROM services WHERE id = $1")
            .bind(at.service.id)
            .fetch_one(connection)
            .await?;
        Ok(Self {
            gateway,
            draft: gateway.snapshot().apply(changes),
            host,
        })
    }

    /// Tries a call; `key` is the subscription key's header and value.
    async fn rehearse(
        &self,
        request: &TriedRequest,
        response: &BackendResponse,
        key: Option<(&str, &str)>,
    ) -> Result<Rehearsed> {
        let unlike_http = |error| Error::Malformed(format!("This is no HTTP message: {error}"));
        let mut call = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("http://{}{}", self.host, request.url));
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        if let Some((name, value)) = key {
            call = call.header(name, value);
        }
        let call = call
            .body(Bytes::from(request.body.clone()))
            .map_err(unlike_http)?;
        let mut answer = http::Response::builder().status(response.status);
        for (name, value) in &response.headers {
            answer = answer.header(name, value);
        }
        let answer = answer
            .body(Bytes::from(response.body.clone()))
            .map_err(unlike_http)?;
        let done = self.gateway.rehearse(&self.draft, call, answer).await;
        done.map_err(|error| match error {
            RehearsalError::UnknownHost(_) => {
                Error::Conflict("The gateway does not serve this service (yet).".into())
            }
            other => Error::Internal(Box::new(other)),
        })
    }
}

/// The API whose tests a request runs.
fn tested_api(request: &Request) -> Option<&str> {
    match (request.path.pairs.as_slice(), request.path.tail.as_deref()) {
        ([(service, _), (apis, api)], Some(last))
            if service.eq_ignore_ascii_case("service")
                && apis.eq_ignore_ascii_case("apis")
                && last.eq_ignore_ascii_case("runPolicyTests") =>
        {
            Some(api)
        }
        _ => None,
    }
}

/// Runs every test of an API. Keys that tests name are read here and nowhere shown.
async fn run_tests(state: &State, request: &Request, api: &str) -> Result<Reply> {
    if request.method != Method::Post {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let mut connection = state.engine.pool.acquire().await?;
    // As at the workbench: what policies add to requests may be secret.
    let at = state
        .engine
        .enter(
            &mut connection,
            request,
            Access::Secret,
            "apis/runPolicyTests/action",
        )
        .await?;
    let run = match request.body.is_empty() {
        true => Run { drafts: Vec::new() },
        false => request.read()?,
    };
    let found: Option<(Uuid, Value)> = sqlx::query_as(
        "SELECT id, subscription_key_parameter_names FROM apis \
         WHERE parent_id = $1 AND (lower(name) = lower($2) OR lower(revision_name) = lower($2))",
    )
    .bind(at.service.id)
    .bind(api)
    .fetch_optional(&mut *connection)
    .await?;
    let (api, key_names) = found.ok_or_else(|| Error::not_found("Api"))?;
    let mut violations = Violations::default();
    let changes = read_drafts(&mut connection, &at, &run.drafts, &mut violations).await?;
    violations.into_result()?;
    let tests = policy_test::of_api(&mut connection, api).await?;
    let mut keys = BTreeMap::new();
    for id in tests.iter().filter_map(|test| test.subscription) {
        let sealed: Vec<u8> =
            sqlx::query_scalar("SELECT primary_key FROM subscriptions WHERE id = $1")
                .bind(id)
                .fetch_one(&mut *connection)
                .await?;
        keys.insert(id, state.engine.codec.open(&sealed)?);
    }
    let stage = Stage::new(state, &mut connection, &at, changes).await?;
    drop(connection);
    let key_header = key_names["header"]
        .as_str()
        .unwrap_or("Ocp-Apim-Subscription-Key");
    let mut results = Vec::new();
    for test in &tests {
        let key = test.subscription.and_then(|id| keys.get(&id));
        let key = key.map(|key| (key_header, key.expose()));
        let done = stage.rehearse(&test.request, &test.response, key).await?;
        results.push((test, failures(&test.expected, &done), done));
    }
    let passed = results
        .iter()
        .filter(|(_, wrong, _)| wrong.is_empty())
        .count();
    Ok(Reply::ok(json!({
        "passed": passed,
        "failed": results.len() - passed,
        "value": results.iter().map(result).collect::<Vec<_>>(),
    })))
}

/// How a test went; of one that failed also what the caller would get, and the trace.
fn result((test, failures, done): &(&Runnable, Vec<String>, Rehearsed)) -> Value {
    let mut out = json!({
        "name": test.name,
        "displayName": test.display_name,
        "passed": failures.is_empty(),
        "failures": failures,
    });
    if !failures.is_empty() {
        out["response"] = message(&done.response);
        out["steps"] = json!(done.steps);
    }
    out
}

/// A text that is not as expected.
fn compare(what: &str, expected: Option<&str>, seen: &str, failures: &mut Vec<String>) {
    if let Some(expected) = expected
        && expected != seen
    {
        failures.push(format!("{what}: expected {expected:?}, got {seen:?}"));
    }
}

/// Headers that are not as expected.
fn compare_headers(
    whose: &str,
    expected: &BTreeMap<String, Option<String>>,
    seen: &http::HeaderMap,
    failures: &mut Vec<String>,
) {
    for (name, expected) in expected {
        let values: Vec<_> = seen
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let what = format!("{whose} header {name}");
        match (expected, values.join(", ")) {
            (None, _) if values.is_empty() => {}
            (None, seen) => failures.push(format!("{what}: expected none, got {seen:?}")),
            (Some(text), _) if values.is_empty() => {
                failures.push(format!("{what}: expected {text:?}, got none"));
            }
            (Some(text), seen) => compare(&what, Some(text), &seen, failures),
        }
    }
}

/// What of a tried call is not as expected, a sentence each.
fn failures(expected: &Expectation, done: &Rehearsed) -> Vec<String> {
    let mut failures = Vec::new();
    let (response, status) = (&done.response, done.response.status().as_u16());
    if let Some(expected) = expected.status
        && expected != status
    {
        failures.push(format!("status: expected {expected}, got {status}"));
    }
    compare_headers(
        "response",
        &expected.headers,
        response.headers(),
        &mut failures,
    );
    let body = String::from_utf8_lossy(response.body());
    compare("body", expected.body.as_deref(), &body, &mut failures);
    if let Some(part) = &expected.body_contains
        && !body.contains(part.as_str())
    {
        failures.push(format!("body: expected to contain {part:?}, got {body:?}"));
    }
    match (expected.is_forwarded, &done.forwarded) {
        (Some(true), None) => failures.push("the call does not reach the backend".to_owned()),
        (Some(false), Some(_)) => failures.push("the call reaches the backend".to_owned()),
        (Some(_) | None, _) => {}
    }
    match (&expected.forwarded, &done.forwarded) {
        (None, _) => {}
        (Some(_), None) => {
            failures.push("forwarded: nothing, the call does not reach the backend".to_owned())
        }
        (Some(expected), Some(request)) => {
            let (method, url) = (request.method().as_str(), request.uri().to_string());
            let body = String::from_utf8_lossy(request.body());
            compare(
                "forwarded method",
                expected.method.as_deref(),
                method,
                &mut failures,
            );
            compare(
                "forwarded url",
                expected.url.as_deref(),
                &url,
                &mut failures,
            );
            compare_headers(
                "forwarded",
                &expected.headers,
                request.headers(),
                &mut failures,
            );
            compare(
                "forwarded body",
                expected.body.as_deref(),
                &body,
                &mut failures,
            );
        }
    }
    failures
}
