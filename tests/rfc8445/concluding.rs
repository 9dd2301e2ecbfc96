//! Nomination, and what becomes of check lists (RFC 8445 §6.1.3, §7.2.5.4,
//! §8.1; RFC 8863).

use std::time::Duration;

use floe::check::{ListState, Notice, PairState, Role, StartKind};

use crate::bench::{Bench, TA, host, ms};

const PEER: &str = "10.0.1.1:1";

fn nominations(bench: &Bench) -> Vec<String> {
    let new = bench.sent.iter().filter(|(_, s)| s.use_candidate && !s.again);
    new.map(|(_, s)| bench.to(s.pair)).collect()
}

#[test]
fn the_controlling_agent_nominates_by_a_second_check() {
    let mut bench = Bench::simple(Role::Controlling, 1);
    bench.run(ms(10));
    assert!(!bench.last(PEER).use_candidate, "not before it is valid");
    bench.answer(PEER);
    bench.run(TA);
    let nomination = bench.last(PEER);
    assert!(nomination.use_candidate);
    assert_eq!(nomination.kind, StartKind::Nomination);
    assert_eq!(bench.checks.components(0)[0].selected, None, "not before it is answered");
    assert_eq!(bench.checks.list_state(0), Some(ListState::Running));
    bench.answer(PEER);
    let (id, pair) = bench.pair(PEER);
    assert!(pair.nominated);
    assert_eq!(bench.checks.components(0)[0].selected, Some(id));
    bench.run(ms(0));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Completed));
    assert!(bench.notices.contains(&Notice::Selected(id)));
}

#[test]
fn the_controlled_agent_never_nominates() {
    let mut bench = Bench::simple(Role::Controlled, 3);
    bench.run(TA * 2);
    bench.answer(PEER);
    bench.run(Duration::from_secs(20));
    assert_eq!(nominations(&bench), [""; 0]);
}

#[test]
fn a_component_is_nominated_once() {
    let mut bench = Bench::simple(Role::Controlling, 3);
    bench.run(ms(0));
    bench.answer(PEER);
    bench.run(TA);
    bench.answer(PEER);
    for to in ["10.0.1.2:1", "10.0.1.3:1", "192.0.2.1:1"] {
        let _ = bench.peer_checks(to, false);
    }
    bench.run(Duration::from_secs(20));
    assert_eq!(nominations(&bench), [PEER]);
}

#[test]
fn a_nomination_that_fails_gives_up_the_pair() {
    let mut bench = Bench::simple(Role::Controlling, 2);
    bench.run(TA);
    bench.answer(PEER);
    bench.answer("10.0.1.2:1");
    bench.run(TA);
    assert_eq!(nominations(&bench), [PEER]);
    bench.refuse(PEER, 400);
    let (id, pair) = bench.pair(PEER);
    assert_eq!(pair.state, PairState::Failed);
    assert!(!pair.nominated);
    assert_ne!(bench.checks.components(0)[0].send, Some(id), "it left the valid list");
    // We go on with the next best pair instead of failing the stream.
    bench.run(TA);
    assert_eq!(nominations(&bench), [PEER, "10.0.1.2:1"]);
    bench.answer("10.0.1.2:1");
    bench.run(ms(0));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Completed));
}

#[test]
fn selection_ends_the_checks_of_the_component() {
    let mut bench = Bench::new(Role::Controlled, &[2]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 2, "10.0.0.1:2", 65535));
    for i in 1..=3 {
        bench.add_remote(0, &format!("a{i}"), 1, &format!("10.0.1.{i}:1"), 100 - i);
        bench.add_remote(0, &format!("b{i}"), 2, &format!("10.0.1.{i}:2"), 100 - i);
    }
    bench.checks.start(0);
    bench.run(TA * 3);
    bench.peer_checks("10.0.1.3:1", false).unwrap();
    bench.answer(PEER);
    bench.peer_checks(PEER, true).unwrap();
    let before = bench.sent.len();
    bench.run(Duration::from_secs(2));
    let after = &bench.sent[before..];
    let of_first = after.iter().filter(|(_, s)| bench.to(s.pair).ends_with(":1"));
    assert_eq!(of_first.count(), 0, "neither checks nor retransmissions nor triggered ones");
    assert!(after.iter().any(|(_, s)| bench.to(s.pair) == "10.0.1.3:2"), "the other goes on");
    let left = bench.listed(0).into_iter().filter(|p| p.ends_with(":1")).collect::<Vec<_>>();
    assert_eq!(left, [format!("10.0.0.1:1 > {PEER}")]);
    assert_eq!(bench.checks.list_state(0), Some(ListState::Running));
}

#[test]
fn a_list_completes_with_its_last_component() {
    let mut bench = Bench::new(Role::Controlled, &[2]);
    for number in 1..=2 {
        let local = host(u32::from(number), number, &format!("10.0.0.1:{number}"), 65535);
        bench.checks.add_base(0, local);
        bench.add_remote(0, &format!("f{number}"), number, &format!("10.0.1.1:{number}"), 100);
    }
    bench.checks.start(0);
    bench.run(TA);
    let nominate = |bench: &mut Bench, number: u16| {
        bench.answer(&format!("10.0.1.1:{number}"));
        let request = floe::check::PeerRequest {
            local: floe::check::LocalId(number - 1),
            from: crate::bench::address(&format!("10.0.1.1:{number}")),
            priority: 1,
            use_candidate: true,
            nomination: None,
        };
        bench.checks.peer_checked(0, &request, bench.now).unwrap();
        bench.run(ms(0));
    };
    nominate(&mut bench, 1);
    assert_eq!(bench.checks.list_state(0), Some(ListState::Running));
    nominate(&mut bench, 2);
    assert_eq!(bench.checks.list_state(0), Some(ListState::Completed));
    let states: Vec<_> =
        bench.notices.iter().filter(|n| matches!(n, Notice::List { .. })).collect();
    assert_eq!(states, [&Notice::List { stream: 0, state: ListState::Completed }]);
}

#[test]
fn a_list_fails_when_a_component_has_nothing_left() {
    let mut bench = Bench::new(Role::Controlled, &[2]);
    for number in 1..=2 {
        let local = host(u32::from(number), number, &format!("10.0.0.1:{number}"), 65535);
        bench.checks.add_base(0, local);
        bench.add_remote(0, &format!("f{number}"), number, &format!("10.0.1.1:{number}"), 100);
    }
    bench.checks.start(0);
    bench.run(TA);
    bench.answer("10.0.1.1:1");
    bench.refuse("10.0.1.1:2", 400);
    bench.run(ms(0));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Failed));
}

#[test]
fn patience_keeps_a_list_from_failing() {
    // Without any pair, and with one that failed at once.
    for remotes in [0, 1] {
        let mut bench = Bench::simple(Role::Controlled, remotes).with_patience();
        bench.run(ms(0));
        if remotes > 0 {
            bench.refuse(PEER, 400);
        }
        bench.checks.local_candidates_done(0);
        bench.checks.remote_candidates_done(0);
        bench.run(ms(39_499));
        assert_eq!(bench.checks.list_state(0), Some(ListState::Running));
        bench.run(ms(1));
        assert_eq!(bench.checks.list_state(0), Some(ListState::Failed));
    }
}

#[test]
fn a_list_does_not_fail_while_candidates_are_gathered() {
    let mut bench = Bench::gathering(Role::Controlled, &[1]);
    bench.checks.start(0);
    bench.checks.remote_candidates_done(0);
    bench.run(ms(1_000));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Running));
    bench.checks.local_candidates_done(0);
    bench.run(ms(1));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Failed));
}

#[test]
fn a_check_of_the_peer_during_patience_saves_the_list() {
    let mut bench = Bench::simple(Role::Controlled, 0).with_patience();
    bench.run(Duration::from_secs(39));
    bench.peer_checks("192.0.2.1:1", false).unwrap();
    bench.run(Duration::from_secs(1));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Running));
    bench.answer("192.0.2.1:1");
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.state("192.0.2.1:1"), PairState::Failed, "consent ended meanwhile");
}

#[test]
fn a_failed_list_stops_and_the_others_go_on() {
    let mut bench = Bench::new(Role::Controlled, &[2, 1]);
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 2, "10.0.0.1:2", 65535));
    bench.checks.add_base(1, host(2, 1, "10.0.0.1:3", 65535));
    bench.add_remote(0, "a", 1, PEER, 900);
    // The second component waits, Frozen pairs of the other stream behind it.
    for i in 1..=9 {
        bench.add_remote(0, &format!("b{i}"), 2, &format!("10.0.2.{i}:1"), 100 - i);
        bench.add_remote(1, &format!("b{i}"), 1, &format!("10.0.3.{i}:1"), 100 - i);
    }
    bench.checks.start(0);
    bench.checks.start(1);
    bench.run(ms(0));
    bench.refuse(PEER, 400);
    bench.run(ms(0));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Failed));
    let before = bench.sent.len();
    bench.run(Duration::from_secs(2));
    let after: Vec<_> = bench.sent[before..].iter().filter(|(_, s)| !s.again).collect();
    let streams: Vec<u16> = after.iter().map(|(_, s)| bench.checks.pair(s.pair).stream).collect();
    assert_eq!(streams, [1; 9], "all of the other stream's, none of its own");
    bench.run(Duration::from_secs(100));
    assert_eq!(bench.checks.list_state(1), Some(ListState::Failed));
    assert_eq!(bench.checks.poll_timeout(), None);
}

#[test]
fn closing_stops_everything() {
    let mut bench = Bench::simple(Role::Controlling, 5).with_patience();
    bench.run(TA);
    bench.answer(PEER);
    bench.checks.close();
    let before = bench.sent.len();
    bench.run(Duration::from_secs(100));
    assert_eq!(bench.sent.len(), before);
    assert_eq!(bench.checks.poll_timeout(), None);
}

#[test]
fn a_stream_has_as_many_components_as_the_peer_gives() {
    let mut bench = Bench::new(Role::Controlling, &[2]).with_patience();
    bench.checks.add_base(0, host(0, 1, "10.0.0.1:1", 65535));
    bench.checks.add_base(0, host(1, 2, "10.0.0.1:2", 65535));
    bench.checks.start(0);
    bench.add_remote(0, "a", 1, PEER, 100);
    bench.run(ms(0));
    bench.answer(PEER);
    bench.run(TA);
    bench.answer(PEER);
    assert_eq!(bench.checks.list_state(0), Some(ListState::Running));
    bench.checks.remote_candidates_done(0);
    bench.run(ms(0));
    assert_eq!(bench.checks.components(0).len(), 1);
    assert_eq!(bench.checks.list_state(0), Some(ListState::Completed));
    bench.run(Duration::from_secs(20));
}

#[test]
fn without_any_candidate_of_the_peer_all_components_stay() {
    let mut bench = Bench::new(Role::Controlling, &[2]).with_patience();
    bench.checks.start(0);
    bench.checks.remote_candidates_done(0);
    assert_eq!(bench.checks.components(0).len(), 2);
}

/// RFC 8445 §12.1: no data on any component of a stream that failed.
#[test]
fn a_stream_that_failed_sends_no_data() {
    let mut bench = Bench::new(Role::Controlled, &[2]);
    for number in 1..=2 {
        let local = host(u32::from(number), number, &format!("10.0.0.1:{number}"), 65535);
        bench.checks.add_base(0, local);
        bench.add_remote(0, &format!("f{number}"), number, &format!("10.0.1.1:{number}"), 100);
    }
    bench.checks.start(0);
    bench.run(TA);
    bench.answer("10.0.1.1:1");
    let first = bench.checks.components(0)[0].id;
    assert!(bench.checks.components(0)[0].send.is_some());
    bench.refuse("10.0.1.1:2", 400);
    bench.run(ms(0));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Failed));
    let stopped = Notice::SendPath { stream: 0, component: first, pair: None };
    assert!(bench.notices.contains(&stopped));
    let sent = bench.sent.len();
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.sent.len(), sent, "nor does it ask for consent");
}
