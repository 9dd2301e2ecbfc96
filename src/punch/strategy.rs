//! The seam: how two agents time their attempts.

use std::time::Duration;

use crate::punch::{Dcutr, Offer, Rank, Start, Sync, SyncMessage};
use crate::timer::Time;

/// How an agent agrees with its peer on the times of attempts. Both must use
/// the same; where they do not, nothing is agreed.
#[derive(Clone, Debug, Default)]
pub enum Timing {
    /// Not at all: it sends nothing and knows no time.
    #[default]
    None,
    /// Four timestamps and rounds from T0 on.
    Sync(Box<Sync>),
    /// libp2p's DCUtR.
    Dcutr(Dcutr),
}

impl Timing {
    /// Ours; see [`Sync::new`].
    pub fn sync(rank: Rank, now: Time) -> Self {
        Timing::Sync(Box::new(Sync::new(rank, now)))
    }

    /// libp2p's; see [`Dcutr::new`].
    pub fn dcutr(rank: Rank, initiates: bool) -> Self {
        Timing::Dcutr(Dcutr::new(rank, initiates))
    }

    /// Begins: the peer can be sent messages from now on. A second call does
    /// nothing.
    pub fn start(&mut self, now: Time) {
        match self {
            Timing::None => {}
            Timing::Sync(sync) => sync.start(now),
            Timing::Dcutr(dcutr) => dcutr.start(now),
        }
    }

    /// A message came from the peer. Whatever it says, nothing worse comes of
    /// it than a time of no use.
    pub fn handle_message(&mut self, now: Time, message: &SyncMessage) {
        match self {
            Timing::None => {}
            Timing::Sync(sync) => sync.handle_message(now, message),
            Timing::Dcutr(dcutr) => dcutr.handle_message(now, message),
        }
    }

    /// The next message to carry to the peer; to be asked until `None` after
    /// every other call, and carried at once.
    pub fn poll_message(&mut self) -> Option<SyncMessage> {
        match self {
            Timing::None => None,
            Timing::Sync(sync) => sync.poll_message(),
            Timing::Dcutr(dcutr) => dcutr.poll_message(),
        }
    }

    /// When [`Timing::handle_timeout`] is to be called; it may be in the past.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Timing::None => None,
            Timing::Sync(sync) => sync.poll_timeout(),
            Timing::Dcutr(dcutr) => dcutr.poll_timeout(),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        match self {
            Timing::None => {}
            Timing::Sync(sync) => sync.handle_timeout(now),
            Timing::Dcutr(dcutr) => dcutr.handle_timeout(now),
        }
    }

    /// An attempt was refused: another time is wanted.
    pub fn refused(&mut self, now: Time) {
        match self {
            Timing::None => {}
            Timing::Sync(sync) => sync.refused(now),
            Timing::Dcutr(dcutr) => dcutr.refused(now),
        }
    }

    /// Both had a start, and nothing came of it.
    pub fn missed(&mut self, now: Time) {
        if let Timing::Sync(sync) = self {
            sync.missed(now);
        }
    }

    /// The agent's ICE role changed.
    pub fn set_role(&mut self, controls: bool, now: Time) {
        if let Timing::Sync(sync) = self {
            sync.set_role(controls, now);
        }
    }

    /// The next time, not before `now`, at which both make an attempt; `None`
    /// where there is none.
    pub fn next_start(&self, now: Time) -> Option<Start> {
        match self {
            Timing::None => None,
            Timing::Sync(sync) => sync.next_start(now),
            Timing::Dcutr(dcutr) => dcutr.next_start(now),
        }
    }

    /// When this round starts, if it is one of those that are agreed.
    pub fn start_of(&self, round: u32) -> Option<Time> {
        match self {
            Timing::Sync(sync) => sync.start_of(round),
            Timing::None | Timing::Dcutr(_) => None,
        }
    }

    /// The time between two rounds, where any are agreed: 2.5 round trips of
    /// what carries the messages, at least 250 ms and at most 2 s.
    pub fn distance(&self) -> Option<Duration> {
        match self {
            Timing::Sync(sync) => sync.distance(),
            Timing::None | Timing::Dcutr(_) => None,
        }
    }

    /// Tells the peer of a fresh port ([`crate::punch::Repunch`]).
    pub fn offer(&mut self, offer: Offer) {
        if let Timing::Sync(sync) = self {
            sync.offer(offer);
        }
    }

    /// Whether this agent's SYN leaves at the start of the round, not a little
    /// later. Without an order, as in DCUtR, both go first.
    pub fn goes_first(&self, round: u32) -> bool {
        match self {
            Timing::Sync(sync) => sync.goes_first(round),
            Timing::None | Timing::Dcutr(_) => true,
        }
    }
}
