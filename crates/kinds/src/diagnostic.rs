//! Diagnostics: what of the calls of a service, or of one API, goes to a logger.

use crate::{api::Api, service::Service};
use engine::{
    Contract, Filter, Json, NameRule, Ref, Resource, TextColumn, Value, Violations, json,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Largest part of a message's body that is logged, in bytes (contract: `BodyDiagnosticSettings.bytes`).
const LARGEST_BODY_BYTES: i32 = 8192;

/// A diagnostic.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct DiagnosticContract {
    /// Which calls are logged whatever the sampling says.
    pub always_log: Option<AlwaysLog>,
    /// The logger.
    #[contract(reference = "loggers")]
    pub logger_id: Ref,
    /// Which share of the calls is logged; all when absent.
    pub sampling: Option<Json<Sampling>>,
    /// What of the messages between caller and gateway is logged.
    pub frontend: Option<Json<Pipeline>>,
    /// What of the messages between gateway and web service is logged.
    pub backend: Option<Json<Pipeline>>,
    /// Whether the caller's address is logged.
    pub log_client_ip: Option<bool>,
    /// Headers that join the records of one call.
    pub http_correlation_protocol: Option<HttpCorrelationProtocol>,
    /// How much traces of policies tell.
    pub verbosity: Option<Verbosity>,
    /// What a record calls the operation.
    pub operation_name_format: Option<OperationNameFormat>,
    /// Whether `emit-metric` sends metrics.
    pub metrics: Option<bool>,
}

/// Which calls are logged whatever the sampling says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AlwaysLog {
    /// Those that fail.
    AllErrors,
}

/// Headers that join the records of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum HttpCorrelationProtocol {
    /// None.
    None,
    /// `Request-Id`
    Legacy,
    /// `traceparent`
    W3C,
}

/// How much traces of policies tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verbosity {
    /// Everything.
    Verbose,
    /// What is of interest.
    Information,
    /// Errors.
    Error,
}

/// What a record calls the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum OperationNameFormat {
    /// `api;rev=1 - operation`
    Name,
    /// Method and path.
    Url,
}

/// Which share of the calls is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sampling {
    /// How the share is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_type: Option<SamplingType>,
    /// The share in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    pub percentage: Option<serde_json::Number>,
}

/// How a share is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SamplingType {
    /// The same share always.
    Fixed,
}

/// What of both messages of one connection is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pipeline {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Message>,
    /// Of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Message>,
}

/// What of a message is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// Names of headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// How much of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// What is hidden in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_masking: Option<DataMasking>,
}

/// How much of a body is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i32>,
}

/// What is hidden in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataMasking {
    /// Query parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_params: Option<Vec<Masked>>,
    /// Headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<Masked>>,
}

/// What is hidden, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Masked {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<MaskingMode>,
}

/// How something is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum MaskingMode {
    /// The value is.
    Mask,
    /// It is left out.
    Hide,
}

fn validate(diagnostic: &DiagnosticContract, violations: &mut Violations) {
    if let Some(Json(sampling)) = &diagnostic.sampling {
        let share = sampling.percentage.as_ref().and_then(|p| p.as_f64());
        if share.is_some_and(|share| !(0.0..=100.0).contains(&share)) {
            violations.add("sampling.percentage", "must be between 0 and 100");
        }
    }
    for (side, pipeline) in [
        ("frontend", &diagnostic.frontend),
        ("backend", &diagnostic.backend),
    ] {
        let Some(Json(pipeline)) = pipeline else {
            continue;
        };
        for (part, message) in [
            ("request", &pipeline.request),
            ("response", &pipeline.response),
        ] {
            let bytes = message
                .as_ref()
                .and_then(|message| message.body.as_ref())
                .and_then(|body| body.bytes);
            if bytes.is_some_and(|bytes| !(0..=LARGEST_BODY_BYTES).contains(&bytes)) {
                violations.add(
                    format!("{side}.{part}.body.bytes"),
                    format!("must be between 0 and {LARGEST_BODY_BYTES}"),
                );
            }
        }
    }
}

macro_rules! diagnostic_kind {
    ($(#[$doc:meta])* $kind:ident, $parent:ty, $title:literal, $table:literal) => {
        $(#[$doc])*
        pub struct $kind;

        impl Resource for $kind {
            type Parent = $parent;
            type Contract = DiagnosticContract;
            const TITLE: &'static str = $title;
            const NOUN: &'static str = "Diagnostic";
            const SEGMENT: &'static str = "diagnostics";
            const PARAMETER: &'static str = "diagnosticId";
            const TABLE: &'static str = $table;
            const IN_WORKSPACES: bool = true;
            const NAME: NameRule = NameRule::id(80);
            const SERVED: bool = true;
            const FILTERS: &'static [Filter] = &[Filter::name()];

            fn example() -> Value {
                json!({"loggerId": "/loggers/azuremonitor", "alwaysLog": "allErrors",
                       "sampling": {"samplingType": "fixed", "percentage": 50},
                       "frontend": {"request": {"headers": ["Content-Type"], "body": {"bytes": 512}}}})
            }
            fn validate(diagnostic: &DiagnosticContract, violations: &mut Violations) {
                validate(diagnostic, violations);
            }
        }
    };
}

diagnostic_kind!(
    /// The diagnostics of a service.
    ServiceDiagnostic, Service, "Diagnostic", "diagnostics"
);
diagnostic_kind!(
    /// The diagnostics of an API.
    ApiDiagnostic, Api, "ApiDiagnostic", "api_diagnostics"
);
