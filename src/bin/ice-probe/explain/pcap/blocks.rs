//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng).

use super::capture::Packet;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Packets begin with their IP header.
const LINKTYPE_RAW: u16 = 101;

const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

/// A file as it grows.
pub(super) struct Blocks {
    bytes: Vec<u8>,
    interfaces: u32,
}

impl Blocks {
    /// A file with its section, and a comment on it.
    pub(super) fn new(comment: &str) -> Self {
        let mut blocks = Blocks { bytes: Vec::new(), interfaces: 0 };
        let mut body = BYTE_ORDER.to_le_bytes().to_vec();
        // Version 1.0, and a length that is not told.
        body.extend([1, 0, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        option(&mut body, OPT_COMMENT, comment.as_bytes());
        let program = concat!("ice-probe ", env!("CARGO_PKG_VERSION"));
        option(&mut body, SHB_USERAPPL, program.as_bytes());
        blocks.block(SECTION_HEADER, body);
        blocks
    }

    /// Another interface; its number.
    pub(super) fn interface(&mut self, name: &str) -> u32 {
        let mut body = LINKTYPE_RAW.to_le_bytes().to_vec();
        // Reserved, and no limit to the length of packets.
        body.extend([0; 6]);
        option(&mut body, IF_NAME, name.as_bytes());
        // Nanoseconds.
        option(&mut body, IF_TSRESOL, &[9]);
        self.block(INTERFACE_DESCRIPTION, body);
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// A packet; the log began `start` seconds after the epoch of Unix.
    pub(super) fn packet(&mut self, interface: u32, start: f64, packet: &Packet) {
        // A log tells its start to the millisecond.
        let start = (start * 1e3).round() as u64 * 1_000_000;
        let nanos = start.saturating_add(packet.at.as_nanos());
        let (high, low) = ((nanos >> 32) as u32, nanos as u32);
        let length = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(packet.bytes.len() + 128);
        for word in [interface, high, low, length, length] {
            body.extend(word.to_le_bytes());
        }
        body.extend(&packet.bytes);
        pad(&mut body);
        option(&mut body, OPT_COMMENT, packet.comment.as_bytes());
        let direction: u32 = if packet.is_ours { 2 } else { 1 };
        option(&mut body, EPB_FLAGS, &direction.to_le_bytes());
        self.block(ENHANCED_PACKET, body);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Ends the options of `body`, and writes it as a block.
    fn block(&mut self, kind: u32, mut body: Vec<u8>) {
        body.extend([0; 4]);
        let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.bytes.append(&mut body);
        self.bytes.extend(length.to_le_bytes());
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
