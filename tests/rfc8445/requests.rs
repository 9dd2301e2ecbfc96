//! What the peer's checks do (RFC 8445 §7.3.1).

use std::time::Duration;

use floe::candidate::Kind;
use floe::check::{Limits, Notice, PairState, Refused, Role, StartKind};

use crate::bench::{Bench, LIMITS, TA, address, component, host, ms, theirs};

const PEER: &str = "10.0.1.1:1";
const NEW: &str = "192.0.2.9:900";

#[test]
fn an_unknown_source_is_a_peer_reflexive_candidate() {
    let mut bench = Bench::new(Role::Controlling, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 1, "10.0.0.2:1", 65000));
    bench.checks.start(0);
    bench.add_remote(0, "f1", 1, PEER, 100);
    bench.peer_checks(NEW, false).unwrap();
    let (_, found) = bench.checks.remotes(0).last().expect("a candidate");
    assert_eq!(found.kind, Kind::PeerReflexive);
    assert_eq!(found.address, address(NEW));
    assert_eq!(found.component, component(1));
    assert_eq!(found.priority, floe::candidate::priority(110, 500, component(1)));
    assert_eq!(found.signalled, None);
    assert!(
        bench
            .checks
            .remotes(0)
            .all(|(_, r)| r.address == address(NEW) || r.foundation != found.foundation)
    );
    // It is paired with the base that it was heard on, and no other.
    let listed: Vec<_> = bench.listed(0).into_iter().filter(|p| p.ends_with(NEW)).collect();
    assert_eq!(listed, [format!("10.0.0.1:1 > {NEW}")]);
    // Not even with a base that comes later.
    bench.checks.add_base(0, host(2, 1, "10.0.0.3:1", 64000));
    assert_eq!(bench.listed(0).iter().filter(|p| p.ends_with(NEW)).count(), 1);
    assert_eq!(bench.listed(0).iter().filter(|p| p.ends_with(PEER)).count(), 3);
}

#[test]
fn a_peer_reflexive_candidate_that_is_signalled_later_is_one() {
    let mut bench = Bench::new(Role::Controlling, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 1, "10.0.0.2:1", 65000));
    bench.checks.start(0);
    bench.peer_checks(NEW, false).unwrap();
    let heard = bench.pair(NEW).0;
    let signalled = theirs("f5", 1, NEW, 777);
    bench.checks.add_remote(0, &signalled, address(NEW)).unwrap();
    assert_eq!(bench.checks.remotes(0).count(), 1);
    let remote = bench.checks.remotes(0).next().expect("a candidate").1.clone();
    assert_eq!(remote.kind, Kind::Host);
    assert_eq!(remote.foundation, signalled.foundation);
    assert_eq!(remote.signalled.as_deref(), Some(&signalled));
    // The pair that was heard stays, and the other base gets one now.
    assert_eq!(bench.pair(NEW).0, heard);
    let expected = [format!("10.0.0.1:1 > {NEW}"), format!("10.0.0.2:1 > {NEW}")];
    assert_eq!(bench.listed(0), expected);
}

#[test]
fn a_check_triggers_one_for_a_pair_not_yet_checked() {
    let mut bench = Bench::simple(Role::Controlling, 3);
    bench.run(ms(0));
    bench.peer_checks("10.0.1.3:1", false).unwrap();
    assert_eq!(bench.state("10.0.1.3:1"), PairState::Waiting);
    bench.run(TA);
    assert_eq!(bench.last("10.0.1.3:1").kind, StartKind::Triggered);
    assert_eq!(bench.started()[1].1, "10.0.1.3:1");
}

#[test]
fn a_check_thaws_a_frozen_pair() {
    let mut bench = Bench::new(Role::Controlling, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.add_remote(0, "a", 1, PEER, 100);
    bench.add_remote(0, "a", 1, "10.0.1.2:1", 99);
    bench.checks.start(0);
    bench.run(ms(0));
    assert_eq!(bench.state("10.0.1.2:1"), PairState::Frozen);
    bench.peer_checks("10.0.1.2:1", false).unwrap();
    assert_eq!(bench.state("10.0.1.2:1"), PairState::Waiting);
    bench.run(TA);
    assert_eq!(bench.started()[1], (50, "10.0.1.2:1".to_owned()));
}

#[test]
fn a_check_revives_a_failed_pair() {
    let mut bench = Bench::simple(Role::Controlling, 1).with_patience();
    bench.run(ms(0));
    bench.refuse(PEER, 400);
    bench.peer_checks(PEER, false).unwrap();
    assert_eq!(bench.state(PEER), PairState::Waiting);
    bench.run(TA);
    bench.answer(PEER);
    assert_eq!(bench.state(PEER), PairState::Succeeded);
}

#[test]
fn a_check_restarts_one_under_way_whose_answer_still_counts() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(10));
    let first = bench.last(PEER);
    bench.peer_checks(PEER, false).unwrap();
    assert_eq!(bench.state(PEER), PairState::Waiting);
    bench.run(TA);
    let second = bench.last(PEER);
    assert_ne!(first.id, second.id);
    assert_eq!(second.kind, StartKind::Triggered);
    // The first is not sent again; the second is, on its own schedule.
    bench.run(ms(700));
    let of_first = bench.sent.iter().filter(|(_, s)| s.id == first.id).count();
    assert_eq!(of_first, 1);
    bench.answer_mapped(first.id, first.pair, address("10.0.0.1:1"));
    assert_eq!(bench.state(PEER), PairState::Succeeded);
}

/// Both sides would set off checks of each other for ever.
#[test]
fn a_triggered_check_under_way_is_not_restarted() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(10));
    bench.peer_checks(PEER, false).unwrap();
    bench.run(TA);
    let triggered = bench.last(PEER);
    assert_eq!(triggered.kind, StartKind::Triggered);
    for _ in 0..5 {
        bench.peer_checks(PEER, true).unwrap();
        assert_eq!(bench.state(PEER), PairState::InProgress);
        bench.run(TA);
    }
    assert_eq!(bench.last(PEER).id, triggered.id);
    bench.answer(PEER);
    assert!(bench.pair(PEER).1.nominated, "the nomination counts nevertheless");
}

#[test]
fn a_cancelled_check_is_forgotten_when_it_would_have_timed_out() {
    let mut bench = Bench::simple(Role::Controlled, 1).with_patience();
    bench.run(ms(10));
    let first = bench.last(PEER);
    bench.peer_checks(PEER, false).unwrap();
    bench.run(TA);
    bench.refuse(PEER, 400);
    assert_eq!(bench.state(PEER), PairState::Failed);
    bench.run(ms(39_000));
    assert!(bench.checks.pair_of(&first.id).is_some());
    bench.run(ms(1_000));
    assert!(bench.checks.pair_of(&first.id).is_none());
    assert_eq!(bench.checks.poll_timeout(), None);
}

#[test]
fn a_check_on_a_succeeded_pair_triggers_nothing() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(0));
    bench.answer(PEER);
    bench.peer_checks(PEER, false).unwrap();
    bench.run(ms(500));
    assert_eq!(bench.sent.len(), 1);
    assert_eq!(bench.state(PEER), PairState::Succeeded);
}

#[test]
fn a_pair_is_queued_once() {
    let mut bench = Bench::simple(Role::Controlled, 2);
    bench.run(ms(0));
    for _ in 0..5 {
        bench.peer_checks("10.0.1.2:1", false).unwrap();
    }
    bench.run(ms(300));
    assert_eq!(bench.started().len(), 2);
}

#[test]
fn the_peer_is_heard_on_a_pair_that_it_checked() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.peer_checks(PEER, false).unwrap();
    bench.peer_checks(PEER, false).unwrap();
    let opened = bench.notices.iter().filter(|n| matches!(n, Notice::Opened(_))).count();
    assert_eq!(opened, 1);
}

#[test]
fn a_nomination_of_a_succeeded_pair_selects_it() {
    let mut bench = Bench::simple(Role::Controlled, 2);
    bench.run(ms(0));
    bench.answer(PEER);
    bench.peer_checks(PEER, true).unwrap();
    let (id, pair) = bench.pair(PEER);
    assert!(pair.nominated);
    assert_eq!(bench.checks.components(0)[0].selected, Some(id));
}

#[test]
fn a_nomination_of_another_pair_waits_for_its_check() {
    let mut bench = Bench::simple(Role::Controlled, 2);
    bench.run(ms(0));
    bench.peer_checks("10.0.1.2:1", true).unwrap();
    assert_eq!(bench.checks.components(0)[0].selected, None);
    bench.run(TA);
    bench.answer("10.0.1.2:1");
    let (id, pair) = bench.pair("10.0.1.2:1");
    assert!(pair.nominated);
    assert_eq!(bench.checks.components(0)[0].selected, Some(id));
}

/// Implementations exist that send USE-CANDIDATE in either role.
#[test]
fn the_controlling_agent_answers_use_candidate_and_ignores_it() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    bench.run(ms(0));
    bench.peer_checks("10.0.1.2:1", true).unwrap();
    bench.run(TA);
    bench.answer("10.0.1.2:1");
    // Of a pair that is valid now, and that this agent has yet to nominate.
    bench.peer_checks("10.0.1.2:1", true).unwrap();
    let (_, pair) = bench.pair("10.0.1.2:1");
    assert!(pair.valid.is_some() && !pair.nominated);
    assert_eq!(bench.checks.components(0)[0].selected, None);
}

#[test]
fn a_nomination_heard_during_our_check_selects_by_its_answer() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(10));
    let first = bench.last(PEER);
    bench.peer_checks(PEER, true).unwrap();
    // The answer to the cancelled check does as well as that to the new one.
    bench.answer_mapped(first.id, first.pair, address("10.0.0.1:1"));
    assert_eq!(bench.checks.components(0)[0].selected, Some(first.pair));
    bench.run(ms(500));
    assert_eq!(bench.started().len(), 1, "the triggered check is not needed any more");
}

/// The peer nominates the pair of one base; its checks come from another.
#[test]
fn a_nomination_holds_for_the_valid_pair_of_its_check() {
    let mut bench = Bench::new(Role::Controlled, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 1, "10.0.0.2:1", 65000));
    bench.add_remote(0, "a", 1, PEER, 100);
    bench.checks.start(0);
    bench.run(ms(0));
    bench.peer_checks(PEER, true).unwrap();
    bench.run(TA);
    let start = bench.last(PEER);
    assert_eq!(bench.local_of(start.pair).base, 0);
    bench.answer_mapped(start.id, start.pair, address("10.0.0.2:1"));
    let selected = bench.checks.components(0)[0].selected.expect("a selected pair");
    assert_eq!(bench.local_of(selected).base, 1);
}

#[test]
fn a_nomination_whose_check_fails_selects_nothing() {
    let mut bench = Bench::simple(Role::Controlled, 2);
    bench.run(ms(0));
    bench.peer_checks(PEER, true).unwrap();
    bench.run(TA);
    bench.refuse(PEER, 400);
    assert_eq!(bench.state(PEER), PairState::Failed);
    assert_eq!(bench.checks.components(0)[0].selected, None);
    assert!(!bench.pair(PEER).1.nominated);
}

#[test]
fn the_controlling_agent_ignores_a_nomination() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    bench.run(ms(0));
    bench.peer_checks(PEER, true).unwrap();
    assert_eq!(bench.checks.components(0)[0].selected, None);
}

/// A peer of RFC 5245 nominates every pair; the highest counts.
#[test]
fn of_several_nominations_the_highest_counts() {
    for order in [["10.0.1.1:1", "10.0.1.2:1"], ["10.0.1.2:1", "10.0.1.1:1"]] {
        let mut bench = Bench::simple(Role::Controlled, 2);
        bench.run(ms(0));
        for to in order {
            bench.peer_checks(to, true).unwrap();
            bench.run(TA * 2);
            if bench.sent.iter().any(|(_, s)| bench.to(s.pair) == to) {
                bench.answer(to);
            }
        }
        let selected = bench.checks.components(0)[0].selected.expect("a selected pair");
        assert_eq!(bench.to(selected), "10.0.1.1:1", "{order:?}");
    }
}

#[test]
fn peer_reflexive_candidates_are_limited() {
    let limits = Limits { found: 3, ..LIMITS };
    let mut bench = Bench::with_limits(Role::Controlled, &[1], limits);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.start(0);
    for i in 1..=3 {
        bench.peer_checks(&format!("192.0.2.{i}:1"), false).unwrap();
    }
    assert_eq!(bench.peer_checks("192.0.2.4:1", false), Err(Refused::TooManyFound));
    assert_eq!(bench.checks.remotes(0).count(), 3);
    assert_eq!(bench.checks.listed(), 3);
    bench.run(Duration::from_secs(1));
    assert_eq!(bench.started().len(), 3);
}
