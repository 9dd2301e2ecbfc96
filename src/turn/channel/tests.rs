use super::*;

fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    [&header(number, data.len()).unwrap()[..], data].concat()
}

/// As on a stream.
fn padded(message: &[u8]) -> Vec<u8> {
    [message, &vec![0xee; padding(message.len())]].concat()
}

#[test]
fn a_header_says_what_it_can() {
    assert_eq!(header(0x4000, MAX_DATA), Some([0x40, 0, 0xff, 0xff]));
    assert_eq!(header(0x4000, MAX_DATA + 1), None);
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
