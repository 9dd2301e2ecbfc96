//! Chromium's RTCPeerConnection, for whoever names `chromium` in
//! `FLOE_PEERS`. What it sends when ICE is connected is DTLS; a DTLS server
//! behind this agent takes it, and then the RTCPeerConnection is connected.

mod dtls;
mod relayed;

use std::time::Duration;

use serde_json::json;

use crate::harness::namespace::Namespace;
use crate::harness::peers::Implementation::{Chromium, Floe};
use crate::harness::peers::{Exchange, Implementation, Opener, Options, Over};
use crate::harness::session::{Session, Side};
use crate::run::{
    EXCHANGES, assert_relayed, assert_transport, exit_codes, record, start, two_hosts,
};
use dtls::{Certificate, Server, is_client_hello};

/// A browser takes its time to start.
const EXTRA: Duration = Duration::from_secs(60);

/// How long lines are waited for before datagrams are looked for again.
const TURN: Duration = Duration::from_millis(10);

#[test]
fn chromium_is_controlled() {
    let test = "chromium::chromium_is_controlled";
    each_exchange(test, [Floe, Chromium], &EXCHANGES, &Options::default());
}

#[test]
fn chromium_controls() {
    let test = "chromium::chromium_controls";
    each_exchange(test, [Chromium, Floe], &EXCHANGES, &Options::default());
}

/// Over TCP it opens connections and accepts none. It names no TCP candidate
/// either, so that its connections are news to this agent.
#[test]
fn chromium_is_controlled_over_tcp() {
    let test = "chromium::chromium_is_controlled_over_tcp";
    each_exchange(test, [Floe, Chromium], &EXCHANGES, &over_tcp());
}

#[test]
fn chromium_controls_over_tcp() {
    let test = "chromium::chromium_controls_over_tcp";
    each_exchange(test, [Chromium, Floe], &EXCHANGES, &over_tcp());
}

/// This agent has passive candidates alone, and none for UDP.
fn over_tcp() -> Options {
    Options { over: Over::Tcp(Opener::Peer), ..Options::default() }
}

/// By its default it does not tell its addresses, but names for them. Its own
/// checks show where it is, so that this passes with and without resolving.
#[test]
fn chromium_is_controlled_and_names_its_addresses() {
    let test = "chromium::chromium_is_controlled_and_names_its_addresses";
    each_exchange(test, [Floe, Chromium], &[Exchange::FullTrickle], &named());
}

#[test]
fn chromium_controls_and_names_its_addresses() {
    let test = "chromium::chromium_controls_and_names_its_addresses";
    each_exchange(test, [Chromium, Floe], &[Exchange::FullTrickle], &named());
}

fn named() -> Options {
    Options { mdns: true, ..Options::default() }
}

/// Nobody tells it of a candidate, so that only this agent can begin. For
/// that it has to resolve the names.
#[test]
fn chromium_is_found_by_its_names() {
    let agents = [Floe, Chromium];
    let Some(hosts) = two_hosts("chromium::chromium_is_found_by_its_names", agents) else { return };
    let options = named();
    let mut session = start(agents, &options, hosts.each_ref().map(Some));
    session.extend(EXTRA);
    session.withhold_candidates(0);
    session.until_connected();
    session.until("completed", |[floe, _]| floe.since("completed").is_some());
    assert!(session.sides[1].candidates.iter().all(|line| is_named(line)));
    until_same_pair(&mut session);
    session.close();
}

#[test]
fn chromium_is_controlled_and_both_restart() {
    let test = "chromium::chromium_is_controlled_and_both_restart";
    both_restart(test, [Floe, Chromium], &Options::default());
}

#[test]
fn chromium_controls_and_both_restart() {
    let test = "chromium::chromium_controls_and_both_restart";
    both_restart(test, [Chromium, Floe], &Options::default());
}

#[test]
fn chromium_is_controlled_and_both_restart_over_tcp() {
    let test = "chromium::chromium_is_controlled_and_both_restart_over_tcp";
    both_restart(test, [Floe, Chromium], &over_tcp());
}

#[test]
fn chromium_controls_and_both_restart_over_tcp() {
    let test = "chromium::chromium_controls_and_both_restart_over_tcp";
    both_restart(test, [Chromium, Floe], &over_tcp());
}

fn each_exchange(
    test: &str,
    agents: [Implementation; 2],
    exchanges: &[Exchange],
    options: &Options,
) {
    if let Some(hosts) = two_hosts(test, agents) {
        each_exchange_between(&hosts, agents, exchanges, options);
    }
}

fn each_exchange_between(
    hosts: &[Namespace; 2],
    agents: [Implementation; 2],
    exchanges: &[Exchange],
    options: &Options,
) {
    let certificate = Certificate::make();
    let fingerprint = Some(certificate.fingerprint());
    for exchange in exchanges {
        let fingerprint = fingerprint.clone();
        let options = Options { exchange: *exchange, fingerprint, ..options.clone() };
        let mut session = connect(agents, &options, hosts);
        finish(&mut session, agents, hosts, &certificate);
        let codes = exit_codes(&session, agents);
        session.close_with(codes);
        record(agents, &options, "no", "DTLS handshake");
    }
}

fn both_restart(test: &str, agents: [Implementation; 2], options: &Options) {
    if let Some(hosts) = two_hosts(test, agents) {
        restarts_between(&hosts, agents, &[0, 1], options);
    }
}

/// The handshake, which is tried from the first connection on, comes to its
/// end after these have restarted.
fn restarts_between(
    hosts: &[Namespace; 2],
    agents: [Implementation; 2],
    restarted_by: &[usize],
    options: &Options,
) {
    let certificate = Certificate::make();
    let fingerprint = Some(certificate.fingerprint());
    let options = Options { fingerprint, ..options.clone() };
    let mut session = connect(agents, &options, hosts);
    for who in restarted_by {
        restart(&mut session, *who, floe_of(agents));
        assert_transport(&session, agents, options.over);
        assert_relayed(&session, agents, &options);
    }
    finish(&mut session, agents, hosts, &certificate);
    let codes = exit_codes(&session, agents);
    session.close_with(codes);
    let by = if restarted_by.len() == 2 { "by either side" } else { "by floe" };
    record(agents, &options, by, "DTLS handshake");
}

/// Which of the two is this agent.
fn floe_of(agents: [Implementation; 2]) -> usize {
    usize::from(agents[1] == Floe)
}

/// Up to the first datagram, which begins a DTLS handshake.
fn connect(agents: [Implementation; 2], options: &Options, hosts: &[Namespace; 2]) -> Session {
    let floe = floe_of(agents);
    let mut session = start(agents, options, hosts.each_ref().map(Some));
    session.extend(EXTRA);
    session.until_connected();
    session.until("completed", |sides| sides[floe].since("completed").is_some());
    let candidates = &session.sides[1 - floe].candidates;
    assert!(!candidates.is_empty());
    assert!(candidates.iter().all(|line| is_named(line) == options.mdns), "{candidates:?}");
    until_same_pair(&mut session);
    assert_transport(&session, agents, options.over);
    assert_relayed(&session, agents, options);
    session.until("a datagram", |sides| !sides[floe].received.is_empty());
    let (_, first) = &session.sides[floe].received[0];
    assert!(is_client_hello(first), "{first:02x?}");
    session
}

/// A restart, until this agent has completed with the new credentials.
fn restart(session: &mut Session, who: usize, floe: usize) {
    // The page does not tell of which generation an end of candidates is.
    session.until_gathered();
    let completed = session.sides[floe].times("completed");
    let generations = session.sides.each_ref().map(|side| side.ufrags.len());
    session.tell(who, &json!({"type": "restart"}));
    session.until("completed again", |sides| {
        let renewed = [0, 1].into_iter().all(|side| sides[side].ufrags.len() > generations[side]);
        renewed && sides[floe].times("completed") > completed
    });
    until_same_pair(session);
}

/// Takes the DTLS handshake to its end.
fn finish(
    session: &mut Session,
    agents: [Implementation; 2],
    hosts: &[Namespace; 2],
    certificate: &Certificate,
) {
    let floe = floe_of(agents);
    shake_hands(session, floe, &Server::start(&hosts[floe], certificate));
    for side in &session.sides {
        assert!(side.since("failed").is_none(), "{:?}", side.states);
        assert!(side.errors.is_empty(), "{:?}", side.errors);
    }
}

fn until_same_pair(session: &mut Session) {
    session.until("the same selected pair", |[one, other]| {
        ports(one).zip(ports(other)).is_some_and(|([near, far], theirs)| theirs == [far, near])
    });
}

/// Whether a candidate's address is a name of multicast DNS.
fn is_named(candidate: &str) -> bool {
    candidate.split_whitespace().nth(4).is_some_and(|address| address.ends_with(".local"))
}

/// The local and the remote port of the selected pair. Chromium shows no
/// address that it was not told.
fn ports(side: &Side) -> Option<[u16; 2]> {
    let (local, remote) = side.selected.get(&1)?;
    let port = |candidate: &str| candidate.split_whitespace().nth(5)?.parse().ok();
    Some([port(local)?, port(remote)?])
}

/// Carries datagrams between Chromium's DTLS, which is behind `floe`, and the
/// server's.
fn shake_hands(session: &mut Session, floe: usize, server: &Server) {
    let what = "the end of the DTLS handshake";
    let mut carried = 0;
    while !has_become(&session.sides[1 - floe], "connected") {
        if has_become(&session.sides[1 - floe], "failed") {
            session.fail("the DTLS handshake failed");
        }
        for (_, datagram) in &session.sides[floe].received[carried..] {
            server.send(datagram);
        }
        carried = session.sides[floe].received.len();
        while let Some(datagram) = server.receive() {
            session.send(floe, 1, &datagram);
        }
        session.step(what, TURN);
    }
}

/// Whether the RTCPeerConnection has been in this state.
fn has_become(chromium: &Side, state: &str) -> bool {
    chromium.more.iter().any(|line| line["type"] == "connection" && line["state"] == state)
}
