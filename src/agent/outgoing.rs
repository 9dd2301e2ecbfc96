//! Messages that wait to be sent, as decisions: the bytes are written when
//! the driver asks for them.

use std::net::SocketAddr;

use crate::agent::core::next;
use crate::agent::{BaseId, Core, DropReason, Transmit};
use crate::check::{Role, Start};
use crate::stun::{self, CheckParameters, CheckTemplate, IntegrityKey, TransactionId};

/// Messages that may wait. The driver drains the queue after every input, so
/// more wait only where it does not.
const MAX_WAITING: usize = 1024;

/// A message to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) base: BaseId,
    pub(super) to: SocketAddr,
    pub(super) id: TransactionId,
    pub(super) what: What,
}

/// What kind of message.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// A check of ours.
    Check { role: Role, tie_breaker: u64, use_candidate: bool },
    /// The answer to a check.
    Success,
    /// An error answer: code, and up to this many unknown attributes.
    Error { code: u16, unknown: [u16; MAX_UNKNOWN], count: usize },
    /// A request to a STUN server.
    Server,
}

/// Unknown attributes that an error answer lists.
pub(super) const MAX_UNKNOWN: usize = 8;

impl Core {
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        if self.outgoing.len() == MAX_WAITING {
            self.drops.add(DropReason::QueueFull);
        } else {
            self.outgoing.push_back(outgoing);
        }
    }

    pub(super) fn send_start(&mut self, start: &Start) {
        let pair = self.checks.pair(start.pair);
        let base = BaseId(self.checks.local(pair.stream, pair.local).base);
        let to = self.checks.remote(pair.stream, pair.remote).address;
        let Start { role, tie_breaker, use_candidate, .. } = *start;
        let what = What::Check { role, tie_breaker, use_candidate };
        self.send(Outgoing { base, to, id: start.id, what });
    }

    /// Writes the next datagram to send into `out`, which is cleared first.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let at_rest = self.is_at_rest();
        while let Some(outgoing) = next(&mut self.outgoing, at_rest) {
            if self.write(&outgoing, out).is_some() {
                let to = self.in_scope_of(outgoing.base, outgoing.to);
                return Some(Transmit { base: outgoing.base, to });
            }
        }
        None
    }

    /// The peer's address as a socket of ours reaches it.
    pub(super) fn in_scope_of(&self, base: BaseId, addr: SocketAddr) -> SocketAddr {
        let scope = self.bases.get(base.0 as usize).map_or(0, |b| b.scope);
        crate::net::in_scope(addr, scope)
    }

    fn write(&mut self, outgoing: &Outgoing, out: &mut Vec<u8>) -> Option<()> {
        let Outgoing { base, to, id, what } = *outgoing;
        let entry = self.bases.get_mut(base.0 as usize).filter(|b| b.is_open())?;
        let stream = &self.streams[usize::from(entry.stream.0)];
        match what {
            What::Check { role, tie_breaker, use_candidate } => {
                let key = &stream.remote.as_ref()?.key;
                let make = |role| {
                    let username = stream.username()?;
                    Some(template(&username, key, role, tie_breaker, entry.reflexive_priority))
                };
                if (role, tie_breaker) != (self.checks.role(), self.checks.tie_breaker()) {
                    // A retransmission from before a role switch.
                    make(role)?.write(id, use_candidate, None, key, out);
                    return Some(());
                }
                if entry.template.is_none() {
                    entry.template = make(role);
                }
                entry.template.as_ref()?.write(id, use_candidate, None, key, out);
            }
            What::Success => stun::write_success(id, to, &stream.local_key, out),
            What::Error { code, unknown, count } => {
                let unknown = unknown.get(..count).unwrap_or_default();
                stun::write_error(id, code, reason(code), unknown, Some(&stream.local_key), out);
            }
            What::Server => stun::write_binding_request(id, out),
        }
        Some(())
    }
}

fn template(
    username: &str,
    key: &IntegrityKey,
    role: Role,
    tie_breaker: u64,
    priority: u32,
) -> CheckTemplate {
    let controlling = role == Role::Controlling;
    CheckTemplate::new(&CheckParameters { username, key, controlling, tie_breaker, priority })
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
