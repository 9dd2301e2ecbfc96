//! What the answers to checks do (RFC 8445 §7.2.5).

use std::io::ErrorKind;
use std::time::Duration;

use floe::candidate::Kind;
use floe::check::{FailReason, Notice, PairState, Role, StartKind};

use crate::bench::{Bench, TA, TIE_BREAKER, address, host, ms};

const PEER: &str = "10.0.1.1:1";

#[test]
fn a_success_makes_the_pair_valid() {
    let mut bench = Bench::simple(Role::Controlled, 2);
    bench.run(ms(10));
    bench.answer(PEER);
    let (id, pair) = bench.pair(PEER);
    assert_eq!(pair.state, PairState::Succeeded);
    assert!(!pair.nominated);
    assert_eq!(pair.rtt, Some(ms(10)));
    assert_eq!(pair.valid, Some(pair.local));
    assert!(bench.notices.contains(&Notice::Succeeded(id)));
    assert_eq!(bench.checks.components(0)[0].send, Some(id));
    assert_eq!(bench.checks.components(0)[0].selected, None);
}

#[test]
fn a_success_thaws_its_foundation_in_all_lists() {
    let mut bench = Bench::new(Role::Controlled, &[1, 1]);
    for stream in 0..2 {
        bench.checks.add_base(stream, host(u32::from(stream), 1, "10.0.0.1:1", 65535));
        bench.add_remote(stream, "a", 1, PEER, 100);
        bench.add_remote(stream, "b", 1, "10.0.1.2:1", 99);
        bench.checks.start(stream);
    }
    let states = |bench: &Bench| {
        bench.checks.pairs(1).map(|(id, p)| (bench.to(id), p.state)).collect::<Vec<_>>()
    };
    bench.run(ms(0));
    assert!(states(&bench).iter().all(|(_, state)| *state == PairState::Frozen));
    bench.answer(PEER);
    let expected = [(PEER, PairState::Waiting), ("10.0.1.2:1", PairState::Frozen)];
    assert_eq!(states(&bench), expected.map(|(to, state)| (to.to_owned(), state)));
}

#[test]
fn a_failure_leaves_its_foundation_alone() {
    let mut bench = Bench::new(Role::Controlling, &[2]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 2, "10.0.0.1:2", 65535));
    bench.add_remote(0, "a", 1, PEER, 100);
    bench.add_remote(0, "a", 2, "10.0.1.1:2", 100);
    bench.checks.start(0);
    bench.run(ms(0));
    bench.refuse(PEER, 400);
    assert_eq!(bench.state(PEER), PairState::Failed);
    assert_ne!(bench.state("10.0.1.1:2"), PairState::Failed);
}

#[test]
fn another_mapped_address_is_a_peer_reflexive_candidate() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(0));
    let start = bench.last(PEER);
    bench.answer_mapped(start.id, start.pair, address("192.0.2.7:4000"));
    let pair = bench.checks.pair(start.pair).clone();
    let base = bench.checks.local(0, pair.local).clone();
    let found = bench.checks.local(0, pair.valid.expect("a valid pair")).clone();
    assert_eq!(found.kind, Kind::PeerReflexive);
    assert_eq!(found.address, address("192.0.2.7:4000"));
    assert_eq!(found.base, base.base);
    assert_eq!(found.priority, base.reflexive_priority);
    assert_eq!(found.related, Some(base.address));
    assert_ne!(found.foundation, base.foundation, "another type, another foundation");
    let notice = Notice::LocalFound { stream: 0, local: pair.valid.expect("a valid pair") };
    assert_eq!(bench.notices.iter().filter(|n| **n == notice).count(), 1);
    // It forms no pairs, not even with candidates that come later.
    bench.add_remote(0, "f9", 1, "10.0.1.9:1", 9);
    assert_eq!(bench.listed(0), ["10.0.0.1:1 > 10.0.1.1:1", "10.0.0.1:1 > 10.0.1.9:1"]);
}

#[test]
fn a_known_mapped_address_is_no_new_candidate() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    let image = floe::check::Local {
        address: address("192.0.2.7:4000"),
        kind: Kind::ServerReflexive,
        ..host(0, 1, "10.0.0.1:1", 65535)
    };
    let image = bench.checks.add_image(0, image);
    bench.run(ms(0));
    let start = bench.last(PEER);
    bench.answer_mapped(start.id, start.pair, address("192.0.2.7:4000"));
    assert_eq!(bench.checks.pair(start.pair).valid, image);
    assert!(!bench.notices.iter().any(|n| matches!(n, Notice::LocalFound { .. })));
}

/// RFC 8445 appendix B.2: two bases may have candidates of one address.
#[test]
fn an_equal_address_of_another_base_is_not_meant() {
    let mut bench = Bench::new(Role::Controlled, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.1.100:2498", 65535));
    bench.checks.add_base(0, host(1, 1, "192.168.1.100:3344", 65000));
    let image = floe::check::Local {
        address: address("10.0.1.100:2498"),
        kind: Kind::ServerReflexive,
        ..host(1, 1, "192.168.1.100:3344", 65000)
    };
    bench.checks.add_image(0, image);
    bench.add_remote(0, "a", 1, "10.0.1.101:1", 100);
    bench.checks.start(0);
    bench.run(TA);
    let second = bench.last("10.0.1.101:1");
    assert_eq!(bench.local_of(second.pair).base, 1);
    bench.answer_mapped(second.id, second.pair, address("10.0.1.100:2498"));
    assert_eq!(bench.checks.pair(second.pair).state, PairState::Succeeded);
    assert_eq!(bench.checks.components(0)[0].send, Some(second.pair));
}

/// The peer sees one base's checks come from another base of ours.
#[test]
fn the_valid_pair_may_be_another_one() {
    let mut bench = Bench::new(Role::Controlled, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 1, "10.0.0.2:1", 65000));
    bench.add_remote(0, "a", 1, PEER, 100);
    bench.checks.start(0);
    bench.run(ms(0));
    let start = bench.last(PEER);
    bench.answer_mapped(start.id, start.pair, address("10.0.0.2:1"));
    let succeeded: Vec<_> = bench
        .checks
        .pairs(0)
        .filter(|(_, p)| p.state == PairState::Succeeded)
        .map(|(id, p)| (bench.local_of(id).address.to_string(), p.valid.is_some()))
        .collect();
    let expected = [("10.0.0.1:1".to_owned(), false), ("10.0.0.2:1".to_owned(), true)];
    assert_eq!(succeeded, expected, "both Succeeded, one in the valid list");
}

#[test]
fn an_answer_from_elsewhere_fails_the_pair() {
    for (base, from) in [(0, "10.0.1.2:1"), (0, "10.0.1.1:2"), (7, PEER)] {
        let mut bench = Bench::simple(Role::Controlling, 1);
        bench.run(ms(0));
        let id = bench.last(PEER).id;
        bench.checks.succeeded(&id, base, address(from), address("10.0.0.1:1"), bench.now);
        let pair = bench.pair(PEER).1;
        assert_eq!((pair.state, pair.reason), (PairState::Failed, Some(FailReason::NotSymmetric)));
    }
}

#[test]
fn an_error_response_fails_the_pair() {
    let mut bench = Bench::simple(Role::Controlling, 1);
    bench.run(ms(0));
    bench.refuse(PEER, 400);
    let pair = bench.pair(PEER).1;
    assert_eq!(
        (pair.state, pair.reason),
        (PairState::Failed, Some(FailReason::ErrorResponse(400)))
    );
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.sent.len(), 1, "no retransmission");
}

#[test]
fn a_system_error_decides_nothing() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(0));
    bench.checks.path_error(0, address(PEER), ErrorKind::ConnectionRefused);
    bench.run(ms(600));
    assert_eq!(bench.state(PEER), PairState::InProgress);
    bench.answer(PEER);
    assert_eq!(bench.state(PEER), PairState::Succeeded);

    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(0));
    bench.checks.path_error(0, address(PEER), ErrorKind::ConnectionRefused);
    bench.run(Duration::from_secs(40));
    let reason = Some(FailReason::Refused(ErrorKind::ConnectionRefused));
    assert_eq!(bench.pair(PEER).1.reason, reason, "it is the reason in the end");
}

#[test]
fn a_role_conflict_switches_and_checks_again() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut bench = Bench::simple(role, 2);
        bench.run(ms(10));
        assert_eq!(bench.last(PEER).role, role);
        let before = bench.pair(PEER).1.priority;
        bench.refuse(PEER, 487);
        assert_eq!(bench.checks.role(), role.other());
        assert_eq!(bench.state(PEER), PairState::Waiting);
        assert_ne!(bench.pair(PEER).1.priority, before, "priorities depend on the role");
        bench.run(TA);
        let again = bench.last(PEER);
        assert_eq!((again.kind, again.role), (StartKind::Triggered, role.other()));
        assert!(!again.again, "a new transaction");
        assert_eq!(bench.started().len(), 2);
    }
}

/// The peer nominated, we followed, and then it lost the conflict: its
/// nomination is forgotten on its side.
#[test]
fn who_becomes_controlling_nominates_what_was_selected() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(10));
    bench.peer_checks(PEER, true).unwrap();
    bench.run(TA);
    bench.answer(PEER);
    assert!(bench.pair(PEER).1.nominated);
    bench.checks.switch_role(Role::Controlling);
    bench.peer_checks(PEER, false).unwrap();
    bench.run(TA);
    let nomination = bench.last(PEER);
    assert_eq!((nomination.kind, nomination.use_candidate), (StartKind::Nomination, true));
}

#[test]
fn two_conflicts_in_flight_do_not_switch_back() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    bench.run(TA);
    bench.refuse(PEER, 487);
    assert_eq!(bench.checks.role(), Role::Controlled);
    bench.refuse("10.0.1.2:1", 487);
    assert_eq!(bench.checks.role(), Role::Controlled);
}

#[test]
fn a_retransmission_repeats_the_role_of_its_request() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    bench.run(TA);
    bench.refuse("10.0.1.2:1", 487);
    bench.run(ms(600));
    let again = bench.sent.iter().find(|(_, s)| s.again && bench.to(s.pair) == PEER);
    assert_eq!(again.map(|(_, s)| s.role), Some(Role::Controlling));
}

#[test]
fn the_tie_breaker_is_kept_until_it_is_changed() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    bench.run(TA);
    assert_eq!(bench.checks.tie_breaker(), TIE_BREAKER);
    bench.checks.set_tie_breaker(7);
    assert_eq!(bench.checks.tie_breaker(), 7);
}

#[test]
fn a_peer_cannot_make_us_remember_mapped_addresses_for_ever() {
    let mut bench = Bench::simple(Role::Controlled, 90);
    bench.run(TA * 95);
    for i in 1..=90 {
        let start = bench.last(&format!("10.0.1.{i}:1"));
        bench.answer_mapped(start.id, start.pair, address(&format!("192.0.2.{i}:4000")));
        assert_eq!(bench.state(&format!("10.0.1.{i}:1")), PairState::Succeeded);
    }
    let found = bench.notices.iter().filter(|n| matches!(n, Notice::LocalFound { .. })).count();
    assert!(found <= 64, "{found}");
}
