//! The client of the crate `turn`, which speaks UDP.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};

use crate::{Bench, Leg, PASSWORD, REALM, USER, any};

#[tokio::test]
async fn a_client_of_that_crate_gets_an_address_and_data_through_it() {
    let bench = Bench::new().await;
    let socket = Arc::new(UdpSocket::bind(any()).await.unwrap());
    let server = bench.address(Leg::Udp).to_string();
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.clone(),
        turn_serv_addr: server,
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        realm: REALM.to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn: socket.clone(),
        vnet: None,
    });
    let client = client.await.unwrap();
    client.listen().await.unwrap();
    let mapped = client.send_binding_request().await.unwrap();
    assert_eq!(mapped, socket.local_addr().unwrap());

    use webrtc_util::Conn as _;
    let relay = client.allocate().await.unwrap();
    let relayed = relay.local_addr().unwrap();
    assert_eq!(bench.server.allocations(), 1);
    let peer = UdpSocket::bind(any()).await.unwrap();
    let at = peer.local_addr().unwrap();
    let limit = Duration::from_secs(20);
    // The first goes as an indication; the client binds a channel beside it.
    for n in 0..50_u8 {
        relay.send_to(&[n; 9], at).await.unwrap();
        let mut buffer = [0; 64];
        let received = tokio::time::timeout(limit, peer.recv_from(&mut buffer)).await.unwrap();
        let (len, from) = received.unwrap();
        assert_eq!((&buffer[..len], from), (&[n; 9][..], relayed));
        peer.send_to(&[n; 7], relayed).await.unwrap();
        let received = tokio::time::timeout(limit, relay.recv_from(&mut buffer)).await.unwrap();
        let (len, from) = received.unwrap();
        assert_eq!((&buffer[..len], from), (&[n; 7][..], at));
    }
    relay.close().await.unwrap();
    crate::until("the allocation has ended", || bench.server.allocations() == 0).await;
    client.close().await.unwrap();
}
