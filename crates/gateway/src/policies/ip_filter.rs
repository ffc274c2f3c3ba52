//! `<ip-filter>`.

use std::net::IpAddr;

use http::StatusCode;
use policy::elements::ip_filter::{FilterAction, IpFilter};

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "ip-filter";

pub(super) async fn apply(x: &mut Exchange, policy: &IpFilter) -> Result<Flow, Fault> {
    let ip = x.client_ip;
    let mut listed = false;
    for address in &policy.addresses {
        listed |= *x.value(address, SOURCE).await? == ip;
    }
    for (from, to) in &policy.ranges {
        let from = *x.value(from, SOURCE).await?;
        let to = *x.value(to, SOURCE).await?;
        listed |= same_family(from, ip) && (from..=to).contains(&ip);
    }
    let reason = match (*x.value(&policy.action, SOURCE).await?, listed) {
        (FilterAction::Allow, true) | (FilterAction::Forbid, false) => return Ok(Flow::Next),
        (FilterAction::Allow, false) => "CallerIpNotAllowed",
        (FilterAction::Forbid, true) => "CallerIpBlocked",
    };
    Err(Fault {
        shown: Some("Forbidden"),
        ..Fault::new(
            StatusCode::FORBIDDEN,
            SOURCE,
            reason,
            format!("Caller IP address {ip} is not allowed. Access denied."),
        )
    })
}

/// Addresses of different families are ordered too, but not in a way that means anything.
fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}
