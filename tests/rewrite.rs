//! A server behind a 1:1 NAT that knows its public address.

#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub, dead_code)]
#[path = "negotiation/network.rs"]
mod network;

use std::net::{IpAddr, SocketAddr};

use floe::agent::{Event, Rewrite, RewriteMode, State, StreamId};
use floe::candidate::{Candidate, Kind};
use floe::timer::Time;
use network::{Options, Pair, host};

const STREAM: StreamId = StreamId(0);
const PUBLIC: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

/// Side 0 is the server at `host(1, 1)`; the peer reaches it at `PUBLIC` only.
fn behind_nat(mode: RewriteMode) -> Pair {
    let configure: fn(usize, &mut floe::agent::Config) = match mode {
        RewriteMode::Replace => |at, config| rewrite(at, config, RewriteMode::Replace),
        _ => |at, config| rewrite(at, config, RewriteMode::Add),
    };
    let one_to_one = Some((host(1, 1), PUBLIC));
    Pair::new(Options { one_to_one, configure, ..Options::default() })
}

fn rewrite(at: usize, config: &mut floe::agent::Config, mode: RewriteMode) {
    if at == 0 {
        config.rewrites.push(Rewrite { local: host(1, 1), public: PUBLIC, mode });
    }
}

fn lines(pair: &Pair) -> Vec<String> {
    pair.candidates(0, STREAM).iter().map(ToString::to_string).collect()
}

fn selected(pair: &Pair, side: usize) -> (Candidate, Candidate) {
    let found = pair.events(side).iter().rev().find_map(|(_, e)| match e {
        Event::Selected { local, remote, .. } => Some((*local.clone(), *remote.clone())),
        _ => None,
    });
    found.unwrap()
}

fn address(candidate: &Candidate) -> Option<SocketAddr> {
    candidate.address()
}

#[test]
fn a_replaced_host_candidate_has_the_public_address_alone() {
    let mut pair = behind_nat(RewriteMode::Replace);
    assert_eq!(lines(&pair), ["candidate:2 1 UDP 2130706431 203.0.113.9 5000 typ host"]);
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    let public = SocketAddr::new(PUBLIC, 5000);
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
        let (local, remote) = selected(&pair, side);
        let ours = if side == 0 { local } else { remote };
        assert_eq!((address(&ours), ours.kind), (Some(public), Kind::Host), "side {side}");
    }
    let own = SocketAddr::new(host(1, 1), 5000);
    assert!(pair.trace().iter().all(|sent| sent.side == 1 || sent.from == own), "from the base");
    assert_eq!(pair.core(0).pairs(STREAM).count(), 1, "the image forms no pair of its own");
}

#[test]
fn an_added_candidate_is_server_reflexive_beside_the_host_one() {
    let mut pair = behind_nat(RewriteMode::Add);
    let expected = [
        "candidate:1 1 UDP 2130706431 10.1.0.1 5000 typ host",
        "candidate:2 1 UDP 1694498815 203.0.113.9 5000 typ srflx raddr 10.1.0.1 rport 5000",
    ];
    assert_eq!(lines(&pair), expected);
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    let public = SocketAddr::new(PUBLIC, 5000);
    for side in 0..2 {
        assert_eq!(pair.core(side).state(), State::Completed);
        let (local, remote) = selected(&pair, side);
        let ours = if side == 0 { local } else { remote };
        assert_eq!((address(&ours), ours.kind), (Some(public), Kind::ServerReflexive));
    }
    assert_eq!(pair.core(0).pairs(STREAM).count(), 1, "the image forms no pair of its own");
}

/// Without the rule the peer finds the server only by the server's checks.
#[test]
fn without_the_rule_the_public_address_is_not_known() {
    let one_to_one = Some((host(1, 1), PUBLIC));
    let mut pair = Pair::new(Options { one_to_one, ..Options::default() });
    pair.signal_all();
    pair.run_until(Time::from_millis(500));
    let (local, _) = selected(&pair, 0);
    assert_eq!((address(&local), local.kind), (Some((PUBLIC, 5000).into()), Kind::PeerReflexive));
}

#[test]
fn several_public_addresses_have_priorities_of_their_own() {
    let pair = Pair::new(Options {
        configure: |at, config| {
            let all =
                [(RewriteMode::Replace, 9), (RewriteMode::Replace, 10), (RewriteMode::Add, 9)];
            for (mode, n) in all.into_iter().filter(|_| at == 0) {
                let public = [203, 0, 113, n].into();
                config.rewrites.push(Rewrite { local: host(1, 1), public, mode });
            }
            // Neither of these means anything here.
            let other: IpAddr = "2001:db8::1".parse().unwrap();
            for (local, public) in [(host(1, 7), PUBLIC), (host(1, 1), other)] {
                config.rewrites.push(Rewrite { local, public, mode: RewriteMode::Add });
            }
        },
        ..Options::default()
    });
    let expected = [
        "candidate:2 1 UDP 2130706431 203.0.113.9 5000 typ host",
        "candidate:3 1 UDP 2130706175 203.0.113.10 5000 typ host",
    ];
    assert_eq!(lines(&pair), expected, "and the third is redundant");
}
