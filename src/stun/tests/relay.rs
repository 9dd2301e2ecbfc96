//! What STUN and TURN servers send beside the connectivity checks.

use std::time::Duration;

use super::*;
use crate::net::Family;

use AttributeType as T;

#[test]
fn every_accessor_reads_its_attribute() {
    let (v4, v6) = ("192.0.2.1:4660", "[2001:db8::1]:4660");
    let mut xored = [0; address::MAX_LEN];
    let len = address::write_xored(v4.parse().unwrap(), &ID, &mut xored);
    let plain = [0, 1, 0x12, 0x34, 192, 0, 2, 1];
    let mut xored_v6 = [0; address::MAX_LEN];
    address::write_xored(v6.parse().unwrap(), &ID, &mut xored_v6);
    let bytes = Builder::request()
        .with(T::REALM, b"example.org")
        .with(T::NONCE, b"\xffopaque")
        .with(T::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0])
        .with(T::SOFTWARE, b"test")
        .with(T::ALTERNATE_SERVER, &plain)
        .with(T::ALTERNATE_DOMAIN, b"example.net")
        .with(T::UNKNOWN_ATTRIBUTES, &[0x70, 1, 0x70, 2])
        .with(T::LIFETIME, &[0, 0, 2, 88])
        .with(T::XOR_RELAYED_ADDRESS, &xored[..len])
        .with(T::XOR_PEER_ADDRESS, &xored[..len])
        .with(T::XOR_PEER_ADDRESS, &xored_v6)
        .with(T::DATA, b"payload")
        .with(T::CHANNEL_NUMBER, &[0x40, 0x01, 0, 0])
        .with(T::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .with(T::RESERVATION_TOKEN, b"8 bytes!")
        .with(T::CONNECTION_ID, &[0, 0, 0, 5])
        .with(T::ADDRESS_ERROR_CODE, b"\x02\0\x04\x28no IPv6")
        .with(T::ICMP, &[0, 0, 3 << 1, 13, 0, 0, 0, 0])
        .with(T::MOBILITY_TICKET, b"ticket")
        .with(T::RESPONSE_ORIGIN, &plain)
        .with(T::OTHER_ADDRESS, &plain)
        .build();
    let message = Message::parse(&bytes).unwrap();
    let v4 = v4.parse().unwrap();
    assert_eq!(message.malformed_optional(), 0);
    assert_eq!(message.realm(), Some("example.org"));
    assert_eq!(message.nonce(), Some(&b"\xffopaque"[..]));
    assert_eq!(message.password_algorithms().map(<[u8]>::len), Some(8));
    assert_eq!(message.software(), Some("test"));
    assert_eq!(message.alternate_server(), Some(v4));
    assert_eq!(message.alternate_domain(), Some("example.net"));
    assert!(message.unknown_attributes().eq([T(0x7001), T(0x7002)]));
    assert_eq!(message.lifetime(), Some(Duration::from_secs(600)));
    assert_eq!(message.xor_relayed_address(), Some(v4));
    assert!(message.xor_relayed_addresses().eq([v4]));
    assert!(message.xor_peer_addresses().eq([v4, v6.parse().unwrap()]));
    assert_eq!(message.data(), Some(&b"payload"[..]));
    assert_eq!(message.channel_number(), Some(0x4001));
    assert_eq!(message.requested_transport(), Some(17));
    assert_eq!(message.reservation_token(), Some(*b"8 bytes!"));
    assert_eq!(message.connection_id(), Some(5));
    let error = ErrorCode { code: 440, reason: "no IPv6" };
    assert_eq!(message.address_error(), Some((Family::V6, error)));
    assert_eq!(message.icmp(), Some((3, 13)));
    assert_eq!(message.mobility_ticket(), Some(&b"ticket"[..]));
    assert_eq!(message.response_origin(), Some(v4));
    assert_eq!(message.other_address(), Some(v4));
}

#[test]
fn a_message_without_attributes_has_none() {
    let bytes = Builder::request().build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.realm(), None);
    assert_eq!(message.xor_peer_addresses().count(), 0);
    assert_eq!(message.unknown_attributes().count(), 0);
    assert_eq!(message.data(), None);
    assert_eq!(message.error(), None);
    assert_eq!(message.verify(&IntegrityKey::short_term("x")), Integrity::Missing);
    assert_eq!(message.fingerprint(), Fingerprint::Absent);
}

/// RFC 8489, appendix B.1; the length field of the sample message itself does
/// not fit it.
#[test]
fn the_userhash_of_the_sample_request_is_ours() {
    let expected = [
        0x4a, 0x3c, 0xf3, 0x8f, 0xef, 0x69, 0x92, 0xbd, 0xa9, 0x52, 0xc6, 0x78, 0x04, 0x17, 0xda,
        0x0f, 0x24, 0x81, 0x94, 0x15, 0x56, 0x9e, 0x60, 0xb2, 0x05, 0xc4, 0x6e, 0x41, 0x40, 0x7f,
        0x17, 0x04,
    ];
    let user = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";
    assert_eq!(userhash(user, "example.org"), expected);
    // A space that is not ASCII is a space once prepared (RFC 8265 §4.2.1).
    assert_eq!(userhash("a\u{a0}b", "r"), userhash("a b", "r"));
}
