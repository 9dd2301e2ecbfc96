//! Credentials, peers and limits, as a client meets them.

use std::net::SocketAddr;

use floe::server::{TurnServer, TurnServerConfig};
use floe::stun::{AttributeType, Method};

use crate::{Bench, LEGS, Leg, config};

#[tokio::test]
async fn wrong_credentials_are_refused_on_every_leg() {
    let bench = Bench::new().await;
    for leg in LEGS {
        let mut client = bench.client(leg).await;
        client.user = "eve".to_owned();
        assert_eq!(client.try_allocate().await.code, 401, "{leg:?}: no such user");
        let mut client = bench.client(leg).await;
        client.password = "guess".to_owned();
        assert_eq!(client.try_allocate().await.code, 401, "{leg:?}: wrong password");
    }
    assert_eq!(bench.server.allocations(), 0);
}

#[tokio::test]
async fn a_nonce_is_of_use_to_its_client_for_a_while() {
    let mut config = config();
    config.nonce_lifetime = std::time::Duration::from_secs(2);
    let bench = Bench::with(config).await;
    let (mut one, mut two) = (bench.client(Leg::Udp).await, bench.client(Leg::Tcp).await);
    one.allocate().await;
    let first = one.nonce.clone();
    // Another client's, and one that nobody gave.
    two.nonce.clone_from(&first);
    assert_eq!(two.ask(Method::REFRESH, &[]).await.code, 438);
    two.nonce = Some(b"made up".to_vec());
    assert_eq!(two.ask(Method::REFRESH, &[]).await.code, 438);
    assert_eq!(two.ask(Method::REFRESH, &[]).await.code, 437, "with the nonce that came");
    // Its own goes stale; the allocation outlives it.
    let mut codes = Vec::new();
    while codes.last() != Some(&438) {
        codes.push(one.ask(Method::REFRESH, &[]).await.code);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(codes.iter().all(|code| [0, 438].contains(code)), "{codes:?}");
    assert_ne!(one.nonce, first);
    assert_eq!(one.ask(Method::REFRESH, &[]).await.code, 0);
}

#[tokio::test]
async fn peers_inside_are_refused_by_default() {
    let mut config = config();
    config.peers.allow_loopback = false;
    let bench = Bench::with(config).await;
    let mut client = bench.client(Leg::Udp).await;
    client.allocate().await;
    let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
    for inside in [
        "127.0.0.2:9",
        "10.0.0.1:9",
        "192.168.0.1:9",
        "169.254.169.254:80",
        "224.0.0.1:9",
        "0.0.0.0:9",
    ] {
        assert_eq!(client.permit(&[at(inside)]).await, 403, "{inside}");
        assert_eq!(client.permit(&[at("192.0.2.1:9"), at(inside)]).await, 403, "{inside}");
        assert_eq!(client.bind(0x4000, at(inside)).await, 403, "{inside}");
    }
    assert_eq!(client.permit(&[at("192.0.2.1:9")]).await, 0);
    assert_eq!(client.bind(0x4000, at("192.0.2.1:9")).await, 0);
}

#[tokio::test]
async fn the_servers_own_sockets_are_never_a_peer() {
    let bench = Bench::new().await;
    let mut client = bench.client(Leg::Udp).await;
    client.allocate().await;
    let own = bench.address(Leg::Udp);
    assert_eq!(client.bind(0x4000, own).await, 403);
    // Its address may have other peers; what is sent to the socket is lost.
    assert_eq!(client.permit(&[own]).await, 0);
    let answered = bench.server.answered();
    let mut request = Vec::new();
    floe::stun::write_binding_request(floe::stun::TransactionId([1; 12]), &mut request);
    client.indicate(own, &request).await;
    assert_eq!(client.permit(&[own]).await, 0, "all before it was handled");
    assert_eq!(bench.server.answered(), answered + 1);
}

#[tokio::test]
async fn a_user_and_an_address_have_their_share() {
    let mut config = config();
    config.limits.allocations_per_ip = 2;
    let bench = Bench::with(config).await;
    let mut clients = Vec::new();
    for leg in [Leg::Udp, Leg::Tcp] {
        let mut client = bench.client(leg).await;
        client.allocate().await;
        clients.push(client);
    }
    let mut third = bench.client(Leg::Tls).await;
    assert_eq!(third.try_allocate().await.code, 486);
    drop(clients.pop());
    crate::until("the second has ended", || bench.server.allocations() == 1).await;
    let transport = [(AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
    assert_eq!(third.ask(Method::ALLOCATE, &transport).await.code, 0);
}

#[tokio::test]
async fn relay_ports_come_from_the_range_and_run_out() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let mut config = config();
    config.relay_ports = Some(port..=port);
    let bench = Bench::with(config).await;
    let mut client = bench.client(Leg::Udp).await;
    assert_eq!(client.try_allocate().await.code, 508, "the port is taken");
    drop(free);
    let transport = [(AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
    let answer = client.ask(Method::ALLOCATE, &transport).await;
    assert_eq!(answer.message().xor_relayed_address().map(|at| at.port()), Some(port));
}

#[tokio::test]
async fn what_cannot_be_is_said_at_once() {
    let nothing = TurnServerConfig::default();
    let mut unspecified = config();
    unspecified.listen = vec!["0.0.0.0:0".parse().unwrap()];
    let mut nameless = config();
    nameless.users[0].name.clear();
    for config in [nothing, unspecified, nameless] {
        let error = TurnServer::bind(config).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    let bench = Bench::new().await;
    let mut taken = config();
    taken.listen = vec![bench.address(Leg::Udp)];
    let error = TurnServer::bind(taken).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
