//! Data through a TURN server (RFC 8656 §11, §12): what a server sends is taken
//! out of its wrapping where it arrives, and what is sent gets its wrapping
//! where it leaves. The core sees only messages.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::RwLock;
use rand::TryRngCore as _;

use super::carrier::Leg;
use super::router::Way;
use super::transport::Glued;
use crate::agent::BaseId;
use crate::net::{self, Family};
use crate::stun::{self, Class, Message, Method, TransactionId};
use crate::turn::channel;

/// What a datagram loses of its size to ChannelData.
pub(super) const OVERHEAD: usize = channel::HEADER_LEN;

/// What a server relays over one leg.
#[derive(Default)]
pub(crate) struct Relayed {
    routes: RwLock<Routes>,
}

/// What became of something that a server sent.
pub(crate) enum Taken<'a> {
    /// It was data.
    Data,
    /// It was for nobody.
    Nobody,
    /// It holds a message for the core, which came to a relayed base from a
    /// peer.
    Message { base: BaseId, peer: SocketAddr, bytes: &'a [u8] },
    /// It is a message of the server itself.
    OfServer,
}

#[derive(Default)]
struct Routes {
    /// A base for each family.
    bases: Vec<(BaseId, Family)>,
    peers: HashMap<SocketAddr, Peer>,
    channels: HashMap<u16, SocketAddr>,
}

#[derive(Default)]
struct Peer {
    /// The channel's number; 0 before there is one.
    channel: Arc<AtomicU16>,
    /// Where its data goes, once it has passed a check.
    way: Option<Way>,
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayed").finish_non_exhaustive()
    }
}

impl Relayed {
    /// The server relays for another base.
    pub(crate) fn add_base(&self, base: BaseId, family: Family) {
        self.routes.write().bases.push((base, family));
    }

    /// It does not relay for a base any more; whether it relays for any.
    pub(crate) fn remove_base(&self, base: BaseId) -> bool {
        let routes = &mut *self.routes.write();
        let gone = routes.bases.iter().find(|(id, _)| *id == base).map(|(_, family)| *family);
        routes.bases.retain(|(id, _)| *id != base);
        if let Some(family) = gone {
            routes.peers.retain(|peer, _| Family::of(peer.ip()) != family);
            let peers = &routes.peers;
            routes.channels.retain(|_, peer| peers.contains_key(peer));
        }
        !routes.bases.is_empty()
    }

    /// What a peer sends may come on a channel of this number.
    pub(crate) fn expect_channel(&self, peer: SocketAddr, number: u16) {
        self.routes.write().channels.insert(number, peer);
    }

    /// A channel is bound to a peer.
    pub(crate) fn bind_channel(&self, peer: SocketAddr, number: u16) {
        let routes = &mut *self.routes.write();
        routes.channels.insert(number, peer);
        routes.peers.entry(peer).or_default().channel.store(number, Ordering::Release);
    }

    /// Nothing is sent on the peer's channel any more. What still comes on it is
    /// the peer's: its number rests (RFC 8656 §12).
    pub(crate) fn end_channel(&self, peer: SocketAddr) {
        if let Some(entry) = self.routes.read().peers.get(&peer) {
            entry.channel.store(0, Ordering::Release);
        }
    }

    /// The number of a peer's channel, now and later.
    pub(crate) fn channel(&self, peer: SocketAddr) -> Arc<AtomicU16> {
        self.routes.write().peers.entry(net::canonical(peer)).or_default().channel.clone()
    }

    /// Data of a peer goes this way from now on.
    pub(crate) fn open_path(&self, peer: SocketAddr, way: Way) {
        self.routes.write().peers.entry(net::canonical(peer)).or_default().way = Some(way);
    }

    /// It goes nowhere any more.
    pub(crate) fn close_path(&self, peer: SocketAddr) {
        if let Some(entry) = self.routes.write().peers.get_mut(&net::canonical(peer)) {
            entry.way = None;
        }
    }

    /// Takes in what the server sent.
    pub(crate) fn take<'a>(&self, bytes: &'a [u8]) -> Taken<'a> {
        let Some((peer, payload)) = self.relayed(bytes) else {
            // What is neither ChannelData nor STUN is nothing a server sends.
            let is_stun = stun::looks_like_stun(bytes);
            return if is_stun { Taken::OfServer } else { Taken::Nobody };
        };
        let family = Family::of(peer.ip());
        let routes = self.routes.read();
        let Some((base, _)) = routes.bases.iter().find(|(_, of)| *of == family) else {
            return Taken::Nobody;
        };
        if stun::is_stun_with_fingerprint(payload) {
            return Taken::Message { base: *base, peer, bytes: payload };
        }
        let Some(way) = routes.peers.get(&peer).and_then(|peer| peer.way.as_ref()) else {
            return Taken::Nobody;
        };
        way.take(std::iter::once(Glued { from: peer, bytes: payload, size: payload.len() }));
        Taken::Data
    }

    /// The peer and its datagram out of ChannelData or a Data indication.
    fn relayed<'a>(&self, bytes: &'a [u8]) -> Option<(SocketAddr, &'a [u8])> {
        if let Some((number, payload)) = channel::parse(bytes) {
            let peer = self.routes.read().channels.get(&number).copied();
            return peer.map(|peer| (peer, payload));
        }
        let message = Message::parse(bytes).ok()?;
        let is_data = (message.class(), message.method()) == (Class::Indication, Method::DATA);
        let peer = message.xor_peer_addresses().next().filter(|_| is_data)?;
        Some((net::canonical(peer), message.data()?))
    }
}

/// A way to a peer through a server.
#[derive(Debug)]
pub(super) struct RelayPath {
    leg: Leg,
    server: SocketAddr,
    channel: Arc<AtomicU16>,
}

thread_local! {
    /// What is sent with its wrapping.
    static WRAPPED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl RelayPath {
    pub(super) fn new(leg: Leg, server: SocketAddr, channel: Arc<AtomicU16>) -> Self {
        RelayPath { leg, server, channel }
    }

    pub(super) fn leg(&self) -> &Leg {
        &self.leg
    }

    /// Sends one datagram, of which `max_payload` bytes go in one packet.
    pub(super) fn try_send(
        &self,
        to: SocketAddr,
        datagram: &[u8],
        max_payload: usize,
    ) -> io::Result<()> {
        WRAPPED.with_borrow_mut(|out| {
            self.wrap(to, datagram, out)?;
            self.leg.try_send(self.server, out, max_payload + OVERHEAD)
        })
    }

    /// Sends pieces of `size` bytes; returns how many bytes were taken.
    pub(super) fn try_send_batch(
        &self,
        to: SocketAddr,
        datagrams: &[u8],
        size: NonZeroUsize,
    ) -> io::Result<usize> {
        let number = self.channel.load(Ordering::Acquire);
        if number == 0 || self.leg.is_stream() {
            return self.send_one_by_one(to, datagrams, size);
        }
        let Some(wrapped_size) = size.checked_add(OVERHEAD) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        WRAPPED.with_borrow_mut(|out| {
            out.clear();
            for datagram in datagrams.chunks(size.get()).take(self.leg.max_batch()) {
                let head = channel::header(number, datagram.len()).ok_or_else(too_long)?;
                out.extend_from_slice(&head);
                out.extend_from_slice(datagram);
            }
            let taken = self.leg.try_send_batch(self.server, out, wrapped_size)?;
            let whole = taken.div_ceil(wrapped_size.get());
            Ok(taken - whole * OVERHEAD)
        })
    }

    fn send_one_by_one(
        &self,
        to: SocketAddr,
        datagrams: &[u8],
        size: NonZeroUsize,
    ) -> io::Result<usize> {
        let mut sent = 0;
        for datagram in datagrams.chunks(size.get()) {
            match self.try_send(to, datagram, datagram.len()) {
                Ok(()) => sent += datagram.len(),
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// ChannelData where there is a channel, else a Send indication.
    fn wrap(&self, to: SocketAddr, datagram: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        match self.channel.load(Ordering::Acquire) {
            0 => {
                let mut id = [0; 12];
                // Nobody answers an indication: any id will do where there is no other.
                let _ = rand::rngs::OsRng.try_fill_bytes(&mut id);
                let id = TransactionId(id);
                if datagram.len() > channel::MAX_DATA - MAX_INDICATION {
                    return Err(too_long());
                }
                stun::write_send_indication(id, net::canonical(to), datagram, out);
            }
            number => {
                let head = channel::header(number, datagram.len()).ok_or_else(too_long)?;
                out.extend_from_slice(&head);
                out.extend_from_slice(datagram);
                if self.leg.is_stream() {
                    out.resize(out.len().next_multiple_of(4), 0);
                }
            }
        }
        Ok(())
    }
}

/// The most that a Send indication adds to its data.
const MAX_INDICATION: usize = 64;

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the datagram is too long for a relay")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::StreamId;
    use crate::candidate::ComponentId;
    use crate::driver::receive::ReceiveQueue;
    use crate::driver::traffic::Ledger;

    const BASE: BaseId = BaseId(4);
    const NUMBER: u16 = 0x4001;

    fn peer() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 7], 4_000))
    }

    /// With a path to the peer, and its queue.
    fn relayed() -> (Relayed, Arc<ReceiveQueue>) {
        let (relayed, queue) = (Relayed::default(), Arc::new(ReceiveQueue::new(1 << 16)));
        relayed.add_base(BASE, Family::V4);
        let owner = (StreamId(0), ComponentId::ONE);
        let traffic = Ledger::default().path(owner, (BASE, peer()));
        relayed.open_path(peer(), Way { queue: queue.clone(), traffic });
        (relayed, queue)
    }

    fn on_channel(data: &[u8]) -> Vec<u8> {
        [&channel::header(NUMBER, data.len()).unwrap()[..], data].concat()
    }

    /// RFC 8656 §12: the peer's data may be faster than the server's answer.
    #[test]
    fn data_on_a_channel_is_taken_from_when_the_channel_is_asked_for() {
        let (relayed, queue) = relayed();
        let mut buffer = [0; 16];
        assert!(matches!(relayed.take(&on_channel(b"early")), Taken::Nobody));
        relayed.expect_channel(peer(), NUMBER);
        assert!(matches!(relayed.take(&on_channel(b"data")), Taken::Data));
        assert_eq!(queue.try_pop(&mut buffer).unwrap(), 4);
        assert_eq!(relayed.channel(peer()).load(Ordering::Acquire), 0, "not to be sent on yet");
    }

    #[test]
    fn a_channel_that_has_ended_is_not_sent_on() {
        let (relayed, queue) = relayed();
        let (number, mut buffer) = (relayed.channel(peer()), [0; 16]);
        relayed.bind_channel(peer(), NUMBER);
        assert_eq!(number.load(Ordering::Acquire), NUMBER);
        relayed.end_channel(peer());
        assert_eq!(number.load(Ordering::Acquire), 0);
        assert!(matches!(relayed.take(&on_channel(b"late")), Taken::Data));
        assert_eq!(queue.try_pop(&mut buffer).unwrap(), 4);
    }

    #[test]
    fn data_of_peers_without_a_path_is_for_nobody() {
        let (relayed, _queue) = relayed();
        relayed.expect_channel(peer(), NUMBER);
        relayed.close_path(peer());
        assert!(matches!(relayed.take(&on_channel(b"data")), Taken::Nobody));
        assert!(!relayed.remove_base(BASE));
        assert!(matches!(relayed.take(&on_channel(b"data")), Taken::Nobody));
    }
}
