//! Certificates of callers, and of hosts.

use std::sync::Arc;

use bytes::Bytes;
use gateway::Options;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use snapshot::entity::{Certificate, PolicyScope, Service, TlsHost};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::harness::*;

/// A certificate authority.
type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: String,
    key_pem: String,
}

fn leaf(name: &str, issuer: &Issuer) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Identity {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    }
}

/// A gateway over TLS whose one host asks callers for certificates.
struct Front {
    world: World,
    address: std::net::SocketAddr,
    authority: Issuer,
    _backend: Backend,
}

async fn front(policy: &str, trusted: &[&Issuer]) -> Front {
    // The wall clock, because certificates are of today.
    let clock: Arc<dyn gateway::Clock> = Arc::new(gateway::SystemClock::default());
    let world = World::with(|options| Options { clock, ..options }).await;
    let backend = Backend::echo().await;
    let api = snapshot::entity::Api {
        subscription_required: false,
        ..api(API, "echo", &backend.url())
    };
    world.put([api.into(), operation(100, API, "*", "/*").into()]);
    world.policy(PolicyScope::Api(API), policy);
    let authority = issuer("Hosts");
    let host = leaf(HOST, &authority);
    world.put([Service {
        id: SERVICE,
        name: "demoazureml".to_owned(),
        hostnames: vec![HOST.to_owned(), "127.0.0.1".to_owned()],
        tls_hosts: vec![TlsHost {
            host: HOST.to_owned(),
            chain_pem: host.pem,
            key_pem: host.key_pem,
            negotiate_client_certificate: true,
            is_default: true,
            ..TlsHost::default()
        }],
        ..Service::default()
    }
    .into()]);
    world.put(trusted.iter().enumerate().map(|(at, issuer)| {
        Certificate {
            id: Uuid::from_u128(90 + at as u128),
            service_id: SERVICE,
            name: format!("authority-{at}"),
            thumbprint: certificate::Facts::read(issuer.der()).unwrap().thumbprint,
            chain_pem: issuer.pem(),
            key_pem: None,
        }
        .into()
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = world.gateway.tls(None).unwrap();
    let gateway = world.gateway.clone();
    tokio::spawn(async move {
        gateway
            .serve(listener, Some(tls), std::future::pending())
            .await
    });
    Front {
        world,
        address,
        authority,
        _backend: backend,
    }
}

impl Front {
    /// Status and body of a call, with this certificate or none.
    async fn call(&self, identity: Option<&Identity>) -> (u16, String) {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .unwrap(),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(HOST.try_into().unwrap(), stream)
            .await
            .unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .uri("/echo/a")
            .header("host", HOST)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

fn inbound(xml: &str) -> String {
    format!("<policies><inbound>{xml}</inbound><backend><forward-request /></backend></policies>")
}

#[tokio::test]
async fn an_expression_sees_the_callers_certificate() {
    let authority = issuer("Callers");
    let policy = inbound(
        "<return-response><set-body>@{ var c = context.Request.Certificate; return c == null ? \"none\" : c.Subject + \"|\" + c.Issuer + \"|\" + c.Verify(); }</set-body></return-response>",
    );
    let front = front(&policy, &[&authority]).await;
    assert_eq!(front.call(None).await.1, "none");
    let known = leaf("client.example", &authority);
    assert_eq!(
        front.call(Some(&known)).await.1,
        "CN=client.example|CN=Callers|True"
    );
    let stranger = leaf("client.example", &issuer("Callers"));
    assert_eq!(
        front.call(Some(&stranger)).await.1,
        "CN=client.example|CN=Callers|False"
    );
}

#[tokio::test]
async fn a_client_certificate_is_demanded_and_checked() {
    let authority = issuer("Callers");
    let policy = inbound(
        "<validate-client-certificate validate-revocation=\"false\"><identities><identity common-name=\"client.example\" issuer-certificate-id=\"authority-0\" /></identities></validate-client-certificate>",
    );
    let front = front(&policy, &[&authority]).await;
    let refused = |message: &str| {
        (
            403,
            format!("{{ \"statusCode\": 403, \"message\": \"{message}\" }}"),
        )
    };
    assert_eq!(
        front.call(None).await,
        refused("Client certificate is missing.")
    );
    let known = leaf("client.example", &authority);
    assert_eq!(front.call(Some(&known)).await.0, 200);
    let other = leaf("other.example", &authority);
    assert_eq!(
        front.call(Some(&other)).await,
        refused("Client certificate is of nobody who may call.")
    );
    // The same name, an issuer of the same name, and the real issuer's certificate sent along.
    let mut stranger = leaf("client.example", &issuer("Callers"));
    stranger.chain.push(authority.der().clone());
    assert_eq!(
        front.call(Some(&stranger)).await,
        refused("Client certificate is not trusted.")
    );
    let untrusting = inbound(
        "<validate-client-certificate validate-revocation=\"false\" validate-trust=\"false\"><identities><identity common-name=\"client.example\" issuer-certificate-id=\"authority-0\" /></identities></validate-client-certificate>",
    );
    front.world.policy(PolicyScope::Api(API), &untrusting);
    assert_eq!(
        front.call(Some(&stranger)).await,
        refused("Client certificate is of nobody who may call."),
        "an issuer counts by its signature"
    );
}

#[tokio::test]
async fn a_client_that_names_no_host_gets_the_default_of_its_address() {
    let front = front(&inbound(""), &[]).await;
    let mut roots = RootCertStore::empty();
    roots.add(front.authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_sni = false;
    let stream = TcpStream::connect(front.address).await.unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(HOST.try_into().unwrap(), stream)
        .await
        .unwrap();
}
