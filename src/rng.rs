//! The one source of randomness of an agent: a CSPRNG whose seed the driver
//! takes from the operating system and a test fixes.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore, SeedableRng};

/// The seed of an agent's random source. It is a secret: whoever knows it
/// knows the passwords.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed for tests, made from a number.
    pub fn from_number(number: u64) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        Seed(seed)
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// The characters of a username fragment or password: ice-char, RFC 8839 §5.4.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A seeded cryptographic random source.
#[derive(Debug)]
pub struct Rng(StdRng);

impl Rng {
    /// A source that gives the same values for the same seed.
    pub fn new(seed: &Seed) -> Self {
        Rng(StdRng::from_seed(seed.0))
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A random number of 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// `LEN` random ice-chars: 6 bits of randomness each (RFC 8839 §5.4).
    pub fn ice_chars<const LEN: usize>(&mut self) -> Box<str> {
        let chars = self.bytes::<LEN>().map(|byte| ICE_CHARS[usize::from(byte % 64)]);
        str::from_utf8(&chars).expect("invariant: ice-chars are ASCII").into()
    }

    /// A duration drawn evenly from `low..=high`.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        self.0.random_range(low..=high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values() {
        let (mut a, mut b) = (Rng::new(&Seed::from_number(7)), Rng::new(&Seed::from_number(7)));
        assert_eq!(a.bytes::<12>(), b.bytes::<12>());
        assert_eq!(a.ice_chars::<24>(), b.ice_chars::<24>());
        assert_ne!(Rng::new(&Seed::from_number(8)).number(), a.number());
    }
}
