//! How pairs are formed, ordered, limited, and what state they begin in
//! (RFC 8445 §6.1.2, RFC 8838 §10 to §12).

use floe::check::{Limits, PairState, Role, pair_priority};

use crate::bench::{Bench, LIMITS, TA, address, host, ms, theirs};

#[test]
fn pairs_join_equal_components_and_families() {
    let mut bench = Bench::new(Role::Controlling, &[2]);
    for (base, number, text) in
        [(0, 1, "10.0.0.1:1"), (1, 2, "10.0.0.1:2"), (2, 1, "[2001:db8::1]:1")]
    {
        bench.checks.add_base(0, host(base, number, text, 100));
    }
    for (number, text) in [(1, "10.0.1.1:1"), (2, "10.0.1.1:2"), (1, "[2001:db8::2]:1")] {
        bench.add_remote(0, "f", number, text, 100);
    }
    assert_eq!(bench.listed(0), [""; 0], "nothing before the peer's credentials");
    bench.checks.start(0);
    let expected =
        ["10.0.0.1:1 > 10.0.1.1:1", "10.0.0.1:2 > 10.0.1.1:2", "[2001:db8::1]:1 > [2001:db8::2]:1"];
    assert_eq!(bench.listed(0), expected);
}

#[test]
fn streams_are_not_mixed() {
    let mut bench = Bench::new(Role::Controlling, &[1, 1]);
    for stream in 0..2 {
        let base = u32::from(stream);
        bench.checks.add_base(stream, host(base, 1, &format!("10.0.0.1:{stream}"), 100));
        bench.add_remote(stream, "f", 1, &format!("10.0.1.1:{stream}"), 100);
        bench.checks.start(stream);
    }
    assert_eq!(bench.listed(0), ["10.0.0.1:0 > 10.0.1.1:0"]);
    assert_eq!(bench.listed(1), ["10.0.0.1:1 > 10.0.1.1:1"]);
}

#[test]
fn link_local_is_paired_with_link_local_only() {
    let mut bench = Bench::new(Role::Controlling, &[1]);
    for (base, text) in [(0, "[fe80::1]:1"), (1, "[2001:db8::1]:1"), (2, "169.254.0.1:1")] {
        bench.checks.add_base(0, host(base, 1, text, 100));
    }
    for text in ["[fe80::2]:1", "[2001:db8::2]:1", "10.0.1.1:1"] {
        bench.add_remote(0, "f", 1, text, 100);
    }
    bench.checks.start(0);
    let expected = [
        "[fe80::1]:1 > [fe80::2]:1",
        "[2001:db8::1]:1 > [2001:db8::2]:1",
        // The rule is for IPv6 alone.
        "169.254.0.1:1 > 10.0.1.1:1",
    ];
    assert_eq!(bench.listed(0), expected);
}

#[test]
fn pair_priorities_follow_the_formula() {
    assert_eq!(pair_priority(5, 7), (5 << 32) + 14);
    assert_eq!(pair_priority(7, 5), (5 << 32) + 15);
    assert_eq!(pair_priority(5, 5), (5 << 32) + 10);
    let max = u64::from(u32::MAX);
    assert_eq!(pair_priority(u32::MAX, 0), 2 * max + 1);
    // G is the controlling side's candidate, whichever side we are.
    for (role, expected) in [(Role::Controlling, true), (Role::Controlled, false)] {
        let bench = Bench::simple(role, 1);
        let (id, pair) = bench.pair("10.0.1.1:1");
        let ours = bench.local_of(id).priority;
        let peers = theirs("f", 1, "10.0.1.1:1", 999).priority;
        let (g, d) = if expected { (ours, peers) } else { (peers, ours) };
        assert_eq!(pair.priority, pair_priority(g, d));
    }
}

#[test]
fn reflexive_candidates_form_no_pairs_of_their_own() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    let before = bench.listed(0);
    let image = floe::check::Local {
        address: address("192.0.2.1:1"),
        kind: floe::candidate::Kind::ServerReflexive,
        ..host(0, 1, "10.0.0.1:1", 65535)
    };
    assert!(bench.checks.add_image(0, image).is_some());
    assert_eq!(bench.listed(0), before);
    bench.add_remote(0, "f9", 1, "10.0.1.9:1", 9);
    assert_eq!(bench.listed(0).len(), before.len() + 1);
}

#[test]
fn an_address_signalled_twice_is_one_candidate() {
    let mut bench = Bench::simple(Role::Controlling, 1);
    let again = theirs("f7", 1, "10.0.1.1:1", 7);
    assert!(bench.checks.add_remote(0, &again, address("10.0.1.1:1")).is_err());
    assert_eq!(bench.listed(0).len(), 1);
}

#[test]
fn the_limit_holds_over_all_lists_and_keeps_the_highest() {
    let limits = Limits { pairs: 10, ..LIMITS };
    let mut bench = Bench::with_limits(Role::Controlling, &[1, 1], limits);
    for stream in 0..2 {
        bench.checks.add_base(stream, host(u32::from(stream), 1, "10.0.0.1:1", 65535));
        bench.checks.start(stream);
    }
    // Lowest first, so that each one would push out the one before.
    for i in 1..=30 {
        for stream in 0..2 {
            bench.add_remote(stream, &format!("f{i}"), 1, &format!("10.0.1.{i}:1"), i);
            assert!(bench.checks.listed() <= 10);
        }
    }
    assert_eq!(bench.checks.listed(), 10);
    let lists = [bench.listed(0), bench.listed(1)];
    for list in &lists {
        assert!(list.contains(&"10.0.0.1:1 > 10.0.1.30:1".to_owned()), "{list:?}");
        assert_eq!(list.len(), 5, "pairs are taken evenly: {lists:?}");
    }
}

#[test]
fn failed_pairs_make_room_first() {
    let limits = Limits { pairs: 3, ..LIMITS };
    let mut bench = Bench::with_limits(Role::Controlling, &[1], limits).with_patience();
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.start(0);
    for i in 1..=3 {
        bench.add_remote(0, &format!("f{i}"), 1, &format!("10.0.1.{i}:1"), 1000 - i);
    }
    bench.run(TA * 3);
    bench.refuse("10.0.1.1:1", 400);
    bench.refuse("10.0.1.3:1", 400);
    // The one that has not failed is In-Progress; the failed ones give way,
    // the lowest first.
    bench.add_remote(0, "f4", 1, "10.0.1.4:1", 4);
    assert_eq!(bench.checks.listed(), 3);
    let expected =
        ["10.0.1.1:1", "10.0.1.2:1", "10.0.1.4:1"].map(|to| format!("10.0.0.1:1 > {to}"));
    let mut listed = bench.listed(0);
    listed.sort();
    assert_eq!(listed, expected);
    assert!(bench.peer_checks("10.0.1.9:1", false).is_ok(), "room for a check of the peer");
    assert!(bench.listed(0).contains(&"10.0.0.1:1 > 10.0.1.9:1".to_owned()));
    assert_eq!(bench.checks.listed(), 3);
}

/// Table 1 of RFC 8445 §6.1.2.6: three streams (rows), five foundations.
#[test]
fn one_pair_of_each_foundation_begins_waiting() {
    let mut bench = Bench::new(Role::Controlling, &[1, 1, 1]);
    for stream in 0..3 {
        bench.checks.add_base(stream, host(u32::from(stream), 1, "10.0.0.1:1", 65535));
    }
    let rows: [&[u16]; 3] = [&[1, 2, 3], &[1, 2, 3, 4], &[1, 5]];
    for (stream, row) in (0..).zip(rows) {
        for f in row {
            bench.add_remote(stream, &format!("f{f}"), 1, &format!("10.0.1.{f}:1"), 100 - f);
        }
        bench.checks.start(stream);
    }
    let waiting = |stream: u16| -> Vec<String> {
        let pairs = bench.checks.pairs(stream);
        pairs.filter(|(_, p)| p.state == PairState::Waiting).map(|(id, _)| bench.to(id)).collect()
    };
    assert_eq!(waiting(0), ["10.0.1.1:1", "10.0.1.2:1", "10.0.1.3:1"]);
    assert_eq!(waiting(1), ["10.0.1.4:1"]);
    assert_eq!(waiting(2), ["10.0.1.5:1"]);
    let frozen =
        |stream| bench.checks.pairs(stream).filter(|(_, p)| p.state == PairState::Frozen).count();
    assert_eq!([frozen(0), frozen(1), frozen(2)], [0, 3, 1]);
}

#[test]
fn the_lowest_component_and_then_the_highest_priority_begins() {
    let mut bench = Bench::new(Role::Controlling, &[2]);
    bench.checks.add_base(0, host(0, 2, "10.0.0.1:2", 65535));
    bench.checks.add_base(0, host(1, 1, "10.0.0.1:1", 65535));
    // The worst order: the topmost comes last.
    bench.add_remote(0, "f", 2, "10.0.1.1:2", 900);
    bench.add_remote(0, "f", 1, "10.0.1.1:1", 700);
    bench.add_remote(0, "f", 1, "10.0.1.2:1", 800);
    bench.checks.start(0);
    assert_eq!(bench.state("10.0.1.2:1"), PairState::Waiting);
    assert_eq!(bench.state("10.0.1.1:1"), PairState::Frozen);
    assert_eq!(bench.state("10.0.1.1:2"), PairState::Frozen);
}

#[test]
fn a_trickled_pair_is_waiting_when_its_foundation_succeeded() {
    let mut bench = Bench::new(Role::Controlled, &[2]).with_patience();
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 2, "10.0.0.1:2", 65535));
    bench.checks.start(0);
    bench.add_remote(0, "f", 1, "10.0.1.1:1", 900);
    bench.run(ms(0));
    bench.add_remote(0, "f", 2, "10.0.1.1:2", 900);
    assert_eq!(bench.state("10.0.1.1:2"), PairState::Frozen, "rule 3");
    bench.answer("10.0.1.1:1");
    assert_eq!(bench.state("10.0.1.1:2"), PairState::Waiting, "RFC 8445 §7.2.5.3.3");
    bench.add_remote(0, "f", 2, "10.0.1.2:2", 800);
    assert_eq!(bench.state("10.0.1.2:2"), PairState::Waiting, "rule 2");
}

#[test]
fn a_trickled_pair_is_waiting_when_it_is_topmost() {
    let mut bench = Bench::new(Role::Controlling, &[2]).with_patience();
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 2, "10.0.0.1:2", 65535));
    bench.checks.start(0);
    bench.add_remote(0, "f", 2, "10.0.1.1:2", 900);
    bench.run(ms(0));
    assert_eq!(bench.state("10.0.1.1:2"), PairState::InProgress);
    bench.add_remote(0, "f", 1, "10.0.1.1:1", 900);
    assert_eq!(bench.state("10.0.1.1:1"), PairState::Waiting, "rule 1");
}

#[test]
fn a_candidate_waits_for_one_of_the_other_side() {
    let mut bench = Bench::new(Role::Controlling, &[1]).with_patience();
    bench.checks.start(0);
    bench.add_remote(0, "f", 1, "10.0.1.1:1", 900);
    bench.run(ms(500));
    assert_eq!(bench.started(), []);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.run(ms(0));
    assert_eq!(bench.started(), [(500, "10.0.1.1:1".to_owned())]);
}

#[test]
fn new_candidates_disturb_no_check_under_way() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    bench.run(ms(0));
    let before = bench.last("10.0.1.1:1");
    // Higher than the pair In-Progress, with the foundation of the other.
    bench.add_remote(0, "f2", 1, "10.0.1.7:1", 5000);
    assert_eq!(bench.state("10.0.1.1:1"), PairState::InProgress);
    bench.answer_mapped(before.id, before.pair, address("10.0.0.1:1"));
    assert_eq!(bench.state("10.0.1.1:1"), PairState::Succeeded);
}
