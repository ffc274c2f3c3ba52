//! `<find-and-replace>`.

use policy::elements::find_and_replace::FindAndReplace;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "find-and-replace";

pub(super) async fn apply(x: &mut Exchange, policy: &FindAndReplace) -> Result<Flow, Fault> {
    let from = x.value(&policy.from, SOURCE).await?;
    let to = x.value(&policy.to, SOURCE).await?;
    let side = x.side();
    let body = x.buffer(side, SOURCE).await?;
    // A body that is no text has nothing to find.
    let Ok(text) = std::str::from_utf8(&body) else {
        return Ok(Flow::Next);
    };
    if from.is_empty() || !text.contains(&**from) {
        return Ok(Flow::Next);
    }
    let replaced = text.replace(&**from, &to);
    x.set_body(side, replaced);
    Ok(Flow::Next)
}
