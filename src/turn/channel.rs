//! ChannelData (RFC 8656 §12.4), and the stream on which it stands beside STUN
//! messages (§12.5).

/// Bytes before the data: the channel's number and the length of the data.
pub const HEADER_LEN: usize = 4;

/// The numbers that a channel may have (RFC 8656 §12).
pub const NUMBERS: std::ops::RangeInclusive<u16> = 0x4000..=0x4fff;

/// The longest data: its length has 16 bits.
pub const MAX_DATA: usize = 65_535;

/// What stands on a stream, and how much of it.
const STUN_HEADER_LEN: usize = 20;

/// Bytes of a stream that [`Splitter::space`] offers at least.
const READ: usize = 16 * 1024;

/// What stands before `len` bytes of data on a channel; `None` where they are
/// too many.
pub fn header(number: u16, len: usize) -> Option<[u8; HEADER_LEN]> {
    let [n0, n1] = number.to_be_bytes();
    let [l0, l1] = u16::try_from(len).ok()?.to_be_bytes();
    Some([n0, n1, l0, l1])
}

/// How many bytes of padding follow `len` bytes of data on a stream (RFC 8656
/// §12.5).
pub const fn padding(len: usize) -> usize {
    len.next_multiple_of(4) - len
}

/// The number and the data of a ChannelData message in a datagram, which may
/// be padded; `None` if it is none, or is cut off (RFC 8656 §12.6).
pub fn parse(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (&[n0, n1, l0, l1], rest) = datagram.split_first_chunk::<HEADER_LEN>()?;
    let number = u16::from_be_bytes([n0, n1]);
    if !NUMBERS.contains(&number) {
        return None;
    }
    Some((number, rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?))
}

/// A stream that holds something else than STUN messages and ChannelData: it
/// has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent something else than STUN and ChannelData (RFC 8656 §12)")]
pub struct NotTurn;

/// Takes the stream of a TURN server apart into STUN messages and ChannelData.
/// It holds one that is not whole yet, and what was read with it.
///
/// Read into [`Splitter::space`], say how much that was by
/// [`Splitter::filled`], then take [`Splitter::next_message`] until there is
/// none.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// What is read and not yet taken stands between these.
    start: usize,
    end: usize,
}

/// How far the next message reaches: without its padding, and with it.
struct Extent {
    len: usize,
    padded: usize,
}

impl Splitter {
    /// At the start of a stream.
    pub const fn new() -> Self {
        Splitter { buffer: Vec::new(), start: 0, end: 0 }
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

    /// So many bytes were read to [`Splitter::space`].
    ///
    /// # Panics
    /// If that is more than there was space.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.end, "more was read than there was space for");
        self.end += count;
    }

    /// [`Splitter::space`] and [`Splitter::filled`] for bytes that are there.
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

    /// The next whole message: STUN, or ChannelData with its header and
    /// without its padding.
    ///
    /// # Errors
    /// [`NotTurn`]; from then on it gives nothing else.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, NotTurn> {
        let read = &self.buffer[self.start..self.end];
        let Some(extent) = measure(read)?.filter(|extent| extent.padded <= read.len()) else {
            return Ok(None);
        };
        let at = self.start;
        self.start += extent.padded;
        Ok(Some(&self.buffer[at..at + extent.len]))
    }

    /// How much of the current message stands here already.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// What was read and is not taken, which is taken by that: where a stream
    /// becomes a data connection (RFC 6062), it is what the peer has sent.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer[self.start..self.end].to_vec();
        (self.start, self.end) = (0, 0);
        rest
    }

    /// How many bytes the current message still needs.
    fn missing(&self) -> usize {
        let read = &self.buffer[self.start..self.end];
        let padded = measure(read).ok().flatten().map_or(0, |extent| extent.padded);
        padded.saturating_sub(read.len())
    }
}

/// The extent of the message at the start of `read`; `None` where too little
/// is there to tell.
fn measure(read: &[u8]) -> Result<Option<Extent>, NotTurn> {
    match *read {
        [kind, ..] if kind & 0x80 != 0 => Err(NotTurn),
        [kind, _, high, low, ..] => {
            let len = usize::from(u16::from_be_bytes([high, low]));
            // Numbers that are reserved are told from STUN like the others, and
            // dropped by `parse`.
            if kind & 0x40 != 0 {
                let len = HEADER_LEN + len;
                return Ok(Some(Extent { len, padded: len + padding(len) }));
            }
            if !len.is_multiple_of(4) {
                return Err(NotTurn);
            }
            let len = STUN_HEADER_LEN + len;
            Ok(Some(Extent { len, padded: len }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
