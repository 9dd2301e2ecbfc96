//! What RFC 6544 asks of candidates, rule by rule.

use std::collections::BTreeSet;
use std::time::Duration;

use floe::agent::{Config, Core, DropReason, Event, Input, LocalAddress, SocketOp, Transports};
use floe::candidate::{Candidate, Kind, TcpType};
use floe::check::Role;
use floe::rng::Seed;
use floe::tcp::Framing;
use floe::timer::{Pacer, Time};

use crate::model::{Rules, What};
use crate::rules::{ACTIVE, NONE, PASSIVE, SO, open};
use crate::world::{Plan, World, server_address};

/// §4.1, §5.1: what is gathered is for the configuration to say; passive and
/// simultaneous-open candidates have ports of their own.
#[test]
fn host_candidates_are_gathered_as_configured() {
    let (active, passive) = (Some(TcpType::Active), Some(TcpType::Passive));
    let so = Some(TcpType::SimultaneousOpen);
    for (transports, expected) in [
        (NONE, vec![]),
        (Transports::UDP, vec![None]),
        (ACTIVE, vec![active]),
        (PASSIVE, vec![passive]),
        (SO, vec![so]),
        (Transports::TCP, vec![active, passive, so]),
        (Transports::ALL, vec![None, active, passive, so]),
    ] {
        for ipv6 in [false, true] {
            let mut plan = open([transports, transports]);
            plan.ipv6 = ipv6;
            let world = World::new(plan);
            let candidates = &world.machines[0].candidates;
            let hosts = candidates.iter().filter(|c| c.kind == Kind::Host);
            assert_eq!(hosts.map(|c| c.tcp_type).collect::<Vec<_>>(), expected);
            let ports: BTreeSet<u16> = candidates.iter().map(|c| c.port).collect();
            assert_eq!(ports.len(), expected.len());
            assert!(candidates.iter().all(|c| c.address().unwrap().is_ipv6() == ipv6));
        }
    }
}

/// §4.1: of the transactions, connections to servers count as the start, one
/// begins a Ta, those over UDP among them.
#[test]
fn transactions_with_servers_are_paced() {
    let mut plan = Plan::new([vec![Rules::PORT_RESTRICTED], vec![]], Transports::ALL);
    plan.servers = 3;
    plan.rtt = Duration::from_millis(4);
    plan.configure = |_, config| config.pacing = Duration::from_millis(30);
    let world = World::new(plan);
    let machine = &world.machines[0];
    let is_ours = |r: &&crate::model::Record| r.from.ip() == machine.local_ip();
    let records = world.network.log().records().iter().filter(is_ours);
    let datagrams = records.filter(|r| matches!(r.what, What::Datagram { .. })).map(|r| r.sent);
    let mut times: Vec<Time> = machine.asked.iter().copied().chain(datagrams).collect();
    times.sort_unstable();
    assert_eq!(times.len(), 7, "two bases with three servers, and one over UDP");
    let ta = Duration::from_millis(30);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= ta), "{times:?}");
}

/// §4.2: candidates of one type and direction differ, in the order of their
/// addresses.
#[test]
fn several_addresses_have_different_preferences() {
    let mut config = Config::new(Role::Controlling);
    config.transports = Transports::TCP;
    let mut core = Core::new(config, &Seed::from_number(1), Pacer::new());
    core.add_stream(1).unwrap();
    let addresses = [1, 2, 3].map(|n| LocalAddress {
        ip: [10, 0, n, 1].into(),
        interface: format!("eth{n}").into(),
        index: u32::from(n),
        prefix: None,
        temporary: None,
        deprecated: None,
    });
    core.handle_input(Time::ZERO, Input::LocalAddresses(&addresses));
    let mut port = 4_000;
    while let Some(op) = core.poll_socket_op() {
        if let SocketOp::BindTcp { base, ip, .. } = op {
            port += 1;
            core.handle_input(Time::ZERO, Input::Bound { base, local: (ip, port).into() });
        }
    }
    let mut priorities = Vec::new();
    while let Some(event) = core.poll_event() {
        if let Event::Candidate { candidate, .. } = event {
            priorities.push((candidate.tcp_type, candidate.priority));
        }
    }
    assert_eq!(priorities.len(), 9);
    assert_eq!(priorities.iter().collect::<BTreeSet<_>>().len(), 9);
    for tcp_type in [TcpType::Active, TcpType::Passive, TcpType::SimultaneousOpen] {
        let of_type = priorities.iter().filter(|(t, _)| *t == Some(tcp_type)).map(|(_, p)| *p);
        let of_type: Vec<u32> = of_type.collect();
        assert!(of_type.is_sorted_by(|a, b| a > b), "{of_type:?}");
    }
}

/// §3, §7.2: nothing is accepted at an active candidate.
#[test]
fn an_active_candidate_accepts_nothing() {
    let mut world = World::new(open([ACTIVE, PASSIVE]));
    assert!(world.completes());
    let (base, _) = world.machines[0].send_path().unwrap();
    let (now, from) = (world.now(), "203.0.113.9:9".parse().unwrap());
    let core = &mut world.machines[0].core;
    let before = core.drops().of(DropReason::UnknownBase);
    core.handle_input(now, Input::Accepted { base, from });
    assert_eq!(core.drops().of(DropReason::UnknownBase), before + 1);
}

/// §4.1, §5.2: servers are asked from the candidate's own port, and their
/// connections stay open until ICE has completed.
#[test]
fn connections_to_servers_come_from_the_candidates_port_and_stay() {
    let server = server_address(false);
    let mut plan =
        Plan::new([vec![Rules::PORT_RESTRICTED], vec![Rules::PORT_RESTRICTED]], Transports::TCP);
    plan.skew = Duration::from_secs(20);
    let mut world = World::new(plan);
    let asked = |world: &World, side: usize| {
        let machine = &world.machines[side];
        let open = machine.open().filter(|((_, to), _)| *to == server);
        open.map(|((base, _), framing)| {
            assert_eq!(framing, Framing::Stun);
            machine.tcp_type(base).unwrap()
        })
        .collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([TcpType::Passive, TcpType::SimultaneousOpen]);
    for side in 0..2 {
        assert_eq!(asked(&world, side), both);
        let machine = &world.machines[side];
        for (_, socket) in world.network.sockets(machine.host) {
            let named = |c: &&Candidate| c.address() == Some(socket.local);
            assert!(machine.candidates.iter().any(|c| named(&c)), "{}", socket.local);
        }
    }
    world.run_for(Duration::from_secs(20), |_| false);
    assert_eq!(asked(&world, 0), both);
    assert!(world.completes());
    world.run_for(Duration::from_secs(10), |_| false);
    assert_eq!([0, 1].map(|side: usize| asked(&world, side).len()), [0, 0]);
}

/// §5.2: what is reflexive of an active candidate has port 9 and the address
/// of the others.
#[test]
fn server_reflexive_candidates_of_all_types() {
    let mut plan = Plan::new([vec![Rules::PORT_RESTRICTED], vec![]], Transports::TCP);
    plan.skew = Duration::ZERO;
    let world = World::new(plan);
    let reflexive = |tcp_type| {
        let machine = &world.machines[0];
        let is = |c: &&Candidate| (c.kind, c.tcp_type) == (Kind::ServerReflexive, Some(tcp_type));
        let found: Vec<_> = machine.candidates.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{tcp_type:?}");
        found[0].address().unwrap()
    };
    assert_eq!(reflexive(TcpType::Active), "203.0.113.1:9".parse().unwrap());
    assert_eq!(reflexive(TcpType::Passive).ip(), reflexive(TcpType::Active).ip());
    assert_ne!(reflexive(TcpType::Passive), reflexive(TcpType::SimultaneousOpen));
}

/// §4.2: one address, component 1; of two servers, the second knows TCP.
#[test]
fn priorities_are_those_of_the_formula() {
    let world = World::new(Plan::new([vec![Rules::PORT_RESTRICTED], vec![]], Transports::ALL));
    let expected = [
        (Kind::Host, TcpType::Active, 90, 6),
        (Kind::Host, TcpType::Passive, 90, 4),
        (Kind::Host, TcpType::SimultaneousOpen, 90, 2),
        (Kind::ServerReflexive, TcpType::SimultaneousOpen, 80, 6),
        (Kind::ServerReflexive, TcpType::Active, 80, 4),
        (Kind::ServerReflexive, TcpType::Passive, 80, 2),
    ];
    for (kind, tcp_type, preference, direction) in expected {
        let candidates = &world.machines[0].candidates;
        let found = candidates.iter().find(|c| (c.kind, c.tcp_type) == (kind, Some(tcp_type)));
        let other = 8191 - u32::from(kind == Kind::ServerReflexive);
        let priority = (preference << 24) + (((direction << 13) + other) << 8) + 255;
        assert_eq!(found.unwrap().priority, priority, "{kind:?} {tcp_type:?}");
    }
}
