//! NATs and firewalls on the way: mappings, filters, answers, hairpins, one
//! NAT behind another, and UDP beside TCP.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::{
    Answer, Dependence, Fate, HostEvent, HostId, INTERNET, Nat, NatId, Network, Ports, Rules,
    SocketId,
};
use crate::punch::at;

const SERVER: &str = "198.51.100.1:80";
const HOME: &str = "10.0.0.2:6000";
const NEIGHBOUR: &str = "10.0.0.3:6000";
const OUTSIDE: &str = "203.0.113.1";

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A server that listens, and a host behind a NAT, 40 ms there and back.
fn home(rules: Rules) -> (Network, HostId, HostId, NatId) {
    let mut network = Network::new(3);
    let server = network.add_host(at(SERVER).ip(), INTERNET, millis(10));
    network.listen(server, at(SERVER), 8).unwrap();
    let nat = Nat::new(rules, Some(OUTSIDE.parse().unwrap()), 40_000);
    let nat = network.add_nat(nat, INTERNET, millis(10));
    let host = network.add_host(at(HOME).ip(), Some(nat), Duration::ZERO);
    (network, server, host, nat)
}

fn wait(network: &mut Network, time: u64) -> Vec<HostEvent> {
    let end = network.now() + millis(time);
    network.advance(end).into_iter().map(|h| h.event).collect()
}

/// Where a connection comes from in the server's eyes.
fn seen(network: &mut Network, host: HostId, local: &str, server: &str) -> Option<SocketAddr> {
    network.connect(host, at(local), at(server)).unwrap();
    wait(network, 100).into_iter().find_map(|event| match event {
        HostEvent::Accepted { remote, .. } => Some(remote),
        _ => None,
    })
}

#[test]
fn mappings_depend_on_what_the_rules_say() {
    let others = ["198.51.100.1:81", "198.51.100.2:80"];
    for mapping in Dependence::ALL {
        for ports in [Ports::Preserved, Ports::Other] {
            let (mut network, server, host, _) =
                home(Rules { mapping, ports, ..Rules::PORT_RESTRICTED });
            network.listen(server, at(others[0]), 8).unwrap();
            let other = network.add_host(at(others[1]).ip(), INTERNET, millis(10));
            network.listen(other, at(others[1]), 8).unwrap();
            let first = seen(&mut network, host, HOME, SERVER).unwrap();
            assert_eq!(first.ip().to_string(), OUTSIDE);
            assert_eq!(first.port() == 6000, ports == Ports::Preserved);
            let same = others.map(|to| seen(&mut network, host, HOME, to).unwrap() == first);
            let expected = match mapping {
                Dependence::Endpoint => [true, true],
                Dependence::Address => [true, false],
                Dependence::AddressAndPort => [false, false],
            };
            assert_eq!(same, expected, "{mapping:?} {ports:?}");
        }
    }
}

#[test]
fn filters_let_in_what_the_rules_say() {
    // From the address and port that was sent to, another port, another host.
    let from = [SERVER, "198.51.100.1:81", "198.51.100.2:80"];
    for (filtering, expected) in [
        (Dependence::Endpoint, [true, true, true]),
        (Dependence::Address, [true, true, false]),
        (Dependence::AddressAndPort, [true, false, false]),
    ] {
        let (mut network, server, host, _) = home(Rules { filtering, ..Rules::PORT_RESTRICTED });
        let other = network.add_host(at(from[2]).ip(), INTERNET, millis(10));
        network.listen(host, at(HOME), 8).unwrap();
        let mapped = seen(&mut network, host, HOME, SERVER).unwrap();
        network.send_udp(host, at(HOME), at(SERVER), b"out");
        wait(&mut network, 30);
        let hosts = [server, server, other];
        for (at_index, is_in) in expected.into_iter().enumerate() {
            let (sender, from) = (hosts[at_index], at(from[at_index]));
            if from != at(SERVER) {
                let socket = network.connect(sender, from, mapped).unwrap();
                let connected = HostEvent::Connected { socket, local: from };
                assert_eq!(wait(&mut network, 100).contains(&connected), is_in, "{filtering:?}");
            }
            network.send_udp(sender, from, mapped, b"in");
            let came = HostEvent::Datagram { from, to: at(HOME), bytes: b"in".to_vec() };
            assert_eq!(
                wait(&mut network, 100),
                is_in.then_some(came).into_iter().collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_nat_answers_what_it_does_not_let_in() {
    let local = at("198.51.100.1:99");
    for (answer, kind) in [
        (Answer::Drop, None),
        (Answer::Reset, Some(ErrorKind::ConnectionRefused)),
        (Answer::Unreachable, Some(ErrorKind::HostUnreachable)),
    ] {
        let outside = format!("{OUTSIDE}:6000");
        let fail = |socket: SocketId| {
            let failed = kind.map(|kind| HostEvent::ConnectFailed { socket, kind });
            failed.into_iter().collect::<Vec<_>>()
        };
        let (mut network, server, _, _) = home(Rules::PORT_RESTRICTED.answering(answer));
        let socket = network.connect(server, local, at(&outside)).unwrap();
        assert_eq!(wait(&mut network, 40), fail(socket));
        // A known SYN, through a NAT that is hostile to simultaneous open.
        let (mut network, server, host, _) = home(Rules::PORT_RESTRICTED.hostile(answer));
        network.connect(host, at(HOME), local).unwrap();
        wait(&mut network, 5);
        let socket = network.connect(server, local, at(&outside)).unwrap();
        let told = wait(&mut network, 40);
        let failed = told.iter().filter(|e| fail(socket).contains(e)).count();
        // The other SYN is on its way, and makes SYN_RECV of the server's socket:
        // an RST is out of its window then, ICMP is not.
        assert_eq!(failed, usize::from(answer == Answer::Unreachable), "{answer:?}: {told:?}");
    }
}

#[test]
fn a_nat_forgets_a_connection_that_was_refused() {
    let closed = at("198.51.100.1:99");
    for forgets in [false, true] {
        let (mut network, server, host, _) = home(Rules::PORT_RESTRICTED);
        let socket = network.connect(host, at(HOME), closed).unwrap();
        // Until the SYN has passed the NAT, or until the RST has.
        wait(&mut network, if forgets { 100 } else { 5 });
        network.close(socket);
        network.connect(server, closed, at(&format!("{OUTSIDE}:6000"))).unwrap();
        wait(&mut network, 30);
        let records = network.log().records().iter();
        let stopped = records.filter(|r| matches!(r.fate, Fate::Stopped(..))).count();
        assert_eq!(stopped > 0, forgets);
    }
}

#[test]
fn a_packet_makes_a_hairpin_where_the_rules_allow_it() {
    for hairpin in [false, true] {
        let (mut network, _, host, nat) = home(Rules { hairpin, ..Rules::FULL_CONE });
        let neighbour = network.add_host(at(NEIGHBOUR).ip(), Some(nat), Duration::ZERO);
        network.listen(neighbour, at(NEIGHBOUR), 8).unwrap();
        let mapped = seen(&mut network, neighbour, NEIGHBOUR, SERVER).unwrap();
        let socket = network.connect(host, at(HOME), mapped).unwrap();
        let told = wait(&mut network, 100);
        let connected = HostEvent::Connected { socket, local: at(HOME) };
        assert_eq!(told.contains(&connected), hairpin);
        // Beside it, the inside address works.
        let socket = network.connect(host, at(HOME), at(NEIGHBOUR)).unwrap();
        let connected = HostEvent::Connected { socket, local: at(HOME) };
        assert!(wait(&mut network, 100).contains(&connected));
        // To its own outside address it connects to itself.
        let own = seen(&mut network, host, HOME, SERVER).unwrap();
        let socket = network.connect(host, at(HOME), own).unwrap();
        let connected = HostEvent::Connected { socket, local: at(HOME) };
        assert_eq!(wait(&mut network, 100).contains(&connected), hairpin);
    }
}

#[test]
fn packets_pass_two_nats_and_come_back() {
    let (mut network, _, _, carrier) = home(Rules::PORT_RESTRICTED);
    let inner = Nat::new(Rules::SYMMETRIC, Some("10.0.0.9".parse().unwrap()), 50_000);
    let inner = network.add_nat(inner, Some(carrier), Duration::ZERO);
    let host = network.add_host(at("192.168.1.2:1").ip(), Some(inner), Duration::ZERO);
    let mapped = seen(&mut network, host, "192.168.1.2:6000", SERVER);
    assert_eq!(mapped, Some(at("203.0.113.1:50000")), "one preserves what the other chose");
    let stopped = |n: &Network| {
        n.log().records().iter().any(|r| matches!(r.fate, Fate::Stopped(nat, _) if nat == carrier))
    };
    assert!(!stopped(&network));
    network.send_udp(HostId(0), at(SERVER), at("203.0.113.1:50000"), b"stray");
    wait(&mut network, 50);
    assert!(stopped(&network), "UDP is not mapped by TCP");
}

#[test]
fn a_firewall_filters_and_does_not_map() {
    let mut network = Network::new(3);
    let server = network.add_host(at("[2001:db8::1]:80").ip(), INTERNET, millis(10));
    let firewall = network.add_nat(Nat::new(Rules::PORT_RESTRICTED, None, 1), INTERNET, millis(10));
    let (local, remote) = (at("[2001:db8:1::2]:6000"), at("[2001:db8::1]:80"));
    let host = network.add_host(local.ip(), Some(firewall), Duration::ZERO);
    let early = network.connect(server, remote, local).unwrap();
    wait(&mut network, 100);
    assert_eq!(network.state(early), crate::model::State::SynSent);
    let late = network.connect(host, local, remote).unwrap();
    let told = wait(&mut network, 60);
    let connected = [(late, local), (early, remote)]
        .map(|(socket, local)| HostEvent::Connected { socket, local });
    assert_eq!(told, connected);
}

/// Finding 8.
#[test]
fn a_stray_datagram_poisons_the_mapping_to_its_sender() {
    for poisonable in [false, true] {
        let (mut network, server, host, _) = home(Rules { poisonable, ..Rules::PORT_RESTRICTED });
        let (peer, outside) = (at("198.51.100.1:7000"), format!("{OUTSIDE}:6000"));
        network.send_udp(host, at(HOME), at(SERVER), b"gather");
        wait(&mut network, 100);
        network.send_udp(server, peer, at(&outside), b"early");
        wait(&mut network, 100);
        network.send_udp(host, at(HOME), peer, b"check");
        let told = wait(&mut network, 100);
        let [HostEvent::Datagram { from, .. }] = told[..] else { panic!("{told:?}") };
        assert_eq!(from == at(&outside), !poisonable);
        network.send_udp(server, peer, from, b"answer");
        let bytes = b"answer".to_vec();
        let answer = HostEvent::Datagram { from: peer, to: at(HOME), bytes };
        assert_eq!(wait(&mut network, 100), [answer]);
    }
}
