//! The gateway over TLS: a self-made certificate, then those of a service's own hosts, while it runs.

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use embedded_postgres::test_database::TestDatabase;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use reqwest::Method;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;
use std::sync::Arc;
use testkit::Portico;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What the gateway answers to whoever trusts only this certificate; `None` when it shows another one.
async fn ask(
    port: u16,
    host: &'static str,
    trusted: &CertificateDer<'_>,
) -> Result<Option<String>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone().into_owned())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let Ok(mut stream) = connector.connect(host.try_into()?, stream).await else {
        return Ok(None);
    };
    let request = format!(
        "GET /echo/resource?param1=a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(Some(String::from_utf8(answer)?))
}

/// A certificate for a host, and the body that gives it to a service.
fn host(name: &str) -> Result<(CertificateDer<'static>, serde_json::Value)> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
    let certificate = Certificate::from_der(made.cert.der())?;
    let key = PrivateKey::from_der(&made.signing_key.serialize_der())?;
    let chain = PrivateKeyChain::new(b"1".as_slice(), key, [certificate]);
    let mut store = KeyStore::new();
    store.add_entry("it", KeyStoreEntry::PrivateKeyChain(chain));
    let file = BASE64_STANDARD.encode(store.writer("open sesame").write()?);
    let body = json!({"properties": {"hostnameConfigurations": [{"type": "Proxy", "hostName": name,
        "encodedCertificate": file, "certificatePassword": "open sesame"}]}});
    Ok((made.cert.der().clone(), body))
}

#[tokio::test]
async fn hosts_get_their_certificates_without_a_restart() -> Result<()> {
    let database = TestDatabase::create().await?;
    let folder = std::env::temp_dir().join(format!("portico-edge-{}", std::process::id()));
    let data = folder.to_str().context("a path")?;
    let environment = [
        ("PORTICO_GATEWAY_TLS_LISTEN", "127.0.0.1:0"),
        ("PORTICO_DATA_DIR", data),
    ];
    let portico = Portico::start(env!("CARGO_BIN_EXE_portico"), &database, &environment).await?;
    let port = portico.gateway_tls_port.context("no port over TLS")?;
    let own = std::fs::read(folder.join("gateway-tls.pem"))?;
    let own = CertificateDer::from_pem_slice(&own)?;
    let answer = ask(port, "localhost", &own).await?.context("not trusted")?;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");

    let token = portico.token().await?;
    let service = portico.service(&token, "edge").await?;
    let (first, body) = host("api.example.org")?;
    assert_eq!(ask(port, "api.example.org", &first).await?, None);
    let patched = portico
        .send(&token, Method::PATCH, &service, &[], Some(&body))
        .await?;
    assert_eq!(patched.status, 200, "{}", patched.body);
    let answer = ask(port, "api.example.org", &first)
        .await?
        .context("not trusted")?;
    assert!(
        answer.starts_with("HTTP/1.1 401 "),
        "routed to the service: {answer}"
    );

    let (second, body) = host("api.example.org")?;
    let patched = portico
        .send(&token, Method::PATCH, &service, &[], Some(&body))
        .await?;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(ask(port, "api.example.org", &first).await?, None);
    assert!(ask(port, "api.example.org", &second).await?.is_some());
    portico.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
