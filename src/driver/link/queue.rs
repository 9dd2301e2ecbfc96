use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Poll, Waker};

use super::DATA;
use crate::driver::transport::Stream;
use crate::tcp::MAX_FRAME;

/// Memory that an empty queue keeps.
const KEPT: usize = 32 * 1024;

/// What waits to be written to a connection: whole datagrams with their heads,
/// but for the first, of which a part may be written.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    bytes: VecDeque<u8>,
    /// Why nothing can be written any more.
    broken: Option<io::ErrorKind>,
    /// Nothing is taken any more.
    is_closed: bool,
    /// The task that waits for room by polling.
    pub(super) waker: Option<Waker>,
}

impl SendQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Why writing failed.
    pub(super) fn broken(&self) -> Option<io::ErrorKind> {
        self.broken
    }

    /// Takes nothing any more; what waits can still be written.
    pub(super) fn refuse(&mut self) {
        self.is_closed = true;
    }

    /// Why the last datagram was not taken.
    pub(super) fn refusal(&self) -> io::Error {
        if self.is_closed || self.is_broken() {
            return io::Error::new(io::ErrorKind::NotConnected, "the TCP connection is over");
        }
        io::ErrorKind::WouldBlock.into()
    }

    /// Ready if there is room for any datagram.
    pub(super) fn room(&self) -> Poll<io::Result<()>> {
        if self.is_closed || self.is_broken() {
            return Poll::Ready(Err(self.refusal()));
        }
        if self.bytes.len() + 2 + MAX_FRAME <= DATA { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Adds a datagram, if the queue does not become longer than `limit`.
    pub(super) fn push(&mut self, head: &[u8], payload: &[u8], limit: usize) -> io::Result<()> {
        self.check(head.len() + payload.len(), limit)?;
        self.bytes.extend(head);
        self.bytes.extend(payload);
        Ok(())
    }

    fn check(&self, len: usize, limit: usize) -> io::Result<()> {
        let is_full = self.bytes.len() + len > limit;
        if self.is_closed || self.is_broken() || is_full { Err(self.refusal()) } else { Ok(()) }
    }

    /// [`SendQueue::push`] that writes at once what it can if nothing waits.
    /// Returns whether something waits that did not before.
    pub(super) fn send(
        &mut self,
        stream: &Stream,
        head: &[u8],
        payload: &[u8],
        limit: usize,
    ) -> io::Result<bool> {
        self.check(head.len() + payload.len(), limit)?;
        if !self.is_empty() {
            self.push(head, payload, limit)?;
            return Ok(false);
        }
        let parts = [IoSlice::new(head), IoSlice::new(payload)];
        let written = self.written(stream.try_write(&parts))?;
        self.bytes.extend(head.get(written..).unwrap_or_default());
        let written = written.saturating_sub(head.len());
        self.bytes.extend(payload.get(written..).unwrap_or_default());
        Ok(!self.is_empty())
    }

    /// Writes what it can. Returns whether something still waits.
    pub(super) fn write(&mut self, stream: &Stream) -> io::Result<bool> {
        let (first, second) = self.bytes.as_slices();
        if first.is_empty() {
            return Ok(false);
        }
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        let written = self.written(stream.try_write(&parts))?;
        self.bytes.drain(..written);
        if self.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = VecDeque::new();
        }
        Ok(!self.is_empty())
    }

    fn written(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => {
                self.broken = Some(error.kind());
                self.bytes = VecDeque::new();
                Err(self.refusal())
            }
        }
    }
}
