//! What is relayed, both ways, on each leg.

use std::net::SocketAddr;

use floe::stun::{AttributeType, Method};
use tokio::net::UdpSocket;

use crate::{Bench, LEGS, Leg, any, until};

async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(any()).await.unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

async fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let received = socket.recv_from(&mut buffer);
    let limit = std::time::Duration::from_secs(20);
    let (len, from) = tokio::time::timeout(limit, received).await.unwrap().unwrap();
    (buffer[..len].to_vec(), from)
}

#[tokio::test]
async fn indications_and_channels_carry_data_both_ways() {
    let bench = Bench::new().await;
    let mut clients = Vec::new();
    for leg in LEGS {
        let (socket, at) = peer().await;
        let mut client = bench.client(leg).await;
        let relayed = client.allocate().await;
        assert_eq!(client.permit(&[at]).await, 0, "{leg:?}");
        // Lengths that need padding, and one of nothing.
        for data in [&b"four"[..], b"fives", b"", b"some more"] {
            client.indicate(at, data).await;
            assert_eq!(next(&socket).await, (data.to_vec(), relayed), "{leg:?}");
            socket.send_to(data, relayed).await.unwrap();
            assert_eq!(client.data().await, (Err(at), data.to_vec()), "{leg:?}");
        }
        assert_eq!(client.bind(0x4123, at).await, 0, "{leg:?}");
        for data in [&b"four"[..], b"fives", b"", b"some more"] {
            client.send_on(0x4123, data).await;
            assert_eq!(next(&socket).await, (data.to_vec(), relayed), "{leg:?}");
            socket.send_to(data, relayed).await.unwrap();
            assert_eq!(client.data().await, (Ok(0x4123), data.to_vec()), "{leg:?}");
        }
        clients.push(client);
    }
    assert_eq!(bench.server.allocations(), LEGS.len());
}

/// The same over IPv6, for who asks for such an address.
#[tokio::test]
async fn ipv6_is_relayed_from_ipv6() {
    let mut config = crate::config();
    config.listen = vec!["[::1]:0".parse().unwrap()];
    let bench = Bench::with(config).await;
    let family = |family: u8| {
        let transport = (AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0]);
        [transport, (AttributeType::REQUESTED_ADDRESS_FAMILY, vec![family, 0, 0, 0])]
    };
    for leg in [Leg::Udp, Leg::Tcp] {
        let mut client = bench.client(leg).await;
        assert_eq!(client.ask(Method::ALLOCATE, &family(1)).await.code, 401);
        assert_eq!(client.ask(Method::ALLOCATE, &family(1)).await.code, 440, "{leg:?}");
        let answer = client.ask(Method::ALLOCATE, &family(2)).await;
        assert_eq!(answer.message().xor_mapped_address(), Some(client.local));
        let relayed = answer.message().xor_relayed_address().unwrap();
        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        assert_eq!(client.permit(&[at, "[::1]:1".parse().unwrap()]).await, 0, "{leg:?}");
        assert_eq!(client.permit(&[any()]).await, 443, "{leg:?}");
        client.indicate(at, b"six").await;
        assert_eq!(next(&socket).await, (b"six".to_vec(), relayed), "{leg:?}");
        assert_eq!(client.bind(0x4000, at).await, 0, "{leg:?}");
        socket.send_to(b"six", relayed).await.unwrap();
        assert_eq!(client.data().await, (Ok(0x4000), b"six".to_vec()), "{leg:?}");
    }
}

#[tokio::test]
async fn every_address_of_a_permission_is_honoured() {
    let bench = Bench::new().await;
    let mut client = bench.client(Leg::Udp).await;
    let relayed = client.allocate().await;
    let sockets: Vec<_> = ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"]
        .map(|at| std::net::UdpSocket::bind(at).unwrap())
        .into();
    let at: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    assert_eq!(client.permit(&at).await, 0);
    for (socket, at) in sockets.iter().zip(at) {
        socket.send_to(at.to_string().as_bytes(), relayed).unwrap();
        assert_eq!(client.data().await, (Err(at), at.to_string().into_bytes()));
    }
}

#[tokio::test]
async fn nobody_without_a_permission_is_heard_or_reached() {
    let bench = Bench::new().await;
    let mut client = bench.client(Leg::Udp).await;
    let relayed = client.allocate().await;
    let stranger = UdpSocket::bind("127.0.0.9:0").await.unwrap();
    let (socket, at) = peer().await;
    stranger.send_to(b"stranger", relayed).await.unwrap();
    client.indicate(stranger.local_addr().unwrap(), b"to a stranger").await;
    assert_eq!(client.permit(&[at]).await, 0);
    // What is sent behind arrives, and first.
    socket.send_to(b"peer", relayed).await.unwrap();
    assert_eq!(client.data().await, (Err(at), b"peer".to_vec()));
    client.indicate(at, b"to the peer").await;
    assert_eq!(next(&socket).await.0, b"to the peer");
    let mut buffer = [0; 64];
    let nothing = stranger.try_recv_from(&mut buffer).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn two_clients_meet_on_the_relays_own_address() {
    let mut config = crate::config();
    config.peers.allow_loopback = false;
    let bench = Bench::with(config).await;
    let (mut one, mut two) = (bench.client(Leg::Udp).await, bench.client(Leg::Tcp).await);
    let (at_one, at_two) = (one.allocate().await, two.allocate().await);
    assert_eq!((one.permit(&[at_two]).await, two.permit(&[at_one]).await), (0, 0));
    one.indicate(at_two, b"to two").await;
    assert_eq!(two.data().await, (Err(at_one), b"to two".to_vec()));
    two.indicate(at_one, b"to one").await;
    assert_eq!(one.data().await, (Err(at_two), b"to one".to_vec()));
}

#[tokio::test]
async fn an_allocation_ends_with_a_lifetime_of_zero_and_with_its_connection() {
    let bench = Bench::new().await;
    let lifetime = |seconds: u32| [(AttributeType::LIFETIME, seconds.to_be_bytes().to_vec())];
    for leg in LEGS {
        let mut client = bench.client(leg).await;
        let relayed = client.allocate().await;
        let answer = client.ask(Method::REFRESH, &lifetime(1_200)).await;
        assert_eq!(answer.message().lifetime().map(|time| time.as_secs()), Some(1_200));
        let answer = client.ask(Method::REFRESH, &lifetime(0)).await;
        assert_eq!((answer.code, answer.message().lifetime().unwrap().as_secs()), (0, 0));
        until("the relay's socket is closed", || std::net::UdpSocket::bind(relayed).is_ok()).await;
        assert_eq!(client.ask(Method::REFRESH, &lifetime(600)).await.code, 437);
        assert_eq!(bench.server.allocations(), 0, "{leg:?}");
    }
    for leg in [Leg::Tcp, Leg::Tls] {
        let mut client = bench.client(leg).await;
        let relayed = client.allocate().await;
        assert_eq!(bench.server.allocations(), 1, "{leg:?}");
        drop(client);
        until("the allocation has ended", || bench.server.allocations() == 0).await;
        until("the relay's socket is closed", || std::net::UdpSocket::bind(relayed).is_ok()).await;
    }
}

/// A client that says nothing more: only the server's clock ends it.
#[tokio::test]
async fn an_allocation_that_is_not_refreshed_ends() {
    let mut config = crate::config();
    config.limits.lifetime = std::time::Duration::from_secs(1);
    let bench = Bench::with(config).await;
    let mut client = bench.client(Leg::Udp).await;
    let relayed = client.allocate().await;
    assert!(std::net::UdpSocket::bind(relayed).is_err());
    until("the relay's socket is closed", || std::net::UdpSocket::bind(relayed).is_ok()).await;
    let transport = [(AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
    assert_eq!(client.ask(Method::ALLOCATE, &transport).await.code, 0, "and makes room");
}

#[tokio::test]
async fn it_ends_when_it_is_dropped() {
    let bench = Bench::new().await;
    let mut client = bench.client(Leg::Tcp).await;
    let relayed = client.allocate().await;
    let addresses = [bench.address(Leg::Udp), bench.address(Leg::Tls)];
    drop(bench);
    assert!(client.receive().await.is_none(), "connections end with it");
    until("all sockets are closed", || {
        std::net::UdpSocket::bind(relayed).is_ok()
            && std::net::UdpSocket::bind(addresses[0]).is_ok()
            && addresses.iter().all(|at| std::net::TcpStream::connect(at).is_err())
    })
    .await;
}
