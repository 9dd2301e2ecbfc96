//! Two agents' processes as a contestant: each is started inside its host, the
//! test carries their lines, and the one whose peer's lines come later is the
//! later to start.

use std::time::{Duration, Instant};

use crate::contestant::{Contestant, Trial};
use crate::harness::peers::{Implementation, Opener, Options, Over};
use crate::harness::session::{Session, Side};
use crate::reference::Took;
use crate::topology::Lab;

/// From the later start until the agents count as not connected.
const LIMIT: Duration = Duration::from_secs(10);
/// How long gathering may take where the STUN server is out of reach.
const GATHERING: Duration = Duration::from_secs(60);

/// Two agents of one kind with the same options; the first controls.
#[derive(Clone, Debug)]
pub(crate) struct Agents {
    pub(crate) name: &'static str,
    pub(crate) implementation: Implementation,
    /// The role and the STUN server are filled in.
    pub(crate) options: Options,
}

impl Contestant for Agents {
    fn name(&self) -> &str {
        self.name
    }

    fn attempt(&self, lab: &Lab, trial: &Trial) -> Option<Took> {
        let mut session = self.start(lab);
        session.extend(GATHERING);
        session.until_gathered();
        session.forward_from(trial.late);
        let late = Instant::now() + trial.skew;
        run(&mut session, late, |_| false);
        session.forward_from(1 - trial.late);
        let late = Instant::now();
        let connected = run(&mut session, late + LIMIT, |sides| {
            sides.iter().all(|side| side.connected_at().is_some())
        });
        if !connected {
            return None;
        }
        for side in [0, 1] {
            session.send(side, 1, b"!");
        }
        let heard = |sides: &[Side; 2]| sides.iter().all(|side| !side.received.is_empty());
        let heard = run(&mut session, late + LIMIT, heard).then(|| late.elapsed())?;
        let connected = session.sides.iter().filter_map(Side::connected_at).max();
        let usable = connected.map_or(heard, |at| at.saturating_duration_since(late));
        // Of TCP, as of the plain program: both ends are established.
        let open = lab.wire.log.established(late, lab.stun()[0].ip()).unwrap_or(usable);
        session.close();
        Some(Took { open, heard })
    }
}

impl Agents {
    /// TCP alone, opened from both sides.
    pub(crate) fn simultaneous_open() -> Self {
        let options = Options { over: Over::Tcp(Opener::AtOnce), ..Options::default() };
        Agents { name: "floe TCP-SO", implementation: Implementation::Floe, options }
    }

    /// UDP alone.
    pub(crate) fn udp() -> Self {
        let options = Options::default();
        Agents { name: "floe UDP", implementation: Implementation::Floe, options }
    }

    pub(crate) fn start(&self, lab: &Lab) -> Session {
        let agent = |side: usize| {
            let stun = Some(lab.stun()[0].to_string());
            let options = Options { controlling: side == 0, stun, ..self.options.clone() };
            let command = self.implementation.command(&options);
            (self.implementation.name(), command, Some(&lab.hosts[side]))
        };
        Session::start([agent(0), agent(1)])
    }
}

/// Handles lines until `done`, a side has failed, or the time is over; true if
/// it is done.
pub(crate) fn run(
    session: &mut Session,
    until: Instant,
    done: impl Fn(&[Side; 2]) -> bool,
) -> bool {
    while !done(&session.sides) {
        let left = until.saturating_duration_since(Instant::now());
        let failed = session.sides.iter().any(|side| side.since("failed").is_some());
        if left.is_zero() || failed {
            return false;
        }
        session.step("a trial's end", left);
    }
    true
}
