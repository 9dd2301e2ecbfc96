//! IPv4 packets with TCP in them, as raw sockets give and take them.

use std::net::Ipv4Addr;

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const TCP: u8 = 6;

/// Where the addresses stand.
const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// Where the checksum stands in a TCP header, and how long one is at least.
const CHECKSUM: usize = 16;
const HEADER: usize = 20;

/// A packet that is no fragment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    bytes: Vec<u8>,
    /// Where TCP begins.
    start: usize,
}

impl Packet {
    /// Takes a packet as it came; `None` for what is not one of TCP.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let start = usize::from(bytes.first()? & 0xf) * 4;
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        let is_whole = bytes.first()? >> 4 == 4 && word(6)? & 0x3fff == 0;
        let bytes = bytes.get(..usize::from(word(2)?))?;
        let has_headers = start >= HEADER && bytes.len() >= start + HEADER;
        (is_whole && has_headers && *bytes.get(9)? == TCP)
            .then(|| Packet { bytes: bytes.to_vec(), start })
    }

    pub(super) fn source(&self) -> (Ipv4Addr, u16) {
        (self.address(SOURCE), self.word(self.start))
    }

    pub(super) fn destination(&self) -> (Ipv4Addr, u16) {
        (self.address(DESTINATION), self.word(self.start + 2))
    }

    pub(super) fn set_source(&mut self, ip: Ipv4Addr) {
        self.bytes[SOURCE..SOURCE + 4].copy_from_slice(&ip.octets());
    }

    pub(super) fn set_destination(&mut self, ip: Ipv4Addr) {
        self.bytes[DESTINATION..DESTINATION + 4].copy_from_slice(&ip.octets());
    }

    /// It asks for a connection and answers nothing.
    pub(super) fn is_pure_syn(&self) -> bool {
        self.bytes[self.start + 13] & (SYN | ACK | RST) == SYN
    }

    /// The packet with its TCP checksum. The system writes that of IPv4.
    pub(super) fn finished(mut self) -> Vec<u8> {
        let at = self.start + CHECKSUM;
        self.bytes[at..at + 2].fill(0);
        let segment = &self.bytes[self.start..];
        let length = u32::try_from(segment.len()).unwrap_or(u32::MAX);
        let addresses = sum(&self.bytes[SOURCE..DESTINATION + 4]);
        let mut total = addresses + u32::from(TCP) + length + sum(segment);
        while total > 0xffff {
            total = (total >> 16) + (total & 0xffff);
        }
        let checksum = !u16::try_from(total).unwrap_or_default();
        self.bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        self.bytes
    }

    fn address(&self, at: usize) -> Ipv4Addr {
        let mut octets = [0; 4];
        octets.copy_from_slice(&self.bytes[at..at + 4]);
        octets.into()
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let word =
        |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default());
    bytes.chunks(2).map(word).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN with the checksums that a system wrote.
    const CAPTURED: [u8; 40] = [
        0x45, 0x00, 0x00, 0x28, 0x00, 0x01, 0x00, 0x00, 0x40, 0x06, 0x7c, 0xcd, 0x7f, 0x00, 0x00,
        0x01, 0x7f, 0x00, 0x00, 0x01, 0x00, 0x14, 0x00, 0x50, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x50, 0x02, 0x20, 0x00, 0x91, 0x7c, 0x00, 0x00,
    ];

    #[test]
    fn a_syn_is_read_and_its_checksum_comes_out_again() {
        let packet = Packet::parse(&CAPTURED).unwrap();
        assert!(packet.is_pure_syn());
        assert_eq!(packet.source(), (Ipv4Addr::LOCALHOST, 20));
        assert_eq!(packet.destination(), (Ipv4Addr::LOCALHOST, 80));
        assert_eq!(packet.finished(), CAPTURED);
        let mut answer = CAPTURED;
        answer[33] |= ACK;
        assert!(!Packet::parse(&answer).unwrap().is_pure_syn());
    }

    #[test]
    fn addresses_are_changed() {
        let mut packet = Packet::parse(&CAPTURED).unwrap();
        let [a, b] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
        packet.set_source(a);
        packet.set_destination(b);
        let bytes = packet.finished();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.source(), packet.destination()), ((a, 20), (b, 80)));
        assert_ne!(bytes[36..38], CAPTURED[36..38]);
    }

    #[test]
    fn what_is_cut_a_fragment_or_not_tcp_is_none() {
        for length in 0..CAPTURED.len() {
            assert_eq!(Packet::parse(&CAPTURED[..length]), None);
        }
        for (at, value) in [(0, 0x65), (0, 0x41), (3, 39), (6, 0x20), (7, 1), (9, 17)] {
            let mut packet = CAPTURED;
            packet[at] = value;
            assert_eq!(Packet::parse(&packet), None, "byte {at}");
        }
        // What follows the packet is not of it.
        let padded = [&CAPTURED[..], &[0; 6]].concat();
        assert_eq!(Packet::parse(&padded).map(Packet::finished), Some(CAPTURED.to_vec()));
    }
}
