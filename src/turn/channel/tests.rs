use proptest::prelude::*;

use super::*;
use crate::stun::{TransactionId, write_binding_request};

fn stun() -> Vec<u8> {
    let mut out = Vec::new();
    write_binding_request(TransactionId([7; 12]), &mut out);
    out
}

fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    [&header(number, data.len()).unwrap()[..], data].concat()
}

/// As on a stream.
fn padded(message: &[u8]) -> Vec<u8> {
    [message, &vec![0xee; padding(message.len())]].concat()
}

fn taken(splitter: &mut Splitter) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(message) = splitter.next_message().unwrap() {
        all.push(message.to_vec());
    }
    all
}

#[test]
fn a_stream_may_be_split_at_any_byte() {
    let messages = [
        stun(),
        channel_data(0x4000, b""),
        channel_data(0x4fff, b"1"),
        channel_data(0x4001, b"12"),
        channel_data(0x4001, b"123"),
        stun(),
        channel_data(0x4001, b"1234"),
        channel_data(0x7fff, &[1; 601]),
        stun(),
    ];
    let stream: Vec<u8> = messages.iter().flat_map(|message| padded(message)).collect();
    for at in 0..=stream.len() {
        let mut splitter = Splitter::new();
        let mut all = Vec::new();
        for part in [&stream[..at], &stream[at..]] {
            splitter.extend(part);
            all.extend(taken(&mut splitter));
        }
        assert_eq!(all, messages, "split at {at}");
        assert_eq!(splitter.pending(), 0);
    }
    let mut splitter = Splitter::new();
    let mut all = Vec::new();
    for byte in &stream {
        splitter.extend(&[*byte]);
        all.extend(taken(&mut splitter));
    }
    assert_eq!(all, messages, "byte by byte");
}

#[test]
fn padding_is_waited_for_before_channel_data_is_given_out() {
    let mut splitter = Splitter::new();
    splitter.extend(&channel_data(0x4000, b"1"));
    assert_eq!(splitter.next_message(), Ok(None));
    splitter.extend(&[0, 0]);
    assert_eq!(splitter.next_message(), Ok(None));
    splitter.extend(&[0]);
    assert_eq!(splitter.next_message(), Ok(Some(&channel_data(0x4000, b"1")[..])));
}

#[test]
fn the_longest_messages_pass() {
    let longest = channel_data(0x4000, &[9; MAX_DATA]);
    let mut message = vec![0; STUN_HEADER_LEN + 0xfffc];
    message[2..4].copy_from_slice(&[0xff, 0xfc]);
    let mut splitter = Splitter::new();
    splitter.extend(&[padded(&longest), message.clone()].concat());
    assert_eq!(taken(&mut splitter), [longest, message]);
    assert_eq!(header(0x4000, MAX_DATA + 1), None);
}

#[test]
fn anything_else_ends_the_stream() {
    for wrong in [&[0x80][..], &[0xff; 30], &[0, 1, 0, 3], b"\x3f\0\0\x01"] {
        let mut splitter = Splitter::new();
        splitter.extend(wrong);
        assert_eq!(splitter.next_message(), Err(NotTurn), "{wrong:?}");
        splitter.extend(&stun());
        assert_eq!(splitter.next_message(), Err(NotTurn), "it stays so");
    }
}

#[test]
fn channel_data_in_a_datagram_is_whole_and_may_be_padded() {
    let message = channel_data(0x4abc, b"12345");
    assert_eq!(parse(&message), Some((0x4abc, &b"12345"[..])));
    assert_eq!(parse(&padded(&message)), Some((0x4abc, &b"12345"[..])));
    for len in 0..message.len() {
        assert_eq!(parse(&message[..len]), None, "cut to {len}");
    }
    assert_eq!(parse(&channel_data(0x4000, b"")), Some((0x4000, &b""[..])));
    for reserved in [0x0000, 0x3fff, 0x5000, 0xffff] {
        assert_eq!(parse(&channel_data(reserved, b"x")), None, "{reserved:#x}");
    }
}

proptest! {
    #[test]
    fn any_stream_takes_bounded_memory(
        bytes in proptest::collection::vec(any::<u8>(), 0..5_000), turn: bool,
    ) {
        let mut splitter = Splitter::new();
        for (at, piece) in bytes.chunks(97).enumerate() {
            let mut piece = piece.to_vec();
            if turn && at == 0 && let Some(first) = piece.first_mut() {
                *first = 0x40;
            }
            splitter.extend(&piece);
            while let Ok(Some(_)) = splitter.next_message() {}
            if splitter.next_message().is_err() {
                break;
            }
            prop_assert!(splitter.pending() <= HEADER_LEN + MAX_DATA + 1);
            prop_assert!(splitter.buffer.len() <= 2 * (HEADER_LEN + MAX_DATA + 1 + READ));
        }
    }
}
