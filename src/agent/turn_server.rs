//! A TURN server, as an agent is told of it.

use std::net::SocketAddr;

use crate::turn::Secrets;

/// How a TURN server is reached (RFC 8656 §2.1). UDP is relayed in any case,
/// TCP not by one that is reached over UDP (RFC 6062 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum TurnTransport {
    /// UDP, from the sockets of our UDP candidates.
    #[default]
    Udp,
    /// A TCP connection.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl TurnTransport {
    /// Messages arrive or the connection breaks.
    pub(super) const fn is_reliable(self) -> bool {
        !matches!(self, TurnTransport::Udp)
    }

    /// The type preference of a candidate that is relayed: below all others, and
    /// the leg that costs least first.
    pub(super) const fn type_preference(self) -> u8 {
        match self {
            TurnTransport::Udp => 3,
            TurnTransport::Tcp => 2,
            TurnTransport::Tls => 1,
        }
    }
}

/// A TURN server to get relayed candidates from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnServer {
    /// The URI as the user wrote it, for events.
    pub uri: Box<str>,
    /// Host name or address literal; over TLS the name of its certificate.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Its address, if the host is a literal; else the driver resolves it.
    pub address: Option<SocketAddr>,
    /// How it is reached.
    pub transport: TurnTransport,
    /// The user and the password.
    pub secrets: Secrets,
}
