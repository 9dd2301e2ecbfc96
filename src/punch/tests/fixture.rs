//! Two agents with clocks of their own, and what carries their messages.

use std::time::Duration;

use crate::punch::{Rank, Start, SyncMessage, Timing};
use crate::timer::Time;

pub(super) const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The agent that controls, and the one that does not.
pub(super) const LEADER: Rank = Rank { controls: true, tie_breaker: 1 };
pub(super) const FOLLOWER: Rank = Rank { controls: false, tie_breaker: 2 };

/// One agent: its clock shows `ahead` at the true time 0.
pub(super) struct Side {
    pub(super) timing: Timing,
    pub(super) ahead: Duration,
    /// The starts it was given, in true time.
    pub(super) starts: Vec<(u32, Duration)>,
    /// How many messages it sent.
    pub(super) sent: usize,
}

impl Side {
    fn new(timing: Timing, ahead: Duration) -> Self {
        Side { timing, ahead, starts: Vec::new(), sent: 0 }
    }

    /// What its clock shows at the true time `now`.
    pub(super) fn clock(&self, now: Duration) -> Time {
        Time::ZERO + self.ahead + now
    }

    /// A start in true time.
    pub(super) fn in_true_time(&self, start: Start) -> (u32, Duration) {
        (start.round, start.at.since_epoch() - self.ahead)
    }

    fn note_start(&mut self, now: Duration) {
        let start = self.timing.next_start(self.clock(now));
        let start = start.map(|start| self.in_true_time(start));
        if let Some(start) = start.filter(|start| !self.starts.contains(start)) {
            self.starts.push(start);
        }
    }
}

/// How long the `n`-th message of a side takes to the other; `None` loses it.
pub(super) type Delay<'a> = &'a dyn Fn(usize, usize) -> Vec<Duration>;

/// Two sides and the messages between them.
pub(super) struct World<'a> {
    pub(super) sides: [Side; 2],
    pub(super) now: Duration,
    /// When it comes, to whom, and what.
    on_the_way: Vec<(Duration, usize, SyncMessage)>,
    /// Of a side and the number of its message: when its copies come.
    delay: Delay<'a>,
}

impl<'a> World<'a> {
    pub(super) fn new(timings: [Timing; 2], ahead: [Duration; 2], delay: Delay<'a>) -> Self {
        let [first, second] = timings;
        let sides = [Side::new(first, ahead[0]), Side::new(second, ahead[1])];
        World { sides, now: Duration::ZERO, on_the_way: Vec::new(), delay }
    }

    pub(super) fn start(&mut self) {
        for side in &mut self.sides {
            let now = side.clock(self.now);
            side.timing.start(now);
        }
        self.carry();
    }

    pub(super) fn refused(&mut self, at: usize) {
        let now = self.sides[at].clock(self.now);
        self.sides[at].timing.refused(now);
        self.carry();
    }

    /// Takes what the sides want sent; each message goes through its text.
    fn carry(&mut self) {
        for from in 0..2 {
            self.sides[from].note_start(self.now);
            while let Some(message) = self.sides[from].timing.poll_message() {
                let read = message.to_string().parse();
                assert_eq!(read, Ok(message));
                for delay in (self.delay)(from, self.sides[from].sent) {
                    self.on_the_way.push((self.now + delay, 1 - from, message));
                }
                self.sides[from].sent += 1;
            }
        }
    }

    /// Runs until the true time `end`, all that is due at one moment in order.
    pub(super) fn run_until(&mut self, end: Duration) {
        loop {
            let timeouts = self.sides.iter().filter_map(|side| {
                let at = side.timing.poll_timeout()?;
                Some(at.since_epoch().saturating_sub(side.ahead))
            });
            let messages = self.on_the_way.iter().map(|(at, ..)| *at);
            let Some(next) = timeouts.chain(messages).min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            for side in &mut self.sides {
                let now = side.clock(self.now);
                side.timing.handle_timeout(now);
            }
            while let Some(at) = self.on_the_way.iter().position(|(at, ..)| *at <= self.now) {
                let (_, to, message) = self.on_the_way.remove(at);
                let now = self.sides[to].clock(self.now);
                self.sides[to].timing.handle_message(now, &message);
                self.carry();
            }
            self.carry();
        }
    }

    /// How far apart in true time the two start in a round that both know.
    pub(super) fn skew(&self, round: u32) -> Option<Duration> {
        let [a, b] = [0, 1].map(|side: usize| {
            self.sides[side].starts.iter().rev().find(|(r, _)| *r == round).map(|(_, at)| *at)
        });
        Some(a?.abs_diff(b?))
    }
}
