//! One visitor, from its first word to its last.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{self, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::Hall;
use super::rooms::{Mail, OUTBOX, Place};
use crate::rendezvous::{Ask, MAX_MESSAGE, Refusal, Tell};

/// How long a visitor may take for its first word, the handshakes of TLS and
/// WebSocket included, and to read what it is sent.
const FIRST: Duration = Duration::from_secs(10);

/// How often a visitor is asked for a sign of life, and how long it may give
/// none.
const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(90);

/// What a TLS handshake begins with.
const HANDSHAKE: u8 = 22;

/// Serves a visitor until it leaves.
pub(super) async fn serve(hall: &Hall, stream: TcpStream, source: IpAddr) -> io::Result<()> {
    let deadline = time::Instant::now() + FIRST;
    let mut first = [0];
    time::timeout_at(deadline, stream.peek(&mut first)).await??;
    match &hall.tls {
        Some(tls) if first == [HANDSHAKE] => {
            let stream = time::timeout_at(deadline, tls.accept(stream)).await??;
            welcome(hall, stream, source, deadline).await
        }
        _ => welcome(hall, stream, source, deadline).await,
    }
}

async fn welcome(
    hall: &Hall,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    source: IpAddr,
    deadline: time::Instant,
) -> io::Result<()> {
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(8 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let accepted = accept_async_with_config(stream, Some(config));
    let mut socket = time::timeout_at(deadline, accepted).await?.map_err(io::Error::other)?;
    let (outbox, inbox) = mpsc::channel(OUTBOX);
    let end = match enter(hall, &mut socket, outbox, source, deadline).await {
        Ok(place) => {
            let end = stay(hall, &mut socket, inbox, &place).await;
            hall.rooms.lock().leave(&place);
            end
        }
        Err(end) => end,
    };
    if let Some(refusal) = end {
        let _ = send(&mut socket, Message::text(Tell::Refused(refusal).to_string())).await;
    }
    let _ = timeout(FIRST, socket.close(None)).await;
    // What the visitor still says is read, so that it hears our last word.
    let rest = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = timeout(Duration::from_secs(1), rest).await;
    Ok(())
}

/// The first word decides the room; else why there is none, or nothing where
/// the visitor has gone.
async fn enter<S: AsyncRead + AsyncWrite + Unpin>(
    hall: &Hall,
    socket: &mut WebSocketStream<S>,
    outbox: mpsc::Sender<Mail>,
    source: IpAddr,
    deadline: time::Instant,
) -> Result<Place, Option<Refusal>> {
    let first = tokio::select! {
        first = time::timeout_at(deadline, socket.next()) => first.map_err(|_| None)?,
        () = hall.ended() => return Err(Some(Refusal::Ending)),
    };
    let ask = match first {
        Some(Ok(Message::Text(line))) => line.parse::<Ask>().ok(),
        Some(Ok(_) | Err(Error::Capacity(_))) => None,
        Some(Err(_)) | None => return Err(None),
    };
    let now = Instant::now();
    if !hall.asked.lock().admits(source, now) {
        return Err(Some(Refusal::Busy));
    }
    let mut rooms = hall.rooms.lock();
    match ask {
        Some(Ask::Open) => rooms.open(outbox, now).map_err(Some),
        Some(Ask::Enter(name)) => rooms.enter(&name, outbox, now).map_err(Some),
        Some(Ask::Wrong) | None => Err(Some(Refusal::Malformed)),
    }
}

/// In the room; what the visitor is told at the end.
async fn stay<S: AsyncRead + AsyncWrite + Unpin>(
    hall: &Hall,
    socket: &mut WebSocketStream<S>,
    mut inbox: mpsc::Receiver<Mail>,
    place: &Place,
) -> Option<Refusal> {
    let over = time::sleep_until((place.opened + hall.limits.lifetime).into());
    tokio::pin!(over);
    let mut ping = time::interval_at(time::Instant::now() + PING, PING);
    let (mut messages, mut bytes) = (0, 0);
    let mut heard = time::Instant::now();
    loop {
        tokio::select! {
            mail = inbox.recv() => {
                let message = match mail? {
                    Mail::Tell(Tell::Refused(refusal)) => return Some(refusal),
                    Mail::Tell(tell) => Message::text(tell.to_string()),
                    Mail::Pass(bytes) => Message::binary(bytes),
                };
                send(socket, message).await.ok()?;
            }
            message = socket.next() => {
                heard = time::Instant::now();
                match message? {
                    Ok(Message::Binary(body)) => {
                        (messages, bytes) = (messages + 1, bytes + body.len());
                        if messages > hall.limits.messages || bytes > hall.limits.bytes {
                            return Some(Refusal::TooMuch);
                        }
                        // For nobody, or for one who does not read: lost.
                        let _ = hall.rooms.lock().pass(place, body);
                    }
                    Ok(Message::Text(line)) => match line.parse() {
                        Ok(Ask::Wrong) => hall.rooms.lock().wrong(place),
                        Ok(_) | Err(_) => return Some(Refusal::Malformed),
                    },
                    Ok(Message::Close(_)) => return None,
                    Ok(_) => {}
                    Err(Error::Capacity(_)) => return Some(Refusal::TooMuch),
                    Err(_) => return None,
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    return None;
                }
                send(socket, Message::Ping(Default::default())).await.ok()?;
            }
            () = &mut over => return Some(Refusal::Expired),
            () = hall.ended() => return Some(Refusal::Ending),
        }
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    message: Message,
) -> io::Result<()> {
    timeout(FIRST, socket.send(message)).await?.map_err(io::Error::other)
}
