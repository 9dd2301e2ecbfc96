//! Listeners: handshakes that are not complete, and connections that nobody
//! has accepted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use floe::timer::Time;

use super::event::{ListenerId, SocketId};
use super::receive::CHALLENGE_SPACING;
use super::segment::{Segment, after, before};
use super::socket::Told;
use super::stream::WINDOW;

/// tcp_synack_retries.
const SYN_ACK_RETRIES: u32 = 5;
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Listener {
    pub local: SocketAddr,
    /// So many handshakes and, with one more, so many connections wait.
    pub backlog: usize,
    /// Its owner does not call accept().
    pub paused: bool,
    pub queue: VecDeque<Queued>,
}

/// A connection in the accept queue.
#[derive(Clone, Debug)]
pub struct Queued {
    pub socket: SocketId,
    pub remote: SocketAddr,
    /// What it had to say so far.
    pub held: Vec<Told>,
}

impl Listener {
    pub fn is_full(&self) -> bool {
        self.queue.len() > self.backlog
    }

    /// Whether a SYN to `local` is for it.
    pub fn hears(&self, local: SocketAddr) -> bool {
        let ip = self.local.ip();
        self.local.port() == local.port()
            && (ip == local.ip() || ip.is_unspecified() && ip.is_ipv4() == local.is_ipv4())
    }
}

/// A handshake that a listener answers: SYN_RECV without a socket.
#[derive(Clone, Debug)]
pub struct Request {
    pub listener: ListenerId,
    pub iss: u32,
    pub irs: u32,
    pub began: Time,
    pub timer: Time,
    timeouts: u32,
    answered: Option<Time>,
}

/// What a segment means to a request.
pub enum Verdict {
    Ignored,
    Answer(Segment),
    /// The request ends, and perhaps with an RST.
    Reset(Option<Segment>),
    /// The handshake is complete.
    Complete,
}

impl Request {
    pub fn new(listener: ListenerId, iss: u32, irs: u32, now: Time) -> Self {
        let timer = now + FIRST_TIMEOUT;
        Request { listener, iss, irs, began: now, timer, timeouts: 0, answered: None }
    }

    pub fn syn_ack(&self) -> Segment {
        Segment::syn_ack(self.iss, self.irs.wrapping_add(1))
    }

    /// After Linux's tcp_check_req().
    pub fn receive(&mut self, segment: &Segment, now: Time) -> Verdict {
        let (snd_nxt, rcv_nxt) = (self.iss.wrapping_add(1), self.irs.wrapping_add(1));
        if segment.is_bare_syn() && segment.seq == self.irs {
            if !self.may_answer(now) {
                return Verdict::Ignored;
            }
            self.timer = now + FIRST_TIMEOUT * (1 << self.timeouts);
            return Verdict::Answer(self.syn_ack());
        }
        if segment.ack.is_some_and(|ack| ack != snd_nxt) {
            return segment.refusal().map_or(Verdict::Ignored, Verdict::Answer);
        }
        let window_end = rcv_nxt.wrapping_add(WINDOW);
        let fits = segment.seq == rcv_nxt
            || after(segment.end(), rcv_nxt) && before(segment.seq, window_end);
        if !fits {
            return if !segment.rst && self.may_answer(now) {
                Verdict::Answer(Segment::ack(snd_nxt, rcv_nxt))
            } else {
                Verdict::Ignored
            };
        }
        if segment.rst || segment.syn && segment.seq != self.irs {
            return Verdict::Reset(segment.refusal());
        }
        if segment.ack.is_some() { Verdict::Complete } else { Verdict::Ignored }
    }

    /// The timer has expired: the SYN-ACK again, or the end.
    pub fn expire(&mut self, now: Time) -> Option<Segment> {
        if self.timeouts >= SYN_ACK_RETRIES {
            return None;
        }
        self.timeouts += 1;
        self.timer = now + FIRST_TIMEOUT * (1 << self.timeouts);
        Some(self.syn_ack())
    }

    fn may_answer(&mut self, now: Time) -> bool {
        let may = self.answered.is_none_or(|last| now - last >= CHALLENGE_SPACING);
        if may {
            self.answered = Some(now);
        }
        may
    }
}
