//! `webrtc_util::Conn` over a connection, and what runs on it: DTLS and SCTP.

#![allow(clippy::unwrap_used)]

#[path = "adapter/agents.rs"]
#[allow(dead_code, reason = "the tests of QUIC use the rest")]
mod agents;

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use agents::{FRAME, OPENED_BY_BOTH, OPENED_BY_ONE, connected, connection, in_time, strangers};
use async_trait::async_trait;
use bytes::Bytes;
use dtls::config::{ClientAuthType, Config};
use dtls::conn::DTLSConn;
use dtls::crypto::Certificate;
use floe::adapter::webrtc::webrtc_util::{self, Conn};
use floe::agent::Transports;
use floe::{Agent, Connection};
use webrtc_sctp::association::{Association, Config as SctpConfig};
use webrtc_sctp::chunk::chunk_payload_data::PayloadProtocolIdentifier as Payload;
use webrtc_sctp::stream::Stream;

/// Larger than any datagram: SCTP takes it apart and puts it together again.
const LARGE: usize = 60_000;

/// The content type of DTLS alerts (RFC 6347 §4.1).
const ALERT: u8 = 21;

/// DTLS settings that show `own` and take nobody but the owner of `peer`.
fn dtls_config(own: &Certificate, peer: &Certificate) -> Config {
    let expected = peer.certificate[0].to_vec();
    Config {
        certificates: vec![own.clone()],
        client_auth: ClientAuthType::RequireAnyClientCert,
        insecure_skip_verify: true,
        flight_interval: Duration::from_millis(100),
        verify_peer_certificate: Some(Arc::new(move |shown, _| match shown {
            [first] if *first == expected => Ok(()),
            _ => Err(dtls::Error::Other("the certificate is another's".to_owned())),
        })),
        ..Config::default()
    }
}

fn certificates() -> [Certificate; 2] {
    [(); 2].map(|()| Certificate::generate_self_signed(vec!["peer".to_owned()]).unwrap())
}

/// Shakes hands over both; the first is the client.
async fn dtls<C: Conn + Send + Sync + 'static>(conns: [&Arc<C>; 2]) -> [Arc<DTLSConn>; 2] {
    let [a, b] = certificates();
    let client = DTLSConn::new(conns[0].clone(), dtls_config(&a, &b), true, None);
    let server = DTLSConn::new(conns[1].clone(), dtls_config(&b, &a), false, None);
    let (client, server) = in_time(async { tokio::join!(client, server) }).await;
    [client, server].map(|end| Arc::new(end.unwrap()))
}

fn sctp_config(dtls: &Arc<DTLSConn>, name: &str) -> SctpConfig {
    SctpConfig {
        net_conn: dtls.clone(),
        max_receive_buffer_size: 0,
        max_message_size: 0,
        mtu: 0,
        name: name.to_owned(),
        remote_port: 5_000,
        local_port: 5_000,
    }
}

async fn passes(from: &Stream, to: &Stream, message: &[u8]) {
    let message = Bytes::copy_from_slice(message);
    in_time(from.write_sctp(&message, Payload::Binary)).await.unwrap();
    let mut buffer = vec![0; LARGE + 1];
    let (len, kind) = in_time(to.read_sctp(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..len], kind), (&message[..], Payload::Binary));
}

/// Waits until nobody holds it any more.
async fn is_let_go<T>(held: &Weak<T>) {
    in_time(async {
        while held.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dtls_and_sctp_carry_a_stream_both_ways() {
    carry_a_stream(connected(Transports::UDP).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dtls_and_sctp_carry_a_stream_over_a_tcp_connection() {
    carry_a_stream(connected(OPENED_BY_ONE).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dtls_and_sctp_carry_a_stream_over_a_simultaneous_open() {
    carry_a_stream(connected(OPENED_BY_BOTH).await).await;
}

/// Both ways, to its end and beyond.
async fn carry_a_stream(agents: [Agent; 2]) {
    let conns = agents.each_ref().map(|agent| Arc::new(connection(agent)));
    let dtls = dtls([&conns[0], &conns[1]]).await;

    let client = Association::client(sctp_config(&dtls[0], "client"));
    let server = Association::server(sctp_config(&dtls[1], "server"));
    let (client, server) = in_time(async { tokio::join!(client, server) }).await;
    let (client, server) = (client.unwrap(), server.unwrap());

    let ours = client.open_stream(1, Payload::Binary).await.unwrap();
    // A stream is not there for the peer before something comes on it.
    ours.write_sctp(&Bytes::from_static(b"first"), Payload::Binary).await.unwrap();
    let theirs = in_time(server.accept_stream()).await.unwrap();
    let mut buffer = [0; 16];
    let (len, _) = in_time(theirs.read_sctp(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], b"first");
    let large: Vec<u8> = (0..LARGE).map(|n| (n % 251) as u8).collect();
    for message in [&b"small"[..], &large] {
        passes(&ours, &theirs, message).await;
        passes(&theirs, &ours, message).await;
    }

    // From the top down, and each end notices the other's.
    in_time(client.shutdown()).await.unwrap();
    let ended = in_time(theirs.read_sctp(&mut buffer)).await;
    assert!(ended.as_ref().map_or(true, |(len, _)| *len == 0), "{ended:?}");
    in_time(dtls[0].close()).await.unwrap();
    assert!(in_time(Conn::recv(&*dtls[1], &mut buffer)).await.is_err(), "DTLS has ended");
    in_time(dtls[1].close()).await.unwrap();
    drop((ours, theirs, client, server, dtls));

    // The connections outlive it, and nobody else holds on to them.
    let [a, b] = &conns;
    Conn::send(&**a, b"bare again").await.unwrap();
    let mut bare = Vec::new();
    while bare != b"bare again" {
        // The last words of DTLS may have come after it had ended.
        assert!(matches!(bare.first(), None | Some(&ALERT)), "{bare:?}");
        let len = in_time(Conn::recv(&**b, &mut buffer)).await.unwrap();
        bare = buffer[..len].to_vec();
    }
    let held = conns.each_ref().map(Arc::downgrade);
    drop(conns);
    for held in &held {
        is_let_go(held).await;
    }
}

/// What DTLS sends before there is a path is lost, and sent again.
#[tokio::test]
async fn a_handshake_that_starts_before_the_path_exists_is_completed_on_it() {
    for transports in [Transports::UDP, OPENED_BY_ONE, OPENED_BY_BOTH] {
        let agents = strangers(transports);
        let conns = agents.each_ref().map(|agent| Arc::new(connection(agent)));
        // The first flight goes out while the agents gather.
        let (ends, ()) = tokio::join!(dtls([&conns[0], &conns[1]]), agents::connect(&agents));
        ends[0].write(b"there", None).await.unwrap();
        let mut buffer = [0; 16];
        let len = in_time(Conn::recv(&*ends[1], &mut buffer)).await.unwrap();
        assert_eq!(&buffer[..len], b"there");
    }
}

#[tokio::test]
async fn a_peer_with_another_certificate_is_refused() {
    let agents = connected(Transports::UDP).await;
    let [a, b] = agents.each_ref().map(|agent| Arc::new(connection(agent)));
    let ([ours, theirs], [other, _]) = (certificates(), certificates());
    let client = DTLSConn::new(a, dtls_config(&ours, &other), true, None);
    let server = DTLSConn::new(b, dtls_config(&theirs, &ours), false, None);
    let result = in_time(async {
        tokio::select! {
            result = client => result.map(drop),
            result = server => result.map(drop),
        }
    });
    assert!(result.await.is_err());
}

fn kind<T: std::fmt::Debug>(result: webrtc_util::Result<T>) -> io::ErrorKind {
    match result.unwrap_err() {
        webrtc_util::Error::Io(error) => error.0.kind(),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn addresses_are_those_of_the_path_and_closing_leaves_it_open() {
    let agents = strangers(Transports::UDP);
    let [a, b] = agents.each_ref().map(|agent| Box::new(connection(agent)) as Box<dyn Conn>);
    let mut buffer = [0; 16];
    assert_eq!(a.remote_addr(), None);
    assert_eq!(kind(a.local_addr()), io::ErrorKind::NotConnected);
    assert_eq!(a.send(b"early").await.unwrap(), 0);
    assert_eq!(kind(a.recv_from(&mut buffer).await), io::ErrorKind::NotConnected);

    agents::connect(&agents).await;
    let [at_a, at_b] = [&a, &b].map(|conn| conn.local_addr().unwrap());
    assert_eq!((a.remote_addr(), b.remote_addr()), (Some(at_b), Some(at_a)));
    assert_eq!(kind(a.connect(at_b).await), io::ErrorKind::Unsupported);
    let elsewhere = "192.0.2.1:9".parse().unwrap();
    assert_eq!(kind(a.send_to(b"astray", elsewhere).await), io::ErrorKind::AddrNotAvailable);
    assert_eq!(a.send_to(b"to you", at_b).await.unwrap(), 6);
    assert_eq!(in_time(b.recv_from(&mut buffer)).await.unwrap(), (6, at_a));
    assert_eq!(&buffer[..6], b"to you");

    a.close().await.unwrap();
    b.close().await.unwrap();
    assert_eq!(a.send(b"").await.unwrap(), 0);
    assert_eq!(in_time(b.recv(&mut buffer)).await.unwrap(), 0);
    // The system refuses it.
    assert_eq!(a.send(&[0; 65_508]).await.unwrap(), 0);
    assert!(a.as_any().is::<Connection>());
    in_time(agents[0].close()).await;
    assert_eq!(kind(a.send(b"late").await), io::ErrorKind::ConnectionAborted);
}

/// A datagram is a frame, and nothing is cut off or joined.
#[tokio::test]
async fn over_tcp_datagrams_of_every_size_keep_their_ends() {
    for transports in [OPENED_BY_ONE, OPENED_BY_BOTH] {
        let agents = connected(transports).await;
        let [a, b] = agents.each_ref().map(|agent| Arc::new(connection(agent)));
        let mut buffer = vec![0; FRAME + 1];
        for len in [1, 2, 1_200, 1_500, 16_384, FRAME] {
            let datagram = vec![len.to_le_bytes()[0]; len];
            for (from, to) in [(&a, &b), (&b, &a)] {
                assert_eq!(Conn::send(&**from, &datagram).await.unwrap(), len);
                let got = in_time(Conn::recv(&**to, &mut buffer)).await.unwrap();
                assert!(buffer[..got] == datagram, "{got} bytes of {len}");
            }
        }
        // No frame holds it.
        assert_eq!(Conn::send(&*a, &[0; FRAME + 1]).await.unwrap(), 0);
    }
}

/// Counts calls of `recv`, and lets nobody call it without end.
struct Counted {
    inner: Connection,
    calls: AtomicUsize,
}

const TOO_MANY: usize = 1_000;

#[async_trait]
impl Conn for Counted {
    async fn connect(&self, addr: SocketAddr) -> webrtc_util::Result<()> {
        self.inner.connect(addr).await
    }
    async fn recv(&self, buf: &mut [u8]) -> webrtc_util::Result<usize> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= TOO_MANY {
            std::future::pending::<()>().await;
        }
        Conn::recv(&self.inner, buf).await
    }
    async fn recv_from(&self, buf: &mut [u8]) -> webrtc_util::Result<(usize, SocketAddr)> {
        self.inner.recv_from(buf).await
    }
    async fn send(&self, buf: &[u8]) -> webrtc_util::Result<usize> {
        Conn::send(&self.inner, buf).await
    }
    async fn send_to(&self, buf: &[u8], target: SocketAddr) -> webrtc_util::Result<usize> {
        self.inner.send_to(buf, target).await
    }
    fn local_addr(&self) -> webrtc_util::Result<SocketAddr> {
        self.inner.local_addr()
    }
    fn remote_addr(&self) -> Option<SocketAddr> {
        self.inner.remote_addr()
    }
    async fn close(&self) -> webrtc_util::Result<()> {
        Conn::close(&self.inner).await
    }
    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// The reader of `dtls` goes on after an error of the connection beneath.
#[tokio::test]
async fn a_reader_that_does_not_end_at_an_error_is_held_back() {
    let agents = connected(Transports::UDP).await;
    let conns = agents
        .each_ref()
        .map(|agent| Arc::new(Counted { inner: connection(agent), calls: AtomicUsize::new(0) }));
    let _dtls = dtls([&conns[0], &conns[1]]).await;
    for agent in &agents {
        in_time(agent.close()).await;
    }
    assert_eq!(kind(Conn::recv(&conns[0].inner, &mut [0; 8]).await), {
        io::ErrorKind::ConnectionAborted
    });
    let before = conns[0].calls.load(Ordering::Relaxed);
    // Virtual time, which passes only where every task waits.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let calls = conns[0].calls.load(Ordering::Relaxed) - before;
    assert!((5..=11).contains(&calls), "{calls} calls in a second");
}
