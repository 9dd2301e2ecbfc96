use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use super::TcpStream;
#[cfg(feature = "tls")]
use super::TlsStream;

/// A connection that bytes go over in order. It can be closed while it is in
/// use: after that all calls give [`io::ErrorKind::NotConnected`].
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Stream::Plain(stream)
    }
}

impl Stream {
    /// Our end, canonical.
    pub(crate) fn local(&self) -> SocketAddr {
        match self {
            Stream::Plain(stream) => stream.local(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.local(),
        }
    }

    /// Waits for something to read; one task may.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => stream.poll_readable(cx),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.poll_readable(cx),
        }
    }

    /// Waits for room to write; one task may.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => stream.poll_writable(cx),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.poll_writable(cx),
        }
    }

    /// Reads what is there.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.try_read(into),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.try_read(into),
        }
    }

    /// Writes as much as there is room for. What was not written has to be
    /// given again first.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.try_write(parts),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.try_write(parts),
        }
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
            match self.try_write(&[IoSlice::new(bytes)]) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.poll_writable(cx)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.end_writing(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.end_writing(),
        }
    }

    /// Closes it at once. The system still delivers what was written.
    pub(crate) fn close(&self) {
        match self {
            Stream::Plain(stream) => stream.close(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.close(),
        }
    }

    /// Resets it: whatever was written and has not arrived is lost.
    pub(crate) fn abort(&self) {
        match self {
            Stream::Plain(stream) => stream.abort(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.abort(),
        }
    }
}
