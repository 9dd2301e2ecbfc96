//! A component's connection over TCP as one stream of bytes, for TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use floe::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes of a frame that is sent: a TLS record and what belongs to it.
const FRAME: usize = 32 * 1024;

/// The largest frame that may arrive.
const MAX_FRAME: usize = 65_535;

/// What arrives in order and whole, as over TCP, one frame behind the other.
pub(super) struct ByteStream {
    connection: Connection,
    frame: Box<[u8]>,
    /// What of the frame is still to be read.
    rest: std::ops::Range<usize>,
}

impl ByteStream {
    /// The stream over `connection`, which begins with `first`, a frame that
    /// has been received already.
    pub(super) fn new(connection: Connection, first: &[u8]) -> Self {
        let mut frame = vec![0; MAX_FRAME].into_boxed_slice();
        let length = first.len().min(MAX_FRAME);
        frame[..length].copy_from_slice(&first[..length]);
        ByteStream { connection, frame, rest: 0..length }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ByteStream { connection, frame, rest } = self.get_mut();
        // An empty frame is not the end.
        while rest.start == rest.end {
            match ready!(connection.poll_recv(cx, frame)) {
                Ok(length) => *rest = 0..length,
                // The agent was closed.
                Err(_) => return Poll::Ready(Ok(())),
            }
        }
        let count = buffer.remaining().min(rest.len());
        buffer.put_slice(&frame[rest.start..rest.start + count]);
        rest.start += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let frame = &bytes[..bytes.len().min(FRAME)];
        if !frame.is_empty() {
            ready!(self.connection.poll_send(cx, frame))?;
        }
        Poll::Ready(Ok(frame.len()))
    }

    /// The connection holds nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The agent ends the connection.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
