//! The client of the crate `turn`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

use crate::channel::{Channel, Error};
use crate::coturn::{PASSWORD, REALM, USER};

/// One end: the client of the server, or the peer.
#[derive(Clone)]
pub(crate) enum Rival {
    Client { relay: Arc<dyn Conn + Send + Sync>, to: SocketAddr, _client: Arc<Client> },
    Peer(Arc<UdpSocket>),
}

/// A client with a channel to a peer.
pub(crate) async fn connected(server: SocketAddr) -> Result<[Rival; 2], Error> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let to = peer.local_addr()?;
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        realm: REALM.to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn: socket,
        vnet: None,
    });
    let client = client.await?;
    client.listen().await?;
    let relay = client.allocate().await?;
    let (client, relay) = (Arc::new(client), Arc::new(relay));
    // The first goes as an indication; the client binds a channel beside it.
    let mut buffer = [0; 64];
    for _ in 0..20 {
        relay.send_to(b"x", to).await?;
        peer.recv_from(&mut buffer).await?;
        tokio::task::yield_now().await;
    }
    Ok([Rival::Client { relay, to, _client: client }, Rival::Peer(peer.into())])
}

impl Channel for Rival {
    async fn send(&self, datagram: &[u8]) -> Result<(), Error> {
        match self {
            Rival::Client { relay, to, .. } => drop(relay.send_to(datagram, *to).await?),
            Rival::Peer(_) => return Err("the peer only receives".into()),
        }
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        match self {
            Rival::Peer(socket) => Ok(socket.recv_from(buffer).await?.0),
            Rival::Client { .. } => Err("the client only sends".into()),
        }
    }
}
