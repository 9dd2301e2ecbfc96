//! The two directions of an established connection: what was sent and is not
//! acknowledged, and what arrived out of order.

use std::collections::{BTreeMap, VecDeque};

use super::segment::{Segment, after, before};

/// The most bytes that wait for an acknowledgement in one connection.
pub const SEND_BUFFER: usize = WINDOW as usize;
/// The window that a receiver offers; it does not grow, and never fills for long, as
/// applications read at once.
pub const WINDOW: u32 = 65_535;
/// What one segment carries at most.
pub const SEGMENT_SIZE: usize = 1460;
/// The most segments that wait for one before them.
const MAX_WAITING: usize = 1024;

/// What was sent and is not acknowledged; whole segments, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pieces: VecDeque<Piece>,
    bytes: usize,
    fin: bool,
}

#[derive(Clone, Debug)]
struct Piece {
    seq: u32,
    data: Vec<u8>,
    fin: bool,
}

impl Piece {
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.data.len() as u32 + u32::from(self.fin))
    }

    fn segment(&self, ack: u32) -> Segment {
        let Piece { seq, ref data, fin } = *self;
        Segment { seq, ack: Some(ack), fin, data: data.clone(), ..Segment::default() }
    }
}

impl Outgoing {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn has_fin(&self) -> bool {
        self.fin
    }

    /// How many bytes more fit.
    pub fn room(&self) -> usize {
        SEND_BUFFER.saturating_sub(self.bytes)
    }

    pub fn push(&mut self, seq: u32, data: &[u8], fin: bool, ack: u32) -> Segment {
        let piece = Piece { seq, data: data.to_vec(), fin };
        let segment = piece.segment(ack);
        self.bytes += data.len();
        self.fin |= fin;
        self.pieces.push_back(piece);
        segment
    }

    /// What ends at `ack` or earlier has arrived.
    pub fn acknowledge(&mut self, ack: u32) {
        while self.pieces.front().is_some_and(|piece| !after(piece.end(), ack)) {
            let bytes = self.pieces.pop_front().map_or(0, |piece| piece.data.len());
            self.bytes -= bytes;
        }
    }

    /// The oldest again.
    pub fn first(&self, ack: u32) -> Option<Segment> {
        self.pieces.front().map(|piece| piece.segment(ack))
    }
}

/// What arrived before its turn.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    waiting: BTreeMap<u32, (Vec<u8>, bool)>,
}

impl Incoming {
    /// Takes in what `segment` carries, where `next` is the number that is
    /// expected next and `first` the connection's first. Returns the bytes that
    /// are in order now, and whether the FIN is.
    pub fn take(&mut self, segment: &Segment, first: u32, next: &mut u32) -> (Vec<u8>, bool) {
        let (mut bytes, mut fin) = (Vec::new(), false);
        if (segment.fin || !segment.data.is_empty()) && self.waiting.len() < MAX_WAITING {
            let at = segment.seq.wrapping_sub(first);
            let known = self.waiting.entry(at).or_default();
            if known.0.len() <= segment.data.len() {
                *known = (segment.data.clone(), segment.fin || known.1);
            }
        }
        while let Some(entry) = self.waiting.first_entry() {
            let seq = first.wrapping_add(*entry.key());
            if after(seq, *next) {
                break;
            }
            let (data, ends) = entry.remove();
            let known = next.wrapping_sub(seq) as usize;
            let end = seq.wrapping_add(data.len() as u32);
            if known < data.len() {
                bytes.extend_from_slice(&data[known..]);
                *next = end;
            }
            if ends && !before(*next, end) {
                fin = *next == end;
                *next = next.wrapping_add(u32::from(fin));
            }
        }
        (bytes, fin)
    }
}
