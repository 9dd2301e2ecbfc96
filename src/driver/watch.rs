//! Networks that move: one thread a process, alive while an agent wants it,
//! notices that addresses come and go and that the machine slept, and tells
//! every agent.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::{self, SleepDetector};
use super::interfaces::Interfaces;
use super::transport::{Changes, Stop, Waited, changes};

/// How often the thread looks whether the machine slept; where the system
/// does not tell of changes, at the addresses too.
const TICK: Duration = Duration::from_secs(2);

/// Changes come in groups: an interface that comes up gets its addresses one
/// after the other. They are over when it was quiet for so long …
const QUIET: Duration = Duration::from_millis(100);

/// … and are not waited for longer than so many times of that.
const MAX_QUIETS: u32 = 10;

/// Whom the watch tells.
pub(super) trait Member: Send + Sync {
    /// The interfaces may be others than at the last call, or the machine slept
    /// for so long.
    fn looked(&self, interfaces: &Interfaces, slept: Option<Duration>);
}

/// A membership; dropping it ends it, and the last one the thread.
#[derive(Debug)]
pub(super) struct Membership(u64);

#[derive(Default)]
struct Watch {
    next: u64,
    members: BTreeMap<u64, Weak<dyn Member>>,
    /// Ends the thread when it is dropped.
    thread: Option<Stop>,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { next: 0, members: BTreeMap::new(), thread: None });

/// Tells `member` of every change from now on. Where no thread can be had, of
/// none.
pub(super) fn join(member: Weak<dyn Member>) -> Membership {
    let watch = &mut *WATCH.lock();
    let id = watch.next;
    watch.next += 1;
    watch.members.insert(id, member);
    if watch.thread.is_none() {
        // The system tells of changes from here on, before the caller looks.
        let (stop, changes) = changes();
        let thread = std::thread::Builder::new().name("floe-watch".to_owned());
        match thread.spawn(move || run(&changes)) {
            Ok(_) => watch.thread = Some(stop),
            Err(error) => tracing::warn!(%error, "networks that move go unnoticed"),
        }
    }
    Membership(id)
}

impl Drop for Membership {
    fn drop(&mut self) {
        let watch = &mut *WATCH.lock();
        watch.members.remove(&self.0);
        if watch.members.is_empty() {
            watch.thread = None;
        }
    }
}

fn run(changes: &Changes) {
    let mut detector = SleepDetector::new(clock::ahead());
    let mut last = None;
    loop {
        let changed = match changes.wait(TICK) {
            Waited::Stopped => return,
            Waited::Changed => {
                if settled(changes) == Waited::Stopped {
                    return;
                }
                true
            }
            Waited::InVain => !changes.are_told(),
        };
        let slept = detector.slept(clock::ahead());
        if changed || slept.is_some() {
            look(&mut last, slept);
        }
    }
}

/// Waits until it is quiet.
fn settled(changes: &Changes) -> Waited {
    for _ in 0..MAX_QUIETS {
        match changes.pause(QUIET) {
            Waited::Changed => {}
            over => return over,
        }
    }
    Waited::InVain
}

/// Tells all members, if the interfaces are not what they were.
fn look(last: &mut Option<Interfaces>, slept: Option<Duration>) {
    let interfaces = match Interfaces::look() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::debug!(%error, "the system does not tell its interfaces");
            return;
        }
    };
    if slept.is_none() && last.as_ref() == Some(&interfaces) {
        return;
    }
    // Not under the lock: members end their memberships in there.
    let members: Vec<Arc<dyn Member>> =
        WATCH.lock().members.values().filter_map(Weak::upgrade).collect();
    members.iter().for_each(|member| member.looked(&interfaces, slept));
    *last = Some(interfaces);
}

#[cfg(test)]
pub(super) mod tests;
