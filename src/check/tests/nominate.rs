//! Nomination (RFC 8445 §8.1).

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Set, ms};
use crate::candidate::PairingClass;
use crate::check::{
    Best, Decision, Fast, ListState, NominationPolicy, PairState, PairView, Path, Role, StartKind,
};
use crate::timer::Time;

#[test]
fn the_only_valid_pair_is_nominated_at_once_and_selected_when_answered() {
    let mut set = Set::started(Role::Controlling, 1);
    let sent = set.run_to(20);
    set.answer(&sent[0].1);
    assert_eq!(set.checks.components(0)[0].send, Some(sent[0].1.pair));
    assert_eq!(set.selected(), None);
    let nomination = set.run_to(20);
    assert_eq!(nomination.len(), 1);
    assert_eq!(nomination[0].1.kind, StartKind::Nomination);
    assert!(nomination[0].1.use_candidate);
    set.now = ms(40);
    set.answer(&nomination[0].1);
    assert_eq!(set.selected(), Some(sent[0].1.pair));
    set.act();
    assert_eq!(set.checks.list_state(0), Some(ListState::Completed));
}

#[test]
fn a_controlled_agent_never_sends_use_candidate() {
    let mut set = Set::started(Role::Controlled, 3);
    let sent = set.run_to(20);
    set.answer(&sent[0].1);
    let later = set.run_to(4_000);
    assert!(sent.iter().chain(&later).all(|(_, s)| !s.use_candidate));
    assert_eq!(set.selected(), None);
}

#[test]
fn a_higher_pair_is_given_one_round_trip_of_the_valid_one() {
    let mut set = Set::started(Role::Controlling, 2);
    let sent = set.run_to(35);
    assert_eq!(sent.len(), 2);
    // The lower pair, sent at 5, answers after 30 ms. The higher one, sent at
    // 0, has waited as long.
    set.answer(&sent[1].1);
    let nomination = set.run_to(35);
    assert_eq!(nomination[0].1.pair, sent[1].1.pair);
    // Sent after the lower one, it would have had to be waited for.
    let mut set = Set::started(Role::Controlling, 2);
    let first = set.run_to(0);
    let last = set.listed(0)[1];
    set.peer_checks(last, false);
    let sent = set.run_to(10);
    assert_eq!(sent[0].1.pair, last);
    set.answer(&sent[0].1);
    let nomination = set.run_to(20);
    assert_eq!(nomination[0].1.pair, last);
    assert_eq!(set.names(first[0].1.pair), (1, 1));
}

#[test]
fn a_nomination_that_fails_is_followed_by_the_next_best() {
    let mut set = Set::started(Role::Controlling, 2);
    let sent = set.run_to(10);
    set.answer(&sent[0].1);
    set.answer(&sent[1].1);
    let nomination = set.run_to(10);
    assert_eq!(nomination[0].1.pair, sent[0].1.pair);
    set.refuse(&nomination[0].1, 400);
    let next = set.run_to(20);
    assert_eq!(next[0].1.pair, sent[1].1.pair);
    assert!(next[0].1.use_candidate);
    assert_eq!(set.pair(sent[0].1.pair).state, PairState::Failed);
    assert_eq!(set.checks.components(0)[0].send, Some(sent[1].1.pair));
}

#[test]
fn a_peer_that_nominates_a_valid_pair_selects_it() {
    let mut set = Set::started(Role::Controlled, 2);
    let sent = set.run_to(10);
    set.answer(&sent[1].1);
    set.peer_checks(sent[1].1.pair, true);
    assert_eq!(set.selected(), Some(sent[1].1.pair));
    // What was under way for the component has ended.
    assert!(set.run_to(3_000).is_empty());
}

#[test]
fn a_peer_that_nominates_early_selects_once_our_check_succeeds() {
    let mut set = Set::started(Role::Controlled, 1);
    let sent = set.run_to(10);
    let pair = sent[0].1.pair;
    set.peer_checks(pair, true);
    assert_eq!(set.selected(), None);
    set.answer(&sent[0].1);
    assert_eq!(set.selected(), Some(pair));
}

#[test]
fn use_candidate_of_a_controlled_peer_is_ignored() {
    let mut set = Set::started(Role::Controlling, 2);
    let sent = set.run_to(10);
    set.answer(&sent[1].1);
    set.peer_checks(sent[1].1.pair, true);
    assert_eq!(set.selected(), None);
}

#[test]
fn aggressive_nomination_ends_on_the_highest_pair() {
    let mut set = Set::started(Role::Controlled, 2);
    let sent = set.run_to(10);
    let (high, low) = (sent[0].1.pair, sent[1].1.pair);
    set.answer(&sent[1].1);
    set.peer_checks(low, true);
    assert_eq!(set.selected(), Some(low));
    set.peer_checks(high, true);
    let check = set.run_to(20);
    assert_eq!(check[0].1.pair, high);
    set.answer(&check[0].1);
    assert_eq!(set.selected(), Some(high));
    // And not back.
    set.peer_checks(low, true);
    assert_eq!(set.selected(), Some(high));
}

#[test]
fn components_are_selected_one_by_one_and_the_list_completes_with_the_last() {
    let mut set = Set::with(Role::Controlled, &[2], 100, Arc::new(Fast::default()));
    for component in [1, 2] {
        set.base(0, component, 1);
    }
    set.checks.start(0);
    for component in [1, 2] {
        set.remote(0, component, 1).unwrap();
    }
    let first = set.run_to(0);
    set.answer(&first[0].1);
    set.peer_checks(first[0].1.pair, true);
    let second = set.run_to(5);
    assert_eq!(set.checks.list_state(0), Some(ListState::Running));
    set.answer(&second[0].1);
    set.peer_checks(second[0].1.pair, true);
    set.act();
    assert_eq!(set.checks.list_state(0), Some(ListState::Completed));
}

fn view(priority: u64, path: Path) -> PairView {
    PairView {
        priority,
        path,
        state: PairState::InProgress,
        rtt: Some(Duration::from_millis(30)),
        first_sent: Some(ms(0)),
        confirmed: None,
        sent: 1,
        missed: 0,
    }
}

const DATAGRAM: Path =
    Path { reliable: false, dials: false, class: PairingClass::Datagram, indirect: false };
const STREAM: Path =
    Path { reliable: true, dials: true, class: PairingClass::SimultaneousOpen, ..DATAGRAM };
const INDIRECT: Path = Path { indirect: true, ..DATAGRAM };

fn fast(now: Time, valid: PairView, open: &[PairView]) -> Decision {
    Fast::default().decide(now, ms(30), &valid, &mut open.iter().copied())
}

#[test]
fn fast_waits_as_its_description_says() {
    let valid = view(10, DATAGRAM);
    let sent_at = |at, sent| PairView { first_sent: Some(ms(at)), sent, ..view(20, DATAGRAM) };
    let unsent = PairView { first_sent: None, sent: 0, ..view(20, DATAGRAM) };
    let wait = |at| Decision::Wait(Some(ms(at)));
    assert_eq!(fast(ms(30), valid, &[]), Decision::Nominate);
    assert_eq!(fast(ms(30), valid, &[view(5, DATAGRAM)]), Decision::Nominate);
    assert_eq!(fast(ms(30), valid, &[sent_at(5, 1)]), wait(35));
    assert_eq!(fast(ms(30), valid, &[sent_at(5, 1), sent_at(9, 1)]), wait(39));
    assert_eq!(fast(ms(39), valid, &[sent_at(5, 1), sent_at(9, 1)]), Decision::Nominate);
    assert_eq!(fast(ms(30), valid, &[unsent]), Decision::Wait(None));

    let stream = view(10, STREAM);
    assert_eq!(fast(ms(30), stream, &[sent_at(5, 1)]), wait(1_030));
    assert_eq!(fast(ms(30), stream, &[sent_at(5, 2)]), Decision::Nominate);
    assert_eq!(fast(ms(1_030), stream, &[unsent]), Decision::Nominate);
    assert_eq!(fast(ms(30), stream, &[]), Decision::Nominate);
    // A stream that is better than another has two round trips to open.
    let streams = |at| PairView { first_sent: Some(ms(at)), sent: 1, ..view(20, STREAM) };
    let valid = PairView { rtt: Some(Duration::from_millis(10)), ..stream };
    assert_eq!(fast(ms(30), valid, &[streams(15)]), wait(35));
    assert_eq!(fast(ms(35), valid, &[streams(15)]), Decision::Nominate);
    let unsent = PairView { first_sent: None, sent: 0, ..view(20, STREAM) };
    assert_eq!(fast(ms(30), valid, &[unsent]), wait(1_030));

    let indirect = view(10, INDIRECT);
    assert_eq!(fast(ms(30), indirect, &[unsent]), wait(2_030));
    assert_eq!(fast(ms(2_030), indirect, &[unsent]), Decision::Nominate);
    assert_eq!(fast(ms(30), indirect, &[view(20, INDIRECT)]), Decision::Nominate);
}

#[test]
fn best_waits_for_every_higher_pair_but_not_for_ever() {
    let best = |now, open: &[PairView]| {
        Best::default().decide(now, ms(30), &view(10, DATAGRAM), &mut open.iter().copied())
    };
    assert_eq!(best(ms(30), &[view(20, DATAGRAM)]), Decision::Wait(Some(ms(3_030))));
    assert_eq!(best(ms(3_030), &[view(20, DATAGRAM)]), Decision::Nominate);
    assert_eq!(best(ms(30), &[view(5, DATAGRAM)]), Decision::Nominate);
}
