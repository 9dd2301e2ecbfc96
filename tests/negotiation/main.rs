//! Two cores in virtual time, over a network that only delays: exact packet
//! counts and exact times.

#![allow(clippy::unwrap_used)]

mod lite;
mod moves;
#[allow(unreachable_pub, dead_code)]
mod network;
mod pacing;
mod renomination;
mod restart;
mod statistics;

use std::time::Duration;

use floe::agent::{DropReason, Event, Input, State, StateReason};
use floe::candidate::Kind;
use floe::check::Role;
use floe::stun::{Class, Message};
use floe::timer::Time;
use network::{Options, Pair, host};

/// One host address each, 10 ms one way.
fn simple() -> Pair {
    Pair::new(Options { seed: 1, ..Options::default() })
}

fn time_of_state(pair: &Pair, side: usize, wanted: State) -> Option<Time> {
    pair.time_of(side, |e| matches!(e, Event::State { state, .. } if *state == wanted))
}

fn time_of_selected(pair: &Pair, side: usize) -> Option<Time> {
    pair.time_of(side, |e| matches!(e, Event::Selected { .. }))
}

/// Requests and responses that a side sent, by time.
fn sent(pair: &Pair, side: usize) -> Vec<(u64, Class)> {
    let network = pair.trace().iter().filter(|t| t.side == side);
    network
        .map(|t| (t.at.as_nanos() / 1_000_000, Message::parse(&t.bytes).unwrap().class()))
        .collect()
}

#[test]
fn two_hosts_connect_select_and_complete() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed, "{:?}", pair.events(side));
        let selected =
            pair.events(side).iter().filter(|(_, e)| matches!(e, Event::Selected { .. }));
        assert_eq!(selected.count(), 1);
        assert_eq!(pair.core(side).drops().iter().collect::<Vec<_>>(), []);
    }
    assert_eq!(pair.core(0).role(), Role::Controlling);
    assert_eq!(pair.core(1).role(), Role::Controlled);
}

#[test]
fn a_simple_negotiation_takes_these_packets_at_these_times() {
    use Class::{Request, Success};
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    // Each side sends its check at once; the other's arrives after 10 ms, is
    // answered, and triggers a check of its own (RFC 8445 §7.3.1.4). The
    // answers arrive after 20 ms and the controlling side nominates.
    let controlling = [(0, Request), (10, Success), (10, Request), (20, Request), (20, Success)];
    let controlled = [(0, Request), (10, Success), (10, Request), (20, Success), (30, Success)];
    assert_eq!(sent(&pair, 0), controlling);
    assert_eq!(sent(&pair, 1), controlled);
    for side in 0..2 {
        assert_eq!(time_of_state(&pair, side, State::Connected), Some(Time::from_millis(20)));
    }
    assert_eq!(time_of_selected(&pair, 0), Some(Time::from_millis(40)));
    assert_eq!(time_of_selected(&pair, 1), Some(Time::from_millis(30)));
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let run = || {
        let mut pair = simple();
        pair.signal_all();
        pair.run_until(Time::from_millis(60_000));
        pair.trace().to_vec()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_role_conflict_is_settled_whoever_is_larger() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut winners = [0, 0];
        for seed in 0..20 {
            let roles = [role, role];
            let mut pair = Pair::new(Options { seed, roles, ..Options::default() });
            pair.signal_all();
            pair.run_until(Time::from_millis(1_000));
            let controls = |side: usize| pair.core(side).role() == Role::Controlling;
            assert_ne!(controls(0), controls(1), "seed {seed}");
            winners[usize::from(controls(1))] += 1;
            for side in 0..2 {
                assert_eq!(pair.core(side).state(), State::Completed, "seed {seed}");
            }
        }
        assert!(winners.iter().all(|n| *n > 0), "{winners:?}");
    }
}

/// The answerer knows everything before the offerer knows anything.
#[test]
fn checks_before_the_peers_parameters_are_answered_and_kept() {
    let mut pair = simple();
    pair.signal(0);
    pair.run_until(Time::from_millis(30));
    // The check was answered and is known, though its sender is not.
    assert_eq!(pair.core(0).state(), State::Connected);
    assert_eq!(pair.core(1).state(), State::New);
    pair.signal(1);
    pair.run_until(Time::from_millis(100));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
    }
    let done = time_of_state(&pair, 1, State::Connected);
    assert_eq!(done, Some(Time::from_millis(50)), "one round trip after the parameters came");
}

#[test]
fn early_checks_are_kept_up_to_a_bound() {
    let mut pair = simple();
    pair.signal(0);
    pair.run_until(Time::from_millis(0));
    let request = pair.trace()[0].bytes.clone();
    let now = pair.now();
    for port in 0..40u16 {
        let from = std::net::SocketAddr::new(host(1, 1), 10_000 + port);
        let base = floe::agent::BaseId(0);
        pair.core_mut(1).handle_input(now, Input::Datagram { base, from, bytes: &request });
    }
    assert_eq!(pair.core(1).drops().of(DropReason::TooManyEarly), 8);
}

#[test]
fn without_signalled_candidates_one_side_finds_the_other_by_its_checks() {
    let mut pair = simple();
    // Side 1 learns credentials only.
    pair.signal_parameters(1);
    pair.signal(0);
    pair.run_until(Time::from_millis(500));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
    }
    let remote = pair.events(1).iter().find_map(|(_, e)| match e {
        Event::Selected { remote, .. } => Some(remote.kind),
        _ => None,
    });
    assert_eq!(remote, Some(Kind::PeerReflexive));
}

/// RFC 8863: nothing fails before 39.5 s, though there is nothing to check.
#[test]
fn no_candidates_fail_when_patience_ends() {
    let mut pair = simple();
    pair.signal_parameters(0);
    let now = pair.now();
    let stream = floe::agent::StreamId(0);
    pair.core_mut(0).end_of_remote_candidates(stream, now).unwrap();
    pair.run_until(Time::from_millis(100_000));
    assert_eq!(time_of_state(&pair, 0, State::Failed), Some(Time::from_millis(39_500)));
    let reason = pair.events(0).iter().find_map(|(_, e)| match e {
        Event::State { state: State::Failed, reason } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, Some(StateReason::NoPairs));
    assert_eq!(pair.core(0).poll_timeout(), None);
}

#[test]
fn a_dead_path_is_disconnected_after_two_missed_checks_and_failed_after_30_seconds() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(1_000));
    pair.cut();
    pair.run_until(Time::from_millis(60_000));
    for side in 0..2 {
        let gone = time_of_state(&pair, side, State::Disconnected).unwrap();
        let failed = time_of_state(&pair, side, State::Failed).unwrap();
        // Two checks went out, 4 to 6 seconds apart, and half a second passed.
        assert!(gone >= Time::from_millis(8_500) && gone <= Time::from_millis(12_600), "{gone}");
        // 30 s after the last answer, which was the nomination's or one before.
        assert!(failed >= Time::from_millis(30_020) && failed <= Time::from_millis(30_040));
        let path = pair.events(side).iter().rev().find_map(|(_, e)| match e {
            Event::SendPath { path, .. } => Some(*path),
            _ => None,
        });
        assert_eq!(path, Some(None), "nothing may be sent any more");
        let closed = pair.time_of(side, |e| matches!(e, Event::PathClosed { .. }));
        assert_eq!(closed, Some(failed), "nor is anything received");
    }
}

#[test]
fn a_path_that_comes_back_is_connected_again() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(1_000));
    pair.cut();
    pair.run_until(Time::from_millis(20_000));
    assert_eq!(pair.core(0).state(), State::Disconnected);
    pair.mend();
    pair.run_until(Time::from_millis(90_000));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
        assert_eq!(time_of_state(&pair, side, State::Failed), None);
    }
}

#[test]
fn nothing_is_sent_after_close() {
    let mut pair = simple();
    pair.signal_all();
    pair.run_until(Time::from_millis(200));
    let now = pair.now();
    pair.core_mut(0).close(now);
    pair.pump();
    let count = sent(&pair, 0).len();
    assert_eq!(pair.core(0).poll_timeout(), None);
    pair.run_until(now + Duration::from_secs(60));
    assert_eq!(sent(&pair, 0).len(), count);
    assert_eq!(pair.core(0).state(), State::Closed);
    assert_eq!(pair.core(1).state(), State::Failed, "consent expires on the other side");
}

/// Two streams of two components, each with credentials of its own.
#[test]
fn several_streams_and_components_complete() {
    let mut pair = Pair::new(Options { streams: vec![2, 2], ..Options::default() });
    pair.signal_all();
    pair.run_until(Time::from_millis(1_000));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
        let mut selected: Vec<_> = pair
            .events(side)
            .iter()
            .filter_map(|(_, e)| match e {
                Event::Selected { stream, component, .. } => Some((stream.0, component.number())),
                _ => None,
            })
            .collect();
        selected.sort_unstable();
        assert_eq!(selected, [(0, 1), (0, 2), (1, 1), (1, 2)]);
    }
}

/// Whatever is wrong with a datagram, it is counted and changes nothing.
#[test]
fn bad_datagrams_are_dropped_and_counted() {
    let mut pair = simple();
    pair.signal_all();
    let request = pair.trace()[0].bytes.clone();
    let base = floe::agent::BaseId(0);
    let from = std::net::SocketAddr::new(host(9, 9), 9);
    let mut truncated = request.clone();
    truncated.truncate(24);
    let mut wrong_fingerprint = request.clone();
    *wrong_fingerprint.last_mut().unwrap() ^= 1;
    let cases: [(&[u8], DropReason); 4] = [
        (&[], DropReason::Malformed),
        (&[0; 20], DropReason::Malformed),
        (&truncated, DropReason::Malformed),
        (&wrong_fingerprint, DropReason::Fingerprint),
    ];
    let now = pair.now();
    for (bytes, reason) in cases {
        let before = pair.core(1).drops().of(reason);
        pair.core_mut(1).handle_input(now, Input::Datagram { base, from, bytes });
        assert_eq!(pair.core(1).drops().of(reason), before + 1, "{reason}");
    }
    let unknown = Input::Datagram { base: floe::agent::BaseId(77), from, bytes: &request };
    pair.core_mut(1).handle_input(now, unknown);
    assert_eq!(pair.core(1).drops().of(DropReason::UnknownBase), 1);
    // Our own check, reflected, names another stream.
    pair.core_mut(0).handle_input(now, Input::Datagram { base, from, bytes: &request });
    assert_eq!(pair.core(0).drops().of(DropReason::UnknownUsername), 1);
    let mut buffer = Vec::new();
    assert_eq!(pair.core_mut(0).poll_transmit(&mut buffer), None);
    assert_eq!(pair.core_mut(1).poll_transmit(&mut buffer), None);
    pair.run_until(Time::from_millis(500));
    assert_eq!(pair.core(0).state(), State::Completed);
}

/// Integrity under another password, with a fingerprint that is right.
#[test]
fn a_check_with_the_wrong_password_is_dropped() {
    let mut pair = simple();
    let now = pair.now();
    let stream = floe::agent::StreamId(0);
    let theirs = pair.core(1).local_credentials(stream).unwrap().ufrag.clone();
    let wrong = floe::agent::RemoteParameters::new(&theirs, "wrongwrongwrongwrongwrong");
    pair.core_mut(0).set_remote_parameters(stream, wrong, now).unwrap();
    for candidate in pair.candidates(1, stream) {
        pair.core_mut(0).add_remote_candidate(stream, &candidate, now).unwrap();
    }
    pair.signal(1);
    pair.run_until(Time::from_millis(50_000));
    assert!(pair.core(1).drops().of(DropReason::Integrity) > 0);
    assert_eq!(pair.core(1).drops().of(DropReason::UnknownUsername), 0);
    assert_eq!(time_of_state(&pair, 0, State::Connected), None);
}
