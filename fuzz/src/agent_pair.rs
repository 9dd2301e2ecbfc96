//! Two negotiating cores in virtual time, and an attacker on the wire who has
//! no password: every datagram may be lost, repeated, held back, changed or
//! answered by a forgery. Once the input is used up, everything is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arbitrary::Unstructured;
use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, LogRecord, RemoteParameters, SocketOp,
};
use floe::check::{PairState, Role};
use floe::rng::Seed;
use floe::stun::{self, CheckParameters, CheckTemplate, IntegrityKey, Message, TransactionId};
use floe::timer::{Pacer, Time};

use crate::close::close;

/// Rounds of a run; what two agents do in a minute takes fewer.
const MAX_ROUNDS: usize = 1_500;
/// Datagrams that the attacker remembers.
const MAX_SEEN: usize = 64;
/// Datagrams that a core may have to send after one input.
const MAX_BURST: usize = 64;
const ONE_WAY: Duration = Duration::from_millis(10);
const PAIRS: usize = 100;

/// Runs one negotiation as `data` wants it.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut world = World::new(byte(&mut input));
    world.signal(&mut input);
    for _ in 0..MAX_ROUNDS {
        if !world.round(&mut input) {
            break;
        }
    }
    world.close();
    world.replay_logs();
}

fn byte(input: &mut Unstructured<'_>) -> u8 {
    input.arbitrary().unwrap_or_default()
}

#[derive(Clone)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

struct Agent {
    core: Core,
    sockets: BTreeMap<BaseId, SocketAddr>,
    /// Those that it has closed too: an answer that was held back may show one
    /// of them valid after its owner has freed it.
    addresses: BTreeSet<SocketAddr>,
    candidates: Vec<floe::candidate::Candidate>,
    records: Vec<LogRecord>,
}

struct World {
    agents: [Agent; 2],
    now: Time,
    wire: BTreeMap<(Time, u64), Datagram>,
    number: u64,
    seen: Vec<Datagram>,
}

impl World {
    fn new(choice: u8) -> Self {
        let roles = [Role::Controlling, Role::Controlled];
        let agents = [0, 1].map(|side: usize| {
            let role =
                if choice & 1 == 0 { roles[side] } else { roles[usize::from(choice >> 1 & 1)] };
            let mut config = Config::new(role);
            config.log = true;
            let mut core = Core::new(config, &Seed::from_number(side as u64), Pacer::new());
            let components = 1 + u16::from(choice >> 2 & 1);
            core.add_stream(components).expect("1 or 2 components");
            let addresses = [1, 2].map(|n| local_address([10, 0, side as u8, n].into()));
            core.handle_input(Time::ZERO, Input::LocalAddresses(&addresses));
            let (sockets, addresses) = (BTreeMap::new(), BTreeSet::new());
            Agent { core, sockets, addresses, candidates: Vec::new(), records: Vec::new() }
        });
        let (wire, seen) = (BTreeMap::new(), Vec::new());
        let mut world = World { agents, now: Time::ZERO, wire, number: 0, seen };
        (0..2).for_each(|side| world.drain(side, &mut Unstructured::new(&[])));
        world
    }

    /// Each side learns of the other, in an order of the input's choice.
    fn signal(&mut self, input: &mut Unstructured<'_>) {
        let order = byte(input);
        for step in 0..2 {
            let side = usize::from(order & 1) ^ step;
            if order >> 1 & 1 == 0 {
                self.give_parameters(side);
            }
            for candidate in self.agents[1 - side].candidates.clone() {
                for stream in self.agents[side].core.streams() {
                    // A later candidate may find the component concluded.
                    let core = &mut self.agents[side].core;
                    let _ = core.add_remote_candidate(stream, &candidate, self.now);
                }
            }
            self.give_parameters(side);
            self.drain(side, input);
            let rounds = if step == 0 { byte(input) } else { 0 };
            (0..rounds).for_each(|_| {
                self.round(input);
            });
        }
    }

    fn give_parameters(&mut self, side: usize) {
        for stream in self.agents[side].core.streams() {
            let theirs = self.agents[1 - side].core.local_credentials(stream);
            let theirs = theirs.expect("both have the same streams");
            let mut parameters = RemoteParameters::new(&theirs.ufrag, &theirs.pwd);
            parameters.pacing = Duration::from_millis(5);
            let given = self.agents[side].core.set_remote_parameters(stream, parameters, self.now);
            given.expect("good credentials, and always the same");
        }
    }

    /// The next datagram or timeout. False when a minute has passed, or
    /// nothing is left.
    fn round(&mut self, input: &mut Unstructured<'_>) -> bool {
        let timers = self.agents.iter().filter_map(|a| a.core.poll_timeout()).map(|t| t.0);
        let arrival = self.wire.first_key_value().map(|((time, _), _)| *time);
        let end = Time::ZERO + Duration::from_secs(60);
        let Some(next) = timers.chain(arrival).min().filter(|t| *t <= end) else { return false };
        assert!(next >= self.now, "time goes back");
        self.now = next;
        if let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= next) {
            let datagram = entry.remove();
            self.deliver(&datagram, input);
        }
        for side in 0..2 {
            let core = &mut self.agents[side].core;
            if core.poll_timeout().is_some_and(|(t, _)| t <= next) {
                core.handle_timeout(next);
                self.drain(side, input);
            }
        }
        true
    }

    fn deliver(&mut self, datagram: &Datagram, input: &mut Unstructured<'_>) {
        for side in 0..2 {
            let mut sockets = self.agents[side].sockets.iter();
            let base = sockets.find(|(_, local)| **local == datagram.to).map(|(base, _)| *base);
            if let Some(base) = base {
                let Datagram { from, ref bytes, .. } = *datagram;
                self.agents[side]
                    .core
                    .handle_input(self.now, Input::Datagram { base, from, bytes });
                self.drain(side, input);
            }
        }
    }

    fn drain(&mut self, side: usize, input: &mut Unstructured<'_>) {
        let now = self.now;
        while let Some(op) = self.agents[side].core.poll_socket_op() {
            let agent = &mut self.agents[side];
            match op {
                SocketOp::BindUdp { base, ip, .. } => {
                    let local = SocketAddr::new(ip, 5000 + agent.addresses.len() as u16);
                    agent.sockets.insert(base, local);
                    agent.addresses.insert(local);
                    agent.core.handle_input(now, Input::Bound { base, local });
                }
                SocketOp::Close { base } => {
                    agent.sockets.remove(&base).expect("an open socket");
                }
                _ => {}
            }
        }
        let mut bytes = Vec::new();
        let mut burst = 0;
        while let Some(transmit) = self.agents[side].core.poll_transmit(&mut bytes) {
            burst += 1;
            assert!(burst <= MAX_BURST, "one input sets off {burst} datagrams");
            let Some(from) = self.agents[side].sockets.get(&transmit.base) else { continue };
            let datagram = Datagram { from: *from, to: transmit.to, bytes: bytes.clone() };
            self.send(datagram, input);
        }
        self.check(side);
    }

    fn check(&mut self, side: usize) {
        let theirs = self.agents[1 - side].addresses.clone();
        let agent = &mut self.agents[side];
        while let Some(event) = agent.core.poll_event() {
            match event {
                Event::Candidate { candidate, .. } => agent.candidates.push(candidate),
                Event::SendPath { path: Some((_, to)), .. } => {
                    assert!(theirs.contains(&to), "data would go to {to}");
                }
                Event::Selected { remote, .. } => {
                    let remote = remote.address();
                    assert!(remote.is_some_and(|r| theirs.contains(&r)), "{remote:?} is selected");
                }
                _ => {}
            }
        }
        agent.records.extend(std::iter::from_fn(|| agent.core.poll_log()));
        let next = agent.core.poll_timeout();
        assert!(next.is_none_or(|(t, _)| t > self.now), "at {} the timeout is {next:?}", self.now);
        let pairs = agent.core.streams().flat_map(|stream| agent.core.pairs(stream));
        assert!(pairs.filter(|p| p.state != PairState::Removed).count() <= PAIRS);
    }

    /// The wire, with the attacker on it.
    fn send(&mut self, datagram: Datagram, input: &mut Unstructured<'_>) {
        if self.seen.len() == MAX_SEEN {
            self.seen.remove(0);
        }
        self.seen.push(datagram.clone());
        match byte(input) % 10 {
            0..=2 => self.put(datagram, ONE_WAY),
            3 => {}
            4 => {
                self.put(datagram.clone(), ONE_WAY);
                self.put(datagram, ONE_WAY * 3);
            }
            5 => {
                let late = ONE_WAY * u32::from(byte(input));
                self.put(datagram, late);
            }
            6 => self.put(changed(datagram, input), ONE_WAY),
            7 => {
                self.put(datagram, ONE_WAY);
                self.replay(input);
            }
            8 => {
                let forged = self.forged(&datagram, input);
                self.put(forged, ONE_WAY / 2);
                self.put(datagram, ONE_WAY);
            }
            _ => {
                let len = usize::from(byte(input));
                let bytes = input.bytes(len.min(input.len())).unwrap_or_default().to_vec();
                let from = stranger(input, datagram.from);
                self.put(Datagram { from, to: datagram.to, bytes }, ONE_WAY / 2);
                self.put(datagram, ONE_WAY);
            }
        }
    }

    fn put(&mut self, datagram: Datagram, delay: Duration) {
        self.number += 1;
        self.wire.insert((self.now + delay, self.number), datagram);
    }

    /// An old datagram again, perhaps from elsewhere. It goes to where it
    /// went: whoever forwards both ways is a path, if a strange one.
    fn replay(&mut self, input: &mut Unstructured<'_>) {
        let at = usize::from(byte(input)) % self.seen.len().max(1);
        if let Some(mut old) = self.seen.get(at).cloned() {
            old.from = stranger(input, old.from);
            self.put(old, ONE_WAY);
        }
    }

    /// A message that looks right and is signed with a key of the attacker's,
    /// or not at all: to the receiver of `seen`, or as an answer to its sender.
    fn forged(&self, seen: &Datagram, input: &mut Unstructured<'_>) -> Datagram {
        let key = IntegrityKey::short_term("the attacker's own password");
        let mut bytes = Vec::new();
        let message = Message::parse(&seen.bytes).ok();
        let id = message.map_or(TransactionId([0; 12]), |m| m.transaction_id());
        let back = Datagram { from: seen.to, to: seen.from, bytes: Vec::new() };
        match byte(input) % 4 {
            0 => {
                stun::write_success(id, seen.from, &key, &mut bytes);
                Datagram { bytes, ..back }
            }
            1 => {
                let code = [400, 401, 403, 420, 487, 500][usize::from(byte(input)) % 6];
                let key = (byte(input) & 1 == 0).then_some(&key);
                stun::write_error(id, code, "", &[0x7777], key, &mut bytes);
                Datagram { bytes, ..back }
            }
            2 => {
                let username = message.and_then(|m| m.username()).unwrap_or("a:b");
                let controlling = byte(input) & 1 == 0;
                let parameters = CheckParameters {
                    username,
                    key: &key,
                    controlling,
                    tie_breaker: u64::from(byte(input)) << 56,
                    priority: u32::MAX >> 1,
                };
                CheckTemplate::new(&parameters).write(id, true, None, &key, &mut bytes);
                Datagram { from: stranger(input, seen.from), to: seen.to, bytes }
            }
            _ => {
                stun::write_binding_request(id, &mut bytes);
                Datagram { from: stranger(input, seen.from), to: seen.to, bytes }
            }
        }
    }

    fn close(&mut self) {
        let now = self.now;
        for agent in &mut self.agents {
            close(&mut agent.core, &mut agent.sockets, now);
            agent.records.extend(std::iter::from_fn(|| agent.core.poll_log()));
        }
    }

    /// What each agent did comes out of its log once more.
    fn replay_logs(self) {
        for agent in self.agents {
            let count = agent.records.len() as u64;
            match floe::agent::replay::replay(agent.records) {
                Ok(replayed) => assert_eq!(replayed.records, count),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The datagram with some bytes changed, and perhaps cut short.
fn changed(mut datagram: Datagram, input: &mut Unstructured<'_>) -> Datagram {
    for _ in 0..=byte(input) % 4 {
        let at = usize::from(byte(input));
        let mask = byte(input);
        let len = datagram.bytes.len();
        if let Some(byte) = datagram.bytes.get_mut(at % len.max(1)) {
            *byte ^= mask;
        }
    }
    if byte(input) & 7 == 7 {
        let len = usize::from(byte(input)) % (datagram.bytes.len() + 1);
        datagram.bytes.truncate(len);
    }
    datagram
}

/// An address of the attacker's, or the one that belongs there.
fn stranger(input: &mut Unstructured<'_>, honest: SocketAddr) -> SocketAddr {
    match byte(input) {
        0..=127 => honest,
        n => SocketAddr::from(([10, 9, 9, n], 9)),
    }
}

fn local_address(ip: IpAddr) -> LocalAddress {
    LocalAddress {
        ip,
        interface: "fuzz0".into(),
        index: 1,
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}

/// Without any input the wire is honest, and both sides are there at once.
#[test]
fn an_honest_wire_connects() {
    for choice in 0..8 {
        let mut world = World::new(choice);
        let mut input = Unstructured::new(&[]);
        world.signal(&mut input);
        while world.now < Time::from_millis(1_000) && world.round(&mut input) {}
        for agent in &world.agents {
            assert_eq!(agent.core.state(), floe::agent::State::Completed, "choice {choice}");
        }
    }
}
