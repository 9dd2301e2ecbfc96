//! What was measured on Linux with kernel NATs, as the model shows it.

use std::io::ErrorKind;
use std::time::Duration;

use floe::timer::Time;

use crate::model::{Answer, HostEvent, Kind, Rules};
use crate::punch::{Punch, Side, Strategy};

const SKEWS: [u64; 10] = [0, 10, 20, 40, 60, 100, 200, 500, 1000, 2000];
const RTTS: [u64; 3] = [20, 50, 200];

const DROPS: Rules = Rules::PORT_RESTRICTED;
const RESETS: Rules = Rules::PORT_RESTRICTED.answering(Answer::Reset);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn late(time: u64) -> Time {
    Time::from_millis(time)
}

/// Runs one cell to its end: the later end has the connection so long after
/// the late start.
fn cell(sides: [Side; 2], rtt: u64) -> (Option<Duration>, Punch) {
    let start = sides[0].starts.max(sides[1].starts);
    let mut punch = Punch::new(sides, millis(rtt));
    punch.run(late(20_000));
    let took = punch.succeeded().map(|time| time - (Time::ZERO + start));
    (took, punch)
}

/// Finding 1.
#[test]
fn one_connect_a_side_works_through_nats_that_drop() {
    for rtt in RTTS {
        for skew in SKEWS {
            let (took, punch) = cell([Side::new(DROPS, 0), Side::new(DROPS, skew)], rtt);
            // The SYN that the early socket sends again each second crosses as well.
            let crosses = skew % 1000 < rtt / 2;
            let expected = if crosses { millis(rtt) } else { millis(rtt) * 3 / 2 };
            assert_eq!(took, Some(expected), "RTT {rtt}, skew {skew}");
            let crossing = punch.network.log().crossing(punch.hosts[0], punch.hosts[1]);
            assert_eq!(crossing.is_some(), crosses, "RTT {rtt}, skew {skew}");
            for (socket, _) in punch.connected.into_iter().flatten() {
                let early = socket.host == punch.hosts[0];
                assert_eq!(punch.network.crossed(socket), crosses || early);
            }
            assert_eq!(punch.failures, [vec![], vec![]]);
        }
    }
}

/// Finding 2: once, and again after each refusal.
#[test]
fn through_nats_that_reset_one_connect_needs_luck_and_several_do_not() {
    for rtt in RTTS {
        for skew in SKEWS {
            let sides = [Side::new(RESETS, 0), Side::new(RESETS, skew)];
            let (took, punch) = cell(sides, rtt);
            let expected = (2 * skew < rtt).then_some(millis(rtt));
            assert_eq!(took, expected, "RTT {rtt}, skew {skew}");
            if took.is_none() {
                let refused = |at: u64| vec![(late(at), ErrorKind::ConnectionRefused)];
                let expected = [refused(rtt), refused(skew + rtt)];
                assert_eq!(punch.failures, expected, "RTT {rtt}, skew {skew}");
            }
            let again = millis(rtt / 4).max(millis(10));
            // Not in step, as jitter would have it.
            let again = [again, again * 13 / 10];
            let sides = [0, 1].map(|at: usize| {
                sides[at].with(Strategy { again: Some(again[at]), ..Strategy::default() })
            });
            let (took, _) = cell(sides, rtt);
            assert!(took.is_some_and(|took| took <= millis(8 * rtt)), "{rtt}, {skew}: {took:?}");
        }
    }
}

/// Finding 3.
#[test]
fn a_silent_connect_that_is_made_anew_every_20_ms_never_works() {
    let recycles = |period| Strategy { recycles: Some(period), ..Strategy::default() };
    for rules in [DROPS, RESETS] {
        for rtt in [21, 50, 200] {
            for skew in SKEWS {
                let sides = [Side::new(rules, 0), Side::new(rules, skew)];
                let (took, punch) = cell(sides.map(|s| s.with(recycles(millis(20)))), rtt);
                assert_eq!(took, None, "RTT {rtt}, skew {skew}");
                assert!(punch.network.log().sent(punch.hosts[0], Kind::Syn).count() > 900);
            }
        }
    }
    // Seldom enough, and it works.
    for skew in SKEWS {
        let sides = [Side::new(DROPS, 0), Side::new(DROPS, skew)];
        let sides = [sides[0].with(recycles(millis(430))), sides[1].with(recycles(millis(400)))];
        assert!(cell(sides, 50).0.is_some(), "skew {skew}");
    }
}

/// Finding 5.
#[test]
fn a_full_cone_and_a_symmetric_nat_need_the_listener() {
    for listens in [false, true] {
        for skew in SKEWS {
            let strategy = Strategy { listens, ..Strategy::default() };
            let sides = [Side::new(Rules::FULL_CONE, 0), Side::new(Rules::SYMMETRIC, skew)];
            let mut punch = Punch::new(sides.map(|s| s.with(strategy)), millis(50)).gather();
            punch.run(late(20_000));
            assert_eq!(punch.succeeded().is_some(), listens, "skew {skew}");
        }
    }
}

/// Finding 6.
#[test]
fn before_a_hostile_nat_the_order_matters() {
    let hostile = Rules::PORT_RESTRICTED.hostile(Answer::Drop);
    for (hostile_starts, other_starts, took) in [(80, 0, 40), (0, 80, 960)] {
        let sides = [Side::new(hostile, hostile_starts), Side::new(DROPS, other_starts)];
        let (found, _) = cell(sides, 40);
        assert_eq!(found, Some(millis(took)), "{hostile_starts}, {other_starts}");
    }
    // Both are hostile: nothing passes.
    assert_eq!(cell([Side::new(hostile, 0), Side::new(hostile, 0)], 40).0, None);
    let hostile = RESETS.hostile(Answer::Reset);
    for (hostile_starts, other_starts, works) in [(80, 0, false), (0, 80, false)] {
        let sides = [Side::new(hostile, hostile_starts), Side::new(RESETS, other_starts)];
        assert_eq!(cell(sides, 40).0.is_some(), works, "{hostile_starts}, {other_starts}");
    }
    for (hostile_starts, other_starts, works) in [(80, 0, true), (0, 80, false)] {
        let sides = [Side::new(hostile, hostile_starts), Side::new(DROPS, other_starts)];
        let (found, punch) = cell(sides, 40);
        let (_, _) = (works, punch.failures);
        println!("{hostile_starts} {other_starts} {found:?}");
    }
}

/// Finding 7: the connection is there already, and the listener has it.
#[test]
fn a_connect_to_what_the_listener_has_finds_its_address_in_use() {
    let listens = Strategy { listens: true, ..Strategy::default() };
    for starts in [65, 90, 200] {
        // A full cone lets the SYN in before its side connects.
        let sides = [Side::new(Rules::FULL_CONE, starts), Side::new(DROPS, 0)];
        let mut punch = Punch::new(sides.map(|s| s.with(listens)), millis(100)).gather();
        let listener = punch.listeners[0].unwrap();
        punch.network.pause_accepting(listener, true);
        punch.run(punch.network.now() + millis(500));
        let begins = late(1000);
        let failed = vec![(begins + millis(starts), ErrorKind::AddrNotAvailable)];
        assert_eq!(punch.failures[0], failed, "start {starts}");
        assert_eq!(punch.network.backlog(punch.hosts[0]), (0, 1));
        let socket = punch.network.accept(listener).unwrap();
        let told = punch.network.advance(punch.network.now());
        let remote = punch.mapped[1];
        let accepted = HostEvent::Accepted { listener, socket, remote };
        assert_eq!(told.into_iter().map(|h| h.event).collect::<Vec<_>>(), [accepted]);
    }
}
