//! To which peers is relayed: a relay stands inside of a network, and what it
//! sends seems to come from there.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use parking_lot::Mutex;

use crate::candidate::{Prefix, RemotePolicy};

/// To which peers a [`TurnServer`](super::TurnServer) relays. The default lets
/// public addresses through and nothing else: what
/// [`RemotePolicy`] refuses is refused, private and shared networks too, and
/// on the server's own addresses all but what it relays itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerPolicy {
    /// Networks that are let through; of all rules that match an address the
    /// one with the longest prefix decides, as in [`RemotePolicy`]. A private
    /// network of the same length is let through.
    pub allow: Vec<Prefix>,
    /// Networks that are refused. At equal length they win over `allow`.
    pub deny: Vec<Prefix>,
    /// Let private and shared networks through.
    pub allow_private: bool,
    /// Let loopback through.
    pub allow_loopback: bool,
}

impl PeerPolicy {
    fn compiled(&self) -> RemotePolicy {
        let mut policy = RemotePolicy::default();
        policy.allow.clone_from(&self.allow);
        policy.deny.clone_from(&self.deny);
        if self.allow_loopback {
            policy.allow.extend(LOOPBACK.iter().filter_map(|&(ip, len)| Prefix::new(ip, len)));
        }
        if !self.allow_private {
            let private = PRIVATE.iter().filter_map(|&(ip, len)| Prefix::new(ip, len));
            policy.deny.extend(private.filter(|network| !self.allow.contains(network)));
        }
        policy
    }
}

const fn v4(a: u8, b: u8, c: u8, len: u8) -> (IpAddr, u8) {
    (IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), len)
}

const fn v6(a: u16, b: u16, c: u16, len: u8) -> (IpAddr, u8) {
    (IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), len)
}

const LOOPBACK: [(IpAddr, u8); 2] = [v4(127, 0, 0, 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)];

/// Networks that are not the internet: private (RFC 1918, RFC 4193), shared
/// with a carrier (RFC 6598), for protocols (RFC 6890), benchmarks (RFC 2544),
/// reserved (RFC 1112), translated inside of a network (RFC 8215), site-local
/// (RFC 3879), and Teredo, which hides an IPv4 address (RFC 4380).
const PRIVATE: [(IpAddr, u8); 11] = [
    v4(10, 0, 0, 8),
    v4(172, 16, 0, 12),
    v4(192, 168, 0, 16),
    v4(100, 64, 0, 10),
    v4(192, 0, 0, 24),
    v4(198, 18, 0, 15),
    v4(240, 0, 0, 4),
    v6(0xfc00, 0, 0, 7),
    v6(0x64, 0xff9b, 1, 48),
    v6(0xfec0, 0, 0, 10),
    v6(0x2001, 0, 0, 32),
];

/// The policy with what the server knows of itself.
#[derive(Debug)]
pub(super) struct Guard {
    policy: RemotePolicy,
    /// What was let through by name, which holds on our own addresses too.
    allowed: Vec<Prefix>,
    /// Our addresses, and the sockets on them.
    own: Vec<IpAddr>,
    listening: Vec<SocketAddr>,
    relayed: Mutex<HashSet<SocketAddr>>,
}

impl Guard {
    pub(super) fn new(
        policy: &PeerPolicy,
        listening: Vec<SocketAddr>,
        relay_ips: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let own = listening.iter().map(SocketAddr::ip).chain(relay_ips).collect();
        let compiled = policy.compiled();
        let mut allowed = compiled.allow.clone();
        if policy.allow_private {
            allowed.extend(PRIVATE.iter().filter_map(|&(ip, len)| Prefix::new(ip, len)));
        }
        let relayed = Mutex::default();
        Guard { policy: compiled, allowed, own, listening, relayed }
    }

    /// Whether a client may have a permission for `ip`. Two clients of this
    /// server may relay to each other, wherever it stands.
    pub(super) fn admits(&self, ip: IpAddr) -> bool {
        self.policy.admits_ip(ip, []).is_ok() || self.own.contains(&ip.to_canonical())
    }

    /// Whether something may be sent to `to`: never to our own sockets for
    /// clients, and on our own addresses only to what we relay, unless they
    /// were let through by name.
    pub(super) fn admits_destination(&self, to: SocketAddr) -> bool {
        if to.port() == 0 || self.listening.contains(&to) || !self.admits(to.ip()) {
            return false;
        }
        let is_named = self.policy.admits_ip(to.ip(), []).is_ok()
            && self.allowed.iter().any(|network| network.contains(to.ip()));
        is_named || !self.own.contains(&to.ip()) || self.relayed.lock().contains(&to)
    }

    /// Notes that we relay at this address, or no longer.
    pub(super) fn relays(&self, at: SocketAddr, is_so: bool) {
        let mut relayed = self.relayed.lock();
        if is_so {
            relayed.insert(at);
        } else {
            relayed.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(policy: &PeerPolicy) -> Guard {
        let listening = vec!["198.51.100.1:3478".parse().unwrap()];
        Guard::new(policy, listening, ["10.0.0.5".parse().unwrap()])
    }

    fn admits(policy: &PeerPolicy, ip: &str) -> bool {
        guard(policy).admits(ip.parse().unwrap())
    }

    const INSIDE: [&str; 30] = [
        "127.0.0.1",
        "127.255.0.9",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "192.0.0.8",
        "198.19.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "169.254.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "fe80::1",
        "fd00::1",
        "fd00:ec2::254",
        "fec0::1",
        "224.0.0.1",
        "ff02::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "2002:a00:1::1",
        "2001::1",
    ];

    #[test]
    fn the_default_lets_nothing_but_public_addresses_through() {
        let policy = PeerPolicy::default();
        for ip in INSIDE {
            assert!(!admits(&policy, ip), "{ip}");
        }
        for ip in ["192.0.2.1", "8.8.8.8", "172.32.0.1", "2001:db8::1", "64:ff9b::8.8.8.8"] {
            assert!(admits(&policy, ip), "{ip}");
        }
    }

    #[test]
    fn what_is_allowed_is_that_and_no_more() {
        let private = PeerPolicy { allow_private: true, ..PeerPolicy::default() };
        let loopback = PeerPolicy { allow_loopback: true, ..PeerPolicy::default() };
        let named = |network: &str| PeerPolicy {
            allow: vec![network.parse().unwrap()],
            ..PeerPolicy::default()
        };
        assert!(admits(&private, "10.0.0.1") && admits(&private, "fd00::1"));
        for ip in ["127.0.0.1", "169.254.169.254", "fd00:ec2::254", "224.0.0.1", "fe80::1"] {
            assert!(!admits(&private, ip), "{ip}");
        }
        assert!(admits(&loopback, "127.0.0.1") && admits(&loopback, "::1"));
        assert!(!admits(&loopback, "10.0.0.1") && !admits(&loopback, "0.0.0.0"));
        assert!(admits(&named("10.0.0.0/8"), "10.0.0.1"));
        assert!(admits(&named("10.1.0.0/16"), "10.1.0.1"));
        assert!(!admits(&named("10.1.0.0/16"), "10.2.0.1"));
        assert!(!admits(&named("0.0.0.0/0"), "10.0.0.1"));
        let mut both = named("10.1.0.0/16");
        both.deny.push("10.1.0.0/16".parse().unwrap());
        assert!(!admits(&both, "10.1.0.1"));
    }

    #[test]
    fn on_our_own_addresses_only_what_we_relay_is_reached() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let guard_of = |policy| guard(&policy);
        let guard = guard_of(PeerPolicy::default());
        // The relay's own address is private, and its clients may meet there.
        assert!(guard.admits("10.0.0.5".parse().unwrap()));
        assert!(!guard.admits_destination(at("10.0.0.5:4000")));
        guard.relays(at("10.0.0.5:4000"), true);
        assert!(guard.admits_destination(at("10.0.0.5:4000")));
        assert!(!guard.admits_destination(at("10.0.0.5:53")));
        guard.relays(at("10.0.0.5:4000"), false);
        assert!(!guard.admits_destination(at("10.0.0.5:4000")));
        assert!(!guard.admits_destination(at("198.51.100.1:3478")));
        assert!(!guard.admits_destination(at("198.51.100.1:53")));
        assert!(!guard.admits_destination(at("192.0.2.1:0")));
        assert!(guard.admits_destination(at("192.0.2.1:53")));
        let named = guard_of(PeerPolicy {
            allow: vec!["198.51.100.1/32".parse().unwrap()],
            ..PeerPolicy::default()
        });
        assert!(named.admits_destination(at("198.51.100.1:53")));
        assert!(!named.admits_destination(at("198.51.100.1:3478")), "our own sockets never are");
        assert!(!named.admits_destination(at("10.0.0.5:53")));
    }
}
