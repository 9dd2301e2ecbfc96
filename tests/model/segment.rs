//! A TCP segment, the order of sequence numbers, and the answer that a segment
//! gets that belongs to nothing.

/// What a segment is, for logs: the first of these that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Rst,
    SynAck,
    Syn,
    Fin,
    Data,
    Ack,
}

/// A segment; the window, options and checksum are not modelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    pub seq: u32,
    /// The acknowledgement number, where the ACK flag is set.
    pub ack: Option<u32>,
    pub syn: bool,
    pub rst: bool,
    pub fin: bool,
    pub data: Vec<u8>,
}

impl Segment {
    pub fn syn(seq: u32) -> Self {
        Segment { seq, syn: true, ..Segment::default() }
    }

    pub fn syn_ack(seq: u32, ack: u32) -> Self {
        Segment { seq, ack: Some(ack), syn: true, ..Segment::default() }
    }

    pub fn ack(seq: u32, ack: u32) -> Self {
        Segment { seq, ack: Some(ack), ..Segment::default() }
    }

    pub fn rst(seq: u32, ack: Option<u32>) -> Self {
        Segment { seq, ack, rst: true, ..Segment::default() }
    }

    pub fn kind(&self) -> Kind {
        match (self.rst, self.syn, self.ack) {
            (true, _, _) => Kind::Rst,
            (_, true, Some(_)) => Kind::SynAck,
            (_, true, None) => Kind::Syn,
            _ if self.fin => Kind::Fin,
            _ if !self.data.is_empty() => Kind::Data,
            _ => Kind::Ack,
        }
    }

    /// A SYN without ACK: what a NAT sees as the start of a connection.
    pub fn is_bare_syn(&self) -> bool {
        self.kind() == Kind::Syn
    }

    /// How many sequence numbers it takes.
    pub fn len(&self) -> u32 {
        self.data.len() as u32 + u32::from(self.syn) + u32::from(self.fin)
    }

    /// The sequence number after it.
    pub fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len())
    }

    /// The RST that answers it where it belongs to nothing (RFC 9293 §3.10.7.1).
    pub fn refusal(&self) -> Option<Segment> {
        match self.ack {
            _ if self.rst => None,
            Some(ack) => Some(Segment::rst(ack, None)),
            None => Some(Segment::rst(0, Some(self.end()))),
        }
    }
}

/// Whether `a` comes before `b`, modulo 2³².
pub fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether `a` comes after `b`, modulo 2³².
pub fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

/// Whether a segment lies at least in part in the `window` numbers from `next`,
/// as Linux sees it for sockets.
pub fn is_in_window(segment: &Segment, next: u32, window: u32) -> bool {
    !before(segment.end(), next) && !after(segment.seq, next.wrapping_add(window))
}
