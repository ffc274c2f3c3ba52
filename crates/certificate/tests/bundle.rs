//! Files that people have.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use certificate::{Bundle, Error, Facts};
use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};

struct Made {
    certificate: Vec<u8>,
    issuer: Vec<u8>,
    key: Vec<u8>,
}

/// A leaf of an intermediate authority.
fn made() -> Made {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "Root");
    let root = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut intermediate = CertificateParams::new(Vec::<String>::new()).unwrap();
    intermediate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    intermediate
        .distinguished_name
        .push(DnType::CommonName, "Between");
    let between =
        CertifiedIssuer::signed_by(intermediate, KeyPair::generate().unwrap(), &root).unwrap();
    let mut params = CertificateParams::new(vec!["api.contoso.com".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "DE");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Contoso, Inc");
    params
        .distinguished_name
        .push(DnType::CommonName, "api.contoso.com");
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &between).unwrap();
    Made {
        certificate: leaf.der().to_vec(),
        issuer: between.der().to_vec(),
        key: key.serialize_der(),
    }
}

fn pfx(made: &Made, password: &str, algorithm: EncryptionAlgorithm) -> Vec<u8> {
    let certificates =
        [&made.certificate, &made.issuer].map(|der| Certificate::from_der(der).unwrap());
    let key = PrivateKey::from_der(&made.key).unwrap();
    let mut store = KeyStore::new();
    store.add_entry(
        "gateway",
        KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(b"1".as_slice(), key, certificates)),
    );
    store
        .writer(password)
        .encryption_algorithm(algorithm)
        .write()
        .unwrap()
}

#[test]
fn a_pfx_gives_leaf_issuers_and_key_with_new_and_old_encryption() {
    let made = made();
    for algorithm in [
        EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
        EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
    ] {
        let bundle = Bundle::read(&pfx(&made, "open sesame", algorithm), "open sesame").unwrap();
        assert_eq!(bundle.chain_pem().matches("BEGIN CERTIFICATE").count(), 2);
        assert!(
            bundle
                .key_pem()
                .unwrap()
                .starts_with("-----BEGIN PRIVATE KEY-----\n")
        );
        assert_eq!(
            bundle.facts().unwrap(),
            Facts::read(&made.certificate).unwrap()
        );
    }
}

#[test]
fn facts_are_spelled_as_net_does() {
    let made = made();
    let facts = Facts::read(&made.certificate).unwrap();
    assert_eq!(
        facts.subject,
        "CN=api.contoso.com, O=\"Contoso, Inc\", C=DE"
    );
    assert_eq!(facts.issuer, "CN=Between");
    assert_eq!(facts.common_name.as_deref(), Some("api.contoso.com"));
    assert_eq!(facts.dns_names, ["api.contoso.com"]);
    assert_eq!(facts.thumbprint.len(), 40);
    assert!(facts.not_before < facts.not_after);
}

#[test]
fn another_password_or_other_bytes_are_refused_with_a_reason() {
    let made = made();
    let file = pfx(
        &made,
        "open sesame",
        EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
    );
    assert!(matches!(
        Bundle::read(&file, "sesame open"),
        Err(Error::Unreadable(_))
    ));
    assert!(matches!(
        Bundle::read(b"no certificate", ""),
        Err(Error::Unreadable(_))
    ));
    assert!(matches!(Bundle::read(b"", ""), Err(Error::Unreadable(_))));
}

#[test]
fn a_certificate_alone_may_be_pem_or_der() {
    let made = made();
    let der = Bundle::read(&made.certificate, "").unwrap();
    assert_eq!(der.key_pem(), None);
    let pem = Bundle::read(der.chain_pem().as_bytes(), "").unwrap();
    assert_eq!(pem, der);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let mut one = made();
    one.key = made().key;
    let file = pfx(&one, "x", EncryptionAlgorithm::PbeWithHmacSha256AndAes256);
    assert_eq!(Bundle::read(&file, "x"), Err(Error::KeyWithoutCertificate));
}
