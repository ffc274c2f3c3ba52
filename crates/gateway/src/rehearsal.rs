//! Calls that are only tried, for the policy workbench and for tests of policies.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use snapshot::Snapshot;

use crate::exchange::Rehearsal;
use crate::listen::{Client, Inner};
use crate::pipeline::{self, Arrival};
use crate::present::Present;
use crate::telemetry::StepTrace;

/// Why a call cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The request has no host, or no service of the configuration has it.
    #[error("no service answers to the host '{0}'")]
    UnknownHost(String),
    /// The gateway cannot be set up.
    #[error("the rehearsal cannot be set up: {0}")]
    Setup(String),
}

/// How a tried call went.
#[derive(Debug)]
pub struct Rehearsed {
    /// What the client would get.
    pub response: Response<Bytes>,
    /// What the backend would get; absent when the call ended before.
    pub forwarded: Option<Request<Bytes>>,
    /// What each policy did.
    pub steps: Vec<StepTrace>,
}

pub(crate) async fn run(
    inner: Arc<Inner>,
    draft: &Snapshot,
    request: Request<Bytes>,
    answer: Response<Bytes>,
) -> Result<Rehearsed, RehearsalError> {
    let (mut parts, body) = request.into_parts();
    let host = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().to_owned())
        .or_else(|| {
            let host = parts.headers.get(header::HOST)?;
            host.to_str().ok().map(str::to_owned)
        });
    let host = host.unwrap_or_default();
    let found = draft.service(&host);
    let Some((state, service)) = found.and_then(|state| Some((state, state.service()?))) else {
        return Err(RehearsalError::UnknownHost(host));
    };
    let Ok(host) = HeaderValue::try_from(&host) else {
        return Err(RehearsalError::UnknownHost(host));
    };
    let tls = parts.uri.scheme_str() == Some("https");
    // The body is here already: what the caller said about its framing is nothing.
    parts.headers.remove(header::TRANSFER_ENCODING);
    let present = Present::of(&parts.headers);
    let arrival = Arrival {
        parts,
        body: body.into(),
        upgrade: None,
        client: Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls, None),
        host,
        present,
    };
    let mut x = pipeline::exchange(
        &inner,
        draft.revision(),
        Arc::clone(state),
        service.id,
        arrival,
    );
    x.rehearsal = Some(Box::new(Rehearsal { answer, sent: None }));
    x.trace = Some(Vec::new());
    pipeline::live(&mut x).await;
    let steps = x.trace.take().unwrap_or_default();
    let forwarded = x.rehearsal.take().and_then(|rehearsal| rehearsal.sent);
    Ok(Rehearsed {
        response: pipeline::rehearsed_response(x),
        forwarded,
        steps,
    })
}
