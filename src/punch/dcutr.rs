//! libp2p's way to a common start, DCUtR, as the reference to compare with.

use std::time::Duration;

use crate::punch::{Rank, Start, SyncBody, SyncMessage};
use crate::timer::Time;

/// DCUtR makes three attempts.
const ATTEMPTS: u32 = 3;
/// An answer is waited for less long than this, so that no start is more than
/// 2 s ahead: a choice of ours, for DCUtR leaves it to the stream.
const PATIENCE: Duration = Duration::from_secs(4);

/// How far a [`Dcutr`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DcutrState {
    /// Not started; or it does not initiate and nothing has come yet.
    Idle,
    /// It initiates: CONNECT is sent, the answer awaited.
    Connecting,
    /// It does not initiate: CONNECT is answered, SYNC awaited.
    Answered,
    /// The time of the attempt is known.
    Synced,
    /// It initiates, and has no attempt left, or got no answer.
    Spent,
}

/// DCUtR as libp2p specifies it (specs/relay/DCUtR.md, step 4 to 6): the side
/// that was reached over a relay sends CONNECT and starts a timer, the other
/// answers CONNECT, and the time that took is the RTT. Then it sends SYNC and
/// makes its attempt RTT/2 later; the other makes its own when SYNC comes.
/// After a failure it begins again, three attempts in all, with the RTT
/// measured afresh.
///
/// The two starts are as far apart as half the difference between the delay of
/// CONNECT's answer and that of CONNECT and SYNC, for each attempt anew.
#[derive(Clone, Debug)]
pub struct Dcutr {
    from: Rank,
    initiates: bool,
    state: DcutrState,
    /// The attempts so far, and the id of the current one.
    attempt: u32,
    /// When CONNECT was sent.
    sent_at: Time,
    start: Option<Start>,
    /// At most one message waits: each follows from one that came, or a call.
    out: Option<SyncMessage>,
}

impl Dcutr {
    /// For one side; `initiates` on the one that was reached over the relay,
    /// and on no other. The rank is only what messages bear.
    pub fn new(from: Rank, initiates: bool) -> Self {
        Dcutr {
            from,
            initiates,
            state: DcutrState::Idle,
            attempt: 0,
            sent_at: Time::ZERO,
            start: None,
            out: None,
        }
    }

    /// Sends the first CONNECT, if this side initiates.
    pub fn start(&mut self, now: Time) {
        if self.initiates && self.state == DcutrState::Idle {
            self.connect(now);
        }
    }

    /// How far it has come.
    pub fn state(&self) -> DcutrState {
        self.state
    }

    /// The attempt failed: the side that initiates begins the next one.
    pub fn refused(&mut self, now: Time) {
        if self.initiates && self.state == DcutrState::Synced {
            self.connect(now);
        }
    }

    /// When the attempt is to be made, if that is not past. The side that does
    /// not initiate asks when SYNC has come, with the same `now`.
    pub fn next_start(&self, now: Time) -> Option<Start> {
        self.start.filter(|start| start.at >= now)
    }

    /// The next message to carry to the peer.
    pub fn poll_message(&mut self) -> Option<SyncMessage> {
        self.out.take()
    }

    /// When [`Dcutr::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        (self.state == DcutrState::Connecting).then(|| self.sent_at + PATIENCE)
    }

    /// Gives up an answer that is overdue.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.state = DcutrState::Spent;
        }
    }

    /// A message came from the peer.
    pub fn handle_message(&mut self, now: Time, message: &SyncMessage) {
        if message.from.tie_breaker == self.from.tie_breaker {
            return;
        }
        self.handle_timeout(now);
        match (message.body, self.initiates, self.state) {
            (SyncBody::Connect, true, DcutrState::Connecting) if message.id == self.attempt => {
                self.send(SyncBody::Sync);
                self.set_start(now + (now - self.sent_at) / 2);
            }
            (SyncBody::Connect, false, _)
                if (self.attempt + 1..=ATTEMPTS).contains(&message.id) =>
            {
                self.attempt = message.id;
                (self.state, self.start) = (DcutrState::Answered, None);
                self.send(SyncBody::Connect);
            }
            (SyncBody::Sync, false, DcutrState::Answered) if message.id == self.attempt => {
                self.set_start(now);
            }
            _ => {}
        }
    }

    fn connect(&mut self, now: Time) {
        self.start = None;
        if self.attempt == ATTEMPTS {
            self.state = DcutrState::Spent;
            return;
        }
        self.attempt += 1;
        (self.state, self.sent_at) = (DcutrState::Connecting, now);
        self.send(SyncBody::Connect);
    }

    fn set_start(&mut self, at: Time) {
        self.state = DcutrState::Synced;
        self.start = Some(Start { round: self.attempt - 1, at });
    }

    fn send(&mut self, body: SyncBody) {
        self.out = Some(SyncMessage { id: self.attempt, from: self.from, body });
    }
}
