//! Two agents that have nothing but UDP, between NATs without an input filter:
//! what arrives early poisons the mapping of the one who is late, and both check
//! again from fresh ports.

use std::time::Duration;

use crate::agents::Agents;
use crate::contestant::{Contestant, PlainUdp};
use crate::nat::Nat;
use crate::ready;
use crate::table::{Table, poisoned_skew_curve};

/// Later than one way between them, sooner and later than the other side begins
/// to suspect anything. The plain program shows that there is something to mend.
#[test]
fn agents_connect_over_poisoned_mappings() {
    if !ready("poisoned::agents_connect_over_poisoned_mappings") {
        return;
    }
    let mut cells = poisoned_skew_curve();
    cells.retain(|cell| cell.rtt == Duration::from_millis(200));
    let floe = Agents::udp();
    let contestants: Vec<&dyn Contestant> = vec![&PlainUdp, &floe];
    let skews = [150, 800].map(Duration::from_millis).into();
    let table = Table { cells, skews, contestants, trials: 2, workers: 2 };
    let rows = table.run();
    table.print(&rows);
    for row in rows {
        let (cell, skew) = (&row.cell, row.skew);
        let late = |number: usize| cell.nats[number % 2] == Nat::POISONED;
        for number in 0..2 {
            // The mapping of the one that is late is poisoned, where its NAT has
            // no filter.
            let plain = row.results[0][number].is_some();
            assert_eq!(plain, !late(number), "{cell}, skew {skew:?}, late {number}");
            assert!(row.results[1][number].is_some(), "{cell}, skew {skew:?}, late {number}");
        }
    }
}
