//! What holds at every moment of every run, judged by what an agent sends
//! and receives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{BaseId, Event, Happened, LogRecord, StreamId, Transmit};
use floe::candidate::ComponentId;
use floe::check::StartKind;
use floe::stun::{Class, Fingerprint, Message, Method, TransactionId};
use floe::timer::{Pacer, Time};

type Way = (BaseId, SocketAddr);
/// Our address of a pair, and the peer's.
type Ends = (Option<SocketAddr>, Option<SocketAddr>);

/// Watches one agent.
#[derive(Default)]
pub struct Monitor {
    /// Checks that the core decided to send and that were not seen yet.
    decided: VecDeque<(StartKind, bool)>,
    requests: BTreeMap<TransactionId, Way>,
    /// Checks of the peer that were not answered yet.
    unanswered: BTreeMap<(TransactionId, BaseId, SocketAddr), usize>,
    /// Ways on which a check was answered.
    validated: BTreeSet<Way>,
    opened: BTreeSet<(StreamId, ComponentId, Way)>,
    last_check: Option<Time>,
    last_again: Option<Time>,
    last_new: Option<Time>,
    /// The last transmissions of checks.
    recent: VecDeque<Time>,
    /// By way and session: a restart has consent of its own.
    consent: BTreeMap<(Way, String), VecDeque<Time>>,
    /// The ends of each pair that was selected.
    selected: BTreeMap<(StreamId, ComponentId), BTreeSet<Ends>>,
    /// Nothing is lost, and the roles do not conflict.
    pub clear: bool,
    pub counts: Counts,
}

/// How much was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub gathering: usize,
    pub checks: usize,
    pub again: usize,
    pub consent: usize,
    pub answers: usize,
    /// Datagrams of the application.
    pub data: usize,
}

impl Monitor {
    pub fn logged(&mut self, record: &LogRecord) {
        match record.what {
            Happened::CheckSent { kind, again, .. } => self.decided.push_back((kind, again)),
            Happened::Dropped { reason, .. } => {
                assert_ne!(reason, floe::agent::DropReason::QueueFull);
            }
            _ => {}
        }
    }

    /// The agent sends. `ta` is its pacing, `servers` are those it may ask.
    pub fn sent(
        &mut self,
        now: Time,
        transmit: Transmit,
        bytes: &[u8],
        ta: Duration,
        servers: &[SocketAddr],
    ) {
        let message = Message::parse(bytes).expect("agents send STUN");
        assert_eq!(message.method(), Method::BINDING);
        assert_eq!(message.fingerprint(), Fingerprint::Valid, "RFC 8445 §7.1");
        let way = (transmit.base, transmit.to);
        let id = message.transaction_id();
        match message.class() {
            Class::Request if message.username().is_none() => {
                assert!(servers.contains(&transmit.to), "who is {}?", transmit.to);
                if self.requests.insert(id, way).is_none() {
                    self.new_transaction(now);
                }
                self.counts.gathering += 1;
            }
            Class::Request => {
                let username = message.username().unwrap_or_default().to_owned();
                self.check_sent(now, id, (way, username), ta);
            }
            Class::Success | Class::Error => {
                let unanswered = self.unanswered.get_mut(&(id, way.0, way.1));
                *unanswered.filter(|n| **n > 0).expect("answers answer something") -= 1;
                self.counts.answers += 1;
            }
            Class::Indication => panic!("no indications are sent"),
        }
    }

    fn check_sent(
        &mut self,
        now: Time,
        id: TransactionId,
        (way, username): (Way, String),
        ta: Duration,
    ) {
        let (kind, again) = self.decided.pop_front().expect("every check was decided");
        let known = self.requests.insert(id, way);
        assert_eq!(known, again.then_some(way), "a transaction keeps to its pair");
        if kind == StartKind::Consent {
            // RFC 7675 §5.1: every 5 s, times 0.8 at least; never retransmitted.
            // A path that data comes back to starts a schedule of its own.
            assert!(self.validated.contains(&way), "consent is asked for where it was given");
            assert!(!again);
            let times = self.consent.entry((way, username)).or_default();
            times.push_back(now);
            if times.len() > 2 {
                let first = times.pop_front().unwrap_or_default();
                assert!(now - first >= Duration::from_secs(4), "consent too often");
            }
            self.counts.consent += 1;
            return;
        }
        let last = if again { &mut self.last_again } else { &mut self.last_check };
        let before = last.replace(now);
        let apart = before.is_none_or(|t| now - t >= ta);
        assert!(apart, "one check a Ta ({ta:?}), again {again}: {before:?}, {now:?}");
        if again {
            self.counts.again += 1;
        } else {
            self.counts.checks += 1;
            self.new_transaction(now);
        }
        self.recent.push_back(now);
        if self.recent.len() > 2 {
            let first = self.recent.pop_front().unwrap_or_default();
            assert!(now - first >= ta, "more than two checks a Ta, retransmissions included");
        }
    }

    /// RFC 8445 §14.2: gathering and checks together.
    fn new_transaction(&mut self, now: Time) {
        let last = self.last_new.replace(now);
        let apart = last.is_none_or(|t| now - t >= Pacer::MIN_SPACING);
        assert!(apart, "new transactions less than 5 ms apart: {last:?}, {now:?}");
    }

    /// The agent receives. Only agents of the world send, so what answers a
    /// request of this one does so rightly.
    pub fn received(&mut self, base: BaseId, from: SocketAddr, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return };
        let id = message.transaction_id();
        match message.class() {
            Class::Request => *self.unanswered.entry((id, base, from)).or_default() += 1,
            Class::Success if self.requests.get(&id) == Some(&(base, from)) => {
                self.validated.insert((base, from));
            }
            _ => {}
        }
    }

    pub fn reported(&mut self, event: &Event) {
        match event {
            Event::SendPath { path: Some(way), .. } => {
                assert!(self.validated.contains(way), "{way:?} never answered a check");
            }
            Event::PathOpened { stream, component, base, from } => {
                self.opened.insert((*stream, *component, (*base, *from)));
            }
            Event::Selected { stream, component, local, remote, .. } => {
                let pairs = self.selected.entry((*stream, *component)).or_default();
                // Said again where signalling told more of the same pair.
                pairs.insert((local.address(), remote.address()));
                // Another is selected only where a nomination was not answered.
                assert!(pairs.len() == 1 || !self.clear, "one selected pair a component");
            }
            _ => {}
        }
    }

    /// Whether the application is given datagrams from `from` on `base`.
    pub fn is_open(&self, base: BaseId, from: SocketAddr) -> Option<(StreamId, ComponentId)> {
        self.opened.iter().find(|(_, _, way)| *way == (base, from)).map(|(s, c, _)| (*s, *c))
    }
}
