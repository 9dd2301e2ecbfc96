//! Agents on real sockets whose only way is a relay: Debian's coturn, and the
//! server of our own.

#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used)]

#[path = "../coturn/mod.rs"]
#[allow(dead_code)] // Others use the rest.
mod coturn;
mod families;
mod life;
mod permissions;
mod streams;
#[cfg(feature = "tls")]
mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use floe::agent::{Event, RemoteParameters, State, TurnServer};
use floe::candidate::{Candidate, ComponentId, Kind};
use floe::check::Role;
use floe::gather::Cause;
use floe::timer::Pacer;
use floe::{Agent, AgentConfig, Connection};

use coturn::{Coturn, Options, PASSWORD, USER};

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("the test hangs")
}

/// An agent that has nothing but the relays of these servers.
pub(crate) fn relay_only(role: Role, servers: &[TurnServer]) -> Agent {
    relay_only_with(role, servers, |_| ())
}

/// The same, with what `edit` changes.
pub(crate) fn relay_only_with(
    role: Role,
    servers: &[TurnServer],
    edit: impl FnOnce(&mut AgentConfig),
) -> Agent {
    let mut config = AgentConfig::new(role);
    config.bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    config.ice.include_loopback = true;
    config.ice.turn_servers = servers.to_vec();
    (config.ice.gather_host, config.ice.gather_server_reflexive) = (false, false);
    config.ice.log = true;
    config.watch_network = false;
    // The tests of this file would else wait for each other's slots.
    config.pacer = Some(Pacer::new());
    edit(&mut config);
    Agent::new(config).unwrap()
}

pub(crate) fn server(uri: &str) -> TurnServer {
    TurnServer::new(uri, USER, PASSWORD).unwrap()
}

/// The URIs of a server without TLS.
pub(crate) fn uris(address: SocketAddr) -> [String; 2] {
    [format!("turn:{address}"), format!("turn:{address}?transport=tcp")]
}

/// Gathers to the end: the candidates, and what went wrong.
pub(crate) async fn gathered(agent: &Agent) -> (Vec<Candidate>, Vec<(Cause, u16, String)>) {
    agent.gather().unwrap();
    let (mut candidates, mut errors) = (Vec::new(), Vec::new());
    loop {
        match in_time(agent.next_event()).await.expect("the agent is open") {
            Event::Candidate { candidate, .. } => candidates.push(candidate),
            Event::CandidateError { cause, code, text, .. } => {
                errors.push((cause, code, text.into()));
            }
            Event::EndOfCandidates { .. } => return (candidates, errors),
            _ => {}
        }
    }
}

fn parameters(agent: &Agent) -> RemoteParameters {
    let credentials = agent.credentials();
    let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
    parameters.pacing = agent.pacing();
    parameters.options = vec!["ice2".into(), "renomination".into()];
    parameters
}

/// Carries what each of two agents has to say to the other, until both have
/// completed, and have no more candidates.
pub(crate) async fn connect(agents: [&Agent; 2]) {
    for at in [0, 1] {
        agents[1 - at].set_remote(parameters(agents[at])).unwrap();
    }
    for agent in agents {
        agent.gather().unwrap();
    }
    let mut ended = 0;
    while ended < 2 || agents.iter().any(|agent| agent.state() != State::Completed) {
        ended += usize::from(in_time(carry_one(agents)).await);
    }
}

/// Carries what the next event of one of them has for the other; whether that
/// was the end of its candidates.
pub(crate) async fn carry_one([a, b]: [&Agent; 2]) -> bool {
    let (event, peer) = tokio::select! {
        event = a.next_event() => (event, b),
        event = b.next_event() => (event, a),
    };
    let event = event.expect("the agent is open");
    let is_end = matches!(event, Event::EndOfCandidates { .. });
    match event {
        // What is late is no mistake.
        Event::Candidate { candidate, .. } => drop(peer.add_remote_candidate(&candidate)),
        Event::EndOfCandidates { .. } => drop(peer.end_of_remote_candidates()),
        Event::Restarted { credentials, answers, .. } => {
            let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
            parameters.options = vec!["ice2".into(), "renomination".into()];
            parameters.answers = answers;
            peer.set_remote(parameters).unwrap();
        }
        Event::State { state: State::Failed, reason } => panic!("failed: {reason}"),
        _ => {}
    }
    is_end
}

pub(crate) fn connections(agents: [&Agent; 2]) -> [Connection; 2] {
    agents.map(|agent| agent.connection(ComponentId::ONE).unwrap())
}

/// Sends datagrams of several sizes both ways, each awaited before the next.
pub(crate) async fn exchange(connections: &[Connection; 2]) {
    let mut buffer = vec![0; 2_000];
    for size in [0, 1, 4, 5, 100, 1_100] {
        for at in [0, 1] {
            let payload: Vec<u8> = (0..size).map(|n| (n + at) as u8).collect();
            connections[at].send(&payload).await.unwrap();
            let length = in_time(connections[1 - at].recv(&mut buffer)).await.unwrap();
            assert_eq!(buffer[..length], payload, "{size} bytes from {at}");
        }
    }
}

#[tokio::test]
async fn two_relays_of_coturn_carry_data() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    for uri in uris(coturn.address) {
        let servers = [server(&uri)];
        let agents = [Role::Controlling, Role::Controlled].map(|role| relay_only(role, &servers));
        let agents = agents.each_ref();
        connect(agents).await;
        let connections = connections(agents);
        exchange(&connections).await;
        // Batches, by channels; few at a time, so that no queue of the system is full.
        let batch: Vec<u8> = (0..1_000u32).flat_map(u32::to_be_bytes).collect();
        let mut buffer = [0; 2_000];
        for _ in 0..10 {
            connections[0].send_batch(&batch, 1_000).await.unwrap();
            for piece in batch.chunks(1_000) {
                let length = in_time(connections[1].recv(&mut buffer)).await.unwrap();
                assert_eq!(buffer[..length], *piece, "{uri}: datagrams arrive as they left");
            }
        }
    }
}

#[tokio::test]
async fn wrong_credentials_name_the_server_the_user_and_the_realm() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    for uri in uris(coturn.address) {
        let wrong = TurnServer::new(&uri, USER, "not the password").unwrap();
        let (candidates, errors) = gathered(&relay_only(Role::Controlling, &[wrong])).await;
        assert!(candidates.is_empty());
        let [(Cause::Credentials, 401, text)] = errors.as_slice() else { panic!("{errors:?}") };
        assert!(text.contains(USER) && text.contains(coturn::REALM), "{text}");
        assert!(!text.contains("not the password"), "{text}");
    }
}

#[tokio::test]
async fn a_quota_that_is_reached_is_told() {
    let options = Options { user_quota: Some(1), ..Options::default() };
    let Some(coturn) = Coturn::start(&options) else { return };
    let servers = [server(&uris(coturn.address)[0])];
    let first = relay_only(Role::Controlling, &servers);
    let (candidates, _) = gathered(&first).await;
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].kind, Kind::Relayed);
    let (candidates, errors) = gathered(&relay_only(Role::Controlled, &servers)).await;
    assert!(candidates.is_empty());
    let [(Cause::Answered, 486, _)] = errors.as_slice() else { panic!("{errors:?}") };
}

/// A server that sends to another: the relay is the other's.
#[tokio::test]
async fn an_alternate_server_is_gone_to() {
    let Some(other) = Coturn::start(&Options::default()) else { return };
    let options = Options { alternate_server: Some(other.address), ..Options::default() };
    let Some(first) = Coturn::start(&options) else { return };
    for uri in uris(first.address) {
        let agent = relay_only(Role::Controlling, &[server(&uri)]);
        let (candidates, errors) = gathered(&agent).await;
        // An unsigned 300 is a refusal (RFC 8489 §14.8): coturn signs none that
        // answers a request without credentials.
        match (candidates.len(), errors.as_slice()) {
            (1, []) => {}
            (0, [(_, 300, text)]) => assert!(text.contains("300"), "{text}"),
            other => panic!("{uri}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn several_servers_are_asked_side_by_side_and_the_dead_cost_their_budget() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let [udp, tcp] = uris(coturn.address);
    let servers =
        [server(&format!("turn:{}", dead.local_addr().unwrap())), server(&udp), server(&tcp)];
    let agent = relay_only(Role::Controlling, &servers);
    let (candidates, errors) = gathered(&agent).await;
    assert_eq!(candidates.len(), 2, "{candidates:?}");
    // The leg that costs least comes first.
    assert!(candidates.iter().any(|c| c.priority >> 24 == 3));
    assert!(candidates.iter().any(|c| c.priority >> 24 == 2));
    assert!(matches!(errors.as_slice(), [(Cause::NotReached, 701, _)]), "{errors:?}");
}
