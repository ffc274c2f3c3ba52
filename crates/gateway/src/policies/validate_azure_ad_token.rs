//! `<validate-azure-ad-token>`.

use policy::elements::validate_azure_ad_token::ValidateAzureAdToken;

use super::validate_jwt::{self, Tenant};
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "validate-azure-ad-token";
/// Where tenants are unless `tenant-id` is a URL.
const AUTHORITY: &str = "https://login.microsoftonline.com";

pub(super) async fn apply(x: &mut Exchange, policy: &ValidateAzureAdToken) -> Result<Flow, Fault> {
    let tenant = x.value(&policy.tenant_id, SOURCE).await?.into_owned();
    let tenant = tenant.trim().trim_end_matches('/');
    let base = match tenant.starts_with("https://") || tenant.starts_with("http://") {
        true => tenant.to_owned(),
        false => format!("{AUTHORITY}/{tenant}"),
    };
    let base = base.trim_end_matches("/v2.0");
    let mut tenant = Tenant {
        configuration: format!("{base}/v2.0/.well-known/openid-configuration"),
        clients: Vec::new(),
        audiences: Vec::new(),
    };
    for id in &policy.client_application_ids {
        tenant.clients.push(x.value(id, SOURCE).await?.into_owned());
    }
    for id in &policy.backend_application_ids {
        let id = x.value(id, SOURCE).await?.into_owned();
        tenant.audiences.push(format!("api://{id}"));
        tenant.audiences.push(id);
    }
    validate_jwt::apply(x, &policy.jwt, Some(&tenant))
        .await
        .map_err(|fault| Fault {
            source: SOURCE,
            ..fault
        })
}
