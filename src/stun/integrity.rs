//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.5, §14.6).

use std::fmt;

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{ATTRIBUTE_HEADER_LEN, HEADER_LEN};

/// Bytes of an HMAC-SHA1.
pub(super) const SHA1_LEN: usize = 20;

/// Bytes of an untruncated HMAC-SHA256.
pub(super) const SHA256_LEN: usize = 32;

/// What became of a message's integrity attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// It fits the message and the key.
    Valid,
    /// The message has none.
    Missing,
    /// It does not fit.
    Wrong,
}

/// A key for message integrity with its HMAC states computed: derive it once
/// and keep it, then a message costs only the blocks of the message.
#[derive(Clone)]
pub struct IntegrityKey {
    sha1: Hmac<Sha1>,
    sha256: Hmac<Sha256>,
}

impl IntegrityKey {
    /// The key of the short-term mechanism (RFC 8489 §9.1.1): the password,
    /// prepared by OpaqueString. A password that OpaqueString refuses stands
    /// for its own bytes; an ICE password never is one.
    pub fn short_term(password: &str) -> Self {
        // OpaqueString leaves visible ASCII as it is, and ICE knows no other.
        if password.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Self::from_bytes(password.as_bytes());
        }
        match stun_rs::HMACKey::new_short_term(password) {
            Ok(key) => Self::from_bytes(key.as_bytes()),
            Err(_) => Self::from_bytes(password.as_bytes()),
        }
    }

    /// A key from its bytes, for instance one that was derived elsewhere.
    pub fn from_bytes(key: &[u8]) -> Self {
        Self { sha1: hmac(key), sha256: hmac(key) }
    }

    /// HMAC-SHA1 over `header` followed by `rest`.
    pub(super) fn sha1(&self, header: &[u8], rest: &[u8]) -> [u8; SHA1_LEN] {
        let mut mac = self.sha1.clone();
        mac.update(header);
        mac.update(rest);
        mac.finalize().into_bytes().into()
    }

    /// HMAC-SHA256 over `header` followed by `rest`.
    pub(super) fn sha256(&self, header: &[u8], rest: &[u8]) -> [u8; SHA256_LEN] {
        let mut mac = self.sha256.clone();
        mac.update(header);
        mac.update(rest);
        mac.finalize().into_bytes().into()
    }
}

fn hmac<M: Mac + hmac::digest::KeyInit>(key: &[u8]) -> M {
    <M as Mac>::new_from_slice(key).expect("invariant: HMAC takes a key of any length")
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(..)")
    }
}

/// The HMAC attribute that a message is verified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MESSAGE-INTEGRITY.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

/// Whether `value`, of the attribute at offset `at` of `message`, is the HMAC
/// of what stands before the attribute. For the HMAC the length field ends
/// the message behind this attribute, whatever follows (RFC 8489 §14.5).
pub(super) fn verify(
    key: &IntegrityKey,
    algorithm: Algorithm,
    message: &[u8],
    at: usize,
    value: &[u8],
) -> bool {
    let covered = message.get(..at).and_then(|covered| covered.split_first_chunk::<HEADER_LEN>());
    let Some((header, rest)) = covered else { return false };
    let length = rest.len() + ATTRIBUTE_HEADER_LEN + value.len();
    let Ok(length) = u16::try_from(length) else { return false };
    let mut header = *header;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    match algorithm {
        Algorithm::Sha1 => equal(value, &key.sha1(&header, rest)),
        Algorithm::Sha256 => equal(value, &key.sha256(&header, rest)),
    }
}

/// Constant-time comparison with the untruncated HMAC; a truncated `value`
/// is compared with as many bytes (RFC 8489 §14.6).
fn equal(value: &[u8], hmac: &[u8]) -> bool {
    hmac.get(..value.len()).is_some_and(|hmac| bool::from(hmac.ct_eq(value)))
}
