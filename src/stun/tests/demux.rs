//! Telling STUN from application data.

use super::vectors::*;
use super::*;

#[test]
fn every_first_byte_and_length_zero() {
    assert!(!looks_like_stun(&[]));
    assert!(!is_stun_with_fingerprint(&[]));
    for first in 0..=255u8 {
        for len in [1, 4, 19, 20, 21, 24, 100, 1200] {
            let payload = vec![first; len];
            assert!(!looks_like_stun(&payload), "{len} bytes of {first:#04x}");
            assert!(!is_stun_with_fingerprint(&payload), "{len} bytes of {first:#04x}");
        }
        let mut message = REQUEST;
        message[0] = first;
        assert_eq!(looks_like_stun(&message), first < 0x40);
        // The first byte is covered by FINGERPRINT.
        assert_eq!(is_stun_with_fingerprint(&message), first == REQUEST[0]);
    }
}

#[test]
fn a_changed_byte_anywhere_is_not_stun_from_a_peer() {
    for at in 0..REQUEST.len() {
        let mut message = REQUEST;
        message[at] ^= 0x10;
        assert!(!is_stun_with_fingerprint(&message), "byte {at}");
    }
}

#[test]
fn length_field_and_datagram_agree() {
    assert!(!looks_like_stun(&REQUEST[..REQUEST.len() - 4]));
    let mut longer = REQUEST.to_vec();
    longer.extend_from_slice(&[0; 4]);
    assert!(!looks_like_stun(&longer));
}
