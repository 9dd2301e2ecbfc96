//! Sessions of a meeting without signalling ([`crate::punch::rendezvous`]):
//! what the two sides assume of each other instead of being told, and which of
//! the sessions is used.
//!
//! Each port of a [`Meeting`] is a session of its own, with one agent that is
//! bound to that port for UDP and for TCP. All sessions of a rendezvous have
//! one tie-breaker, so that in each of them the same side controls. None
//! nominates a pair by itself: [`next_step`] says in which session the
//! controlling side does it, and only there. So both sides take the same one.

use std::net::IpAddr;
use std::sync::Arc;

use crate::agent::gathering::priority_of;
use crate::agent::{Config, Credentials, RemoteParameters, State, Synchronisation, Transports};
use crate::candidate::{Candidate, ComponentId, Foundation, Host, Kind, TcpType};
use crate::check::{ByHand, Role};
use crate::net::Protocol;
use crate::punch::Meeting;

/// The ports of each meeting that are used at a time: with two meetings, and
/// one attempt a port, fewer than the 5 attempts of RFC 6544 §12.
pub const PORTS_AT_A_TIME: usize = 2;

/// What the sessions of one rendezvous have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meet {
    /// The peer's address.
    pub peer: IpAddr,
    /// A random number, one for the whole rendezvous.
    pub tie_breaker: u64,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The state of its agent.
    pub state: State,
    /// The role of its agent.
    pub role: Role,
    /// [`Step::Nominate`] was done.
    pub nominated: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<K> {
    /// Nothing yet.
    Wait,
    /// Nominate the best valid pair of this session.
    Nominate(K),
    /// The rendezvous is over: this session is used, all others are closed.
    Done(K),
}

impl Meet {
    /// Changes the settings of an agent to those of a session. What needs
    /// signalling is off: servers, restarts, names, T0; and of TCP all but
    /// simultaneous open.
    pub fn configure(&self, config: &mut Config) {
        config.role = Role::Controlling;
        config.tie_breaker = Some(self.tie_breaker);
        config.nomination = Arc::new(ByHand);
        let Transports { udp, tcp_so, .. } = config.transports;
        config.transports = Transports { udp, tcp_so, ..Transports::NONE };
        config.synchronisation = Synchronisation::Off;
        config.stun_servers.clear();
        config.rewrites.clear();
        config.lite = false;
        config.renomination = false;
        config.continual = false;
        config.follow_network = false;
        config.publish_mdns = false;
        config.gather_host = true;
        config.gather_server_reflexive = false;
        config.include_loopback |= self.peer.is_loopback();
        config.ipv4 &= self.peer.is_ipv4();
        config.ipv6 &= self.peer.is_ipv6();
    }

    /// What the peer would signal. `config` is our own settings.
    pub fn parameters(&self, meeting: &Meeting, config: &Config) -> RemoteParameters {
        RemoteParameters {
            credentials: Credentials::of(meeting),
            pacing: config.pacing,
            lite: false,
            options: Vec::new(),
            answers: None,
        }
    }

    /// The candidates that the peer would signal for its port, which is ours.
    pub fn candidates(&self, port: u16, transports: Transports) -> Vec<Candidate> {
        let of_tcp = transports.tcp_so.then_some(Some(TcpType::SimultaneousOpen));
        let kinds = transports.udp.then_some(None).into_iter().chain(of_tcp);
        let candidate = |(number, tcp_type): (u32, Option<TcpType>)| Candidate {
            foundation: Foundation::from_number(number),
            component: ComponentId::ONE,
            protocol: Protocol::of(tcp_type.is_some()),
            priority: priority_of(Kind::Host, tcp_type, u16::MAX, ComponentId::ONE),
            host: Host::Ip(self.peer),
            port,
            kind: Kind::Host,
            related: None,
            tcp_type,
            extensions: Vec::new(),
        };
        (1..).zip(kinds).map(candidate).collect()
    }
}

impl Credentials {
    /// Those of both sides of a meeting.
    pub fn of(meeting: &Meeting) -> Self {
        Credentials { ufrag: meeting.ufrag.clone(), pwd: meeting.pwd.clone() }
    }
}

/// Which session is used: the first that has completed. The controlling side
/// nominates in the first that has a valid pair, and in another only once that
/// one is lost.
pub fn next_step<K: Copy>(sessions: impl IntoIterator<Item = (K, Progress)>) -> Step<K> {
    let is_valid = |p: &Progress| matches!(p.state, State::Connected | State::Completed);
    let valid: Vec<_> = sessions.into_iter().filter(|(_, progress)| is_valid(progress)).collect();
    if let Some((key, _)) = valid.iter().find(|(_, p)| p.state == State::Completed) {
        return Step::Done(*key);
    }
    let controlling = |p: &Progress| p.role == Role::Controlling;
    match valid.iter().find(|(_, p)| controlling(p)) {
        Some(_) if valid.iter().any(|(_, p)| p.nominated) => Step::Wait,
        Some((key, _)) => Step::Nominate(*key),
        None => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(state: State, role: Role, nominated: bool) -> Progress {
        Progress { state, role, nominated }
    }

    #[test]
    fn the_controlling_side_nominates_in_one_session() {
        let (us, them) = (Role::Controlling, Role::Controlled);
        let step = |sessions: &[Progress]| next_step(sessions.iter().copied().enumerate());
        let checking = progress(State::Checking, us, false);
        let valid = progress(State::Connected, us, false);
        let nominated = progress(State::Connected, us, true);
        assert_eq!(step(&[]), Step::Wait);
        assert_eq!(step(&[checking, valid, valid]), Step::Nominate(1));
        assert_eq!(step(&[valid, nominated]), Step::Wait);
        let lost = progress(State::Failed, us, true);
        assert_eq!(step(&[lost, valid]), Step::Nominate(1));
        assert_eq!(step(&[progress(State::Connected, them, false); 2]), Step::Wait);
        let completed = progress(State::Completed, them, false);
        assert_eq!(step(&[progress(State::Connected, them, false), completed]), Step::Done(1));
    }

    #[test]
    fn the_peer_is_assumed_at_our_own_port() {
        let meet = Meet { peer: [192, 0, 2, 7].into(), tie_breaker: 1 };
        let mut config = Config::new(Role::Controlled);
        config.transports = Transports::ALL;
        meet.configure(&mut config);
        let lines: Vec<String> =
            meet.candidates(4_000, config.transports).iter().map(Candidate::to_string).collect();
        assert_eq!(
            lines,
            [
                "candidate:1 1 UDP 2130706431 192.0.2.7 4000 typ host",
                "candidate:2 1 TCP 1516240895 192.0.2.7 4000 typ host tcptype so",
            ]
        );
    }
}
