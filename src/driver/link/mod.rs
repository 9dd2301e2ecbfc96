//! An established connection of a base, TCP or TLS on it: datagrams in,
//! datagrams out, as RFC 4571 frames towards peers, and one task that reads it and writes what had to wait.
//!
//! What stands on a stream can not be dropped in its middle. A datagram is
//! taken completely or not at all, what the system has no room for waits in a
//! bounded queue, and a reader whose receiver is slow stops to read.

mod queue;
mod reader;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

pub(crate) use self::reader::run;

use self::queue::SendQueue;
use super::receive::Offered;
use super::relay::Relayed;
use super::router::Way;
use super::transport::{Glued, Stream};
use crate::agent::BaseId;
use crate::tcp::{Framing, MAX_FRAME, head};

/// Bytes of data that wait for the system, their heads counted.
const DATA: usize = 256 * 1024;

/// What messages of the core may have beyond [`DATA`]: a path whose data
/// waits has to be checked all the same.
const CONTROL: usize = 16 * 1024;

/// How long a connection that is closed in order may take to write what waits
/// and to hear the peer's end.
const FINISH: Duration = Duration::from_secs(1);

/// A connection, as the agent knows it. The serial number tells it from others
/// between the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkId {
    pub(crate) base: BaseId,
    pub(crate) remote: SocketAddr,
    pub(crate) serial: u64,
}

/// Who is told of a connection: an agent.
pub(crate) trait Owner: Send + Sync {
    /// A STUN message arrived.
    fn message(&self, link: LinkId, bytes: &[u8]);
    /// A STUN message of a peer arrived through a TURN server, for a relayed
    /// base.
    fn relayed(&self, base: BaseId, from: SocketAddr, bytes: &[u8]);
    /// From a peer that passed no check, something else arrived.
    fn not_stun(&self, link: LinkId);
    /// It is over; `None` where the peer closed it in order.
    fn ended(&self, link: LinkId, kind: Option<io::ErrorKind>);
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Link {
    id: LinkId,
    framing: Framing,
    stream: Arc<Stream>,
    queue: Mutex<SendQueue>,
    /// The queue was empty and is not any more.
    queued: Notify,
    /// There is room in the queue, or never will be.
    room: Notify,
    /// What a TURN server at the other end relays.
    relayed: RwLock<Option<Arc<Relayed>>>,
    /// Where data goes, once the peer has passed a check.
    way: RwLock<Option<Way>>,
    way_changed: Notify,
    /// The peer has passed a check once.
    proven: AtomicBool,
    finishing: Notify,
    /// What it becomes once the message that says so is read.
    successor: Mutex<Option<Arc<Link>>>,
    /// Counts frames that were for nobody.
    unrouted: Arc<AtomicU64>,
}

impl Link {
    pub(crate) fn new(
        id: LinkId,
        stream: impl Into<Stream>,
        framing: Framing,
        unrouted: Arc<AtomicU64>,
    ) -> Self {
        Self::shared(id, Arc::new(stream.into()), framing, unrouted)
    }

    fn shared(id: LinkId, stream: Arc<Stream>, framing: Framing, unrouted: Arc<AtomicU64>) -> Self {
        Link {
            id,
            framing,
            stream,
            queue: Mutex::default(),
            queued: Notify::new(),
            room: Notify::new(),
            relayed: RwLock::default(),
            way: RwLock::default(),
            way_changed: Notify::new(),
            proven: AtomicBool::new(false),
            finishing: Notify::new(),
            successor: Mutex::default(),
            unrouted,
        }
    }

    /// A connection to a TURN server leads to a peer from now on, as another
    /// connection (RFC 6062 §4.3). Its task serves that, with what was read behind
    /// the message that is being taken in.
    pub(crate) fn carry(&self, id: LinkId) -> Arc<Link> {
        let fresh = Link::shared(id, self.stream.clone(), Framing::Rfc4571, self.unrouted.clone());
        let successor = Arc::new(fresh);
        *self.successor.lock() = Some(successor.clone());
        successor
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.local()
    }

    /// The TURN server at the other end relays.
    pub(crate) fn open_relay(&self, relayed: Arc<Relayed>) {
        *self.relayed.write() = Some(relayed);
    }

    /// Data belongs to a component from now on.
    pub(crate) fn open_path(&self, way: Way) {
        *self.way.write() = Some(way);
        self.proven.store(true, Ordering::Release);
        self.way_changed.notify_one();
    }

    /// Data belongs to nobody again.
    pub(crate) fn close_path(&self) {
        *self.way.write() = None;
        self.way_changed.notify_one();
    }

    /// Whether the peer has passed a check.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Sends one datagram: now, or as soon as there is room for the rest.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if the queue has no room for all of it,
    /// [`io::ErrorKind::InvalidInput`] above [`MAX_FRAME`] bytes, and
    /// [`io::ErrorKind::NotConnected`] once the connection is over.
    pub(crate) fn try_send(&self, datagram: &[u8]) -> io::Result<()> {
        self.send(datagram, DATA)
    }

    /// Sends a message of the core, for which a full queue has some room left.
    ///
    /// # Errors
    ///
    /// Those of [`Link::try_send`].
    pub(crate) fn send_control(&self, message: &[u8]) -> io::Result<()> {
        self.send(message, DATA + CONTROL)
    }

    fn send(&self, payload: &[u8], limit: usize) -> io::Result<()> {
        let head = self.head(payload.len())?;
        let mut queue = self.queue.lock();
        let rest = queue.send(&self.stream, head.as_slice(), payload, limit);
        self.flush_later(queue, rest)
    }

    /// Sends `datagrams` cut into datagrams of `size` bytes, the last perhaps
    /// shorter. Returns how many bytes of them were taken; always whole ones.
    ///
    /// # Errors
    ///
    /// Those of [`Link::try_send`], if none was taken.
    pub(crate) fn try_send_batch(&self, datagrams: &[u8], size: NonZeroUsize) -> io::Result<usize> {
        self.head(size.get().min(datagrams.len()))?;
        let mut queue = self.queue.lock();
        let was_empty = queue.is_empty();
        let mut sent = 0;
        let rest = loop {
            let mut more = 0;
            for datagram in datagrams.get(sent..).unwrap_or_default().chunks(size.get()) {
                let head = self.head(datagram.len())?;
                if queue.push(head.as_slice(), datagram, DATA).is_err() {
                    break;
                }
                more += datagram.len();
            }
            sent += more;
            if !was_empty || more == 0 {
                break Ok(false);
            }
            match queue.write(&self.stream) {
                Ok(false) if sent < datagrams.len() => {}
                rest => break rest,
            }
        };
        let refusal = queue.refusal();
        self.flush_later(queue, rest)?;
        if sent == 0 && !datagrams.is_empty() { Err(refusal) } else { Ok(sent) }
    }

    /// Wakes the task that writes, where something waits for it since now.
    fn flush_later(
        &self,
        queue: MutexGuard<'_, SendQueue>,
        rest: io::Result<bool>,
    ) -> io::Result<()> {
        if queue.is_broken() {
            self.wake_senders(queue);
        }
        if rest? {
            self.queued.notify_one();
        }
        Ok(())
    }

    fn head(&self, len: usize) -> io::Result<Head> {
        match self.framing {
            Framing::Stun | Framing::Turn => Ok(Head(None)),
            Framing::Rfc4571 => head(len).map(|head| Head(Some(head))).ok_or_else(|| {
                let text = format!("a datagram over TCP has {MAX_FRAME} bytes at most");
                io::Error::new(io::ErrorKind::InvalidInput, text)
            }),
        }
    }

    /// Waits until any datagram would be taken. Any number of tasks may wait.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] once the connection is over.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        loop {
            // It knows of room from here on, so that none is missed.
            let room = self.room.notified();
            if let Poll::Ready(result) = self.queue.lock().room() {
                return result;
            }
            room.await;
        }
    }

    /// [`Link::writable`] for `poll` functions; wakes the last caller.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.queue.lock();
        let room = queue.room();
        if room.is_pending() {
            queue.waker = Some(cx.waker().clone());
        }
        room
    }

    fn wake_senders(&self, mut queue: MutexGuard<'_, SendQueue>) {
        let waker = queue.waker.take();
        drop(queue);
        self.room.notify_waiters();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing more is taken to be sent.
    fn refuse_senders(&self) {
        let mut queue = self.queue.lock();
        queue.refuse();
        self.wake_senders(queue);
    }

    /// Closes it at once; what waits in the queue is lost.
    pub(crate) fn close(&self) {
        self.over();
        self.stream.close();
    }

    /// Resets it.
    pub(crate) fn abort(&self) {
        self.over();
        self.stream.abort();
    }

    /// Closes it in order: its task writes what waits and hears the peer's end
    /// first, for [`FINISH`] at most.
    pub(crate) fn finish(&self) {
        self.over();
        self.finishing.notify_one();
    }

    fn over(&self) {
        self.refuse_senders();
        self.close_path();
    }

    /// Whether closing it in order takes time: something waits to be sent, or
    /// may have arrived, for which a system resets what is closed.
    pub(crate) fn takes_time(&self) -> bool {
        self.is_proven() && !self.queue.lock().is_broken()
    }

    /// Takes in a datagram, if there is room for it.
    fn offer(&self, datagram: &[u8]) -> Offered {
        let Some(way) = &*self.way.read() else {
            self.unrouted.fetch_add(1, Ordering::Relaxed);
            return Offered::Dropped;
        };
        let glued = Glued { from: self.id.remote, bytes: datagram, size: datagram.len() };
        let offered = way.queue.offer(&glued);
        if offered != Offered::Full {
            way.traffic.received(1, datagram.len());
        }
        offered
    }
}

/// What goes before a payload.
struct Head(Option<[u8; 2]>);

impl Head {
    fn as_slice(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], <[u8; 2]>::as_slice)
    }
}

#[cfg(test)]
mod tests;
