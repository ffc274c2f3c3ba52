//! Who asks: the address of the connection, or what a trusted proxy says of its client.
//!
//! Anybody can send `X-Forwarded-For`. It counts only where the connection comes from a proxy that the configuration
//! names, and of its list only the last entry that is no such proxy itself: what stands before it was sent by strangers.

use crate::State;
use actix_web::{HttpRequest, web};
use ipnet::IpNet;
use std::net::IpAddr;

/// Networks of proxies whose word counts.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address, from the connection's and the lines of `X-Forwarded-For` in their order.
    #[must_use]
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl Iterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        let said: Vec<&str> = forwarded.flat_map(|line| line.split(',')).collect();
        for entry in said.into_iter().rev() {
            if !self.holds(client) {
                break;
            }
            // An entry that is no address ends the chain: nobody vouches for what stands before it.
            match entry.trim().parse::<IpAddr>() {
                Ok(address) => client = address.to_canonical(),
                Err(_) => break,
            }
        }
        client
    }
}

/// An address, or a network such as `10.0.0.0/8`.
///
/// # Errors
/// When the text is neither.
pub fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("'{text}' is neither an address nor a network such as 10.0.0.0/8"))
}

/// Who asks.
#[must_use]
pub fn of(http: &HttpRequest) -> IpAddr {
    // Only a connection without an address, such as a test's, has none.
    let peer = http
        .peer_addr()
        .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
    match http.app_data::<web::Data<State>>() {
        Some(state) => state.trusted_proxies.client(
            peer,
            http.headers()
                .get_all("x-forwarded-for")
                .filter_map(|value| value.to_str().ok()),
        ),
        None => peer.to_canonical(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted = trusted.iter().map(|text| network(text).unwrap()).collect();
        TrustedProxies(trusted)
            .client(peer.parse().unwrap(), forwarded.iter().copied())
            .to_string()
    }

    #[test]
    fn a_strangers_header_counts_for_nothing() {
        assert_eq!(client(&[], "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(
            client(&["10.0.0.0/8"], "203.0.113.9", &["198.51.100.1"]),
            "203.0.113.9"
        );
    }

    #[test]
    fn a_trusted_proxy_names_its_client_and_nobody_before_it() {
        let proxies = ["10.0.0.0/8", "2001:db8::1"];
        for (peer, forwarded, expected) in [
            ("10.1.1.1", &["198.51.100.1"][..], "198.51.100.1"),
            ("10.1.1.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            (
                "10.1.1.1",
                &["127.0.0.1", "198.51.100.1, 10.2.2.2"],
                "198.51.100.1",
            ),
            ("::ffff:10.1.1.1", &["198.51.100.1"], "198.51.100.1"),
            ("2001:db8::1", &["2001:db8::77"], "2001:db8::77"),
            ("10.1.1.1", &["198.51.100.1, unknown"], "10.1.1.1"),
            ("10.1.1.1", &[], "10.1.1.1"),
        ] {
            assert_eq!(
                client(&proxies, peer, forwarded),
                expected,
                "{peer} {forwarded:?}"
            );
        }
    }

    #[test]
    fn a_network_is_an_address_or_a_prefix() {
        assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(network(" 10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert!(network("proxy.example").is_err());
    }
}
