//! A wire between the interfaces of a namespace, in user space, since not every
//! kernel has netem: with delay, jitter, reordering, loss and a rate.
//!
//! Frames go out to the interface behind which their destination was seen, or
//! to all others, as in a switch. It keeps a packet log, and with
//! `FLOE_LAB_CAPTURE=DIRECTORY` every frame is written to a capture file
//! there, with the time at which it entered the wire.

use std::collections::{BTreeMap, BinaryHeap};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use rand::{Rng, SeedableRng};

use crate::capture::Capture;
use crate::checksum;
use crate::harness::namespace::Namespace;
use crate::packet_log::PacketLog;

/// Frames under way at once; more are dropped, as a full queue would.
const CAPACITY: usize = 4096;
/// The longest frame: no interface here has a larger MTU.
const FRAME: usize = 2048;
/// How long a frame is held up that others are to overtake.
const HELD_UP: Duration = Duration::from_millis(5);
/// How late the wire may notice that the test is over.
const IDLE: Duration = Duration::from_millis(20);

/// One end of the wire: an interface of its namespace.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) interface: &'static str,
    /// Added once for a frame that comes in here and once for one that goes out.
    pub(crate) delay: Duration,
    /// The chance that a frame that comes in here is lost, 0 to 1.
    pub(crate) loss: f64,
    /// A frame that comes in or goes out here takes up to so much longer. It
    /// still overtakes none.
    pub(crate) jitter: Duration,
    /// The chance that a frame that comes in here is held up, so that those
    /// after it overtake it.
    pub(crate) reordering: f64,
    /// Bits a second in each direction.
    pub(crate) rate: Option<u64>,
}

impl Port {
    /// How long `bytes` occupy it.
    fn occupied(&self, bytes: usize) -> Duration {
        let nanos = |rate| bytes as u64 * 8 * 1_000_000_000 / rate;
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_nanos(nanos(rate)))
    }
}

/// A running wire; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    /// What has passed.
    pub(crate) log: PacketLog,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Joins `ports`, which are interfaces of `namespace`. Losses are drawn
    /// from `seed`.
    pub(crate) fn start(namespace: &Namespace, ports: &[Port], seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let log = PacketLog::new();
        let mut switch = namespace.run(|| Switch::new(namespace.name(), ports, seed, log.clone()));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || switch.run(&stop)
        });
        Self { log, stop, thread: Some(thread) }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the wire broke");
        }
    }
}

struct Switch {
    ports: Vec<Port>,
    sockets: Vec<OwnedFd>,
    /// Behind which port a hardware address was seen.
    seen: BTreeMap<[u8; 6], usize>,
    under_way: BinaryHeap<UnderWay>,
    entered: u64,
    rng: rand::rngs::StdRng,
    /// Until when each port is busy with what comes in, and what goes out.
    busy: Vec<[Instant; 2]>,
    /// When the last frame that came in at one port goes out at another.
    last: BTreeMap<(usize, usize), Instant>,
    log: PacketLog,
    capture: Option<Capture>,
}

/// A frame that is due at a port. The earliest is the greatest, and among
/// equals the first to enter.
#[derive(PartialEq, Eq)]
struct UnderWay {
    due: Instant,
    number: u64,
    port: usize,
    frame: Vec<u8>,
    /// Its number in the log.
    logged: Option<usize>,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Switch {
    fn new(name: &str, ports: &[Port], seed: u64, log: PacketLog) -> Self {
        Self {
            sockets: ports.iter().map(|port| packet_socket(port.interface)).collect(),
            ports: ports.to_vec(),
            seen: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            entered: 0,
            rng: rand::rngs::StdRng::seed_from_u64(seed),
            busy: vec![[Instant::now(); 2]; ports.len()],
            last: BTreeMap::new(),
            log,
            capture: Capture::from_environment(name),
        }
    }

    fn run(&mut self, stop: &AtomicBool) {
        let mut frame = [0; FRAME];
        while !stop.load(Ordering::Relaxed) {
            let until = self.under_way.peek().map_or(IDLE, |first| {
                first.due.saturating_duration_since(Instant::now()).min(IDLE)
            });
            let mut polled: Vec<PollFd<'_>> = self
                .sockets
                .iter()
                .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
                .collect();
            ppoll(&mut polled, Some(until.into()), None).expect("the descriptors are ours");
            for port in 0..self.ports.len() {
                while let Some(length) = receive(&self.sockets[port], &mut frame) {
                    self.enter(port, &mut frame[..length]);
                }
            }
            self.deliver();
        }
    }

    fn enter(&mut self, from: usize, frame: &mut [u8]) {
        let now = Instant::now();
        let (Some(destination), Some(source)) = (hardware(frame, 0), hardware(frame, 6)) else {
            return;
        };
        self.seen.insert(source, from);
        checksum::complete(frame);
        if let Some(capture) = &mut self.capture {
            capture.write(frame);
        }
        let logged = self.log.enter(frame, now);
        if self.rng.random_bool(self.ports[from].loss) {
            return;
        }
        let known = self.seen.get(&destination).copied();
        for port in (0..self.ports.len()).filter(|&port| port != from) {
            if known.is_none_or(|known| known == port) && self.under_way.len() < CAPACITY {
                let due = self.due(now, from, port, frame.len());
                self.entered += 1;
                let number = self.entered;
                let frame = frame.to_vec();
                self.under_way.push(UnderWay { due, number, port, frame, logged });
            }
        }
    }

    /// When a frame that enters now at one port leaves at another.
    fn due(&mut self, now: Instant, from: usize, to: usize, bytes: usize) -> Instant {
        let mut due = now;
        for (port, direction) in [(from, 0), (to, 1)] {
            let settings = &self.ports[port];
            let busy = &mut self.busy[port][direction];
            if settings.rate.is_some() {
                *busy = due.max(*busy) + settings.occupied(bytes);
                due = *busy;
            }
            due += settings.delay + settings.jitter.mul_f64(self.rng.random());
        }
        if self.rng.random_bool(self.ports[from].reordering) {
            return due + HELD_UP;
        }
        let last = self.last.entry((from, to)).or_insert(due);
        *last = due.max(*last);
        *last
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|first| first.due <= now) {
            let Some(UnderWay { port, frame, logged, .. }) = self.under_way.pop() else { return };
            if let Some(number) = logged {
                self.log.leave(number, now);
            }
            // A full queue or an interface that has gone loses the frame.
            let _ = send(self.sockets[port].as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT);
        }
    }
}

/// A socket that sees every frame which arrives at `interface` of the
/// calling thread's namespace, and sends whole frames out of it.
fn packet_socket(interface: &str) -> OwnedFd {
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
            .expect("a namespace of ours lets us have packet sockets");
    // A burst waits there while the wire is busy; the kernel gives what it may.
    let _ = setsockopt(&socket, sockopt::RcvBuf, &(1 << 20));
    let address = nix::ifaddrs::getifaddrs()
        .expect("interfaces can be listed")
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .unwrap_or_else(|| panic!("there is no interface {interface}"));
    bind(socket.as_raw_fd(), &address).expect("a packet socket binds to an interface");
    socket
}

fn receive(socket: &OwnedFd, frame: &mut [u8]) -> Option<usize> {
    match recv(socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
        Ok(length) => Some(length),
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => None,
        Err(error) => panic!("reading the wire: {error}"),
    }
}

fn hardware(frame: &[u8], at: usize) -> Option<[u8; 6]> {
    frame.get(at..at + 6)?.try_into().ok()
}
