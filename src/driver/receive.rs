//! The receive queue of a component: datagrams copied back to back into one
//! buffer, bounded in bytes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, MutexGuard};

use super::transport::Glued;

/// What a datagram costs beside its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 32;

/// Datagrams of one [`crate::driver::Connection::recv_batch`]. Reusing one
/// batch keeps receiving free of allocations: its memory and that of the
/// receive queue change places.
#[derive(Debug, Default)]
pub struct ReceiveBatch {
    bytes: Vec<u8>,
    /// Where each datagram ends in `bytes`.
    ends: Vec<usize>,
    /// How many of them, from the first on, are gone already.
    taken: usize,
}

impl ReceiveBatch {
    /// An empty batch.
    pub const fn new() -> Self {
        ReceiveBatch { bytes: Vec::new(), ends: Vec::new(), taken: 0 }
    }

    /// The number of datagrams.
    pub fn len(&self) -> usize {
        self.ends.len().saturating_sub(self.taken)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The datagrams in the order in which they arrived.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = self.start();
        self.ends.get(self.taken..).unwrap_or_default().iter().map(move |&end| {
            let datagram = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            datagram
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.taken = 0;
    }

    /// Where the first datagram that is not taken starts.
    fn start(&self) -> usize {
        let last_taken = self.taken.checked_sub(1).and_then(|n| self.ends.get(n));
        last_taken.copied().unwrap_or(0)
    }

    /// What the datagrams cost of the queue's bound.
    fn cost(&self) -> usize {
        self.bytes.len() - self.start() + self.len() * OVERHEAD
    }

    fn push(&mut self, glued: &Glued<'_>) {
        // Rather move what is left to the front than grow, where that frees at
        // least what it moves: each byte is then moved once at most on average.
        let start = self.start();
        let left = self.bytes.len() - start;
        if self.bytes.capacity() - self.bytes.len() < glued.bytes.len() && start >= left {
            self.bytes.copy_within(start.., 0);
            self.bytes.truncate(left);
            self.ends.drain(..self.taken);
            self.ends.iter_mut().for_each(|end| *end -= start);
            self.taken = 0;
        }
        let mut end = self.bytes.len();
        self.bytes.extend_from_slice(glued.bytes);
        self.ends.extend(glued.datagrams().map(|datagram| {
            end += datagram.len();
            end
        }));
    }

    fn pop(&mut self, into: &mut [u8]) -> Option<usize> {
        let start = self.start();
        let end = self.ends.get(self.taken).copied()?;
        let datagram = self.bytes.get(start..end).unwrap_or_default();
        let len = datagram.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..len), datagram.get(..len)) {
            to.copy_from_slice(from);
        }
        self.taken += 1;
        if self.is_empty() {
            self.clear();
        }
        Some(len)
    }
}

/// A bounded queue of datagrams between the sockets' readers and a component.
#[derive(Debug)]
pub(crate) struct ReceiveQueue {
    inner: Mutex<Inner>,
    /// Bytes, see [`OVERHEAD`].
    limit: usize,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    datagrams: ReceiveBatch,
    closed: bool,
    /// The receiver that waits; more than one is rare.
    waker: Option<Waker>,
    more_wakers: Vec<Waker>,
    /// Readers of streams that wait until there is room.
    held_up: Vec<Waker>,
}

/// What became of a datagram that may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Taken,
    /// There is no room now: see [`ReceiveQueue::poll_room`].
    Full,
    /// There will never be room for it. It was counted.
    Dropped,
}

/// The queue, locked by a reader that has a batch for it.
pub(crate) struct Push<'a> {
    queue: &'a ReceiveQueue,
    inner: MutexGuard<'a, Inner>,
}

impl ReceiveQueue {
    /// A queue that holds up to `limit` bytes, each datagram counted with 32
    /// more than it has.
    pub(crate) fn new(limit: usize) -> Self {
        ReceiveQueue { inner: Mutex::default(), limit, dropped: AtomicU64::new(0) }
    }

    /// Begins a batch.
    pub(crate) fn lock(&self) -> Push<'_> {
        Push { queue: self, inner: self.inner.lock() }
    }

    /// Datagrams that were dropped because the queue was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes the oldest datagram: its length, cut to that of `into`.
    pub(crate) fn try_pop(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner.lock();
        match inner.datagrams.pop(into) {
            Some(len) => {
                self.give_room(inner);
                Ok(len)
            }
            None => Err(inner.nothing()),
        }
    }

    /// [`ReceiveQueue::try_pop`] that waits.
    pub(crate) fn poll_pop(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.lock();
        match inner.datagrams.pop(into) {
            Some(len) => {
                self.give_room(inner);
                Poll::Ready(Ok(len))
            }
            None => inner.wait(cx),
        }
    }

    /// Takes everything at once.
    pub(crate) fn try_swap(&self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        let mut inner = self.inner.lock();
        match inner.swap(batch) {
            Some(count) => {
                self.give_room(inner);
                Ok(count)
            }
            None => Err(inner.nothing()),
        }
    }

    /// [`ReceiveQueue::try_swap`] that waits.
    pub(crate) fn poll_swap(
        &self,
        cx: &mut Context<'_>,
        batch: &mut ReceiveBatch,
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.lock();
        match inner.swap(batch) {
            Some(count) => {
                self.give_room(inner);
                Poll::Ready(Ok(count))
            }
            None => inner.wait(cx),
        }
    }

    /// Adds a datagram that came over a stream: nothing is dropped there that
    /// can wait. After [`Offered::Full`] it is not in the queue.
    pub(crate) fn offer(&self, datagram: &Glued<'_>) -> Offered {
        let cost = datagram.bytes.len() + OVERHEAD;
        let mut push = self.lock();
        if push.inner.closed || cost > self.limit {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Offered::Dropped;
        }
        if cost > self.limit.saturating_sub(push.inner.datagrams.cost()) {
            return Offered::Full;
        }
        push.push(datagram);
        push.wake();
        Offered::Taken
    }

    /// Waits until there is room for a datagram of this length. Who waited is
    /// woken when half of the queue is free, not for each datagram.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, len: usize) -> Poll<()> {
        let inner = &mut *self.inner.lock();
        let room = self.limit.saturating_sub(inner.datagrams.cost());
        if inner.closed || inner.datagrams.is_empty() || room >= len + OVERHEAD {
            return Poll::Ready(());
        }
        if !inner.held_up.iter().any(|waker| waker.will_wake(cx.waker())) {
            inner.held_up.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Something was taken out.
    fn give_room(&self, mut inner: MutexGuard<'_, Inner>) {
        if !inner.held_up.is_empty() && inner.datagrams.cost() <= self.limit / 2 {
            let held_up = std::mem::take(&mut inner.held_up);
            drop(inner);
            held_up.into_iter().for_each(Waker::wake);
        }
    }

    /// Lets receivers take what is left, and then gives them an error.
    pub(crate) fn close(&self) {
        let mut push = self.lock();
        push.inner.closed = true;
        let held_up = std::mem::take(&mut push.inner.held_up);
        push.wake();
        held_up.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    fn swap(&mut self, batch: &mut ReceiveBatch) -> Option<usize> {
        batch.clear();
        if self.datagrams.is_empty() {
            return None;
        }
        std::mem::swap(&mut self.datagrams, batch);
        Some(batch.len())
    }

    fn nothing(&self) -> io::Error {
        if self.closed { closed() } else { io::ErrorKind::WouldBlock.into() }
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<io::Result<T>> {
        if self.closed {
            return Poll::Ready(Err(closed()));
        }
        let mut waiting = self.waker.iter().chain(&self.more_wakers);
        if !waiting.any(|waker| waker.will_wake(cx.waker())) {
            match &mut self.waker {
                empty @ None => *empty = Some(cx.waker().clone()),
                Some(_) => self.more_wakers.push(cx.waker().clone()),
            }
        }
        Poll::Pending
    }
}

impl Push<'_> {
    /// Adds datagrams. Those for which there is no room are dropped and counted.
    pub(crate) fn push(&mut self, glued: &Glued<'_>) {
        let room = if self.inner.closed {
            0
        } else {
            self.queue.limit.saturating_sub(self.inner.datagrams.cost())
        };
        let count = glued.count();
        if glued.bytes.len() + count * OVERHEAD <= room {
            self.inner.datagrams.push(glued);
        } else if count > 1 {
            for bytes in glued.datagrams() {
                self.push(&Glued { bytes, size: bytes.len(), ..*glued });
            }
        } else {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the batch and wakes who waits for it.
    pub(crate) fn wake(mut self) {
        let waker = self.inner.waker.take();
        let more = std::mem::take(&mut self.inner.more_wakers);
        drop(self);
        waker.into_iter().chain(more).for_each(Waker::wake);
    }
}

/// The error of an operation on a connection whose agent was closed.
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the agent was closed")
}

#[cfg(test)]
mod tests;
