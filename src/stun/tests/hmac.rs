//! Our HMAC-SHA1 against the general one.

use ::hmac::{Hmac, Mac};
use sha1::Sha1;

use super::super::hmac_sha1::{HmacSha1, bytes, equal, words};

#[test]
fn agrees_with_the_general_hmac_at_every_length() {
    let text: Vec<u8> = (0..=255).cycle().take(600).collect();
    for key_len in [0, 1, 16, 22, 63, 64, 65, 200] {
        let key = &text[..key_len];
        for len in (4..=text.len()).step_by(4) {
            let mut message = text[..len].to_vec();
            let hmac = HmacSha1::new(key).of_message(&message, 0xabcd);
            message[2..4].copy_from_slice(&[0xab, 0xcd]);
            let mut general = Hmac::<Sha1>::new_from_slice(key).unwrap();
            general.update(&message);
            let general: [u8; 20] = general.finalize().into_bytes().into();
            assert_eq!(bytes(&hmac), general, "key of {key_len}, message of {len} bytes");
            assert!(equal(&words(&general).unwrap(), &hmac));
        }
    }
}

#[test]
fn one_bit_makes_two_hmacs_unequal() {
    let hmac = HmacSha1::new(b"key").of_message(&[0; 20], 0);
    for bit in 0..160 {
        let mut other = hmac;
        other[bit / 32] ^= 1 << (bit % 32);
        assert!(!equal(&hmac, &other));
    }
}
