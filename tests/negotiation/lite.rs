//! Lite agents (RFC 8445 §5.2, §7.3.2, §8.2).

use std::time::Duration;

use floe::agent::{Event, Sockets, State, StateReason, StreamId};
use floe::check::Role;
use floe::stun::{Class, Message};
use floe::timer::Time;

use crate::network::{Options, Pair, host};

/// The sides for which `lite` says so are lite.
fn pair(roles: [Role; 2], streams: &[u16], configure: fn(usize, &mut floe::agent::Config)) -> Pair {
    let addresses = [vec![host(1, 1), host(1, 2)], vec![host(2, 1), host(2, 2)]];
    Pair::new(Options {
        roles,
        streams: streams.into(),
        addresses,
        configure,
        ..Options::default()
    })
}

fn one_lite(roles: [Role; 2], streams: &[u16]) -> Pair {
    pair(roles, streams, |side, config| config.lite = side == 1)
}

fn requests(pair: &Pair, side: usize) -> usize {
    let sent = pair.trace().iter().filter(|sent| sent.side == side);
    sent.filter(|s| Message::parse(&s.bytes).unwrap().class() == Class::Request).count()
}

#[test]
fn a_lite_agent_sends_no_check_and_takes_the_nomination() {
    use Role::{Controlled, Controlling};
    for roles in [
        [Controlling, Controlled],
        [Controlled, Controlling],
        [Controlling, Controlling],
        [Controlled, Controlled],
    ] {
        let mut pair = one_lite(roles, &[2]);
        pair.signal_all();
        pair.run_until(Time::from_millis(2_000));
        for side in 0..2 {
            assert_eq!(pair.core(side).state(), State::Completed, "{roles:?}");
        }
        assert_eq!(pair.core(0).role(), Controlling);
        assert_eq!(pair.core(1).role(), Controlled);
        assert_eq!(requests(&pair, 1), 0);
        pair.stream_until(Time::from_millis(60_000));
        pair.run_until(Time::from_millis(60_100));
        assert_eq!(requests(&pair, 1), 0);
        for side in 0..2 {
            assert!(pair.data(side).sent > 1_000);
            assert_eq!(pair.data(side).sent, pair.data(1 - side).received);
        }
    }
}

#[test]
fn a_lite_agent_has_one_candidate_of_a_family() {
    let pair = one_lite([Role::Controlling, Role::Controlled], &[1]);
    assert_eq!(pair.sockets(1).len(), 1);
    assert_eq!(pair.sockets(0).len(), 2);
}

/// RFC 8445 §12.1.1.
#[test]
fn a_lite_agent_sends_no_data_before_all_components_have_a_pair() {
    let mut pair = one_lite([Role::Controlling, Role::Controlled], &[2]);
    pair.signal_all();
    pair.run_until(Time::from_millis(2_000));
    let paths = pair.events(1).iter().filter_map(|(at, event)| match event {
        Event::SendPath { path: Some(_), .. } => Some(*at),
        _ => None,
    });
    let selected = pair.events(1).iter().filter_map(|(at, event)| match event {
        Event::Selected { .. } => Some(*at),
        _ => None,
    });
    assert_eq!(paths.min(), selected.max());
}

/// RFC 8839 §4.4.3.2: the pairs of before carry data until there are new ones.
#[test]
fn a_lite_agent_restarts_and_data_goes_on() {
    for side in 0..2 {
        let mut pair = one_lite([Role::Controlling, Role::Controlled], &[1]);
        pair.signal_all();
        pair.run_until(Time::from_millis(2_000));
        assert_eq!(pair.core(1).state(), State::Completed);
        pair.stream_until(Time::from_millis(2_100));
        let (now, stream) = (pair.now(), StreamId(0));
        pair.core_mut(side).restart(stream, Sockets::Keep, now).unwrap();
        pair.pump();
        pair.stream_until(Time::from_millis(3_000));
        let reached = |pair: &Pair, state: State| {
            let states = pair.events(1).iter().filter(|(at, _)| *at >= now);
            states
                .filter(|(_, e)| matches!(e, Event::State { state: s, .. } if *s == state))
                .count()
        };
        pair.signal(1 - side);
        assert_eq!(pair.core(1).state(), State::Connected, "its checklist is Running again");
        pair.signal(side);
        pair.stream_until(Time::from_millis(9_000));
        pair.run_until(Time::from_millis(9_100));
        assert_eq!(
            (reached(&pair, State::Connected) > 0, reached(&pair, State::Completed)),
            (true, 1)
        );
        let valid = pair.core(1).pairs(stream).filter(|p| p.selected).count();
        assert_eq!(valid, 1, "three seconds later the pair of before is gone");
        for side in 0..2 {
            assert!(pair.data(side).sent > 100);
            assert_eq!(pair.data(side).sent, pair.data(1 - side).received);
        }
    }
}

#[test]
fn a_lite_agent_stops_when_its_peer_is_silent() {
    let mut pair = one_lite([Role::Controlling, Role::Controlled], &[1]);
    pair.signal_all();
    pair.run_until(Time::from_millis(2_000));
    pair.cut();
    pair.run_until(Time::from_millis(60_000));
    let failed = |e: &Event| {
        matches!(e, Event::State { state: State::Failed, reason: StateReason::ConsentExpired })
    };
    let at = pair.time_of(1, failed).expect("it fails");
    assert!(at - Time::from_millis(2_000) <= Duration::from_secs(30), "{at}");
}

#[test]
fn between_two_lite_agents_no_check_passes() {
    let mut pair = pair([Role::Controlling, Role::Controlled], &[2], |_, c| c.lite = true);
    pair.signal_all();
    pair.run_until(Time::from_millis(100));
    assert!(pair.trace().is_empty());
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
    }
    pair.stream_until(Time::from_millis(60_000));
    pair.run_until(Time::from_millis(60_100));
    for side in 0..2 {
        assert!(pair.data(side).sent > 1_000);
        assert_eq!(pair.data(side).sent, pair.data(1 - side).received);
    }
    assert!(pair.trace().is_empty());
}
