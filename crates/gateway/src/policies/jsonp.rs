//! `<jsonp>`.

use http::{HeaderValue, header};
use policy::elements::jsonp::Jsonp;
use policy::expression::Side;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::uri;

const SOURCE: &str = "jsonp";

pub(super) async fn apply(x: &mut Exchange, policy: &Jsonp) -> Result<Flow, Fault> {
    let parameter = x.value(&policy.callback_parameter_name, SOURCE).await?;
    let Some(callback) = uri::query_value(&x.original.query, &parameter) else {
        return Ok(Flow::Next);
    };
    let is_json = x
        .response
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .to_ascii_lowercase()
                .contains("json")
        });
    // Only a name, perhaps with dots: anything else would be a script of the caller's choice.
    let is_name = !callback.is_empty()
        && callback
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.'));
    if !is_json || !is_name {
        return Ok(Flow::Next);
    }
    let body = x.buffer(Side::Response, SOURCE).await?;
    let mut wrapped = Vec::with_capacity(body.len() + callback.len() + 2);
    wrapped.extend_from_slice(callback.as_bytes());
    wrapped.push(b'(');
    wrapped.extend_from_slice(&body);
    wrapped.push(b')');
    x.set_body(Side::Response, wrapped);
    x.response.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/javascript"),
    );
    Ok(Flow::Next)
}
