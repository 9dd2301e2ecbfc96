//! Rounds in which every contestant does the same work, one after the other,
//! so that what disturbs the machine disturbs all of them.

use std::hint::black_box;
use std::time::Instant;

/// One contestant in one discipline.
pub struct Contestant<'a> {
    /// What is printed.
    pub name: &'static str,
    run: Box<dyn FnMut(u32) + 'a>,
    nanos: Vec<f64>,
}

impl<'a> Contestant<'a> {
    /// A contestant that does `work` once a call.
    pub fn new<T>(name: &'static str, mut work: impl FnMut() -> T + 'a) -> Self {
        let run = move |calls| {
            for _ in 0..calls {
                black_box(work());
            }
        };
        Self { name, run: Box::new(run), nanos: Vec::new() }
    }

    /// The median of the rounds, in nanoseconds a call.
    pub fn median(&self) -> f64 {
        median(&self.nanos)
    }

    fn round(&mut self, calls: u32) {
        let start = Instant::now();
        (self.run)(calls);
        self.nanos.push(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
}

/// Runs `rounds` rounds of `calls` calls of each contestant, after one that
/// does not count. The order turns from round to round.
pub fn compete(contestants: &mut [Contestant<'_>], rounds: usize, calls: u32) {
    for contestant in contestants.iter_mut() {
        contestant.round(calls);
        contestant.nanos.clear();
    }
    let count = contestants.len();
    for round in 0..rounds {
        for place in 0..count {
            contestants[(round + place) % count].round(calls);
        }
    }
}

/// The median of `values`; NaN if there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => (sorted[len / 2 - 1] + sorted[len / 2]) / 2.0,
    }
}
