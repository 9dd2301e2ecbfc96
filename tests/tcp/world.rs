//! Two agents, each behind NATs of the model, a STUN server, and signalling.

#[path = "world/acts.rs"]
mod acts;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::{Config, RemoteParameters, State, StunServer, Transports};
use floe::candidate::Candidate;
use floe::check::Role;
use floe::net::Protocol;
use floe::tcp::{Deframer, Framing};
use floe::timer::Time;

use crate::machine::{Machine, STREAM, Said};
use crate::model::{Air, HostEvent, HostId, INTERNET, Nat, Network, Rules, SocketId};
use crate::stun_server;

/// What stands between a host and the internet, from the inside out.
pub type Path = Vec<Rules>;

pub struct Plan {
    pub seed: u64,
    pub paths: [Path; 2],
    /// From one host to the other and back.
    pub rtt: Duration,
    pub transports: [Transports; 2],
    /// How much later the second side learns of the first.
    pub skew: Duration,
    /// How long a message of the agreement on T0 takes.
    pub signalling: Duration,
    pub ipv6: bool,
    pub air: Air,
    /// STUN servers over TCP, and one over UDP.
    pub servers: usize,
    /// Kernels that open no connection by crossing SYNs.
    pub hardened: [bool; 2],
    /// Candidates that each side learns of, beside those of its peer.
    pub extra: [Vec<String>; 2],
    pub configure: fn(usize, &mut Config),
}

impl Plan {
    pub fn new(paths: [Path; 2], transports: Transports) -> Self {
        Plan {
            seed: 1,
            paths,
            rtt: Duration::from_millis(40),
            transports: [transports; 2],
            skew: Duration::ZERO,
            signalling: Duration::from_millis(30),
            ipv6: false,
            air: Air::default(),
            servers: 1,
            hardened: [false; 2],
            extra: Default::default(),
            configure: |_, _| {},
        }
    }
}

/// What one side says to the other.
enum Signal {
    Parameters(RemoteParameters),
    Candidate(Candidate),
    Sync(Box<str>),
    End,
}

pub struct World {
    pub network: Network,
    pub machines: [Machine; 2],
    server: HostId,
    streams: BTreeMap<SocketId, (Deframer, SocketAddr)>,
    signals: BTreeMap<(Time, u64), (usize, Signal)>,
    number: u64,
    /// Each side knows of the other, and hears what else it says.
    signalled: bool,
    /// A host that is no agent: what it sends to whoever connects.
    pub stranger: Option<(HostId, Vec<u8>)>,
    /// How often somebody connected to it.
    pub fooled: usize,
    lite: [bool; 2],
    extra: [Vec<String>; 2],
    last_signal: [Time; 2],
    /// When the second side learns of the first.
    pub late_start: Time,
    signalling: Duration,
    /// How long the signalling takes.
    delay: Duration,
}

/// The host's own address, and the one that its NAT has outside.
fn addresses(side: usize, ipv6: bool) -> (IpAddr, IpAddr) {
    let n = side as u8 + 1;
    if ipv6 {
        let ip: IpAddr = format!("2001:db8:{n}::2").parse().unwrap();
        return (ip, ip);
    }
    ([10, n, 0, 2].into(), [203, 0, 113, n].into())
}

pub fn server_address(ipv6: bool) -> SocketAddr {
    nth_server(1, ipv6)
}

fn nth_server(n: usize, ipv6: bool) -> SocketAddr {
    let ip = if ipv6 { format!("2001:db8:ffff::{n}") } else { format!("198.51.100.{n}") };
    SocketAddr::new(ip.parse().unwrap(), 3478)
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let mut network = Network::new(plan.seed);
        network.set_air(plan.air);
        let quarter = plan.rtt / 4;
        let server = server_address(plan.ipv6);
        let mut sides = Vec::new();
        for (side, path) in plan.paths.iter().enumerate() {
            let (inside, outside) = addresses(side, plan.ipv6);
            let mut realm = INTERNET;
            for (nth, rules) in path.iter().rev().enumerate() {
                // Of several NATs each but the outermost has an inner address.
                let address = match (plan.ipv6, nth) {
                    (true, _) => None,
                    (false, 0) => Some(outside),
                    (false, _) => Some([100, 64, side as u8, nth as u8].into()),
                };
                let delay = if nth == 0 { quarter } else { Duration::ZERO };
                let nat = Nat::new(*rules, address, 20_000 + side as u16 * 1_000);
                realm = Some(network.add_nat(nat, realm, delay));
            }
            let delay = if path.is_empty() { quarter } else { Duration::ZERO };
            let host = network.add_host(inside, realm, delay);
            if plan.hardened[side] {
                network.refuse_crossing(host);
            }
            sides.push((host, inside));
        }
        let server_host = network.add_host(server.ip(), INTERNET, Duration::ZERO);
        network.listen(server_host, server, 128).unwrap();
        let mut servers = vec![stun(server, Protocol::Udp), stun(server, Protocol::Tcp)];
        for n in 2..=plan.servers {
            let address = nth_server(n, plan.ipv6);
            network.add_address(server_host, address.ip(), INTERNET, Duration::ZERO);
            network.listen(server_host, address, 128).unwrap();
            servers.push(stun(address, Protocol::Tcp));
        }
        let (mut at, mut lite) = (0, [false; 2]);
        let machines = [sides[0], sides[1]].map(|(host, ip)| {
            let role = if at == 0 { Role::Controlling } else { Role::Controlled };
            let mut config = Config::new(role);
            config.transports = plan.transports[at];
            config.stun_servers = servers.clone();
            (plan.configure)(at, &mut config);
            lite[at] = config.lite;
            at += 1;
            Machine::new(plan.seed * 2 + at as u64, config, host, ip)
        });
        let mut world = World {
            network,
            machines,
            server: server_host,
            streams: BTreeMap::new(),
            signals: BTreeMap::new(),
            number: 0,
            signalled: false,
            stranger: None,
            fooled: 0,
            lite,
            extra: plan.extra,
            last_signal: [Time::ZERO; 2],
            late_start: Time::ZERO,
            signalling: plan.signalling,
            delay: plan.rtt / 2,
        };
        world.gather();
        world.signal(plan.skew);
        world
    }

    /// Both gather; nothing is signalled yet.
    fn gather(&mut self) {
        for side in 0..2 {
            let now = self.network.now();
            self.machines[side].gather(now);
            self.machines[side].drain(&mut self.network);
        }
        let end = Time::ZERO + Duration::from_secs(10);
        self.run(end, |world| world.machines.iter().all(|machine| machine.gathered));
        assert!(self.machines.iter().all(|machine| machine.gathered), "gathering ends");
    }

    /// Each side learns of the other, the second one by `skew` later, and what
    /// comes from now on goes over at once.
    fn signal(&mut self, skew: Duration) {
        for to in 0..2 {
            let at = self.network.now() + skew * to as u32;
            let parameters = self.parameters(1 - to, None);
            self.push(at, to, Signal::Parameters(parameters));
            for line in std::mem::take(&mut self.extra[to]) {
                self.push(at, to, Signal::Candidate(line.parse().unwrap()));
            }
            self.say(1 - to, at);
        }
        self.late_start = self.network.now() + skew;
        self.signalled = true;
    }

    fn parameters(&self, of: usize, answers: Option<Box<str>>) -> RemoteParameters {
        let core = &self.machines[of].core;
        let credentials = core.local_credentials(STREAM).unwrap();
        let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        parameters.pacing = Duration::from_millis(5);
        parameters.lite = self.lite[of];
        parameters.options = core.options().into_iter().map(Into::into).collect();
        parameters.answers = answers;
        parameters
    }

    /// Signals what a side has to say, to arrive at this time.
    fn say(&mut self, from: usize, at: Time) {
        for said in std::mem::take(&mut self.machines[from].unsaid) {
            let signal = match said {
                Said::Candidate(candidate) => Signal::Candidate(candidate),
                Said::End => Signal::End,
                Said::Restarted(answers) => Signal::Parameters(self.parameters(from, answers)),
            };
            self.push(at, 1 - from, signal);
        }
    }

    /// Signalling keeps its order.
    fn push(&mut self, at: Time, to: usize, signal: Signal) {
        let at = at.max(self.last_signal[to]);
        self.last_signal[to] = at;
        self.number += 1;
        self.signals.insert((at, self.number), (to, signal));
    }

    pub fn now(&self) -> Time {
        self.network.now()
    }

    pub fn run_for(&mut self, time: Duration, done: impl Fn(&World) -> bool) {
        self.run(self.now() + time, done);
    }

    fn run(&mut self, end: Time, done: impl Fn(&World) -> bool) {
        for _ in 0..1_000_000 {
            if done(self) {
                return;
            }
            let timers = self.machines.iter().filter_map(|m| m.core.poll_timeout()).map(|t| t.0);
            let signals = self.signals.keys().next().map(|(at, _)| *at);
            let next = timers.chain(signals).chain(self.network.next_event_time()).min();
            let next = next.unwrap_or(end).min(end);
            let over = next == end && self.now() == end;
            for happened in self.network.advance(next) {
                self.happened(happened.host, happened.event);
            }
            while let Some(entry) = self.signals.first_entry().filter(|e| e.key().0 <= next) {
                let (to, signal) = entry.remove();
                self.take(to, signal);
            }
            for side in 0..2 {
                self.machines[side].tick(next);
                self.machines[side].drain(&mut self.network);
                for message in std::mem::take(&mut self.machines[side].syncs) {
                    // What comes before the other side learns of this one waits.
                    let at = self.now() + self.signalling;
                    let at = if side == 0 { at.max(self.late_start) } else { at };
                    self.push(at, 1 - side, Signal::Sync(message));
                }
                if self.signalled {
                    self.say(side, next + self.delay);
                }
            }
            if over {
                return;
            }
        }
        panic!("no end after a million steps");
    }

    fn take(&mut self, to: usize, signal: Signal) {
        let now = self.now();
        let core = &mut self.machines[to].core;
        match signal {
            Signal::Parameters(parameters) => {
                let given = core.set_remote_parameters(STREAM, parameters, now);
                assert!(given.is_ok() || core.state() == State::Closed, "{given:?}");
            }
            // Late ones may find the component concluded, a newer session, or
            // an agent that was closed.
            Signal::Candidate(candidate) => {
                let _ = core.add_remote_candidate(STREAM, &candidate, now);
            }
            // The session may be over, or another one.
            Signal::Sync(message) => {
                let _ = core.handle_sync(STREAM, &message, now);
            }
            Signal::End => {
                let _ = core.end_of_remote_candidates(STREAM, now);
            }
        }
        self.machines[to].drain(&mut self.network);
    }

    fn happened(&mut self, host: HostId, event: HostEvent) {
        if host == self.server {
            return self.serve(event);
        }
        if self.stranger.as_ref().is_some_and(|(stranger, _)| *stranger == host) {
            if let HostEvent::Closed { socket } = event {
                self.network.close(socket);
            } else if let HostEvent::Accepted { socket, .. } = event {
                self.fooled += 1;
                let (_, answer) = self.stranger.as_ref().unwrap();
                if !answer.is_empty() {
                    self.network.send(socket, answer).unwrap();
                }
            }
            return;
        }
        let side = self.machines.iter().position(|machine| machine.host == host).unwrap();
        self.machines[side].happened(&mut self.network, event);
    }

    /// The STUN server, over UDP and over TCP.
    fn serve(&mut self, event: HostEvent) {
        match event {
            HostEvent::Datagram { from, to, bytes } => {
                if let Some(answer) = stun_server::answer(&bytes, from) {
                    self.network.send_udp(self.server, to, from, &answer);
                }
            }
            HostEvent::Accepted { socket, remote, .. } => {
                self.streams.insert(socket, (Deframer::new(Framing::Stun), remote));
            }
            HostEvent::Received { socket, bytes } => {
                let Some((deframer, remote)) = self.streams.get_mut(&socket) else { return };
                deframer.extend(&bytes);
                while let Some(request) = deframer.next_frame().unwrap() {
                    if let Some(answer) = stun_server::answer(request, *remote) {
                        self.network.send(socket, &answer).unwrap();
                    }
                }
            }
            HostEvent::Closed { socket } => self.network.close(socket),
            _ => {}
        }
    }
}

fn stun(address: SocketAddr, protocol: Protocol) -> StunServer {
    let host = address.ip().to_string().into();
    let uri = format!("stun:{address}?transport={protocol}").into();
    StunServer { uri, host, port: address.port(), address: Some(address), protocol }
}
