//! Statistics in virtual time: exact counts and round trips.

use std::time::Duration;

use floe::agent::{IceStats, State, StatsId};
use floe::check::{FailReason, PairState, Role};

use super::*;

fn only<T>(entries: &[T]) -> &T {
    let [entry] = entries else { panic!("{} entries", entries.len()) };
    entry
}

fn stats(pair: &Pair, side: usize) -> IceStats {
    pair.core(side).stats()
}

#[test]
fn checks_and_round_trips_are_counted() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    let stats = [stats(&pair, 0), stats(&pair, 1)];
    // As `a_simple_negotiation_takes_these_packets_at_these_times` has it.
    for (side, requests, answers, role) in
        [(0, 3, 2, Role::Controlling), (1, 2, 3, Role::Controlled)]
    {
        let checks = only(&stats[side].candidate_pairs);
        assert_eq!((checks.requests_sent, checks.responses_received), (requests, requests));
        assert_eq!((checks.requests_received, checks.responses_sent), (answers, answers));
        assert_eq!(checks.consent_requests_sent, 0);
        assert_eq!(checks.current_round_trip_time, Some(Duration::from_millis(20)));
        assert_eq!(checks.total_round_trip_time, Duration::from_millis(20) * requests);
        assert_eq!((checks.state, checks.nominated), (PairState::Succeeded, true));

        let transport = only(&stats[side].transports);
        assert_eq!((transport.ice_role, transport.ice_state), (role, State::Completed));
        assert_eq!(transport.selected_candidate_pair_id, Some(checks.id));
        assert_eq!(transport.selected_candidate_pair_changes, 1);
        let ours = only(&stats[side].local_candidates);
        assert_eq!(ours.username_fragment.as_ref(), Some(&transport.ice_local_username_fragment));
        assert_eq!((ours.id, ours.transport_id), (checks.local_candidate_id, transport.id));
        let theirs = only(&stats[1 - side].remote_candidates);
        assert_eq!(theirs.candidate, ours.candidate);
        assert_eq!(theirs.username_fragment, ours.username_fragment);
    }
}

#[test]
fn consent_is_counted_apart() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(60_000));
    let checks = stats(&pair, 0).candidate_pairs.remove(0);
    assert_eq!(checks.requests_sent, 3);
    assert!((9..=15).contains(&checks.consent_requests_sent), "{checks:?}");
    let answered = checks.requests_sent + checks.consent_requests_sent;
    assert_eq!(checks.responses_received, answered);
    assert_eq!(checks.total_round_trip_time, Duration::from_millis(20) * answered);
}

#[test]
fn retransmissions_count_once_and_a_lost_pair_says_why() {
    let mut pair = simple();
    pair.cut();
    pair.signal_all();
    pair.run_until(Time::from_millis(60_000));
    let report = pair.core(0).pairs(floe::agent::StreamId(0)).next().unwrap();
    let checks = stats(&pair, 0).candidate_pairs.remove(0);
    assert!(report.sent > 1);
    assert_eq!(checks.requests_sent, 1);
    assert_eq!(checks.total_round_trip_time, Duration::ZERO);
    assert_eq!((checks.state, checks.fail_reason), (PairState::Failed, Some(FailReason::NoAnswer)));
    assert_eq!(checks.fail_reason.map(FailReason::word), Some("no-answer"));
    let transport = stats(&pair, 0).transports.remove(0);
    assert_eq!(
        (transport.ice_state, transport.selected_candidate_pair_changes),
        (State::Failed, 0)
    );
}

#[test]
fn each_selection_counts() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    let stream = floe::agent::StreamId(0);
    pair.core_mut(0).restart(stream, floe::agent::Sockets::Keep, Time::from_millis(500)).unwrap();
    pair.pump();
    let transport = stats(&pair, 0).transports.remove(0);
    assert_eq!(transport.selected_candidate_pair_changes, 1);
    assert_eq!(transport.id, StatsId::Transport(stream, floe::candidate::ComponentId::ONE));
}
