use std::future::{pending, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{FINISH, Link, Owner};
use crate::driver::receive::Offered;
use crate::driver::relay::Taken;
use crate::stun;
use crate::tcp::{Deframer, FrameError, Framing};

/// What was told of a connection.
type End = Option<io::ErrorKind>;

/// Reads a connection, and writes what waits, until it ends or is closed, be it
/// as another one.
pub(crate) async fn run(link: Arc<Link>, owner: Arc<dyn Owner>) {
    let mut next = Some((link, Vec::new()));
    while let Some((link, read)) = next {
        next = serve(&link, &read, &*owner).await;
    }
}

/// Does so for what it is now, of which something may have been read. Returns
/// what it has become, and what was read of that.
async fn serve(link: &Link, read: &[u8], owner: &dyn Owner) -> Option<(Arc<Link>, Vec<u8>)> {
    let mut deframer = Deframer::new(link.framing);
    deframer.extend(read);
    let mut reader = Reader { link, owner, deframer, held: Vec::new(), told: false };
    let end = tokio::select! {
        end = reader.read() => Some(end),
        () = link.flush() => None,
        () = link.finishing.notified() => None,
    };
    match end {
        Some(Read::Carried(successor)) => return Some((successor, reader.deframer.take_rest())),
        Some(Read::Ended(end)) => owner.ended(link.id, end),
        None => {
            let _ = tokio::time::timeout(FINISH, link.last_words()).await;
        }
    }
    link.close();
    None
}

struct Reader<'a> {
    link: &'a Link,
    owner: &'a dyn Owner,
    deframer: Deframer,
    /// A datagram for which there was no room.
    held: Vec<u8>,
    /// That the peer sends something else than STUN.
    told: bool,
}

/// Why nothing more is read.
enum Read {
    Ended(End),
    /// It has become another connection.
    Carried(Arc<Link>),
}

/// How far what was read could be taken.
enum Routed {
    All,
    /// What follows is another connection's.
    Carried(Arc<Link>),
    /// The next datagram is held: its receiver is slow.
    Held,
    /// What follows can not be read.
    Stuck,
}

impl Reader<'_> {
    /// Reads to the end. A future that is dropped has lost nothing but what it
    /// read: only the end of the connection drops it.
    async fn read(&mut self) -> Read {
        loop {
            loop {
                match self.route() {
                    Ok(Routed::All) => break,
                    Ok(Routed::Carried(successor)) => return Read::Carried(successor),
                    Ok(Routed::Held) => self.deliver_held().await,
                    Ok(Routed::Stuck) => return pending().await,
                    Err(kind) => return Read::Ended(Some(kind)),
                }
            }
            // A peer that is never slower than us would else hold up others.
            tokio::task::coop::consume_budget().await;
            if let Err(error) = poll_fn(|cx| self.link.stream.poll_readable(cx)).await {
                return self.end(Some(error.kind()));
            }
            match self.link.stream.try_read(self.deframer.space()) {
                Ok(0) => {
                    let is_cut = self.deframer.pending() > 0;
                    return self.end(is_cut.then_some(io::ErrorKind::UnexpectedEof));
                }
                Ok(count) => self.deframer.filled(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return self.end(Some(error.kind())),
            }
        }
    }

    /// Where writing failed first, that is why it ended.
    fn end(&self, end: End) -> Read {
        Read::Ended(self.link.queue.lock().broken().or(end))
    }

    /// Takes messages and datagrams where they belong.
    fn route(&mut self) -> Result<Routed, io::ErrorKind> {
        loop {
            let frame = match self.deframer.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(Routed::All),
                Err(FrameError::Oversize { .. }) if self.link.framing == Framing::Rfc4571 => {
                    if self.link.is_proven() {
                        self.deframer.prove();
                        continue;
                    }
                    self.tell_not_stun();
                    return Ok(Routed::Stuck);
                }
                Err(_) => return Err(io::ErrorKind::InvalidData),
            };
            if self.link.framing == Framing::Turn {
                let relayed = self.link.relayed.read().clone();
                match relayed.as_ref().map_or(Taken::OfServer, |relayed| relayed.take(frame)) {
                    Taken::Data => {}
                    Taken::Nobody => {
                        self.link.unrouted.fetch_add(1, Ordering::Relaxed);
                    }
                    Taken::OfServer => {
                        self.owner.message(self.link.id, frame);
                        if let Some(successor) = self.link.successor.lock().take() {
                            return Ok(Routed::Carried(successor));
                        }
                    }
                    Taken::Message { base, peer, bytes } => self.owner.relayed(base, peer, bytes),
                }
                continue;
            }
            if self.link.framing == Framing::Stun || stun::is_stun_with_fingerprint(frame) {
                self.owner.message(self.link.id, frame);
                continue;
            }
            match self.link.offer(frame) {
                Offered::Taken => {}
                Offered::Full => {
                    self.held.clear();
                    self.held.extend_from_slice(frame);
                    return Ok(Routed::Held);
                }
                // Empty frames keep a connection alive, and nothing else.
                Offered::Dropped if frame.is_empty() || self.link.is_proven() => {}
                Offered::Dropped => self.tell_not_stun(),
            }
        }
    }

    fn tell_not_stun(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            self.owner.not_stun(self.link.id);
        }
    }

    /// Waits until there is room for the datagram that is held, or nobody
    /// wants it any more.
    async fn deliver_held(&mut self) {
        while self.link.offer(&self.held) == Offered::Full {
            let Some(queue) = self.link.way.read().as_ref().map(|way| way.queue.clone()) else {
                continue;
            };
            tokio::select! {
                () = poll_fn(|cx| queue.poll_room(cx, self.held.len())) => {}
                () = self.link.way_changed.notified() => {}
            }
        }
        self.held = Vec::new();
    }
}

impl Link {
    /// Writes what waits whenever there is room. Ends only once the connection
    /// is closed: where writing fails, there may still be something to read.
    pub(super) async fn flush(&self) {
        loop {
            self.flush_now().await;
            let is_broken = self.queue.lock().is_broken();
            if is_broken {
                return pending().await;
            }
            self.queued.notified().await;
        }
    }

    /// Writes until nothing waits, or writing fails.
    async fn flush_now(&self) {
        loop {
            if self.queue.lock().is_empty() {
                return;
            }
            if poll_fn(|cx| self.stream.poll_writable(cx)).await.is_err() {
                return self.refuse_senders();
            }
            let mut queue = self.queue.lock();
            let result = queue.write(&self.stream);
            if result.is_err() || queue.room().is_ready() {
                self.wake_senders(queue);
            }
        }
    }

    /// Writes what waits, says that this is all, and waits for the peer to say
    /// so too: a connection that is closed while something arrives is reset.
    async fn last_words(&self) {
        self.flush_now().await;
        if self.stream.end_writing().is_err() {
            return;
        }
        let mut dust = [0; 4096];
        while poll_fn(|cx| self.stream.poll_readable(cx)).await.is_ok() {
            match self.stream.try_read(&mut dust) {
                Ok(0) => return,
                Ok(_) => tokio::task::coop::consume_budget().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
