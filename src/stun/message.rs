//! The checked view of a message.

use std::fmt;
use std::net::SocketAddr;

use super::attribute::{self, AttributeType, ErrorCode, SLOTS, UnknownAttributes};
use super::integrity::{self, Algorithm, Integrity, IntegrityKey};
use super::{
    ATTRIBUTE_HEADER_LEN, Class, Fingerprint, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId,
    address, fingerprint, padded, split_type,
};

/// Why bytes are not a STUN message. Offsets count from the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Fewer bytes than a header has.
    #[error("{0} bytes are too few for a STUN header of 20 (RFC 8489 §5)")]
    Truncated(usize),
    /// The top two bits are not zero.
    #[error("byte 0 is {0:#04x}: the top two bits of a STUN message are zero (RFC 8489 §5)")]
    NotStun(u8),
    /// The magic cookie is another.
    #[error("bytes 4 to 7 are {0:#010x}, not the magic cookie (RFC 8489 §5)")]
    Cookie(u32),
    /// The length field is no multiple of four, or is not the number of bytes
    /// behind the header.
    #[error("the length field says {field}, {actual} bytes follow the header (RFC 8489 §5)")]
    Length {
        /// What the field says.
        field: u16,
        /// How many bytes follow the header.
        actual: usize,
    },
    /// An attribute reaches beyond the end of the message.
    #[error("attribute {kind:#06x} at byte {at} ends beyond the message (RFC 8489 §14)")]
    Overrun {
        /// The attribute's type.
        kind: u16,
        /// Where the attribute starts.
        at: usize,
    },
    /// A comprehension-required attribute has a form that its type does not
    /// allow.
    #[error("attribute {kind:#06x} at byte {at} is malformed (RFC 8489 §14)")]
    Malformed {
        /// The attribute's type.
        kind: u16,
        /// Where the attribute starts.
        at: usize,
    },
    /// Something follows FINGERPRINT.
    #[error("an attribute at byte {0} follows FINGERPRINT (RFC 8489 §14.7)")]
    AfterFingerprint(usize),
}

/// A STUN message, checked once: no accessor fails, panics or allocates.
///
/// Attributes behind MESSAGE-INTEGRITY are not read, but for
/// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 §14.5). Of an
/// attribute that stands more than once the first counts. A malformed
/// optional attribute is as good as absent, and is counted.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// Where the first well-formed attribute of each known type starts, in
    /// words; zero: there is none.
    starts: [u16; SLOTS],
    /// Where the readable attributes end, in words.
    readable_end: u16,
    malformed_optional: u16,
    has_unknown_required: bool,
}

impl<'a> Message<'a> {
    /// Checks `bytes`, which have to be one message and nothing else.
    ///
    /// # Errors
    /// The first rule of RFC 8489 that the bytes break.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
        check_header(bytes)?;
        let mut message = Message {
            bytes,
            starts: [0; SLOTS],
            readable_end: words(bytes.len()),
            malformed_optional: 0,
            has_unknown_required: false,
        };
        let mut attributes = Attributes { bytes, at: HEADER_LEN };
        let mut stage = Stage::Readable;
        while let Some(found) = attributes.next_checked() {
            stage = message.take(found?, stage)?;
        }
        Ok(message)
    }

    /// The bytes that were parsed.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The class.
    pub fn class(&self) -> Class {
        split_type(self.kind()).1
    }

    /// The method.
    pub fn method(&self) -> Method {
        split_type(self.kind()).0
    }

    /// The transaction id.
    pub fn transaction_id(&self) -> TransactionId {
        let id = self.bytes.get(8..HEADER_LEN).and_then(|id| id.try_into().ok());
        TransactionId(id.unwrap_or_default())
    }

    /// USERNAME.
    pub fn username(&self) -> Option<&'a str> {
        self.value(AttributeType::USERNAME).and_then(attribute::text)
    }

    /// XOR-MAPPED-ADDRESS, in canonical form.
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        address::xored(self.value(AttributeType::XOR_MAPPED_ADDRESS)?, &self.transaction_id())
    }

    /// MAPPED-ADDRESS, in canonical form.
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        self.value(AttributeType::MAPPED_ADDRESS).and_then(address::plain)
    }

    /// PRIORITY.
    pub fn priority(&self) -> Option<u32> {
        self.value(AttributeType::PRIORITY).and_then(attribute::u32_value)
    }

    /// Whether USE-CANDIDATE is there.
    pub fn use_candidate(&self) -> bool {
        self.value(AttributeType::USE_CANDIDATE).is_some()
    }

    /// ICE-CONTROLLING: the tie-breaker.
    pub fn ice_controlling(&self) -> Option<u64> {
        self.value(AttributeType::ICE_CONTROLLING).and_then(attribute::u64_value)
    }

    /// ICE-CONTROLLED: the tie-breaker.
    pub fn ice_controlled(&self) -> Option<u64> {
        self.value(AttributeType::ICE_CONTROLLED).and_then(attribute::u64_value)
    }

    /// NOMINATION: the counter.
    pub fn nomination(&self) -> Option<u32> {
        self.value(AttributeType::NOMINATION).and_then(attribute::u32_value)
    }

    /// ERROR-CODE.
    pub fn error(&self) -> Option<ErrorCode<'a>> {
        self.value(AttributeType::ERROR_CODE).and_then(attribute::error_code)
    }

    /// Whether there is a comprehension-required attribute of a type that
    /// this agent does not know: a request is then answered with 420, a
    /// response fails its transaction (RFC 8489 §6.3).
    pub fn has_unknown_required(&self) -> bool {
        self.has_unknown_required
    }

    /// The types behind [`has_unknown_required`](Self::has_unknown_required).
    pub fn unknown_required(&self) -> UnknownAttributes {
        let mut unknown = UnknownAttributes::default();
        if self.has_unknown_required {
            for (kind, _) in self.attributes() {
                if kind.is_comprehension_required() && attribute::slot(kind).is_none() {
                    unknown.push(kind);
                }
            }
        }
        unknown
    }

    /// How many optional attributes were malformed, and skipped for it.
    pub fn malformed_optional(&self) -> u16 {
        self.malformed_optional
    }

    /// Checks FINGERPRINT.
    pub fn fingerprint(&self) -> Fingerprint {
        let value = self.value(AttributeType::FINGERPRINT).and_then(attribute::u32_value);
        let Some(value) = value else { return Fingerprint::Absent };
        match self.bytes.split_last_chunk::<{ fingerprint::ATTRIBUTE_LEN }>() {
            Some((covered, _)) if fingerprint::value(covered) == value => Fingerprint::Valid,
            _ => Fingerprint::Wrong,
        }
    }

    /// The integrity attribute that [`verify`](Self::verify) goes by:
    /// MESSAGE-INTEGRITY-SHA256 where both are there (RFC 8489 §9.1.3).
    pub fn integrity_algorithm(&self) -> Option<Algorithm> {
        if self.start(AttributeType::MESSAGE_INTEGRITY_SHA256).is_some() {
            Some(Algorithm::Sha256)
        } else {
            self.start(AttributeType::MESSAGE_INTEGRITY).map(|_| Algorithm::Sha1)
        }
    }

    /// Verifies the integrity of the raw bytes under `key`, in constant time.
    pub fn verify(&self, key: &IntegrityKey) -> Integrity {
        let Some(algorithm) = self.integrity_algorithm() else { return Integrity::Missing };
        let kind = algorithm.attribute();
        let valid = self
            .start(kind)
            .zip(self.value(kind))
            .is_some_and(|(at, value)| integrity::verify(key, algorithm, self.bytes, at, value));
        if valid { Integrity::Valid } else { Integrity::Wrong }
    }

    /// The readable attributes as they stand in the message, malformed and
    /// repeated ones included.
    pub fn attributes(&self) -> impl Iterator<Item = (AttributeType, &'a [u8])> + use<'a> {
        let end = 4 * usize::from(self.readable_end);
        Attributes { bytes: self.bytes.get(..end).unwrap_or_default(), at: HEADER_LEN }
            .map(|found| (found.kind, found.value))
    }

    fn kind(&self) -> u16 {
        attribute::u16_value(self.bytes).unwrap_or_default()
    }

    /// Where the attribute that counts for its type starts.
    #[inline]
    fn start(&self, kind: AttributeType) -> Option<usize> {
        let words = *self.starts.get(attribute::slot(kind)?)?;
        (words != 0).then_some(4 * usize::from(words))
    }

    /// The value of the attribute that counts for its type.
    #[inline]
    pub(super) fn value(&self, kind: AttributeType) -> Option<&'a [u8]> {
        let attribute = self.bytes.get(self.start(kind)?..)?;
        let (&[_, _, l0, l1], rest) = attribute.split_first_chunk::<ATTRIBUTE_HEADER_LEN>()?;
        rest.get(..usize::from(u16::from_be_bytes([l0, l1])))
    }

    /// Takes in the next attribute; returns the stage behind it.
    #[inline]
    fn take(&mut self, found: Found<'a>, stage: Stage) -> Result<Stage, ParseError> {
        let Found { kind, at, value } = found;
        if !stage.reads(kind) {
            return match stage {
                Stage::Ended => Err(ParseError::AfterFingerprint(at)),
                _ => Ok(stage),
            };
        }
        match attribute::slot(kind) {
            None => self.has_unknown_required |= kind.is_comprehension_required(),
            Some(slot) if attribute::is_well_formed(slot, value) => {
                if let Some(start @ 0) = self.starts.get_mut(slot) {
                    *start = words(at);
                }
                let next = stage.after(kind);
                if stage == Stage::Readable && next != Stage::Readable {
                    self.readable_end = words(at);
                }
                return Ok(next);
            }
            Some(_) if kind.is_comprehension_required() => {
                return Err(ParseError::Malformed { kind: kind.0, at });
            }
            Some(_) => self.malformed_optional = self.malformed_optional.saturating_add(1),
        }
        Ok(stage)
    }
}

/// How far the parser has come: which attributes still count (RFC 8489 §14.5
/// to §14.7).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// All do.
    Readable,
    /// Behind MESSAGE-INTEGRITY: only the other two.
    Sealed,
    /// Behind MESSAGE-INTEGRITY-SHA256: only FINGERPRINT.
    SealedBySha256,
    /// Behind FINGERPRINT, where nothing may stand.
    Ended,
}

impl Stage {
    #[inline]
    fn reads(self, kind: AttributeType) -> bool {
        match self {
            Stage::Readable => true,
            Stage::Sealed => {
                kind == AttributeType::MESSAGE_INTEGRITY_SHA256
                    || kind == AttributeType::FINGERPRINT
            }
            Stage::SealedBySha256 => kind == AttributeType::FINGERPRINT,
            Stage::Ended => false,
        }
    }

    #[inline]
    fn after(self, kind: AttributeType) -> Stage {
        match kind {
            AttributeType::MESSAGE_INTEGRITY => Stage::Sealed,
            AttributeType::MESSAGE_INTEGRITY_SHA256 => Stage::SealedBySha256,
            AttributeType::FINGERPRINT => Stage::Ended,
            _ => self,
        }
    }
}

/// An offset in 32-bit words. Every attribute starts at a multiple of four
/// below 2^16 + 20, so that nothing is cut.
#[inline]
fn words(offset: usize) -> u16 {
    u16::try_from(offset / 4).unwrap_or(u16::MAX)
}

fn check_header(bytes: &[u8]) -> Result<(), ParseError> {
    let (header, body) =
        bytes.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::Truncated(bytes.len()))?;
    let &[t0, _, l0, l1, c0, c1, c2, c3, ..] = header;
    if t0 & 0xc0 != 0 {
        return Err(ParseError::NotStun(t0));
    }
    let cookie = u32::from_be_bytes([c0, c1, c2, c3]);
    if cookie != MAGIC_COOKIE {
        return Err(ParseError::Cookie(cookie));
    }
    let field = u16::from_be_bytes([l0, l1]);
    if usize::from(field) != body.len() || !field.is_multiple_of(4) {
        return Err(ParseError::Length { field, actual: body.len() });
    }
    Ok(())
}

/// One attribute, and where it starts.
struct Found<'a> {
    kind: AttributeType,
    at: usize,
    value: &'a [u8],
}

/// Walks over the attributes of a message.
struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    #[inline]
    fn next_checked(&mut self) -> Option<Result<Found<'a>, ParseError>> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let (&[k0, k1, l0, l1], rest) = rest.split_first_chunk::<ATTRIBUTE_HEADER_LEN>()?;
        let kind = AttributeType(u16::from_be_bytes([k0, k1]));
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        // The padding has to be there, too: the length field counts it.
        self.at = at + ATTRIBUTE_HEADER_LEN + padded(len);
        let value = if self.at <= self.bytes.len() { rest.get(..len) } else { None };
        Some(match value {
            Some(value) => Ok(Found { kind, at, value }),
            None => Err(ParseError::Overrun { kind: kind.0, at }),
        })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Found<'a>;
    fn next(&mut self) -> Option<Found<'a>> {
        self.next_checked()?.ok()
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("class", &self.class())
            .field("method", &self.method())
            .field("transaction_id", &self.transaction_id())
            .finish_non_exhaustive()
    }
}
