//! What a program would write by hand once it has a channel.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use floe::rng::{Rng, Seed};
use floe::stun::Message;
use floe::timer::Time;
use floe::turn::{Client, Event, Secrets, Settings, channel};
use tokio::net::UdpSocket;

use crate::channel::{Channel, Error};
use crate::coturn::{PASSWORD, USER};

/// One end: the client of the server, or the peer.
#[derive(Clone)]
pub(crate) struct Hand {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    number: u16,
}

/// A client with a channel to a peer.
pub(crate) async fn connected(server: SocketAddr) -> Result<[Hand; 2], Error> {
    let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let peer = b.local_addr()?;
    let secrets = Secrets { username: USER.into(), password: PASSWORD.into() };
    let mut client = Client::new(Settings::new(secrets));
    let mut rng = Rng::new(&Seed::from_number(1));
    let (start, mut bytes, mut buffer) = (Instant::now(), Vec::new(), [0; 2_048]);
    let now = || Time::from_millis(0) + start.elapsed();
    client.start(now(), &mut rng);
    let mut number = None;
    while number.is_none() {
        while client.poll_request(&mut bytes).is_some() {
            a.send_to(&bytes, server).await?;
        }
        let wait = tokio::time::timeout(Duration::from_millis(10), a.recv_from(&mut buffer));
        if let Ok(received) = wait.await {
            let message = Message::parse(&buffer[..received?.0])?;
            client.handle_message(&message, now(), &mut rng);
        }
        client.handle_timeout(now(), &mut rng);
        while let Some(event) = client.poll_event() {
            match event {
                Event::Allocated { .. } => client.bind_channel(peer, now(), &mut rng),
                Event::ChannelBound { number: bound, .. } => number = Some(bound),
                Event::Failed(failure) => return Err(failure.to_string().into()),
                _ => {}
            }
        }
    }
    let number = number.unwrap_or_default();
    // The allocation outlives the measurement: it lasts ten minutes.
    let a = Hand { socket: a.into(), to: server, number };
    Ok([a, Hand { socket: b.into(), to: server, number: 0 }])
}

impl Channel for Hand {
    async fn send(&self, datagram: &[u8]) -> Result<(), Error> {
        let head = channel::header(self.number, datagram.len()).ok_or("too long")?;
        let mut wrapped = [0; 1_500];
        wrapped[..4].copy_from_slice(&head);
        wrapped[4..4 + datagram.len()].copy_from_slice(datagram);
        self.socket.send_to(&wrapped[..4 + datagram.len()], self.to).await?;
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.socket.recv_from(buffer).await?.0)
    }
}
