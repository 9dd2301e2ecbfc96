//! The log of every packet that a host or a NAT sent, and what became of it.

use std::net::SocketAddr;

use floe::timer::Time;

use super::event::HostId;
use super::network::NatId;
use super::packet::{Body, Packet};
use super::segment::Kind;

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Segment { kind: Kind, seq: u32, ack: Option<u32>, bytes: usize },
    Datagram { bytes: usize },
    Unreachable,
}

impl What {
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Segment(s) => {
                What::Segment { kind: s.kind(), seq: s.seq, ack: s.ack, bytes: s.data.len() }
            }
            Body::Datagram(bytes) => What::Datagram { bytes: bytes.len() },
            Body::Unreachable { .. } => What::Unreachable,
        }
    }

    pub fn kind(self) -> Option<Kind> {
        match self {
            What::Segment { kind, .. } => Some(kind),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Host(HostId),
    Nat(NatId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    UnderWay,
    /// By the draw of the dice.
    Lost,
    /// Nobody has the address.
    Nowhere,
    /// A NAT did not let it in, or out.
    Stopped(NatId, Time),
    Reached(HostId, Time),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub sent: Time,
    pub by: Sender,
    /// As the sender wrote them.
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// Where it came from as the internet saw it, if it got there.
    pub seen_from: Option<SocketAddr>,
    pub what: What,
    pub fate: Fate,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log(Vec<Record>);

impl Log {
    pub fn records(&self) -> &[Record] {
        &self.0
    }

    /// The segments of one kind that `host` sent.
    pub fn sent(&self, host: HostId, kind: Kind) -> impl Iterator<Item = &Record> {
        let by = Sender::Host(host);
        self.0.iter().filter(move |r| r.by == by && r.what.kind() == Some(kind))
    }

    /// The first SYNs that crossed: each reached the other's host, and each was
    /// sent before the other arrived.
    pub fn crossing(&self, one: HostId, two: HostId) -> Option<(&Record, &Record)> {
        let reached = |record: &Record, host| match record.fate {
            Fate::Reached(at, time) if at == host => Some(time),
            _ => None,
        };
        self.sent(one, Kind::Syn).find_map(|a| {
            let a_arrived = reached(a, two)?;
            let crosses = |b: &&Record| {
                reached(b, one).is_some_and(|b_arrived| a.sent < b_arrived && b.sent < a_arrived)
            };
            Some((a, self.sent(two, Kind::Syn).find(crosses)?))
        })
    }

    pub(super) fn add(&mut self, record: Record) -> usize {
        self.0.push(record);
        self.0.len() - 1
    }

    pub(super) fn change(&mut self, packet: &Packet, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.0.get_mut(packet.number) {
            change(record);
        }
    }
}
