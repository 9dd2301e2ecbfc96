use proptest::prelude::*;

use super::fixture::{FOLLOWER, LEADER, World, micros, millis};
use crate::punch::{SyncState, Timing};
use crate::timer::Time;

use std::time::Duration;

const AHEAD: [Duration; 2] = [millis(7_000), millis(123)];

/// Ours on both sides, each with its clock as of the true time 0.
fn sync() -> [Timing; 2] {
    let at = |ahead| Time::ZERO + ahead;
    [Timing::sync(LEADER, at(AHEAD[0])), Timing::sync(FOLLOWER, at(AHEAD[1]))]
}

fn dcutr() -> [Timing; 2] {
    [Timing::dcutr(LEADER, true), Timing::dcutr(FOLLOWER, false)]
}

/// What one way takes, from side 0 and from side 1.
fn fixed(there: u64, back: u64) -> impl Fn(usize, usize) -> Vec<Duration> {
    move |from, _| vec![millis([there, back][from])]
}

fn state(timing: &Timing) -> SyncState {
    match timing {
        Timing::Sync(sync) => sync.state(),
        _ => panic!("not ours"),
    }
}

#[test]
fn on_an_even_path_both_start_at_the_same_moment() {
    let delay = fixed(30, 30);
    for timings in [sync(), dcutr()] {
        let mut world = World::new(timings, AHEAD, &delay);
        world.start();
        world.run_until(millis(1_000));
        assert_eq!(world.skew(0), Some(Duration::ZERO));
    }
}

#[test]
fn the_skew_is_half_of_what_the_ways_differ_by() {
    for (there, back) in [(10, 50), (50, 10), (0, 200), (300, 20)] {
        let delay = fixed(there, back);
        for timings in [sync(), dcutr()] {
            let mut world = World::new(timings, AHEAD, &delay);
            world.start();
            world.run_until(millis(3_000));
            let expected = millis(there).abs_diff(millis(back)) / 2;
            assert_eq!(world.skew(0), Some(expected), "{there} and {back} ms");
        }
    }
}

#[test]
fn t0_is_one_time_in_both_clocks_and_a_round_trip_ahead() {
    let delay = fixed(20, 20);
    let mut world = World::new(sync(), AHEAD, &delay);
    world.start();
    world.run_until(millis(500));
    // Five questions 20 ms apart, the last answered after 80 + 40 ms; T0 is
    // 40 + 20 ms after that.
    let t0 = millis(80 + 40 + 40 + 20);
    for side in &world.sides {
        assert_eq!(side.starts[0], (0, t0));
        let next = side.timing.next_start(side.clock(t0 + micros(1))).unwrap();
        assert_eq!(side.in_true_time(next), (1, t0 + millis(250)));
        assert_eq!(state(&side.timing), SyncState::Agreed);
    }
    // Both have the follower's greeting beside them, and its answer.
    assert_eq!((world.sides[0].sent, world.sides[1].sent), (7, 7));
}

#[test]
fn one_agent_goes_first_and_it_alternates() {
    let delay = fixed(20, 20);
    let mut world = World::new(sync(), AHEAD, &delay);
    world.start();
    world.run_until(millis(500));
    for round in 0..10 {
        let [leader, follower] =
            [0, 1].map(|side: usize| world.sides[side].timing.goes_first(round));
        assert_eq!((leader, follower), (round % 2 == 0, round % 2 == 1));
    }
}

#[test]
fn of_uneven_samples_the_shortest_counts_and_dcutr_has_but_the_one() {
    // The third question, the second to come, and its answer take the least:
    // 40 ms, 6 ms uneven. The follower's first message is its greeting, which
    // is answered between the second question and the third.
    let ours = |from: usize, n: usize| {
        let there = [60, 90, 50, 23, 70, 80];
        let back = [30, 30, 17, 10, 40, 20];
        vec![millis([there, back][from].get(n).copied().unwrap_or(100))]
    };
    let mut world = World::new(sync(), AHEAD, &ours);
    world.start();
    world.run_until(millis(1_000));
    assert_eq!(world.skew(0), Some(millis(3)));

    // Of each attempt: CONNECT, its answer, SYNC.
    let attempts = [[60, 30, 60], [90, 10, 90], [23, 17, 23]];
    let dcutr_delay = |from: usize, n: usize| {
        vec![millis(if from == 0 { attempts[n / 2][n % 2 * 2] } else { attempts[n][1] })]
    };
    let mut world = World::new(dcutr(), AHEAD, &dcutr_delay);
    world.start();
    for (round, skew) in [15, 40, 3].into_iter().enumerate() {
        world.run_until(millis(1_000 * (round as u64 + 1)));
        assert_eq!(world.skew(round as u32), Some(millis(skew)));
        world.refused(0);
    }
    world.run_until(millis(9_000));
    assert_eq!((world.sides[0].sent, world.sides[1].sent), (6, 3), "three attempts");
}

#[test]
fn a_refusal_hastens_the_proposal() {
    let delay = fixed(20, 20);
    let mut world = World::new(sync(), AHEAD, &delay);
    world.start();
    world.run_until(millis(41));
    world.refused(0);
    world.run_until(millis(500));
    assert_eq!(world.sides[0].starts[0], (0, millis(41 + 60)));
    assert_eq!(world.skew(0), Some(Duration::ZERO));
}

#[test]
fn a_peer_that_never_answers_costs_five_messages() {
    let lost = |_: usize, _: usize| Vec::new();
    let mut world = World::new(sync(), AHEAD, &lost);
    world.start();
    for second in 1..60 {
        world.run_until(millis(second * 1_000));
        world.refused(0);
        world.refused(1);
    }
    // The other one says that it has begun.
    assert_eq!((world.sides[0].sent, world.sides[1].sent), (5, 1));
    assert_eq!(state(&world.sides[0].timing), SyncState::Silent);
    assert_eq!((world.sides[0].starts.len(), world.sides[0].timing.poll_timeout()), (0, None));

    let mut world = World::new(dcutr(), AHEAD, &lost);
    world.start();
    world.run_until(millis(60_000));
    world.refused(0);
    assert_eq!((world.sides[0].sent, world.sides[0].starts.len()), (1, 0));
}

#[test]
fn a_lost_proposal_or_agreement_is_made_up_for() {
    for (side, number) in [(0, 5), (1, 5)] {
        let delay = move |from: usize, n: usize| {
            if (from, n) == (side, number) { Vec::new() } else { vec![millis(20)] }
        };
        let mut world = World::new(sync(), AHEAD, &delay);
        world.start();
        world.run_until(millis(1_000));
        assert!(world.sides.iter().all(|side| state(&side.timing) == SyncState::Agreed));
        let [a, b] = [0, 1].map(|side: usize| {
            let side = &world.sides[side];
            side.in_true_time(side.timing.next_start(side.clock(world.now)).unwrap())
        });
        assert_eq!(a, b);
    }
}

#[test]
fn rounds_end_and_are_agreed_again() {
    let delay = fixed(20, 20);
    let mut world = World::new(sync(), AHEAD, &delay);
    world.start();
    world.run_until(millis(45_000));
    let now = |world: &World<'_>, side: usize| world.sides[side].clock(world.now);
    assert_eq!(
        [0, 1].map(|side| world.sides[side].timing.next_start(now(&world, side))),
        [None; 2]
    );
    world.refused(0);
    world.run_until(millis(46_000));
    for side in [0, 1] {
        assert!(world.sides[side].timing.next_start(now(&world, side)).is_some());
    }
}

proptest! {
    /// Whatever becomes of the messages: nothing panics, what is sent is
    /// bounded, and once both agree for good and the last words have come, they
    /// start within half of the shortest round trip.
    #[test]
    fn lost_doubled_and_reordered_messages_do_no_harm(
        fates in proptest::collection::vec(
            proptest::collection::vec(0..400u64, 0..3), 64),
        refusals in proptest::collection::vec((0..2usize, 0..400u64), 0..20),
    ) {
        let delay = |from: usize, n: usize| -> Vec<Duration> {
            fates[(n * 2 + from) % fates.len()].iter().map(|ms| millis(*ms)).collect()
        };
        let mut world = World::new(sync(), AHEAD, &delay);
        world.start();
        for (side, after) in refusals {
            world.run_until(world.now + millis(after));
            world.refused(side);
        }
        world.run_until(world.now + millis(10_000));
        // Three exchanges, one more where the peer began late, and an answer each
        // time that its greeting arrives.
        prop_assert!(world.sides[0].sent <= 4 * (5 + 3) + 2);
        prop_assert!(world.sides[1].sent <= 64);
        let next = |side: usize| {
            let side = &world.sides[side];
            side.timing.next_start(side.clock(world.now)).map(|start| side.in_true_time(start))
        };
        for (side, now) in [(0, world.now), (1, world.now)] {
            if let Some((_, at)) = next(side) {
                prop_assert!(at >= now && at <= now + millis(2_000));
            }
        }
    }
}
