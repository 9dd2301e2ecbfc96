//! Negotiation in virtual time: two agents of one library, host candidates,
//! 10 ms one way. What is measured is the CPU time of this thread from the
//! creation of both agents, through signalling in memory, until both have
//! their selected pair: nominated by the controlling side, and its nomination
//! answered; freeing them does not count.
//!
//! An optional argument says how many rounds (default 51).

mod floe_agent;
mod is_agent;
mod network;
mod rice_agent;
mod rtc_agent;

use std::time::Duration;

use floe_agent::FloeAgent;
use floe_peers::median;
use is_agent::{Eager, EagerReport, IsAgent, Relaxed};
use network::{Agent, Outcome, negotiate};
use nix::time::{ClockId, clock_gettime};
use rice_agent::RiceAgent;
use rtc_agent::RtcAgent;

const ROUNDS: usize = 51;
/// Whoever needs longer than this for a negotiation takes part in few rounds.
const SLOW: Duration = Duration::from_millis(50);
const SLOW_EVERY: usize = 17;

/// Candidates a side, the largest ratio to `is`, called eagerly, that counts
/// as a pass, and negotiations a round.
const CASES: [(u8, f64, u32); 3] = [(1, 0.8, 400), (10, 0.8, 40), (50, 0.4, 2)];

fn main() {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    println!("CPU of both agents, creation to both selected; 10 ms one way, {rounds} rounds");
    let passed = CASES.map(|(candidates, target, batch)| case(candidates, target, batch, rounds));
    if passed.contains(&false) {
        std::process::exit(1);
    }
}

struct Contestant {
    name: &'static str,
    run: fn(u8, u32) -> (Duration, Outcome),
    /// Microseconds a negotiation, by round.
    micros: Vec<f64>,
    is_slow: bool,
    outcome: Outcome,
}

impl Contestant {
    fn new<A: Agent>(name: &'static str) -> Self {
        let outcome = Outcome::default();
        Contestant { name, run: batch::<A>, micros: Vec::new(), is_slow: false, outcome }
    }

    fn round(&mut self, candidates: u8, negotiations: u32) {
        let (time, outcome) = (self.run)(candidates, negotiations);
        self.micros.push(time.as_secs_f64() * 1e6 / f64::from(negotiations));
        self.outcome = outcome;
    }
}

/// So many negotiations one after the other.
fn batch<A: Agent>(candidates: u8, negotiations: u32) -> (Duration, Outcome) {
    let machines = network::addresses(candidates).map(|sockets| A::machine(&sockets));
    let mut time = Duration::ZERO;
    let mut outcome = Outcome::default();
    for _ in 0..negotiations {
        // What reading the clock costs is taken off again.
        let clock = cpu_time();
        let start = cpu_time();
        let (agents, how) = negotiate::<A>(&machines);
        time += (cpu_time() - start).saturating_sub(start - clock);
        outcome = how;
        drop(agents);
    }
    (time, outcome)
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread has a CPU clock").into()
}

fn case(candidates: u8, target: f64, negotiations: u32, rounds: usize) -> bool {
    let mut contestants = [
        Contestant::new::<FloeAgent>("floe"),
        Contestant::new::<IsAgent<Eager>>("is 0.12, called eagerly"),
        Contestant::new::<IsAgent<Eager>>("is 0.12, called eagerly (control)"),
        Contestant::new::<IsAgent<EagerReport>>("is 0.12, eagerly, nomination unanswered"),
        Contestant::new::<IsAgent<Relaxed>>("is 0.12, called when it asks"),
        Contestant::new::<RtcAgent>("rtc-ice 0.21"),
        Contestant::new::<RiceAgent>("rice-proto 0.4"),
    ];
    for contestant in &mut contestants {
        contestant.round(candidates, 1);
        let micros = contestant.micros.pop().unwrap_or_default();
        contestant.is_slow = micros > SLOW.as_secs_f64() * 1e6;
    }
    let count = contestants.len();
    for round in 0..rounds {
        for place in 0..count {
            let contestant = &mut contestants[(round + place) % count];
            match (contestant.is_slow, round % SLOW_EVERY) {
                (false, _) => contestant.round(candidates, negotiations),
                (true, 0) => contestant.round(candidates, 1),
                (true, _) => {}
            }
        }
    }
    report(candidates, target, &contestants)
}

/// Prints medians and the medians of the per-round ratios to `is` eager.
fn report(candidates: u8, target: f64, contestants: &[Contestant]) -> bool {
    println!(
        "\n{candidates}×{candidates}{:>49} {:>8} {:>9} {:>8}",
        "CPU", "ratio", "selected", "sent"
    );
    let base = &contestants[1];
    let mut ours = f64::NAN;
    for (at, contestant) in contestants.iter().enumerate() {
        let every = if contestant.is_slow { SLOW_EVERY } else { 1 };
        let bases = base.micros.iter().step_by(every);
        let ratios: Vec<f64> =
            contestant.micros.iter().zip(bases).map(|(time, base)| time / base).collect();
        let ratio = median(&ratios);
        if at == 0 {
            ours = ratio;
        }
        println!(
            "  {:<40} {:>9.1} µs {:>7.2}× {:>6} ms {:>8}{}",
            contestant.name,
            median(&contestant.micros),
            ratio,
            contestant.outcome.selected.as_millis(),
            contestant.outcome.packets,
            if contestant.is_slow { "  (few rounds)" } else { "" },
        );
    }
    let passed = ours <= target;
    let verdict = if passed { "pass" } else { "MISS" };
    println!("  {verdict}: {ours:.3}× of `is` called eagerly, target ≤ {target}×");
    passed
}
