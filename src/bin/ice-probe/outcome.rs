//! What a session has shown so far, boiled down to an exit code.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use floe::agent::{Event, State};
use floe::candidate::Kind;
use floe::gather::Cause;

use crate::exit::Exit;

/// The facts of a session that decide its exit code.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    servers: usize,
    /// Candidates were wanted that need no server.
    wants_own: bool,
    candidates: usize,
    gathered: bool,
    server_worked: bool,
    /// Our relayed addresses.
    relays: BTreeSet<SocketAddr>,
    unresolved: BTreeSet<Box<str>>,
    unreached: BTreeSet<Box<str>>,
    refused: BTreeSet<Box<str>>,
    insecure: BTreeSet<Box<str>>,
    connected: bool,
    lost: bool,
    relayed: bool,
}

impl Outcome {
    /// The facts of a session with `servers` servers, before anything happened;
    /// `wants_own` if candidates are wanted that need none.
    pub(crate) fn new(servers: usize, wants_own: bool) -> Self {
        Outcome { servers, wants_own, ..Outcome::default() }
    }

    /// Takes note of an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Candidate { candidate, .. } => {
                self.candidates += 1;
                self.server_worked |=
                    matches!(candidate.kind, Kind::ServerReflexive | Kind::Relayed);
                if candidate.kind == Kind::Relayed {
                    self.relays.extend(candidate.address());
                }
            }
            Event::EndOfCandidates { .. } => self.gathered = true,
            Event::CandidateError { uri, cause, .. } => {
                let failed = match cause {
                    Cause::Unresolved => &mut self.unresolved,
                    Cause::Credentials => &mut self.refused,
                    Cause::Tls => &mut self.insecure,
                    _ => &mut self.unreached,
                };
                failed.insert(uri.clone());
            }
            Event::State { state: State::Connected | State::Completed, .. } => {
                self.connected = true;
                self.lost = false;
            }
            Event::State { state: State::Failed, .. } => self.lost = self.connected,
            Event::Selected { local, remote, .. } => {
                // The peer may see our relay by another port: then its base tells.
                let base = local.related.is_some_and(|base| self.relays.contains(&base));
                self.relayed = base || [local, remote].iter().any(|end| end.kind == Kind::Relayed);
            }
            _ => {}
        }
    }

    /// Whether the session has been connected, if only for a while.
    pub(crate) fn has_connected(&self) -> bool {
        self.connected
    }

    /// The exit code if the session ends now by the user's or the clock's will.
    pub(crate) fn exit(&self) -> Exit {
        if self.connected {
            let lost = if self.lost { Exit::Lost } else { Exit::Direct };
            let relayed = if self.relayed { Exit::Relayed } else { Exit::Direct };
            return Exit::first_of(&[lost, relayed]);
        }
        let mut holding = vec![Exit::NoPair];
        if self.gathered && self.candidates == 0 && self.wants_own {
            holding.push(Exit::NoNetwork);
        }
        // A server that failed beside another that worked explains nothing.
        let causes = [
            (&self.unresolved, Exit::Unresolved),
            (&self.refused, Exit::Refused),
            (&self.insecure, Exit::Tls),
            (&self.unreached, Exit::NoServer),
        ];
        let failed: BTreeSet<_> = causes.iter().flat_map(|(servers, _)| servers.iter()).collect();
        if self.servers > 0 && !self.server_worked && failed.len() >= self.servers {
            let explains = |(servers, _): &&(&BTreeSet<_>, Exit)| !servers.is_empty();
            holding.extend(causes.iter().filter(explains).map(|(_, exit)| *exit));
        }
        Exit::first_of(&holding)
    }

    /// The exit code if the user interrupts the session now.
    pub(crate) fn interrupted(&self) -> Exit {
        if self.connected { self.exit() } else { Exit::Interrupted }
    }
}

#[cfg(test)]
mod tests {
    use floe::agent::{StateReason, StreamId};
    use floe::candidate::{Candidate, ComponentId};

    use super::*;

    fn candidate(kind: &str) -> Candidate {
        let related = if kind == "host" { "" } else { " raddr 0.0.0.0 rport 9" };
        format!("candidate:1 1 UDP 1 192.0.2.1 5000 typ {kind}{related}").parse().unwrap()
    }

    fn gathered(kind: &str) -> Event {
        Event::Candidate { stream: StreamId(0), candidate: candidate(kind) }
    }

    fn end() -> Event {
        Event::EndOfCandidates { stream: StreamId(0) }
    }

    fn failed(uri: &str, cause: Cause) -> Event {
        Event::CandidateError { uri: uri.into(), cause, code: 701, text: "".into() }
    }

    fn state(state: State) -> Event {
        Event::State { state, reason: StateReason::ValidPairs }
    }

    fn selected(local: &str, remote: &str) -> Event {
        Event::Selected {
            stream: StreamId(0),
            component: ComponentId::ONE,
            local: candidate(local).into(),
            remote: candidate(remote).into(),
        }
    }

    #[track_caller]
    fn ends(servers: usize, events: &[Event], exit: Exit, interrupted: Exit) {
        let mut outcome = Outcome::new(servers, true);
        events.iter().for_each(|event| outcome.event(event));
        assert_eq!((outcome.exit(), outcome.interrupted()), (exit, interrupted));
    }

    #[test]
    fn never_connected() {
        ends(0, &[], Exit::NoPair, Exit::Interrupted);
        ends(0, &[gathered("host"), end()], Exit::NoPair, Exit::Interrupted);
        ends(0, &[end()], Exit::NoNetwork, Exit::Interrupted);
        ends(0, &[gathered("host"), state(State::Failed)], Exit::NoPair, Exit::Interrupted);
    }

    #[test]
    fn servers_explain_a_failure_only_if_all_failed() {
        let silent = failed("stun:a", Cause::NotReached);
        let unknown = failed("stun:b", Cause::Unresolved);
        let host = gathered("host");
        ends(1, &[host.clone(), silent.clone(), end()], Exit::NoServer, Exit::Interrupted);
        ends(2, &[host.clone(), silent.clone(), end()], Exit::NoPair, Exit::Interrupted);
        ends(
            2,
            &[host.clone(), silent.clone(), unknown.clone()],
            Exit::Unresolved,
            Exit::Interrupted,
        );
        let insecure = failed("turns:d", Cause::Tls);
        ends(1, &[host.clone(), insecure.clone()], Exit::Tls, Exit::Interrupted);
        ends(2, &[host.clone(), insecure.clone(), silent.clone()], Exit::Tls, Exit::Interrupted);
        ends(2, &[host.clone(), insecure, unknown], Exit::Unresolved, Exit::Interrupted);
        let wrong = failed("turn:c", Cause::Credentials);
        ends(1, &[host.clone(), wrong.clone()], Exit::Refused, Exit::Interrupted);
        ends(2, &[host.clone(), wrong, silent.clone()], Exit::Refused, Exit::Interrupted);
        ends(1, &[gathered("srflx"), silent.clone()], Exit::NoPair, Exit::Interrupted);
        ends(1, &[silent.clone(), end()], Exit::NoNetwork, Exit::Interrupted);
        ends(1, &[silent, state(State::Connected)], Exit::Direct, Exit::Direct);
    }

    #[test]
    fn without_a_relay_there_is_nothing_where_only_relays_are_wanted() {
        let mut outcome = Outcome::new(1, false);
        outcome.event(&failed("turn:c", Cause::Credentials));
        outcome.event(&end());
        assert_eq!(outcome.exit(), Exit::Refused);
    }

    #[test]
    fn connected_lost_and_regained() {
        let connected = state(State::Connected);
        let lost = [connected.clone(), state(State::Disconnected), state(State::Failed)];
        ends(0, std::slice::from_ref(&connected), Exit::Direct, Exit::Direct);
        ends(0, &lost, Exit::Lost, Exit::Lost);
        ends(0, &[lost.as_slice(), &[connected]].concat(), Exit::Direct, Exit::Direct);
    }

    #[test]
    fn a_relay_on_either_side_counts() {
        let connected = state(State::Connected);
        let direct = selected("host", "srflx");
        for relayed in [selected("relay", "host"), selected("host", "relay")] {
            ends(0, &[connected.clone(), relayed.clone()], Exit::Relayed, Exit::Relayed);
            ends(0, &[connected.clone(), relayed, direct.clone()], Exit::Direct, Exit::Direct);
        }
    }

    /// A NAT of the peer's has changed the port of what came from our relay.
    #[test]
    fn a_relay_that_the_peer_sees_otherwise_counts() {
        let seen: Candidate =
            "candidate:p1 1 UDP 1 192.0.2.1 6000 typ prflx raddr 192.0.2.1 rport 5000"
                .parse()
                .unwrap();
        let pair = Event::Selected {
            stream: StreamId(0),
            component: ComponentId::ONE,
            local: seen.into(),
            remote: candidate("srflx").into(),
        };
        let events = [state(State::Connected), pair];
        let relay = [gathered("relay")];
        ends(1, &[relay.as_slice(), &events].concat(), Exit::Relayed, Exit::Relayed);
        ends(1, &[&[gathered("host")], events.as_slice()].concat(), Exit::Direct, Exit::Direct);
    }
}
