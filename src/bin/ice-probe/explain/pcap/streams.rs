//! TCP connections of a capture: which numbers their segments have.

use std::net::SocketAddr;

use floe::tcp::Framing;

use super::packets::{ACK, FIN, PSH, RST, SYN, Segment, tcp};

/// The number that both ends of the first attempt begin with, and how far the
/// next one's is from it.
const FIRST: u32 = 1_000;
const STRIDE: u32 = 1 << 20;

/// A connection, or an attempt at one.
pub(super) struct Stream {
    pub(super) local: SocketAddr,
    remote: SocketAddr,
    framing: Framing,
    is_open: bool,
    /// What the next attempt begins with.
    first: u32,
    /// The next numbers, ours first.
    next: [u32; 2],
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Us,
    Peer,
}

impl Stream {
    pub(super) fn new(local: SocketAddr, remote: SocketAddr, framing: Framing) -> Self {
        Stream { local, remote, framing, is_open: false, first: FIRST, next: [FIRST; 2] }
    }

    /// Our SYN, of a fresh attempt.
    pub(super) fn syn(&mut self) -> Option<Vec<u8>> {
        self.begin();
        self.is_open = false;
        self.segment(By::Us, SYN, &[])
    }

    fn begin(&mut self) {
        self.next = [self.first; 2];
        self.first = self.first.wrapping_add(STRIDE);
    }

    /// What opens it, as if `by` had begun; nothing where it is open.
    pub(super) fn open(&mut self, by: By) -> Vec<(By, Vec<u8>)> {
        if self.is_open {
            return Vec::new();
        }
        self.is_open = true;
        let other = if by == By::Us { By::Peer } else { By::Us };
        let mut segments = Vec::new();
        if by == By::Peer {
            self.begin();
            segments.push((by, self.segment(by, SYN, &[])));
        }
        segments.push((other, self.segment(other, SYN | ACK, &[])));
        segments.push((by, self.segment(by, ACK, &[])));
        segments.into_iter().filter_map(|(by, bytes)| Some((by, bytes?))).collect()
    }

    /// What ends it: a reset, or in order.
    pub(super) fn end(&mut self, by: By, is_reset: bool) -> Option<Vec<u8>> {
        let was_open = std::mem::take(&mut self.is_open);
        match is_reset {
            true => self.segment(by, RST | ACK, &[]),
            false if was_open => self.segment(by, FIN | ACK, &[]),
            false => None,
        }
    }

    /// A message on it, as it is framed there.
    pub(super) fn message(&mut self, by: By, message: &[u8]) -> Option<Vec<u8>> {
        let mut framed = Vec::with_capacity(message.len() + 2);
        if self.framing == Framing::Rfc4571 {
            framed.extend(u16::try_from(message.len()).ok()?.to_be_bytes());
        }
        framed.extend(message);
        self.segment(by, PSH | ACK, &framed)
    }

    fn segment(&mut self, by: By, flags: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let [ours, theirs] = self.next;
        let (from, to, seq, ack) = match by {
            By::Us => (self.local, self.remote, ours, theirs),
            By::Peer => (self.remote, self.local, theirs, ours),
        };
        let ack = if flags & ACK == 0 { 0 } else { ack };
        let takes = u32::try_from(payload.len()).ok()? + u32::from(flags & (SYN | FIN) != 0);
        let slot = usize::from(by == By::Peer);
        self.next[slot] = seq.wrapping_add(takes);
        tcp(from, to, Segment { seq, ack, flags }, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(packet: &[u8]) -> (u32, u32, u8) {
        let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        (word(24), word(28), packet[33])
    }

    #[test]
    fn each_segment_goes_on_where_the_one_before_ended() {
        let (local, remote) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let mut stream = Stream::new(local, remote, Framing::Rfc4571);
        assert_eq!(numbers(&stream.syn().unwrap()), (1_000, 0, SYN));
        let opening = stream.open(By::Us);
        let opening: Vec<_> = opening.iter().map(|(_, packet)| numbers(packet)).collect();
        assert_eq!(opening, [(1_000, 1_001, SYN | ACK), (1_001, 1_001, ACK)]);
        assert!(stream.open(By::Peer).is_empty());
        let message = stream.message(By::Us, b"message").unwrap();
        assert_eq!(numbers(&message), (1_001, 1_001, PSH | ACK));
        assert_eq!(message[40..42], [0, 7]);
        assert_eq!(numbers(&stream.message(By::Peer, b"x").unwrap()), (1_001, 1_010, PSH | ACK));
        assert_eq!(numbers(&stream.end(By::Peer, false).unwrap()).0, 1_004);
        assert_eq!(stream.end(By::Peer, false), None);
        assert_eq!(numbers(&stream.syn().unwrap()), (1_000 + STRIDE, 0, SYN));
    }
}
