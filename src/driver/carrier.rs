//! What carries a component's data: a UDP socket, a TCP connection, or a relay
//! that is reached over one of both.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::link::Link;
use super::relay::RelayPath;
use super::socket::Socket;

/// One of them; sending over it looks the same.
#[derive(Clone, Debug)]
pub(super) enum Carrier {
    Direct(Leg),
    Relay(Arc<RelayPath>),
}

impl Carrier {
    /// What carries it first.
    fn leg(&self) -> &Leg {
        match self {
            Carrier::Direct(leg) => leg,
            Carrier::Relay(relay) => relay.leg(),
        }
    }

    /// The address that data leaves from.
    pub(super) fn local(&self) -> SocketAddr {
        self.leg().local()
    }

    /// Sends one datagram, of which `max_payload` bytes go in one packet, if it
    /// is taken at once.
    pub(super) fn try_send(
        &self,
        to: SocketAddr,
        datagram: &[u8],
        max_payload: usize,
    ) -> io::Result<()> {
        match self {
            Carrier::Direct(leg) => leg.try_send(to, datagram, max_payload),
            Carrier::Relay(relay) => relay.try_send(to, datagram, max_payload),
        }
    }

    /// Sends pieces of `size` bytes; returns how many bytes were taken.
    pub(super) fn try_send_batch(
        &self,
        to: SocketAddr,
        datagrams: &[u8],
        size: NonZeroUsize,
    ) -> io::Result<usize> {
        match self {
            Carrier::Direct(leg) => leg.try_send_batch(to, datagrams, size),
            Carrier::Relay(relay) => relay.try_send_batch(to, datagrams, size),
        }
    }

    /// Waits until it may take a datagram.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.leg().writable().await
    }

    /// [`Carrier::writable`] for `poll` functions; wakes the last caller.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.leg().poll_writable(cx)
    }

    /// Reads batches from now on, where there is a difference.
    pub(super) fn use_batches(&self) {
        self.leg().use_batches();
    }
}

#[cfg(feature = "quinn")]
impl Carrier {
    /// How many datagrams one call to the system may take.
    pub(super) fn max_batch(&self) -> usize {
        self.leg().max_batch()
    }

    /// Whether datagrams above the link's size leave in fragments.
    pub(super) fn may_fragment(&self) -> bool {
        self.leg().may_fragment()
    }
}

/// A socket or a connection.
#[derive(Clone, Debug)]
pub(super) enum Leg {
    Udp(Arc<Socket>),
    Tcp(Arc<Link>),
}

impl Leg {
    /// The address that data leaves from.
    pub(super) fn local(&self) -> SocketAddr {
        match self {
            Leg::Udp(socket) => socket.local(),
            Leg::Tcp(link) => link.local(),
        }
    }

    /// Sends one datagram, of which `max_payload` bytes go in one packet, if it
    /// is taken at once. A connection leads to its own peer only.
    pub(super) fn try_send(
        &self,
        to: SocketAddr,
        datagram: &[u8],
        max_payload: usize,
    ) -> io::Result<()> {
        match self {
            Leg::Udp(socket) => {
                if datagram.len() > max_payload {
                    socket.keep_plain();
                }
                socket.io().try_send(to, datagram)
            }
            Leg::Tcp(link) => link.try_send(datagram),
        }
    }

    /// Sends pieces of `size` bytes; returns how many bytes were taken.
    pub(super) fn try_send_batch(
        &self,
        to: SocketAddr,
        datagrams: &[u8],
        size: NonZeroUsize,
    ) -> io::Result<usize> {
        match self {
            Leg::Udp(socket) => socket.io().try_send_batch(to, datagrams, size),
            Leg::Tcp(link) => link.try_send_batch(datagrams, size),
        }
    }

    /// Waits until it may take a datagram.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Leg::Udp(socket) => socket.io().writable().await,
            Leg::Tcp(link) => link.writable().await,
        }
    }

    /// [`Leg::writable`] for `poll` functions; wakes the last caller.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Leg::Udp(socket) => socket.io().poll_writable(cx),
            Leg::Tcp(link) => link.poll_writable(cx),
        }
    }

    /// Reads batches from now on, where there is a difference.
    pub(super) fn use_batches(&self) {
        if let Leg::Udp(socket) = self {
            // Where the system has no batches, plain receives go on.
            let _ = socket.io().use_batches();
        }
    }
}

impl Leg {
    /// Whether it is a stream.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Leg::Tcp(_))
    }

    /// Datagrams of a batch over TCP that are written in one call.
    const TCP_BATCH: usize = 16;

    /// How many datagrams one call to the system may take.
    pub(super) fn max_batch(&self) -> usize {
        match self {
            Leg::Udp(socket) => socket.io().max_batch(),
            Leg::Tcp(_) => Self::TCP_BATCH,
        }
    }

    #[cfg(feature = "quinn")]
    /// Whether datagrams above the link's size leave in fragments.
    pub(super) fn may_fragment(&self) -> bool {
        match self {
            Leg::Udp(socket) => socket.io().may_fragment(),
            Leg::Tcp(_) => false,
        }
    }
}
