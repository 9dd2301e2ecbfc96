//! IP, UDP and TCP around a payload.

use std::net::{IpAddr, SocketAddr};

const UDP: u8 = 17;
const TCP: u8 = 6;
const HOPS: u8 = 64;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

/// A TCP segment without its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
}

/// A UDP datagram; `None` where the ends are of different families, or the
/// payload is too long for one.
pub(super) fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len() + 8).ok()?;
    let mut datagram = Vec::with_capacity(payload.len() + 48);
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(payload);
    ip(from.ip(), to.ip(), UDP, datagram, 6)
}

/// A TCP segment, likewise.
pub(super) fn tcp(
    from: SocketAddr,
    to: SocketAddr,
    segment: Segment,
    payload: &[u8],
) -> Option<Vec<u8>> {
    /// Five words of header.
    const OFFSET: u8 = 5 << 4;
    let mut bytes = Vec::with_capacity(payload.len() + 60);
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(segment.seq.to_be_bytes());
    bytes.extend(segment.ack.to_be_bytes());
    bytes.extend([OFFSET, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    ip(from.ip(), to.ip(), TCP, bytes, 16)
}

/// `payload`, whose checksum stands at `checksum_at`, in an IP packet.
fn ip(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    mut payload: Vec<u8>,
    checksum_at: usize,
) -> Option<Vec<u8>> {
    let (from, to) = (from.to_canonical(), to.to_canonical());
    let length = u16::try_from(payload.len()).ok()?;
    let mut pseudo = addresses(from, to)?;
    pseudo.extend(u32::from(length).to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    let sum = checksum(&[&pseudo, &payload]);
    // 0 would say that UDP has none (RFC 768).
    let sum = if sum == 0 && protocol == UDP { 0xffff } else { sum };
    payload.get_mut(checksum_at..checksum_at + 2)?.copy_from_slice(&sum.to_be_bytes());
    let mut packet = match from {
        IpAddr::V4(_) => {
            let total = length.checked_add(20)?.to_be_bytes();
            let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, HOPS, protocol, 0, 0];
            header.extend(addresses(from, to)?);
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        IpAddr::V6(_) => {
            let [high, low] = length.to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, high, low, protocol, HOPS];
            header.extend(addresses(from, to)?);
            header
        }
    };
    packet.append(&mut payload);
    Some(packet)
}

fn addresses(from: IpAddr, to: IpAddr) -> Option<Vec<u8>> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some([from.octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some([from.octets(), to.octets()].concat()),
        _ => None,
    }
}

/// RFC 1071, over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 = words
        .map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_a_book_has_its_checksum() {
        let mut header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        assert_eq!(checksum(&[&header]), 0xb861);
        header[10..12].copy_from_slice(&0xb861_u16.to_be_bytes());
        assert_eq!(checksum(&[&header]), 0);
    }

    #[test]
    fn packets_sum_up_to_nothing_over_their_pseudo_header() {
        for (from, to) in [("10.0.0.1:5", "10.0.0.2:6"), ("[2001:db8::1]:5", "[2001:db8::2]:6")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let header = if from.is_ipv4() { 20 } else { 40 };
            let segment = Segment { seq: 1, ack: 2, flags: ACK };
            for (packet, protocol) in [
                (udp(from, to, b"odd").unwrap(), UDP),
                (tcp(from, to, segment, b"odd").unwrap(), TCP),
            ] {
                let payload = &packet[header..];
                let mut pseudo = addresses(from.ip(), to.ip()).unwrap();
                pseudo.extend((payload.len() as u32).to_be_bytes());
                pseudo.extend([0, 0, 0, protocol]);
                assert_eq!(checksum(&[&pseudo, payload]), 0);
            }
        }
        let (v4, v6) = ("10.0.0.1:5".parse().unwrap(), "[::1]:5".parse().unwrap());
        assert_eq!(udp(v4, v6, b""), None);
        assert_eq!(udp(v4, v4, &[0; 65_530]), None);
    }
}
