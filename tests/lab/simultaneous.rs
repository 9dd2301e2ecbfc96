//! Two agents that have nothing but simultaneous open, through the kernel's
//! NATs: a fixed part of the long tables.

use std::time::Duration;

use crate::agents::Agents;
use crate::contestant::{Contestant, Trial};
use crate::nat::{Nat, Unsolicited};
use crate::possible::{Transport, possible};
use crate::ready;
use crate::table::{Table, skew_curve};
use crate::topology::{Cell, Family, Lab};

/// NATs that drop and that reset at three skews, and one cell of each kind
/// beside them: what is possible connects, and nothing else.
#[test]
fn agents_connect_wherever_tcp_can() {
    if !ready("simultaneous::agents_connect_wherever_tcp_can") {
        return;
    }
    let plain = Nat::PORT_RESTRICTED;
    let refusing = Nat { unsolicited: Unsolicited::Icmp, ..plain };
    let passing = Nat { unsolicited: Unsolicited::Pass, ..plain };
    let firewall = Nat { unsolicited: Unsolicited::Reset, ..Nat::FIREWALL };
    let mut cells = skew_curve();
    cells.retain(|cell| cell.rtt == Duration::from_millis(50));
    let pairs = [
        [refusing, Nat::RESETTING],
        [passing, Nat::SYMMETRIC],
        [Nat::FULL_CONE, Nat::SYMMETRIC],
        [Nat::HOSTILE, plain],
        [plain, Nat::SYMMETRIC],
    ];
    cells.extend(pairs.map(Cell::new));
    cells.push(Cell { outer: [Some(plain), Some(plain)], ..Cell::new([plain, plain]) });
    cells.push(Cell { family: Family::V6, ..Cell::new([firewall, firewall]) });
    let floe = Agents::simultaneous_open();
    let skews = [0, 40, 300].map(Duration::from_millis).into();
    let table = Table { cells, skews, contestants: vec![&floe], trials: 1, workers: 4 };
    let rows = table.run();
    table.print(&rows);
    for row in rows {
        let connected = row.results[0][0].is_some();
        let (cell, skew) = (&row.cell, row.skew);
        assert_eq!(connected, possible(cell, Transport::Tcp), "{cell}, skew {skew:?}");
    }
}

/// Far apart, so that a busy machine does not keep the SYNs from crossing.
#[test]
fn the_syns_of_agents_cross() {
    if !ready("simultaneous::the_syns_of_agents_cross") {
        return;
    }
    let rtt = Duration::from_millis(400);
    let lab = Lab::new(&Cell { rtt, ..Cell::new([Nat::PORT_RESTRICTED; 2]) });
    let trial = Trial { skew: Duration::ZERO, late: 1 };
    assert!(Agents::simultaneous_open().attempt(&lab, &trial).is_some());
    let packets = lab.wire.log.packets();
    let syns = packets.iter().filter(|packet| packet.is_pure_syn());
    let crossing = syns.filter_map(|syn| lab.wire.log.crossing(syn.source, syn.destination)).next();
    let crossing = crossing.unwrap_or_else(|| panic!("{packets:#?}"));
    crossing.iter().for_each(|syn| println!("{syn}"));
}
