//! `<set-variable>`.

use policy::elements::set_variable::SetVariable;
use policy::expression::Limits;

use crate::context::View;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "set-variable";

pub(super) async fn apply(x: &mut Exchange, policy: &SetVariable) -> Result<Flow, Fault> {
    if let Some(expression) = policy.value.expression() {
        x.prepare(expression, SOURCE).await?;
    }
    let data = policy
        .data(&View(x), Limits::default())
        .map_err(|failure| Fault::expression(SOURCE, &failure))?;
    x.drop_consumed();
    x.variables.insert(policy.name.clone(), data);
    Ok(Flow::Next)
}
