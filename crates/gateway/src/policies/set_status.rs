//! `<set-status>`.

use http::StatusCode;
use policy::elements::set_status::SetStatus;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "set-status";

pub(super) fn status(source: &'static str, code: policy::StatusCode) -> Result<StatusCode, Fault> {
    StatusCode::from_u16(code.0).map_err(|_| {
        let message = format!("{} is not a status code.", code.0);
        Fault::internal(source, "ExpressionValueEvaluationFailure", message)
    })
}

pub(super) async fn evaluate(
    x: &mut Exchange,
    policy: &SetStatus,
) -> Result<(StatusCode, Option<String>), Fault> {
    let code = *x.value(&policy.code, SOURCE).await?;
    let reason = x.optional(policy.reason.as_ref(), SOURCE).await?;
    Ok((
        status(SOURCE, code)?,
        reason.map(std::borrow::Cow::into_owned),
    ))
}

pub(super) async fn apply(x: &mut Exchange, policy: &SetStatus) -> Result<Flow, Fault> {
    let (status, reason) = evaluate(x, policy).await?;
    x.response.status = status;
    x.response.reason = reason;
    x.has_response = true;
    Ok(Flow::Next)
}
