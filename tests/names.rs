//! Candidates with names instead of addresses
//! (draft-ietf-rtcweb-mdns-ice-candidates), in virtual time.

#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub, dead_code)]
#[path = "negotiation/network.rs"]
mod network;

use std::net::{IpAddr, SocketAddr};

use floe::agent::{Config, DropReason, Event, Sockets, State, StreamId};
use floe::candidate::{Candidate, Host, Kind};
use floe::timer::Time;
use network::{Options, Pair, host};

const STREAM: StreamId = StreamId(0);
const NAME: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";

fn named(name: &str, component: u16, port: u16) -> Candidate {
    format!("candidate:1 {component} udp 2130706431 {name} {port} typ host").parse().unwrap()
}

/// Side 0 knows of side 1 the parameters and candidates that have `NAME`.
fn with_name(streams: Vec<u16>) -> Pair {
    let mut pair = Pair::new(Options { streams, ..Options::default() });
    pair.signal_parameters(0);
    pair.signal(1);
    let now = pair.now();
    let components = pair.candidates(1, STREAM);
    for candidate in components {
        let (component, port) = (candidate.component.number(), candidate.port);
        let candidate = named(NAME, component, port);
        pair.core_mut(0).add_remote_candidate(STREAM, &candidate, now).unwrap();
    }
    pair.core_mut(0).end_of_remote_candidates(STREAM, now).unwrap();
    pair.pump();
    pair
}

/// Nothing of side 1 arrives: side 0 has only the name to go by.
fn with_silent_peer(configure: fn(usize, &mut Config)) -> Pair {
    let passes = Box::new(|from: SocketAddr, _| from.ip() != host(2, 1));
    let mut pair = Pair::new(Options { passes, configure, ..Options::default() });
    pair.signal_parameters(0);
    pair
}

fn remote_of(pair: &Pair, side: usize) -> Candidate {
    let found = pair.events(side).iter().find_map(|(_, e)| match e {
        Event::Selected { remote, .. } => Some(Candidate::clone(remote)),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_name_is_asked_for_once_and_its_candidates_are_checked() {
    let mut pair = with_name(vec![2]);
    assert_eq!(pair.asked(0), [Box::from(NAME)]);
    assert_eq!(pair.core(0).pairs(STREAM).count(), 0);
    pair.resolve(0, NAME, &[host(2, 1)]);
    pair.run_until(Time::from_millis(500));
    assert_eq!(pair.core(0).state(), State::Completed);
    assert!(pair.asked(0).is_empty());
    let remote = remote_of(&pair, 0);
    assert_eq!((remote.host, remote.kind), (Host::Name(NAME.into()), Kind::Host));
    let rows: Vec<_> = pair.core(0).pairs(STREAM).map(|row| row.remote.host).collect();
    assert_eq!(rows, [Host::Name(NAME.into()), Host::Name(NAME.into())], "not the address");
}

/// §5.3 of the draft: the peer's check comes first, and what was found by it
/// turns out to be the candidate with the name.
#[test]
fn a_check_may_come_before_the_name_is_resolved() {
    let mut pair = with_name(vec![1]);
    pair.run_until(Time::from_millis(15));
    let found = pair.core(0).pairs(STREAM).next().unwrap().remote;
    assert_eq!(found.kind, Kind::PeerReflexive);
    pair.resolve(0, NAME, &[host(2, 1)]);
    pair.run_until(Time::from_millis(500));
    assert_eq!(pair.core(0).state(), State::Completed);
    assert_eq!(pair.core(0).pairs(STREAM).count(), 1);
    let remote = remote_of(&pair, 0);
    assert_eq!((remote.host, remote.kind), (Host::Name(NAME.into()), Kind::Host));
}

/// The only candidate comes just before patience ends, and its address after.
#[test]
fn the_list_does_not_fail_while_a_name_is_being_resolved() {
    for resolves in [true, false] {
        let mut pair = with_silent_peer(|_, _| {});
        pair.run_until(Time::from_millis(39_000));
        let now = pair.now();
        pair.core_mut(0).add_remote_candidate(STREAM, &named(NAME, 1, 5000), now).unwrap();
        pair.core_mut(0).end_of_remote_candidates(STREAM, now).unwrap();
        pair.run_until(Time::from_millis(44_000));
        assert_eq!(pair.core(0).state(), State::Checking);
        let addresses = [host(2, 1)];
        pair.resolve(0, NAME, if resolves { &addresses } else { &[] });
        pair.run_until(Time::from_millis(44_500));
        let expected = if resolves { State::Checking } else { State::Failed };
        assert_eq!(pair.core(0).state(), expected);
        assert_eq!(pair.core(0).drops().of(DropReason::Name), u32::from(!resolves));
        let checks = pair.trace().iter().filter(|sent| sent.side == 0);
        assert_eq!(checks.count() > 0, resolves);
    }
}

/// What comes for the session before a restart is of no use to the new one.
#[test]
fn a_restart_forgets_names() {
    let mut pair = with_silent_peer(|_, _| {});
    let now = pair.now();
    pair.core_mut(0).add_remote_candidate(STREAM, &named(NAME, 1, 5000), now).unwrap();
    pair.pump();
    assert_eq!(pair.asked(0).len(), 1);
    pair.core_mut(0).restart(STREAM, Sockets::Keep, now).unwrap();
    pair.pump();
    pair.resolve(0, NAME, &[host(2, 1)]);
    pair.run_until(Time::from_millis(1_000));
    assert!(pair.trace().iter().all(|sent| sent.side == 1));
    assert_eq!(pair.core(0).pairs(STREAM).count(), 0);
    // The new session may ask for the same name.
    let now = pair.now();
    pair.core_mut(0).add_remote_candidate(STREAM, &named(NAME, 1, 5000), now).unwrap();
    pair.pump();
    assert_eq!(pair.asked(0).len(), 1);
}

/// A driver that never answers holds nothing up for ever.
#[test]
fn a_name_without_an_answer_fails_in_the_end() {
    let mut pair = with_silent_peer(|_, _| {});
    let now = pair.now();
    pair.core_mut(0).add_remote_candidate(STREAM, &named(NAME, 1, 5000), now).unwrap();
    pair.run_until(Time::from_millis(200_000));
    let failed = pair.time_of(0, |e| matches!(e, Event::State { state: State::Failed, .. }));
    assert_eq!(failed, Some(Time::from_millis(55_000)));
    assert_eq!(pair.core(0).poll_timeout(), None);
}

#[test]
fn what_a_name_may_resolve_to() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let table: [(&[IpAddr], Option<DropReason>); 8] = [
        (&[host(2, 1)], None),
        (&[host(2, 1), host(2, 1)], None),
        (&[host(2, 1), host(2, 2)], Some(DropReason::Name)),
        (&[], Some(DropReason::Name)),
        (&[ip("127.0.0.1")], Some(DropReason::Address)),
        (&[ip("169.254.169.254")], Some(DropReason::Address)),
        (&[ip("::ffff:127.0.0.1")], Some(DropReason::Address)),
        (&[ip("224.0.0.251")], Some(DropReason::Address)),
    ];
    for (addresses, dropped) in table {
        let mut pair = with_silent_peer(|_, _| {});
        let now = pair.now();
        pair.core_mut(0).add_remote_candidate(STREAM, &named(NAME, 1, 5000), now).unwrap();
        pair.resolve(0, NAME, addresses);
        // A second answer, or one that nobody asked for, means nothing.
        pair.resolve(0, NAME, &[host(2, 7)]);
        pair.resolve(0, "other", &[host(2, 7)]);
        pair.run_until(Time::from_millis(1_000));
        let drops: Vec<_> = pair.core(0).drops().iter().map(|(reason, _)| reason).collect();
        assert_eq!(drops, dropped.into_iter().collect::<Vec<_>>(), "{addresses:?}");
        let sent: Vec<_> = pair.trace().iter().filter(|s| s.side == 0).map(|s| s.to.ip()).collect();
        match dropped {
            None => assert!(!sent.is_empty() && sent.iter().all(|to| *to == host(2, 1))),
            Some(_) => assert!(sent.is_empty(), "{addresses:?}: {sent:?}"),
        }
    }
}

#[test]
fn names_that_are_being_resolved_are_bounded() {
    let mut pair = with_silent_peer(|_, _| {});
    let now = pair.now();
    for n in 0..100_u32 {
        let name = format!("{n:08x}-ea17-4bcf-a596-105139dfd8bf.LOCAL");
        let taken = pair.core_mut(0).add_remote_candidate(STREAM, &named(&name, 1, 5000), now);
        assert_eq!(taken.is_ok(), n < 32);
    }
    pair.pump();
    let asked = pair.asked(0);
    assert_eq!(asked.len(), 32);
    assert!(asked.iter().all(|name| name.ends_with(".local")), "in lower case");
    assert_eq!(pair.core(0).drops().of(DropReason::Name), 68);
    // Its answer makes room for another, in whatever case it was written.
    pair.resolve(0, &asked[0], &[]);
    let now = pair.now();
    pair.core_mut(0).add_remote_candidate(STREAM, &named(NAME, 1, 5000), now).unwrap();
}

#[test]
fn nothing_is_resolved_where_the_settings_say_so() {
    let mut pair = with_silent_peer(|_, config| config.resolve_mdns = false);
    let now = pair.now();
    assert!(pair.core_mut(0).add_remote_candidate(STREAM, &named(NAME, 1, 5000), now).is_err());
    pair.pump();
    assert!(pair.asked(0).is_empty());
}

/// Both sides publish: no address of theirs is in what they signal or report.
#[test]
fn two_sides_that_publish_names_meet() {
    let mut pair = Pair::new(Options {
        streams: vec![2],
        addresses: [vec![host(1, 1), host(1, 2)], vec![host(2, 1)]],
        configure: |_, config| config.publish_mdns = true,
        ..Options::default()
    });
    assert_eq!(pair.published(0).len(), 2, "one name an address, for both components");
    for side in 0..2 {
        let names = pair.published(side);
        for candidate in pair.candidates(side, STREAM) {
            let Host::Name(name) = &candidate.host else { panic!("{candidate}") };
            assert!(names.iter().any(|(known, _)| known == name));
        }
    }
    pair.signal_all();
    for side in 0..2 {
        let names = pair.published(1 - side).to_vec();
        let mut asked = pair.asked(side);
        asked.sort_unstable();
        let mut expected: Vec<_> = names.iter().map(|(name, _)| name.clone()).collect();
        expected.sort_unstable();
        assert_eq!(asked, expected);
        for (name, ip) in names {
            pair.resolve(side, &name, &[ip]);
        }
    }
    pair.run_until(Time::from_millis(1_000));
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
        for row in pair.core(side).pairs(STREAM) {
            assert!(matches!(row.local.host, Host::Name(_)), "{}", row.local);
            assert!(matches!(row.remote.host, Host::Name(_)), "{}", row.remote);
        }
    }
}
