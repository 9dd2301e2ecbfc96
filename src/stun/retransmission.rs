//! The schedule of a client transaction over UDP (RFC 8489 §6.2.1).

use std::time::Duration;

use crate::timer::Time;

/// Rc: how often a request is sent at most.
const RC: u8 = 7;

/// Rm: after the last transmission the client waits this many RTO.
const RM: u32 = 16;

/// When to send a request again and when to give up. Pure: it is told when a
/// deadline passed and answers with the next. A transaction is cancelled by
/// no longer asking; its id may be kept for a late answer.
#[derive(Clone, Debug)]
pub struct Retransmission {
    rto: Duration,
    sent: u8,
}

impl Retransmission {
    /// The schedule for an initial retransmission timeout of `rto`.
    pub fn new(rto: Duration) -> Self {
        Self { rto, sent: 0 }
    }

    /// The request is sent for the first time at `now`; returns when
    /// [`advance`](Self::advance) is due.
    pub fn start(&mut self, now: Time) -> Time {
        self.sent = 1;
        now + self.wait()
    }

    /// The deadline has passed and it is `now`. `Some(deadline)`: send again,
    /// and the next deadline is this one. `None`: the transaction timed out.
    pub fn advance(&mut self, now: Time) -> Option<Time> {
        if self.sent >= RC {
            return None;
        }
        self.sent += 1;
        Some(now + self.wait())
    }

    /// How often the request was sent so far.
    pub fn sent(&self) -> u8 {
        self.sent
    }

    fn wait(&self) -> Duration {
        match self.sent {
            0 => Duration::ZERO,
            sent if sent >= RC => self.rto.saturating_mul(RM),
            sent => self.rto.saturating_mul(1 << (sent - 1)),
        }
    }
}
