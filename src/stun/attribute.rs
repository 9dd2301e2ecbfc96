//! Attribute types, and which values of them are well-formed.

use super::{TransactionId, address};

/// The type of an attribute (RFC 8489 §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeType(pub u16);

impl AttributeType {
    /// Whether a receiver that does not know the type has to refuse the
    /// message: 0x0000 to 0x7FFF (RFC 8489 §14).
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl AttributeType {
            $($(#[$doc])* pub const $name: AttributeType = AttributeType($value);)*
        }
    };
}

types! {
    /// MAPPED-ADDRESS (RFC 8489 §14.1).
    MAPPED_ADDRESS = 0x0001;
    /// USERNAME (RFC 8489 §14.3).
    USERNAME = 0x0006;
    /// MESSAGE-INTEGRITY (RFC 8489 §14.5).
    MESSAGE_INTEGRITY = 0x0008;
    /// ERROR-CODE (RFC 8489 §14.8).
    ERROR_CODE = 0x0009;
    /// UNKNOWN-ATTRIBUTES (RFC 8489 §14.13).
    UNKNOWN_ATTRIBUTES = 0x000A;
    /// CHANNEL-NUMBER (RFC 8656 §18.1).
    CHANNEL_NUMBER = 0x000C;
    /// LIFETIME (RFC 8656 §18.2).
    LIFETIME = 0x000D;
    /// XOR-PEER-ADDRESS (RFC 8656 §18.3).
    XOR_PEER_ADDRESS = 0x0012;
    /// DATA (RFC 8656 §18.4).
    DATA = 0x0013;
    /// REALM (RFC 8489 §14.9).
    REALM = 0x0014;
    /// NONCE (RFC 8489 §14.10).
    NONCE = 0x0015;
    /// XOR-RELAYED-ADDRESS (RFC 8656 §18.5).
    XOR_RELAYED_ADDRESS = 0x0016;
    /// REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6).
    REQUESTED_ADDRESS_FAMILY = 0x0017;
    /// EVEN-PORT (RFC 8656 §18.7).
    EVEN_PORT = 0x0018;
    /// REQUESTED-TRANSPORT (RFC 8656 §18.8).
    REQUESTED_TRANSPORT = 0x0019;
    /// DONT-FRAGMENT (RFC 8656 §18.9).
    DONT_FRAGMENT = 0x001A;
    /// MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6).
    MESSAGE_INTEGRITY_SHA256 = 0x001C;
    /// PASSWORD-ALGORITHM (RFC 8489 §14.12).
    PASSWORD_ALGORITHM = 0x001D;
    /// USERHASH (RFC 8489 §14.4).
    USERHASH = 0x001E;
    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    XOR_MAPPED_ADDRESS = 0x0020;
    /// RESERVATION-TOKEN (RFC 8656 §18.10).
    RESERVATION_TOKEN = 0x0022;
    /// PRIORITY (RFC 8445 §16.1).
    PRIORITY = 0x0024;
    /// USE-CANDIDATE (RFC 8445 §16.1).
    USE_CANDIDATE = 0x0025;
    /// CONNECTION-ID (RFC 6062 §6.2.1).
    CONNECTION_ID = 0x002A;
    /// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11).
    ADDITIONAL_ADDRESS_FAMILY = 0x8000;
    /// ADDRESS-ERROR-CODE (RFC 8656 §18.12).
    ADDRESS_ERROR_CODE = 0x8001;
    /// PASSWORD-ALGORITHMS (RFC 8489 §14.11).
    PASSWORD_ALGORITHMS = 0x8002;
    /// ALTERNATE-DOMAIN (RFC 8489 §14.16).
    ALTERNATE_DOMAIN = 0x8003;
    /// ICMP (RFC 8656 §18.13).
    ICMP = 0x8004;
    /// SOFTWARE (RFC 8489 §14.14).
    SOFTWARE = 0x8022;
    /// ALTERNATE-SERVER (RFC 8489 §14.15).
    ALTERNATE_SERVER = 0x8023;
    /// FINGERPRINT (RFC 8489 §14.7).
    FINGERPRINT = 0x8028;
    /// ICE-CONTROLLED (RFC 8445 §16.1).
    ICE_CONTROLLED = 0x8029;
    /// ICE-CONTROLLING (RFC 8445 §16.1).
    ICE_CONTROLLING = 0x802A;
    /// RESPONSE-ORIGIN (RFC 5780 §7.3).
    RESPONSE_ORIGIN = 0x802B;
    /// OTHER-ADDRESS (RFC 5780 §7.4).
    OTHER_ADDRESS = 0x802C;
    /// MOBILITY-TICKET (RFC 8016 §4).
    MOBILITY_TICKET = 0x8030;
    /// NOMINATION: the nomination counter of draft-thatcher-ice-renomination,
    /// with the type that deployed agents use.
    NOMINATION = 0xC001;
}

/// An ERROR-CODE (RFC 8489 §14.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// 300 to 699.
    pub code: u16,
    /// The reason phrase, for people; cut where it stops being UTF-8.
    pub reason: &'a str,
}

/// The comprehension-required types of a message that this agent does not
/// know, for the UNKNOWN-ATTRIBUTES of a 420 answer: each once, in the order
/// of the message, at most [`UnknownAttributes::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownAttributes {
    types: [u16; Self::MAX],
    len: usize,
}

impl UnknownAttributes {
    /// More are not listed, so that a hostile request cannot make the answer
    /// larger than itself.
    pub const MAX: usize = 16;

    pub(super) fn push(&mut self, kind: AttributeType) {
        if !self.contains(&kind.0)
            && let Some(slot) = self.types.get_mut(self.len)
        {
            *slot = kind.0;
            self.len += 1;
        }
    }
}

impl std::ops::Deref for UnknownAttributes {
    type Target = [u16];
    fn deref(&self) -> &[u16] {
        self.types.get(..self.len).unwrap_or_default()
    }
}

/// What the reader makes of an attribute that it does not keep as a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Malformed,
    Unknown,
}

/// Longest SOFTWARE, REALM, NONCE, ALTERNATE-DOMAIN and reason phrase in
/// bytes: fewer than 128 characters (RFC 8489 §14.8 to §14.10, §14.14).
const TEXT_MAX: usize = 763;

/// Longest USERNAME in bytes (RFC 8489 §14.3: fewer than 509).
const USERNAME_MAX: usize = 508;

/// Judges `value` by what the RFC of its type says about its form. The types
/// that [`super::Message`] keeps as values are judged by their decoders.
pub(super) fn judge(kind: AttributeType, value: &[u8], id: &TransactionId) -> Verdict {
    use AttributeType as T;
    let fine = match kind {
        T::MAPPED_ADDRESS | T::ALTERNATE_SERVER | T::RESPONSE_ORIGIN | T::OTHER_ADDRESS => {
            address::plain(value).is_some()
        }
        T::XOR_PEER_ADDRESS | T::XOR_RELAYED_ADDRESS => address::xored(value, id).is_some(),
        T::REALM | T::SOFTWARE | T::ALTERNATE_DOMAIN => text(value).is_some(),
        T::NONCE => value.len() <= TEXT_MAX,
        T::UNKNOWN_ATTRIBUTES => value.len().is_multiple_of(2),
        T::CHANNEL_NUMBER
        | T::LIFETIME
        | T::REQUESTED_ADDRESS_FAMILY
        | T::ADDITIONAL_ADDRESS_FAMILY
        | T::REQUESTED_TRANSPORT
        | T::CONNECTION_ID => value.len() == 4,
        T::EVEN_PORT => value.len() == 1,
        T::DONT_FRAGMENT => value.is_empty(),
        T::RESERVATION_TOKEN | T::ICMP => value.len() == 8,
        T::USERHASH => value.len() == 32,
        T::PASSWORD_ALGORITHM | T::PASSWORD_ALGORITHMS | T::ADDRESS_ERROR_CODE => value.len() >= 4,
        T::DATA | T::MOBILITY_TICKET => true,
        _ => return Verdict::Unknown,
    };
    if fine { Verdict::Fine } else { Verdict::Malformed }
}

/// A UTF-8 text of at most [`TEXT_MAX`] bytes.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    (value.len() <= TEXT_MAX).then(|| std::str::from_utf8(value).ok()).flatten()
}

pub(super) fn username(value: &[u8]) -> Option<&str> {
    (value.len() <= USERNAME_MAX).then(|| std::str::from_utf8(value).ok()).flatten()
}

pub(super) fn u32_value(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

pub(super) fn u64_value(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

pub(super) fn error_code(value: &[u8]) -> Option<ErrorCode<'_>> {
    let (&[_, _, class, number], reason) = value.split_first_chunk::<4>()?;
    let class = class & 0x07;
    if !(3..=6).contains(&class) || number > 99 || reason.len() > TEXT_MAX {
        return None;
    }
    let reason = reason.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Some(ErrorCode { code: u16::from(class) * 100 + u16::from(number), reason })
}
