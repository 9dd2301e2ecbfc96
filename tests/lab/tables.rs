//! The tables as commands, for a person to run and read:
//!
//! ```text
//! cargo test --features cli --test lab -- --ignored --nocapture tables
//! ```
//!
//! `FLOE_LAB_TRIALS` says how often each is tried, `FLOE_LAB_WORKERS` how many
//! cells are measured at a time, `FLOE_LAB_RTT` which round trip alone, in
//! milliseconds. Other contestants go beside the plain ones.

use std::time::Duration;

use crate::agents::Agents;
use crate::contestant::{Contestant, Dcutr, LISTENING, ONE_SHOT, PlainUdp, RETRYING};
use crate::ready;
use crate::table::{
    SKEWS, Table, beside_the_matrix, nat_matrix, poisoned_skew_curve, skew_curve,
    skew_curve_of_firewalls,
};

#[test]
#[ignore = "measures for minutes, by hand"]
fn skew_curve_of_plain_sockets() {
    if ready("tables::skew_curve_of_plain_sockets") {
        let contestants: Vec<&dyn Contestant> = vec![&ONE_SHOT, &LISTENING, &RETRYING];
        let skews = SKEWS.map(Duration::from_millis).into();
        print(Table { cells: skew_curve(), skews, contestants, trials: 10, workers: 12 });
    }
}

#[test]
#[ignore = "measures for minutes, by hand"]
fn nat_matrix_of_plain_sockets() {
    if ready("tables::nat_matrix_of_plain_sockets") {
        let contestants: Vec<&dyn Contestant> = vec![&RETRYING, &PlainUdp];
        let skews = [0, 100].map(Duration::from_millis).into();
        print(Table { cells: nat_matrix(), skews, contestants, trials: 3, workers: 12 });
    }
}

/// An agent beside the plain program. One that is to go through TCP differs in
/// its options.
#[test]
#[ignore = "measures for minutes, by hand"]
fn agents_beside_plain_sockets() {
    if ready("tables::agents_beside_plain_sockets") {
        let floe = Agents::udp();
        let contestants: Vec<&dyn Contestant> = vec![&RETRYING, &PlainUdp, &floe];
        let skews = vec![Duration::ZERO];
        print(Table { cells: beside_the_matrix(), skews, contestants, trials: 3, workers: 4 });
    }
}

/// M1 with agents: each pair of NATs at every skew and round trip.
#[test]
#[ignore = "measures for minutes, by hand"]
fn skew_curve_of_agents() {
    if ready("tables::skew_curve_of_agents") {
        let floe = Agents::simultaneous_open();
        let contestants: Vec<&dyn Contestant> = vec![&ONE_SHOT, &Dcutr, &floe];
        let skews = SKEWS.map(Duration::from_millis).into();
        let cells = [skew_curve(), skew_curve_of_firewalls()].concat();
        print(Table { cells, skews, contestants, trials: 10, workers: 8 });
    }
}

/// M1 over UDP, where a mapping is poisoned by what arrives early.
#[test]
#[ignore = "measures for minutes, by hand"]
fn poisoned_skew_curve_of_agents() {
    if ready("tables::poisoned_skew_curve_of_agents") {
        let floe = Agents::udp();
        let contestants: Vec<&dyn Contestant> = vec![&PlainUdp, &floe];
        let skews = SKEWS.map(Duration::from_millis).into();
        print(Table { cells: poisoned_skew_curve(), skews, contestants, trials: 10, workers: 6 });
    }
}

/// M3 with agents: every mapping, filter and answer to a SYN.
#[test]
#[ignore = "measures for minutes, by hand"]
fn nat_matrix_of_agents() {
    if ready("tables::nat_matrix_of_agents") {
        let tcp = Agents::simultaneous_open();
        let udp = Agents::udp();
        let contestants: Vec<&dyn Contestant> = vec![&RETRYING, &tcp, &PlainUdp, &udp];
        let skews = [0, 100].map(Duration::from_millis).into();
        print(Table { cells: nat_matrix(), skews, contestants, trials: 2, workers: 8 });
    }
}

fn print(table: Table<'_>) {
    let number = |name: &str, usual: usize| {
        std::env::var(name).ok().map_or(usual, |value| value.parse().expect(name))
    };
    let mut cells = table.cells;
    let only = std::env::var("FLOE_LAB_RTT").ok().map(|rtt| rtt.parse().expect("FLOE_LAB_RTT"));
    cells.retain(|cell| only.is_none_or(|rtt| cell.rtt == Duration::from_millis(rtt)));
    let table = Table {
        cells,
        trials: number("FLOE_LAB_TRIALS", table.trials),
        workers: number("FLOE_LAB_WORKERS", table.workers),
        ..table
    };
    table.print(&table.run());
}
