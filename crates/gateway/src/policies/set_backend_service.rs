//! `<set-backend-service>`.

use policy::elements::set_backend_service::SetBackendService;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "set-backend-service";

pub(super) async fn apply(x: &mut Exchange, policy: &SetBackendService) -> Result<Flow, Fault> {
    match policy {
        SetBackendService::BaseUrl(url) => {
            x.request.base = x.value(url, SOURCE).await?.trim_end_matches('/').to_owned();
            x.chosen = None;
        }
        SetBackendService::BackendId(id) => {
            let id = x.value(id, SOURCE).await?;
            let Some(backend) = x.service.backend(&id).cloned() else {
                let message = format!("Backend with id '{id}' could not be found.");
                return Err(Fault::internal(SOURCE, "BackendNotFound", message));
            };
            // Which member of a pool it will be is known when the request is sent.
            if !backend.url.is_empty() {
                x.request.base.clone_from(&backend.url);
            }
            x.chosen = Some(backend);
        }
    }
    Ok(Flow::Next)
}
