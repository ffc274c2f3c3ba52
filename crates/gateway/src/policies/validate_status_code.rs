//! `<validate-status-code>`.

use http::StatusCode;
use policy::elements::validate_content::ContentAction;
use policy::elements::validate_status_code::ValidateStatusCode;
use policy::expression::Data;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "validate-status-code";

pub(super) async fn apply(x: &mut Exchange, policy: &ValidateStatusCode) -> Result<Flow, Fault> {
    let status = x.response.status.as_u16();
    let own = policy
        .status_codes
        .iter()
        .find(|(code, _)| code.0 == status);
    let is_documented = x.operation.as_ref().is_some_and(|state| {
        let mut responses = state.operation.responses.iter();
        responses.any(|response| response.status_code == status)
    });
    let action = match own {
        Some((_, action)) => *x.value(action, SOURCE).await?,
        None if is_documented => ContentAction::Ignore,
        None => {
            let action = &policy.unspecified_status_code_action;
            *x.value(action, SOURCE).await?
        }
    };
    let message = format!("Status code {status} of the response is not specified.");
    if let Some(name) = &policy.errors_variable_name {
        let errors = (action != ContentAction::Ignore).then(|| Data::from(message.as_str()));
        x.variables.insert(name.clone(), Data::list(errors));
    }
    if action == ContentAction::Prevent {
        // The caller is not to blame for what the backend says.
        return Err(Fault {
            shown: Some("Bad gateway"),
            ..Fault::new(
                StatusCode::BAD_GATEWAY,
                SOURCE,
                "StatusCodeNotAllowed",
                message,
            )
        });
    }
    Ok(Flow::Next)
}
