//! A wire with delay and loss between the interfaces of a namespace, in user
//! space, since not every kernel has netem.
//!
//! Frames go out to the interface behind which their destination was seen, or
//! to all others, as in a switch. It is the packet log as well: with
//! `FLOE_LAB_CAPTURE=DIRECTORY` every frame is written to a capture file
//! there, with the time at which it entered the wire.

use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use rand::{Rng, SeedableRng};

use crate::checksum;
use crate::harness::namespace::Namespace;

/// Frames under way at once; more are dropped, as a full queue would.
const CAPACITY: usize = 4096;
/// The longest frame: no interface here has a larger MTU.
const FRAME: usize = 2048;
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
}

/// A running wire; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Joins `ports`, which are interfaces of `namespace`. Losses are drawn
    /// from `seed`.
    pub(crate) fn start(namespace: &Namespace, ports: &[Port], seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut switch = namespace.run(|| Switch::new(namespace.name(), ports, seed));
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || switch.run(&stop)
        });
        Self { stop, thread: Some(thread) }
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
    fn new(name: &str, ports: &[Port], seed: u64) -> Self {
        Self {
            sockets: ports.iter().map(|port| packet_socket(port.interface)).collect(),
            ports: ports.to_vec(),
            seen: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            entered: 0,
            rng: rand::rngs::StdRng::seed_from_u64(seed),
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
        if self.rng.random_bool(self.ports[from].loss) {
            return;
        }
        let known = self.seen.get(&destination).copied();
        for port in (0..self.ports.len()).filter(|&port| port != from) {
            if known.is_none_or(|known| known == port) && self.under_way.len() < CAPACITY {
                let due = now + self.ports[from].delay + self.ports[port].delay;
                self.entered += 1;
                let number = self.entered;
                self.under_way.push(UnderWay { due, number, port, frame: frame.to_vec() });
            }
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|first| first.due <= now) {
            let Some(UnderWay { port, frame, .. }) = self.under_way.pop() else { return };
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

/// A capture file, as tcpdump and Wireshark read it.
struct Capture(BufWriter<File>);

impl Capture {
    fn from_environment(name: &str) -> Option<Self> {
        const MAGIC: u32 = 0xa1b2_c3d4;
        const ETHERNET: u32 = 1;
        let directory = std::env::var_os("FLOE_LAB_CAPTURE")?;
        let path =
            std::path::Path::new(&directory).join(format!("{name}-{}.pcap", std::process::id()));
        let file = File::create(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut capture = Self(BufWriter::new(file));
        capture.words(&[MAGIC, 4 << 16 | 2, 0, 0, 65_535, ETHERNET]);
        Some(capture)
    }

    fn write(&mut self, frame: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        self.words(&[seconds, now.subsec_micros(), length, length]);
        self.0.write_all(frame).expect("the capture can be written");
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.0.write_all(&word.to_le_bytes()).expect("the capture can be written");
        }
    }
}
