//! Two agents over TCP on real loopback sockets (RFC 6544).

mod hostile;
mod lost;
mod pressure;
mod proxy;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::agent::{Event, State, Transports};
use floe::candidate::{Candidate, TcpType};
use floe::check::Role;
use floe::{Agent, AgentConfig};
use tokio::net::TcpStream;

use crate::{V4, V6, config, connection, in_time, parameters, passes, signal};

const NONE: Transports = Transports { udp: false, ..Transports::UDP };
const ACTIVE: Transports = Transports { tcp_active: true, ..NONE };
const PASSIVE: Transports = Transports { tcp_passive: true, ..NONE };
const SO: Transports = Transports { tcp_so: true, ..NONE };

/// Longer than a connection without a check is kept, 15 seconds.
const UNPROVEN: Duration = Duration::from_secs(60);

fn tcp_config(role: Role, ip: IpAddr, transports: Transports) -> AgentConfig {
    let mut config = config(role, ip);
    config.ice.transports = transports;
    config
}

/// Two agents, the first controlling, that are connected.
async fn tcp_pair(ip: IpAddr, transports: [Transports; 2]) -> (Agent, Agent) {
    let [a, b] = [(Role::Controlling, transports[0]), (Role::Controlled, transports[1])]
        .map(|(role, transports)| Agent::new(tcp_config(role, ip, transports)).unwrap());
    signal(&a, &b).await;
    in_time(a.connected()).await.unwrap();
    in_time(b.connected()).await.unwrap();
    (a, b)
}

/// Reads events until the agent is in the state; fails on others that are not
/// on the way to it.
async fn until(agent: &Agent, wanted: State) {
    loop {
        match in_time(agent.next_event()).await.expect("the agent is open") {
            Event::State { state, .. } if state == wanted => return,
            Event::State { state, .. } => assert_ne!(state, State::Failed),
            _ => {}
        }
    }
}

/// Reads events until there is a path again.
async fn regained(agent: &Agent) {
    loop {
        let event = in_time(agent.next_event()).await.expect("the agent is open");
        if let Event::State { state, .. } = event {
            match state {
                State::Connected | State::Completed => return,
                _ => assert_eq!(state, State::Disconnected),
            }
        }
    }
}

/// Our candidate and the peer's of the selected pair.
fn selected(agent: &Agent) -> [Candidate; 2] {
    let stats = agent.stats();
    let mut pairs = stats.pairs.iter().flat_map(|(_, pairs)| pairs);
    let pair = pairs.find(|pair| pair.selected).expect("a selected pair");
    [pair.local.clone(), pair.remote.clone()]
}

/// The listener of an agent that has one.
async fn listener(agent: &Agent) -> SocketAddr {
    let (candidates, _) = crate::gathered(agent).await;
    let listens = |candidate: &&Candidate| {
        candidate.tcp_type.is_some_and(|tcp_type| tcp_type != TcpType::Active)
    };
    candidates.iter().find(listens).and_then(Candidate::address).expect("a listening candidate")
}

/// Whether the other end ends or resets the connection in time.
async fn has_ended(stream: &mut TcpStream) -> bool {
    use tokio::io::AsyncReadExt as _;

    let mut buffer = [0; 4_096];
    // What it sends first is of no interest.
    let ended = async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} };
    tokio::time::timeout(UNPROVEN, ended).await.is_ok()
}

#[tokio::test]
async fn every_way_to_open_a_connection_carries_data_both_ways() {
    let both = Transports { tcp_active: true, tcp_passive: true, ..NONE };
    for (transports, types) in [
        ([ACTIVE, PASSIVE], Some([TcpType::Active, TcpType::Passive])),
        ([PASSIVE, ACTIVE], Some([TcpType::Passive, TcpType::Active])),
        ([SO, SO], Some([TcpType::SimultaneousOpen; 2])),
        ([both, both], None),
        ([Transports::TCP, Transports::TCP], None),
    ] {
        for ip in [V4, V6] {
            let (a, b) = tcp_pair(ip, transports).await;
            let (ca, cb) = (connection(&a, 1), connection(&b, 1));
            passes(&ca, &cb, b"from a to b").await;
            passes(&cb, &ca, b"from b to a").await;
            in_time(a.completed()).await.unwrap();
            in_time(b.completed()).await.unwrap();
            passes(&ca, &cb, b"on the selected pair").await;
            passes(&cb, &ca, b"and back").await;
            let [ours, theirs] = selected(&a);
            assert!(ours.tcp_type.is_some() && theirs.tcp_type.is_some());
            if let Some(types) = types {
                assert_eq!([ours.tcp_type, theirs.tcp_type], types.map(Some));
            }
            assert_eq!(ca.max_datagram_size(), Some(65_535));
        }
    }
}

#[tokio::test]
async fn udp_is_selected_before_tcp_where_both_work() {
    let (a, b) = tcp_pair(V4, [Transports::ALL, Transports::ALL]).await;
    in_time(a.completed()).await.unwrap();
    in_time(b.completed()).await.unwrap();
    assert_eq!(selected(&a)[0].tcp_type, None);
    passes(&connection(&a, 1), &connection(&b, 1), b"over UDP").await;
}

#[tokio::test]
async fn datagrams_stay_what_they_are() {
    for transports in [[ACTIVE, PASSIVE], [SO, SO]] {
        let (a, b) = tcp_pair(V4, transports).await;
        let (ca, cb) = (connection(&a, 1), connection(&b, 1));
        let mut buffer = vec![0; 65_536];
        for (from, to) in [(&ca, &cb), (&cb, &ca)] {
            let sizes = [0, 0, 1, 2, 19, 20, 1_200, 2_047, 2_048, 2_049, 32_768, 0, 65_535, 1];
            let datagram = |at: usize, size: usize| vec![at as u8; size];
            // All at once, so that they share segments.
            let sender = async {
                for (at, size) in sizes.into_iter().enumerate() {
                    from.send(&datagram(at, size)).await.unwrap();
                }
            };
            let receiver = async {
                for (at, size) in sizes.into_iter().enumerate() {
                    let length = to.recv(&mut buffer).await.unwrap();
                    assert_eq!(&buffer[..length], datagram(at, size), "datagram {at}");
                }
            };
            in_time(async { tokio::join!(sender, receiver) }).await;
            let error = from.send(&vec![0; 65_536]).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
        for first in 0..=255_u8 {
            passes(&ca, &cb, &[first; 24]).await;
            passes(&cb, &ca, &[first]).await;
        }
        // What a STUN message begins with is data like any other.
        passes(&ca, &cb, b"\x00\x01\x00\x00\x21\x12\xa4\x42............").await;
        assert_eq!(a.stats().unrouted + b.stats().unrouted, 0);
        assert_eq!(ca.overflowed() + cb.overflowed(), 0);
    }
}

#[tokio::test]
async fn batches_are_cut_into_datagrams() {
    let (a, b) = tcp_pair(V4, [ACTIVE, PASSIVE]).await;
    let (ca, cb) = (connection(&a, 1), connection(&b, 1));
    let bytes: Vec<u8> = (0..30 * 1_000 + 7).map(|n| (n / 1_000) as u8).collect();
    in_time(ca.send_batch(&bytes, 1_000)).await.unwrap();
    let mut buffer = [0; 2_000];
    for datagram in bytes.chunks(1_000) {
        let length = in_time(cb.recv(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..length], datagram);
    }
}

/// RFC 6544 §9.2: the selected pair, and so its connection, outlives a restart
/// until another pair is selected.
#[tokio::test]
async fn data_goes_on_over_the_connection_during_a_restart() {
    use floe::agent::Sockets;

    for transports in [[ACTIVE, PASSIVE], [SO, SO]] {
        let (a, b) = tcp_pair(V4, transports).await;
        in_time(a.completed()).await.unwrap();
        in_time(b.completed()).await.unwrap();
        let (ca, cb) = (connection(&a, 1), connection(&b, 1));
        for (from, to) in [(&a, &b), (&b, &a)] {
            let before = [&ca, &cb].map(|c| (c.local_address(), c.remote_address()));
            from.restart(Sockets::Keep).unwrap();
            passes(&ca, &cb, b"one side has restarted").await;
            passes(&cb, &ca, b"and the other has not").await;
            let of_one = crate::restart::restarted(from).await;
            to.set_remote(parameters(from)).unwrap();
            let of_other = crate::restart::restarted(to).await;
            passes(&ca, &cb, b"both have").await;
            passes(&cb, &ca, b"both have").await;
            let meanwhile = [&ca, &cb].map(|c| (c.local_address(), c.remote_address()));
            assert_eq!(meanwhile, before);
            from.set_remote(parameters(to)).unwrap();
            for (agent, candidates) in [(from, &of_other), (to, &of_one)] {
                for candidate in candidates {
                    agent.add_remote_candidate(candidate).unwrap();
                }
                agent.end_of_remote_candidates().unwrap();
            }
            for agent in [&a, &b] {
                until(agent, State::Completed).await;
            }
            passes(&ca, &cb, b"on the new pair").await;
            passes(&cb, &ca, b"on the new pair").await;
        }
    }
}

/// In a process of its own no other test opens sockets meanwhile.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_agent_leaves_no_socket_and_no_task() {
    if !crate::alone("tcp::a_closed_agent_leaves_no_socket_and_no_task") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::task::yield_now().await;
        let before = crate::open_sockets();
        for transports in [[ACTIVE, PASSIVE], [SO, SO], [Transports::ALL; 2]] {
            let (a, b) = tcp_pair(V4, transports).await;
            let (ca, cb) = (connection(&a, 1), connection(&b, 1));
            passes(&ca, &cb, b"there").await;
            // Data that nobody reads, and a stranger, change nothing.
            for _ in 0..20 {
                let _ = ca.try_send(&[0; 32_768]);
            }
            let port = cb.local_address().unwrap();
            let stranger = std::net::TcpStream::connect(port);
            a.close().await;
            b.close().await;
            drop(stranger);
            assert_eq!(crate::open_sockets(), before, "{transports:?}");
            assert!(!is_bound(port.port()).await, "{port} is still listened on");
            drop((a, b, ca, cb));
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
        }
    });
}

/// Whether the system has a socket at a local port that is more than the
/// memory of one (TIME-WAIT), or on its way to it.
#[cfg(target_os = "linux")]
async fn is_bound(port: u16) -> bool {
    const TIME_WAIT: &str = "06";
    let wanted = format!("{port:04X}");
    for _ in 0..100 {
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let mut rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
        let is_there =
            |row: Vec<&str>| row[1].ends_with(&format!(":{wanted}")) && row[3] != TIME_WAIT;
        if !rows.any(is_there) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
