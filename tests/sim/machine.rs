//! An agent on its machine: interfaces, sockets, and somebody who watches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::{
    BaseId, Config, Core, Event, Input, LocalAddress, LogRecord, SocketOp, Sockets, State,
    StateReason, StreamId, Transmit,
};
use floe::candidate::{Candidate, ComponentId};
use floe::check::PairState;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

use crate::model::End;
use crate::monitor::Monitor;
use crate::topology::RealmId;

/// An address of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    pub ip: IpAddr,
    pub realm: RealmId,
}

#[derive(Clone, Copy, Debug)]
pub struct Socket {
    pub end: End,
    pub stream: StreamId,
    pub component: ComponentId,
}

pub struct Machine {
    pub core: Core,
    pub interfaces: Vec<Interface>,
    /// Where it may roam to.
    pub spare: Option<Interface>,
    pub sockets: BTreeMap<BaseId, Socket>,
    pub monitor: Monitor,
    pub events: Vec<(Time, Event)>,
    /// The event log.
    pub records: Vec<LogRecord>,
    /// Datagrams of the application that were delivered to it, and where.
    pub delivered: Vec<(BaseId, StreamId, ComponentId)>,
    /// When checks could start: the peer's parameters were known.
    pub started: Option<Time>,
    /// When it last learnt something by signalling.
    pub informed: Time,
    servers: Vec<SocketAddr>,
    limit: usize,
    next_port: u16,
    sent: DefaultHasher,
    buffer: Vec<u8>,
}

/// What came out of a drained core.
#[derive(Default)]
pub struct Drained {
    pub datagrams: Vec<(Transmit, Vec<u8>)>,
    pub events: Vec<Event>,
}

impl Machine {
    pub fn new(seed: u64, mut config: Config, interfaces: Vec<Interface>, streams: &[u16]) -> Self {
        config.log = true;
        let servers = config.stun_servers.iter().filter_map(|s| s.address).collect();
        let limit = config.max_pairs;
        let mut core = Core::new(config, &Seed::from_number(seed), Pacer::new());
        for components in streams {
            core.add_stream(*components).unwrap();
        }
        Machine {
            core,
            interfaces,
            spare: None,
            sockets: BTreeMap::new(),
            monitor: Monitor::default(),
            events: Vec::new(),
            records: Vec::new(),
            delivered: Vec::new(),
            started: None,
            informed: Time::ZERO,
            servers,
            limit,
            next_port: 5000,
            sent: DefaultHasher::new(),
            buffer: Vec::new(),
        }
    }

    pub fn gather(&mut self, now: Time) {
        let addresses: Vec<_> = self.interfaces.iter().map(|i| local_address(i.ip)).collect();
        self.core.handle_input(now, Input::LocalAddresses(&addresses));
    }

    /// The application restarts ICE for all streams.
    pub fn restart(&mut self, now: Time, sockets: Sockets) {
        for stream in self.core.streams() {
            self.core.restart(stream, sockets, now).unwrap();
        }
    }

    /// The first interface gives way to the spare one, which the next move
    /// brings back.
    pub fn roam(&mut self, now: Time) {
        let Some(spare) = &mut self.spare else { return };
        std::mem::swap(&mut self.interfaces[0], spare);
        self.gather(now);
    }

    pub fn sleep(&mut self, now: Time, slept: Duration) {
        self.core.handle_input(now, Input::Woke { slept });
    }

    /// A datagram for one of our sockets.
    pub fn receive(&mut self, now: Time, base: BaseId, from: SocketAddr, bytes: &[u8]) {
        if floe::stun::looks_like_stun(bytes) {
            self.monitor.received(base, from, bytes);
            self.core.handle_input(now, Input::Datagram { base, from, bytes });
            self.assert_advances(now);
        } else if let Some((stream, component)) = self.monitor.is_open(base, from) {
            self.delivered.push((base, stream, component));
        }
    }

    /// Calls `handle_timeout` if it is due.
    pub fn tick(&mut self, now: Time) {
        if self.core.poll_timeout().is_some_and(|(t, _)| t <= now) {
            self.core.handle_timeout(now);
            self.assert_advances(now);
        }
    }

    fn assert_advances(&self, now: Time) {
        let next = self.core.poll_timeout();
        assert!(next.is_none_or(|(t, _)| t > now), "at {now} the timeout stays {next:?}");
    }

    /// Drains the core, checking all the while.
    pub fn drain(&mut self, now: Time) -> Drained {
        let mut drained = Drained::default();
        self.serve_sockets(now);
        let mut formed = false;
        while let Some(record) = self.core.poll_log() {
            formed |= matches!(record.what, floe::agent::Happened::PairFormed { .. });
            self.monitor.logged(&record);
            self.records.push(record);
        }
        assert_eq!(self.core.lost_log_records(), 0);
        if formed {
            self.assert_limits();
        }
        while let Some(transmit) = self.core.poll_transmit(&mut self.buffer) {
            assert_ne!(self.core.state(), State::Closed, "sent after close");
            let ta = self.core.pacing();
            self.monitor.sent(now, transmit, &self.buffer, ta, &self.servers);
            (now, transmit.base, transmit.to, &self.buffer).hash(&mut self.sent);
            drained.datagrams.push((transmit, self.buffer.clone()));
        }
        while let Some(event) = self.core.poll_event() {
            self.monitor.reported(&event);
            self.events.push((now, event.clone()));
            drained.events.push(event);
        }
        drained
    }

    fn serve_sockets(&mut self, now: Time) {
        while let Some(op) = self.core.poll_socket_op() {
            match op {
                SocketOp::BindUdp { base, ip, stream, component, .. } => {
                    let interface = self.interfaces.iter().find(|i| i.ip == ip);
                    let Interface { realm, .. } = *interface.expect("our own address");
                    let local = SocketAddr::new(ip, self.next_port);
                    self.next_port += 1;
                    let end = End { realm, local };
                    self.sockets.insert(base, Socket { end, stream, component });
                    self.core.handle_input(now, Input::Bound { base, local });
                }
                SocketOp::Keep { .. } => {}
                SocketOp::ListAddresses => self.gather(now),
                SocketOp::Close { base } => {
                    self.sockets.remove(&base).expect("open sockets are closed, once");
                }
                other => panic!("not expected here: {other:?}"),
            }
        }
    }

    fn assert_limits(&self) {
        let pairs = self.core.streams().flat_map(|stream| self.core.pairs(stream));
        let listed = pairs.filter(|p| p.state != PairState::Removed).count();
        assert!(listed <= self.limit, "{listed} pairs, {} allowed", self.limit);
    }

    /// Closes the agent: nothing may be left of it.
    pub fn close(&mut self, now: Time) {
        self.core.close(now);
        let drained = self.drain(now);
        assert!(drained.datagrams.is_empty());
        self.core.handle_timeout(now + Duration::from_secs(60));
        assert_eq!(self.core.poll_timeout(), None, "a timer runs after close");
        assert!(self.drain(now).datagrams.is_empty());
        assert!(self.sockets.is_empty(), "sockets stay open after close");
    }

    /// What was sent, when and where to, as one number.
    pub fn traffic(&self) -> u64 {
        self.sent.finish()
    }

    pub fn components(&self) -> usize {
        let mut all: Vec<_> = self.sockets.values().map(|s| (s.stream, s.component)).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    pub fn time_of(&self, is: impl Fn(&Event) -> bool) -> Option<Time> {
        self.events.iter().find(|(_, e)| is(e)).map(|(t, _)| *t)
    }

    pub fn entered(&self, wanted: State) -> Option<(Time, StateReason)> {
        self.events.iter().find_map(|(t, e)| match e {
            Event::State { state, reason } if *state == wanted => Some((*t, *reason)),
            _ => None,
        })
    }

    /// The state, but for consent checks that got lost after all was decided.
    pub fn has_come_to(&self) -> State {
        match self.core.state() {
            State::Disconnected if self.entered(State::Completed).is_some() => State::Completed,
            state => state,
        }
    }

    /// The selected pairs.
    pub fn selected(&self) -> BTreeMap<(StreamId, ComponentId), (Candidate, Candidate)> {
        let events = self.events.iter();
        events
            .filter_map(|(_, e)| match e {
                Event::Selected { stream, component, local, remote } => Some((
                    (*stream, *component),
                    (Candidate::clone(local), Candidate::clone(remote)),
                )),
                _ => None,
            })
            .collect()
    }

    /// Where data of each component is to be sent now.
    pub fn send_paths(&self) -> BTreeMap<(StreamId, ComponentId), (BaseId, SocketAddr)> {
        let mut paths = BTreeMap::new();
        for (_, event) in &self.events {
            if let Event::SendPath { stream, component, path } = event {
                match path {
                    Some(path) => paths.insert((*stream, *component), *path),
                    None => paths.remove(&(*stream, *component)),
                };
            }
        }
        paths
    }
}

pub fn local_address(ip: IpAddr) -> LocalAddress {
    LocalAddress {
        ip,
        interface: "sim0".into(),
        index: 1,
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}
