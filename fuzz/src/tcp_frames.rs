//! A stream in any pieces through [`Deframer`], beside a parser that does it
//! the plain way: both give the same messages, or end at the same place.

use arbitrary::Unstructured;
use floe::tcp::{Deframer, Framing, MAX_FRAME, MAX_UNPROVEN_FRAME, head};
use floe::turn::channel::header;

/// Bytes of a stream.
const MAX_STREAM: usize = 200_000;

/// All that was read, and the messages from its front.
struct Plain {
    framing: Framing,
    limit: usize,
    read: Vec<u8>,
}

impl Plain {
    /// The next message; an error where the stream cannot go on.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let (skipped, len, padding) = match self.framing {
            Framing::Rfc4571 if self.read.len() < 2 => return Ok(None),
            Framing::Rfc4571 => (2, usize::from(self.read[0]) * 256 + usize::from(self.read[1]), 0),
            Framing::Stun | Framing::Turn if self.read.is_empty() => return Ok(None),
            Framing::Turn if (64..128).contains(&self.read[0]) => match self.read.get(2..4) {
                None => return Ok(None),
                Some(len) => {
                    let len = 4 + usize::from(len[0]) * 256 + usize::from(len[1]);
                    (0, len, (4 - len % 4) % 4)
                }
            },
            Framing::Stun | Framing::Turn if self.read[0] >= 64 => return Err(()),
            Framing::Stun | Framing::Turn if self.read.len() < 4 => return Ok(None),
            Framing::Stun | Framing::Turn if !self.read[3].is_multiple_of(4) => return Err(()),
            Framing::Stun | Framing::Turn => {
                (0, 20 + usize::from(self.read[2]) * 256 + usize::from(self.read[3]), 0)
            }
        };
        if len > self.limit {
            return Err(());
        }
        if self.read.len() < skipped + len + padding {
            return Ok(None);
        }
        let rest = self.read.split_off(skipped + len + padding);
        let mut message = std::mem::replace(&mut self.read, rest);
        message.truncate(skipped + len);
        message.drain(..skipped);
        Ok(Some(message))
    }
}

/// Reads one stream as `data` wants it.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let choice: u8 = input.arbitrary().unwrap_or_default();
    let framing = match (choice & 1, choice & 0x40) {
        (0, _) => Framing::Rfc4571,
        (_, 0) => Framing::Stun,
        _ => Framing::Turn,
    };
    // In which of the pieces the peer proves itself.
    let proven_at = usize::from(choice >> 1 & 7);
    let mut deframer = Deframer::new(framing);
    let limit = if framing == Framing::Turn { MAX_FRAME + 20 } else { MAX_UNPROVEN_FRAME };
    let mut plain = Plain { framing, limit, read: Vec::new() };
    let mut total = 0;
    for piece in 0.. {
        if piece == proven_at {
            deframer.prove();
            plain.limit = plain.limit.max(MAX_FRAME);
        }
        let framed = (choice & 0x80 != 0).then_some(framing);
        let Some(bytes) = next_piece(&mut input, framed) else { return };
        total += bytes.len();
        if total > MAX_STREAM {
            return;
        }
        deframer.extend(&bytes);
        plain.read.extend(bytes);
        loop {
            let expected = plain.next();
            let found = deframer.next_frame().map(|frame| frame.map(<[u8]>::to_vec));
            match (found, expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, expected);
                    if found.is_none() {
                        break;
                    }
                }
                (Err(_), Err(())) => {
                    // It stays so, whatever follows.
                    deframer.extend(b"\0\0\0\0");
                    assert!(deframer.next_frame().is_err());
                    return;
                }
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
        assert_eq!(deframer.pending(), plain.read.len());
    }
}

/// The next bytes of the stream: as they stand, or as a message of that length.
fn next_piece(input: &mut Unstructured<'_>, framed: Option<Framing>) -> Option<Vec<u8>> {
    if input.is_empty() {
        return None;
    }
    let len = usize::from(input.arbitrary::<u8>().ok()?);
    // Long, and cheap to write down.
    let long = |each: usize| (len - 200) * each;
    match framed {
        Some(Framing::Turn) if len > 200 => {
            let len = long(1_191);
            let header = header(0x4000, len).unwrap_or([0xff; 4]);
            return Some([&header[..], &vec![7; len.next_multiple_of(4)]].concat());
        }
        Some(_) if len > 200 => {
            let head = head(long(1_300)).unwrap_or([0xff; 2]);
            return Some([&head[..], &vec![7; long(1_300)]].concat());
        }
        _ => {}
    }
    let bytes = input.bytes(len.min(input.len())).ok()?;
    match (framed, len % 2) {
        (None, _) => Some(bytes.to_vec()),
        (Some(Framing::Turn), 0) => {
            Some([&header(0x4000 | len as u16, bytes.len())?[..], bytes].concat())
        }
        (Some(Framing::Turn), _) => {
            Some([&[0, 1, 0, bytes.len() as u8 & !3][..], &[0x21; 16], bytes].concat())
        }
        (Some(_), _) => Some([&head(bytes.len())?[..], bytes].concat()),
    }
}

/// Streams drawn at random, so that the test has some even without a corpus.
#[test]
fn streams_of_all_kinds_are_read_alike() {
    for seed in 0..3_000 {
        let mut rng = floe::rng::Rng::new(&floe::rng::Seed::from_number(seed));
        let len = rng.number() as usize % 600;
        let mut data: Vec<u8> = (0..=len / 8).flat_map(|_| rng.bytes::<8>()).collect();
        if seed % 3 == 0 {
            // Short lengths, so that there are whole messages.
            data.iter_mut().skip(1).for_each(|byte| *byte %= 6);
        }
        run(&data);
    }
}
