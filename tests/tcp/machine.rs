//! An agent on a host of the model: what its core asks of sockets, done by the
//! model's kernel, and the other way round.

#[path = "machine/look.rs"]
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, LogRecord, SocketOp, State, StateReason,
    StreamId,
};
use floe::candidate::{Candidate, TcpType};
use floe::rng::Seed;
use floe::stun::{Class, Message, TransactionId, looks_like_stun};
use floe::tcp::{Deframer, Framing, Handshake, head};
use floe::timer::{Pacer, Time};

use crate::model::{self, HostEvent, HostId, ListenerId, Network, SocketId};

pub const STREAM: StreamId = StreamId(0);

struct Base {
    local: SocketAddr,
    /// `None` for UDP.
    tcp_type: Option<TcpType>,
    listener: Option<ListenerId>,
}

struct Link {
    socket: SocketId,
    framing: Framing,
    deframer: Deframer,
    open: bool,
    told: bool,
}

pub type End = (BaseId, SocketAddr);
/// One of those that there were between two ends.
pub type Connection = (End, Option<SocketId>);

pub struct Machine {
    pub core: Core,
    pub host: HostId,
    ip: IpAddr,
    bases: BTreeMap<BaseId, Base>,
    links: BTreeMap<End, Link>,
    next_port: u16,
    /// All sockets have this one, where it is given.
    pub port: Option<u16>,
    heard: BTreeSet<End>,
    send_path: Option<End>,
    pub states: Vec<(Time, State, StateReason)>,
    /// When a connection to the peer was first open.
    pub opened: Option<Time>,
    /// Datagrams that may be sent first at this time.
    pub usable: Option<Time>,
    pub selected: Vec<(Candidate, Candidate)>,
    pub candidates: Vec<Candidate>,
    pub gathered: bool,
    pub received: Vec<Vec<u8>>,
    pub records: Vec<LogRecord>,
    /// What was not signalled yet.
    pub unsaid: Vec<Said>,
    /// Messages of the agreement on T0 that were not carried yet.
    pub syncs: Vec<Box<str>>,
    /// How often each check left over TCP, and on which connection.
    pub requests: BTreeMap<(Connection, TransactionId), usize>,
    /// Attempts at connections to the peer, and when.
    pub connects: Vec<(Time, End)>,
    /// When connections to servers were begun.
    pub asked: Vec<Time>,
    /// What it is told to do; more than there is reason for is a loop.
    pub ops: usize,
}

/// What an agent wants its peer to know.
pub enum Said {
    Candidate(Candidate),
    End,
    /// New credentials, and the fragment of the peer's that they answer.
    Restarted(Option<Box<str>>),
}

impl Machine {
    pub fn new(seed: u64, mut config: Config, host: HostId, ip: IpAddr) -> Self {
        config.log = true;
        let mut core = Core::new(config, &Seed::from_number(seed), Pacer::new());
        core.add_stream(1).unwrap();
        Machine::with(core, host, ip)
    }

    pub fn with(core: Core, host: HostId, ip: IpAddr) -> Self {
        Machine {
            core,
            host,
            ip,
            bases: BTreeMap::new(),
            links: BTreeMap::new(),
            next_port: 6_000 + host.0 as u16 * 1_000,
            port: None,
            heard: BTreeSet::new(),
            send_path: None,
            states: Vec::new(),
            opened: None,
            usable: None,
            selected: Vec::new(),
            candidates: Vec::new(),
            gathered: false,
            received: Vec::new(),
            records: Vec::new(),
            unsaid: Vec::new(),
            syncs: Vec::new(),
            requests: BTreeMap::new(),
            connects: Vec::new(),
            asked: Vec::new(),
            ops: 0,
        }
    }

    pub fn gather(&mut self, now: Time) {
        let address = LocalAddress {
            ip: self.ip,
            interface: "eth0".into(),
            index: 1,
            prefix: None,
            temporary: None,
            deprecated: None,
        };
        self.core.handle_input(now, Input::LocalAddresses(&[address]));
    }

    /// The application's datagram, framed where the path is a stream.
    pub fn send(&mut self, network: &mut Network, bytes: &[u8]) -> bool {
        let Some((base, to)) = self.send_path else { return false };
        self.write(network, base, to, bytes);
        true
    }

    fn count(&mut self, base: BaseId, to: SocketAddr, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        let link = self.links.get(&(base, to));
        let is_peer = link.is_some_and(|link| link.framing == Framing::Rfc4571);
        if is_peer && message.class() == Class::Request {
            let connection = ((base, to), link.map(|link| link.socket));
            *self.requests.entry((connection, message.transaction_id())).or_default() += 1;
        }
    }

    fn write(&mut self, network: &mut Network, base: BaseId, to: SocketAddr, bytes: &[u8]) {
        let Some(entry) = self.bases.get(&base) else { return };
        if entry.tcp_type.is_none() {
            return network.send_udp(self.host, entry.local, to, bytes);
        }
        let Some(link) = self.links.get(&(base, to)).filter(|link| link.open) else { return };
        let mut message = Vec::new();
        if link.framing == Framing::Rfc4571 {
            message.extend(head(bytes.len()).unwrap());
        }
        message.extend(bytes);
        match network.send(link.socket, &message) {
            // What is sent here is far less than a send buffer.
            Ok(sent) => assert_eq!(sent, message.len()),
            // It was reset, and that is about to be told.
            Err(kind) => assert_eq!(kind, ErrorKind::NotConnected),
        }
    }

    pub fn tick(&mut self, now: Time) {
        if self.core.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.core.handle_timeout(now);
        }
    }

    /// Does all that the core wants.
    pub fn drain(&mut self, network: &mut Network) {
        let now = network.now();
        let mut bytes = Vec::new();
        loop {
            if let Some(transmit) = self.core.poll_transmit(&mut bytes) {
                self.count(transmit.base, transmit.to, &bytes);
                self.write(network, transmit.base, transmit.to, &bytes);
            } else if let Some(op) = self.core.poll_socket_op() {
                self.ops += 1;
                self.perform(network, op);
            } else if let Some(event) = self.core.poll_event() {
                self.note(event, now);
            } else {
                break;
            }
        }
        self.records.extend(std::iter::from_fn(|| self.core.poll_log()));
        let next = self.core.poll_timeout();
        assert!(next.is_none_or(|(at, _)| at > now), "at {now} the timeout is {next:?}");
    }

    fn perform(&mut self, network: &mut Network, op: SocketOp) {
        let now = network.now();
        match op {
            SocketOp::BindUdp { base, ip, .. } => self.bind(network, base, ip, None),
            SocketOp::BindTcp { base, ip, tcp_type, .. } => {
                self.bind(network, base, ip, Some(tcp_type));
            }
            SocketOp::Connect { base, to, framing } => {
                match framing {
                    Framing::Rfc4571 => self.connects.push((now, (base, to))),
                    Framing::Stun | Framing::Turn => self.asked.push(now),
                }
                let entry = &self.bases[&base];
                let mut local = entry.local;
                if entry.tcp_type == Some(TcpType::Active) {
                    local.set_port(0);
                }
                match network.connect(self.host, local, to) {
                    Ok(socket) => {
                        let deframer = Deframer::new(framing);
                        let link = Link { socket, framing, deframer, open: false, told: false };
                        assert!(self.links.insert((base, to), link).is_none(), "one at a time");
                    }
                    Err(kind) => {
                        self.core.handle_input(now, Input::ConnectFailed { base, to, kind });
                    }
                }
            }
            SocketOp::Inspect { base, to } => {
                let state = self.links.get(&(base, to)).map(|link| network.state(link.socket));
                let handshake = match state {
                    Some(model::State::SynSent) => Handshake::SynSent,
                    Some(model::State::SynRecv) => Handshake::SynReceived,
                    Some(model::State::Established) => Handshake::Established,
                    _ => Handshake::Unknown,
                };
                self.core.handle_input(now, Input::Inspected { base, to, handshake });
            }
            SocketOp::Disconnect { base, to, abort } => {
                if let Some(link) = self.links.remove(&(base, to)) {
                    close(network, &link, abort);
                }
            }
            SocketOp::Close { base } => {
                let gone: Vec<End> =
                    self.links.keys().filter(|(b, _)| *b == base).copied().collect();
                for end in gone {
                    if let Some(link) = self.links.remove(&end) {
                        close(network, &link, false);
                    }
                }
                if let Some(listener) = self.bases.remove(&base).and_then(|base| base.listener) {
                    network.close_listener(listener);
                }
            }
            SocketOp::ListAddresses => self.gather(now),
            _ => {}
        }
    }

    fn bind(&mut self, network: &mut Network, base: BaseId, ip: IpAddr, tcp_type: Option<TcpType>) {
        let port = match tcp_type {
            Some(TcpType::Active) => 9,
            _ => {
                self.next_port += 1;
                self.port.unwrap_or(self.next_port)
            }
        };
        let local = SocketAddr::new(ip, port);
        let listens = tcp_type.is_some_and(|kind| kind != TcpType::Active);
        let listener = listens.then(|| network.listen(self.host, local, 128).unwrap());
        self.bases.insert(base, Base { local, tcp_type, listener });
        self.core.handle_input(network.now(), Input::Bound { base, local });
    }

    fn note(&mut self, event: Event, now: Time) {
        match event {
            Event::Candidate { candidate, .. } => {
                self.candidates.push(candidate.clone());
                self.unsaid.push(Said::Candidate(candidate));
            }
            Event::EndOfCandidates { .. } => {
                self.gathered = true;
                self.unsaid.push(Said::End);
            }
            Event::Sync { message, .. } => self.syncs.push(message),
            Event::Restarted { answers, .. } => self.unsaid.push(Said::Restarted(answers)),
            Event::State { state, reason } => self.states.push((now, state, reason)),
            Event::Selected { local, remote, .. } => self.selected.push((*local, *remote)),
            Event::SendPath { path, .. } => {
                self.send_path = path;
                if path.is_some() {
                    self.usable.get_or_insert(now);
                }
            }
            Event::PathOpened { base, from, .. } => {
                self.heard.insert((base, from));
                if let Some(link) = self.links.get_mut(&(base, from)) {
                    link.deframer.prove();
                }
            }
            Event::PathClosed { base, from } => {
                self.heard.remove(&(base, from));
            }
            _ => {}
        }
    }

    /// Whether it concerns a socket of this machine.
    #[allow(dead_code, reason = "for tests with several agents on a host")]
    pub fn owns(&self, event: &HostEvent) -> bool {
        match event {
            HostEvent::Datagram { to, .. } => {
                self.bases.values().any(|base| base.tcp_type.is_none() && base.local == *to)
            }
            HostEvent::Accepted { listener, .. } => {
                self.bases.values().any(|base| base.listener == Some(*listener))
            }
            HostEvent::Connected { socket, .. }
            | HostEvent::ConnectFailed { socket, .. }
            | HostEvent::Received { socket, .. }
            | HostEvent::Writable { socket }
            | HostEvent::Closed { socket }
            | HostEvent::Reset { socket, .. } => self.end_of(*socket).is_some(),
        }
    }

    /// Something happened to the host.
    pub fn happened(&mut self, network: &mut Network, event: HostEvent) {
        let now = network.now();
        match event {
            HostEvent::Datagram { from, to, bytes } => {
                let at = |(_, base): &(&BaseId, &Base)| base.tcp_type.is_none() && base.local == to;
                let Some(base) = self.bases.iter().find(at).map(|(id, _)| *id) else { return };
                self.arrived((base, from), &bytes, now);
            }
            HostEvent::Connected { socket, local } => {
                let Some((base, to)) = self.end_of(socket) else { return };
                if let Some(link) = self.links.get_mut(&(base, to)) {
                    link.open = true;
                    if link.framing == Framing::Rfc4571 {
                        self.opened.get_or_insert(now);
                    }
                }
                self.core.handle_input(now, Input::Connected { base, to, local });
            }
            HostEvent::ConnectFailed { socket, kind } => {
                let Some((base, to)) = self.end_of(socket) else { return };
                self.links.remove(&(base, to));
                self.core.handle_input(now, Input::ConnectFailed { base, to, kind });
            }
            HostEvent::Accepted { listener, socket, remote } => {
                let at = |(_, base): &(&BaseId, &Base)| base.listener == Some(listener);
                let Some(base) = self.bases.iter().find(at).map(|(id, _)| *id) else { return };
                if let Some(old) = self.links.remove(&(base, remote)) {
                    network.close(old.socket);
                }
                let framing = Framing::Rfc4571;
                let deframer = Deframer::new(framing);
                let link = Link { socket, framing, deframer, open: true, told: false };
                self.links.insert((base, remote), link);
                self.opened.get_or_insert(now);
                self.core.handle_input(now, Input::Accepted { base, from: remote });
            }
            HostEvent::Received { socket, bytes } => self.received(socket, &bytes, now),
            HostEvent::Writable { .. } => {}
            HostEvent::Closed { socket } => {
                network.close(socket);
                self.lost(socket, None, now);
            }
            HostEvent::Reset { socket, kind } => self.lost(socket, Some(kind), now),
        }
        // What is due at this moment may not have been done yet.
        self.tick(now);
        self.drain(network);
    }

    fn lost(&mut self, socket: SocketId, kind: Option<io::ErrorKind>, now: Time) {
        if let Some((base, from)) = self.end_of(socket) {
            self.links.remove(&(base, from));
            self.heard.remove(&(base, from));
            self.core.handle_input(now, Input::Disconnected { base, from, kind });
        }
    }

    fn received(&mut self, socket: SocketId, bytes: &[u8], now: Time) {
        let Some(end) = self.end_of(socket) else { return };
        let mut frames = Vec::new();
        let Some(link) = self.links.get_mut(&end) else { return };
        link.deframer.extend(bytes);
        let broken = loop {
            match link.deframer.next_frame() {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        for frame in frames {
            self.arrived(end, &frame, now);
        }
        if broken {
            self.not_stun(end, now);
        }
    }

    fn arrived(&mut self, end: End, bytes: &[u8], now: Time) {
        let (base, from) = end;
        if looks_like_stun(bytes) {
            self.core.handle_input(now, Input::Datagram { base, from, bytes });
        } else if self.heard.contains(&end) {
            self.received.push(bytes.to_vec());
        } else {
            self.not_stun(end, now);
        }
    }

    fn not_stun(&mut self, end: End, now: Time) {
        let (base, from) = end;
        let told = self.links.get_mut(&end).map(|link| std::mem::replace(&mut link.told, true));
        if told == Some(false) {
            self.core.handle_input(now, Input::NotStun { base, from });
        }
    }

    fn end_of(&self, socket: SocketId) -> Option<End> {
        self.links.iter().find(|(_, link)| link.socket == socket).map(|(end, _)| *end)
    }
}

fn close(network: &mut Network, link: &Link, abort: bool) {
    if abort { network.abort(link.socket) } else { network.close(link.socket) }
}
