//! One agent whose driver tells it what drivers tell: inputs that two agents
//! in a network do not give each other.

use std::io;
use std::net::SocketAddr;

use floe::agent::{
    BaseId, Config, Core, Happened, Input, LogRecord, RemoteParameters, SocketOp, StreamId,
    StunServer,
};
use floe::candidate::Kind;
use floe::check::Role;
use floe::net::Protocol;
use floe::rng::Seed;
use floe::timer::{Pacer, Time};

use crate::network::{host, local_address};
use crate::replayed;

pub fn agent() -> Core {
    let mut config = Config::new(Role::Controlling);
    config.log = true;
    config.stun_servers = vec![StunServer {
        uri: "stun:a.example".into(),
        host: "a.example".into(),
        port: 3478,
        address: None,
        protocol: Protocol::Udp,
    }];
    Core::new(config, &Seed::from_number(5), Pacer::new())
}

pub fn records(core: &mut Core) -> Vec<LogRecord> {
    std::iter::from_fn(|| core.poll_log()).collect()
}

#[test]
fn what_only_a_driver_tells_replays() {
    let mut core = agent();
    core.add_stream(1).unwrap();
    assert!(core.add_stream(0).is_err());
    let now = Time::from_millis(1_000_000);
    let addresses = [host(1, 1), host(1, 2), host(1, 3)].map(local_address);
    core.handle_input(now, Input::LocalAddresses(&addresses));
    let local = SocketAddr::new(host(1, 1), 5000);
    core.handle_input(now, Input::Bound { base: BaseId(0), local });
    let error = io::Error::new(io::ErrorKind::AddrInUse, "all taken");
    core.handle_input(now, Input::BindFailed { base: BaseId(1), error: &error });
    let error = io::Error::from(io::ErrorKind::PermissionDenied);
    core.handle_input(now, Input::BindFailed { base: BaseId(2), error: &error });
    core.handle_input(now, Input::BindFailed { base: BaseId(2), error: &error });
    let later = Time::from_millis(1_000_300);
    let servers = [SocketAddr::new(host(9, 9), 3478)];
    core.handle_input(later, Input::Resolved { server: 0, addresses: &servers });
    core.handle_input(later, Input::Resolved { server: 7, addresses: &[] });
    core.close(later);
    core.handle_input(later, Input::Bound { base: BaseId(2), local });
    let log = records(&mut core);
    assert_eq!(log[0].at, now, "its creation has the first moment that it was told of");
    let replayed = replayed(&log);
    assert_eq!(replayed.records, log.len() as u64);
    assert_eq!(replayed.inputs, 12);
}

#[test]
fn redundant_candidates_are_recorded_with_the_one_that_stands_for_them() {
    let mut core = agent();
    let stream = core.add_stream(1).unwrap();
    let now = Time::from_millis(1);
    core.handle_input(now, Input::LocalAddresses(&[local_address(host(1, 1))]));
    let local = SocketAddr::new(host(1, 1), 5000);
    core.handle_input(now, Input::Bound { base: BaseId(0), local });
    let server = SocketAddr::new(host(9, 9), 3478);
    core.handle_input(now, Input::Resolved { server: 0, addresses: &[server] });
    let mut bytes = Vec::new();
    core.poll_transmit(&mut bytes).unwrap();
    let id = floe::stun::Message::parse(&bytes).unwrap().transaction_id();
    floe::stun::write_mapped_address(id, local, true, &mut bytes);
    core.handle_input(now, Input::Datagram { base: BaseId(0), from: server, bytes: &bytes });
    let first = "candidate:1 1 UDP 2130706431 10.2.0.1 5000 typ host".parse().unwrap();
    let second = "candidate:2 1 UDP 99 10.2.0.1 5000 typ srflx".parse().unwrap();
    core.add_remote_candidate(stream, &first, now).unwrap();
    core.add_remote_candidate(stream, &second, now).unwrap();
    let log = records(&mut core);
    let redundant: Vec<_> = log
        .iter()
        .filter_map(|record| match &record.what {
            Happened::LocalRedundant { address, by, .. }
            | Happened::RemoteRedundant { address, by, .. } => Some((*address, by.kind)),
            _ => None,
        })
        .collect();
    let remote = SocketAddr::new(host(2, 1), 5000);
    assert_eq!(redundant, [(local, Kind::Host), (remote, Kind::Host)]);
    replayed(&log);
}

/// Whether the driver has taken what was asked for before decides nothing, for
/// no log says so.
#[test]
fn what_is_asked_for_does_not_depend_on_what_the_driver_has_taken() {
    let name = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
    let candidate = format!("candidate:1 1 udp 99 {name} 5000 typ host").parse().unwrap();
    for takes in [false, true] {
        let mut core = agent();
        let now = Time::from_millis(1);
        let mut asked = 0;
        for _ in 0..2 {
            let stream = core.add_stream(1).unwrap();
            core.add_remote_candidate(stream, &candidate, now).unwrap();
            core.handle_input(now, Input::LocalAddresses(&[local_address(host(1, 1))]));
            while takes && let Some(op) = core.poll_socket_op() {
                asked += usize::from(matches!(op, SocketOp::ResolveName { .. }));
            }
        }
        while let Some(op) = core.poll_socket_op() {
            asked += usize::from(matches!(op, SocketOp::ResolveName { .. }));
        }
        assert_eq!(asked, 2, "each time that there are links to ask on");
        replayed(&records(&mut core));
    }
}

/// Other agents of the process take slots too.
#[test]
fn slots_that_another_agent_took_are_missing_in_the_replay_too() {
    let pacer = Pacer::new();
    let mut config = Config::new(Role::Controlling);
    config.log = true;
    let mut core = Core::new(config, &Seed::from_number(5), pacer.clone());
    let stream = core.add_stream(1).unwrap();
    core.handle_input(Time::ZERO, Input::LocalAddresses(&[local_address(host(1, 1))]));
    let local = SocketAddr::new(host(1, 1), 5000);
    core.handle_input(Time::ZERO, Input::Bound { base: BaseId(0), local });
    for _ in 0..7 {
        pacer.reserve(Time::ZERO);
    }
    let remote = RemoteParameters::new("abcd", "abcdefghijklmnopqrstuv");
    core.set_remote_parameters(stream, remote, Time::ZERO).unwrap();
    let candidate = "candidate:1 1 UDP 2130706431 10.2.0.1 5000 typ host".parse().unwrap();
    core.add_remote_candidate(stream, &candidate, Time::ZERO).unwrap();
    let (due, _) = core.poll_timeout().unwrap();
    assert_eq!(due, Time::from_millis(35));
    core.handle_timeout(due);
    let log = records(&mut core);
    assert!(log.iter().any(|r| r.at == due && matches!(r.what, Happened::CheckSent { .. })));
    assert_eq!(replayed(&log).core.poll_timeout(), core.poll_timeout());
}

/// A log that nobody reads stays bounded, says what is missing, and goes on.
#[test]
fn records_that_were_lost_are_counted_in_the_log() {
    let mut core = agent();
    core.add_stream(1).unwrap();
    for n in 0..10_000 {
        core.handle_timeout(Time::from_millis(n));
    }
    let log = records(&mut core);
    let lost = core.lost_log_records();
    assert!(log.len() < 10_000 && lost > 0);
    assert_eq!(log.len() as u64 - 1 + lost, 10_002);
    assert_eq!(log.last().unwrap().what, Happened::RecordsLost { count: lost });
    let error = floe::agent::replay::replay(log).unwrap_err();
    assert!(
        matches!(error, floe::agent::replay::ReplayError::RecordsLost { count, .. } if count == lost),
        "{error}"
    );
    core.end_of_remote_candidates(StreamId(0), Time::from_millis(20_000)).unwrap();
    assert_eq!(records(&mut core).len(), 1);
}
