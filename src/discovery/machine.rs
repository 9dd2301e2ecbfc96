//! The discovery from one address.

use std::net::{IpAddr, SocketAddr};

use super::asks::{Ask, Asks, Question};
use super::mapping::{MappingEvent, MappingState};
use super::report::{Answer, ServerReport};
use super::rounds::{Next, Rounds};
use super::{CHANGE_REQUEST, Change};
use crate::net::{self, Family};
use crate::rng::Rng;
use crate::stun::{Class, Fingerprint, Message, Method};
use crate::timer::Time;

/// How many sockets a discovery has.
pub const BASES: usize = 4;

/// The socket that mappings are compared on.
pub(super) const MAPPING: usize = 0;

/// The one on which nothing is sent to the server's other addresses, so that no
/// filter opens for them.
const FILTERING: usize = 1;

/// The one that hairpins with the first.
const HAIRPIN: usize = 2;

/// How often a question is sent whose answer no filter stops.
const TRIES: u8 = 8;

/// How often packets are sent that are to come back inside.
pub(super) const HAIRPIN_TRIES: u8 = 8;

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The socket, by its number.
    pub base: usize,
    /// Where to.
    pub to: SocketAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// Why something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Test I, of this server.
    First(usize),
    /// Tests II and III of §4.3: the server's other address.
    Beside,
    /// Which port another socket gets.
    Port,
    /// A round's control.
    Control,
    /// A round's answer from elsewhere.
    Elsewhere(Change),
    /// Opens the filter for this place.
    Open(Change),
    /// The answer from there, which the filter lets in now.
    Proof(Change),
    /// To our own outer address.
    Hairpin,
}

/// What an answer from elsewhere has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// Nothing was heard yet.
    Silent,
    Heard,
    /// The server does not do what it promised, or said that it cannot now.
    Refused,
    /// The server has proved that it answers from there.
    Proven,
    /// It was asked for the proof, and gave none.
    Unproven,
}

/// How far the filter is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no server for it yet.
    Waiting,
    Rounds,
    Proofs,
    Done,
}

/// The discovery from one address.
#[derive(Debug)]
pub struct Discovery {
    pub(super) locals: [SocketAddr; BASES],
    pub(super) servers: Vec<ServerReport>,
    asks: Asks<Purpose>,
    is_brief: bool,
    pub(super) began: Option<Time>,
    /// The first server that answered.
    main: Option<SocketAddr>,
    /// The first one that has another address, and that address.
    both: Option<(SocketAddr, SocketAddr)>,
    pub(super) mapping: MappingState,
    /// What the mapping of the next test is compared with.
    last: Option<SocketAddr>,
    /// Where each socket is seen by the main server, and when it first sent.
    pub(super) mapped: [Option<(Time, SocketAddr)>; BASES],
    stage: Stage,
    pub(super) rounds: Rounds,
    /// From elsewhere altogether, and from another port.
    pub(super) trials: [Trial; 2],
    pub(super) hairpin: Option<bool>,
    pub(super) rewritten: Option<bool>,
    pub(super) ended: Option<Time>,
}

/// What the two trials ask for.
const TRIALS: [Change; 2] = [Change::BOTH, Change::PORT];

impl Discovery {
    /// A discovery with sockets at `locals`, all of one IP address, that asks
    /// these servers; those of another family are left out.
    pub fn new(locals: [SocketAddr; BASES], servers: &[SocketAddr]) -> Self {
        let locals = locals.map(net::canonical);
        let server = |address: &SocketAddr| ServerReport {
            address: net::canonical(*address),
            answer: Answer::None,
            other: None,
        };
        let fits = |server: &ServerReport| {
            Family::of(server.address.ip()) == Family::of(locals[MAPPING].ip())
        };
        Discovery {
            locals,
            servers: servers.iter().map(server).filter(fits).collect(),
            asks: Asks::new(),
            is_brief: false,
            began: None,
            main: None,
            both: None,
            mapping: MappingState::First,
            last: None,
            mapped: [None; BASES],
            stage: Stage::Waiting,
            rounds: Rounds::default(),
            trials: [Trial::Silent; 2],
            hairpin: None,
            rewritten: None,
            ended: None,
        }
    }

    /// Asks each server once where it sees us, and makes no more of it.
    pub fn briefly(mut self) -> Self {
        self.is_brief = true;
        self
    }

    /// Begins.
    pub fn start(&mut self, now: Time, rng: &mut Rng) {
        if self.began.is_some() {
            return;
        }
        self.began = Some(now);
        for index in 0..self.servers.len() {
            let to = self.servers[index].address;
            self.ask(Purpose::First(index), MAPPING, to, Change::NONE, TRIES);
        }
        self.handle_timeout(now, rng);
    }

    /// It is `now`.
    pub fn handle_timeout(&mut self, now: Time, rng: &mut Rng) {
        for Question { purpose, .. } in self.asks.handle_timeout(now, rng) {
            self.silent(purpose);
        }
        while self.go_on(now) {}
        // What was planned just now may have its turn.
        let silent = self.asks.handle_timeout(now, rng);
        debug_assert!(silent.is_empty(), "nothing is silent twice");
    }

    /// When [`Discovery::handle_timeout`] is due; never again once the report is
    /// there.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.ended.is_some() { None } else { self.asks.poll_timeout() }
    }

    /// What to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.asks.poll_transmit()
    }

    /// A datagram came to a socket.
    pub fn handle_datagram(
        &mut self,
        base: usize,
        from: SocketAddr,
        bytes: &[u8],
        now: Time,
        rng: &mut Rng,
    ) {
        let from = net::canonical(from);
        let Ok(message) = Message::parse(bytes) else { return };
        if message.method() != Method::BINDING || message.fingerprint() == Fingerprint::Wrong {
            return;
        }
        let id = message.transaction_id();
        match message.class() {
            Class::Request => {
                let ask = self.asks.of(id);
                if let Some(ask) = ask.filter(|ask| ask.question.purpose == Purpose::Hairpin)
                    && ask.question.base != base
                {
                    self.hairpin = Some(true);
                    self.asks.cancel(|purpose| purpose == Purpose::Hairpin);
                }
            }
            Class::Success | Class::Error => {
                if let Some(ask) = self.asks.find(base, id) {
                    self.answered(ask, from, &message, now);
                }
            }
            Class::Indication => {}
        }
        self.handle_timeout(now, rng);
    }

    fn ask(&mut self, purpose: Purpose, base: usize, to: SocketAddr, change: Change, tries: u8) {
        self.asks.plan(Question { purpose, base, to, change, tries });
    }

    /// An answer to something that was asked; from where it has to come, says
    /// what was asked.
    fn answered(&mut self, ask: Ask<Purpose>, from: SocketAddr, message: &Message<'_>, now: Time) {
        let Question { purpose, to, change, base, .. } = ask.question;
        let expected = self.source(to, change);
        if from != to && from != expected {
            return;
        }
        let mapped = mapped_address(message, self.locals[base]);
        let refused = match (message.class(), from == expected) {
            (Class::Error, _) => Some(message.error().map_or(0, |error| error.code)),
            (_, true) if mapped.is_some() => None,
            _ => Some(0),
        };
        self.asks.end(&ask);
        match (purpose, mapped.filter(|_| refused.is_none())) {
            (Purpose::First(index), Some(mapped)) => self.learnt(index, mapped, &ask, message, now),
            (Purpose::First(index), None) => {
                self.servers[index].answer = Answer::Refused(refused.unwrap_or_default());
            }
            (Purpose::Beside, Some(mapped)) => {
                let is_same = self.last == Some(mapped);
                self.last = Some(mapped);
                self.map(if is_same { MappingEvent::Same } else { MappingEvent::Different });
            }
            (Purpose::Port | Purpose::Control, Some(mapped)) => {
                self.mapped[base].get_or_insert((ask.since, mapped));
                if purpose == Purpose::Control {
                    self.rounds.answer();
                }
            }
            (Purpose::Elsewhere(change), seen) => {
                self.judge(change, if seen.is_some() { Trial::Heard } else { Trial::Refused });
            }
            (Purpose::Open(change), Some(_)) => {
                if let Some((to, _)) = self.both {
                    self.ask(Purpose::Proof(change), FILTERING, to, change, TRIES);
                }
            }
            (Purpose::Proof(change), Some(_)) => self.judge(change, Trial::Proven),
            (purpose, None) => self.silent(purpose),
            (Purpose::Hairpin, Some(_)) => {}
        }
    }

    /// From where the answer to a request is to come.
    fn source(&self, to: SocketAddr, change: Change) -> SocketAddr {
        let Some((_, other)) = self.both else { return to };
        let ip = if change.ip { other.ip() } else { to.ip() };
        SocketAddr::new(ip, if change.port { other.port() } else { to.port() })
    }

    /// A server has answered test I.
    fn learnt(
        &mut self,
        index: usize,
        mapped: SocketAddr,
        ask: &Ask<Purpose>,
        message: &Message<'_>,
        now: Time,
    ) {
        let rtt = (!ask.was_repeated()).then(|| now - ask.since);
        let to = ask.question.to;
        let other = message.other_address().filter(|other| is_other(*other, to));
        let server = &mut self.servers[index];
        (server.answer, server.other) = (Answer::Mapped { mapped, rtt }, other);
        if let Some((xored, plain)) = message.xor_mapped_address().zip(message.mapped_address()) {
            *self.rewritten.get_or_insert(false) |= xored != plain;
        }
        self.mapped[MAPPING].get_or_insert((ask.since, mapped));
        if self.is_brief {
            return;
        }
        if self.main.is_none() {
            self.main = Some(to);
            for base in HAIRPIN..BASES {
                self.ask(Purpose::Port, base, to, Change::NONE, TRIES);
            }
        }
        if let (None, Some(other)) = (self.both, other) {
            self.both = Some((to, other));
            self.last = Some(mapped);
            self.map(MappingEvent::Learnt);
            self.stage = Stage::Rounds;
        }
    }

    fn map(&mut self, event: MappingEvent) {
        self.mapping = self.mapping.after(event);
        let Some((to, other)) = self.both else { return };
        let next = match self.mapping {
            MappingState::OtherAddress => SocketAddr::new(other.ip(), to.port()),
            MappingState::OtherPort => other,
            MappingState::First | MappingState::Done(_) => return,
        };
        self.ask(Purpose::Beside, MAPPING, next, Change::NONE, TRIES);
    }

    fn silent(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Beside => self.map(MappingEvent::Silent),
            // Where it does not even answer by itself.
            Purpose::Open(change) => self.judge(change, Trial::Refused),
            Purpose::Proof(change) => self.judge(change, Trial::Unproven),
            Purpose::First(_)
            | Purpose::Port
            | Purpose::Control
            | Purpose::Elsewhere(_)
            | Purpose::Hairpin => {}
        }
    }

    fn judge(&mut self, change: Change, trial: Trial) {
        for (known, asked) in self.trials.iter_mut().zip(TRIALS) {
            if asked == change && *known == Trial::Silent {
                *known = trial;
            }
        }
    }

    /// Plans what follows from what is known; whether more may follow now.
    fn go_on(&mut self, now: Time) -> bool {
        if self.began.is_none() || self.ended.is_some() {
            return false;
        }
        let before = (self.stage, self.mapping);
        let is_first = |purpose| matches!(purpose, Purpose::First(_));
        if self.both.is_none() && !self.asks.has(is_first) {
            let event =
                if self.main.is_some() { MappingEvent::Alone } else { MappingEvent::Silent };
            self.map(event);
            self.stage = Stage::Done;
        }
        match self.stage {
            Stage::Waiting | Stage::Done => {}
            Stage::Rounds => self.go_round(),
            Stage::Proofs => {
                let is_proof = |p| matches!(p, Purpose::Open(_) | Purpose::Proof(_));
                if !self.asks.has(is_proof) {
                    self.stage = Stage::Done;
                }
            }
        }
        if self.mapping.behavior().is_some() {
            self.begin_hairpin();
            if self.stage == Stage::Done && self.asks.is_empty() {
                self.ended = Some(now);
            }
        }
        before != (self.stage, self.mapping)
    }

    fn go_round(&mut self) {
        let Some((to, _)) = self.both else { return };
        let is_round = |p| matches!(p, Purpose::Control | Purpose::Elsewhere(_));
        let is_open = self.trials[0] == Trial::Heard;
        let is_settled = is_open || !self.trials.contains(&Trial::Silent);
        match self.rounds.next() {
            Next::Again if !is_settled => {
                if self.asks.waits(is_round) {
                    return;
                }
                self.rounds.make();
                self.ask(Purpose::Control, FILTERING, to, Change::NONE, 1);
                for (trial, change) in self.trials.into_iter().zip(TRIALS) {
                    if trial == Trial::Silent {
                        self.ask(Purpose::Elsewhere(change), FILTERING, to, change, 1);
                    }
                }
            }
            // Answers may still be on their way.
            _ if !is_open && self.asks.has(is_round) => {}
            _ => {
                self.asks.cancel(|p| matches!(p, Purpose::Elsewhere(_)));
                self.stage = Stage::Proofs;
                self.ask_for_proof(to);
            }
        }
    }

    /// Has the server show that it does answer from where nothing came.
    fn ask_for_proof(&mut self, to: SocketAddr) {
        if self.trials[0] == Trial::Heard || self.rounds.next() != Next::Enough {
            return;
        }
        for (trial, change) in self.trials.into_iter().zip(TRIALS) {
            if trial == Trial::Silent {
                let place = self.source(to, change);
                self.ask(Purpose::Open(change), FILTERING, place, Change::NONE, TRIES);
            }
        }
    }

    /// Begins with the hairpin, once it is known where the two sockets for it
    /// are seen, and unless they are seen where they are.
    fn begin_hairpin(&mut self) {
        let [first, second] = [MAPPING, HAIRPIN].map(|base| self.mapped[base]);
        let (None, Some((_, first)), Some((_, second))) = (self.hairpin, first, second) else {
            return;
        };
        if first == self.locals[MAPPING] {
            return;
        }
        self.hairpin = Some(false);
        self.ask(Purpose::Hairpin, HAIRPIN, first, Change::NONE, HAIRPIN_TRIES);
        self.ask(Purpose::Hairpin, MAPPING, second, Change::NONE, HAIRPIN_TRIES);
    }
}

/// Whether an address may be the other one of the server at `to`.
fn is_other(other: SocketAddr, to: SocketAddr) -> bool {
    let ip = other.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    Family::of(ip) == Family::of(to.ip())
        && ip != to.ip()
        && other.port() != to.port()
        && other.port() != 0
        && !(ip.is_unspecified() || ip.is_multicast() || is_broadcast)
        && (!ip.is_loopback() || to.ip().is_loopback())
}

/// The mapped address in a success response that demands nothing unknown.
fn mapped_address(message: &Message<'_>, local: SocketAddr) -> Option<SocketAddr> {
    let unknown = message.unknown_required();
    // RFC 3489's, which servers of old send.
    let is_old = |kind: &u16| [0x0004, 0x0005, 0x000b, CHANGE_REQUEST.0].contains(kind);
    if message.class() != Class::Success || !unknown.iter().all(is_old) {
        return None;
    }
    let mapped = message.xor_mapped_address().or_else(|| message.mapped_address())?;
    let is_ours = Family::of(mapped.ip()) == Family::of(local.ip());
    Some(net::canonical(mapped)).filter(|mapped| is_ours && mapped.port() != 0)
}
