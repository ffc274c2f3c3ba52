//! `<wait>`.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use policy::StepKind;
use policy::elements::wait::{Wait, WaitFor};

use super::send_request;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

/// Calls that `send-request` steps make run at the same time. Steps that do not wait for anything run first, in order.
pub(super) async fn apply(x: &mut Exchange, policy: &Wait) -> Result<Flow, Fault> {
    let mut running = FuturesUnordered::new();
    for step in &policy.steps {
        if let StepKind::SendRequest(request) = &step.kind {
            let ready = send_request::prepare(x, &request.request, "send-request").await?;
            running.push(async move { (request, ready.send().await) });
            continue;
        }
        if super::run(x, std::slice::from_ref(step)).await? == Flow::Respond {
            return Ok(Flow::Respond);
        }
        if policy.wait_for == WaitFor::Any {
            return Ok(Flow::Next);
        }
    }
    while let Some((request, sent)) = running.next().await {
        send_request::keep(x, request, sent).await?;
        if policy.wait_for == WaitFor::Any {
            break;
        }
    }
    Ok(Flow::Next)
}
