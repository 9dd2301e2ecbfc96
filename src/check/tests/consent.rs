//! Consent (RFC 7675).

use super::fixture::{Set, ms};
use crate::check::{FailReason, Notice, PairId, Role, Start, StartKind};

/// A controlled agent whose only pair is selected at time 0.
fn selected() -> (Set, PairId) {
    let mut set = Set::started(Role::Controlled, 1);
    let sent = set.run_to(0);
    let pair = sent[0].1.pair;
    set.answer(&sent[0].1);
    set.peer_checks(pair, true);
    assert_eq!(set.selected(), Some(pair));
    set.notices();
    (set, pair)
}

fn consent_checks(sent: &[(u64, Start)]) -> Vec<u64> {
    assert!(sent.iter().all(|(_, s)| s.kind == StartKind::Consent && !s.again));
    sent.iter().map(|(at, _)| *at).collect()
}

/// Runs to `end` and answers every check at once.
fn answered_until(set: &mut Set, end: u64) -> Vec<(u64, Start)> {
    let mut all = Vec::new();
    while let Some((next, _)) = set.checks.poll_timeout().filter(|(t, _)| *t <= ms(end)) {
        set.now = next;
        let sent = set.act();
        for (_, start) in &sent {
            set.answer(start);
        }
        all.extend(sent);
    }
    set.now = ms(end);
    all
}

#[test]
fn consent_is_asked_for_every_4_to_6_seconds() {
    let (mut set, _) = selected();
    let times = consent_checks(&answered_until(&mut set, 600_000));
    let mut gaps: Vec<_> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert!((4_000..=6_000).contains(&times[0]), "{times:?}");
    assert!(gaps.iter().all(|g| (3_999..=6_001).contains(g)), "{gaps:?}");
    gaps.sort_unstable();
    gaps.dedup();
    assert!(gaps.len() > 50, "the gaps are drawn at random: {gaps:?}");
}

#[test]
fn sixty_seconds_cost_ten_to_fifteen_checks() {
    let (mut set, _) = selected();
    let times = consent_checks(&answered_until(&mut set, 60_000));
    assert!((10..=15).contains(&times.len()), "{times:?}");
}

#[test]
fn without_an_answer_consent_ends_after_30_seconds() {
    let (mut set, pair) = selected();
    set.run_to(29_999);
    assert_eq!(set.checks.components(0)[0].send, Some(pair));
    set.notices();
    let sent = set.run_to(30_000);
    assert!(sent.is_empty());
    assert_eq!(set.checks.components(0)[0].send, None);
    assert!(set.checks.components(0)[0].lost);
    assert!(set.notices().contains(&Notice::ConsentExpired(pair)));
    assert_eq!(set.pair(pair).reason, Some(FailReason::ConsentExpired));
    assert!(set.run_to(200_000).is_empty(), "nothing is sent any more");
}

#[test]
fn any_answer_of_the_last_30_seconds_renews_consent() {
    let (mut set, pair) = selected();
    let sent = set.run_to(29_000);
    assert!(sent.len() >= 4);
    // The first check is answered late, the others never.
    set.answer(&sent[0].1);
    set.run_to(58_999);
    assert_eq!(set.checks.components(0)[0].send, Some(pair));
    set.run_to(59_000);
    assert_eq!(set.checks.components(0)[0].send, None);
}

#[test]
fn a_missed_check_is_told_and_an_answer_clears_it() {
    let (mut set, pair) = selected();
    let mut sent = set.run_to(12_000);
    let missed = set.notices().iter().filter(|n| **n == Notice::ConsentMissed(pair)).count();
    // Each counts once its answer is half a second late.
    let late = sent.iter().filter(|(at, _)| *at + 500 <= 12_000);
    assert_eq!(missed, late.count());
    sent.extend(set.run_to(12_500));
    assert!(set.checks.components(0)[0].missed() >= 2);
    set.answer(&sent.last().unwrap().1);
    assert_eq!(set.checks.components(0)[0].missed(), 0);
    assert!(set.notices().contains(&Notice::ConsentGiven(pair)));
}

#[test]
fn an_answer_from_elsewhere_renews_nothing() {
    let (mut set, _) = selected();
    let sent = set.run_to(20_000);
    let (base, _, mapped) = set.ends(sent[0].1.pair);
    for (_, start) in &sent {
        let elsewhere = super::fixture::theirs(9);
        set.checks.succeeded(&start.id, base, elsewhere, mapped, set.now);
    }
    set.run_to(30_000);
    assert_eq!(set.checks.components(0)[0].send, None);
}

#[test]
fn a_403_ends_consent_at_once() {
    let (mut set, pair) = selected();
    let sent = set.run_to(6_000);
    set.refuse(&sent[0].1, 403);
    assert_eq!(set.checks.components(0)[0].send, None);
    assert_eq!(set.pair(pair).reason, Some(FailReason::ConsentRevoked));
}

#[test]
fn consent_that_expired_is_not_asked_for_again() {
    let (mut set, pair) = selected();
    set.run_to(30_000);
    set.peer_checks(pair, true);
    assert!(set.run_to(60_000).is_empty());
    assert_eq!(set.checks.components(0)[0].send, None);
}

#[test]
fn a_late_answer_brings_no_data_back_to_a_component_that_lost_consent() {
    let mut set = Set::started(Role::Controlled, 2);
    let sent = set.run_to(10);
    set.answer(&sent[0].1);
    set.peer_checks(sent[1].1.pair, true);
    let again = set.run_to(20);
    assert_eq!(again[0].1.pair, sent[1].1.pair);
    set.run_to(31_000);
    assert!(set.checks.components(0)[0].lost);
    set.answer(&again[0].1);
    assert_eq!(set.checks.components(0)[0].send, None);
    assert_eq!(set.selected(), None);
}
