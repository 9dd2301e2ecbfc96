//! M4: with a relay, every cell connects.
//!
//! ```text
//! cargo test --features cli --test lab -- --ignored --nocapture relay_matrix
//! cargo test --features cli --test lab -- --ignored --nocapture relay_times
//! ```

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::nat::{Egress, Nat};
use crate::possible::{Transport, possible};
use crate::relay::{Connected, Relay, Signalling, negotiate};
use crate::table::nat_matrix;
use crate::topology::{Cell, Lab};
use crate::{RUNS, median, millis, ready};

/// `ice-probe` says so of a path that is relayed.
const RELAYED: i32 = 10;
/// Cells at a time.
const WORKERS: usize = 8;

const NO_UDP: Nat = Nat { egress: Egress::NoUdp, ..Nat::PORT_RESTRICTED };
const ONLY_443: Nat = Nat { egress: Egress::Tcp443, ..Nat::PORT_RESTRICTED };

/// What no two hosts get through by themselves.
const UNREACHABLE: [[Nat; 2]; 5] = [
    [Nat::SYMMETRIC, Nat::PORT_RESTRICTED],
    [Nat::SYMMETRIC, Nat::SYMMETRIC],
    [NO_UDP, Nat::SYMMETRIC],
    [ONLY_443, Nat::PORT_RESTRICTED],
    [ONLY_443, ONLY_443],
];

fn direct(cell: &Cell) -> bool {
    [Transport::Tcp, Transport::Udp].into_iter().any(|transport| possible(cell, transport))
}

/// Each by a relayed pair, with data both ways; the programs say that it was a
/// relay.
#[test]
fn a_relay_connects_what_nothing_else_does() {
    if !ready("relayed::a_relay_connects_what_nothing_else_does") {
        return;
    }
    let cells = UNREACHABLE.map(Cell::new);
    for (cell, result) in all(&cells, 3, Signalling::Trickle) {
        assert!(!direct(&cell), "{cell} needs no relay");
        let connected = result.unwrap_or_else(|said| panic!("{cell}: {said}"));
        println!("{cell}: {connected:?}");
        assert_eq!(connected.relayed, [true; 2], "{cell}: {connected:?}");
        assert_eq!(connected.codes, [Some(RELAYED); 2], "{cell}: {connected:?}");
    }
}

/// Every cell of the matrix, or those whose name has what `FLOE_LAB_CELL` says. Where a direct path is possible, it or a relay is
/// selected, whichever is valid first.
#[test]
#[ignore = "measures for minutes, by hand"]
fn relay_matrix() {
    if !ready("relayed::relay_matrix") {
        return;
    }
    let began = Instant::now();
    let mut cells = nat_matrix();
    let only = std::env::var("FLOE_LAB_CELL").unwrap_or_default();
    cells.retain(|cell| cell.to_string().contains(&only));
    let rows = all(&cells, WORKERS, Signalling::Trickle);
    let width = rows.iter().map(|(cell, _)| cell.to_string().len()).max().unwrap_or_default();
    println!("{:<width$} {:>8} {:>8} {:>10}  pairs", "cell", "possible", "how", "usable");
    let mut count = [0; 2];
    for (cell, result) in &rows {
        let possible = if direct(cell) { "direct" } else { "relay" };
        match result {
            Ok(connected) => {
                let relayed = connected.by_relay();
                count[usize::from(relayed)] += 1;
                let how = if relayed { "relay" } else { "direct" };
                let name = cell.to_string();
                let usable = millis(connected.usable);
                let pairs = connected.kinds().map(|pair| pair.join("/")).join(" ");
                println!("{name:<width$} {possible:>8} {how:>8} {usable:>7.0} ms  {pairs}");
            }
            Err(said) => println!("{:<width$} {possible:>8} {:>8} {said}", cell.to_string(), "-"),
        }
    }
    let [by_itself, by_relay] = count;
    println!(
        "{} of {} cells connect, {by_itself} direct and {by_relay} by a relay, in {:.0} s",
        by_itself + by_relay,
        rows.len(),
        began.elapsed().as_secs_f64()
    );
    for (cell, result) in rows {
        let connected = result.unwrap_or_else(|said| panic!("{cell}: {said}"));
        let codes = connected.relayed.map(|relayed| Some(if relayed { RELAYED } else { 0 }));
        assert_eq!(connected.codes, codes, "{cell}: {connected:?}");
        assert!(direct(&cell) || connected.by_relay(), "{cell}: {connected:?}");
    }
}

/// From both sides having all candidates until both may send, where the only
/// way is relayed.
#[test]
#[ignore = "measures for a minute, by hand"]
fn relay_times() {
    if !ready("relayed::relay_times") {
        return;
    }
    println!("medians of {RUNS} runs, from both sides having all candidates:");
    for (nats, rtt) in [
        ([Nat::SYMMETRIC, Nat::PORT_RESTRICTED], 40),
        ([Nat::SYMMETRIC, Nat::SYMMETRIC], 40),
        ([Nat::SYMMETRIC, Nat::SYMMETRIC], 100),
    ] {
        let rtt = Duration::from_millis(rtt);
        let cell = Cell { rtt, ..Cell::new(nats) };
        let lab = Lab::new(&cell);
        let relay = Relay::start(&lab);
        let run = |_| negotiate(&lab, &relay, Signalling::Complete);
        let times: Result<Vec<_>, _> =
            (0..RUNS).map(run).map(|result| result.map(|connected| connected.usable)).collect();
        let times = times.unwrap_or_else(|said| panic!("{cell}: {said}"));
        let target = 3 * rtt + Duration::from_millis(200);
        let usable = median(times);
        let word = if usable <= target { "pass" } else { "miss" };
        println!(
            "{:<60} {:>6.1} ms   {word} (≤ {} ms)",
            cell.to_string(),
            millis(usable),
            target.as_millis()
        );
    }
}

/// One negotiation a cell, each in namespaces of its own, in the given order.
fn all(cells: &[Cell], workers: usize, how: Signalling) -> Vec<(Cell, Result<Connected, String>)> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(vec![]);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(number) else { return };
                    let lab = Lab::new(cell);
                    let relay = Relay::start(&lab);
                    let result = negotiate(&lab, &relay, how);
                    rows.lock().expect("no worker broke").push((number, *cell, result));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no worker broke");
    rows.sort_by_key(|(number, ..)| *number);
    rows.into_iter().map(|(_, cell, result)| (cell, result)).collect()
}
