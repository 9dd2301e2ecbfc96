//! Every state and every event of a re-punch, and two of them with each other.

use std::net::SocketAddr;

use super::fixture::{FOLLOWER, LEADER, World, millis};
use crate::punch::{Offer, Repunch, RepunchState, Step, SyncBody, SyncMessage, Timing};
use crate::timer::Time;

const NOW: Time = Time::from_millis(10_000);

/// One that agreed with a leader on rounds every 250 ms from 100 ms on.
fn agreed() -> Timing {
    let mut timing = Timing::sync(FOLLOWER, NOW);
    timing.start(NOW);
    let body = SyncBody::Start { t0: 100_000, every: 250_000, round: 0 };
    timing.handle_message(NOW, &SyncMessage { id: 9, from: LEADER, body });
    assert!(timing.next_start(NOW).is_some());
    while timing.poll_message().is_some() {}
    timing
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], port))
}

fn offer(attempt: u8, round: u32) -> Offer {
    Offer { component: 1, attempt, round, address: address(7_000 + u16::from(attempt)) }
}

/// All steps that are due.
fn steps(repunch: &mut Repunch, now: Time, timing: &mut Timing) -> Vec<Step> {
    std::iter::from_fn(|| repunch.advance(now, timing, true)).collect()
}

/// One in each state at [`NOW`], in its first attempt.
fn in_state(state: RepunchState) -> (Repunch, Timing) {
    use RepunchState::*;
    let mut repunch = Repunch::watch(1, NOW, NOW);
    let mut timing = agreed();
    if state == Suspecting {
        timing = Timing::None;
        repunch.offered(offer(1, 0));
        assert_eq!(steps(&mut repunch, NOW, &mut timing), [Step::Agree]);
    }
    if matches!(state, Preparing | Offered | Armed | Punched | Resting) {
        repunch = Repunch::watch(1, Time::ZERO, Time::ZERO);
        assert_eq!(steps(&mut repunch, NOW, &mut timing), [Step::Prepare]);
    }
    if matches!(state, Offered | Armed | Punched | Resting) {
        repunch.mapped(address(1));
        assert_eq!(steps(&mut repunch, NOW, &mut timing), []);
    }
    if matches!(state, Armed | Punched) {
        repunch.offered(offer(1, 2));
        assert_eq!(steps(&mut repunch, NOW, &mut timing), []);
    }
    if state == Punched {
        let start = repunch.start().unwrap();
        assert_eq!(steps(&mut repunch, start, &mut timing), [Step::Punch(offer(1, 2))]);
    }
    if state == Resting {
        assert_eq!(steps(&mut repunch, NOW + millis(10_000), &mut timing), [Step::Drop]);
    }
    if state == Over {
        repunch.end();
    }
    assert_eq!(repunch.state(), state);
    (repunch, timing)
}

const STATES: [RepunchState; 8] = [
    RepunchState::Watching,
    RepunchState::Suspecting,
    RepunchState::Preparing,
    RepunchState::Offered,
    RepunchState::Armed,
    RepunchState::Punched,
    RepunchState::Resting,
    RepunchState::Over,
];

type Event = (&'static str, fn(&mut Repunch));

/// Each event with what each state, in the order of [`STATES`], leads to once
/// all steps are done, and how many those are.
#[rustfmt::skip]
const TABLE: [(Event, [(RepunchState, usize); 8]); 8] = {
    use RepunchState::{Armed as A, Offered as O, Over as X, Preparing as P, Punched as U};
    use RepunchState::{Resting as R, Suspecting as S, Watching as W};
    [
        (("nothing", |_| {}),
            [(W, 0), (S, 0), (P, 0), (O, 0), (A, 0), (U, 0), (R, 0), (X, 0)]),
        (("an offer for this attempt", |r| r.offered(offer(1, 2))),
            [(P, 1), (S, 0), (P, 0), (A, 0), (A, 0), (U, 0), (P, 1), (X, 0)]),
        (("an offer for the next", |r| r.offered(offer(2, 2))),
            [(P, 1), (S, 0), (P, 0), (P, 2), (P, 2), (P, 2), (P, 1), (X, 0)]),
        (("an offer that begins before it can come", |r| r.offered(offer(1, 0))),
            [(P, 1), (S, 0), (P, 0), (A, 0), (A, 0), (U, 0), (P, 1), (X, 0)]),
        (("a mapping", |r| r.mapped(address(5))),
            [(W, 0), (S, 0), (O, 0), (O, 0), (A, 0), (U, 0), (R, 0), (X, 0)]),
        (("no mapping", Repunch::failed),
            [(W, 0), (S, 0), (P, 2), (O, 0), (A, 0), (U, 0), (R, 0), (X, 0)]),
        (("the peer was heard", Repunch::heard),
            [(W, 0), (S, 0), (P, 0), (O, 0), (A, 0), (U, 0), (R, 0), (X, 0)]),
        (("a path", Repunch::end),
            [(X, 0); 8]),
    ]
};

#[test]
fn every_event_in_every_state() {
    for ((name, event), row) in TABLE {
        for (state, expected) in STATES.into_iter().zip(row) {
            let (mut repunch, mut timing) = in_state(state);
            event(&mut repunch);
            let now = if state == RepunchState::Resting { NOW + millis(10_000) } else { NOW };
            let steps = steps(&mut repunch, now, &mut timing);
            assert_eq!((repunch.state(), steps.len()), expected, "{name} in {state:?}: {steps:?}");
            assert!(repunch.poll_timeout().is_none_or(|due| due > now), "{name} in {state:?}");
        }
    }
}

#[test]
fn what_happens_when_it_is_due() {
    use RepunchState::{Armed, Offered, Preparing, Punched, Resting, Suspecting, Watching};
    for (state, expected, at_least) in [
        (Watching, Preparing, 500),
        (Preparing, Preparing, 3_000),
        (Offered, Resting, 10_000),
        (Armed, Punched, 0),
        (Punched, Preparing, 1_500),
    ] {
        let (mut repunch, mut timing) = in_state(state);
        let due = repunch.poll_timeout().unwrap();
        assert!(due >= NOW + millis(at_least), "{state:?}: {due:?}");
        steps(&mut repunch, due, &mut timing);
        assert_eq!(repunch.state(), expected, "{state:?}");
        assert!(repunch.poll_timeout().is_none_or(|next| next > due));
    }
    for state in [Suspecting, Resting] {
        assert_eq!(in_state(state).0.poll_timeout(), None, "{state:?}");
    }
    let (mut repunch, _) = in_state(Punched);
    repunch.heard();
    assert_eq!(repunch.poll_timeout(), None, "who was heard is waited for");
}

#[test]
fn there_are_three_attempts_whatever_the_peer_offers() {
    // A port that nobody was told of serves the next attempt too.
    for (first, expected) in [(1, 2), (2, 1), (3, 1)] {
        let (mut repunch, mut timing) = in_state(RepunchState::Watching);
        let (mut prepared, mut now) = (0, NOW);
        for turn in 0..40 {
            repunch.offered(offer((first + turn).min(3), u32::from(turn)));
            repunch.failed();
            now += millis(500);
            let all = steps(&mut repunch, now, &mut timing);
            prepared += all.iter().filter(|step| **step == Step::Prepare).count();
        }
        assert_eq!((repunch.state(), prepared), (RepunchState::Over, expected));
    }
}

#[test]
fn no_port_is_asked_for_without_an_agreement_or_a_place() {
    let mut repunch = Repunch::watch(1, Time::ZERO, Time::ZERO);
    let mut timing = agreed();
    assert_eq!(repunch.advance(NOW, &mut timing, false), None);
    assert_eq!(repunch.state(), RepunchState::Suspecting);
    let mut silent = Timing::None;
    assert_eq!(steps(&mut repunch, NOW, &mut silent), [Step::Agree]);
    assert_eq!(steps(&mut repunch, NOW + millis(60_000), &mut silent), []);
    assert_eq!(steps(&mut repunch, NOW, &mut timing), [Step::Prepare]);
}

/// A start that is further ahead than any that is agreed on in good faith.
#[test]
fn a_start_far_ahead_is_not_waited_for() {
    let (mut repunch, mut timing) = in_state(RepunchState::Offered);
    repunch.offered(offer(1, 100));
    assert_eq!(steps(&mut repunch, NOW, &mut timing), [Step::Drop, Step::Prepare]);
    let (mut repunch, mut timing) = in_state(RepunchState::Offered);
    repunch.offered(offer(1, 1_000_000));
    assert_eq!(steps(&mut repunch, NOW, &mut timing), []);
    assert_eq!(repunch.state(), RepunchState::Offered);
}

/// The peer began late, and has read all questions at once: the answers say
/// nothing of the way, and it is asked again.
#[test]
fn questions_that_have_waited_are_asked_again() {
    for late in [30, 90, 200, 300, 450].map(millis) {
        let way = millis(20);
        // The questions of the first 80 ms come when the peer begins; the second
        // message answers its greeting.
        let delay = move |from: usize, n: usize| match (from, n) {
            (0, 0..6) => {
                let sent = millis(20) * n.saturating_sub(1) as u32;
                vec![(late + way).saturating_sub(sent).max(way)]
            }
            _ => vec![way],
        };
        let timings = [Timing::sync(LEADER, Time::ZERO), Timing::sync(FOLLOWER, Time::ZERO)];
        let mut world = World::new(timings, [millis(0); 2], &delay);
        world.start();
        world.run_until(millis(1_500));
        world.refused(0);
        let round = world.sides[0].starts.last().expect("there is an agreement").0;
        let skew = world.skew(round).expect("both know it");
        assert!(skew <= millis(1), "{late:?}: {skew:?}");
    }
}
