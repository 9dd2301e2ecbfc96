//! A plain program of sockets, without floe, that finds what is physically
//! possible in a cell: two hosts that connect to each other over TCP from one
//! port each, with a listener on it, as RFC 6544 has it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::namespace::Namespace;
use crate::stun_message::{length, mapped, request};

/// How long the STUN server has to answer; it is the second SYN that counts
/// where the first is lost.
const GATHERING: Duration = Duration::from_secs(4);
/// How long a side sleeps at most before it looks whether the other is done.
const TICK: Duration = Duration::from_millis(5);
/// Connections that one side keeps, and attempts that it makes, at most.
const CONNECTIONS: usize = 8;
const ATTEMPTS: usize = 1000;
/// What a side sends over every connection that it gets.
const GREETING: u8 = b'!';

/// One host's port: what a candidate would be made of.
pub(crate) struct Endpoint {
    host: Namespace,
    local: SocketAddr,
    listener: Option<Socket>,
    /// Stays open, so that no NAT forgets the mapping with it.
    _stun: TcpStream,
    /// The port as the STUN server saw it.
    pub(crate) mapped: SocketAddr,
}

/// How the two sides try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// When each starts, from a common point in time.
    pub(crate) starts: [Duration; 2],
    /// Each side's port has a listener too.
    pub(crate) listener: bool,
    /// A refused attempt is repeated from a fresh socket, after a quarter of
    /// this (and at least 10 ms) give or take 30 %; without it there is one.
    pub(crate) retry: Option<Duration>,
    /// When a side gives up, from the later start.
    pub(crate) limit: Duration,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// From the later start until both sides had their connection, and until a
    /// byte had come in on both.
    pub(crate) connected: Option<Took>,
    /// How each side got its connection.
    pub(crate) ways: [Option<Way>; 2],
    /// The peer as each side saw it.
    pub(crate) seen: [Option<SocketAddr>; 2],
    /// SYNs that each side's kernel was asked for.
    pub(crate) attempts: [usize; 2],
}

/// From the later start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Took {
    /// Until both sides could send.
    pub(crate) open: Duration,
    /// Until both sides had heard the other.
    pub(crate) heard: Duration,
}

/// How a connection came about on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `connect` succeeded.
    Connect,
    /// The listener had it.
    Accept,
}

impl Endpoint {
    /// Takes `local`, an address of `host`, and learns how `stun` sees it.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached from there.
    pub(crate) fn open(host: &Namespace, local: SocketAddr, stun: SocketAddr) -> io::Result<Self> {
        host.run(|| {
            let listener = bound(local)?;
            listener.listen(16)?;
            listener.set_nonblocking(true)?;
            let socket = bound(local)?;
            socket.connect_timeout(&stun.into(), GATHERING)?;
            let mut stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(GATHERING))?;
            stream.write_all(&request())?;
            let mut response = vec![0; 20];
            stream.read_exact(&mut response)?;
            let whole = length(&response).expect("it has a header").min(1500);
            response.resize(whole, 0);
            stream.read_exact(&mut response[20..])?;
            let mapped = mapped(&response).ok_or(ErrorKind::InvalidData)?;
            Ok(Self { host: host.clone(), local, listener: Some(listener), _stun: stream, mapped })
        })
    }
}

/// A socket that shares its port with others of the same endpoint. It leaves
/// no TIME_WAIT behind.
fn bound(local: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.bind(&local.into())?;
    Ok(socket)
}

/// Whether the handshake is over. The peer's address would not tell: it is
/// there in SYN_RECV too.
fn established(socket: &Socket) -> bool {
    let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    // A signal only makes it later.
    let _ = ppoll(&mut polled, Some(Duration::ZERO.into()), None);
    polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT))
}

/// Both sides try towards each other's mapped address.
pub(crate) fn punch(mut ends: [Endpoint; 2], plan: &Plan) -> Outcome {
    if !plan.listener {
        ends.iter_mut().for_each(|end| end.listener = None);
    }
    let ends = &ends;
    let done = AtomicUsize::new(0);
    let together = Barrier::new(2);
    let late = plan.starts[0].max(plan.starts[1]);
    let [ours, theirs] = thread::scope(|scope| {
        let sides = [0, 1].map(|side| {
            let (done, together) = (&done, &together);
            scope.spawn(move || {
                let [end, peer] = [&ends[side], &ends[1 - side]];
                end.host.join_thread();
                together.wait();
                let zero = Instant::now();
                let late = zero + late;
                let mut side = Side {
                    end,
                    peer: peer.mapped,
                    first: side == 0,
                    connecting: None,
                    next: Some(zero + plan.starts[side]),
                    retry: plan.retry,
                    rng: StdRng::from_os_rng(),
                    attempts: 0,
                    connections: vec![],
                    heard: None,
                };
                side.run(late + plan.limit, done);
                side.report(late)
            })
        });
        sides.map(|side| side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    Outcome {
        connected: ours.took.zip(theirs.took).map(|(ours, theirs)| Took {
            open: ours.open.max(theirs.open),
            heard: ours.heard.max(theirs.heard),
        }),
        ways: [ours.way, theirs.way],
        seen: [ours.seen, theirs.seen],
        attempts: [ours.attempts, theirs.attempts],
    }
}

struct Side<'a> {
    end: &'a Endpoint,
    peer: SocketAddr,
    first: bool,
    connecting: Option<Socket>,
    /// When the next attempt is due, if one is.
    next: Option<Instant>,
    retry: Option<Duration>,
    rng: StdRng,
    attempts: usize,
    connections: Vec<Connection>,
    /// When a byte came in, and over which connection.
    heard: Option<(Instant, usize)>,
}

struct Connection {
    stream: TcpStream,
    way: Way,
    peer: Option<SocketAddr>,
    since: Instant,
}

struct Report {
    took: Option<Took>,
    way: Option<Way>,
    seen: Option<SocketAddr>,
    attempts: usize,
}

impl Side<'_> {
    /// Until both sides have heard each other; no side closes its connections
    /// before.
    fn run(&mut self, deadline: Instant, done: &AtomicUsize) {
        while done.load(Ordering::Acquire) < 2 && Instant::now() < deadline {
            if self.heard.is_none() && self.next.is_some_and(|next| next <= Instant::now()) {
                self.attempt();
            }
            self.wait();
            self.accept();
            self.finish_connecting();
            if self.heard.is_none() {
                self.listen();
                if self.heard.is_some() {
                    done.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    }

    fn attempt(&mut self) {
        self.next = None;
        self.attempts += 1;
        let begun = bound(self.end.local).and_then(|socket| {
            socket.set_nonblocking(true)?;
            match socket.connect(&self.peer.into()) {
                Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => Ok(socket),
                Err(error) => Err(error),
                Ok(()) => Ok(socket),
            }
        });
        match begun {
            Ok(socket) => self.connecting = Some(socket),
            // That connection is in the listener's queue already, or in the
            // making.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => self.again(),
            Err(_) => self.again(),
        }
    }

    /// Plans another attempt, where there is to be one. The sides take turns
    /// at going first.
    fn again(&mut self) {
        let Some(round_trip) = self.retry else { return };
        if self.attempts < ATTEMPTS {
            let pause = (round_trip / 4).max(Duration::from_millis(10));
            let turn = if self.first == (self.attempts.is_multiple_of(2)) { 1.0 } else { 1.5 };
            let jitter = self.rng.random_range(0.7..1.3);
            self.next = Some(Instant::now() + pause.mul_f64(turn * jitter));
        }
    }

    /// Waits until a socket has something, an attempt is due or a tick is over.
    fn wait(&self) {
        let until = self.next.map_or(TICK, |next| next.saturating_duration_since(Instant::now()));
        let mut polled = vec![];
        if let Some(listener) = &self.end.listener {
            polled.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        if let Some(socket) = &self.connecting {
            polled.push(PollFd::new(socket.as_fd(), PollFlags::POLLOUT));
        }
        if self.heard.is_none() {
            let streams = self.connections.iter().map(|one| one.stream.as_fd());
            polled.extend(streams.map(|one| PollFd::new(one, PollFlags::POLLIN)));
        }
        // A signal only makes it shorter.
        let _ = ppoll(&mut polled, Some(until.min(TICK).into()), None);
    }

    fn accept(&mut self) {
        let Some(listener) = &self.end.listener else { return };
        while let Ok((socket, _)) = listener.accept() {
            // Failing, it leaves a TIME_WAIT, no more.
            let _ = socket.set_linger(Some(Duration::ZERO));
            if socket.set_nonblocking(true).is_ok() {
                self.greet(socket, Way::Accept);
            }
        }
    }

    fn finish_connecting(&mut self) {
        let Some(socket) = self.connecting.take() else { return };
        match socket.take_error() {
            Ok(None) if established(&socket) => self.greet(socket, Way::Connect),
            Ok(None) => self.connecting = Some(socket),
            Ok(Some(_)) | Err(_) => self.again(),
        }
    }

    fn greet(&mut self, socket: Socket, way: Way) {
        let mut stream = TcpStream::from(socket);
        let peer = stream.peer_addr().ok();
        if self.connections.len() < CONNECTIONS && stream.write_all(&[GREETING]).is_ok() {
            self.connections.push(Connection { stream, way, peer, since: Instant::now() });
        }
    }

    /// Reads a greeting; what fails is forgotten.
    fn listen(&mut self) {
        let mut failed = false;
        self.connections.retain_mut(|one| {
            let mut byte = [0];
            let alive = match one.stream.peek(&mut byte) {
                Ok(1) => true,
                Ok(_) => false,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            };
            failed |= !alive;
            alive
        });
        let heard = |one: &Connection| matches!(one.stream.peek(&mut [0]), Ok(1));
        self.heard = self.connections.iter().position(heard).map(|at| (Instant::now(), at));
        if failed && self.connecting.is_none() && self.next.is_none() {
            self.again();
        }
    }

    fn report(&self, late: Instant) -> Report {
        let connection = self.heard.map(|(_, at)| &self.connections[at]);
        let from_late = |at: Instant| at.saturating_duration_since(late);
        Report {
            took: self.heard.zip(connection).map(|((heard, _), connection)| Took {
                open: from_late(connection.since),
                heard: from_late(heard),
            }),
            way: connection.map(|one| one.way),
            seen: connection.and_then(|one| one.peer),
            attempts: self.attempts,
        }
    }
}
