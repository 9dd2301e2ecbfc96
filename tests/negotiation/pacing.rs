//! Agents that share a pacer with many others (RFC 8445 §14.2).

use std::time::Duration;

use floe::agent::{Event, State, StateReason};
use floe::timer::{Pacer, Time};

use crate::network::{Options, Pair};

/// A pacer whose first slots are taken, to the last before `end`.
fn busy_until(end: Duration) -> Pacer {
    let pacer = Pacer::new();
    let slots = end.as_millis() / Pacer::MIN_SPACING.as_millis();
    (0..slots).for_each(|_| _ = pacer.reserve(Time::ZERO));
    pacer
}

/// Longer than a stream without a valid pair is given.
const BUSY: Duration = Duration::from_secs(100);

#[test]
fn a_turn_that_is_long_in_coming_fails_nobody() {
    let pacer = Some(busy_until(BUSY));
    let mut pair = Pair::new(Options { pacer, ..Options::default() });
    pair.signal_all();
    pair.run_until(Time::ZERO + (BUSY - Duration::from_millis(1)));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Checking);
    }
    assert!(pair.trace().is_empty(), "nothing is sent before its turn");
    pair.run_until(Time::ZERO + BUSY + Duration::from_secs(1));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed, "{:?}", pair.events(side));
    }
}

#[test]
fn what_is_never_answered_fails_as_long_after_its_turn_as_otherwise() {
    let failed = |busy| {
        let pacer = Some(busy_until(busy));
        let passes = Box::new(|_, _| false);
        let mut pair = Pair::new(Options { pacer, passes, ..Options::default() });
        pair.signal_all();
        pair.run_until(Time::ZERO + busy + Duration::from_secs(60));
        [0, 1].map(|side| {
            let failed = (State::Failed, StateReason::AllPairsFailed);
            let is_it = |e: &Event| matches!(*e, Event::State { state, reason } if (state, reason) == failed);
            pair.time_of(side, is_it).unwrap() - (Time::ZERO + busy)
        })
    };
    assert_eq!(failed(Duration::ZERO), failed(BUSY));
}
