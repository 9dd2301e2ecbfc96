//! Who tries to connect the two hosts of a cell. The plain programs are here;
//! an agent's processes take part in the same way, started inside
//! `lab.hosts[0]` and `lab.hosts[1]`.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::harness::namespace::Namespace;
use crate::reference::{self, Plan, Took};
use crate::reference_udp;
use crate::topology::Lab;

/// One try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    /// How much later the one side starts than the other.
    pub(crate) skew: Duration,
    /// Which one.
    pub(crate) late: usize,
}

/// Something that can connect two hosts. A trial uses ports of its own (see
/// [`Lab::fresh_port`]) and leaves no process and no socket behind.
pub(crate) trait Contestant: Sync {
    /// At the head of its column.
    fn name(&self) -> &str;

    /// Tries once; gives the times from the later start, or none if no data had
    /// passed both ways before the time was over.
    fn attempt(&self, lab: &Lab, trial: &Trial) -> Option<Took>;
}

/// The plain program over TCP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainTcp {
    pub(crate) name: &'static str,
    pub(crate) listener: bool,
    pub(crate) retry: bool,
    /// From the later start, beside a few round trips.
    pub(crate) patience: Duration,
}

/// Enough for the first retransmission of a SYN, after a second.
pub(crate) const SHORT: Duration = Duration::from_millis(2500);
/// Enough for several of them: where one side is refused all the time and the
/// other never, a retransmission has to come while an attempt is under way.
pub(crate) const LONG: Duration = Duration::from_secs(5);

/// One `connect` a side, and nothing else.
pub(crate) const ONE_SHOT: PlainTcp =
    PlainTcp { name: "one-shot", listener: false, retry: false, patience: SHORT };
/// One `connect` a side, and a listener.
pub(crate) const LISTENING: PlainTcp =
    PlainTcp { name: "and listener", listener: true, retry: false, patience: SHORT };
/// The whole: what is possible.
pub(crate) const RETRYING: PlainTcp =
    PlainTcp { name: "and retry", listener: true, retry: true, patience: LONG };

/// Plain sockets on the schedule of libp2p's DCUtR: from the later start on,
/// CONNECT goes there and back over a relay as far away as the peer, then both
/// dial once, half a round trip later, with their listeners open; three times
/// at most. The path is as long there as back, so that they dial at one time;
/// what the messages take is added, not waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dcutr;

/// How often libp2p dials.
const DCUTR_ROUNDS: u32 = 3;

impl Contestant for Dcutr {
    fn name(&self) -> &'static str {
        "DCUtR's dial"
    }

    fn attempt(&self, lab: &Lab, _trial: &Trial) -> Option<Took> {
        let messages = lab.cell.rtt * 3 / 2;
        let mut spent = Duration::ZERO;
        for _ in 0..DCUTR_ROUNDS {
            let ends = both(lab, reference::Endpoint::open)?;
            let limit = SHORT + 3 * lab.cell.rtt;
            let plan = Plan { starts: [Duration::ZERO; 2], listener: true, retry: None, limit };
            spent += messages;
            if let Some(Took { open, heard }) = reference::punch(ends, &plan).connected {
                return Some(Took { open: open + spent, heard: heard + spent });
            }
            spent += limit;
        }
        None
    }
}

/// The plain program over UDP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainUdp;

impl Contestant for PlainTcp {
    fn name(&self) -> &str {
        self.name
    }

    fn attempt(&self, lab: &Lab, trial: &Trial) -> Option<Took> {
        let ends = both(lab, reference::Endpoint::open)?;
        reference::punch(ends, &self.plan(lab, trial)).connected
    }
}

impl PlainTcp {
    pub(crate) fn plan(&self, lab: &Lab, trial: &Trial) -> Plan {
        Plan {
            listener: self.listener,
            retry: self.retry.then_some(lab.cell.rtt),
            ..plan(lab, trial, self.patience)
        }
    }
}

impl Contestant for PlainUdp {
    fn name(&self) -> &'static str {
        "UDP"
    }

    fn attempt(&self, lab: &Lab, trial: &Trial) -> Option<Took> {
        let ends = both(lab, reference_udp::Endpoint::open)?;
        reference_udp::punch(&ends, &plan(lab, trial, SHORT)).connected
    }
}

fn plan(lab: &Lab, trial: &Trial, patience: Duration) -> Plan {
    let mut starts = [Duration::ZERO; 2];
    starts[trial.late] = trial.skew;
    Plan { starts, listener: true, retry: None, limit: patience + 3 * lab.cell.rtt }
}

/// An endpoint on each host, on a port that nobody had before; none if the
/// STUN server is out of reach.
pub(crate) fn both<E: Send, F: Send>(
    lab: &Lab,
    open: impl Fn(&Namespace, SocketAddr, SocketAddr) -> Result<E, F> + Sync,
) -> Option<[E; 2]> {
    let port = lab.fresh_port();
    let [ours, theirs] = thread::scope(|scope| {
        let ends = [0, 1].map(|side| {
            let open = &open;
            scope.spawn(move || {
                let local = SocketAddr::new(lab.host_address(side), port);
                open(&lab.hosts[side], local, lab.stun()[0]).ok()
            })
        });
        ends.map(|end| end.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    Some([ours?, theirs?])
}
