//! QUIC's socket, from which one packet has been read already.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use floe::adapter::quinn::{IceSocket, PEER};
use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// An [`IceSocket`] that gives `first` before all else.
#[derive(Debug)]
pub(super) struct Peeked {
    pub(super) socket: Arc<IceSocket>,
    pub(super) first: Mutex<Option<Vec<u8>>>,
}

impl AsyncUdpSocket for Peeked {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(place)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let Some(first) = self.first.lock().take() else {
            return self.socket.poll_recv(cx, bufs, meta);
        };
        let len = first.len().min(buffer.len());
        buffer[..len].copy_from_slice(&first[..len]);
        *place = RecvMeta { addr: PEER, len, stride: len, ..RecvMeta::default() };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
