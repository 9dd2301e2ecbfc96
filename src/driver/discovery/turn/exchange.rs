//! The messages of a trial: one allocation, one permission, one echo.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::{PATIENCE, StageFailure, TurnReport, TurnStage};
use crate::driver::discovery::rng;
use crate::driver::transport::{self, BindOptions, Stream, UdpSocket};
use crate::gather::Cause;
use crate::rng::Rng;
use crate::stun::{Class, Message, TransactionId};
use crate::tcp::{Deframer, Framing};
use crate::timer::{Pacer, Time};
use crate::turn::{self, Client, Event, Failure, Families, Secrets, Settings, Unwrapped};

/// The first retransmission timeout: five transmissions in the time of a stage.
const RTO: Duration = Duration::from_millis(300);

/// How often the echo is tried, and how far apart.
const ECHO: Duration = Duration::from_millis(500);
const ECHOES: u32 = 8;

/// How long the server may take to take the allocation back.
const GOODBYE: Duration = Duration::from_secs(1);

/// The way to the server.
#[derive(Debug)]
pub(super) enum Leg {
    Datagrams(UdpSocket),
    Stream(Stream),
}

/// Who sends back what went through the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echo {
    /// The relayed address itself, as if it were the peer.
    Own,
    /// Another socket of ours.
    Outside,
}

pub(super) struct Exchange {
    leg: Leg,
    to: SocketAddr,
    client: Client,
    rng: Rng,
    start: Instant,
    deframer: Deframer,
    /// What the echo has to bring back.
    token: [u8; 16],
    outside: Option<UdpSocket>,
    echo: Echo,
    /// What the trial waits for, and since when.
    stage: TurnStage,
    since: Instant,
    echoes: u32,
    next_echo: Instant,
}

/// What the server, or the peer, has sent.
enum Came {
    FromServer(Vec<u8>),
    FromRelay(Vec<u8>),
    Nothing,
}

impl Exchange {
    pub(super) fn new(leg: Leg, to: SocketAddr, secrets: Secrets) -> io::Result<Self> {
        let mut settings = Settings::new(secrets);
        settings.reliable = matches!(leg, Leg::Stream(_));
        settings.rto = RTO;
        settings.pacer = Pacer::new();
        if to.is_ipv6() {
            settings.families = Families::Both;
        }
        let (mut rng, now) = (rng()?, Instant::now());
        Ok(Exchange {
            leg,
            to,
            client: Client::new(settings),
            token: rng.bytes(),
            rng,
            start: now,
            deframer: Deframer::new(Framing::Turn),
            outside: None,
            echo: Echo::Own,
            stage: TurnStage::Challenge,
            since: now,
            echoes: 0,
            next_echo: now,
        })
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Goes through the stages until one fails or none is left.
    pub(super) async fn run(mut self, report: &mut TurnReport) {
        let now = self.now();
        self.client.start(now, &mut self.rng);
        let failure = loop {
            match self.step(report).await {
                Ok(true) => break None,
                Ok(false) => {}
                Err(failure) => break Some(failure),
            }
        };
        report.note(self.stage, self.since, failure);
        self.goodbye().await;
    }

    /// Whether the last stage is passed.
    async fn step(&mut self, report: &mut TurnReport) -> Result<bool, StageFailure> {
        self.flush().await?;
        let limit = self.since + PATIENCE;
        if Instant::now() >= limit {
            return Err(StageFailure::new(Cause::NotReached, self.silence()));
        }
        let due = self.client.poll_timeout();
        let due = due.map_or(limit, |due| self.start + due.since_epoch()).min(limit);
        let due = if self.stage == TurnStage::Echo { due.min(self.next_echo) } else { due };
        match self.next(due).await? {
            Came::FromServer(bytes) => self.hear(&bytes, report),
            Came::FromRelay(bytes) => Ok(bytes == self.token),
            Came::Nothing => {
                let now = self.now();
                self.client.handle_timeout(now, &mut self.rng);
                if self.stage == TurnStage::Echo && Instant::now() >= self.next_echo {
                    self.send_echo(report).await?;
                }
                self.events(report)
            }
        }
    }

    fn silence(&self) -> &'static str {
        match (self.stage, &self.leg) {
            (TurnStage::Echo, _) => "nothing comes back through the relay",
            (_, Leg::Datagrams(_)) => "the server did not answer over UDP",
            (_, Leg::Stream(_)) => "the server did not answer on the connection",
        }
    }

    async fn flush(&mut self) -> Result<(), StageFailure> {
        let mut bytes = Vec::new();
        while self.client.poll_request(&mut bytes).is_some() {
            self.send(&bytes).await?;
        }
        Ok(())
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), StageFailure> {
        match &self.leg {
            // What the system refuses is as good as lost.
            Leg::Datagrams(socket) => {
                let _ = socket.send_now(self.to, bytes);
                Ok(())
            }
            Leg::Stream(stream) => stream.write_all(bytes).await.map_err(|_| ended()),
        }
    }

    /// What comes next, until `due`.
    async fn next(&mut self, due: Instant) -> Result<Came, StageFailure> {
        if let Some(message) = self.framed()? {
            return Ok(Came::FromServer(message));
        }
        let outside = async {
            match &self.outside {
                Some(socket) => socket.readable().await,
                None => std::future::pending().await,
            }
        };
        match &self.leg {
            Leg::Datagrams(socket) => tokio::select! {
                _ = socket.readable() => {
                    let from = Some(self.to);
                    Ok(received(socket, from).map_or(Came::Nothing, Came::FromServer))
                }
                _ = outside => Ok(self.heard_outside()),
                () = tokio::time::sleep_until(due) => Ok(Came::Nothing),
            },
            Leg::Stream(stream) => {
                let space = self.deframer.space();
                let read = tokio::select! {
                    read = stream.read(space) => read.map_err(|_| ended())?,
                    _ = outside => return Ok(self.heard_outside()),
                    () = tokio::time::sleep_until(due) => return Ok(Came::Nothing),
                };
                if read == 0 {
                    return Err(ended());
                }
                self.deframer.filled(read);
                Ok(self.framed()?.map_or(Came::Nothing, Came::FromServer))
            }
        }
    }

    fn framed(&mut self) -> Result<Option<Vec<u8>>, StageFailure> {
        let frame = self.deframer.next_frame();
        let of = |frame: Option<&[u8]>| frame.map(<[u8]>::to_vec);
        frame.map(of).map_err(|error| StageFailure::new(Cause::Answered, error.to_string()))
    }

    fn heard_outside(&self) -> Came {
        let bytes = self.outside.as_ref().and_then(|socket| received(socket, None));
        bytes.map_or(Came::Nothing, Came::FromRelay)
    }

    fn hear(&mut self, bytes: &[u8], report: &mut TurnReport) -> Result<bool, StageFailure> {
        if let Some(Unwrapped::Data { peer, payload }) = self.client.unwrap(bytes) {
            if payload != self.token {
                return Ok(false);
            }
            if self.echo == Echo::Own {
                return Ok(true);
            }
            let (mut out, payload) = (Vec::new(), payload.to_vec());
            let id = TransactionId(self.rng.bytes());
            if self.client.wrap(peer, &payload, id, &mut out)
                && let Leg::Datagrams(socket) = &self.leg
            {
                let _ = socket.send_now(self.to, &out);
            }
            return Ok(false);
        }
        let Ok(message) = Message::parse(bytes) else { return Ok(false) };
        let now = self.now();
        let handled = self.client.handle_message(&message, now, &mut self.rng);
        let is_answer = handled == turn::Handled::Used && message.class() != Class::Indication;
        let code = message.error().map(|error| error.code);
        if is_answer && self.stage == TurnStage::Challenge && matches!(code, Some(401 | 438)) {
            self.pass(TurnStage::Allocate, report);
        }
        self.events(report)
    }

    /// The stage is passed, and the next one begins.
    fn pass(&mut self, next: TurnStage, report: &mut TurnReport) {
        report.note(self.stage, self.since, None);
        (self.stage, self.since) = (next, Instant::now());
    }

    fn events(&mut self, report: &mut TurnReport) -> Result<bool, StageFailure> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Allocated { relayed, mapped, lifetime } if report.relayed.is_none() => {
                    report.relayed = Some(relayed);
                    (report.mapped, report.lifetime) = (Some(mapped), Some(lifetime));
                    self.pass(TurnStage::Permit, report);
                    let now = self.now();
                    self.client.permit(relayed.ip(), now, &mut self.rng);
                }
                Event::Permitted(_) if self.stage == TurnStage::Permit => {
                    self.pass(TurnStage::Echo, report);
                    self.next_echo = Instant::now();
                }
                Event::PeerRefused { failure, .. } if self.stage == TurnStage::Permit => {
                    self.go_outside(report, &failure)?;
                }
                Event::Failed(failure) | Event::Lost(failure) => return Err(of(&failure)),
                Event::Redirected { to, .. } => {
                    let text = format!("the server sends its clients to {to} (code 300)");
                    let failure = StageFailure::new(Cause::Answered, text);
                    return Err(StageFailure { code: Some(300), ..failure });
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// The server does not relay to itself: another socket is to be the peer,
    /// where one can be reached.
    fn go_outside(&mut self, report: &TurnReport, failure: &Failure) -> Result<(), StageFailure> {
        let (Leg::Datagrams(socket), Some(mapped)) = (&self.leg, report.mapped) else {
            return Err(of(failure));
        };
        if self.echo == Echo::Outside {
            return Err(of(failure));
        }
        let ip: IpAddr = socket.local().ip();
        self.outside = transport::bind_udp(ip, 0, &BindOptions::default()).ok();
        self.echo = Echo::Outside;
        let now = self.now();
        self.client.permit(mapped.ip(), now, &mut self.rng);
        Ok(())
    }

    async fn send_echo(&mut self, report: &TurnReport) -> Result<(), StageFailure> {
        let Some(relayed) = report.relayed else { return Ok(()) };
        self.echoes += 1;
        self.next_echo = Instant::now() + ECHO;
        if self.echoes > ECHOES {
            return Err(StageFailure::new(Cause::NotReached, self.silence()));
        }
        let token = self.token;
        match (self.echo, &self.outside) {
            (Echo::Outside, Some(socket)) => {
                let _ = socket.send_now(relayed, &token);
            }
            _ => {
                let (mut out, id) = (Vec::new(), TransactionId(self.rng.bytes()));
                if self.client.wrap(relayed, &token, id, &mut out) {
                    self.send(&out).await?;
                }
            }
        }
        Ok(())
    }

    /// Gives the allocation back.
    async fn goodbye(&mut self) {
        let now = self.now();
        self.client.release(now, &mut self.rng);
        let end = Instant::now() + GOODBYE;
        while Instant::now() < end && self.client.poll_timeout().is_some() {
            if self.flush().await.is_err() {
                return;
            }
            let due = self.client.poll_timeout().map(|due| self.start + due.since_epoch());
            match self.next(due.unwrap_or(end).min(end)).await {
                Ok(Came::FromServer(bytes)) => {
                    if let Ok(message) = Message::parse(&bytes) {
                        let now = self.now();
                        self.client.handle_message(&message, now, &mut self.rng);
                    }
                }
                Ok(_) => {
                    let now = self.now();
                    self.client.handle_timeout(now, &mut self.rng);
                }
                Err(_) => return,
            }
        }
    }
}

fn ended() -> StageFailure {
    StageFailure::new(Cause::NotReached, "the server ended the connection")
}

fn of(failure: &Failure) -> StageFailure {
    let cause = match failure.cause {
        turn::Cause::NoAnswer => Cause::NotReached,
        turn::Cause::Secrets | turn::Cause::Integrity => Cause::Credentials,
        _ => Cause::Answered,
    };
    StageFailure { cause, code: failure.code, text: failure.text.clone() }
}

/// A datagram that has arrived, from `from` if it is given.
fn received(socket: &UdpSocket, from: Option<SocketAddr>) -> Option<Vec<u8>> {
    transport::with_buffers(|received| {
        let _ = socket.receive(received);
        let is_it = |glued: &transport::Glued<'_>| from.is_none_or(|from| glued.from == from);
        let mut found = received.iter().filter(is_it);
        found.find_map(|glued| glued.datagrams().next().map(<[u8]>::to_vec))
    })
}
