//! `<authentication-basic>`, `<authentication-certificate>`, `<authentication-managed-identity>` and `<proxy>`: how the gateway
//! presents itself on the way to the backend.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header;
use policy::elements::authentication_basic::AuthenticationBasic;
use policy::elements::authentication_certificate::{AuthenticationCertificate, CertificateSource};
use policy::elements::authentication_managed_identity::AuthenticationManagedIdentity;
use policy::expression::Data;

use super::forward_request::header_value;
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::upstream::{Proxy, identity};

pub(super) async fn basic(x: &mut Exchange, policy: &AuthenticationBasic) -> Result<Flow, Fault> {
    const SOURCE: &str = "authentication-basic";
    let username = x.value(&policy.username, SOURCE).await?;
    let password = x.value(&policy.password, SOURCE).await?;
    let value = format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    );
    x.request
        .headers
        .insert(header::AUTHORIZATION, header_value(SOURCE, &value)?);
    Ok(Flow::Next)
}

/// Chain and key that a policy names.
pub(super) async fn client_certificate(
    x: &mut Exchange,
    policy: &AuthenticationCertificate,
) -> Result<(String, String), Fault> {
    const SOURCE: &str = "authentication-certificate";
    let (certificate, name) = match &policy.source {
        CertificateSource::Thumbprint(thumbprint) => {
            let thumbprint = x.value(thumbprint, SOURCE).await?;
            (
                x.service.certificate_by_thumbprint(&thumbprint),
                thumbprint.into_owned(),
            )
        }
        CertificateSource::Id(id) => {
            let id = x.value(id, SOURCE).await?;
            (x.service.certificate(&id), id.into_owned())
        }
        CertificateSource::Body(body, password) => {
            let body = x.value(body, SOURCE).await?;
            let password = x.optional(password.as_ref(), SOURCE).await?;
            let password = password.as_deref().map_or("", String::as_str);
            let refuse = |why: &str| {
                let message = format!("The certificate of 'body' {why}.");
                Fault::internal(SOURCE, "CertificateNotFound", message)
            };
            let bundle = certificate::Bundle::read(&body.0, password)
                .map_err(|error| refuse(&error.to_string()))?;
            let key = bundle
                .key_pem()
                .ok_or_else(|| refuse("holds no private key"))?;
            return Ok((bundle.chain_pem(), key));
        }
    };
    certificate
        .and_then(|certificate| identity(certificate))
        .ok_or_else(|| {
            let message = format!("Certificate '{name}' with a private key could not be found.");
            Fault::internal(SOURCE, "CertificateNotFound", message)
        })
}

pub(super) async fn certificate(
    x: &mut Exchange,
    policy: &AuthenticationCertificate,
) -> Result<Flow, Fault> {
    x.client_certificate = Some(client_certificate(x, policy).await?);
    Ok(Flow::Next)
}

/// A token of the service's identity.
pub(super) async fn token(
    x: &mut Exchange,
    policy: &AuthenticationManagedIdentity,
) -> Result<String, Fault> {
    const SOURCE: &str = "authentication-managed-identity";
    let resource = x.value(&policy.resource, SOURCE).await?;
    let client_id = x.optional(policy.client_id.as_ref(), SOURCE).await?;
    let service = x
        .service
        .service()
        .map_or_else(String::new, |service| service.name.clone());
    let Some(identities) = x.gateway.options.identity.clone() else {
        return Err(Fault::internal(
            SOURCE,
            "TokenNotAvailable",
            "The gateway has no source of tokens for identities.",
        ));
    };
    let token = identities
        .token(
            &service,
            &resource,
            client_id.as_deref().map(String::as_str),
        )
        .await;
    token.map_err(|message| Fault::internal(SOURCE, "TokenNotAvailable", message))
}

pub(super) async fn managed_identity(
    x: &mut Exchange,
    policy: &AuthenticationManagedIdentity,
) -> Result<Flow, Fault> {
    let token = match token(x, policy).await {
        Ok(token) => token,
        Err(fault) if policy.ignore_error => {
            tracing::warn!(request_id = %x.request_id, %fault, "token not available, as the policy permits");
            return Ok(Flow::Next);
        }
        Err(fault) => return Err(fault),
    };
    match &policy.output_token_variable_name {
        Some(name) => {
            x.variables.insert(name.clone(), Data::from(token));
        }
        None => {
            let value = header_value(
                "authentication-managed-identity",
                &format!("Bearer {token}"),
            )?;
            x.request.headers.insert(header::AUTHORIZATION, value);
        }
    }
    Ok(Flow::Next)
}

/// Address and credentials of a proxy.
pub(super) async fn proxy_of(
    x: &mut Exchange,
    policy: &policy::elements::proxy::Proxy,
) -> Result<Proxy, Fault> {
    const SOURCE: &str = "proxy";
    let url = x.value(&policy.url, SOURCE).await?.into_owned();
    let username = x.optional(policy.username.as_ref(), SOURCE).await?;
    let password = x.optional(policy.password.as_ref(), SOURCE).await?;
    let authorization = username.map(|username| {
        let password = password.as_deref().map_or("", String::as_str);
        format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{password}"))
        )
    });
    Ok(Proxy { url, authorization })
}

pub(super) async fn proxy(
    x: &mut Exchange,
    policy: &policy::elements::proxy::Proxy,
) -> Result<Flow, Fault> {
    x.proxy = Some(proxy_of(x, policy).await?);
    Ok(Flow::Next)
}
