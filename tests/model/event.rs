//! The names of hosts, sockets and listeners, and what a host's owner is told.

use std::io::ErrorKind;
use std::net::SocketAddr;

use floe::timer::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    pub host: HostId,
    pub number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId {
    pub host: HostId,
    pub number: u32,
}

/// What a host's owner is told. Nothing is told of a socket after the owner has
/// closed it, nor after its `ConnectFailed` or `Reset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    Connected {
        socket: SocketId,
        local: SocketAddr,
    },
    /// Refused (RST), reset (RST in SYN_RECV), unreachable (ICMP) or timed out.
    ConnectFailed {
        socket: SocketId,
        kind: ErrorKind,
    },
    Accepted {
        listener: ListenerId,
        socket: SocketId,
        remote: SocketAddr,
    },
    Received {
        socket: SocketId,
        bytes: Vec<u8>,
    },
    /// There is room again, after a `send` that took less than all.
    Writable {
        socket: SocketId,
    },
    /// The peer sends no more; the socket is to be closed still.
    Closed {
        socket: SocketId,
    },
    Reset {
        socket: SocketId,
        kind: ErrorKind,
    },
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
}

/// An event with its place and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    pub at: Time,
    pub host: HostId,
    pub event: HostEvent,
}
