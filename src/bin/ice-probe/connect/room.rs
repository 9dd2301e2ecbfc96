//! The rendezvous, as a visitor sees it: two meet in a room, prove to each
//! other that they know the code, and tell each other sealed lines.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use floe::driver::{DialError, dial};
use floe::rendezvous::{Ask, Code, Exchange, MAX_MESSAGE, Refusal, Side, Step, Tell};
use floe::rng::{Rng, Seed};
use futures_util::{SinkExt as _, StreamExt as _};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::view::View;
use crate::exit::{Exit, Failure};
use crate::reach::ReachOptions;

/// How long the rendezvous may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How long it may be silent: it asks for a sign of life twice a minute.
const SILENCE: Duration = Duration::from_secs(100);

/// Lines that wait for either side.
const QUEUE: usize = 64;

/// Where a rendezvous is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    is_secure: bool,
    host: String,
    port: u16,
    text: String,
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = "the URL of a rendezvous is ws://HOST[:PORT] or wss://HOST[:PORT]";
        let (scheme, rest) = text.split_once("://").ok_or(rule)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(rule),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(rule)?,
            None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
        };
        let is_host = |c: char| c.is_alphanumeric() || ".-_:".contains(c);
        let is_visible = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        if host.is_empty() || !host.chars().all(is_host) || !is_visible(path) {
            return Err(rule);
        }
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().ok().filter(|port| *port > 0).ok_or(rule)?,
            None if !port.is_empty() => return Err(rule),
            None if is_secure => 443,
            None => 80,
        };
        Ok(Url { is_secure, host: host.to_owned(), port, text: text.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A connection of any kind.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Socket = WebSocketStream<Box<dyn Io>>;

/// Lines to and from the other side.
pub(crate) struct Lines {
    pub(crate) to_peer: mpsc::Sender<String>,
    /// It ends with the rendezvous.
    pub(crate) from_peer: mpsc::Receiver<String>,
}

/// A room in which one waits for the other side.
pub(crate) struct Room {
    socket: Socket,
    exchange: Exchange,
    code: Code,
    /// We came into a room in which somebody was.
    is_second: bool,
}

impl Room {
    /// Goes to the rendezvous. Without a code a new one is made.
    pub(crate) async fn enter(
        url: &Url,
        code: Option<Code>,
        reach: &ReachOptions,
    ) -> Result<Self, Failure> {
        let mut socket = connect(url, reach).await?;
        let ask = code.as_ref().map_or(Ask::Open, |code| Ask::Enter(code.name().into()));
        let heard = async {
            socket
                .send(Message::text(ask.to_string()))
                .await
                .map_err(|error| no_room(url, error))?;
            loop {
                match socket.next().await {
                    Some(Ok(Message::Text(line))) => return Ok(line.parse().ok()),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(_)) => return Ok(None),
                    Some(Err(error)) => return Err(no_room(url, error)),
                    None => return Err(no_room(url, "it hung up")),
                }
            }
        };
        let silent = |_| no_room(url, "it does not answer in time");
        let name = match timeout(ANSWER, heard).await.map_err(silent)?? {
            Some(Tell::Entered(name)) => name,
            Some(Tell::Refused(refusal)) => return Err(refused(refusal)),
            _ => return Err(no_room(url, "its answer is none of a rendezvous")),
        };
        let (mut rng, internal) = (random()?, |error| Failure::new(Exit::Internal, error));
        let code = match code {
            Some(code) => code,
            None => Code::new(&name, &mut rng).map_err(|error| internal(error.to_string()))?,
        };
        let exchange = Exchange::new(&code, rng);
        Ok(Room { socket, exchange, code, is_second: false })
    }

    /// The code, to be told to the other side.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// Waits until the other side has come and proved that it knows the code.
    /// From then on lines go both ways, on a task of their own.
    pub(crate) async fn meet(mut self, view: &View) -> Result<(Side, Lines), Failure> {
        loop {
            while let Some(step) = self.exchange.poll() {
                match step {
                    Step::Send(message) => self.send(Message::binary(message)).await?,
                    Step::Trusted(side) => return Ok((side, self.into_lines())),
                    Step::Wrong { left } => self.wrong(left, view).await?,
                    Step::Over => return Err(refused(Refusal::Guessed)),
                    Step::Dropped => view.detail("the rendezvous sent what nobody can have meant"),
                    // Nothing is opened before there is trust.
                    Step::Opened(_) => {}
                }
            }
            let message = timeout(SILENCE, self.socket.next()).await.map_err(|_| hung_up())?;
            match message {
                Some(Ok(Message::Binary(message))) => self.exchange.received(&message),
                Some(Ok(Message::Text(line))) => match line.parse() {
                    Ok(Tell::Met { first }) => {
                        self.is_second = !first;
                        self.exchange.met();
                    }
                    Ok(Tell::Left) => self.exchange.left(),
                    Ok(Tell::Refused(refusal)) => return Err(refused(refusal)),
                    Ok(Tell::Entered(_)) | Err(_) => {}
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(hung_up()),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Whoever comes second with a wrong code is told so; who was there waits
    /// for another.
    async fn wrong(&mut self, left: u8, view: &View) -> Result<(), Failure> {
        let told = self.send(Message::text(Ask::Wrong.to_string())).await;
        if self.is_second {
            let _ = timeout(ANSWER, self.socket.close(None)).await;
            let sentence = "the code is wrong: the secret is not the one that the other side has";
            return Err(Failure::new(Exit::Refused, sentence));
        }
        let guesses = if left == 1 { "guess is" } else { "guesses are" };
        view.line(&format!("somebody came with a wrong code; {left} more {guesses} let in"));
        told
    }

    async fn send(&mut self, message: Message) -> Result<(), Failure> {
        self.socket.send(message).await.map_err(|_| hung_up())
    }

    fn into_lines(self) -> Lines {
        let (to_peer, outgoing) = mpsc::channel(QUEUE);
        let (incoming, from_peer) = mpsc::channel(QUEUE);
        tokio::spawn(self.carry(outgoing, incoming));
        Lines { to_peer, from_peer }
    }

    /// Carries lines until nobody wants to say any more, or the rendezvous
    /// ends. Once connected the two sides do without it.
    async fn carry(mut self, mut outgoing: mpsc::Receiver<String>, incoming: mpsc::Sender<String>) {
        loop {
            let message = tokio::select! {
                line = outgoing.recv() => {
                    let Some(line) = line else { break };
                    let Some(sealed) = self.exchange.seal(line.as_bytes()) else { continue };
                    if self.send(Message::binary(sealed)).await.is_err() {
                        break;
                    }
                    continue;
                }
                message = self.socket.next() => message,
            };
            match message {
                Some(Ok(Message::Binary(sealed))) => self.exchange.received(&sealed),
                // Who is in the room is no longer of interest.
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_) | Err(_)) | None => break,
            }
            while let Some(step) = self.exchange.poll() {
                let Step::Opened(plain) = step else { continue };
                let Ok(line) = String::from_utf8(plain) else { continue };
                // Where nobody reads any more, lines are for nobody.
                let _ = incoming.send(line).await;
            }
        }
        let _ = timeout(ANSWER, self.socket.close(None)).await;
    }
}

async fn connect(url: &Url, reach: &ReachOptions) -> Result<Socket, Failure> {
    let dialled = dial(&url.host, url.port, reach.given_proxy(), ANSWER).await;
    let stream = dialled.map_err(|error| match error {
        DialError::Unresolved(_) => Failure::new(Exit::Unresolved, format!("--via {url}: {error}")),
        error => no_room(url, error),
    })?;
    let stream: Box<dyn Io> = if url.is_secure {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let internal = |error: rustls::Error| Failure::new(Exit::Internal, error.to_string());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(internal)?
            .with_root_certificates(reach.roots())
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let insecure = |why: &dyn fmt::Display| {
            Failure::new(Exit::Tls, format!("no TLS with the rendezvous {url}: {why}"))
        };
        let name = ServerName::try_from(url.host.clone()).map_err(|error| insecure(&error))?;
        let handshake = timeout(ANSWER, TlsConnector::connect(&connector, name, stream)).await;
        let silent = |_| no_room(url, "it does not answer in time");
        Box::new(handshake.map_err(silent)?.map_err(|error| insecure(&error))?)
    } else {
        Box::new(stream)
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let plain = url.text.replacen("wss://", "ws://", 1);
    let handshake = timeout(ANSWER, client_async_with_config(plain, stream, Some(config))).await;
    let (socket, _) = handshake
        .map_err(|_| no_room(url, "it does not answer in time"))?
        .map_err(|error| no_room(url, error))?;
    Ok(socket)
}

fn no_room(url: &Url, why: impl fmt::Display) -> Failure {
    // What a server sent stands in some of these words.
    let why = why.to_string();
    Failure::new(Exit::NoServer, format!("no rendezvous at {url}: {}", why.escape_debug()))
}

fn hung_up() -> Failure {
    Failure::new(Exit::NoServer, "the rendezvous hung up before the other side had come")
}

fn refused(refusal: Refusal) -> Failure {
    let (exit, advice) = match refusal {
        Refusal::Full => (Exit::Refused, ": take another code"),
        Refusal::Guessed => (Exit::Refused, ": begin anew, with another code"),
        Refusal::Expired => (Exit::NoPair, ", and the other side has not come"),
        _ => (Exit::NoServer, ""),
    };
    Failure::new(exit, format!("{refusal}{advice}"))
}

/// A source of randomness that the system seeds.
pub(super) fn random() -> Result<Rng, Failure> {
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(|error| {
        Failure::new(Exit::Internal, format!("the system gives no random numbers: {error}"))
    })?;
    Ok(Rng::new(&Seed(seed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_rendezvous() {
        let url = |text: &str| text.parse::<Url>().map(|url| (url.is_secure, url.host, url.port));
        assert_eq!(url("ws://127.0.0.1:3480"), Ok((false, "127.0.0.1".to_owned(), 3480)));
        assert_eq!(url("wss://meet.example.org/x"), Ok((true, "meet.example.org".to_owned(), 443)));
        assert_eq!(url("ws://[::1]"), Ok((false, "::1".to_owned(), 80)));
        assert_eq!(url("WSS://[::1]:7/"), Ok((true, "::1".to_owned(), 7)));
        for text in [
            "",
            "http://x",
            "ws://",
            "ws://a:0",
            "ws://a:b",
            "ws://[::1]x",
            "ws://a b",
            "ws://a/\n",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
