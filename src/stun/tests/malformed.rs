//! What is refused, skipped and ignored.

use super::*;

#[test]
fn attributes_after_integrity_are_ignored_unread() {
    let key = IntegrityKey::short_term("password");
    let bytes = Builder::request()
        .with(AttributeType::PRIORITY, &[0, 0, 0, 1])
        .with_integrity(&key)
        .with(AttributeType::USERNAME, b"late")
        .with(AttributeType::ICE_CONTROLLED, &[1])
        .with(AttributeType(0x7fff), &[])
        .with_fingerprint()
        .build();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), None);
    assert_eq!(message.malformed_optional(), 0);
    assert!(!message.has_unknown_required());
    assert_eq!(message.verify(&key), Integrity::Valid);
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
}
