//! One TCP socket of the kernel, from connect() or accept() to its end: a pure
//! machine that segments, timers and calls drive.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use floe::timer::Time;

use super::segment::{Segment, before};
use super::stream::{Incoming, Outgoing, SEGMENT_SIZE};

/// As TCP_INFO says it; there is no TIME_WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    SynSent,
    SynRecv,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    LastAck,
    Closing,
    Closed,
}

/// What a socket has to say to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Connected,
    Failed(ErrorKind),
    Received(Vec<u8>),
    Writable,
    Ended,
    Reset(ErrorKind),
}

/// What comes of driving a socket.
#[derive(Debug, Default)]
pub struct Outcome {
    pub segments: Vec<Segment>,
    pub told: Vec<Told>,
}

const FIRST_RTO: Duration = Duration::from_secs(1);
const MIN_RTO: Duration = Duration::from_millis(200);
const MAX_RTO: Duration = Duration::from_secs(120);
/// tcp_syn_linear_timeouts: that many retransmissions of a SYN do not back off.
const LINEAR_TIMEOUTS: u32 = 4;
/// tcp_syn_retries, to which the linear ones are added in SYN_SENT.
const SYN_RETRIES: u32 = 6;
/// tcp_retries2.
const DATA_RETRIES: u32 = 15;
/// tcp_orphan_retries, where it is 0: of what its owner has closed.
const ORPHAN_RETRIES: u32 = 8;
/// tcp_fin_timeout.
pub(super) const FIN_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Socket {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: State,
    /// The SYNs crossed.
    pub crossed: bool,
    /// Its owner closed it.
    pub orphan: bool,
    pub(super) iss: u32,
    pub(super) snd_una: u32,
    pub(super) snd_nxt: u32,
    pub(super) irs: u32,
    pub(super) rcv_nxt: u32,
    pub(super) timer: Option<Time>,
    pub(super) rto: Duration,
    /// The RTO without back-off.
    pub(super) base_rto: Duration,
    pub(super) retransmits: u32,
    pub(super) duplicates: u32,
    /// After a loss, one segment an ACK is sent again until this is reached.
    pub(super) recovers: Option<u32>,
    pub(super) syn_sent: Time,
    pub(super) answered: Option<Time>,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) short: bool,
}

impl Socket {
    /// connect(): the SYN is the first segment of the outcome.
    pub fn connect(
        local: SocketAddr,
        remote: SocketAddr,
        iss: u32,
        now: Time,
        out: &mut Outcome,
    ) -> Self {
        out.segments.push(Segment::syn(iss));
        Socket {
            local,
            remote,
            state: State::SynSent,
            crossed: false,
            orphan: false,
            iss,
            snd_una: iss,
            snd_nxt: iss.wrapping_add(1),
            irs: 0,
            rcv_nxt: 0,
            timer: Some(now + FIRST_RTO),
            rto: FIRST_RTO,
            base_rto: FIRST_RTO,
            retransmits: 0,
            duplicates: 0,
            recovers: None,
            syn_sent: now,
            answered: None,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            short: false,
        }
    }

    /// The child of a listener whose handshake is complete.
    pub fn accepted(
        (local, remote): (SocketAddr, SocketAddr),
        (iss, irs): (u32, u32),
        rtt: Duration,
    ) -> Self {
        let mut child = Socket::connect(local, remote, iss, Time::ZERO, &mut Outcome::default());
        child.state = State::Established;
        child.snd_una = child.snd_nxt;
        (child.irs, child.rcv_nxt) = (irs, irs.wrapping_add(1));
        child.settle(rtt);
        child
    }

    /// It is established; `rtt` is the first sample, and the only one.
    pub(super) fn settle(&mut self, rtt: Duration) {
        self.base_rto = (rtt + MIN_RTO.max(2 * rtt)).min(MAX_RTO);
        self.rto = self.base_rto;
        (self.timer, self.retransmits) = (None, 0);
    }

    /// When [`Socket::expire`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.timer
    }

    /// A timer has expired.
    pub fn expire(&mut self, now: Time, out: &mut Outcome) {
        if self.timer.is_none_or(|timer| timer > now) {
            return;
        }
        let most = match self.state {
            State::SynSent => SYN_RETRIES + LINEAR_TIMEOUTS,
            State::SynRecv => SYN_RETRIES,
            State::FinWait2 => 0,
            _ if self.orphan => ORPHAN_RETRIES,
            _ => DATA_RETRIES,
        };
        if self.retransmits >= most {
            let told = match self.state {
                State::SynSent | State::SynRecv => Told::Failed(ErrorKind::TimedOut),
                _ => Told::Reset(ErrorKind::TimedOut),
            };
            return self.end(told, out);
        }
        self.retransmits += 1;
        if self.state != State::SynSent || self.retransmits > LINEAR_TIMEOUTS {
            self.rto = (2 * self.rto).min(MAX_RTO);
        }
        match self.state {
            State::SynSent => {
                self.syn_sent = now;
                out.segments.push(Segment::syn(self.iss));
            }
            State::SynRecv => out.segments.push(Segment::syn_ack(self.iss, self.rcv_nxt)),
            _ => {
                self.recovers = Some(self.snd_nxt);
                out.segments.extend(self.outgoing.first(self.rcv_nxt));
            }
        }
        self.timer = Some(now + self.rto);
    }

    /// ICMP says that `seq` did not reach the remote; only a handshake fails by it.
    pub fn unreachable(&mut self, seq: u32, out: &mut Outcome) {
        let is_ours = !before(seq, self.snd_una) && before(seq, self.snd_nxt);
        if is_ours && matches!(self.state, State::SynSent | State::SynRecv) {
            self.end(Told::Failed(ErrorKind::HostUnreachable), out);
        }
    }

    /// write(): how much of `bytes` was taken.
    pub fn send(&mut self, now: Time, bytes: &[u8], out: &mut Outcome) -> Result<usize, ErrorKind> {
        match self.state {
            State::SynSent | State::SynRecv => return Err(ErrorKind::NotConnected),
            State::Established | State::CloseWait => {}
            _ => return Err(ErrorKind::BrokenPipe),
        }
        let taken = bytes.len().min(self.outgoing.room());
        self.short = taken < bytes.len();
        if taken == 0 && self.short {
            return Err(ErrorKind::WouldBlock);
        }
        for data in bytes[..taken].chunks(SEGMENT_SIZE) {
            self.push(now, data, false, out);
        }
        Ok(taken)
    }

    fn push(&mut self, now: Time, data: &[u8], fin: bool, out: &mut Outcome) {
        let segment = self.outgoing.push(self.snd_nxt, data, fin, self.rcv_nxt);
        self.snd_nxt = segment.end();
        out.segments.push(segment);
        self.timer.get_or_insert(now + self.rto);
    }

    /// close(): what was written still goes out.
    pub fn close(&mut self, now: Time, out: &mut Outcome) {
        self.orphan = true;
        self.state = match self.state {
            State::SynSent => State::Closed,
            State::SynRecv | State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            other => other,
        };
        if matches!(self.state, State::FinWait1 | State::LastAck) && !self.outgoing.has_fin() {
            self.push(now, &[], true, out);
        }
    }

    /// close() with a linger time of 0.
    pub fn abort(&mut self, out: &mut Outcome) {
        self.orphan = true;
        if !matches!(self.state, State::SynSent | State::Closed | State::LastAck | State::Closing) {
            out.segments.push(Segment::rst(self.snd_nxt, Some(self.rcv_nxt)));
        }
        self.state = State::Closed;
    }

    pub(super) fn end(&mut self, told: Told, out: &mut Outcome) {
        self.state = State::Closed;
        self.timer = None;
        out.told.push(told);
    }
}
