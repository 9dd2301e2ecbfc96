//! Two agents that have TCP alone, on a wire of connections that are opened,
//! refused, cut and mixed with those of strangers as the input wants. Once it
//! is used up, the wire is honest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arbitrary::Unstructured;
use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, LogRecord, RemoteParameters, SocketOp,
    Sockets, StreamId, Transports,
};
use floe::candidate::{Candidate, TcpType};
use floe::check::{PairState, Role};
use floe::rng::Seed;
use floe::tcp::Framing;
use floe::timer::{Pacer, Time};

use crate::tcp_connections::{ERRORS, byte, handshake};

const STREAM: StreamId = StreamId(0);
const MAX_ROUNDS: usize = 2_500;
const ONE_WAY: Duration = Duration::from_millis(10);
const PAIRS: usize = 100;

/// A connection as one of its ends knows it.
type End = (usize, BaseId, SocketAddr);

enum Happening {
    /// A connect() is decided: it opens, or fails for this reason.
    Decided(End, Result<(), ErrorKind>),
    Message(End, Vec<u8>),
    Cut(End),
}

struct Agent {
    core: Core,
    bases: BTreeMap<BaseId, (SocketAddr, TcpType)>,
    next_port: u16,
    candidates: Vec<Candidate>,
    records: Vec<LogRecord>,
}

struct World {
    agents: [Agent; 2],
    now: Time,
    wire: BTreeMap<(Time, u64), Happening>,
    number: u64,
    /// connect() that is not decided.
    dialing: BTreeSet<End>,
    /// Open connections and their other ends.
    links: BTreeMap<End, End>,
}

/// Runs one negotiation.
pub(crate) fn run(input: &mut Unstructured<'_>) {
    let mut world = World::new(byte(input), input);
    for _ in 0..MAX_ROUNDS {
        if !world.round(input) {
            break;
        }
    }
    world.close();
}

impl World {
    fn new(choice: u8, input: &mut Unstructured<'_>) -> Self {
        let kinds = [
            Transports::TCP,
            Transports { tcp_active: false, tcp_passive: false, ..Transports::TCP },
            Transports { tcp_so: false, ..Transports::TCP },
            Transports::TCP,
        ];
        let agents = [0, 1].map(|side: usize| {
            let role = if side == 0 { Role::Controlling } else { Role::Controlled };
            let mut config = Config::new(role);
            config.transports = kinds[usize::from(choice & 3)];
            config.renomination = choice >> 2 & 1 == 0;
            config.log = true;
            let mut core = Core::new(config, &Seed::from_number(side as u64), Pacer::new());
            core.add_stream(1).expect("one component");
            let (bases, candidates, records) = (BTreeMap::new(), Vec::new(), Vec::new());
            Agent { core, bases, next_port: 5_000, candidates, records }
        });
        let (wire, links) = (BTreeMap::new(), BTreeMap::new());
        let (now, dialing) = (Time::ZERO, BTreeSet::new());
        let mut world = World { agents, now, wire, number: 0, dialing, links };
        for side in 0..2 {
            world.list_addresses(side);
            world.drain(side, input);
        }
        (0..2).for_each(|side| world.signal(side, input));
        world
    }

    fn list_addresses(&mut self, side: usize) {
        let address = LocalAddress {
            ip: IpAddr::from([10, 0, side as u8, 1]),
            interface: "fuzz0".into(),
            index: 1,
            prefix: None,
            temporary: None,
            deprecated: None,
        };
        self.agents[side].core.handle_input(self.now, Input::LocalAddresses(&[address]));
    }

    /// A side learns all of the other's that there is.
    fn signal(&mut self, to: usize, input: &mut Unstructured<'_>) {
        let theirs = &self.agents[1 - to];
        let Some(credentials) = theirs.core.local_credentials(STREAM) else { return };
        let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        parameters.options = theirs.core.options().into_iter().map(Into::into).collect();
        let candidates = theirs.candidates.clone();
        let core = &mut self.agents[to].core;
        // Those of before a restart, and repeated ones, are refused.
        let _ = core.set_remote_parameters(STREAM, parameters, self.now);
        for candidate in candidates {
            let _ = core.add_remote_candidate(STREAM, &candidate, self.now);
        }
        self.drain(to, input);
    }

    fn round(&mut self, input: &mut Unstructured<'_>) -> bool {
        let timers = self.agents.iter().filter_map(|a| a.core.poll_timeout()).map(|t| t.0);
        let arrival = self.wire.first_key_value().map(|((time, _), _)| *time);
        let end = Time::ZERO + Duration::from_secs(90);
        let Some(next) = timers.chain(arrival).min().filter(|t| *t <= end) else { return false };
        assert!(next >= self.now, "time goes back");
        self.now = next;
        if let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= next) {
            let happening = entry.remove();
            self.happen(happening, input);
        }
        for side in 0..2 {
            let core = &mut self.agents[side].core;
            if core.poll_timeout().is_some_and(|(t, _)| t <= next) {
                core.handle_timeout(next);
                self.drain(side, input);
            }
        }
        if !input.is_empty() {
            self.mischief(input);
        }
        true
    }

    fn happen(&mut self, happening: Happening, input: &mut Unstructured<'_>) {
        match happening {
            Happening::Decided(end, decision) => self.decide(end, decision, input),
            Happening::Message((side, base, from), bytes) => {
                if self.links.contains_key(&(side, base, from)) {
                    self.tell(side, Input::Datagram { base, from, bytes: &bytes }, input);
                }
            }
            Happening::Cut(end) => {
                self.links.remove(&end);
                let (side, base, from) = end;
                self.tell(side, Input::Disconnected { base, from, kind: None }, input);
            }
        }
    }

    fn decide(&mut self, end: End, decision: Result<(), ErrorKind>, input: &mut Unstructured<'_>) {
        let (side, base, to) = end;
        let Some((local, tcp_type)) = self.agents[side].bases.get(&base).copied() else { return };
        if !self.dialing.remove(&end) {
            return;
        }
        let other = 1 - side;
        let listens = |(_, base): &(&BaseId, &(SocketAddr, TcpType))| {
            base.0 == to && base.1 != TcpType::Active
        };
        let peer = self.agents[other].bases.iter().find(listens).map(|(id, _)| *id);
        let Some(peer) = peer.filter(|_| decision.is_ok()) else {
            let kind = decision.err().unwrap_or(ErrorKind::ConnectionRefused);
            return self.tell(side, Input::ConnectFailed { base, to, kind }, input);
        };
        let local = match tcp_type {
            TcpType::Active => {
                self.number += 1;
                SocketAddr::new(local.ip(), 40_000 + (self.number % 20_000) as u16)
            }
            _ => local,
        };
        let far = (other, peer, local);
        if self.dialing.remove(&far) {
            // Both have opened it.
            self.link(end, far);
            self.tell(other, Input::Connected { base: peer, to: local, local: to }, input);
        } else if self.links.contains_key(&far) {
            let kind = ErrorKind::AddrNotAvailable;
            return self.tell(side, Input::ConnectFailed { base, to, kind }, input);
        } else {
            self.link(end, far);
            self.tell(other, Input::Accepted { base: peer, from: local }, input);
        }
        self.tell(side, Input::Connected { base, to, local }, input);
    }

    fn link(&mut self, one: End, two: End) {
        self.links.insert(one, two);
        self.links.insert(two, one);
    }

    fn tell(&mut self, side: usize, what: Input<'_>, input: &mut Unstructured<'_>) {
        self.agents[side].core.handle_input(self.now, what);
        self.drain(side, input);
    }

    /// Something that nobody has asked for.
    fn mischief(&mut self, input: &mut Unstructured<'_>) {
        let (what, side) = (byte(input), usize::from(byte(input) & 1));
        let links: Vec<End> = self.links.keys().filter(|end| end.0 == side).copied().collect();
        let some = links.get(usize::from(what >> 3) % links.len().max(1)).copied();
        let bases: Vec<BaseId> = self.agents[side].bases.keys().copied().collect();
        let base = bases.get(usize::from(what >> 3) % bases.len().max(1)).copied();
        let (from, to) =
            (SocketAddr::from(([10, 9, 9, what >> 5], 9)), SocketAddr::from(([10, 9, 9, 1], 1)));
        match (what & 7, some, base) {
            (0, Some(end), _) => self.cut(end),
            (1, Some((_, base, from)), _) => self.tell(side, Input::NotStun { base, from }, input),
            (2, _, Some(base)) => self.tell(side, Input::Accepted { base, from }, input),
            (3, _, Some(base)) => {
                let bytes = input.bytes(input.len().min(40)).unwrap_or_default().to_vec();
                self.tell(side, Input::Datagram { base, from, bytes: &bytes }, input);
            }
            (4, _, Some(base)) => {
                let handshake = handshake(what >> 3);
                let to = self.dialing.first().map_or(to, |end| end.2);
                self.tell(side, Input::Inspected { base, to, handshake }, input);
            }
            (5, _, Some(base)) => {
                let kind = ERRORS[usize::from(what >> 5)];
                self.tell(side, Input::Disconnected { base, from, kind: Some(kind) }, input);
            }
            (6, _, _) if what >> 5 == 0 => {
                let sockets = if what & 8 == 0 { Sockets::Keep } else { Sockets::Rebind };
                let now = self.now;
                self.agents[side].core.restart(STREAM, sockets, now).expect("a known stream");
                self.agents[side].candidates.clear();
                self.drain(side, input);
                self.signal(1 - side, input);
                self.signal(side, input);
            }
            _ => {}
        }
    }

    /// Both ends lose the connection, the other one later.
    fn cut(&mut self, end: End) {
        if let Some(far) = self.links.get(&end).copied() {
            self.put(Happening::Cut(end), Duration::ZERO);
            self.put(Happening::Cut(far), ONE_WAY);
        }
    }

    fn put(&mut self, happening: Happening, delay: Duration) {
        self.number += 1;
        self.wire.insert((self.now + delay, self.number), happening);
    }

    fn drain(&mut self, side: usize, input: &mut Unstructured<'_>) {
        let now = self.now;
        while let Some(op) = self.agents[side].core.poll_socket_op() {
            self.perform(side, op, input);
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.agents[side].core.poll_transmit(&mut bytes) {
            if let Some(far) = self.links.get(&(side, transmit.base, transmit.to)).copied() {
                self.put(Happening::Message(far, bytes.clone()), ONE_WAY);
            }
        }
        let agent = &mut self.agents[side];
        while let Some(event) = agent.core.poll_event() {
            if let Event::Candidate { candidate, .. } = event {
                agent.candidates.push(candidate);
            }
        }
        agent.records.extend(std::iter::from_fn(|| agent.core.poll_log()));
        let next = agent.core.poll_timeout();
        assert!(next.is_none_or(|(t, _)| t > now), "at {now} the timeout is {next:?}");
        let pairs = agent.core.pairs(STREAM).filter(|pair| pair.state != PairState::Removed);
        assert!(pairs.count() <= PAIRS);
    }

    fn perform(&mut self, side: usize, op: SocketOp, input: &mut Unstructured<'_>) {
        let now = self.now;
        match op {
            SocketOp::BindTcp { base, ip, tcp_type, .. } => {
                let agent = &mut self.agents[side];
                agent.next_port += 1;
                let port = if tcp_type == TcpType::Active { 9 } else { agent.next_port };
                let local = SocketAddr::new(ip, port);
                agent.bases.insert(base, (local, tcp_type));
                agent.core.handle_input(now, Input::Bound { base, local });
            }
            SocketOp::Connect { base, to, framing } => {
                assert_eq!(framing, Framing::Rfc4571, "there is no server");
                assert!(!self.links.contains_key(&(side, base, to)), "it is open already");
                assert!(self.dialing.insert((side, base, to)), "one at a time");
                let choice = byte(input);
                let error = ERRORS[usize::from(choice >> 3 & 7)];
                let decision = if choice & 3 == 1 { Err(error) } else { Ok(()) };
                // Some are silent.
                if choice & 7 != 2 {
                    self.put(Happening::Decided((side, base, to), decision), ONE_WAY * 2);
                }
            }
            SocketOp::Disconnect { base, to, .. } => {
                self.dialing.remove(&(side, base, to));
                if let Some(far) = self.links.remove(&(side, base, to)) {
                    self.put(Happening::Cut(far), ONE_WAY);
                }
            }
            SocketOp::Close { base } => {
                self.agents[side].bases.remove(&base).expect("an open base");
                self.dialing.retain(|end| (end.0, end.1) != (side, base));
                let is_its = |end: &&End| (end.0, end.1) == (side, base);
                let ends: Vec<End> = self.links.keys().filter(is_its).copied().collect();
                for end in ends {
                    if let Some(far) = self.links.remove(&end) {
                        self.put(Happening::Cut(far), ONE_WAY);
                    }
                }
            }
            SocketOp::ListAddresses => self.list_addresses(side),
            _ => {}
        }
    }

    fn close(mut self) {
        for side in 0..2 {
            let now = self.now;
            self.agents[side].core.close(now);
            self.drain(side, &mut Unstructured::new(&[]));
            assert!(self.agents[side].bases.is_empty(), "every base is given back");
        }
        for agent in self.agents {
            let count = agent.records.len() as u64;
            match floe::agent::replay::replay(agent.records) {
                Ok(replayed) => assert_eq!(replayed.records, count),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Without any input the wire is honest, and both sides are there at once.
#[test]
fn an_honest_wire_connects() {
    for choice in 0..8 {
        let mut input = Unstructured::new(&[]);
        let mut world = World::new(choice, &mut input);
        while world.now < Time::from_millis(5_000) && world.round(&mut input) {}
        for agent in &world.agents {
            assert_eq!(agent.core.state(), floe::agent::State::Completed, "choice {choice}");
        }
        world.close();
    }
}
