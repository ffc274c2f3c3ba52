//! `<validate-content>`.

use http::{StatusCode, header};
use policy::elements::validate_content::{
    ContentAction, ContentRule, ContentTypeFrom, ValidateAs, ValidateContent,
};
use policy::expression::{Data, Side};

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
    if rule.schema_id.is_some() {
        let message =
            "Policy 'validate-content' with 'schema-id' is not available in this gateway.";
        return Err(Fault::internal(SOURCE, "PolicyNotAvailable", message));
    }
    match well_formed(rule, &body) {
        Ok(()) => Ok(()),
        Err(message) => note(side, action, "ValidationError", message, errors),
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

/// Whether the operation documents a content type.
fn documented(x: &Exchange, side: Side, content_type: &str) -> bool {
    let Some(state) = &x.operation else {
        return false;
    };
    let mut representations = match side {
        Side::Request => state.operation.request.iter().collect::<Vec<_>>(),
        Side::Response => state
            .operation
            .responses
            .iter()
            .filter(|response| response.status_code == x.response.status.as_u16())
            .flat_map(|response| &response.representations)
            .collect(),
    }
    .into_iter();
    representations.any(|representation| {
        representation
            .content_type
            .eq_ignore_ascii_case(content_type)
    })
}

fn well_formed(rule: &ContentRule, body: &[u8]) -> Result<(), String> {
    match rule.validate_as {
        ValidateAs::Json => match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("The body is not JSON: {error}")),
        },
        ValidateAs::Xml | ValidateAs::Soap => {
            let text = std::str::from_utf8(body)
                .map_err(|error| format!("The body is not XML: {error}"))?;
            let document = roxmltree::Document::parse(text)
                .map_err(|error| format!("The body is not XML: {error}"))?;
            if rule.validate_as == ValidateAs::Soap
                && document.root_element().tag_name().name() != "Envelope"
            {
                return Err("The body is not a SOAP envelope.".to_owned());
            }
            Ok(())
        }
    }
}
