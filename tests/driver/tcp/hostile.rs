//! Strangers at the listener. A pair goes on beside each of them, and what
//! they did is counted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use floe::Agent;
use floe::agent::{DropReason, State};
use floe::check::Role;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{ACTIVE, PASSIVE, SO, has_ended, tcp_config};
use crate::{V4, connection, gathered, in_time, parameters, passes};

/// Connections that have passed no check which a listener keeps, at most.
const UNPROVEN: usize = 64;

/// Two connected agents, of which `b` listens at the address.
async fn pair() -> (Agent, Agent, SocketAddr) {
    let [a, b] = [(Role::Controlling, ACTIVE), (Role::Controlled, PASSIVE)]
        .map(|(role, transports)| Agent::new(tcp_config(role, V4, transports)).unwrap());
    let (theirs, _) = gathered(&b).await;
    gathered(&a).await;
    let at = theirs[0].address().unwrap();
    a.set_remote(parameters(&b)).unwrap();
    b.set_remote(parameters(&a)).unwrap();
    a.add_remote_candidate(&theirs[0]).unwrap();
    for agent in [&a, &b] {
        agent.end_of_remote_candidates().unwrap();
    }
    in_time(a.completed()).await.unwrap();
    in_time(b.completed()).await.unwrap();
    (a, b, at)
}

async fn goes_on(a: &Agent, b: &Agent) {
    for _ in 0..10 {
        passes(&connection(a, 1), &connection(b, 1), b"there").await;
        passes(&connection(b, 1), &connection(a, 1), b"back").await;
    }
    assert_eq!([a.state(), b.state()], [State::Completed; 2]);
}

fn dropped(agent: &Agent, reason: DropReason) -> u32 {
    agent.stats().drops.of(reason)
}

#[tokio::test]
async fn a_connection_that_never_sends_is_closed() {
    let (a, b, at) = pair().await;
    let mut silent = in_time(TcpStream::connect(at)).await.unwrap();
    goes_on(&a, &b).await;
    assert!(has_ended(&mut silent).await);
    goes_on(&a, &b).await;
}

#[tokio::test]
async fn garbage_first_is_closed_and_counted() {
    let (a, b, at) = pair().await;
    for (count, garbage) in (0..).zip([
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        // A frame that is no STUN message.
        b"\x00\x05hello",
        // A frame that is too long for a check.
        b"\xff\xff\x16\x03\x01",
        // STUN without its frame.
        b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
    ]) {
        let mut stranger = in_time(TcpStream::connect(at)).await.unwrap();
        // It may be closed before all is written.
        let _ = stranger.write_all(garbage).await;
        let is_counted = async {
            while dropped(&b, DropReason::NotStun) == count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        in_time(is_counted).await;
        assert!(has_ended(&mut stranger).await);
        goes_on(&a, &b).await;
    }
}

#[tokio::test]
async fn endless_empty_frames_hold_up_nobody() {
    let (a, b, at) = pair().await;
    let stranger = in_time(TcpStream::connect(at)).await.unwrap();
    let (reading, mut writing) = stranger.into_split();
    let flood = tokio::spawn(async move {
        let mut sent = 0_usize;
        while let Ok(()) = writing.write_all(&[0; 4_096]).await {
            sent += 4_096;
        }
        sent
    });
    // No check comes in time, so that it is closed; the pair goes on meanwhile.
    let until = Instant::now() + super::UNPROVEN;
    while !flood.is_finished() && Instant::now() < until {
        goes_on(&a, &b).await;
    }
    drop(reading);
    assert!(in_time(flood).await.unwrap() > 0);
    goes_on(&a, &b).await;
}

#[tokio::test]
async fn thousands_of_connections_leave_the_pair_alone() {
    let (a, b, at) = pair().await;
    let mut kept = VecDeque::new();
    for number in 0..2_000 {
        kept.push_back(in_time(TcpStream::connect(at)).await.unwrap());
        if kept.len() > 200 {
            kept.pop_front();
        }
        if number % 400 == 0 {
            goes_on(&a, &b).await;
        }
    }
    goes_on(&a, &b).await;
    // All but a few of those that are left end soon.
    let is_open = |stream: &TcpStream| {
        let error = stream.try_read(&mut [0; 8]).err();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let few = async {
        while kept.iter().filter(|stream| is_open(stream)).count() > UNPROVEN {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(few).await;
    goes_on(&a, &b).await;
    in_time(b.close()).await;
    for mut stream in kept {
        assert!(has_ended(&mut stream).await);
    }
}

/// A new pair is made while a crowd keeps coming.
#[tokio::test]
async fn a_pair_connects_in_a_crowd() {
    for transports in [[ACTIVE, PASSIVE], [SO, SO]] {
        let [a, b] = [(Role::Controlling, transports[0]), (Role::Controlled, transports[1])]
            .map(|(role, transports)| Agent::new(tcp_config(role, V4, transports)).unwrap());
        let (theirs, _) = gathered(&b).await;
        let (ours, _) = gathered(&a).await;
        let at = theirs[0].address().unwrap();
        let crowd = tokio::spawn(async move {
            let mut kept = VecDeque::new();
            while let Ok(mut stream) = TcpStream::connect(at).await {
                let _ = stream.write_all(b"\x00\x05hello").await;
                kept.push_back(stream);
                if kept.len() > 100 {
                    kept.pop_front();
                }
                tokio::task::yield_now().await;
            }
        });
        for (agent, peer, candidates) in [(&a, &b, &theirs), (&b, &a, &ours)] {
            agent.set_remote(parameters(peer)).unwrap();
            for candidate in candidates {
                agent.add_remote_candidate(candidate).unwrap();
            }
            agent.end_of_remote_candidates().unwrap();
        }
        in_time(a.completed()).await.unwrap();
        in_time(b.completed()).await.unwrap();
        goes_on(&a, &b).await;
        crowd.abort();
        assert!(dropped(&b, DropReason::NotStun) > 0);
    }
}
