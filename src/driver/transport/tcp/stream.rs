use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::RwLock;
use socket2::SockRef;

use super::{BindOptions, settle};
use crate::net;

/// An established connection, which can be closed while it is in use: after
/// that all calls give [`io::ErrorKind::NotConnected`].
#[derive(Debug)]
pub(crate) struct TcpStream {
    io: RwLock<Option<tokio::net::TcpStream>>,
    local: SocketAddr,
    remote: SocketAddr,
}

impl TcpStream {
    pub(super) fn new(io: tokio::net::TcpStream, options: &BindOptions) -> io::Result<Self> {
        let local = net::canonical(io.local_addr()?);
        let remote = net::canonical(io.peer_addr()?);
        settle(&SockRef::from(&io), local, options);
        Ok(TcpStream { io: RwLock::new(Some(io)), local, remote })
    }

    /// Our end, canonical.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's end, canonical.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// An error once it is closed.
    #[cfg(feature = "tls")]
    pub(crate) fn is_open(&self) -> io::Result<()> {
        self.with(|_| Ok(()))
    }

    fn with<R>(&self, body: impl FnOnce(&tokio::net::TcpStream) -> io::Result<R>) -> io::Result<R> {
        match &*self.io.read() {
            Some(io) => body(io),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn poll_with(
        &self,
        body: impl FnOnce(&tokio::net::TcpStream) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match &*self.io.read() {
            Some(io) => body(io),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// The socket itself, unless it is closed.
    #[cfg(any(feature = "server", feature = "rendezvous"))]
    pub(crate) fn into_io(self) -> Option<tokio::net::TcpStream> {
        self.io.into_inner()
    }

    /// Waits for something to read; one task may.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|io| io.poll_read_ready(cx))
    }

    /// Waits for room to write; one task may.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|io| io.poll_write_ready(cx))
    }

    /// Reads what is there.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.with(|io| io.try_read(into))
    }

    /// Writes as much as there is room for.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.with(|io| io.try_write_vectored(parts))
    }

    /// Waits for something to read, and reads it; one task may. Nothing is the
    /// end.
    pub(crate) async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            poll_fn(|cx| self.poll_readable(cx)).await?;
            match self.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Writes all of it, whenever there is room; one task may.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            poll_fn(|cx| self.poll_writable(cx)).await?;
            match self.try_write(&[IoSlice::new(bytes)]) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        self.with(|io| SockRef::from(io).shutdown(Shutdown::Write))
    }

    /// Closes it at once. The system still delivers what was written.
    pub(crate) fn close(&self) {
        self.io.write().take();
    }

    /// Resets it: whatever was written and has not arrived is lost.
    pub(crate) fn abort(&self) {
        if let Some(io) = self.io.write().take() {
            let _ = SockRef::from(&io).set_linger(Some(Duration::ZERO));
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self, body: impl FnOnce(SockRef<'_>)) {
        body(SockRef::from(self.io.read().as_ref().expect("it is open")));
    }
}
