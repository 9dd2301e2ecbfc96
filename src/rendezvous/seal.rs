//! Messages under a key of one direction: numbered, so that none counts twice.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The bytes of a number in front of what is sealed.
const NUMBER: usize = 8;

/// The bytes of the tag behind it.
const TAG: usize = 16;

/// What sealing adds.
pub(super) const OVERHEAD: usize = NUMBER + TAG;

/// The key of one direction, and the next number in it.
pub(super) struct Direction {
    key: LessSafeKey,
    next: u64,
}

impl Direction {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key)
            .expect("invariant: the key has the length of the cipher's");
        Direction { key: LessSafeKey::new(key), next: 0 }
    }

    /// The number, and what was sealed under it; `None` once the numbers are
    /// used up.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let number = self.next;
        self.next = number.checked_add(1)?;
        let mut sealed = plain.to_vec();
        self.key.seal_in_place_append_tag(nonce(number), Aad::empty(), &mut sealed).ok()?;
        Some([&number.to_be_bytes()[..], &sealed].concat())
    }

    /// What the other side sealed, if it did and has not come before.
    pub(super) fn open(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (number, sealed) = message.split_first_chunk::<NUMBER>()?;
        let number = u64::from_be_bytes(*number);
        if number < self.next {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let plain = self.key.open_in_place(nonce(number), Aad::empty(), &mut sealed).ok()?;
        let length = plain.len();
        self.next = number.checked_add(1)?;
        sealed.truncate(length);
        Some(sealed)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - NUMBER..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_once_and_in_order() {
        let (mut ours, mut theirs) = (Direction::new(&[7; 32]), Direction::new(&[7; 32]));
        let sealed: Vec<_> =
            [b"one".as_slice(), b"", b"three"].iter().map(|p| ours.seal(p).unwrap()).collect();
        assert_eq!(sealed[1].len(), OVERHEAD);
        assert_eq!(theirs.open(&sealed[0]).unwrap(), b"one");
        assert_eq!(theirs.open(&sealed[0]), None, "replayed");
        assert_eq!(theirs.open(&sealed[2]).unwrap(), b"three");
        assert_eq!(theirs.open(&sealed[1]), None, "overtaken");
        assert_eq!(Direction::new(&[8; 32]).open(&sealed[0]), None, "another key");
    }

    #[test]
    fn no_byte_may_be_changed_or_be_missing() {
        let sealed = Direction::new(&[7; 32]).seal(b"candidate").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(Direction::new(&[7; 32]).open(&changed), None, "{at}");
            assert_eq!(Direction::new(&[7; 32]).open(&sealed[..at]), None, "cut at {at}");
        }
    }
}
