//! Fetches a document that a publisher names by link, and nothing else that this machine can reach.
//!
//! A link is a wish of a caller to make this process call somebody. So the address counts, not the name: a name is
//! resolved once, every address that it has must be public, and the connection goes to one of those addresses, so that
//! a second answer of the name server cannot lead elsewhere. Every redirect is a new link. A general client such as
//! reqwest resolves by itself and was rejected for that reason.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response, body::Incoming, header};
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use url::{Host, Url};

/// Longest that all of it may take.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Longest that one connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Most redirects.
const MAX_REDIRECTS: usize = 5;
/// Largest document, in bytes.
const MAX_BYTES: usize = description::MAX_BYTES;

/// Why a link was not followed to a document. The texts name nothing of a network that is not public.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an absolute URL of http or https without a user name.
    #[error("is not an absolute http or https URL without user name")]
    Url,
    /// The host's name has no address.
    #[error("names the host '{0}', which is not known")]
    UnknownHost(String),
    /// The host is this machine, a private network, or an address of a cloud's metadata.
    #[error(
        "leads to '{0}', which is not a public address; --import-private-links allows such links"
    )]
    Private(String),
    /// An encrypted link was redirected to one that is not.
    #[error("is redirected from https to http")]
    Downgrade,
    /// Too many redirects.
    #[error("is redirected more than {MAX_REDIRECTS} times")]
    Redirects,
    /// Neither a document nor a redirect.
    #[error("was answered with the status {0}")]
    Status(u16),
    /// The server cannot be reached or speaks no HTTP.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// More than the limit.
    #[error("leads to a document of more than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not UTF-8.
    #[error("leads to a document that is not UTF-8")]
    NotText,
    /// Took too long.
    #[error("was not answered within {} seconds", TIME_LIMIT.as_secs())]
    Slow,
}

/// A form to be posted.
pub struct Form<'a> {
    /// Its fields, encoded.
    pub body: String,
    /// Name and secret for basic authentication.
    pub credentials: Option<(&'a str, &'a str)>,
}

/// Follows links.
#[derive(Clone)]
pub struct Links {
    tls: tokio_rustls::TlsConnector,
    private: bool,
}

impl Links {
    /// With `private`, links may lead to any address.
    ///
    /// # Errors
    /// When the TLS versions cannot be chosen: ours.
    pub fn new(private: bool) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_roots()
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config).into(),
            private,
        })
    }

    /// Posts a form, and gives what is answered. Redirects are not followed: they would carry credentials elsewhere.
    ///
    /// # Errors
    /// As [`document`](Self::document).
    pub async fn post(&self, link: &str, form: &Form<'_>) -> Result<String, FetchError> {
        self.answered(link, Some(form), None).await
    }

    /// What a link gives to who shows a token. Redirects are not followed: they would carry it elsewhere.
    ///
    /// # Errors
    /// As [`document`](Self::document).
    pub async fn shown(&self, link: &str, token: &str) -> Result<String, FetchError> {
        self.answered(link, None, Some(token)).await
    }

    /// The answer at the link itself.
    async fn answered(
        &self,
        link: &str,
        form: Option<&Form<'_>>,
        token: Option<&str>,
    ) -> Result<String, FetchError> {
        let url: Url = link.trim().parse().map_err(|_| FetchError::Url)?;
        let work = async {
            let response = self.ask(&url, form, token).await?;
            if !response.status().is_success() {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            whole(response).await
        };
        tokio::time::timeout(TIME_LIMIT, work)
            .await
            .map_err(|_| FetchError::Slow)?
    }

    /// The document at the end of a link.
    ///
    /// # Errors
    /// When the link must not be followed, or leads to no document.
    pub async fn document(&self, link: &str) -> Result<String, FetchError> {
        let mut url: Url = link.trim().parse().map_err(|_| FetchError::Url)?;
        let work = async {
            for _ in 0..=MAX_REDIRECTS {
                let response = self.ask(&url, None, None).await?;
                let status = response.status();
                let next = response
                    .headers()
                    .get(header::LOCATION)
                    .filter(|_| status.is_redirection());
                if let Some(next) = next {
                    let next = next.to_str().map_err(|_| FetchError::Url)?;
                    let next = url.join(next).map_err(|_| FetchError::Url)?;
                    if url.scheme() == "https" && next.scheme() == "http" {
                        return Err(FetchError::Downgrade);
                    }
                    url = next;
                } else if status.is_success() {
                    return whole(response).await;
                } else {
                    return Err(FetchError::Status(status.as_u16()));
                }
            }
            Err(FetchError::Redirects)
        };
        tokio::time::timeout(TIME_LIMIT, work)
            .await
            .map_err(|_| FetchError::Slow)?
    }

    async fn ask(
        &self,
        url: &Url,
        form: Option<&Form<'_>>,
        token: Option<&str>,
    ) -> Result<Response<Incoming>, FetchError> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(FetchError::Url),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Url);
        }
        let host = url.host().ok_or(FetchError::Url)?;
        let port = url.port_or_known_default().ok_or(FetchError::Url)?;
        let stream = self.connect(&host, port).await?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut request = match form {
            None => Request::get(target),
            Some(_) => Request::post(target)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
        };
        if let Some((id, secret)) = form.and_then(|form| form.credentials) {
            // RFC 6749, 2.3.1: both are encoded as a form first.
            let encode = |text: &str| -> String {
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
            };
            let both = format!("{}:{}", encode(id), encode(secret));
            let value = format!("Basic {}", BASE64_STANDARD.encode(both));
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = form.map(|form| form.body.clone()).unwrap_or_default();
        let request = request
            .header(header::HOST, authority)
            .header(
                header::USER_AGENT,
                concat!("portico/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::ACCEPT, "*/*")
            .body(Full::new(bytes::Bytes::from(body)))
            .map_err(|_| FetchError::Url)?;
        self.over(stream, &host, secure, request).await
    }

    /// Sends a request over a connection to a host.
    async fn over(
        &self,
        stream: TcpStream,
        host: &Host<&str>,
        secure: bool,
        request: Request<Full<bytes::Bytes>>,
    ) -> Result<Response<Incoming>, FetchError> {
        if !secure {
            return send(stream, request).await;
        }
        let name = match host {
            Host::Domain(name) => rustls_pki_types::ServerName::try_from((*name).to_owned())
                .map_err(|_| FetchError::Url)?,
            Host::Ipv4(address) => IpAddr::V4(*address).into(),
            Host::Ipv6(address) => IpAddr::V6(*address).into(),
        };
        let stream = self.tls.connect(name, stream).await.map_err(unreachable)?;
        send(stream, request).await
    }

    /// The status of the answer to a request over a connection that its caller made, to wherever that may be.
    ///
    /// # Errors
    /// When the host speaks no HTTP, or no TLS that can be trusted.
    pub async fn status(
        &self,
        stream: TcpStream,
        url: &Url,
        request: Request<Full<bytes::Bytes>>,
    ) -> Result<u16, FetchError> {
        let host = url.host().ok_or(FetchError::Url)?;
        let secure = url.scheme() == "https";
        let response = self.over(stream, &host, secure, request).await?;
        Ok(response.status().as_u16())
    }

    /// Connects to one of the host's addresses, if all of them are allowed.
    async fn connect(&self, host: &Host<&str>, port: u16) -> Result<TcpStream, FetchError> {
        let addresses: Vec<SocketAddr> = match host {
            Host::Ipv4(address) => vec![(*address, port).into()],
            Host::Ipv6(address) => vec![(*address, port).into()],
            Host::Domain(name) => tokio::net::lookup_host((*name, port))
                .await
                .map_err(|_| FetchError::UnknownHost((*name).to_owned()))?
                .collect(),
        };
        if !self.private && !addresses.iter().all(|address| is_public(address.ip())) {
            return Err(FetchError::Private(host.to_string()));
        }
        let mut last = FetchError::UnknownHost(host.to_string());
        for address in addresses {
            match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = unreachable(error),
                Err(_) => last = FetchError::Slow,
            }
        }
        Err(last)
    }
}

/// The text of a response.
async fn whole(response: Response<Incoming>) -> Result<String, FetchError> {
    let body = Limited::new(response.into_body(), MAX_BYTES)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                FetchError::TooLarge
            } else {
                FetchError::Unreachable(error.to_string())
            }
        })?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| FetchError::NotText)
}

fn unreachable(error: impl std::fmt::Display) -> FetchError {
    FetchError::Unreachable(error.to_string())
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<bytes::Bytes>>,
) -> Result<Response<Incoming>, FetchError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(unreachable)?;
    // Ends with the response or its being dropped; an error arrives at the response, too.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(unreachable)
}

/// Whether an address belongs to the public internet: none of the blocks of RFC 6890 and its successors, and no
/// IPv6 address that stands for an IPv4 address that is not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240
        // Azure's wire server, which answers like the metadata address.
        || address == Ipv4Addr::new(168, 63, 129, 16))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            inner(high, low)
        }
        [0x2002, high, low, ..] => inner(high, low),
        // Protocol assignments (Teredo among them) and documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Only this block is given out.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for address in [
            "93.184.216.34",
            "1.1.1.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(address.parse().is_ok_and(is_public), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
        ] {
            assert!(
                address.parse().is_ok_and(|address| !is_public(address)),
                "{address}"
            );
        }
    }

    #[tokio::test]
    async fn links_to_what_is_not_public_are_refused_however_they_are_written() {
        let links = Links::new(false).expect("TLS");
        for link in [
            "http://127.0.0.1:1/",
            "http://localhost/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/",
            "http://127.0.0.1.:80/",
        ] {
            let found = links.document(link).await;
            assert!(
                matches!(found, Err(FetchError::Private(_))),
                "{link}: {found:?}"
            );
        }
        for link in [
            "file:///etc/passwd",
            "ftp://example.org/",
            "example.org",
            "http://user:password@example.org/",
            "gopher://x/",
            "",
        ] {
            let found = links.document(link).await;
            assert!(matches!(found, Err(FetchError::Url)), "{link}: {found:?}");
        }
    }

    /// Answers one request after the other with these texts and gives the address.
    async fn answering(answers: Vec<String>) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a caller");
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    let mut buffer = [0; 1024];
                    let count = stream.read(&mut buffer).await.expect("a request");
                    seen.extend_from_slice(&buffer[..count]);
                }
                // The caller may hang up at the limit.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    fn ok(body: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn moved(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn redirects_are_followed_and_counted() {
        let links = Links::new(true).expect("TLS");
        let address = answering(vec![moved("/next?x=1"), ok("the document")]).await;
        let found = links.document(&format!("http://{address}/first")).await;
        assert!(
            matches!(&found, Ok(text) if text == "the document"),
            "{found:?}"
        );

        let address = answering(vec![moved("/again"); MAX_REDIRECTS + 1]).await;
        let found = links.document(&format!("http://{address}/")).await;
        assert!(matches!(found, Err(FetchError::Redirects)), "{found:?}");

        let address = answering(vec![moved("file:///etc/passwd")]).await;
        let found = links.document(&format!("http://{address}/")).await;
        assert!(matches!(found, Err(FetchError::Url)), "{found:?}");
    }

    #[tokio::test]
    async fn large_failing_and_binary_answers_are_no_documents() {
        let links = Links::new(true).expect("TLS");
        let large = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_BYTES + 1));
        let address = answering(vec![large]).await;
        let found = links.document(&format!("http://{address}/")).await;
        assert!(matches!(found, Err(FetchError::TooLarge)), "{found:?}");

        let address = answering(vec![
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into(),
        ])
        .await;
        let found = links.document(&format!("http://{address}/")).await;
        assert!(matches!(found, Err(FetchError::Status(404))), "{found:?}");
    }
}
