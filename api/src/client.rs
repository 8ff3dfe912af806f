//! Who asks, as far as a network can tell: by the address of the peer, or by what proxies that we trust
//! have written down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::HeaderMap;

/// The address of the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The network that a client is counted by: one IPv4 address, or one IPv6 network of 64 bits, which a
/// single home has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

const FORWARDED: &str = "x-forwarded-for";

impl Client {
    /// Finds the client behind so many proxies of ours. Each of them appends the address of its own peer,
    /// so what stands further left was written by whoever liked to.
    pub fn find(peer: Peer, headers: &HeaderMap, proxies: usize) -> Self {
        let Some(back) = proxies.checked_sub(1) else { return Self::of(peer.0) };
        let lines = headers.get_all(FORWARDED).iter();
        // By bytes: what somebody else wrote into the line need not be text, and ours is read all the same.
        let entries = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let entries: Vec<_> = entries.collect();
        let entry = entries.iter().rev().nth(back).or(entries.first());
        let entry = entry.and_then(|entry| std::str::from_utf8(entry).ok());
        Self::of(entry.and_then(|entry| address(entry.trim())).unwrap_or(peer.0))
    }

    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(cut_v6(address, 64)),
            address @ IpAddr::V4(_) => address,
        })
    }

    /// By what the limits know it.
    pub fn key(self) -> String {
        self.0.to_string()
    }

    /// What the audit log keeps of it: a network that tells no person.
    pub fn prefix(self) -> String {
        match self.0 {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                format!("{}/24", Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(address) => format!("{}/48", cut_v6(address, 48)),
        }
    }
}

fn cut_v6(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> bits))
}

/// With or without a port, as proxies write them.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let bare = bare.unwrap_or(entry);
    let without_port = || bare.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
    bare.parse().ok().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn found(forwarded: &[&str], proxies: usize) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED, HeaderValue::from_bytes(line.as_bytes()).expect("a header"));
        }
        Client::find(Peer(Ipv4Addr::new(10, 0, 0, 9).into()), &headers, proxies).key()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_counts() {
        assert_eq!(found(&["1.1.1.1"], 0), "10.0.0.9", "nobody is trusted");
        assert_eq!(found(&["6.6.6.6, 1.1.1.1"], 1), "1.1.1.1");
        assert_eq!(found(&["6.6.6.6, 1.1.1.1, 2.2.2.2"], 2), "1.1.1.1");
        assert_eq!(found(&["6.6.6.6", "1.1.1.1"], 1), "1.1.1.1", "two lines are one list");
        assert_eq!(found(&["1.1.1.1"], 3), "1.1.1.1", "less than was promised");
        assert_eq!(found(&[], 1), "10.0.0.9");
        assert_eq!(found(&["nonsense"], 1), "10.0.0.9");
        assert_eq!(found(&["\u{e9}\u{20ac}, 1.1.1.1"], 1), "1.1.1.1", "no text but for ours");
        assert_eq!(found(&["1.1.1.1:80"], 1), "1.1.1.1");
        assert_eq!(found(&["[2001:db8:1:2:3::4]:80"], 1), "2001:db8:1:2::");
    }

    #[test]
    fn a_client_is_one_v4_address_or_one_v6_network() {
        let client = |text: &str| Client::of(text.parse().expect("an address"));
        assert_eq!(client("::ffff:1.2.3.4").key(), "1.2.3.4");
        assert_eq!(client("1.2.3.4").prefix(), "1.2.3.0/24");
        assert_eq!(client("2001:db8:1:2:3::4").key(), "2001:db8:1:2::");
        assert_eq!(client("2001:db8:1:2:3::4").prefix(), "2001:db8:1::/48");
    }
}
