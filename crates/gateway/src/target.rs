//! Addresses of requests at backends.

use bytes::Bytes;
use http::Uri;
use http::uri::{InvalidUri, PathAndQuery, Scheme};

/// The absolute URL of a request, taken apart as far as sending it needs: an HTTP/1.1 connection that exists already wants only the
/// path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) is_https: bool,
    /// Host, perhaps with a port, perhaps with credentials before it.
    pub(crate) authority: String,
    pub(crate) path: PathAndQuery,
}

impl Target {
    /// `path` is with the query; the authority is checked when a connection is made.
    pub(crate) fn new(
        is_https: bool,
        authority: &str,
        path: impl Into<Bytes>,
    ) -> Result<Self, InvalidUri> {
        Ok(Self {
            is_https,
            authority: authority.to_owned(),
            path: PathAndQuery::from_maybe_shared(path.into())?,
        })
    }

    /// An absolute URL.
    pub(crate) fn parse(url: &str) -> Result<Self, http::Error> {
        let parts = url.parse::<Uri>()?.into_parts();
        let authority = parts.authority.map(|authority| authority.to_string());
        Ok(Self {
            is_https: parts.scheme == Some(Scheme::HTTPS),
            // A text without a host is found out when a connection is made.
            authority: authority.unwrap_or_default(),
            path: parts
                .path_and_query
                .unwrap_or_else(|| PathAndQuery::from_static("/")),
        })
    }

    fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    /// The whole URL.
    pub(crate) fn uri(&self) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.scheme())
            .authority(self.authority.as_str())
            .path_and_query(self.path.clone())
            .build()
    }

    /// The URL without its query, which may hold keys.
    pub(crate) fn without_query(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority, self.path.path())
    }

    /// Host and port without credentials.
    pub(crate) fn host(&self) -> &str {
        self.authority
            .rsplit_once('@')
            .map_or(&*self.authority, |(_, host)| host)
    }

    /// Whether two requests go to the same server.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        (self.is_https, &self.authority) == (other.is_https, &other.authority)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}
