//! The client of these tests against coturn: what it asks of our server is
//! what it asks of another.

use std::sync::Arc;

use floe::stun::{AttributeType, Method};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::client::Client;
use crate::coturn::{self, Coturn, Options};
use crate::{LEGS, Leg, any, trusting};

async fn client(coturn: &Coturn, leg: Leg) -> Client {
    let certificate = CertificateDer::from_pem_slice(coturn.certificate_pem.as_bytes()).unwrap();
    let server = match leg {
        Leg::Udp | Leg::Tcp => coturn.address,
        Leg::Tls => coturn.tls_address,
    };
    assert_eq!((coturn::USER, coturn::PASSWORD), (crate::USER, crate::PASSWORD));
    assert_eq!(coturn::REALM, crate::REALM);
    Client::new(leg, server, Arc::new(trusting(certificate))).await
}

#[tokio::test]
async fn coturn_relays_on_every_leg() {
    let Some(coturn) = Coturn::start(&Options::default()) else { return };
    for leg in LEGS {
        let mut client = client(&coturn, leg).await;
        let relayed = client.allocate().await;
        let peer = tokio::net::UdpSocket::bind(any()).await.unwrap();
        let at = peer.local_addr().unwrap();
        assert_eq!(client.bind(0x4001, at).await, 0, "{leg:?}");
        client.send_on(0x4001, b"hello").await;
        let mut buffer = [0; 64];
        let (len, from) = peer.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..len], from), (&b"hello"[..], relayed), "{leg:?}");
        peer.send_to(b"world", relayed).await.unwrap();
        assert_eq!(client.data().await, (Ok(0x4001), b"world".to_vec()), "{leg:?}");
    }
}

#[tokio::test]
async fn the_options_reach_coturn() {
    let options = Options { max_allocate_lifetime: Some(700), ..Options::default() };
    let Some(coturn) = Coturn::start(&options) else { return };
    let mut one = client(&coturn, Leg::Udp).await;
    one.allocate().await;
    let lifetime = [(AttributeType::LIFETIME, 3_000_u32.to_be_bytes().to_vec())];
    let answer = one.ask(Method::REFRESH, &lifetime).await;
    assert_eq!(answer.message().lifetime().map(|time| time.as_secs()), Some(700));
    let elsewhere = "127.0.0.1:9".parse().unwrap();
    let options = Options { alternate_server: Some(elsewhere), ..Options::default() };
    let Some(coturn) = Coturn::start(&options) else { return };
    let mut one = client(&coturn, Leg::Udp).await;
    let transport = [(AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
    let mut answer = one.ask(Method::ALLOCATE, &transport).await;
    if answer.code == 401 {
        answer = one.ask(Method::ALLOCATE, &transport).await;
    }
    assert_eq!((answer.code, answer.message().alternate_server()), (300, Some(elsewhere)));
}
