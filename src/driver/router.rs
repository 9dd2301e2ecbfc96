//! What arrives on a socket, and whom it is for. A socket may serve many
//! agents, so the router belongs to the socket.
//!
//! STUN is for an agent's core; all else is application data, whatever its
//! first byte, and reaches a component only from an address that passed a
//! check (RFC 8445 §12: a path that was opened).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::receive::ReceiveQueue;
use super::relay::{Relayed, Taken};
use super::traffic::Traffic;
use super::transport::Glued;
use crate::agent::BaseId;
use crate::stun::{self, Class, Message, TransactionId};
use crate::timer::Time;

/// Where STUN goes: an agent, seen by a router.
pub(crate) trait Control: Send + Sync {
    /// A STUN message arrived on the agent's `base`.
    fn datagram(&self, base: BaseId, from: SocketAddr, bytes: &[u8]);
}

/// A member of a router: an agent's base on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(u64);

/// Transactions that a router remembers for each member: an agent has no more
/// than its pairs' (RFC 8445 §6.1.2.5 proposes 100) under way at a time.
const TRANSACTIONS: usize = 512;

/// How long it does: only requests of the last 39.5 s can still be answered
/// (RFC 8489 §6.2.1).
const ANSWERABLE: Duration = Duration::from_secs(40);

/// The routes of one socket.
#[derive(Default)]
pub(crate) struct Router {
    routes: RwLock<Routes>,
    /// What servers relay, by the server's address. Few sockets have any.
    relays: RwLock<HashMap<SocketAddr, (MemberId, Arc<Relayed>)>>,
    has_relays: AtomicBool,
    /// Counts up with every path that opens or closes.
    changes: AtomicU64,
    unrouted: AtomicU64,
}

#[derive(Default)]
struct Routes {
    next: u64,
    members: BTreeMap<MemberId, Member>,
    fragments: HashMap<Box<str>, MemberId>,
    transactions: HashMap<TransactionId, MemberId>,
    paths: HashMap<SocketAddr, Path>,
}

struct Member {
    base: BaseId,
    /// That of the last restart, and the one before.
    fragments: [Option<Box<str>>; 2],
    /// STUN servers, which need not send FINGERPRINT.
    servers: Vec<SocketAddr>,
    /// Its transactions with the time of each, the oldest first.
    sent: VecDeque<(TransactionId, Time)>,
    /// Where its paths come from; some may be another member's meanwhile.
    paths: Vec<SocketAddr>,
    control: Arc<dyn Control>,
}

struct Path {
    member: MemberId,
    way: Way,
}

/// Where the data of a path goes, and where it is counted.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) queue: Arc<ReceiveQueue>,
    pub(crate) traffic: Arc<Traffic>,
}

impl Way {
    /// Takes in some datagrams of one sender and wakes who waits for them.
    pub(super) fn take<'a>(&self, datagrams: impl Iterator<Item = Glued<'a>>) {
        let (mut packets, mut bytes) = (0, 0);
        let mut push = self.queue.lock();
        for glued in datagrams {
            push.push(&glued);
            packets += glued.count();
            bytes += glued.bytes.len();
        }
        push.wake();
        self.traffic.received(packets, bytes);
    }
}

/// Whom a datagram is for.
enum Recipient {
    Control(Arc<dyn Control>, BaseId),
    /// The queue of its path, if there is one.
    Queue,
    Nobody,
}

/// The path on which data came last, as a reader remembers it: most come on
/// one, which is then not looked up again.
#[derive(Default)]
pub(crate) struct LastPath(Option<FoundPath>);

struct FoundPath {
    from: SocketAddr,
    way: Way,
    /// [`Router::changes`] when it was found.
    changes: u64,
}

impl LastPath {
    fn is(&self, from: SocketAddr, changes: u64) -> bool {
        self.0.as_ref().is_some_and(|path| path.changes == changes && path.from == from)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("unrouted", &self.unrouted).finish_non_exhaustive()
    }
}

impl Router {
    /// Adds an agent's base. `fragment` is the username fragment with which
    /// its peer addresses it.
    pub(crate) fn join(&self, base: BaseId, fragment: &str, control: Arc<dyn Control>) -> MemberId {
        let mut routes = self.routes.write();
        let id = MemberId(routes.next);
        routes.next += 1;
        let member = Member {
            base,
            fragments: [Some(fragment.into()), None],
            servers: Vec::new(),
            sent: VecDeque::new(),
            paths: Vec::new(),
            control,
        };
        routes.fragments.insert(fragment.into(), id);
        routes.members.insert(id, member);
        id
    }

    /// Removes it, with all that leads to it; looks at nobody else's.
    pub(crate) fn leave(&self, id: MemberId) {
        let mut routes = self.routes.write();
        let Some(member) = routes.members.remove(&id) else { return };
        for fragment in member.fragments.iter().flatten() {
            routes.forget_fragment(fragment, id);
        }
        for (transaction, _) in &member.sent {
            routes.forget_transaction(transaction, id);
        }
        for from in &member.paths {
            routes.forget_path(*from, id);
        }
        self.changes.fetch_add(1, Ordering::Release);
        let relays = &mut *self.relays.write();
        relays.retain(|_, (member, _)| *member != id);
        self.has_relays.store(!relays.is_empty(), Ordering::Relaxed);
    }

    /// After a restart the peer addresses the member by another fragment, and
    /// for a while by the one before too.
    pub(crate) fn restarted(&self, id: MemberId, fragment: &str) {
        let routes = &mut *self.routes.write();
        let Some(member) = routes.members.get_mut(&id) else { return };
        let [newest, before] = &mut member.fragments;
        if newest.as_deref() == Some(fragment) {
            return;
        }
        let oldest = std::mem::replace(before, newest.replace(fragment.into()));
        routes.fragments.insert(fragment.into(), id);
        if let Some(oldest) = oldest {
            routes.forget_fragment(&oldest, id);
        }
    }

    /// Whether the fragment is in use: two bases of one stream on one socket
    /// could not be told apart.
    pub(crate) fn knows(&self, fragment: &str) -> bool {
        self.routes.read().fragments.contains_key(fragment)
    }

    /// Names STUN servers of the member, beside those that it has.
    pub(crate) fn add_servers(&self, id: MemberId, addresses: &[SocketAddr]) {
        if let Some(member) = self.routes.write().members.get_mut(&id) {
            member.servers.extend_from_slice(addresses);
        }
    }

    /// Datagrams from `from` belong to the member's component from now on.
    pub(crate) fn open_path(&self, id: MemberId, from: SocketAddr, way: Way) {
        let routes = &mut *self.routes.write();
        let Some(member) = routes.members.get_mut(&id) else { return };
        if !member.paths.contains(&from) {
            member.paths.push(from);
        }
        routes.paths.insert(from, Path { member: id, way });
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Datagrams from `from` belong to nobody again.
    pub(crate) fn close_path(&self, id: MemberId, from: SocketAddr) {
        let routes = &mut *self.routes.write();
        if let Some(member) = routes.members.get_mut(&id) {
            member.paths.retain(|path| *path != from);
        }
        if routes.forget_path(from, id) {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Notes a message that the member sends at `now`, so that its answer finds
    /// back.
    pub(crate) fn sent(&self, id: MemberId, message: &[u8], now: Time) {
        let is_request = matches!(message, [kind, low, ..] if kind & 1 == 0 && low & 0x10 == 0);
        let transaction = message.get(8..20).and_then(|id| id.try_into().ok()).map(TransactionId);
        let (true, Some(transaction)) = (is_request, transaction) else { return };
        let routes = &mut *self.routes.write();
        let Some(member) = routes.members.get_mut(&id) else { return };
        if routes.transactions.insert(transaction, id).is_none() {
            member.sent.push_back((transaction, now));
        }
        let mut excess = member.sent.len().saturating_sub(TRANSACTIONS);
        while let Some((oldest, at)) = member.sent.front()
            && (excess > 0 || *at + ANSWERABLE < now)
        {
            routes.transactions.remove(oldest);
            member.sent.pop_front();
            excess = excess.saturating_sub(1);
        }
    }

    /// Datagrams that were for nobody.
    pub(crate) fn unrouted(&self) -> u64 {
        self.unrouted.load(Ordering::Relaxed)
    }

    /// Takes each datagram where it belongs: data into the receive queues,
    /// with one lock and one wake for neighbours of the same queue. `last` is
    /// the reader's memory between calls.
    pub(crate) fn route<'a>(&self, received: impl Iterator<Item = Glued<'a>>, last: &mut LastPath) {
        let mut received = received.peekable();
        while let Some(glued) = received.next() {
            if self.has_relays.load(Ordering::Relaxed)
                && let Some((member, relayed)) = self.relayed(glued.from)
            {
                self.route_relayed(&glued, member, &relayed, last);
                continue;
            }
            if !is_data(&glued) {
                self.route_apart(&glued, last);
                continue;
            }
            let Some(way) = self.way(&glued, last) else { continue };
            let same = |next: &Glued<'_>| next.from == glued.from && is_data(next);
            let neighbours = std::iter::from_fn(|| received.next_if(same));
            way.take(std::iter::once(glued).chain(neighbours));
        }
    }

    /// What a server relays from now on comes from its address.
    pub(crate) fn open_relay(&self, id: MemberId, server: SocketAddr, relayed: Arc<Relayed>) {
        self.relays.write().insert(server, (id, relayed));
        self.has_relays.store(true, Ordering::Relaxed);
    }

    /// A server relays nothing any more.
    pub(crate) fn close_relay(&self, id: MemberId, server: SocketAddr) {
        let relays = &mut *self.relays.write();
        if relays.get(&server).is_some_and(|(member, _)| *member == id) {
            relays.remove(&server);
            self.has_relays.store(!relays.is_empty(), Ordering::Relaxed);
        }
    }

    fn relayed(&self, server: SocketAddr) -> Option<(MemberId, Arc<Relayed>)> {
        self.relays.read().get(&server).cloned()
    }

    /// What a server sends is what it relays, or its own.
    fn route_relayed(
        &self,
        glued: &Glued<'_>,
        member: MemberId,
        relayed: &Relayed,
        last: &mut LastPath,
    ) {
        for bytes in glued.datagrams() {
            match relayed.take(bytes) {
                Taken::Data => {}
                Taken::Nobody => {
                    self.unrouted.fetch_add(1, Ordering::Relaxed);
                }
                Taken::OfServer => {
                    let size = bytes.len();
                    self.route_apart(&Glued { from: glued.from, bytes, size }, last);
                }
                Taken::Message { base, peer, bytes } => {
                    let control =
                        self.routes.read().members.get(&member).map(|m| m.control.clone());
                    if let Some(control) = control {
                        control.datagram(base, peer, bytes);
                    }
                }
            }
        }
    }

    /// Where STUN is among them, each goes its own way.
    fn route_apart(&self, glued: &Glued<'_>, last: &mut LastPath) {
        for bytes in glued.datagrams() {
            let glued = Glued { from: glued.from, bytes, size: bytes.len() };
            match self.recipient(glued.from, bytes) {
                Recipient::Control(control, base) => control.datagram(base, glued.from, bytes),
                Recipient::Nobody => {
                    self.unrouted.fetch_add(1, Ordering::Relaxed);
                }
                Recipient::Queue => {
                    let Some(way) = self.way(&glued, last) else { continue };
                    way.take(std::iter::once(glued));
                }
            }
        }
    }

    /// The way of application data, which is counted if there is none.
    fn way<'a>(&self, data: &Glued<'_>, last: &'a mut LastPath) -> Option<&'a Way> {
        if !last.is(data.from, self.changes.load(Ordering::Acquire)) {
            let routes = self.routes.read();
            last.0 = routes.paths.get(&data.from).map(|path| FoundPath {
                from: data.from,
                way: path.way.clone(),
                changes: self.changes.load(Ordering::Acquire),
            });
        }
        if last.0.is_none() {
            let count = u64::try_from(data.count()).unwrap_or(u64::MAX);
            self.unrouted.fetch_add(count, Ordering::Relaxed);
        }
        last.0.as_ref().map(|path| &path.way)
    }

    fn recipient(&self, from: SocketAddr, bytes: &[u8]) -> Recipient {
        if !stun::looks_like_stun(bytes) {
            return Recipient::Queue;
        }
        let routes = self.routes.read();
        let from_peer = stun::is_stun_with_fingerprint(bytes);
        match routes.member_for(from, bytes) {
            // Without FINGERPRINT it is STUN only if it comes from a server.
            Some(member) if from_peer || member.servers.contains(&from) => {
                Recipient::Control(member.control.clone(), member.base)
            }
            None if from_peer => Recipient::Nobody,
            _ => Recipient::Queue,
        }
    }
}

fn is_data(glued: &Glued<'_>) -> bool {
    !glued.datagrams().any(stun::looks_like_stun)
}

impl Routes {
    fn forget_fragment(&mut self, fragment: &str, id: MemberId) {
        if self.fragments.get(fragment) == Some(&id) {
            self.fragments.remove(fragment);
        }
    }

    fn forget_transaction(&mut self, transaction: &TransactionId, id: MemberId) {
        if self.transactions.get(transaction) == Some(&id) {
            self.transactions.remove(transaction);
        }
    }

    /// Whether it was the member's.
    fn forget_path(&mut self, from: SocketAddr, id: MemberId) -> bool {
        let is_its = self.paths.get(&from).is_some_and(|path| path.member == id);
        is_its && self.paths.remove(&from).is_some()
    }

    fn member_for(&self, from: SocketAddr, bytes: &[u8]) -> Option<&Member> {
        if self.members.len() == 1 {
            return self.members.values().next();
        }
        let message = Message::parse(bytes).ok()?;
        let id = match message.class() {
            Class::Request => self.fragments.get(message.username()?.split(':').next()?)?,
            Class::Success | Class::Error => self.transactions.get(&message.transaction_id())?,
            Class::Indication => &self.paths.get(&from)?.member,
        };
        self.members.get(id)
    }
}

#[cfg(test)]
mod tests;
