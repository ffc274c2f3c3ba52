//! The certificate that a caller presented.

use std::sync::Arc;
use std::time::Duration;

use certificate::Facts;
use chrono::{DateTime, Utc};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use snapshot::ServiceState;

/// A caller's certificate; the handshake has shown that the caller has its key, and nothing more.
#[derive(Debug)]
pub(crate) struct Caller {
    chain: Vec<CertificateDer<'static>>,
    pub(crate) facts: Facts,
}

impl Caller {
    /// `None` when the caller presented none, or one that cannot be read.
    pub(crate) fn new(chain: Option<&[CertificateDer<'static>]>) -> Option<Arc<Self>> {
        let chain = chain?.to_vec();
        let facts = Facts::read(chain.first()?).ok()?;
        Some(Arc::new(Self { chain, facts }))
    }

    /// Whether the chain leads to one of these authorities. The dates of the leaf are not looked at.
    fn leads_to(&self, roots: RootCertStore, now: DateTime<Utc>) -> bool {
        if roots.is_empty() {
            return false;
        }
        let at = now
            .clamp(self.facts.not_before, self.facts.not_after)
            .timestamp();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .is_ok_and(|verifier| {
                verifier
                    .verify_client_cert(&self.chain[0], &self.chain[1..], at)
                    .is_ok()
            })
    }

    /// Whether the chain leads to one of the service's authorities, or of the gateway's where it has its own.
    pub(crate) fn is_trusted(&self, service: &ServiceState, now: DateTime<Utc>) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in service.authorities() {
            roots.add_parsable_certificates(ders(&certificate.chain_pem));
        }
        self.leads_to(roots, now)
    }

    /// Whether the certificate is valid at a time.
    pub(crate) fn is_valid_at(&self, now: DateTime<Utc>) -> bool {
        (self.facts.not_before..=self.facts.not_after).contains(&now)
    }

    /// Issuers that have signed it, among those that came with it and the service's certificates.
    pub(crate) fn issuers(&self, service: &ServiceState, now: DateTime<Utc>) -> Vec<Facts> {
        let known = service
            .certificates()
            .flat_map(|certificate| ders(&certificate.chain_pem));
        self.chain[1..]
            .iter()
            .cloned()
            .chain(known)
            .filter_map(|der| {
                let facts = Facts::read(&der).ok()?;
                let mut only = RootCertStore::empty();
                only.add(der).ok()?;
                let leaf = Self {
                    chain: vec![self.chain[0].clone()],
                    facts: self.facts.clone(),
                };
                leaf.leads_to(only, now).then_some(facts)
            })
            .collect()
    }
}

fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .collect()
}
