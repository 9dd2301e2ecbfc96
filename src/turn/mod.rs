//! The client of a TURN server (RFC 8656) as a state machine: an allocation,
//! its permissions and its channels, with the long-term credentials of RFC
//! 8489 §9.2.
//!
//! A [`Client`] is one allocation on one path to a server: it knows neither
//! the path nor the server's address. Whoever owns it hands it what the server
//! sends and sends what it wants sent. All methods that take `now` may put
//! something behind [`Client::poll_request`] and [`Client::poll_event`]; drain
//! both after each of them, then sleep until [`Client::poll_timeout`].
//!
//! Data goes past the state machine: [`Client::wrap`] and [`Client::unwrap`]
//! change nothing.

mod allocation;
mod answers;
mod bindings;
mod challenge;
pub mod channel;
mod client;
mod data_connection;
mod failure;
mod login;
mod permissions;
mod redirect;
mod relay;
mod request;
mod response;
mod state;
mod streams;
mod transactions;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::net::{Family, Protocol};
use crate::timer::Pacer;

pub use client::Client;
pub use data_connection::{DataConnection, DataEvent};
pub use redirect::Redirects;
pub(crate) use transactions::Asking;

/// What a user proves itself with towards a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The username.
    pub username: Box<str>,
    /// The password, which is in no log, error or debug output.
    pub password: Box<str>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The families of the relayed addresses that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4, which every server has.
    #[default]
    V4,
    /// IPv6, by REQUESTED-ADDRESS-FAMILY.
    V6,
    /// One of each, by ADDITIONAL-ADDRESS-FAMILY. One may be refused.
    Both,
}

impl Families {
    /// This one alone.
    pub const fn of(family: Family) -> Self {
        match family {
            Family::V4 => Families::V4,
            Family::V6 => Families::V6,
        }
    }

    /// Whether an address of `family` is wanted.
    pub const fn has(self, family: Family) -> bool {
        match (self, family) {
            (Families::Both, _) | (Families::V4, Family::V4) | (Families::V6, Family::V6) => true,
            (Families::V4, Family::V6) | (Families::V6, Family::V4) => false,
        }
    }
}

/// What a [`Client`] is to do, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The credentials, which are not sent before the server asks for them.
    pub secrets: Secrets,
    /// The path is a stream: a request is sent once and waited for 39.5 s
    /// (RFC 8489 §6.2.2), and ChannelData is padded.
    pub reliable: bool,
    /// The relayed addresses that are wanted.
    pub families: Families,
    /// The lifetime that is asked for, in whole seconds; `None`: the server
    /// chooses. It may choose another in either case.
    pub lifetime: Option<Duration>,
    /// How long the server keeps a permission that is not renewed. Default 300 s,
    /// as RFC 8656 §9 has it, which is also the most; 2 s is the least.
    pub permission_lifetime: Duration,
    /// What is relayed. TCP (RFC 6062) takes a stream to the server, has no
    /// channels, and carries data on streams of its own ([`DataConnection`]).
    pub relays: Protocol,
    /// Ask for a ticket with which the allocation can move to another path
    /// ([`Client::moved`], RFC 8016).
    pub mobility: bool,
    /// The initial retransmission timeout (RFC 8489 §6.2.1).
    pub rto: Duration,
    /// Spaces new transactions; those of all agents of a process share one.
    pub pacer: Pacer,
}

impl Settings {
    /// An IPv4 address over UDP, with the defaults of the RFCs.
    pub fn new(secrets: Secrets) -> Self {
        Settings {
            secrets,
            reliable: false,
            families: Families::V4,
            lifetime: None,
            permission_lifetime: permissions::LIFETIME,
            relays: Protocol::Udp,
            mobility: false,
            rto: Duration::from_millis(500),
            pacer: Pacer::new(),
        }
    }
}

/// What became of a message from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It answers a request that was waiting for it, even where it was then
    /// discarded for want of integrity.
    Used,
    /// Its transaction has ended before.
    Late,
    /// It answers nothing that was asked.
    Foreign,
}

/// What has happened to the allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a relayed address; once for each family.
    Allocated {
        /// The relayed address.
        relayed: SocketAddr,
        /// The address at which the server sees this client.
        mapped: SocketAddr,
        /// How long it lasts without a refresh.
        lifetime: Duration,
    },
    /// The server gave an address of the other family, and none of this one.
    FamilyRefused {
        /// The family.
        family: Family,
        /// Why.
        failure: Failure,
    },
    /// The peer's IP address is permitted from now on. It comes again if the
    /// permission was lost in between.
    Permitted(IpAddr),
    /// The peer is not permitted, or not any longer; it is forgotten.
    PeerRefused {
        /// The peer's IP address.
        peer: IpAddr,
        /// Why.
        failure: Failure,
    },
    /// The channel is bound: [`Client::wrap`] uses it.
    ChannelBound {
        /// The peer.
        peer: SocketAddr,
        /// The channel's number.
        number: u16,
    },
    /// There is no channel to the peer, or not any longer. What is sent to it
    /// goes in Send indications.
    ChannelRefused {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        failure: Failure,
    },
    /// The server has connected to the peer ([`Client::connect_peer`]), and wants a
    /// [`DataConnection`] for it.
    Connected {
        /// The peer.
        peer: SocketAddr,
        /// The server's number for the connection.
        connection: u32,
    },
    /// The server could not connect to the peer.
    ConnectRefused {
        /// The peer.
        peer: SocketAddr,
        /// Why.
        failure: Failure,
    },
    /// A permitted peer has connected to the relayed address. It is given up
    /// unless there is a [`DataConnection`] for it soon: within 30 s.
    Accepted {
        /// The peer.
        peer: SocketAddr,
        /// The server's number for the connection.
        connection: u32,
    },
    /// The allocation could not be made. The client is at its end; it may have
    /// to give back what it cannot use, and has done so once
    /// [`Client::poll_timeout`] gives nothing.
    Failed(Failure),
    /// The allocation was there and is gone. The client is at its end.
    Lost(Failure),
    /// The server names another to go to (300), and signs that: without that it
    /// is a refusal (RFC 8489 §14.8). The client is at its end; the owner makes another for that server, with the same secrets, unless it
    /// has been there ([`Redirects`]).
    Redirected {
        /// The other server's address. RFC 8489 §10 demands one of the family
        /// of the path.
        to: SocketAddr,
        /// The name for its certificate, where it is not the same.
        domain: Option<Box<str>>,
    },
    /// The server no longer takes the secrets that it took before. The
    /// allocation lives on until it expires; [`Client::renew`] may save it.
    NeedSecrets {
        /// The realm that they are for, without control characters.
        realm: Box<str>,
    },
    /// The allocation was given back. The client is at its end.
    Released,
}

/// Why something was not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The cause.
    pub cause: Cause,
    /// The server's error code, where it sent one.
    pub code: Option<u16>,
    /// A sentence for people. It may hold words of the server, without control
    /// characters, and never the password.
    pub text: Box<str>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The causes of a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No answer came in the time of a transaction.
    NoAnswer,
    /// Answers came, and none of them was signed as it has to be.
    Integrity,
    /// The server does not take the secrets (401), or not for this allocation
    /// (441).
    Secrets,
    /// The server asks for credentials in a way that cannot be followed: it
    /// promises what it does not send, or knows no algorithm that is known
    /// here, or changes its realm.
    Challenge,
    /// The server does not let the request through however often it is
    /// repeated with a new nonce (438).
    Nonces,
    /// The server takes the request for malformed (400).
    BadRequest,
    /// It forbids it (403), as it may a peer's address.
    Forbidden,
    /// It does not know an attribute of the request (420), or the protocol
    /// that is relayed (442).
    Unsupported,
    /// It has an allocation for the path where there is to be none, or none
    /// where there is to be one (437).
    Mismatch,
    /// It does not have the address family (440), or the peer is of another
    /// than the relayed address (443).
    Family,
    /// The user has as many allocations as it may have (486).
    Quota,
    /// The server has no more room (508), or too much to do.
    Capacity,
    /// The server could not connect to the peer (447), or is connected to it
    /// already (446).
    Peer,
    /// The server failed (5xx), and failed again.
    Server,
    /// The server refused with a code of another meaning.
    Refused,
    /// The answer is of no use: it lacks an address, or demands what is not
    /// known here.
    Useless,
    /// The allocation was not refreshed in time.
    Expired,
    /// This client has as many permissions, channels or connections under way
    /// as it may have.
    Limit,
}

/// What a peer has sent, or what was told of it, through the relay.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unwrapped<'a> {
    /// A datagram from a peer that is permitted.
    Data {
        /// The peer.
        peer: SocketAddr,
        /// What it sent; it may be empty.
        payload: &'a [u8],
    },
    /// A datagram to the peer met an ICMP error (RFC 8656 §11.6). Anybody on
    /// the way can make one.
    Icmp {
        /// The peer.
        peer: SocketAddr,
        /// The type, of ICMP or ICMPv6 as the peer's family is.
        kind: u8,
        /// The code.
        code: u16,
    },
}

impl fmt::Debug for Unwrapped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwrapped::Data { peer, payload } => {
                f.debug_struct("Data").field("peer", peer).field("len", &payload.len()).finish()
            }
            Unwrapped::Icmp { peer, kind, code } => {
                let mut out = f.debug_struct("Icmp");
                out.field("peer", peer).field("kind", kind).field("code", code).finish()
            }
        }
    }
}
