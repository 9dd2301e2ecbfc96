//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.5, §14.6).

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::hmac_sha1::{self, HmacSha1};
use super::{ATTRIBUTE_HEADER_LEN, AttributeType, HEADER_LEN};

/// Bytes of an HMAC-SHA1.
pub(super) const SHA1_LEN: usize = 20;

/// Bytes of an untruncated HMAC-SHA256.
pub(super) const SHA256_LEN: usize = 32;

/// What became of a message's integrity attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
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
    sha1: HmacSha1,
    /// Few peers use SHA-256, so its state is computed at its first use.
    sha256: OnceLock<Box<Hmac<Sha256>>>,
    bytes: Box<[u8]>,
}

impl IntegrityKey {
    /// The key of the short-term mechanism (RFC 8489 §9.1.1): the password,
    /// prepared by OpaqueString. A password that OpaqueString refuses stands
    /// for its own bytes; an ICE password never is one.
    pub fn short_term(password: &str) -> Self {
        Self::from_bytes(prepared(password).as_bytes())
    }

    /// The key of the long-term mechanism (RFC 8489 §9.2.2, §18.5.1): a hash
    /// of username, realm and password, the last two prepared by
    /// OpaqueString. What OpaqueString refuses stands for its own bytes.
    pub fn long_term(
        username: &str,
        realm: &str,
        password: &str,
        algorithm: PasswordAlgorithm,
    ) -> Self {
        let text = format!("{username}:{}:{}", prepared(realm), prepared(password));
        match algorithm {
            PasswordAlgorithm::Md5 => Self::from_bytes(&Md5::digest(text)),
            PasswordAlgorithm::Sha256 => Self::from_bytes(&Sha256::digest(text)),
        }
    }

    /// A key from its bytes, for instance one that was derived elsewhere.
    pub fn from_bytes(key: &[u8]) -> Self {
        Self { sha1: HmacSha1::new(key), sha256: OnceLock::new(), bytes: key.into() }
    }

    /// The HMAC-SHA1 of `covered` with `length` in its length field.
    #[inline]
    pub(super) fn sha1(&self, covered: &[u8], length: u16) -> hmac_sha1::Words {
        self.sha1.of_message(covered, length)
    }

    /// The HMAC-SHA256 of `covered` with `length` in its length field.
    pub(super) fn sha256(&self, covered: &[u8], length: u16) -> [u8; SHA256_LEN] {
        let keyed = self.sha256.get_or_init(|| {
            let keyed = Hmac::new_from_slice(&self.bytes);
            Box::new(keyed.expect("invariant: HMAC takes a key of any length"))
        });
        let mut mac = Hmac::clone(keyed);
        if let Some((&[t0, t1, _, _], rest)) = covered.split_first_chunk::<4>() {
            let [l0, l1] = length.to_be_bytes();
            mac.update(&[t0, t1, l0, l1]);
            mac.update(rest);
        }
        mac.finalize().into_bytes().into()
    }
}

/// How the key of the long-term mechanism is hashed (RFC 8489 §18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordAlgorithm {
    /// MD5, also where the server names no algorithm.
    Md5,
    /// SHA-256.
    Sha256,
}

/// The value of USERHASH (RFC 8489 §14.4): the SHA-256 of username and realm,
/// both prepared by OpaqueString. What that refuses stands for its own bytes.
pub fn userhash(username: &str, realm: &str) -> [u8; SHA256_LEN] {
    Sha256::digest(format!("{}:{}", prepared(username), prepared(realm))).into()
}

/// `text` as OpaqueString (RFC 8265) prepares it, or as it is.
pub(crate) fn prepared(text: &str) -> Cow<'_, str> {
    // Visible ASCII stays as it is, and ICE passwords are nothing else.
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    match stun_rs::HMACKey::new_short_term(text) {
        Ok(key) => match std::str::from_utf8(key.as_bytes()) {
            Ok(prepared) => Cow::Owned(prepared.to_owned()),
            Err(_) => Cow::Borrowed(text),
        },
        Err(_) => Cow::Borrowed(text),
    }
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

impl Algorithm {
    pub(super) const fn attribute(self) -> AttributeType {
        match self {
            Algorithm::Sha1 => AttributeType::MESSAGE_INTEGRITY,
            Algorithm::Sha256 => AttributeType::MESSAGE_INTEGRITY_SHA256,
        }
    }
}

/// Whether `value`, of the attribute at offset `at` of `message`, is the HMAC
/// of what stands before the attribute; compared in constant time. For the HMAC the length field ends
/// the message behind this attribute, whatever follows (RFC 8489 §14.5).
pub(super) fn verify(
    key: &IntegrityKey,
    algorithm: Algorithm,
    message: &[u8],
    at: usize,
    value: &[u8],
) -> bool {
    let Some(covered) = message.get(..at) else { return false };
    let length = (at + ATTRIBUTE_HEADER_LEN + value.len()).checked_sub(HEADER_LEN);
    let Some(length) = length.and_then(|length| u16::try_from(length).ok()) else { return false };
    match algorithm {
        Algorithm::Sha1 => {
            let hmac = key.sha1(covered, length);
            hmac_sha1::words(value).is_some_and(|value| hmac_sha1::equal(&value, &hmac))
        }
        // A value may be truncated (RFC 8489 §14.6).
        Algorithm::Sha256 => {
            let hmac = key.sha256(covered, length);
            hmac.get(..value.len()).is_some_and(|hmac| bool::from(hmac.ct_eq(value)))
        }
    }
}
