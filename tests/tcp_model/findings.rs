//! What was measured on Linux with kernel NATs, as the model shows it.

use std::io::ErrorKind;
use std::time::Duration;

use floe::timer::Time;

use crate::model::{Answer, HostEvent, Rules};
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
    punch.run(late(8_000));
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

/// Finding 3: every new connect ends the handshake of the one before it.
#[test]
fn a_silent_connect_that_is_made_anew_every_20_ms_never_works() {
    let recycles =
        |period, aborts| Strategy { recycles: Some(period), aborts, ..Strategy::default() };
    for (rules, aborts) in [(DROPS, true), (RESETS, true), (DROPS, false), (RESETS, false)] {
        for rtt in [21, 50, 200] {
            for skew in SKEWS {
                let sides = [Side::new(rules, 0), Side::new(rules, skew)];
                let (took, punch) = cell(sides.map(|s| s.with(recycles(millis(20), aborts))), rtt);
                assert_eq!(took, None, "RTT {rtt}, skew {skew}, {aborts}");
                // What was closed in SYN_RECV sends its FIN in vain, and keeps
                // the pair of addresses for itself.
                let in_use = |(_, kind): &(Time, ErrorKind)| *kind == ErrorKind::AddrNotAvailable;
                let in_use = punch.failures[0].iter().filter(|f| in_use(f)).count();
                assert_eq!(in_use > 100, !aborts, "RTT {rtt}, skew {skew}");
            }
        }
    }
    // Seldom enough, and it works.
    for skew in SKEWS {
        let sides = [Side::new(DROPS, 0), Side::new(DROPS, skew)];
        let periods = [430, 400].map(|period| recycles(millis(period), false));
        let sides = [0, 1].map(|at: usize| sides[at].with(periods[at]));
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

/// Finding 6, at an RTT of 40 ms: who answers how, who starts when, and how
/// long after the late start both have the connection.
#[test]
fn before_a_hostile_nat_the_order_matters() {
    use Answer::{Drop, Reset};
    let cases = [
        // The side whose NAT lets a known SYN in goes first, as it should.
        (Drop, Drop, 0, 80, Some(60)),
        (Reset, Drop, 0, 80, Some(60)),
        // Its socket is refused before the other starts.
        (Drop, Reset, 0, 80, None),
        // Not if the other's SYN is there before the RST.
        (Drop, Reset, 0, 10, Some(60)),
        // The wrong order costs a retransmission, 0.92 s more.
        (Drop, Drop, 80, 0, Some(980)),
        // Against an RST it costs everything.
        (Reset, Drop, 80, 0, None),
        (Drop, Reset, 80, 0, None),
        (Reset, Reset, 80, 0, None),
    ];
    for (passing, hostile, passing_starts, hostile_starts, took) in cases {
        let rules = Rules::PORT_RESTRICTED.answering(hostile).hostile(hostile);
        let passing_rules = Rules::PORT_RESTRICTED.answering(passing);
        let sides = [Side::new(passing_rules, passing_starts), Side::new(rules, hostile_starts)];
        let case = (passing, hostile, passing_starts, hostile_starts);
        assert_eq!(cell(sides, 40).0, took.map(millis), "{case:?}");
    }
    let hostile = DROPS.hostile(Drop);
    assert_eq!(cell([Side::new(hostile, 0), Side::new(hostile, 0)], 40).0, None, "both");
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
