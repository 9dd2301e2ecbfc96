//! Server-reflexive bindings are kept alive until they are chosen or not
//! (RFC 8445 §5.1.1.4): the peer may take its time to answer.

use std::net::SocketAddr;
use std::time::Duration;

use crate::agent::outgoing::{Outgoing, What};
use crate::agent::{BaseId, Core};
use crate::check::ListState;
use crate::stun::TransactionId;
use crate::timer::Time;

/// RFC 8445 §11 allows no shorter interval, and a NAT forgets a binding no
/// sooner than after 30 seconds by what is known of them.
const INTERVAL: Duration = Duration::from_secs(15);

/// A binding that a server told us of.
#[derive(Debug)]
pub(super) struct Kept {
    base: BaseId,
    server: SocketAddr,
    next: Time,
    /// `next` is a slot of the pacer.
    reserved: bool,
    /// The last request, whose answer says nothing new.
    id: Option<TransactionId>,
}

impl Core {
    pub(super) fn keep_alive(&mut self, base: BaseId, server: SocketAddr, now: Time) {
        let next = now + INTERVAL;
        self.kept.push(Kept { base, server, next, reserved: false, id: None });
    }

    /// A server that told of a binding of the base.
    pub(super) fn server_of(&self, base: BaseId) -> Option<SocketAddr> {
        self.kept.iter().find(|kept| kept.base == base).map(|kept| kept.server)
    }

    pub(super) fn next_keepalive(&self) -> Option<Time> {
        self.kept.iter().map(|kept| kept.next).min()
    }

    /// Asks the servers again for which it is time, and forgets bindings that
    /// serve no checks any more.
    pub(super) fn advance_keepalives(&mut self, now: Time) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.retain(|kept| self.is_open_for_checks(kept.base));
        for entry in kept.iter_mut().filter(|kept| kept.next <= now) {
            if !std::mem::replace(&mut entry.reserved, true) {
                entry.next = self.pacer.reserve(now);
            }
            if entry.next > now {
                continue;
            }
            let id = TransactionId(self.rng.bytes());
            let Kept { base, server, .. } = *entry;
            (entry.next, entry.reserved, entry.id) = (now + INTERVAL, false, Some(id));
            self.send(Outgoing { base, to: server, id, what: What::Server });
        }
        self.kept = kept;
    }

    /// Whether a response answers a request of these.
    pub(super) fn keeps(&self, base: BaseId, server: SocketAddr, id: TransactionId) -> bool {
        self.kept.iter().any(|k| k.base == base && k.server == server && k.id == Some(id))
    }

    fn is_open_for_checks(&self, base: BaseId) -> bool {
        let Some(base) = self.open_base(base) else { return false };
        base.seats.iter().map(|seat| seat.list).any(|list| {
            let mut components = self.checks.components(list).iter();
            self.checks.list_state(list) == Some(ListState::Running)
                && !self.checks.is_retired(list)
                && components.any(|c| c.id == base.component && c.selected.is_none())
        })
    }
}
