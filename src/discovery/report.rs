//! What a discovery has found.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Behavior, Dependence};

/// All that was found from one address.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Where the first socket is.
    pub local: SocketAddr,
    /// Where the first server that answered sees it.
    pub mapped: Option<SocketAddr>,
    /// Each server, in the order in which they were given.
    pub servers: Vec<ServerReport>,
    /// How the NAT maps. Without a NAT it is endpoint-independent.
    pub mapping: Finding,
    /// What the NAT or firewall lets in.
    pub filtering: Finding,
    /// Which ports the NAT gives.
    pub ports: Ports,
    /// Whether the NAT leads what it gets for itself from inside back inside.
    pub hairpin: Hairpin,
    /// Something on the way changes addresses in messages (an application layer
    /// gateway): MAPPED-ADDRESS and XOR-MAPPED-ADDRESS differ (RFC 5780 §3.6).
    /// `None`: no server sent both.
    pub rewritten: Option<bool>,
    /// The part of the controls that was lost, there and back.
    pub loss: Option<f64>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// Whether an address is translated; `None` without an answer.
    pub fn is_translated(&self) -> Option<bool> {
        self.mapped.map(|mapped| mapped != self.local)
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReport {
    /// Where it was asked.
    pub address: SocketAddr,
    /// What it said.
    pub answer: Answer,
    /// Its other address and port (OTHER-ADDRESS), if it has and shows one.
    pub other: Option<SocketAddr>,
}

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Nothing.
    None,
    /// It sees us there.
    Mapped {
        /// There.
        mapped: SocketAddr,
        /// From the request to the answer, if it is clear which request that
        /// was.
        rtt: Option<Duration>,
    },
    /// It refused with this code.
    Refused(u16),
}

/// What is known of a behavior.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The behavior.
    pub behavior: Behavior,
    /// How unlikely it is that loss misled us, from 0 to 1. What was seen is
    /// certain.
    pub confidence: f64,
    /// How it was found.
    pub basis: Basis,
}

/// How a behavior was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Basis {
    /// Not at all.
    #[default]
    None,
    /// By the tests of RFC 5780.
    Tests,
    /// By the tests, but the server did not prove that it answers from
    /// elsewhere: no answer of its own could come in through this NAT.
    Promised,
    /// Several servers were compared.
    Compared,
}

impl Basis {
    /// The word for it. It stays the same in every version.
    pub const fn word(self) -> &'static str {
        match self {
            Basis::None => "none",
            Basis::Tests => "rfc5780",
            Basis::Promised => "rfc5780-unproven",
            Basis::Compared => "servers-compared",
        }
    }
}

impl Finding {
    pub(super) const fn seen(dependence: Dependence, basis: Basis) -> Self {
        Finding { behavior: Behavior::Is(dependence), confidence: 1.0, basis }
    }
}

/// Which ports a NAT gives to sockets of ours that ask one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ports {
    /// Their own (port preservation, RFC 4787 §4.2.1).
    Preserved,
    /// Others, each so far behind the one before.
    Step(i32),
    /// Others, without a rule that shows.
    Irregular,
    /// There were not enough answers.
    Unknown,
}

impl Ports {
    /// From our ports and those that the NAT gave for them, in the order in
    /// which it was asked for them.
    pub(super) fn of(pairs: &[(u16, u16)]) -> Self {
        if pairs.len() < 3 {
            return Ports::Unknown;
        }
        if pairs.iter().all(|(local, mapped)| local == mapped) {
            return Ports::Preserved;
        }
        let mut steps = pairs.windows(2).map(|pair| i32::from(pair[1].1) - i32::from(pair[0].1));
        let first = steps.next().unwrap_or_default();
        let is_small = first != 0 && first.abs() <= MAX_STEP;
        if is_small && steps.all(|step| step == first) {
            Ports::Step(first)
        } else {
            Ports::Irregular
        }
    }
}

/// Larger ones are no rule but chance.
const MAX_STEP: i32 = 64;

/// Whether what is sent from inside to an outer address of the NAT comes back
/// in (RFC 4787 §6).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Hairpin {
    /// It does.
    Yes,
    /// It does not, with this confidence.
    No(f64),
    /// There is no NAT.
    None,
    /// It was not to be told.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_ports_show() {
        let ports = |mapped: &[u16]| {
            let local = [5000, 6007, 7002, 8001];
            Ports::of(&local.into_iter().zip(mapped.iter().copied()).collect::<Vec<_>>())
        };
        assert_eq!(ports(&[5000, 6007, 7002, 8001]), Ports::Preserved);
        assert_eq!(ports(&[1024, 1025, 1026, 1027]), Ports::Step(1));
        assert_eq!(ports(&[1030, 1028, 1026, 1024]), Ports::Step(-2));
        assert_eq!(ports(&[1024, 1025, 1027, 1028]), Ports::Irregular);
        assert_eq!(ports(&[10_000, 20_000, 30_000, 40_000]), Ports::Irregular);
        assert_eq!(ports(&[1024, 1025]), Ports::Unknown);
        assert_eq!(ports(&[]), Ports::Unknown);
    }
}
