//! Which cells of NATs TCP connects through.

use std::time::Duration;

use floe::agent::{Config, Transports};
use floe::candidate::{Kind, TcpType};
use floe::timer::Time;

use crate::machine::Machine;
use crate::model::{Answer, Rules};
use crate::rules::SO;
use crate::world::{Plan, World};

const DROP: Rules = Rules::PORT_RESTRICTED;
const RST: Rules = Rules::PORT_RESTRICTED.answering(Answer::Reset);

fn connects(plan: Plan) -> World {
    let mut world = World::new(plan);
    assert!(world.connects(), "{:?}", world.machines.each_ref().map(|m| &m.states));
    assert!(world.exchanges(b"hello"), "data passes both ways");
    assert!(world.completes());
    world
}

#[test]
fn an_active_candidate_connects_to_a_passive_one() {
    let world =
        connects(Plan::new([vec![], vec![]], Transports { tcp_so: false, ..Transports::TCP }));
    let (local, remote) = &world.machines[0].selected[0];
    assert_eq!(local.tcp_type, Some(TcpType::Active));
    assert_eq!(local.kind, Kind::PeerReflexive, "its port is known only once it is used");
    assert_eq!(remote.tcp_type, Some(TcpType::Passive));
}

#[test]
fn both_sides_open_at_once_through_nats_that_drop() {
    let world = connects(Plan::new([vec![DROP], vec![DROP]], SO));
    let [a, b] = [0, 1].map(|side: usize| world.machines[side].host);
    assert!(world.network.log().crossing(a, b).is_some(), "the SYNs crossed");
    for machine in &world.machines {
        assert_eq!(machine.selected[0].0.tcp_type, Some(TcpType::SimultaneousOpen));
    }
}

const SKEWS: [u64; 10] = [0, 10, 20, 40, 60, 100, 200, 500, 1000, 2000];
/// Runs of a cell, odd so that the median is one of them.
const RUNS: u64 = 11;

/// What came of a cell's runs: medians from the later start until both ends are
/// open, and until data may flow.
struct Cell {
    open: Duration,
    usable: Duration,
}

/// Every run has to connect, whatever its seed.
fn skewed(paths: [Rules; 2], rtt: u64, skew: u64, configure: fn(usize, &mut Config)) -> Cell {
    let (mut open, mut usable) = (Vec::new(), Vec::new());
    for seed in 0..RUNS {
        let mut plan = Plan::new(paths.map(|rules| vec![rules]), SO);
        (plan.seed, plan.configure) = (seed, configure);
        (plan.rtt, plan.skew) = (Duration::from_millis(rtt), Duration::from_millis(skew));
        let mut world = World::new(plan);
        assert!(world.connects(), "seed {seed}, skew {skew} ms, RTT {rtt} ms, {paths:?}");
        let last = |time: fn(&Machine) -> Option<Time>| {
            world.machines.iter().filter_map(time).max().unwrap() - world.late_start
        };
        open.push(last(|machine| machine.opened));
        usable.push(last(|machine| machine.usable));
        assert!(world.exchanges(b"x"));
        for side in 0..2 {
            let peer = [203, 0, 113, 2 - side as u8].into();
            let host = world.machines[side].host;
            assert!(world.network.most_outstanding(host, peer) <= 5);
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Cell { open: median(open), usable: median(usable) }
}

/// The skew curve: each pair of NATs at every skew and round trip connects,
/// from the later start within 1.5 round trips and 20 ms where both drop, and
/// within 2 and 50 ms where one answers with RST. Where the skew is one way to
/// the moment, each side's SYN comes as the other's is refused, and the next
/// attempts are as far apart: that cell is given another round.
#[test]
fn every_pair_of_nats_at_every_skew() {
    let names = [("drop", DROP), ("rst", RST)];
    let mut late = Vec::new();
    for rtt in [20, 50, 200] {
        for (a, first) in names {
            for (b, second) in names {
                for skew in SKEWS {
                    let cell = skewed([first, second], rtt, skew, |_, _| {});
                    let target = match (a, b) {
                        ("drop", "drop") => Duration::from_millis(rtt * 3 / 2 + 20),
                        _ if skew == rtt / 2 => Duration::from_millis(rtt * 3 + 50),
                        _ => Duration::from_millis(rtt * 2 + 50),
                    };
                    let line = format!(
                        "{a} x {b}, RTT {rtt} ms, skew {skew} ms: open after {:?}, usable {:?}",
                        cell.open, cell.usable
                    );
                    println!("{line}");
                    if cell.open > target {
                        late.push(line);
                    }
                }
            }
        }
    }
    assert!(late.is_empty(), "{late:#?}");
}
