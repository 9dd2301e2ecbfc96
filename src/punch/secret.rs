//! What two agents share who meet without signalling.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::rng::Rng;

/// Digits of 5 bits each, none that is easily taken for another (Crockford's).
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 digits are 130 bits.
const RANDOM: usize = 26;
/// And two, 10 bits, tell a slip of the pen.
const CHECK: usize = 2;
/// What the texts begin with.
const PREFIX: &str = "floe1-";
/// Between this and other uses of HMAC with the same secret.
const SALT: &[u8] = b"floe rendezvous 1";

/// A secret of at least 128 bits that two agents share, or what Argon2id made
/// of a passphrase. It derives all else, as HKDF-SHA256 does (RFC 5869). Its
/// text is in no output of [`fmt::Debug`].
#[derive(Clone)]
pub struct Secret {
    /// HKDF's pseudorandom key.
    key: [u8; 32],
}

/// Why a text is no [`Secret`]. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It is not `floe1-` and 28 digits.
    #[error("a shared secret is `floe1-` and 28 letters and digits")]
    Malformed,
    /// Its last digits do not fit the others.
    #[error("there is a slip in the shared secret")]
    Slip,
    /// The passphrase is shorter than 12 characters.
    #[error("a passphrase has at least 12 characters")]
    TooShort,
}

impl Secret {
    /// A new secret of 130 random bits, as the text to hand to the other side:
    /// `floe1-` and 28 letters and digits. [`FromStr`] reads it.
    pub fn new_text(rng: &mut Rng) -> Box<str> {
        let digits = rng.bytes::<RANDOM>().map(|byte| DIGITS[usize::from(byte % 32)]);
        let text: String = digits.iter().chain(&check(&digits)).map(|&d| char::from(d)).collect();
        format!("{PREFIX}{text}").into()
    }

    /// From bytes that nobody can guess, or that are costly to guess.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Secret { key: hmac(SALT, &[bytes]) }
    }

    /// `N` bytes for the use that `info` names: HKDF-Expand.
    ///
    /// `N` is at most 8,160.
    pub(super) fn derive<const N: usize>(&self, info: &[&[u8]]) -> [u8; N] {
        let mut derived = [0; N];
        let mut block: Vec<u8> = Vec::new();
        for (chunk, counter) in derived.chunks_mut(32).zip(1..=u8::MAX) {
            let mut parts = vec![block.as_slice()];
            parts.extend(info);
            let counter = [counter];
            parts.push(&counter);
            let next = hmac(&self.key, &parts);
            chunk.copy_from_slice(&next[..chunk.len()]);
            block = next.to_vec();
        }
        derived
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key)
        .expect("invariant: HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The last digits, of the others.
fn check(digits: &[u8]) -> [u8; CHECK] {
    let hash: [u8; 32] = Sha256::digest(digits).into();
    [hash[0], hash[1]].map(|byte| DIGITS[usize::from(byte % 32)])
}

impl FromStr for Secret {
    type Err = SecretError;

    /// Reads what [`Secret::new_text`] made, in capitals too.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        let text = text.to_ascii_lowercase();
        let digits = text.strip_prefix(PREFIX).ok_or(SecretError::Malformed)?.as_bytes();
        let is_whole = digits.len() == RANDOM + CHECK;
        if !is_whole || !digits.iter().all(|digit| DIGITS.contains(digit)) {
            return Err(SecretError::Malformed);
        }
        let (digits, last) = digits.split_at(RANDOM);
        if check(digits) != last {
            return Err(SecretError::Slip);
        }
        Ok(Secret::of(&[b"text ", digits].concat()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    #[test]
    fn a_new_secret_is_read_in_any_case_and_slips_are_told() {
        let text = Secret::new_text(&mut Rng::new(&Seed::from_number(1)));
        assert_eq!(text.len(), 34);
        let secret: Secret = text.parse().unwrap();
        let capitals: Secret = text.to_ascii_uppercase().parse().unwrap();
        assert_eq!(secret.key, capitals.key);
        for at in 6..text.len() {
            let other = if &text[at..=at] == "a" { "b" } else { "a" };
            let slip = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            // One in 1,024 slips cannot be told; of this text there is none.
            assert_eq!(slip.parse::<Secret>().unwrap_err(), SecretError::Slip, "{at}");
        }
        let long = format!("{text}0");
        for no in ["", "floe1-", "hunter2", &text[1..], &text[..33], &long, "floe1-é"] {
            assert_eq!(no.parse::<Secret>().unwrap_err(), SecretError::Malformed);
        }
    }

    /// RFC 5869 Appendix A.1 and A.3: extract and expand.
    #[test]
    fn derivation_is_hkdf() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let secret = Secret { key: hmac(&salt, &[&[0x0b; 22]]) };
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let (first, last) = info.split_at(3);
        let okm: [u8; 42] = secret.derive(&[first, last]);
        assert_eq!(okm[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
        assert_eq!(okm[34..], [0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65]);
        let secret = Secret { key: hmac(&[], &[&[0x0b; 22]]) };
        let okm: [u8; 42] = secret.derive(&[]);
        assert_eq!(okm[..8], [0x8d, 0xa4, 0xe7, 0x75, 0xa5, 0x63, 0xc1, 0x8f]);
    }

    #[test]
    fn debug_does_not_show_it() {
        let text = Secret::new_text(&mut Rng::new(&Seed::from_number(1)));
        let shown = format!("{:?}", text.parse::<Secret>());
        assert_eq!(shown, "Ok(Secret(…))");
    }
}
