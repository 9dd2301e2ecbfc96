//! The checked view of a message.

use std::fmt;
use std::net::SocketAddr;

use super::attribute::{self, AttributeType, ErrorCode, UnknownAttributes, Verdict};
use super::integrity::{self, Algorithm, Integrity, IntegrityKey, SHA1_LEN, SHA256_LEN};
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
    method: Method,
    class: Class,
    values: Values<'a>,
    /// Where the readable attributes end.
    readable_end: usize,
    integrity: Option<Located<'a>>,
    integrity_sha256: Option<Located<'a>>,
    fingerprint: Option<u32>,
    malformed_optional: u16,
    has_unknown_required: bool,
}

/// What a connectivity check and its answers are read for.
#[derive(Clone, Copy, Default)]
struct Values<'a> {
    username: Option<&'a str>,
    xor_mapped_address: Option<SocketAddr>,
    error: Option<ErrorCode<'a>>,
    ice_controlling: Option<u64>,
    ice_controlled: Option<u64>,
    priority: Option<u32>,
    nomination: Option<u32>,
    use_candidate: bool,
}

/// An integrity attribute: its value and where the attribute starts.
#[derive(Clone, Copy)]
struct Located<'a> {
    at: usize,
    value: &'a [u8],
}

impl<'a> Message<'a> {
    /// Checks `bytes`, which have to be one message and nothing else.
    ///
    /// # Errors
    /// The first rule of RFC 8489 that the bytes break.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, ParseError> {
        let (method, class) = parse_header(bytes)?;
        let mut message = Message {
            bytes,
            method,
            class,
            values: Values::default(),
            readable_end: bytes.len(),
            integrity: None,
            integrity_sha256: None,
            fingerprint: None,
            malformed_optional: 0,
            has_unknown_required: false,
        };
        let id = message.transaction_id();
        let mut attributes = Attributes::new(bytes, bytes.len());
        while let Some(next) = attributes.next_checked() {
            message.take(next?, &id)?;
        }
        Ok(message)
    }

    /// The bytes that were parsed.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The transaction id.
    pub fn transaction_id(&self) -> TransactionId {
        let id = self.bytes.get(8..HEADER_LEN).and_then(|id| id.try_into().ok());
        TransactionId(id.expect("invariant: a parsed message has a header"))
    }

    /// USERNAME.
    pub fn username(&self) -> Option<&'a str> {
        self.values.username
    }

    /// XOR-MAPPED-ADDRESS, in canonical form.
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.values.xor_mapped_address
    }

    /// PRIORITY.
    pub fn priority(&self) -> Option<u32> {
        self.values.priority
    }

    /// Whether USE-CANDIDATE is there.
    pub fn use_candidate(&self) -> bool {
        self.values.use_candidate
    }

    /// ICE-CONTROLLING: the tie-breaker.
    pub fn ice_controlling(&self) -> Option<u64> {
        self.values.ice_controlling
    }

    /// ICE-CONTROLLED: the tie-breaker.
    pub fn ice_controlled(&self) -> Option<u64> {
        self.values.ice_controlled
    }

    /// NOMINATION: the counter.
    pub fn nomination(&self) -> Option<u32> {
        self.values.nomination
    }

    /// ERROR-CODE.
    pub fn error(&self) -> Option<ErrorCode<'a>> {
        self.values.error
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
            let id = self.transaction_id();
            for (kind, value) in self.attributes() {
                if kind.is_comprehension_required() && is_unknown(kind, value, &id) {
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
        let Some(value) = self.fingerprint else { return Fingerprint::Absent };
        match self.bytes.split_last_chunk::<{ fingerprint::ATTRIBUTE_LEN }>() {
            Some((covered, _)) if fingerprint::value(covered) == value => Fingerprint::Valid,
            _ => Fingerprint::Wrong,
        }
    }

    /// The integrity attribute that [`verify`](Self::verify) goes by:
    /// MESSAGE-INTEGRITY-SHA256 where both are there (RFC 8489 §9.1.3).
    pub fn integrity_algorithm(&self) -> Option<Algorithm> {
        match (self.integrity_sha256, self.integrity) {
            (Some(_), _) => Some(Algorithm::Sha256),
            (None, Some(_)) => Some(Algorithm::Sha1),
            (None, None) => None,
        }
    }

    /// Verifies the integrity of the raw bytes under `key`, in constant time.
    pub fn verify(&self, key: &IntegrityKey) -> Integrity {
        let (algorithm, found) = match (self.integrity_sha256, self.integrity) {
            (Some(found), _) => (Algorithm::Sha256, found),
            (None, Some(found)) => (Algorithm::Sha1, found),
            (None, None) => return Integrity::Missing,
        };
        match integrity::verify(key, algorithm, self.bytes, found.at, found.value) {
            true => Integrity::Valid,
            false => Integrity::Wrong,
        }
    }

    /// The readable attributes, malformed and repeated ones included.
    pub fn attributes(&self) -> impl Iterator<Item = (AttributeType, &'a [u8])> + use<'a> {
        Attributes::new(self.bytes, self.readable_end).map(|found| (found.kind, found.value))
    }

    /// The first well-formed attribute of type `kind`.
    fn first<T>(&self, kind: AttributeType, decode: impl Fn(&'a [u8]) -> Option<T>) -> Option<T> {
        self.attributes().find_map(|(found, value)| (found == kind).then(|| decode(value))?)
    }

    /// MAPPED-ADDRESS, in canonical form.
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        self.first(AttributeType::MAPPED_ADDRESS, address::plain)
    }

    fn take(&mut self, found: Found<'a>, id: &TransactionId) -> Result<(), ParseError> {
        use AttributeType as T;
        let Found { kind, at, value } = found;
        if self.fingerprint.is_some() {
            return Err(ParseError::AfterFingerprint(at));
        }
        let sealed = self.integrity_sha256.is_some();
        let readable = !sealed && self.integrity.is_none();
        let fine = match kind {
            T::FINGERPRINT => store(&mut self.fingerprint, attribute::u32_value(value)),
            T::MESSAGE_INTEGRITY_SHA256 if !sealed => {
                let fine = (16..=SHA256_LEN).contains(&value.len()) && value.len() % 4 == 0;
                self.readable_end = self.readable_end.min(at);
                store(&mut self.integrity_sha256, fine.then_some(Located { at, value }))
            }
            _ if !readable => true,
            T::MESSAGE_INTEGRITY => {
                self.readable_end = at;
                let fine = value.len() == SHA1_LEN;
                store(&mut self.integrity, fine.then_some(Located { at, value }))
            }
            _ => self.values.take(kind, value, id).unwrap_or_else(|| {
                match attribute::judge(kind, value, id) {
                    Verdict::Fine => true,
                    Verdict::Malformed => false,
                    Verdict::Unknown => {
                        self.has_unknown_required |= kind.is_comprehension_required();
                        true
                    }
                }
            }),
        };
        if fine {
            Ok(())
        } else if kind.is_comprehension_required() {
            Err(ParseError::Malformed { kind: kind.0, at })
        } else {
            self.malformed_optional = self.malformed_optional.saturating_add(1);
            Ok(())
        }
    }
}

impl<'a> Values<'a> {
    /// Keeps the value of a type that is kept: whether it was well-formed.
    /// `None`: another type.
    #[inline]
    fn take(&mut self, kind: AttributeType, value: &'a [u8], id: &TransactionId) -> Option<bool> {
        use AttributeType as T;
        Some(match kind {
            T::USERNAME => store(&mut self.username, attribute::username(value)),
            T::PRIORITY => store(&mut self.priority, attribute::u32_value(value)),
            T::ICE_CONTROLLING => store(&mut self.ice_controlling, attribute::u64_value(value)),
            T::ICE_CONTROLLED => store(&mut self.ice_controlled, attribute::u64_value(value)),
            T::XOR_MAPPED_ADDRESS => store(&mut self.xor_mapped_address, address::xored(value, id)),
            T::USE_CANDIDATE => {
                self.use_candidate |= value.is_empty();
                value.is_empty()
            }
            T::NOMINATION => store(&mut self.nomination, attribute::u32_value(value)),
            T::ERROR_CODE => store(&mut self.error, attribute::error_code(value)),
            _ => return None,
        })
    }
}

/// Keeps the first well-formed value; whether this one was well-formed.
#[inline]
fn store<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let fine = value.is_some();
    if slot.is_none() {
        *slot = value;
    }
    fine
}

fn is_unknown(kind: AttributeType, value: &[u8], id: &TransactionId) -> bool {
    Values::default().take(kind, value, id).is_none()
        && attribute::judge(kind, value, id) == Verdict::Unknown
}

fn parse_header(bytes: &[u8]) -> Result<(Method, Class), ParseError> {
    let (header, body) =
        bytes.split_first_chunk::<HEADER_LEN>().ok_or(ParseError::Truncated(bytes.len()))?;
    let &[t0, t1, l0, l1, c0, c1, c2, c3, ..] = header;
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
    Ok(split_type(u16::from_be_bytes([t0, t1])))
}

/// One attribute, and where it starts.
struct Found<'a> {
    kind: AttributeType,
    at: usize,
    value: &'a [u8],
}

/// Walks over the attributes of a message up to `end`.
struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    fn new(bytes: &'a [u8], end: usize) -> Self {
        Self { bytes: bytes.get(..end).unwrap_or_default(), at: HEADER_LEN }
    }

    #[inline]
    fn next_checked(&mut self) -> Option<Result<Found<'a>, ParseError>> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let (&[k0, k1, l0, l1], rest) = rest.split_first_chunk::<ATTRIBUTE_HEADER_LEN>()?;
        let kind = AttributeType(u16::from_be_bytes([k0, k1]));
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        self.at = at + ATTRIBUTE_HEADER_LEN + padded(len);
        // The padding has to be there, too: the length field counts it.
        let value = rest.get(..padded(len)).and_then(|value| value.get(..len));
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
            .field("class", &self.class)
            .field("method", &self.method)
            .field("transaction_id", &self.transaction_id())
            .finish_non_exhaustive()
    }
}
