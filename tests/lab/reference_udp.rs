//! The same over UDP, for the rows beside it: datagrams from one port each,
//! repeated until both sides know that they are heard.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::namespace::Namespace;
use crate::reference::{Outcome, Plan, Took};
use crate::stun_message::{mapped, request};

/// Between two datagrams.
const INTERVAL: Duration = Duration::from_millis(50);
/// Requests to the STUN server.
const REQUESTS: usize = 10;

/// One host's port.
pub(crate) struct Endpoint {
    socket: UdpSocket,
    /// The port as the STUN server saw it.
    pub(crate) mapped: SocketAddr,
}

impl Endpoint {
    /// Takes `local`, an address of `host`, and learns how `stun` sees it.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached from there.
    pub(crate) fn open(host: &Namespace, local: SocketAddr, stun: SocketAddr) -> io::Result<Self> {
        let socket = host.run(|| UdpSocket::bind(local))?;
        socket.set_read_timeout(Some(Duration::from_millis(300)))?;
        for _ in 0..REQUESTS {
            // What a NAT refuses shows as a missing answer.
            let _ = socket.send_to(&request(), stun);
            let mut response = [0; 1500];
            match socket.recv_from(&mut response) {
                Ok((length, from)) if from == stun => {
                    let mapped = mapped(&response[..length]).ok_or(ErrorKind::InvalidData)?;
                    return Ok(Self { socket, mapped });
                }
                Ok(_) | Err(_) => {}
            }
        }
        Err(ErrorKind::TimedOut.into())
    }
}

/// What a datagram says.
const HELLO: u8 = 1;
const HEARD: u8 = 2;

/// Both sides send towards each other's mapped address, and answer where
/// something came from.
pub(crate) fn punch(ends: &[Endpoint; 2], plan: &Plan) -> Outcome {
    let (done, together) = (AtomicUsize::new(0), Barrier::new(2));
    let late = plan.starts[0].max(plan.starts[1]);
    let [ours, theirs] = thread::scope(|scope| {
        let sides = [0, 1].map(|side| {
            let (done, together) = (&done, &together);
            scope.spawn(move || {
                together.wait();
                let late = Instant::now() + late;
                let start = Instant::now() + plan.starts[side];
                let [end, peer] = [&ends[side], &ends[1 - side]];
                talk(end, peer.mapped, start, late, late + plan.limit, done)
            })
        });
        sides.map(|side| side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    Outcome {
        connected: ours.at.zip(theirs.at).map(|(ours, theirs)| {
            let heard = ours.max(theirs);
            Took { open: heard, heard }
        }),
        ways: [None, None],
        seen: [ours.from, theirs.from],
        attempts: [ours.sent, theirs.sent],
    }
}

#[derive(Default)]
struct Side {
    /// When it knew that it is heard, from the later start.
    at: Option<Duration>,
    from: Option<SocketAddr>,
    sent: usize,
}

fn talk(
    end: &Endpoint,
    peer: SocketAddr,
    start: Instant,
    late: Instant,
    deadline: Instant,
    done: &AtomicUsize,
) -> Side {
    let mut side = Side::default();
    let mut next = start;
    while done.load(Ordering::Acquire) < 2 && Instant::now() < deadline {
        if next <= Instant::now() {
            let word = if side.from.is_some() { HEARD } else { HELLO };
            // A refusal of an earlier one may show here.
            let _ = end.socket.send_to(&[word], side.from.unwrap_or(peer));
            side.sent += 1;
            next += INTERVAL;
        }
        let left = next.saturating_duration_since(Instant::now());
        let wait = left.clamp(Duration::from_millis(1), Duration::from_millis(5));
        end.socket.set_read_timeout(Some(wait)).expect("a timeout can be set");
        let mut word = [0; 16];
        let Ok((1, from)) = end.socket.recv_from(&mut word) else { continue };
        let new = side.from.replace(from).is_none();
        if new && start <= Instant::now() {
            next = Instant::now();
        }
        if word[0] == HEARD && side.at.is_none() {
            side.at = Some(Instant::now().saturating_duration_since(late));
            done.fetch_add(1, Ordering::AcqRel);
            // The peer may wait for the same word.
            let _ = end.socket.send_to(&[HEARD], from);
        }
    }
    side
}
