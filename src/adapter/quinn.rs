//! QUIC across ICE (feature `quinn`): a [`quinn::AsyncUdpSocket`] over a
//! component's connection.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use floe::Agent;
//! use floe::adapter::quinn::{IceSocket, PEER};
//! use floe::candidate::ComponentId;
//! use quinn::{ClientConfig, Endpoint, EndpointConfig, TokioRuntime};
//!
//! # async fn example(agent: Agent, tls: ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
//! agent.connected().await?;
//! let connection = agent.connection(ComponentId::ONE).ok_or("no component 1")?;
//! let socket = Arc::new(IceSocket::new(connection));
//! // One side is the client; the other gives a `ServerConfig` and accepts.
//! let config = EndpointConfig::default();
//! let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, Arc::new(TokioRuntime))?;
//! let quic = endpoint.connect_with(tls, PEER, "peer")?.await?;
//! let mut stream = quic.open_uni().await?;
//! stream.write_all(b"hello").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # One peer, one address
//!
//! QUIC names its peer by an address, and an ICE path may change. So the peer
//! has one address for good, [`PEER`], to which nothing is ever sent as it
//! stands: both ends use it, whoever the peer is and whatever path leads to it.
//! QUIC therefore sees no migration when the path changes. Its estimates of
//! round-trip time, congestion and packet size come from the path before, and
//! recover as they do when the network behind one address changes.
//!
//! # What holds
//!
//! - Without a path, a packet is lost and not an error: QUIC sends it again. So
//!   an endpoint can be made before the path exists, and outlives a restart. An
//!   agent that failed for good shows as QUIC's idle timeout.
//! - Closing the agent is an error that ends the endpoint, and with it its
//!   connections.
//! - Packets that are too large for the link are refused, so QUIC may look for
//!   the largest that pass. It asks once, when the endpoint is made: made before
//!   there is a path, the endpoint keeps to the size that it starts with.
//! - Several packets go to the system in one call where it can do that.
//! - Over TCP a packet may have up to 65,527 bytes, QUIC's own limit; QUIC looks
//!   for such only where its `MtuDiscoveryConfig` has it do so. QUIC's
//!   retransmissions, which nothing calls for there, and those of TCP do not
//!   know of each other.
//! - The endpoint keeps the agent open, as every handle on its connection does.
//! - ECN is neither sent nor read: QUIC finds that out, and goes without.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

pub use quinn;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::Connection;

/// The address by which QUIC knows the peer, whatever path leads to it: give
/// it to [`quinn::Endpoint::connect`]. It is out of the block that routers
/// discard (RFC 6666), on the port that discards (RFC 863).
pub const PEER: SocketAddr = synthetic(2);

/// What an [`IceSocket`] gives as its own address.
pub const LOCAL: SocketAddr = synthetic(1);

const fn synthetic(last: u16) -> SocketAddr {
    let ip = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, last);
    SocketAddr::V6(SocketAddrV6::new(ip, 9, 0, 0))
}

/// A component's connection as a UDP socket for [`quinn::Endpoint`]; see
/// [the module](self).
#[derive(Debug)]
pub struct IceSocket {
    connection: Connection,
    /// Somebody was told that there is one peer.
    warned: AtomicBool,
    /// The largest packet so far.
    largest: AtomicUsize,
}

/// The bytes of a batch: a socket that is ready has room for no more.
const BATCH: usize = u16::MAX as usize;

impl IceSocket {
    /// The socket over `connection`, whose datagrams are all QUIC's from now
    /// on. Its sockets work in batches, so that datagrams above
    /// [`Connection::max_datagram_size`] are refused.
    ///
    /// Make it once the component has a path if QUIC is to find out the
    /// largest packet that passes.
    pub fn new(connection: Connection) -> Self {
        connection.use_batches();
        IceSocket { connection, warned: AtomicBool::new(false), largest: AtomicUsize::new(1) }
    }

    /// The connection beneath.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    fn is_for_peer(&self, destination: SocketAddr) -> bool {
        if destination == PEER {
            return true;
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%destination, peer = %PEER, "QUIC over ICE has one peer: lost");
        }
        false
    }
}

impl AsyncUdpSocket for IceSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller::new(self.connection.clone(), |connection| async move {
            connection.writable().await
        }))
    }

    /// An error would end QUIC's connection without telling its owner, so all
    /// but a full socket is a loss. That the agent was closed is told by
    /// `poll_recv`.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.is_for_peer(transmit.destination) {
            return Ok(());
        }
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        self.largest.fetch_max(size, Ordering::Relaxed);
        let result = match transmit.segment_size {
            // Where the socket has no room for a part of the batch, sending it
            // all again would double the rest.
            Some(size) => self.connection.try_send_batch(transmit.contents, size).map(drop),
            None => self.connection.try_send(transmit.contents),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) => {
                tracing::trace!(%error, len = transmit.contents.len(), "a QUIC packet is lost");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut slots = bufs.iter_mut().zip(meta);
        let Some((buffer, first)) = slots.next() else { return Poll::Ready(Ok(0)) };
        *first = received(ready!(self.connection.poll_recv(cx, buffer))?);
        let mut count = 1;
        for (buffer, meta) in slots {
            match self.connection.try_recv(buffer) {
                Ok(len) => *meta = received(len),
                // An error comes again with the next call.
                Err(_) => break,
            }
            count += 1;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(LOCAL)
    }

    fn max_transmit_segments(&self) -> usize {
        self.connection.max_batch().min(BATCH / self.largest.load(Ordering::Relaxed)).max(1)
    }

    fn may_fragment(&self) -> bool {
        self.connection.may_fragment()
    }
}

/// Whether there is no socket to wait for.
fn has_no_path(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::ConnectionAborted)
}

fn received(len: usize) -> RecvMeta {
    RecvMeta { addr: PEER, len, stride: len, ..RecvMeta::default() }
}

/// Waits for [`Connection::writable`], for one task. QUIC asks before every
/// packet, so the future has one place that it is made in again and again.
struct Poller<F> {
    connection: Connection,
    wait: fn(Connection) -> F,
    waiting: Pin<Box<Option<F>>>,
}

impl<F> Poller<F> {
    fn new(connection: Connection, wait: fn(Connection) -> F) -> Self {
        Poller { connection, wait, waiting: Box::pin(None) }
    }
}

impl<F> UdpPoller for Poller<F>
where
    F: Future<Output = io::Result<()>> + Send + Sync + 'static,
{
    /// Ready without a path, where sending does not wait either.
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poller { connection, wait, waiting } = self.get_mut();
        if waiting.is_none() {
            waiting.set(Some(wait(connection.clone())));
        }
        let result = match waiting.as_mut().as_pin_mut() {
            Some(future) => ready!(future.poll(cx)),
            None => Ok(()),
        };
        waiting.set(None);
        Poll::Ready(match result {
            Err(error) if !has_no_path(&error) => Err(error),
            _ => Ok(()),
        })
    }
}

impl<F> fmt::Debug for Poller<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("connection", &self.connection).finish_non_exhaustive()
    }
}
