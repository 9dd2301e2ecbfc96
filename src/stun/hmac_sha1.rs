//! HMAC-SHA1 (RFC 2104) over a message of a few blocks.
//!
//! The compression function is `sha1`'s. The rest is here, since the buffers
//! of a general streaming HMAC cost a third of a connectivity check: a STUN
//! message is contiguous, short and made of 32-bit words, and only its length
//! field has to be replaced.

use sha1::digest::generic_array::GenericArray;
use sha1::digest::generic_array::typenum::U64;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// A digest as the big-endian words of SHA-1.
pub(super) type Words = [u32; 5];

type Block = GenericArray<u8, U64>;

const BLOCK_LEN: usize = 64;

/// The initial hash value (RFC 3174 §6.1).
const INITIAL: Words = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// The states after the first block of the inner and of the outer hash, which
/// depends on the key alone.
#[derive(Clone)]
pub(super) struct HmacSha1 {
    inner: Words,
    outer: Words,
}

impl HmacSha1 {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_LEN];
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            None => block[..20].copy_from_slice(&Sha1::digest(key)),
        }
        Self { inner: keyed(&block, 0x36), outer: keyed(&block, 0x5c) }
    }

    /// The HMAC of `message`, which is made of whole 32-bit words, with
    /// `length` in its length field (bytes 2 and 3).
    #[inline]
    pub(super) fn of_message(&self, message: &[u8], length: u16) -> Words {
        let mut state = self.inner;
        let mut length = Some(length);
        let mut rest = message;
        if message.len() >= 2 * BLOCK_LEN {
            rest = hash_pairs(&mut state, message, length.take());
        }
        let mut blocks = [Block::default(); 2];
        fill(&mut blocks, rest, length);
        blocks[rest.len() / BLOCK_LEN][rest.len() % BLOCK_LEN] = 0x80;
        let mut used = (rest.len() + 1 + 8).div_ceil(BLOCK_LEN);
        if used > blocks.len() {
            sha1::compress(&mut state, &blocks);
            blocks = [Block::default(); 2];
            used = 1;
        }
        blocks[used - 1][BLOCK_LEN - 8..].copy_from_slice(&bits(message.len()));
        sha1::compress(&mut state, &blocks[..used]);
        self.outer_of(&state)
    }

    #[inline]
    fn outer_of(&self, inner: &Words) -> Words {
        let mut block = Block::default();
        for (place, word) in block.chunks_exact_mut(4).zip(inner) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        block[20] = 0x80;
        block[BLOCK_LEN - 8..].copy_from_slice(&bits(20));
        let mut state = self.outer;
        sha1::compress(&mut state, &[block]);
        state
    }
}

/// Whether two HMACs are equal, in constant time.
pub(super) fn equal(a: &Words, b: &Words) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    difference.ct_eq(&0).into()
}

/// The words of an HMAC-SHA1 as it stands in an attribute.
pub(super) fn words(value: &[u8]) -> Option<Words> {
    let value: &[u8; 20] = value.try_into().ok()?;
    let mut words = Words::default();
    for (word, bytes) in words.iter_mut().zip(value.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    Some(words)
}

/// The reverse of [`words`].
pub(super) fn bytes(words: &Words) -> [u8; 20] {
    let mut value = [0; 20];
    for (bytes, word) in value.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    value
}

/// The state after the key's block.
fn keyed(key: &[u8; BLOCK_LEN], pad: u8) -> Words {
    // Not `map`: over an array of this length it becomes 64 calls.
    let mut block = *key;
    for byte in &mut block {
        *byte ^= pad;
    }
    let mut state = INITIAL;
    sha1::compress(&mut state, &[block.into()]);
    state
}

/// Hashes two blocks at a time as long as there are two; returns what is left.
/// A connectivity check is shorter than that.
#[cold]
fn hash_pairs<'a>(state: &mut Words, message: &'a [u8], mut length: Option<u16>) -> &'a [u8] {
    let mut pairs = message.chunks_exact(2 * BLOCK_LEN);
    for pair in &mut pairs {
        let mut blocks = [Block::default(); 2];
        fill(&mut blocks, pair, length.take());
        sha1::compress(state, &blocks);
    }
    pairs.remainder()
}

/// Copies at most two blocks of text into `blocks`, and `length` into bytes 2
/// and 3 if these are the first of a message.
#[inline]
fn fill(blocks: &mut [Block; 2], text: &[u8], length: Option<u16>) {
    let rest = match text.split_first_chunk::<BLOCK_LEN>() {
        Some((first, rest)) => {
            blocks[0].copy_from_slice(first);
            rest
        }
        None => {
            copy_words(&mut blocks[0], text);
            &[]
        }
    };
    if let Some(length) = length {
        blocks[0][2..4].copy_from_slice(&length.to_be_bytes());
    }
    copy_words(&mut blocks[1], rest);
}

/// A call of `memcpy` for so few bytes costs more than the words one by one.
#[inline]
fn copy_words(block: &mut Block, text: &[u8]) {
    debug_assert!(text.len().is_multiple_of(4));
    for (place, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(text.as_chunks().0) {
        *place = *word;
    }
}

/// The length field that ends a hashed text of one block and `len` bytes.
fn bits(len: usize) -> [u8; 8] {
    (8 * (BLOCK_LEN + len) as u64).to_be_bytes()
}
