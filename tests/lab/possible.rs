//! What theory says of a cell: whether its NATs let two hosts find each other
//! at all. The reference program is held to it, and agents to both.

use crate::nat::{Crossing, Egress, Filtering, Mapping, Nat, Unsolicited};
use crate::topology::Cell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Whether the hosts of `cell` can be connected, given time, a retry on
/// refusal and a listener on each port. It is enough that one of them is
/// reached: it answers where the packet came from. A poisoned mapping hinders
/// nobody for good: there are other ports.
pub(crate) fn possible(cell: &Cell, transport: Transport) -> bool {
    let paths = [0, 1].map(|side| path(cell, side));
    if !paths.iter().flatten().all(|nat| goes_out(nat, transport)) {
        return false;
    }
    if cell.shared {
        return cell.nats[0].hairpin && (transport == Transport::Udp || takes_syn(&cell.nats[0]));
    }
    let [ours, theirs] = &paths;
    reaches(ours, theirs, transport) || reaches(theirs, ours, transport)
}

/// The NATs in front of a host.
fn path(cell: &Cell, side: usize) -> Vec<Nat> {
    let inner = cell.nats[if cell.shared { 0 } else { side }];
    [Some(inner), cell.outer[side]].into_iter().flatten().collect()
}

/// A first packet from behind `from` to the mapped address behind `to`, whose
/// host has sent one the other way. A symmetric NAT has sent that from another
/// port, which opens nothing.
fn reaches(from: &[Nat], to: &[Nat], transport: Transport) -> bool {
    let symmetric = |nat: &Nat| nat.mapping == Mapping::Symmetric;
    let expected = !from.iter().any(symmetric);
    to.iter().all(|nat| {
        let asked_for = match nat.filtering {
            Filtering::Open => true,
            Filtering::Address => !symmetric(nat),
            Filtering::AddressAndPort => !symmetric(nat) && expected,
        };
        match transport {
            Transport::Udp => asked_for,
            Transport::Tcp => takes_syn(nat) && (asked_for || nat.unsolicited == Unsolicited::Pass),
        }
    })
}

fn takes_syn(nat: &Nat) -> bool {
    nat.crossing == Crossing::Pass
}

fn goes_out(nat: &Nat, transport: Transport) -> bool {
    match nat.egress {
        Egress::All => true,
        Egress::NoUdp => transport == Transport::Tcp,
        Egress::Tcp443 => false,
    }
}
