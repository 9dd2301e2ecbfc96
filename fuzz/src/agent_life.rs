//! The life of two agents in virtual time, as applications and networks make
//! it: restarts, renominations, streams that come and go, addresses that move,
//! machines that sleep, consent that is revoked, signalling that is late,
//! repeated or lost, at any moment and in any order. The wire is honest.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arbitrary::Unstructured;
use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, RemoteParameters, SocketOp, Sockets, StreamId,
};
use floe::candidate::{Candidate, ComponentId};
use floe::check::{PairState, Role};
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

use crate::close::close;

/// Things that happen in a run.
const MAX_STEPS: usize = 200;
/// Datagrams and timeouts between two of them.
const MAX_ROUNDS: usize = 2_000;
/// Messages of the signalling that may wait.
const MAX_SIGNALS: usize = 256;
const ONE_WAY: Duration = Duration::from_millis(10);
const PAIRS: usize = 100;
/// Sockets of an agent: two addresses, two components, a session and the one
/// before it, for each stream.
const SOCKETS: usize = 3 * 8;
const STREAMS: usize = 3;

/// Runs one life as `data` wants it.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut world = World::new(byte(&mut input));
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.settle();
    world.close();
}

fn byte(input: &mut Unstructured<'_>) -> u8 {
    input.arbitrary().unwrap_or_default()
}

#[derive(Clone)]
enum Signal {
    Parameters(StreamId, RemoteParameters),
    Candidate(StreamId, Candidate),
    End(StreamId),
}

struct Agent {
    core: Core,
    lite: bool,
    sockets: BTreeMap<BaseId, SocketAddr>,
    next_port: u16,
    addresses: Vec<IpAddr>,
    /// Where the data of each component goes.
    paths: BTreeMap<(StreamId, ComponentId), Option<(BaseId, SocketAddr)>>,
}

struct World {
    agents: [Agent; 2],
    now: Time,
    wire: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    number: u64,
    /// By the side that they are for.
    signals: [Vec<Signal>; 2],
    cut: bool,
}

impl World {
    fn new(choice: u8) -> Self {
        let agents = [0, 1].map(|side: usize| {
            let role = if choice >> side & 1 == 0 { Role::Controlling } else { Role::Controlled };
            let mut config = Config::new(role);
            config.lite = choice >> (2 + side) & 1 == 1;
            config.continual = choice >> 4 & 1 == 1;
            config.renomination = choice >> 5 & 1 == 0;
            config.follow_network = choice >> 6 & 1 == 0;
            let lite = config.lite;
            let mut core = Core::new(config, &Seed::from_number(side as u64), Pacer::new());
            core.add_stream(1 + u16::from(choice >> 7)).expect("1 or 2 components");
            let addresses = vec![address(side, 1), address(side, 2)];
            let (sockets, paths) = (BTreeMap::new(), BTreeMap::new());
            Agent { core, lite, sockets, next_port: 5000, addresses, paths }
        });
        let (wire, signals) = (BTreeMap::new(), Default::default());
        let mut world = World { agents, now: Time::ZERO, wire, number: 0, signals, cut: false };
        for side in 0..2 {
            world.list_addresses(side);
            world.announce(side, StreamId(0), None);
            world.drain(side);
        }
        world
    }

    /// One thing happens, then some time passes.
    fn step(&mut self, input: &mut Unstructured<'_>) {
        let (what, side) = (byte(input), usize::from(byte(input) & 1));
        let detail = byte(input);
        let now = self.now;
        let streams: Vec<StreamId> = self.agents[side].core.streams().collect();
        let stream = streams.get(usize::from(detail >> 4) % streams.len().max(1)).copied();
        let stream = stream.unwrap_or(StreamId(u16::from(detail)));
        let core = &mut self.agents[side].core;
        match what % 16 {
            0..=3 => self.hear(side, usize::from(detail)),
            4 => {
                let sockets = if detail & 1 == 0 { Sockets::Keep } else { Sockets::Rebind };
                let restarted = core.restart(stream, sockets, now);
                assert_eq!(restarted.is_ok(), streams.contains(&stream));
            }
            5 => {
                let places = [vec![1], vec![2], vec![1, 2], vec![3], vec![], vec![1, 3]];
                let hosts = &places[usize::from(detail) % places.len()];
                self.agents[side].addresses = hosts.iter().map(|n| address(side, *n)).collect();
                self.list_addresses(side);
            }
            6 => {
                let slept = Duration::from_secs(u64::from(detail));
                core.handle_input(now, Input::Woke { slept });
            }
            7 => {
                let pairs: Vec<_> = core.pairs(stream).map(|pair| pair.id).collect();
                if let Some(pair) = pairs.get(usize::from(detail) % pairs.len().max(1)) {
                    // The policy may have done it already, or the peer controls.
                    let _ = core.nominate(*pair, now);
                }
            }
            8 if streams.len() < STREAMS => {
                let stream = core.add_stream(1 + u16::from(detail & 1)).expect("there is room");
                self.announce(side, stream, None);
            }
            9 if detail & 3 == 0 => {
                assert_eq!(core.remove_stream(stream, now).is_ok(), streams.contains(&stream));
            }
            10 if detail & 3 == 0 => {
                assert_eq!(core.revoke_consent(stream, now).is_ok(), streams.contains(&stream));
            }
            11 => self.cut = detail & 1 == 1,
            12 => {
                // A message gets lost, or comes twice.
                let waiting = &mut self.signals[side];
                let at = usize::from(detail) % waiting.len().max(1);
                match (waiting.get(at).cloned(), detail >> 7) {
                    (Some(_), 0) => drop(waiting.remove(at)),
                    (Some(signal), _) if waiting.len() < MAX_SIGNALS => waiting.push(signal),
                    _ => {}
                }
            }
            _ => {}
        }
        self.drain(side);
        self.pass(Duration::from_millis(u64::from(byte(input)) * 40));
    }

    /// A side hears so many messages of the signalling.
    fn hear(&mut self, side: usize, count: usize) {
        for _ in 0..count.min(self.signals[side].len()) {
            let signal = self.signals[side].remove(0);
            let (core, now) = (&mut self.agents[side].core, self.now);
            // Late, repeated and stale ones are refused, and change nothing.
            let _ = match signal {
                Signal::Parameters(stream, parameters) => {
                    core.set_remote_parameters(stream, parameters, now)
                }
                Signal::Candidate(stream, candidate) => {
                    core.add_remote_candidate(stream, &candidate, now)
                }
                Signal::End(stream) => core.end_of_remote_candidates(stream, now),
            };
            self.drain(side);
        }
    }

    fn list_addresses(&mut self, side: usize) {
        let known: Vec<_> =
            self.agents[side].addresses.iter().copied().map(local_address).collect();
        self.agents[side].core.handle_input(self.now, Input::LocalAddresses(&known));
    }

    /// What a side signals of a stream's session.
    fn announce(&mut self, side: usize, stream: StreamId, answers: Option<Box<str>>) {
        let agent = &self.agents[side];
        let Some(ours) = agent.core.local_credentials(stream) else { return };
        let mut parameters = RemoteParameters::new(&ours.ufrag, &ours.pwd);
        parameters.pacing = Duration::from_millis(5);
        parameters.lite = agent.lite;
        parameters.options = agent.core.options().into_iter().map(Into::into).collect();
        parameters.answers = answers;
        self.signal(1 - side, Signal::Parameters(stream, parameters));
    }

    fn signal(&mut self, to: usize, signal: Signal) {
        if self.signals[to].len() < MAX_SIGNALS {
            self.signals[to].push(signal);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MAX_ROUNDS {
            let timers = self.agents.iter().filter_map(|a| a.core.poll_timeout()).map(|t| t.0);
            let arrival = self.wire.first_key_value().map(|((time, _), _)| *time);
            let Some(next) = timers.chain(arrival).min().filter(|t| *t <= end) else {
                self.now = self.now.max(end);
                return;
            };
            assert!(next >= self.now, "time goes back");
            self.now = next;
            if let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= next) {
                let (from, to, bytes) = entry.remove();
                self.deliver(from, to, &bytes);
            }
            for side in 0..2 {
                let core = &mut self.agents[side].core;
                if core.poll_timeout().is_some_and(|(t, _)| t <= next) {
                    core.handle_timeout(next);
                    self.drain(side);
                }
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        for side in 0..2 {
            let mut sockets = self.agents[side].sockets.iter();
            if let Some(base) = sockets.find(|(_, local)| **local == to).map(|(base, _)| *base) {
                let input = Input::Datagram { base, from, bytes };
                self.agents[side].core.handle_input(self.now, input);
                self.drain(side);
            }
        }
    }

    fn drain(&mut self, side: usize) {
        let now = self.now;
        while let Some(op) = self.agents[side].core.poll_socket_op() {
            let agent = &mut self.agents[side];
            match op {
                SocketOp::BindUdp { base, ip, .. } if agent.addresses.contains(&ip) => {
                    let local = SocketAddr::new(ip, agent.next_port);
                    agent.next_port = agent.next_port.checked_add(1).unwrap_or(5000);
                    agent.sockets.insert(base, local);
                    agent.core.handle_input(now, Input::Bound { base, local });
                }
                SocketOp::BindUdp { base, .. } => {
                    let error = std::io::ErrorKind::AddrNotAvailable.into();
                    agent.core.handle_input(now, Input::BindFailed { base, error: &error });
                }
                SocketOp::Close { base } => {
                    agent.sockets.remove(&base).expect("an open socket");
                }
                SocketOp::ListAddresses => self.list_addresses(side),
                _ => {}
            }
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.agents[side].core.poll_transmit(&mut bytes) {
            let Some(from) = self.agents[side].sockets.get(&transmit.base) else { continue };
            if !self.cut {
                self.number += 1;
                let datagram = (*from, transmit.to, bytes.clone());
                self.wire.insert((now + ONE_WAY, self.number), datagram);
            }
        }
        self.check(side);
    }

    fn check(&mut self, side: usize) {
        while let Some(event) = self.agents[side].core.poll_event() {
            match event {
                Event::Restarted { stream, answers, .. } => self.announce(side, stream, answers),
                Event::Candidate { stream, candidate } => {
                    self.signal(1 - side, Signal::Candidate(stream, candidate));
                }
                Event::EndOfCandidates { stream } => self.signal(1 - side, Signal::End(stream)),
                Event::SendPath { stream, component, path } => {
                    self.agents[side].paths.insert((stream, component), path);
                }
                _ => {}
            }
        }
        let agent = &self.agents[side];
        for (base, to) in agent.paths.values().flatten() {
            assert!(agent.sockets.contains_key(base), "data leaves from {base:?}, which is closed");
            assert!(matches!(to.ip(), IpAddr::V4(ip) if ip.octets()[2] != side as u8));
        }
        let next = agent.core.poll_timeout();
        assert!(next.is_none_or(|(t, _)| t > self.now), "at {} the timeout is {next:?}", self.now);
        let pairs = agent.core.streams().flat_map(|stream| agent.core.pairs(stream));
        assert!(pairs.filter(|p| p.state != PairState::Removed).count() <= PAIRS);
        assert!(agent.sockets.len() <= SOCKETS, "{} sockets", agent.sockets.len());
    }

    /// Everything is heard and carried; both sides come to an end.
    fn settle(&mut self) {
        self.cut = false;
        for _ in 0..8 {
            for side in 0..2 {
                self.hear(side, MAX_SIGNALS);
            }
            self.pass(Duration::from_secs(20));
        }
    }

    fn close(&mut self) {
        let now = self.now;
        for agent in &mut self.agents {
            close(&mut agent.core, &mut agent.sockets, now);
        }
    }
}

fn address(side: usize, n: u8) -> IpAddr {
    [10, 0, side as u8, n].into()
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

/// Where nothing happens but what has to, they connect.
#[test]
fn a_quiet_life_connects() {
    let mut world = World::new(0b10);
    world.settle();
    for agent in &world.agents {
        assert_eq!(agent.core.state(), floe::agent::State::Completed);
    }
}

/// Lives drawn at random, so that the test has some even without a corpus.
#[test]
fn lives_of_all_kinds_come_to_an_end() {
    for seed in 0..300 {
        let mut rng = floe::rng::Rng::new(&Seed::from_number(seed));
        let data: Vec<u8> = (0..40).flat_map(|_| rng.bytes::<8>()).collect();
        run(&data);
    }
}
