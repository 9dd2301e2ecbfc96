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
    assert_eq!(message.fingerprint(), Fingerprint::Absent);
    assert!(!is_stun_with_fingerprint(&REQUEST_LONG_TERM));
}
