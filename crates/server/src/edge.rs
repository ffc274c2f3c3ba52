//! The gateway's edge: what it accepts, and its listener for TLS.

use anyhow::Context as _;
use clap::Args;
use gateway::{Limits, Options, Timeouts};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{
    io::Write as _,
    net::SocketAddr,
    num::NonZeroUsize,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Of records of calls.
const DEFAULT_QUEUE: &str = "65536";

/// What the gateway accepts.
#[derive(Args, Clone, Debug)]
pub struct EdgeSettings {
    /// Address of the gateway over TLS, such as `0.0.0.0:8444`; without it the gateway speaks plain HTTP only
    #[arg(long, env = "PORTICO_GATEWAY_TLS_LISTEN")]
    pub gateway_tls_listen: Option<SocketAddr>,
    /// Certificate chain of the gateway for hosts without one of their own, PEM; without it Portico makes one
    #[arg(long, env = "PORTICO_GATEWAY_TLS_CERT", requires = "gateway_tls_key")]
    pub gateway_tls_cert: Option<PathBuf>,
    /// Private key of the gateway, PEM
    #[arg(long, env = "PORTICO_GATEWAY_TLS_KEY", requires = "gateway_tls_cert")]
    pub gateway_tls_key: Option<PathBuf>,
    /// Answer plain HTTP with 404 for APIs that only offer https
    #[arg(long, env = "PORTICO_GATEWAY_REQUIRE_SCHEME")]
    pub gateway_require_scheme: bool,
    /// Proxies in front of the gateway whose X-Forwarded-For and X-Forwarded-Proto count
    #[arg(long, env = "PORTICO_GATEWAY_TRUSTED_PROXIES", default_value_t = 0)]
    pub gateway_trusted_proxies: usize,
    /// Seconds that a backend may take to begin its response, where no `forward-request` policy says; then the call is answered with 504
    #[arg(long, env = "PORTICO_GATEWAY_BACKEND_TIMEOUT", default_value_t = Timeouts::default().backend.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    pub gateway_backend_timeout: u64,
    /// Calls at one time; more are answered with 503
    #[arg(long, env = "PORTICO_GATEWAY_MAX_CALLS", default_value_t = Limits::default().calls)]
    pub gateway_max_calls: usize,
    /// Bytes of a request's head; more are answered with 431
    #[arg(long, env = "PORTICO_GATEWAY_MAX_HEAD_BYTES", default_value_t = Limits::default().head_bytes)]
    pub gateway_max_head_bytes: usize,
    /// Headers of a request; more are answered with 431
    #[arg(long, env = "PORTICO_GATEWAY_MAX_HEADERS", default_value_t = Limits::default().headers)]
    pub gateway_max_headers: usize,
    /// Bytes of a request's path and query; more are answered with 414
    #[arg(long, env = "PORTICO_GATEWAY_MAX_URI_BYTES", default_value_t = Limits::default().uri_bytes)]
    pub gateway_max_uri_bytes: usize,
    /// Bytes of a request's body; more are answered with 413; no limit without it
    #[arg(long, env = "PORTICO_GATEWAY_MAX_BODY_BYTES")]
    pub gateway_max_body_bytes: Option<u64>,
    /// Bytes of a body that policies may read whole
    #[arg(long, env = "PORTICO_GATEWAY_MAX_BUFFERED_BYTES", default_value_t = Limits::default().buffered_body_bytes)]
    pub gateway_max_buffered_bytes: usize,
    /// Streams of one HTTP/2 connection
    #[arg(long, env = "PORTICO_GATEWAY_MAX_STREAMS", default_value_t = Limits::default().streams)]
    pub gateway_max_streams: u32,
    /// Records of calls that may wait to be written; more are dropped and counted
    #[arg(long, env = "PORTICO_GATEWAY_TELEMETRY_QUEUE", default_value = DEFAULT_QUEUE)]
    pub gateway_telemetry_queue: NonZeroUsize,
    /// Bytes of the response cache
    #[arg(long, env = "PORTICO_GATEWAY_CACHE_BYTES", default_value_t = Limits::default().cache_bytes)]
    pub gateway_cache_bytes: u64,
}

impl EdgeSettings {
    /// The gateway's options by these settings.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            limits: Limits {
                head_bytes: self.gateway_max_head_bytes,
                headers: self.gateway_max_headers,
                uri_bytes: self.gateway_max_uri_bytes,
                request_body_bytes: self.gateway_max_body_bytes,
                buffered_body_bytes: self.gateway_max_buffered_bytes,
                calls: self.gateway_max_calls,
                streams: self.gateway_max_streams,
                cache_bytes: self.gateway_cache_bytes,
            },
            timeouts: Timeouts {
                backend: Duration::from_secs(self.gateway_backend_timeout),
                ..Timeouts::default()
            },
            require_scheme: self.gateway_require_scheme,
            trusted_proxies: self.gateway_trusted_proxies,
            ..Options::default()
        }
    }

    /// Chain and key in PEM for hosts without a certificate of their own: the given ones, else a self-made one that stays the same
    /// in this data folder, so that clients can be told to trust it.
    ///
    /// # Errors
    /// When a file cannot be read or written, or is no certificate.
    pub fn certificate(
        &self,
        data_dir: &Path,
        domain: Option<&str>,
    ) -> anyhow::Result<(String, String)> {
        if let (Some(chain), Some(key)) = (&self.gateway_tls_cert, &self.gateway_tls_key) {
            return Ok((read(chain)?, read(key)?));
        }
        let file = data_dir.join("gateway-tls.pem");
        if !file.exists() {
            std::fs::create_dir_all(data_dir)
                .with_context(|| format!("making {}", data_dir.display()))?;
            let text = self_made(domain)?;
            // A name that only its own process writes, so that none reads half a file.
            let fresh = data_dir.join(format!("gateway-tls.{}.pem", std::process::id()));
            let written = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .and_then(|()| match std::fs::hard_link(&fresh, &file) {
                    // Another process was faster: its certificate counts.
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                    linked => linked,
                });
            // What is left behind would be harmless.
            let _ = std::fs::remove_file(&fresh);
            written.with_context(|| format!("writing {}", file.display()))?;
        }
        let text = read(&file)?;
        CertificateDer::from_pem_slice(text.as_bytes())
            .and_then(|_| PrivateKeyDer::from_pem_slice(text.as_bytes()))
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
        Ok((text.clone(), text))
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// Certificate and key for the hosts that Portico itself gives to services.
fn self_made(domain: Option<&str>) -> anyhow::Result<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "*.localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ];
    if let Some(domain) = domain {
        names.extend([domain.to_owned(), format!("*.{domain}")]);
    }
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Portico gateway");
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}
