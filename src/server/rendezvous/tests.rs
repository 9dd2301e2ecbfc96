//! Visitors over WebSocket.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;
use crate::rendezvous::MAX_MESSAGE;

/// Longer than anything here takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn start(at: SocketAddr, first: &str) -> Self {
        let stream = TcpStream::connect(at).await.unwrap();
        let (socket, _) = client_async(format!("ws://{at}/"), stream).await.unwrap();
        let mut client = Client(socket);
        client.say(Message::text(first)).await;
        client
    }

    async fn say(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// The next message, as text; `end` once the server has closed it.
    async fn hear(&mut self) -> String {
        loop {
            match timeout(HANG, self.0.next()).await.expect("the server says something") {
                Some(Ok(Message::Text(line))) => return line.to_string(),
                Some(Ok(Message::Binary(body))) => return format!("{} bytes", body.len()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return "end".to_owned(),
                Some(Ok(_)) => {}
            }
        }
    }

    async fn hears(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.hear().await, *line);
        }
    }
}

fn server(limits: RendezvousLimits) -> (RendezvousServer, SocketAddr) {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let config = RendezvousConfig { listen, limits, ..RendezvousConfig::default() };
    let (server, failures) = RendezvousServer::bind_some(config);
    assert!(failures.is_empty(), "{failures:?}");
    let at = server.addresses()[0];
    (server, at)
}

#[tokio::test]
async fn two_meet_and_a_third_is_refused() {
    let (server, at) = server(RendezvousLimits::default());
    assert_eq!(server.urls(), [format!("ws://{at}")]);
    let mut a = Client::start(at, "floe1 open").await;
    let entered = a.hear().await;
    let name = entered.strip_prefix("floe1 entered ").expect("a name is made").to_owned();
    let enter = format!("floe1 enter {name}");
    let mut b = Client::start(at, &enter).await;
    b.hears(&[&entered, "floe1 met second"]).await;
    a.hears(&["floe1 met first"]).await;
    Client::start(at, &enter).await.hears(&["floe1 refused full", "end"]).await;
    a.say(Message::binary(vec![0; MAX_MESSAGE])).await;
    b.hears(&["16384 bytes"]).await;
    drop(a);
    b.hears(&["floe1 left"]).await;
    server.close().await;
    b.hears(&["floe1 refused ending", "end"]).await;
    assert!(TcpStream::connect(at).await.is_err());
}

#[tokio::test]
async fn three_wrong_guesses_close_a_room() {
    let (_server, at) = server(RendezvousLimits::default());
    let mut a = Client::start(at, "floe1 enter 7").await;
    a.hears(&["floe1 entered 7"]).await;
    for guess in 1..=3 {
        let mut b = Client::start(at, "floe1 enter 7").await;
        b.hears(&["floe1 entered 7", "floe1 met second"]).await;
        a.hears(&["floe1 met first"]).await;
        b.say(Message::text("floe1 wrong")).await;
        if guess < 3 {
            drop(b);
            a.hears(&["floe1 left"]).await;
        }
    }
    a.hears(&["floe1 refused guessed", "end"]).await;
    Client::start(at, "floe1 enter 7").await.hears(&["floe1 refused guessed", "end"]).await;
}

#[tokio::test]
async fn what_is_not_understood_or_too_much_is_refused() {
    let limits = RendezvousLimits { messages: 2, ..RendezvousLimits::default() };
    let (server, at) = server(limits);
    for line in ["", "GET / HTTP/1.1", "floe2 open", "floe1 wrong", "floe1 enter ../x"] {
        Client::start(at, line).await.hears(&["floe1 refused malformed", "end"]).await;
    }
    let mut large = Client::start(at, "floe1 enter 7").await;
    large.hears(&["floe1 entered 7"]).await;
    large.say(Message::binary(vec![0; MAX_MESSAGE + 1])).await;
    large.hears(&["floe1 refused too-much", "end"]).await;
    let mut many = Client::start(at, "floe1 enter 8").await;
    many.hears(&["floe1 entered 8"]).await;
    for _ in 0..3 {
        many.say(Message::binary(vec![0])).await;
    }
    many.hears(&["floe1 refused too-much", "end"]).await;
    assert_eq!(server.rooms(), 0);
}

#[tokio::test]
async fn a_room_has_its_time() {
    let lifetime = Duration::from_millis(50);
    let (_server, at) = server(RendezvousLimits { lifetime, ..RendezvousLimits::default() });
    let mut a = Client::start(at, "floe1 enter 7").await;
    a.hears(&["floe1 entered 7", "floe1 refused expired", "end"]).await;
}

#[tokio::test]
async fn who_asks_too_often_is_refused() {
    let (_server, at) = server(RendezvousLimits::default());
    for _ in 0..ASKED {
        Client::start(at, "floe1 wrong").await.hears(&["floe1 refused malformed"]).await;
    }
    Client::start(at, "floe1 open").await.hears(&["floe1 refused busy", "end"]).await;
}
