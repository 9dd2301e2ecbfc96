//! Two agents, a TURN server and the ways between them, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::replay::replay;
use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, LogRecord, RemoteParameters, SocketOp, State,
    StreamId, TurnServer, TurnTransport,
};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::rng::Seed;
use floe::stun::{
    AttributeType as T, Builder, Class, Message, Method, TransactionId, looks_like_stun,
};
use floe::timer::{Pacer, Time};
use floe::turn::{Secrets, channel};

use crate::server::{PASSWORD, Server, USER};
use crate::streams::Streams;

pub(crate) const STREAM: StreamId = StreamId(0);
pub(crate) const SERVER: &str = "192.0.2.9:3478";
/// Where it relays IPv6.
const V6: &str = "2001:db8::9";

/// An agent with its sockets.
pub(crate) struct Side {
    pub(crate) core: Core,
    pub(crate) ip: IpAddr,
    sockets: BTreeMap<BaseId, SocketAddr>,
    pub(crate) legs: BTreeMap<BaseId, SocketAddr>,
    /// Streams to the server that lead to peers: by our end, base and peer.
    pub(crate) carried: BTreeMap<SocketAddr, (BaseId, SocketAddr)>,
    paths: BTreeSet<(BaseId, SocketAddr)>,
    pub(crate) path: Option<(BaseId, SocketAddr)>,
    /// When it had a path first.
    pub(crate) usable: Option<Time>,
    pub(crate) states: Vec<(Time, State)>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) errors: Vec<(u16, String)>,
    pub(crate) ended: Option<Time>,
    pub(crate) selected: Vec<(Time, Candidate, Candidate)>,
    /// Channels that were bound and ended, in order: the number, or `None`.
    pub(crate) channels: Vec<Option<u16>>,
    /// Other names that servers were connected to by.
    pub(crate) names: Vec<Option<String>>,
    /// Realms for which credentials have expired.
    pub(crate) expired: Vec<String>,
    pub(crate) records: Vec<LogRecord>,
    /// What the application received.
    pub(crate) data: Vec<(Time, Vec<u8>)>,
}

/// Whether a packet passes between two addresses.
pub(crate) type Passes = fn(Time, SocketAddr, SocketAddr) -> bool;

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) sides: [Side; 2],
    /// The server, once for each of its clients.
    pub(crate) servers: BTreeMap<SocketAddr, Server>,
    /// How a client's server comes into being.
    pub(crate) make: fn() -> Server,
    /// What the server says of a client's address, and of what it relays, where
    /// it is not the truth.
    pub(crate) mapped: Option<SocketAddr>,
    pub(crate) relays_as: Option<SocketAddr>,
    /// Where it relays IPv4.
    pub(crate) relays_at: IpAddr,
    pub(crate) passes: Passes,
    /// One way to the server, and between the two.
    pub(crate) to_server: Duration,
    pub(crate) direct: Duration,
    /// Candidates and credentials are carried.
    pub(crate) signals: bool,
    /// Payloads that a server relayed, in bytes, and its other packets.
    pub(crate) relayed: usize,
    /// Connections between peers and servers.
    pub(crate) streams: Streams,
    queue: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    number: u64,
}

/// An agent that asks the server.
pub(crate) fn config(role: Role, transport: TurnTransport) -> Config {
    let mut config = Config::new(role);
    config.turn_servers.push(TurnServer {
        uri: "turn:server".into(),
        host: "192.0.2.9".into(),
        port: 3478,
        address: Some(SERVER.parse().unwrap()),
        transport,
        secrets: Secrets { username: USER.into(), password: PASSWORD.into() },
    });
    config
}

/// One that wants nothing but relayed candidates.
pub(crate) fn relay_only(role: Role, transport: TurnTransport) -> Config {
    let mut config = config(role, transport);
    (config.gather_host, config.gather_server_reflexive) = (false, false);
    config
}

/// What leads to a server or away from it.
pub(crate) fn only_by_the_server(_: Time, from: SocketAddr, to: SocketAddr) -> bool {
    let server: SocketAddr = SERVER.parse().unwrap();
    from.ip() == server.ip() || to.ip() == server.ip()
}

pub(crate) fn everything(_: Time, _: SocketAddr, _: SocketAddr) -> bool {
    true
}

impl World {
    pub(crate) fn new(configs: [Config; 2]) -> Self {
        let mut number = 0;
        let sides = configs.map(|mut config| {
            number += 1;
            config.log = true;
            let mut core = Core::new(config, &Seed::from_number(number), Pacer::new());
            core.add_stream(1).unwrap();
            Side {
                core,
                ip: IpAddr::from([10, 0, number as u8, 2]),
                sockets: BTreeMap::new(),
                legs: BTreeMap::new(),
                carried: BTreeMap::new(),
                paths: BTreeSet::new(),
                path: None,
                usable: None,
                states: Vec::new(),
                candidates: Vec::new(),
                errors: Vec::new(),
                ended: None,
                selected: Vec::new(),
                channels: Vec::new(),
                names: Vec::new(),
                expired: Vec::new(),
                records: Vec::new(),
                data: Vec::new(),
            }
        });
        World {
            now: Time::ZERO,
            sides,
            servers: BTreeMap::new(),
            make: Server::new,
            mapped: None,
            relays_as: None,
            relays_at: [192, 0, 2, 9].into(),
            passes: only_by_the_server,
            to_server: Duration::from_millis(20),
            direct: Duration::from_millis(20),
            signals: true,
            relayed: 0,
            streams: Streams::default(),
            queue: BTreeMap::new(),
            number: 0,
        }
    }

    /// Both know each other's credentials and gather.
    pub(crate) fn start(&mut self) {
        for at in [0, 1] {
            let ours = self.sides[at].core.local_credentials(STREAM).unwrap();
            let mut parameters = RemoteParameters::new(&ours.ufrag, &ours.pwd);
            parameters.pacing = Duration::from_millis(5);
            parameters.options = vec!["ice2".into(), "renomination".into()];
            self.sides[1 - at].core.set_remote_parameters(STREAM, parameters, self.now).unwrap();
        }
        for at in [0, 1] {
            self.gather(at);
        }
    }

    pub(crate) fn gather(&mut self, at: usize) {
        let address = LocalAddress {
            ip: self.sides[at].ip,
            interface: "net".into(),
            index: 1,
            prefix: Some(24),
            temporary: None,
            deprecated: None,
        };
        self.sides[at].core.handle_input(self.now, Input::LocalAddresses(&[address]));
        self.drain(at);
    }

    pub(crate) fn close(&mut self, at: usize) {
        self.sides[at].core.close(self.now);
        self.drain(at);
    }

    /// Sends a datagram of the application.
    pub(crate) fn send(&mut self, at: usize, payload: &[u8]) {
        let Some((base, to)) = self.sides[at].path else { panic!("there is no path") };
        let (side, mut out) = (&self.sides[at], Vec::new());
        match side.core.wrap(base, to, payload, TransactionId([7; 12]), &mut out) {
            Some(transmit) => {
                let from = side.socket(transmit.base);
                self.post(from, transmit.to, out);
            }
            None => {
                let (from, to) = side.way(base, to);
                self.post(from, to, payload.to_vec());
            }
        }
    }

    /// Runs until `end`.
    pub(crate) fn run_until(&mut self, end: Time) {
        for _ in 0..1_000_000 {
            let timers = self.sides.iter().filter_map(|side| side.core.poll_timeout());
            let queued = self.queue.first_key_value().map(|((time, _), _)| *time);
            let Some(next) = timers.map(|(time, _)| time).chain(queued).min() else { break };
            if next > end {
                break;
            }
            assert!(next >= self.now, "time goes back");
            self.now = next;
            while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= next) {
                let (from, to, bytes) = entry.remove();
                self.arrive(from, to, &bytes);
            }
            for at in [0, 1] {
                if self.sides[at].core.poll_timeout().is_some_and(|(time, _)| time <= next) {
                    self.sides[at].core.handle_timeout(next);
                    let after = self.sides[at].core.poll_timeout();
                    assert!(after.is_none_or(|(time, _)| time > next), "it stays {after:?}");
                    self.drain(at);
                }
            }
        }
        self.now = end;
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Puts a packet on its way.
    pub(crate) fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if !(self.passes)(self.now, from, to) {
            return;
        }
        let server: SocketAddr = SERVER.parse().unwrap();
        let delay = match (from.ip() == server.ip(), to.ip() == server.ip()) {
            (true, true) => Duration::ZERO,
            (false, false) => self.direct,
            _ => self.to_server,
        };
        self.number += 1;
        self.queue.insert((self.now + delay, self.number), (from, to, bytes));
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to == SERVER.parse().unwrap() {
            return self.at_server(from, bytes);
        }
        if self.on_stream(to, bytes) {
            return;
        }
        let now = self.now;
        let owner = self.servers.iter_mut().find(|(_, server)| server.relayed[0] == to);
        if let Some((client, server)) = owner.filter(|_| self.relays_as.is_none()) {
            if server.permissions.get(&from.ip()).is_none_or(|until| *until <= now) {
                return;
            }
            let (client, wrapped) = (*client, wrapped(server, from, bytes));
            self.relayed += 1;
            return self.post(SERVER.parse().unwrap(), client, wrapped);
        }
        for at in [0, 1] {
            let mut sockets = self.sides[at].sockets.iter().chain(&self.sides[at].legs);
            if let Some(base) = sockets.find(|(_, own)| **own == to).map(|(base, _)| *base) {
                self.receive(at, base, from, bytes);
            }
        }
    }

    fn at_server(&mut self, from: SocketAddr, bytes: &[u8]) {
        if self.forwarded(from, bytes) || self.connects(from, bytes) {
            return;
        }
        let (next, make) = (50_000 + self.servers.len() as u16, self.make);
        let (mapped, relays_as) = (self.mapped, self.relays_as);
        let relayed = SocketAddr::new(self.relays_at, next);
        let server = self.servers.entry(from).or_insert_with(|| {
            let mut server = make();
            server.mapped = mapped.unwrap_or(from);
            server.first = 100 * u32::from(next);
            server.relayed = vec![relays_as.unwrap_or(relayed)];
            if server.is_old {
                server.relayed.push(SocketAddr::new(V6.parse().unwrap(), next));
            } else {
                server.address_error = Some((2, 440));
            }
            server
        });
        let now = self.now;
        let sent = match channel::parse(bytes) {
            Some((number, data)) => server.channels.get(&number).map(|(to, _)| (*to, data)),
            None => {
                let message = Message::parse(bytes).expect("it is STUN or ChannelData");
                if message.method() == Method::BINDING {
                    return;
                }
                if message.class() == Class::Request {
                    if let Some(answer) = server.handle(bytes, now) {
                        self.post(SERVER.parse().unwrap(), from, answer);
                    }
                    return;
                }
                assert_eq!(message.method(), Method::SEND);
                let peer = message.xor_peer_addresses().next().expect("a peer");
                Some((peer, message.data().expect("data")))
            }
        };
        let Some((peer, data)) = sent else { return };
        let is_permitted = server.permissions.get(&peer.ip()).is_some_and(|until| *until > now);
        if server.allocation.is_some_and(|until| until > now) && is_permitted {
            let relayed = server.relayed[0];
            self.post(relayed, peer, data.to_vec());
        }
    }

    pub(crate) fn receive(&mut self, at: usize, base: BaseId, from: SocketAddr, bytes: &[u8]) {
        let side = &mut self.sides[at];
        let (under, sender, payload) =
            side.core.unwrap(base, from, bytes).unwrap_or((base, from, bytes));
        if looks_like_stun(payload) {
            side.core.handle_input(self.now, Input::Datagram { base, from, bytes });
            self.drain(at);
        } else if side.paths.contains(&(under, sender)) {
            let datum = (self.now, payload.to_vec());
            side.data.push(datum);
        }
    }

    pub(crate) fn drain(&mut self, at: usize) {
        let mut message = Vec::new();
        loop {
            let side = &mut self.sides[at];
            if let Some(transmit) = side.core.poll_transmit(&mut message) {
                let (from, to) = side.way(transmit.base, transmit.to);
                self.post(from, to, message.clone());
            } else if let Some(op) = side.core.poll_socket_op() {
                self.perform(at, op);
            } else if let Some(event) = side.core.poll_event() {
                self.tell(at, event);
            } else {
                break;
            }
        }
        let side = &mut self.sides[at];
        while let Some(record) = side.core.poll_log() {
            side.records.push(record);
        }
    }

    fn perform(&mut self, at: usize, op: SocketOp) {
        let (side, now) = (&mut self.sides[at], self.now);
        let port = |base: BaseId| 5_000 + u16::try_from(base.0).unwrap();
        match op {
            SocketOp::BindUdp { base, ip, .. } => {
                let local = SocketAddr::new(ip, port(base));
                side.sockets.insert(base, local);
                side.core.handle_input(now, Input::Bound { base, local });
            }
            SocketOp::BindTcp { base, .. } => {
                let error = &std::io::ErrorKind::Unsupported.into();
                side.core.handle_input(now, Input::BindFailed { base, error });
            }
            SocketOp::ConnectServer { base, to, name, .. } => {
                side.names.push(name.map(String::from));
                let local = SocketAddr::new(side.ip, port(base));
                let to = to[0];
                if (self.passes)(now, local, to) {
                    side.legs.insert(base, local);
                    side.core.handle_input(now, Input::Connected { base, to, local });
                } else {
                    let kind = std::io::ErrorKind::ConnectionRefused;
                    side.core.handle_input(now, Input::ConnectFailed { base, to, kind });
                }
            }
            SocketOp::Carry { leg, base, to } => {
                let local = side.legs.remove(&leg).expect("a leg");
                side.carried.insert(local, (base, to));
                side.core.handle_input(now, Input::Connected { base, to, local });
            }
            SocketOp::Disconnect { base, to, .. } => {
                side.carried.retain(|_, of| *of != (base, to));
            }
            SocketOp::Close { base } => {
                side.legs.remove(&base);
                side.carried.retain(|_, of| of.0 != base);
            }
            SocketOp::ListAddresses => self.gather(at),
            _ => {}
        }
    }

    fn tell(&mut self, at: usize, event: Event) {
        let now = self.now;
        let [a, b] = &mut self.sides;
        let (side, peer) = if at == 0 { (a, b) } else { (b, a) };
        match event {
            Event::Candidate { candidate, .. } => {
                side.candidates.push(candidate.clone());
                if self.signals {
                    // It may be late, or of the session before.
                    let _ = peer.core.add_remote_candidate(STREAM, &candidate, now);
                    self.drain(1 - at);
                }
            }
            Event::EndOfCandidates { .. } => {
                side.ended = Some(now);
                if self.signals {
                    let _ = peer.core.end_of_remote_candidates(STREAM, now);
                    self.drain(1 - at);
                }
            }
            Event::Restarted { credentials, answers, .. } => {
                let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
                parameters.answers = answers;
                parameters.options = vec!["ice2".into(), "renomination".into()];
                peer.core.set_remote_parameters(STREAM, parameters, now).unwrap();
                self.drain(1 - at);
            }
            Event::Channel { number, .. } => side.channels.push(Some(number)),
            Event::ChannelEnded { .. } => side.channels.push(None),
            Event::SecretsExpired { realm, .. } => side.expired.push(realm.to_string()),
            Event::CandidateError { code, text, .. } => side.errors.push((code, text.to_string())),
            Event::State { state, .. } => side.states.push((now, state)),
            Event::SendPath { path, .. } => {
                side.path = path;
                side.usable = side.usable.or(path.map(|_| now));
            }
            Event::PathOpened { base, from, .. } => {
                side.paths.insert((base, from));
            }
            Event::PathClosed { base, from } => {
                side.paths.remove(&(base, from));
            }
            Event::Selected { local, remote, .. } => side.selected.push((now, *local, *remote)),
            _ => {}
        }
    }
}

impl World {
    /// What each side did follows from its log, and no password is in it.
    pub(crate) fn replay(&self) {
        for side in &self.sides {
            assert_eq!(side.core.lost_log_records(), 0);
            let text = format!("{:?}", side.records);
            assert!(!text.contains(PASSWORD), "the log has the password");
            let replayed = replay(side.records.iter().cloned());
            let replayed = replayed.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(replayed.core.state(), side.state());
        }
    }
}

impl Side {
    /// Where something leaves and goes to.
    fn way(&self, base: BaseId, to: SocketAddr) -> (SocketAddr, SocketAddr) {
        match self.carried.iter().find(|(_, of)| **of == (base, to)) {
            Some((local, _)) => (*local, SERVER.parse().unwrap()),
            None => (self.socket(base), to),
        }
    }

    fn socket(&self, base: BaseId) -> SocketAddr {
        let own = self.sockets.get(&base).or_else(|| self.legs.get(&base));
        *own.expect("it was bound")
    }

    pub(crate) fn state(&self) -> State {
        self.core.state()
    }
}

/// What a server sends its client of what a peer sent.
fn wrapped(server: &Server, from: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let number = server.channels.iter().find(|(_, (peer, _))| *peer == from);
    match number {
        Some((number, _)) => {
            out.extend(channel::header(*number, bytes.len()).unwrap());
            out.extend(bytes);
        }
        None => {
            Builder::new(Class::Indication, Method::DATA, TransactionId([9; 12]), &mut out)
                .xored(T::XOR_PEER_ADDRESS, from)
                .attribute(T::DATA, bytes)
                .seal(None);
        }
    }
    out
}
