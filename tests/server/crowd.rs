//! Many clients that are none.

use std::net::{Ipv4Addr, SocketAddr};

use floe::stun::{Class, Message, Method, TransactionId};
use tokio::net::{TcpSocket, TcpStream};

use crate::{Bench, Leg};

/// Connections that never say anything: each source has its share of them,
/// and who says something is served beside them.
#[tokio::test]
async fn connections_that_never_send_keep_nobody_out() {
    let bench = Bench::new().await;
    for leg in [Leg::Tcp, Leg::Tls] {
        let (server, dropped) = (bench.address(leg), bench.server.dropped());
        let mut silent: Vec<TcpStream> = Vec::new();
        for n in 0..1_000_u32 {
            let socket = TcpSocket::new_v4().unwrap();
            let from = Ipv4Addr::from_bits(0x7f00_0100 + n / 100);
            socket.bind(SocketAddr::from((from, 0))).unwrap();
            // One that is refused may be so before it is known to be open.
            match socket.connect(server).await {
                Ok(stream) => silent.push(stream),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
            }
        }
        let mut client = bench.client(leg).await;
        client.allocate().await;
        // Of the hundred of an address those beyond its share were refused.
        let refused = bench.server.dropped() - dropped;
        assert_eq!(refused, 10 * (100 - 64), "{leg:?}");
        let mut waiting = 0;
        for stream in &mut silent {
            let mut byte = [0];
            match stream.try_read(&mut byte) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => waiting += 1,
                end => assert!(!matches!(end, Ok(1..)), "{leg:?}: nothing is said"),
            }
        }
        assert!(waiting >= 10 * 64, "{leg:?}: {waiting}");
        drop(client);
        crate::until("the allocation has ended", || bench.server.allocations() == 0).await;
    }
}

/// Requests without credentials from many addresses over a real socket; each
/// is answered, and nothing is kept.
#[tokio::test]
async fn requests_from_many_addresses_make_no_allocation() {
    const SOURCES: u32 = 2_000;
    let bench = Bench::new().await;
    let mut client = bench.client(Leg::Udp).await;
    let transport = [(floe::stun::AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
    let (_, request) = client.request(Method::ALLOCATE, &transport);
    let mut buffer = [0; 256];
    for n in 0..SOURCES {
        let from = Ipv4Addr::from_bits(0x7f10_0000 + n);
        let socket = tokio::net::UdpSocket::bind((from, 0)).await.unwrap();
        socket.send_to(&request, bench.address(Leg::Udp)).await.unwrap();
        let (len, _) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = Message::parse(&buffer[..len]).unwrap();
        assert_eq!((answer.class(), answer.error().unwrap().code), (Class::Error, 401));
        assert_ne!(answer.transaction_id(), TransactionId([0; 12]));
    }
    assert_eq!((bench.server.answered(), bench.server.allocations()), (SOURCES.into(), 0));
}
