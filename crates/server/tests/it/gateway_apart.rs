//! What a gateway apart does like the built-in one: TLS by host, callers' certificates, traces, spans, metrics.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::{
    gateway_process::{Apart, Folder, Plant, eventually, policy, said},
    otlp,
};
use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use embedded_postgres::test_database::TestDatabase;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use reqwest::{Client, Method};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use testkit::Portico;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

/// A certificate authority.
type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    pem: String,
    key_pem: String,
}

impl Identity {
    fn of(name: &str, issuer: &Issuer) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// The body that stores a certificate.
fn stored(certificate: &CertificateDer<'_>, key: &[u8]) -> Result<Value> {
    let key = PrivateKey::from_der(key)?;
    let chain = PrivateKeyChain::new(b"1".as_slice(), key, [Certificate::from_der(certificate)?]);
    let mut store = KeyStore::new();
    store.add_entry("it", KeyStoreEntry::PrivateKeyChain(chain));
    let data = BASE64_STANDARD.encode(store.writer("open sesame").write()?);
    Ok(json!({"properties": {"data": data, "password": "open sesame"}}))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Protocol, status line and body of a call of `/hello/` over TLS, trusting this authority only.
async fn ask(
    port: u16,
    host: &'static str,
    trusted: &Issuer,
    own: Option<&Identity>,
) -> Result<(Option<String>, String)> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone())?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(vec![own.certificate.clone()], own.key())?,
    };
    // What the gateway prefers is told; the call itself needs HTTP/1.1.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connect = async |config: ClientConfig| {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        anyhow::Ok(connector.connect(host.try_into()?, stream).await?)
    };
    let offered = connect(config.clone()).await?;
    let protocol = offered.get_ref().1.alpn_protocol();
    let protocol = protocol.map(|name| String::from_utf8_lossy(name).into_owned());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut stream = connect(config).await?;
    let request = format!("GET /hello/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok((protocol, String::from_utf8(answer)?))
}

/// A web service over TLS that answers `secure`.
async fn secure_backend(identity: &Identity) -> Result<String> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://localhost:{}", listener.local_addr()?.port());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A gateway that does not trust it hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let answer =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Ok(url)
}

#[tokio::test]
async fn hosts_and_authorities_of_a_gateway_apart_decide_its_tls_while_it_follows_over_https()
-> Result<()> {
    let database = TestDatabase::create().await?;
    let folder = Folder::new("apart-tls")?;
    let (control, hosts, people) = (issuer("Control"), issuer("Hosts"), issuer("People"));
    let own = Identity::of("localhost", &control);
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let (cert, key) = (file("c.pem", &own.pem)?, file("k.pem", &own.key_pem)?);
    let environment = [
        ("PORTICO_TLS_CERT", cert.as_str()),
        ("PORTICO_TLS_KEY", key.as_str()),
    ];
    let portico = Portico::start(BINARY, &database, &environment).await?;
    let plant = Plant::new(&portico, "encrypted").await?;
    let check = "<validate-client-certificate validate-revocation=\"false\" />";
    let identity = policy(check, "@(context.Deployment.GatewayId)");
    plant.put("/apis/hello/policies/policy", identity).await?;
    let (first, second) = (
        Identity::of("api.plant.example.org", &hosts),
        Identity::of("*.plant.example.org", &hosts),
    );
    for (name, body) in [
        ("first", stored(&first.certificate, &first.key)?),
        ("second", stored(&second.certificate, &second.key)?),
        (
            "people",
            stored(people.der(), &people.key().serialize_der())?,
        ),
    ] {
        plant.put(&format!("/certificates/{name}"), body).await?;
    }
    let of = |name: &str| format!("{}/certificates/{name}", plant.service);
    let host = json!({"properties": {"hostname": "api.plant.example.org", "certificateId": of("first"),
        "negotiateClientCertificate": true, "http2Enabled": false}});
    plant
        .put("/gateways/plant/hostnameConfigurations/api", host)
        .await?;
    let host =
        json!({"properties": {"hostname": "*.plant.example.org", "certificateId": of("second")}});
    plant
        .put("/gateways/plant/hostnameConfigurations/others", host)
        .await?;

    // Over HTTPS to the control plane, whose authority must be known.
    let token = plant.gateway_token().await?;
    let url = portico.management_tls_url.clone().context("no TLS")?;
    let start = async |ca: &str| {
        let environment = [
            ("PORTICO_CONTROL_CA", ca),
            ("PORTICO_GATEWAY_TLS_LISTEN", "127.0.0.1:0"),
        ];
        Apart::start_with(&url, &token, &folder.0, &environment).await
    };
    let stranger = start(&file("people.pem", &people.pem())?).await?;
    let told = stranger.control("unreachable").await?;
    let why = told["control"]["problem"].as_str().unwrap_or_default();
    assert!(why.contains("UnknownIssuer"), "{why}");
    stranger.kill().await?;
    let gateway = start(&file("control.pem", &control.pem())?)
        .await?
        .ready()
        .await?;
    let port = gateway.tls_port.context("no port over TLS")?;

    // The exact host before the wildcard, each with its own certificate and manners.
    let ann = Identity::of("ann", &people);
    let answered = |answer: &str, status: &str, body: &str| {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(body),
            "{answer}"
        );
    };
    let (protocol, answer) = ask(port, "api.plant.example.org", &hosts, Some(&ann)).await?;
    assert_eq!(protocol.as_deref(), Some("http/1.1"));
    answered(&answer, "200", "plant");
    let (protocol, answer) = ask(port, "b.plant.example.org", &hosts, Some(&ann)).await?;
    assert_eq!(protocol.as_deref(), Some("h2"));
    answered(&answer, "403", "}");
    let elsewhere = ask(port, "api.example.org", &hosts, Some(&ann)).await;
    assert!(
        elsewhere.is_err(),
        "no certificate of ours is for this host"
    );
    let (_, answer) = ask(port, "api.plant.example.org", &hosts, None).await?;
    answered(&answer, "403", "}");

    // With an authority of its own that it does not trust, and then does.
    for (trusted, status, body) in [(false, "403", "}"), (true, "200", "plant")] {
        let body_of = json!({"properties": {"isTrusted": trusted}});
        plant
            .put(
                "/gateways/plant/certificateAuthorities/people?wait=all",
                body_of,
            )
            .await?;
        let (_, answer) = ask(port, "api.plant.example.org", &hosts, Some(&ann)).await?;
        answered(&answer, status, body);
    }

    // The same authority vouches for backends at this gateway, and at no other.
    let backend = secure_backend(&Identity::of("localhost", &people)).await?;
    let passing = json!({"properties": {"format": "rawxml", "value": "<policies><inbound><base /></inbound><backend><base /></backend>\
        <outbound><base /></outbound><on-error><base /></on-error></policies>"}});
    plant.api("secure", &passing).await?;
    let at = json!({"properties": {"serviceUrl": backend}});
    plant.send(Method::PATCH, "/apis/secure", at).await?;
    plant
        .put("/gateways/plant/apis/secure?wait=all", json!({}))
        .await?;
    assert_eq!(gateway.get("/secure/").await?, said("secure"));
    let elsewhere = Client::new()
        .get(format!("http://127.0.0.1:{}/secure/", portico.gateway_port))
        .header("Host", "encrypted.localhost")
        .send()
        .await?;
    assert_eq!(elsewhere.status().as_u16(), 500);

    // A renewed certificate needs no restart.
    let renewed = Identity::of("api.plant.example.org", &people);
    let body = stored(&renewed.certificate, &renewed.key)?;
    plant.put("/certificates/first?wait=all", body).await?;
    assert!(
        ask(port, "api.plant.example.org", &hosts, Some(&ann))
            .await
            .is_err()
    );
    let (_, answer) = ask(port, "api.plant.example.org", &people, Some(&ann)).await?;
    answered(&answer, "200", "plant");
    Ok(())
}

#[tokio::test]
async fn a_call_at_a_gateway_apart_is_traced_for_credentials_of_that_gateway() -> Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "watched").await?;
    plant
        .put(
            "/apis/hello/policies/policy",
            policy(
                "<set-header name=\"x-seen\"><value>yes</value></set-header>",
                "one",
            ),
        )
        .await?;
    let subscription = json!({"properties": {"scope": "/apis", "displayName": "Ann", "state": "active",
        "primaryKey": "key-of-ann", "allowTracing": true}});
    plant.put("/subscriptions/ann", subscription).await?;
    let folder = Folder::new("apart-traces")?;
    let gateway = plant.gateway(&folder).await?;
    gateway.control("connected").await?;
    let credentials = async |at: &str| -> Result<String> {
        let body = json!({"credentialsExpireAfter": "PT30M", "purposes": ["tracing"],
            "apiId": format!("{}/apis/hello", plant.service)});
        let path = format!("/gateways/{at}/listDebugCredentials");
        let answer = plant.send(Method::POST, &path, body).await?;
        Ok(answer.body["token"]
            .as_str()
            .context("no token")?
            .to_owned())
    };
    let client = Client::new();
    let call = async |port: u16, header: (&str, &str)| -> Result<reqwest::Response> {
        Ok(client
            .get(format!("http://127.0.0.1:{port}/hello/"))
            .header("Host", "watched.localhost")
            .header("Ocp-Apim-Subscription-Key", "key-of-ann")
            .header(header.0, header.1)
            .send()
            .await?
            .error_for_status()?)
    };
    let ours = credentials("plant").await?;
    let reply = call(gateway.port, ("Apim-Debug-Authorization", &ours)).await?;
    let id = reply.headers()["apim-trace-id"].to_str()?.to_owned();
    let trace = plant
        .send(
            Method::POST,
            "/gateways/plant/listTrace",
            json!({"traceId": id}),
        )
        .await?;
    let sources: Vec<&str> = trace.body["traceEntries"]["inbound"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["source"].as_str())
        .collect();
    assert_eq!(sources, ["set-header", "return-response"]);

    // Credentials are of one gateway.
    let builtin = credentials("managed").await?;
    for (port, token, traced) in [
        (gateway.port, &builtin, false),
        (portico.gateway_port, &ours, false),
        (portico.gateway_port, &builtin, true),
    ] {
        let reply = call(port, ("Apim-Debug-Authorization", token)).await?;
        assert_eq!(reply.headers().contains_key("apim-trace-id"), traced);
    }

    // The older way gives a link that needs no sign-in.
    let reply = call(gateway.port, ("Ocp-Apim-Trace", "true")).await?;
    let link = reply.headers()["ocp-apim-trace-location"]
        .to_str()?
        .to_owned();
    assert!(link.starts_with(&portico.management_url), "{link}");
    let linked: Value = client
        .get(&link)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    assert!(linked["traceEntries"]["inbound"].is_array(), "{linked}");
    let (gateway_id, sealed) = link.rsplit_once('.').unwrap();
    let damaged = format!("{gateway_id}.B{}", &sealed[1..]);
    assert_eq!(client.get(damaged).send().await?.status().as_u16(), 404);

    plant
        .send(
            Method::POST,
            "/gateways/plant/invalidateDebugCredentials",
            json!({}),
        )
        .await?;
    eventually("the invalidation", async || {
        let reply = call(gateway.port, ("Apim-Debug-Authorization", &ours)).await?;
        Ok((!reply.headers().contains_key("apim-trace-id")).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_gateway_apart_tells_a_collector_and_prometheus_of_its_calls() -> Result<()> {
    let collector = otlp::Receiver::start().await?;
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "measured").await?;
    let folder = Folder::new("apart-otlp")?;
    let insights = json!({"properties": {"loggerType": "applicationInsights", "credentials": {"instrumentationKey": "none"}}});
    plant.put("/loggers/insights", insights).await?;
    let diagnostic = json!({"properties": {"loggerId": format!("{}/loggers/insights", plant.service),
        "frontend": {"request": {"headers": []}, "response": {"headers": [], "body": {"bytes": 8}}}}});
    plant
        .put("/diagnostics/applicationinsights", diagnostic)
        .await?;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let token = plant.gateway_token().await?;
    let gateway = Apart::start_with(&portico.management_url, &token, &folder.0, &environment)
        .await?
        .ready()
        .await?;
    assert_eq!(gateway.get("/hello/").await?, said("one"));
    let about: BTreeMap<String, String> = collector
        .until(|seen| {
            let spans = otlp::spans(seen);
            let (span, _) = spans.first()?;
            Some(otlp::texts(&span.attributes))
        })
        .await?;
    for (name, value) in [
        ("portico.gateway", "plant"),
        ("portico.service", "measured"),
        ("portico.api", "hello"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(about[name], value, "{name}");
    }
    let log: Value = serde_json::from_str(&about["portico.diagnostics"])?;
    assert_eq!(
        (&log["responseBody"], &log["gatewayId"]),
        (&json!("one"), &json!("plant"))
    );
    let metrics = Client::new()
        .get(format!("{}/metrics", gateway.health))
        .send()
        .await?
        .text()
        .await?;
    let counted = r#"portico_gateway_calls_total{service="measured",api="hello",status="2xx"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn what_operations_document_is_checked_at_every_gateway() -> Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let plant = Plant::new(&portico, "described").await?;
    let folder = Folder::new("apart-described")?;
    let gateway = plant.gateway(&folder).await?;
    let operation = json!({"properties": {"displayName": "Get", "method": "GET", "urlTemplate": "/items/{id}",
        "templateParameters": [{"name": "id", "type": "integer", "required": true}],
        "request": {"queryParameters": [{"name": "sort", "type": "string", "required": true, "values": ["up", "down"]}], "headers": []},
        "responses": []}});
    plant.put("/apis/hello/operations/get", operation).await?;
    let check = "<validate-parameters specified-parameter-action=\"prevent\" unspecified-parameter-action=\"ignore\" />";
    plant
        .put(
            "/apis/hello/policies/policy?wait=all",
            policy(check, "fits"),
        )
        .await?;
    for (path, status) in [
        ("/hello/items/7?sort=up", 200),
        ("/hello/items/seven?sort=up", 400),
        ("/hello/items/7?sort=sideways", 400),
        ("/hello/items/7", 400),
    ] {
        assert_eq!(gateway.get(path).await?.0, status, "{path}");
        let url = format!("http://127.0.0.1:{}{path}", portico.gateway_port);
        let builtin = Client::new().get(url).header("Host", "described.localhost");
        assert_eq!(builtin.send().await?.status().as_u16(), status, "{path}");
    }
    Ok(())
}
