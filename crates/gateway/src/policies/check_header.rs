//! `<check-header>`.

use policy::elements::check_header::CheckHeader;

use super::set_status::status;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "check-header";

pub(super) async fn apply(x: &mut Exchange, policy: &CheckHeader) -> Result<Flow, Fault> {
    let name = x.value(&policy.name, SOURCE).await?;
    let ignore_case = *x.value(&policy.ignore_case, SOURCE).await?;
    let mut permitted = Vec::with_capacity(policy.values.len());
    for value in &policy.values {
        permitted.push(x.value(value, SOURCE).await?);
    }
    let given: Vec<String> = x
        .request
        .headers
        .get_all(&*name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    let fits = |value: &String| {
        permitted.is_empty()
            || permitted.iter().any(|permitted| {
                if ignore_case {
                    permitted.eq_ignore_ascii_case(value)
                } else {
                    **permitted == *value
                }
            })
    };
    let reason = if given.is_empty() {
        "HeaderNotFound"
    } else if given.iter().any(fits) {
        return Ok(Flow::Next);
    } else {
        "HeaderValueNotAllowed"
    };
    let code = status(
        SOURCE,
        *x.value(&policy.failed_check_httpcode, SOURCE).await?,
    )?;
    let message = x.value(&policy.failed_check_error_message, SOURCE).await?;
    Err(Fault::new(code, SOURCE, reason, message.into_owned()))
}
