//! Checksums that the kernel has left to the network card.
//!
//! A virtual interface has no card, and frames leave it with unfinished UDP
//! and TCP checksums; the stack that they reach from a packet socket would
//! drop them.

const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Writes the UDP or TCP checksum of an unfragmented IPv4 or an IPv6 frame;
/// leaves any other alone.
pub(crate) fn complete(frame: &mut [u8]) {
    let Some(segment) = Segment::of(frame) else { return };
    let Some(field) =
        frame.get_mut(segment.start + segment.field..).and_then(|rest| rest.get_mut(..2))
    else {
        return;
    };
    field.fill(0);
    let bytes = &frame[segment.start..segment.end];
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let pseudo = add(&frame[segment.addresses.0..segment.addresses.1])
        + u32::from(segment.protocol)
        + (length >> 16)
        + (length & 0xffff);
    let sum = match !fold(pseudo + add(bytes)) {
        // Zero would mean that UDP goes without.
        0 if segment.protocol == UDP => u16::MAX,
        sum => sum,
    };
    let at = segment.start + segment.field;
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Where things stand in a frame.
struct Segment {
    protocol: u8,
    addresses: (usize, usize),
    start: usize,
    end: usize,
    /// The checksum's place, from the segment's start.
    field: usize,
}

impl Segment {
    fn of(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(ETHERNET..)?;
        let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
        let (protocol, addresses, header, length) = match packet.first()? >> 4 {
            // More fragments to come, or not the first one.
            4 if word(6)? & 0x3fff != 0 => return None,
            4 => {
                let header = usize::from(packet[0] & 0xf) * 4;
                (*packet.get(9)?, (12, 20), header, usize::from(word(2)?).checked_sub(header)?)
            }
            6 => (*packet.get(6)?, (8, 40), 40, usize::from(word(4)?)),
            _ => return None,
        };
        let field = match protocol {
            TCP => 16,
            UDP => 6,
            _ => return None,
        };
        packet.get(header..header + length)?;
        Some(Self {
            protocol,
            addresses: (ETHERNET + addresses.0, ETHERNET + addresses.1),
            start: ETHERNET + header,
            end: ETHERNET + header + length,
            field,
        })
    }
}

fn add(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}
