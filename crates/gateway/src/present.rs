//! Which of the headers that the gateway itself looks at a message has.

use http::HeaderMap;

/// A set of such headers, found in one pass over the names: a look-up costs a hash also when the header is absent, as most are, and
/// a call would make some twenty of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Present(u32);

impl Present {
    pub(crate) const HOST: Self = Self(1);
    pub(crate) const CONTENT_LENGTH: Self = Self(1 << 1);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 2);
    pub(crate) const UPGRADE: Self = Self(1 << 3);
    pub(crate) const TE: Self = Self(1 << 4);
    pub(crate) const EXPECT: Self = Self(1 << 5);
    pub(crate) const FORWARDED_FOR: Self = Self(1 << 6);
    pub(crate) const REQUEST_ID: Self = Self(1 << 7);
    pub(crate) const TRACE: Self = Self(1 << 8);
    pub(crate) const DEBUG_AUTHORIZATION: Self = Self(1 << 9);
    pub(crate) const ORIGIN: Self = Self(1 << 10);
    /// Some header that belongs to one connection, RFC 9110 section 7.6.1.
    pub(crate) const HOP_BY_HOP: Self = Self(1 << 11);

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers.keys().fold(Self::default(), |found, name| {
            found.and(match name.as_str() {
                "host" => Self::HOST,
                "content-length" => Self::CONTENT_LENGTH,
                "transfer-encoding" => Self::TRANSFER_ENCODING.and(Self::HOP_BY_HOP),
                "upgrade" => Self::UPGRADE.and(Self::HOP_BY_HOP),
                "te" => Self::TE.and(Self::HOP_BY_HOP),
                "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "trailer" => Self::HOP_BY_HOP,
                "expect" => Self::EXPECT,
                "x-forwarded-for" => Self::FORWARDED_FOR,
                "x-request-id" => Self::REQUEST_ID,
                "ocp-apim-trace" => Self::TRACE,
                "apim-debug-authorization" => Self::DEBUG_AUTHORIZATION,
                "origin" => Self::ORIGIN,
                _ => Self::default(),
            })
        })
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any header of the other set is in this one.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::Present;
    use crate::pipeline::HOP_BY_HOP;

    #[test]
    fn every_header_of_one_connection_is_known_as_such() {
        for name in HOP_BY_HOP {
            let mut headers = HeaderMap::new();
            headers.insert(&name, HeaderValue::from_static("x"));
            assert!(Present::of(&headers).has(Present::HOP_BY_HOP), "{name}");
        }
    }

    #[test]
    fn headers_are_found_whatever_is_around_them() {
        let mut headers = HeaderMap::new();
        for name in ["accept", "host", "x-request-id", "user-agent"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let found = Present::of(&headers);
        assert_eq!(
            [
                Present::HOST,
                Present::REQUEST_ID,
                Present::HOP_BY_HOP,
                Present::ORIGIN
            ]
            .map(|wanted| found.has(wanted)),
            [true, true, false, false]
        );
    }
}
