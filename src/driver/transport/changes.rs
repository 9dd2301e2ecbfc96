//! Where the system tells that its addresses changed: on Linux a netlink
//! socket. What it says is not read, since who hears it looks for himself.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::netlink::{Netlink, StopNetlink};

/// What a wait for changes ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something changed.
    Changed,
    /// Nothing did.
    InVain,
    /// Nobody wants to know any more.
    Stopped,
}

/// The changes of this machine's addresses.
#[derive(Debug)]
pub(crate) enum Changes {
    #[cfg(target_os = "linux")]
    Told(Netlink),
    /// The system does not tell.
    Untold(Receiver<()>),
}

/// Ends a wait, now or later, when it is dropped.
#[derive(Debug)]
pub(crate) enum Stop {
    #[cfg(target_os = "linux")]
    Told(#[allow(dead_code)] StopNetlink),
    Untold(#[allow(dead_code)] Sender<()>),
}

/// Changes from now on, and what ends a wait for them.
pub(crate) fn changes() -> (Stop, Changes) {
    #[cfg(target_os = "linux")]
    match Netlink::open() {
        Ok((stop, netlink)) => return (Stop::Told(stop), Changes::Told(netlink)),
        Err(error) => tracing::debug!(%error, "no netlink: interfaces are polled"),
    }
    let (stop, stopped) = channel();
    (Stop::Untold(stop), Changes::Untold(stopped))
}

impl Changes {
    /// Whether a wait ends when something changes.
    pub(crate) fn are_told(&self) -> bool {
        !matches!(self, Changes::Untold(_))
    }

    /// Waits for a change, and not longer than `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Waited {
        match self {
            #[cfg(target_os = "linux")]
            Changes::Told(netlink) => netlink.wait(limit),
            Changes::Untold(stopped) => match stopped.recv_timeout(limit) {
                Err(RecvTimeoutError::Disconnected) => Waited::Stopped,
                Ok(()) | Err(RecvTimeoutError::Timeout) => Waited::InVain,
            },
        }
    }

    /// Waits for all of `time`, unless stopped, and tells whether something
    /// changed meanwhile.
    pub(crate) fn pause(&self, time: Duration) -> Waited {
        match self {
            #[cfg(target_os = "linux")]
            Changes::Told(netlink) => netlink.pause(time),
            Changes::Untold(_) => self.wait(time),
        }
    }
}
