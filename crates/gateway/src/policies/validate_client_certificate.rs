//! `<validate-client-certificate>`.

use std::sync::Arc;

use http::StatusCode;
use policy::elements::validate_client_certificate::{Identity, ValidateClientCertificate};

use crate::caller::Caller;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "validate-client-certificate";

pub(super) async fn apply(
    x: &mut Exchange,
    policy: &ValidateClientCertificate,
) -> Result<Flow, Fault> {
    match refusal(x, policy).await? {
        None => Ok(Flow::Next),
        Some((reason, message)) if policy.ignore_error => {
            tracing::debug!(request_id = %x.request_id, reason, message, "as the policy permits");
            Ok(Flow::Next)
        }
        Some((reason, message)) => Err(Fault::new(StatusCode::FORBIDDEN, SOURCE, reason, message)),
    }
}

type Refusal = (&'static str, &'static str);

async fn refusal(
    x: &mut Exchange,
    policy: &ValidateClientCertificate,
) -> Result<Option<Refusal>, Fault> {
    let Some(caller) = x.caller.clone() else {
        return Ok(Some((
            "ClientCertificateNotFound",
            "Client certificate is missing.",
        )));
    };
    let now = x.gateway.options.clock.now();
    if policy.validate_not_before && now < caller.facts.not_before {
        return Ok(Some((
            "ClientCertificateNotYetValid",
            "Client certificate is not valid yet.",
        )));
    }
    if policy.validate_not_after && now > caller.facts.not_after {
        return Ok(Some((
            "ClientCertificateExpired",
            "Client certificate has expired.",
        )));
    }
    if policy.validate_trust && !caller.is_trusted(&x.service, now) {
        return Ok(Some((
            "ClientCertificateNotTrusted",
            "Client certificate is not trusted.",
        )));
    }
    if policy.identities.is_empty() {
        return Ok(None);
    }
    for identity in &policy.identities {
        if fits(x, &caller, identity).await? {
            return Ok(None);
        }
    }
    Ok(Some((
        "ClientCertificateIdentityNotMatched",
        "Client certificate is of nobody who may call.",
    )))
}

async fn fits(x: &mut Exchange, caller: &Arc<Caller>, identity: &Identity) -> Result<bool, Fault> {
    let facts = &caller.facts;
    let common_name = facts.common_name.as_deref().unwrap_or_default();
    for (wanted, given) in [
        (&identity.thumbprint, &*facts.thumbprint),
        (&identity.serial_number, &*facts.serial_number),
        (&identity.common_name, common_name),
        (&identity.subject, &*facts.subject),
        (&identity.issuer_subject, &*facts.issuer),
    ] {
        if let Some(wanted) = wanted
            && !x.value(wanted, SOURCE).await?.eq_ignore_ascii_case(given)
        {
            return Ok(false);
        }
    }
    if let Some(wanted) = &identity.dns_name {
        let wanted = x.value(wanted, SOURCE).await?;
        if !facts
            .dns_names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&wanted))
        {
            return Ok(false);
        }
    }
    let mut issuers = Vec::new();
    if let Some(wanted) = &identity.issuer_thumbprint {
        issuers.push(x.value(wanted, SOURCE).await?.into_owned());
    }
    if let Some(wanted) = &identity.issuer_certificate_id {
        let wanted = x.value(wanted, SOURCE).await?;
        let Some(certificate) = x.service.certificate(&wanted) else {
            let message = format!("Certificate '{wanted}' could not be found.");
            return Err(Fault::internal(SOURCE, "CertificateNotFound", message));
        };
        issuers.push(certificate.thumbprint.clone());
    }
    if issuers.is_empty() {
        return Ok(true);
    }
    let now = x.gateway.options.clock.now();
    let signed_by = caller.issuers(&x.service, now);
    Ok(issuers.iter().all(|wanted| {
        signed_by
            .iter()
            .any(|issuer| issuer.thumbprint.eq_ignore_ascii_case(wanted))
    }))
}
