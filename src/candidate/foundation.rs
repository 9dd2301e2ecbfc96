//! Foundations (RFC 8445 §5.1.1.3): they name the candidates that are likely
//! to fail for the same cause.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::candidate::{Kind, TcpType};
use crate::net::{self, Protocol};

/// A foundation: 1 to 32 ice-chars (RFC 8839 §5.1). Candidates of one agent
/// with the same foundation have the same type, base address, protocol and
/// server (RFC 8445 §5.1.1.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Foundation {
    len: u8,
    bytes: [u8; 32],
}

impl Foundation {
    /// The longest foundation, in bytes.
    pub const MAX_LEN: usize = 32;

    /// A foundation of the given text, if it is 1 to 32 ice-chars.
    pub fn new(text: &str) -> Option<Self> {
        let len = u8::try_from(text.len()).ok().filter(|len| *len > 0)?;
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        text.bytes().all(is_ice_char).then_some(Foundation { len, bytes })
    }

    /// The foundation written as the decimal `number`.
    pub fn from_number(number: u32) -> Self {
        Self::new(&number.to_string()).expect("invariant: ten digits are ice-chars")
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Foundation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Foundation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// ice-char of RFC 8839 §5.1.
pub(crate) const fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Where a candidate of ours comes from: what its foundation depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its type.
    pub kind: Kind,
    /// Its base; the port does not matter.
    pub base: SocketAddr,
    /// UDP or TCP.
    pub protocol: Protocol,
    /// The `tcptype` of a TCP candidate: the directions fail for different causes.
    pub tcp_type: Option<TcpType>,
    /// The address at which the STUN or TURN server was asked.
    pub server: Option<IpAddr>,
}

/// The foundations that an agent has given to its candidates: the same origin
/// has the same foundation, different origins have different ones, in every
/// stream and component. They are numbered from 1.
#[derive(Clone, Debug, Default)]
pub struct Foundations {
    /// An agent has few origins: as many as addresses, times servers.
    keys: Vec<Key>,
}

/// A link-local address means one thing on each interface, so its scope id
/// belongs to it.
type Key = (Kind, IpAddr, u32, Protocol, Option<TcpType>, Option<IpAddr>);

impl Foundations {
    /// None given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The foundation of candidates of this origin.
    pub fn of(&mut self, origin: &Origin) -> Foundation {
        let Origin { kind, base, protocol, tcp_type, server } = *origin;
        let scope = match base {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        let base = net::canonical(base);
        let server = server.map(|ip| ip.to_canonical());
        let key = (kind, base.ip(), scope, protocol, tcp_type, server);
        let known = self.keys.iter().position(|k| *k == key);
        let at = known.unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        Foundation::from_number(u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "192.0.2.1:5000";

    fn origin() -> Origin {
        Origin {
            kind: Kind::ServerReflexive,
            base: ORIGIN.parse().unwrap(),
            protocol: Protocol::Udp,
            tcp_type: None,
            server: Some("198.51.100.1".parse().unwrap()),
        }
    }

    #[test]
    fn only_ice_chars_and_one_to_32_of_them() {
        let longest = "+/azAZ09".repeat(4);
        assert_eq!(Foundation::new(&longest).unwrap().as_str(), longest);
        assert!(Foundation::new(&format!("{longest}x")).is_none());
        for wrong in ["", "a b", "ä", "-", "a\0", &"x".repeat(300)] {
            assert!(Foundation::new(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn the_port_and_the_notation_do_not_matter() {
        let mut foundations = Foundations::new();
        let first = foundations.of(&origin());
        assert_eq!(first.as_str(), "1");
        for base in ["192.0.2.1:6000", "[::ffff:192.0.2.1]:5000"] {
            assert_eq!(foundations.of(&Origin { base: base.parse().unwrap(), ..origin() }), first);
        }
        let server = Some("::ffff:198.51.100.1".parse().unwrap());
        assert_eq!(foundations.of(&Origin { server, ..origin() }), first);
    }

    #[test]
    fn every_part_of_the_origin_matters() {
        let base = |text: &str| text.parse().unwrap();
        let passive = Some(TcpType::Passive);
        let origins = [
            origin(),
            Origin { kind: Kind::Host, ..origin() },
            Origin { base: base("192.0.2.2:5000"), ..origin() },
            Origin { base: base("[fe80::1%1]:5000"), ..origin() },
            Origin { base: base("[fe80::1%2]:5000"), ..origin() },
            Origin { server: None, ..origin() },
            Origin { server: Some("198.51.100.2".parse().unwrap()), ..origin() },
            Origin { protocol: Protocol::Tcp, tcp_type: Some(TcpType::Active), ..origin() },
            Origin { protocol: Protocol::Tcp, tcp_type: passive, ..origin() },
        ];
        let mut foundations = Foundations::new();
        let given: Vec<_> = origins.iter().map(|o| foundations.of(o)).collect();
        let again: Vec<_> = origins.iter().map(|o| foundations.of(o)).collect();
        assert_eq!(given, again);
        let distinct: std::collections::BTreeSet<_> = given.iter().collect();
        assert_eq!(distinct.len(), origins.len());
    }
}
