//! The wire's own claims, read off its packet log.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::nat::Nat;
use crate::packet_log::Packet;
use crate::ready;
use crate::topology::{Cell, Lab};

/// No more than a packet socket holds while nobody reads it.
const DATAGRAMS: u8 = 60;

/// Sends numbered datagrams from a host to the server; gives them in the order
/// in which they arrived, and what the log has of them.
fn send(cell: &Cell, size: usize) -> (Vec<u8>, Vec<Packet>) {
    let lab = Lab::new(cell);
    let to = SocketAddr::new(lab.stun()[0].ip(), 9000);
    let server = lab.server.run(|| UdpSocket::bind(to)).expect("the port is free");
    server.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout can be set");
    let from = SocketAddr::new(lab.host_address(0), lab.fresh_port());
    let client = lab.hosts[0].run(|| UdpSocket::bind(from)).expect("the port is free");
    for number in 0..DATAGRAMS {
        client.send_to(&vec![number; size], to).expect("the NAT is reachable");
    }
    let mut numbers = vec![];
    let mut buffer = vec![0; size];
    while numbers.len() < usize::from(DATAGRAMS) && server.recv(&mut buffer).is_ok() {
        numbers.push(buffer[0]);
    }
    let mut packets = lab.wire.log.packets();
    packets.retain(|packet| packet.destination == to);
    (numbers, packets)
}

#[test]
fn jitter_keeps_the_order() {
    if ready("wire_claims::jitter_keeps_the_order") {
        let jitter = Duration::from_millis(20);
        let (numbers, _) = send(&Cell { jitter, ..Cell::new([Nat::PORT_RESTRICTED; 2]) }, 100);
        assert_eq!(numbers, (0..DATAGRAMS).collect::<Vec<_>>());
    }
}

#[test]
fn reordering_loses_nothing() {
    if ready("wire_claims::reordering_loses_nothing") {
        let cell = Cell { reordering: 0.2, ..Cell::new([Nat::PORT_RESTRICTED; 2]) };
        let (mut numbers, _) = send(&cell, 100);
        let sorted: Vec<u8> = (0..DATAGRAMS).collect();
        assert_ne!(numbers, sorted);
        numbers.sort_unstable();
        assert_eq!(numbers, sorted);
    }
}

/// No packet leaves before those in front of it have had their time.
#[test]
fn a_rate_spaces_packets() {
    if !ready("wire_claims::a_rate_spaces_packets") {
        return;
    }
    let cell = Cell { rate: Some(8_000_000), ..Cell::new([Nat::PORT_RESTRICTED; 2]) };
    // With the headers 1,000 bytes: a millisecond each.
    let (numbers, packets) = send(&cell, 1_000 - 42);
    assert_eq!((numbers.len(), packets.len()), (usize::from(DATAGRAMS), usize::from(DATAGRAMS)));
    for (before, packet) in (0..).zip(&packets) {
        let left = packet.left.expect("it has arrived");
        let earliest = packets[0].entered + cell.rtt / 2 + Duration::from_millis(before + 1);
        assert!(left >= earliest, "{packet} after {before} others");
    }
}
