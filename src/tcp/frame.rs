//! Messages on a stream: RFC 4571 frames between peers, STUN messages back to
//! back towards a server (RFC 8489 §6.2.2), and ChannelData between them
//! towards a TURN server (RFC 8656 §12.5).

/// How messages stand on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Framing {
    /// Each behind its length in two bytes (RFC 4571 §2): between peers, from
    /// the first byte on (RFC 6544 §7.1, §7.2).
    Rfc4571,
    /// STUN messages, which say their length themselves: to a STUN server.
    Stun,
    /// STUN messages and ChannelData, padded to four bytes (RFC 8656 §12.5): to
    /// a TURN server.
    Turn,
}

/// The longest payload of a frame: its length has 16 bits.
pub const MAX_FRAME: usize = 65_535;

/// What a peer may send in one frame before it has passed a check: no check
/// comes near it.
pub const MAX_UNPROVEN_FRAME: usize = 2_048;

/// Bytes of a stream that [`Deframer::space`] offers at least.
const READ: usize = 16 * 1024;

/// The head of a frame with a payload of this length; `None` above
/// [`MAX_FRAME`].
pub fn head(len: usize) -> Option<[u8; 2]> {
    u16::try_from(len).ok().map(u16::to_be_bytes)
}

/// A stream that cannot be read any further: it has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame announces more than may be sent yet.
    #[error("a frame of {len} bytes is too long here: at most {limit} are taken")]
    Oversize {
        /// What it announces.
        len: usize,
        /// What is taken.
        limit: usize,
    },
    /// The stream of a server holds something else than STUN, or of a TURN
    /// server than STUN and ChannelData.
    #[error("the server sent something else than STUN (RFC 8489 §5)")]
    NotStun,
}

/// Takes a stream apart into messages. It holds one message that is not whole
/// yet, and what was read with it.
///
/// Read into [`Deframer::space`], say how much that was by
/// [`Deframer::filled`], then take [`Deframer::next_frame`] until there is
/// none.
#[derive(Debug)]
pub struct Deframer {
    framing: Framing,
    limit: usize,
    buffer: Vec<u8>,
    /// What is read and not yet taken stands between these.
    start: usize,
    end: usize,
}

/// How far a message reaches.
struct Extent {
    /// Bytes before it.
    skipped: usize,
    len: usize,
    /// Bytes behind it.
    padding: usize,
}

impl Deframer {
    /// At the start of a stream, on which a message may have up to
    /// [`MAX_UNPROVEN_FRAME`] bytes; from a TURN server, whom we chose, as many
    /// as its length can say.
    pub const fn new(framing: Framing) -> Self {
        let limit = match framing {
            Framing::Rfc4571 | Framing::Stun => MAX_UNPROVEN_FRAME,
            Framing::Turn => MAX_FRAME + 20,
        };
        Deframer { framing, limit, buffer: Vec::new(), start: 0, end: 0 }
    }

    /// The peer has passed a check: frames may have up to [`MAX_FRAME`] bytes.
    pub fn prove(&mut self) {
        self.limit = self.limit.max(MAX_FRAME);
    }

    /// Where the next bytes of the stream are to be read to.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let wanted = READ.max(self.missing());
        if self.buffer.len() - self.end < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.buffer.resize((self.end + wanted).max(self.buffer.len()), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read to [`Deframer::space`].
    ///
    /// # Panics
    /// If that is more than there was space.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.end, "more was read than there was space for");
        self.end += count;
    }

    /// [`Deframer::space`] and [`Deframer::filled`] for bytes that are there.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            space[..count].copy_from_slice(now);
            self.filled(count);
            bytes = later;
        }
    }

    /// The next whole message; empty ones are legal (RFC 4571 §2).
    ///
    /// # Errors
    /// [`FrameError`]; from then on it gives nothing else.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let read = &self.buffer[self.start..self.end];
        let Some(Extent { skipped, len, padding }) = self.measure(read)? else { return Ok(None) };
        if len > self.limit {
            return Err(FrameError::Oversize { len, limit: self.limit });
        }
        if read.len() < skipped + len + padding {
            return Ok(None);
        }
        let at = self.start + skipped;
        self.start = at + len + padding;
        Ok(Some(&self.buffer[at..at + len]))
    }

    /// How much of the current message stands here already, its head counted:
    /// a stream that ends in the middle of one was cut.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// What was read and is not taken, which is taken by that: where a stream
    /// becomes a data connection (RFC 6062 §4.3), it is what the peer has sent.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer[self.start..self.end].to_vec();
        (self.start, self.end) = (0, 0);
        rest
    }

    /// How far the next message reaches; `None` where too little is there to
    /// tell.
    fn measure(&self, read: &[u8]) -> Result<Option<Extent>, FrameError> {
        let number = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
        let (skipped, len, padding) = match (self.framing, read) {
            (Framing::Rfc4571, [high, low, ..]) => (2, number(*high, *low), 0),
            // RFC 8656 §12: the first two bits of ChannelData are 01. Numbers that are
            // reserved are told from STUN like the others.
            (Framing::Turn, [kind, ..]) if kind & 0xc0 == 0x40 => match read {
                [_, _, high, low, ..] => {
                    let len = 4 + number(*high, *low);
                    (0, len, len.next_multiple_of(4) - len)
                }
                _ => return Ok(None),
            },
            (Framing::Stun | Framing::Turn, [kind, ..]) if kind & 0xc0 != 0 => {
                return Err(FrameError::NotStun);
            }
            (Framing::Stun | Framing::Turn, [_, _, high, low, ..]) => {
                let len = number(*high, *low);
                if len % 4 != 0 {
                    return Err(FrameError::NotStun);
                }
                (0, len + 20, 0)
            }
            _ => return Ok(None),
        };
        Ok(Some(Extent { skipped, len, padding }))
    }

    /// How many bytes the current message still needs.
    fn missing(&self) -> usize {
        let read = &self.buffer[self.start..self.end];
        let extent = self.measure(read).ok().flatten();
        let whole = extent.map_or(0, |extent| extent.skipped + extent.len + extent.padding);
        whole.min(self.limit + 20).saturating_sub(read.len())
    }
}

#[cfg(test)]
mod tests;
