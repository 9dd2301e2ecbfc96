//! The long tables: cells × skews × contestants, several cells at a time, each
//! in namespaces of its own.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::contestant::{Contestant, Trial};
use crate::nat::{Crossing, Egress, Filtering, Mapping, Nat, Unsolicited};
use crate::possible::{Transport, possible};
use crate::reference::Took;
use crate::topology::{Cell, Family, Lab};

/// The skews of M1 in milliseconds.
pub(crate) const SKEWS: [u64; 10] = [0, 10, 20, 40, 60, 100, 200, 500, 1000, 2000];

/// What to measure, and how often.
pub(crate) struct Table<'a> {
    pub(crate) cells: Vec<Cell>,
    pub(crate) skews: Vec<Duration>,
    pub(crate) contestants: Vec<&'a dyn Contestant>,
    pub(crate) trials: usize,
    /// Cells at a time.
    pub(crate) workers: usize,
}

/// One row: a cell at a skew.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) skew: Duration,
    /// Per contestant, what became of each trial.
    pub(crate) results: Vec<Vec<Option<Took>>>,
}

impl Table<'_> {
    /// Runs all of it. In every other trial the other side is the late one.
    pub(crate) fn run(&self) -> Vec<Row> {
        let next = AtomicUsize::new(0);
        let rows = Mutex::new(vec![]);
        thread::scope(|scope| {
            for _ in 0..self.workers.min(self.cells.len()) {
                scope.spawn(|| {
                    while let Some(cell) = self.cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let measured = self.measure(cell);
                        rows.lock().expect("no worker broke").push((*cell, measured));
                    }
                });
            }
        });
        let done = rows.into_inner().expect("no worker broke");
        let order = |cell: &Cell| self.cells.iter().position(|one| one == cell);
        let mut done: Vec<_> = done.into_iter().map(|(cell, rows)| (order(&cell), rows)).collect();
        done.sort_by_key(|(order, _)| *order);
        done.into_iter().flat_map(|(_, rows)| rows).collect()
    }

    fn measure(&self, cell: &Cell) -> Vec<Row> {
        let lab = Lab::new(cell);
        let trials = |contestant: &dyn Contestant, skew| {
            let trial = |number| Trial { skew, late: number % 2 };
            (0..self.trials).map(|number| contestant.attempt(&lab, &trial(number))).collect()
        };
        let row = |&skew: &Duration| Row {
            cell: *cell,
            skew,
            results: self.contestants.iter().map(|one| trials(*one, skew)).collect(),
        };
        self.skews.iter().map(row).collect()
    }

    /// Successes, and from the later start, in milliseconds, the medians until
    /// both sides could send and until both had heard the other.
    pub(crate) fn print(&self, rows: &[Row]) {
        let names = rows.iter().map(|row| row.cell.to_string().len());
        let width = names.max().unwrap_or_default();
        let mut head = format!("{:<width$} {:>5} {:>8}", "cell", "skew", "possible");
        for contestant in &self.contestants {
            let _ = write!(head, " {:>16}", contestant.name());
        }
        println!("{head}");
        for row in rows {
            let theory = [("TCP", Transport::Tcp), ("UDP", Transport::Udp)]
                .map(|(name, transport)| if possible(&row.cell, transport) { name } else { "-" });
            let mut line = format!(
                "{:<width$} {:>5} {:>8}",
                row.cell.to_string(),
                row.skew.as_millis(),
                theory.join(" ")
            );
            for result in &row.results {
                let _ = write!(line, " {:>16}", summary(result));
            }
            println!("{line}");
        }
    }
}

fn summary(result: &[Option<Took>]) -> String {
    let took: Vec<Took> = result.iter().copied().flatten().collect();
    let count = format!("{}/{}", took.len(), result.len());
    if took.is_empty() {
        return format!("{count}         -");
    }
    let median = |part: fn(&Took) -> Duration| {
        let mut times: Vec<Duration> = took.iter().map(part).collect();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    format!("{count} {:>4.0} {:>4.0}", median(|took| took.open), median(|took| took.heard))
}

/// M1: NATs that drop and that reset, at three distances.
pub(crate) fn skew_curve() -> Vec<Cell> {
    let kinds = [Nat::PORT_RESTRICTED, Nat::RESETTING];
    let pairs = kinds.into_iter().flat_map(|first| kinds.map(|second| [first, second]));
    pairs
        .flat_map(|nats| {
            [20, 50, 200].map(|rtt| Cell { rtt: Duration::from_millis(rtt), ..Cell::new(nats) })
        })
        .collect()
}

/// The same over IPv6, where firewalls stand in the place of NATs, at one
/// distance.
pub(crate) fn skew_curve_of_firewalls() -> Vec<Cell> {
    let kinds = [Unsolicited::Drop, Unsolicited::Reset]
        .map(|unsolicited| Nat { unsolicited, ..Nat::FIREWALL });
    let pairs = kinds.into_iter().flat_map(|first| kinds.map(|second| [first, second]));
    let rtt = Duration::from_millis(50);
    pairs.map(|pair| Cell { rtt, family: Family::V6, ..Cell::new(pair) }).collect()
}

/// NATs of which one or both have no input filter, at three distances.
pub(crate) fn poisoned_skew_curve() -> Vec<Cell> {
    let pairs = [Nat::POISONED, Nat::PORT_RESTRICTED].map(|second| [Nat::POISONED, second]);
    pairs
        .into_iter()
        .flat_map(|nats| {
            [20, 50, 200].map(|rtt| Cell { rtt: Duration::from_millis(rtt), ..Cell::new(nats) })
        })
        .collect()
}

/// M3: every mapping with every filter, silent or not, in pairs, and then what
/// stands beside the matrix.
pub(crate) fn nat_matrix() -> Vec<Cell> {
    let mut nats = vec![];
    for mapping in [Mapping::Preserving, Mapping::Shifted, Mapping::Symmetric] {
        for filtering in [Filtering::Open, Filtering::Address, Filtering::AddressAndPort] {
            for unsolicited in [Unsolicited::Drop, Unsolicited::Reset] {
                nats.push(Nat { mapping, filtering, unsolicited, ..Nat::PORT_RESTRICTED });
            }
        }
    }
    let mut cells = vec![];
    for (number, first) in nats.iter().enumerate() {
        cells.extend(nats[number..].iter().map(|second| Cell::new([*first, *second])));
    }
    cells.extend(beside_the_matrix());
    cells
}

/// Refusal by ICMP, SYNs that pass, NATs hostile to simultaneous open, two
/// NATs in a row, hosts behind one NAT, IPv6, and what networks block.
pub(crate) fn beside_the_matrix() -> Vec<Cell> {
    let plain = Nat::PORT_RESTRICTED;
    let so_reset = Nat { crossing: Crossing::Reset, ..plain };
    let refusing = Nat { unsolicited: Unsolicited::Icmp, ..plain };
    let passing = Nat { unsolicited: Unsolicited::Pass, ..plain };
    let no_udp = Nat { egress: Egress::NoUdp, ..plain };
    let only_443 = Nat { egress: Egress::Tcp443, ..plain };
    let hairpin = Nat { hairpin: true, ..plain };
    let pairs = [
        [refusing, refusing],
        [refusing, Nat::RESETTING],
        [passing, Nat::SYMMETRIC],
        [passing, passing],
        [Nat::HOSTILE, plain],
        [Nat::HOSTILE, Nat::RESETTING],
        [Nat::HOSTILE, Nat::HOSTILE],
        [so_reset, plain],
        [so_reset, Nat::RESETTING],
        [so_reset, so_reset],
        [Nat::POISONED, Nat::POISONED],
        [Nat::POISONED, plain],
        [no_udp, plain],
        [only_443, plain],
    ];
    let mut cells: Vec<Cell> = pairs.map(Cell::new).into();
    for outer in [plain, Nat::SYMMETRIC, Nat::FULL_CONE, Nat::RESETTING] {
        cells.push(Cell { outer: [Some(outer), None], ..Cell::new([plain, plain]) });
        cells.push(Cell { outer: [Some(outer), Some(outer)], ..Cell::new([plain, plain]) });
    }
    for nat in [plain, hairpin, Nat { mapping: Mapping::Symmetric, ..hairpin }] {
        cells.push(Cell { shared: true, ..Cell::new([nat, nat]) });
    }
    let firewalls = [Unsolicited::Drop, Unsolicited::Reset, Unsolicited::Icmp]
        .map(|unsolicited| Nat { unsolicited, ..Nat::FIREWALL });
    for firewall in firewalls {
        cells.push(Cell { family: Family::V6, ..Cell::new([firewall, firewall]) });
    }
    cells
}
