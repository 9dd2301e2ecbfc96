//! What each call and each segment does, between two hosts without NATs.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use floe::timer::Time;

use crate::model::{
    Air, Fate, HostEvent, HostId, INTERNET, Kind, Network, Segment, Sender, SocketId, State, What,
};
use crate::punch::at;

const A: &str = "192.0.2.1:6000";
const B: &str = "192.0.2.2:6000";

/// Two hosts, 20 ms apart.
fn pair() -> (Network, HostId, HostId) {
    let mut network = Network::new(1);
    let delay = Duration::from_millis(10);
    let a = network.add_host(at(A).ip(), INTERNET, delay);
    let b = network.add_host(at(B).ip(), INTERNET, delay);
    (network, a, b)
}

fn later(network: &Network, millis: u64) -> Time {
    network.now() + Duration::from_millis(millis)
}

fn wait(network: &mut Network, millis: u64) -> Vec<HostEvent> {
    let end = later(network, millis);
    network.advance(end).into_iter().map(|h| h.event).collect()
}

/// A connection from A to a listener of B.
fn connected() -> (Network, SocketId, SocketId) {
    let (mut network, a, b) = pair();
    network.listen(b, at(B), 8).unwrap();
    let one = network.connect(a, at(A), at(B)).unwrap();
    let told = wait(&mut network, 60);
    let [HostEvent::Connected { socket, .. }, HostEvent::Accepted { socket: two, .. }] = told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(socket, one);
    (network, one, two)
}

/// When `host` sent segments of a kind, in milliseconds.
fn times(network: &Network, host: HostId, kind: Kind) -> Vec<u64> {
    network.log().sent(host, kind).map(|r| r.sent.as_nanos() / 1_000_000).collect()
}

/// Who sent what, from `start` on.
fn course(network: &Network, start: Time) -> Vec<(usize, Kind)> {
    let records = network.log().records().iter().filter(|r| r.sent >= start);
    let course = records.filter_map(|r| match r.by {
        Sender::Host(host) => Some((host.0, r.what.kind()?)),
        Sender::Nat(_) => None,
    });
    course.collect()
}

#[test]
fn a_listener_answers_and_tells_when_the_handshake_is_complete() {
    let (network, one, two) = connected();
    use Kind::{Ack, Syn, SynAck};
    assert_eq!(course(&network, Time::ZERO), [(0, Syn), (1, SynAck), (0, Ack)]);
    assert_eq!([one, two].map(|s| network.state(s)), [State::Established; 2]);
    assert_eq!(network.endpoints(two), Some((at(B), at(A))));
    assert!(!network.crossed(one) && !network.crossed(two));
}

#[test]
fn a_syn_goes_out_each_second_and_then_less_often() {
    let (mut network, a, _) = pair();
    let socket = network.connect(a, at(A), at("192.0.2.9:1")).unwrap();
    let told = network.advance(Time::from_millis(200_000));
    let seconds = [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67];
    assert_eq!(times(&network, a, Kind::Syn), seconds.map(|s| s * 1000));
    let [failed] = &told[..] else { panic!("{told:?}") };
    assert_eq!(failed.at, Time::from_millis(131_000));
    let kind = ErrorKind::TimedOut;
    assert_eq!(failed.event, HostEvent::ConnectFailed { socket, kind });
    assert_eq!(network.next_event_time(), None);
}

#[test]
fn a_listener_repeats_its_answer_less_and_less_often() {
    let (mut network, a, b) = pair();
    network.listen(b, at(B), 8).unwrap();
    network.inject(a, at(A), at(B), Segment::syn(1));
    wait(&mut network, 20);
    network.set_air(Air { loss: 1.0, ..Air::default() });
    wait(&mut network, 62_900);
    let seconds = [0, 1, 3, 7, 15, 31];
    assert_eq!(times(&network, b, Kind::SynAck), seconds.map(|s| s * 1000 + 20));
    assert_eq!(network.backlog(b), (1, 0));
    wait(&mut network, 200);
    assert_eq!(network.backlog(b), (0, 0));
}

#[test]
fn data_goes_out_again_after_an_rtt_and_200_ms() {
    let (mut network, one, two) = connected();
    let start = network.now().as_nanos() / 1_000_000;
    network.set_air(Air { loss: 1.0, ..Air::default() });
    assert_eq!(network.send(one, b"data"), Ok(4));
    wait(&mut network, 5_000);
    let after = [0, 240, 720, 1680, 3600];
    assert_eq!(times(&network, one.host, Kind::Data), after.map(|after| start + after));
    network.set_air(Air::default());
    let received = HostEvent::Received { socket: two, bytes: b"data".to_vec() };
    assert_eq!(wait(&mut network, 4_000), [received]);
    network.set_air(Air { loss: 1.0, ..Air::default() });
    network.send(two, b"data").unwrap();
    let told = wait(&mut network, 2_000_000);
    assert_eq!(told, [HostEvent::Reset { socket: two, kind: ErrorKind::TimedOut }]);
}

#[test]
fn a_connect_is_refused_reset_or_unreachable() {
    let (mut network, a, b) = pair();
    let refused = network.connect(a, at(A), at(B)).unwrap();
    let kind = ErrorKind::ConnectionRefused;
    assert_eq!(wait(&mut network, 40), [HostEvent::ConnectFailed { socket: refused, kind }]);
    // An RST that does not acknowledge the SYN does nothing.
    let socket = network.connect(a, at(A), at(B)).unwrap();
    network.inject(b, at(B), at(A), Segment::rst(0, Some(7)));
    network.inject(b, at(B), at(A), Segment::rst(0, None));
    assert_eq!(wait(&mut network, 20), []);
    assert_eq!(wait(&mut network, 20), [HostEvent::ConnectFailed { socket, kind }]);
    let (socket, _) = crossing(&mut network, a, b);
    // The SYN-ACKs are lost.
    network.set_air(Air { loss: 1.0, ..Air::default() });
    wait(&mut network, 15);
    network.set_air(Air::default());
    let syn = network.log().sent(b, Kind::Syn).last().map(|record| record.what);
    let Some(What::Segment { seq, .. }) = syn else { panic!("{syn:?}") };
    network.inject(b, at(B), at(A), Segment::rst(seq.wrapping_add(1), None));
    let kind = ErrorKind::ConnectionReset;
    assert_eq!(wait(&mut network, 20), [HostEvent::ConnectFailed { socket, kind }]);
}

/// SYNs of A and B have crossed, just now.
fn crossing(network: &mut Network, a: HostId, b: HostId) -> (SocketId, SocketId) {
    let one = network.connect(a, at(A), at(B)).unwrap();
    let two = network.connect(b, at(B), at(A)).unwrap();
    wait(network, 20);
    assert_eq!([one, two].map(|s| network.state(s)), [State::SynRecv; 2]);
    (one, two)
}

#[test]
fn crossing_syns_make_one_connection() {
    let (mut network, a, b) = pair();
    network.listen(a, at(A), 8).unwrap();
    network.listen(b, at(B), 8).unwrap();
    let (one, two) = crossing(&mut network, a, b);
    let told = network.advance(later(&network, 20));
    let connected =
        [(one, at(A)), (two, at(B))].map(|(socket, local)| HostEvent::Connected { socket, local });
    assert_eq!(told.iter().map(|h| h.at).collect::<Vec<_>>(), [Time::from_millis(40); 2]);
    assert_eq!(told.into_iter().map(|h| h.event).collect::<Vec<_>>(), connected);
    assert!(network.crossed(one) && network.crossed(two));
    use Kind::{Ack, Syn, SynAck};
    wait(&mut network, 1000);
    let expected = [(0, Syn), (1, Syn), (1, SynAck), (0, SynAck), (0, Ack), (1, Ack)];
    let mut course = course(&network, Time::ZERO);
    course.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(course, expected);
}

#[test]
fn a_lost_answer_to_a_crossing_syn_keeps_to_the_timer_of_the_syn() {
    let (mut network, a, b) = pair();
    crossing(&mut network, a, b);
    network.set_air(Air { loss: 1.0, ..Air::default() });
    wait(&mut network, 20);
    network.set_air(Air::default());
    let told = network.advance(Time::from_millis(60_000));
    assert_eq!(told.iter().map(|h| h.at).collect::<Vec<_>>(), [Time::from_millis(1020); 2]);
    assert_eq!(times(&network, a, Kind::SynAck), [20, 1000]);
}

#[test]
fn a_kernel_may_refuse_to_open_by_crossing() {
    let (mut network, a, b) = pair();
    network.refuse_crossing(a);
    network.refuse_crossing(b);
    let one = network.connect(a, at(A), at(B)).unwrap();
    let two = network.connect(b, at(B), at(A)).unwrap();
    assert_eq!(wait(&mut network, 10_000), []);
    assert_eq!([one, two].map(|s| network.state(s)), [State::SynSent; 2]);
}

#[test]
fn a_syn_from_a_new_socket_ends_a_handshake_under_way() {
    let (mut network, a, b) = pair();
    let one = network.connect(a, at(A), at(B)).unwrap();
    let two = network.connect(b, at(B), at(A)).unwrap();
    wait(&mut network, 15);
    network.close(one);
    let new = network.connect(a, at(A), at(B)).unwrap();
    let told = wait(&mut network, 200);
    // The new one answers what is meant for the old one with an RST.
    let kind = ErrorKind::ConnectionReset;
    assert!(told.contains(&HostEvent::ConnectFailed { socket: two, kind }), "{told:?}");
    assert_ne!(network.state(new), State::Established);
}

#[test]
fn a_stale_connection_is_found_out_by_a_challenge() {
    let (mut network, one, two) = connected();
    // A forgets its socket without a word.
    let start = network.now();
    network.set_air(Air { loss: 1.0, ..Air::default() });
    network.abort(one);
    wait(&mut network, 100);
    network.set_air(Air::default());
    network.connect(one.host, at(A), at(B)).unwrap();
    let told = wait(&mut network, 60);
    assert_eq!(told, [HostEvent::Reset { socket: two, kind: ErrorKind::ConnectionReset }]);
    use Kind::{Ack, Rst, Syn};
    assert_eq!(course(&network, start), [(0, Rst), (0, Syn), (1, Ack), (0, Rst)]);
    // The SYN that is sent again finds the listener.
    let told = wait(&mut network, 1_000);
    assert!(matches!(told[..], [HostEvent::Connected { .. }, HostEvent::Accepted { .. }]));
}

#[test]
fn a_challenge_goes_out_once_in_500_ms() {
    let (mut network, _, two) = connected();
    let start = network.now();
    for (after, challenges) in [(0, 1), (400, 1), (501, 2)] {
        wait(&mut network, after);
        network.inject(HostId(0), at(A), at(B), Segment::syn(7));
        network.inject(HostId(0), at(A), at(B), Segment::syn(8));
        wait(&mut network, 50);
        let acks = course(&network, start).into_iter().filter(|sent| *sent == (1, Kind::Ack));
        assert_eq!(acks.count(), challenges, "after {after}");
    }
    assert_eq!(network.state(two), State::Established);
}

#[test]
fn close_says_goodbye_only_to_who_has_answered() {
    let (mut network, a, _) = pair();
    let socket = network.connect(a, at(A), at("192.0.2.9:1")).unwrap();
    network.close(socket);
    wait(&mut network, 5_000);
    assert_eq!(course(&network, Time::ZERO), [(0, Kind::Syn)]);
    let (mut network, one, two) = connected();
    let start = network.now();
    network.send(one, b"last words").unwrap();
    network.close(one);
    let told = wait(&mut network, 30);
    let received = HostEvent::Received { socket: two, bytes: b"last words".to_vec() };
    assert_eq!(told, [received, HostEvent::Closed { socket: two }]);
    assert_eq!(network.state(two), State::CloseWait);
    assert_eq!(network.state(one), State::FinWait1);
    wait(&mut network, 30);
    assert_eq!(network.state(one), State::FinWait2);
    network.close(two);
    wait(&mut network, 100);
    use Kind::{Ack, Data, Fin};
    let expected = [(0, Data), (0, Fin), (1, Ack), (1, Ack), (1, Fin), (0, Ack)];
    assert_eq!(course(&network, start), expected);
    assert_eq!([one, two].map(|s| network.state(s)), [State::Closed; 2]);
    assert_eq!(network.next_event_time(), None);
}

#[test]
fn abort_and_data_for_a_closed_socket_reset() {
    let (mut network, one, two) = connected();
    network.abort(one);
    let kind = ErrorKind::ConnectionReset;
    assert_eq!(wait(&mut network, 60), [HostEvent::Reset { socket: two, kind }]);
    let (mut network, one, two) = connected();
    network.close(one);
    wait(&mut network, 30);
    network.send(two, b"for nobody").unwrap();
    let kind = ErrorKind::BrokenPipe;
    assert_eq!(wait(&mut network, 60), [HostEvent::Reset { socket: two, kind }]);
    assert_eq!(network.send(two, b"more"), Err(ErrorKind::NotConnected));
}

#[test]
fn a_pair_of_endpoints_is_connected_once() {
    let (mut network, a, b) = pair();
    let in_use = Err(ErrorKind::AddrNotAvailable);
    let first = network.connect(a, at(A), at(B)).unwrap();
    assert_eq!(network.connect(a, at(A), at(B)), in_use);
    network.close(first);
    // The SYN of the closed one would cross with the next of B's.
    wait(&mut network, 40);
    let listener = network.listen(a, at("0.0.0.0:6000"), 8).unwrap();
    assert_eq!(network.listen(a, at(A), 8), Err(ErrorKind::AddrInUse));
    network.pause_accepting(listener, true);
    network.connect(b, at(B), at(A)).unwrap();
    wait(&mut network, 25);
    assert_eq!(network.backlog(a), (1, 0));
    assert_eq!(network.connect(a, at(A), at(B)), in_use);
    wait(&mut network, 40);
    assert_eq!(network.backlog(a), (0, 1));
    assert_eq!(network.connect(a, at(A), at(B)), in_use);
    assert_eq!(network.connect(a, at("192.0.2.77:0"), at(B)), in_use, "not ours");
}

#[test]
fn a_host_can_connect_to_itself() {
    let (mut network, a, _) = pair();
    network.listen(a, at(A), 8).unwrap();
    let socket = network.connect(a, at(A), at(A)).unwrap();
    let connected = HostEvent::Connected { socket, local: at(A) };
    assert_eq!(wait(&mut network, 0), [connected]);
    network.send(socket, b"echo").unwrap();
    let received = HostEvent::Received { socket, bytes: b"echo".to_vec() };
    assert_eq!(wait(&mut network, 0), [received]);
    network.close(socket);
    wait(&mut network, 1000);
    assert_eq!(network.state(socket), State::Closed);
}

#[test]
fn any_port_is_one_of_the_ephemeral() {
    let (mut network, a, _) = pair();
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let socket = network.connect(a, any, at(B)).unwrap();
        let (local, _) = network.endpoints(socket).unwrap();
        assert_eq!(local.ip(), at(A).ip());
        assert!((32_768..61_000).contains(&local.port()) && ports.insert(local.port()));
    }
    assert_eq!(network.outstanding(a, at(B).ip()), 50);
    wait(&mut network, 40);
    assert_eq!(network.outstanding(a, at(B).ip()), 0);
    assert_eq!(network.most_outstanding(a, at(B).ip()), 50);
}

#[test]
fn the_accept_queue_is_bounded() {
    let (mut network, a, b) = pair();
    let listener = network.listen(b, at(B), 2).unwrap();
    network.pause_accepting(listener, true);
    for _ in 0..10 {
        network.connect(a, at("0.0.0.0:0"), at(B)).unwrap();
        wait(&mut network, 60);
    }
    assert_eq!(network.backlog(b), (0, 3));
    network.pause_accepting(listener, false);
    let accepted = wait(&mut network, 1000);
    let is_accepted = |e: &&HostEvent| matches!(e, HostEvent::Accepted { .. });
    assert_eq!(accepted.iter().filter(is_accepted).count(), 10, "the SYNs are sent again");
    network.close_listener(listener);
    wait(&mut network, 10_000);
    assert_eq!(network.sockets(a).count(), 10);
    assert!(network.log().records().iter().all(|r| r.fate != Fate::UnderWay));
}
