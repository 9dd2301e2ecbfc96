//! Every kind of NAT with every other: what is possible connects, what is not
//! fails and says why.

use std::io::ErrorKind;
use std::time::Duration;

use floe::agent::{PairReport, State, StateReason, Transports};
use floe::candidate::Kind;
use floe::check::FailReason;
use floe::net::{NotConnected, Protocol};

use crate::model::{Answer, Dependence, Ports, Rules};
use crate::possible::{can_connect, is_ambiguous, possible, stopped_by};
use crate::rules::{SO, open};
use crate::world::{Path, Plan, World};

const ANSWERS: [Answer; 3] = [Answer::Drop, Answer::Reset, Answer::Unreachable];

/// NATs by how they map, filter and answer, and those that are hostile to
/// simultaneous open.
fn nats() -> Vec<Rules> {
    let mut all = Vec::new();
    for mapping in Dependence::ALL {
        for filtering in Dependence::ALL {
            let ports =
                if mapping == Dependence::Endpoint { Ports::Preserved } else { Ports::Other };
            let rules = Rules { mapping, filtering, ports, ..Rules::PORT_RESTRICTED };
            all.extend(ANSWERS.map(|answer| rules.answering(answer)));
            all.push(rules.hostile(Answer::Drop));
            all.push(rules.hostile(Answer::Reset));
        }
    }
    all
}

/// Runs a cell and holds it to theory. Returns whether it connected.
fn cell(paths: [Path; 2], skew: u64, ipv6: bool) -> bool {
    let expected = possible([&paths[0], &paths[1]]);
    let mut plan = Plan::new(paths.clone(), SO);
    (plan.skew, plan.ipv6) = (Duration::from_millis(skew), ipv6);
    let mut world = World::new(plan);
    let connected = world.connects();
    if connected != expected {
        world.describe();
        panic!("{paths:?}, skew {skew}: connected {connected}, possible {expected}");
    }
    if connected && !is_ambiguous([&paths[0], &paths[1]]) {
        if !(world.completes() && world.exchanges(b"hello")) {
            world.describe();
            panic!("{paths:?}, skew {skew}: data does not pass");
        }
    } else if !connected {
        fails_with_reasons(&mut world, &paths, skew);
    }
    for side in 0..2 {
        let machine = &world.machines[side];
        for remote in &world.machines[1 - side].candidates {
            let ip = remote.address().unwrap().ip();
            assert!(world.network.most_outstanding(machine.host, ip) <= 5);
        }
        assert!(machine.ops < 500, "{paths:?}: {} things to do", machine.ops);
    }
    world.close();
    connected
}

fn fails_with_reasons(world: &mut World, paths: &[Path; 2], skew: u64) {
    world.run_for(Duration::from_secs(30), |_| false);
    for side in 0..2 {
        let machine = &world.machines[side];
        let last = machine.states.last().unwrap();
        assert_eq!((last.1, last.2), (State::Failed, StateReason::AllPairsFailed), "{paths:?}");
        let pairs = machine.pairs();
        // Through a firewall alone it has the address that it has inside.
        let is_outside = |pair: &&PairReport| pair.remote.kind == Kind::ServerReflexive;
        let outside = pairs.iter().find(is_outside).unwrap_or(&pairs[0]);
        let answer = stopped_by(&paths[side], &paths[1 - side], true).unwrap();
        let why = match answer {
            Answer::Drop => NotConnected::Silent,
            Answer::Reset => NotConnected::Refused,
            Answer::Unreachable => NotConnected::System(ErrorKind::HostUnreachable),
        };
        // Before the other side is there, its NATs may answer something else.
        if skew == 0 {
            let why = FailReason::NotConnected(why);
            assert_eq!(outside.reason, Some(why), "side {side} of {paths:?}");
        }
    }
}

#[test]
fn every_cell_is_what_is_possible() {
    let nats = nats();
    let mut connected = [0, 0];
    for (at, first) in nats.iter().enumerate() {
        for second in &nats[at..] {
            for skew in [0, 300] {
                let yes = cell([vec![*first], vec![*second]], skew, false);
                connected[usize::from(yes)] += 1;
            }
        }
        // And a host without a NAT, or a firewall.
        connected[usize::from(cell([vec![*first], vec![]], 0, false))] += 1;
    }
    println!("{} cells connected, {} cannot be", connected[1], connected[0]);
}

/// IPv6 has firewalls that filter and do not map.
#[test]
fn every_cell_of_firewalls_is_what_is_possible() {
    let firewall = |rules: &Rules| rules.mapping == Dependence::Endpoint;
    let firewalls: Vec<Rules> = nats().into_iter().filter(firewall).collect();
    for first in &firewalls {
        for second in &firewalls {
            for skew in [0, 300] {
                cell([vec![*first], vec![*second]], skew, true);
            }
        }
    }
}

/// A NAT of the provider's behind which there is one at home.
#[test]
fn double_nats() {
    let kinds = [
        Rules::PORT_RESTRICTED,
        Rules::PORT_RESTRICTED.answering(Answer::Reset),
        Rules::FULL_CONE,
        Rules::ADDRESS_RESTRICTED,
        Rules::SYMMETRIC,
    ];
    for inner in kinds {
        for outer in kinds {
            for other in kinds {
                cell([vec![inner, outer], vec![other]], 0, false);
                cell([vec![inner, outer], vec![other, inner]], 300, false);
            }
        }
    }
}

/// One list: UDP where it passes; where only TCP does, that; and each cell what
/// is possible by any transport.
#[test]
fn tcp_stands_in_where_udp_does_not_pass() {
    let kinds = [
        Rules::PORT_RESTRICTED,
        Rules::FULL_CONE,
        Rules::SYMMETRIC,
        Rules::SYMMETRIC.hostile(Answer::Drop),
        Rules::PORT_RESTRICTED.hostile(Answer::Reset),
    ];
    for first in kinds {
        for second in kinds {
            let paths = [vec![first], vec![second]];
            let transports = [Transports::ALL; 2];
            let mut world = World::new(Plan::new(paths.clone(), Transports::ALL));
            let connected = world.connects();
            let expected = can_connect([&paths[0], &paths[1]], transports);
            assert_eq!(connected, expected, "{paths:?}");
            if connected {
                assert!(world.completes() && world.exchanges(b"x"));
            }
            world.close();
        }
    }
}

/// UDP is blocked: candidates of both transports, and TCP is what is left.
#[test]
fn without_udp_tcp_carries_the_data() {
    let mut plan = Plan::new([vec![Rules::PORT_RESTRICTED], vec![Rules::PORT_RESTRICTED]], SO);
    plan.transports = [Transports::ALL; 2];
    plan.air.blocks_udp = true;
    let mut world = World::new(plan);
    assert!(world.completes());
    for machine in &world.machines {
        assert_eq!(machine.selected[0].0.protocol, Protocol::Tcp);
    }
    assert!(world.exchanges(b"over a stream"));
    world.close();
}

/// Two servers have seen two ports: the peer aims at neither, and that is the
/// reason.
#[test]
fn a_mapping_that_differs_is_the_reason() {
    let mut plan = Plan::new([vec![Rules::SYMMETRIC], vec![Rules::PORT_RESTRICTED]], SO);
    plan.servers = 2;
    let mut world = World::new(plan);
    assert!(!world.connects());
    world.run_for(Duration::from_secs(30), |_| false);
    let reasons: Vec<_> = world.machines[0].pairs().iter().map(|pair| pair.reason).collect();
    let why = FailReason::NotConnected(NotConnected::MappingDiffers);
    assert!(reasons.iter().all(|reason| *reason == Some(why)), "{reasons:?}");
}

/// A system that opens no connection by crossing SYNs, and knows it.
#[test]
fn a_system_without_simultaneous_open_is_the_reason() {
    let mut plan = Plan::new([vec![Rules::PORT_RESTRICTED], vec![Rules::PORT_RESTRICTED]], SO);
    plan.configure = |side, config| config.simultaneous_open = side != 0;
    plan.hardened = [true, true];
    let mut world = World::new(plan);
    assert!(!world.connects());
    world.run_for(Duration::from_secs(30), |_| false);
    let why = [0, 1].map(|side: usize| world.machines[side].pairs()[0].reason.unwrap());
    let expected = [NotConnected::NoSimultaneousOpen, NotConnected::Silent];
    assert_eq!(why, expected.map(FailReason::NotConnected));
}

/// A peer whose listener is not there refuses from the end of the path.
#[test]
fn nobody_listens() {
    let mut plan = open([crate::rules::ACTIVE, crate::rules::NONE]);
    let line = "candidate:9 1 TCP 2124414975 10.2.0.2 4000 typ host tcptype passive";
    plan.extra[0].push(line.into());
    let mut world = World::new(plan);
    world.run_for(Duration::from_secs(60), |_| false);
    let machine = &world.machines[0];
    assert_eq!(machine.core.state(), State::Failed);
    let why = FailReason::NotConnected(NotConnected::Refused);
    assert_eq!(machine.pairs()[0].reason, Some(why));
    // Fast for 5 s, then one a second.
    assert!((40..400).contains(&machine.connects.len()), "{}", machine.connects.len());
}
