//! What is sent when (RFC 8445 §6.1.4.2, §14).

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Set, TA, ms};
use crate::check::flight::rto;
use crate::check::{Fast, ListState, Role, StartKind};

#[test]
fn new_checks_are_one_ta_apart_highest_first() {
    let mut set = Set::started(Role::Controlled, 4);
    let sent = set.run_to(100);
    let seen: Vec<_> = sent.iter().map(|(at, s)| (*at, set.names(s.pair).1)).collect();
    assert_eq!(seen, [(0, 1), (5, 2), (10, 3), (15, 4)]);
}

#[test]
fn lists_take_turns() {
    let mut set = Set::with(Role::Controlled, &[1, 1], 100, Arc::new(Fast::default()));
    for stream in [0, 1] {
        // Foundations differ, so that no list waits for the other.
        set.base(stream, 1, 1 + 100 * stream as u8);
        set.checks.start(stream);
        set.remote(stream, 1, 1).unwrap();
        set.remote(stream, 1, 2).unwrap();
    }
    let sent = set.run_to(100);
    let streams: Vec<_> = sent.iter().map(|(_, s)| set.pair(s.pair).stream).collect();
    assert_eq!(streams, [0, 1, 0, 1]);
}

#[test]
fn a_triggered_check_goes_before_ordinary_ones() {
    let mut set = Set::started(Role::Controlled, 4);
    set.run_to(0);
    let last = set.listed(0)[3];
    set.peer_checks(last, false);
    let sent = set.run_to(5);
    assert_eq!(sent[0].1.pair, last);
    assert_eq!(sent[0].1.kind, StartKind::Triggered);
}

#[test]
fn the_other_components_of_a_foundation_follow_its_first_success() {
    let mut set = Set::with(Role::Controlled, &[2], 100, Arc::new(Fast::default()));
    set.base(0, 1, 1);
    set.base(0, 2, 1);
    set.checks.start(0);
    set.remote(0, 1, 1).unwrap();
    set.remote(0, 2, 1).unwrap();
    let sent = set.run_to(400);
    assert_eq!(sent.len(), 1, "component 2 waits for component 1: {sent:?}");
    set.answer(&sent[0].1);
    let sent = set.run_to(410);
    assert_eq!(sent.len(), 1);
    assert_eq!(set.pair(sent[0].1.pair).component.number(), 2);
}

#[test]
fn a_frozen_pair_is_thawed_when_its_foundation_is_idle() {
    let mut set = Set::with(Role::Controlled, &[2], 100, Arc::new(Fast::default()));
    set.base(0, 1, 1);
    set.base(0, 2, 1);
    set.checks.start(0);
    set.remote(0, 1, 1).unwrap();
    set.remote(0, 2, 1).unwrap();
    let sent = set.run_to(0);
    set.refuse(&sent[0].1, 400);
    let sent = set.run_to(5);
    assert_eq!(set.pair(sent[0].1.pair).component.number(), 2);
}

#[test]
fn an_unanswered_check_is_sent_seven_times_and_fails_after_39_5_seconds() {
    let mut set = Set::started(Role::Controlled, 1);
    let sent = set.run_to(39_499);
    let times: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(sent.iter().all(|(_, s)| s.id == sent[0].1.id));
    let pair = sent[0].1.pair;
    assert_eq!(set.pair(pair).state, crate::check::PairState::InProgress);
    set.run_to(39_500);
    assert_eq!(set.pair(pair).state, crate::check::PairState::Failed);
}

/// Nothing that a peer signals makes us send more than two checks a Ta.
#[test]
fn at_most_one_new_check_and_one_retransmission_a_ta() {
    let mut set = Set::with(Role::Controlled, &[1], 100, Arc::new(Fast::default()));
    for n in 1..=10 {
        set.base(0, 1, n);
    }
    set.checks.start(0);
    for n in 1..=10 {
        set.remote(0, 1, n).unwrap();
    }
    let sent = set.run_to(60_000);
    assert_eq!(sent.iter().filter(|(_, s)| !s.again).count(), 100);
    let apart = |again: bool| {
        let times: Vec<u64> =
            sent.iter().filter(|(_, s)| s.again == again).map(|(at, _)| *at).collect();
        times.windows(2).map(|w| w[1] - w[0]).min().unwrap()
    };
    let ta = u64::try_from(TA.as_millis()).unwrap();
    assert!(apart(false) >= ta);
    assert!(apart(true) >= ta);
}

#[test]
fn the_retransmission_timeout_of_rfc_8445() {
    let ms = Duration::from_millis;
    assert_eq!(rto(ms(5), 1, None), ms(500));
    assert_eq!(rto(ms(50), 20, None), ms(1_000));
    assert_eq!(rto(ms(50), 100, None), ms(3_000));
    assert_eq!(rto(ms(50), 100, Some(ms(100))), ms(500));
    assert_eq!(rto(ms(50), 100, Some(ms(400))), ms(800));
}

#[test]
fn the_larger_pacing_counts() {
    let mut set = Set::started(Role::Controlled, 3);
    set.checks.agree_pacing(Duration::from_millis(20));
    set.checks.agree_pacing(Duration::from_millis(1));
    let times: Vec<_> = set.run_to(100).into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [0, 20, 40]);
}

#[test]
fn a_list_without_pairs_fails_when_patience_ends_and_not_before() {
    let mut set = Set::new(Role::Controlled);
    set.base(0, 1, 1);
    set.checks.start(0);
    set.checks.remote_candidates_done(0);
    set.checks.patience = Some(ms(39_500));
    set.run_to(39_499);
    assert_eq!(set.checks.list_state(0), Some(ListState::Running));
    set.run_to(39_500);
    assert_eq!(set.checks.list_state(0), Some(ListState::Failed));
    assert_eq!(set.checks.poll_timeout(), None);
}

#[test]
fn a_check_of_the_peer_within_patience_saves_the_list() {
    let mut set = Set::started(Role::Controlled, 1);
    set.checks.patience = Some(ms(39_500));
    let sent = set.run_to(0);
    set.refuse(&sent[0].1, 400);
    set.run_to(30_000);
    assert_eq!(set.checks.list_state(0), Some(ListState::Running));
    set.peer_checks(sent[0].1.pair, true);
    let sent = set.run_to(30_005);
    set.answer(&sent[0].1);
    set.run_to(39_500);
    assert_eq!(set.checks.list_state(0), Some(ListState::Completed));
}

#[test]
fn a_failed_list_does_not_keep_another_one_frozen() {
    let mut set = Set::with(Role::Controlled, &[2, 1], 100, Arc::new(Fast::default()));
    for (stream, component) in [(0, 1), (0, 2), (1, 1)] {
        set.base(stream, component, 1);
    }
    set.checks.start(0);
    set.checks.start(1);
    // Component 2 of stream 0 gets nothing; its list fails with patience.
    set.remote(0, 1, 1).unwrap();
    set.remote(1, 1, 1).unwrap();
    set.checks.patience = Some(ms(1_000));
    let sent = set.run_to(1_100);
    assert_eq!(set.checks.list_state(0), Some(ListState::Failed));
    assert_eq!(set.checks.list_state(1), Some(ListState::Running));
    let second = sent.iter().find(|(_, s)| set.pair(s.pair).stream == 1);
    assert!(second.is_some(), "{sent:?}");
}
