//! Figures that hold exactly, because time is virtual.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use floe::agent::{CommandError, Config, Event, Input, State, StreamId};
use floe::candidate::Candidate;
use floe::check::{PairState, Refused, Role};
use floe::timer::Time;

use crate::dice::{Dice, each_seed};
use crate::draw::stun_server;
use crate::machine::{Interface, Machine};
use crate::nat::Rules;
use crate::topology::{INTERNET, Topology};
use crate::world::{Air, Plan, Side, Signalling, World};

const AT_ONCE: Signalling =
    Signalling { delay: Duration::ZERO, jitter: Duration::ZERO, bundled: true };

/// Hosts on the internet, 10 ms one way.
fn flat(seed: u64, addresses: [Vec<IpAddr>; 2], max_pairs: usize) -> World {
    let mut topology = Topology::new();
    let roles = [Role::Controlling, Role::Controlled];
    let mut at = 0;
    let sides = addresses.map(|addresses| {
        let mut config = Config::new(roles[at]);
        config.max_pairs = max_pairs;
        at += 1;
        let interfaces = addresses.iter().map(|ip| {
            topology.add_host(INTERNET, *ip);
            topology.set_delay(*ip, Duration::from_millis(5));
            Interface { ip: *ip, realm: INTERNET }
        });
        let interfaces = interfaces.collect();
        Side {
            config,
            interfaces,
            begins: Time::ZERO,
            signalling: AT_ONCE,
            spare: None,
            bogus: Vec::new(),
        }
    });
    let (servers, streams) = (Vec::new(), vec![1]);
    World::new(Plan {
        seed,
        topology,
        sides,
        servers,
        streams,
        air: Air::default(),
        changes: Vec::new(),
    })
}

fn v4(side: u8, count: u8) -> Vec<IpAddr> {
    (1..=count).map(|n| IpAddr::from([198, 18, side, n])).collect()
}

fn v6(side: u16, count: u16) -> Vec<IpAddr> {
    let address = |n| Ipv6Addr::new(0x2001, 0xdb8, side, n, 0, 0, 0, 1).into();
    (1..=count).map(address).collect()
}

fn both(world: &World, state: State) -> bool {
    world.machines.iter().all(|m| m.core.state() == state)
}

#[test]
fn after_completed_a_minute_takes_few_packets() {
    let mut world = flat(1, [v4(1, 10), v4(2, 10)], 100);
    world.run(Time::from_millis(10_000), |world| both(world, State::Completed));
    assert!(both(&world, State::Completed));
    // What is under way still arrives.
    world.run_for(Duration::from_millis(100));
    let before = world.sent;
    world.run_for(Duration::from_secs(60));
    let sent = [0, 1].map(|side: usize| world.sent[side] - before[side]);
    println!("in 60 s after completed, 10x10: {sent:?} packets, {} on the wire", sent[0] + sent[1]);
    assert!(sent.iter().all(|n| *n <= 30), "{sent:?}");
    assert!(both(&world, State::Completed));
}

/// Two port-restricted NATs, 20 ms one way between them. One side has what the
/// other signals up to `skew` before the other has.
fn behind_nats(seed: u64, skew: Duration) -> World {
    let mut dice = Dice::new(seed);
    let mut topology = Topology::new();
    let server: SocketAddr = "198.51.100.1:3478".parse().unwrap();
    topology.add_host(INTERNET, server.ip());
    topology.set_delay(server.ip(), Duration::from_millis(5));
    let mut side_of = |number: u8, role| {
        let outside = [203, 0, 113, number].into();
        let realm = topology.add_realm(INTERNET, Rules::PORT_RESTRICTED, Some(outside), 40_000);
        topology.set_delay(outside, Duration::from_millis(10));
        let ip = [192, 168, number, 2].into();
        topology.add_host(realm, ip);
        let mut config = Config::new(role);
        config.stun_servers = vec![stun_server(server)];
        let delay = Duration::from_millis(500) + dice.up_to(skew);
        let signalling = Signalling { delay, ..AT_ONCE };
        let interfaces = vec![Interface { ip, realm }];
        Side { config, interfaces, begins: Time::ZERO, signalling, spare: None, bogus: Vec::new() }
    };
    let sides = [side_of(1, Role::Controlling), side_of(2, Role::Controlled)];
    let (servers, streams) = (vec![server], vec![1]);
    World::new(Plan {
        seed,
        topology,
        sides,
        servers,
        streams,
        air: Air::default(),
        changes: Vec::new(),
    })
}

/// Medians of the times from when both sides have all that was signalled
/// until both may send, and until both have selected.
fn through_two_nats(skew: Duration) -> (Duration, Duration) {
    let (mut usable, mut selected) = (Vec::new(), Vec::new());
    for seed in 0..101 {
        let mut world = behind_nats(seed, skew);
        world.run(Time::from_millis(10_000), |world| both(world, State::Completed));
        let started = world.machines.iter().filter_map(|m| m.started).max().unwrap();
        let last = |is: &dyn Fn(&Event) -> bool| {
            let times = world.machines.iter().map(|m| m.time_of(is).unwrap());
            times.max().unwrap() - started
        };
        usable.push(last(&|e| matches!(e, Event::State { state: State::Connected, .. })));
        selected.push(last(&|e| matches!(e, Event::Selected { .. })));
    }
    usable.sort_unstable();
    selected.sort_unstable();
    (usable[50], selected[50])
}

#[test]
fn data_may_flow_after_one_round_trip_through_two_nats() {
    const RTT: Duration = Duration::from_millis(40);
    let (usable, selected) = through_two_nats(Duration::from_millis(10));
    println!("two port-restricted NATs, RTT 40 ms: usable {usable:?}, selected {selected:?}");
    assert!(usable <= RTT + Duration::from_millis(15));
    assert!(selected <= 2 * RTT + Duration::from_millis(25));
    // What the side that knew earlier sent was not let in: it has to hear
    // of the other first.
    let (usable, selected) = through_two_nats(Duration::from_millis(200));
    println!("the same, one side up to 200 ms earlier: usable {usable:?}, selected {selected:?}");
    assert!(usable <= RTT * 3 / 2 + Duration::from_millis(15));
    assert!(selected <= 2 * RTT + Duration::from_millis(25));
}

/// Only `ips` reach each other.
fn only(world: &mut World, ips: [IpAddr; 2]) {
    let is = move |from: IpAddr, to: IpAddr| [from, to] == ips || [to, from] == ips;
    world.set_filter(Box::new(move |from, to| is(from.ip(), to.ip())));
}

fn connects_within(world: &mut World, bound: Duration) -> Duration {
    let end = Time::ZERO + bound;
    world.run(end, |world| {
        let connected = |s| matches!(s, State::Connected | State::Completed);
        world.machines.iter().all(|m| connected(m.core.state()))
    });
    let times = world.machines.iter().map(|m| m.entered(State::Connected));
    let latest = times.map(|t| t.expect("both connect").0).max().unwrap();
    latest - Time::ZERO
}

const TA: Duration = Duration::from_millis(5);
const TWO_RTT: Duration = Duration::from_millis(40);

#[test]
fn any_pair_of_100_connects() {
    each_seed("any_pair_of_100_connects", 0..20, |seed| {
        let mut dice = Dice::new(seed);
        let sides = [v4(1, 10), v4(2, 10)];
        let works = [0, 1].map(|side: usize| sides[side][dice.below(10)]);
        let mut world = flat(seed, sides, 100);
        only(&mut world, works);
        let after = connects_within(&mut world, 100 * TA + TWO_RTT);
        println!("10x10, only {works:?}: connected after {after:?}");
    });
}

#[test]
fn any_pair_of_2500_connects() {
    each_seed("any_pair_of_2500_connects", 0..4, |seed| {
        let mut dice = Dice::new(seed);
        let sides = [v4(1, 50), v4(2, 50)];
        let works = [0, 1].map(|side: usize| sides[side][dice.below(50)]);
        let mut world = flat(seed, sides, 2_500);
        only(&mut world, works);
        let after = connects_within(&mut world, 2_500 * TA + TWO_RTT);
        println!("50x50, only {works:?}: connected after {after:?}");
    });
}

#[test]
fn at_the_default_limit_any_base_that_works_is_found() {
    each_seed("at_the_default_limit_any_base_that_works_is_found", 0..20, |seed| {
        let mut dice = Dice::new(seed);
        let sides = [v4(1, 50), v4(2, 50)];
        let base = sides[dice.below(2)][dice.below(50)];
        let mut world = flat(seed, sides, 100);
        world.set_filter(Box::new(move |from, to| from.ip() == base || to.ip() == base));
        let after = connects_within(&mut world, 100 * TA + TWO_RTT);
        println!("50x50 at 100 pairs, only base {base}: connected after {after:?}");
    });
}

#[test]
fn at_the_default_limit_any_family_that_works_is_found() {
    each_seed("at_the_default_limit_any_family_that_works_is_found", 0..10, |seed| {
        let sides = [1u8, 2].map(|side| {
            let mut all = v4(side, 25);
            all.extend(v6(u16::from(side), 25));
            all
        });
        let is_v4 = Dice::new(seed).chance(0.5);
        let mut world = flat(seed, sides, 100);
        world.set_filter(Box::new(move |from, _| from.is_ipv4() == is_v4));
        let after = connects_within(&mut world, 100 * TA + TWO_RTT);
        println!("50x50 at 100 pairs, only IPv4 {is_v4}: connected after {after:?}");
    });
}

/// 2,000 candidates, of all priorities.
fn hostile_candidates() -> Vec<Candidate> {
    let mut dice = Dice::new(1);
    let mut line = |n: u32| {
        let priority = dice.range(1..=2_147_483_647);
        format!("candidate:h{n} 1 UDP {priority} 198.19.{}.{} 9 typ host", n / 250, n % 250 + 1)
    };
    (0..2_000).map(|n| line(n).parse().unwrap()).collect()
}

#[test]
fn two_thousand_candidates_of_a_hostile_peer_change_little() {
    let candidates = hostile_candidates();
    let ip: IpAddr = [198, 18, 0, 1].into();
    let interfaces = vec![Interface { ip, realm: INTERNET }];
    let mut agent = Machine::new(1, Config::new(Role::Controlling), interfaces, &[1]);
    agent.gather(Time::ZERO);
    agent.drain(Time::ZERO);
    let peer = floe::agent::RemoteParameters::new("hostile", "0123456789012345678901");
    let stream = StreamId(0);
    agent.core.set_remote_parameters(stream, peer, Time::ZERO).unwrap();
    let began = Instant::now();
    let mut taken = 0;
    for candidate in &candidates {
        match agent.core.add_remote_candidate(stream, candidate, Time::ZERO) {
            Ok(()) => taken += 1,
            Err(CommandError::Refused(Refused::TooManyRemotes)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let adding = began.elapsed();
    agent.drain(Time::ZERO);
    // The monitor sees that no more than one new check a Ta leaves.
    let mut now = Time::ZERO;
    let end = Time::from_millis(10_000);
    let began = Instant::now();
    while let Some((next, _)) = agent.core.poll_timeout().filter(|(t, _)| *t <= end) {
        now = next;
        agent.tick(now);
        agent.drain(now);
    }
    let checking = began.elapsed();
    let pairs = agent.core.pairs(stream).count();
    let listed = agent.core.pairs(stream).filter(|p| p.state != PairState::Removed).count();
    println!(
        "2,000 candidates: {taken} taken, {pairs} pairs ({listed} listed), {:?}; \
         {adding:?} to add them, {checking:?} for 10 s of checks",
        agent.monitor.counts
    );
    assert!(taken <= 512, "each place is given away once at most");
    assert!(listed <= 100 && pairs <= 512);
    let bytes = [0; 64];
    let base = *agent.sockets.keys().next().unwrap();
    let from = "198.19.0.1:9".parse().unwrap();
    agent.core.handle_input(now, Input::Datagram { base, from, bytes: &bytes });
    assert!(agent.drain(now).datagrams.is_empty());
}
