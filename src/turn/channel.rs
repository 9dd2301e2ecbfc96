//! ChannelData (RFC 8656 §12.4). The stream on which it stands beside STUN
//! messages (§12.5) is taken apart by [`crate::tcp::Deframer`].

/// Bytes before the data: the channel's number and the length of the data.
pub const HEADER_LEN: usize = 4;

/// The numbers that a channel may have (RFC 8656 §12).
pub const NUMBERS: std::ops::RangeInclusive<u16> = 0x4000..=0x4fff;

/// The longest data: its length has 16 bits.
pub const MAX_DATA: usize = 65_535;

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

#[cfg(test)]
mod tests;
