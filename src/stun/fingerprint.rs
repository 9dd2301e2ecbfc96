//! FINGERPRINT (RFC 8489 §14.7).

/// Bytes of the whole attribute.
pub(super) const ATTRIBUTE_LEN: usize = 8;

/// What a CRC-32 is XORed with: "STUN" in ASCII.
const XOR: u32 = 0x5354_554E;

/// What became of a message's FINGERPRINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Fingerprint {
    /// The message has none.
    Absent,
    /// It fits the message.
    Valid,
    /// It does not fit the message, which then is no STUN.
    Wrong,
}

/// The value for a message of which `covered` is everything before the
/// attribute, with the length field already counting it.
pub(super) fn value(covered: &[u8]) -> u32 {
    crc32fast::hash(covered) ^ XOR
}
