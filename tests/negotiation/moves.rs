//! Networks that move: addresses that come and go, and machines that sleep.

use std::net::IpAddr;
use std::time::Duration;

use floe::agent::{Event, State, StateReason, StreamId};
use floe::check::FailReason;
use floe::timer::Time;

use crate::network::{Options, Pair, host};

const STREAM: StreamId = StreamId(0);

fn completed(options: Options) -> Pair {
    let mut pair = Pair::new(options);
    pair.signal_all();
    pair.run_until(Time::from_millis(10_000));
    assert_eq!([0, 1].map(|side: usize| pair.core(side).state()), [State::Completed; 2]);
    pair
}

fn continual() -> Options {
    Options { options: true, configure: |_, config| config.continual = true, ..Options::default() }
}

fn states(pair: &Pair, side: usize, since: Time) -> Vec<(State, StateReason)> {
    let events = pair.events(side).iter().filter(|(at, _)| *at >= since);
    events
        .filter_map(|(_, event)| match event {
            Event::State { state, reason } => Some((*state, *reason)),
            _ => None,
        })
        .collect()
}

fn restarts(pair: &Pair, side: usize) -> usize {
    let events = pair.events(side).iter();
    events.filter(|(_, event)| matches!(event, Event::Restarted { .. })).count()
}

/// The application above sees at most that the stream is disconnected.
fn is_calm(pair: &Pair, since: Time) {
    for side in 0..2 {
        for (state, reason) in states(pair, side, since) {
            let calm = matches!(state, State::Disconnected | State::Connected | State::Completed);
            assert!(calm, "side {side}: {state:?}, {reason:?}");
        }
        assert_eq!(pair.core(side).state(), State::Completed, "side {side}");
    }
}

fn used(pair: &Pair, side: usize) -> IpAddr {
    let mut pairs = pair.core(side).pairs(STREAM).filter(|report| report.selected);
    pairs.next().expect("a selected pair").local.address().unwrap().ip()
}

fn data_flows(pair: &mut Pair) {
    pair.run_until(pair.now() + Duration::from_millis(100));
    let before = [pair.data(0), pair.data(1)];
    pair.stream_until(pair.now() + Duration::from_secs(1));
    pair.run_until(pair.now() + Duration::from_millis(100));
    for side in 0..2 {
        let sent = pair.data(side).sent - before[side].sent;
        assert!(sent >= 200);
        assert_eq!(pair.data(1 - side).received - before[1 - side].received, sent);
    }
}

#[test]
fn from_one_network_to_another_by_a_restart() {
    for side in 0..2 {
        let mut pair = completed(Options::default());
        let began = pair.now();
        let there = host(side as u8 + 1, 2);
        pair.move_to(side, vec![there]);
        let moved = (State::Disconnected, StateReason::NetworkMoved);
        assert_eq!(states(&pair, side, began), [moved]);
        assert_eq!(restarts(&pair, side), 1, "it restarts by itself");
        let gone = pair.core(side).pairs(STREAM).count();
        assert_eq!(gone, 0, "the pairs of before are of no use");
        pair.run_until(began + Duration::from_millis(50));
        pair.signal(1 - side);
        pair.signal(side);
        pair.run_until(began + Duration::from_secs(5));
        is_calm(&pair, began);
        assert_eq!(used(&pair, side), there);
        data_flows(&mut pair);
    }
}

#[test]
fn a_new_address_is_told_while_the_old_pair_carries_data() {
    let mut pair = completed(Options::default());
    let began = pair.now();
    pair.move_to(0, vec![host(1, 1), host(1, 2)]);
    assert_eq!(restarts(&pair, 0), 1);
    assert_eq!(pair.candidates(0, STREAM).len(), 2);
    pair.stream_until(began + Duration::from_millis(500));
    pair.signal(1);
    pair.signal(0);
    pair.stream_until(began + Duration::from_secs(10));
    pair.run_until(pair.now() + Duration::from_millis(100));
    is_calm(&pair, began);
    for side in 0..2 {
        assert!(pair.data(side).sent > 1_000);
        assert_eq!(pair.data(side).sent, pair.data(1 - side).received, "no byte is lost");
        let disconnected = states(&pair, side, began).iter().any(|s| s.0 == State::Disconnected);
        assert!(!disconnected);
    }
}

#[test]
fn the_same_addresses_again_change_nothing() {
    let mut pair = completed(Options::default());
    pair.move_to(0, vec![host(1, 1)]);
    assert_eq!(restarts(&pair, 0), 0);
    assert_eq!(states(&pair, 0, pair.now()), []);
}

/// Containers and tunnels bring link-local addresses that lead nowhere.
#[test]
fn an_address_of_a_link_alone_is_no_reason_to_restart() {
    let mut pair = completed(Options::default());
    for link in ["fe80::1", "169.254.7.7"] {
        pair.move_to(0, vec![host(1, 1), link.parse().unwrap()]);
        pair.move_to(0, vec![host(1, 1)]);
    }
    assert_eq!(restarts(&pair, 0), 0);
    data_flows(&mut pair);
}

#[test]
fn candidates_are_trickled_where_both_sides_list_continual() {
    for side in 0..2 {
        let mut pair = completed(continual());
        let began = pair.now();
        let there = host(side as u8 + 1, 2);
        pair.move_to(side, vec![there]);
        let lost =
            pair.core(side).pairs(STREAM).find(|p| p.reason == Some(FailReason::AddressGone));
        assert!(lost.is_some());
        pair.signal_candidates(1 - side, STREAM);
        pair.run_until(began + Duration::from_secs(5));
        is_calm(&pair, began);
        assert_eq!(restarts(&pair, 0) + restarts(&pair, 1), 0);
        assert_eq!(used(&pair, side), there);
        data_flows(&mut pair);
        // And back again.
        let (back, began) = (host(side as u8 + 1, 1), pair.now());
        pair.move_to(side, vec![back]);
        pair.signal_candidates(1 - side, STREAM);
        pair.run_until(began + Duration::from_secs(5));
        is_calm(&pair, began);
        assert_eq!(used(&pair, side), back);
        data_flows(&mut pair);
    }
}

#[test]
fn with_a_pair_that_stands_by_nothing_needs_to_be_signalled() {
    let addresses = [vec![host(1, 1), host(1, 2)], vec![host(2, 1)]];
    let mut pair = completed(Options { addresses, ..continual() });
    let (before, began) = (used(&pair, 0), pair.now());
    let there = if before == host(1, 1) { host(1, 2) } else { host(1, 1) };
    pair.move_to(0, vec![there]);
    pair.stream_until(began + Duration::from_secs(2));
    is_calm(&pair, began);
    assert_eq!(used(&pair, 0), there);
    assert_eq!(states(&pair, 0, began), []);
    data_flows(&mut pair);
}

#[test]
fn addresses_that_come_while_gathering_is_open_are_part_of_it() {
    fn slow(_: usize, config: &mut floe::agent::Config) {
        // A server that never answers keeps gathering open.
        let uri: Box<str> = "stun:192.0.2.1".into();
        let address = "192.0.2.1:3478".parse().ok();
        let (host, port) = ("192.0.2.1".into(), 3478);
        let protocol = floe::net::Protocol::Udp;
        config.stun_servers = vec![floe::agent::StunServer { uri, host, port, address, protocol }];
    }
    let mut pair = Pair::new(Options { configure: slow, ..Options::default() });
    pair.move_to(0, vec![host(1, 1), host(1, 2)]);
    assert_eq!(pair.candidates(0, STREAM).len(), 2);
    assert_eq!(restarts(&pair, 0), 0);
}

#[test]
fn an_agent_that_does_not_follow_fails() {
    let configure = |_, config: &mut floe::agent::Config| config.follow_network = false;
    let mut pair = completed(Options { configure, ..Options::default() });
    pair.move_to(0, vec![host(1, 2)]);
    assert_eq!(restarts(&pair, 0), 0);
    assert_eq!(pair.core(0).state(), State::Failed);
}

#[test]
fn after_a_nap_paths_are_checked_at_once_and_data_goes_on() {
    let mut pair = completed(Options::default());
    let (began, sent) = (pair.now(), pair.trace().len());
    pair.sleep(0, Duration::from_secs(3));
    assert_eq!(pair.trace().len(), sent + 1, "a check at once");
    pair.stream_until(began + Duration::from_secs(1));
    assert_eq!(states(&pair, 0, began), []);
    pair.run_until(pair.now() + Duration::from_millis(100));
    data_flows(&mut pair);
}

#[test]
fn after_a_long_sleep_no_data_goes_before_the_peer_consents_again() {
    let mut pair = completed(Options::default());
    let began = pair.now();
    pair.sleep(0, Duration::from_secs(600));
    let before = pair.data(0).sent;
    pair.send_data(0);
    assert_eq!(pair.data(0).sent, before, "consent ran out (RFC 7675 §5.1)");
    pair.run_until(began + Duration::from_millis(30));
    let expected = [
        (State::Disconnected, StateReason::NetworkMoved),
        (State::Completed, StateReason::ConsentRegained),
    ];
    assert_eq!(states(&pair, 0, began), expected);
    assert_eq!(restarts(&pair, 0), 0);
    data_flows(&mut pair);
}

#[test]
fn after_a_sleep_a_dead_path_is_left_by_a_restart() {
    let mut pair = completed(Options::default());
    let began = pair.now();
    pair.cut();
    pair.sleep(0, Duration::from_secs(600));
    pair.run_until(began + Duration::from_secs(8));
    assert_eq!(restarts(&pair, 0), 1, "two checks went unanswered");
    pair.mend();
    pair.signal(1);
    pair.signal(0);
    pair.run_until(began + Duration::from_secs(15));
    is_calm(&pair, began);
    data_flows(&mut pair);
}

#[test]
fn all_streams_move() {
    let mut pair = completed(Options { streams: vec![1, 2], ..Options::default() });
    let began = pair.now();
    pair.move_to(0, vec![host(1, 9)]);
    assert_eq!(restarts(&pair, 0), 2);
    for side in [1, 0] {
        pair.signal(side);
    }
    pair.run_until(began + Duration::from_secs(10));
    is_calm(&pair, began);
    assert!(pair.sockets(0).iter().all(|socket| socket.ip() == host(1, 9)));
    assert_eq!(pair.sockets(0).len(), 3);
}
