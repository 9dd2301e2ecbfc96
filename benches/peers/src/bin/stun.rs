//! STUN: reading and writing a connectivity check, floe and its peers.

use std::cell::RefCell;

use floe::stun::{
    CheckParameters, CheckTemplate, Fingerprint, Integrity, IntegrityKey, Message, TransactionId,
};
use floe_peers::{Contestant, compete};

/// The request of RFC 5769 §2.1.
#[rustfmt::skip]
const REQUEST: [u8; 108] = [
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73,
    0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
    0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09,
    0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14,
    0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49,
    0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
];
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const USERNAME: &str = "evtj:h6vY";
const PRIORITY: u32 = 0x6e00_01ff;
const TIE_BREAKER: u64 = 0x932f_f9b1_5126_3b36;
const ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

const ROUNDS: usize = 2_001;
const CALLS: u32 = 200;

fn main() {
    read();
    println!();
    write();
}

/// Reading: parse, verify MESSAGE-INTEGRITY, verify FINGERPRINT. Keys are
/// derived beforehand wherever the contestant has something to keep.
fn read() {
    let key = IntegrityKey::short_term(PASSWORD);
    let crypto = rtc_crypto::default_provider().expect("a provider is built in");
    let rtc = RefCell::new(rtc_stun::message::Message::new());
    let webrtc = RefCell::new(webrtc_stun::message::Message::new());
    let webrtc_key =
        webrtc_stun::integrity::MessageIntegrity::new_short_term_integrity(PASSWORD.to_owned());
    let types_key = stun_types_key();
    let stun_rs_decoder = stun_rs_decoder();

    let mut contestants = [
        Contestant::new("floe", || {
            let message = Message::parse(&REQUEST).expect("parses");
            assert_eq!(message.fingerprint(), Fingerprint::Valid);
            assert_eq!(message.verify(&key), Integrity::Valid);
        }),
        Contestant::new("rtc-stun 0.21", || {
            let message = &mut *rtc.borrow_mut();
            message.unmarshal_binary(&REQUEST).expect("parses");
            rtc_stun::fingerprint::FINGERPRINT.check(message).expect("FINGERPRINT");
            rtc_stun::integrity::MessageIntegrity::check(
                message,
                PASSWORD.as_bytes(),
                crypto.crypto(),
            )
            .expect("integrity");
        }),
        Contestant::new("stun-types 2.0", || {
            // Its parser checks FINGERPRINT.
            let message = stun_types::message::Message::from_bytes(&REQUEST).expect("parses");
            message.validate_integrity_with_key(&types_key).expect("integrity")
        }),
        Contestant::new("webrtc stun 0.17", || {
            let message = &mut *webrtc.borrow_mut();
            message.unmarshal_binary(&REQUEST).expect("parses");
            webrtc_stun::fingerprint::FINGERPRINT.check(message).expect("FINGERPRINT");
            webrtc_key.check(message).expect("integrity");
        }),
        Contestant::new("stun-rs 0.1", || stun_rs_decoder.decode(&REQUEST).expect("valid")),
        Contestant::new("is 0.12 (checks no FINGERPRINT)", || {
            let message = is::stun::StunMessage::parse(&REQUEST).expect("parses");
            assert!(message.verify(PASSWORD.as_bytes(), is_hmac));
            message
        }),
    ];
    compete(&mut contestants, ROUNDS, CALLS);
    println!("parse + verify integrity and FINGERPRINT, request of RFC 5769 §2.1");
    report(&contestants, 1, |name| !name.starts_with("is "), 2.4);
}

/// Writing: a Binding request with USERNAME, the role, PRIORITY, integrity
/// and FINGERPRINT.
fn write() {
    let key = IntegrityKey::short_term(PASSWORD);
    let template = CheckTemplate::new(&CheckParameters {
        username: USERNAME,
        key: &key,
        controlling: false,
        tie_breaker: TIE_BREAKER,
        priority: PRIORITY,
    });
    let out = RefCell::new(Vec::with_capacity(256));
    let crypto = rtc_crypto::default_provider().expect("a provider is built in");
    let types_key = stun_types_key();
    let stun_rs_key = stun_rs::HMACKey::new_short_term(PASSWORD).expect("key");
    let is_id = is::stun::TransId::new();

    let mut contestants = [
        Contestant::new("floe, from its template", || {
            template.write(TransactionId(ID), false, None, &key, &mut out.borrow_mut());
        }),
        Contestant::new("floe, fresh build (stun-rs encode, key derived)", || {
            stun_rs_request(stun_rs_key.clone())
        }),
        Contestant::new("rtc-stun 0.21", || rtc_request(crypto.crypto())),
        Contestant::new("stun-types 2.0", || stun_types_request(&types_key)),
        Contestant::new("webrtc stun 0.17", webrtc_request),
        Contestant::new("is 0.12", || {
            let message = is::stun::StunMessage::binding_request(
                USERNAME,
                is_id,
                false,
                TIE_BREAKER,
                PRIORITY,
                false,
            );
            let mut buffer = [0; 256];
            message.to_bytes(Some(PASSWORD.as_bytes()), &mut buffer, is_hmac).expect("written");
            buffer
        }),
    ];
    assert_valid("floe", &{
        template.write(TransactionId(ID), false, None, &key, &mut out.borrow_mut());
        out.borrow().clone()
    });
    assert_valid("stun-rs", &stun_rs_request(stun_rs_key.clone()));
    assert_valid("rtc-stun", &rtc_request(crypto.crypto()));
    assert_valid("stun-types", &stun_types_request(&types_key));
    assert_valid("webrtc", &webrtc_request());
    compete(&mut contestants, ROUNDS, CALLS);
    println!("write a check: USERNAME, ICE-CONTROLLED, PRIORITY, integrity, FINGERPRINT");
    report(&contestants, 2, |_| true, 2.2);
}

/// Prints the medians and how many times slower each is than the first; the
/// target is against the best of those from `peers` on that `counts`.
fn report(
    contestants: &[Contestant<'_>],
    peers: usize,
    counts: impl Fn(&str) -> bool,
    target: f64,
) {
    let ours = contestants[0].median();
    for contestant in contestants {
        let median = contestant.median();
        println!("  {:<48} {median:>8.0} ns  {:>5.2}×", contestant.name, median / ours);
    }
    let best = contestants[peers..]
        .iter()
        .filter(|contestant| counts(contestant.name))
        .min_by(|a, b| a.median().total_cmp(&b.median()))
        .expect("there are peers");
    let ratio = best.median() / ours;
    let verdict = if ratio >= target { "pass" } else { "MISS" };
    println!("  best peer: {}; {ratio:.2}×, target {target}×: {verdict}", best.name);
}

fn assert_valid(who: &str, bytes: &[u8]) {
    let message = Message::parse(bytes).unwrap_or_else(|error| panic!("{who}: {error}"));
    assert_eq!(message.username(), Some(USERNAME), "{who}");
    assert_eq!(message.priority(), Some(PRIORITY), "{who}");
    assert_eq!(message.ice_controlled(), Some(TIE_BREAKER), "{who}");
    assert_eq!(message.fingerprint(), Fingerprint::Valid, "{who}");
    assert_eq!(message.verify(&IntegrityKey::short_term(PASSWORD)), Integrity::Valid, "{who}");
}

fn is_hmac(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    use is::Sha1HmacProvider;
    is::DefaultSha1HmacProvider.sha1_hmac(key, payloads)
}

fn rtc_request(crypto: &dyn rtc_crypto::RTCCrypto) -> Vec<u8> {
    use rtc_stun::attributes::{ATTR_ICE_CONTROLLED, ATTR_PRIORITY, ATTR_USERNAME};
    use rtc_stun::message::{BINDING_REQUEST, Message, Setter, TransactionId};
    let mut message = Message::new();
    message.set_type(BINDING_REQUEST);
    message.transaction_id = TransactionId(ID);
    message.write_header();
    message.add(ATTR_USERNAME, USERNAME.as_bytes());
    message.add(ATTR_ICE_CONTROLLED, &TIE_BREAKER.to_be_bytes());
    message.add(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
    rtc_stun::integrity::MessageIntegrity::new_short_term_integrity_with_provider(
        PASSWORD.to_owned(),
        crypto,
    )
    .add_to(&mut message)
    .expect("integrity");
    rtc_stun::fingerprint::FINGERPRINT.add_to(&mut message).expect("FINGERPRINT");
    message.raw
}

fn webrtc_request() -> Vec<u8> {
    use webrtc_stun::attributes::{ATTR_ICE_CONTROLLED, ATTR_PRIORITY, ATTR_USERNAME};
    use webrtc_stun::message::{BINDING_REQUEST, Message, Setter};
    let mut message = Message::new();
    message.set_type(BINDING_REQUEST);
    message.transaction_id = webrtc_stun::agent::TransactionId(ID);
    message.write_header();
    message.add(ATTR_USERNAME, USERNAME.as_bytes());
    message.add(ATTR_ICE_CONTROLLED, &TIE_BREAKER.to_be_bytes());
    message.add(ATTR_PRIORITY, &PRIORITY.to_be_bytes());
    webrtc_stun::integrity::MessageIntegrity::new_short_term_integrity(PASSWORD.to_owned())
        .add_to(&mut message)
        .expect("integrity");
    webrtc_stun::fingerprint::FINGERPRINT.add_to(&mut message).expect("FINGERPRINT");
    message.raw
}

fn stun_types_key() -> stun_types::message::IntegrityKey {
    stun_types::message::ShortTermCredentials::new(PASSWORD.to_owned()).make_key()
}

fn stun_types_request(key: &stun_types::message::IntegrityKey) -> Vec<u8> {
    use stun_types::attribute::{AttributeType, RawAttribute, Username};
    use stun_types::message::{
        BINDING, IntegrityAlgorithm, Message, MessageClass, MessageType, MessageWriteVec,
    };
    use stun_types::prelude::*;
    let mut id = [0; 16];
    id[4..].copy_from_slice(&ID);
    let mut message = Message::builder(
        MessageType::from_class_method(MessageClass::Request, BINDING),
        u128::from_be_bytes(id).into(),
        MessageWriteVec::with_capacity(128),
    );
    let tie_breaker = TIE_BREAKER.to_be_bytes();
    let priority = PRIORITY.to_be_bytes();
    message.add_attribute(&Username::new(USERNAME).expect("USERNAME")).expect("room");
    message
        .add_attribute(&RawAttribute::new(AttributeType::new(0x8029), &tie_breaker))
        .expect("room");
    message.add_attribute(&RawAttribute::new(AttributeType::new(0x0024), &priority)).expect("room");
    message.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1).expect("integrity");
    message.add_fingerprint().expect("FINGERPRINT");
    message.finish()
}

fn stun_rs_decoder() -> stun_rs::MessageDecoder {
    let context = stun_rs::DecoderContextBuilder::default()
        .with_key(stun_rs::HMACKey::new_short_term(PASSWORD).expect("key"))
        .with_validation()
        .build();
    stun_rs::MessageDecoderBuilder::default().with_context(context).build()
}

fn stun_rs_request(key: stun_rs::HMACKey) -> Vec<u8> {
    use stun_rs::attributes::ice::{IceControlled, Priority};
    use stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, UserName};
    let message =
        stun_rs::StunMessageBuilder::new(stun_rs::methods::BINDING, stun_rs::MessageClass::Request)
            .with_transaction_id(ID.into())
            .with_attribute(UserName::new(USERNAME).expect("USERNAME"))
            .with_attribute(IceControlled::from(TIE_BREAKER))
            .with_attribute(Priority::from(PRIORITY))
            .with_attribute(MessageIntegrity::new(key))
            .with_attribute(Fingerprint::default())
            .build();
    let mut buffer = vec![0; 256];
    let size = stun_rs::MessageEncoderBuilder::default()
        .build()
        .encode(&mut buffer, &message)
        .expect("written");
    buffer.truncate(size);
    buffer
}
