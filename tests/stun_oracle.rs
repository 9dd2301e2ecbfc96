//! Property: our STUN view and the decoder of `stun-rs` read alike whatever
//! both accept. The comparison is the body of the fuzz target; here the
//! messages are put together so that most of them are well-formed.

use floe::stun::{AttributeType, Message};
use proptest::prelude::*;

/// A message of `attributes`, its length field right.
fn message(kind: u16, id: [u8; 12], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&u16::try_from(value.len()).expect("a short value").to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend_from_slice(&u16::try_from(body.len()).expect("a short body").to_be_bytes());
    bytes.extend_from_slice(&floe::stun::MAGIC_COOKIE.to_be_bytes());
    bytes.extend_from_slice(&id);
    bytes.extend_from_slice(&body);
    bytes
}

fn address() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (any::<[u8; 6]>()).prop_map(|rest| [&[0, 1][..], &rest].concat()),
        (any::<[u8; 18]>()).prop_map(|rest| [&[0, 2][..], &rest].concat()),
    ]
}

/// An attribute that is well-formed as a rule.
fn attribute() -> impl Strategy<Value = (u16, Vec<u8>)> {
    use AttributeType as T;
    let fixed = |kinds: &[AttributeType], len: usize| {
        let kinds: Vec<u16> = kinds.iter().map(|kind| kind.0).collect();
        (prop::sample::select(kinds), prop::collection::vec(any::<u8>(), len))
    };
    let text = |kinds: &[AttributeType]| {
        let kinds: Vec<u16> = kinds.iter().map(|kind| kind.0).collect();
        (prop::sample::select(kinds), "[a-z:/ä]{1,40}".prop_map(String::into_bytes))
    };
    let addresses = [
        T::MAPPED_ADDRESS,
        T::XOR_MAPPED_ADDRESS,
        T::XOR_PEER_ADDRESS,
        T::XOR_RELAYED_ADDRESS,
        T::ALTERNATE_SERVER,
        T::OTHER_ADDRESS,
        T::RESPONSE_ORIGIN,
    ]
    .map(|kind| kind.0);
    prop_oneof![
        fixed(&[T::PRIORITY, T::LIFETIME, T::CHANNEL_NUMBER, T::CONNECTION_ID, T::NOMINATION], 4),
        fixed(&[T::ICE_CONTROLLED, T::ICE_CONTROLLING, T::RESERVATION_TOKEN], 8),
        fixed(&[T::USE_CANDIDATE, T::DONT_FRAGMENT], 0),
        fixed(&[T::MESSAGE_INTEGRITY], 20),
        fixed(&[T::MESSAGE_INTEGRITY_SHA256], 32),
        text(&[T::USERNAME, T::REALM, T::NONCE, T::SOFTWARE, T::ALTERNATE_DOMAIN]),
        (prop::sample::select(addresses.to_vec()), address()),
        (3..=6_u8, 0..=99_u8, "[ -~]{0,30}").prop_map(|(class, number, reason)| {
            (T::ERROR_CODE.0, [&[0, 0, class, number], reason.as_bytes()].concat())
        }),
        (any::<u16>(), prop::collection::vec(any::<u8>(), 0..24)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_view_agrees_with_stun_rs(
        kind in 0..0x4000_u16,
        id in any::<[u8; 12]>(),
        attributes in prop::collection::vec(attribute(), 0..8),
    ) {
        floe_fuzz::stun_message::run(&message(kind, id, &attributes));
    }

    #[test]
    fn a_damaged_message_agrees_too(
        kind in 0..0x4000_u16,
        id in any::<[u8; 12]>(),
        attributes in prop::collection::vec(attribute(), 1..6),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut bytes = message(kind, id, &attributes);
        let at = at.index(bytes.len());
        bytes[at] = value;
        floe_fuzz::stun_message::run(&bytes);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Message::parse(&bytes).is_err() || floe::stun::looks_like_stun(&bytes));
    }
}
