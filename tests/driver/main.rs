//! Two agents on real loopback sockets.

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)]

mod meet;
mod restart;
mod stats;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use floe::agent::{Event, RemoteParameters, State};
use floe::candidate::{Candidate, ComponentId, Kind};
use floe::check::Role;
use floe::driver::{AgentError, ReceiveBatch, SharedSocket, TrafficClass};
use floe::gather::Cause;
use floe::server::StunServer;
use floe::stun;
use floe::timer::Pacer;
use floe::{Agent, AgentConfig, Connection};

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("the test hangs")
}

fn config(role: Role, ip: IpAddr) -> AgentConfig {
    let mut config = AgentConfig::new(role);
    config.bind = vec![ip];
    config.ice.include_loopback = true;
    // A watch of the network is no agent's own; it has tests of its own.
    config.watch_network = false;
    // The tests of this file would else wait for each other's slots.
    config.pacer = Some(Pacer::new());
    config
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Gathers to the end.
async fn gathered(agent: &Agent) -> (Vec<Candidate>, Vec<Event>) {
    agent.gather().unwrap();
    let (mut candidates, mut others) = (Vec::new(), Vec::new());
    loop {
        match in_time(agent.next_event()).await.expect("the agent is open") {
            Event::Candidate { candidate, .. } => candidates.push(candidate),
            Event::EndOfCandidates { .. } => return (candidates, others),
            event => others.push(event),
        }
    }
}

fn parameters(agent: &Agent) -> RemoteParameters {
    let credentials = agent.credentials();
    let mut parameters = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
    parameters.pacing = Duration::from_millis(5);
    parameters
}

/// Gives each what the other gathered.
async fn signal(a: &Agent, b: &Agent) {
    let candidates = [gathered(a).await.0, gathered(b).await.0];
    for (agent, peer, candidates) in [(a, b, &candidates[1]), (b, a, &candidates[0])] {
        agent.set_remote(parameters(peer)).unwrap();
        for candidate in candidates {
            agent.add_remote_candidate(candidate).unwrap();
        }
        agent.end_of_remote_candidates().unwrap();
    }
}

async fn pair(ip: IpAddr, components: u16) -> (Agent, Agent) {
    let [a, b] = [Role::Controlling, Role::Controlled].map(|role| {
        let mut config = config(role, ip);
        config.components = components;
        Agent::new(config).unwrap()
    });
    signal(&a, &b).await;
    in_time(a.connected()).await.unwrap();
    in_time(b.connected()).await.unwrap();
    (a, b)
}

fn connection(agent: &Agent, component: u16) -> Connection {
    agent.connection(ComponentId::new(component).unwrap()).unwrap()
}

async fn passes(from: &Connection, to: &Connection, datagram: &[u8]) {
    in_time(from.send(datagram)).await.unwrap();
    let mut buffer = [0; 2_048];
    let len = in_time(to.recv(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], datagram);
}

#[tokio::test]
async fn data_passes_both_ways_on_both_families() {
    for ip in [V4, V6] {
        let (a, b) = pair(ip, 1).await;
        let (ca, cb) = (connection(&a, 1), connection(&b, 1));
        passes(&ca, &cb, b"from a to b").await;
        passes(&cb, &ca, b"from b to a").await;
        in_time(a.completed()).await.unwrap();
        in_time(b.completed()).await.unwrap();
        passes(&ca, &cb, b"on the selected pair").await;
    }
}

#[tokio::test]
async fn components_are_apart() {
    let (a, b) = pair(V4, 2).await;
    assert!(a.connection(ComponentId::new(3).unwrap()).is_none());
    passes(&connection(&a, 1), &connection(&b, 1), b"one").await;
    passes(&connection(&a, 2), &connection(&b, 2), b"two").await;
    passes(&connection(&b, 2), &connection(&a, 2), b"two back").await;
    let error = connection(&b, 1).try_recv(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn streams_are_apart() {
    let agents =
        [Role::Controlling, Role::Controlled].map(|role| Agent::new(config(role, V4)).unwrap());
    let second = [agents[0].add_stream(1).unwrap(), agents[1].add_stream(1).unwrap()];
    let first = [agents[0].stream(), agents[1].stream()];
    for (at, agent) in agents.iter().enumerate() {
        agent.gather().unwrap();
        let mut ended = 0;
        while ended < 2 {
            match in_time(agent.next_event()).await.unwrap() {
                Event::Candidate { stream, candidate } => {
                    let streams = if stream == first[at].id() { &first } else { &second };
                    streams[1 - at].add_remote_candidate(&candidate).unwrap();
                }
                Event::EndOfCandidates { .. } => ended += 1,
                _ => {}
            }
        }
    }
    for streams in [&first, &second] {
        for at in 0..2 {
            let credentials = streams[1 - at].credentials();
            let credentials = credentials.unwrap();
            let remote = RemoteParameters::new(&credentials.ufrag, &credentials.pwd);
            streams[at].set_remote(remote).unwrap();
        }
    }
    for agent in &agents {
        in_time(agent.connected()).await.unwrap();
    }
    for (streams, text) in [(&first, b"first "), (&second, b"second")] {
        let [a, b] = [0, 1].map(|at| streams[at].connection(ComponentId::ONE).unwrap());
        passes(&a, &b, text).await;
        passes(&b, &a, text).await;
    }
}

#[tokio::test]
async fn every_first_byte_passes_and_length_zero_too() {
    let (a, b) = pair(V4, 1).await;
    let (ca, cb) = (connection(&a, 1), connection(&b, 1));
    for first in 0..=255_u8 {
        passes(&ca, &cb, &[first]).await;
        passes(&cb, &ca, &[first; 24]).await;
    }
    passes(&ca, &cb, b"").await;
    passes(&cb, &ca, b"").await;
    assert_eq!(a.stats().unrouted + b.stats().unrouted, 0);
}

#[tokio::test]
async fn batches_pass() {
    let (a, b) = pair(V4, 1).await;
    let (ca, cb) = (connection(&a, 1), connection(&b, 1));
    let datagrams: Vec<u8> = (0..54 * 1_200 + 5).map(|n| (n / 1_200) as u8).collect();
    let mut batch = ReceiveBatch::new();
    for _ in 0..3 {
        in_time(ca.send_batch(&datagrams, 1_200)).await.unwrap();
        let mut count = 0;
        while count < 55 {
            in_time(cb.recv_batch(&mut batch)).await.unwrap();
            for datagram in batch.iter() {
                assert_eq!(Some(datagram), datagrams.chunks(1_200).nth(count));
                count += 1;
            }
        }
    }
    passes(&cb, &ca, b"back").await;
    let error = ca.send_batch(&datagrams, 0).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn datagrams_have_a_largest_size() {
    let (a, b) = pair(V4, 1).await;
    let (ca, cb) = (connection(&a, 1), connection(&b, 1));
    if cfg!(target_os = "linux") {
        assert_eq!(ca.max_datagram_size(), Some(65_507));
    }
    let size = ca.max_datagram_size().unwrap();
    in_time(ca.send(&vec![7; size])).await.unwrap();
    let mut buffer = vec![0; size + 1];
    assert_eq!(in_time(cb.recv(&mut buffer)).await.unwrap(), size);
    let error = ca.send(&vec![7; 65_508]).await.unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::NotConnected);
    passes(&ca, &cb, b"still works").await;
}

#[tokio::test]
async fn nothing_is_sent_before_a_path_exists_and_after_close() {
    let agent = Agent::new(config(Role::Controlling, V4)).unwrap();
    let connection = connection(&agent, 1);
    let error = connection.send(b"early").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    assert_eq!(connection.max_datagram_size(), None);
    in_time(agent.close()).await;
    let error = connection.send(b"late").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    let error = in_time(connection.recv(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert!(matches!(agent.connected().await, Err(AgentError::Closed)));
    assert!(matches!(agent.gather(), Err(AgentError::Closed)));
    assert!(agent.set_remote(RemoteParameters::new("abcd", "0123456789012345678901")).is_err());
    assert_eq!(agent.state(), State::Closed);
    while let Some(event) = in_time(agent.next_event()).await {
        assert!(matches!(event, Event::State { state: State::Closed, .. }), "{event:?}");
    }
}

/// Answers one request as a server behind a NAT would: with an address that
/// the agent does not have, and without FINGERPRINT.
async fn answer_one(socket: tokio::net::UdpSocket, mapped: SocketAddr) {
    let mut buffer = [0; 128];
    let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
    let id = stun::Message::parse(&buffer[..len]).unwrap().transaction_id();
    let mut answer = Vec::new();
    stun::write_mapped_address(id, mapped, false, &mut answer);
    socket.send_to(&answer, from).await.unwrap();
}

#[tokio::test]
async fn a_server_gives_a_server_reflexive_candidate() {
    let mapped: SocketAddr = "198.51.100.7:4000".parse().unwrap();
    let socket = tokio::net::UdpSocket::bind((V4, 0)).await.unwrap();
    let mut config = config(Role::Controlling, V4);
    let uri = format!("stun:{}", socket.local_addr().unwrap());
    config.ice.stun_servers = vec![uri.parse().unwrap()];
    let server = tokio::spawn(answer_one(socket, mapped));
    let (candidates, others) = gathered(&Agent::new(config).unwrap()).await;
    in_time(server).await.unwrap();
    assert_eq!(others, []);
    let [host, reflexive] = &candidates[..] else { panic!("{candidates:?}") };
    assert_eq!((host.kind, reflexive.kind), (Kind::Host, Kind::ServerReflexive));
    assert_eq!((reflexive.address(), reflexive.related), (Some(mapped), host.address()));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_dead_server_are_reported_and_skipped() {
    let server = StunServer::bind(&[SocketAddr::new(V4, 0)]).unwrap();
    let live = format!("stun:{}", server.addresses()[0]);
    let mut config = config(Role::Controlling, V4);
    let uris = ["stun:does-not-exist.invalid", &live];
    config.ice.stun_servers = uris.map(|uri| uri.parse().unwrap()).into();
    let agent = Agent::new(config).unwrap();
    let (candidates, others) = gathered(&agent).await;
    assert_eq!(candidates.len(), 1);
    assert_eq!(server.answered(), 1);
    let [Event::CandidateError { uri, code, cause, .. }] = &others[..] else {
        panic!("{others:?}")
    };
    assert_eq!((&**uri, *code, *cause), (uris[0], 701, Cause::Unresolved));
}

#[tokio::test]
async fn an_address_that_can_not_be_bound_is_skipped() {
    let mut config = config(Role::Controlling, V4);
    config.bind.push(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)));
    config.ice.log = true;
    let agent = Agent::new(config).unwrap();
    let (candidates, _) = gathered(&agent).await;
    let ips: Vec<_> = candidates.iter().filter_map(Candidate::address).map(|a| a.ip()).collect();
    assert_eq!(ips, [V4]);
    let log = agent.log_records();
    let refused = |record: &&floe::agent::LogRecord| {
        matches!(record.what, floe::agent::Happened::SocketRefused { .. })
    };
    assert_eq!(log.iter().filter(refused).count(), 1);
}

#[tokio::test]
async fn a_send_that_the_system_refuses_is_noted_and_harms_nothing() {
    let mut config_a = config(Role::Controlling, V4);
    config_a.ice.remote_policy.allow.push("127.255.255.255".parse().unwrap());
    let a = Agent::new(config_a).unwrap();
    let b = Agent::new(config(Role::Controlled, V4)).unwrap();
    // Broadcast is refused to a socket that did not ask for it. Of the highest
    // priority, so that it is tried first.
    let line = "candidate:9 1 udp 2147483647 127.255.255.255 9 typ host";
    a.add_remote_candidate(&line.parse().unwrap()).unwrap();
    signal(&a, &b).await;
    in_time(a.connected()).await.unwrap();
    let stats = a.stats();
    let refused = stats.pairs[0].1.iter().find(|pair| pair.remote.port == 9).unwrap();
    assert_eq!(refused.error, Some(io::ErrorKind::PermissionDenied));
    passes(&connection(&a, 1), &connection(&b, 1), b"over the other pair").await;
}

#[tokio::test]
async fn a_receive_that_is_cancelled_loses_nothing() {
    let (a, b) = pair(V4, 1).await;
    let (ca, cb) = (connection(&a, 1), connection(&b, 1));
    for n in 0..20_u8 {
        ca.send(&[n]).await.unwrap();
        // Polled once, or a few times, and dropped.
        let mut buffer = [0; 8];
        let received = tokio::select! {
            biased;
            len = cb.recv(&mut buffer) => Some(len.unwrap()),
            () = tokio::task::yield_now() => None,
        };
        let len = match received {
            Some(len) => len,
            None => in_time(cb.recv(&mut buffer)).await.unwrap(),
        };
        assert_eq!(&buffer[..len], [n]);
    }
}

#[tokio::test]
async fn ports_come_out_of_the_range() {
    // The range is where the system just had two ports to give.
    let probe = std::net::UdpSocket::bind((V4, 0)).unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let mut config = config(Role::Controlling, V4);
    config.ports = Some(port..=port);
    let agent = Agent::new(config).unwrap();
    let (candidates, _) = gathered(&agent).await;
    assert_eq!(candidates.iter().map(|c| c.port).collect::<Vec<_>>(), [port]);
}

#[tokio::test]
async fn many_agents_share_one_port() {
    let socket = SharedSocket::bind(SocketAddr::new(V4, 0)).unwrap();
    let mut agents = Vec::new();
    for _ in 0..5 {
        let mut on_socket = config(Role::Controlling, V4);
        on_socket.bind.clear();
        on_socket.sockets = vec![socket.clone()];
        let a = Agent::new(on_socket).unwrap();
        let b = Agent::new(config(Role::Controlled, V4)).unwrap();
        signal(&a, &b).await;
        agents.push((a, b));
    }
    for (a, b) in &agents {
        in_time(a.completed()).await.unwrap();
        in_time(b.completed()).await.unwrap();
        assert_eq!(a.stats().pairs[0].1[0].local.port, socket.local_address().port());
    }
    for (n, (a, b)) in agents.iter().enumerate() {
        passes(&connection(a, 1), &connection(b, 1), &[n as u8]).await;
        passes(&connection(b, 1), &connection(a, 1), &[n as u8]).await;
    }
    // Those that are left do not notice.
    let (a, b) = agents.pop().unwrap();
    drop(agents);
    passes(&connection(&a, 1), &connection(&b, 1), b"left").await;
    passes(&connection(&b, 1), &connection(&a, 1), b"left").await;
    assert_eq!(socket.unrouted(), 0);
}

#[tokio::test]
async fn two_components_can_not_share_a_socket() {
    let socket = SharedSocket::bind(SocketAddr::new(V4, 0)).unwrap();
    let mut config = config(Role::Controlling, V4);
    config.sockets = vec![socket];
    config.components = 2;
    let (candidates, _) = gathered(&Agent::new(config).unwrap()).await;
    assert_eq!(candidates.len(), 1);
    assert!(SharedSocket::bind("0.0.0.0:0".parse().unwrap()).is_err());
}

fn open_sockets() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let is_socket = |fd: &std::fs::DirEntry| {
        std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    fds.filter(is_socket).count()
}

/// Runs the test of this name again in a process of its own; true there.
#[cfg(target_os = "linux")]
fn alone(name: &str) -> bool {
    const ALONE: &str = "FLOE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let status = std::process::Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "1")
        .status();
    assert!(status.unwrap().success());
    false
}

/// In a process of its own tests of this file do not open sockets meanwhile.
#[test]
#[cfg(target_os = "linux")]
fn dropping_the_last_handle_closes_every_socket_and_task() {
    if !alone("dropping_the_last_handle_closes_every_socket_and_task") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The runtime's own sockets, if any, are open now.
        tokio::task::yield_now().await;
        let before = open_sockets();
        let (a, b) = pair(V4, 2).await;
        let connection = connection(&a, 1);
        assert_eq!(open_sockets(), before + 4);
        let metrics = tokio::runtime::Handle::current().metrics();
        assert!(metrics.num_alive_tasks() >= 6);
        drop(b);
        drop(a);
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert_eq!(open_sockets(), before + 2, "a connection is a handle too");
        passes_to_nobody(&connection).await;
        drop(connection);
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert_eq!(open_sockets(), before);
        assert_eq!(metrics.num_alive_tasks(), 0);

        let (a, b) = pair(V4, 1).await;
        a.close().await;
        assert_eq!(open_sockets(), before + 1);
        b.close().await;
        assert_eq!(open_sockets(), before);
    });
}

#[cfg(target_os = "linux")]
async fn passes_to_nobody(connection: &Connection) {
    in_time(connection.send(b"to a socket that is closed")).await.unwrap();
}

/// All that leaves a socket has its traffic class, so answers and data have
/// that of the checks.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn checks_have_the_traffic_class_of_the_settings() {
    use nix::sys::socket::{setsockopt, sockopt};

    let shared = SharedSocket::bind(SocketAddr::new(V4, 0)).unwrap();
    shared.set_traffic_class(TrafficClass::new(34).unwrap()).unwrap();
    for (sockets, class) in [(vec![], 46 << 2), (vec![shared], 34 << 2)] {
        let peer = std::net::UdpSocket::bind((V4, 0)).unwrap();
        setsockopt(&peer, sockopt::IpRecvTos, &true).unwrap();
        let mut config = config(Role::Controlling, V4);
        config.traffic_class = TrafficClass::new(46).unwrap();
        config.sockets = sockets;
        let agent = Agent::new(config).unwrap();
        agent.set_remote(RemoteParameters::new("8hhY", "asd88fgpdd777uzjYhagZg")).unwrap();
        let port = peer.local_addr().unwrap().port();
        let line = format!("candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host");
        agent.add_remote_candidate(&line.parse().unwrap()).unwrap();
        agent.gather().unwrap();
        let check = in_time(tokio::task::spawn_blocking(move || class_of_next(&peer)));
        assert_eq!(check.await.unwrap(), Some(class));
    }
}

/// The traffic class of the next datagram, which is STUN.
#[cfg(target_os = "linux")]
fn class_of_next(socket: &std::net::UdpSocket) -> Option<u8> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg};
    use std::os::fd::AsRawFd;

    socket.set_read_timeout(Some(HANG)).unwrap();
    let (mut bytes, mut control) = ([0; 2_048], nix::cmsg_space!(u8));
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
    let message = recvmsg::<SockaddrIn>(fd, &mut parts, Some(&mut control), flags).unwrap();
    let class = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::Ipv4Tos(class) => Some(class),
        _ => None,
    });
    let len = message.bytes;
    assert!(stun::looks_like_stun(&bytes[..len]));
    class
}
