//! TLS towards clients: which certificate a host shows, and who is asked for one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::ServerConfig;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use snapshot::ServiceState;
use snapshot::entity::TlsHost;

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

/// TLS of a listener.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    hosts: Option<Hosts>,
}

#[derive(Clone)]
struct Hosts {
    /// As `config`, and asks for a certificate.
    asking: Arc<ServerConfig>,
    chooser: Arc<Chooser>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl From<Arc<ServerConfig>> for Tls {
    /// The same for every host. It should offer `h2` and `http/1.1` by ALPN.
    fn from(config: Arc<ServerConfig>) -> Self {
        Self {
            config,
            hosts: None,
        }
    }
}

impl Tls {
    /// The configuration for a client that asks for `name` at the address `local`.
    pub(crate) fn for_client(
        &self,
        name: Option<&str>,
        local: Option<IpAddr>,
    ) -> Arc<ServerConfig> {
        let Some(hosts) = &self.hosts else {
            return Arc::clone(&self.config);
        };
        let chooser = &hosts.chooser;
        let (key, manner) = match name {
            Some(name) => (None, chooser.manner(name)),
            None => match local.and_then(|local| chooser.default_of(local)) {
                Some((key, manner)) => (Some(key), manner),
                None => (None, Manner::default()),
            },
        };
        let config = if manner.asks {
            &hosts.asking
        } else {
            &self.config
        };
        if key.is_none() && !manner.refuses_http2 {
            return Arc::clone(config);
        }
        let mut config = ServerConfig::clone(config);
        if let Some(key) = key {
            config.cert_resolver = Arc::new(Always(key));
        }
        if manner.refuses_http2 {
            config.alpn_protocols = vec![HTTP1.to_vec()];
        }
        Arc::new(config)
    }
}

/// By ALPN.
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// How a host speaks to its clients.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Whether it asks for a certificate.
    asks: bool,
    refuses_http2: bool,
}

impl From<&TlsHost> for Manner {
    fn from(host: &TlsHost) -> Self {
        Self {
            asks: host.negotiate_client_certificate,
            refuses_http2: host.refuses_http2,
        }
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Chooses by the name that the client asks for: the certificate that the service gives this host, else the first one of the
/// service that is valid for it.
struct Chooser {
    inner: Arc<Inner>,
    provider: Arc<CryptoProvider>,
    otherwise: Option<Arc<CertifiedKey>>,
    /// Keys that were read, by digest of chain and key.
    read: Mutex<HashMap<[u8; 32], Option<Arc<CertifiedKey>>>>,
}

/// Above this many the cache begins anew: certificates come and go.
const READ: usize = 10_000;

impl std::fmt::Debug for Chooser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chooser").finish_non_exhaustive()
    }
}

impl Chooser {
    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let server_name = ServerName::try_from(name.as_str()).ok()?;
        let snapshot = self.inner.snapshot.load();
        let service = snapshot.service(&name)?;
        let own = service
            .service()
            .and_then(|known| known.tls_host(&name))
            .and_then(|host| self.own_key(service, host));
        own.or_else(|| {
            service.certificates().find_map(|certificate| {
                let key = certificate.key_pem.as_ref()?;
                let key = self.key(&certificate.name, &certificate.chain_pem, key)?;
                let leaf = ParsedCertificate::try_from(key.end_entity_cert().ok()?).ok()?;
                verify_server_name(&leaf, &server_name).ok().map(|()| key)
            })
        })
    }

    /// The certificate of a host's own configuration.
    fn own_key(&self, service: &ServiceState, host: &TlsHost) -> Option<Arc<CertifiedKey>> {
        if !host.chain_pem.is_empty() {
            return self.key(&host.host, &host.chain_pem, &host.key_pem);
        }
        let certificate = service.certificate(host.certificate.as_deref()?)?;
        let key = certificate.key_pem.as_ref()?;
        self.key(&certificate.name, &certificate.chain_pem, key)
    }

    fn manner(&self, name: &str) -> Manner {
        let name = name.to_ascii_lowercase();
        let snapshot = self.inner.snapshot.load();
        let service = snapshot.service(&name).and_then(|state| state.service());
        service
            .and_then(|service| service.tls_host(&name))
            .map(Manner::from)
            .unwrap_or_default()
    }

    /// The certificate of the service at this address, for clients that name no host, and how they are spoken to.
    fn default_of(&self, local: IpAddr) -> Option<(Arc<CertifiedKey>, Manner)> {
        let snapshot = self.inner.snapshot.load();
        let service = snapshot.service(&local.to_canonical().to_string())?;
        let hosts = &service.service()?.tls_hosts;
        hosts
            .iter()
            .filter(|host| host.is_default)
            .find_map(|host| Some((self.own_key(service, host)?, Manner::from(host))))
    }

    fn key(&self, name: &str, chain: &str, key: &str) -> Option<Arc<CertifiedKey>> {
        let mut digest = Context::new(&SHA256);
        digest.update(chain.as_bytes());
        digest.update(key.as_bytes());
        let digest: [u8; 32] = digest.finish().as_ref().try_into().ok()?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(&digest) {
            return known.clone();
        }
        let key = certified(chain, key, &self.provider)
            .inspect_err(|error| {
                tracing::warn!(certificate = name, error, "certificate not used");
            })
            .ok();
        if read.len() >= READ {
            read.clear();
        }
        read.insert(digest, key.clone());
        key
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello
            .server_name()
            .and_then(|name| self.find(name))
            .or_else(|| self.otherwise.clone())
    }
}

/// Asks for a certificate and takes any whose key the client has: policies decide which ones open something.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(crate) fn server(inner: Arc<Inner>, otherwise: Option<(&str, &str)>) -> Result<Tls, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let otherwise = otherwise
        .map(|(chain, key)| certified(chain, key, &provider))
        .transpose()?;
    let chooser = Arc::new(Chooser {
        inner,
        provider: Arc::clone(&provider),
        otherwise,
        read: Mutex::default(),
    });
    let builder = || {
        ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())
    };
    let mut config = builder()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::<Chooser>::clone(&chooser));
    let mut asking = builder()?
        .with_client_cert_verifier(Arc::new(AnyClient(Arc::clone(&provider))))
        .with_cert_resolver(Arc::<Chooser>::clone(&chooser));
    for config in [&mut config, &mut asking] {
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    }
    Ok(Tls {
        config: Arc::new(config),
        hosts: Some(Hosts {
            asking: Arc::new(asking),
            chooser,
        }),
    })
}
