//! What the writers write, read back by the view.

use super::vectors::*;
use super::*;

#[test]
fn a_check_from_its_template_reads_back() {
    let key = IntegrityKey::short_term(PASSWORD);
    let template = CheckTemplate::new(&CheckParameters {
        username: "evtj:h6vY",
        key: &key,
        controlling: true,
        tie_breaker: 7,
        priority: 0x6e00_01ff,
    });
    let mut out = vec![1, 2, 3];
    for (use_candidate, nomination) in [(false, None), (true, None), (true, Some(3))] {
        template.write(ID, use_candidate, nomination, &key, &mut out);
        assert!(is_stun_with_fingerprint(&out));
        let message = Message::parse(&out).unwrap();
        assert_eq!(message.class(), Class::Request);
        assert_eq!(message.transaction_id(), ID);
        assert_eq!(message.username(), Some("evtj:h6vY"));
        assert_eq!(message.ice_controlling(), Some(7));
        assert_eq!(message.priority(), Some(0x6e00_01ff));
        assert_eq!(message.use_candidate(), use_candidate);
        assert_eq!(message.nomination(), nomination);
        assert_eq!(message.verify(&key), Integrity::Valid);
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
    }
}

#[test]
fn a_success_response_reads_back() {
    let key = IntegrityKey::short_term(PASSWORD);
    let mut out = Vec::new();
    for mapped in ["192.0.2.1:32853", "[2001:db8::1]:1"] {
        let mapped = mapped.parse().unwrap();
        write_success(ID, mapped, &key, &mut out);
        let message = Message::parse(&out).unwrap();
        assert_eq!(message.class(), Class::Success);
        assert_eq!(message.xor_mapped_address(), Some(mapped));
        assert_eq!(message.verify(&key), Integrity::Valid);
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
    }
}

#[test]
fn an_error_response_reads_back() {
    let key = IntegrityKey::short_term(PASSWORD);
    let mut out = Vec::new();
    write_error(ID, 420, "Unknown Attribute", &[0x7001, 0x7002, 3], Some(&key), &mut out);
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.class(), Class::Error);
    assert_eq!(message.error(), Some(ErrorCode { code: 420, reason: "Unknown Attribute" }));
    assert_eq!(message.verify(&key), Integrity::Valid);
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
    write_error(ID, 401, "Unauthenticated", &[], None, &mut out);
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.verify(&key), Integrity::Missing);
    assert_eq!(message.error().map(|error| error.code), Some(401));
}

#[test]
fn messages_without_credentials_read_back() {
    let mut out = Vec::new();
    write_binding_request(ID, &mut out);
    assert_eq!(Message::parse(&out).unwrap().class(), Class::Request);
    assert!(is_stun_with_fingerprint(&out));
    write_indication(ID, &mut out);
    assert_eq!(Message::parse(&out).unwrap().class(), Class::Indication);
    assert!(is_stun_with_fingerprint(&out));
}
