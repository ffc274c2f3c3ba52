//! `<return-response>`.

use http::{HeaderName, HeaderValue};
use policy::elements::return_response::ReturnResponse;
use policy::expression::Data;

use super::{set_body, set_header, set_status};
use crate::body::Payload;
use crate::exchange::{Exchange, Flow, Response};
use crate::fault::Fault;

pub(super) async fn apply(x: &mut Exchange, policy: &ReturnResponse) -> Result<Flow, Fault> {
    let mut response = Response::default();
    if let Some(name) = &policy.response_variable_name {
        let Some(Data::Response(data)) = x.variables.get(name) else {
            let message = format!("Variable '{name}' does not hold a response.");
            return Err(Fault::internal(
                "return-response",
                "ExpressionValueEvaluationFailure",
                message,
            ));
        };
        response.status =
            set_status::status("return-response", policy::StatusCode(data.status_code))?;
        response.reason = Some(data.status_reason.clone()).filter(|reason| !reason.is_empty());
        for (name, values) in &data.headers {
            for value in values {
                if let (Ok(name), Ok(value)) =
                    (HeaderName::try_from(name), HeaderValue::try_from(value))
                {
                    response.headers.append(name, value);
                }
            }
        }
        response.headers.remove(http::header::CONTENT_LENGTH);
        response.body = Payload::Bytes(data.body.to_vec().into());
    }
    // The parts see the response as it was before: their values come first.
    if let Some(policy) = &policy.set_status {
        (response.status, response.reason) = set_status::evaluate(x, policy).await?;
    }
    for policy in &policy.set_headers {
        set_header::evaluate(x, policy)
            .await?
            .write(&mut response.headers);
    }
    if let Some(policy) = &policy.set_body {
        response.body = Payload::Bytes(set_body::evaluate(x, policy).await?.into());
    }
    x.respond(response);
    Ok(Flow::Respond)
}
