//! The lab's own claims: what its NATs let through and what they do not, and
//! what two plain sockets reach through them. Outcomes and counts only; nothing
//! is held to a time.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::contestant::{
    Contestant, LISTENING, ONE_SHOT, PlainTcp, PlainUdp, RETRYING, SHORT, Trial, both,
};
use crate::nat::{Crossing, Filtering, Mapping, Nat};
use crate::possible::{Transport, possible};
use crate::ready;
use crate::reference::{self, Outcome, Way};
use crate::reference_udp;
use crate::stun_message::{mapped, request};
use crate::table::{Table, beside_the_matrix};
use crate::topology::{Cell, Lab};

const RETRY_WITHOUT_LISTENER: PlainTcp = PlainTcp { patience: SHORT, listener: false, ..RETRYING };

/// The outcome, and whether the SYNs are known to have crossed on the wire.
fn punch(lab: &Lab, how: PlainTcp, skew: u64) -> (Outcome, bool) {
    let ends = both(lab, reference::Endpoint::open).expect("the STUN server answers");
    let [ours, theirs] = ends.each_ref().map(|end| end.mapped);
    let trial = Trial { skew: Duration::from_millis(skew), late: 1 };
    let outcome = reference::punch(ends, &how.plan(lab, &trial));
    (outcome, lab.wire.log.crossing(ours, theirs).is_some())
}

/// Far apart, so that a busy machine does not keep SYNs from crossing.
#[test]
fn syns_cross_between_nats_that_drop() {
    if !ready("claims::syns_cross_between_nats_that_drop") {
        return;
    }
    let rtt = Duration::from_millis(400);
    let lab = Lab::new(&Cell { rtt, ..Cell::new([Nat::PORT_RESTRICTED; 2]) });
    let (outcome, crossed) = punch(&lab, ONE_SHOT, 0);
    assert!(crossed, "{:#?}", lab.wire.log.packets());
    assert_eq!(outcome.ways, [Some(Way::Connect); 2]);
    assert_eq!(outcome.attempts, [1, 1]);
    // Dropped on arrival, the first SYN has still opened the way for the other.
    let (outcome, crossed) = punch(&lab, ONE_SHOT, 600);
    assert!(!crossed, "{:#?}", lab.wire.log.packets());
    assert_eq!(outcome.ways, [Some(Way::Connect); 2]);
    assert_eq!(outcome.attempts, [1, 1]);
}

#[test]
fn what_is_refused_once_is_tried_again() {
    if !ready("claims::what_is_refused_once_is_tried_again") {
        return;
    }
    let lab = Lab::new(&Cell::new([Nat::RESETTING; 2]));
    for once in [ONE_SHOT, LISTENING] {
        assert_eq!(punch(&lab, once, 300).0.connected, None);
    }
    assert!(lab.wire.log.packets().iter().any(|packet| packet.is_reset()));
    let (outcome, _) = punch(&lab, RETRY_WITHOUT_LISTENER, 300);
    assert!(outcome.connected.is_some() && outcome.attempts[0] > 1, "{outcome:?}");
}

/// What a symmetric NAT sends comes from a port that nobody was told.
#[test]
fn a_symmetric_nat_needs_a_peer_that_listens() {
    if !ready("claims::a_symmetric_nat_needs_a_peer_that_listens") {
        return;
    }
    let lab = Lab::new(&Cell::new([Nat::FULL_CONE, Nat::SYMMETRIC]));
    assert_eq!(punch(&lab, RETRY_WITHOUT_LISTENER, 0).0.connected, None);
    let (outcome, _) = punch(&lab, RETRYING, 0);
    assert_eq!(outcome.ways, [Some(Way::Accept), Some(Way::Connect)]);
    let lab = Lab::new(&Cell::new([Nat::SYMMETRIC; 2]));
    assert_eq!(punch(&lab, RETRYING, 0).0.connected, None);
}

/// One of two NATs has to pass a bare SYN, not both.
#[test]
fn one_nat_may_be_hostile_to_simultaneous_open() {
    if !ready("claims::one_nat_may_be_hostile_to_simultaneous_open") {
        return;
    }
    for crossing in [Crossing::Drop, Crossing::Reset] {
        let hostile = Nat { crossing, ..Nat::PORT_RESTRICTED };
        let lab = Lab::new(&Cell::new([hostile, Nat::PORT_RESTRICTED]));
        assert!(punch(&lab, RETRYING, 0).0.connected.is_some());
        let lab = Lab::new(&Cell::new([hostile, hostile]));
        assert_eq!(punch(&lab, RETRYING, 0).0.connected, None);
    }
}

/// The same number for every destination or not, the host's own or not.
#[test]
fn nats_map_as_they_say() {
    if !ready("claims::nats_map_as_they_say") {
        return;
    }
    for mapping in [Mapping::Preserving, Mapping::Shifted, Mapping::Symmetric] {
        let nat = Nat { mapping, ..Nat::PORT_RESTRICTED };
        let lab = Lab::new(&Cell::new([nat, nat]));
        let local = SocketAddr::new(lab.host_address(0), lab.fresh_port());
        let socket = lab.hosts[0].run(|| UdpSocket::bind(local)).expect("the port is free");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
        let [first, second] = lab.stun().map(|server| {
            socket.send_to(&request(), server).expect("the NAT is reachable");
            let mut response = [0; 64];
            let length = socket.recv(&mut response).expect("the STUN server answers");
            mapped(&response[..length]).expect("it tells the address")
        });
        let tcp = reference::Endpoint::open(&lab.hosts[0], local, lab.stun()[0]);
        let tcp = tcp.expect("the STUN server answers").mapped;
        let (own, alike) = (first.port() == local.port(), first == second);
        match mapping {
            Mapping::Preserving => assert!(own && alike && tcp == first, "{first} {second} {tcp}"),
            Mapping::Shifted => assert!(!own && alike && tcp == first, "{first} {second} {tcp}"),
            _ => assert!(!alike && tcp != first, "{first} {second} {tcp}"),
        }
    }
}

/// An early datagram that is let in to the NAT takes the inside host's port.
#[test]
fn a_nat_without_an_input_filter_is_poisoned() {
    if !ready("claims::a_nat_without_an_input_filter_is_poisoned") {
        return;
    }
    let open = Nat { filtering: Filtering::Open, ..Nat::PORT_RESTRICTED };
    let [told, seen] = [Nat::POISONED, Nat::PORT_RESTRICTED].map(|nat| {
        let lab = Lab::new(&Cell::new([open, nat]));
        let ends = both(&lab, reference_udp::Endpoint::open).expect("the STUN server answers");
        let told = ends[1].mapped;
        let trial = Trial { skew: Duration::from_millis(200), late: 1 };
        let outcome = reference_udp::punch(&ends, &RETRYING.plan(&lab, &trial));
        assert!(outcome.connected.is_some());
        (told, outcome.seen[0].expect("it is connected"))
    });
    assert_ne!(told.0, told.1, "the port was taken");
    assert_eq!(seen.0, seen.1, "the port was kept");
}

/// Every kind of cell that stands beside the matrix, and a few of the matrix.
#[test]
fn cells_are_as_theory_has_them() {
    if !ready("claims::cells_are_as_theory_has_them") {
        return;
    }
    let shift = |filtering| Nat { mapping: Mapping::Shifted, filtering, ..Nat::PORT_RESTRICTED };
    let mut cells = beside_the_matrix();
    cells.extend([
        Cell::new([shift(Filtering::AddressAndPort), Nat::RESETTING]),
        Cell::new([shift(Filtering::Address), Nat::SYMMETRIC]),
        Cell::new([shift(Filtering::AddressAndPort), Nat::SYMMETRIC]),
    ]);
    cells.retain(|cell| !cell.nats.iter().any(|nat| nat.poisoned));
    let contestants: Vec<&dyn Contestant> = vec![&RETRYING, &PlainUdp];
    let skews = vec![Duration::ZERO];
    let table = Table { cells, skews, contestants, trials: 1, workers: 8 };
    let rows = table.run();
    table.print(&rows);
    for row in rows {
        let reached = row.results.iter().map(|trials| trials[0].is_some());
        let theory = [Transport::Tcp, Transport::Udp].map(|one| possible(&row.cell, one));
        assert_eq!(reached.collect::<Vec<_>>(), theory, "{}", row.cell);
    }
}
