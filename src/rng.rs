//! The one source of randomness of an agent: a CSPRNG whose seed the driver
//! takes from the operating system and a test fixes.
//!
//! What is drawn is of two kinds. [`Rng::bytes`] and [`Rng::ice_chars`] are
//! for what nobody may guess: passwords, fragments, transaction ids. It is
//! never kept. [`Rng::number`] and [`Rng::between`] are for what decides
//! behaviour and is no secret, for it shows on the wire: tie-breakers in every
//! check, intervals in the times of the checks, names of candidates. An event
//! log keeps those numbers themselves ([`Rng::keep_draws`]), and no seed. That
//! tells nothing of the rest: to compute the seed, or any other output, from
//! outputs of a CSPRNG is what a CSPRNG withstands, and whoever watches the
//! wire has the same outputs.

use std::collections::VecDeque;
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
pub struct Rng {
    source: StdRng,
    draws: Option<Box<Draws>>,
}

/// The numbers that decide behaviour.
#[derive(Debug, Default)]
struct Draws {
    /// What the next draws give, in a replay.
    expected: VecDeque<u64>,
    /// What was drawn and not taken note of yet.
    drawn: Vec<u64>,
}

impl Rng {
    /// A source that gives the same values for the same seed.
    pub fn new(seed: &Seed) -> Self {
        Rng { source: StdRng::from_seed(seed.0), draws: None }
    }

    /// From now on the numbers that decide behaviour are kept until
    /// [`Rng::take_draws`].
    pub fn keep_draws(&mut self) {
        self.draws.get_or_insert_default();
    }

    /// The numbers of [`Rng::number`], and of [`Rng::between`] in nanoseconds,
    /// since the last call.
    pub fn take_draws(&mut self) -> Vec<u64> {
        self.draws.as_mut().map(|draws| std::mem::take(&mut draws.drawn)).unwrap_or_default()
    }

    /// The next draws give these numbers, as [`Rng::take_draws`] once returned
    /// them, and none that were expected before.
    pub fn expect_draws(&mut self, numbers: &[u64]) {
        self.draws.get_or_insert_default().expected = numbers.iter().copied().collect();
    }

    /// Random bytes that nobody can guess.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.source.fill_bytes(&mut bytes);
        bytes
    }

    /// A random number of 64 bits. It may be written to an event log.
    pub fn number(&mut self) -> u64 {
        self.draw(|source| source.next_u64())
    }

    /// `LEN` random ice-chars: 6 bits of randomness each (RFC 8839 §5.4).
    pub fn ice_chars<const LEN: usize>(&mut self) -> Box<str> {
        let chars = self.bytes::<LEN>().map(|byte| ICE_CHARS[usize::from(byte % 64)]);
        str::from_utf8(&chars).expect("invariant: ice-chars are ASCII").into()
    }

    /// A duration drawn evenly from `low..=high`, to the nanosecond. It may be
    /// written to an event log.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let nanos = self.draw(|source| nanos(source.random_range(low..=high)));
        // What a log says is not to be trusted.
        Duration::from_nanos(nanos).clamp(low, high)
    }

    fn draw(&mut self, from: impl FnOnce(&mut StdRng) -> u64) -> u64 {
        let Some(draws) = &mut self.draws else { return from(&mut self.source) };
        let number = draws.expected.pop_front().unwrap_or_else(|| from(&mut self.source));
        draws.drawn.push(number);
        number
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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

    #[test]
    fn draws_that_were_kept_are_drawn_again_from_another_seed() {
        let (low, high) = (Duration::from_secs(4), Duration::from_secs(6));
        let draw = |rng: &mut Rng| (rng.number(), rng.between(low, high), rng.number());
        let mut first = Rng::new(&Seed::from_number(7));
        first.keep_draws();
        let drawn = draw(&mut first);
        let kept = first.take_draws();
        assert_eq!((kept.len(), first.take_draws().len()), (3, 0));
        let mut second = Rng::new(&Seed::from_number(8));
        second.expect_draws(&kept);
        assert_eq!(draw(&mut second), drawn);
        assert_eq!(second.take_draws(), kept, "kept once more");
        assert_ne!(draw(&mut second), drawn, "its own again");
    }

    #[test]
    fn secrets_are_not_kept() {
        let mut rng = Rng::new(&Seed::from_number(7));
        rng.keep_draws();
        rng.bytes::<12>();
        rng.ice_chars::<24>();
        assert!(rng.take_draws().is_empty());
    }

    #[test]
    fn a_draw_that_cannot_be_is_held_to_its_range() {
        let (low, high) = (Duration::from_secs(4), Duration::from_secs(6));
        let mut rng = Rng::new(&Seed::from_number(7));
        rng.expect_draws(&[0, u64::MAX]);
        assert_eq!([rng.between(low, high), rng.between(low, high)], [low, high]);
    }
}
