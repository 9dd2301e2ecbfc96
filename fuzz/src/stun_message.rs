//! The STUN view against the decoder of `stun-rs`: whatever both accept, they
//! read alike.

use floe::net::canonical;
use floe::stun::{
    Algorithm, AttributeType, Class, Fingerprint, Integrity, IntegrityKey, Message,
    is_stun_with_fingerprint, looks_like_stun,
};
use stun_rs::attributes::{discovery, ice, mobility, stun, turn};
use stun_rs::{HMACKey, MessageClass, MessageDecoder, StunMessage, get_input_text};

/// The password of the test vectors in the corpus.
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// The types that only we know.
const OURS: [AttributeType; 3] =
    [AttributeType::CONNECTION_ID, AttributeType::ALTERNATE_DOMAIN, AttributeType::NOMINATION];

/// Reads `data` with both and compares.
///
/// # Panics
/// If they disagree, or if the view breaks a promise.
pub fn run(data: &[u8]) {
    let parsed = Message::parse(data);
    assert!(parsed.is_err() || looks_like_stun(data));
    let Ok(message) = parsed else { return };
    keeps_its_promises(&message);
    if let Ok((theirs, size)) = MessageDecoder::default().decode(data) {
        assert_eq!(size, data.len());
        agree(&message, &theirs);
    }
}

/// Calls every accessor and checks what can be said without an oracle.
fn keeps_its_promises(message: &Message<'_>) {
    let key = IntegrityKey::short_term(PASSWORD);
    let has_integrity = message.integrity_algorithm().is_some();
    assert_eq!(message.verify(&key) == Integrity::Missing, !has_integrity);
    assert_eq!(
        is_stun_with_fingerprint(message.bytes()),
        message.fingerprint() == Fingerprint::Valid
    );
    assert_eq!(message.has_unknown_required(), !message.unknown_required().is_empty());
    assert!(message.attributes().count() <= message.bytes().len() / 4);
    let _ = (message.alternate_domain(), message.connection_id(), message.nomination());
    let _ = (message.password_algorithms(), message.address_error(), message.nonce());
}

fn agree(ours: &Message<'_>, theirs: &StunMessage) {
    assert_eq!(ours.transaction_id().0, *theirs.transaction_id().as_bytes());
    assert_eq!(ours.method().0, theirs.method().as_u16());
    let class = match theirs.class() {
        MessageClass::Request => Class::Request,
        MessageClass::Indication => Class::Indication,
        MessageClass::SuccessResponse => Class::Success,
        MessageClass::ErrorResponse => Class::Error,
    };
    assert_eq!(ours.class(), class);
    agree_on_unknown(ours, theirs);
    // An optional attribute that is too long for us has a value for them, and
    // if it is FINGERPRINT, they read no further.
    if ours.malformed_optional() == 0 {
        agree_on_checks(ours, theirs);
        agree_on_texts(ours, theirs);
        agree_on_addresses(ours, theirs);
        agree_on_relaying(ours, theirs);
        agree_on_proofs(ours, theirs);
    }
}

/// Their value of an attribute: type, conversion out of their enum, mapping.
macro_rules! theirs {
    ($message:expr, $kind:ty, $convert:ident, $map:expr) => {
        $message.get::<$kind>().map(|attribute| {
            let map: fn(&$kind) -> _ = $map;
            map(attribute.$convert().expect("invariant: `get` found this type"))
        })
    };
}

fn agree_on_checks(ours: &Message<'_>, theirs: &StunMessage) {
    assert_eq!(ours.priority(), theirs!(theirs, ice::Priority, as_priority, |a| *a.as_ref()));
    assert_eq!(
        ours.use_candidate(),
        theirs!(theirs, ice::UseCandidate, as_use_candidate, |_| ()).is_some()
    );
    assert_eq!(
        ours.ice_controlled(),
        theirs!(theirs, ice::IceControlled, as_ice_controlled, |a| *a.as_ref())
    );
    assert_eq!(
        ours.ice_controlling(),
        theirs!(theirs, ice::IceControlling, as_ice_controlling, |a| *a.as_ref())
    );
    assert_eq!(
        ours.error().map(|error| (error.code, error.reason.to_owned())),
        theirs!(theirs, stun::ErrorCode, as_error_code, |a| {
            let error = a.error_code();
            (error.error_code(), error.reason().to_owned())
        })
    );
}

fn agree_on_texts(ours: &Message<'_>, theirs: &StunMessage) {
    let username = theirs!(theirs, stun::UserName, as_user_name, |a| a.as_str().to_owned());
    match (ours.username(), username) {
        // They show a name as OpaqueString prepares it, we as it came.
        (Some(ours), Some(theirs)) if !ours.is_ascii() => assert!(!theirs.is_empty()),
        (ours, theirs) => assert_eq!(ours, theirs.as_deref()),
    }
    let realm = theirs!(theirs, stun::Realm, as_realm, |a| a.as_str().to_owned());
    assert_eq!(ours.realm(), realm.as_deref());
    let nonce = theirs!(theirs, stun::Nonce, as_nonce, |a| a.as_str().to_owned());
    assert_eq!(ours.nonce(), nonce.as_deref().map(str::as_bytes));
    let software = theirs!(theirs, stun::Software, as_software, |a| a.as_str().to_owned());
    assert_eq!(ours.software(), software.as_deref());
}

fn agree_on_addresses(ours: &Message<'_>, theirs: &StunMessage) {
    macro_rules! address {
        ($ours:expr, $kind:ty, $convert:ident) => {
            assert_eq!($ours, theirs!(theirs, $kind, $convert, |a| canonical(*a.socket_address())));
        };
    }
    address!(ours.xor_mapped_address(), stun::XorMappedAddress, as_xor_mapped_address);
    address!(ours.mapped_address(), stun::MappedAddress, as_mapped_address);
    address!(ours.alternate_server(), stun::AlternateServer, as_alternate_server);
    address!(ours.xor_relayed_address(), turn::XorRelayedAddress, as_xor_relayed_address);
    address!(ours.xor_peer_addresses().next(), turn::XorPeerAddress, as_xor_peer_address);
    address!(ours.other_address(), discovery::OtherAddress, as_other_address);
    address!(ours.response_origin(), discovery::ResponseOrigin, as_response_origin);
}

fn agree_on_relaying(ours: &Message<'_>, theirs: &StunMessage) {
    assert_eq!(
        ours.lifetime().map(|lifetime| lifetime.as_secs()),
        theirs!(theirs, turn::LifeTime, as_life_time, |a| u64::from(*a.as_ref()))
    );
    assert_eq!(
        ours.channel_number(),
        theirs!(theirs, turn::ChannelNumber, as_channel_number, |a| a.number())
    );
    let data = theirs!(theirs, turn::Data, as_data, |a| a.as_bytes().to_vec());
    assert_eq!(ours.data(), data.as_deref());
    let token =
        theirs!(theirs, turn::ReservationToken, as_reservation_token, |a| a.token().to_vec());
    assert_eq!(ours.reservation_token().map(Vec::from), token);
    let ticket =
        theirs!(theirs, mobility::MobilityTicket, as_mobility_ticket, |a| a.value().to_vec());
    assert_eq!(ours.mobility_ticket(), ticket.as_deref());
    let unknown = theirs!(theirs, stun::UnknownAttributes, as_unknown_attributes, |a| a
        .attributes()
        .to_vec());
    let mut listed: Vec<u16> = ours.unknown_attributes().map(|kind| kind.0).collect();
    // They keep each type once.
    let mut seen = std::collections::BTreeSet::new();
    listed.retain(|kind| seen.insert(*kind));
    assert_eq!(listed, unknown.unwrap_or_default());
}

/// The types that neither knows are the same.
fn agree_on_unknown(ours: &Message<'_>, theirs: &StunMessage) {
    let unknown = ours.unknown_required();
    for attribute in theirs.attributes() {
        let Ok(attribute) = attribute.as_unknown() else { continue };
        let kind = AttributeType(attribute.attribute_type().as_u16());
        if kind.is_comprehension_required() && !OURS.contains(&kind) {
            assert!(ours.has_unknown_required());
            assert!(unknown.contains(&kind.0) || unknown.len() == 16);
        }
    }
}

/// Integrity and FINGERPRINT are right or wrong for both.
fn agree_on_proofs(ours: &Message<'_>, theirs: &StunMessage) {
    let key = HMACKey::new_short_term(PASSWORD).expect("invariant: the password is ASCII");
    let valid = ours.verify(&IntegrityKey::short_term(PASSWORD)) == Integrity::Valid;
    let found = match ours.integrity_algorithm() {
        Some(Algorithm::Sha1) => {
            let input = get_input_text::<stun::MessageIntegrity>(ours.bytes());
            theirs.get::<stun::MessageIntegrity>().zip(input).map(|(attribute, input)| {
                let attribute = attribute.as_message_integrity();
                attribute.expect("invariant: `get` found it").validate(&input, &key)
            })
        }
        Some(Algorithm::Sha256) => {
            let input = get_input_text::<stun::MessageIntegritySha256>(ours.bytes());
            theirs.get::<stun::MessageIntegritySha256>().zip(input).map(|(attribute, input)| {
                let attribute = attribute.as_message_integrity_sha256();
                attribute.expect("invariant: `get` found it").validate(&input, &key)
            })
        }
        None => Some(false),
    };
    assert_eq!(found, Some(valid));
    let fingerprint = theirs.get::<stun::Fingerprint>().map(|attribute| {
        let input = get_input_text::<stun::Fingerprint>(ours.bytes()).unwrap_or_default();
        let attribute = attribute.as_fingerprint().expect("invariant: `get` found it");
        attribute.validate(&input)
    });
    match fingerprint {
        None => assert_eq!(ours.fingerprint(), Fingerprint::Absent),
        Some(true) => assert_eq!(ours.fingerprint(), Fingerprint::Valid),
        Some(false) => assert_eq!(ours.fingerprint(), Fingerprint::Wrong),
    }
}
