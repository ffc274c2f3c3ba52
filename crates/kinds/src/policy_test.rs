//! Tests of an API's policies, kept beside the API: a call, what the backend answers, and what is expected of both sides.
//!
//! Portico's own addition to the contract. `POST …/apis/{apiId}/runPolicyTests` (`server::workbench`) runs them, offline.

use crate::api::Api;
use engine::{
    Contract, Filter, Json, NameRule, Ref, Resource, Value, Violations, json,
    sqlx::{self, PgConnection},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Largest status of an HTTP response.
const LARGEST_STATUS: u16 = 599;

/// A test of policies.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PolicyTestContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: String,
    /// Description.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
    /// Subscription whose primary key the call has. The key itself is read when the test runs.
    #[contract(reference = "subscriptions")]
    pub subscription_id: Option<Ref>,
    /// The call.
    pub request: Json<TriedRequest>,
    /// What the backend answers; 200 without a body when absent.
    pub response: Option<Json<BackendResponse>>,
    /// What must come of it.
    pub expected: Json<Expectation>,
}

/// A call that is only tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(rename_all = "camelCase")]
pub struct TriedRequest {
    /// Method; GET when absent.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query at the gateway, such as `/echo/resource?param1=x`.
    pub url: String,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body.
    #[serde(default)]
    pub body: String,
}

fn get() -> String {
    "GET".to_owned()
}

/// What stands for the backend's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(rename_all = "camelCase")]
pub struct BackendResponse {
    /// Status; 200 when absent.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body.
    #[serde(default)]
    pub body: String,
}

const fn ok() -> u16 {
    200
}

impl Default for BackendResponse {
    fn default() -> Self {
        Self {
            status: ok(),
            headers: BTreeMap::new(),
            body: String::new(),
        }
    }
}

/// What must come of a tried call; what is absent is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(rename_all = "camelCase")]
pub struct Expectation {
    /// Status that the caller gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers that the caller gets; `null` for one that must be absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Option<String>>,
    /// The whole body that the caller gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// A part of the body that the caller gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// Whether the call reaches the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_forwarded: Option<bool>,
    /// What the backend gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<ExpectedForward>,
}

/// What the backend must get; what is absent is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(rename_all = "camelCase")]
pub struct ExpectedForward {
    /// Method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Whole URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers; `null` for one that must be absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Option<String>>,
    /// The whole body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Whether a text is a token of HTTP: a method, the name of a header (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let is_mark = |byte| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || is_mark(b))
}

fn check_headers(at: &str, headers: &BTreeMap<String, String>, violations: &mut Violations) {
    for (name, value) in headers {
        if !is_token(name) {
            violations.add(at, format!("has '{name}', which is no name of a header"));
        }
        if value
            .bytes()
            .any(|byte| byte.is_ascii_control() && byte != b'\t')
        {
            violations.add(at, format!("has a value of {name} with control characters"));
        }
    }
}

impl TriedRequest {
    /// Adds what makes this no call; `at` is its wire field.
    pub fn check(&self, at: &str, violations: &mut Violations) {
        if !is_token(&self.method) {
            violations.add(
                format!("{at}.method"),
                "must be a method of HTTP, such as GET",
            );
        }
        let is_path = self.url.starts_with('/')
            && self
                .url
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_path {
            violations.add(
                format!("{at}.url"),
                "must be a path at the gateway, with its query, such as /echo/resource?param1=x",
            );
        }
        check_headers(&format!("{at}.headers"), &self.headers, violations);
    }
}

impl BackendResponse {
    /// Adds what makes this no answer; `at` is its wire field.
    pub fn check(&self, at: &str, violations: &mut Violations) {
        if !(100..=LARGEST_STATUS).contains(&self.status) {
            violations.add(format!("{at}.status"), "must be an HTTP status");
        }
        check_headers(&format!("{at}.headers"), &self.headers, violations);
    }
}

/// A test as it runs.
pub struct Runnable {
    /// Name.
    pub name: String,
    /// Name that people see.
    pub display_name: String,
    /// The call.
    pub request: TriedRequest,
    /// The backend's answer.
    pub response: BackendResponse,
    /// What is expected.
    pub expected: Expectation,
    /// Row of the subscription whose key the call has.
    pub subscription: Option<Uuid>,
}

/// The tests of an API, by name.
///
/// # Errors
/// When the database fails.
pub async fn of_api(conn: &mut PgConnection, api: Uuid) -> engine::Result<Vec<Runnable>> {
    type Row = (
        String,
        String,
        sqlx::types::Json<TriedRequest>,
        Option<sqlx::types::Json<BackendResponse>>,
        sqlx::types::Json<Expectation>,
        Option<Uuid>,
    );
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT name, display_name, request, response, expected, subscription_id FROM policy_tests \
         WHERE parent_id = $1 ORDER BY lower(name)",
    )
    .bind(api)
    .fetch_all(conn)
    .await?;
    let test = |(name, display_name, request, response, expected, subscription): Row| Runnable {
        name,
        display_name,
        request: request.0,
        response: response.map(|response| response.0).unwrap_or_default(),
        expected: expected.0,
        subscription,
    };
    Ok(rows.into_iter().map(test).collect())
}

/// The kind.
pub struct PolicyTest;

impl Resource for PolicyTest {
    type Parent = Api;
    type Contract = PolicyTestContract;
    const TITLE: &'static str = "PolicyTest";
    const SEGMENT: &'static str = "policyTests";
    const PARAMETER: &'static str = "policyTestId";
    const TABLE: &'static str = "policy_tests";
    const NAME: NameRule = NameRule::id(80);
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("description", "description"),
    ];

    fn example() -> Value {
        json!({
            "displayName": "Without a key nobody gets in",
            "description": "The backend must not see such calls.",
            "request": {"method": "GET", "url": "/echo/resource?param1=x", "headers": {"Accept": "text/plain"}, "body": ""},
            "response": {"status": 200, "headers": {"Content-Type": "text/plain"}, "body": "hello"},
            "expected": {"status": 401, "headers": {"Content-Type": "application/json"}, "bodyContains": "missing subscription key", "isForwarded": false}
        })
    }

    fn validate(test: &PolicyTestContract, violations: &mut Violations) {
        test.request.0.check("request", violations);
        if let Some(response) = &test.response {
            response.0.check("response", violations);
        }
        if test.expected.0 == Expectation::default() {
            violations.add(
                "expected",
                "must name something: a test that expects nothing cannot fail",
            );
        }
    }
}
