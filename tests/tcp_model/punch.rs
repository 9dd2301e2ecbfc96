//! Two hosts, each behind a NAT, that punch with plain connects: who starts
//! when, what is tried again, and when both ends have the connection.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use floe::timer::Time;

use crate::model::{HostEvent, HostId, INTERNET, ListenerId, Nat, Network, Rules, SocketId, State};

/// What an end does beside its first connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strategy {
    /// A listener on the port, from the start of the world.
    pub listens: bool,
    /// A new connect so long after a refusal.
    pub again: Option<Duration>,
    /// A connect that has no answer is closed and made anew, so often.
    pub recycles: Option<Duration>,
    /// With an RST, if it got as far as SYN_RECV.
    pub aborts: bool,
}

/// One side of the punch.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    pub rules: Rules,
    pub starts: Duration,
    pub strategy: Strategy,
}

impl Side {
    pub fn new(rules: Rules, starts: u64) -> Self {
        let starts = Duration::from_millis(starts);
        Side { rules, starts, strategy: Strategy::default() }
    }

    pub fn with(self, strategy: Strategy) -> Self {
        Side { strategy, ..self }
    }
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Two hosts and what they know of their connections.
pub struct Punch {
    pub network: Network,
    pub hosts: [HostId; 2],
    pub locals: [SocketAddr; 2],
    /// Where each side's port is expected from outside.
    pub mapped: [SocketAddr; 2],
    pub listeners: [Option<ListenerId>; 2],
    sides: [Side; 2],
    connecting: [Option<SocketId>; 2],
    /// What each side has, and since when.
    pub connected: [Option<(SocketId, Time)>; 2],
    pub failures: [Vec<(Time, ErrorKind)>; 2],
    timers: BTreeMap<(Time, usize), ()>,
}

impl Punch {
    /// The internet takes a `rtt` there and back.
    pub fn new(sides: [Side; 2], rtt: Duration) -> Self {
        let mut network = Network::new(7);
        let locals = [at("10.0.1.2:6000"), at("10.0.2.2:6000")];
        let mapped = [at("203.0.113.1:6000"), at("203.0.113.2:6000")];
        let hosts = [0, 1].map(|side: usize| {
            let nat = Nat::new(sides[side].rules, Some(mapped[side].ip()), 40_000);
            let nat = network.add_nat(nat, INTERNET, rtt / 4);
            network.add_host(locals[side].ip(), Some(nat), Duration::ZERO)
        });
        let listeners = [0, 1].map(|side: usize| {
            let listens = sides[side].strategy.listens;
            listens.then(|| network.listen(hosts[side], locals[side], 8).unwrap())
        });
        let timers = [0, 1].map(|side: usize| ((Time::ZERO + sides[side].starts, side), ()));
        Punch {
            network,
            hosts,
            locals,
            mapped,
            listeners,
            sides,
            connecting: [None; 2],
            connected: [None; 2],
            failures: Default::default(),
            timers: BTreeMap::from(timers),
        }
    }

    /// Each side asks a server for its address first, as gathering does: its
    /// port is mapped where the mapping does not depend on the remote.
    pub fn gather(mut self) -> Self {
        let server =
            self.network.add_host(at("198.51.100.1:1").ip(), INTERNET, Duration::from_millis(1));
        self.network.listen(server, at("198.51.100.1:3478"), 8).unwrap();
        for side in 0..2 {
            let (host, local) = (self.hosts[side], self.locals[side]);
            self.network.connect(host, local, at("198.51.100.1:3478")).unwrap();
        }
        let settled = self.network.now() + Duration::from_secs(1);
        for happened in self.network.advance(settled) {
            if let HostEvent::Accepted { remote, .. } = happened.event {
                let side = (remote.ip() == self.mapped[1].ip()) as usize;
                self.mapped[side] = remote;
            }
        }
        let late = settled - Time::ZERO;
        let timers = std::mem::take(&mut self.timers);
        self.timers = timers.into_keys().map(|(time, side)| ((time + late, side), ())).collect();
        self
    }

    pub fn run(&mut self, end: Time) {
        loop {
            let timer = self.timers.keys().next().map(|(time, _)| *time);
            let event = self.network.next_event_time();
            let Some(next) = timer.into_iter().chain(event).min().filter(|t| *t <= end) else {
                break;
            };
            for happened in self.network.advance(next) {
                let side = self.hosts.iter().position(|host| *host == happened.host);
                if let Some(side) = side {
                    self.take(side, happened.at, happened.event);
                }
            }
            if timer == Some(next)
                && let Some(((_, side), ())) = self.timers.pop_first()
            {
                self.tick(side);
            }
            if self.connected.iter().all(Option::is_some) {
                break;
            }
        }
    }

    fn tick(&mut self, side: usize) {
        if self.connected[side].is_some() {
            return;
        }
        if let Some(socket) = self.connecting[side].take() {
            if self.sides[side].strategy.aborts {
                self.network.abort(socket);
            } else {
                self.network.close(socket);
            }
        }
        let (host, local) = (self.hosts[side], self.locals[side]);
        match self.network.connect(host, local, self.mapped[1 - side]) {
            Ok(socket) => self.connecting[side] = Some(socket),
            Err(kind) => self.failures[side].push((self.network.now(), kind)),
        }
        if let Some(period) = self.sides[side].strategy.recycles {
            self.timers.insert((self.network.now() + period, side), ());
        }
    }

    fn take(&mut self, side: usize, time: Time, event: HostEvent) {
        match event {
            HostEvent::Connected { socket, .. } if self.connecting[side] == Some(socket) => {
                self.connected[side].get_or_insert((socket, time));
            }
            HostEvent::Accepted { socket, .. } => {
                self.connected[side].get_or_insert((socket, time));
            }
            HostEvent::ConnectFailed { socket, kind } if self.connecting[side] == Some(socket) => {
                self.connecting[side] = None;
                self.failures[side].push((time, kind));
                if let Some(again) = self.sides[side].strategy.again {
                    self.timers.insert((time + again, side), ());
                }
            }
            HostEvent::Reset { socket, .. }
                if self.connected[side].is_some_and(|(known, _)| known == socket) =>
            {
                self.connected[side] = None;
            }
            _ => {}
        }
    }

    /// When the later end had the connection, if a byte passes both ways.
    pub fn succeeded(&mut self) -> Option<Time> {
        let [(a, at_a), (b, at_b)] = [self.connected[0]?, self.connected[1]?];
        for socket in [a, b] {
            self.network.send(socket, b"x").ok()?;
        }
        let end = self.network.now() + Duration::from_secs(1);
        let got = self.network.advance(end);
        let received = |socket| {
            let bytes = b"x".to_vec();
            got.iter().any(|h| h.event == HostEvent::Received { socket, bytes: bytes.clone() })
        };
        let established = |s| self.network.state(s) == State::Established;
        ([a, b].into_iter().all(received) && [a, b].into_iter().all(established))
            .then_some(at_a.max(at_b))
    }
}
