//! `<set-body>`.

use policy::elements::set_body::{Body, SetBody};

use super::convert;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "set-body";

/// The new body for this call.
pub(super) async fn evaluate(x: &mut Exchange, policy: &SetBody) -> Result<Vec<u8>, Fault> {
    match &policy.body {
        Body::Text(value) => match value.expression() {
            // Bytes stay bytes: their text form would lose what is not UTF-8.
            Some(expression) => {
                x.prepare(expression, SOURCE).await?;
                let data = expression.evaluate(
                    &crate::context::View(x),
                    policy::expression::Limits::default(),
                );
                x.drop_consumed();
                match data.map_err(|failure| Fault::expression(SOURCE, &failure))? {
                    policy::expression::Data::Bytes(bytes) => Ok(bytes.to_vec()),
                    data => Ok(data.to_text().into_bytes()),
                }
            }
            None => Ok(x.value(value, SOURCE).await?.into_owned().into_bytes()),
        },
        Body::Liquid {
            template,
            xsi_nil,
            parse_date: _,
        } => {
            let side = x.side();
            let body = x.buffer(side, SOURCE).await?;
            convert::liquid(x, template, *xsi_nil, &body)
        }
    }
}

pub(super) async fn apply(x: &mut Exchange, policy: &SetBody) -> Result<Flow, Fault> {
    let body = evaluate(x, policy).await?;
    let side = x.side();
    x.set_body(side, body);
    Ok(Flow::Next)
}
