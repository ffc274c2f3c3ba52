//! `<validate-content>`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{StatusCode, header};
use jsonschema::{PatternOptions, Validator};
use policy::elements::validate_content::{
    ContentAction, ContentRule, ContentTypeFrom, ValidateAs, ValidateContent,
};
use policy::expression::{Data, Side};
use serde_json::Value;
use snapshot::entity::{Representation, Schema};
use uuid::Uuid;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "validate-content";

pub(super) async fn apply(x: &mut Exchange, policy: &ValidateContent) -> Result<Flow, Fault> {
    let side = x.side();
    let mut errors: Vec<String> = Vec::new();
    let outcome = check(x, policy, side, &mut errors).await;
    if let Some(name) = &policy.errors_variable_name {
        let list = Data::list(errors.iter().map(|error| Data::from(error.as_str())));
        x.variables.insert(name.clone(), list);
    }
    outcome?;
    Ok(Flow::Next)
}

fn prevented(side: Side, reason: &'static str, message: String) -> Fault {
    match side {
        Side::Request => Fault::new(StatusCode::BAD_REQUEST, SOURCE, reason, message),
        // The caller is not to blame for what the backend says.
        Side::Response => Fault {
            shown: Some("Bad gateway"),
            ..Fault::new(StatusCode::BAD_GATEWAY, SOURCE, reason, message)
        },
    }
}

/// Takes note of an error, and ends the call if the policy says so.
fn note(
    side: Side,
    action: ContentAction,
    reason: &'static str,
    message: String,
    errors: &mut Vec<String>,
) -> Result<(), Fault> {
    match action {
        ContentAction::Ignore => Ok(()),
        ContentAction::Detect => {
            errors.push(message);
            Ok(())
        }
        ContentAction::Prevent => {
            errors.push(message.clone());
            Err(prevented(side, reason, message))
        }
    }
}

async fn check(
    x: &mut Exchange,
    policy: &ValidateContent,
    side: Side,
    errors: &mut Vec<String>,
) -> Result<(), Fault> {
    let max_bytes = *x.value(&policy.max_size_bytes, SOURCE).await?;
    let body = x.buffer(side, SOURCE).await?;
    if body.is_empty() {
        return Ok(());
    }
    if body.len() as u64 > max_bytes {
        let action = *x.value(&policy.size_exceeded_action, SOURCE).await?;
        let message = format!(
            "Body of the {} is {} bytes long, which exceeds the configured maximum of {max_bytes} bytes.",
            side_name(side),
            body.len()
        );
        return note(side, action, "SizeExceeded", message, errors);
    }
    let content_type = content_type(x, policy).await?;
    let rule = policy.rules.iter().find(|rule| match &rule.content_type {
        Some(wanted) => wanted.eq_ignore_ascii_case(&content_type),
        None => documented(x, side, &content_type),
    });
    let Some(rule) = rule else {
        let action = *x
            .value(&policy.unspecified_content_type_action, SOURCE)
            .await?;
        let message = format!("Unspecified content type '{content_type}' is not allowed.");
        return note(side, action, "UnspecifiedContentType", message, errors);
    };
    let action = *x.value(&rule.action, SOURCE).await?;
    if action == ContentAction::Ignore {
        return Ok(());
    }
    let strictness = Strictness {
        additional: x
            .optional(rule.allow_additional_properties.as_ref(), SOURCE)
            .await?
            .map(|allow| *allow),
        any_case: *x
            .value(&rule.case_insensitive_property_names, SOURCE)
            .await?,
    };
    // Documents in XML must be well-formed; a documented schema of theirs is not looked at.
    let schema = match rule.validate_as {
        ValidateAs::Json => find_schema(x, rule, side, &content_type)?,
        ValidateAs::Xml | ValidateAs::Soap => None,
    };
    let found = match well_formed(rule, &body) {
        Err(message) => vec![message],
        Ok(instance) => match (schema, instance) {
            (Some((schema, pointer)), Some(instance)) => {
                let validator = x.gateway.schemas.validator(&schema, pointer, strictness)?;
                let instance = if strictness.any_case {
                    lower_keys(&instance)
                } else {
                    instance
                };
                let errors = validator.iter_errors(&instance);
                errors
                    .map(|error| format!("{}: {error}", error.instance_path()))
                    .collect()
            }
            _ => Vec::new(),
        },
    };
    for message in found {
        note(side, action, "ValidationError", message, errors)?;
    }
    Ok(())
}

/// How a schema is read other than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Strictness {
    /// Whether properties that the schema does not mention are permitted; as the schema says when absent.
    additional: Option<bool>,
    any_case: bool,
}

/// A schema resource and the place in it.
type SchemaPlace = (Arc<Schema>, String);

/// The schema that a rule names, else the one that the operation documents for the content type.
fn find_schema(
    x: &Exchange,
    rule: &ContentRule,
    side: Side,
    content_type: &str,
) -> Result<Option<SchemaPlace>, Fault> {
    let api = x.api.as_ref().map(|api| api.id);
    let find = |name: &str| {
        let schema = x
            .service
            .schema(api, name)
            .or_else(|| x.service.schema(None, name));
        schema.cloned().ok_or_else(|| {
            Fault::internal(
                SOURCE,
                "SchemaNotFound",
                format!("Schema '{name}' could not be found."),
            )
        })
    };
    if let Some(name) = &rule.schema_id {
        let pointer = rule.schema_ref.as_deref().unwrap_or_default();
        let pointer = pointer.trim_start_matches("$ref").trim_start_matches('/');
        return Ok(Some((find(name)?, pointer.to_owned())));
    }
    let documented = representations(x, side).into_iter().find(|representation| {
        representation
            .content_type
            .eq_ignore_ascii_case(content_type)
    });
    match documented
        .as_ref()
        .and_then(|known| Some((known, known.schema_id.as_ref()?)))
    {
        Some((known, name)) => {
            let schema = find(name)?;
            let pointer = known.type_name.as_ref().map_or_else(String::new, |name| {
                // OpenAPI 3 and Swagger 2 keep their schemas in different places.
                let section = if schema.document.contains("\"components\"") {
                    "components/schemas"
                } else {
                    "definitions"
                };
                format!("#/{section}/{name}")
            });
            Ok(Some((schema, pointer)))
        }
        None => Ok(None),
    }
}

/// Compiled schemas. One is compiled again when its resource has changed.
#[derive(Debug, Default)]
pub(crate) struct Schemas(Mutex<HashMap<Key, Compiled>>);

type Key = (Uuid, String, Strictness);
type Compiled = (Arc<Schema>, Arc<Validator>);

/// Above this many the cache begins anew: schemas come and go with their APIs.
const SCHEMAS: usize = 1000;

impl Schemas {
    fn validator(
        &self,
        schema: &Arc<Schema>,
        pointer: String,
        strictness: Strictness,
    ) -> Result<Arc<Validator>, Fault> {
        let key = (schema.id, pointer, strictness);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((source, validator)) = known.get(&key)
            && Arc::ptr_eq(source, schema)
        {
            return Ok(Arc::clone(validator));
        }
        let wrong = |message: String| {
            let message = format!("Schema '{}' cannot be used: {message}", schema.name);
            Fault::internal(SOURCE, "SchemaInvalid", message)
        };
        let mut document: Value =
            serde_json::from_str(&schema.document).map_err(|error| wrong(error.to_string()))?;
        if strictness.any_case {
            document = lower_names(&document);
        }
        if let Some(allow) = strictness.additional {
            set_additional(&mut document, allow);
        }
        if !key.1.is_empty()
            && let Some(members) = document.as_object_mut()
        {
            members.insert("$ref".to_owned(), key.1.clone().into());
        }
        let validator = jsonschema::options()
            // Bodies come from callers: no pattern may take exponential time.
            .with_pattern_options(PatternOptions::regex())
            .build(&document)
            .map_err(|error| wrong(error.to_string()))?;
        let validator = Arc::new(validator);
        if known.len() >= SCHEMAS {
            known.clear();
        }
        known.insert(key, (Arc::clone(schema), Arc::clone(&validator)));
        Ok(validator)
    }
}

/// The value with the names of its properties in lower case.
fn lower_keys(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| (name.to_lowercase(), lower_keys(member)))
                .collect(),
        ),
        Value::Array(items) => items.iter().map(lower_keys).collect(),
        scalar => scalar.clone(),
    }
}

/// The schema with the names of properties, but not its own words, in lower case.
fn lower_names(schema: &Value) -> Value {
    let Value::Object(members) = schema else {
        return match schema {
            Value::Array(items) => items.iter().map(lower_names).collect(),
            scalar => scalar.clone(),
        };
    };
    let lowered = members.iter().map(|(word, member)| {
        let member = match (word.as_str(), member) {
            ("properties", Value::Object(properties)) => Value::Object(
                properties
                    .iter()
                    .map(|(name, schema)| (name.to_lowercase(), lower_names(schema)))
                    .collect(),
            ),
            ("required", Value::Array(names)) => names
                .iter()
                .map(|name| {
                    name.as_str()
                        .map_or_else(|| name.clone(), |name| name.to_lowercase().into())
                })
                .collect(),
            _ => lower_names(member),
        };
        (word.clone(), member)
    });
    Value::Object(lowered.collect())
}

/// Makes every object of the schema permit or refuse properties that it does not mention.
fn set_additional(schema: &mut Value, allow: bool) {
    match schema {
        Value::Object(members) => {
            for member in members.values_mut() {
                set_additional(member, allow);
            }
            if members.get("properties").is_some_and(Value::is_object) {
                members.insert("additionalProperties".to_owned(), allow.into());
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| set_additional(item, allow)),
        _ => {}
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}

/// The content type that the rules are looked up by: the media type without parameters, mapped as the policy says.
async fn content_type(x: &mut Exchange, policy: &ValidateContent) -> Result<String, Fault> {
    let value = x.headers().get(header::CONTENT_TYPE);
    let received = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let received = received
        .map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .filter(|value| !value.is_empty());
    let Some(map) = &policy.content_type_map else {
        return Ok(received.unwrap_or_default());
    };
    if let Some(any) = &map.any_content_type_value {
        return Ok(any.clone());
    }
    let Some(received) = received else {
        return Ok(map.missing_content_type_value.clone().unwrap_or_default());
    };
    for (from, to) in &map.types {
        let fits = match from {
            ContentTypeFrom::Type(from) => from.eq_ignore_ascii_case(&received),
            ContentTypeFrom::When(condition) => *x.value(condition, SOURCE).await?,
        };
        if fits {
            return Ok(to.clone());
        }
    }
    Ok(received)
}

/// What the operation documents for the message.
fn representations(x: &Exchange, side: Side) -> Vec<Representation> {
    let Some(state) = &x.operation else {
        return Vec::new();
    };
    match side {
        Side::Request => state.operation.request.clone(),
        Side::Response => {
            let responses = state.operation.responses.iter();
            let responses =
                responses.filter(|response| response.status_code == x.response.status.as_u16());
            responses
                .flat_map(|response| response.representations.clone())
                .collect()
        }
    }
}

/// Whether the operation documents a content type.
fn documented(x: &Exchange, side: Side, content_type: &str) -> bool {
    representations(x, side).iter().any(|representation| {
        representation
            .content_type
            .eq_ignore_ascii_case(content_type)
    })
}

/// The JSON value of a well-formed body; nothing for well-formed XML.
fn well_formed(rule: &ContentRule, body: &[u8]) -> Result<Option<Value>, String> {
    match rule.validate_as {
        ValidateAs::Json => serde_json::from_slice(body)
            .map(Some)
            .map_err(|error| format!("The body is not JSON: {error}")),
        ValidateAs::Xml | ValidateAs::Soap => {
            let wrong = |error: &dyn std::fmt::Display| format!("The body is not XML: {error}");
            let text = std::str::from_utf8(body).map_err(|error| wrong(&error))?;
            let document = roxmltree::Document::parse(text).map_err(|error| wrong(&error))?;
            if rule.validate_as == ValidateAs::Soap
                && document.root_element().tag_name().name() != "Envelope"
            {
                return Err("The body is not a SOAP envelope.".to_owned());
            }
            Ok(None)
        }
    }
}
