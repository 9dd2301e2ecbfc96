//! What came of an input, besides what was decided: messages to send, socket
//! operations, events.

use std::net::SocketAddr;

#[cfg(feature = "serde")]
use super::form;
use super::{Given, RecordedInput};
use crate::agent::outgoing::{Outgoing, What};
use crate::agent::{CommandError, Core, Event, Happened, StreamId};
use crate::candidate::{Candidate, Kind};
use crate::check::{Local, LocalId, Role};
use crate::timer::Time;

/// A message that was sent, by what it says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields say what they are.
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "message", rename_all = "kebab-case", rename_all_fields = "kebab-case")
)]
pub enum SentMessage {
    /// A check.
    Check {
        role: Role,
        #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
        tie_breaker: u64,
        priority: u32,
        use_candidate: bool,
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
        nomination: Option<u32>,
    },
    /// The success response to a check; it says where the check came from.
    Success,
    /// An error response to a check, with the attributes that are not known.
    Error { code: u16, unknown: Vec<u16> },
    /// A Binding request to a server.
    ServerRequest,
    /// A request to a TURN server.
    RelayRequest { method: u16 },
}

/// How much waited to be taken before an input.
struct Waiting {
    socket_ops: usize,
    events: usize,
}

impl Core {
    /// Does `work`, the work of the command or input that `input` says, and
    /// keeps in the log what it was given and what came of it. Every change
    /// of the core passes through here, once.
    pub(in crate::agent) fn recorded<R>(
        &mut self,
        now: Option<Time>,
        input: impl FnOnce(&mut Self) -> RecordedInput,
        work: impl FnOnce(&mut Self) -> R,
    ) -> R {
        if !self.log.is_enabled() {
            return work(self);
        }
        let waiting = Waiting { socket_ops: self.socket_ops.len(), events: self.events.len() };
        let what = input(self);
        self.log.open(now, Given { what, slots: Vec::new(), draws: Vec::new() });
        let result = work(self);
        self.record_outputs(&waiting);
        self.log.close(self.pacer.take_slots(), self.rng.take_draws());
        result
    }

    /// [`Core::recorded`] for commands, which may be refused.
    pub(in crate::agent) fn recorded_command<R>(
        &mut self,
        now: Option<Time>,
        input: impl FnOnce(&mut Self) -> RecordedInput,
        work: impl FnOnce(&mut Self) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        self.recorded(now, input, |core| {
            let result = work(core);
            if let Err(error) = &result {
                let error = || Happened::CommandRefused { error: error.to_string().into() };
                core.log.add_now(error);
            }
            result
        })
    }

    /// A server-reflexive candidate of ours for which a known one stands.
    pub(in crate::agent) fn record_redundant_local(
        &mut self,
        list: u16,
        host: &Local,
        address: SocketAddr,
        known: LocalId,
        now: Time,
    ) {
        let Some(stream) = self.stream_of_list(list) else { return };
        let by = Box::new(self.local_candidate(list, known));
        self.log.add(now, || Happened::LocalRedundant {
            stream,
            component: host.component,
            kind: Kind::ServerReflexive,
            address,
            by,
        });
    }

    /// A candidate of the peer that has an address that is known.
    pub(in crate::agent) fn record_redundant_remote(
        &mut self,
        stream: StreamId,
        candidate: &Candidate,
        address: SocketAddr,
        now: Time,
    ) {
        let Candidate { component, kind, .. } = *candidate;
        let Some(list) = self.stream(stream).map(|stream| stream.current.list) else { return };
        let known = self.checks.remotes(list);
        let mut known = known.filter(|(_, r)| r.component == component && r.address == address);
        let Some((known, _)) = known.next() else { return };
        let by = Box::new(self.remote_candidate(list, known));
        let redundant = Happened::RemoteRedundant { stream, component, kind, address, by };
        self.log.add(now, || redundant);
    }

    fn record_outputs(&mut self, waiting: &Waiting) {
        // Nothing is taken while an input is worked on: what is new is last.
        for op in self.socket_ops.iter().skip(waiting.socket_ops) {
            self.log.add_now(|| Happened::SocketOp(op.clone()));
        }
        for event in self.events.iter().skip(waiting.events) {
            self.log.add_now(|| match event {
                Event::Restarted { stream, answers, .. } => {
                    Happened::Restarted { stream: *stream, answers: answers.clone() }
                }
                event => Happened::Event(event.clone()),
            });
        }
    }

    /// A message is about to be sent.
    pub(in crate::agent) fn record_sent(&mut self, outgoing: &Outgoing) {
        if self.log.is_enabled()
            && let Some(sent) = self.recorded_outgoing(outgoing)
        {
            self.log.add_now(|| sent);
        }
    }

    fn recorded_outgoing(&mut self, outgoing: &Outgoing) -> Option<Happened> {
        let Outgoing { base, to, id, ref what } = *outgoing;
        let is_ours = matches!(what, What::Check { .. } | What::Server | What::Relay { .. });
        let transaction = self.log.numbers_mut(|n| if is_ours { n.sent(id) } else { n.of(id) })?;
        let message = match *what {
            What::Check { list, role, tie_breaker, use_candidate, nomination } => {
                let local = self.base(base)?.local(list)?;
                let priority = self.checks.local(list, local).reflexive_priority;
                SentMessage::Check { role, tie_breaker, priority, use_candidate, nomination }
            }
            What::Success { .. } => SentMessage::Success,
            What::Error { code, unknown, count, .. } => {
                let unknown = unknown.get(..count).unwrap_or_default().to_vec();
                SentMessage::Error { code, unknown }
            }
            What::Server => SentMessage::ServerRequest,
            What::Relay { method, .. } => SentMessage::RelayRequest { method: method.0 },
            // Recorded when it was decided on.
            What::Written(_) => return None,
        };
        Some(Happened::Sent { base, to, transaction, message })
    }
}
