//! Certificates and their private keys, from the files that people have to what the gateway and the control plane need of them.
//!
//! [`Bundle::read`] opens PKCS #12 (`.pfx`, `.p12`), also with the old encryption that many tools still write, and single
//! certificates in DER or PEM. It finds the certificate that belongs to the key by trying, because not every file says so, and puts
//! its issuers behind it. [`Facts`] are what the contract and `context.Request.Certificate` show of a certificate, spelled as .NET
//! spells them.
//!
//! Nothing here says whether a certificate is to be trusted.

mod facts;

pub use facts::Facts;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// No chain of the web is longer than a few.
const LONGEST_CHAIN: usize = 10;

/// Why a file cannot be used. Each is a sentence for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither PKCS #12 nor a certificate, or another password.
    #[error("cannot be opened as PKCS #12: {0}")]
    Unreadable(String),
    /// It holds no certificate.
    #[error("holds no certificate")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("holds a certificate that cannot be read: {0}")]
    Malformed(String),
    /// It holds a key, but not the certificate of the key.
    #[error(
        "holds a private key that belongs to none of its certificates, or is of an unknown sort"
    )]
    KeyWithoutCertificate,
}

/// A certificate, its issuers, and perhaps its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// DER, the leaf first.
    chain: Vec<Vec<u8>>,
    /// PKCS #8 in DER.
    key: Option<Vec<u8>>,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("certificates", &self.chain.len())
            .field("has_key", &self.key.is_some())
            .finish()
    }
}

impl Bundle {
    /// Reads a file: PKCS #12, or certificates without a key in PEM or DER.
    ///
    /// # Errors
    /// When it is neither, the password is another one, or key and certificates do not fit.
    pub fn read(data: &[u8], password: &str) -> Result<Self, Error> {
        if data.trim_ascii_start().starts_with(b"-----BEGIN") {
            let chain = CertificateDer::pem_slice_iter(data)
                .map(|der| der.map(|der| der.to_vec()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| Error::Malformed(error.to_string()))?;
            return Self::checked(chain, None);
        }
        if Facts::read(data).is_ok() {
            return Self::checked(vec![data.to_vec()], None);
        }
        let archive = Pkcs12Archive::from_pkcs12(data, password)
            .map_err(|error| Error::Unreadable(error.to_string()))?;
        let certificates: Vec<Vec<u8>> = archive
            .certs
            .iter()
            .map(|bag| bag.cert.as_der().to_vec())
            .collect();
        let Some(key) = archive.keys.first() else {
            return Self::checked(certificates, None);
        };
        let key = key.key.as_der().to_vec();
        let leaf = certificates
            .iter()
            .position(|certificate| belongs(certificate, &key))
            .ok_or(if certificates.is_empty() {
                Error::NoCertificate
            } else {
                Error::KeyWithoutCertificate
            })?;
        Self::checked(chain(certificates, leaf)?, Some(key))
    }

    fn checked(chain: Vec<Vec<u8>>, key: Option<Vec<u8>>) -> Result<Self, Error> {
        if chain.is_empty() {
            return Err(Error::NoCertificate);
        }
        for certificate in &chain {
            Facts::read(certificate)?;
        }
        Ok(Self { chain, key })
    }

    /// What the leaf says.
    ///
    /// # Errors
    /// Never after [`Bundle::read`], which has read it.
    pub fn facts(&self) -> Result<Facts, Error> {
        Facts::read(&self.chain[0])
    }

    /// The certificates in PEM, leaf first.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain
            .iter()
            .map(|der| pem("CERTIFICATE", der))
            .collect()
    }

    /// The private key in PEM, if the file had one.
    #[must_use]
    pub fn key_pem(&self) -> Option<String> {
        self.key.as_ref().map(|der| pem("PRIVATE KEY", der))
    }
}

fn belongs(certificate: &[u8], key: &[u8]) -> bool {
    let chain = vec![CertificateDer::from(certificate.to_vec())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
    CertifiedKey::from_der(chain, key, &default_provider()).is_ok()
}

/// The leaf and its issuers, as far as they are there. A root that signed itself is left out: who trusts it has it.
fn chain(mut certificates: Vec<Vec<u8>>, leaf: usize) -> Result<Vec<Vec<u8>>, Error> {
    let mut chain = vec![certificates.swap_remove(leaf)];
    while chain.len() < LONGEST_CHAIN {
        let last = Facts::read(&chain[chain.len() - 1])?;
        let issuer = certificates.iter().position(|der| {
            Facts::read(der)
                .is_ok_and(|facts| facts.subject == last.issuer && facts.subject != facts.issuer)
        });
        match issuer {
            Some(at) if last.issuer != last.subject => chain.push(certificates.swap_remove(at)),
            _ => break,
        }
    }
    Ok(chain)
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let body = STANDARD.encode(der);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}
