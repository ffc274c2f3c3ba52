//! `<validate-parameters>` and `<validate-headers>`: what the operation documents against what was said.

use http::{HeaderMap, HeaderName, StatusCode, header};
use policy::Value;
use policy::elements::validate_content::ContentAction;
use policy::elements::validate_headers::ValidateHeaders;
use policy::elements::validate_parameters::{ParameterActions, ValidateParameters};
use policy::expression::Data;
use snapshot::entity::{Parameter, Place};

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::uri;

const PARAMETERS: &str = "validate-parameters";
const HEADERS: &str = "validate-headers";

/// Headers that say how a message travels, and that descriptions of APIs leave to their content types (OpenAPI 3.0.3, Parameter Object
/// and Response Object).
const NEVER: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::TE,
    HeaderName::from_static("keep-alive"),
];

/// A violation: whether it concerns a documented name, the name, its rule and a sentence.
struct Violation {
    is_specified: bool,
    name: String,
    reason: &'static str,
    message: String,
}

/// Whether a text is a value of a documented parameter.
fn fits(parameter: &Parameter, value: &str) -> bool {
    let of_type = match parameter.kind.to_ascii_lowercase().as_str() {
        "integer" | "int" | "int32" | "int64" | "long" => value.parse::<i128>().is_ok(),
        "number" | "float" | "double" | "decimal" => {
            value.parse::<f64>().is_ok_and(f64::is_finite) && !value.starts_with('+')
        }
        "boolean" | "bool" => matches!(value, "true" | "false"),
        // Of the others every text is one.
        _ => true,
    };
    of_type && (parameter.values.is_empty() || parameter.values.iter().any(|known| known == value))
}

/// Compares names with values against what is documented. `what` is what such a parameter is called.
fn violations(
    what: &str,
    documented: &[&Parameter],
    said: &[(String, Vec<String>)],
    ignores_case: bool,
) -> Vec<Violation> {
    let same = |one: &str, other: &str| match ignores_case {
        true => one.eq_ignore_ascii_case(other),
        false => one == other,
    };
    let mut found = Vec::new();
    for parameter in documented {
        let name = &parameter.name;
        let values = said.iter().find(|(said, _)| same(said, name));
        let (reason, message) = match values {
            None if parameter.required => {
                ("Missing", format!("Required {what} {name} is missing."))
            }
            Some((_, values)) if !values.iter().all(|value| fits(parameter, value)) => (
                "IncorrectMessage",
                format!("Value of {what} {name} could not be parsed according to the definition."),
            ),
            None | Some(_) => continue,
        };
        found.push(Violation {
            is_specified: true,
            name: name.clone(),
            reason,
            message,
        });
    }
    for (name, _) in said {
        if !documented.iter().any(|known| same(&known.name, name)) {
            found.push(Violation {
                is_specified: false,
                name: name.clone(),
                reason: "Unspecified",
                message: format!("Unspecified {what} {name} is not allowed."),
            });
        }
    }
    found
}

fn grouped(headers: &HeaderMap) -> Vec<(String, Vec<String>)> {
    headers
        .keys()
        .filter(|name| !NEVER.contains(name))
        .map(|name| {
            let values = headers.get_all(name).iter();
            let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            (name.to_string(), values.collect())
        })
        .collect()
}

pub(super) async fn apply(x: &mut Exchange, policy: &ValidateParameters) -> Result<Flow, Fault> {
    let Some(state) = x.operation.clone() else {
        return Ok(Flow::Next);
    };
    let operation = &state.operation;
    let of = |place: Place| -> Vec<&Parameter> {
        let all = operation.parameters.iter();
        all.filter(|parameter| parameter.place == place).collect()
    };
    let template: Vec<(String, Vec<String>)> = x
        .parameters()
        .into_iter()
        .map(|(name, value)| (name, vec![value]))
        .collect();
    // Parts of the query that belong to the template are parameters of the template.
    let in_template: Vec<&str> = operation
        .url_template
        .split_once('?')
        .map_or("", |(_, query)| query)
        .split('&')
        .filter_map(|part| part.split('=').next())
        .collect();
    let query: Vec<(String, Vec<String>)> = uri::grouped(&x.request.query)
        .into_iter()
        .filter(|(name, _)| !name.is_empty() && !in_template.contains(&name.as_str()))
        .collect();
    let headers = grouped(&x.request.headers);
    let parts: [(&ParameterActions, Vec<Violation>); 3] = [
        (
            &policy.path,
            violations("path parameter", &of(Place::Template), &template, false)
                .into_iter()
                .filter(|violation| violation.is_specified)
                .collect(),
        ),
        (
            &policy.query,
            violations("query parameter", &of(Place::Query), &query, false),
        ),
        (
            &policy.headers,
            violations("header", &of(Place::Header), &headers, true),
        ),
    ];
    let mut errors = Vec::new();
    let mut refusal = None;
    for (actions, violations) in parts {
        for violation in violations {
            let named = actions
                .named
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&violation.name));
            let action: &Value<ContentAction> = match (named, violation.is_specified) {
                (Some((_, action)), _) => action,
                (None, true) => actions
                    .specified
                    .as_ref()
                    .unwrap_or(&policy.specified_parameter_action),
                (None, false) => actions
                    .unspecified
                    .as_ref()
                    .unwrap_or(&policy.unspecified_parameter_action),
            };
            let action = *x.value(action, PARAMETERS).await?;
            note(action, violation, &mut errors, &mut refusal);
        }
    }
    tell(x, policy.errors_variable_name.as_deref(), errors);
    match refusal {
        None => Ok(Flow::Next),
        Some(violation) => Err(Fault::new(
            StatusCode::BAD_REQUEST,
            PARAMETERS,
            violation.reason,
            violation.message,
        )),
    }
}

pub(super) async fn headers(x: &mut Exchange, policy: &ValidateHeaders) -> Result<Flow, Fault> {
    let Some(state) = x.operation.clone() else {
        return Ok(Flow::Next);
    };
    let status = x.response.status.as_u16();
    let documented: Vec<&Parameter> = state
        .operation
        .responses
        .iter()
        .filter(|response| response.status_code == status)
        .flat_map(|response| &response.headers)
        .collect();
    let said = grouped(&x.response.headers);
    let mut errors = Vec::new();
    let mut refusal = None;
    for violation in violations("header", &documented, &said, true) {
        let named = policy
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&violation.name));
        let action = match (named, violation.is_specified) {
            (Some((_, action)), _) => action,
            (None, true) => &policy.specified_header_action,
            (None, false) => &policy.unspecified_header_action,
        };
        let action = *x.value(action, HEADERS).await?;
        note(action, violation, &mut errors, &mut refusal);
    }
    tell(x, policy.errors_variable_name.as_deref(), errors);
    match refusal {
        None => Ok(Flow::Next),
        // The caller is not to blame for what the backend says.
        Some(violation) => Err(Fault {
            shown: Some("Bad gateway"),
            ..Fault::new(
                StatusCode::BAD_GATEWAY,
                HEADERS,
                violation.reason,
                violation.message,
            )
        }),
    }
}

fn note(
    action: ContentAction,
    violation: Violation,
    errors: &mut Vec<String>,
    refusal: &mut Option<Violation>,
) {
    if action == ContentAction::Ignore {
        return;
    }
    errors.push(violation.message.clone());
    if action == ContentAction::Prevent && refusal.is_none() {
        *refusal = Some(violation);
    }
}

fn tell(x: &mut Exchange, variable: Option<&str>, errors: Vec<String>) {
    if let Some(name) = variable {
        let list = Data::list(errors.iter().map(|error| Data::from(error.as_str())));
        x.variables.insert(name.to_owned(), list);
    }
}
