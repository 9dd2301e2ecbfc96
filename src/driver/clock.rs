//! The clock: what the core's [`Time`] means in this process.

use std::sync::OnceLock;
use std::time::Instant;

use crate::timer::{Pacer, Time};

/// One epoch for all agents, since they share a pacer.
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// Now.
pub(crate) fn now() -> Time {
    Time::ZERO + epoch().elapsed()
}

/// The moment as the runtime's timers want it.
pub(crate) fn instant(time: Time) -> tokio::time::Instant {
    (epoch() + time.since_epoch()).into()
}

/// The pacer of this process (RFC 8445 §14.2).
pub(crate) fn pacer() -> Pacer {
    static PACER: OnceLock<Pacer> = OnceLock::new();
    PACER.get_or_init(Pacer::new).clone()
}
