//! A publisher's test of an operation: `POST …/service/{name}/testCall`. Portico's own addition to the contract.
//!
//! The call goes through the service's own gateway and to nothing else, like those of the developer portal, so that it
//! is checked, limited, changed and recorded as everybody's.

use crate::{State, developer::relay};
use engine::{Access, Error, Method, Reply, Request, Result};

/// The reply to a test; `None` for other requests.
///
/// # Errors
/// Missing service, missing role, and what [`relay::relayed`] refuses.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    if !request.is_of_service("testCall") {
        return Ok(None);
    }
    if request.method != Method::Post {
        return Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    }
    let gateway: Option<String> = {
        let mut connection = state.engine.pool.acquire().await?;
        let at = state
            .engine
            .enter(&mut connection, request, Access::Write, "testCall/action")
            .await?;
        sqlx::query_scalar("SELECT gateway_url FROM services WHERE id = $1")
            .bind(at.service.id)
            .fetch_one(&mut *connection)
            .await?
    };
    let call: relay::Call = request.read()?;
    let client = request.origin.address.parse().map_err(Error::internal)?;
    let reply = relay::relayed(state, client, gateway.as_deref(), call).await?;
    let reply = serde_json::to_value(reply).map_err(Error::internal)?;
    Ok(Some(Reply::ok(reply)))
}
