use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::AbortHandle;

use crate::agent::BaseId;
use crate::driver::link::{Link, LinkId};
use crate::driver::router::Way;
use crate::driver::transport::{Connecting, TcpListener};
use crate::net;
use crate::tcp::Framing;

/// Connections that are closed in order at a time; others are closed at once.
const MAX_FINISHING: usize = 16;

/// The sockets of an agent's TCP bases.
#[derive(Debug, Default)]
pub(in crate::driver::drive) struct Tcp {
    bases: BTreeMap<BaseId, TcpBase>,
    /// The core has given them up, and something of them still waits.
    finishing: Vec<(Arc<Link>, AbortHandle)>,
    serial: u64,
    refused: u64,
    unrouted: Arc<AtomicU64>,
}

/// A base, its attempts and connections by the peer's canonical address.
#[derive(Debug)]
pub(super) struct TcpBase {
    /// Canonical; an active base has no port of its own.
    pub(super) local: SocketAddr,
    /// The interface of a link-local address, else 0.
    pub(super) scope: u32,
    /// `None` for an active base.
    pub(super) listening: Option<Listening>,
    pub(super) attempts: BTreeMap<SocketAddr, Attempt>,
    pub(super) links: BTreeMap<SocketAddr, Entry>,
}

/// A listener with the task that accepts. Dropping it closes it at once.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: Arc<TcpListener>,
    pub(super) task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.listener.close();
        self.task.abort();
    }
}

/// An attempt with the task that waits for it. Dropping it closes its socket
/// at once.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) serial: u64,
    pub(super) connecting: Arc<Connecting>,
    pub(super) framing: Framing,
    pub(super) task: AbortHandle,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.connecting.give_up();
        self.task.abort();
    }
}

/// A connection with its task.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) link: Arc<Link>,
    pub(super) task: AbortHandle,
    /// Somebody else opened it, and has passed no check on it.
    pub(super) is_unproven: bool,
}

impl Entry {
    pub(super) fn close(self) {
        self.link.close();
        self.task.abort();
    }
}

impl TcpBase {
    pub(super) fn new(local: SocketAddr, scope: u32, listening: Option<Listening>) -> Self {
        let (attempts, links) = (BTreeMap::new(), BTreeMap::new());
        TcpBase { local, scope, listening, attempts, links }
    }

    fn close(self) {
        self.links.into_values().for_each(Entry::close);
    }
}

impl Tcp {
    pub(super) fn insert(&mut self, base: BaseId, made: TcpBase) {
        self.bases.insert(base, made);
    }

    /// A base for connections that we open to servers.
    pub(in crate::driver::drive) fn insert_leg(&mut self, base: BaseId, local: SocketAddr) {
        self.insert(base, TcpBase::new(local, 0, None));
    }

    /// Whether there is such a base.
    pub(in crate::driver::drive) fn has(&self, base: BaseId) -> bool {
        self.bases.contains_key(&base)
    }

    pub(super) fn get_mut(&mut self, base: BaseId) -> Option<&mut TcpBase> {
        self.bases.get_mut(&base)
    }

    pub(in crate::driver::drive) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Whether the core knows the connection.
    pub(in crate::driver::drive) fn knows(&self, id: LinkId) -> bool {
        self.link(id.base, id.remote).is_some_and(|link| link.id() == id)
    }

    /// The connection of a base to an address.
    pub(in crate::driver::drive) fn link(
        &self,
        base: BaseId,
        to: SocketAddr,
    ) -> Option<&Arc<Link>> {
        let entry = self.bases.get(&base)?.links.get(&net::canonical(to))?;
        Some(&entry.link)
    }

    /// Takes an attempt out, if it is the one that the core knows.
    pub(super) fn take_attempt(&mut self, id: LinkId) -> Option<Attempt> {
        let attempts = &mut self.bases.get_mut(&id.base)?.attempts;
        attempts.get(&id.remote).filter(|attempt| attempt.serial == id.serial)?;
        attempts.remove(&id.remote)
    }

    /// Takes a connection out, if it is the one that the core knows.
    pub(in crate::driver::drive) fn remove_link(&mut self, id: LinkId) -> bool {
        self.knows(id)
            && self.bases.get_mut(&id.base).is_some_and(|at| at.links.remove(&id.remote).is_some())
    }

    /// A connection to a server becomes one of a base that the server relays.
    pub(in crate::driver::drive) fn carry(
        &mut self,
        leg: BaseId,
        base: BaseId,
        to: SocketAddr,
    ) -> Option<SocketAddr> {
        let from = self.bases.remove(&leg)?;
        let (to, serial) = (net::canonical(to), self.next_serial());
        let Entry { link, task, .. } = from.links.into_values().next()?;
        let local = link.local();
        let link = link.carry(LinkId { base, remote: to, serial });
        let made = TcpBase::new(from.local, 0, None);
        let at = self.bases.entry(base).or_insert(made);
        if let Some(older) = at.links.insert(to, Entry { link, task, is_unproven: false }) {
            older.close();
        }
        Some(local)
    }

    /// Gives up an attempt, or closes a connection.
    pub(in crate::driver::drive) fn disconnect(
        &mut self,
        base: BaseId,
        to: SocketAddr,
        abort: bool,
    ) {
        let to = net::canonical(to);
        let Some(at) = self.bases.get_mut(&base) else { return };
        at.attempts.remove(&to);
        let Some(entry) = at.links.remove(&to) else { return };
        self.finishing.retain(|(_, task)| !task.is_finished());
        if abort {
            entry.link.abort();
            entry.task.abort();
        } else if entry.link.takes_time() && self.finishing.len() < MAX_FINISHING {
            entry.link.finish();
            self.finishing.push((entry.link, entry.task));
        } else {
            entry.close();
        }
    }

    /// The peer has passed a check: its data goes this way.
    pub(in crate::driver::drive) fn open_path(&mut self, base: BaseId, from: SocketAddr, way: Way) {
        let at = self.bases.get_mut(&base);
        if let Some(entry) = at.and_then(|at| at.links.get_mut(&net::canonical(from))) {
            entry.is_unproven = false;
            entry.link.open_path(way);
        }
    }

    pub(in crate::driver::drive) fn close_path(&self, base: BaseId, from: SocketAddr) {
        if let Some(link) = self.link(base, from) {
            link.close_path();
        }
    }

    /// Closes a base with all that belongs to it.
    pub(in crate::driver::drive) fn close(&mut self, base: BaseId) {
        if let Some(at) = self.bases.remove(&base) {
            at.close();
        }
    }

    pub(in crate::driver::drive) fn close_all(&mut self) {
        std::mem::take(&mut self.bases).into_values().for_each(TcpBase::close);
        for (link, task) in self.finishing.drain(..) {
            link.close();
            task.abort();
        }
    }

    /// Connections of others that have passed no check.
    pub(in crate::driver::drive) fn unproven(&self) -> usize {
        let entries = self.bases.values().flat_map(|at| at.links.values());
        entries.filter(|entry| entry.is_unproven).count()
    }

    pub(in crate::driver::drive) fn count_refused(&mut self) {
        self.refused += 1;
    }

    /// Connections that were closed because there were too many.
    pub(in crate::driver::drive) fn refused(&self) -> u64 {
        self.refused
    }

    pub(in crate::driver::drive) fn unrouted_counter(&self) -> Arc<AtomicU64> {
        self.unrouted.clone()
    }

    /// Frames that were for nobody.
    pub(in crate::driver::drive) fn unrouted(&self) -> u64 {
        self.unrouted.load(Ordering::Relaxed)
    }
}
