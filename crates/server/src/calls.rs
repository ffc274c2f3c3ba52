//! What diagnostics kept of single calls. Portico's own addition to the contract, which leaves this to other products.

use crate::State;
use engine::{Access, Error, Method, Reply, Request, Result, json};
use std::time::Duration;
use uuid::Uuid;

/// How long a record may be on its way when somebody asks for it.
const ARRIVAL: Duration = Duration::from_secs(2);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(50);

/// The reply to `GET …/calls/{requestId}`, the id that callers find in `x-request-id`; `None` for other requests.
///
/// # Errors
/// Not found, not allowed: bodies of calls are what their callers said, so reading them needs the role contributor.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let ([(service, _), (calls, id)], None) =
        (request.path.pairs.as_slice(), request.path.tail.as_deref())
    else {
        return Ok(None);
    };
    if !service.eq_ignore_ascii_case("service") || !calls.eq_ignore_ascii_case("calls") {
        return Ok(None);
    }
    if request.method != Method::Get {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let mut conn = state.engine.pool.acquire().await?;
    let at = state
        .engine
        .enter(&mut conn, request, Access::Secret, "calls/read")
        .await?;
    let missing = || Error::not_found("Call");
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let began = tokio::time::Instant::now();
    loop {
        if let Some(detail) = reports::detail(&mut conn, at.service.id, id).await? {
            return Ok(Some(Reply::ok(json!({
                "id": format!("{}/calls/{id}", at.service.path),
                "type": format!("{}/service/calls", arm_id::PROVIDER),
                "name": id,
                "properties": detail,
            }))));
        }
        if began.elapsed() >= ARRIVAL {
            return Err(missing());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
