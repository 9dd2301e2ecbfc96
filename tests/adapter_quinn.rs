//! QUIC over a connection, by quinn itself, on loopback. Through NATs it goes
//! in the lab.

#![allow(clippy::unwrap_used)]

#[path = "adapter/agents.rs"]
mod agents;
#[path = "adapter/transfer.rs"]
mod transfer;

use std::future::poll_fn;
use std::io::IoSliceMut;
use std::sync::Arc;

use agents::{
    OPENED_BY_BOTH, OPENED_BY_ONE, connect, connected, connection, in_time, restart, strangers,
};
use floe::Agent;
use floe::adapter::quinn::{IceSocket, LOCAL, PEER};
use floe::agent::Transports;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket as _, EndpointConfig, MtuDiscoveryConfig, TransportConfig};
use tokio::runtime::Handle;

const SIZE: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_passes_over_quic() {
    carry_a_file(connected(Transports::UDP).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_passes_over_quic_over_a_tcp_connection() {
    carry_a_file(connected(OPENED_BY_ONE).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_passes_over_quic_over_a_simultaneous_open() {
    carry_a_file(connected(OPENED_BY_BOTH).await).await;
}

async fn carry_a_file(agents: [Agent; 2]) {
    let (client, server) = transfer::settings();
    let ends = [
        transfer::endpoint(connection(&agents[0]), None),
        transfer::endpoint(connection(&agents[1]), Some(server)),
    ];
    assert_eq!(ends[0].local_addr().unwrap(), LOCAL);
    let receiving = Handle::current().spawn({
        let end = ends[1].clone();
        async move {
            let quic = transfer::answer(&end).await;
            assert_eq!(quic.remote_address(), PEER);
            transfer::receive(&quic).await
        }
    });
    let file = transfer::file(SIZE);
    let quic = in_time(transfer::dial(&ends[0], client)).await;
    assert_eq!(in_time(transfer::send(&quic, &file)).await, transfer::checksum(&file));
    let path = quic.stats().path;
    if cfg!(target_os = "linux") {
        assert!(path.current_mtu > 1_400, "QUIC found no more than {}", path.current_mtu);
    }
    quic.close(0_u32.into(), b"done");
    assert_eq!(in_time(receiving).await.unwrap(), SIZE);
    for end in &ends {
        in_time(end.wait_idle()).await;
    }
    assert_eq!(agents.each_ref().map(|agent| agent.stats().unrouted), [0, 0]);
}

/// What QUIC sends before there is a path is lost, and sent again.
#[tokio::test]
async fn a_handshake_that_starts_before_the_path_exists_is_completed_on_it() {
    let agents = strangers(Transports::UDP);
    let (client, server) = transfer::settings();
    let client_end = transfer::endpoint(connection(&agents[0]), None);
    let server_end = transfer::endpoint(connection(&agents[1]), Some(server));
    let dialing = tokio::spawn(async move {
        let quic = transfer::dial(&client_end, client).await;
        (quic, client_end)
    });
    // The first flight goes out, to nowhere, while the agents gather.
    connect(&agents).await;
    let answered = in_time(transfer::answer(&server_end)).await;
    let (dialed, _client_end) = in_time(dialing).await.unwrap();
    dialed.send_datagram(b"there"[..].to_vec().into()).unwrap();
    assert_eq!(in_time(answered.read_datagram()).await.unwrap(), b"there"[..]);
}

/// A new socket on one side, in the middle of a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_moves_the_path_and_quic_sees_one_peer() {
    restart_in_a_file(connected(Transports::UDP).await).await;
}

/// A new connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_moves_the_path_over_tcp_too() {
    restart_in_a_file(connected(OPENED_BY_ONE).await).await;
}

async fn restart_in_a_file(agents: [Agent; 2]) {
    for agent in &agents {
        in_time(agent.completed()).await.unwrap();
    }
    let ends = agents.each_ref().map(connection);
    let before = ends[0].local_address();
    assert_eq!(ends[1].remote_address(), before);
    let (client, server) = transfer::settings();
    let client_end = transfer::endpoint(ends[0].clone(), None);
    let server_end = transfer::endpoint(ends[1].clone(), Some(server));
    let receiving = tokio::spawn({
        let end = server_end.clone();
        async move {
            let quic = transfer::answer(&end).await;
            let first = transfer::receive_one(&quic).await;
            let second = transfer::receive(&quic).await;
            (first, second, quic.remote_address())
        }
    });
    let quic = in_time(transfer::dial(&client_end, client)).await;
    let file = transfer::file(SIZE);
    let (sum, ()) =
        in_time(async { tokio::join!(transfer::send(&quic, &file), restart(&agents)) }).await;
    assert_eq!(sum, transfer::checksum(&file));
    let after = ends[0].local_address();
    assert_ne!(after, before, "the path leaves from another socket");
    assert_eq!(ends[1].remote_address(), after);
    assert_eq!(in_time(transfer::send(&quic, b"after it")).await, transfer::checksum(b"after it"));
    assert_eq!(quic.remote_address(), PEER);
    quic.close(0_u32.into(), b"done");
    assert_eq!(in_time(receiving).await.unwrap(), (SIZE, 8, PEER));
}

/// QUIC's own limit is eight bytes below a frame's. A batch of such packets
/// never exceeds what the connection takes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_quic_finds_out_that_packets_may_be_large() {
    const PACKET: u16 = 65_527;
    const ROUNDS: usize = 20;
    let agents = connected(OPENED_BY_ONE).await;
    let (mut client, server) = transfer::settings();
    let (mut settings, mut search) = (TransportConfig::default(), MtuDiscoveryConfig::default());
    search.upper_bound(PACKET);
    settings.mtu_discovery_config(Some(search));
    client.transport_config(Arc::new(settings));
    let client_end = transfer::endpoint(connection(&agents[0]), None);
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(PACKET).unwrap();
    let server_end = transfer::endpoint_with(connection(&agents[1]), Some(server), config);
    let receiving = tokio::spawn(async move {
        let quic = transfer::answer(&server_end).await;
        for _ in 0..ROUNDS {
            assert_eq!(transfer::receive_one(&quic).await, SIZE);
        }
        quic.closed().await;
    });
    let file = transfer::file(SIZE);
    let quic = in_time(transfer::dial(&client_end, client)).await;
    for _ in 0..ROUNDS {
        assert_eq!(in_time(transfer::send(&quic, &file)).await, transfer::checksum(&file));
    }
    let path = quic.stats().path;
    assert!(path.current_mtu > 60_000, "{path:?}");
    quic.close(0_u32.into(), b"done");
    in_time(receiving).await.unwrap();
}

#[tokio::test]
async fn closing_the_agent_ends_the_endpoint() {
    let agents = connected(Transports::UDP).await;
    let (client, server) = transfer::settings();
    let client_end = transfer::endpoint(connection(&agents[0]), None);
    let server_end = transfer::endpoint(connection(&agents[1]), Some(server));
    let (dialed, answered) = in_time(async {
        tokio::join!(transfer::dial(&client_end, client), transfer::answer(&server_end))
    })
    .await;
    let waiting = tokio::spawn(async move { dialed.accept_uni().await.map(drop) });
    in_time(agents[0].close()).await;
    // quinn does not keep to one word for it.
    assert!(in_time(waiting).await.unwrap().is_err());
    assert!(in_time(client_end.accept()).await.is_none());
    // The other end only sees that nothing comes any more.
    assert!(answered.close_reason().is_none());
}

fn transmit(contents: &[u8], segment_size: Option<usize>) -> Transmit<'_> {
    Transmit { destination: PEER, ecn: None, contents, segment_size, src_ip: None }
}

/// Receives once into `slots` buffers.
async fn receive(socket: &IceSocket, slots: usize) -> Vec<(RecvMeta, Vec<u8>)> {
    let mut memory = vec![[0_u8; 2_048]; slots];
    let mut metas = vec![RecvMeta::default(); slots];
    let mut buffers: Vec<_> = memory.iter_mut().map(|slot| IoSliceMut::new(slot)).collect();
    let receiving = poll_fn(|cx| socket.poll_recv(cx, &mut buffers, &mut metas));
    let count = in_time(receiving).await.unwrap();
    let got = metas.into_iter().zip(memory).take(count);
    got.map(|(meta, slot)| (meta, slot[..meta.len].to_vec())).collect()
}

async fn writable(socket: &Arc<IceSocket>) {
    let mut poller = socket.clone().create_io_poller();
    in_time(poll_fn(|cx| poller.as_mut().poll_writable(cx))).await.unwrap();
}

#[tokio::test]
async fn batches_come_apart_and_fill_the_buffers_that_there_are() {
    let agents = connected(Transports::UDP).await;
    let [a, b] = agents.each_ref().map(|agent| Arc::new(IceSocket::new(connection(agent))));
    let batch: Vec<u8> = (0..4 * 1_200 + 7).map(|n| (n / 1_200) as u8).collect();
    writable(&a).await;
    if cfg!(target_os = "linux") {
        assert!(a.max_transmit_segments() > 1);
        assert!(!a.may_fragment());
    }
    a.try_send(&transmit(&batch, Some(1_200))).unwrap();
    a.try_send(&transmit(b"alone", None)).unwrap();
    let mut got = Vec::new();
    while got.len() < 6 {
        let some = receive(&b, 2).await;
        assert!(!some.is_empty() && some.len() <= 2);
        got.extend(some);
    }
    assert!(
        got.iter().all(|(meta, bytes)| {
            (meta.addr, meta.stride, meta.ecn) == (PEER, bytes.len(), None)
        })
    );
    let expected: Vec<&[u8]> = batch.chunks(1_200).chain([&b"alone"[..]]).collect();
    assert!(got.iter().map(|(_, bytes)| &bytes[..]).eq(expected));
}

#[tokio::test]
async fn without_a_path_or_for_somebody_else_a_packet_is_lost_and_nobody_waits() {
    let agents = strangers(Transports::UDP);
    let socket = Arc::new(IceSocket::new(connection(&agents[0])));
    assert!(socket.may_fragment());
    assert_eq!(socket.max_transmit_segments(), 1);
    for segment_size in [None, Some(1)] {
        writable(&socket).await;
        socket.try_send(&transmit(b"early", segment_size)).unwrap();
    }
    connect(&agents).await;
    writable(&socket).await;
    let elsewhere = "192.0.2.1:9".parse().unwrap();
    socket.try_send(&Transmit { destination: elsewhere, ..transmit(b"astray", None) }).unwrap();
    // Larger than the link: the system refuses it.
    socket.try_send(&transmit(&[0; 65_508], None)).unwrap();
    socket.try_send(&transmit(b"for you", None)).unwrap();
    let got = receive(&IceSocket::new(connection(&agents[1])), 4).await;
    assert!(got.iter().map(|(_, bytes)| &bytes[..]).eq([b"for you"]));
    // After the agent was closed only receiving tells it.
    in_time(agents[0].close()).await;
    writable(&socket).await;
    socket.try_send(&transmit(b"late", None)).unwrap();
    let mut buffer = [0; 8];
    let receiving = poll_fn(|cx| {
        socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut [RecvMeta::default()])
    });
    let error = in_time(receiving).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
}
