//! What the view makes of well-formed messages.

use super::vectors::*;
use super::*;

fn key() -> IntegrityKey {
    IntegrityKey::short_term(PASSWORD)
}

#[test]
fn rfc5769_request() {
    let message = Message::parse(&REQUEST).unwrap();
    assert_eq!(message.class(), Class::Request);
    assert_eq!(message.method(), Method::BINDING);
    assert_eq!(message.username(), Some("evtj:h6vY"));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.ice_controlled(), Some(0x932f_f9b1_5126_3b36));
    assert_eq!(message.ice_controlling(), None);
    assert!(!message.use_candidate());
    assert!(!message.has_unknown_required());
    assert_eq!(message.malformed_optional(), 0);
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
    assert_eq!(message.verify(&key()), Integrity::Valid);
    assert_eq!(message.verify(&IntegrityKey::short_term("another")), Integrity::Wrong);
    assert!(is_stun_with_fingerprint(&REQUEST));
}

#[test]
fn rfc5769_response_ipv4() {
    let message = Message::parse(&RESPONSE_V4).unwrap();
    assert_eq!(message.class(), Class::Success);
    assert_eq!(message.xor_mapped_address(), Some("192.0.2.1:32853".parse().unwrap()));
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
    assert_eq!(message.verify(&key()), Integrity::Valid);
}

#[test]
fn rfc5769_response_ipv6() {
    let message = Message::parse(&RESPONSE_V6).unwrap();
    let mapped = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    assert_eq!(message.xor_mapped_address(), Some(mapped));
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
    assert_eq!(message.verify(&key()), Integrity::Valid);
}

#[test]
fn rfc5769_request_long_term() {
    let message = Message::parse(&REQUEST_LONG_TERM).unwrap();
    assert_eq!(message.username(), Some("マトリックス"));
    assert_eq!(message.realm(), Some("example.org"));
    assert_eq!(message.nonce(), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert_eq!(message.fingerprint(), Fingerprint::Absent);
    assert!(!is_stun_with_fingerprint(&REQUEST_LONG_TERM));
    assert_eq!(message.verify(&long_term_key()), Integrity::Valid);
}

#[test]
fn types_and_classes_survive_the_message_type() {
    for method in 0..0x1000 {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            let kind = message_type(Method(method), class);
            assert_eq!(kind & 0xc000, 0);
            assert_eq!(split_type(kind), (Method(method), class));
        }
    }
    assert_eq!(message_type(Method::BINDING, Class::Success), 0x0101);
    assert_eq!(message_type(Method::ALLOCATE, Class::Error), 0x0113);
}

#[test]
fn mapped_addresses_are_canonical() {
    let mut value = vec![0, 2, 0x12, 0x34];
    value.extend_from_slice(&std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets());
    let bytes = Builder::request().with(AttributeType::MAPPED_ADDRESS, &value).build();
    let mapped = Message::parse(&bytes).unwrap().mapped_address();
    assert_eq!(mapped, Some("192.0.2.1:4660".parse().unwrap()));
}

#[test]
fn a_key_shows_no_secret() {
    assert_eq!(format!("{:?}", key()), "IntegrityKey(..)");
}

#[test]
fn passwords_are_prepared_by_opaque_string() {
    // RFC 8265 §4.2.2: spaces of other scripts become U+0020.
    let [ideographic, plain] = ["a\u{3000}b", "a b"].map(IntegrityKey::short_term);
    let mut out = Vec::new();
    write_success(ID, "192.0.2.1:1".parse().unwrap(), &ideographic, &mut out);
    assert_eq!(Message::parse(&out).unwrap().verify(&plain), Integrity::Valid);
}
