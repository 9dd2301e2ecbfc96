//! A TURN server's stream in any pieces through [`Splitter`], beside a parser
//! that does it the plain way: both give the same messages, or end at the same
//! place.

use arbitrary::Unstructured;
use floe::turn::channel::{Splitter, header};

/// Bytes of a stream.
const MAX_STREAM: usize = 200_000;

/// The next message at the front of `read`, which it is taken from; an error
/// where the stream cannot go on.
fn plain(read: &mut Vec<u8>) -> Result<Option<Vec<u8>>, ()> {
    if read.first().is_some_and(|first| *first >= 128) {
        return Err(());
    }
    if read.len() < 4 {
        return Ok(None);
    }
    let is_stun = read[0] < 64;
    let len = usize::from(read[2]) * 256 + usize::from(read[3]);
    if is_stun && len % 4 != 0 {
        return Err(());
    }
    let len = len + if is_stun { 20 } else { 4 };
    let padded = len.div_ceil(4) * 4;
    if read.len() < padded {
        return Ok(None);
    }
    let rest = read.split_off(padded);
    let mut message = std::mem::replace(read, rest);
    message.truncate(len);
    Ok(Some(message))
}

/// Reads one stream as `data` wants it.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let framed = input.arbitrary::<u8>().unwrap_or_default() & 1 == 1;
    let (mut splitter, mut read, mut total) = (Splitter::new(), Vec::new(), 0);
    while let Some(bytes) = next_piece(&mut input, framed) {
        total += bytes.len();
        if total > MAX_STREAM {
            return;
        }
        splitter.extend(&bytes);
        read.extend(bytes);
        loop {
            let found = splitter.next_message().map(|message| message.map(<[u8]>::to_vec));
            match (found, plain(&mut read)) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, expected);
                    if found.is_none() {
                        break;
                    }
                }
                (Err(_), Err(())) => {
                    // It stays so, whatever follows.
                    splitter.extend(&[0; 20]);
                    assert!(splitter.next_message().is_err());
                    return;
                }
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
        assert_eq!(splitter.pending(), read.len());
    }
}

/// The next bytes of the stream: as they stand, or as a message of that length.
fn next_piece(input: &mut Unstructured<'_>, framed: bool) -> Option<Vec<u8>> {
    if input.is_empty() {
        return None;
    }
    let len = usize::from(input.arbitrary::<u8>().ok()?);
    if framed && len > 200 {
        // Long, and cheap to write down.
        let len = (len - 200) * 1_191;
        let header = header(0x4000, len).unwrap_or([0xff; 4]);
        return Some([&header[..], &vec![7; len.next_multiple_of(4)]].concat());
    }
    let bytes = input.bytes(len.min(input.len())).ok()?;
    if !framed {
        return Some(bytes.to_vec());
    }
    match len % 2 {
        0 => Some([&header(0x4000 | len as u16, bytes.len())?[..], bytes].concat()),
        _ => Some([&[0, 1, 0, bytes.len() as u8 & !3][..], &[0x21; 16], bytes].concat()),
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
            data.iter_mut().skip(1).for_each(|byte| *byte %= 72);
        }
        run(&data);
    }
}
