//! Many worlds drawn at random: whoever can connect does, and whoever cannot
//! says so.

use std::time::Duration;

use floe::agent::{State, StateReason};
use floe::timer::Time;

use crate::dice::{each_seed, is_replay};
use crate::draw::{self, Weather};
use crate::world::World;

/// RFC 8863 §4: nobody gives up earlier.
const PATIENCE: Duration = Duration::from_millis(39_500);

/// So long after the last signalling each side has connected or failed.
const UNDECIDED: Duration = Duration::from_secs(60);

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Connected { after: Duration },
    Failed,
}

#[test]
fn with_little_loss_all_connect_that_can() {
    let mut connected = Vec::new();
    let mut failed = 0;
    each_seed("with_little_loss_all_connect_that_can", 0..4_000, |seed| {
        let mut world = World::new(draw::plan(seed, Weather::FAIR));
        let outcome = run(&mut world);
        match outcome {
            Outcome::Connected { after } => connected.push(after),
            Outcome::Failed => {
                assert!(!world.is_possible(), "there is a path");
                failed += 1;
            }
        }
        leaves_nothing(&mut world);
    });
    report("up to 10 % loss", &mut connected, failed);
}

#[test]
fn with_much_loss_both_sides_come_to_the_same_end() {
    let mut connected = Vec::new();
    let mut failed = 0;
    each_seed("with_much_loss_both_sides_come_to_the_same_end", 10_000..12_000, |seed| {
        let mut world = World::new(draw::plan(seed, Weather::FOUL));
        match run(&mut world) {
            Outcome::Connected { after } => connected.push(after),
            Outcome::Failed => failed += 1,
        }
        leaves_nothing(&mut world);
    });
    report("10 to 30 % loss", &mut connected, failed);
}

#[test]
fn whatever_changes_both_sides_come_to_the_same_end() {
    let (mut connected, mut failed) = (0, 0);
    each_seed("whatever_changes_both_sides_come_to_the_same_end", 30_000..40_000, |seed| {
        let plan = draw::changing_plan(seed, Weather::FAIR);
        let last = plan.changes.iter().map(|(at, _)| *at).max().unwrap();
        let mut world = World::new(plan);
        match run_changing(&mut world, last) {
            [State::Completed, State::Completed] => connected += 1,
            [State::Failed, State::Failed] => {
                assert!(!world.is_possible(), "there is a path");
                failed += 1;
            }
            other => panic!("{other:?}"),
        }
        leaves_nothing(&mut world);
    });
    println!("with changes: {connected} connected, {failed} failed");
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    each_seed("the_same_seed_sends_the_same_bytes", 20_000..20_040, |seed| {
        let traffic = [(); 2].map(|()| {
            let mut world = World::new(draw::plan(seed, Weather::FOUL));
            world.run(Time::from_millis(20_000), |_| false);
            [
                world.machines[0].traffic(),
                world.machines[1].traffic(),
                world.sent.iter().sum::<usize>() as u64,
            ]
        });
        assert_eq!(traffic[0], traffic[1]);
    });
}

/// Runs until both sides have settled, and holds them to what they say.
fn run(world: &mut World) -> Outcome {
    let end = Time::from_millis(120_000);
    let ended = |world: &World| [0, 1].map(|side: usize| world.machines[side].has_come_to());
    world.run(end, |world| {
        let states = ended(world);
        states == [State::Completed; 2] || states == [State::Failed; 2]
    });
    if is_replay() {
        describe(world);
    }
    match ended(world) {
        [State::Completed, State::Completed] => {
            selected_the_same_pair(world);
            data_flows(world);
            let after = connect_time(world);
            assert!(after <= UNDECIDED, "only after {after:?}");
            Outcome::Connected { after }
        }
        [State::Failed, State::Failed] => {
            let informed = world.machines.iter().map(|m| m.informed).max().unwrap();
            for machine in &world.machines {
                let (at, reason) = machine.entered(State::Failed).unwrap();
                let started = machine.started.expect("checks could start");
                let soonest = match reason {
                    StateReason::ConsentExpired | StateReason::ConsentRevoked => Duration::ZERO,
                    _ => PATIENCE,
                };
                assert!(at - started >= soonest, "{reason} after only {:?}", at - started);
                assert!(at - informed <= UNDECIDED, "after {:?}", at - informed);
            }
            Outcome::Failed
        }
        other => panic!("{other:?}"),
    }
}

/// Runs past the last change, until both sides have settled. Their
/// applications restart what has failed, as applications do, a few times.
fn run_changing(world: &mut World, last: Time) -> [State; 2] {
    let states = |world: &World| [0, 1].map(|side: usize| world.machines[side].core.state());
    let settled = |world: &World| {
        let states = states(world);
        states == [State::Completed; 2] || states == [State::Failed; 2]
    };
    world.run(last, |_| false);
    for round in 0..4 {
        // Consent that is lost shows after half a minute.
        let end = world.now + Duration::from_secs(45);
        world.run(end, |_| false);
        let end = world.now + Duration::from_secs(120);
        world.run(end, settled);
        if states(world) == [State::Completed; 2] {
            break;
        }
        if round < 3 {
            world.restart(round % 2);
        }
    }
    if is_replay() {
        describe(world);
    }
    let end = states(world);
    if end == [State::Completed; 2] {
        data_flows(world);
        data_arrives_where_it_is_answered_from(world);
    }
    end
}

/// Each side's candidate is what the other takes it for, through all NATs.
fn selected_the_same_pair(world: &World) {
    let [one, two] = [0, 1].map(|side: usize| world.machines[side].selected());
    assert_eq!(one.len(), world.machines[0].components());
    assert_eq!(two.len(), world.machines[1].components());
    for (key, (local, remote)) in one {
        let (their_local, their_remote) = &two[&key];
        assert_eq!(local.address(), their_remote.address(), "{key:?}");
        assert_eq!(remote.address(), their_local.address(), "{key:?}");
    }
}

fn data_flows(world: &mut World) {
    for side in 0..2 {
        let sent = world.send_data(side);
        assert_eq!(sent, world.machines[side].components());
        world.run_for(Duration::from_secs(1));
        let mut delivered: Vec<_> =
            world.machines[1 - side].delivered.iter().map(|(_, s, c)| (*s, *c)).collect();
        delivered.sort_unstable();
        delivered.dedup();
        assert_eq!(delivered.len(), sent, "data of side {side} arrives, each at its component");
    }
}

/// The two sides agree on the path. The addresses that they report may differ:
/// a NAT that forgot its mappings gives the same sockets new ones.
fn data_arrives_where_it_is_answered_from(world: &mut World) {
    for side in 0..2 {
        world.machines[1 - side].delivered.clear();
        world.send_data(side);
        world.run_for(Duration::from_secs(1));
        let machine = &world.machines[1 - side];
        let paths = machine.send_paths();
        for (base, stream, component) in &machine.delivered {
            let (answers_from, _) = paths[&(*stream, *component)];
            assert_eq!(*base, answers_from, "to side {}: {stream:?}, {component:?}", 1 - side);
        }
    }
}

fn connect_time(world: &World) -> Duration {
    let started = world.machines.iter().filter_map(|m| m.started).max().unwrap();
    let done = world.machines.iter().filter_map(|m| m.entered(State::Connected)).map(|e| e.0).max();
    done.unwrap() - started
}

fn leaves_nothing(world: &mut World) {
    for side in 0..2 {
        let now = world.now;
        world.machines[side].close(now);
    }
    let sent = world.sent;
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.sent, sent, "packets after close");
}

fn describe(world: &World) {
    for (side, machine) in world.machines.iter().enumerate() {
        println!("side {side}: {:?}, {:?}", machine.core.state(), machine.monitor.counts);
        for (at, event) in &machine.events {
            println!("  {at} {event:?}");
        }
        for pair in machine.core.streams().flat_map(|s| machine.core.pairs(s)) {
            println!(
                "  {:?} {:?} -> {:?}: {} {:?}, {} sent, {} answered, {} received",
                pair.id,
                pair.local.address(),
                pair.remote.address(),
                pair.state,
                pair.reason,
                pair.sent,
                pair.answered,
                pair.received
            );
        }
    }
    println!("a path is {}possible", if world.is_possible() { "" } else { "not " });
}

fn report(what: &str, connected: &mut [Duration], failed: usize) {
    connected.sort_unstable();
    let at = |share: usize| connected.get(connected.len() * share / 100).copied();
    println!(
        "{what}: {} connected (median {:?}, 95 % within {:?}), {failed} failed",
        connected.len(),
        at(50).unwrap_or_default(),
        at(95).unwrap_or_default(),
    );
}
