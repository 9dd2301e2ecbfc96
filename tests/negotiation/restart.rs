//! ICE restarts (RFC 8445 §9) and streams that come and go, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use floe::agent::{
    CommandError, Credentials, Event, RemoteParameters, Sockets, State, StateReason, StreamId,
};
use floe::check::Role;
use floe::timer::Time;

use crate::network::{Options, Pair, host};

const STREAM: StreamId = StreamId(0);

/// Two agents with an address each that have completed a while ago.
fn completed() -> Pair {
    let mut pair = Pair::new(Options { seed: 1, ..Options::default() });
    pair.signal_all();
    pair.run_until(Time::from_millis(10_000));
    assert_eq!([0, 1].map(|side: usize| pair.core(side).state()), [State::Completed; 2]);
    pair
}

fn restart(pair: &mut Pair, side: usize, sockets: Sockets) -> Credentials {
    let now = pair.now();
    let credentials = pair.core_mut(side).restart(STREAM, sockets, now).unwrap();
    pair.pump();
    credentials
}

/// States and reasons that a side reported since `since`.
fn states(pair: &Pair, side: usize, since: Time) -> Vec<(State, StateReason)> {
    let events = pair.events(side).iter().filter(|(at, _)| *at >= since);
    events
        .filter_map(|(_, event)| match event {
            Event::State { state, reason } => Some((*state, *reason)),
            _ => None,
        })
        .collect()
}

const AGAIN: [(State, StateReason); 3] = [
    (State::Connected, StateReason::Restarting),
    (State::Connected, StateReason::ValidPairs),
    (State::Completed, StateReason::Selected),
];

fn no_byte_is_lost(pair: &Pair) {
    for side in 0..2 {
        assert!(pair.data(side).sent > 100);
        assert_eq!(pair.data(side).sent, pair.data(1 - side).received);
    }
}

#[test]
fn credentials_and_candidates_are_new_and_data_goes_on() {
    for sockets in [Sockets::Keep, Sockets::Rebind] {
        let mut pair = completed();
        let before = [0, 1].map(|side: usize| pair.core(side).local_credentials(STREAM).cloned());
        let ports = pair.sockets(0);
        pair.stream_until(Time::from_millis(10_100));
        let began = pair.now();
        let ours = restart(&mut pair, 0, sockets);
        assert_eq!(pair.core(0).local_credentials(STREAM), Some(&ours));
        assert_ne!(before[0].as_ref().unwrap().ufrag, ours.ufrag);
        assert_ne!(before[0].as_ref().unwrap().pwd, ours.pwd);
        pair.stream_until(Time::from_millis(10_300));
        pair.signal(1);
        assert_ne!(pair.core(1).local_credentials(STREAM), before[1].as_ref());
        pair.signal(0);
        pair.stream_until(Time::from_millis(15_000));
        pair.run_until(Time::from_millis(15_100));
        for side in 0..2 {
            assert_eq!(states(&pair, side, began), AGAIN, "side {side}");
        }
        no_byte_is_lost(&pair);
        // Three seconds after the new selection what it does not use is gone.
        assert_eq!(pair.sockets(0).len(), 1);
        assert_eq!(pair.sockets(0) == ports, sockets == Sockets::Keep);
    }
}

#[test]
fn both_sides_may_restart_at_once() {
    let mut pair = completed();
    let began = pair.now();
    restart(&mut pair, 0, Sockets::Keep);
    restart(&mut pair, 1, Sockets::Rebind);
    pair.signal_all();
    pair.stream_until(Time::from_millis(12_000));
    pair.run_until(Time::from_millis(12_100));
    for side in 0..2 {
        assert_eq!(states(&pair, side, began), AGAIN);
        let restarts = pair.events(side).iter();
        assert_eq!(restarts.filter(|(_, e)| matches!(e, Event::Restarted { .. })).count(), 1);
    }
    no_byte_is_lost(&pair);
}

#[test]
fn the_roles_stay_and_the_pair_of_before_keeps_its_consent() {
    let mut pair = completed();
    restart(&mut pair, 1, Sockets::Keep);
    let roles = [0, 1].map(|side: usize| pair.core(side).role());
    assert_eq!(roles, [Role::Controlling, Role::Controlled]);
    // The peer takes half a minute to answer; data goes on all the while.
    pair.stream_until(pair.now() + Duration::from_secs(60));
    assert_eq!(pair.core(1).state(), State::Connected);
    let answered: u32 = pair.core(1).pairs(STREAM).map(|p| p.answered).sum();
    assert!(answered >= 10, "{answered}");
    pair.signal_all();
    pair.stream_until(pair.now() + Duration::from_secs(5));
    pair.run_until(pair.now() + Duration::from_millis(100));
    assert_eq!(pair.core(1).state(), State::Completed);
    assert_eq!([0, 1].map(|side: usize| pair.core(side).role()), roles);
    no_byte_is_lost(&pair);
}

#[test]
fn when_the_pair_of_before_dies_the_first_valid_one_takes_over() {
    let mut pair = Pair::new(Options {
        addresses: [vec![host(1, 1), host(1, 2)], vec![host(2, 1)]],
        ..Options::default()
    });
    pair.signal_all();
    pair.run_until(Time::from_millis(10_000));
    pair.cut();
    pair.run_until(Time::from_millis(30_000));
    assert_eq!(pair.core(0).state(), State::Disconnected);
    restart(&mut pair, 0, Sockets::Rebind);
    pair.signal(1);
    pair.signal(0);
    pair.mend();
    let began = pair.now();
    pair.run_until(began + Duration::from_secs(5));
    let end = (State::Completed, StateReason::Selected);
    assert_eq!(states(&pair, 0, began).last(), Some(&end));
    pair.stream_until(began + Duration::from_secs(6));
    pair.run_until(began + Duration::from_secs(7));
    no_byte_is_lost(&pair);
}

#[test]
fn a_failed_agent_is_brought_back() {
    let mut pair = completed();
    pair.cut();
    pair.run_until(Time::from_millis(60_000));
    assert_eq!([0, 1].map(|side: usize| pair.core(side).state()), [State::Failed; 2]);
    pair.mend();
    let began = pair.now();
    restart(&mut pair, 0, Sockets::Keep);
    pair.signal(1);
    pair.signal(0);
    pair.run_until(began + Duration::from_secs(5));
    let expected = [
        (State::Checking, StateReason::Restarted),
        (State::Connected, StateReason::ValidPairs),
        (State::Completed, StateReason::Selected),
    ];
    for side in 0..2 {
        assert_eq!(states(&pair, side, began), expected);
    }
}

#[test]
fn a_restart_that_leads_nowhere_leaves_the_pair_of_before() {
    let mut pair = completed();
    restart(&mut pair, 0, Sockets::Keep);
    let now = pair.now();
    // The new candidates of the peer are wrong, and it never hears of ours.
    let remote = RemoteParameters::new("stranger", "0123456789abcdefghijklmn");
    pair.core_mut(0).set_remote_parameters(STREAM, remote, now).unwrap();
    let nobody = "candidate:1 1 UDP 2130706431 10.9.9.9 9 typ host".parse().unwrap();
    pair.core_mut(0).add_remote_candidate(STREAM, &nobody, now).unwrap();
    pair.core_mut(0).end_of_remote_candidates(STREAM, now).unwrap();
    pair.stream_until(now + Duration::from_secs(120));
    let failed = (State::Connected, StateReason::RestartFailed);
    assert_eq!(states(&pair, 0, now).last(), Some(&failed));
    pair.run_until(pair.now() + Duration::from_secs(1));
    no_byte_is_lost(&pair);
}

#[test]
fn a_restart_in_any_state_ends_connected() {
    for millis in [0, 1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 100, 2_000, 5_000] {
        for side in 0..2 {
            let mut pair = Pair::new(Options { seed: millis, ..Options::default() });
            pair.signal_all();
            pair.run_until(Time::from_millis(millis));
            let sockets = if millis % 2 == 0 { Sockets::Keep } else { Sockets::Rebind };
            restart(&mut pair, side, sockets);
            pair.run_until(pair.now() + Duration::from_millis(7));
            restart(&mut pair, side, sockets);
            pair.signal(1 - side);
            pair.run_until(pair.now() + Duration::from_millis(3));
            pair.signal(side);
            pair.run_until(pair.now() + Duration::from_secs(10));
            for side in 0..2 {
                assert_eq!(pair.core(side).state(), State::Completed, "at {millis} ms");
                assert_eq!(pair.sockets(side).len(), 1, "at {millis} ms");
            }
            pair.stream_until(pair.now() + Duration::from_secs(1));
            pair.run_until(pair.now() + Duration::from_millis(100));
            no_byte_is_lost(&pair);
        }
    }
}

#[test]
fn repeated_and_stale_and_half_new_credentials_change_nothing() {
    let mut pair = completed();
    let theirs = pair.core(1).local_credentials(STREAM).unwrap().clone();
    let again = RemoteParameters::new(&theirs.ufrag, &theirs.pwd);
    let now = pair.now();
    let ours = pair.core(0).local_credentials(STREAM).cloned();
    pair.core_mut(0).set_remote_parameters(STREAM, again.clone(), now).unwrap();
    for (ufrag, pwd) in [(&*theirs.ufrag, "0123456789abcdefghijklmn"), ("another1", &*theirs.pwd)] {
        let half = RemoteParameters::new(ufrag, pwd);
        let result = pair.core_mut(0).set_remote_parameters(STREAM, half, now);
        assert_eq!(result, Err(CommandError::HalfRestart));
    }
    assert_eq!(pair.core(0).local_credentials(STREAM), ours.as_ref());
    assert_eq!(pair.core(0).state(), State::Completed);
    // What the peer said before the restart is no answer to it.
    restart(&mut pair, 0, Sockets::Keep);
    let ours = pair.core(0).local_credentials(STREAM).cloned();
    pair.core_mut(0).set_remote_parameters(STREAM, again, now).unwrap();
    assert_eq!(pair.core(0).local_credentials(STREAM), ours.as_ref());
    pair.signal(1);
    pair.signal(0);
    pair.run_until(now + Duration::from_secs(5));
    assert_eq!(pair.core(0).state(), State::Completed);
}

#[test]
fn restarts_leave_nothing_behind() {
    let listed = |pair: &Pair| pair.core(0).pairs(STREAM).map(|p| p.id.0).max();
    // With the second pause the session before is still there at the next one.
    for pause in [Duration::from_secs(10), Duration::from_millis(500)] {
        let mut pair = completed();
        for round in 0..50 {
            restart(&mut pair, round % 2, Sockets::Keep);
            pair.signal(1 - round % 2);
            pair.signal(round % 2);
            pair.run_until(pair.now() + pause);
            assert_eq!(pair.core(0).state(), State::Completed);
            assert_eq!(pair.sockets(0).len(), 1);
            let listed = listed(&pair);
            assert!(listed <= Some(8), "numbers of pairs are used again: {listed:?}");
        }
    }
}

#[test]
fn a_vanished_address_is_left_out_and_a_new_one_taken() {
    let mut pair = completed();
    pair.set_addresses(0, vec![host(1, 7)]);
    restart(&mut pair, 0, Sockets::Keep);
    let ips: Vec<_> =
        pair.candidates(0, STREAM).iter().filter_map(|c| c.address()).map(|a| a.ip()).collect();
    assert_eq!(ips, [host(1, 7)]);
    pair.signal(1);
    pair.signal(0);
    pair.run_until(pair.now() + Duration::from_secs(5));
    assert_eq!(pair.core(0).state(), State::Completed);
    let ips: Vec<_> = pair.sockets(0).iter().map(SocketAddr::ip).collect();
    assert_eq!(ips, [host(1, 7)]);
}

#[test]
fn streams_come_and_go_while_others_carry_data() {
    let mut pair = completed();
    for side in 0..2 {
        let stream = pair.core_mut(side).add_stream(2).unwrap();
        assert_eq!(stream, StreamId(1));
    }
    pair.pump();
    assert_eq!(pair.candidates(0, StreamId(1)).len(), 2);
    for side in 0..2 {
        pair.signal_parameters(side);
        pair.signal_candidates(side, StreamId(1));
    }
    pair.run_until(Time::from_millis(20_000));
    assert_eq!(pair.core(0).state(), State::Completed);
    assert_eq!(pair.sockets(0).len(), 3);
    for side in 0..2 {
        let now = pair.now();
        pair.core_mut(side).remove_stream(StreamId(1), now).unwrap();
    }
    pair.pump();
    assert_eq!(pair.sockets(0).len(), 1);
    let now = pair.now();
    let gone = CommandError::UnknownStream(StreamId(1));
    assert_eq!(pair.core_mut(0).remove_stream(StreamId(1), now), Err(gone.clone()));
    assert_eq!(pair.core_mut(0).restart(StreamId(1), Sockets::Keep, now), Err(gone));
    let sent = pair.trace().len();
    pair.run_until(now + Duration::from_secs(60));
    // Consent checks of one pair, every 4 to 6 seconds, and their answers.
    assert!(pair.trace().len() - sent <= 4 * 15);
    assert_eq!(pair.core(0).state(), State::Completed);
    assert_eq!(pair.core_mut(0).add_stream(1).unwrap(), StreamId(2));
}

#[test]
fn a_closed_agent_restarts_nothing() {
    let mut pair = completed();
    let now = pair.now();
    pair.core_mut(0).close(now);
    assert_eq!(pair.core_mut(0).restart(STREAM, Sockets::Keep, now), Err(CommandError::Closed));
    assert_eq!(pair.core_mut(0).remove_stream(STREAM, now), Err(CommandError::Closed));
}

/// RFC 7675 §5.2.
#[test]
fn revoked_consent_ends_both_sides_and_a_restart_brings_them_back() {
    let mut pair = completed();
    let began = pair.now();
    pair.core_mut(0).revoke_consent(STREAM, began).unwrap();
    pair.pump();
    let revoked = (State::Failed, StateReason::ConsentRevoked);
    assert_eq!(states(&pair, 0, began), [revoked]);
    let sent = pair.data(0).sent;
    pair.send_data(0);
    assert_eq!(pair.data(0).sent, sent, "we send nothing");
    pair.run_until(began + Duration::from_secs(7));
    let told = (State::Failed, StateReason::ConsentRevoked);
    assert_eq!(states(&pair, 1, began), [told], "its next check was answered with 403");
    restart(&mut pair, 1, Sockets::Keep);
    pair.signal(0);
    pair.signal(1);
    pair.run_until(began + Duration::from_secs(15));
    assert_eq!([0, 1].map(|side: usize| pair.core(side).state()), [State::Completed; 2]);
}

/// The answer to our first restart comes after the second.
#[test]
fn an_answer_that_was_overtaken_is_told_from_a_restart() {
    let mut pair = completed();
    let answer = |pair: &Pair, side: usize| {
        let credentials = pair.core(side).local_credentials(STREAM).unwrap();
        let mut answer = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
        answer.answers = pair.events(side).iter().rev().find_map(|(_, event)| match event {
            Event::Restarted { answers, .. } => Some(answers.clone()),
            _ => None,
        })?;
        Some(answer)
    };
    restart(&mut pair, 0, Sockets::Keep);
    pair.signal_parameters(1);
    let overtaken = answer(&pair, 1).unwrap();
    assert!(overtaken.answers.is_some());
    restart(&mut pair, 0, Sockets::Keep);
    let (ours, now) = (pair.core(0).local_credentials(STREAM).cloned(), pair.now());
    pair.core_mut(0).set_remote_parameters(STREAM, overtaken.clone(), now).unwrap();
    pair.signal_parameters(1);
    let right = answer(&pair, 1).unwrap();
    // Even where what was overtaken was taken for an answer.
    let unmarked = RemoteParameters { answers: None, ..overtaken };
    pair.core_mut(0).set_remote_parameters(STREAM, unmarked, now).unwrap();
    pair.core_mut(0).set_remote_parameters(STREAM, right, now).unwrap();
    assert_eq!(pair.core(0).local_credentials(STREAM).cloned(), ours, "no further restart");
    for side in 0..2 {
        pair.signal_candidates(side, STREAM);
    }
    pair.pump();
    pair.run_until(now + Duration::from_secs(10));
    assert_eq!([0, 1].map(|side: usize| pair.core(side).state()), [State::Completed; 2]);
}
