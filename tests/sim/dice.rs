//! Draws from a seed, and runs over many seeds.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use floe::rng::{Rng, Seed};

pub struct Dice(Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Apart from the seeds of the agents.
        Dice(Rng::new(&Seed::from_number(seed | 1 << 63)))
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.0.number() >> 11) as f64 / ((1u64 << 53) as f64) < probability
    }

    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let size = range.end() - range.start() + 1;
        range.start() + self.0.number() % size
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.range(0..=end as u64 - 1) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_micros(self.range(range.start() * 1000..=range.end() * 1000))
    }

    pub fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.range(0..=longest.as_nanos() as u64))
    }
}

/// Runs `run` for every seed, or for the one in FLOE_SEED alone, and says how
/// to replay those that fail.
pub fn each_seed(test: &str, seeds: std::ops::Range<u64>, mut run: impl FnMut(u64)) {
    let chosen = std::env::var("FLOE_SEED").ok();
    let chosen = chosen.map(|text| text.parse().expect("FLOE_SEED is a number"));
    let mut failed = Vec::new();
    for seed in seeds.filter(|seed| chosen.is_none_or(|chosen: u64| chosen == *seed)) {
        if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
            println!("replay: FLOE_SEED={seed} cargo test --test sim {test} -- --nocapture");
            failed.push(seed);
            if failed.len() == 10 {
                break;
            }
        }
    }
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}

pub fn is_replay() -> bool {
    std::env::var_os("FLOE_SEED").is_some()
}
