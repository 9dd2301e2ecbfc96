//! A UDP simultaneous open: where nothing comes through on the ports that were
//! signalled, both sides check at once between ports that nobody has aimed at.
//!
//! A NAT that lets in what nobody inside has asked for, to itself, keeps what
//! it takes for a flow of its own. When the inside host sends the other way, its
//! port is taken, and it is given another, which the peer's NAT does not let in:
//! the early check has poisoned the mapping. Between fresh ports, both first
//! checks have to be under way before either arrives.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::Family;
use crate::punch::message::MAX_ATTEMPTS;
use crate::punch::{Offer, Timing};
use crate::timer::Time;

/// A path is suspected when nothing has come through for so long, and for three
/// round trips.
const PATIENCE: Duration = Duration::from_millis(500);
/// Where that is known only when a check is sent again, so much longer.
const GRACE: Duration = Duration::from_millis(20);
/// How long a fresh port may take to be bound and to be seen by a server.
const PREPARING: Duration = Duration::from_secs(3);
/// How long the peer may take to tell of its port.
const WAITING: Duration = Duration::from_secs(10);
/// A common start is no further ahead than this.
const MAX_AHEAD: Duration = Duration::from_secs(6);
/// What is sent at the start may get lost, and is sent again after 500 ms.
const MIN_OUTCOME: Duration = Duration::from_millis(1_500);

/// How far a [`Repunch`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepunchState {
    /// A check is under way, and may be answered yet.
    Watching,
    /// Nothing came through: a common start is wanted.
    Suspecting,
    /// A fresh port is being bound, and a server asked how it is seen.
    Preparing,
    /// The peer was told of it, and has to tell of its own.
    Offered,
    /// Both know both, and the start.
    Armed,
    /// The checks are under way.
    Punched,
    /// The peer did not answer: nothing is done unless it does.
    Resting,
    /// The component has a path, or all attempts came to nothing.
    Over,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Have a common start agreed on ([`Timing::refused`]).
    Agree,
    /// Bind a fresh port and have a server say how it is seen: then
    /// [`Repunch::mapped`], or [`Repunch::failed`].
    Prepare,
    /// Check from the fresh port to the peer's, now.
    Punch(Offer),
    /// The fresh port is of no use any more.
    Drop,
}

/// The attempts of one component at a start between fresh ports.
#[derive(Clone, Debug)]
pub struct Repunch {
    component: u16,
    state: RepunchState,
    /// When something is due by itself.
    due: Option<Time>,
    /// When the first check left.
    since: Time,
    /// [`Step::Agree`] was said.
    asked: bool,
    /// The attempt that is under way, or was the last one; 0 before the first.
    attempt: u8,
    /// How the server sees our fresh port.
    seen: Option<SocketAddr>,
    /// The round that we can begin in.
    round: u32,
    /// What the peer told last.
    theirs: Option<Offer>,
    /// The fresh port is to be dropped first.
    stale: bool,
}

impl Repunch {
    /// For a component whose first check left at `since`, as is known `now`.
    pub fn watch(component: u16, since: Time, now: Time) -> Self {
        let due = Some((since + PATIENCE).max(now + GRACE));
        let state = RepunchState::Watching;
        Repunch {
            component,
            state,
            due,
            since,
            asked: false,
            attempt: 0,
            seen: None,
            round: 0,
            theirs: None,
            stale: false,
        }
    }

    /// Its component.
    pub fn component(&self) -> u16 {
        self.component
    }

    /// The attempt that is under way, or was the last one; 0 before the first.
    pub fn attempt(&self) -> u8 {
        self.attempt
    }

    /// The family of addresses that the next fresh port has to have.
    pub fn family(&self) -> Option<Family> {
        self.theirs.map(|theirs| Family::of(theirs.address.ip()))
    }

    /// How far it has come.
    pub fn state(&self) -> RepunchState {
        self.state
    }

    /// Whether an answer may come yet, and nothing is to be done before.
    pub fn is_patient(&self, now: Time) -> bool {
        self.state == RepunchState::Watching && self.due.is_some_and(|due| due > now)
    }

    /// When [`Repunch::advance`] is to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.due
    }

    /// The start, while it is ahead.
    pub fn start(&self) -> Option<Time> {
        self.due.filter(|_| self.state == RepunchState::Armed)
    }

    /// The peer tells of a fresh port.
    pub fn offered(&mut self, offer: Offer) {
        use RepunchState::{Armed, Offered, Over, Preparing, Punched, Resting};
        use RepunchState::{Suspecting, Watching};
        let newer = offer.attempt > self.attempt;
        match self.state {
            Watching | Resting => {
                self.theirs = Some(offer);
                self.suspect();
            }
            Suspecting => self.theirs = Some(offer),
            // Nobody was told of ours yet: it serves any attempt.
            Preparing if offer.attempt >= self.attempt => {
                self.theirs = Some(offer);
                self.attempt = offer.attempt;
            }
            // The peer may have sent to the one that we told it of.
            Offered | Armed | Punched if newer => {
                self.theirs = Some(offer);
                self.lose();
            }
            Offered if offer.attempt == self.attempt => self.theirs = Some(offer),
            Preparing | Offered | Armed | Punched | Over => {}
        }
    }

    /// A server sees the fresh port at this address.
    pub fn mapped(&mut self, address: SocketAddr) {
        if self.state == RepunchState::Preparing {
            self.seen = Some(address);
        }
    }

    /// There is no fresh port, or no server has seen it.
    pub fn failed(&mut self) {
        if self.state == RepunchState::Preparing {
            self.lose();
        }
    }

    /// The peer was heard on the fresh port. It is waited for as long as the peer
    /// makes no other attempt.
    pub fn heard(&mut self) {
        if self.state == RepunchState::Punched {
            self.due = None;
        }
    }

    /// The component has a path, or will get none: nothing more is done.
    pub fn end(&mut self) {
        (self.state, self.due) = (RepunchState::Over, None);
    }

    /// What is to be done next; to be asked until `None` after every change of
    /// this or of `timing`, and when it is due. Without `may_bind` no fresh
    /// port is asked for.
    pub fn advance(&mut self, now: Time, timing: &mut Timing, may_bind: bool) -> Option<Step> {
        // Each turn goes on to another state, and none is left twice.
        loop {
            if std::mem::take(&mut self.stale) {
                return Some(Step::Drop);
            }
            let is_due = self.due.is_some_and(|due| due <= now);
            match self.state {
                RepunchState::Watching if is_due => self.suspect(),
                RepunchState::Suspecting => return self.prepare(now, timing, may_bind),
                RepunchState::Preparing if self.can_offer(now, timing) => self.offer(now, timing),
                RepunchState::Preparing if is_due => self.lose(),
                RepunchState::Offered if self.is_answered(timing) => self.arm(now, timing),
                RepunchState::Offered if is_due => {
                    self.lose();
                    if self.state == RepunchState::Suspecting {
                        self.state = RepunchState::Resting;
                    }
                }
                RepunchState::Armed if is_due => {
                    let outcome = timing.distance().map_or(MIN_OUTCOME, |every| every * 2);
                    self.state = RepunchState::Punched;
                    self.due = Some(now + outcome.max(MIN_OUTCOME));
                    return self.theirs.map(Step::Punch);
                }
                RepunchState::Punched if is_due => {
                    timing.missed(now);
                    self.lose();
                }
                _ => return None,
            }
        }
    }

    fn suspect(&mut self) {
        (self.state, self.due, self.asked) = (RepunchState::Suspecting, None, false);
    }

    /// The attempt came to nothing; there may be another.
    fn lose(&mut self) {
        self.stale = true;
        self.seen = None;
        match self.attempt < MAX_ATTEMPTS {
            true => self.suspect(),
            false => self.end(),
        }
    }

    /// Once a start is agreed on, and there is no more to wait for.
    fn prepare(&mut self, now: Time, timing: &Timing, may_bind: bool) -> Option<Step> {
        self.due = None;
        if !may_bind {
            return None;
        }
        let Some(every) = timing.distance().filter(|_| self.round_from(now, timing).is_some())
        else {
            return (!std::mem::replace(&mut self.asked, true)).then_some(Step::Agree);
        };
        // The distance of rounds is 2.5 round trips at least.
        let ripe = self.since + (every * 6 / 5).max(PATIENCE);
        if ripe > now && self.theirs.is_none() {
            self.due = Some(ripe);
            return None;
        }
        // What the peer said of an attempt of before is old.
        self.theirs = self.theirs.filter(|theirs| theirs.attempt > self.attempt);
        self.attempt = self.theirs.map_or(self.attempt + 1, |theirs| theirs.attempt);
        (self.state, self.due) = (RepunchState::Preparing, Some(now + PREPARING));
        Some(Step::Prepare)
    }

    /// The first round that the peer can be told of in time.
    fn round_from(&self, now: Time, timing: &Timing) -> Option<u32> {
        let lead = timing.distance()? / 2;
        timing.next_start(now + lead).map(|start| start.round)
    }

    /// Where the clocks are just being compared anew, that is waited for.
    fn can_offer(&self, now: Time, timing: &Timing) -> bool {
        self.seen.is_some() && self.round_from(now, timing).is_some()
    }

    fn offer(&mut self, now: Time, timing: &mut Timing) {
        let round = self.round_from(now, timing);
        let (Some(round), Some(address)) = (round, self.seen) else { return self.lose() };
        let Repunch { component, attempt, .. } = *self;
        timing.offer(Offer { component, attempt, round, address });
        self.round = round;
        (self.state, self.due) = (RepunchState::Offered, Some(now + WAITING));
    }

    /// The round that both can begin in.
    fn common_start(&self, timing: &Timing) -> Option<Time> {
        let theirs = self.theirs.filter(|theirs| theirs.attempt == self.attempt)?;
        timing.start_of(theirs.round.max(self.round))
    }

    fn is_answered(&self, timing: &Timing) -> bool {
        self.common_start(timing).is_some()
    }

    fn arm(&mut self, now: Time, timing: &Timing) {
        match self.common_start(timing).filter(|at| *at > now && *at - now <= MAX_AHEAD) {
            Some(at) => (self.state, self.due) = (RepunchState::Armed, Some(at)),
            // It came too late.
            None => self.lose(),
        }
    }
}
