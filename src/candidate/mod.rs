//! Candidates: transport addresses at which an agent may be reached
//! (RFC 8445 §5), their priorities, and the text form of RFC 8839 §5.1.
//!
//! ```
//! use floe::candidate::{Candidate, Field, Kind, Rule};
//!
//! let line = "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host generation 0";
//! let candidate: Candidate = line.parse()?;
//! assert_eq!(candidate.kind, Kind::Host);
//! assert_eq!(candidate.to_string(), line);
//!
//! let error = line.replace("5000", "70000").parse::<Candidate>().unwrap_err();
//! assert_eq!((error.field, error.rule), (Field::Port, Rule::PortRange));
//! assert_eq!(
//!     error.to_string(),
//!     "candidate line, byte 39: port must be a number from 0 to 65535"
//! );
//! # Ok::<(), floe::candidate::CandidateError>(())
//! ```

mod address;
mod error;
mod foundation;
mod grammar;
mod name;
mod priority;
mod remote_policy;
mod text;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::net::Protocol;

pub use address::{AddressRules, LocalAddress, Ranked, qualify};
pub use error::{CandidateError, Field, Rule};
pub(crate) use foundation::is_ice_char;
pub use foundation::{Foundation, Foundations, Origin};
pub use grammar::MAX_LINE;
pub(crate) use grammar::{is_token, parse_host};
pub use name::is_mdns_name;
pub use priority::{
    MAX_OTHER_PREFERENCE, MAX_PRIORITY, MAX_TYPE_PREFERENCE, priority, tcp_local_preference,
    type_preference,
};
pub use remote_policy::{AddressRefusal, OwnAddress, Prefix, PrefixError, RemotePolicy};

/// The type of a candidate (RFC 8445 §4, §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Kind {
    /// An address of an interface of this machine.
    #[cfg_attr(feature = "serde", serde(rename = "host"))]
    Host,
    /// The address that a NAT gave us, as a STUN server sees it.
    #[cfg_attr(feature = "serde", serde(rename = "srflx"))]
    ServerReflexive,
    /// The address that a NAT gave us, as the peer sees it.
    #[cfg_attr(feature = "serde", serde(rename = "prflx"))]
    PeerReflexive,
    /// An address on a TURN server.
    #[cfg_attr(feature = "serde", serde(rename = "relay"))]
    Relayed,
}

/// The `tcptype` of a TCP candidate (RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum TcpType {
    /// Opens connections, accepts none.
    Active,
    /// Accepts connections, opens none.
    Passive,
    /// Simultaneous open: both sides connect at once.
    SimultaneousOpen,
}

/// Which candidates can be paired: those of which each has the class that is
/// the other's mate (RFC 8445 §6.1.2.2, RFC 6544 §6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PairingClass {
    /// UDP, with its like.
    #[default]
    Datagram,
    /// `active`, with `passive`.
    Active,
    /// `passive`, with `active`.
    Passive,
    /// `so`, with its like.
    SimultaneousOpen,
}

impl PairingClass {
    /// The class of candidates of a `tcptype`, or without one of UDP.
    pub const fn of(tcp_type: Option<TcpType>) -> Self {
        match tcp_type {
            None => PairingClass::Datagram,
            Some(TcpType::Active) => PairingClass::Active,
            Some(TcpType::Passive) => PairingClass::Passive,
            Some(TcpType::SimultaneousOpen) => PairingClass::SimultaneousOpen,
        }
    }

    /// The class of a candidate.
    pub const fn of_candidate(candidate: &Candidate) -> Self {
        PairingClass::of(candidate.tcp_type)
    }

    /// The class that it can be paired with.
    pub const fn mate(self) -> Self {
        match self {
            PairingClass::Active => PairingClass::Passive,
            PairingClass::Passive => PairingClass::Active,
            PairingClass::Datagram | PairingClass::SimultaneousOpen => self,
        }
    }

    /// The `tcptype` of its candidates; `None` for UDP.
    pub const fn tcp_type(self) -> Option<TcpType> {
        match self {
            PairingClass::Datagram => None,
            PairingClass::Active => Some(TcpType::Active),
            PairingClass::Passive => Some(TcpType::Passive),
            PairingClass::SimultaneousOpen => Some(TcpType::SimultaneousOpen),
        }
    }
}

/// A component of a data stream: 1 to 256 (RFC 8839 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(u16);

impl ComponentId {
    /// Component 1, the only one of most streams.
    pub const ONE: ComponentId = ComponentId(1);

    /// A component id, if `number` is in 1..=256.
    pub const fn new(number: u16) -> Option<Self> {
        if matches!(number, 1..=256) { Some(ComponentId(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The connection-address of a candidate line: an IP address, or a name
/// (RFC 8839 §5.1; mDNS names of draft-ietf-rtcweb-mdns-ice-candidates).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A literal address.
    Ip(IpAddr),
    /// A name. Only `<uuid>.local` is ever resolved.
    Name(Box<str>),
}

/// A candidate, as it is signalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Groups candidates that fail alike.
    pub foundation: Foundation,
    /// The component that it is for.
    pub component: ComponentId,
    /// UDP or TCP.
    pub protocol: Protocol,
    /// 1 to 2³¹ − 1; higher is preferred (RFC 8445 §5.1.2).
    pub priority: u32,
    /// Where it is reached.
    pub host: Host,
    /// The port, 0 to 65535 (9 for TCP active candidates, RFC 6544 §4.5).
    pub port: u16,
    /// Its type.
    pub kind: Kind,
    /// `raddr` and `rport`: the base, or for a relayed candidate the mapped
    /// address. Of no use to ICE itself.
    pub related: Option<SocketAddr>,
    /// Present exactly for TCP.
    pub tcp_type: Option<TcpType>,
    /// Extension attributes, in order, as they came.
    pub extensions: Vec<(Box<str>, Box<str>)>,
}

impl Candidate {
    /// The transport address, if the host is an IP address.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}
