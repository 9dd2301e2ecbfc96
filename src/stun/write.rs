//! Writers: the parts that every message is put together from, and the
//! messages that are not worth a template.

use std::net::SocketAddr;

use super::integrity::{Algorithm, IntegrityKey, SHA1_LEN, SHA256_LEN};
use super::{
    ATTRIBUTE_HEADER_LEN, AttributeType, Class, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId,
    UnknownAttributes, address, fingerprint, hmac_sha1, message_type, padded,
};

/// Writes a Binding request without credentials, as a STUN server wants it:
/// FINGERPRINT and nothing else. `out` is cleared first.
pub fn write_binding_request(id: TransactionId, out: &mut Vec<u8>) {
    header(Class::Request, Method::BINDING, id, out);
    fingerprint(out);
}

/// Writes a Binding indication, the keepalive of RFC 8445 §11: FINGERPRINT
/// and nothing else. `out` is cleared first.
pub fn write_indication(id: TransactionId, out: &mut Vec<u8>) {
    header(Class::Indication, Method::BINDING, id, out);
    fingerprint(out);
}

/// Writes a Send indication, which takes `data` to a peer through a TURN server
/// (RFC 8656 §11.1). `out` is cleared first; `data` has at most 65,000 bytes.
pub fn write_send_indication(id: TransactionId, peer: SocketAddr, data: &[u8], out: &mut Vec<u8>) {
    header(Class::Indication, Method::SEND, id, out);
    let mut value = [0; address::MAX_LEN];
    let len = address::write_xored(peer, &id, &mut value);
    attribute(AttributeType::XOR_PEER_ADDRESS, value.get(..len).unwrap_or_default(), out);
    attribute(AttributeType::DATA, data.get(..65_000).unwrap_or(data), out);
    set_length(out, 0);
}

/// Writes the Binding success response of a server that wants no credentials:
/// XOR-MAPPED-ADDRESS, and FINGERPRINT if the request had it (RFC 8489 §7.1).
/// `out` is cleared first.
pub fn write_mapped_address(
    id: TransactionId,
    mapped: SocketAddr,
    with_fingerprint: bool,
    out: &mut Vec<u8>,
) {
    header(Class::Success, Method::BINDING, id, out);
    xor_mapped_address(mapped, &id, out);
    if with_fingerprint {
        fingerprint(out);
    } else {
        set_length(out, 0);
    }
}

/// Writes a Binding error response with ERROR-CODE, with UNKNOWN-ATTRIBUTES
/// if `unknown` has any (420), with integrity if there is a key, and with
/// FINGERPRINT. `out` is cleared first.
///
/// `code` is held to 300..=699, `reason` to the 127 characters that RFC 8489
/// §14.8 allows, `unknown` to its first [`UnknownAttributes::MAX`] types.
pub fn write_error(
    id: TransactionId,
    code: u16,
    reason: &str,
    unknown: &[u16],
    key: Option<&IntegrityKey>,
    out: &mut Vec<u8>,
) {
    write_error_with(id, code, reason, unknown, key.map(|key| (key, Algorithm::Sha1)), out);
}

/// [`write_error`] with the integrity attribute that the request had: a
/// response has to have the same one (RFC 8489 §9.1.3).
pub fn write_error_with(
    id: TransactionId,
    code: u16,
    reason: &str,
    unknown: &[u16],
    key: Option<(&IntegrityKey, Algorithm)>,
    out: &mut Vec<u8>,
) {
    header(Class::Error, Method::BINDING, id, out);
    let end = reason.char_indices().nth(REASON_MAX).map_or(reason.len(), |(end, _)| end);
    error_code(code, reason.get(..end).unwrap_or_default(), out);
    let unknown = unknown.get(..UnknownAttributes::MAX).unwrap_or(unknown);
    if !unknown.is_empty() {
        attribute_header(AttributeType::UNKNOWN_ATTRIBUTES, 2 * unknown.len(), out);
        for kind in unknown {
            out.extend_from_slice(&kind.to_be_bytes());
        }
        pad(out);
    }
    if let Some((key, algorithm)) = key {
        integrity_with(key, algorithm, out);
    }
    fingerprint(out);
}

/// Appends ERROR-CODE; `code` is held to 300..=699.
pub(super) fn error_code(code: u16, reason: &str, out: &mut Vec<u8>) {
    let code = code.clamp(300, 699);
    attribute_header(AttributeType::ERROR_CODE, 4 + reason.len(), out);
    out.extend_from_slice(&[0, 0, (code / 100) as u8, (code % 100) as u8]);
    out.extend_from_slice(reason.as_bytes());
    pad(out);
}

/// Longest reason phrase in characters: "fewer than 128" (RFC 8489 §14.8).
const REASON_MAX: usize = 127;

/// Starts a message in `out`, with a length of zero.
pub(super) fn header(class: Class, method: Method, id: TransactionId, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&message_type(method, class).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
    out.extend_from_slice(&id.0);
}

/// Appends an attribute. Padding bytes are zero (RFC 8489 §14).
pub(super) fn attribute(kind: AttributeType, value: &[u8], out: &mut Vec<u8>) {
    attribute_header(kind, value.len(), out);
    out.extend_from_slice(value);
    pad(out);
}

/// Appends XOR-MAPPED-ADDRESS.
pub(super) fn xor_mapped_address(mapped: SocketAddr, id: &TransactionId, out: &mut Vec<u8>) {
    let mut value = [0; address::MAX_LEN];
    let len = address::write_xored(mapped, id, &mut value);
    attribute(AttributeType::XOR_MAPPED_ADDRESS, &value[..len], out);
}

/// Appends MESSAGE-INTEGRITY over what `out` holds.
pub(super) fn integrity(key: &IntegrityKey, out: &mut Vec<u8>) {
    let length = length(out, ATTRIBUTE_HEADER_LEN + SHA1_LEN);
    let hmac = hmac_sha1::bytes(&key.sha1(out, length));
    attribute(AttributeType::MESSAGE_INTEGRITY, &hmac, out);
    set_length(out, 0);
}

/// Appends the integrity attribute of `algorithm` over what `out` holds.
pub(super) fn integrity_with(key: &IntegrityKey, algorithm: Algorithm, out: &mut Vec<u8>) {
    match algorithm {
        Algorithm::Sha1 => integrity(key, out),
        Algorithm::Sha256 => {
            let length = length(out, ATTRIBUTE_HEADER_LEN + SHA256_LEN);
            let hmac = key.sha256(out, length);
            attribute(AttributeType::MESSAGE_INTEGRITY_SHA256, &hmac, out);
            set_length(out, 0);
        }
    }
}

/// Appends FINGERPRINT, which ends the message.
pub(super) fn fingerprint(out: &mut Vec<u8>) {
    set_length(out, fingerprint::ATTRIBUTE_LEN);
    let value = fingerprint::value(out);
    attribute(AttributeType::FINGERPRINT, &value.to_be_bytes(), out);
}

/// Sets the length field to what `out` holds and `more` bytes.
pub(super) fn set_length(out: &mut [u8], more: usize) {
    let length = length(out, more);
    out[2..4].copy_from_slice(&length.to_be_bytes());
}

/// The length field of a message that will have `more` bytes than `out` holds.
fn length(out: &[u8], more: usize) -> u16 {
    u16::try_from(out.len() - HEADER_LEN + more)
        .expect("invariant: every writer bounds what it is given below 64 KiB")
}

fn attribute_header(kind: AttributeType, len: usize, out: &mut Vec<u8>) {
    let len = u16::try_from(len).expect("invariant: writers bound their attributes");
    out.extend_from_slice(&kind.0.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
}

fn pad(out: &mut Vec<u8>) {
    out.resize(padded(out.len()), 0);
}
