//! The outlook for a pair of NATs is what the simulated NATs let happen.

use std::net::{IpAddr, SocketAddr};

use floe::discovery::{Behavior, Dependence, Outlook, PeerNat, outlook};
use floe::timer::Time;

use crate::nat::{Nat, Rules};
use crate::world::{MAIN, at};

struct Side {
    nat: Nat,
    inside: SocketAddr,
    /// Where it sends checks: what was signalled, and whoever checked.
    remotes: Vec<SocketAddr>,
}

impl Side {
    fn new((mapping, filtering): (Dependence, Dependence), last: u8) -> (Self, SocketAddr) {
        let rules = Rules { mapping, filtering, ..Rules::PORT_RESTRICTED };
        let outside: IpAddr = [203, 0, 113, last].into();
        let inside = SocketAddr::new([10, 0, last, 2].into(), 5000);
        let mut nat = Nat::new(rules, Some(outside), 40_000 + u16::from(last));
        let reflexive = nat.outbound(inside, at(MAIN), Time::ZERO);
        (Side { nat, inside, remotes: Vec::new() }, reflexive)
    }
}

/// Checks both ways, with answers to where they come from; whether one went
/// there and back.
fn meet(ours: (Dependence, Dependence), theirs: (Dependence, Dependence)) -> bool {
    let ((one, at_one), (other, at_other)) = (Side::new(ours, 1), Side::new(theirs, 2));
    let mut sides = [one, other];
    sides[0].remotes.push(at_other);
    sides[1].remotes.push(at_one);
    for _ in 0..4 {
        for sender in [0, 1] {
            for to in sides[sender].remotes.clone() {
                let [one, other] = &mut sides;
                let (from, into) = if sender == 0 { (one, other) } else { (other, one) };
                let source = from.nat.outbound(from.inside, to, Time::ZERO);
                if into.nat.inbound(source, to, Time::ZERO) != Some(into.inside) {
                    continue;
                }
                // It is answered, and checked in turn.
                let answered = into.nat.outbound(into.inside, source, Time::ZERO);
                if !into.remotes.contains(&source) {
                    into.remotes.push(source);
                }
                let back = from.nat.inbound(answered, source, Time::ZERO);
                if back == Some(from.inside) && answered == to {
                    return true;
                }
            }
        }
    }
    false
}

#[test]
fn the_outlook_is_what_happens() {
    for mapping in Dependence::ALL {
        for filtering in Dependence::ALL {
            for peer in PeerNat::ALL {
                let expected = if meet((mapping, filtering), peer.behavior()) {
                    Outlook::Direct
                } else {
                    Outlook::Relay
                };
                let found = outlook(Behavior::Is(mapping), Behavior::Is(filtering), peer);
                assert_eq!(found, expected, "{mapping:?} {filtering:?} towards {peer:?}");
            }
        }
    }
}

/// What is not known decides nothing, unless it does not matter.
#[test]
fn unknown_is_not_no() {
    for peer in PeerNat::ALL {
        let found = outlook(Behavior::Unknown, Behavior::Unknown, peer);
        assert_ne!(found, Outlook::Relay, "{peer:?}");
        for mapping in Dependence::ALL {
            let partly = outlook(Behavior::Is(mapping), Behavior::Unknown, peer);
            for filtering in Dependence::ALL {
                let whole = outlook(Behavior::Is(mapping), Behavior::Is(filtering), peer);
                assert!(partly == Outlook::Unknown || partly == whole, "{mapping:?} {peer:?}");
            }
        }
    }
}
