//! ICE restarts while data flows.

use floe::agent::{Event, Sockets, State};
use floe::candidate::{Candidate, ComponentId};
use floe::check::Role;
use floe::driver::{AgentError, SharedSocket};
use floe::{Agent, Connection};
use tokio::task::JoinHandle;

use crate::{V4, config, connection, in_time, pair, parameters, passes, signal};

/// The candidates of the session that a restart begins.
pub(crate) async fn restarted(agent: &Agent) -> Vec<Candidate> {
    let mut candidates = None;
    loop {
        match in_time(agent.next_event()).await.expect("the agent is open") {
            Event::Restarted { credentials, .. } => {
                assert_eq!(credentials, agent.credentials());
                candidates = Some(Vec::new());
            }
            Event::Candidate { candidate, .. } => candidates.iter_mut().for_each(|all| {
                all.push(candidate.clone());
            }),
            Event::EndOfCandidates { .. } => {
                if let Some(candidates) = candidates {
                    return candidates;
                }
            }
            Event::State { state, .. } => assert_ne!(state, State::Failed),
            _ => {}
        }
    }
}

/// `a` restarts, and `b` follows; returns the candidates of `a`.
async fn restart(a: &Agent, b: &Agent, sockets: Sockets) -> Vec<Candidate> {
    a.restart(sockets).unwrap();
    let ours = restarted(a).await;
    b.set_remote(parameters(a)).unwrap();
    let theirs = restarted(b).await;
    a.set_remote(parameters(b)).unwrap();
    for (agent, candidates) in [(a, &theirs), (b, &ours)] {
        for candidate in candidates {
            agent.add_remote_candidate(candidate).unwrap();
        }
        agent.end_of_remote_candidates().unwrap();
    }
    for agent in [a, b] {
        completed_again(agent).await;
    }
    ours
}

async fn completed_again(agent: &Agent) {
    loop {
        match in_time(agent.next_event()).await.expect("the agent is open") {
            Event::State { state: State::Completed, .. } => return,
            Event::State { state, .. } => assert_ne!(state, State::Failed),
            _ => {}
        }
    }
}

/// Numbers the datagrams that it sends, until it is told to stop.
fn stream(from: Connection, mut stop: tokio::sync::watch::Receiver<bool>) -> JoinHandle<u32> {
    tokio::spawn(async move {
        let mut number = 0_u32;
        while !*stop.borrow_and_update() {
            from.send(&number.to_be_bytes()).await.unwrap();
            number += 1;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        number
    })
}

async fn receive(to: &Connection, count: u32) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut buffer = [0; 64];
    for _ in 0..count {
        let len = in_time(to.recv(&mut buffer)).await.unwrap();
        numbers.push(u32::from_be_bytes(buffer[..len].try_into().unwrap()));
    }
    numbers
}

#[tokio::test]
async fn no_datagram_is_lost_or_doubled() {
    for sockets in [Sockets::Keep, Sockets::Rebind] {
        let (a, b) = pair(V4, 1).await;
        in_time(a.completed()).await.unwrap();
        in_time(b.completed()).await.unwrap();
        let (ca, cb) = (connection(&a, 1), connection(&b, 1));
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let streams = [stream(ca.clone(), stopped.clone()), stream(cb.clone(), stopped)];
        restart(&a, &b, sockets).await;
        restart(&b, &a, sockets).await;
        stop.send(true).unwrap();
        for (stream, to) in streams.into_iter().zip([&cb, &ca]) {
            let sent = in_time(stream).await.unwrap();
            let mut numbers = receive(to, sent).await;
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..sent));
            assert!(to.try_recv(&mut [0; 8]).is_err());
        }
    }
}

#[tokio::test]
async fn on_a_shared_socket_the_new_fragment_is_known() {
    let socket = SharedSocket::bind(std::net::SocketAddr::new(V4, 0)).unwrap();
    let mut agents = Vec::new();
    for _ in 0..3 {
        let mut on_socket = config(Role::Controlled, V4);
        on_socket.bind.clear();
        on_socket.sockets = vec![socket.clone()];
        let a = Agent::new(on_socket).unwrap();
        let b = Agent::new(config(Role::Controlling, V4)).unwrap();
        signal(&a, &b).await;
        in_time(a.completed()).await.unwrap();
        in_time(b.completed()).await.unwrap();
        agents.push((a, b));
    }
    for sockets in [Sockets::Keep, Sockets::Rebind, Sockets::Keep] {
        for (a, b) in &agents {
            let candidates = restart(a, b, sockets).await;
            assert_eq!(candidates[0].port, socket.local_address().port());
            passes(&connection(a, 1), &connection(b, 1), b"there").await;
            passes(&connection(b, 1), &connection(a, 1), b"back").await;
        }
    }
    assert_eq!(socket.unrouted(), 0);
}

#[tokio::test]
async fn a_removed_stream_is_gone_and_the_first_can_not_go() {
    let (a, _b) = pair(V4, 1).await;
    assert!(matches!(a.remove_stream(&a.stream()), Err(AgentError::FirstStream)));
    let second = a.add_stream(1).unwrap();
    let data = second.connection(ComponentId::ONE).unwrap();
    assert!(second.credentials().is_ok());
    a.remove_stream(&second).unwrap();
    assert!(second.credentials().is_err());
    assert!(second.connection(ComponentId::ONE).is_none());
    let error = in_time(data.recv(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    assert!(matches!(a.remove_stream(&second), Err(AgentError::Command(_))));
}
