//! The one timer of an agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::clock;
use super::drive::Shared;
use crate::timer::Time;

/// When the core wants to be called next.
#[derive(Debug)]
pub(super) struct Timer {
    /// Nanoseconds since the epoch; the largest number for never.
    deadline: AtomicU64,
    earlier: Notify,
}

const NEVER: u64 = u64::MAX;

impl Default for Timer {
    fn default() -> Self {
        Timer { deadline: AtomicU64::new(NEVER), earlier: Notify::new() }
    }
}

impl Timer {
    /// Sets the deadline. The task is woken only for an earlier one: for a
    /// later one it finds out when it wakes.
    pub(super) fn set(&self, deadline: Option<Time>) {
        let deadline = deadline.map_or(NEVER, Time::as_nanos);
        if deadline < self.deadline.swap(deadline, Ordering::AcqRel) {
            self.earlier.notify_one();
        }
    }

    fn deadline(&self) -> Option<Time> {
        let deadline = self.deadline.load(Ordering::Acquire);
        (deadline != NEVER).then(|| Time::from_nanos(deadline))
    }
}

/// Calls the core at its deadlines, until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let earlier = shared.timer.earlier.notified();
        match shared.timer.deadline() {
            None => earlier.await,
            Some(deadline) if deadline <= clock::now() => shared.handle_timeout(),
            Some(deadline) => {
                tokio::select! {
                    () = tokio::time::sleep_until(clock::instant(deadline)) => {}
                    () = earlier => {}
                }
            }
        }
    }
}
