//! Attribute types, and which values of them are well-formed.

use super::address;

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
    ($($(#[$doc:meta])* $name:ident = $value:literal, $form:expr;)*) => {
        impl AttributeType {
            $($(#[$doc])* pub const $name: AttributeType = AttributeType($value);)*
        }

        /// The types that this agent knows, and the form of their values.
        /// Where a type stands here is its slot.
        const KNOWN: [(AttributeType, Form); SLOTS] = {
            use Form::*;
            [$((AttributeType::$name, $form),)*]
        };

        /// How many types this agent knows.
        pub(super) const SLOTS: usize = [$($value),*].len();
    };
}

types! {
    /// MAPPED-ADDRESS (RFC 8489 §14.1).
    MAPPED_ADDRESS = 0x0001, Address;
    /// USERNAME (RFC 8489 §14.3).
    USERNAME = 0x0006, Username;
    /// MESSAGE-INTEGRITY (RFC 8489 §14.5).
    MESSAGE_INTEGRITY = 0x0008, Bytes(20);
    /// ERROR-CODE (RFC 8489 §14.8).
    ERROR_CODE = 0x0009, ErrorCode;
    /// UNKNOWN-ATTRIBUTES (RFC 8489 §14.13).
    UNKNOWN_ATTRIBUTES = 0x000A, Pairs;
    /// CHANNEL-NUMBER (RFC 8656 §18.1).
    CHANNEL_NUMBER = 0x000C, Bytes(4);
    /// LIFETIME (RFC 8656 §18.2).
    LIFETIME = 0x000D, Bytes(4);
    /// XOR-PEER-ADDRESS (RFC 8656 §18.3).
    XOR_PEER_ADDRESS = 0x0012, Address;
    /// DATA (RFC 8656 §18.4).
    DATA = 0x0013, Any;
    /// REALM (RFC 8489 §14.9).
    REALM = 0x0014, Text;
    /// NONCE (RFC 8489 §14.10).
    NONCE = 0x0015, Opaque;
    /// XOR-RELAYED-ADDRESS (RFC 8656 §18.5).
    XOR_RELAYED_ADDRESS = 0x0016, Address;
    /// REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6).
    REQUESTED_ADDRESS_FAMILY = 0x0017, Bytes(4);
    /// EVEN-PORT (RFC 8656 §18.7).
    EVEN_PORT = 0x0018, Bytes(1);
    /// REQUESTED-TRANSPORT (RFC 8656 §18.8).
    REQUESTED_TRANSPORT = 0x0019, Bytes(4);
    /// DONT-FRAGMENT (RFC 8656 §18.9).
    DONT_FRAGMENT = 0x001A, Bytes(0);
    /// MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6).
    MESSAGE_INTEGRITY_SHA256 = 0x001C, TruncatedHmac;
    /// PASSWORD-ALGORITHM (RFC 8489 §14.12).
    PASSWORD_ALGORITHM = 0x001D, AtLeast4;
    /// USERHASH (RFC 8489 §14.4).
    USERHASH = 0x001E, Bytes(32);
    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    XOR_MAPPED_ADDRESS = 0x0020, Address;
    /// RESERVATION-TOKEN (RFC 8656 §18.10).
    RESERVATION_TOKEN = 0x0022, Bytes(8);
    /// PRIORITY (RFC 8445 §16.1).
    PRIORITY = 0x0024, Bytes(4);
    /// USE-CANDIDATE (RFC 8445 §16.1).
    USE_CANDIDATE = 0x0025, Bytes(0);
    /// CONNECTION-ID (RFC 6062 §6.2.1).
    CONNECTION_ID = 0x002A, Bytes(4);
    /// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11).
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, Bytes(4);
    /// ADDRESS-ERROR-CODE (RFC 8656 §18.12).
    ADDRESS_ERROR_CODE = 0x8001, AtLeast4;
    /// PASSWORD-ALGORITHMS (RFC 8489 §14.11).
    PASSWORD_ALGORITHMS = 0x8002, AtLeast4;
    /// ALTERNATE-DOMAIN (RFC 8489 §14.16).
    ALTERNATE_DOMAIN = 0x8003, Text;
    /// ICMP (RFC 8656 §18.13).
    ICMP = 0x8004, Bytes(8);
    /// SOFTWARE (RFC 8489 §14.14).
    SOFTWARE = 0x8022, Text;
    /// ALTERNATE-SERVER (RFC 8489 §14.15).
    ALTERNATE_SERVER = 0x8023, Address;
    /// FINGERPRINT (RFC 8489 §14.7).
    FINGERPRINT = 0x8028, Bytes(4);
    /// ICE-CONTROLLED (RFC 8445 §16.1).
    ICE_CONTROLLED = 0x8029, Bytes(8);
    /// ICE-CONTROLLING (RFC 8445 §16.1).
    ICE_CONTROLLING = 0x802A, Bytes(8);
    /// RESPONSE-ORIGIN (RFC 5780 §7.3).
    RESPONSE_ORIGIN = 0x802B, Address;
    /// OTHER-ADDRESS (RFC 5780 §7.4).
    OTHER_ADDRESS = 0x802C, Address;
    /// MOBILITY-TICKET (RFC 8016 §4).
    MOBILITY_TICKET = 0x8030, Any;
    /// NOMINATION: the nomination counter of draft-thatcher-ice-renomination,
    /// with the type that deployed agents use.
    NOMINATION = 0xC001, Bytes(4);
}

/// What the value of a type has to look like.
#[derive(Clone, Copy)]
enum Form {
    /// Anything.
    Any,
    /// This many bytes.
    Bytes(usize),
    /// Four bytes or more.
    AtLeast4,
    /// 16-bit values.
    Pairs,
    /// An HMAC-SHA256 or its first half or more (RFC 8489 §14.6).
    TruncatedHmac,
    /// At most [`TEXT_MAX`] bytes.
    Opaque,
    /// UTF-8 of at most [`TEXT_MAX`] bytes.
    Text,
    /// UTF-8 of at most [`USERNAME_MAX`] bytes.
    Username,
    /// Either form of an address.
    Address,
    /// Class, number and reason phrase.
    ErrorCode,
}

impl Form {
    #[inline]
    fn fits(self, value: &[u8]) -> bool {
        match self {
            Form::Any => true,
            Form::Bytes(len) => value.len() == len,
            Form::AtLeast4 => value.len() >= 4,
            Form::Pairs => value.len().is_multiple_of(2),
            Form::TruncatedHmac => {
                (16..=32).contains(&value.len()) && value.len().is_multiple_of(4)
            }
            Form::Opaque => value.len() <= TEXT_MAX,
            Form::Text => value.len() <= TEXT_MAX && is_utf8(value),
            Form::Username => value.len() <= USERNAME_MAX && is_utf8(value),
            Form::Address => address::is_well_formed(value),
            Form::ErrorCode => error_code(value).is_some(),
        }
    }
}

/// The slot of a type that this agent knows.
#[inline]
pub(super) const fn slot(kind: AttributeType) -> Option<usize> {
    if kind.0 == AttributeType::NOMINATION.0 {
        return Some(SLOT_OF_NOMINATION);
    }
    let table = if kind.is_comprehension_required() { &REQUIRED } else { &OPTIONAL };
    let index = (kind.0 & 0x7fff) as usize;
    if index >= table.len() || table[index] == NO_SLOT {
        return None;
    }
    Some(table[index] as usize)
}

/// Whether `value` has the form that the type in `slot` asks for.
#[inline]
pub(super) fn is_well_formed(slot: usize, value: &[u8]) -> bool {
    KNOWN.get(slot).is_some_and(|(_, form)| form.fits(value))
}

const NO_SLOT: u8 = u8::MAX;
const REQUIRED: [u8; 64] = slots(0x0000);
const OPTIONAL: [u8; 64] = slots(0x8000);
const SLOT_OF_NOMINATION: usize = SLOTS - 1;
const _: () = assert!(KNOWN[SLOT_OF_NOMINATION].0.0 == AttributeType::NOMINATION.0);

/// The slots of the 64 types from `first` on.
const fn slots(first: u16) -> [u8; 64] {
    let mut table = [NO_SLOT; 64];
    let mut slot = 0;
    while slot < SLOTS {
        let kind = KNOWN[slot].0.0;
        if kind >= first && ((kind - first) as usize) < table.len() {
            table[(kind - first) as usize] = slot as u8;
        }
        slot += 1;
    }
    table
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

/// Longest SOFTWARE, REALM, NONCE, ALTERNATE-DOMAIN and reason phrase in
/// bytes: fewer than 128 characters (RFC 8489 §14.8 to §14.10, §14.14).
const TEXT_MAX: usize = 763;

/// Longest USERNAME in bytes (RFC 8489 §14.3: fewer than 509).
const USERNAME_MAX: usize = 508;

/// Most texts are ASCII, for which this is the faster question.
fn is_utf8(value: &[u8]) -> bool {
    value.is_ascii() || std::str::from_utf8(value).is_ok()
}

pub(super) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

pub(super) fn u16_value(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*value.first_chunk()?))
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
