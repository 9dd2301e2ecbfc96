//! What passed on the wire, in memory: the addresses of every TCP and UDP
//! packet, when it came and when it went on, so that a test can show in which
//! order things happened.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Packets that are kept; later ones are counted only.
const CAPACITY: usize = 1 << 16;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// A packet as the wire saw it: outside of all NATs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// None for UDP.
    pub(crate) tcp: Option<TcpHeader>,
    /// When it entered the wire, from the wire's start.
    pub(crate) entered: Duration,
    /// When it left at the other end, if it has.
    pub(crate) left: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpHeader {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
}

impl Packet {
    /// It asks for a connection and answers none.
    pub(crate) fn is_pure_syn(&self) -> bool {
        self.tcp.is_some_and(|header| header.flags & (SYN | ACK | RST | FIN) == SYN)
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.tcp.is_some_and(|header| header.flags & RST != 0)
    }

    /// Both were on the wire before either had arrived.
    fn crossed(&self, other: &Self) -> bool {
        let under_way = |one: &Self, at| one.entered <= at && one.left.is_none_or(|left| left > at);
        under_way(self, other.entered) || under_way(other, self.entered)
    }
}

/// A line as tcpdump would print it.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:10.3} ms {} > {}", millis(self.entered), self.source, self.destination)?;
        match self.tcp {
            None => write!(f, " UDP")?,
            Some(TcpHeader { flags, sequence, acknowledged }) => {
                let letters = [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (ACK, '.')];
                let shown: String = letters
                    .into_iter()
                    .filter_map(|(bit, letter)| (flags & bit != 0).then_some(letter))
                    .collect();
                write!(f, " [{shown}] seq {sequence} ack {acknowledged}")?;
            }
        }
        match self.left {
            Some(left) => write!(f, ", arrives {:.3} ms", millis(left)),
            None => write!(f, ", not arrived"),
        }
    }
}

/// The log of one wire; a clone shows the same.
#[derive(Clone, Debug)]
pub(crate) struct PacketLog {
    start: Instant,
    packets: Arc<Mutex<Vec<Packet>>>,
}

impl PacketLog {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), packets: Arc::default() }
    }

    /// Notes a frame that enters; gives the number to tell its arrival with.
    pub(crate) fn enter(&self, frame: &[u8], now: Instant) -> Option<usize> {
        let entered = now.saturating_duration_since(self.start);
        let packet = parse(frame, entered)?;
        let mut packets = self.lock();
        if packets.len() == CAPACITY {
            return None;
        }
        packets.push(packet);
        Some(packets.len() - 1)
    }

    /// Notes that a packet has left the wire.
    pub(crate) fn leave(&self, number: usize, now: Instant) {
        if let Some(packet) = self.lock().get_mut(number) {
            packet.left = Some(now.saturating_duration_since(self.start));
        }
    }

    /// What has been seen so far.
    pub(crate) fn packets(&self) -> Vec<Packet> {
        self.lock().clone()
    }

    /// Packets between these two endpoints, in either direction.
    pub(crate) fn between(&self, one: SocketAddr, other: SocketAddr) -> Vec<Packet> {
        let mut packets = self.packets();
        packets.retain(|packet| {
            let ends = (packet.source, packet.destination);
            ends == (one, other) || ends == (other, one)
        });
        packets
    }

    /// When both ends of a TCP connection that has nothing to do with `server`
    /// were first seen to be established, from `after` on: each has sent a
    /// segment that acknowledges and asks for nothing.
    pub(crate) fn established(&self, after: Instant, server: IpAddr) -> Option<Duration> {
        let after = after.saturating_duration_since(self.start);
        let acknowledges = |packet: &&Packet| {
            packet.tcp.is_some_and(|header| header.flags & (SYN | ACK | RST) == ACK)
        };
        let packets = self.packets();
        let ours = |packet: &&Packet| {
            packet.entered >= after
                && ![packet.source.ip(), packet.destination.ip()].contains(&server)
        };
        let seen: Vec<&Packet> = packets.iter().filter(ours).filter(acknowledges).collect();
        let other_end = |one: &Packet| {
            let back = |other: &&&Packet| {
                (other.source, other.destination) == (one.destination, one.source)
            };
            seen.iter().find(back).map(|other| other.entered.max(one.entered))
        };
        seen.iter().filter_map(|one| other_end(one)).min().map(|at| at - after)
    }

    /// Two SYNs of one connection, one from each end, that were both on the
    /// wire before either had arrived: a simultaneous open. Each of them is
    /// the first to show so.
    pub(crate) fn crossing(&self, one: SocketAddr, other: SocketAddr) -> Option<[Packet; 2]> {
        let mut syns = self.between(one, other);
        syns.retain(Packet::is_pure_syn);
        let (ours, theirs): (Vec<_>, Vec<_>) = syns.into_iter().partition(|syn| syn.source == one);
        ours.iter()
            .flat_map(|ours| theirs.iter().map(move |theirs| [*ours, *theirs]))
            .find(|[ours, theirs]| ours.crossed(theirs))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Packet>> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The headers of an unfragmented TCP or UDP packet.
fn parse(frame: &[u8], entered: Duration) -> Option<Packet> {
    let packet = frame.get(ETHERNET..)?;
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
    let (protocol, start, [source, destination]): (u8, usize, [IpAddr; 2]) =
        match packet.first()? >> 4 {
            4 if word(6)? & 0x3fff != 0 => return None,
            4 => (
                *packet.get(9)?,
                usize::from(packet[0] & 0xf) * 4,
                [Ipv4Addr::from(long(12)?).into(), Ipv4Addr::from(long(16)?).into()],
            ),
            6 => {
                let address = |at: usize| {
                    let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                    Some(IpAddr::from(Ipv6Addr::from(bytes)))
                };
                (*packet.get(6)?, 40, [address(8)?, address(24)?])
            }
            _ => return None,
        };
    let tcp = match protocol {
        UDP => None,
        TCP => Some(TcpHeader {
            flags: *packet.get(start + 13)?,
            sequence: long(start + 4)?,
            acknowledged: long(start + 8)?,
        }),
        _ => return None,
    };
    Some(Packet {
        source: SocketAddr::new(source, word(start)?),
        destination: SocketAddr::new(destination, word(start + 2)?),
        tcp,
        entered,
        left: None,
    })
}
