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
        assert_eq!(message.username(), None, "RFC 8489 §9.1.3");
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
    assert_eq!(message.username(), None, "RFC 8489 §9.1.3");
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
    assert_eq!(out.len(), HEADER_LEN + 8, "FINGERPRINT and nothing else");
    assert_eq!(Message::parse(&out).unwrap().class(), Class::Request);
    assert!(is_stun_with_fingerprint(&out));
    write_indication(ID, &mut out);
    assert_eq!(Message::parse(&out).unwrap().class(), Class::Indication);
    assert!(is_stun_with_fingerprint(&out));
}

/// The vectors pad with spaces, we with zeros: everything else is ours.
fn attribute_padded_with_spaces(kind: AttributeType, value: &[u8], out: &mut Vec<u8>) {
    attribute(kind, value, out);
    let padding = value.len().next_multiple_of(4) - value.len();
    let start = out.len() - padding;
    out[start..].fill(b' ');
}

fn id_of(vector: &[u8]) -> TransactionId {
    TransactionId(vector[8..20].try_into().unwrap())
}

#[test]
fn rfc5769_request() {
    let mut out = Vec::new();
    header(Class::Request, Method::BINDING, id_of(&REQUEST), &mut out);
    attribute(AttributeType::SOFTWARE, b"STUN test client", &mut out);
    attribute(AttributeType::PRIORITY, &0x6e00_01ff_u32.to_be_bytes(), &mut out);
    let tie_breaker = 0x932f_f9b1_5126_3b36_u64;
    attribute(AttributeType::ICE_CONTROLLED, &tie_breaker.to_be_bytes(), &mut out);
    attribute_padded_with_spaces(AttributeType::USERNAME, b"evtj:h6vY", &mut out);
    integrity(&IntegrityKey::short_term(PASSWORD), &mut out);
    fingerprint(&mut out);
    assert_eq!(out, REQUEST);
}

#[test]
fn rfc5769_responses() {
    let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    for (vector, mapped) in [(&RESPONSE_V4[..], "192.0.2.1:32853"), (&RESPONSE_V6[..], v6)] {
        let (mut out, id) = (Vec::new(), id_of(vector));
        header(Class::Success, Method::BINDING, id, &mut out);
        attribute_padded_with_spaces(AttributeType::SOFTWARE, b"test vector", &mut out);
        let mut value = [0; address::MAX_LEN];
        let len = address::write_xored(mapped.parse().unwrap(), &id, &mut value);
        attribute(AttributeType::XOR_MAPPED_ADDRESS, &value[..len], &mut out);
        integrity(&IntegrityKey::short_term(PASSWORD), &mut out);
        fingerprint(&mut out);
        assert_eq!(out, vector);
    }
}

#[test]
fn rfc5769_request_long_term() {
    let mut out = Vec::new();
    header(Class::Request, Method::BINDING, id_of(&REQUEST_LONG_TERM), &mut out);
    attribute(AttributeType::USERNAME, "マトリックス".as_bytes(), &mut out);
    attribute(AttributeType::NONCE, b"f//499k954d6OL34oL9FSTvy64sA", &mut out);
    attribute(AttributeType::REALM, b"example.org", &mut out);
    integrity(&long_term_key(), &mut out);
    assert_eq!(out, REQUEST_LONG_TERM);
}

#[test]
fn responses_with_sha256_integrity_read_back() {
    let key = IntegrityKey::short_term(PASSWORD);
    let mut out = Vec::new();
    write_success_with(ID, "192.0.2.1:1".parse().unwrap(), &key, Algorithm::Sha256, &mut out);
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.integrity_algorithm(), Some(Algorithm::Sha256));
    assert_eq!(message.verify(&key), Integrity::Valid);
    write_error_with(ID, 487, "Role Conflict", &[], Some((&key, Algorithm::Sha256)), &mut out);
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.integrity_algorithm(), Some(Algorithm::Sha256));
    assert_eq!(message.verify(&key), Integrity::Valid);
}

#[test]
fn an_error_response_is_bounded() {
    let mut out = Vec::new();
    let (reason, unknown) = ("ä".repeat(1_000), vec![0x7000; 1_000]);
    write_error(ID, 9_999, &reason, &unknown, None, &mut out);
    let message = Message::parse(&out).unwrap();
    let error = message.error().unwrap();
    assert_eq!((error.code, error.reason.len()), (699, 254));
    assert_eq!(message.unknown_attributes().count(), UnknownAttributes::MAX);
}

#[test]
fn writers_reuse_the_buffer() {
    let key = IntegrityKey::short_term(PASSWORD);
    let mut out = Vec::with_capacity(256);
    let buffer = out.as_ptr();
    write_success(ID, "[2001:db8::1]:1".parse().unwrap(), &key, &mut out);
    write_error(ID, 487, "Role Conflict", &[], Some(&key), &mut out);
    write_indication(ID, &mut out);
    assert_eq!(out.as_ptr(), buffer);
}

/// RFC 8489 §6.1: 548 bytes where the path MTU is not known.
#[test]
fn checks_and_answers_fit_the_smallest_mtu() {
    let key = IntegrityKey::short_term(PASSWORD);
    let username = format!("{}:{}", "r".repeat(256), "l".repeat(32));
    let template = CheckTemplate::new(&CheckParameters {
        username: &username,
        key: &key,
        controlling: true,
        tie_breaker: u64::MAX,
        priority: u32::MAX,
    });
    let mut out = Vec::new();
    let mapped = "[2001:db8::1]:1".parse().unwrap();
    write_success_with(ID, mapped, &key, Algorithm::Sha256, &mut out);
    assert!(out.len() < 548);
    write_error(ID, 420, "Unknown Attribute", &[0x7000; 16], Some(&key), &mut out);
    assert!(out.len() < 548);
    template.write(ID, true, Some(u32::MAX), &key, &mut out);
    assert!(out.len() < 548);
}

#[test]
fn a_username_has_fewer_than_509_bytes() {
    let key = IntegrityKey::short_term(PASSWORD);
    let new = |length| {
        let username = "u".repeat(length);
        let (tie_breaker, priority) = (7, 1);
        let key = &key;
        let parameters =
            CheckParameters { username: &username, key, controlling: true, tie_breaker, priority };
        std::panic::catch_unwind(|| CheckTemplate::new(&parameters)).is_ok()
    };
    assert!(new(508));
    assert!(!new(509));
}
