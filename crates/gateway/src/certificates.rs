//! Certificates of the services' hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use snapshot::entity::Certificate;
use uuid::Uuid;

use crate::listen::Inner;

fn certified(
    chain: &str,
    key: &str,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is not PEM: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| format!("the key is not PEM: {error}"))?;
    CertifiedKey::from_der(chain, key, provider)
        .map(Arc::new)
        .map_err(|error| format!("the certificate cannot be used: {error}"))
}

/// Chooses by the name that the client asks for: the first certificate of the name's service that is valid for it.
struct BySni {
    inner: Arc<Inner>,
    provider: Arc<CryptoProvider>,
    otherwise: Option<Arc<CertifiedKey>>,
    /// Keys that were read, by certificate: a changed one is another value.
    read: Mutex<HashMap<Uuid, Read>>,
}

type Read = (Arc<Certificate>, Option<Arc<CertifiedKey>>);

/// Above this many the cache begins anew: certificates come and go.
const READ: usize = 10_000;

impl std::fmt::Debug for BySni {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BySni").finish_non_exhaustive()
    }
}

impl BySni {
    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let server_name = ServerName::try_from(name).ok()?;
        let snapshot = self.inner.snapshot.load();
        let service = snapshot.service(name)?;
        service.certificates().find_map(|certificate| {
            let key = self.key(certificate)?;
            let leaf = ParsedCertificate::try_from(key.end_entity_cert().ok()?).ok()?;
            verify_server_name(&leaf, &server_name).ok().map(|()| key)
        })
    }

    fn key(&self, certificate: &Arc<Certificate>) -> Option<Arc<CertifiedKey>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, key)) = read.get(&certificate.id)
            && Arc::ptr_eq(known, certificate)
        {
            return key.clone();
        }
        let key = certificate.key_pem.as_ref().and_then(|key| {
            certified(&certificate.chain_pem, key, &self.provider)
                .inspect_err(|error| {
                    tracing::warn!(
                        certificate = certificate.name,
                        error,
                        "certificate not used"
                    )
                })
                .ok()
        });
        if read.len() >= READ {
            read.clear();
        }
        read.insert(certificate.id, (Arc::clone(certificate), key.clone()));
        key
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello
            .server_name()
            .and_then(|name| self.find(name))
            .or_else(|| self.otherwise.clone())
    }
}

pub(crate) fn server(
    inner: Arc<Inner>,
    otherwise: Option<(&str, &str)>,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let otherwise = otherwise
        .map(|(chain, key)| certified(chain, key, &provider))
        .transpose()?;
    let resolver = BySni {
        inner,
        provider: Arc::clone(&provider),
        otherwise,
        read: Mutex::default(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
