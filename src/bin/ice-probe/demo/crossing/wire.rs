//! The wire between two hosts, in user space, with a NAT at each end.
//!
//! A NAT gives its host its own address and leaves the port (RFC 4787's
//! endpoint-independent mapping, port preservation), and drops what comes from
//! where its host has sent nothing from that port (address-and-port-dependent
//! filtering).

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use super::layout::{INSIDE, OUTSIDE, TO_HOSTS};
use super::packet::Packet;
use crate::demo::report::{self, Moment};
use crate::words;

/// From one host to the other.
const DELAY: Duration = Duration::from_millis(20);

/// Packets under way at once; more are lost, as in a full queue.
const CAPACITY: usize = 1_024;

/// Mappings of a NAT, and SYNs that are remembered; there is no room for more.
const MEMORY: usize = 1_024;

/// Longer than a packet that fits the interfaces.
const PACKET: usize = 2_048;

/// The names of the hosts, as in the report.
const NAMES: [&str; 2] = ["A", "B"];

/// A running wire; it ends when dropped.
pub(super) struct Wire {
    seen: Arc<Mutex<Seen>>,
    task: AbortHandle,
}

/// What has passed.
#[derive(Debug, Default)]
struct Seen {
    packets: u64,
    dropped: u64,
    syns: Vec<Syn>,
}

/// A SYN without ACK.
#[derive(Clone, Copy, Debug)]
struct Syn {
    /// Whose it is: 0 or 1.
    from: usize,
    /// Its ports.
    ports: [u16; 2],
    entered: Instant,
    /// When it arrived, and whether the NAT there let it pass.
    left: Option<(Instant, bool)>,
}

impl Wire {
    /// Joins the interfaces of the calling thread's network.
    pub(super) fn start() -> io::Result<Self> {
        let [a, b] = TO_HOSTS.map(raw_socket);
        let seen = Arc::<Mutex<Seen>>::default();
        let ends = Ends {
            sockets: [a?, b?],
            opened: Default::default(),
            under_way: VecDeque::new(),
            seen: seen.clone(),
        };
        Ok(Wire { seen, task: tokio::spawn(ends.run()).abort_handle() })
    }

    /// What has passed so far.
    pub(super) fn seen(&self) -> report::Wire {
        let seen = lock(&self.seen);
        let count = |side| seen.syns.iter().filter(|syn| syn.from == side).count();
        report::Wire {
            delay_ms: words::millis(DELAY),
            packets: seen.packets,
            dropped: seen.dropped,
            syns: [count(0), count(1)],
            crossed: seen.crossed(),
        }
    }

    /// The SYNs as lines of a timeline, in which `instant` is at `t`.
    pub(super) fn moments(&self, instant: Instant, t: f64) -> Vec<Moment> {
        let at = |time: Instant| {
            let after = words::millis(time.saturating_duration_since(instant));
            t + after - words::millis(instant.saturating_duration_since(time))
        };
        let moment = |time, event: String| Moment { t: at(time), agent: "wire".to_owned(), event };
        let told = |syn: &Syn| {
            let [from, to] = [NAMES[syn.from], NAMES[1 - syn.from]];
            let sets_out = moment(syn.entered, format!("a SYN of {from} sets out to {to}"));
            let arrives = syn.left.map(|(time, passed)| {
                let event = if passed {
                    format!("a SYN of {from} arrives at {to}")
                } else {
                    format!("the NAT of {to} drops a SYN of {from}")
                };
                moment(time, event)
            });
            std::iter::once(sets_out).chain(arrives)
        };
        lock(&self.seen).syns.iter().flat_map(told).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// Whether two SYNs of one connection were both under way, one from each
    /// end, before either had arrived.
    fn crossed(&self) -> bool {
        let under_way =
            |syn: &Syn, at| syn.entered <= at && syn.left.is_none_or(|(left, _)| left > at);
        let crossed = |one: &Syn, other: &Syn| {
            let [source, destination] = one.ports;
            let is_one_connection = one.from != other.from && other.ports == [destination, source];
            is_one_connection && under_way(one, other.entered)
        };
        self.syns.iter().any(|one| self.syns.iter().any(|other| crossed(one, other)))
    }
}

/// The two ends, the NATs and what is between them.
struct Ends {
    sockets: [UdpSocket; 2],
    /// Of each NAT: ports of its host, and where that has sent from them.
    opened: [BTreeSet<(u16, Ipv4Addr, u16)>; 2],
    /// The first is due first: all take the same time.
    under_way: VecDeque<UnderWay>,
    seen: Arc<Mutex<Seen>>,
}

struct UnderWay {
    due: Instant,
    from: usize,
    packet: Packet,
    /// Its place among the SYNs.
    syn: Option<usize>,
}

impl Ends {
    async fn run(mut self) {
        let mut buffers = [[0; PACKET]; 2];
        loop {
            let due = self.under_way.front().map(|first| first.due);
            let ([a, b], [into_a, into_b]) = (&self.sockets, &mut buffers);
            let (from, length) = tokio::select! {
                length = a.recv(into_a) => (0, length),
                length = b.recv(into_b) => (1, length),
                () = wait(due) => {
                    self.deliver();
                    continue;
                }
            };
            let Ok(length) = length else { return };
            let packet = buffers[from].get(..length).and_then(Packet::parse);
            if let Some(packet) = packet {
                self.enter(from, packet);
            }
        }
    }

    /// A packet comes from a host.
    fn enter(&mut self, from: usize, mut packet: Packet) {
        let ((_, port), (to, to_port)) = (packet.source(), packet.destination());
        // Nothing but the other NAT can be reached from here.
        if to != OUTSIDE[1 - from] || self.under_way.len() >= CAPACITY {
            return;
        }
        let opened = &mut self.opened[from];
        if opened.len() < MEMORY {
            opened.insert((port, to, to_port));
        }
        packet.set_source(OUTSIDE[from]);
        let now = Instant::now();
        let seen = &mut *lock(&self.seen);
        seen.packets += 1;
        let is_noted = packet.is_pure_syn() && seen.syns.len() < MEMORY;
        let syn = is_noted.then(|| {
            let ports = [port, to_port];
            seen.syns.push(Syn { from, ports, entered: now, left: None });
            seen.syns.len() - 1
        });
        self.under_way.push_back(UnderWay { due: now + DELAY, from, packet, syn });
    }

    /// What is due reaches the other NAT.
    fn deliver(&mut self) {
        let now = Instant::now();
        while self.under_way.front().is_some_and(|first| first.due <= now) {
            let Some(UnderWay { from, mut packet, syn, .. }) = self.under_way.pop_front() else {
                return;
            };
            let to = 1 - from;
            let ((source, source_port), (_, port)) = (packet.source(), packet.destination());
            let passes = self.opened[to].contains(&(port, source, source_port));
            let seen = &mut *lock(&self.seen);
            seen.dropped += u64::from(!passes);
            if let Some(syn) = syn.and_then(|at| seen.syns.get_mut(at)) {
                syn.left = Some((now, passes));
            }
            if passes {
                packet.set_destination(INSIDE[to]);
                let address = SocketAddr::new(INSIDE[to].into(), 0);
                // A full queue loses the packet, as anywhere.
                let _ = self.sockets[to].try_send_to(&packet.finished(), address);
            }
        }
    }
}

/// A socket that gets every TCP packet which arrives at an interface for an
/// address of ours, and sends whole packets out of it.
fn raw_socket(interface: &str) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_header_included_v4(true)?;
    socket.set_nonblocking(true)?;
    // What gives and takes whole packets is read and written as one of UDP.
    UdpSocket::from_std(socket.into())
}

async fn wait(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
