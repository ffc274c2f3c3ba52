//! Pooled connections to backends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use policy::elements::forward_request::HttpVersion;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use snapshot::entity::Certificate;

use crate::body::Body;
use crate::options::Options;
use crate::pool::{self, Connector, PoolError, Stream};
use crate::target::Target;

/// A proxy in front of backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    /// Value of `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

/// How a backend is reached. Connections are shared among calls that reach it in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) http2: Http2,
    pub(crate) accept_any_chain: bool,
    pub(crate) accept_any_name: bool,
    /// Chain and key in PEM.
    pub(crate) certificate: Option<(String, String)>,
    pub(crate) proxy: Option<Proxy>,
    /// Certificates that vouch for the backend besides the web's authorities, in PEM.
    pub(crate) authorities: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Http2 {
    #[default]
    Never,
    Offered,
    Only,
}

impl From<HttpVersion> for Http2 {
    fn from(version: HttpVersion) -> Self {
        match version {
            HttpVersion::One => Self::Never,
            HttpVersion::Two => Self::Only,
            HttpVersion::TwoOrOne => Self::Offered,
        }
    }
}

/// The connections of one route.
#[derive(Clone)]
struct Pool {
    /// Calls over HTTP/1.1 drive their connections themselves; there is none where HTTP/2 may be spoken.
    http1: Option<pool::Pool>,
    /// HTTP/2, whose connections several calls share, and connections that become something else.
    shared: Shared,
}

#[derive(Clone)]
enum Shared {
    Direct(Client<HttpsConnector<HttpConnector>, Body>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Body>),
}

/// Why a backend cannot be reached in the wanted way: a certificate that is none, an address that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreachable(String);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error(transparent)]
    Client(#[from] hyper_util::client::legacy::Error),
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl SendError {
    /// Whether the head of the response took longer than permitted.
    pub(crate) fn is_late(&self) -> bool {
        matches!(self, Self::Pool(PoolError::Late))
    }
}

pub(crate) struct Upstreams {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    connect: Duration,
    idle: Duration,
    is_offline: bool,
    default: Pool,
    others: Mutex<HashMap<Route, Pool>>,
}

impl Upstreams {
    /// `is_offline` lets no request out.
    pub(crate) fn new(options: &Options, is_offline: bool) -> Result<Self, Unreachable> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(options.roots.clone().unwrap_or_else(|| RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }));
        let (connect, idle) = (options.timeouts.connect, options.timeouts.idle);
        let default = pool(&provider, &roots, connect, idle, &Route::default())?;
        Ok(Self {
            provider,
            roots,
            connect,
            idle,
            is_offline,
            default,
            others: Mutex::default(),
        })
    }

    /// Connections over HTTP/1.1 to backends that are open, and how many of them are idle.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(&self.default)
            .chain(others.values())
            .filter_map(|pool| pool.http1.as_ref())
            .map(pool::Pool::connections)
            .fold((0, 0), |sum, pool| (sum.0 + pool.0, sum.1 + pool.1))
    }

    /// Sends a request to `target`, and waits so long for the head of the response. Dropping the future ends the call at the backend
    /// too.
    pub(crate) async fn send(
        &self,
        route: &Route,
        target: &Target,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Stream>, SendError> {
        self.leave(target)?;
        let other;
        let pool = if *route == Route::default() {
            &self.default
        } else {
            other = self.pool(route)?;
            &other
        };
        match &pool.http1 {
            Some(http1) => Ok(http1.send(target, request, limit).await?),
            // In a box, because it is large and seldom needed.
            None => Box::pin(pool.shared.send(target, request, limit)).await,
        }
    }

    /// Sends a request that asks for another protocol on the connection, which is then the caller's alone.
    pub(crate) async fn upgrade(
        &self,
        route: &Route,
        target: &Target,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Stream>, SendError> {
        self.leave(target)?;
        let pool = self.pool(route)?;
        pool.shared.send(target, request, limit).await
    }

    /// Whether requests may leave the process at all.
    fn leave(&self, target: &Target) -> Result<(), Unreachable> {
        if self.is_offline {
            let message = format!("A rehearsal sends no request to '{target}'.");
            return Err(Unreachable(message));
        }
        Ok(())
    }

    /// The connections of a route that is not the usual one.
    fn pool(&self, route: &Route) -> Result<Pool, Unreachable> {
        let others = || self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others().get(route) {
            return Ok(known.clone());
        }
        let made = pool(&self.provider, &self.roots, self.connect, self.idle, route)?;
        let mut others = others();
        // Certificates come and go; pools of old ones must not pile up.
        if others.len() >= 256 {
            others.clear();
        }
        Ok(others.entry(route.clone()).or_insert(made).clone())
    }
}

impl Shared {
    async fn send(
        &self,
        target: &Target,
        mut request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Stream>, SendError> {
        *request.uri_mut() = target.uri().map_err(unreachable)?;
        let sent = match self {
            Self::Direct(client) => client.request(request),
            Self::Proxied(client) => client.request(request),
        };
        match tokio::time::timeout(limit, sent).await {
            Ok(response) => Ok(response?.map(Stream::from)),
            Err(_) => Err(PoolError::Late.into()),
        }
    }
}

fn unreachable(error: impl std::fmt::Display) -> Unreachable {
    Unreachable(error.to_string())
}

fn tls(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    route: &Route,
) -> Result<ClientConfig, Unreachable> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(unreachable)?;
    let roots = match &route.authorities {
        None => Arc::clone(roots),
        Some(more) => {
            let mut roots = RootCertStore::clone(roots);
            roots.add_parsable_certificates(
                CertificateDer::pem_slice_iter(more.as_bytes()).filter_map(Result::ok),
            );
            Arc::new(roots)
        }
    };
    let builder = if route.accept_any_chain || route.accept_any_name {
        let known = match route.accept_any_chain {
            true => None,
            false => Some(
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
                    .build()
                    .map_err(unreachable)?,
            ),
        };
        let lenient = Lenient {
            provider: Arc::clone(provider),
            known,
        };
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(lenient))
    } else {
        builder.with_root_certificates(roots)
    };
    match &route.certificate {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            let chain: Vec<CertificateDer<'static>> =
                CertificateDer::pem_slice_iter(chain.as_bytes())
                    .collect::<Result<_, _>>()
                    .map_err(unreachable)?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unreachable)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(unreachable)
        }
    }
}

fn pool(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    connect: Duration,
    idle: Duration,
    route: &Route,
) -> Result<Pool, Unreachable> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect));
    let tls = tls(provider, roots, route)?;
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_idle_timeout(idle)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_max_idle_per_host(pool::IDLE_PER_ORIGIN)
        .http2_only(route.http2 == Http2::Only);
    let (connector, shared) = match &route.proxy {
        None => {
            let connector = connector(tls, route.http2, http);
            let shared = Shared::Direct(builder.build(connector.clone()));
            (Connector::Direct(connector), shared)
        }
        Some(proxy) => {
            let address: Uri = proxy.url.parse().map_err(unreachable)?;
            let mut tunnel = Tunnel::new(address, http);
            if let Some(authorization) = &proxy.authorization {
                tunnel =
                    tunnel.with_auth(HeaderValue::try_from(authorization).map_err(unreachable)?);
            }
            let connector = connector(tls, route.http2, tunnel);
            let shared = Shared::Proxied(builder.build(connector.clone()));
            (Connector::Proxied(connector), shared)
        }
    };
    Ok(Pool {
        http1: (route.http2 == Http2::Never).then(|| pool::Pool::new(connector, idle)),
        shared,
    })
}

fn connector<C>(tls: ClientConfig, http2: Http2, tcp: C) -> HttpsConnector<C> {
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    match http2 {
        Http2::Never => builder.enable_http1().wrap_connector(tcp),
        // The client decides whether it speaks HTTP/1 at all, also without TLS.
        Http2::Offered | Http2::Only => builder.enable_all_versions().wrap_connector(tcp),
    }
}

/// A verifier for backends whose owner has switched checks off.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// Checks the chain; without it any is accepted.
    known: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(known) = &self.known else {
            return Ok(ServerCertVerified::assertion());
        };
        match known.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Chain and key of a certificate resource that can authenticate.
pub(crate) fn identity(certificate: &Certificate) -> Option<(String, String)> {
    Some((certificate.chain_pem.clone(), certificate.key_pem.clone()?))
}
