//! Addresses as the agent sees them: transport protocols, address families
//! and the canonical form in which addresses are compared.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The transport protocol of a candidate (RFC 8839 §5.1, RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Protocol {
    /// Datagrams (RFC 768).
    #[default]
    Udp,
    /// A stream, framed by RFC 4571.
    Tcp,
}

impl Protocol {
    /// TCP, or else UDP.
    pub(crate) const fn of(is_tcp: bool) -> Self {
        if is_tcp { Protocol::Tcp } else { Protocol::Udp }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        })
    }
}

/// An address family; pairs never cross families (RFC 8445 §6.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `ip`; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// The form in which addresses are stored and compared: IPv4-mapped IPv6
/// becomes IPv4, and of IPv6 the flow label and the scope are cleared. A peer
/// cannot know our scopes; they belong to the socket ([`in_scope`]).
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(_) => addr,
        SocketAddr::V6(mut v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => {
                v6.set_flowinfo(0);
                v6.set_scope_id(0);
                SocketAddr::V6(v6)
            }
        },
    }
}

/// `addr` as a socket with this scope reaches it: a link-local IPv6 address
/// means nothing without a scope, others need none.
pub fn in_scope(addr: SocketAddr, scope: u32) -> SocketAddr {
    match addr {
        SocketAddr::V6(mut v6) if is_link_local_v6(v6.ip().to_owned().into()) => {
            v6.set_scope_id(scope);
            SocketAddr::V6(v6)
        }
        _ => addr,
    }
}

/// Whether `ip` is an IPv6 link-local address (fe80::/10).
pub fn is_link_local_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}

/// The address that stands for none, of a family.
pub const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// The words for what the system says of a path or an address: they stay
/// the same in every version, whatever the standard library's own are.
const ERROR_WORDS: [(ErrorKind, &str); 19] = [
    (ErrorKind::AddrInUse, "address-in-use"),
    (ErrorKind::AddrNotAvailable, "address-not-available"),
    (ErrorKind::BrokenPipe, "broken-pipe"),
    (ErrorKind::ConnectionAborted, "connection-aborted"),
    (ErrorKind::ConnectionRefused, "connection-refused"),
    (ErrorKind::ConnectionReset, "connection-reset"),
    (ErrorKind::HostUnreachable, "host-unreachable"),
    (ErrorKind::Interrupted, "interrupted"),
    (ErrorKind::InvalidData, "invalid-data"),
    (ErrorKind::InvalidInput, "invalid-input"),
    (ErrorKind::NetworkDown, "network-down"),
    (ErrorKind::NetworkUnreachable, "network-unreachable"),
    (ErrorKind::NotConnected, "not-connected"),
    (ErrorKind::OutOfMemory, "out-of-memory"),
    (ErrorKind::PermissionDenied, "permission-denied"),
    (ErrorKind::TimedOut, "timed-out"),
    (ErrorKind::UnexpectedEof, "unexpected-eof"),
    (ErrorKind::Unsupported, "unsupported"),
    (ErrorKind::Other, "other"),
];

/// The word for an error of the system; `other` where there is no better one.
pub fn error_word(kind: ErrorKind) -> &'static str {
    ERROR_WORDS.iter().find(|(k, _)| *k == kind).map_or("other", |(_, word)| word)
}

/// The error itself if it has a word, else [`ErrorKind::Other`]: what a log
/// says of it.
pub fn error_with_word(kind: ErrorKind) -> ErrorKind {
    error_of_word(error_word(kind)).unwrap_or(ErrorKind::Other)
}

/// The error that [`error_word`] has this word for.
pub fn error_of_word(word: &str) -> Option<ErrorKind> {
    ERROR_WORDS.iter().find(|(_, w)| *w == word).map(|(kind, _)| *kind)
}

/// Why there is no connection between two addresses, as far as one end of it
/// can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum NotConnected {
    /// Nothing ever answered.
    Silent,
    /// Something refused; how far away is not known.
    Refused,
    /// It was refused sooner than the peer could have answered: by our own NAT,
    /// or a firewall near us.
    RefusedNearby,
    /// The peer, or a NAT or firewall near it, refused.
    RefusedByPeer,
    /// The peer's SYN arrived and our answers to it came to nothing: something
    /// on the way eats them, or the peer gave up.
    HalfOpen,
    /// It was open, and ended before it was of use.
    Ended,
    /// What answered is not the peer: it does not speak STUN.
    NotThePeer,
    /// Our NAT gives each destination another port, so that the peer aims at
    /// one that is not ours.
    MappingDiffers,
    /// A NAT has given the port another mapping towards this peer than towards
    /// the server that told us of it: nothing came through, but between fresh
    /// ports it did at once.
    Poisoned,
    /// This system refuses to open a connection from both ends at once.
    NoSimultaneousOpen,
    /// The TURN server does not relay to the peer's address.
    RefusedByRelay,
    /// There were as many connections as there may be.
    Limit,
    /// The system refused for this reason.
    #[cfg_attr(feature = "serde", serde(skip))]
    System(ErrorKind),
}

impl NotConnected {
    /// The reason in one word. It stays the same in every version.
    pub const fn word(self) -> &'static str {
        match self {
            NotConnected::Silent => "silent",
            NotConnected::Refused => "refused",
            NotConnected::RefusedNearby => "refused-nearby",
            NotConnected::RefusedByPeer => "refused-by-peer",
            NotConnected::HalfOpen => "half-open",
            NotConnected::Ended => "ended",
            NotConnected::NotThePeer => "not-the-peer",
            NotConnected::MappingDiffers => "mapping-differs",
            NotConnected::Poisoned => "poisoned",
            NotConnected::NoSimultaneousOpen => "no-simultaneous-open",
            NotConnected::RefusedByRelay => "refused-by-relay",
            NotConnected::Limit => "limit",
            NotConnected::System(_) => "system",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_addresses_compare_equal_however_they_were_written() {
        let addr = |s: &str| s.parse::<SocketAddr>().unwrap();
        assert_eq!(canonical(addr("[::ffff:10.0.0.1]:5")), addr("10.0.0.1:5"));
        assert_eq!(canonical(addr("[fe80::1%3]:5")), addr("[fe80::1]:5"));
        assert_eq!(canonical(addr("10.0.0.1:5")), addr("10.0.0.1:5"));
    }

    #[test]
    fn only_link_local_addresses_get_the_scope_of_the_socket() {
        let addr = |s: &str| s.parse::<SocketAddr>().unwrap();
        assert_eq!(in_scope(addr("[fe80::1]:5"), 3), addr("[fe80::1%3]:5"));
        assert_eq!(in_scope(addr("[2001:db8::1]:5"), 3), addr("[2001:db8::1]:5"));
        assert_eq!(in_scope(addr("10.0.0.1:5"), 3), addr("10.0.0.1:5"));
    }

    #[test]
    fn the_words_of_errors_are_unique() {
        for (kind, word) in ERROR_WORDS {
            assert_eq!((error_word(kind), error_of_word(word)), (word, Some(kind)));
        }
        assert_eq!(error_word(ErrorKind::StorageFull), "other");
        assert_eq!(error_of_word("no-such-word"), None);
    }
}
