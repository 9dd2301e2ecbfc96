//! Many worlds drawn at random: whoever can connect does, whoever cannot says
//! so, and nobody is fooled.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use floe::agent::{State, Transports};
use floe::candidate::{Kind, TcpType};

use crate::draw::{Blow, Story, draw, stranger};
use crate::possible::{can_connect, is_ambiguous};
use crate::world::World;

/// Worlds of a test, unless FLOE_SIM_SEEDS has another number.
const WORLDS: u64 = 400;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Tally {
    connected: usize,
    impossible: usize,
    blows: usize,
}

#[test]
fn without_loss_all_connect_that_can() {
    each_seed("without_loss_all_connect_that_can", 0, |seed, tally| live(seed, false, tally));
}

#[test]
fn with_loss_all_connect_that_can() {
    each_seed("with_loss_all_connect_that_can", 1_000_000, |seed, tally| live(seed, true, tally));
}

/// Runs as many seeds as are asked for, or the one in FLOE_SEED, and says which
/// fail.
fn each_seed(test: &str, from: u64, run: impl Fn(u64, &mut Tally)) {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse().unwrap());
    let seeds: Vec<u64> = match number("FLOE_SEED") {
        Some(seed) => vec![seed],
        None => (from..from + number("FLOE_SIM_SEEDS").unwrap_or(WORLDS)).collect(),
    };
    let (mut failed, mut tally) = (Vec::new(), Tally::default());
    let count = seeds.len();
    for seed in seeds {
        if catch_unwind(AssertUnwindSafe(|| run(seed, &mut tally))).is_err() {
            println!("replay: FLOE_SEED={seed} cargo test --test tcp {test} -- --nocapture");
            failed.push(seed);
        }
        if failed.len() == 10 {
            break;
        }
    }
    let Tally { connected, impossible, blows } = tally;
    println!("{count} worlds: {connected} connect, {impossible} cannot, {blows} blows");
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}

fn live(seed: u64, lossy: bool, tally: &mut Tally) {
    let (plan, story) = draw(seed, lossy);
    let paths = [&plan.paths[0], &plan.paths[1]];
    let mut transports = plan.transports;
    transports.iter_mut().for_each(|t| t.udp &= !plan.air.blocks_udp);
    let possible = can_connect(paths, transports);
    let ambiguous = is_ambiguous(paths);
    let clean = !lossy && !ambiguous;
    let replays = std::env::var_os("FLOE_SEED").is_some();
    if replays {
        println!("{:?} rtt {:?} skew {:?}", plan.paths, plan.rtt, plan.skew);
        println!("{:?} air {:?}", plan.transports, plan.air);
        println!("{:?} {:?} {:?}", story.paused, story.stranger, story.blows);
        println!("possible {possible}, ambiguous {ambiguous}");
    }
    let mapped = plan.paths.each_ref().map(|path| !path.is_empty());
    let mut world = World::new(plan);
    // What its servers did not answer in time cannot be signalled.
    let lacks = |side: usize| mapped[side] && !knows_its_addresses(&world, side, transports);
    let unlucky = lossy && (lacks(0) || lacks(1));
    begin(&mut world, &story);
    let connects = world.connects();
    if replays {
        world.describe();
    }
    assert!(connects == possible || ambiguous || unlucky, "possible: {possible}");
    if connects && !ambiguous {
        tally.connected += 1;
        assert!(world.completes(), "it is selected");
        assert!(flows(&mut world), "data flows");
        for blow in &story.blows {
            tally.blows += 1;
            strike(&mut world, *blow, replays);
        }
    } else if !connects {
        tally.impossible += 1;
        world.run_for(SECOND * 120, is_over);
        assert!(is_over(&world), "nothing is checked for ever");
    }
    well_behaved(&world, &story);
    world.close();
    world.run_for(SECOND * 5, |_| false);
    if clean {
        for machine in &world.machines {
            assert_eq!(world.network.sockets(machine.host).count(), 0, "sockets after close");
        }
    }
}

fn knows_its_addresses(world: &World, side: usize, transports: [Transports; 2]) -> bool {
    let Transports { udp, tcp_passive, tcp_so, .. } = transports[side];
    let wanted = [
        (udp, None),
        (tcp_passive, Some(TcpType::Passive)),
        (tcp_so, Some(TcpType::SimultaneousOpen)),
    ];
    let is_known = |tcp_type| {
        let mut candidates = world.machines[side].candidates.iter();
        candidates.any(|c| c.kind == Kind::ServerReflexive && c.tcp_type == tcp_type)
    };
    wanted.into_iter().all(|(wanted, tcp_type)| !wanted || is_known(tcp_type))
}

fn begin(world: &mut World, story: &Story) {
    if let Some((_, answer)) = &story.stranger {
        world.add_stranger(stranger(), answer);
    }
    if let Some((side, time)) = story.paused {
        world.pause(side, true);
        world.run_for(time, |_| false);
        world.pause(side, false);
    }
}

fn is_over(world: &World) -> bool {
    world.machines.iter().all(|m| matches!(m.core.state(), State::Failed | State::Completed))
}

/// Of a few datagrams each way at least one arrives.
fn flows(world: &mut World) -> bool {
    (0..30u8).any(|n| world.exchanges(&[b'd', n]))
}

fn strike(world: &mut World, blow: Blow, replays: bool) {
    match blow {
        Blow::Reset(side) => world.reset(side),
        Blow::Restart(side) => world.restart(side),
        Blow::Quiet(time) => world.run_for(time, |_| false),
    }
    world.run_for(SECOND * 2, |_| false);
    let done = world.completes();
    let data = flows(world);
    if replays {
        println!("after {blow:?}: {done} {data}");
        world.describe();
    }
    assert!(done && data, "after {blow:?}");
}

fn well_behaved(world: &World, story: &Story) {
    let inside = |side: usize| IpAddr::from([10, side as u8 + 1, 0, 2]);
    let outside = |side: usize| IpAddr::from([203, 0, 113, side as u8 + 1]);
    for side in 0..2 {
        let (machine, peer) = (&world.machines[side], 1 - side);
        for ip in [inside(peer), outside(peer), stranger().ip()] {
            assert!(world.network.most_outstanding(machine.host, ip) <= 5, "{ip}");
        }
        for (_, remote) in &machine.selected {
            let ip = remote.address().unwrap().ip();
            assert!([inside(peer), outside(peer)].contains(&ip), "{ip} is not the peer");
        }
        let seconds = world.now().since_epoch().as_secs() as usize;
        let budget = 400 + 40 * seconds.min(60) + 10 * seconds;
        assert!(machine.ops < budget, "{} things to do in {seconds} s", machine.ops);
        assert!(machine.requests.values().all(|count| *count == 1), "sent once");
    }
    if story.stranger.is_some() {
        assert!(world.fooled < 100, "{} connections to somebody else", world.fooled);
    }
}
