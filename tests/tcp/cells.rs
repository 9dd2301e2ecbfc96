//! Which cells of NATs TCP connects through.

use std::time::Duration;

use floe::agent::Transports;
use floe::candidate::{Kind, TcpType};

use crate::model::{Answer, Kind as Segment, Rules};
use crate::world::{Plan, World};

const SO: Transports = Transports { tcp_so: true, ..NONE };
const NONE: Transports =
    Transports { udp: false, tcp_active: false, tcp_passive: false, tcp_so: false };
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

/// M1 of the document, every cell: each pair of NATs at every skew and round
/// trip.
#[test]
fn every_pair_of_nats_at_every_skew() {
    let names = [("drop", DROP), ("rst", RST)];
    for rtt in [20, 50, 200] {
        for (a, first) in names {
            for (b, second) in names {
                for skew in [0, 10, 20, 40, 60, 100, 200, 500, 1000, 2000] {
                    let mut plan = Plan::new([vec![first], vec![second]], SO);
                    (plan.rtt, plan.skew) =
                        (Duration::from_millis(rtt), Duration::from_millis(skew));
                    let mut world = World::new(plan);
                    assert!(world.connects(), "{a} x {b}, skew {skew} ms, RTT {rtt} ms");
                    let start = world.late_start;
                    let open =
                        world.machines.iter().filter_map(|m| m.opened).max().unwrap() - start;
                    let usable =
                        world.machines.iter().filter_map(|m| m.usable).max().unwrap() - start;
                    println!("{a} x {b} skew {skew} rtt {rtt}: open {open:?} usable {usable:?}");
                    assert!(world.exchanges(b"x"));
                    for side in 0..2 {
                        let host = world.machines[side].host;
                        let peer = [203, 0, 113, 2 - side as u8].into();
                        assert!(world.network.most_outstanding(host, peer) <= 5);
                        assert!(world.network.log().sent(host, Segment::Syn).count() < 1_000);
                    }
                }
            }
        }
    }
}
