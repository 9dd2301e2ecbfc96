//! Permissions at coturn, without a channel, which would keep them there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use floe::rng::{Rng, Seed};
use floe::stun::Message;
use floe::timer::Time;
use floe::turn::{Client, Secrets, Settings, Unwrapped};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::HANG;
use crate::coturn::{Coturn, Options, PASSWORD, USER};

/// How long coturn keeps a permission here, in seconds.
const KEPT: u32 = 4;

/// A client with a socket, and a peer that it wants to hear.
struct Pair {
    socket: UdpSocket,
    server: SocketAddr,
    client: Client,
    rng: Rng,
    start: Instant,
    peer: UdpSocket,
}

impl Pair {
    /// With a permission, which the client takes to last so long.
    async fn permitted(server: SocketAddr, lifetime: Duration) -> Pair {
        let secrets = Secrets { username: USER.into(), password: PASSWORD.into() };
        let settings = Settings { permission_lifetime: lifetime, ..Settings::new(secrets) };
        let mut pair = Pair {
            socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            server,
            client: Client::new(settings),
            rng: Rng::new(&Seed::from_number(1)),
            start: Instant::now(),
            peer: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        };
        pair.client.start(pair.now(), &mut pair.rng);
        pair.client.permit(Ipv4Addr::LOCALHOST.into(), pair.now(), &mut pair.rng);
        let deadline = Instant::now() + HANG;
        while !pair.client.is_permitted(Ipv4Addr::LOCALHOST.into()) {
            assert!(Instant::now() < deadline, "there is no permission");
            pair.step(deadline).await;
        }
        pair
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Waits for one message of the server, or until something is due; the
    /// number that the peer sent.
    async fn step(&mut self, until: Instant) -> Option<u32> {
        let mut bytes = Vec::new();
        while self.client.poll_request(&mut bytes).is_some() {
            self.socket.send_to(&bytes, self.server).await.unwrap();
        }
        let due = self.client.poll_timeout();
        let due = due.map_or(until, |due| self.start + due.since_epoch());
        let mut buffer = [0; 2_048];
        let mut heard = None;
        if let Ok(received) = timeout_at(due.min(until), self.socket.recv_from(&mut buffer)).await {
            let bytes = &buffer[..received.unwrap().0];
            match self.client.unwrap(bytes) {
                Some(Unwrapped::Data { payload, .. }) => {
                    heard = Some(u32::from_be_bytes(payload.try_into().unwrap()));
                }
                _ => {
                    let message = Message::parse(bytes).unwrap();
                    self.client.handle_message(&message, self.now(), &mut self.rng);
                }
            }
        }
        self.client.handle_timeout(self.now(), &mut self.rng);
        while self.client.poll_event().is_some() {}
        heard
    }

    /// Runs for so long, and then has the peer send this number until it is
    /// heard, or a few times in vain.
    async fn hears_after(&mut self, time: Duration, number: u32) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step(end).await;
        }
        let relayed = self.client.relayed().next().expect("there is an allocation");
        for _ in 0..5 {
            self.peer.send_to(&number.to_be_bytes(), relayed).await.unwrap();
            let until = Instant::now() + Duration::from_millis(500);
            while Instant::now() < until {
                if self.step(until).await == Some(number) {
                    return true;
                }
            }
        }
        false
    }
}

/// A peer is heard past the time that coturn keeps its permission by the client
/// that renews it in time, and not by one that takes it to last longer.
#[tokio::test]
async fn a_permission_that_is_renewed_outlives_its_lifetime() {
    let options = Options { permission_lifetime: Some(KEPT), ..Options::default() };
    let Some(coturn) = Coturn::start(&options) else { return };
    let lifetime = Duration::from_secs(KEPT.into());
    let mut renewing = Pair::permitted(coturn.address, lifetime).await;
    let mut forgetful = Pair::permitted(coturn.address, Duration::from_secs(300)).await;
    let heard = tokio::join!(
        renewing.hears_after(Duration::ZERO, 1),
        forgetful.hears_after(Duration::ZERO, 1)
    );
    assert_eq!(heard, (true, true), "both are permitted at first");
    let heard =
        tokio::join!(renewing.hears_after(2 * lifetime, 2), forgetful.hears_after(2 * lifetime, 2));
    assert_eq!(heard, (true, false), "one is renewed, one has expired");
}
