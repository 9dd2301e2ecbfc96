//! Why a pair is of no use any more.

use std::io::ErrorKind;
use std::sync::Arc;

use super::fixture::{Set, ms};
use crate::check::{FailReason, Fast, LocalId, Notice, PairId, PairState, RemoteId, Role};

/// A controlled agent with two pairs, the lower one selected, and what it sent.
fn lower_selected() -> (Set, [PairId; 2]) {
    let mut set = Set::started(Role::Controlled, 2);
    let sent = set.run_to(10);
    let pairs = [sent[0].1.pair, sent[1].1.pair];
    set.answer(&sent[1].1);
    set.peer_checks(pairs[1], true);
    assert_eq!(set.selected(), Some(pairs[1]));
    (set, pairs)
}

#[test]
fn a_pair_that_is_superseded_names_the_one_that_was_selected() {
    let (mut set, [higher, selected]) = lower_selected();
    let reason = FailReason::Superseded(selected);
    assert_eq!(set.pair(higher).reason, Some(reason));
    assert!(set.notices().contains(&Notice::Lost(higher, reason)));
    assert_eq!(reason.to_string(), format!("superseded (by pair {})", selected.0));
}

#[test]
fn a_role_conflict_beside_the_selected_pair_is_the_reason() {
    let (mut set, [higher, _]) = lower_selected();
    set.peer_checks(higher, true);
    let sent = set.run_to(20);
    assert_eq!(sent[0].1.pair, higher, "a higher nominated pair is checked once more");
    set.refuse(&sent[0].1, 487);
    let pair = set.pair(higher);
    assert_eq!((pair.state, pair.reason), (PairState::Failed, Some(FailReason::RoleConflict)));
}

#[test]
fn answers_with_wrong_integrity_are_the_reason_for_silence() {
    for error in [None, Some(ErrorKind::ConnectionRefused)] {
        let mut set = Set::started(Role::Controlled, 1);
        let sent = set.run_to(0);
        let start = sent[0].1;
        if let Some(kind) = error {
            let (base, to, _) = set.ends(start.pair);
            set.checks.path_error(base, to, kind);
        }
        set.checks.unauthentic(&start.id);
        set.checks.unauthentic(&start.id);
        assert_eq!(set.pair(start.pair).state, PairState::InProgress, "it decides nothing");
        set.run_to(39_500);
        let pair = set.pair(start.pair);
        assert_eq!((pair.unauthentic, pair.reason), (2, Some(FailReason::WrongIntegrity)));
    }
    let mut set = Set::started(Role::Controlled, 1);
    let sent = set.run_to(39_500);
    set.checks.unauthentic(&crate::stun::TransactionId([9; 12]));
    assert_eq!(set.pair(sent[0].1.pair).reason, Some(FailReason::NoAnswer));
}

/// RFC 8489 §9.1.4: no other answer will come.
#[test]
fn over_a_stream_a_wrong_answer_ends_the_check() {
    let mut set = Set::started(Role::Controlled, 1);
    let start = set.run_to(0)[0].1;
    set.checks.violated(&crate::stun::TransactionId([9; 12]), ms(0));
    assert_eq!(set.pair(start.pair).state, PairState::InProgress, "it answers nothing of ours");
    set.checks.violated(&start.id, ms(0));
    let pair = set.pair(start.pair);
    assert_eq!(pair.state, PairState::Failed);
    assert_eq!((pair.unauthentic, pair.reason), (1, Some(FailReason::WrongIntegrity)));
}

#[test]
fn a_pair_below_the_limit_is_told_of() {
    let mut set = Set::with(Role::Controlled, &[1], 2, Arc::new(Fast::default()));
    for n in 1..=2 {
        set.base(0, 1, n);
    }
    set.checks.start(0);
    for n in 1..=2 {
        set.remote(0, 1, n).unwrap();
    }
    let not_formed = |n: &Notice| match *n {
        Notice::NotFormed { stream: 0, local, remote, .. } => Some((local, remote)),
        _ => None,
    };
    let notices = set.notices();
    let formed = notices.iter().filter(|n| matches!(n, Notice::Formed(_))).count();
    let lost = notices.iter().filter(|n| matches!(n, Notice::Lost(_, FailReason::Limit))).count();
    let missing: Vec<_> = notices.iter().filter_map(not_formed).collect();
    // Two bases and two remotes make four pairs.
    assert_eq!((formed - lost, formed + missing.len()), (2, 4), "{notices:?}");
    assert!(missing.iter().all(|(l, r)| l <= &LocalId(1) && r <= &RemoteId(1)));
    assert!(!missing.is_empty());
}

#[test]
fn consent_that_was_revoked_is_not_asked_for_again() {
    let mut set = Set::started(Role::Controlled, 1);
    let sent = set.run_to(0);
    let pair = sent[0].1.pair;
    set.answer(&sent[0].1);
    set.peer_checks(pair, true);
    let sent = set.run_to(6_000);
    set.refuse(&sent[0].1, 403);
    assert_eq!(set.pair(pair).reason, Some(FailReason::ConsentRevoked));
    let component = &set.checks.components(0)[0];
    assert!(component.lost && component.revoked);
    set.peer_checks(pair, true);
    assert!(set.run_to(60_000).is_empty());
}

#[test]
fn beside_consent_that_expired_no_other_pair_is_tried() {
    let mut set = Set::started(Role::Controlled, 1);
    let sent = set.run_to(0);
    set.answer(&sent[0].1);
    set.run_to(31_000);
    assert!(set.checks.components(0)[0].lost && !set.checks.components(0)[0].revoked);
    // From somewhere else: a new pair, which is of no use.
    let request = crate::check::PeerRequest {
        local: LocalId(0),
        from: super::fixture::theirs(9),
        priority: 1000,
        use_candidate: true,
        nomination: None,
    };
    set.checks.peer_checked(0, &request, set.now).unwrap();
    let (_, pair) = set.checks.pairs(0).last().unwrap();
    assert_eq!((pair.state, pair.reason), (PairState::Removed, Some(FailReason::ConsentExpired)));
    assert!(set.now >= ms(31_000) && set.run_to(60_000).is_empty());
}
