//! From records to packets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use floe::agent::{BaseId, ConnectionChange, Event, Happened, LogRecord, RecordedInput, SocketOp};
use floe::check::PairId;
use floe::tcp::Framing;
use floe::timer::Time;

use super::messages::{self, Rebuilt};
use super::packets::udp;
use super::streams::{By, Stream};
use crate::explain::story::words;
use crate::words::check_kind;

/// A packet, and what is said of it.
pub(super) struct Packet {
    pub(super) at: Time,
    pub(super) is_ours: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) comment: String,
}

/// What is known so far of an agent whose packets are rebuilt.
#[derive(Default)]
pub(super) struct Capture {
    packets: Vec<Packet>,
    bases: BTreeMap<BaseId, Base>,
    streams: BTreeMap<(BaseId, SocketAddr), Stream>,
    /// Ports of connections, which are known once they are open.
    ports: BTreeMap<(BaseId, SocketAddr), SocketAddr>,
    pairs: BTreeMap<(SocketAddr, SocketAddr), PairId>,
    ufrag: String,
    /// Where the packet of the check stands that was sent last.
    check: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Base {
    local: Option<SocketAddr>,
    is_tcp: bool,
    /// The server that relays for it.
    relay: Option<SocketAddr>,
}

impl Capture {
    /// The packets of the records of one agent.
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a LogRecord> + Clone) -> Vec<Packet> {
        let mut capture = Capture { ufrag: "?".into(), ..Capture::default() };
        for record in records.clone() {
            capture.look_ahead(record);
        }
        for record in records {
            capture.record(record);
        }
        capture.packets
    }

    fn look_ahead(&mut self, record: &LogRecord) {
        if let Happened::Input(given) = &record.what
            && let RecordedInput::Connected { base, to, local } = given.what
        {
            self.ports.insert((base, to), local);
        }
    }

    fn record(&mut self, record: &LogRecord) {
        let at = record.at;
        match &record.what {
            Happened::Input(given) => self.input(at, &given.what),
            Happened::SocketOp(op) => self.socket_op(at, op),
            Happened::Event(Event::Relayed { base, server, .. }) => {
                self.bases.entry(*base).or_default().relay = Some(*server);
            }
            Happened::SocketOpened { base, local } => {
                self.bases.entry(*base).or_default().local = Some(*local);
            }
            Happened::PairFormed { pair, local, remote, .. } => {
                self.pairs.insert((*local, *remote), *pair);
            }
            Happened::Sent { base, to, transaction, message } => {
                let rebuilt = messages::sent(message, *transaction, *to, &self.ufrag);
                self.message(at, *base, *to, By::Us, rebuilt);
                self.check = self.packets.len().checked_sub(1);
            }
            Happened::CheckSent { pair, kind, again, .. } => {
                let last = self.check.take().and_then(|place| self.packets.get_mut(place));
                if let Some(packet) = last.filter(|packet| packet.at == at) {
                    let again = if *again { ", again" } else { "" };
                    let kind = check_kind(*kind);
                    packet.comment.push_str(&format!(" ({kind}{again}, pair {})", pair.0));
                }
            }
            Happened::Connection { base, remote, change } => {
                self.connection(at, *base, *remote, *change);
            }
            Happened::PairLost { pair, reason } => {
                let why = words::reason(*reason);
                self.remark(at, &format!("pair {} is given up: {why}", pair.0));
            }
            Happened::Selected { pair } => {
                self.remark(at, &format!("pair {} is selected", pair.0));
            }
            Happened::State { state, .. } => self.remark(at, &format!("the state is {state}")),
            _ => {}
        }
    }

    fn input(&mut self, at: Time, input: &RecordedInput) {
        match input {
            RecordedInput::RemoteParameters { ufrag, .. } => {
                self.ufrag = crate::explain::escape::clean(ufrag);
            }
            RecordedInput::Datagram { base, from, message } => {
                let rebuilt = messages::received(message, &self.ufrag);
                self.message(at, *base, *from, By::Peer, rebuilt);
            }
            RecordedInput::Connected { base, to, .. } => {
                self.open(at, *base, *to, By::Us, "the connection is open");
            }
            RecordedInput::Disconnected { base, from } => {
                self.end(at, *base, *from, By::Peer, false, "the peer ended the connection");
            }
            RecordedInput::Broken { base, from, .. } => {
                self.end(at, *base, *from, By::Peer, true, "the connection broke");
            }
            _ => {}
        }
    }

    fn socket_op(&mut self, at: Time, op: &SocketOp) {
        match op {
            SocketOp::BindTcp { base, .. }
            | SocketOp::ConnectServer { base, .. }
            | SocketOp::Carry { base, .. } => {
                self.bases.entry(*base).or_default().is_tcp = true;
            }
            SocketOp::Connect { base, to, framing } => {
                let Some(stream) = self.stream(*base, *to, *framing) else { return };
                let bytes = stream.syn();
                self.push(at, By::Us, bytes, "SYN: an attempt to connect".into());
            }
            SocketOp::Disconnect { base, to, abort } => {
                self.end(at, *base, *to, By::Us, *abort, "the connection is given back");
            }
            _ => {}
        }
    }

    fn connection(&mut self, at: Time, base: BaseId, to: SocketAddr, change: ConnectionChange) {
        match change {
            ConnectionChange::Accepted => {
                let comment = "a listener took the connection in; when its SYN came is not told";
                self.open(at, base, to, By::Peer, comment);
            }
            ConnectionChange::Refused { error: std::io::ErrorKind::ConnectionRefused } => {
                self.end(at, base, to, By::Peer, true, "refused");
            }
            _ => {}
        }
    }

    fn message(&mut self, at: Time, base: BaseId, other: SocketAddr, by: By, message: Rebuilt) {
        let Rebuilt { bytes, mut comment } = message;
        let known = self.bases.get(&base).copied().unwrap_or_default();
        if let Some(server) = known.relay {
            comment.push_str(&format!("; inside TURN, by way of {server}"));
        }
        let local = known.local.or_else(|| self.ports.get(&(base, other)).copied());
        if let (By::Peer, Some(local)) = (by, local)
            && let Some(pair) = self.pairs.get(&(local, other))
        {
            comment.push_str(&format!(" (pair {})", pair.0));
        }
        let packet = if known.is_tcp {
            let framing = if known.local.is_some() { Framing::Rfc4571 } else { Framing::Turn };
            self.stream(base, other, framing).and_then(|stream| stream.message(by, &bytes))
        } else {
            local.and_then(|local| match by {
                By::Us => udp(local, other, &bytes),
                By::Peer => udp(other, local, &bytes),
            })
        };
        self.push(at, by, packet, comment);
    }

    fn open(&mut self, at: Time, base: BaseId, to: SocketAddr, by: By, comment: &str) {
        let known = self.bases.get(&base).copied().unwrap_or_default();
        let framing = if known.local.is_some() { Framing::Rfc4571 } else { Framing::Turn };
        let Some(stream) = self.stream(base, to, framing) else { return };
        for (by, bytes) in stream.open(by) {
            self.push(at, by, Some(bytes), comment.to_owned());
        }
    }

    fn end(
        &mut self,
        at: Time,
        base: BaseId,
        to: SocketAddr,
        by: By,
        is_reset: bool,
        comment: &str,
    ) {
        let bytes = self.streams.get_mut(&(base, to)).and_then(|s| s.end(by, is_reset));
        self.push(at, by, bytes, comment.to_owned());
    }

    /// The connection between a base and an address, new where there is none.
    fn stream(&mut self, base: BaseId, to: SocketAddr, framing: Framing) -> Option<&mut Stream> {
        let port = self.ports.get(&(base, to)).copied();
        let local = port.or_else(|| self.bases.get(&base)?.local)?;
        Some(self.streams.entry((base, to)).or_insert_with(|| Stream::new(local, to, framing)))
    }

    fn push(&mut self, at: Time, by: By, bytes: Option<Vec<u8>>, comment: String) {
        if let Some(bytes) = bytes {
            self.packets.push(Packet { at, is_ours: by == By::Us, bytes, comment });
        }
    }

    /// Says on the last packet what came of it, if that was at once.
    fn remark(&mut self, at: Time, what: &str) {
        if let Some(packet) = self.packets.last_mut().filter(|packet| packet.at == at) {
            packet.comment.push_str("; then ");
            packet.comment.push_str(what);
        }
    }
}
