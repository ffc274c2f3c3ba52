//! `<set-method>`.

use http::Method;
use policy::elements::set_method::SetMethod;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "set-method";

pub(super) async fn evaluate(x: &mut Exchange, policy: &SetMethod) -> Result<Method, Fault> {
    let name = x.value(&policy.method, SOURCE).await?;
    Method::from_bytes(name.trim().as_bytes()).map_err(|_| {
        let message = format!("'{name}' is not a method.");
        Fault::internal(SOURCE, "ExpressionValueEvaluationFailure", message)
    })
}

pub(super) async fn apply(x: &mut Exchange, policy: &SetMethod) -> Result<Flow, Fault> {
    x.request.method = evaluate(x, policy).await?;
    Ok(Flow::Next)
}
