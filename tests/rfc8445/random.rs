//! Anything may happen in any order: random inputs to the check engine, and
//! what must hold after each of them.

use std::time::Duration;

use floe::check::{
    Limits, ListState, LocalId, Notice, PairId, PairState, PeerRequest, Role, StartKind,
};
use floe::rng::{Rng, Seed};

use crate::bench::{Bench, address, host, ms, theirs};

const LIMIT: usize = 12;

/// A run of random inputs, replayed by its seed.
struct Run {
    bench: Bench,
    random: Rng,
    bases: [u16; 2],
    remotes: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Rng::new(&Seed::from_number(seed));
        let role =
            if random.number().is_multiple_of(2) { Role::Controlling } else { Role::Controlled };
        let limits = Limits { pairs: LIMIT, remotes: 8, found: 6 };
        let bench = Bench::with_limits(role, &[2, 1], limits).with_patience();
        Run { bench, random, bases: [0, 0], remotes: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.number() % bound
    }

    fn step(&mut self) {
        let stream = u16::try_from(self.below(2)).expect("0 or 1");
        match self.below(12) {
            0 => self.bench.checks.start(stream),
            1 => self.add_base(stream),
            2 | 3 => self.add_remote(stream),
            4..=6 => self.peer_checks(stream),
            7..=9 => self.answer(),
            10 => {
                let wait = [0, 1, 5, 49, 50, 200, 2_000, 20_000][self.below(8) as usize];
                self.bench.run(ms(wait));
            }
            _ => self.happen(stream),
        }
        self.bench.run(ms(0));
    }

    fn component(&mut self, stream: u16) -> u16 {
        if stream == 0 { 1 + u16::try_from(self.below(2)).expect("0 or 1") } else { 1 }
    }

    fn add_base(&mut self, stream: u16) {
        let n = &mut self.bases[usize::from(stream)];
        if *n == 5 {
            return;
        }
        *n += 1;
        let n = *n;
        let component = self.component(stream);
        let text = format!("10.0.{stream}.{n}:{component}");
        let base = u32::from(stream) * 100 + u32::from(n);
        self.bench.checks.add_base(stream, host(base, component, &text, 1000 - n));
    }

    fn add_remote(&mut self, stream: u16) {
        // Some come again, some are known from checks of the peer.
        self.remotes += 1;
        let n = if self.below(3) == 0 { self.below(20) } else { self.remotes % 200 };
        let component = self.component(stream);
        let text = format!("10.9.{stream}.{n}:{component}");
        let group = format!("f{}", self.below(4));
        let preference = u16::try_from(self.below(5_000)).expect("small");
        let candidate = theirs(&group, component, &text, preference);
        let _ = self.bench.checks.add_remote(stream, &candidate, address(&text));
    }

    fn peer_checks(&mut self, stream: u16) {
        let bases = u64::from(self.bases[usize::from(stream)]);
        if bases == 0 {
            return;
        }
        let local = LocalId(u16::try_from(self.below(bases)).expect("few bases"));
        let component = self.bench.checks.local(stream, local).component;
        let n = self.below(20);
        let request = PeerRequest {
            local,
            from: address(&format!("10.9.{stream}.{n}:{component}")),
            priority: u32::try_from(self.below(u64::from(u32::MAX))).expect("32 bits"),
            use_candidate: self.below(4) == 0,
            nomination: None,
        };
        let now = self.bench.now;
        let _ = self.bench.checks.peer_checked(stream, &request, now);
    }

    /// Answers one of the last requests: well, from elsewhere, or with an error.
    fn answer(&mut self) {
        let sent = self.bench.sent.len() as u64;
        if sent == 0 {
            return;
        }
        let back = self.below(8).min(sent - 1);
        let (_, start) = self.bench.sent[(sent - 1 - back) as usize];
        let local = self.bench.local_of(start.pair);
        let from = address(&self.bench.to(start.pair));
        let now = self.bench.now;
        let checks = &mut self.bench.checks;
        match self.random.number() % 12 {
            0 => checks.refused(&start.id, local.base, from, 400, now),
            1 => checks.refused(&start.id, local.base, from, 403, now),
            2 => checks.refused(&start.id, local.base, from, 487, now),
            3 => checks.succeeded(&start.id, local.base, address("9.9.9.9:9"), local.address, now),
            4 => {
                let mapped = format!("192.0.2.{}:7", self.random.number() % 4);
                checks.succeeded(&start.id, local.base, from, address(&mapped), now);
            }
            5 => {
                // The address of another base of ours.
                let mapped =
                    format!("10.0.{}.{}:1", self.random.number() % 2, 1 + self.random.number() % 5);
                checks.succeeded(&start.id, local.base, from, address(&mapped), now);
            }
            _ => checks.succeeded(&start.id, local.base, from, local.address, now),
        }
    }

    fn happen(&mut self, stream: u16) {
        let checks = &mut self.bench.checks;
        match self.random.number() % 6 {
            0 => checks.switch_role(checks.role().other()),
            1 => checks.local_candidates_done(stream),
            2 => checks.remote_candidates_done(stream),
            3 => checks.agree_pacing(ms(20)),
            4 => checks.path_error(1, address("10.9.0.1:1"), std::io::ErrorKind::HostUnreachable),
            _ => checks.set_tie_breaker(9),
        }
    }

    fn assert_invariants(&self) {
        let checks = &self.bench.checks;
        assert!(checks.listed() <= LIMIT, "{} pairs", checks.listed());
        let pairs = || (0..2).flat_map(|stream| checks.pairs(stream));
        let on_list = pairs().filter(|(_, p)| p.state != PairState::Removed).count();
        assert_eq!(on_list, checks.listed());
        for stream in 0..2 {
            let components = checks.components(stream);
            for component in components {
                if let Some(id) = component.selected {
                    let pair = checks.pair(id);
                    assert_eq!(pair.state, PairState::Succeeded, "the selected pair");
                    assert!(pair.nominated && pair.component == component.id);
                    assert_eq!(component.send, Some(id));
                }
                if let Some(id) = component.send {
                    let pair = checks.pair(id);
                    assert!(pair.component == component.id && pair.stream == stream);
                    assert!(pair.valid.is_some(), "data goes over valid pairs");
                    let fresh = pair.confirmed.expect("an answer") + Duration::from_secs(30);
                    assert!(fresh > self.bench.now, "consent");
                }
            }
            if checks.list_state(stream) == Some(ListState::Completed) {
                assert!(components.iter().all(|c| c.selected.is_some() || c.lost), "stuck");
            }
            let all_selected = components.iter().all(|c| c.selected.is_some());
            if checks.list_state(stream) == Some(ListState::Running) {
                assert!(!all_selected || !self.was_started(stream));
            }
        }
        let mut ends: Vec<_> = pairs()
            .filter(|(_, p)| p.state != PairState::Removed)
            .map(|(_, p)| (p.stream, p.local, p.remote))
            .collect();
        let count = ends.len();
        ends.sort();
        ends.dedup();
        assert_eq!(ends.len(), count, "a pair stands on its list once");
    }

    fn was_started(&self, stream: u16) -> bool {
        self.bench.checks.pairs(stream).next().is_some()
    }

    /// What was sent: paced, and never USE-CANDIDATE by the controlled agent.
    fn assert_record(&self) {
        let new: Vec<_> = self
            .bench
            .sent
            .iter()
            .filter(|(_, s)| !s.again && s.kind != StartKind::Consent)
            .collect();
        for two in new.windows(2) {
            assert!(two[1].0 - two[0].0 >= crate::bench::TA, "{two:?}");
        }
        for (_, start) in &self.bench.sent {
            assert!(!start.use_candidate || start.role == Role::Controlling);
        }
    }

    /// Lets everything time out: nothing may be left that waits for ever.
    fn assert_end(&mut self) {
        for stream in 0..2 {
            self.bench.checks.start(stream);
            self.bench.checks.start_patience(self.bench.now + Duration::from_secs(39));
        }
        self.bench.run(Duration::from_secs(300));
        self.assert_invariants();
        assert_eq!(self.bench.checks.poll_timeout(), None, "nobody answers, nothing is left to do");
        for stream in 0..2 {
            let listed: Vec<(PairId, PairState)> = self
                .bench
                .checks
                .pairs(stream)
                .filter(|(_, p)| matches!(p.state, PairState::Waiting | PairState::InProgress))
                .map(|(id, p)| (id, p.state))
                .collect();
            assert_eq!(listed, [], "no pair is left undecided");
            assert_ne!(self.bench.checks.list_state(stream), Some(ListState::Running));
        }
        let selected = self.bench.notices.iter().filter(|n| matches!(n, Notice::Selected(_)));
        let _ = selected.count();
    }
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let seeds = std::env::var("FLOE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let first = std::env::var("FLOE_SEED").ok().and_then(|n| n.parse().ok());
    for seed in first.map_or(0..seeds, |seed: u64| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            for _ in 0..200 {
                run.step();
                run.assert_invariants();
            }
            run.assert_record();
            run.assert_end();
        });
        assert!(outcome.is_ok(), "replay with FLOE_SEED={seed}");
    }
}
