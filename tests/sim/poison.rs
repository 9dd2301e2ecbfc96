//! Two NATs without an input filter: an early check poisons the mapping at the
//! peer's, and both sides find that and check from fresh ports at once.

use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::replay::replay;
use floe::agent::{Config, Event, State, StateReason, Synchronisation};
use floe::check::{FailReason, Role};
use floe::net::NotConnected;
use floe::timer::Time;

use crate::dice::{Dice, each_seed, is_replay};
use crate::draw::{self, Weather, stun_server};
use crate::machine::Interface;
use crate::nat::{Dependence, Rules};
use crate::topology::{INTERNET, Topology};
use crate::world::{Air, Plan, Side, Signalling, World};

/// When the first of the two has all that was signalled.
const EARLY: Duration = Duration::from_millis(1_000);

/// Two hosts, each behind a NAT, and what lies between them.
#[derive(Clone)]
struct Cell {
    rules: [Rules; 2],
    rtt: Duration,
    /// The second host takes what was signalled so much later than the first.
    skew: Duration,
    streams: Vec<u16>,
    synchronisation: [Synchronisation; 2],
    air: Air,
    /// Of what is signalled, on top of half a round trip.
    jitter: Duration,
}

impl Cell {
    fn new(rtt: Duration, skew: Duration) -> Self {
        Cell {
            rules: [Rules::POISONABLE; 2],
            rtt,
            skew,
            streams: vec![1],
            synchronisation: [Synchronisation::T0; 2],
            air: Air::default(),
            jitter: Duration::ZERO,
        }
    }

    /// One that carries what the two say about a common start.
    fn world(&self, seed: u64) -> World {
        let mut world = self.world_without(seed);
        world.carry_syncs(self.rtt / 2, self.jitter);
        world
    }

    fn world_without(&self, seed: u64) -> World {
        let mut topology = Topology::new();
        let server: SocketAddr = "198.51.100.1:3478".parse().unwrap();
        topology.add_host(INTERNET, server.ip());
        topology.set_delay(server.ip(), self.rtt / 4);
        let roles = [Role::Controlling, Role::Controlled];
        let sides = [0, 1].map(|side: usize| {
            let number = side as u8 + 1;
            let outside = [203, 0, 113, number].into();
            let realm = topology.add_realm(INTERNET, self.rules[side], Some(outside), 40_000);
            topology.set_delay(outside, self.rtt / 4);
            let ip = [192, 168, number, 2].into();
            topology.add_host(realm, ip);
            let mut config = Config::new(roles[side]);
            config.stun_servers = vec![stun_server(server)];
            config.synchronisation = self.synchronisation[side];
            let (delay, jitter) = (self.rtt / 2, self.jitter);
            Side {
                config,
                interfaces: vec![Interface { ip, realm }],
                begins: Time::ZERO,
                signalling: Signalling { delay, jitter, bundled: true },
                spare: None,
                bogus: Vec::new(),
            }
        });
        let (servers, streams) = (vec![server], self.streams.clone());
        let (air, changes) = (self.air, Vec::new());
        let mut world = World::new(Plan { seed, topology, sides, servers, streams, air, changes });
        world.listen_from(0, Time::ZERO + EARLY);
        world.listen_from(1, Time::ZERO + EARLY + self.skew);
        world
    }
}

fn both(world: &World, state: State) -> bool {
    world.machines.iter().all(|m| m.core.state() == state)
}

/// From the later start until both may send everything; `None` where they
/// never may.
fn connects(world: &mut World) -> Option<Duration> {
    let end = Time::ZERO + Duration::from_secs(120);
    world.run(end, |world| both(world, State::Completed) || both(world, State::Failed));
    if is_replay() {
        describe(world);
    }
    let started = world.machines.iter().filter_map(|m| m.started).max().unwrap();
    let connected = world.machines.iter().map(|m| m.entered(State::Connected));
    let times = connected.map(|entered| entered.map(|(at, _)| at));
    let last = times.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    assert!(both(world, State::Completed), "they come to the same end");
    Some(last - started)
}

fn describe(world: &World) {
    for (side, machine) in world.machines.iter().enumerate() {
        println!("side {side}:");
        for record in &machine.records {
            println!("  {} {:?}", record.at, record.what);
        }
    }
}

/// Data flows both ways, only what is used stays open, and the logs replay.
fn ends_well(world: &mut World) {
    world.run_for(Duration::from_secs(5));
    for side in 0..2 {
        let sent = world.send_data(side);
        world.run_for(Duration::from_secs(1));
        let delivered = &world.machines[1 - side].delivered;
        assert_eq!(delivered.len(), sent, "from side {side}: {delivered:?}");
        let machine = &world.machines[side];
        assert_eq!(machine.sockets.len(), machine.send_paths().len(), "of side {side}");
    }
    leaves_nothing(world);
}

fn leaves_nothing(world: &mut World) {
    for machine in &mut world.machines {
        machine.close(world.now);
        let log = std::mem::take(&mut machine.records);
        replay(log).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// How often a pair was given up as poisoned.
fn poisoned(world: &World) -> [usize; 2] {
    let why = Some(FailReason::NotConnected(NotConnected::Poisoned));
    [0, 1].map(|side: usize| {
        let core = &world.machines[side].core;
        let pairs = core.streams().flat_map(|stream| core.pairs(stream));
        pairs.filter(|pair| pair.reason == why).count()
    })
}

/// How many sockets were asked for, and how many messages were to be carried.
fn efforts(world: &World, side: usize) -> (usize, usize) {
    use floe::agent::{Happened, SocketOp};
    let machine = &world.machines[side];
    let count =
        |is: &dyn Fn(&Happened) -> bool| machine.records.iter().filter(|r| is(&r.what)).count();
    let binds = count(&|what| matches!(what, Happened::SocketOp(SocketOp::BindUdp { .. })));
    (binds, machine.events.iter().filter(|(_, e)| matches!(e, Event::Sync { .. })).count())
}

const RTTS: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(50), Duration::from_millis(200)];
const SKEWS: [u64; 14] = [0, 5, 9, 10, 11, 20, 26, 60, 99, 101, 200, 500, 1_000, 2_000];

/// Without messages only checks that cross get through: those that left within
/// one way of each other. With them all do.
#[test]
fn poisoned_mappings_are_punched_again_at_every_skew() {
    for rtt in RTTS {
        for skew in SKEWS.map(Duration::from_millis) {
            let cell = Cell::new(rtt, skew);
            let crossing = skew < rtt / 2;
            let mut alone = cell.world_without(1);
            assert_eq!(connects(&mut alone).is_some(), crossing, "{rtt:?}, {skew:?} alone");
            let mut world = cell.world(1);
            let after = connects(&mut world).expect("it connects");
            println!("RTT {rtt:?}, skew {skew:?}: {after:?}");
            // 500 ms without an answer, the agreement, a server's answer, and
            // the next common start.
            let every = (rtt * 5 / 2).max(Duration::from_millis(250));
            let late = Duration::from_millis(600) + rtt * 4 + every * 3 / 2;
            let soon = rtt + Duration::from_millis(5);
            assert!(after <= if crossing { soon } else { late }, "{rtt:?}, {skew:?}: {after:?}");
            assert_eq!(poisoned(&world), [usize::from(!crossing); 2], "{rtt:?}, {skew:?}");
            let expected = if crossing { (1, 0) } else { (2, 13) };
            for side in 0..2 {
                let (binds, messages) = efforts(&world, side);
                assert_eq!(binds, expected.0, "{rtt:?}, {skew:?}");
                assert!(messages <= expected.1, "{rtt:?}, {skew:?}: {messages} messages");
            }
            ends_well(&mut world);
        }
    }
}

/// The NAT of one side is enough to keep both apart.
#[test]
fn one_nat_without_a_filter_is_enough() {
    for at in 0..2 {
        let mut rules = [Rules::PORT_RESTRICTED; 2];
        rules[at] = Rules::POISONABLE;
        let mut alone = 0;
        for skew in [0, 60, 300].map(Duration::from_millis) {
            let cell = Cell { rules, ..Cell::new(RTTS[1], skew) };
            alone += usize::from(connects(&mut cell.world_without(2)).is_some());
            let mut world = cell.world(2);
            assert!(connects(&mut world).is_some(), "{at}, {skew:?}");
            ends_well(&mut world);
        }
        // The early side's own NAT does no harm.
        assert_eq!(alone, if at == 0 { 3 } else { 1 });
    }
}

/// Nothing is bound, and nothing comes to another end, where the peer has no
/// part in it: because it does not know the messages, or does not want to.
#[test]
fn a_peer_that_takes_no_part_costs_five_messages() {
    let skew = Duration::from_millis(300);
    for off in [[Synchronisation::Off, Synchronisation::T0], [Synchronisation::Off; 2]] {
        let cell = Cell { synchronisation: off, ..Cell::new(RTTS[1], skew) };
        let plain = Cell { synchronisation: [Synchronisation::Off; 2], ..cell.clone() };
        let mut silent = plain.world_without(3);
        assert_eq!(connects(&mut silent), None);
        let mut world = cell.world(3);
        assert_eq!(connects(&mut world), None);
        for side in 0..2 {
            let (binds, messages) = efforts(&world, side);
            assert!(binds == 1 && messages <= 5, "{binds} sockets, {messages} messages");
            let ends = [&world, &silent].map(|w| w.machines[side].entered(State::Failed));
            assert_eq!(ends[0], ends[1]);
            assert_eq!(ends[0].map(|(_, reason)| reason), Some(StateReason::AllPairsFailed));
        }
        assert_eq!(world.sent, silent.sent);
    }
}

/// Where nothing can get through, three attempts are made and no more.
#[test]
fn what_cannot_be_punched_is_given_up_after_three_attempts() {
    let symmetric = Rules { mapping: Dependence::AddressAndPort, ..Rules::PORT_RESTRICTED };
    let cell = Cell { rules: [symmetric; 2], ..Cell::new(RTTS[1], Duration::ZERO) };
    let mut ends = Vec::new();
    for mut world in [cell.world_without(4), cell.world(4)] {
        assert_eq!(connects(&mut world), None);
        ends.push([0, 1].map(|side: usize| world.machines[side].entered(State::Failed)));
        let expected = if ends.len() == 1 { 1 } else { 4 };
        for side in 0..2 {
            assert_eq!(efforts(&world, side).0, expected);
            assert!(efforts(&world, side).1 <= 24);
        }
        leaves_nothing(&mut world);
    }
    assert_eq!(ends[0], ends[1], "and nobody fails later for it");
}

/// Several components and streams, which are started together.
#[test]
fn all_components_are_punched_again() {
    for streams in [vec![2], vec![1, 1], vec![2, 2]] {
        for skew in [0, 60, 700].map(Duration::from_millis) {
            for rtt in RTTS {
                let cell = Cell { streams: streams.clone(), ..Cell::new(rtt, skew) };
                let mut world = cell.world(5);
                assert!(connects(&mut world).is_some(), "{streams:?}, {rtt:?}, {skew:?}");
                ends_well(&mut world);
            }
        }
    }
}

/// With loss, with jitter and with other messages overtaking.
#[test]
fn poisoned_mappings_are_punched_again_in_any_weather() {
    let mut times = Vec::new();
    each_seed("poisoned_mappings_are_punched_again_in_any_weather", 0..1_000, |seed| {
        let mut dice = Dice::new(seed ^ 0xfe11);
        let rtt = dice.pick(&RTTS);
        let skew = dice.millis(0..=2_000);
        let loss = dice.range(0..=100) as f64 / 1_000.0;
        let air = Air { loss, duplication: 0.05, jitter: dice.up_to(rtt / 8) };
        let jitter = dice.up_to(rtt / 8);
        let mut world = Cell { air, jitter, ..Cell::new(rtt, skew) }.world(seed);
        times.push(connects(&mut world).expect("there is a path"));
        leaves_nothing(&mut world);
    });
    times.sort_unstable();
    println!("median {:?}, 95 % within {:?}", times[500], times[950]);
}

/// Worlds of all kinds whose NATs have no input filter.
#[test]
fn worlds_without_input_filters_connect_where_they_can() {
    let (mut connected, mut failed) = (0, 0);
    each_seed("worlds_without_input_filters_connect_where_they_can", 0..2_000, |seed| {
        let mut plan = draw::plan(seed, Weather::FAIR);
        plan.topology.drop_input_filters();
        let mut world = World::new(plan);
        world.carry_syncs(Duration::from_millis(30), Duration::from_millis(2));
        let ended = |world: &World| [0, 1].map(|side: usize| world.machines[side].has_come_to());
        world.run(Time::from_millis(150_000), |world| {
            ended(world) == [State::Completed; 2] || ended(world) == [State::Failed; 2]
        });
        if is_replay() {
            describe(&world);
        }
        match ended(&world) {
            [State::Completed, State::Completed] => connected += 1,
            [State::Failed, State::Failed] => {
                assert!(!world.is_possible(), "there is a path");
                failed += 1;
            }
            other => panic!("{other:?}"),
        }
        leaves_nothing(&mut world);
    });
    println!("{connected} connected, {failed} failed");
}
