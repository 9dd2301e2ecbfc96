//! The event logs of simulated agents are replayed: the same inputs give the
//! same outputs, to another core with other secrets.

use std::time::Duration;

use floe::agent::replay::replay;
use floe::agent::{Core, Happened};
use floe::timer::Time;

use crate::dice::each_seed;
use crate::draw::{self, Weather};
use crate::world::World;

#[test]
fn logs_of_simulated_agents_replay() {
    let mut records = 0;
    each_seed("logs_of_simulated_agents_replay", 30_000..30_300, |seed| {
        let mut world = World::new(draw::plan(seed, Weather::FOUL));
        world.run(Time::from_millis(60_000), |_| false);
        records += replay_all(&mut world);
    });
    println!("{records} records");
}

#[test]
fn logs_of_agents_whose_network_changes_replay() {
    let (mut records, mut restarts) = (0, 0);
    each_seed("logs_of_agents_whose_network_changes_replay", 30_000..30_200, |seed| {
        let plan = draw::changing_plan(seed, Weather::FAIR);
        let last = plan.changes.iter().map(|(at, _)| *at).max().unwrap();
        let mut world = World::new(plan);
        world.run(last, |_| false);
        for side in 0..2 {
            world.run_for(Duration::from_secs(45));
            world.restart(side);
        }
        world.run_for(Duration::from_secs(10));
        let logs = world.machines.iter().flat_map(|machine| &machine.records);
        restarts += logs.filter(|r| matches!(r.what, Happened::Restarted { .. })).count();
        records += replay_all(&mut world);
    });
    assert!(restarts >= 800, "only {restarts} restarts");
    println!("{records} records, {restarts} restarts");
}

/// Closes both sides and replays their logs; how many records there were.
fn replay_all(world: &mut World) -> u64 {
    let mut records = 0;
    for machine in &mut world.machines {
        machine.close(world.now);
        let log = std::mem::take(&mut machine.records);
        let count = log.len() as u64;
        let replayed = replay(log).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(replayed.records, count);
        assert_eq!(replayed.core.drops(), machine.core.drops());
        let pairs =
            |core: &Core| core.streams().flat_map(|stream| core.pairs(stream)).collect::<Vec<_>>();
        assert_eq!(pairs(&replayed.core), pairs(&machine.core));
        records += count;
    }
    records
}
