//! Telling STUN from everything else that arrives on the same socket.

use super::{HEADER_LEN, MAGIC_COOKIE, fingerprint};

/// Whether `datagram` has the shape of a STUN message: the top two bits are
/// zero, the magic cookie stands in its place, and the length field is a
/// multiple of four and ends the message where the datagram ends (RFC 8489
/// §6.3). All that fails here is application data, whatever its first byte.
pub fn looks_like_stun(datagram: &[u8]) -> bool {
    let Some((header, body)) = datagram.split_first_chunk::<HEADER_LEN>() else { return false };
    let &[kind, _, len_high, len_low, c0, c1, c2, c3, ..] = header;
    let length = usize::from(u16::from_be_bytes([len_high, len_low]));
    kind & 0xc0 == 0
        && u32::from_be_bytes([c0, c1, c2, c3]) == MAGIC_COOKIE
        && length == body.len()
        && length.is_multiple_of(4)
}

/// Whether `datagram` looks like STUN and ends in a FINGERPRINT that fits:
/// what an ICE agent takes for STUN when it comes from a peer, for whom
/// RFC 8445 §7.1 makes FINGERPRINT mandatory.
pub fn is_stun_with_fingerprint(datagram: &[u8]) -> bool {
    if !looks_like_stun(datagram) {
        return false;
    }
    let Some((body, last)) = datagram.split_last_chunk::<{ fingerprint::ATTRIBUTE_LEN }>() else {
        return false;
    };
    let &[0x80, 0x28, 0, 4, v0, v1, v2, v3] = last else { return false };
    body.len() >= HEADER_LEN && u32::from_be_bytes([v0, v1, v2, v3]) == fingerprint::value(body)
}
