//! What the core is told, and what it asks for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::candidate::{ComponentId, LocalAddress, TcpType};
use crate::gather::Cause;
use crate::tcp::{Framing, Handshake};

/// A data stream of an agent, numbered from 0 in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StreamId(pub u16);

/// A base: a socket that the core asked for. Numbers are never reused within
/// an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BaseId(pub u32);

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A datagram, or on a TCP connection a frame, that looked like STUN
    /// arrived on a base. (Application data does not pass through the core:
    /// see [`crate::stun::looks_like_stun`].)
    Datagram {
        /// Where it arrived.
        base: BaseId,
        /// Who sent it.
        from: SocketAddr,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The addresses of this machine: sessions that have not gathered yet do
    /// so now. The first is given when the application wants to gather, others
    /// as answers to [`SocketOp::ListAddresses`] and when addresses have come
    /// or gone: what is gone is given up, and what is new leads to a restart,
    /// or to candidates where the session still takes them.
    LocalAddresses(&'a [LocalAddress]),
    /// The machine slept, or was suspended, for so long while our clock stood
    /// still: every path is checked at once.
    Woke {
        /// For how long.
        slept: Duration,
    },
    /// A [`SocketOp::BindUdp`] or [`SocketOp::BindTcp`] succeeded.
    Bound {
        /// Which one.
        base: BaseId,
        /// The address with the port that was given.
        local: SocketAddr,
    },
    /// A [`SocketOp::BindUdp`] or [`SocketOp::BindTcp`] failed: the address is
    /// reported and skipped.
    BindFailed {
        /// Which one.
        base: BaseId,
        /// The system's words.
        error: &'a std::io::Error,
    },
    /// A server's name was resolved ([`SocketOp::Resolve`]); empty if it was not.
    Resolved {
        /// Its index, as in [`SocketOp::Resolve`].
        server: usize,
        /// Its addresses, in the resolver's order.
        addresses: &'a [SocketAddr],
    },
    /// A name was resolved ([`SocketOp::ResolveName`]); empty if it was not.
    /// The driver answers in any case, and within seconds.
    NameResolved {
        /// The name that was asked for.
        name: &'a str,
        /// Its addresses.
        addresses: &'a [IpAddr],
    },
    /// A [`SocketOp::Connect`] came to a connection, or a [`SocketOp::Carry`] was done.
    Connected {
        /// The base that it was asked for on.
        base: BaseId,
        /// The address that it leads to.
        to: SocketAddr,
        /// Our end, with the port that an active base got for it.
        local: SocketAddr,
    },
    /// A [`SocketOp::Connect`] failed. Its socket is closed.
    ConnectFailed {
        /// The base that it was asked for on.
        base: BaseId,
        /// The address that it was to lead to.
        to: SocketAddr,
        /// What the system says; [`std::io::ErrorKind::AddrNotAvailable`] means
        /// that the connection exists already and is about to be accepted.
        kind: std::io::ErrorKind,
    },
    /// A [`SocketOp::ConnectServer`] came to nothing, for a reason that is more
    /// than a word of the system's: TLS or a proxy.
    ServerRefused {
        /// The base that it was asked for.
        base: BaseId,
        /// In which way.
        cause: Cause,
        /// A sentence for people, without secrets. What it holds of the
        /// server's or the proxy's words is escaped.
        text: &'a str,
    },
    /// The listener of a base took a connection in. An attempt of ours to the
    /// same address is over: its socket is closed and answers no more.
    Accepted {
        /// The base.
        base: BaseId,
        /// The address that it comes from.
        from: SocketAddr,
    },
    /// The answer to [`SocketOp::Inspect`].
    Inspected {
        /// The base.
        base: BaseId,
        /// The address that the attempt leads to.
        to: SocketAddr,
        /// How far it is.
        handshake: Handshake,
    },
    /// A connection ended: the peer closed it or it broke. Nothing more comes
    /// of it, and it cannot be sent on.
    Disconnected {
        /// The base.
        base: BaseId,
        /// The peer's address.
        from: SocketAddr,
        /// What the system says; `None` where the peer closed it in order.
        kind: Option<std::io::ErrorKind>,
    },
    /// On a connection whose peer has not passed a check, something else than
    /// STUN arrived, or a frame too long for a check; an empty frame is
    /// neither. Said once a connection; what came is not kept, and after a frame
    /// that is too long nothing more is read.
    NotStun {
        /// The base.
        base: BaseId,
        /// The peer's address.
        from: SocketAddr,
    },
    /// The system reported an error for a datagram to `to`: an ICMP error or
    /// a refused send. It is remembered as a reason and decides nothing.
    SendError {
        /// Where it was sent from.
        base: BaseId,
        /// Where it was sent to.
        to: SocketAddr,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
}

/// Something that only the driver can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "op", rename_all = "kebab-case", rename_all_fields = "kebab-case")
)]
pub enum SocketOp {
    /// Bind a UDP socket to `ip`, on a port of the driver's choice; answer
    /// with [`Input::Bound`] or [`Input::BindFailed`].
    BindUdp {
        /// The number by which the core will know it.
        base: BaseId,
        /// The address.
        ip: IpAddr,
        /// The scope of a link-local IPv6 address, else 0.
        scope: u32,
        /// The stream that it serves.
        stream: StreamId,
        /// The component that it serves.
        component: ComponentId,
    },
    /// Make a base for TCP candidates of `ip`; answer with [`Input::Bound`] or
    /// [`Input::BindFailed`]. A passive or simultaneous-open base is a listener
    /// on a port of the driver's choice, to which every connection of the base
    /// is bound too (RFC 6544 §5.1). An active one has no socket of its own: it
    /// is bound at once, to port 9, and each of its connections gets a port of
    /// the system's choice (RFC 6544 §4.1, §7.1).
    BindTcp {
        /// The number by which the core will know it.
        base: BaseId,
        /// The address.
        ip: IpAddr,
        /// The scope of a link-local IPv6 address, else 0.
        scope: u32,
        /// The stream that it serves.
        stream: StreamId,
        /// The component that it serves.
        component: ComponentId,
        /// Which way its connections are opened.
        tcp_type: TcpType,
    },
    /// Open a connection from a TCP base, with a socket of its own; answer with
    /// [`Input::Connected`] or [`Input::ConnectFailed`] when it is known, and
    /// with neither after [`SocketOp::Disconnect`].
    Connect {
        /// The base.
        base: BaseId,
        /// Where to.
        to: SocketAddr,
        /// How messages stand on it.
        framing: Framing,
    },
    /// Open a connection to a TURN server, over TLS where the server is reached
    /// so, from an address of the system's choice; answer with
    /// [`Input::Connected`], which says to which of the addresses, or
    /// [`Input::ConnectFailed`] once none answers, or [`Input::ServerRefused`].
    /// Messages stand on it as [`Framing::Turn`] says. Behind a proxy that
    /// resolves names an address may be the unspecified one.
    ConnectServer {
        /// The number by which the core will know it.
        base: BaseId,
        /// Index of the server in [`super::Config::turn_servers`].
        server: usize,
        /// Its addresses, of which those that come first are tried first.
        to: Box<[SocketAddr]>,
        /// The name in its certificate, where a redirection has changed it
        /// (ALTERNATE-DOMAIN, RFC 8489 §14.16); else it is the configured host.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
        name: Option<Box<str>>,
    },
    /// The connection of a [`SocketOp::ConnectServer`] leads to a peer from now
    /// on: it belongs to a TCP base that a server relays, as the connection to
    /// `to`, and what follows on it, some of it perhaps read already, stands in
    /// [`Framing::Rfc4571`]; answer with [`Input::Connected`] of the relayed base.
    /// What that had to the address before is closed, and the number of the leg
    /// is forgotten.
    Carry {
        /// The number that it had.
        leg: BaseId,
        /// The relayed base.
        base: BaseId,
        /// The peer's address.
        to: SocketAddr,
    },
    /// Look how far an attempt is; answer with [`Input::Inspected`].
    Inspect {
        /// The base.
        base: BaseId,
        /// Where it leads to.
        to: SocketAddr,
    },
    /// Give up an attempt, or close a connection; nothing is told of it any
    /// more.
    Disconnect {
        /// The base.
        base: BaseId,
        /// The peer's address.
        to: SocketAddr,
        /// Reset an established connection rather than close it in order: it
        /// lost, and nothing on it matters.
        abort: bool,
    },
    /// After a restart a socket serves the stream's new session too: checks
    /// will name the new fragment, [`super::Core::local_credentials`].
    Keep {
        /// Which one.
        base: BaseId,
    },
    /// Resolve the host of a server; answer with [`Input::Resolved`].
    Resolve {
        /// Index of the server in [`super::Config::stun_servers`], behind which
        /// those in [`super::Config::turn_servers`] are numbered.
        server: usize,
    },
    /// Resolve a name of a remote candidate, `<uuid>.local` in lower case, by
    /// multicast DNS (RFC 6762); answer with [`Input::NameResolved`].
    ResolveName {
        /// The name.
        name: Box<str>,
    },
    /// Answer for a name of ours by multicast DNS until the agent is closed.
    /// Nothing is expected back: a candidate with the name is signalled
    /// whether that works or not.
    PublishName {
        /// The name, `<uuid>.local`.
        name: Box<str>,
        /// The address that it stands for.
        ip: IpAddr,
    },
    /// List the addresses of this machine once more, for a restart or a new
    /// stream; answer with [`Input::LocalAddresses`].
    ListAddresses,
    /// Close a socket, of a TCP base with all its connections.
    Close {
        /// Which one.
        base: BaseId,
    },
}

/// A datagram to send; its bytes are in the buffer given to
/// [`super::Core::poll_transmit`]. On a TCP base it is a message for the
/// connection to `to`, and [`crate::tcp::head`] goes before it unless the
/// connection is to a server ([`Framing::Stun`], [`Framing::Turn`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The socket to send it from.
    pub base: BaseId,
    /// Where to send it.
    pub to: SocketAddr,
}
