//! Consent (RFC 7675 §5).

use std::time::Duration;

use floe::check::{FailReason, ListState, Notice, PairState, Role, StartKind};
use floe::stun::TransactionId;
use floe::timer::Time;

use crate::bench::{Bench, TA, address, ms};

const PEER: &str = "10.0.1.1:1";

/// A set with its selected pair, at 50 ms, both answers there.
fn completed() -> Bench {
    let mut bench = Bench::simple(Role::Controlling, 1);
    bench.run(ms(0));
    bench.answer(PEER);
    bench.run(TA);
    bench.answer(PEER);
    bench.run(ms(0));
    assert_eq!(bench.checks.list_state(0), Some(ListState::Completed));
    bench
}

fn consent_checks(bench: &Bench) -> Vec<(Time, TransactionId)> {
    let consent = bench.sent.iter().filter(|(_, s)| s.kind == StartKind::Consent);
    consent.map(|(time, s)| (*time, s.id)).collect()
}

/// Runs on, answering each consent check at once.
fn run_answered(bench: &mut Bench, duration: Duration) {
    let end = bench.now + duration;
    let mut answered = consent_checks(bench).len();
    while bench.now < end {
        let next = bench.checks.poll_timeout().map_or(end, |(next, _)| next.min(end));
        bench.run(next - bench.now);
        let checks = consent_checks(bench);
        for (_, id) in &checks[answered..] {
            let pair = bench.last(PEER).pair;
            bench.answer_mapped(*id, pair, address("10.0.0.1:1"));
        }
        answered = checks.len();
    }
}

#[test]
fn checks_are_4_to_6_seconds_apart_and_each_is_new() {
    let mut bench = completed();
    run_answered(&mut bench, Duration::from_secs(600));
    let checks = consent_checks(&bench);
    assert!((100..=150).contains(&checks.len()), "{}", checks.len());
    let gaps: Vec<Duration> = checks.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert!(gaps.iter().all(|gap| (ms(4000)..=ms(6000)).contains(gap)), "{gaps:?}");
    let spread = |low, high| gaps.iter().any(|gap| (ms(low)..=ms(high)).contains(gap));
    assert!(spread(4000, 4500) && spread(5500, 6000), "they are drawn from the whole range");
    let mut ids: Vec<_> = checks.iter().map(|(_, id)| *id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), checks.len());
    assert!(bench.sent.iter().all(|(_, s)| s.kind != StartKind::Consent || !s.again));
    assert_eq!(bench.state(PEER), PairState::Succeeded);
}

#[test]
fn without_answers_consent_ends_after_30_seconds() {
    let mut bench = completed();
    let selected = bench.pair(PEER).0;
    bench.run(ms(29_999));
    assert_eq!(bench.checks.components(0)[0].send, Some(selected));
    bench.run(ms(1));
    assert_eq!(bench.checks.components(0)[0].send, None);
    assert!(bench.notices.contains(&Notice::ConsentExpired(selected)));
    let pair = bench.checks.pair(selected);
    assert_eq!((pair.state, pair.reason), (PairState::Failed, Some(FailReason::ConsentExpired)));
    let sent = bench.sent.len();
    bench.run(Duration::from_secs(60));
    assert_eq!(bench.sent.len(), sent, "nothing more is sent");
}

#[test]
fn the_answer_to_any_outstanding_check_renews_consent() {
    let mut bench = completed();
    bench.run(Duration::from_secs(20));
    let checks = consent_checks(&bench);
    assert!(checks.len() >= 3);
    let pair = bench.pair(PEER).0;
    bench.answer_mapped(checks[0].1, pair, address("10.0.0.1:1"));
    bench.run(ms(29_999));
    assert_eq!(bench.state(PEER), PairState::Succeeded);
    bench.run(ms(1));
    assert_eq!(bench.state(PEER), PairState::Failed);
}

#[test]
fn an_answer_from_elsewhere_renews_nothing() {
    let mut bench = completed();
    bench.run(Duration::from_secs(8));
    let (_, id) = consent_checks(&bench)[0];
    bench.checks.succeeded(&id, 0, address("10.0.1.9:1"), address("10.0.0.1:1"), bench.now);
    bench.run(ms(22_000));
    assert_eq!(bench.state(PEER), PairState::Failed);
}

#[test]
fn an_answer_after_the_end_brings_nothing_back() {
    let mut bench = completed();
    bench.run(Duration::from_secs(31));
    let pair = bench.pair(PEER).0;
    for (_, id) in consent_checks(&bench) {
        assert_eq!(bench.checks.pair_of(&id), None, "forgotten");
        bench.answer_mapped(id, pair, address("10.0.0.1:1"));
    }
    assert_eq!(bench.state(PEER), PairState::Failed);
    assert_eq!(bench.checks.components(0)[0].send, None);
}

#[test]
fn lost_consent_is_not_sought_with_the_same_credentials() {
    let mut bench = completed();
    bench.run(Duration::from_secs(31));
    let sent = bench.sent.len();
    let _ = bench.peer_checks(PEER, false);
    bench.run(Duration::from_secs(10));
    assert_eq!(bench.sent.len(), sent);
    assert_eq!(bench.state(PEER), PairState::Failed);
}

#[test]
fn a_refusal_ends_consent_at_once() {
    let mut bench = completed();
    bench.run(Duration::from_secs(8));
    bench.refuse(PEER, 403);
    assert_eq!(bench.checks.components(0)[0].send, None);
    assert_eq!(bench.pair(PEER).1.reason, Some(FailReason::ConsentRevoked));
}

#[test]
fn other_error_responses_do_not_end_consent() {
    let mut bench = completed();
    bench.run(Duration::from_secs(8));
    bench.refuse(PEER, 400);
    assert_eq!(bench.state(PEER), PairState::Succeeded);
}

#[test]
fn data_before_selection_needs_consent_too() {
    let mut bench = Bench::simple(Role::Controlled, 1);
    bench.run(ms(0));
    bench.answer(PEER);
    assert!(bench.checks.components(0)[0].send.is_some());
    bench.run(Duration::from_secs(29));
    assert!(consent_checks(&bench).len() >= 4);
    bench.run(Duration::from_secs(1));
    assert_eq!(bench.checks.components(0)[0].send, None);
}

#[test]
fn a_late_nomination_asks_for_consent_first() {
    let mut bench = Bench::simple(Role::Controlled, 2);
    bench.run(TA);
    bench.answer(PEER);
    bench.answer("10.0.1.2:1");
    // Consent runs on the better pair; the peer nominates the other later.
    run_answered(&mut bench, Duration::from_secs(40));
    bench.peer_checks("10.0.1.2:1", true).unwrap();
    assert_eq!(bench.checks.components(0)[0].selected, None, "not on consent that ended");
    bench.run(ms(0));
    assert_eq!(bench.last("10.0.1.2:1").kind, StartKind::Triggered, "asked at once");
    bench.answer("10.0.1.2:1");
    let selected = bench.checks.components(0)[0].selected.expect("a selected pair");
    assert_eq!(bench.to(selected), "10.0.1.2:1");
    bench.run(Duration::from_secs(29));
    assert_eq!(bench.checks.components(0)[0].send, Some(selected));
}
