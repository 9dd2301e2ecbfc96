//! When which check is sent (RFC 8445 §6.1.4.2, §14).

use std::time::Duration;

use floe::check::{FailReason, PairState, Role, StartKind};

use crate::bench::{Bench, TA, host, millis, ms};

fn named(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|(time, to)| (*time, (*to).to_owned())).collect()
}

#[test]
fn the_first_check_at_once_and_one_each_ta() {
    let mut bench = Bench::simple(Role::Controlling, 4);
    bench.run(TA * 10);
    let expected =
        [(0, "10.0.1.1:1"), (50, "10.0.1.2:1"), (100, "10.0.1.3:1"), (150, "10.0.1.4:1")];
    assert_eq!(bench.started(), named(&expected));
    assert!(bench.sent.iter().all(|(_, start)| start.kind == StartKind::Ordinary));
}

#[test]
fn the_first_check_does_not_wait_for_the_second() {
    let mut bench = Bench::simple(Role::Controlling, 1);
    bench.run(TA * 3);
    bench.add_remote(0, "f2", 1, "10.0.1.2:1", 7);
    bench.run(Duration::ZERO);
    assert_eq!(bench.started(), named(&[(0, "10.0.1.1:1"), (150, "10.0.1.2:1")]));
}

#[test]
fn lists_take_turns_and_pass_them_on() {
    let mut bench = Bench::new(Role::Controlling, &[1, 1, 1]);
    for stream in 0..3 {
        bench.checks.add_base(stream, host(u32::from(stream), 1, "10.0.0.1:1", 65535));
        bench.checks.start(stream);
    }
    // Stream 1 stays empty; foundations differ, so that none is Frozen.
    for (stream, i) in [(0, 1), (0, 2), (2, 3), (2, 4), (0, 5)] {
        bench.add_remote(stream, &format!("f{i}"), 1, &format!("10.0.{stream}.{i}:1"), 100 - i);
    }
    bench.run(TA * 10);
    let expected = [
        (0, "10.0.0.1:1"),
        (50, "10.0.2.3:1"),
        (100, "10.0.0.2:1"),
        (150, "10.0.2.4:1"),
        (200, "10.0.0.5:1"),
    ];
    assert_eq!(bench.started(), named(&expected));
}

#[test]
fn triggered_checks_come_first_and_in_order() {
    let mut bench = Bench::simple(Role::Controlling, 4);
    bench.run(Duration::ZERO);
    bench.peer_checks("10.0.1.4:1", false).unwrap();
    bench.peer_checks("10.0.1.3:1", false).unwrap();
    bench.peer_checks("10.0.1.4:1", false).unwrap();
    bench.run(TA * 10);
    let expected =
        [(0, "10.0.1.1:1"), (50, "10.0.1.4:1"), (100, "10.0.1.3:1"), (150, "10.0.1.2:1")];
    assert_eq!(bench.started(), named(&expected));
    assert_eq!(bench.last("10.0.1.4:1").kind, StartKind::Triggered);
}

#[test]
fn frozen_pairs_thaw_only_when_nothing_else_is_waiting() {
    let mut bench = Bench::new(Role::Controlling, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    for (group, i) in [("a", 1), ("a", 2), ("b", 3)] {
        bench.add_remote(0, group, 1, &format!("10.0.1.{i}:1"), 100 - i);
    }
    bench.checks.start(0);
    bench.run(TA * 4);
    // The second of `a` stays Frozen as long as the first is In-Progress.
    assert_eq!(bench.started(), named(&[(0, "10.0.1.1:1"), (50, "10.0.1.3:1")]));
    assert_eq!(bench.state("10.0.1.2:1"), PairState::Frozen);
    bench.refuse("10.0.1.1:1", 400);
    assert_eq!(bench.started()[2..], named(&[(200, "10.0.1.2:1")]));
}

/// The other side may have chosen another pair of the foundation to go first.
#[test]
fn frozen_pairs_wait_for_one_rto_at_most() {
    let mut bench = Bench::new(Role::Controlling, &[1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    for i in [1, 2] {
        bench.add_remote(0, "a", 1, &format!("10.0.1.{i}:1"), 100 - i);
    }
    bench.checks.start(0);
    bench.run(TA * 9);
    assert_eq!(bench.started(), named(&[(0, "10.0.1.1:1")]));
    bench.run(TA * 3);
    assert_eq!(bench.started(), named(&[(0, "10.0.1.1:1"), (500, "10.0.1.2:1")]));
    bench.add_remote(0, "a", 1, "10.0.1.3:1", 90);
    assert_eq!(bench.state("10.0.1.3:1"), PairState::Waiting);
}

#[test]
fn at_equal_priority_the_lowest_component_is_checked_first() {
    let mut bench = Bench::new(Role::Controlling, &[2]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    let mut second = host(1, 2, "10.0.0.1:2", 65535);
    second.priority = bench.checks.local(0, floe::check::LocalId(0)).priority;
    bench.checks.add_base(0, second);
    let mut candidates = [(1, "a"), (2, "b")].map(|(number, group)| {
        crate::bench::theirs(group, number, &format!("10.0.1.1:{number}"), 100)
    });
    candidates[1].priority = candidates[0].priority;
    for (number, candidate) in (1..).zip(&candidates) {
        let address = crate::bench::address(&format!("10.0.1.1:{number}"));
        bench.checks.add_remote(0, candidate, address).unwrap();
    }
    bench.checks.start(0);
    bench.run(TA);
    assert_eq!(bench.started(), named(&[(0, "10.0.1.1:1"), (50, "10.0.1.1:2")]));
}

#[test]
fn the_agreed_ta_is_the_larger_one() {
    for (theirs, expected) in [(20, 50), (200, 200)] {
        let mut bench = Bench::simple(Role::Controlling, 2);
        bench.checks.agree_pacing(ms(theirs));
        assert_eq!(bench.checks.pacing(), ms(expected));
        bench.run(Duration::from_secs(1));
        assert_eq!(bench.started()[1].0, expected);
    }
}

#[test]
fn a_check_is_retransmitted_and_fails_in_the_end() {
    let mut bench = Bench::simple(Role::Controlling, 1);
    bench.run(Duration::from_secs(60));
    // RTO 500 ms: 7 transmissions, then 16 RTO of waiting (RFC 8489 §6.2.1).
    let times = bench.transmissions("10.0.1.1:1");
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15500, 31500]);
    let (id, pair) = bench.pair("10.0.1.1:1");
    assert_eq!((pair.state, pair.reason), (PairState::Failed, Some(FailReason::NoAnswer)));
    assert!(bench.notices.contains(&floe::check::Notice::Lost(id, FailReason::NoAnswer)));
    let mut bench = Bench::simple(Role::Controlling, 1);
    bench.run(ms(39_499));
    assert_eq!(bench.state("10.0.1.1:1"), PairState::InProgress);
    bench.run(ms(1));
    assert_eq!(bench.state("10.0.1.1:1"), PairState::Failed);
}

#[test]
fn the_rto_grows_with_the_checks_under_way_up_to_a_bound() {
    for (pairs, expected) in [(2, 500), (10, 500), (20, 1000), (60, 3000), (99, 3000)] {
        let mut bench = Bench::simple(Role::Controlling, pairs);
        bench.run(Duration::from_secs(4));
        let times = bench.transmissions("10.0.1.1:1");
        // Retransmissions are paced too, so one may come up to Ta later.
        let rto = times[1] - times[0];
        assert!(
            (expected..expected + millis(floe::timer::Time::ZERO + TA)).contains(&rto),
            "{rto}"
        );
    }
}

#[test]
fn at_most_two_transmissions_a_ta() {
    let mut bench = Bench::simple(Role::Controlling, 80);
    bench.run(Duration::from_secs(50));
    let times: Vec<u64> = bench.sent.iter().map(|(time, _)| millis(*time)).collect();
    for window in times.windows(3) {
        assert!(window[2] - window[0] >= 50, "{window:?}");
    }
}

#[test]
fn the_clock_always_moves_on() {
    // Bench::run asserts that each deadline comes after the one before.
    for remotes in [0, 1, 7, 60] {
        let mut bench = Bench::simple(Role::Controlling, remotes).with_patience();
        bench.run(Duration::from_secs(400));
        assert_eq!(bench.checks.poll_timeout(), None, "{remotes}");
    }
}

#[test]
fn a_slot_that_is_not_needed_any_more_wakes_nobody() {
    let mut bench = Bench::simple(Role::Controlled, 2);
    bench.run(ms(10));
    bench.answer("10.0.1.1:1");
    // Selection takes the other pair away before its slot comes.
    bench.peer_checks("10.0.1.1:1", true).unwrap();
    bench.run(ms(1000));
    assert_eq!(bench.started().len(), 1);
}
