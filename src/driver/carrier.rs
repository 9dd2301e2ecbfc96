//! What carries a component's data: a UDP socket, or a TCP connection.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::link::Link;
use super::socket::Socket;

/// One of both; sending over it looks the same.
#[derive(Clone, Debug)]
pub(super) enum Carrier {
    Udp(Arc<Socket>),
    Tcp(Arc<Link>),
}

impl Carrier {
    /// The address that data leaves from.
    pub(super) fn local(&self) -> SocketAddr {
        match self {
            Carrier::Udp(socket) => socket.local(),
            Carrier::Tcp(link) => link.local(),
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
            Carrier::Udp(socket) => {
                if datagram.len() > max_payload {
                    socket.keep_plain();
                }
                socket.io().try_send(to, datagram)
            }
            Carrier::Tcp(link) => link.try_send(datagram),
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
            Carrier::Udp(socket) => socket.io().try_send_batch(to, datagrams, size),
            Carrier::Tcp(link) => link.try_send_batch(datagrams, size),
        }
    }

    /// Waits until it may take a datagram.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Carrier::Udp(socket) => socket.io().writable().await,
            Carrier::Tcp(link) => link.writable().await,
        }
    }

    /// [`Carrier::writable`] for `poll` functions; wakes the last caller.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Carrier::Udp(socket) => socket.io().poll_writable(cx),
            Carrier::Tcp(link) => link.poll_writable(cx),
        }
    }

    /// Reads batches from now on, where there is a difference.
    pub(super) fn use_batches(&self) {
        if let Carrier::Udp(socket) = self {
            // Where the system has no batches, plain receives go on.
            let _ = socket.io().use_batches();
        }
    }
}

#[cfg(feature = "quinn")]
impl Carrier {
    /// Datagrams of a batch over TCP that are written in one call.
    const TCP_BATCH: usize = 16;

    /// How many datagrams one call to the system may take.
    pub(super) fn max_batch(&self) -> usize {
        match self {
            Carrier::Udp(socket) => socket.io().max_batch(),
            Carrier::Tcp(_) => Self::TCP_BATCH,
        }
    }

    /// Whether datagrams above the link's size leave in fragments.
    pub(super) fn may_fragment(&self) -> bool {
        match self {
            Carrier::Udp(socket) => socket.io().may_fragment(),
            Carrier::Tcp(_) => false,
        }
    }
}
