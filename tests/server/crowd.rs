//! Many clients that are none.

use std::net::{Ipv4Addr, SocketAddr};

use floe::stun::{Class, Message, Method, TransactionId};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::{Bench, Leg};

/// Connections that never say anything: each source has its share of them,
/// and who says something is served beside them.
#[tokio::test]
async fn connections_that_never_send_keep_nobody_out() {
    let bench = Bench::new().await;
    for leg in [Leg::Tcp, Leg::Tls] {
        let server = bench.address(leg);
        let mut silent: Vec<TcpStream> = Vec::new();
        for n in 0..1_000_u32 {
            let socket = TcpSocket::new_v4().unwrap();
            let from = Ipv4Addr::from_bits(0x7f00_0100 + n / 100);
            socket.bind(SocketAddr::from((from, 0))).unwrap();
            silent.push(socket.connect(server).await.unwrap());
        }
        let mut client = bench.client(leg).await;
        client.allocate().await;
        // Of the hundred of an address some were refused, the first ones not.
        let mut byte = [0];
        for (n, stream) in silent.iter_mut().enumerate().filter(|(n, _)| n % 100 == 99) {
            assert!(!matches!(stream.read(&mut byte).await, Ok(1..)), "{n}");
        }
        let first = silent[0].try_read(&mut byte).unwrap_err();
        assert_eq!(first.kind(), std::io::ErrorKind::WouldBlock, "{leg:?}");
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
