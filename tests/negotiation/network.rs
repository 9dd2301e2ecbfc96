//! A network of two agents that delays, and drops what it is told to.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::replay::{ReplayError, replay};
use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, LogRecord, RemoteParameters, SocketOp,
    StreamId,
};
use floe::check::Role;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

/// Address `n` of machine `machine`.
pub fn host(machine: u8, n: u8) -> IpAddr {
    IpAddr::from([10, machine, 0, n])
}

pub type Filter = Box<dyn Fn(SocketAddr, SocketAddr) -> bool>;

pub struct Options {
    pub seed: u64,
    pub addresses: [Vec<IpAddr>; 2],
    pub delay: Duration,
    pub roles: [Role; 2],
    pub streams: Vec<u16>,
    /// Each side hears of the other's `ice-options`.
    pub options: bool,
    pub configure: fn(usize, &mut Config),
    /// That of both sides; without it each has its own.
    pub pacer: Option<Pacer>,
    /// Which packets pass, by source and destination.
    pub passes: Filter,
    /// A 1:1 NAT: the address inside and the one outside.
    pub one_to_one: Option<(IpAddr, IpAddr)>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 0,
            addresses: [vec![host(1, 1)], vec![host(2, 1)]],
            delay: Duration::from_millis(10),
            roles: [Role::Controlling, Role::Controlled],
            streams: vec![1],
            options: false,
            configure: |_, _| {},
            pacer: None,
            passes: Box::new(|_, _| true),
            one_to_one: None,
        }
    }
}

/// A packet on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    pub arrives: Time,
    pub number: u64,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// A datagram that an agent sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub at: Time,
    pub side: usize,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

struct Side {
    core: Core,
    lite: bool,
    addresses: Vec<IpAddr>,
    sockets: BTreeMap<BaseId, SocketAddr>,
    /// Where application data goes, and where it is taken from.
    send_path: Option<(BaseId, SocketAddr)>,
    open: BTreeSet<(BaseId, SocketAddr)>,
    data: Data,
    next_port: u16,
    events: Vec<(Time, Event)>,
    /// Names that the agent wants to be resolved, and names of its own.
    asked: Vec<Box<str>>,
    published: Vec<(Box<str>, IpAddr)>,
    records: Vec<LogRecord>,
}

/// Datagrams of the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    pub sent: usize,
    pub received: usize,
}

pub struct Pair {
    sides: [Side; 2],
    now: Time,
    wire: BinaryHeap<std::cmp::Reverse<Packet>>,
    number: u64,
    delay: Duration,
    passes: Filter,
    one_to_one: Option<(IpAddr, IpAddr)>,
    trace: Vec<Sent>,
    /// Nothing passes.
    is_cut: bool,
    options: bool,
    /// What packets from and to an address take more.
    slow: BTreeMap<IpAddr, Duration>,
    /// Addresses from and to which nothing passes.
    blocked: BTreeSet<IpAddr>,
}

impl Pair {
    /// Two agents that have gathered and not signalled.
    pub fn new(options: Options) -> Self {
        let Options { seed, addresses, delay, roles, streams, configure, passes, .. } = options;
        let mut at = 0;
        let sides = addresses.map(|addresses| {
            let mut config = Config::new(roles[at]);
            configure(at, &mut config);
            config.log = true;
            let lite = config.lite;
            let seed = Seed::from_number(seed * 2 + at as u64);
            let mut core = Core::new(config, &seed, options.pacer.clone().unwrap_or_default());
            for components in &streams {
                core.add_stream(*components).unwrap();
            }
            let known: Vec<_> = addresses.iter().copied().map(local_address).collect();
            core.handle_input(Time::ZERO, Input::LocalAddresses(&known));
            at += 1;
            Side {
                core,
                lite,
                addresses,
                sockets: BTreeMap::new(),
                send_path: None,
                open: BTreeSet::new(),
                data: Data::default(),
                next_port: 5000,
                events: Vec::new(),
                asked: Vec::new(),
                published: Vec::new(),
                records: Vec::new(),
            }
        });
        let wire = BinaryHeap::new();
        let mut pair = Pair {
            sides,
            now: Time::ZERO,
            wire,
            number: 0,
            delay,
            passes,
            one_to_one: options.one_to_one,
            trace: Vec::new(),
            is_cut: false,
            options: options.options,
            slow: BTreeMap::new(),
            blocked: BTreeSet::new(),
        };
        pair.pump();
        pair
    }

    pub fn core(&self, side: usize) -> &Core {
        &self.sides[side].core
    }

    pub fn core_mut(&mut self, side: usize) -> &mut Core {
        &mut self.sides[side].core
    }

    pub fn events(&self, side: usize) -> &[(Time, Event)] {
        &self.sides[side].events
    }

    /// The event log.
    #[allow(dead_code)] // The tests of replays read it.
    pub fn records(&self, side: usize) -> &[LogRecord] {
        &self.sides[side].records
    }

    pub fn now(&self) -> Time {
        self.now
    }

    /// Nothing passes from now on.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    pub fn mend(&mut self) {
        self.is_cut = false;
    }

    pub fn block(&mut self, ip: IpAddr) {
        self.blocked.insert(ip);
    }

    /// Packets from and to the address take so much longer from now on.
    pub fn slow_down(&mut self, ip: IpAddr, by: Duration) {
        self.slow.insert(ip, by);
    }

    /// Everything that was sent.
    pub fn trace(&self) -> &[Sent] {
        &self.trace
    }

    pub fn time_of(&self, side: usize, is: impl Fn(&Event) -> bool) -> Option<Time> {
        self.events(side).iter().find(|(_, e)| is(e)).map(|(t, _)| *t)
    }

    pub fn data(&self, side: usize) -> Data {
        self.sides[side].data
    }

    /// Sockets that are open.
    pub fn sockets(&self, side: usize) -> Vec<SocketAddr> {
        self.sides[side].sockets.values().copied().collect()
    }

    /// The application of `side` sends a datagram, if it may.
    pub fn send_data(&mut self, side: usize) {
        let entry = &mut self.sides[side];
        let Some((base, to)) = entry.send_path else { return };
        entry.data.sent += 1;
        let from = entry.sockets[&base];
        self.post(from, to, b"data".to_vec());
    }

    /// Both applications send a datagram every 5 ms, until `end`.
    pub fn stream_until(&mut self, end: Time) {
        while self.now < end {
            self.send_data(0);
            self.send_data(1);
            self.run_until((self.now + Duration::from_millis(5)).min(end));
        }
    }

    pub fn set_addresses(&mut self, side: usize, addresses: Vec<IpAddr>) {
        self.sides[side].addresses = addresses;
    }

    /// The addresses of a machine change, and its agent is told.
    pub fn move_to(&mut self, side: usize, addresses: Vec<IpAddr>) {
        let known: Vec<_> = addresses.iter().copied().map(local_address).collect();
        self.set_addresses(side, addresses);
        let now = self.now;
        self.core_mut(side).handle_input(now, Input::LocalAddresses(&known));
        self.pump();
    }

    /// The machine of `side` sleeps; time stands still.
    pub fn sleep(&mut self, side: usize, slept: Duration) {
        let now = self.now;
        self.core_mut(side).handle_input(now, Input::Woke { slept });
        self.pump();
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let blocked = [from, to].iter().any(|end| self.blocked.contains(&end.ip()));
        if !self.is_cut && !blocked && (self.passes)(from, to) {
            self.number += 1;
            let ends = [from, to].map(|end| self.slow.get(&end.ip()).copied().unwrap_or_default());
            let arrives = self.now + self.delay + ends[0] + ends[1];
            let (from, to) = translated(self.one_to_one, from, to);
            let packet = Packet { arrives, number: self.number, from, to, bytes };
            self.wire.push(std::cmp::Reverse(packet));
        }
    }

    /// Gives each side the other's parameters and candidates, at once.
    pub fn signal_all(&mut self) {
        for side in 0..2 {
            self.signal(side);
        }
    }

    /// Gives `side` what the other side has to signal.
    pub fn signal(&mut self, side: usize) {
        self.signal_parameters(side);
        for stream in self.core(1 - side).streams() {
            self.signal_candidates(side, stream);
        }
        self.pump();
    }

    /// Gives `side` the other side's candidates of a stream, and their end.
    pub fn signal_candidates(&mut self, side: usize, stream: StreamId) {
        let now = self.now;
        for candidate in self.candidates(1 - side, stream) {
            self.core_mut(side).add_remote_candidate(stream, &candidate, now).unwrap();
        }
        self.core_mut(side).end_of_remote_candidates(stream, now).unwrap();
    }

    /// Gives `side` the other side's parameters and no candidates.
    pub fn signal_parameters(&mut self, side: usize) {
        let (now, other) = (self.now, 1 - side);
        for stream in self.core(other).streams() {
            let credentials = self.core(other).local_credentials(stream).unwrap().clone();
            let mut remote = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
            remote.pacing = Duration::from_millis(5);
            remote.lite = self.sides[other].lite;
            if self.options {
                let options = self.core(other).options();
                remote.options = options.into_iter().map(Into::into).collect();
            }
            self.core_mut(side).set_remote_parameters(stream, remote, now).unwrap();
        }
        self.pump();
    }

    /// Those of the current session.
    pub fn candidates(&self, side: usize, of: StreamId) -> Vec<floe::candidate::Candidate> {
        let is_restart = |(_, event): &(Time, Event)| matches!(event, Event::Restarted { .. });
        let events = self.events(side);
        let begin = events.iter().rposition(is_restart).unwrap_or_default();
        let events = events[begin..].iter();
        events
            .filter_map(|(_, e)| match e {
                Event::Candidate { stream, candidate } if *stream == of => Some(candidate.clone()),
                _ => None,
            })
            .collect()
    }

    /// The names that `side` asks for, since the last call.
    pub fn asked(&mut self, side: usize) -> Vec<Box<str>> {
        std::mem::take(&mut self.sides[side].asked)
    }

    /// The names of `side`.
    pub fn published(&self, side: usize) -> &[(Box<str>, IpAddr)] {
        &self.sides[side].published
    }

    /// `name` has these addresses, `side` is told.
    pub fn resolve(&mut self, side: usize, name: &str, addresses: &[IpAddr]) {
        let now = self.now;
        self.core_mut(side).handle_input(now, Input::NameResolved { name, addresses });
        self.pump();
    }

    /// Drains both cores.
    pub fn pump(&mut self) {
        for at in 0..2 {
            self.drain(at);
        }
    }

    fn drain(&mut self, at: usize) {
        let now = self.now;
        // What a socket still has to send goes before it is closed.
        self.send(at);
        let side = &mut self.sides[at];
        while let Some(op) = side.core.poll_socket_op() {
            match op {
                SocketOp::BindUdp { base, ip, .. } => {
                    let local = SocketAddr::new(ip, side.next_port);
                    side.next_port += 1;
                    side.sockets.insert(base, local);
                    side.core.handle_input(now, Input::Bound { base, local });
                }
                SocketOp::ListAddresses => {
                    let known: Vec<_> = side.addresses.iter().copied().map(local_address).collect();
                    side.core.handle_input(now, Input::LocalAddresses(&known));
                }
                SocketOp::Keep { .. } => {}
                SocketOp::Close { base } => {
                    side.sockets.remove(&base).expect("open sockets are closed, once");
                    side.open.retain(|(open, _)| *open != base);
                }
                SocketOp::ResolveName { name } => side.asked.push(name),
                SocketOp::PublishName { name, ip } => side.published.push((name, ip)),
                other => panic!("not expected here: {other:?}"),
            }
        }
        self.send(at);
        let side = &mut self.sides[at];
        while let Some(event) = side.core.poll_event() {
            match &event {
                Event::SendPath { path, .. } => side.send_path = *path,
                Event::PathOpened { base, from, .. } => {
                    side.open.insert((*base, *from));
                }
                Event::PathClosed { base, from } => {
                    side.open.remove(&(*base, *from));
                }
                _ => {}
            }
            side.events.push((now, event));
        }
        side.records.extend(std::iter::from_fn(|| side.core.poll_log()));
    }

    fn send(&mut self, at: usize) {
        let mut bytes = Vec::new();
        while let Some(transmit) = self.sides[at].core.poll_transmit(&mut bytes) {
            let (from, to) = (self.sides[at].sockets[&transmit.base], transmit.to);
            self.trace.push(Sent { at: self.now, side: at, from, to, bytes: bytes.clone() });
            self.post(from, to, bytes.clone());
        }
    }

    /// Runs until nothing is left to do before `end`.
    pub fn run_until(&mut self, end: Time) {
        for _ in 0..1_000_000 {
            let timers = self.sides.iter().filter_map(|s| s.core.poll_timeout()).map(|(t, _)| t);
            let packet = self.wire.peek().map(|p| p.0.arrives);
            let Some(next) = timers.chain(packet).min().filter(|t| *t <= end) else {
                self.now = end;
                return;
            };
            assert!(next >= self.now, "time goes back");
            self.now = next;
            self.step();
        }
        panic!("no end after a million steps");
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(packet) = self.wire.peek().filter(|p| p.0.arrives <= now) {
            let packet = packet.0.clone();
            self.wire.pop();
            for at in 0..2 {
                let side = &mut self.sides[at];
                let base = side.sockets.iter().find(|(_, a)| **a == packet.to).map(|(b, _)| *b);
                if let Some(base) = base {
                    let (from, bytes) = (packet.from, &packet.bytes[..]);
                    if !floe::stun::looks_like_stun(bytes) {
                        side.data.received += usize::from(side.open.contains(&(base, from)));
                        continue;
                    }
                    side.core.handle_input(now, Input::Datagram { base, from, bytes });
                    self.drain(at);
                }
            }
        }
        for at in 0..2 {
            if self.sides[at].core.poll_timeout().is_some_and(|(t, _)| t <= now) {
                self.sides[at].core.handle_timeout(now);
                let next = self.sides[at].core.poll_timeout();
                assert!(
                    next.is_none_or(|(t, _)| t > now),
                    "the timeout does not advance: {next:?}"
                );
                self.drain(at);
            }
        }
    }
}

/// A packet as it arrives behind the NAT, or beyond it: of all that is sent to
/// the inside address from elsewhere nothing arrives.
fn translated(
    nat: Option<(IpAddr, IpAddr)>,
    from: SocketAddr,
    to: SocketAddr,
) -> (SocketAddr, SocketAddr) {
    let Some((inside, outside)) = nat else { return (from, to) };
    let replaced = |address: SocketAddr, old, new| match address.ip() == old {
        true => SocketAddr::new(new, address.port()),
        false => address,
    };
    match to.ip() == inside {
        true => (from, SocketAddr::new([0, 0, 0, 0].into(), 0)),
        false => (replaced(from, inside, outside), replaced(to, outside, inside)),
    }
}

/// Whatever two agents did in a test comes out of their logs once more.
impl Drop for Pair {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for Side { core, records, .. } in &mut self.sides {
            records.extend(std::iter::from_fn(|| core.poll_log()));
            let count = records.len() as u64;
            match replay(std::mem::take(records)) {
                Ok(replayed) => assert_eq!(replayed.records, count),
                // Policies that a test made up.
                Err(ReplayError::Policy) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub fn local_address(ip: IpAddr) -> LocalAddress {
    LocalAddress {
        ip,
        interface: "test0".into(),
        index: 1,
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}
