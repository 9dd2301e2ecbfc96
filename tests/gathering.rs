//! Gathering of one agent in virtual time, with STUN servers that answer
//! after a delay or not at all: exact times and candidates.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{
    BaseId, CommandError, Config, Core, DropReason, Event, Input, LocalAddress, SocketOp, StreamId,
    StunServer, Transmit,
};
use floe::candidate::{Candidate, Kind};
use floe::check::Role;
use floe::net::Protocol;
use floe::rng::Seed;
use floe::stun::{Class, IntegrityKey, Message, write_success};
use floe::timer::{Pacer, Time};

const S1: &str = "198.51.100.1:3478";
const S2: &str = "198.51.100.2:3478";
/// From the request to the answer.
const RTT: Duration = Duration::from_millis(30);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn local(ip: &str) -> LocalAddress {
    LocalAddress {
        ip: ip.parse().unwrap(),
        interface: "eth0".into(),
        index: 2,
        prefix: None,
        temporary: None,
        deprecated: None,
    }
}

fn server(address: &str) -> StunServer {
    let address = addr(address);
    let (host, port) = (address.ip().to_string().into(), address.port());
    let (uri, address) = (format!("stun:{address}").into(), Some(address));
    StunServer { uri, host, port, address, protocol: Protocol::Udp }
}

fn named_server(host: &str) -> StunServer {
    let (uri, host) = (format!("stun:{host}").into(), host.into());
    StunServer { uri, host, port: 3478, address: None, protocol: Protocol::Udp }
}

/// What a server sees a base as, and after how long it says so.
type Answer = fn(local: SocketAddr, server: SocketAddr) -> Option<(Duration, SocketAddr)>;

/// Every address becomes 203.0.113.1 with the same port.
fn one_nat(local: SocketAddr, _: SocketAddr) -> Option<(Duration, SocketAddr)> {
    Some((RTT, SocketAddr::new("203.0.113.1".parse().unwrap(), local.port())))
}

/// The server sees what there is.
fn no_nat(local: SocketAddr, _: SocketAddr) -> Option<(Duration, SocketAddr)> {
    Some((RTT, local))
}

struct Machine {
    core: Core,
    now: Time,
    answer: Answer,
    /// Addresses at which no socket can be bound.
    unbindable: &'static [&'static str],
    sockets: BTreeMap<BaseId, SocketAddr>,
    wire: BTreeMap<(Time, usize), (BaseId, SocketAddr, Vec<u8>)>,
    requests: Vec<(u64, SocketAddr, SocketAddr)>,
    resolve: Vec<usize>,
    /// Names of ours, with what they stand for.
    published: Vec<(Box<str>, std::net::IpAddr)>,
    events: Vec<(u64, Event)>,
}

impl Machine {
    fn new(addresses: &[&str], answer: Answer, configure: impl Fn(&mut Config)) -> Self {
        Self::with_components(1, addresses, &[], answer, configure)
    }

    fn with_components(
        components: u16,
        addresses: &[&str],
        unbindable: &'static [&'static str],
        answer: Answer,
        configure: impl Fn(&mut Config),
    ) -> Self {
        let mut config = Config::new(Role::Controlling);
        configure(&mut config);
        let mut core = Core::new(config, &Seed::from_number(1), Pacer::new());
        core.add_stream(components).unwrap();
        let mut machine = Machine {
            core,
            now: Time::ZERO,
            answer,
            unbindable,
            sockets: BTreeMap::new(),
            wire: BTreeMap::new(),
            requests: Vec::new(),
            resolve: Vec::new(),
            published: Vec::new(),
            events: Vec::new(),
        };
        let addresses: Vec<_> = addresses.iter().map(|ip| local(ip)).collect();
        machine.input(Input::LocalAddresses(&addresses));
        machine
    }

    fn millis(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    fn input(&mut self, input: Input<'_>) {
        self.core.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut bytes = Vec::new();
        while let Some(Transmit { base, to }) = self.core.poll_transmit(&mut bytes) {
            self.serve(base, to, &bytes);
        }
        while let Some(event) = self.core.poll_event() {
            self.events.push((self.millis(), event));
        }
        while let Some(op) = self.core.poll_socket_op() {
            match op {
                SocketOp::BindUdp { base, ip, .. } => self.bind(base, ip),
                SocketOp::Resolve { server } => self.resolve.push(server),
                SocketOp::PublishName { name, ip } => self.published.push((name, ip)),
                _ => {}
            }
        }
    }

    fn bind(&mut self, base: BaseId, ip: std::net::IpAddr) {
        if self.unbindable.contains(&ip.to_string().as_str()) {
            let error = io::Error::from(io::ErrorKind::AddrNotAvailable);
            return self.input(Input::BindFailed { base, error: &error });
        }
        let local = SocketAddr::new(ip, 5000 + u16::try_from(base.0).unwrap());
        self.sockets.insert(base, local);
        self.input(Input::Bound { base, local });
    }

    fn serve(&mut self, base: BaseId, to: SocketAddr, bytes: &[u8]) {
        let request = Message::parse(bytes).unwrap();
        assert_eq!((request.class(), request.username()), (Class::Request, None));
        assert_eq!(request.integrity_algorithm(), None, "requests to servers have no credentials");
        let local = self.sockets[&base];
        self.requests.push((self.millis(), local, to));
        if let Some((delay, mapped)) = (self.answer)(local, to) {
            let (mut answer, key) = (Vec::new(), IntegrityKey::short_term("unread"));
            write_success(request.transaction_id(), mapped, &key, &mut answer);
            self.wire.insert((self.now + delay, self.wire.len()), (base, to, answer));
        }
    }

    fn run_until(&mut self, end: Time) {
        loop {
            let timer = self.core.poll_timeout().map(|(at, _)| at);
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let Some(next) = [timer, arrival].into_iter().flatten().min().filter(|t| *t <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (base, from, bytes)) = self.wire.pop_first().unwrap();
                self.input(Input::Datagram { base, from, bytes: &bytes });
            } else {
                self.core.handle_timeout(self.now);
                self.drain();
            }
        }
        self.now = end;
    }

    fn candidates(&self) -> Vec<(u64, &Candidate)> {
        let candidate = |(at, event): &'_ (u64, Event)| match event {
            Event::Candidate { .. } => Some(*at),
            _ => None,
        };
        let times = self.events.iter().filter_map(candidate);
        let candidates = self.events.iter().filter_map(|(_, event)| match event {
            Event::Candidate { candidate, .. } => Some(candidate),
            _ => None,
        });
        times.zip(candidates).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.candidates().iter().map(|(at, c)| format!("{at} {c}")).collect()
    }

    fn errors(&self) -> Vec<(u64, String)> {
        let error = |(at, event): &(u64, Event)| match event {
            Event::CandidateError { uri, code, text, .. } => {
                Some((*at, format!("{uri} {code} {text}")))
            }
            _ => None,
        };
        self.events.iter().filter_map(error).collect()
    }

    fn end(&self) -> Option<u64> {
        let is_end = |(_, event): &&(u64, Event)| matches!(event, Event::EndOfCandidates { .. });
        let ends: Vec<_> = self.events.iter().filter(is_end).map(|(at, _)| *at).collect();
        assert!(ends.len() <= 1, "the end comes once");
        let last = self.events.iter().rposition(|(_, e)| matches!(e, Event::Candidate { .. }));
        let end = self.events.iter().position(|(_, e)| matches!(e, Event::EndOfCandidates { .. }));
        assert!(end.is_none() || last < end, "no candidate follows the end");
        ends.first().copied()
    }
}

const SECOND: Time = Time::from_millis(1_000);
const MINUTE: Time = Time::from_millis(60_000);

#[test]
fn host_and_reflexive_candidates_of_every_address() {
    let addresses = ["192.0.2.7", "192.0.2.8"];
    let mut machine = Machine::new(&addresses, one_nat, |c| c.stun_servers = vec![server(S1)]);
    machine.run_until(SECOND);
    let expected = [
        "0 candidate:1 1 UDP 2130706431 192.0.2.7 5000 typ host",
        "0 candidate:2 1 UDP 2130698239 192.0.2.8 5001 typ host",
        "30 candidate:3 1 UDP 1694498815 203.0.113.1 5000 typ srflx raddr 192.0.2.7 rport 5000",
        "35 candidate:4 1 UDP 1694490623 203.0.113.1 5001 typ srflx raddr 192.0.2.8 rport 5001",
    ];
    assert_eq!(machine.lines(), expected);
    assert_eq!(machine.end(), Some(35));
    assert_eq!(machine.requests.len(), 2, "one request a base and server");
    let stats = machine.core.stats();
    let urls = stats.local_candidates.iter().map(|c| (c.candidate.kind, c.url.as_deref()));
    let url = Some(&*server(S1).uri);
    let expected = [Kind::Host, Kind::Host, Kind::ServerReflexive, Kind::ServerReflexive]
        .map(|kind| (kind, url.filter(|_| kind == Kind::ServerReflexive)));
    assert_eq!(urls.collect::<Vec<_>>(), expected, "the server of each reflexive candidate");
}

#[test]
fn requests_to_servers_are_five_milliseconds_apart() {
    let servers = |c: &mut Config| c.stun_servers = vec![server(S1), server(S2)];
    let addresses = ["192.0.2.7", "192.0.2.8"];
    let mut machine = Machine::with_components(2, &addresses, &[], one_nat, servers);
    machine.run_until(SECOND);
    let times: Vec<_> = machine.requests.iter().map(|(at, ..)| *at).collect();
    assert_eq!(times, [0, 5, 10, 15, 20, 25, 30, 35]);
    let asked: BTreeSet<_> = machine.requests.iter().map(|(_, l, s)| (*l, *s)).collect();
    assert_eq!(asked.len(), 8);
}

#[test]
fn every_component_has_candidates_of_its_own() {
    let servers = |c: &mut Config| c.stun_servers = vec![server(S1)];
    let mut machine = Machine::with_components(2, &["192.0.2.7"], &[], one_nat, servers);
    machine.run_until(SECOND);
    let candidates = machine.candidates();
    let of = |component| {
        let of_component = candidates.iter().filter(|(_, c)| c.component.number() == component);
        of_component.map(|(_, c)| (c.kind, c.foundation)).collect::<Vec<_>>()
    };
    assert_eq!(of(1).len(), 2);
    assert_eq!(of(1), of(2), "the same kinds with the same foundations");
    let ports: BTreeSet<_> = machine.sockets.values().map(SocketAddr::port).collect();
    assert_eq!(ports.len(), 2);
}

#[test]
fn a_silent_server_delays_only_the_end() {
    let one_dead = |local, server| (server == addr(S2)).then(|| one_nat(local, server))?;
    let mut machine = Machine::new(&["192.0.2.7"], one_dead, |c| {
        c.stun_servers = vec![server(S1), server(S2)];
    });
    machine.run_until(MINUTE);
    let times: Vec<_> = machine.candidates().iter().map(|(at, c)| (*at, c.kind)).collect();
    assert_eq!(times, [(0, Kind::Host), (35, Kind::ServerReflexive)]);
    assert_eq!(machine.end(), Some(5_000));
    let text = "stun:198.51.100.1:3478 701 198.51.100.1:3478 did not answer 192.0.2.7 within 5.0 s";
    assert_eq!(machine.errors(), [(5_000, text.into())]);
    let to_dead = machine.requests.iter().filter(|(.., to)| *to == addr(S1)).map(|(at, ..)| *at);
    assert_eq!(to_dead.collect::<Vec<_>>(), [0, 500, 1_500, 3_500]);
}

#[test]
fn an_answer_after_the_end_is_counted_and_changes_nothing() {
    let slow = |local, server| one_nat(local, server).map(|(_, m)| (Duration::from_secs(6), m));
    let mut machine = Machine::new(&["192.0.2.7"], slow, |c| c.stun_servers = vec![server(S1)]);
    machine.run_until(Time::from_millis(5_500));
    assert_eq!(machine.end(), Some(5_000));
    let before = machine.events.len();
    machine.run_until(MINUTE);
    assert_eq!(machine.events.len(), before);
    assert_eq!(machine.core.drops().of(DropReason::LateServerResponse), 4);
}

#[test]
fn candidates_that_two_servers_see_differently_have_priorities_of_their_own() {
    let symmetric = |local: SocketAddr, server: SocketAddr| {
        let port = if server == addr(S1) { 1_000 } else { 2_000 };
        Some((RTT, SocketAddr::new("203.0.113.1".parse().unwrap(), port + local.port())))
    };
    let servers = |c: &mut Config| c.stun_servers = vec![server(S1), server(S2)];
    let addresses = ["192.0.2.7", "2001:db8::7", "192.0.2.8"];
    let mut machine = Machine::with_components(2, &addresses, &[], symmetric, servers);
    machine.run_until(SECOND);
    let candidates = machine.candidates();
    assert_eq!(candidates.len(), 6 + 8, "IPv6 has no server");
    let priorities: BTreeSet<_> = candidates.iter().map(|(_, c)| c.priority).collect();
    assert_eq!(priorities.len(), candidates.len());
    let foundations: BTreeSet<_> = candidates.iter().map(|(_, c)| c.foundation).collect();
    assert_eq!(foundations.len(), 3 + 4, "by type, base address and server");
}

#[test]
fn a_redundant_reflexive_candidate_is_not_signalled() {
    let no_nat = |local, _| Some((RTT, local));
    let servers = |c: &mut Config| c.stun_servers = vec![server(S1), server(S2)];
    let mut machine = Machine::new(&["192.0.2.7"], no_nat, servers);
    machine.run_until(SECOND);
    assert_eq!((machine.candidates().len(), machine.end()), (1, Some(35)));
    let mut machine = Machine::new(&["192.0.2.7"], one_nat, servers);
    machine.run_until(SECOND);
    assert_eq!((machine.candidates().len(), machine.end()), (2, Some(35)));
}

#[test]
fn a_name_that_does_not_resolve_is_reported_and_skipped() {
    let mut machine = Machine::new(&["192.0.2.7"], one_nat, |c| {
        c.stun_servers = vec![named_server("stun.invalid"), named_server("stun.example")];
    });
    assert_eq!(machine.resolve, [0, 1]);
    machine.run_until(Time::from_millis(100));
    machine.input(Input::Resolved { server: 0, addresses: &[] });
    machine.input(Input::Resolved { server: 1, addresses: &[addr(S1)] });
    machine.run_until(SECOND);
    let text = "stun:stun.invalid 701 the server's name did not resolve";
    assert_eq!(machine.errors(), [(100, text.into())]);
    assert_eq!((machine.candidates().len(), machine.end()), (2, Some(130)));
}

#[test]
fn a_resolver_that_never_answers_does_not_hold_gathering_up() {
    let mut machine = Machine::new(&["192.0.2.7"], one_nat, |c| {
        c.stun_servers = vec![named_server("stun.example")];
    });
    machine.run_until(MINUTE);
    assert_eq!(machine.end(), Some(5_000));
    let text = "stun:stun.example 701 the server's name was not resolved within 5.0 s";
    assert_eq!(machine.errors(), [(5_000, text.into())]);
}

#[test]
fn an_address_that_cannot_be_bound_is_skipped() {
    let addresses = ["192.0.2.7", "192.0.2.8"];
    let servers = |c: &mut Config| c.stun_servers = vec![server(S1)];
    let mut machine = Machine::with_components(1, &addresses, &["192.0.2.7"], one_nat, servers);
    machine.run_until(SECOND);
    assert_eq!((machine.candidates().len(), machine.end()), (2, Some(30)));
    let is_refusal =
        |e: &Event| matches!(e, Event::AddressRefused { ip, .. } if ip.to_string() == addresses[0]);
    assert_eq!(machine.events.iter().filter(|(_, e)| is_refusal(e)).count(), 1);
    let mut machine =
        Machine::with_components(1, &addresses[..1], &["192.0.2.7"], one_nat, servers);
    machine.run_until(SECOND);
    assert_eq!((machine.candidates().len(), machine.end()), (0, Some(0)));
}

#[test]
fn each_type_can_be_switched_off() {
    let hosts_only = |c: &mut Config| {
        c.stun_servers = vec![server(S1)];
        c.gather_server_reflexive = false;
    };
    let mut machine = Machine::new(&["192.0.2.7"], one_nat, hosts_only);
    machine.run_until(SECOND);
    assert_eq!((machine.lines().len(), machine.requests.len(), machine.end()), (1, 0, Some(0)));
    let hosts_kept_back = |c: &mut Config| {
        c.stun_servers = vec![server(S1)];
        c.gather_host = false;
    };
    let mut machine = Machine::new(&["192.0.2.7"], one_nat, hosts_kept_back);
    machine.run_until(SECOND);
    // The host candidate's address stays unsaid as related address too.
    let expected =
        "30 candidate:2 1 UDP 1694498815 203.0.113.1 5000 typ srflx raddr 0.0.0.0 rport 9";
    assert_eq!(machine.lines(), [expected]);
}

#[test]
fn names_in_remote_candidates_are_ignored_and_counted() {
    let mut machine = Machine::new(&["192.0.2.7"], one_nat, |config| config.resolve_mdns = false);
    let before = machine.events.len();
    let names = ["1f4712db-ea17-4bcf-a596-105139dfd8bf.local", "internal.example", "printer.local"];
    for name in names {
        let line = format!("candidate:1 1 UDP 2130706431 {name} 5000 typ host");
        let candidate: Candidate = line.parse().unwrap();
        let result = machine.core.add_remote_candidate(StreamId(0), &candidate, machine.now);
        assert!(matches!(result, Err(CommandError::Ignored(_))), "{name}: {result:?}");
    }
    machine.run_until(SECOND);
    assert_eq!(machine.core.drops().of(DropReason::Name), 3);
    assert_eq!((machine.resolve.len(), machine.events.len()), (0, before));
}

/// Neither the host address nor that it is public is told: what the server
/// sees stands beside the name (draft-ietf-rtcweb-mdns-ice-candidates
/// §3.1.2.2).
#[test]
fn what_is_signalled_has_a_name_where_a_host_address_would_stand() {
    let publish = |config: &mut Config| config.publish_mdns = true;
    let with_server = |config: &mut Config| {
        publish(config);
        config.stun_servers.push(server(S1));
    };
    let private = Machine::new(&["192.0.2.7"], one_nat, with_server);
    let public = Machine::new(&["203.0.113.7"], no_nat, with_server);
    for (mut machine, seen) in [(private, "203.0.113.1"), (public, "203.0.113.7")] {
        machine.run_until(SECOND);
        let [(name, ip)] = &machine.published[..] else {
            panic!("one name: {:?}", machine.published)
        };
        let host = format!("0 candidate:1 1 UDP 2130706431 {name} 5000 typ host");
        let reflexive =
            format!("candidate:2 1 UDP 1694498815 {seen} 5000 typ srflx raddr 0.0.0.0 rport 9");
        let lines = machine.lines();
        assert_eq!(lines[0], host, "{ip}");
        assert!(lines[1].ends_with(&reflexive), "{} is not {reflexive}", lines[1]);
        assert_eq!(lines.len(), 2);
    }
}
