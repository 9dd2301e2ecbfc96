//! The agent as a whole: its state, its send path, its patience
//! (RFC 8445 §6.1.3, §8.1, §12; RFC 7675; RFC 8863).

use std::time::Duration;

use floe::agent::{Event, State, StateReason, StreamId};
use floe::check::Role;

use crate::alone::{Alone, PEER, PeerCheck, STREAM};
use crate::bench::{address, ms};

fn states(alone: &Alone) -> Vec<(State, StateReason)> {
    let states = alone.events.iter().filter_map(|event| match event {
        Event::State { state, reason } => Some((*state, *reason)),
        _ => None,
    });
    states.collect()
}

/// The addresses that data was to be sent to, one after the other.
fn send_paths(alone: &Alone) -> Vec<Option<String>> {
    let paths = alone.events.iter().filter_map(|event| match event {
        Event::SendPath { path, .. } => Some(path.map(|(_, to)| to.to_string())),
        _ => None,
    });
    paths.collect()
}

#[test]
fn the_agent_goes_from_new_to_completed() {
    let mut alone = Alone::new(Role::Controlled);
    assert_eq!(alone.core.state(), State::New);
    alone.start();
    alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
    assert_eq!(send_paths(&alone), [None; 0], "no data without consent");
    let check = alone.last_check();
    alone.answer(&check);
    assert_eq!(send_paths(&alone), [Some(PEER.to_owned())]);
    let nomination = PeerCheck { use_candidate: true, ..alone.peer_check() };
    alone.checked(PEER, &nomination);
    let expected = [
        (State::Checking, StateReason::ChecksStarted),
        (State::Connected, StateReason::ValidPairs),
        (State::Completed, StateReason::Selected),
    ];
    assert_eq!(states(&alone), expected);
}

#[test]
fn the_agent_completes_with_its_last_stream() {
    let mut alone = Alone::with(Role::Controlled, &[1, 1], &["10.0.0.1"], |_| ());
    alone.start();
    alone.start_stream(StreamId(1));
    alone.add_remote("candidate:1 1 UDP 2130706431 10.0.1.1 6000 typ host");
    let check = alone.last_check();
    alone.answer(&check);
    let nomination = PeerCheck { use_candidate: true, ..alone.peer_check() };
    alone.checked(PEER, &nomination);
    assert_eq!(alone.core.state(), State::Checking);
}

#[test]
fn patience_starts_with_the_peers_parameters() {
    let mut alone = Alone::new(Role::Controlling);
    alone.run(Duration::from_secs(100));
    assert_eq!(alone.core.state(), State::New);
    // Not one candidate was exchanged.
    alone.start();
    let now = alone.now;
    alone.core.end_of_remote_candidates(STREAM, now).unwrap();
    alone.drain();
    alone.run(ms(39_499));
    assert_eq!(alone.core.state(), State::Checking);
    alone.run(ms(1));
    assert_eq!(alone.core.state(), State::Failed);
    assert_eq!(states(&alone).last(), Some(&(State::Failed, StateReason::NoPairs)));
}

#[test]
fn patience_outlasts_failed_pairs() {
    let mut alone = Alone::checking(Role::Controlling);
    let check = alone.last_check();
    alone.refuse(&check, 400, Some(crate::alone::PWD));
    alone.run(Duration::from_secs(30));
    assert_eq!(alone.core.state(), State::Checking);
    // The peer's check comes late and saves the session.
    let from_nat = "192.0.2.1:4000";
    let peer_check = alone.peer_check();
    alone.checked(from_nat, &peer_check);
    alone.run(ms(10));
    let triggered = alone.last_check();
    assert_eq!(triggered.to, address(from_nat));
    alone.answer(&triggered);
    assert_eq!(alone.core.state(), State::Connected);
}

#[test]
fn without_consent_the_send_path_ends() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.last_check();
    alone.answer(&check);
    alone.run(Duration::from_secs(30));
    assert_eq!(send_paths(&alone), [Some(PEER.to_owned()), None]);
    assert_eq!(alone.core.state(), State::Failed);
    assert_eq!(states(&alone).last(), Some(&(State::Failed, StateReason::ConsentExpired)));
    let sent = alone.sent.len();
    alone.run(Duration::from_secs(60));
    assert_eq!(alone.sent.len(), sent);
}

#[test]
fn consent_checks_are_checks_with_the_same_credentials() {
    let mut alone = Alone::checking(Role::Controlled);
    let check = alone.last_check();
    alone.answer(&check);
    alone.run(Duration::from_secs(7));
    let consent = alone.last_check();
    assert_ne!(consent.message().transaction_id(), check.message().transaction_id());
    assert_eq!(consent.message().username(), check.message().username());
    assert_eq!(consent.message().priority(), check.message().priority());
    let key = floe::stun::IntegrityKey::short_term(crate::alone::PWD);
    assert_eq!(consent.message().verify(&key), floe::stun::Integrity::Valid);
    // An answer that is not signed by the peer renews nothing.
    let ours = alone.local_of(consent.base);
    alone.answer_signed(&consent, ours, "another password");
    alone.run(Duration::from_secs(23));
    assert_eq!(alone.core.state(), State::Failed);
}

#[test]
fn a_better_valid_pair_takes_the_data_until_one_is_selected() {
    let mut alone = Alone::new(Role::Controlled);
    alone.start();
    alone.add_remote("candidate:1 1 UDP 1000 10.0.1.2 6000 typ host");
    let low = alone.last_check();
    alone.answer(&low);
    alone.add_remote("candidate:2 1 UDP 2000 10.0.1.1 6000 typ host");
    alone.run(ms(10));
    let high = alone.last_check();
    alone.answer(&high);
    assert_eq!(send_paths(&alone), [Some("10.0.1.2:6000".to_owned()), Some(PEER.to_owned())]);
    let nomination = PeerCheck { use_candidate: true, ..alone.peer_check() };
    alone.checked("10.0.1.2:6000", &nomination);
    assert_eq!(send_paths(&alone).last(), Some(&Some("10.0.1.2:6000".to_owned())));
}

#[test]
fn after_the_end_nothing_is_sent() {
    let mut alone = Alone::checking(Role::Controlling);
    let check = alone.last_check();
    alone.answer(&check);
    let now = alone.now;
    alone.core.close(now);
    alone.drain();
    let sent = alone.sent.len();
    alone.run(Duration::from_secs(60));
    assert_eq!(alone.sent.len(), sent);
}

/// Otherwise our answers would keep up the peer's side for ever.
#[test]
fn a_failed_stream_answers_403() {
    let mut alone = Alone::new(Role::Controlling);
    alone.start();
    let now = alone.now;
    alone.core.end_of_remote_candidates(STREAM, now).unwrap();
    alone.drain();
    alone.run(ms(39_500));
    assert_eq!(alone.core.state(), State::Failed);
    let check = alone.peer_check();
    let answer = alone.checked(PEER, &check).unwrap();
    assert_eq!(answer.message().error().map(|e| e.code), Some(403));
    assert!(alone.checks().is_empty(), "and checks nothing");
}
