use std::fmt;
use std::future::poll_fn;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwapOption;
use std::net::SocketAddr;
use tokio::sync::Notify;

use super::agent::Handle;
use super::carrier::Carrier;
use super::receive::{ReceiveBatch, ReceiveQueue, closed};
use super::traffic::Traffic;

/// A component's data path: datagrams in, datagrams out, zero-length ones
/// included. A clone is another handle on the same component.
///
/// Sending writes to the socket of the component's current path itself: the
/// best valid pair before selection, then the selected pair. Receiving takes
/// datagrams from every address that passed a check.
///
/// Over TCP datagrams stay what they are (RFC 4571), and up to 256 KiB of them
/// wait where the system has no room. None is dropped for a slow receiver: the
/// peer is held up instead. When a connection breaks, datagrams that were sent
/// may be lost with it.
///
/// With the features `webrtc` and `quinn` other libraries run on it: see the
/// module `adapter`.
#[derive(Clone)]
pub struct Connection {
    component: Arc<Component>,
    /// Keeps the agent alive.
    _handle: Arc<Handle>,
}

/// What the agent and the connections of a component share.
#[derive(Debug)]
pub(super) struct Component {
    path: ArcSwapOption<SendPath>,
    /// Tells those who wait for the socket of a path that there is another.
    path_changed: Notify,
    pub(super) queue: Arc<ReceiveQueue>,
    /// A batch was asked for, so its sockets read batches.
    batches: AtomicBool,
    closed: AtomicBool,
}

/// Where a component's data goes.
#[derive(Debug)]
pub(super) struct SendPath {
    pub(super) carrier: Carrier,
    pub(super) to: SocketAddr,
    /// The largest payload that leaves the machine in one packet.
    pub(super) max_payload: usize,
    pub(super) traffic: Arc<Traffic>,
}

impl Connection {
    pub(super) fn new(handle: Arc<Handle>, component: Arc<Component>) -> Self {
        Connection { component, _handle: handle }
    }

    /// Sends one datagram; waits where the socket's buffer is full.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] while the component has no valid pair,
    /// or after consent expired; [`io::ErrorKind::ConnectionAborted`] after
    /// the agent was closed; else what the system says. It may refuse a
    /// datagram above [`Connection::max_datagram_size`]. Over TCP it is
    /// [`io::ErrorKind::InvalidInput`] above 65,535 bytes, and
    /// [`io::ErrorKind::NotConnected`] from when the connection broke until
    /// there is another path.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the datagram was sent exactly if this returned `Ok`.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<()> {
        // A sender that is never held up would else never let others run.
        tokio::task::coop::consume_budget().await;
        loop {
            match self.try_send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                result => return result,
            }
        }
    }

    /// Sends one datagram if the socket takes it at once.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if it does not, and those of
    /// [`Connection::send`].
    pub fn try_send(&self, datagram: &[u8]) -> io::Result<()> {
        match &*self.component.path.load() {
            Some(path) => {
                path.carrier.try_send(path.to, datagram, path.max_payload)?;
                path.traffic.sent(1, datagram.len());
                Ok(())
            }
            None => Err(self.component.no_path()),
        }
    }

    /// [`Connection::send`] for `poll` functions. Only the last task that it
    /// gave `Pending` is woken; use clones of the tasks' futures of
    /// [`Connection::send`] where there are several.
    ///
    /// # Errors
    ///
    /// Those of [`Connection::send`].
    pub fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        loop {
            match self.try_send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let path = self.component.path()?;
                    ready!(path.carrier.poll_writable(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Sends `datagrams` cut into datagrams of `size` bytes, of which the
    /// last may be shorter, with one call to the system for many of them
    /// where it can do that.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if `size` is 0, and those of
    /// [`Connection::send`]; datagrams before the one that failed were sent.
    ///
    /// # Cancel safety
    ///
    /// If it is cancelled, any number of the datagrams were sent.
    pub async fn send_batch(&self, datagrams: &[u8], size: usize) -> io::Result<()> {
        tokio::task::coop::consume_budget().await;
        let mut rest = datagrams;
        while !rest.is_empty() {
            match self.try_send_batch(rest, size) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// [`Connection::send_batch`] for what the socket takes at once. Returns
    /// how many bytes of `datagrams` were sent: whole datagrams.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing was sent, and those of
    /// [`Connection::send_batch`].
    pub fn try_send_batch(&self, datagrams: &[u8], size: usize) -> io::Result<usize> {
        let Some(size) = NonZeroUsize::new(size) else {
            let text = "the size of a batch's datagrams is at least 1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        match &*self.component.path.load() {
            Some(path) => {
                let sent = path.carrier.try_send_batch(path.to, datagrams, size)?;
                path.traffic.sent(sent.div_ceil(size.get()), sent);
                Ok(sent)
            }
            None => Err(self.component.no_path()),
        }
    }

    /// Receives one datagram into `buffer` and returns its length; what does
    /// not fit is lost.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ConnectionAborted`] after the agent was closed and
    /// everything was received. What a peer does is never an error.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a datagram that was not returned stays.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, buffer)).await
    }

    /// [`Connection::recv`] if a datagram is there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is none, and that of
    /// [`Connection::recv`].
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.component.queue.try_pop(buffer)
    }

    /// [`Connection::recv`] for `poll` functions. All tasks that wait are
    /// woken when something arrives.
    ///
    /// # Errors
    ///
    /// That of [`Connection::recv`].
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let result = ready!(self.component.queue.poll_pop(cx, buffer));
        coop.made_progress();
        Poll::Ready(result)
    }

    /// Receives everything that has arrived, at least one datagram, and
    /// returns their number. From the first call on the sockets are read in
    /// batches.
    ///
    /// # Errors
    ///
    /// That of [`Connection::recv`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: datagrams that were not returned stay.
    pub async fn recv_batch(&self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv_batch(cx, batch)).await
    }

    /// [`Connection::recv_batch`] if something is there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if nothing is, and that of
    /// [`Connection::recv`].
    pub fn try_recv_batch(&self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        self.component.use_batches();
        self.component.queue.try_swap(batch)
    }

    /// [`Connection::recv_batch`] for `poll` functions. All tasks that wait
    /// are woken when something arrives.
    ///
    /// # Errors
    ///
    /// That of [`Connection::recv`].
    pub fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        batch: &mut ReceiveBatch,
    ) -> Poll<io::Result<usize>> {
        self.component.use_batches();
        let coop = ready!(tokio::task::coop::poll_proceed(cx));
        let result = ready!(self.component.queue.poll_swap(cx, batch));
        coop.made_progress();
        Poll::Ready(result)
    }

    /// The largest datagram that leaves this machine in one packet on the
    /// current path; `None` while there is none. A link further on may carry
    /// less. Larger ones are sent in fragments, or, once the socket works in
    /// batches, refused by the system. Over TCP it is what a frame can hold,
    /// 65,535 bytes.
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.component.path.load().as_ref().map(|path| path.max_payload)
    }

    /// The address that data leaves from on the current path: the base of the
    /// pair's local candidate (RFC 8445 §5.1.1). `None` while there is no path.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.component.path.load().as_ref().map(|path| path.carrier.local())
    }

    /// The address that data goes to on the current path: that of the pair's
    /// remote candidate. It changes with the path; `None` while there is none.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.component.path.load().as_ref().map(|path| path.to)
    }

    /// Datagrams that were dropped because nobody received them in time.
    pub fn overflowed(&self) -> u64 {
        self.component.queue.dropped()
    }

    /// Waits until the socket of the current path may take a datagram. A path
    /// that takes the current one's place is waited for in its stead.
    ///
    /// It may return where the next send would still be held up.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] while the component has no valid pair,
    /// also where it loses it meanwhile; [`io::ErrorKind::ConnectionAborted`]
    /// after the agent was closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. Any number of tasks may wait.
    pub async fn writable(&self) -> io::Result<()> {
        self.component.writable().await
    }
}

/// What only adapters ask for.
#[cfg(feature = "quinn")]
impl Connection {
    /// Reads and sends batches from now on: datagrams may arrive glued, and
    /// those that are too large for the link are refused.
    pub(crate) fn use_batches(&self) {
        self.component.use_batches();
    }

    /// How many datagrams of a batch one call to the system may take; 1 where
    /// the system does not know batches, and while there is no path.
    pub(crate) fn max_batch(&self) -> usize {
        self.component.path.load().as_ref().map_or(1, |path| path.carrier.max_batch())
    }

    /// Whether datagrams that are too large for a link may leave in fragments
    /// instead of being refused; true as long as there is no path to know of.
    pub(crate) fn may_fragment(&self) -> bool {
        self.component.path.load().as_ref().is_none_or(|path| path.carrier.may_fragment())
    }
}

impl Component {
    pub(super) fn new(receive_queue: usize) -> Self {
        Component {
            path: ArcSwapOption::empty(),
            path_changed: Notify::new(),
            queue: Arc::new(ReceiveQueue::new(receive_queue)),
            batches: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Data goes this way from now on.
    pub(super) fn set_path(&self, path: Option<SendPath>) {
        self.path.store(path.map(Arc::new));
        self.path_changed.notify_waiters();
        if self.batches.load(Ordering::Relaxed) {
            self.switch_to_batches();
        }
    }

    /// Ends it: what has arrived can still be received.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.path.store(None);
        self.path_changed.notify_waiters();
        self.queue.close();
    }

    fn path(&self) -> io::Result<Arc<SendPath>> {
        self.path.load_full().ok_or_else(|| self.no_path())
    }

    async fn writable(&self) -> io::Result<()> {
        loop {
            // It knows of changes from here on, so that none is missed.
            let changed = self.path_changed.notified();
            let path = self.path()?;
            tokio::select! {
                biased;
                result = path.carrier.writable() => return result,
                () = changed => {}
            }
        }
    }

    fn no_path(&self) -> io::Error {
        if self.closed.load(Ordering::Relaxed) {
            return closed();
        }
        io::Error::new(io::ErrorKind::NotConnected, "the component has no valid pair")
    }

    fn use_batches(&self) {
        if !self.batches.load(Ordering::Relaxed) {
            self.batches.store(true, Ordering::Relaxed);
            self.switch_to_batches();
        }
    }

    fn switch_to_batches(&self) {
        if let Some(path) = self.path.load_full() {
            path.carrier.use_batches();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.component.path.load().as_ref().map(|path| path.to);
        f.debug_struct("Connection").field("to", &to).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
