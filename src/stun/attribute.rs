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
        const KNOWN: [(AttributeType, Form); SLOTS] = [$((AttributeType::$name, $form),)*];

        /// How many types this agent knows.
        pub(super) const SLOTS: usize = [$($value),*].len();
    };
}

types! {
    /// MAPPED-ADDRESS (RFC 8489 §14.1).
    MAPPED_ADDRESS = 0x0001, ADDRESS;
    /// USERNAME (RFC 8489 §14.3).
    USERNAME = 0x0006, TEXT;
    /// MESSAGE-INTEGRITY (RFC 8489 §14.5).
    MESSAGE_INTEGRITY = 0x0008, bytes(20);
    /// ERROR-CODE (RFC 8489 §14.8).
    ERROR_CODE = 0x0009, ERROR;
    /// UNKNOWN-ATTRIBUTES (RFC 8489 §14.13).
    UNKNOWN_ATTRIBUTES = 0x000A, PAIRS;
    /// CHANNEL-NUMBER (RFC 8656 §18.1).
    CHANNEL_NUMBER = 0x000C, bytes(4);
    /// LIFETIME (RFC 8656 §18.2).
    LIFETIME = 0x000D, bytes(4);
    /// XOR-PEER-ADDRESS (RFC 8656 §18.3).
    XOR_PEER_ADDRESS = 0x0012, ADDRESS;
    /// DATA (RFC 8656 §18.4).
    DATA = 0x0013, ANY;
    /// REALM (RFC 8489 §14.9).
    REALM = 0x0014, TEXT;
    /// NONCE (RFC 8489 §14.10).
    NONCE = 0x0015, OPAQUE;
    /// XOR-RELAYED-ADDRESS (RFC 8656 §18.5).
    XOR_RELAYED_ADDRESS = 0x0016, ADDRESS;
    /// REQUESTED-ADDRESS-FAMILY (RFC 8656 §18.6).
    REQUESTED_ADDRESS_FAMILY = 0x0017, bytes(4);
    /// EVEN-PORT (RFC 8656 §18.7).
    EVEN_PORT = 0x0018, bytes(1);
    /// REQUESTED-TRANSPORT (RFC 8656 §18.8).
    REQUESTED_TRANSPORT = 0x0019, bytes(4);
    /// DONT-FRAGMENT (RFC 8656 §18.9).
    DONT_FRAGMENT = 0x001A, bytes(0);
    /// MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6).
    MESSAGE_INTEGRITY_SHA256 = 0x001C, TRUNCATED_HMAC;
    /// PASSWORD-ALGORITHM (RFC 8489 §14.12).
    PASSWORD_ALGORITHM = 0x001D, AT_LEAST_FOUR;
    /// USERHASH (RFC 8489 §14.4).
    USERHASH = 0x001E, bytes(32);
    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    XOR_MAPPED_ADDRESS = 0x0020, ADDRESS;
    /// RESERVATION-TOKEN (RFC 8656 §18.10).
    RESERVATION_TOKEN = 0x0022, bytes(8);
    /// PRIORITY (RFC 8445 §16.1).
    PRIORITY = 0x0024, bytes(4);
    /// USE-CANDIDATE (RFC 8445 §16.1).
    USE_CANDIDATE = 0x0025, bytes(0);
    /// CONNECTION-ID (RFC 6062 §6.2.1).
    CONNECTION_ID = 0x002A, bytes(4);
    /// ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.11).
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, bytes(4);
    /// ADDRESS-ERROR-CODE (RFC 8656 §18.12).
    ADDRESS_ERROR_CODE = 0x8001, ERROR;
    /// PASSWORD-ALGORITHMS (RFC 8489 §14.11).
    PASSWORD_ALGORITHMS = 0x8002, AT_LEAST_FOUR;
    /// ALTERNATE-DOMAIN (RFC 8489 §14.16).
    ALTERNATE_DOMAIN = 0x8003, TEXT;
    /// ICMP (RFC 8656 §18.13).
    ICMP = 0x8004, bytes(8);
    /// SOFTWARE (RFC 8489 §14.14).
    SOFTWARE = 0x8022, TEXT;
    /// ALTERNATE-SERVER (RFC 8489 §14.15).
    ALTERNATE_SERVER = 0x8023, ADDRESS;
    /// FINGERPRINT (RFC 8489 §14.7).
    FINGERPRINT = 0x8028, bytes(4);
    /// ICE-CONTROLLED (RFC 8445 §16.1).
    ICE_CONTROLLED = 0x8029, bytes(8);
    /// ICE-CONTROLLING (RFC 8445 §16.1).
    ICE_CONTROLLING = 0x802A, bytes(8);
    /// RESPONSE-ORIGIN (RFC 5780 §7.3).
    RESPONSE_ORIGIN = 0x802B, ADDRESS;
    /// OTHER-ADDRESS (RFC 5780 §7.4).
    OTHER_ADDRESS = 0x802C, ADDRESS;
    /// MOBILITY-TICKET (RFC 8016 §4).
    MOBILITY_TICKET = 0x8030, ANY;
    /// NOMINATION: the nomination counter of draft-thatcher-ice-renomination,
    /// with the type that deployed agents use.
    NOMINATION = 0xC001, bytes(4);
}

/// What the value of a type has to look like: its length in bytes, and what
/// else there is to check.
#[derive(Clone, Copy)]
struct Form {
    min: u16,
    max: u16,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Any,
    /// 16-bit values.
    Pairs,
    /// 32-bit words.
    Words,
    Utf8,
    /// Either form of an address.
    Address,
    ErrorCode,
}

const ANY: Form = form(0, u16::MAX, Content::Any);
const OPAQUE: Form = form(0, TEXT_MAX, Content::Any);
const TEXT: Form = form(0, TEXT_MAX, Content::Utf8);
const ADDRESS: Form = form(8, 20, Content::Address);
const ERROR: Form = form(4, 4 + TEXT_MAX, Content::ErrorCode);
const PAIRS: Form = form(0, u16::MAX, Content::Pairs);
const AT_LEAST_FOUR: Form = form(4, u16::MAX, Content::Any);
/// An HMAC-SHA256 or its first half or more (RFC 8489 §14.6).
const TRUNCATED_HMAC: Form = form(16, 32, Content::Words);

const fn bytes(len: u16) -> Form {
    form(len, len, Content::Any)
}

const fn form(min: u16, max: u16, content: Content) -> Form {
    Form { min, max, content }
}

impl Form {
    #[inline]
    fn fits(self, value: &[u8]) -> bool {
        usize::from(self.min) <= value.len()
            && value.len() <= usize::from(self.max)
            && (matches!(self.content, Content::Any) || self.content.fits(value))
    }
}

impl Content {
    fn fits(self, value: &[u8]) -> bool {
        match self {
            Content::Any => true,
            Content::Pairs => value.len().is_multiple_of(2),
            Content::Words => value.len().is_multiple_of(4),
            // Most texts are ASCII, for which this is the faster question.
            Content::Utf8 => value.is_ascii() || std::str::from_utf8(value).is_ok(),
            Content::Address => address::is_well_formed(value),
            Content::ErrorCode => error_code(value).is_some(),
        }
    }
}

/// The slot of a type that this agent knows.
#[inline]
pub(super) const fn slot(kind: AttributeType) -> Option<usize> {
    if !is_low(kind) {
        return if kind.0 == AttributeType::NOMINATION.0 { Some(SLOT_OF_NOMINATION) } else { None };
    }
    match SLOT_OF_LOW[low_index(kind)] {
        NO_SLOT => None,
        slot => Some(slot as usize),
    }
}

/// Whether `value` has the form that the type in `slot` asks for.
#[inline]
pub(super) fn is_well_formed(slot: usize, value: &[u8]) -> bool {
    KNOWN.get(slot).is_some_and(|(_, form)| form.fits(value))
}

const NO_SLOT: u8 = u8::MAX;

/// The slots of the first 64 required and the first 64 optional types.
const SLOT_OF_LOW: [u8; 128] = {
    let mut table = [NO_SLOT; 128];
    let mut slot = 0;
    while slot < SLOTS {
        let kind = KNOWN[slot].0;
        if is_low(kind) {
            table[low_index(kind)] = slot as u8;
        }
        slot += 1;
    }
    table
};

/// NOMINATION is the only known type that is not among those, and the last.
const SLOT_OF_NOMINATION: usize = SLOTS - 1;
const _: () = assert!(KNOWN[SLOT_OF_NOMINATION].0.0 == AttributeType::NOMINATION.0);

const fn is_low(kind: AttributeType) -> bool {
    kind.0 & 0x7fc0 == 0
}

const fn low_index(kind: AttributeType) -> usize {
    ((kind.0 & 0x3f) | (kind.0 >> 15 << 6)) as usize
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

/// Longest text in bytes that is read, as RFC 5389 allowed: fewer than 128
/// characters of six bytes (RFC 8489 §14.3, §14.8 to §14.10, §14.14).
const TEXT_MAX: u16 = 763;

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
    if !(3..=6).contains(&class) || number > 99 {
        return None;
    }
    let reason = reason.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Some(ErrorCode { code: u16::from(class) * 100 + u16::from(number), reason })
}
