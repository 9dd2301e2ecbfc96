//! What is refused, skipped, ignored and collected.

use super::vectors::REQUEST;
use super::*;

use AttributeType as T;

#[test]
fn every_truncation_is_refused() {
    for len in 0..HEADER_LEN {
        assert_eq!(Message::parse(&REQUEST[..len]).unwrap_err(), ParseError::Truncated(len));
    }
    for len in HEADER_LEN..REQUEST.len() {
        let actual = len - HEADER_LEN;
        let error = Message::parse(&REQUEST[..len]).unwrap_err();
        assert_eq!(error, ParseError::Length { field: 88, actual });
    }
}

#[test]
fn every_truncation_with_its_length_field_right_is_refused_or_read() {
    for len in HEADER_LEN..REQUEST.len() {
        let mut bytes = REQUEST[..len].to_vec();
        let length = u16::try_from(len - HEADER_LEN).unwrap();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let ends_an_attribute = [20, 40, 48, 60, 76, 100].contains(&len);
        assert_eq!(Message::parse(&bytes).is_ok(), ends_an_attribute, "{len} bytes");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for more in [1, 2, 3, 4, 8, 100] {
        let mut bytes = REQUEST.to_vec();
        bytes.resize(REQUEST.len() + more, 0);
        let error = Message::parse(&bytes).unwrap_err();
        assert_eq!(error, ParseError::Length { field: 88, actual: 88 + more });
    }
}

#[test]
fn top_bits_cookie_and_odd_length_are_refused() {
    let mut bytes = REQUEST;
    bytes[0] = 0x80;
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::NotStun(0x80));
    let mut bytes = REQUEST;
    bytes[7] = 0x43;
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Cookie(0x2112_a443));
    let mut bytes = REQUEST[..HEADER_LEN + 2].to_vec();
    bytes[2..4].copy_from_slice(&[0, 2]);
    let error = Message::parse(&bytes).unwrap_err();
    assert_eq!(error, ParseError::Length { field: 2, actual: 2 });
}

#[test]
fn an_attribute_beyond_the_end_is_refused() {
    for len in [5_u8, 8, 255] {
        let mut bytes = Builder::request().with(T::PRIORITY, &[0; 4]).build();
        bytes[HEADER_LEN + 3] = len;
        let error = Message::parse(&bytes).unwrap_err();
        assert_eq!(error, ParseError::Overrun { kind: 0x0024, at: 20 });
    }
}

/// Each known required type with values that its form does not allow.
#[test]
fn malformed_required_attributes_are_refused() {
    let long = [b'x'; 764];
    let cases: &[(AttributeType, &[&[u8]])] = &[
        (T::MAPPED_ADDRESS, &[&[], &[0, 1, 0, 1], &[0, 3, 0, 1, 1, 2, 3, 4], &[0; 8]]),
        (T::USERNAME, &[&[0xff], &long]),
        (T::MESSAGE_INTEGRITY, &[&[], &[0; 19], &[0; 32]]),
        (T::ERROR_CODE, &[&[], &[0, 0, 4], &[0, 0, 2, 0], &[0, 0, 7, 0], &[0, 0, 4, 100]]),
        (T::UNKNOWN_ATTRIBUTES, &[&[0], &[0; 3]]),
        (T::CHANNEL_NUMBER, &[&[], &[0; 2], &[0; 8]]),
        (T::LIFETIME, &[&[], &[0; 8]]),
        (T::XOR_PEER_ADDRESS, &[&[], &[0, 2, 0, 1, 1, 2, 3, 4]]),
        (T::REALM, &[&[0xc3], &long]),
        (T::NONCE, &[&long]),
        (T::XOR_RELAYED_ADDRESS, &[&[0, 1, 0, 1, 1, 2, 3, 4, 5]]),
        (T::REQUESTED_ADDRESS_FAMILY, &[&[1]]),
        (T::EVEN_PORT, &[&[], &[0; 4]]),
        (T::REQUESTED_TRANSPORT, &[&[17]]),
        (T::DONT_FRAGMENT, &[&[0]]),
        (T::MESSAGE_INTEGRITY_SHA256, &[&[], &[0; 12], &[0; 18], &[0; 36]]),
        (T::PASSWORD_ALGORITHM, &[&[], &[0; 3]]),
        (T::USERHASH, &[&[0; 31]]),
        (T::XOR_MAPPED_ADDRESS, &[&[], &[0, 1, 0, 1], &[0, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]]),
        (T::RESERVATION_TOKEN, &[&[0; 7]]),
        (T::PRIORITY, &[&[], &[0; 3], &[0; 8]]),
        (T::USE_CANDIDATE, &[&[0], &[0; 4]]),
        (T::CONNECTION_ID, &[&[0; 3]]),
    ];
    for (kind, values) in cases {
        assert!(kind.is_comprehension_required());
        for value in *values {
            let bytes = Builder::request().with(T::SOFTWARE, b"four").with(*kind, value).build();
            let error = Message::parse(&bytes).unwrap_err();
            assert_eq!(error, ParseError::Malformed { kind: kind.0, at: 28 }, "{value:?}");
        }
    }
}

#[test]
fn malformed_optional_attributes_are_skipped_and_counted() {
    let bytes = Builder::request()
        .with(T::SOFTWARE, &[0xff])
        .with(T::ICE_CONTROLLED, &[1, 2, 3])
        .with(T::ICE_CONTROLLING, &[0; 12])
        .with(T::ALTERNATE_SERVER, &[0, 9, 0, 0])
        .with(T::OTHER_ADDRESS, &[])
        .with(T::NOMINATION, &[1])
        .with(T::ICMP, &[1])
        .with(T::FINGERPRINT, &[1, 2])
        .with(T::ADDRESS_ERROR_CODE, &[1, 0, 9, 9])
        .with(T::PRIORITY, &[0, 0, 0, 9])
        .build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.malformed_optional(), 9);
    assert_eq!(message.software(), None);
    assert_eq!(message.ice_controlled(), None);
    assert_eq!(message.ice_controlling(), None);
    assert_eq!(message.alternate_server(), None);
    assert_eq!(message.other_address(), None);
    assert_eq!(message.nomination(), None);
    assert_eq!(message.icmp(), None);
    assert_eq!(message.address_error(), None);
    assert_eq!(message.fingerprint(), Fingerprint::Absent);
    assert_eq!(message.priority(), Some(9));
}

#[test]
fn unknown_required_attributes_are_collected_once_each() {
    let mut builder = Builder::request().with(T(0x7001), b"?").with(T(0x7000), b"");
    builder = builder.with(T(0x7001), b"again").with(T(0xfff0), b"optional");
    let bytes = builder.build();
    let message = Message::parse(&bytes).unwrap();
    assert!(message.has_unknown_required());
    assert_eq!(*message.unknown_required(), [0x7001, 0x7000]);
    assert_eq!(message.malformed_optional(), 0);
}

#[test]
fn the_list_of_unknown_attributes_is_bounded() {
    let mut builder = Builder::request();
    for kind in 0x7000..0x7100 {
        builder = builder.with(T(kind), b"");
    }
    let bytes = builder.build();
    let unknown = Message::parse(&bytes).unwrap().unknown_required();
    assert_eq!(unknown.len(), UnknownAttributes::MAX);
    assert_eq!(unknown[0], 0x7000);
}

#[test]
fn attributes_after_integrity_are_ignored_unread() {
    let key = IntegrityKey::short_term("password");
    let bytes = Builder::request()
        .with(T::SOFTWARE, b"early")
        .with_integrity(&key)
        .with(T::USERNAME, b"late")
        .with(T::PRIORITY, &[1])
        .with(T::ICE_CONTROLLED, &[1])
        .with(T::MESSAGE_INTEGRITY, &[0; 3])
        .with(T(0x7fff), &[])
        .with_fingerprint()
        .build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.software(), Some("early"));
    assert_eq!(message.username(), None);
    assert_eq!(message.priority(), None);
    assert_eq!(message.malformed_optional(), 0);
    assert!(!message.has_unknown_required());
    assert!(message.unknown_required().is_empty());
    assert_eq!(message.attributes().count(), 1);
    assert_eq!(message.verify(&key), Integrity::Valid);
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
}

#[test]
fn sha256_integrity_is_read_behind_sha1_integrity_and_counts() {
    let (key, other) = (IntegrityKey::short_term("one"), IntegrityKey::short_term("two"));
    let mut builder = Builder::request().with(T::PRIORITY, &[0; 4]).with_integrity(&other);
    integrity_with(&key, Algorithm::Sha256, &mut builder.0);
    let bytes = builder.with(T::PRIORITY, &[1]).with_fingerprint().build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.integrity_algorithm(), Some(Algorithm::Sha256));
    assert_eq!(message.verify(&key), Integrity::Valid);
    assert_eq!(message.verify(&other), Integrity::Wrong);
}

#[test]
fn sha1_integrity_behind_sha256_integrity_is_ignored() {
    let (key, other) = (IntegrityKey::short_term("one"), IntegrityKey::short_term("two"));
    let mut builder = Builder::request();
    integrity_with(&key, Algorithm::Sha256, &mut builder.0);
    let bytes = builder.with_integrity(&other).with(T::USERNAME, b"late").build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.verify(&key), Integrity::Valid);
    assert_eq!(message.verify(&other), Integrity::Wrong);
    assert_eq!(message.username(), None);
}

#[test]
fn truncated_sha256_integrity_is_compared_as_far_as_it_goes() {
    let key = IntegrityKey::short_term("one");
    for len in [16, 20, 24, 28, 32] {
        let mut bytes = Builder::request().with(T::USERNAME, b"a:b").build();
        let length = u16::try_from(bytes.len() - HEADER_LEN + 4 + len).unwrap();
        let hmac = key.sha256(&bytes, length);
        attribute(T::MESSAGE_INTEGRITY_SHA256, &hmac[..len], &mut bytes);
        bytes = Builder(bytes).build();
        assert_eq!(Message::parse(&bytes).unwrap().verify(&key), Integrity::Valid, "{len}");
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(Message::parse(&bytes).unwrap().verify(&key), Integrity::Wrong, "{len}");
    }
}

#[test]
fn nothing_may_follow_fingerprint() {
    for kind in [T::SOFTWARE, T::FINGERPRINT, T::MESSAGE_INTEGRITY, T(0xfff0)] {
        let bytes = Builder::request().with_fingerprint().with(kind, &[0; 20]).build();
        assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::AfterFingerprint(28));
    }
}

#[test]
fn of_repeated_attributes_the_first_counts() {
    let bytes = Builder::request()
        .with(T::USERNAME, b"first")
        .with(T::USERNAME, b"second")
        .with(T::PRIORITY, &[0, 0, 0, 1])
        .with(T::PRIORITY, &[0, 0, 0, 2])
        .build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Some("first"));
    assert_eq!(message.priority(), Some(1));
}

#[test]
fn padding_may_have_any_value() {
    for padding in [0x00, 0x20, 0xff] {
        let mut bytes = Builder::request().with(T::USERNAME, b"five!").build();
        for byte in &mut bytes[HEADER_LEN + 4 + 5..] {
            *byte = padding;
        }
        assert_eq!(Message::parse(&bytes).unwrap().username(), Some("five!"));
    }
}

#[test]
fn texts_of_763_bytes_are_read() {
    let text = [b'x'; 763];
    for kind in [T::USERNAME, T::REALM, T::NONCE, T::SOFTWARE] {
        let bytes = Builder::request().with(kind, &text).build();
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.malformed_optional(), 0);
        assert_eq!(message.attributes().next(), Some((kind, &text[..])));
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let bytes = Builder::request()
        .with(T::MAPPED_ADDRESS, &[0xff, 1, 0x12, 0x34, 192, 0, 2, 1])
        .with(T::ERROR_CODE, &[0xff, 0xff, 0xf8 | 4, 1])
        .build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.mapped_address(), Some("192.0.2.1:4660".parse().unwrap()));
    assert_eq!(message.error().map(|error| error.code), Some(401));
}

#[test]
fn a_reason_that_stops_being_utf8_is_cut() {
    let bytes = Builder::request().with(T::ERROR_CODE, b"\0\0\x04\x01no\xffpe").build();
    let error = Message::parse(&bytes).unwrap().error();
    assert_eq!(error, Some(ErrorCode { code: 401, reason: "no" }));
}

#[test]
fn the_largest_message_is_read() {
    let bytes =
        Builder::request().with(T::DATA, &vec![7; 65_520]).with(T::PRIORITY, &[0; 4]).build();
    assert_eq!(bytes.len(), HEADER_LEN + 65_532);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.data().map(<[u8]>::len), Some(65_520));
    assert_eq!(message.priority(), Some(0));
    assert_eq!(message.attributes().count(), 2);
}

#[test]
fn wrong_integrity_and_wrong_fingerprint_are_told() {
    let key = IntegrityKey::short_term(vectors::PASSWORD);
    for at in (4..REQUEST.len()).filter(|at| !(4..8).contains(at)) {
        let mut bytes = REQUEST;
        bytes[at] ^= 0x01;
        let Ok(message) = Message::parse(&bytes) else { continue };
        assert_ne!(message.fingerprint(), Fingerprint::Valid, "byte {at}");
        // MESSAGE-INTEGRITY covers what is before it, and itself.
        if at < 100 {
            assert_ne!(message.verify(&key), Integrity::Valid, "byte {at}");
        }
    }
}
