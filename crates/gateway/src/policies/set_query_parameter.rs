//! `<set-query-parameter>`.

use policy::elements::set_header::ExistsAction;
use policy::elements::set_query_parameter::SetQueryParameter;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::uri;

const SOURCE: &str = "set-query-parameter";

pub(super) async fn apply(x: &mut Exchange, policy: &SetQueryParameter) -> Result<Flow, Fault> {
    let name = x.value(&policy.name, SOURCE).await?.into_owned();
    let action = *x.value(&policy.exists_action, SOURCE).await?;
    let mut values = Vec::with_capacity(policy.values.len());
    for value in &policy.values {
        values.push(x.value(value, SOURCE).await?);
    }
    let query = &mut x.request.query;
    match action {
        ExistsAction::Skip if uri::query_value(query, &name).is_some() => return Ok(Flow::Next),
        ExistsAction::Override | ExistsAction::Delete => {
            *query = uri::without_parameter(query, &name)
        }
        ExistsAction::Skip | ExistsAction::Append => {}
    }
    if action != ExistsAction::Delete {
        for value in values {
            uri::push_parameter(query, &name, &value);
        }
    }
    Ok(Flow::Next)
}
