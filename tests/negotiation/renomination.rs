//! Renomination (draft-thatcher-ice-renomination): the stream moves between
//! valid pairs without a restart.

use std::net::IpAddr;
use std::time::Duration;

use floe::agent::{CommandError, Event, PairReport, State, StreamId};
use floe::check::{NotNominated, PairState, Role};
use floe::stun::{Class, Message};
use floe::timer::Time;

use crate::network::{Options, Pair, host};

const STREAM: StreamId = StreamId(0);

/// The controlling side has two addresses, the other one.
fn two_paths(options: bool) -> Pair {
    let addresses = [vec![host(1, 1), host(1, 2)], vec![host(2, 1)]];
    let mut pair = Pair::new(Options { addresses, options, ..Options::default() });
    pair.signal_all();
    pair.run_until(Time::from_millis(10_000));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
    }
    pair
}

fn report(pair: &Pair, side: usize, of: impl Fn(&PairReport) -> bool) -> PairReport {
    let mut reports = pair.core(side).pairs(STREAM).filter(|report| of(report));
    let report = reports.next().expect("such a pair");
    assert!(reports.next().is_none(), "one such pair");
    report
}

fn selected(pair: &Pair, side: usize) -> PairReport {
    report(pair, side, |report| report.selected)
}

fn standby(pair: &Pair, side: usize) -> PairReport {
    report(pair, side, |report| !report.selected && report.state == PairState::Succeeded)
}

/// The address of the side with two that the selected pair uses.
fn used(pair: &Pair, side: usize) -> IpAddr {
    let report = selected(pair, side);
    let end = if side == 0 { report.local } else { report.remote };
    end.address().unwrap().ip()
}

fn states(pair: &Pair, side: usize, since: Time) -> Vec<State> {
    let events = pair.events(side).iter().filter(|(at, _)| *at >= since);
    events
        .filter_map(|(_, event)| match event {
            Event::State { state, .. } => Some(*state),
            _ => None,
        })
        .collect()
}

#[test]
fn a_pair_that_fails_gives_way_to_one_that_stands_by() {
    let mut pair = two_paths(true);
    assert!(standby(&pair, 0).answered >= 2, "it has consent of its own");
    let (before, began) = (used(&pair, 0), pair.now());
    pair.block(before);
    pair.stream_until(began + Duration::from_secs(30));
    for side in 0..2 {
        assert_ne!(used(&pair, side), before);
        assert_eq!(pair.core(side).state(), State::Completed);
        let moved =
            pair.events(side).iter().rev().find(|(_, e)| matches!(e, Event::Selected { .. }));
        let after = moved.unwrap().0 - began;
        assert!(after <= Duration::from_millis(12_700), "{after:?}");
        let seen = states(&pair, side, began);
        assert!(
            seen.iter().all(|s| matches!(s, State::Disconnected | State::Completed)),
            "{seen:?}"
        );
    }
    // What was on the way is lost, and only that.
    for side in 0..2 {
        let lost = pair.data(side).sent - pair.data(1 - side).received;
        assert!(lost as u64 <= 12_800 / 5, "{lost}");
        assert!(pair.data(1 - side).received > 3_000);
    }
}

#[test]
fn a_much_faster_pair_is_preferred_after_a_while() {
    let mut pair = two_paths(true);
    let (before, began) = (used(&pair, 0), pair.now());
    pair.slow_down(before, Duration::from_millis(30));
    pair.stream_until(began + Duration::from_secs(20));
    for side in 0..2 {
        assert_ne!(used(&pair, side), before);
        assert_eq!(states(&pair, side, began), []);
    }
    pair.run_until(pair.now() + Duration::from_secs(1));
    for side in 0..2 {
        assert!(pair.data(side).sent > 1_000);
        assert_eq!(pair.data(side).sent, pair.data(1 - side).received);
    }
    // It stays where it is: the difference is the other way round now.
    let after = used(&pair, 0);
    pair.run_until(pair.now() + Duration::from_secs(60));
    assert_eq!(used(&pair, 0), after);
}

#[test]
fn the_application_may_nominate_at_any_time() {
    let mut pair = two_paths(true);
    for _ in 0..5 {
        let (other, now) = (standby(&pair, 0).id, pair.now());
        pair.core_mut(0).nominate(other, now).unwrap();
        pair.pump();
        pair.run_until(now + Duration::from_millis(100));
        assert_eq!(selected(&pair, 0).id, other);
        assert_eq!(used(&pair, 0), used(&pair, 1));
    }
}

#[test]
fn nominations_carry_rising_numbers() {
    let mut pair = two_paths(true);
    let (other, now) = (standby(&pair, 0).id, pair.now());
    pair.core_mut(0).nominate(other, now).unwrap();
    pair.pump();
    let nominations = pair.trace().iter().filter_map(|sent| {
        let message = Message::parse(&sent.bytes).unwrap();
        let nominates = message.class() == Class::Request && message.use_candidate();
        nominates.then(|| message.nomination())
    });
    assert_eq!(nominations.collect::<Vec<_>>(), [Some(1), Some(2)]);
}

/// An older nomination that was overtaken on the way changes nothing.
#[test]
fn the_newest_nomination_counts() {
    let mut pair = two_paths(true);
    let first = used(&pair, 0);
    let second = standby(&pair, 0).local.address().unwrap().ip();
    // The nomination of the second pair takes long; meanwhile it fails on our
    // side, and the first is nominated again.
    let (ours, now) = (standby(&pair, 0).id, pair.now());
    pair.slow_down(second, Duration::from_millis(400));
    pair.core_mut(0).nominate(ours, now).unwrap();
    pair.pump();
    pair.run_until(now + Duration::from_millis(900));
    assert_eq!([used(&pair, 0), used(&pair, 1)], [second; 2]);
    let back = standby(&pair, 0).id;
    let now = pair.now();
    pair.core_mut(0).nominate(back, now).unwrap();
    pair.pump();
    pair.run_until(now + Duration::from_millis(2_000));
    assert_eq!([used(&pair, 0), used(&pair, 1)], [first; 2]);
}

#[test]
fn without_the_option_a_selected_pair_stays() {
    let mut pair = two_paths(false);
    let superseded = report(&pair, 0, |report| !report.selected);
    let now = pair.now();
    assert_eq!(
        pair.core_mut(0).nominate(superseded.id, now),
        Err(CommandError::NotNominated(NotNominated::NotValid))
    );
    let (selected, began) = (selected(&pair, 0).id, pair.now());
    assert_eq!(
        pair.core_mut(0).nominate(selected, now),
        Err(CommandError::NotNominated(NotNominated::NotNegotiated))
    );
    assert_eq!(
        pair.core_mut(1).nominate(selected, now),
        Err(CommandError::NotNominated(NotNominated::NotControlling))
    );
    let before = used(&pair, 0);
    pair.block(before);
    pair.run_until(began + Duration::from_secs(60));
    assert_eq!(pair.core(0).state(), State::Failed);
}

#[test]
fn a_side_that_does_not_list_the_option_gets_one_nomination() {
    let addresses = [vec![host(1, 1), host(1, 2)], vec![host(2, 1)]];
    let configure = |side, config: &mut floe::agent::Config| config.renomination = side == 0;
    let roles = [Role::Controlling, Role::Controlled];
    let mut pair =
        Pair::new(Options { addresses, roles, options: true, configure, ..Options::default() });
    assert!(pair.core(0).options().contains(&"renomination"));
    assert!(!pair.core(1).options().contains(&"renomination"));
    pair.signal_all();
    pair.run_until(Time::from_millis(60_000));
    let nominations = pair.trace().iter().filter(|sent| {
        let message = Message::parse(&sent.bytes).unwrap();
        message.class() == Class::Request && message.use_candidate()
    });
    assert_eq!(nominations.count(), 1);
}
