use proptest::prelude::*;

use super::*;

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let parts = messages.iter().map(|m| [&head(m.len()).unwrap()[..], m].concat());
    parts.collect::<Vec<_>>().concat()
}

fn frames(deframer: &mut Deframer) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = deframer.next_frame().unwrap() {
        all.push(frame.to_vec());
    }
    all
}

#[test]
fn a_stream_may_be_split_anywhere_and_frames_may_be_empty() {
    let messages = [vec![], b"one".to_vec(), vec![], vec![0; 300], b"x".to_vec()];
    let stream = framed(&messages);
    for at in 0..=stream.len() {
        let mut deframer = Deframer::new(Framing::Rfc4571);
        let mut all = Vec::new();
        for part in [&stream[..at], &stream[at..]] {
            deframer.extend(part);
            all.extend(frames(&mut deframer));
        }
        assert_eq!(all, messages, "split at {at}");
        assert_eq!(deframer.pending(), 0);
    }
}

#[test]
fn a_long_frame_passes_only_once_the_peer_is_proven() {
    let stream = framed(&[vec![7; MAX_UNPROVEN_FRAME], vec![8; MAX_UNPROVEN_FRAME + 1]]);
    let mut deframer = Deframer::new(Framing::Rfc4571);
    deframer.extend(&stream);
    assert_eq!(deframer.next_frame().unwrap().map(<[u8]>::len), Some(MAX_UNPROVEN_FRAME));
    let oversize = FrameError::Oversize { len: 2_049, limit: 2_048 };
    assert_eq!(deframer.next_frame(), Err(oversize));
    assert_eq!(deframer.next_frame(), Err(oversize));
    deframer.prove();
    assert_eq!(deframer.next_frame().unwrap().map(<[u8]>::len), Some(2_049));
    deframer.extend(&framed(&[vec![9; MAX_FRAME]]));
    assert_eq!(deframer.next_frame().unwrap().map(<[u8]>::len), Some(MAX_FRAME));
    assert_eq!(head(MAX_FRAME + 1), None);
}

#[test]
fn stun_messages_stand_back_to_back_and_nothing_else() {
    let mut message = vec![0; 28];
    message[3] = 8;
    let stream = [message.clone(), vec![0; 20], message.clone()].concat();
    for at in 0..=stream.len() {
        let mut deframer = Deframer::new(Framing::Stun);
        deframer.extend(&stream[..at]);
        let mut all = frames(&mut deframer);
        deframer.extend(&stream[at..]);
        all.extend(frames(&mut deframer));
        assert_eq!(all, [message.clone(), vec![0; 20], message.clone()]);
    }
    for wrong in [&b"HTTP/1.1"[..], &[0x80], &[0, 1, 0, 3]] {
        let mut deframer = Deframer::new(Framing::Stun);
        deframer.extend(wrong);
        assert_eq!(deframer.next_frame(), Err(FrameError::NotStun));
    }
}

/// A STUN message without attributes.
fn stun() -> Vec<u8> {
    [&[0, 1, 0, 0], &[7; 16][..]].concat()
}

fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap();
    [&number.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
}

/// As on a stream (RFC 8656 §12.5).
fn padded(message: &[u8]) -> Vec<u8> {
    let len = message.len();
    [message, &vec![0xee; len.next_multiple_of(4) - len]].concat()
}

#[test]
fn a_stream_of_a_turn_server_may_be_split_at_any_byte() {
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
        let mut deframer = Deframer::new(Framing::Turn);
        let mut all = Vec::new();
        for part in [&stream[..at], &stream[at..]] {
            deframer.extend(part);
            all.extend(frames(&mut deframer));
        }
        assert_eq!(all, messages, "split at {at}");
        assert_eq!(deframer.pending(), 0);
    }
    let mut deframer = Deframer::new(Framing::Turn);
    let mut all = Vec::new();
    for byte in &stream {
        deframer.extend(&[*byte]);
        all.extend(frames(&mut deframer));
    }
    assert_eq!(all, messages, "byte by byte");
}

#[test]
fn padding_is_waited_for_before_channel_data_is_given_out() {
    let mut deframer = Deframer::new(Framing::Turn);
    deframer.extend(&channel_data(0x4000, b"1"));
    assert_eq!(deframer.next_frame(), Ok(None));
    deframer.extend(&[0, 0]);
    assert_eq!(deframer.next_frame(), Ok(None));
    deframer.extend(&[0]);
    assert_eq!(deframer.next_frame(), Ok(Some(&channel_data(0x4000, b"1")[..])));
}

#[test]
fn the_longest_messages_of_a_turn_server_pass() {
    let longest = channel_data(0x4000, &[9; 65_535]);
    let mut message = vec![0; 20 + 0xfffc];
    message[2..4].copy_from_slice(&[0xff, 0xfc]);
    let mut deframer = Deframer::new(Framing::Turn);
    deframer.extend(&[padded(&longest), message.clone()].concat());
    assert_eq!(frames(&mut deframer), [longest, message]);
}

#[test]
fn anything_else_ends_the_stream_of_a_turn_server() {
    for wrong in [&[0x80][..], &[0xff; 30], &[0, 1, 0, 3], b"\x3f\0\0\x01"] {
        let mut deframer = Deframer::new(Framing::Turn);
        deframer.extend(wrong);
        assert_eq!(deframer.next_frame(), Err(FrameError::NotStun), "{wrong:?}");
        deframer.extend(&stun());
        assert_eq!(deframer.next_frame(), Err(FrameError::NotStun), "it stays so");
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..20),
        pieces in proptest::collection::vec(1usize..400, 1..40),
    ) {
        let stream = framed(&messages);
        let mut deframer = Deframer::new(Framing::Rfc4571);
        let (mut all, mut at) = (Vec::new(), 0);
        for piece in pieces.iter().cycle().take(stream.len() + 1) {
            let next = (at + piece).min(stream.len());
            deframer.extend(&stream[at..next]);
            at = next;
            all.extend(frames(&mut deframer));
        }
        prop_assert_eq!(all, messages);
    }

    #[test]
    fn any_stream_takes_bounded_memory(
        bytes in proptest::collection::vec(any::<u8>(), 0..5_000), stun: bool,
    ) {
        let mut deframer = Deframer::new(if stun { Framing::Stun } else { Framing::Rfc4571 });
        for piece in bytes.chunks(97) {
            deframer.extend(piece);
            while let Ok(Some(_)) = deframer.next_frame() {}
            if deframer.next_frame().is_err() {
                break;
            }
            prop_assert!(deframer.pending() <= MAX_UNPROVEN_FRAME + 20);
            prop_assert!(deframer.buffer.len() <= READ * 3);
        }
    }

    #[test]
    fn any_stream_of_a_turn_server_takes_bounded_memory(
        bytes in proptest::collection::vec(any::<u8>(), 0..5_000), data: bool,
    ) {
        const LONGEST: usize = MAX_FRAME + 20;
        let mut deframer = Deframer::new(Framing::Turn);
        for (at, piece) in bytes.chunks(97).enumerate() {
            let mut piece = piece.to_vec();
            if data && at == 0 && let Some(first) = piece.first_mut() {
                *first = 0x40;
            }
            deframer.extend(&piece);
            while let Ok(Some(_)) = deframer.next_frame() {}
            if deframer.next_frame().is_err() {
                break;
            }
            prop_assert!(deframer.pending() <= LONGEST);
            prop_assert!(deframer.buffer.len() <= 2 * (LONGEST + READ));
        }
    }
}
