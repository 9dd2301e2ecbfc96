//! From records to the story.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use floe::agent::{
    BaseId, Event, Given, Happened, LogRecord, RecordedConfig, RecordedInput, SocketOp,
};
use floe::candidate::{Candidate, Host, Kind, PairingClass};
use floe::check::{PairId, Role, pair_priority};
use floe::timer::Time;

use super::attempts::is_to_server;
use super::{Attempt, End, Found, Mark, Pair, PathChange, ServerError, Step, Story};
use crate::explain::escape::clean;

/// Checks of the peer for pairs that are formed after them; the core keeps
/// fewer.
const MAX_EARLY: usize = 64;

/// Candidates of a side, pairs, and attempts that are told of. An agent of ours
/// has fewer, unless it lives through many restarts.
const MAX_THINGS: usize = 1_024;

/// Candidates of one address that a pair is looked for among.
const MAX_AT_ONE: usize = 16;

/// The story of the records of one agent.
pub(crate) fn tell<'a>(agent: Option<&str>, records: impl Iterator<Item = &'a LogRecord>) -> Story {
    let mut teller = Teller::default();
    teller.story.agent = agent.map(clean);
    for record in records {
        teller.record(record);
    }
    teller.story
}

#[derive(Default)]
struct Teller {
    story: Story,
    /// Addresses of bases.
    bases: BTreeMap<BaseId, SocketAddr>,
    /// Those that are connections to TURN servers.
    legs: BTreeSet<BaseId>,
    /// Where in the story a pair stands.
    pairs: BTreeMap<PairId, usize>,
    /// Pairs by their addresses, the newest.
    by_ends: BTreeMap<(SocketAddr, SocketAddr), usize>,
    /// Where in the story an attempt stands.
    attempts: BTreeMap<(BaseId, SocketAddr), usize>,
    early: VecDeque<(SocketAddr, SocketAddr, Time, Mark)>,
    /// What names of candidates stand for.
    names: BTreeMap<Box<str>, Vec<IpAddr>>,
}

impl Teller {
    fn record(&mut self, record: &LogRecord) {
        let at = record.at;
        let began = self.story.span.map_or(at, |(began, _)| began);
        self.story.span = Some((began.min(at), at));
        match &record.what {
            Happened::Input(given) => self.input(at, given),
            Happened::SocketOp(op) => self.socket_op(at, op),
            Happened::Event(event) => self.event(event),
            Happened::SocketOpened { base, local } => {
                self.bases.insert(*base, *local);
            }
            Happened::Connection { base, remote, change } => {
                if let Some(step) = Step::of(*change) {
                    self.step(*base, *remote, at, step);
                }
            }
            Happened::Restarted { .. } => self.story.restarts.push(at),
            Happened::RecordsLost { count } => self.story.lost_records += count,
            Happened::State { state, reason } => self.story.states.push((at, *state, *reason)),
            Happened::AddressRefused { address, refusal } => {
                add(&mut self.story.refused, &mut self.story.left_out, (*address, *refusal));
            }
            Happened::Dropped { reason, .. } => {
                *self.story.drops.entry(reason.to_string()).or_default() += 1;
            }
            Happened::ServerAsked { .. } => self.story.servers.asked += 1,
            Happened::ServerAnswered { .. } => self.story.servers.answered += 1,
            Happened::RoleSwitched { role } => self.story.role = Some(*role),
            Happened::LocalCandidate { candidate, .. } => {
                let found = Found { at, candidate: candidate.clone() };
                add(&mut self.story.ours, &mut self.story.left_out, found);
            }
            Happened::RemoteCandidate { candidate, .. } => self.learnt(at, candidate),
            _ => self.of_pairs(at, &record.what),
        }
    }

    fn of_pairs(&mut self, at: Time, what: &Happened) {
        match what {
            Happened::PairFormed { pair, component, local, remote, priority, .. } => {
                self.formed(at, *pair, component.number(), [*local, *remote], *priority);
            }
            Happened::PairLost { pair, reason } => {
                self.mark(*pair, at, Mark::Lost);
                if let Some(pair) = self.pair(*pair) {
                    pair.lost = Some((at, *reason));
                    pair.selected = None;
                }
            }
            Happened::CheckSent { pair, kind, again, use_candidate } => {
                let nominates = *use_candidate;
                self.mark(*pair, at, Mark::Sent { kind: *kind, again: *again, nominates });
            }
            Happened::CheckReceived { base, from, use_candidate } => {
                self.story.checks_received += 1;
                self.received(*base, *from, at, Mark::Received { nominates: *use_candidate });
            }
            Happened::CheckSucceeded { pair, rtt } => {
                self.mark(*pair, at, Mark::Answered);
                if let (Some(pair), Some(rtt)) = (self.pair(*pair), rtt) {
                    pair.rtt = Some(rtt.as_secs_f64() * 1e3);
                }
            }
            Happened::CheckRefused { pair, code } => self.mark(*pair, at, Mark::Refused(*code)),
            Happened::ConsentGiven { pair } => {
                self.mark(*pair, at, Mark::Consent { given: true });
            }
            Happened::ConsentMissed { pair } => {
                self.mark(*pair, at, Mark::Consent { given: false });
            }
            Happened::ConsentExpired { pair } => self.mark(*pair, at, Mark::Expired),
            Happened::SendPath { component, pair, .. } => {
                let pair = pair.map(|pair| pair.0);
                let component = component.number();
                self.story.paths.push(PathChange { at, component, pair });
            }
            Happened::Selected { pair } => self.selected(*pair, at),
            _ => {}
        }
    }

    fn input(&mut self, at: Time, given: &Given) {
        match &given.what {
            RecordedInput::Create(config) => self.created(config),
            RecordedInput::RemoteParameters { .. } => self.story.knows_peer = true,
            RecordedInput::EndOfRemoteCandidates { .. } => self.story.peer_ended = true,
            // One with a name makes a candidate of its own only once it is resolved.
            RecordedInput::RemoteCandidate { candidate, .. } if candidate.address().is_none() => {
                self.learnt(at, candidate);
            }
            RecordedInput::NameResolved { name, addresses } if self.names.len() < MAX_THINGS => {
                self.names.insert(name.to_lowercase().into(), addresses.clone());
            }
            RecordedInput::Connected { base, to, local } => {
                let is_server = self.legs.contains(base);
                if let Some(attempt) = self.attempt(*base, *to) {
                    attempt.local = Some(*local);
                    attempt.to_server |= is_server;
                }
                if is_server {
                    self.step(*base, *to, at, Step::Established);
                }
            }
            RecordedInput::Inspected { base, to, handshake } => {
                self.step(*base, *to, at, Step::Look(*handshake));
            }
            RecordedInput::ConnectFailed { base, to, error } => {
                self.leg_refused(*base, *to, at, *error);
            }
            _ => {}
        }
    }

    /// Of other connections a record of their own follows.
    fn leg_refused(&mut self, base: BaseId, to: SocketAddr, at: Time, error: ErrorKind) {
        if self.legs.contains(&base)
            && let Some(attempt) = self.attempt(base, to)
        {
            attempt.to_server = true;
            attempt.steps.push((at, Step::Refused(error)));
        }
    }

    fn learnt(&mut self, at: Time, candidate: &Candidate) {
        let found = Found { at, candidate: candidate.clone() };
        add(&mut self.story.theirs, &mut self.story.left_out, found);
    }

    fn created(&mut self, config: &RecordedConfig) {
        self.story.role = Some(config.role);
        self.story.config = Some(Box::new(config.clone()));
    }

    fn socket_op(&mut self, at: Time, op: &SocketOp) {
        match op {
            SocketOp::Connect { base, to, framing } => {
                if let Some(attempt) = self.attempt(*base, *to) {
                    attempt.to_server = is_to_server(*framing);
                }
                self.step(*base, *to, at, Step::Syn);
            }
            SocketOp::ConnectServer { base, .. } => {
                self.legs.insert(*base);
            }
            SocketOp::Disconnect { base, to, .. } => self.step(*base, *to, at, Step::Dropped),
            _ => {}
        }
    }

    fn event(&mut self, event: &Event) {
        if let Event::CandidateError { uri, cause, code, text } = event {
            let (uri, text) = (clean(uri), clean(text));
            let error = ServerError { uri, cause: *cause, code: *code, text };
            add(&mut self.story.servers.errors, &mut self.story.left_out, error);
        }
        if let Event::AddressRefused { ip, text } = event {
            let what = format!("{ip}: {}", clean(text));
            add(&mut self.story.unusable, &mut self.story.left_out, what);
        }
    }

    fn attempt(&mut self, base: BaseId, remote: SocketAddr) -> Option<&mut Attempt> {
        let place = match self.attempts.get(&(base, remote)) {
            Some(place) => *place,
            None if self.story.attempts.len() < MAX_THINGS => {
                let local = self.bases.get(&base).copied();
                let steps = Vec::new();
                let attempt = Attempt { base: local, local, remote, to_server: false, steps };
                self.attempts.insert((base, remote), self.story.attempts.len());
                self.story.attempts.push(attempt);
                self.story.attempts.len() - 1
            }
            None => {
                self.story.left_out += 1;
                return None;
            }
        };
        self.story.attempts.get_mut(place)
    }

    fn step(&mut self, base: BaseId, remote: SocketAddr, at: Time, step: Step) {
        if let Some(attempt) = self.attempt(base, remote) {
            attempt.steps.push((at, step));
        }
    }

    fn formed(
        &mut self,
        at: Time,
        id: PairId,
        component: u16,
        ends: [SocketAddr; 2],
        priority: u64,
    ) {
        if self.story.pairs.len() == MAX_THINGS {
            self.pairs.remove(&id);
            self.story.left_out += 1;
            return;
        }
        let [local, remote] = ends;
        let (class, kinds) = self.sorts(component, ends, priority);
        let place = self.story.pairs.len();
        self.pairs.insert(id, place);
        self.by_ends.insert((local, remote), place);
        let mut marks = Vec::new();
        self.early.retain(|(to, from, at, mark)| {
            let is_its = (*to, *from) == (local, remote);
            if is_its {
                marks.push((*at, *mark));
            }
            !is_its
        });
        self.story.pairs.push(Pair {
            id: id.0,
            component,
            class,
            local: End { kind: kinds[0], address: local },
            remote: End { kind: kinds[1], address: remote },
            priority,
            formed: at,
            marks,
            rtt: None,
            lost: None,
            selected: None,
        });
    }

    /// What class a pair is of, and of which types its candidates: addresses
    /// can be those of several, of which one fits the priority.
    fn sorts(
        &self,
        component: u16,
        [local, remote]: [SocketAddr; 2],
        priority: u64,
    ) -> (PairingClass, [Kind; 2]) {
        let mut best = None;
        for ours in self.candidates_at(&self.story.ours, component, local) {
            let class = PairingClass::of_candidate(ours);
            let theirs = self.candidates_at(&self.story.theirs, component, remote);
            for theirs in theirs.filter(|c| PairingClass::of_candidate(c) == class.mate()) {
                let fits = match self.story.role {
                    Some(Role::Controlled) => pair_priority(theirs.priority, ours.priority),
                    _ => pair_priority(ours.priority, theirs.priority),
                } == priority;
                let sorts = (class, [ours.kind, theirs.kind]);
                if fits {
                    return sorts;
                }
                best.get_or_insert(sorts);
            }
        }
        best.unwrap_or((PairingClass::Datagram, [Kind::Host, Kind::PeerReflexive]))
    }

    fn candidates_at<'a>(
        &'a self,
        found: &'a [Found],
        component: u16,
        address: SocketAddr,
    ) -> impl Iterator<Item = &'a Candidate> {
        let is_at = move |candidate: &Candidate| match &candidate.host {
            Host::Ip(_) => candidate.address() == Some(address),
            Host::Name(name) => {
                let addresses = self.names.get(&*name.to_lowercase());
                candidate.port == address.port()
                    && addresses.is_some_and(|all| all.contains(&address.ip()))
            }
        };
        let candidates = found.iter().map(|found| &found.candidate);
        candidates.filter(move |c| c.component.number() == component && is_at(c)).take(MAX_AT_ONE)
    }

    fn pair(&mut self, id: PairId) -> Option<&mut Pair> {
        self.story.pairs.get_mut(*self.pairs.get(&id)?)
    }

    fn mark(&mut self, pair: PairId, at: Time, mark: Mark) {
        if let Some(pair) = self.pair(pair) {
            pair.marks.push((at, mark));
        }
    }

    fn received(&mut self, base: BaseId, from: SocketAddr, at: Time, mark: Mark) {
        let Some(local) = self.bases.get(&base).copied() else { return };
        let place = self.by_ends.get(&(local, from)).copied();
        match place.and_then(|place| self.story.pairs.get_mut(place)) {
            Some(pair) => pair.marks.push((at, mark)),
            None => {
                if self.early.len() == MAX_EARLY {
                    self.early.pop_front();
                }
                self.early.push_back((local, from, at, mark));
            }
        }
    }

    fn selected(&mut self, id: PairId, at: Time) {
        let Some(component) = self.pair(id).map(|pair| pair.component) else { return };
        for pair in &mut self.story.pairs {
            if pair.component == component {
                pair.selected = None;
            }
        }
        self.mark(id, at, Mark::Selected);
        if let Some(pair) = self.pair(id) {
            pair.selected = Some(at);
        }
    }
}

/// Adds what is new, while there is room.
fn add<T: PartialEq>(to: &mut Vec<T>, left_out: &mut usize, thing: T) {
    if to.len() == MAX_THINGS {
        *left_out += 1;
    } else if !to.contains(&thing) {
        to.push(thing);
    }
}
