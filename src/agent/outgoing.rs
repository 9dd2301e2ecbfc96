//! Messages that wait to be sent, as decisions: the bytes are written when
//! the driver asks for them.

use std::net::SocketAddr;

use crate::agent::core::next;
use crate::agent::{BaseId, Core, DropReason, Transmit};
use crate::check::{Role, Start};
use crate::stun::{self, Algorithm, CheckParameters, CheckTemplate, Method, TransactionId};

/// Messages that may wait. The driver drains the queue after every input, so
/// more wait only where it does not.
const MAX_WAITING: usize = 1024;

/// A message to be written.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) base: BaseId,
    pub(super) to: SocketAddr,
    pub(super) id: TransactionId,
    pub(super) what: What,
}

/// What kind of message.
#[derive(Debug)]
pub(super) enum What {
    /// A check of ours, in the session with this check list.
    Check { list: u16, role: Role, tie_breaker: u64, use_candidate: bool, nomination: Option<u32> },
    /// The answer to a check.
    Success { list: u16, algorithm: Algorithm },
    /// An error answer: code, and up to this many unknown attributes.
    Error { list: u16, algorithm: Algorithm, code: u16, unknown: [u16; MAX_UNKNOWN], count: usize },
    /// A request to a STUN server.
    Server,
    /// A request to a TURN server.
    Relay { method: Method, bytes: Box<[u8]> },
    /// One that was written early: what it is made of is gone.
    Written(Box<[u8]>),
}

impl What {
    /// The check list of the session that it belongs to.
    pub(super) fn list(&self) -> Option<u16> {
        match *self {
            What::Check { list, .. } | What::Success { list, .. } | What::Error { list, .. } => {
                Some(list)
            }
            What::Server | What::Relay { .. } | What::Written(_) => None,
        }
    }
}

/// Unknown attributes that an error answer lists.
pub(super) const MAX_UNKNOWN: usize = 8;

impl Core {
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        self.record_sent(&outgoing);
        if self.outgoing.len() == MAX_WAITING {
            self.drops.add(DropReason::QueueFull);
        } else {
            self.outgoing.push_back(outgoing);
        }
    }

    pub(super) fn send_start(&mut self, start: &Start) {
        let pair = self.checks.pair(start.pair);
        let list = pair.stream;
        let base = BaseId(self.checks.local(list, pair.local).base);
        let to = self.checks.remote(pair.stream, pair.remote).address;
        let Start { role, tie_breaker, use_candidate, nomination, .. } = *start;
        let what = What::Check { list, role, tie_breaker, use_candidate, nomination };
        self.send(Outgoing { base, to, id: start.id, what });
    }

    /// Writes the next datagram to send into `out`, which is cleared first.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let at_rest = self.is_at_rest();
        // Consent is asked for, or answered, one message at a time.
        while let Some(outgoing) = next(&mut self.outgoing, at_rest, 1) {
            if self.write(&outgoing, out).is_some() {
                if self.is_wrapped(outgoing.base) {
                    let Outgoing { base, to, id, .. } = outgoing;
                    match self.wrapped(base, to, id, out) {
                        Some(transmit) => return Some(transmit),
                        None => continue,
                    }
                }
                let to = match outgoing.what {
                    What::Written(_) => outgoing.to,
                    _ => self.in_scope_of(outgoing.base, outgoing.to),
                };
                return Some(Transmit { base: outgoing.base, to });
            }
        }
        None
    }

    /// The peer's address as a socket of ours reaches it.
    pub(super) fn in_scope_of(&self, base: BaseId, addr: SocketAddr) -> SocketAddr {
        let scope = self.base(base).map_or(0, |b| b.scope);
        crate::net::in_scope(addr, scope)
    }

    /// A session or a base is about to go: what it still has to send is
    /// written now.
    pub(super) fn write_early(&mut self, is_meant: impl Fn(&Outgoing) -> bool) {
        if !self.outgoing.iter().any(&is_meant) {
            return;
        }
        let mut bytes = Vec::new();
        for mut outgoing in std::mem::take(&mut self.outgoing) {
            if is_meant(&outgoing) {
                if self.write(&outgoing, &mut bytes).is_none() {
                    continue;
                }
                let Outgoing { base, to, id, .. } = outgoing;
                match self.is_wrapped(base) {
                    true => match self.wrapped(base, to, id, &mut bytes) {
                        Some(transmit) => {
                            (outgoing.base, outgoing.to) = (transmit.base, transmit.to)
                        }
                        None => continue,
                    },
                    false => outgoing.to = self.in_scope_of(base, to),
                }
                outgoing.what = What::Written(bytes.as_slice().into());
            }
            self.outgoing.push_back(outgoing);
        }
    }

    fn write(&mut self, outgoing: &Outgoing, out: &mut Vec<u8>) -> Option<()> {
        let Outgoing { base, to, id, ref what } = *outgoing;
        if let What::Written(bytes) | What::Relay { bytes, .. } = what {
            out.clear();
            out.extend_from_slice(bytes);
            return Some(());
        }
        self.open_base(base)?;
        let session = |list| self.streams.iter().find_map(|stream| stream.session(list));
        match *what {
            What::Written(_) | What::Relay { .. } => {}
            What::Check { list, role, tie_breaker, use_candidate, nomination } => {
                let key = &session(list)?.remote.as_ref()?.key;
                let current =
                    (role, tie_breaker) == (self.checks.role(), self.checks.tie_breaker());
                if !current {
                    // A retransmission from before a role switch.
                    let template = self.template(base, list, role, tie_breaker)?;
                    template.write(id, use_candidate, nomination, key, out);
                    return Some(());
                }
                if self.base(base)?.seat(list)?.template.is_none() {
                    let template = self.template(base, list, role, tie_breaker)?;
                    let seats = &mut self.base_mut(base)?.seats;
                    seats.iter_mut().find(|seat| seat.list == list)?.template = Some(template);
                }
                let session = self.streams.iter().find_map(|stream| stream.session(list))?;
                let template = self.base(base)?.seat(list)?.template.as_ref()?;
                let key = &session.remote.as_ref()?.key;
                template.write(id, use_candidate, nomination, key, out);
            }
            What::Success { list, algorithm } => {
                stun::write_success_with(id, to, &session(list)?.local_key, algorithm, out);
            }
            What::Error { list, algorithm, code, unknown, count } => {
                let unknown = unknown.get(..count).unwrap_or_default();
                let key = Some((&session(list)?.local_key, algorithm));
                stun::write_error_with(id, code, reason(code), unknown, key, out);
            }
            What::Server => stun::write_binding_request(id, out),
        }
        Some(())
    }

    /// What the checks of a session that leave from a base have in common.
    fn template(
        &self,
        base: BaseId,
        list: u16,
        role: Role,
        tie_breaker: u64,
    ) -> Option<CheckTemplate> {
        let session = self.streams.iter().find_map(|stream| stream.session(list))?;
        let local = self.base(base)?.local(list)?;
        let priority = self.checks.local(list, local).reflexive_priority;
        let username = &session.username()?;
        let key = &session.remote.as_ref()?.key;
        let controlling = role == Role::Controlling;
        let parameters = CheckParameters { username, key, controlling, tie_breaker, priority };
        Some(CheckTemplate::new(&parameters))
    }
}

/// The reason phrases of RFC 8489 §14.8, RFC 8656 §19 and RFC 8445 §16.2.
fn reason(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        403 => "Forbidden",
        420 => "Unknown Attribute",
        487 => "Role Conflict",
        _ => "",
    }
}
