//! Two machines, the network between them and their signalling, in virtual
//! time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{CommandError, Config, Event, RemoteParameters, Sockets, State, StreamId};
use floe::candidate::{Candidate, ComponentId};
use floe::timer::Time;

use crate::dice::Dice;
use crate::machine::{Interface, Machine};
use crate::model::{self, End};
use crate::stun_server;
use crate::topology::{Aloft, Arrival, INTERNET, Topology};

/// What a world is made of.
pub struct Plan {
    pub seed: u64,
    pub topology: Topology,
    pub sides: [Side; 2],
    /// STUN servers that answer.
    pub servers: Vec<SocketAddr>,
    /// Numbers of components.
    pub streams: Vec<u16>,
    pub air: Air,
    /// What happens meanwhile, and when.
    pub changes: Vec<(Time, Change)>,
}

/// Something that happens to a side.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Its application restarts ICE.
    Restart(usize, Sockets),
    /// It leaves its first interface for another.
    Roam(usize),
    /// Its machine slept; the network did not notice.
    Sleep(usize, Duration),
    /// The NAT of its first interface forgets everything.
    Reboot(usize),
}

pub struct Side {
    pub config: Config,
    pub interfaces: Vec<Interface>,
    pub begins: Time,
    pub signalling: Signalling,
    /// Where it may roam to.
    pub spare: Option<Interface>,
    /// Host candidates that nobody is at, signalled beside the true ones.
    pub bogus: Vec<SocketAddr>,
}

/// How what a side has to signal reaches the other.
#[derive(Clone, Copy, Debug)]
pub struct Signalling {
    pub delay: Duration,
    /// Each message takes up to so much longer: they overtake each other.
    pub jitter: Duration,
    /// All at once when gathering has ended.
    pub bundled: bool,
}

/// What happens to packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Air {
    pub loss: f64,
    pub duplication: f64,
    pub jitter: Duration,
}

enum Happening {
    Packet(Aloft, Vec<u8>),
    Gather(usize),
    Signal(usize, Signal),
    Change(Change),
}

#[derive(Clone)]
enum Signal {
    Parameters(StreamId, RemoteParameters),
    /// With the fragment of the session that it belongs to.
    Candidate(StreamId, Box<str>, Candidate),
    /// About a common start.
    Sync(StreamId, Box<str>, Box<str>),
    End(StreamId, Box<str>),
}

pub struct World {
    pub machines: [Machine; 2],
    pub now: Time,
    pub dice: Dice,
    topology: Topology,
    servers: Vec<SocketAddr>,
    air: Air,
    signalling: [Signalling; 2],
    filter: Option<Filter>,
    /// How long messages about a common start take, at least and at most; they
    /// may not be carried.
    syncs: Option<[Duration; 2]>,
    /// Before this a side takes nothing that was signalled.
    listens: [Time; 2],
    /// What each side's sessions are known by now.
    ufrags: [BTreeMap<StreamId, Box<str>>; 2],
    pacing: [Duration; 2],
    held: [Vec<Signal>; 2],
    /// The peer's fragments that each side has heard of, the last one current.
    generations: [BTreeMap<StreamId, Vec<Box<str>>>; 2],
    /// What waits for the parameters of its session.
    early: [Vec<Signal>; 2],
    /// When the last message of a side arrives.
    last_signal: [Time; 2],
    queue: BTreeMap<(Time, u64), Happening>,
    number: u64,
    /// Packets of the agents that were put on the wire.
    pub sent: [usize; 2],
}

/// Which packets pass at all, by source and destination as sent.
pub type Filter = Box<dyn Fn(SocketAddr, SocketAddr) -> bool>;

impl World {
    pub fn new(plan: Plan) -> Self {
        let Plan { seed, topology, sides, servers, streams, air, changes } = plan;
        let conflict = sides[0].config.role == sides[1].config.role;
        let signalling = [0, 1].map(|side: usize| sides[side].signalling);
        let pacing = [0, 1].map(|side: usize| sides[side].config.pacing);
        let mut begins = Vec::new();
        let mut at = 0;
        let mut held = [Vec::new(), Vec::new()];
        let machines = sides.map(|side| {
            let Side { config, interfaces, begins: begin, bogus, spare, .. } = side;
            let pacing = config.pacing;
            let mut machine = Machine::new(seed * 2 + at as u64, config, interfaces, &streams);
            machine.spare = spare;
            machine.monitor.clear = air.loss == 0.0 && !conflict && changes.is_empty();
            begins.push((begin, at));
            held[at] = opening(&machine, pacing, &bogus);
            at += 1;
            machine
        });
        let ufrags = [0, 1].map(|side: usize| {
            let core = &machines[side].core;
            let ufrag = |stream| core.local_credentials(stream).unwrap().ufrag.clone();
            core.streams().map(|stream| (stream, ufrag(stream))).collect()
        });
        let mut world = World {
            machines,
            now: Time::ZERO,
            dice: Dice::new(seed),
            topology,
            servers,
            air,
            signalling,
            filter: None,
            syncs: None,
            listens: [Time::ZERO; 2],
            ufrags,
            pacing,
            held,
            generations: Default::default(),
            early: Default::default(),
            last_signal: [Time::ZERO; 2],
            queue: BTreeMap::new(),
            number: 0,
            sent: [0; 2],
        };
        for (begin, side) in begins {
            world.push(begin, Happening::Gather(side));
        }
        for (at, change) in changes {
            world.push(at, Happening::Change(change));
        }
        world
    }

    /// Only packets that `filter` lets through pass.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter = Some(filter);
    }

    /// Messages about a common start are carried too, and take so long and up
    /// to so much longer.
    pub fn carry_syncs(&mut self, delay: Duration, jitter: Duration) {
        self.syncs = Some([delay, jitter]);
    }

    /// A side takes what is signalled from `at` on.
    pub fn listen_from(&mut self, side: usize, at: Time) {
        self.listens[side] = at;
    }

    /// Runs until `done`, or `end`.
    pub fn run(&mut self, end: Time, done: impl Fn(&World) -> bool) {
        for _ in 0..5_000_000 {
            if done(self) {
                return;
            }
            let timers = self.machines.iter().filter_map(|m| m.core.poll_timeout()).map(|t| t.0);
            let queued = self.queue.first_key_value().map(|((time, _), _)| *time);
            let Some(next) = timers.chain(queued).min().filter(|t| *t <= end) else {
                self.now = end;
                return;
            };
            assert!(next >= self.now, "time goes back");
            self.now = next;
            self.step();
        }
        panic!("no end after five million steps");
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run(self.now + time, |_| false);
    }

    fn step(&mut self) {
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now) {
            match entry.remove() {
                Happening::Packet(aloft, bytes) => self.arrive(aloft, &bytes),
                Happening::Gather(side) => {
                    self.machines[side].gather(self.now);
                    self.open_signalling(side);
                    self.drain(side);
                }
                Happening::Signal(to, signal) => {
                    self.take(to, signal);
                    self.drain(to);
                }
                Happening::Change(change) => self.change(change),
            }
        }
        for side in 0..2 {
            self.machines[side].tick(self.now);
            self.drain(side);
        }
    }

    fn drain(&mut self, side: usize) {
        let drained = self.machines[side].drain(self.now);
        for (transmit, bytes) in drained.datagrams {
            self.sent[side] += 1;
            let Some(socket) = self.machines[side].sockets.get(&transmit.base) else { continue };
            let end = socket.end;
            self.send(end, transmit.to, bytes, true);
        }
        for event in drained.events {
            match event {
                Event::Candidate { stream, candidate } => {
                    let ufrag = self.ufrags[side][&stream].clone();
                    self.signal(side, Signal::Candidate(stream, ufrag, candidate));
                }
                Event::EndOfCandidates { stream } => {
                    let ufrag = self.ufrags[side][&stream].clone();
                    self.signal(side, Signal::End(stream, ufrag));
                }
                Event::Sync { stream, message } if self.syncs.is_some() => {
                    let ufrag = self.ufrags[side][&stream].clone();
                    self.signal(side, Signal::Sync(stream, ufrag, message));
                }
                Event::Restarted { stream, credentials, answers } => {
                    self.ufrags[side].insert(stream, credentials.ufrag.clone());
                    let mut parameters =
                        RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
                    parameters.pacing = self.pacing[side];
                    parameters.answers = answers;
                    self.signal(side, Signal::Parameters(stream, parameters));
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, end: End, to: SocketAddr, bytes: Vec<u8>, may_fail: bool) {
        if self.filter.as_ref().is_some_and(|passes| !passes(end.local, to)) {
            return;
        }
        let Some(aloft) = self.topology.ascend(end.realm, end.local, to, self.now) else { return };
        let Air { loss, duplication, jitter } = self.air;
        let lost = may_fail && self.dice.chance(loss);
        let copies = 1 + usize::from(may_fail && self.dice.chance(duplication));
        for _ in 0..if lost { 0 } else { copies } {
            let late = self.dice.up_to(jitter);
            let arrives = self.now + self.topology.delay(&aloft) + late;
            self.push(arrives, Happening::Packet(aloft, bytes.clone()));
        }
    }

    fn arrive(&mut self, aloft: Aloft, bytes: &[u8]) {
        let Some(arrival) = self.topology.descend(aloft, self.now) else { return };
        let Arrival { realm, from, to } = arrival;
        if realm == INTERNET && self.servers.contains(&to) {
            if let Some(answer) = stun_server::answer(bytes, from) {
                self.send(End { realm, local: to }, from, answer, true);
            }
            return;
        }
        let end = End { realm, local: to };
        for side in 0..2 {
            let machine = &mut self.machines[side];
            let base = machine.sockets.iter().find(|(_, s)| s.end == end).map(|(base, _)| *base);
            if let Some(base) = base {
                machine.receive(self.now, base, from, bytes);
                self.drain(side);
            }
        }
    }

    /// Sends one datagram of the application over each send path of `side`;
    /// nothing is lost. Returns how many were sent.
    pub fn send_data(&mut self, side: usize) -> usize {
        let paths = self.machines[side].send_paths();
        for (base, to) in paths.values() {
            let end = self.machines[side].sockets[base].end;
            self.machines[side].monitor.counts.data += 1;
            self.send(end, *to, b"data".to_vec(), false);
        }
        paths.len()
    }

    /// The messages that need no gathering.
    fn open_signalling(&mut self, side: usize) {
        for signal in std::mem::take(&mut self.held[side]) {
            self.signal(side, signal);
        }
    }

    fn signal(&mut self, side: usize, signal: Signal) {
        let Signalling { delay, jitter, bundled } = self.signalling[side];
        // Parameters come in order (RFC 8838 §9), and nothing after the end.
        let in_order = matches!(signal, Signal::End(..) | Signal::Parameters(..));
        if let (Signal::Sync(..), Some([delay, jitter])) = (&signal, self.syncs) {
            let arrives = self.now + delay + self.dice.up_to(jitter);
            return self.deliver(1 - side, arrives, signal);
        }
        let arrives = self.now + delay + self.dice.up_to(jitter);
        if bundled {
            self.held[side].push(signal);
            // Of the sessions that the streams have now: a restart may have
            // overtaken others.
            let is_end = |signal: &&Signal| {
                let Signal::End(stream, ufrag) = signal else { return false };
                self.ufrags[side].get(stream) == Some(ufrag)
            };
            let ends = self.held[side].iter().filter(is_end).count();
            if ends == self.machines[side].core.streams().count() {
                let arrives = arrives.max(self.last_signal[side]);
                self.last_signal[side] = arrives;
                for signal in std::mem::take(&mut self.held[side]) {
                    self.deliver(1 - side, arrives, signal);
                }
            }
            return;
        }
        let arrives = if in_order { arrives.max(self.last_signal[side]) } else { arrives };
        self.last_signal[side] = arrives.max(self.last_signal[side]);
        self.deliver(1 - side, arrives, signal);
    }

    fn deliver(&mut self, to: usize, arrives: Time, signal: Signal) {
        let at = arrives.max(self.listens[to]);
        self.push(at, Happening::Signal(to, signal));
    }

    fn take(&mut self, to: usize, signal: Signal) {
        if let Signal::Candidate(stream, ufrag, _)
        | Signal::Sync(stream, ufrag, _)
        | Signal::End(stream, ufrag) = &signal
            && !self.is_current(to, *stream, ufrag)
        {
            let known = self.generations[to].get(stream);
            if !known.is_some_and(|known| known.contains(ufrag)) {
                self.early[to].push(signal);
            }
            return;
        }
        let machine = &mut self.machines[to];
        if machine.core.state() == State::Closed {
            return;
        }
        machine.informed = self.now;
        match signal {
            Signal::Parameters(stream, parameters) => {
                machine.started.get_or_insert(self.now);
                let ours = machine.core.local_credentials(stream).map(|c| c.ufrag.clone());
                if parameters.answers.is_some() && parameters.answers != ours {
                    return;
                }
                let ufrag = parameters.credentials.ufrag.clone();
                machine.core.set_remote_parameters(stream, parameters, self.now).unwrap();
                self.generations[to].entry(stream).or_default().push(ufrag);
                for signal in std::mem::take(&mut self.early[to]) {
                    self.take(to, signal);
                }
            }
            Signal::Candidate(stream, _, candidate) => {
                match machine.core.add_remote_candidate(stream, &candidate, self.now) {
                    Ok(()) => {}
                    Err(CommandError::AfterEnd) if !self.machines[to].monitor.clear => {}
                    Err(error) => panic!("{candidate:?}: {error}"),
                }
            }
            Signal::Sync(stream, _, message) => {
                machine.core.handle_sync(stream, &message, self.now).unwrap();
            }
            Signal::End(stream, _) => {
                machine.core.end_of_remote_candidates(stream, self.now).unwrap();
            }
        }
    }

    /// Whether what belongs to a session of the peer is for the current one;
    /// before any parameters it is.
    fn is_current(&self, to: usize, stream: StreamId, ufrag: &str) -> bool {
        self.generations[to]
            .get(&stream)
            .is_none_or(|known| known.last().is_some_and(|u| **u == *ufrag))
    }

    fn change(&mut self, change: Change) {
        let now = self.now;
        let side = match change {
            Change::Restart(side, sockets) => {
                self.machines[side].restart(now, sockets);
                side
            }
            Change::Roam(side) => {
                self.machines[side].roam(now);
                side
            }
            Change::Sleep(side, slept) => {
                self.machines[side].sleep(now, slept);
                side
            }
            Change::Reboot(side) => {
                self.topology.reboot(self.machines[side].interfaces[0].realm);
                side
            }
        };
        self.drain(side);
    }

    /// The application of `side` restarts ICE now.
    pub fn restart(&mut self, side: usize) {
        self.change(Change::Restart(side, Sockets::Rebind));
    }

    fn push(&mut self, at: Time, happening: Happening) {
        self.number += 1;
        self.queue.insert((at, self.number), happening);
    }

    /// Whether the reference model knows a direct path for every component.
    pub fn is_possible(&self) -> bool {
        let keys: std::collections::BTreeSet<_> =
            self.machines[0].sockets.values().map(|s| (s.stream, s.component)).collect();
        !keys.is_empty() && keys.into_iter().all(|key| self.is_possible_for(key))
    }

    fn is_possible_for(&self, key: (StreamId, ComponentId)) -> bool {
        let ends = [0, 1].map(|side: usize| {
            let sockets = self.machines[side].sockets.values();
            sockets.filter(|s| (s.stream, s.component) == key).map(|s| s.end).collect::<Vec<_>>()
        });
        model::is_possible(&self.topology, &ends, &self.servers)
    }
}

fn opening(machine: &Machine, pacing: Duration, bogus: &[SocketAddr]) -> Vec<Signal> {
    let mut signals = Vec::new();
    for stream in machine.core.streams() {
        let credentials = machine.core.local_credentials(stream).unwrap();
        let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        parameters.pacing = pacing;
        signals.push(Signal::Parameters(stream, parameters));
        for (at, address) in bogus.iter().enumerate() {
            let candidate = host_candidate(*address, at as u32);
            signals.push(Signal::Candidate(stream, credentials.ufrag.clone(), candidate));
        }
    }
    signals
}

/// A signalled host candidate of component 1.
pub fn host_candidate(address: SocketAddr, number: u32) -> Candidate {
    let (ip, port, priority) = (address.ip(), address.port(), 2_130_706_431 - number);
    let line = format!("candidate:b{number} 1 UDP {priority} {ip} {port} typ host");
    line.parse().unwrap()
}
