//! Addresses that the policy refuses get no packet, whoever names them.

#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub, dead_code)]
#[path = "negotiation/network.rs"]
mod network;

use std::net::{IpAddr, SocketAddr};

use floe::agent::{
    BaseId, CommandError, Config, Core, DropReason, Event, Happened, Input, LocalAddress,
    RemoteParameters, SocketOp, State, StreamId,
};
use floe::candidate::{AddressRefusal, Candidate};
use floe::check::Role;
use floe::net::Protocol;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};
use network::{Options, Pair, local_address};

const STREAM: StreamId = StreamId(0);

/// What a peer may name, and why it is refused.
const REFUSED: [(&str, AddressRefusal); 10] = [
    ("127.0.0.1 5000", AddressRefusal::Loopback),
    ("::1 5000", AddressRefusal::Loopback),
    ("169.254.1.1 5000", AddressRefusal::LinkLocal),
    ("fe80::1 5000", AddressRefusal::LinkLocal),
    ("169.254.169.254 80", AddressRefusal::Metadata),
    ("100.100.100.200 80", AddressRefusal::Metadata),
    ("0.0.0.0 5000", AddressRefusal::Unspecified),
    ("224.0.0.251 5353", AddressRefusal::Multicast),
    ("255.255.255.255 9", AddressRefusal::Broadcast),
    ("192.0.2.1 0", AddressRefusal::PortZero),
];

fn candidate(foundation: usize, address: &str) -> Candidate {
    format!("candidate:f{foundation} 1 udp 2130706000 {address} typ host").parse().unwrap()
}

/// "ip port" as an address.
fn at(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(' ').unwrap();
    SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
}

#[test]
fn a_refused_candidate_says_why_and_gets_no_packet() {
    let mut pair = Pair::new(Options::default());
    let now = pair.now();
    for (n, (address, refusal)) in REFUSED.into_iter().enumerate() {
        let result = pair.core_mut(0).add_remote_candidate(STREAM, &candidate(n, address), now);
        assert_eq!(result, Err(CommandError::RemoteAddress(refusal)), "{address}");
    }
    let refused = u32::try_from(REFUSED.len()).unwrap();
    assert_eq!(pair.core(0).drops().of(DropReason::Address), refused);
    pair.signal_all();
    pair.run_until(Time::from_millis(60_000));
    assert_eq!(pair.core(0).state(), State::Completed);
    for (address, _) in REFUSED {
        assert!(pair.trace().iter().all(|sent| sent.to != at(address)), "{address}");
    }
    let logged = pair.records(0).iter().filter_map(|record| match record.what {
        Happened::AddressRefused { address, refusal } => Some((address, refusal)),
        _ => None,
    });
    assert!(logged.eq(REFUSED.map(|(address, refusal)| (at(address), refusal))));
}

/// A check that is right in every way but for where it comes from. The answer
/// would be a packet to an address of the sender's choice.
#[test]
fn a_check_from_a_refused_address_is_not_answered() {
    for (address, _) in REFUSED {
        let mut pair = Pair::new(Options::default());
        pair.signal_all();
        let request = pair.trace()[0].clone();
        assert_eq!(request.side, 0);
        let (from, now) = (at(address), pair.now());
        let input = Input::Datagram { base: BaseId(0), from, bytes: &request.bytes };
        pair.core_mut(1).handle_input(now, input);
        assert_eq!(pair.core(1).drops().of(DropReason::Address), 1, "{address}");
        pair.run_until(Time::from_millis(60_000));
        assert!(pair.trace().iter().all(|sent| sent.to != from), "{address}");
        assert!(pair.core(1).pairs(STREAM).all(|row| row.remote.address() != Some(from)));
        assert_eq!(pair.core(1).state(), State::Completed);
    }
}

/// Before the peer's parameters are known, too.
#[test]
fn an_early_check_from_a_refused_address_is_not_kept() {
    let mut pair = Pair::new(Options::default());
    pair.signal(0);
    let request = pair.trace()[0].clone();
    let (from, now) = (at("127.0.0.1 7"), pair.now());
    let input = Input::Datagram { base: BaseId(0), from, bytes: &request.bytes };
    pair.core_mut(1).handle_input(now, input);
    pair.signal(1);
    pair.run_until(Time::from_millis(60_000));
    assert!(pair.trace().iter().all(|sent| sent.to != from));
    assert_eq!(pair.core(1).state(), State::Completed);
}

/// A core with `components` that has not gathered; its peer is known.
fn not_gathered(components: u16) -> Core {
    let mut core = Core::new(Config::new(Role::Controlling), &Seed::from_number(1), Pacer::new());
    core.add_stream(components).unwrap();
    let peer = RemoteParameters::new("8hhY", "asd88fgpdd777uzjYhagZg");
    core.set_remote_parameters(STREAM, peer, Time::ZERO).unwrap();
    core
}

/// The machine has these addresses: sockets are bound to them.
fn gather(core: &mut Core, ips: &[&str]) {
    let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let addresses: Vec<_> = ips
        .into_iter()
        .map(|ip| {
            let interface = if ip.is_loopback() { "lo" } else { "eth0" };
            LocalAddress { interface: interface.into(), index: 0, ..local_address(ip) }
        })
        .collect();
    core.handle_input(Time::ZERO, Input::LocalAddresses(&addresses));
    while let Some(op) = core.poll_socket_op() {
        if let SocketOp::BindUdp { base, ip, .. } = op {
            let local = SocketAddr::new(ip, 7000 + u16::try_from(base.0).unwrap());
            core.handle_input(Time::ZERO, Input::Bound { base, local });
        }
    }
}

/// Where the first checks go, over one second.
fn checked(core: &mut Core) -> Vec<SocketAddr> {
    let (mut to, mut bytes) = (Vec::new(), Vec::new());
    for millis in 0..1_000 {
        core.handle_timeout(Time::from_millis(millis));
        to.extend(std::iter::from_fn(|| core.poll_transmit(&mut bytes)).map(|sent| sent.to));
    }
    to.sort_unstable();
    to.dedup();
    to
}

#[test]
fn a_candidate_that_comes_first_waits_for_ours() {
    let table: [(&str, &[&str], bool); 7] = [
        // Alone on the machine, loopback is gathered.
        ("127.0.0.1 5000", &["127.0.0.1"], true),
        ("127.0.0.1 5000", &["10.0.0.1"], false),
        ("127.0.0.1 5000", &["127.0.0.1", "10.0.0.1"], false),
        ("169.254.1.1 5000", &["169.254.2.2"], true),
        ("169.254.1.1 5000", &["10.0.0.1"], false),
        ("169.254.169.254 5000", &["169.254.2.2"], false),
        ("192.0.2.1 5000", &["10.0.0.1"], true),
    ];
    for (remote, ours, admitted) in table {
        let mut core = not_gathered(1);
        core.add_remote_candidate(STREAM, &candidate(1, remote), Time::ZERO).unwrap();
        core.end_of_remote_candidates(STREAM, Time::ZERO).unwrap();
        assert_eq!(checked(&mut core), [], "{remote}: nothing to send from");
        gather(&mut core, ours);
        let expected = if admitted { vec![at(remote)] } else { Vec::new() };
        assert_eq!(checked(&mut core), expected, "{remote} with {ours:?}");
        assert_eq!(core.drops().of(DropReason::Address), u32::from(!admitted));
    }
}

#[test]
fn a_component_whose_only_candidate_waits_is_not_given_up() {
    let mut core = not_gathered(2);
    let second = "candidate:2 2 udp 2130706000 127.0.0.1 5001 typ host".parse().unwrap();
    core.add_remote_candidate(STREAM, &candidate(1, "192.0.2.1 5000"), Time::ZERO).unwrap();
    core.add_remote_candidate(STREAM, &second, Time::ZERO).unwrap();
    core.end_of_remote_candidates(STREAM, Time::ZERO).unwrap();
    gather(&mut core, &["127.0.0.1"]);
    assert_eq!(checked(&mut core), [at("127.0.0.1 5001")]);
    let rows: Vec<u16> = core.pairs(STREAM).map(|row| row.component.number()).collect();
    assert_eq!(rows, [2]);
}

#[test]
fn what_waits_is_bounded() {
    let mut core = not_gathered(1);
    let mut taken = 0;
    for port in 1..=200 {
        let candidate = candidate(port, &format!("127.0.0.1 {port}"));
        match core.add_remote_candidate(STREAM, &candidate, Time::ZERO) {
            Ok(()) => taken += 1,
            Err(error) => assert!(matches!(error, CommandError::Refused(_)), "{error}"),
        }
    }
    assert_eq!(taken, 64);
    assert_eq!(core.drops().of(DropReason::Candidate), 136);
}

#[test]
fn addresses_of_a_turn_server_are_held_to_the_same_policy() {
    let mut core = not_gathered(1);
    gather(&mut core, &["10.0.0.1"]);
    let admits = |address: &str, protocol| core.admits(at(address), protocol);
    assert_eq!(admits("192.0.2.1 3478", Protocol::Udp), Ok(()));
    assert_eq!(admits("192.0.2.1 443", Protocol::Tcp), Ok(()));
    assert_eq!(admits("192.0.2.1 25", Protocol::Tcp), Err(AddressRefusal::PrivilegedPort));
    assert_eq!(admits("127.0.0.1 3478", Protocol::Udp), Err(AddressRefusal::Loopback));
    assert_eq!(admits("169.254.169.254 80", Protocol::Tcp), Err(AddressRefusal::Metadata));
}

#[test]
fn the_lists_of_the_settings_count() {
    let mut pair = Pair::new(Options {
        configure: |at, config| {
            if at == 0 {
                config.remote_policy.deny.push("10.2.0.0/16".parse().unwrap());
            }
        },
        ..Options::default()
    });
    let now = pair.now();
    let theirs = pair.candidates(1, STREAM).remove(0);
    let result = pair.core_mut(0).add_remote_candidate(STREAM, &theirs, now);
    assert_eq!(result, Err(CommandError::RemoteAddress(AddressRefusal::Denied)));
    pair.signal_parameters(0);
    pair.signal(1);
    pair.run_until(Time::from_millis(60_000));
    assert!(pair.trace().iter().all(|sent| sent.side == 1), "side 0 says nothing at all");
    assert!(pair.trace().len() > 1, "and is asked more than once");
    let valid = |side: usize| {
        pair.events(side).iter().any(|(_, e)| matches!(e, Event::SendPath { path: Some(_), .. }))
    };
    assert!(!valid(0) && !valid(1));
}

/// Before gathering it is not known on which links to ask.
#[test]
fn a_name_that_comes_first_is_asked_for_once_links_are_known() {
    let name = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
    let mut core = not_gathered(1);
    for port in [5000, 5001] {
        let candidate = candidate(1, &format!("{name} {port}"));
        core.add_remote_candidate(STREAM, &candidate, Time::ZERO).unwrap();
    }
    assert_eq!(core.poll_socket_op(), None);
    core.handle_input(Time::ZERO, Input::LocalAddresses(&[local_address([10, 0, 0, 1].into())]));
    let ops: Vec<_> = std::iter::from_fn(|| core.poll_socket_op()).collect();
    let asked = ops.iter().filter(|op| **op == SocketOp::ResolveName { name: name.into() });
    assert_eq!(asked.count(), 1);
}
