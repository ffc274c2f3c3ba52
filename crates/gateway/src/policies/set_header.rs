//! `<set-header>`.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use policy::elements::set_header::{ExistsAction, SetHeader};
use policy::expression::Side;

use super::forward_request::header_value;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "set-header";

/// A header with its values for this call.
pub(super) struct Evaluated {
    pub(super) name: HeaderName,
    action: ExistsAction,
    values: Vec<HeaderValue>,
}

/// Computes name, action and values.
pub(super) async fn evaluate(x: &mut Exchange, policy: &SetHeader) -> Result<Evaluated, Fault> {
    let name = x.value(&policy.name, SOURCE).await?;
    let name = HeaderName::try_from(name.as_str()).map_err(|_| {
        let message = format!("'{name}' is not the name of a header.");
        Fault::internal(SOURCE, "ExpressionValueEvaluationFailure", message)
    })?;
    let action = *x.value(&policy.exists_action, SOURCE).await?;
    let mut values = Vec::with_capacity(policy.values.len());
    for value in &policy.values {
        values.push(header_value(SOURCE, &x.value(value, SOURCE).await?)?);
    }
    Ok(Evaluated {
        name,
        action,
        values,
    })
}

impl Evaluated {
    pub(super) fn write(self, headers: &mut HeaderMap) {
        // The length is that of the body, whatever a policy says: a wrong one would break the connection's framing.
        if self.name == header::CONTENT_LENGTH {
            return;
        }
        match self.action {
            ExistsAction::Skip if headers.contains_key(&self.name) => return,
            ExistsAction::Override => {
                headers.remove(&self.name);
            }
            ExistsAction::Delete => {
                headers.remove(&self.name);
                return;
            }
            ExistsAction::Skip | ExistsAction::Append => {}
        }
        for value in self.values {
            headers.append(self.name.clone(), value);
        }
    }
}

pub(super) async fn apply(x: &mut Exchange, policy: &SetHeader) -> Result<Flow, Fault> {
    let header = evaluate(x, policy).await?;
    if header.name == header::HOST && x.side() == Side::Request {
        x.request.host_is_set = true;
    }
    header.write(x.headers_mut());
    Ok(Flow::Next)
}
