//! Loggers: where calls are logged to. Their credentials are sealed; replies name them only.

use crate::service::Service;
use engine::{
    BoxFuture, Contract, Cx, Error, Filter, Json, NameRule, Resource, Result, Secret, TextColumn,
    Value, Violations, json, sqlx,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A logger.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct LoggerContract {
    /// What it logs to.
    pub logger_type: Type,
    /// Description.
    #[contract(length(0..=256))]
    pub description: Option<String>,
    /// Name and connection string of an event hub, instrumentation key or connection string of Application Insights. In
    /// replies a secret is the name under which it is kept; sent back as it is, it stays.
    pub credentials: Option<Json<BTreeMap<String, String>>>,
    /// The secrets among the credentials, as JSON.
    #[contract(internal)]
    pub sealed_credentials: Option<Secret>,
    /// Whether records are gathered before they are sent.
    #[contract(default = true)]
    pub is_buffered: bool,
    /// Resource id of what it logs to; a label.
    pub resource_id: Option<String>,
}

/// What a logger logs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    /// An event hub.
    AzureEventHub,
    /// Application Insights.
    ApplicationInsights,
    /// The log of the installation.
    AzureMonitor,
}

/// Members of the credentials that are no secrets.
const PUBLIC: &[&str] = &["name", "endpointAddress", "identityClientId"];

/// The logger that every service has.
pub const BUILT_IN: &str = "azuremonitor";

/// The kind.
pub struct Logger;

impl Resource for Logger {
    type Parent = Service;
    type Contract = LoggerContract;
    const TITLE: &'static str = "Logger";
    const SEGMENT: &'static str = "loggers";
    const PARAMETER: &'static str = "loggerId";
    const TABLE: &'static str = "loggers";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(256);
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("description", "description"),
        Filter::equal("loggerType", "logger_type"),
        Filter::text("resourceId", "resource_id"),
    ];

    fn example() -> Value {
        json!({"loggerType": "azureEventHub", "description": "Every call", "isBuffered": true,
               "credentials": {"name": "calls", "connectionString": "{{event-hub-connection}}"}})
    }

    fn validate(logger: &LoggerContract, violations: &mut Violations) {
        let given = |name: &str| {
            logger
                .credentials
                .as_ref()
                .and_then(|Json(credentials)| credentials.get(name))
                .is_some_and(|value| !value.trim().is_empty())
        };
        match logger.logger_type {
            Type::AzureEventHub => {
                if !given("name") {
                    violations.add("credentials.name", "is required for azureEventHub");
                }
                if !given("connectionString") && !given("endpointAddress") {
                    violations.add(
                        "credentials.connectionString",
                        "is required for azureEventHub, unless there is an endpointAddress",
                    );
                }
            }
            Type::ApplicationInsights => {
                if !given("instrumentationKey") && !given("connectionString") {
                    violations.add(
                        "credentials.instrumentationKey",
                        "is required for applicationInsights, unless there is a connectionString",
                    );
                }
            }
            Type::AzureMonitor => {}
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a LoggerContract>,
        new: &'a mut LoggerContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let kept = secrets(old)?;
            let mask = format!("{{{{Logger-Credentials-{}}}}}", cx.id.simple());
            let mut sealed = BTreeMap::new();
            let mut violations = Violations::default();
            for (name, value) in new.credentials.iter_mut().flat_map(|Json(all)| all) {
                // A reference to a named value is no secret itself.
                let refers = value.starts_with("{{") && value.ends_with("}}") && *value != mask;
                if PUBLIC.contains(&name.as_str()) || refers {
                    continue;
                }
                let secret = match kept.get(name) {
                    Some(kept) if *value == mask => kept.clone(),
                    None if *value == mask => {
                        violations.add(
                            format!("credentials.{name}"),
                            "names a secret that is not kept here",
                        );
                        continue;
                    }
                    _ => value.clone(),
                };
                sealed.insert(name.clone(), secret);
                value.clone_from(&mask);
            }
            violations.into_result()?;
            new.sealed_credentials = match sealed.is_empty() {
                true => None,
                false => Some(Secret::new(
                    serde_json::to_string(&sealed).map_err(Error::internal)?,
                )),
            };
            Ok(())
        })
    }

    /// A logger that diagnostics use goes only when the caller says so with `force=true`; they go with it.
    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a LoggerContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if cx.query.switch("force")? {
                return Ok(());
            }
            let users: Vec<String> = sqlx::query_scalar(
                "SELECT 'diagnostics/' || name FROM diagnostics WHERE logger_id = $1 UNION ALL \
                 SELECT 'apis/' || a.name || '/diagnostics/' || d.name FROM api_diagnostics d \
                 JOIN apis a ON a.id = d.parent_id WHERE d.logger_id = $1 ORDER BY 1 LIMIT 10",
            )
            .bind(cx.id)
            .fetch_all(&mut *cx.conn)
            .await?;
            if users.is_empty() {
                return Ok(());
            }
            Err(Error::Conflict(format!(
                "The logger is used by {}; force=true deletes it with them.",
                users.join(", ")
            )))
        })
    }
}

/// The secrets among a logger's credentials, by name.
///
/// # Errors
/// When the stored text is no JSON: ours.
pub fn secrets(logger: Option<&LoggerContract>) -> Result<BTreeMap<String, String>> {
    logger
        .and_then(|logger| logger.sealed_credentials.as_ref())
        .map_or_else(
            || Ok(BTreeMap::new()),
            |sealed| serde_json::from_str(sealed.expose()).map_err(Error::internal),
        )
}
