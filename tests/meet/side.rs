//! One side: its clock, and a session for each port of its meetings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use floe::agent::meet::{Meet, PORTS_AT_A_TIME, Progress, Step, next_step};
use floe::agent::{Config, Core, Credentials, State, Transports};
use floe::candidate::ComponentId;
use floe::check::Role;
use floe::punch::{Meeting, Rendezvous};
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

use crate::machine::{Machine, STREAM};
use crate::model::{HostEvent, HostId, Network};

/// Bucket and port.
pub type Key = (u64, u16);

pub struct Session {
    pub machine: Machine,
    pub pwd: Box<str>,
    nominated: bool,
}

pub struct Side {
    pub host: HostId,
    ip: IpAddr,
    meet: Meet,
    rendezvous: Rendezvous,
    transports: Transports,
    /// What its clock says at the beginning of the world, since 1970.
    clock: Duration,
    /// When it starts, then when its meetings change.
    pub next: Option<Time>,
    pub sessions: BTreeMap<Key, Session>,
    pub done: Option<(Key, Time)>,
    made: u64,
    /// Requests of its own that came back to sessions which are over.
    own_requests: u32,
}

pub struct Plan {
    pub host: HostId,
    pub ip: IpAddr,
    pub peer: IpAddr,
    pub rendezvous: Rendezvous,
    pub tie_breaker: u64,
    pub transports: Transports,
    pub clock: Duration,
    pub start: Time,
}

impl Side {
    pub fn new(plan: Plan) -> Self {
        Side {
            host: plan.host,
            ip: plan.ip,
            meet: Meet { peer: plan.peer, tie_breaker: plan.tie_breaker },
            rendezvous: plan.rendezvous,
            transports: plan.transports,
            clock: plan.clock,
            next: Some(plan.start),
            sessions: BTreeMap::new(),
            done: None,
            made: plan.tie_breaker,
            own_requests: 0,
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, network: &mut Network) {
        let now = network.now();
        let wall = self.clock + now.since_epoch();
        if self.done.is_none() && self.next.is_some_and(|next| next <= now) {
            self.next = Some(now + Rendezvous::changes_in(wall));
            let meetings = self.rendezvous.meetings(wall);
            let is_over = |(key, session): &(&Key, &Session)| {
                let lasts = meetings.iter().any(|meeting| meeting.bucket == key.0);
                !lasts && !session.machine.connected()
            };
            let over: Vec<Key> = self.sessions.iter().filter(is_over).map(|(k, _)| *k).collect();
            over.into_iter().for_each(|key| self.end(key, network));
            for meeting in &meetings {
                for port in &meeting.ports[..PORTS_AT_A_TIME] {
                    if !self.sessions.contains_key(&(meeting.bucket, *port)) {
                        self.begin(meeting, *port, network);
                    }
                }
            }
        }
        for session in self.sessions.values_mut() {
            session.machine.tick(now);
            session.machine.drain(network);
        }
        if self.done.is_none() {
            self.renew(network);
            self.step(network);
        }
    }

    fn begin(&mut self, meeting: &Meeting, port: u16, network: &mut Network) {
        let now = network.now();
        let mut config = Config::new(Role::Controlled);
        config.transports = self.transports;
        config.log = true;
        self.meet.configure(&mut config);
        let parameters = self.meet.parameters(meeting, &config);
        let candidates = self.meet.candidates(port, config.transports);
        self.made += 1;
        let mut core = Core::new(config, &Seed::from_number(self.made), Pacer::new());
        core.add_stream_with(1, Credentials::of(meeting)).unwrap();
        let mut machine = Machine::with(core, self.host, self.ip);
        machine.port = Some(port);
        machine.gather(now);
        machine.core.set_remote_parameters(STREAM, parameters, now).unwrap();
        for candidate in candidates {
            machine.core.add_remote_candidate(STREAM, &candidate, now).unwrap();
        }
        machine.core.end_of_remote_candidates(STREAM, now).unwrap();
        machine.drain(network);
        let session = Session { machine, pwd: meeting.pwd.clone(), nominated: false };
        self.sessions.insert((meeting.bucket, port), session);
    }

    fn end(&mut self, key: Key, network: &mut Network) {
        if let Some(mut session) = self.sessions.remove(&key) {
            self.own_requests += own_requests(&session.machine.core);
            session.machine.core.close(network.now());
            session.machine.drain(network);
        }
    }

    /// A session that failed is begun again, while its meeting lasts.
    fn renew(&mut self, network: &mut Network) {
        let failed = |s: &Session| s.machine.core.state() == State::Failed;
        let failed: Vec<Key> =
            self.sessions.iter().filter(|(_, s)| failed(s)).map(|(key, _)| *key).collect();
        for key in failed {
            self.end(key, network);
            self.begin(&self.rendezvous.meeting(key.0), key.1, network);
        }
    }

    fn step(&mut self, network: &mut Network) {
        let now = network.now();
        let progress = |(key, session): (&Key, &Session)| {
            let core = &session.machine.core;
            let nominated = session.nominated;
            (*key, Progress { state: core.state(), role: core.role(), nominated })
        };
        match next_step(self.sessions.iter().map(progress)) {
            Step::Wait => {}
            Step::Nominate(key) => {
                let session = self.sessions.get_mut(&key).unwrap();
                let pair = session.machine.core.best_pair(STREAM, ComponentId::ONE).unwrap();
                session.machine.core.nominate(pair, now).unwrap();
                session.nominated = true;
                session.machine.drain(network);
            }
            Step::Done(key) => {
                self.done = Some((key, now));
                self.next = None;
                let others: Vec<Key> =
                    self.sessions.keys().copied().filter(|other| *other != key).collect();
                others.into_iter().for_each(|other| self.end(other, network));
            }
        }
    }

    pub fn happened(&mut self, network: &mut Network, event: HostEvent) {
        let owner = self.sessions.values_mut().find(|session| session.machine.owns(&event));
        if let Some(session) = owner {
            session.machine.happened(network, event);
        }
    }

    /// The earliest time at which something is due.
    pub fn deadline(&self) -> Option<Time> {
        let cores = self.sessions.values().filter_map(|s| s.machine.core.poll_timeout());
        cores.map(|(at, _)| at).chain(self.next).min()
    }

    /// The machine that the rendezvous came to.
    pub fn machine(&mut self) -> Option<&mut Machine> {
        let (key, _) = self.done?;
        self.sessions.get_mut(&key).map(|session| &mut session.machine)
    }

    pub fn own_requests(&self) -> u32 {
        let alive = self.sessions.values().map(|session| own_requests(&session.machine.core));
        self.own_requests + alive.sum::<u32>()
    }
}

fn own_requests(core: &Core) -> u32 {
    core.drops().of(floe::agent::DropReason::OwnRequest)
}
